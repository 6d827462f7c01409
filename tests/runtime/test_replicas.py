"""Replicas: one path, several actors behind it, resized while they run; nothing accepted is lost and order holds."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from runtime import (
    BreakerSettings,
    DeleteChild,
    Junction,
    PauseChild,
    ReplicaSettings,
    ResizeReplicas,
    RestartChild,
    RouterSettings,
    StartChild,
    TerminateChild,
    VariantSettings,
    WhichChildren,
)
from runtime.breaker_window import Count
from runtime.figures import NodeFigures
from runtime.metrics import Metrics
from tests.runtime import kit
from tests.runtime.kit import Journal, Mailbox, Message, Noting, Overflow, Refused, Request, Restart, Unknown, receive


class Put(Message, frozen=True, gc=False, tag="replicas_put"):
    market: str
    number: int = 0
    seconds: float = 0.0

    def topic_key(self) -> str:
        return self.market


class Get(Request[str], frozen=True, gc=False, tag="replicas_get"):
    """Who are you? Answered after so many seconds, which an owned task waits for if `later`."""

    market: str = ""
    number: int = 0
    seconds: float = 0.0
    later: bool = False

    def topic_key(self) -> str:
        return self.market


class Crash(Request[None], frozen=True, gc=False, tag="replicas_crash"):
    market: str = ""

    def topic_key(self) -> str:
        return self.market


class Finish(Message, frozen=True, gc=False, tag="replicas_finish"):
    market: str = ""

    def topic_key(self) -> str:
        return self.market


class AskSet(Request[str], frozen=True, gc=False, tag="replicas_ask_set"):
    """Ask the whole set, from inside one of its replicas, after so many seconds."""

    market: str
    target: str
    seconds: float

    def topic_key(self) -> str:
        return self.market


class Worker(Noting):
    def __init__(self, journal: int, listens: bool = False, broken: str = "") -> None:
        super().__init__(journal)
        self.listens = listens
        self.broken = broken

    def on_start(self) -> None:
        if self.broken and self.path.endswith(self.broken):
            raise RuntimeError("broken from the start")
        if self.listens:
            self.subscribe(Put)

    @property
    def number(self) -> str:
        return self.path.rpartition("/")[2]

    @receive
    async def put(self, message: Put) -> None:
        if message.seconds:
            await trio.sleep(message.seconds)
        self.note(f"{self.number} {message.market} {message.number}")

    @receive
    async def get(self, request: Get) -> str:
        if request.later:
            self.answer_later(self._slowly, request)
            return ""
        return await self._slowly(request)

    async def _slowly(self, request: Get) -> str:
        if request.seconds:
            await trio.sleep(request.seconds)
        self.note(f"{self.number} {request.market} {request.number}")
        return self.number

    @receive
    def crash(self, request: Crash) -> None:
        raise RuntimeError("a fault")

    @receive
    def finish(self, message: Finish) -> None:
        self.stop()

    @receive
    async def ask_set(self, request: AskSet) -> str:
        await trio.sleep(request.seconds)
        return await self.lookup("/x").ask(Get(request.target), timeout=60)


class Idle(Noting):
    @receive
    def terminated(self, message: kit.Terminated) -> None:
        self.note(f"{message.path} {type(message.reason).__name__} {message.final}")

    @receive
    def look(self, message: Put) -> None:
        self.watch(self.lookup(message.market))


def replicated(journal: Journal, count: int = 3, routing: str = "least_loaded", **options: Any) -> kit.ChildSpec:
    fields = {name: options.pop(name) for name in ReplicaSettings.__struct_fields__ if name in options}
    replicas = ReplicaSettings(count=count, routing=routing, **fields)  # type: ignore[arg-type]
    return kit.actor("x", Worker, journal, replicas=replicas, **options)


def sticky(journal: Journal, count: int = 3, **options: Any) -> kit.ChildSpec:
    return replicated(journal, count, "sticky", **options)


def owner(key: str, count: int) -> str:
    """Who owns a key among replicas 0 … count - 1, worked out from the definition of the hash."""

    def draw(member: str) -> bytes:
        name = hashlib.blake2b(member.encode(), digest_size=32).digest()
        return hashlib.blake2b(key.encode(), digest_size=8, key=name, person=b"troupe.hashing").digest()

    return max(map(str, range(count)), key=draw)


def key_of(old: tuple[str, int], new: tuple[str, int] | None = None) -> str:
    """A key that this one owns among so many, and among another number that one."""
    keys = (f"K{number}" for number in range(10_000))
    return next(key for key in keys if all(owner(key, count) == name for name, count in (old, new or old)))


def figures(node: Any) -> dict[str, tuple[int, int, int, int]]:
    replicas = node.tree("/x").replicas
    return {each.name: (each.routed, each.done, each.refused, each.failed) for each in replicas.replicas}


async def resize(node: Any, count: int) -> Any:
    return await node.ref("/x").ask(ResizeReplicas(count), timeout=60)


# The set


async def test_a_replicated_child_is_a_supervisor_with_equal_children(autojump_clock: MockClock) -> None:
    options = {"mailbox": Mailbox(7, Overflow.REJECT), "restart": Restart.TRANSIENT, "stop_s": 2.5}
    async with kit.running(replicated(Journal(), 3, **options)) as node:
        view = node.tree("/x")
        assert (view.kind, view.strategy, view.state) == ("supervisor", "one_for_one", "up")
        assert [child.path for child in view.children] == ["/x/0", "/x/1", "/x/2"]
        assert {(child.mailbox.capacity, child.restart) for child in view.children} == {(7, "transient")}
        rows = await node.ref("/x").ask(WhichChildren())
        assert [row.name for row in rows] == ["0", "1", "2"]
        assert (view.replicas.routing, view.replicas.count, view.replicas.most) == ("least_loaded", 3, 64)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"count": 0}, "count of replicas"),
        ({"count": 3, "most": 2}, "most replicas"),
        ({"count": 1, "key": "market"}, "is for sticky"),
        ({"count": 1, "restart_s": 0.0}, "restart_s"),
    ],
)
def test_settings_that_could_never_work_are_refused(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ReplicaSettings(**wrong)


def test_a_spec_whose_replicas_could_never_work_is_refused() -> None:
    router = RouterSettings(salt="s", variants=(VariantSettings(name="a", path="/a"),))
    with pytest.raises(ValueError, match="no router of its own"):
        replicated(Journal(), router=router)
    with pytest.raises(ValueError, match="can never be reached"):
        replicated(Journal(), backoff=kit.backoff(30, 60))
    with pytest.raises(ValueError, match="not of a supervisor"):
        kit.ChildSpec("x", supervisor=kit.supervisor("y").supervisor, replicas=ReplicaSettings(count=2))
    with pytest.raises(ValueError, match="reserved"):
        kit.actor("resize", Worker)


async def test_administration_is_for_the_set_and_everything_else_for_a_replica(autojump_clock: MockClock) -> None:
    async with kit.running(replicated(Journal(), 2)) as node:
        ref = node.ref("/x")
        for request in (StartChild(kit.actor("y", Idle, Journal())), DeleteChild("0")):
            with pytest.raises(Refused) as refused:
                await ref.ask(request)
            assert refused.value.code == "invalid"
        await ref.ask(TerminateChild("1"))
        assert await kit.children_of(ref) == {"0": "up", "1": "down"}
        assert await ref.ask(Get()) == "0"
        await ref.ask(RestartChild("1"))
        assert await kit.children_of(ref) == {"0": "up", "1": "up"}


async def test_a_stopped_set_refuses_and_starts_again_with_the_count_of_its_spec(autojump_clock: MockClock) -> None:
    async with kit.running(replicated(Journal(), 2)) as node:
        await resize(node, 3)
        await node.ref("/").ask(TerminateChild("x"))
        assert not node.ref("/x").tell(Put("a"))
        with pytest.raises(Refused) as refused:
            await node.ref("/x").ask(Get())
        assert refused.value.code == "stopped"
        await node.ref("/").ask(RestartChild("x"))
        assert await kit.children_of(node.ref("/x")) == {"0": "up", "1": "up"}
        assert await node.ref("/x").ask(Get()) in ("0", "1")


async def test_what_is_told_while_the_first_replica_starts_keeps_its_owner(autojump_clock: MockClock) -> None:
    class Early(Worker):
        async def on_start(self) -> None:
            if self.number == "0":
                self.lookup("/x").tell(Put(key_of(("2", 3)), 1))
            await trio.sleep(1)

    journal = Journal()
    spec = kit.actor("x", Early, journal, replicas=ReplicaSettings(count=3, routing="sticky"))
    async with kit.running(spec):
        assert await journal.until(1) == [f"2 {key_of(('2', 3))} 1"]


async def test_watching_the_set_and_watching_a_replica_tell_of_different_ends(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("w", Idle, journal), replicated(Journal(), 2)) as node:
        for path in ("/x", "/x/1"):
            node.ref("/w").tell(Put(path))
        await kit.settle()
        await resize(node, 1)
        await kit.settle()
        assert journal.lines == ["/x/1 Shutdown True"]
        await node.ref("/").ask(TerminateChild("x"))
        await kit.settle()
        assert journal.lines[1:] == ["/x Shutdown True"]


async def test_every_replica_subscribes_by_itself(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(replicated(journal, 3, listens=True)) as node:
        assert node.publish(Put("a", 1)) == 3
        await kit.settle()
        await resize(node, 1)
        assert node.publish(Put("a", 2)) == 1
        await kit.settle()
        assert sorted(journal.lines) == ["0 a 1", "0 a 2", "1 a 1", "2 a 1"]


async def test_a_variant_of_a_router_may_be_a_replicated_path(autojump_clock: MockClock) -> None:
    router = RouterSettings(salt="s", variants=(VariantSettings(name="a", path="/x"),))
    junction = kit.child("j", Junction, router=router)
    journal = Journal()
    async with kit.running(junction, replicated(journal, 2)) as node:
        assert {await node.ref("/j").ask(Get()) for _ in range(4)} == {"0", "1"}
        assert node.ref("/j").tell(Put("a", 1))
        await node.ref("/j").send(Put("a", 2))
        await journal.until(6)
        assert sum(each[0] for each in figures(node).values()) == 6


# Least loaded


async def test_equal_loads_take_turns(autojump_clock: MockClock) -> None:
    async with kit.running(replicated(Journal(), 3)) as node:
        assert [await node.ref("/x").ask(Get()) for _ in range(6)] == ["0", "1", "2", "0", "1", "2"]
        assert figures(node) == dict.fromkeys("012", (2, 2, 0, 0))


@pytest.mark.parametrize("later", [False, True])
async def test_requests_in_progress_and_those_that_wait_count_as_load(later: bool, autojump_clock: MockClock) -> None:
    async with kit.running(replicated(Journal(), 3)) as node, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(node.ref("/x/0").ask, Get(seconds=5, later=later), 60)
        nursery.start_soon(node.ref("/x/1").ask, Get(seconds=5, later=later), 60)
        await kit.settle()
        # Loads 3, 1, 0: the next four even out what the others are behind.
        nursery.start_soon(node.ref("/x").ask, Get(seconds=5), 60)
        for _ in range(3):
            await kit.settle()
            nursery.start_soon(node.ref("/x").ask, Get(seconds=5), 60)
        await kit.settle()
        assert {each.name: each.load for each in node.tree("/x").replicas.replicas} == {"0": 3, "1": 3, "2": 2}


async def test_a_replica_that_is_down_or_paused_is_gone_around_while_another_is_up(autojump_clock: MockClock) -> None:
    journal = Journal()
    spec = replicated(journal, 3, backoff=kit.backoff(1.0, 2.0))
    async with kit.running(spec) as node:
        ref = node.ref("/x")
        for _ in range(2):  # the second restart waits
            assert isinstance(await node.ref("/x/0").outcome(Crash()), Unknown)
            await kit.settle()
        await ref.ask(PauseChild("1"))
        assert kit.look(node, "/x/0").state == "backoff"
        assert {await ref.ask(Get()) for _ in range(5)} == {"2"}
        await ref.ask(TerminateChild("2"))
        assert ref.tell(Put("a", 1))
        assert ref.tell(Put("b", 2))  # nobody is up: they wait for those who will be
        await journal.until(lambda lines: "0 a 1" in lines or "0 b 2" in lines)


async def test_a_full_replica_is_gone_around(autojump_clock: MockClock) -> None:
    spec = replicated(Journal(), 2, mailbox=Mailbox(2))
    async with kit.running(spec) as node, trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(node.ref("/x/0").outcome, Get(seconds=1, later=True))
        nursery.start_soon(node.ref("/x/1").outcome, Get(seconds=1))
        await kit.settle()
        assert [node.ref("/x/1").tell(Put("fills", n)) for n in range(2)] == [True, True]
        # 1 has less to do, but no room.
        assert await node.ref("/x").ask(Get()) == "0"


async def test_a_replica_behind_its_open_breaker_draws_no_requests(autojump_clock: MockClock) -> None:
    breaker = BreakerSettings(window=Count(2), minimum_calls=2, failure_rate=0.5, open_s=10_000)
    spec = replicated(Journal(), 2, breaker=breaker)
    async with kit.running(spec) as node:
        for _ in range(2):
            assert isinstance(await node.ref("/x/1").outcome(Crash()), Unknown)
            await trio.sleep(1)
        assert [child.breaker.state.value for child in node.tree("/x").children] == ["closed", "open"]
        assert [await node.ref("/x").ask(Get()) for _ in range(3)] == ["0", "0", "0"]
        assert node.ref("/x").tell(Put("a"))


# Sticky


async def test_all_messages_of_a_key_go_to_its_owner_by_the_hash(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(sticky(journal, 4)) as node:
        for number in range(40):
            key = f"K{number % 20}"
            assert await node.ref("/x").ask(Get(key)) == owner(key, 4)
            assert node.ref("/x").tell(Put(key))
            await node.ref("/x").send(Put(key))
        await journal.until(120)
        assert {tuple(line.split()[:2]) for line in journal.lines} == {
            (owner(f"K{number}", 4), f"K{number}") for number in range(20)
        }


async def test_the_key_can_be_a_field_and_without_one_the_least_loaded_serves(autojump_clock: MockClock) -> None:
    async with kit.running(sticky(Journal(), 3, key="number")) as node:
        assert [await node.ref("/x").ask(Get("any", number)) for number in range(1, 9)] == [
            owner(str(number), 3) for number in range(1, 9)
        ]
        before = figures(node)
        assert all(node.ref("/x").tell(Finish()) for _ in range(3))
        assert {name: each[0] - before[name][0] for name, each in figures(node).items()} == dict.fromkeys("012", 1)
    async with kit.running(sticky(Journal(), 3)) as node:
        assert [await node.ref("/x").ask(Get("")) for _ in range(3)] == ["0", "1", "2"]


async def test_a_key_waits_for_its_owner_through_a_crash_and_moves_on_when_it_is_gone(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    spec = sticky(journal, 3, backoff=kit.backoff(1.0, 2.0), restart=Restart.TRANSIENT)
    mine, other = key_of(("1", 3)), key_of(("0", 3))
    async with kit.running(spec) as node:
        ref = node.ref("/x")
        for _ in range(2):
            assert isinstance(await ref.outcome(Crash(mine)), Unknown)
            await kit.settle()
        assert kit.look(node, "/x/1").state == "backoff"
        assert ref.tell(Put(mine, 1))
        assert await ref.ask(Get(other)) == "0"  # the others go on
        assert await ref.ask(Get(mine), timeout=60) == "1"
        assert journal.lines[-2:] == [f"1 {mine} 1", f"1 {mine} 0"]
        assert ref.tell(Finish(mine))
        await kit.settle()
        assert kit.look(node, "/x/1").state == "stopped"
        assert await ref.ask(Get(mine)) == owner_without(mine, "1", 3)
        await ref.ask(RestartChild("1"))
        assert await ref.ask(Get(mine)) == "1"


def owner_without(key: str, gone: str, count: int) -> str:
    def draw(member: str) -> bytes:
        name = hashlib.blake2b(member.encode(), digest_size=32).digest()
        return hashlib.blake2b(key.encode(), digest_size=8, key=name, person=b"troupe.hashing").digest()

    return max((str(n) for n in range(count) if str(n) != gone), key=draw)


# Faults under load


async def test_a_replica_that_crashes_under_load_costs_only_what_it_was_handling(autojump_clock: MockClock) -> None:
    journal = Journal()
    outcomes: dict[int, object] = {}
    async with kit.running(replicated(journal, 3, backoff=kit.backoff(0.1, 1.0))) as node:

        async def one(number: int) -> None:
            request = Crash(str(number)) if number % 25 == 7 else Get("n", number, 0.01)
            await trio.sleep(number * 0.002)
            outcomes[number] = await node.ref("/x").outcome(request, timeout=60)

        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(one, number)
        crashes = {number for number in range(200) if number % 25 == 7}
        assert all(isinstance(outcomes[number], Unknown) for number in crashes)
        done = {number for number, outcome in outcomes.items() if isinstance(outcome, kit.runtime.Done)}
        assert done == set(range(200)) - crashes
        # Exactly once: what was answered was handled by one replica, one time.
        handled = [int(line.split()[2]) for line in journal.lines]
        assert sorted(handled) == sorted(done)
        assert node.tree("/x").restarts == 0
        assert sum(child.restarts for child in node.tree("/x").children) == len(crashes)
        assert sum(each[3] for each in figures(node).values()) == len(crashes)


async def test_one_that_always_crashes_takes_the_others_along_only_after_most_of_the_period(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    async with kit.running(kit.actor("w", Idle, journal), replicated(Journal(), 2)) as node:
        node.ref("/w").tell(Put("/x"))
        began = trio.current_time()
        crashes = 0
        while not journal.lines:
            crashes += isinstance(await node.ref("/x/1").outcome(Crash(str(crashes)), timeout=60), Unknown)
            await kit.settle()
            if not journal.lines:
                assert await node.ref("/x/0").ask(Get()) == "0"
        assert trio.current_time() - began > 40
        assert crashes == 11  # a limit of 10
        assert journal.lines == ["/x Shutdown False"]


# Resizing


async def test_growing_starts_more_and_shrinking_stops_the_highest(autojump_clock: MockClock) -> None:
    async with kit.running(replicated(Journal(), 2, most=5)) as node:
        assert (await resize(node, 4)).count == 4
        assert {await node.ref("/x").ask(Get()) for _ in range(8)} == {"0", "1", "2", "3"}
        snapshot = await resize(node, 1)
        assert (snapshot.count, [each.name for each in snapshot.replicas]) == (1, ["0"])
        assert [child.path for child in node.tree("/x").children] == ["/x/0"]
        assert node.tree("/x/3") is None
        assert {await node.ref("/x").ask(Get()) for _ in range(3)} == {"0"}
        for count in (0, -1, 6):
            with pytest.raises(Refused) as refused:
                await resize(node, count)
            assert (refused.value.code, refused.value.field) == ("invalid", "count")
        assert (await resize(node, 1)).count == 1


@pytest.mark.parametrize("routing", ["least_loaded", "sticky"])
async def test_a_replica_that_cannot_start_leaves_the_set_as_it_was(routing: str, autojump_clock: MockClock) -> None:
    async with kit.running(replicated(Journal(), 2, routing, broken="/3")) as node:
        with pytest.raises(Refused) as refused:
            await resize(node, 5)
        assert refused.value.code == "start_failed"
        assert "broken from the start" in str(refused.value)
        assert await kit.children_of(node.ref("/x")) == {"0": "up", "1": "up"}
        assert node.tree("/x").replicas.count == 2


@pytest.mark.parametrize("later", [False, True])
async def test_a_leaving_replica_finishes_what_it_has_and_gets_nothing_new(
    later: bool, autojump_clock: MockClock
) -> None:
    journal = Journal()
    answers: list[str] = []
    async with kit.running(replicated(journal, 2)) as node:

        async def ask() -> None:
            answers.append(await node.ref("/x/1").ask(Get("old", seconds=1, later=later), timeout=60))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
            await kit.settle()
            nursery.start_soon(resize, node, 1)
            await kit.settle()
            assert [await node.ref("/x").ask(Get("new")) for _ in range(4)] == ["0"] * 4
        assert answers == ["1"] * 3
        assert node.tree("/x/1") is None


async def test_what_cannot_be_drained_in_time_is_refused_or_a_dead_letter(autojump_clock: MockClock) -> None:
    dead, outcomes = Journal(), []
    letters = kit.actor("dead", kit.DeadLetters, dead, why=True)
    async with kit.running(letters, replicated(Journal(), 2, stop_s=2.0)) as node:

        async def ask(seconds: float) -> None:
            outcomes.append(await node.ref("/x/1").outcome(Get("old", seconds=seconds), timeout=60))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, 100.0)
            await kit.settle()
            nursery.start_soon(ask, 0.0)
            await kit.settle()
            node.ref("/x/1").tell(Put("old"))
            began = trio.current_time()
            await resize(node, 1)
            assert trio.current_time() - began == pytest.approx(4.0, abs=0.1)  # to drain, then to stop
        assert sorted(type(each).__name__ for each in outcomes) == ["Refused", "Unknown"]
        assert dead.lines == ["dead /x/1 Put stopped"]


async def test_a_leaving_replica_that_crashes_comes_back_to_finish(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(replicated(journal, 2, backoff=kit.backoff(0.5, 1.0))) as node:
        one = node.ref("/x/1")
        for _ in range(2):
            one.tell(Crash("a"))
            one.tell(Put("a", 1))
        one.tell(Put("a", 2))
        await resize(node, 1)
        assert journal.lines == ["1 a 1", "1 a 1", "1 a 2"]


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 2)])
async def test_a_key_that_moves_keeps_its_order_for_tells_sends_and_asks(
    before: int, after: int, autojump_clock: MockClock
) -> None:
    old, new = ("0", "2") if after > before else ("2", "0")
    moved = key_of((old, before), (new, after))
    stays = key_of(("1", before), ("1", after))
    journal = Journal()
    async with kit.running(sticky(journal, before)) as node, trio.open_nursery() as nursery:
        ref = node.ref("/x")
        for number in range(3):
            ref.tell(Put(moved, number, seconds=1))
        await kit.settle()
        nursery.start_soon(resize, node, after)
        await kit.settle()
        assert ref.tell(Put(moved, 3))
        nursery.start_soon(ref.send, Put(moved, 4))
        assert await ref.ask(Get(stays, 9)) == "1"  # keys that stay do not wait
        assert journal.lines == [f"1 {stays} 9"]
        assert await ref.ask(Get(moved, 5), timeout=60) == new
        await journal.until(7)
        assert journal.lines[1:4] == [f"{old} {moved} {number}" for number in range(3)]
        assert journal.lines[4] == f"{new} {moved} 3"
        assert sorted(journal.lines[5:]) == [f"{new} {moved} 4", f"{new} {moved} 5"]


async def test_growing_that_would_break_an_order_is_undone_and_refused(autojump_clock: MockClock) -> None:
    moved = key_of(("0", 2), ("2", 3))
    journal = Journal()
    async with kit.running(sticky(journal, 2, stop_s=2.0)) as node:
        ref = node.ref("/x")
        ref.tell(Put(moved, 1, seconds=10))
        await kit.settle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.until, 3)
            with trio.fail_after(3):
                outcome: object = None

                async def grow() -> None:
                    nonlocal outcome
                    outcome = await ref.outcome(ResizeReplicas(3))

                async with trio.open_nursery() as inner:
                    inner.start_soon(grow)
                    await kit.settle()
                    ref.tell(Put(moved, 2))
            assert isinstance(outcome, Refused)
            assert outcome.code == "busy"
            ref.tell(Put(moved, 3))
        assert journal.lines == [f"0 {moved} {number}" for number in (1, 2, 3)]
        assert [child.name for child in node.tree("/x").children] == ["0", "1"]


async def test_only_so_much_is_held_back_and_what_is_too_much_is_seen(autojump_clock: MockClock) -> None:
    moved = key_of(("0", 2), ("2", 3))
    journal, dead = Journal(), Journal()
    letters = kit.actor("dead", kit.DeadLetters, dead, why=True)
    async with kit.running(letters, sticky(journal, 2, mailbox=Mailbox(3))) as node, trio.open_nursery() as nursery:
        ref = node.ref("/x")
        ref.tell(Put(moved, 0, seconds=1))
        await kit.settle()
        nursery.start_soon(resize, node, 3)
        await kit.settle()
        assert [ref.tell(Put(moved, number)) for number in range(1, 5)] == [True, True, True, False]
        await journal.until(4)
        assert journal.lines == [f"0 {moved} 0", *(f"2 {moved} {number}" for number in range(1, 4))]
        assert dead.lines == ["dead /x Put mailbox_full"]


async def test_a_request_that_is_held_back_expires_as_not_performed(autojump_clock: MockClock) -> None:
    moved = key_of(("0", 2), ("2", 3))
    journal = Journal()
    async with kit.running(sticky(journal, 2)) as node, trio.open_nursery() as nursery:
        node.ref("/x").tell(Put(moved, 0, seconds=2))
        await kit.settle()
        nursery.start_soon(resize, node, 3)
        await kit.settle()
        with pytest.raises(Refused) as refused:
            await node.ref("/x").ask(Get(moved), timeout=1)
        assert refused.value.code == "expired"
        await journal.until(1)
    assert journal.lines == [f"0 {moved} 0"]


async def test_a_replica_that_asks_for_a_key_that_waits_for_itself_is_refused_at_once(
    autojump_clock: MockClock,
) -> None:
    # Replica 0 is handling something, so its keys wait for it; asking for one of them would wait for itself.
    mine, moved = key_of(("0", 2), ("0", 3)), key_of(("0", 2), ("2", 3))
    async with kit.running(sticky(Journal(), 2)) as node, trio.open_nursery() as nursery:
        outcomes: list[object] = []

        async def ask() -> None:
            outcomes.append(await node.ref("/x").outcome(AskSet(mine, moved, 1.0), timeout=60))

        nursery.start_soon(ask)
        await kit.settle()
        assert (await resize(node, 3)).count == 3
        assert isinstance(outcomes[0], Refused)
        assert outcomes[0].code == "cycle"


async def test_a_set_that_stops_while_it_is_resized_settles_everything(autojump_clock: MockClock) -> None:
    moved = key_of(("0", 2), ("2", 3))
    outcomes: list[object] = []
    async with kit.running(sticky(Journal(), 2, stop_s=3.0)) as node, trio.open_nursery() as nursery:

        async def ask(request: Request[Any]) -> None:
            outcomes.append(await node.ref("/x").outcome(request, timeout=60))

        node.ref("/x").tell(Put(moved, 0, seconds=100))
        await kit.settle()
        nursery.start_soon(ask, ResizeReplicas(3))
        await kit.settle()
        nursery.start_soon(ask, Get(moved))
        await kit.settle()
        await node.ref("/").ask(TerminateChild("x"), timeout=60)
        await kit.settle()
        assert {type(each) for each in outcomes} <= {Refused, Unknown}
        assert len(outcomes) == 2


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("resize"), st.integers(1, 6)),
        st.tuples(st.just("work"), st.integers(1, 30)),
        st.tuples(st.just("wait"), st.integers(1, 20)),
        st.tuples(st.just("crash"), st.integers(0, 5)),
    ),
    min_size=2,
    max_size=12,
)


@pytest.mark.parametrize("routing", ["least_loaded", "sticky"])
@given(steps=STEPS)
@settings(max_examples=40, deadline=None)
def test_whatever_is_resized_under_load_nothing_is_lost_or_done_twice_and_keys_keep_their_order(
    routing: str, steps: list[tuple[str, int]]
) -> None:
    journal, dead = Journal(), Journal()
    told: list[tuple[str, int]] = []
    asked: dict[int, object] = {}

    async def run() -> None:
        letters = kit.actor("dead", kit.DeadLetters, dead)
        spec = replicated(journal, 2, routing, stop_s=1000.0, backoff=kit.backoff(0.05, 0.5), restart_count=50)
        async with kit.running(letters, spec, stop_s=2000.0, limit=50_000) as node, trio.open_nursery() as nursery:
            ref = node.ref("/x")
            number = 0

            async def ask(key: str, mine: int) -> None:
                asked[mine] = await ref.outcome(Get(key, mine, 0.02), timeout=2000)

            for step, amount in steps:
                if step == "work":
                    for _ in range(amount):
                        key = f"K{number % 7}"
                        if number % 3:
                            assert ref.tell(Put(key, number, 0.01))
                            told.append((key, number))
                        else:
                            nursery.start_soon(ask, key, number)
                        number += 1
                elif step == "wait":
                    await trio.sleep(amount / 100)
                elif step == "crash":
                    ref.tell(Finish(f"K{amount}"))  # a permanent one that ends by itself is started again
                else:
                    nursery.start_soon(ref.outcome, ResizeReplicas(amount), 2000)
            await journal.until(lambda lines: len(lines) == number, limit=20_000)

    trio.run(run, clock=MockClock(autojump_threshold=0))
    assert [line for line in dead.lines if "Finish" not in line] == []
    handled = [(line.split()[1], int(line.split()[2])) for line in journal.lines]
    assert len(set(handled)) == len(handled)
    assert all(isinstance(outcome, kit.runtime.Done) for outcome in asked.values())
    assert sorted(number for _, number in handled) == sorted([*(number for _, number in told), *asked])
    if routing == "sticky":
        order: dict[str, list[int]] = defaultdict(list)
        for key, number in handled:
            if number % 3:
                order[key].append(number)
        assert all(numbers == sorted(numbers) for numbers in order.values())


# Seen from outside


async def test_a_scrape_shows_the_size_and_what_each_replica_got(autojump_clock: MockClock) -> None:
    async with kit.running(replicated(Journal(), 2)) as node:
        for _ in range(3):
            await node.ref("/x").ask(Get())
        assert isinstance(await node.ref("/x").outcome(Crash()), Unknown)
        text = Metrics(NodeFigures(node)).render().decode()
        for line in (
            'troupe_replicas{path="/x"} 2.0',
            'troupe_replica_messages_total{path="/x",replica="0"} 2.0',
            'troupe_replica_messages_total{path="/x",replica="1"} 2.0',
            'troupe_replica_outcomes_total{outcome="failed",path="/x",replica="1"} 1.0',
            'troupe_replica_outcomes_total{outcome="done",path="/x",replica="0"} 2.0',
        ):
            assert line in text


async def test_an_unaccepted_tell_is_counted_as_refused(autojump_clock: MockClock) -> None:
    async with kit.running(replicated(Journal(), 1, mailbox=Mailbox(1))) as node:
        node.ref("/x").tell(Put("a", seconds=1))
        await kit.settle()
        assert [node.ref("/x").tell(Put("a", number)) for number in range(2)] == [True, False]
        assert figures(node) == {"0": (3, 0, 1, 0)}
        with pytest.raises(Refused):
            await node.ref("/x").ask(Get())
        assert figures(node) == {"0": (4, 0, 2, 0)}
