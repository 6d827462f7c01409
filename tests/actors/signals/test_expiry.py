from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.signals.expiry import Expiry, OpenSignal, open_signal
from protocols.control import Probe
from protocols.paths import HUB
from protocols.signals import (
    SIGNAL_UPDATES,
    GetSignal,
    ReadSignalUpdates,
    SignalStored,
    StoredUpdate,
    SubmitSignal,
    UpdateSignal,
)
from runtime import KillChild, Node
from runtime.clock import VirtualClock
from tests.actors.signals.samples import NOW, SECOND, signal, stored
from tests.actors.signals.test_hub import hub, refusal


def opened(seq: int, expires: int, signal_id: str = "") -> OpenSignal:
    return OpenSignal(seq, expires, signal_id or f"sig_{seq}", "A", "test", None, None)


class OpenSignals(RuleBasedStateMachine):
    """Expiry against a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.expiry = Expiry(20)
        self.model: dict[str, OpenSignal] = {}
        self.seq = self.untracked = 0
        self.now = 0

    @rule(wait=st.integers(0, 30), number=st.integers(1, 30))
    def add(self, wait: int, number: int) -> None:
        self.seq += 1
        made = opened(self.seq, self.now + wait, f"sig_{number}")
        fits = made.signal_id in self.model or len(self.model) < 20
        assert self.expiry.add(made) == fits
        if fits:
            self.model[made.signal_id] = made
        else:
            self.untracked += 1

    @rule(number=st.integers(1, 30))
    def close(self, number: int) -> None:
        self.expiry.close(f"sig_{number}")
        self.model.pop(f"sig_{number}", None)

    @rule(passed=st.integers(0, 20), most=st.integers(1, 8))
    def expire(self, passed: int, most: int) -> None:
        self.now += passed
        due = sorted((each.ts_expires, each.seq) for each in self.model.values() if each.ts_expires <= self.now)
        found = []
        for each in self.expiry.due(self.now, most):
            found.append((each.ts_expires, each.seq))
            self.expiry.close(each.signal_id)
            del self.model[each.signal_id]
        assert found == due[:most]

    @invariant()
    def agree(self) -> None:
        assert len(self.expiry) == len(self.model)
        assert self.expiry.untracked == self.untracked
        assert self.expiry.next_at == min((each.ts_expires for each in self.model.values()), default=None)


TestOpenSignals = OpenSignals.TestCase


@given(st.lists(st.integers(0, 1000), max_size=300))
def test_what_is_closed_early_leaves_no_trace(expiries: list[int]) -> None:
    expiry = Expiry(1000)
    for seq, moment in enumerate(expiries, 1):
        expiry.add(opened(seq, moment))
        expiry.close(f"sig_{seq}")
    assert expiry.next_at is None
    assert list(expiry.due(10_000, 10)) == []


def test_only_what_is_open_and_ends_is_watched() -> None:
    assert open_signal(stored(1, ts_expires=None)) is None
    for status in ("executed", "cancelled", "expired"):
        assert open_signal(msgspec.structs.replace(stored(1), status=status)) is None
    found = open_signal(msgspec.structs.replace(stored(1, deployment_id="d", decision_id="e"), status="active"))
    assert found is not None
    assert (found.seq, found.symbol, found.deployment_id, found.decision_id) == (1, "A", "d", "e")


# The hub.


async def updates(node: Node) -> list[tuple[str, str]]:
    """What became of signals, in order."""
    page = await node.ref(HUB).ask(ReadSignalUpdates(1))
    assert not page.missing
    return [(each.update.signal_id, each.update.status) for each in page.updates]


async def heard(node: Node, count: int) -> tuple[StoredUpdate, ...]:
    """All updates, once there are so many."""
    with node.open_tap((SignalStored, SIGNAL_UPDATES)) as tap:
        while True:
            page = await node.ref(HUB).ask(ReadSignalUpdates(1))
            if page.last_seq >= count:
                return page.updates
            await tap.receive()


async def test_a_signal_that_nobody_acts_on_expires_once_in_the_order_of_the_expiries(tmp_path: Path) -> None:
    clock = VirtualClock(NOW)
    async with hub(tmp_path, clock=clock) as (ref, node):
        for number, seconds in ((1, 30), (2, 10), (3, 20), (4, 15), (5, 10_000)):
            await ref.ask(SubmitSignal(signal(number, ts_expires=NOW + seconds * SECOND, decision_id=f"d{number}")))
        await ref.ask(UpdateSignal(signal_id="sig_3", status="executed"))
        await ref.ask(UpdateSignal(signal_id="sig_4", status="active"))
        clock.advance(10 * SECOND - 1)
        assert await updates(node) == [("sig_3", "executed"), ("sig_4", "active")]
        clock.advance(20 * SECOND + 1)
        found = await heard(node, 5)
        expired = [(each.update.signal_id, each.update.status) for each in found[2:]]
        assert expired == [("sig_2", "expired"), ("sig_4", "expired"), ("sig_1", "expired")]
        assert (found[2].symbol, found[2].strategy_id, found[2].update.decision_id) == ("A", "test", "d2")
        assert (await ref.ask(GetSignal("sig_2"))).status == "expired"
        figures = dict((await ref.ask(Probe())).figures)
        assert (figures["expired"], figures["open"]) == (3, 1)
        assert await refusal(ref, UpdateSignal(signal_id="sig_2", status="active")) == ("conflict", "status")
        assert await refusal(ref, UpdateSignal(signal_id="sig_2", status="cancelled")) == ("conflict", "status")
        again = await ref.ask(UpdateSignal(signal_id="sig_2", status="expired"))
        assert (again.seq, again.repeated) == (3, True)
        # An order that was begun in time was filled after all.
        await ref.ask(UpdateSignal(signal_id="sig_2", status="executed"))
        assert (await ref.ask(GetSignal("sig_2"))).status == "executed"


async def test_before_the_clock_is_looked_at_nobody_can_act_on_what_has_expired(tmp_path: Path) -> None:
    clock = VirtualClock(NOW)
    async with hub(tmp_path, clock=clock) as (ref, _):
        await ref.ask(SubmitSignal(signal(1, ts_expires=NOW + SECOND)))
        clock.advance(SECOND)
        assert await refusal(ref, UpdateSignal(signal_id="sig_1", status="active")) == ("conflict", "status")


async def test_what_expired_while_nobody_was_there_is_stored_at_the_next_start_and_not_again(tmp_path: Path) -> None:
    async with hub(tmp_path, clock=VirtualClock(NOW)) as (ref, _):
        for number in range(1, 8):
            await ref.ask(SubmitSignal(signal(number, ts_expires=NOW + number * SECOND)))
        await ref.ask(UpdateSignal(signal_id="sig_1", status="executed"))
        await ref.ask(UpdateSignal(signal_id="sig_2", status="cancelled"))
        await ref.ask(UpdateSignal(signal_id="sig_3", status="active"))
    clock = VirtualClock(NOW + 5 * SECOND)
    async with hub(tmp_path, clock=clock) as (ref, node):
        found = await heard(node, 6)
        assert [each.update.signal_id for each in found[3:]] == ["sig_3", "sig_4", "sig_5"]
        await node.ref("/signals").ask(KillChild("hub"))
        clock.advance(SECOND)
        assert [each.update.signal_id for each in (await heard(node, 7))[6:]] == ["sig_6"]
    async with hub(tmp_path, clock=VirtualClock(NOW + 100 * SECOND)) as (ref, node):
        assert [each.update.signal_id for each in (await heard(node, 8))[7:]] == ["sig_7"]
        assert (await ref.ask(ReadSignalUpdates(1))).last_seq == 8


async def test_what_is_no_longer_remembered_expires_all_the_same(tmp_path: Path) -> None:
    clock = VirtualClock(NOW)
    async with hub(tmp_path, history=2, clock=clock) as (_, node):
        for number in range(1, 6):
            await node.ref(HUB).ask(SubmitSignal(signal(number, ts_expires=NOW + 9 * SECOND)))
        clock.advance(9 * SECOND)
        with node.open_tap((SignalStored, SIGNAL_UPDATES)) as tap:
            while node.require_log().last_seq(SIGNAL_UPDATES) < 5:
                await tap.receive()
        page = await node.ref(HUB).ask(ReadSignalUpdates(4))
        assert [each.update.signal_id for each in page.updates] == ["sig_4", "sig_5"]


async def test_thousands_that_expire_at_once_do_not_hold_up_a_signal(tmp_path: Path) -> None:
    clock = VirtualClock(NOW)
    async with hub(tmp_path, clock=clock) as (ref, node):
        for number in range(1, 1001):
            await ref.ask(SubmitSignal(signal(number, ts_expires=NOW + SECOND)))
        clock.advance(SECOND)
        await ref.ask(SubmitSignal(signal(1001)))
        with node.open_tap((SignalStored, SIGNAL_UPDATES)) as tap:
            while node.require_log().last_seq(SIGNAL_UPDATES) < 1000:
                await tap.receive()
        assert len({each for start in (1, 501) for each in await page_ids(node, start)}) == 1000


async def page_ids(node: Node, start: int) -> list[str]:
    page = await node.ref(HUB).ask(ReadSignalUpdates(start))
    return [each.update.signal_id for each in page.updates]
