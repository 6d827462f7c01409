"""Asks: every way to Done, Refused and Unknown; nested deadlines; cycles."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock

from runtime import TerminateChild, WhichChildren
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
    Unknown,
    receive,
    supervisor,
)


class Echo(Request[str], frozen=True, gc=False, tag="ask_echo"):
    text: str


class Work(Request[str], frozen=True, gc=False, tag="ask_work"):
    """Takes some seconds; `end` says how it ends."""

    text: str
    seconds: float = 10.0
    end: str = "answer"


class Via(Request[str], frozen=True, gc=False, tag="ask_via"):
    """Asked on along the paths."""

    paths: tuple[str, ...]
    timeout: float = 60.0
    seconds: float = 10.0


class ViaTask(Request[None], frozen=True, gc=False, tag="ask_via_task"):
    path: str
    back: str


class Gather(Request[str], frozen=True, gc=False, tag="ask_gather"):
    """Asked on of all the paths at once."""

    paths: tuple[tuple[str, ...], ...]
    timeout: float = 60.0
    seconds: float = 10.0


class SendOn(Request[str], frozen=True, gc=False, tag="ask_send_on"):
    path: str
    timeout: float = 60.0


class WhoAsks(Request[str], frozen=True, gc=False, tag="ask_who_asks"):
    pass


class Poke(Message, frozen=True, gc=False, tag="ask_poke"):
    path: str


class Server(Noting):
    @receive
    def echo(self, request: Echo) -> str:
        self.note(f"echo {request.text}")
        return request.text

    @receive
    async def work(self, request: Work) -> str:
        self.note(f"begin {request.text}")
        await trio.sleep(request.seconds)
        if request.end == "crash":
            raise ValueError(request.text)
        if request.end == "refuse":
            raise Refused("late", request.text)
        self.note(f"end {request.text}")
        return request.text

    @receive
    async def via(self, request: Via) -> str:
        if not request.paths:
            await trio.sleep(request.seconds)
            return self.path
        first, *rest = request.paths
        try:
            return await self.lookup(first).ask(
                Via(tuple(rest), request.timeout, request.seconds), timeout=request.timeout
            )
        except (Refused, Unknown) as error:
            code = error.code if isinstance(error, Refused) else "-"
            self.note(f"{self.path} {type(error).__name__} {code}")
            raise Refused("below", str(error)) from None

    @receive
    async def gather(self, request: Gather) -> str:
        codes: list[str] = []

        async def one(first: str, *rest: str) -> None:
            try:
                await self.lookup(first).ask(Via(rest, request.timeout, request.seconds), timeout=request.timeout)
                codes.append("done")
            except (Refused, Unknown) as error:
                codes.append(error.code if isinstance(error, Refused) else "unknown")

        async with trio.open_nursery() as nursery:
            for paths in request.paths:
                nursery.start_soon(one, *paths)
        self.note(f"gathered {sorted(codes)}")
        return " ".join(sorted(codes))

    @receive
    async def send_on(self, request: SendOn) -> str:
        try:
            await self.lookup(request.path).send(Echo("sent"), timeout=request.timeout)
        except Refused as refused:
            self.note(f"send {refused.code}")
            return refused.code
        return "sent"

    @receive
    def via_task(self, request: ViaTask) -> None:
        async def ask() -> None:
            self.note(f"task {await self.lookup(request.path).ask(Via((request.back,), seconds=0))}")

        self.spawn(ask)

    @receive
    def who(self, request: WhoAsks) -> str:
        return "nobody" if self.sender is None else f"{self.sender.path} {self.sender.incarnation.count}"

    @receive
    async def poke(self, message: Poke) -> None:
        self.note(await self.lookup(message.path).ask(WhoAsks()))


class Single(Server):
    mailbox = Mailbox(capacity=1, overflow=Overflow.REJECT)


class Forgetful(Server):
    on_crash = kit.CLEAR


def servers(journal: Journal, names: str = "a") -> list[kit.ChildSpec]:
    return [kit.actor(name, Server, journal) for name in names]


async def ending(ref: kit.ActorRef, request: Request[str], timeout: float, journal: Journal) -> None:
    """Ask, and note how it ended."""
    try:
        journal.note(f"Done {await ref.ask(request, timeout=timeout)}")
    except Refused as refused:
        journal.note(f"Refused {refused.code}")
    except Unknown:
        journal.note("Unknown")


# Done.


async def test_an_ask_is_done_with_the_answer(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal)) as node:
        assert await node.ref("/a").ask(Echo("x")) == "x"


async def test_many_asks_at_once_get_their_own_answers(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()
    async with kit.running(*servers(journal)) as node, trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(ending, node.ref("/a"), Echo(str(number)), 5.0, outcomes)
        await outcomes.until(100)
    assert sorted(outcomes.lines) == sorted(f"Done {number}" for number in range(100))


async def test_an_outcome_is_a_value_to_match_on(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal)) as node:
        done = await node.ref("/a").outcome(Echo("x"), timeout=5)
        assert done.value == "x"
        assert isinstance(await node.ref("/nobody").outcome(Echo("x"), timeout=5), Refused)
        assert isinstance(await node.ref("/a").outcome(Work("w"), timeout=1), Unknown)


async def test_the_asker_is_known_to_the_handler(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal, "ab")) as node:
        assert await node.ref("/a").ask(WhoAsks()) == "nobody"
        node.ref("/a").tell(Poke("/b"))
        await journal.until("/a 1")
        await kit.kill(node, "/a")
        await kit.settle()
        node.ref("/a").tell(Poke("/b"))
        await journal.until("/a 2")


# Refused: certainly not performed.


async def test_nobody_there_is_refused(autojump_clock: MockClock) -> None:
    async with kit.running() as node:
        with pytest.raises(Refused) as refusal:
            await node.ref("/nobody").ask(Echo("x"))
        assert refusal.value.code == "not_found"
        with pytest.raises(Refused):
            await node.ref("/nobody").send(Echo("x"))
        assert node.ref("/nobody").tell(Echo("x")) is False


async def test_a_deadline_that_passes_in_the_queue_is_refused_and_never_handled(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    async with kit.running(*servers(journal)) as node:
        node.ref("/a").tell(Work("long", 100))
        began = trio.current_time()
        with pytest.raises(Refused) as refusal:
            await node.ref("/a").ask(Echo("x"), timeout=2)
        assert refusal.value.code == "expired"
        assert trio.current_time() - began == pytest.approx(2, abs=0.1)
        await journal.until("end long")
        await kit.settle()
        assert "echo x" not in journal.lines


async def test_an_ask_with_no_time_left_is_refused_and_never_handled(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal)) as node:
        for number in range(20):
            with pytest.raises(Refused) as refusal:
                await node.ref("/a").ask(Echo(f"{number}"), timeout=-1)
            assert refusal.value.code == "expired"
        await kit.settle()
    assert journal.lines == []


async def test_a_mailbox_without_room_is_refused_at_once(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Single, journal)) as node:
        node.ref("/a").tell(Work("long"))
        await journal.until("begin long")
        assert node.ref("/a").tell(Echo("waits"))
        began = trio.current_time()
        with pytest.raises(Refused) as refusal:
            await node.ref("/a").ask(Echo("x"))
        assert refusal.value.code == "mailbox_full"
        assert trio.current_time() == began


async def test_an_actor_that_stops_refuses_what_is_queued(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()
    async with kit.running(supervisor("s", *servers(journal))) as node, trio.open_nursery() as nursery:
        node.ref("/s/a").tell(Work("w", 2))
        await journal.until("begin w")
        nursery.start_soon(ending, node.ref("/s/a"), Echo("x"), 100.0, outcomes)
        await kit.settle()
        await node.ref("/s").ask(TerminateChild("a"))
        await outcomes.until(1)
        assert outcomes.lines == ["Refused stopped"]
        with pytest.raises(Refused) as refusal:
            await node.ref("/s/a").ask(Echo("x"))
        assert refusal.value.code == "stopped"
    assert journal.lines == ["begin w", "end w"]


async def test_a_crash_that_clears_the_mailbox_refuses_what_is_queued(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()
    async with kit.running(kit.actor("a", Forgetful, journal)) as node, trio.open_nursery() as nursery:
        node.ref("/a").tell(Work("w", 2, "crash"))
        await kit.settle()
        nursery.start_soon(ending, node.ref("/a"), Echo("x"), 100.0, outcomes)
        await outcomes.until(1)
    assert outcomes.lines[0].startswith("Refused")
    assert "echo x" not in journal.lines


async def test_a_refusal_from_below_that_escapes_is_the_answer(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal, "ab")) as node:
        with pytest.raises(Refused) as refusal:
            await node.ref("/a").ask(Work("w", 1, "refuse"))
        assert refusal.value.code == "late"
        assert await node.ref("/a").ask(Echo("still there")) == "still there"


async def test_an_asker_that_gives_up_in_the_queue_is_not_served(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal)) as node:
        node.ref("/a").tell(Work("long"))
        with trio.move_on_after(1):
            await node.ref("/a").ask(Echo("x"), timeout=100)
        await journal.until("end long")
        await kit.settle()
        assert "echo x" not in journal.lines


# Unknown: begun.


async def test_a_deadline_that_passes_while_handled_is_unknown_and_the_handler_goes_on(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    async with kit.running(*servers(journal)) as node:
        began = trio.current_time()
        with pytest.raises(Unknown):
            await node.ref("/a").ask(Work("w", 10), timeout=3)
        assert trio.current_time() - began == pytest.approx(3, abs=0.1)
        await journal.until("end w")
        assert await node.ref("/a").ask(Echo("x")) == "x"


async def test_a_crash_while_handling_is_unknown(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal)) as node:
        with pytest.raises(Unknown):
            await node.ref("/a").ask(Work("w", 1, "crash"), timeout=100)
        assert await node.ref("/a").ask(Echo("x")) == "x"


async def test_a_kill_while_handling_is_unknown(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()
    async with kit.running(*servers(journal)) as node, trio.open_nursery() as nursery:
        nursery.start_soon(ending, node.ref("/a"), Work("w", 50), 100.0, outcomes)
        await journal.until("begin w")
        await kit.kill(node, "/a")
        await outcomes.until(1)
    assert outcomes.lines == ["Unknown"]


async def test_a_stop_that_runs_out_of_time_while_handling_is_unknown(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()
    tree = supervisor("s", kit.actor("a", Server, journal, stop_s=1))
    async with kit.running(tree) as node, trio.open_nursery() as nursery:
        nursery.start_soon(ending, node.ref("/s/a"), Work("w", 50), 100.0, outcomes)
        await journal.until("begin w")
        await node.ref("/s").ask(TerminateChild("a"))
        await outcomes.until(1)
    assert outcomes.lines == ["Unknown"]


async def test_a_stop_lets_the_request_at_hand_be_answered(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()
    async with kit.running(supervisor("s", *servers(journal))) as node, trio.open_nursery() as nursery:
        nursery.start_soon(ending, node.ref("/s/a"), Work("w", 2), 100.0, outcomes)
        await journal.until("begin w")
        await node.ref("/s").ask(TerminateChild("a"))
        await outcomes.until(1)
    assert outcomes.lines == ["Done w"]


# Across a crash.


async def test_a_queued_ask_survives_a_crash_and_is_answered_by_the_next_incarnation(
    autojump_clock: MockClock,
) -> None:
    journal, outcomes = Journal(), Journal()
    async with kit.running(*servers(journal)) as node, trio.open_nursery() as nursery:
        node.ref("/a").tell(Work("w", 2, "crash"))
        await journal.until("begin w")
        nursery.start_soon(ending, node.ref("/a"), Echo("x"), 100.0, outcomes)
        await outcomes.until(1)
    assert outcomes.lines == ["Done x"]
    assert journal.lines == ["begin w", "echo x"]


# Nested deadlines.


async def test_a_nested_ask_has_no_more_time_than_its_caller(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal, "abc")) as node:
        began = trio.current_time()
        with pytest.raises((Refused, Unknown)):
            await node.ref("/a").ask(Via(("/b", "/c"), timeout=60, seconds=1000), timeout=3)
        await journal.until(2)
        assert trio.current_time() - began == pytest.approx(3, abs=0.2)
        assert "/b Unknown -" in journal.lines
        # Within the same instant the one in the middle may be seen refusing before its own deadline is noticed.
        assert {line.split()[0] for line in journal.lines} == {"/a", "/b"}


async def test_a_nested_ask_may_have_less_time_than_its_caller(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal, "ab")) as node:
        began = trio.current_time()
        with pytest.raises(Refused) as refusal:
            await node.ref("/a").ask(Via(("/b",), timeout=2, seconds=1000), timeout=50)
        assert refusal.value.code == "below"
        assert trio.current_time() - began == pytest.approx(2, abs=0.1)


async def test_the_deadline_of_one_request_does_not_bound_the_next(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()
    async with kit.running(*servers(journal, "ab")) as node:
        with pytest.raises((Refused, Unknown)):
            await node.ref("/a").ask(Via(("/b",), timeout=60, seconds=20), timeout=1)
        await trio.sleep(100)
        await ending(node.ref("/a"), Via(("/b",), timeout=60, seconds=20), 60, outcomes)
    assert outcomes.lines == ["Done /b"]


async def test_a_nested_send_has_no_more_time_than_its_caller(autojump_clock: MockClock) -> None:
    journal = Journal()
    full = kit.actor("full", Server, journal, mailbox=Mailbox(capacity=1, overflow=Overflow.BLOCK))
    async with kit.running(*servers(journal), full) as node:
        await kit.pause(node, "/full")
        node.ref("/full").tell(Echo("x"))
        began = trio.current_time()
        await node.ref("/a").outcome(SendOn("/full", 60), timeout=3)  # both deadlines pass in one instant
        await journal.until("send mailbox_full")
        assert trio.current_time() - began == pytest.approx(3, abs=0.2)


async def test_asks_gathered_in_a_nursery_of_the_handler_have_no_more_time_than_its_caller(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    async with kit.running(*servers(journal, "abc")) as node:
        began = trio.current_time()
        with pytest.raises(Unknown):
            await node.ref("/a").ask(Gather((("/b",), ("/c",)), timeout=60, seconds=1000), timeout=3)
        await journal.until("gathered ['unknown', 'unknown']")
        assert trio.current_time() - began == pytest.approx(3, abs=0.2)


async def test_asks_gathered_in_a_nursery_of_the_handler_are_answered(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal, "abc")) as node:
        began = trio.current_time()
        assert await node.ref("/a").ask(Gather((("/b",), ("/c",)), seconds=5), timeout=60) == "done done"
        assert trio.current_time() - began == pytest.approx(5, abs=0.1), "side by side"


# Cycles.


@pytest.mark.parametrize(
    "paths", [(("/a",),), (("/b", "/a"),), (("/b", "/a"), ("/c",))], ids=["itself", "back", "one_of_two"]
)
async def test_a_cycle_through_a_nursery_of_the_handler_is_refused_at_once(
    paths: tuple[tuple[str, ...], ...], autojump_clock: MockClock
) -> None:
    journal = Journal()
    async with kit.running(*servers(journal, "abc")) as node:
        began = trio.current_time()
        answer = await node.ref("/a").ask(Gather(paths, timeout=60, seconds=0), timeout=60)
        assert trio.current_time() == began
        assert answer == {(("/a",),): "cycle", (("/b", "/a"),): "below"}.get(paths, "below done")


async def test_who_has_been_answered_waits_no_longer(autojump_clock: MockClock) -> None:
    """b answers a and at once, in the same turn, asks a (or sends to it): a is free, so this is no cycle."""
    journal, outcomes = Journal(), Journal()
    async with kit.running(*servers(journal, "ab")) as node, trio.open_nursery() as nursery:
        await kit.pause(node, "/b")
        nursery.start_soon(ending, node.ref("/a"), Via(("/b",), seconds=0), 60.0, outcomes)
        await kit.settle()
        nursery.start_soon(ending, node.ref("/b"), Via(("/a",), seconds=0), 60.0, outcomes)
        await kit.settle()
        await kit.resume(node, "/b")
        await outcomes.until(2)
    assert sorted(outcomes.lines) == ["Done /a", "Done /b"]


class LateBack(Request[str], frozen=True, gc=False, tag="ask_late_back"):
    """Wait, then ask back."""

    seconds: float
    path: str


class GivesUp(Server):
    """Asks for a second at most, by the ask's own deadline or by a scope around it, or from a nursery."""

    @receive
    async def via(self, request: Via) -> str:
        if not request.paths:
            return self.path
        how, target = request.paths
        if how == "deadline":
            with suppress(Unknown):
                await self.lookup(target).ask(LateBack(5, self.path), timeout=1)
        elif how == "scope":
            with trio.move_on_after(1):
                await self.lookup(target).ask(LateBack(5, self.path), timeout=60)
        else:
            with trio.move_on_after(1):
                async with trio.open_nursery() as nursery:
                    for _ in range(2):
                        nursery.start_soon(self.lookup(target).ask, LateBack(5, self.path), 60.0)
        return "gave up"


class LateServer(Server):
    @receive
    async def late(self, request: LateBack) -> str:
        await trio.sleep(request.seconds)
        try:
            self.note(await self.lookup(request.path).ask(Via(()), timeout=60))
        except Refused as refused:
            self.note(refused.code)
        return "late"


@pytest.mark.parametrize(
    ("how", "line"),
    [("scope", "/a"), ("nursery", "/a"), ("deadline", "expired")],  # the last one's handler has no time left to ask
)
async def test_who_has_given_up_an_ask_waits_no_longer(how: str, line: str, autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", GivesUp, journal), kit.actor("b", LateServer, journal)) as node:
        assert await node.ref("/a").ask(Via((how, "/b")), timeout=30) == "gave up"
        assert await journal.until(1) == [line]


async def test_a_crashed_asker_waits_no_longer(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal, "a"), kit.actor("b", LateServer, journal)) as node:
        node.ref("/b").tell(LateBack(5, "/a"))
        await kit.settle()
        node.ref("/a").tell(Via(("/b",), timeout=60))
        await kit.settle()
        await kit.kill(node, "/a")
        await journal.until("/a")


class AsksThenSends(Server):
    """Is asked by /a and then sends to it, while its mailbox is full."""

    @receive
    async def via(self, request: Via) -> str:
        return await self.send_on(SendOn("/a"))


async def test_a_send_to_who_waits_for_the_sender_is_a_cycle(autojump_clock: MockClock) -> None:
    journal, outcomes = Journal(), Journal()
    a = kit.actor("a", Server, journal, mailbox=Mailbox(capacity=1, overflow=Overflow.BLOCK))
    b = kit.actor("b", AsksThenSends, journal)
    async with kit.running(a, b) as node, trio.open_nursery() as nursery:
        await kit.pause(node, "/b")
        nursery.start_soon(ending, node.ref("/a"), Via(("/b",)), 60.0, outcomes)
        await kit.settle()
        assert node.ref("/a").tell(Echo("fills it"))
        began = trio.current_time()
        await kit.resume(node, "/b")
        await outcomes.until(1)
        assert trio.current_time() == began
    assert outcomes.lines == ["Done cycle"]


async def test_a_cycle_through_a_supervisor_that_waits_for_a_child_is_refused(autojump_clock: MockClock) -> None:
    """The supervisor stops a; a waits for b; b asks the supervisor."""
    journal = Journal()
    tree = supervisor("s", kit.actor("b", AsksUp, journal), kit.actor("a", Server, journal, stop_s=60))
    async with kit.running(tree) as node, trio.open_nursery() as nursery:
        node.ref("/s/b").tell(Work("first", 1))
        await journal.until("begin first")
        nursery.start_soon(node.ref("/s/a").outcome, Via(("/s/b",), timeout=50), 50.0)
        await kit.settle()
        began = trio.current_time()
        await node.ref("/s").ask(TerminateChild("a"), timeout=100)
        assert trio.current_time() - began <= 1.1
    assert "up cycle" in journal.lines


class AsksUp(Server):
    @receive
    async def via(self, request: Via) -> str:
        try:
            await self.lookup("/s").ask(WhichChildren(), timeout=40)
            self.note("up answered")
        except Refused as refused:
            self.note(f"up {refused.code}")
        return "asked"


@pytest.mark.parametrize(
    "paths",
    [("/a",), ("/b", "/a"), ("/b", "/c", "/a"), ("/b", "/c", "/b"), ("/b", "/b")],
    ids=lambda paths: "-".join(paths).replace("/", ""),
)
async def test_a_cycle_of_asks_is_refused_at_once_and_names_its_paths(
    paths: tuple[str, ...], autojump_clock: MockClock
) -> None:
    journal = Journal()
    async with kit.running(*servers(journal, "abc")) as node:
        began = trio.current_time()
        with pytest.raises(Refused) as refusal:
            await node.ref("/a").ask(Via(paths, timeout=60), timeout=60)
        assert trio.current_time() == began
        *_, asker = ("/a", *paths[:-1])
        assert journal.lines[0] == f"{asker} Refused cycle"
        around = ("/a", *paths)
        members = around[around.index(paths[-1]) : -1]
        for path in members:
            assert path in str(refusal.value)
        for name in "abc":
            assert await node.ref(f"/{name}").ask(Echo(name)) == name


async def test_asks_that_only_look_like_a_cycle_are_answered(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal, "abc")) as node, trio.open_nursery() as nursery:
        outcomes = Journal()
        nursery.start_soon(ending, node.ref("/a"), Via(("/c",), seconds=1), 60.0, outcomes)
        nursery.start_soon(ending, node.ref("/b"), Via(("/c",), seconds=1), 60.0, outcomes)
        nursery.start_soon(ending, node.ref("/c"), Echo("x"), 60.0, outcomes)
        await outcomes.until(3)
        assert await node.ref("/b").ask(Via(("/a",), seconds=0)) == "/a"
        assert await node.ref("/a").ask(Via(("/b",), seconds=0)) == "/b"
    assert sorted(outcomes.lines) == ["Done /c", "Done /c", "Done x"]


async def test_an_owned_task_may_ask_somebody_who_asks_its_actor(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(*servers(journal, "ab")) as node:
        await node.ref("/a").ask(ViaTask("/b", "/a"))
        await journal.until("task /a")


class AsksItsSupervisor(Noting):
    def __init__(self, journal: int, when: str) -> None:
        super().__init__(journal)
        self.when = when

    async def ask_up(self) -> None:
        parent = self.path.rpartition("/")[0]
        try:
            await self.lookup(parent).ask(WhichChildren())
            self.note("answered")
        except Refused as refusal:
            self.note(f"{refusal.code} {parent in str(refusal)} {self.path in str(refusal)}")

    async def on_start(self) -> None:
        if self.when == "start":
            await self.ask_up()

    async def on_stop(self, reason: object) -> None:
        if self.when == "stop":
            await self.ask_up()

    @receive
    async def now(self, message: Poke) -> None:
        await self.ask_up()


@pytest.mark.parametrize("when", ["start", "stop"])
async def test_a_child_that_asks_its_waiting_supervisor_is_refused(when: str, autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(supervisor("s", kit.actor("a", AsksItsSupervisor, journal, when=when))):
        began = trio.current_time()
    assert journal.lines == ["cycle True True"]
    assert trio.current_time() == began


async def test_a_grandchild_that_asks_its_waiting_grand_supervisor_is_refused(
    autojump_clock: MockClock,
) -> None:
    class_journal = Journal()
    tree = supervisor("s", supervisor("t", kit.actor("a", AsksGrand, class_journal)))
    async with kit.running(tree):
        pass
    assert class_journal.lines == ["cycle"]


class AsksGrand(Noting):
    async def on_start(self) -> None:
        try:
            await self.lookup("/s").ask(WhichChildren())
            self.note("answered")
        except Refused as refusal:
            self.note(refusal.code)


async def test_a_running_child_may_ask_its_supervisor(autojump_clock: MockClock) -> None:
    journal = Journal()
    tree = supervisor("s", kit.actor("a", AsksItsSupervisor, journal, when="never"))
    async with kit.running(tree) as node:
        node.ref("/s/a").tell(Poke(""))
        await journal.until("answered")


class StopsItself(Noting):
    @receive
    async def stop_me(self, message: Poke) -> None:
        parent, _, name = self.path.rpartition("/")
        try:
            await self.lookup(parent).ask(TerminateChild(name), timeout=50)
        except (Refused, Unknown) as error:
            self.note(type(error).__name__)
            raise


async def test_a_child_that_asks_to_be_stopped_and_waits_for_it_does_not_hang(
    autojump_clock: MockClock,
) -> None:
    """The supervisor waits for the child and the child for the supervisor: the stop's own time resolves it."""
    journal = Journal()
    tree = supervisor("s", kit.actor("a", StopsItself, journal, stop_s=2), limit=RestartLimit(count=3, seconds=5))
    async with kit.running(tree, limit=40) as node:
        node.ref("/s/a").tell(Poke(""))
        await trio.sleep(10)
        assert (await kit.children_of(node.ref("/s"))) == {"a": "down"}
