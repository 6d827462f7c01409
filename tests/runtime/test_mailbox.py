"""Mailboxes: five policies, the control lane, the stash, a pause, and what a crash and an end leave behind."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from runtime import RestartChild, TerminateChild
from tests.runtime import kit
from tests.runtime.kit import (
    Journal,
    Mailbox,
    Message,
    Noting,
    Overflow,
    Refused,
    Request,
    RestartLimit,
    Strategy,
    Terminated,
    receive,
    supervisor,
)


class Item(Message, frozen=True, gc=False, tag="mailbox_item"):
    value: int
    key: str = ""

    def conflate_key(self) -> Hashable | None:
        return self.key or None


class Other(Message, frozen=True, gc=False, tag="mailbox_other"):
    """Has the same keys as Item, and is another type."""

    value: int
    key: str = ""

    def conflate_key(self) -> Hashable | None:
        return self.key or None


class Query(Request[int], frozen=True, gc=False, tag="mailbox_query"):
    value: int
    key: str = ""

    def conflate_key(self) -> Hashable | None:
        return self.key or None


class Crash(Message, frozen=True, gc=False, tag="mailbox_crash"):
    number: int = 0


class Finish(Message, frozen=True, gc=False, tag="mailbox_finish"):
    pass


class Hold(Message, frozen=True, gc=False, tag="mailbox_hold"):
    seconds: float


class Beat(Message, frozen=True, gc=False, tag="mailbox_beat"):
    pass


class Keep(Message, frozen=True, gc=False, tag="mailbox_keep"):
    value: int


class KeepQuery(Request[int], frozen=True, gc=False, tag="mailbox_keep_query"):
    value: int


class Release(Message, frozen=True, gc=False, tag="mailbox_release"):
    pass


class Sink(Noting):
    def __init__(self, journal: int, watched: str = "", beat: float = 0) -> None:
        super().__init__(journal)
        self.watched = watched
        self.beat = beat

    def on_start(self) -> None:
        if self.watched:
            self.watch(self.lookup(self.watched))
        if self.beat:
            self.after(self.beat, Beat())

    @receive
    def item(self, message: Item | Other) -> None:
        self.note(f"{message.value}")

    @receive
    def query(self, request: Query) -> int:
        self.note(f"?{request.value}")
        return request.value

    @receive
    async def hold(self, message: Hold) -> None:
        self.note("hold")
        await trio.sleep(message.seconds)

    @receive
    def crash(self, message: Crash) -> None:
        raise ValueError(f"crash {message.number}")

    @receive
    def finish(self, message: Finish) -> None:
        kit.finish(self)

    @receive
    def beaten(self, message: Beat) -> None:
        self.note("beat")

    @receive
    def ended(self, message: Terminated) -> None:
        self.note("terminated")


class Clearing(Sink):
    on_crash = kit.CLEAR


def sink(name: str, journal: Journal, capacity: int, overflow: Overflow, **options: object) -> kit.ChildSpec:
    return kit.actor(name, Sink, journal, mailbox=Mailbox(capacity=capacity, overflow=overflow), **options)


def items(lines: list[str]) -> list[int]:
    return [int(line) for line in lines if line.lstrip("-").isdigit()]


async def ending(ref: kit.ActorRef, request: Request[int], journal: Journal, timeout: float = 100) -> None:
    try:
        journal.note(f"{request.value} done {await ref.ask(request, timeout=timeout)}")
    except Refused as refused:
        journal.note(f"{request.value} {refused.code}")


# The policies, against a model.


@dataclass
class Queue:
    """What each policy does, said plainly."""

    capacity: int
    overflow: Overflow
    waiting: list[tuple[type, int, str]] = field(default_factory=list)
    handled: list[int] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    merged: int = 0

    def put(self, kind: type, value: int, key: str) -> bool:
        entry = (kind, value, key)
        if self.overflow is Overflow.CONFLATE and key:
            for known in self.waiting:
                if (known[0], known[2]) == (kind, key):
                    self.waiting.remove(known)
                    self.waiting.append(entry)
                    self.merged += 1
                    return True
        if len(self.waiting) < self.capacity:
            self.waiting.append(entry)
            return True
        if self.overflow is Overflow.DROP_OLDEST:
            self.dead.append(self.waiting.pop(0)[1])
            self.waiting.append(entry)
            return True
        self.dead.append(value)
        return False

    def drain(self) -> None:
        self.handled += [value for _, value, _ in self.waiting]
        self.waiting.clear()


PUT = st.tuples(st.sampled_from([Item, Item, Other]), st.sampled_from(["", "x", "y"]))
ACTIONS = st.lists(st.one_of(PUT, PUT, PUT, st.just("drain")), max_size=30)


class Dead(Noting):
    def on_start(self) -> None:
        self.subscribe(kit.DeadLetter)

    @receive
    def dead(self, message: kit.DeadLetter) -> None:
        self.note(message.preview.partition("value=")[2].partition(",")[0])


@pytest.mark.parametrize("overflow", list(Overflow), ids=lambda policy: policy.name)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=ACTIONS, capacity=st.integers(1, 4))
def test_a_full_mailbox_does_what_its_policy_says(overflow: Overflow, actions: list, capacity: int) -> None:
    async def main() -> None:
        journal, dead = Journal(), Journal()
        model = Queue(capacity, overflow)
        dead_letters = kit.actor("dead", Dead, dead)
        async with kit.running(dead_letters, sink("a", journal, capacity, overflow)) as node:
            await kit.pause(node, "/a")
            for number, action in enumerate(actions):
                if action == "drain":
                    await kit.resume(node, "/a")
                    await kit.settle()
                    await kit.pause(node, "/a")
                    model.drain()
                else:
                    kind, key = action
                    assert node.ref("/a").tell(kind(number, key)) is model.put(kind, number, key)
                assert kit.look(node, "/a").depth == len(model.waiting)
            await kit.resume(node, "/a")
            await kit.settle()
            model.drain()
            entry = kit.look(node, "/a")
            assert items(journal.lines) == model.handled
            assert items(dead.lines) == model.dead
            assert (entry.dropped, entry.merged) == (len(model.dead), model.merged)

    trio.run(main, clock=MockClock(autojump_threshold=0))


async def test_conflation_keeps_the_latest_per_type_and_key_and_loses_nothing_else(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    async with kit.running(sink("a", journal, 4, Overflow.CONFLATE)) as node:
        ref = node.ref("/a")
        await kit.pause(node, "/a")
        accepted = [
            ref.tell(message)
            for message in (
                Item(1, "x"),
                Item(2),
                Item(3, "y"),
                Item(4),
                Item(5, "x"),  # full, and merges all the same
                Item(6),  # full: refused, as it may not be lost in silence
                Item(7, "z"),  # full and nothing to merge with
                Item(8, "x"),
            )
        ]
        await kit.resume(node, "/a")
        await kit.settle()
    assert accepted == [True, True, True, True, True, False, False, True]
    assert sorted(items(journal.lines)) == [2, 3, 4, 8]
    assert [value for value in items(journal.lines) if value in (2, 4)] == [2, 4]


# Asks that are dropped or merged.


async def test_an_ask_dropped_as_the_newest_is_refused_at_once(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sink("a", journal, 1, Overflow.DROP_NEWEST)) as node:
        await kit.pause(node, "/a")
        node.ref("/a").tell(Item(1))
        began = trio.current_time()
        with pytest.raises(Refused):
            await node.ref("/a").ask(Query(2), timeout=100)
        assert trio.current_time() == began


async def test_an_ask_dropped_as_the_oldest_is_refused_at_once(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()
    tree = sink("a", journal, 2, Overflow.DROP_OLDEST)
    async with kit.running(tree) as node, trio.open_nursery() as nursery:
        await kit.pause(node, "/a")
        nursery.start_soon(ending, node.ref("/a"), Query(1), outcomes)
        await kit.settle()
        node.ref("/a").tell(Item(2))
        node.ref("/a").tell(Item(3))
        began = trio.current_time()
        await outcomes.until(1)
        assert trio.current_time() == began
        await kit.resume(node, "/a")
        await kit.settle()
    assert outcomes.lines == ["1 dropped"]
    assert journal.lines == ["2", "3"]


async def test_a_merged_ask_is_refused_at_once_and_the_newer_one_is_answered(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()
    tree = sink("a", journal, 3, Overflow.CONFLATE)
    async with kit.running(tree) as node, trio.open_nursery() as nursery:
        await kit.pause(node, "/a")
        began = trio.current_time()
        for value in (1, 2):
            nursery.start_soon(ending, node.ref("/a"), Query(value, "x"), outcomes)
            await kit.settle()
        await outcomes.until(1)
        assert trio.current_time() == began
        assert outcomes.lines[0].startswith("1 ")
        assert "done" not in outcomes.lines[0]
        await kit.resume(node, "/a")
        await outcomes.until(2)
    assert outcomes.lines[1] == "2 done 2"
    assert journal.lines == ["?2"]


@pytest.mark.parametrize("overflow", [Overflow.BLOCK, Overflow.REJECT, Overflow.CONFLATE], ids=str)
async def test_an_ask_of_a_full_mailbox_is_refused_at_once(overflow: Overflow, autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sink("a", journal, 1, overflow)) as node:
        await kit.pause(node, "/a")
        node.ref("/a").tell(Item(1))
        began = trio.current_time()
        with pytest.raises(Refused) as refusal:
            await node.ref("/a").ask(Query(2), timeout=100)
        assert refusal.value.code == "mailbox_full"
        assert trio.current_time() == began


# Send.


async def test_send_waits_for_room_and_keeps_the_order_of_each_sender(autojump_clock: MockClock) -> None:
    journal = Journal()

    async def sending(ref: kit.ActorRef, first: int) -> None:
        for value in range(first, first + 3):
            await ref.send(Item(value), timeout=100)

    tree = sink("a", journal, 2, Overflow.BLOCK)
    async with kit.running(tree) as node, trio.open_nursery() as nursery:
        await kit.pause(node, "/a")
        for first in (10, 20, 30):
            nursery.start_soon(sending, node.ref("/a"), first)
        await kit.settle()
        assert node.ref("/a").tell(Item(99)) is False, "a tell never waits"
        await kit.resume(node, "/a")
        await journal.until(9)
    came = items(journal.lines)
    assert sorted(came) == [10, 11, 12, 20, 21, 22, 30, 31, 32]
    for first in (10, 20, 30):
        assert [value for value in came if value // 10 == first // 10] == [first, first + 1, first + 2]


async def test_send_has_a_deadline(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sink("a", journal, 1, Overflow.BLOCK)) as node:
        await kit.pause(node, "/a")
        await node.ref("/a").send(Item(1))
        began = trio.current_time()
        with pytest.raises(Refused) as refusal:
            await node.ref("/a").send(Item(2), timeout=3)
        assert trio.current_time() - began == pytest.approx(3, abs=0.1)
        assert refusal.value.code == "mailbox_full"
        await kit.resume(node, "/a")
        await kit.settle()
    assert journal.lines == ["1"], "what was refused is not delivered later"


async def test_a_cancelled_send_delivers_nothing_and_lets_the_next_one_in(autojump_clock: MockClock) -> None:
    journal = Journal()
    tree = sink("a", journal, 1, Overflow.BLOCK)
    async with kit.running(tree) as node, trio.open_nursery() as nursery:
        await kit.pause(node, "/a")
        await node.ref("/a").send(Item(1))
        nursery.start_soon(node.ref("/a").send, Item(3), 100.0)
        with trio.move_on_after(1):
            await node.ref("/a").send(Item(2), timeout=100)
        await kit.resume(node, "/a")
        await journal.until(2)
        await kit.settle()
    assert items(journal.lines) == [1, 3]


@pytest.mark.parametrize("overflow", [Overflow.REJECT, Overflow.DROP_NEWEST, Overflow.CONFLATE], ids=str)
async def test_send_to_a_full_mailbox_that_does_not_block_is_refused_at_once(
    overflow: Overflow, autojump_clock: MockClock
) -> None:
    journal = Journal()
    async with kit.running(sink("a", journal, 1, overflow)) as node:
        await kit.pause(node, "/a")
        await node.ref("/a").send(Item(1))
        began = trio.current_time()
        with pytest.raises(Refused):
            await node.ref("/a").send(Item(2))
        assert trio.current_time() == began


async def test_a_waiting_send_is_refused_when_the_actor_stops(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()

    async def sending(ref: kit.ActorRef) -> None:
        try:
            await ref.send(Item(2), timeout=100)
            outcomes.note("sent")
        except Refused as refused:
            outcomes.note(refused.code)

    tree = supervisor("s", sink("a", journal, 1, Overflow.BLOCK))
    async with kit.running(tree) as node, trio.open_nursery() as nursery:
        await kit.pause(node, "/s/a")
        await node.ref("/s/a").send(Item(1))
        nursery.start_soon(sending, node.ref("/s/a"))
        await kit.settle()
        await node.ref("/s").ask(TerminateChild("a"))
        await outcomes.until(1)
    assert outcomes.lines == ["stopped"]
    assert journal.lines == []


async def test_a_waiting_send_outlives_a_crash(autojump_clock: MockClock) -> None:
    journal = Journal()
    tree = sink("a", journal, 1, Overflow.BLOCK)
    async with kit.running(tree) as node, trio.open_nursery() as nursery:
        node.ref("/a").tell(Hold(5))
        await journal.until("hold")
        node.ref("/a").tell(Crash())
        nursery.start_soon(node.ref("/a").send, Item(1), 100.0)
        await journal.until("1")


# The control lane.


async def test_control_overtakes_a_full_mailbox_and_is_not_counted_in_it(autojump_clock: MockClock) -> None:
    journal = Journal()
    tree = supervisor(
        "s", sink("b", Journal(), 3, Overflow.REJECT), sink("a", journal, 3, Overflow.REJECT, watched="/s/b", beat=2.0)
    )
    async with kit.running(tree) as node:
        node.ref("/s/a").tell(Hold(10))
        await journal.until("hold")
        for value in (1, 2, 3):
            assert node.ref("/s/a").tell(Item(value))
        assert not node.ref("/s/a").tell(Item(4))
        await node.ref("/s").ask(TerminateChild("b"))
        await journal.until(6)
    assert sorted(journal.lines[1:3]) == ["beat", "terminated"]
    assert journal.lines[3:] == ["1", "2", "3"]


async def test_a_stop_overtakes_what_is_queued(autojump_clock: MockClock) -> None:
    journal, dead = Journal(), Journal()
    tree = supervisor("s", sink("a", journal, 3, Overflow.REJECT))
    async with kit.running(kit.actor("dead", kit.DeadLetters, dead), tree) as node:
        node.ref("/s/a").tell(Hold(2))
        await journal.until("hold")
        for value in (1, 2, 3):
            assert node.ref("/s/a").tell(Item(value))
        await node.ref("/s").ask(TerminateChild("a"))
        await kit.settle()
        assert dead.lines == ["dead /s/a Item"] * 3
    assert journal.lines == ["hold"]


# A pause.


async def test_a_pause_holds_messages_and_timers_while_control_runs(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sink("a", journal, 2, Overflow.DROP_OLDEST, beat=3.0)) as node:
        await kit.pause(node, "/a")
        for value in (1, 2, 3):
            node.ref("/a").tell(Item(value))
        await trio.sleep(5)
        assert journal.lines == []
        assert str(kit.look(node, "/a").state) == "paused"
        await kit.resume(node, "/a")
        await kit.settle()
        assert journal.lines == ["2", "3", "beat"]


async def test_only_who_is_up_can_be_paused_and_only_who_is_paused_resumed(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(supervisor("s", sink("a", journal, 2, Overflow.REJECT))) as node:
        with pytest.raises(Refused):
            await kit.resume(node, "/s/a")
        await kit.pause(node, "/s/a")
        with pytest.raises(Refused):
            await kit.pause(node, "/s/a")
        await node.ref("/s").ask(TerminateChild("a"))
        with pytest.raises(Refused):
            await kit.pause(node, "/s/a")


async def test_a_pause_does_not_outlive_its_incarnation(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sink("a", journal, 2, Overflow.REJECT)) as node:
        await kit.pause(node, "/a")
        assert node.ref("/a").tell(Item(1))
        await kit.kill(node, "/a")
        await journal.until("1")
        assert kit.look(node, "/a").state == "up"


async def test_a_paused_actor_can_be_stopped(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(supervisor("s", sink("a", journal, 2, Overflow.REJECT))) as node:
        await kit.pause(node, "/s/a")
        node.ref("/s/a").tell(Item(1))
        began = trio.current_time()
        await node.ref("/s").ask(TerminateChild("a"))
        assert trio.current_time() == began
    assert journal.lines == []


async def test_an_ask_that_expires_in_a_pause_was_certainly_not_performed(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sink("a", journal, 2, Overflow.REJECT)) as node:
        await kit.pause(node, "/a")
        with pytest.raises(Refused) as refusal:
            await node.ref("/a").ask(Query(1), timeout=2)
        assert refusal.value.code == "expired"
        await kit.resume(node, "/a")
        await kit.settle()
    assert journal.lines == []


# Across a crash and after the end.


async def test_what_waits_survives_a_crash_in_its_order_and_the_culprit_is_not_delivered_again(
    autojump_clock: MockClock,
) -> None:
    journal, dead = Journal(), Journal()
    tree = sink("a", journal, 10, Overflow.BLOCK)
    async with kit.running(kit.actor("dead", kit.DeadLetters, dead, why=True), tree) as node:
        for message in (Item(1), Crash(), Item(2), Item(3)):
            node.ref("/a").tell(message)
        await journal.until(3)
        await kit.settle()
        assert node.ref("/a").tell(Item(4))
        await journal.until(4)
    assert journal.lines == ["1", "2", "3", "4"]
    assert dead.lines == ["dead /a Crash crashed"]


async def test_what_arrives_during_a_backoff_waits_within_its_bound(autojump_clock: MockClock) -> None:
    journal = Journal()
    spec = sink("a", journal, 2, Overflow.REJECT, backoff=kit.backoff(10, 10))
    tree = supervisor("s", spec, limit=RestartLimit(count=3, seconds=100))
    async with kit.running(tree) as node:
        ref = node.ref("/s/a")
        for number in (1, 2):
            ref.tell(Crash(number))
            await kit.settle()
        assert [ref.tell(Item(value)) for value in (1, 2, 3)] == [True, True, False]
        await journal.until(2)
    assert journal.lines == ["1", "2"]


async def test_a_mailbox_that_is_cleared_by_a_crash_becomes_dead_letters(autojump_clock: MockClock) -> None:
    journal, dead = Journal(), Journal()
    tree = kit.actor("a", Clearing, journal)
    async with kit.running(kit.actor("dead", kit.DeadLetters, dead), tree) as node:
        for message in (Item(1), Crash(), Item(2), Item(3)):
            node.ref("/a").tell(message)
        await kit.settle()
        await trio.sleep(1)
        node.ref("/a").tell(Item(4))
        await journal.until(2)
        await kit.settle()
    assert journal.lines == ["1", "4"]
    assert sorted(dead.lines) == ["dead /a Crash", "dead /a Item", "dead /a Item"]


async def test_after_the_final_end_what_waits_is_dead_and_nothing_is_accepted(autojump_clock: MockClock) -> None:
    journal, dead = Journal(), Journal()
    spec = sink("a", journal, 10, Overflow.BLOCK, restart=kit.Restart.TEMPORARY)
    async with kit.running(kit.actor("dead", kit.DeadLetters, dead), spec) as node:
        ref = node.ref("/a")
        for message in (Item(1), Finish(), Item(2)):
            ref.tell(message)
        await kit.settle()
        assert ref.tell(Item(3)) is False
        await kit.settle()
    assert journal.lines == ["1"]
    assert dead.lines == ["dead /a Item", "dead /a Item"]


async def test_a_child_started_again_by_hand_begins_with_an_empty_mailbox(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(supervisor("s", sink("a", journal, 10, Overflow.BLOCK))) as node:
        await kit.pause(node, "/s/a")
        node.ref("/s/a").tell(Item(1))
        await node.ref("/s").ask(TerminateChild("a"))
        await node.ref("/s").ask(RestartChild("a"))
        assert node.ref("/s/a").tell(Item(2))
        await journal.until(1)
        await kit.settle()
    assert journal.lines == ["2"]


async def test_what_waits_at_a_sibling_survives_the_restart_of_its_group(autojump_clock: MockClock) -> None:
    journal = Journal()
    tree = supervisor(
        "s",
        sink("a", journal, 10, Overflow.BLOCK),
        sink("b", Journal(), 10, Overflow.BLOCK),
        strategy=Strategy.ONE_FOR_ALL,
    )
    async with kit.running(tree) as node:
        await kit.pause(node, "/s/a")
        node.ref("/s/a").tell(Item(1))
        node.ref("/s/b").tell(Crash())
        await journal.until(1)
    assert journal.lines == ["1"]


async def test_the_mailbox_of_the_spec_goes_before_that_of_the_class(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(
        kit.actor("a", Sink, journal, mailbox=Mailbox(capacity=1, overflow=Overflow.REJECT))
    ) as node:
        await kit.pause(node, "/a")
        assert [node.ref("/a").tell(Item(value)) for value in (1, 2)] == [True, False]


# The stash.


class Stashing(Noting):
    stash_capacity = 3

    def __init__(self, journal: int) -> None:
        super().__init__(journal)
        self.ready = False

    @receive
    def keep(self, message: Keep) -> None:
        if not self.ready:
            self.stash()
        else:
            self.note(f"{message.value}")

    @receive
    async def keep_query(self, request: KeepQuery) -> int | None:
        if not self.ready:
            self.stash()
            return None
        self.note(f"?{request.value}")
        return request.value

    @receive
    def release(self, message: Release) -> None:
        self.ready = True
        self.unstash()

    @receive
    def crash(self, message: Crash) -> None:
        raise ValueError("crash")


async def test_the_stash_gives_back_in_order_ahead_of_what_waits(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Stashing, journal)) as node:
        for message in (Keep(1), Keep(2), Release(), Keep(3)):
            node.ref("/a").tell(message)
        await journal.until(3)
    assert journal.lines == ["1", "2", "3"]


async def test_a_stashed_ask_is_answered_later(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()
    async with kit.running(kit.actor("a", Stashing, journal)) as node, trio.open_nursery() as nursery:
        nursery.start_soon(ending, node.ref("/a"), KeepQuery(1), outcomes)
        await trio.sleep(5)
        assert outcomes.lines == []
        node.ref("/a").tell(Release())
        await outcomes.until(1)
    assert outcomes.lines == ["1 done 1"]


async def test_a_stashed_ask_that_expires_was_certainly_not_performed(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Stashing, journal)) as node:
        with pytest.raises(Refused) as refusal:
            await node.ref("/a").ask(KeepQuery(1), timeout=2)
        assert refusal.value.code == "expired"
        node.ref("/a").tell(Release())
        node.ref("/a").tell(Keep(2))
        await journal.until(1)
    assert journal.lines == ["2"]


async def test_the_stash_is_bounded_and_more_is_a_crash(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Stashing, journal)) as node:
        for value in range(4):
            node.ref("/a").tell(Keep(value))
        await kit.settle()
        assert kit.look(node, "/a").count == 2


async def test_what_is_stashed_survives_a_crash_ahead_of_what_waits(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Stashing, journal)) as node:
        for message in (Keep(1), Keep(2), Crash(), Release(), Keep(3)):
            node.ref("/a").tell(message)
        await journal.until(3)
    assert journal.lines == ["1", "2", "3"]


async def test_what_is_stashed_at_the_end_is_dead_and_its_asks_are_refused(autojump_clock: MockClock) -> None:
    journal, dead, outcomes = Journal(), Journal(), Journal()
    tree = supervisor("s", kit.actor("a", Stashing, journal))
    async with (
        kit.running(kit.actor("dead", kit.DeadLetters, dead), tree) as node,
        trio.open_nursery() as nursery,
    ):
        node.ref("/s/a").tell(Keep(1))
        nursery.start_soon(ending, node.ref("/s/a"), KeepQuery(2), outcomes)
        await kit.settle()
        await node.ref("/s").ask(TerminateChild("a"))
        await outcomes.until(1)
        await kit.settle()
    assert outcomes.lines == ["2 stopped"]
    assert dead.lines == ["dead /s/a Keep"]
