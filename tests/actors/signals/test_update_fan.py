from __future__ import annotations

import functools
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.signals.subscriber import Subscriber
from actors.signals.update_fan import UpdateFan
from protocols.paths import HUB, STREAM
from protocols.signals import SignalUpdatePage, Span, StoredUpdate, SubmitSignal, UpdateSignal
from tests.actors.signals.samples import NOW, signal
from tests.actors.signals.stage import Desk, desk
from tests.actors.signals.test_fanout import Inbox

SYMBOLS = "AB"


@functools.cache
def update(seq: int) -> StoredUpdate:
    return StoredUpdate(seq, NOW, UpdateSignal(signal_id=f"sig_{seq}", status="active"), SYMBOLS[seq % 2], "test")


def hand_out(fan: UpdateFan, upto: int, missing: tuple[int, ...] = ()) -> None:
    first = fan.head + 1
    updates = tuple(update(seq) for seq in range(first, upto + 1) if seq not in missing)
    spans = tuple(Span(seq, seq) for seq in missing if first <= seq <= upto)
    for _ in fan.hand_out(SignalUpdatePage(updates, upto + 1, upto, spans)):
        pass


steps = st.one_of(
    st.tuples(st.just("update"), st.integers(1, 3), st.booleans()),
    st.tuples(st.just("room"), st.sampled_from([0, 300, 5000]), st.booleans()),
    st.tuples(st.just("restart"), st.integers(0, 3), st.booleans()),
)


@settings(max_examples=200)
@given(st.lists(steps, max_size=30), st.sampled_from(["A", "*"]))
def test_each_update_of_a_subscription_is_sent_once_in_order_or_told_as_lost(
    program: list[tuple[str, int, bool]], symbols: str
) -> None:
    fan = UpdateFan(5, 10, 100_000)
    inbox = Inbox(5000)
    subscriber = Subscriber("s", inbox)
    fan.subscribe(subscriber, symbols, 5)
    end = 5
    for step, number, hole in program:
        if step == "update":
            end += number
            hand_out(fan, end, (end,) if hole else ())
        elif step == "room":
            inbox.room = number
            fan.tell_losses()
        else:  # the actor ends, updates come, and another one takes the connection on
            fan.release()
            end += number
            fan = UpdateFan(end, 10, 100_000)
            fan.attach(subscriber)
    inbox.room = None
    fan.tell_losses()
    sent: list[int] = []
    lost: set[int] = set()
    for message in inbox.messages():
        if message["type"] == "update":
            sent.append(message["seq"])
            assert message["data"]["symbol"] in symbols or symbols == "*"
        else:
            assert (message["type"], message["stream"]) == ("lagged", "updates")
            lost |= set(range(message["from"], message["to"] + 1))
    assert sent == sorted(set(sent))
    wanted = {seq for seq in range(6, end + 1) if symbols == "*" or SYMBOLS[seq % 2] == symbols}
    assert wanted <= set(sent) | lost
    assert set(sent) <= wanted


def test_with_nobody_there_the_next_one_begins_at_the_end() -> None:
    fan = UpdateFan(0, 10, 100_000)
    inbox = Inbox()
    subscriber = Subscriber("s", inbox)
    fan.subscribe(subscriber, ["A"], 41)
    hand_out(fan, 44)
    assert [message["seq"] for message in inbox.messages()] == [42, 44]
    fan.unsubscribe(subscriber, ["A"])
    assert len(fan) == 0


# Over the WebSocket.


async def become(at: Desk, number: int, status: str) -> None:
    await at.node.ref(HUB).ask(UpdateSignal(signal_id=f"sig_{number}", status=status))  # type: ignore[arg-type]


async def test_a_client_that_asks_for_updates_gets_those_of_its_symbols_beside_signals(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.submit([signal(1, "A"), signal(2, "B")])
        await become(at, 1, "active")
        async with at.client("A", updates=True) as client, at.client("*") as other:
            await become(at, 2, "cancelled")
            await become(at, 1, "executed")
            told = await client.next()
            assert (told["type"], told["seq"]) == ("update", 3)
            assert (told["data"]["signal_id"], told["data"]["status"], told["data"]["symbol"]) == (
                "sig_1",
                "executed",
                "A",
            )
            await at.submit([signal(3, "A")])
            assert await client.signals(1) == [3]
            await client.say({"type": "unsubscribe", "symbols": ["A"]})
            assert (await client.next())["status"] == "unsubscribed"
            await become(at, 3, "cancelled")
            await client.subscribe("*")
            assert (await client.next())["status"] == "subscribed"
            await at.submit([signal(4)])
            assert await client.signals(1) == [4]
            # Who did not ask has heard of signals alone.
            assert await other.signals(2) == [3, 4]


async def test_an_expired_signal_is_told_to_who_asks_for_updates(tmp_path: Path) -> None:
    async with desk(tmp_path) as at, at.client("*", updates=True) as client:
        now = at.node.clock.now()
        made = signal(1, ts_created=now, ts_expires=now + 50_000_000)
        await at.node.ref(HUB).ask(SubmitSignal(made))
        told = {(each := await client.next())["type"]: each for _ in range(2)}
        assert told["signal"]["seq"] == 1
        assert told["update"]["data"]["status"] == "expired"


async def test_when_the_stream_is_killed_each_update_still_comes_once_or_is_told_as_lost(tmp_path: Path) -> None:
    async with desk(tmp_path) as at, at.client("*", updates=True) as client:
        await at.submit(signal(number) for number in range(1, 121))
        assert await client.signals(120) == list(range(1, 121))

        async def cancel() -> None:
            for number in range(1, 121):
                await become(at, number, "cancelled")

        seen: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel)
            while len(seen) < 20:
                seen += places(await client.next())
            await at.kill(STREAM)
        while not seen or seen[-1] < 120:
            seen += places(await client.next())
        assert seen == list(range(1, 121))


def places(message: dict[str, int]) -> list[int]:
    """Which updates a message speaks of."""
    return [message["seq"]] if "seq" in message else list(range(message["from"], message["to"] + 1))
