"""Topics: keyed publish and subscribe that never waits and counts what a slow reader lost."""

from __future__ import annotations

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from protocols.control import Lagged
from tests.runtime import kit
from tests.runtime.kit import Journal, Mailbox, Message, Noting, Overflow, Request, receive


class Tick(Message, frozen=True, gc=False, tag="topics_tick"):
    value: int
    market: str = ""

    def topic_key(self) -> str:
        return self.market


class Tock(Message, frozen=True, gc=False, tag="topics_tock"):
    value: int


class Say(Request[int], frozen=True, gc=False, tag="topics_say"):
    value: int
    market: str = ""


class Unsubscribe(Request[None], frozen=True, gc=False, tag="topics_unsubscribe"):
    market: str | None


class Crash(Message, frozen=True, gc=False, tag="topics_crash"):
    pass


class Finish(Message, frozen=True, gc=False, tag="topics_finish"):
    pass


class Reader(Noting):
    """Subscribes in its first life only."""

    def __init__(
        self, journal: int, keys: tuple[str | None, ...] = (None,), lossless: bool = False, always: bool = True
    ) -> None:
        super().__init__(journal)
        self.keys = keys
        self.lossless = lossless
        self.always = always

    def on_start(self) -> None:
        if self.always or self.incarnation.count == 1:
            for key in self.keys:
                self.subscribe(Tick, key, lossless=self.lossless)

    @receive
    def tick(self, message: Tick) -> None:
        self.note(f"{message.market}{message.value}")

    @receive
    def tock(self, message: Tock) -> None:
        self.note(f"tock {message.value}")

    @receive
    def lagged(self, message: Lagged) -> None:
        assert message.topic == "Tick"
        self.note(f"lagged {message.key}{message.count}")

    @receive
    def say(self, request: Say) -> int:
        return self.publish(Tick(request.value, request.market))

    @receive
    def leave(self, request: Unsubscribe) -> None:
        self.unsubscribe(Tick, request.market)

    @receive
    def crash(self, message: Crash) -> None:
        raise ValueError("crash")

    @receive
    def finish(self, message: Finish) -> None:
        kit.finish(self)


def reader(name: str, journal: Journal, *keys: str | None, **options: object) -> kit.ChildSpec:
    return kit.actor(name, Reader, journal, keys=keys or (None,), **options)


async def test_a_message_reaches_the_subscribers_of_its_key_and_of_all_keys(autojump_clock: MockClock) -> None:
    x, y, every = Journal(), Journal(), Journal()
    async with kit.running(reader("x", x, "X"), reader("y", y, "Y"), reader("every", every)) as node:
        assert node.publish(Tick(1, "X")) == 2
        assert node.publish(Tick(2, "Y")) == 2
        assert node.publish(Tick(3, "Z")) == 1
        assert node.publish(Tock(4)) == 0
        await kit.settle()
    assert (x.lines, y.lines, every.lines) == (["X1"], ["Y2"], ["X1", "Y2", "Z3"])


async def test_an_actor_publishes_and_may_hear_itself(autojump_clock: MockClock) -> None:
    a, b = Journal(), Journal()
    async with kit.running(reader("a", a), reader("b", b, "X")) as node:
        assert await node.ref("/a").ask(Say(1, "X")) == 2
        await kit.settle()
    assert (a.lines, b.lines) == (["X1"], ["X1"])


async def test_one_subscriber_of_several_keys_gets_each(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(reader("a", journal, "X", "Y")) as node:
        for value, market in enumerate("XYZXY"):
            node.publish(Tick(value, market))
        await kit.settle()
    assert journal.lines == ["X0", "Y1", "X3", "Y4"]


async def test_subscribing_twice_is_the_same_as_once(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(reader("a", journal, "X", "X")) as node:
        assert node.publish(Tick(1, "X")) == 1
        await kit.settle()
    assert journal.lines == ["X1"]


async def test_an_unsubscribed_key_is_silent_and_the_others_are_not(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(reader("a", journal, "X", "Y")) as node:
        await node.ref("/a").ask(Unsubscribe("X"))
        assert node.publish(Tick(1, "X")) == 0
        assert node.publish(Tick(2, "Y")) == 1
        await kit.settle()
    assert journal.lines == ["Y2"]


@pytest.mark.parametrize("end", [Crash(), Finish()], ids=["crash", "finish"])
async def test_a_subscription_dies_with_its_subscriber(end: Message, autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(reader("a", journal, always=False)) as node:
        assert node.publish(Tick(1)) == 1
        node.ref("/a").tell(end)
        await kit.settle()
        await trio.sleep(1)
        assert kit.look(node, "/a").count == 2
        assert node.publish(Tick(2)) == 0
        await kit.settle()
    assert journal.lines == ["1"]


async def test_a_new_incarnation_that_subscribes_again_hears_again(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(reader("a", journal)) as node:
        node.ref("/a").tell(Crash())
        await kit.settle()
        assert node.publish(Tick(2)) == 1
        await kit.settle()
    assert journal.lines == ["2"]


# Losses.


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [
        (Overflow.BLOCK, ["0", "1", "2"]),
        (Overflow.REJECT, ["0", "1", "2"]),
        (Overflow.DROP_NEWEST, ["0", "1", "2"]),
        (Overflow.CONFLATE, ["0", "1", "2"]),
        (Overflow.DROP_OLDEST, ["7", "8", "9"]),
    ],
    ids=lambda value: value.name if isinstance(value, Overflow) else "",
)
async def test_a_slow_subscriber_is_told_how_much_it_lost(
    overflow: Overflow, kept: list[str], autojump_clock: MockClock
) -> None:
    slow, quick = Journal(), Journal()
    tree = (reader("slow", slow, mailbox=Mailbox(capacity=3, overflow=overflow)), reader("quick", quick))
    async with kit.running(*tree) as node:
        await kit.pause(node, "/slow")
        for value in range(10):
            node.publish(Tick(value))
        await kit.settle()
        assert quick.lines == [str(value) for value in range(10)], "a slow reader hurts only itself"
        await kit.resume(node, "/slow")
        await kit.settle()
    lags = [line for line in slow.lines if line.startswith("lagged")]
    assert sum(int(line.split()[1]) for line in lags) == 7
    assert [line for line in slow.lines if line not in lags] == kept


async def test_losses_are_counted_by_key(autojump_clock: MockClock) -> None:
    journal = Journal()
    spec = reader("a", journal, mailbox=Mailbox(capacity=1, overflow=Overflow.DROP_NEWEST))
    async with kit.running(spec) as node:
        await kit.pause(node, "/a")
        for market in "XXYXY":
            node.publish(Tick(0, market))
        await kit.resume(node, "/a")
        await kit.settle()
    assert sorted(journal.lines) == ["X0", "lagged X2", "lagged Y2"]


async def test_a_publish_does_not_count_who_lost_it(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(reader("a", journal, mailbox=Mailbox(capacity=1, overflow=Overflow.BLOCK))) as node:
        await kit.pause(node, "/a")
        assert [node.publish(Tick(value)) for value in range(3)] == [1, 0, 0]


async def test_what_was_told_directly_is_no_loss_of_a_topic(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(reader("a", journal, mailbox=Mailbox(capacity=1, overflow=Overflow.DROP_OLDEST))) as node:
        await kit.pause(node, "/a")
        node.ref("/a").tell(Tock(1))
        node.publish(Tick(2))
        node.publish(Tick(3))
        await kit.resume(node, "/a")
        await kit.settle()
    assert sorted(journal.lines) == ["3", "lagged 1"]


async def test_a_lossless_subscriber_finds_the_gap_in_its_place(autojump_clock: MockClock) -> None:
    journal = Journal()
    spec = reader("a", journal, "X", lossless=True, mailbox=Mailbox(capacity=3, overflow=Overflow.BLOCK))
    async with kit.running(spec) as node:
        await kit.pause(node, "/a")
        for value in range(10):
            node.publish(Tick(value, "X"))
        await kit.resume(node, "/a")
        await kit.settle()
        node.publish(Tick(10, "X"))
        node.publish(Tick(11, "X"))
        await kit.settle()
    assert journal.lines == ["X0", "X1", "X2", "lagged X7", "X10", "X11"]


def account_for(lines: list[str], published: int) -> None:
    """Each number is the next one, and each gap is exactly as long as it says."""
    expected = 0
    for line in lines:
        if line.startswith("lagged X"):
            expected += int(line.removeprefix("lagged X"))
        elif line.startswith("X"):
            assert int(line[1:]) == expected
            expected += 1
    assert expected == published


STEPS = st.lists(st.one_of(st.integers(1, 6), st.sampled_from(["drain", "drain", "other"])), max_size=25)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=STEPS,
    capacity=st.integers(1, 4),
    overflow=st.sampled_from(list(Overflow)),
)
def test_a_lossless_subscriber_can_account_for_every_number(
    steps: list[int | str], capacity: int, overflow: Overflow
) -> None:
    async def main() -> None:
        journal = Journal()
        spec = reader("a", journal, "X", lossless=True, mailbox=Mailbox(capacity=capacity, overflow=overflow))
        published = 0
        async with kit.running(spec) as node:
            await kit.pause(node, "/a")
            for step in steps:
                if step == "drain":
                    await kit.resume(node, "/a")
                    await kit.settle()
                    await kit.pause(node, "/a")
                elif step == "other":
                    node.ref("/a").tell(Tock(0))
                else:
                    for _ in range(int(step)):
                        node.publish(Tick(published, "X"))
                        published += 1
            await kit.resume(node, "/a")
            await kit.settle()
        account_for(journal.lines, published)

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_a_gap_that_waits_takes_in_what_comes_after_it_though_there_is_room_again(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    mailbox = Mailbox(capacity=2, overflow=Overflow.BLOCK)
    spec = kit.actor("a", SlowReader, journal, keys=("X",), lossless=True, mailbox=mailbox)
    async with kit.running(spec) as node:
        for value in range(3):
            node.publish(Tick(value, "X"))
        await trio.sleep(1.5)
        for value in (3, 4):
            node.publish(Tick(value, "X"))
        await trio.sleep(10)
        node.publish(Tick(5, "X"))
        await kit.settle()
    account_for(journal.lines, 6)


class SlowReader(Reader):
    """Takes a second for each message, so that a gap may be waiting while there is room again."""

    @receive
    async def tick(self, message: Tick) -> None:
        self.note(f"{message.market}{message.value}")
        await trio.sleep(1)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(st.tuples(st.integers(0, 4), st.sampled_from([0.5, 1, 2, 5])), max_size=25),
    capacity=st.integers(1, 4),
    overflow=st.sampled_from(list(Overflow)),
)
def test_a_slow_lossless_subscriber_can_account_for_every_number(
    steps: list[tuple[int, float]], capacity: int, overflow: Overflow
) -> None:
    async def main() -> None:
        journal = Journal()
        mailbox = Mailbox(capacity=capacity, overflow=overflow)
        published = 0
        spec = kit.actor("a", SlowReader, journal, keys=("X",), lossless=True, mailbox=mailbox)
        async with kit.running(spec) as node:
            for count, seconds in steps:
                for _ in range(count):
                    node.publish(Tick(published, "X"))
                    published += 1
                await trio.sleep(seconds)
            await trio.sleep(100)
        account_for(journal.lines, published)

    trio.run(main, clock=MockClock(autojump_threshold=0))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, capacity=st.integers(1, 4), overflow=st.sampled_from(list(Overflow)))
def test_what_came_and_what_was_lost_is_what_was_published(
    steps: list[int | str], capacity: int, overflow: Overflow
) -> None:
    async def main() -> None:
        journal = Journal()
        spec = reader("a", journal, mailbox=Mailbox(capacity=capacity, overflow=overflow))
        published = 0
        async with kit.running(spec) as node:
            await kit.pause(node, "/a")
            for step in steps:
                if step == "drain":
                    await kit.resume(node, "/a")
                    await kit.settle()
                    await kit.pause(node, "/a")
                elif step == "other":
                    node.ref("/a").tell(Tock(0))
                else:
                    for _ in range(int(step)):
                        node.publish(Tick(published))
                        published += 1
            await kit.resume(node, "/a")
            await kit.settle()
        lost = sum(int(line.split()[1]) for line in journal.lines if line.startswith("lagged"))
        came = [line for line in journal.lines if line.isdigit()]
        assert len(came) + lost == published
        assert came == sorted(came, key=int)

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_a_subscriber_that_is_still_starting_or_recovering_misses_nothing(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.supervisor("s")) as node, trio.open_nursery() as nursery:
        nursery.start_soon(node.ref("/s").ask, kit.StartChild(kit.actor("a", Late, journal)), 60.0)
        for value, line in enumerate(("starting", "recovering", "recovered")):
            await journal.until(line)
            assert node.publish(Tick(value)) == 1
        await journal.until("2")
    assert journal.lines == ["starting", "recovering", "recovered", "0", "1", "2"]


class Late(Noting):
    async def on_start(self) -> None:
        self.subscribe(Tick)
        self.note("starting")
        await trio.sleep(1)

    async def on_continue(self) -> None:
        self.note("recovering")
        await trio.sleep(1)
        self.note("recovered")

    @receive
    def tick(self, message: Tick) -> None:
        self.note(f"{message.value}")


async def test_a_loss_without_a_handler_for_it_is_no_crash(autojump_clock: MockClock) -> None:
    journal = Journal()
    spec = kit.actor("a", Deaf, journal, mailbox=Mailbox(capacity=1, overflow=Overflow.DROP_NEWEST))
    async with kit.running(spec) as node:
        await kit.pause(node, "/a")
        node.publish(Tick(1))
        node.publish(Tick(2))
        await kit.resume(node, "/a")
        await kit.settle()
        assert kit.look(node, "/a").count == 1
    assert journal.lines == ["1"]


class Deaf(Noting):
    def on_start(self) -> None:
        self.subscribe(Tick)

    @receive
    def tick(self, message: Tick) -> None:
        self.note(f"{message.value}")
