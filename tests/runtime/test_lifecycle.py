"""One life of an actor: construction, start, recovery gate, owned tasks, offloaded work, stop; and the next one."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import pytest
import trio
from trio.testing import MockClock

from runtime import RestartChild, TerminateChild
from tests.runtime import kit
from tests.runtime.kit import (
    Journal,
    Message,
    Noting,
    Refused,
    Request,
    Restart,
    RestartLimit,
    Terminated,
    Unknown,
    receive,
    supervisor,
)


class Item(Message, frozen=True, gc=False, tag="lifecycle_item"):
    value: int


class Do(Request[Any], frozen=True, gc=False, tag="lifecycle_do"):
    what: str
    number: int = 0


class Fenced(Message, frozen=True, gc=False, tag="lifecycle_fenced"):
    value: int


class SendFenced(Request[None], frozen=True, gc=False, tag="lifecycle_send_fenced"):
    value: int


class Living(Noting):
    """Notes every step of its life; `do` misbehaves on request."""

    def __init__(self, journal: int, stop: str = "ok") -> None:
        super().__init__(journal)
        self.manner = stop
        self.early: list[str] = []
        for name in ("path", "ref", "incarnation", "node", "clock"):
            try:
                getattr(self, name)
            except AttributeError:
                self.early.append(name)
        self.note("init")

    async def on_start(self) -> None:
        self.note(f"start {self.incarnation.count}")

    async def on_stop(self, reason: Any) -> None:
        self.note(f"stop {type(reason).__name__}")
        match self.manner:
            case "slow":
                await trio.sleep(3)
                self.note("cleaned up")
            case "hang":
                await trio.sleep_forever()

    @receive
    def item(self, message: Item) -> None:
        self.note(f"item {message.value}")

    @receive
    async def do(self, request: Do) -> Any:
        match request.what:
            case "early":
                return tuple(self.early)
            case "crash":
                raise ValueError(f"crash {request.number}")
            case "finish":
                kit.finish(self)
            case "hang":
                await trio.sleep_forever()
            case "crash after clean-up":
                try:
                    await trio.sleep_forever()
                finally:
                    with trio.CancelScope(shield=True):
                        await trio.sleep(2)
                    self.note("handler cleaned up")
        return None


def stage(*children: kit.ChildSpec, count: int = 10, **options: Any) -> kit.ChildSpec:
    return supervisor("s", *children, limit=RestartLimit(count=count, seconds=1000), **options)


# Construction, start, stop.


async def test_nothing_of_the_runtime_is_there_in_the_constructor(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Living, journal)) as node:
        assert await node.ref("/a").ask(Do("early")) == ("path", "ref", "incarnation", "node", "clock")


async def test_a_life_is_construction_start_messages_stop(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Living, journal)) as node:
        node.ref("/a").tell(Item(1))
        await journal.until("item 1")
    assert journal.lines == ["init", "start 1", "item 1", "stop Shutdown"]


async def test_an_actor_that_ends_by_itself_is_asked_to_clean_up(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Living, journal, restart=Restart.TRANSIENT)) as node:
        await node.ref("/a").ask(Do("finish"))
        await journal.until("stop Normal")
    assert journal.lines == ["init", "start 1", "stop Normal"]


async def test_what_waits_behind_an_own_end_is_not_handled(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Living, journal, restart=Restart.TEMPORARY)) as node:
        node.ref("/a").tell(Do("finish"))
        node.ref("/a").tell(Item(1))
        await journal.until("stop Normal")
        await kit.settle()
    assert "item 1" not in journal.lines


@pytest.mark.parametrize("end", ["crash", "kill"])
async def test_a_crash_or_a_kill_is_not_asked_to_clean_up(end: str, autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(stage(kit.actor("a", Living, journal, restart=Restart.TEMPORARY))) as node:
        if end == "crash":
            with pytest.raises(Unknown):
                await node.ref("/s/a").ask(Do("crash"))
        else:
            await kit.kill(node, "/s/a")
        await trio.sleep(10)
    assert journal.lines == ["init", "start 1"]


async def test_the_clean_up_of_a_stop_has_its_own_time(autojump_clock: MockClock) -> None:
    slow, hanging = Journal(), Journal()
    tree = stage(
        kit.actor("slow", Living, slow, stop="slow", stop_s=5),
        kit.actor("hanging", Living, hanging, stop="hang", stop_s=2),
    )
    async with kit.running(tree) as node:
        began = trio.current_time()
        for name in ("slow", "hanging"):
            await node.ref("/s").ask(TerminateChild(name))
        assert trio.current_time() - began == pytest.approx(5, abs=0.1)
    assert slow.lines[-1] == "cleaned up"


async def test_the_clean_up_of_a_killed_handler_ends_before_the_next_life_begins(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    async with kit.running(stage(kit.actor("a", Living, journal))) as node:
        node.ref("/s/a").tell(Do("crash after clean-up"))
        await kit.settle()
        await kit.kill(node, "/s/a")
        await journal.until("start 2")
    assert journal.lines[:5] == ["init", "start 1", "handler cleaned up", "init", "start 2"]


async def test_a_message_that_comes_during_the_start_waits_for_it(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(stage()) as node, trio.open_nursery() as nursery:
        spec = kit.actor("a", SlowStart, journal)
        nursery.start_soon(node.ref("/s").ask, kit.StartChild(spec), 60.0)
        await journal.until("starting")
        assert node.ref("/s/a").tell(Item(1))
        await journal.until(3)
    assert journal.lines == ["starting", "started", "item 1"]


class SlowStart(Noting):
    async def on_start(self) -> None:
        self.note("starting")
        await trio.sleep(3)
        self.note("started")

    @receive
    def item(self, message: Item) -> None:
        self.note(f"item {message.value}")


class BadInit(Noting):
    def __init__(self, journal: int) -> None:
        super().__init__(journal)
        self.note("init")
        raise LookupError("no constructor")


class BadStart(Noting):
    def on_start(self) -> None:
        raise LookupError("no start")


class CrashingTask(Noting):
    async def on_start(self) -> None:
        self.spawn(self.fail)
        await trio.sleep(5)

    async def fail(self) -> None:
        raise ValueError("task")


@pytest.mark.parametrize("kind", [BadInit, BadStart, CrashingTask], ids=lambda kind: kind.__name__)
async def test_a_start_fails_by_constructor_on_start_and_owned_task(
    kind: type[Noting], autojump_clock: MockClock
) -> None:
    async with kit.running(stage()) as node:
        with pytest.raises(Refused) as refusal:
            await node.ref("/s").ask(kit.StartChild(kit.actor("a", kind, Journal())), timeout=60)
        assert refusal.value.code == "start_failed"
        assert await kit.children_of(node.ref("/s")) == {}


@pytest.mark.parametrize("kind", [BadInit, BadStart], ids=lambda kind: kind.__name__)
async def test_a_node_whose_first_start_fails_does_not_open(kind: type[Noting], autojump_clock: MockClock) -> None:
    journal = Journal()
    opened = False
    with pytest.raises(kit.runtime.NodeFailed, match="LookupError"):
        async with kit.running(kit.actor("a", Living, journal), kit.actor("b", kind, Journal())):
            opened = True
    assert not opened
    assert journal.lines == ["init", "start 1", "stop Shutdown"]


async def test_a_node_whose_root_gives_up_says_so(autojump_clock: MockClock) -> None:
    async def main() -> None:
        async with kit.running(kit.actor("a", Living, Journal()), restart_count=1) as node:
            for number in range(2):
                node.ref("/a").tell(Do("crash", number))
                await trio.sleep(1)
            await trio.sleep_forever()

    with pytest.raises(kit.runtime.NodeFailed):
        await main()


class Refusing(Noting):
    """Raises Refused where nobody asks."""

    def __init__(self, journal: int, where: str) -> None:
        super().__init__(journal)
        self.where = where

    async def on_start(self) -> None:
        self.note("start")
        if self.where == "on_start":
            raise Refused("closed")
        if self.where == "timer":
            self.after(1, Item(1))
        if self.where == "task" and self.incarnation.count == 1:
            self.spawn(self.refuse)

    async def on_continue(self) -> None:
        if self.where == "on_continue" and self.incarnation.count == 1:
            raise Refused("closed")

    async def refuse(self) -> None:
        raise Refused("closed")

    @receive
    def item(self, message: Item) -> None:
        self.note("item")
        raise Refused("closed")


async def test_a_refusal_is_an_answer_only_in_a_handler(autojump_clock: MockClock) -> None:
    journals = {where: Journal() for where in ("timer", "task", "on_continue")}
    tree = stage(*(kit.actor(where, Refusing, journal, where=where) for where, journal in journals.items()))
    async with kit.running(tree) as node:
        with pytest.raises(Refused) as refusal:
            await node.ref("/s").ask(kit.StartChild(kit.actor("a", Refusing, Journal(), where="on_start")))
        assert refusal.value.code == "start_failed"
        await trio.sleep(10)
        counts = {where: kit.look(node, f"/s/{where}").count for where in journals}
    assert counts == {"timer": 1, "task": 2, "on_continue": 2}
    assert journals["timer"].lines == ["start", "item"]


class Quitter(Noting):
    def on_start(self) -> None:
        self.note("start")
        kit.finish(self)

    def on_stop(self, reason: Any) -> None:
        self.note(f"stop {type(reason).__name__}")


async def test_an_actor_may_end_in_its_start(autojump_clock: MockClock) -> None:
    journal = Journal()
    spec = kit.actor("a", Quitter, journal, restart=Restart.TRANSIENT)
    async with kit.running(stage()) as node:
        await node.ref("/s").ask(kit.StartChild(spec))
        await trio.sleep(10)
        assert await kit.children_of(node.ref("/s")) == {"a": "down"}
    assert journal.lines == ["start", "stop Normal"]


class BadEnd(Noting):
    def on_start(self) -> None:
        self.note("start")

    @receive
    def item(self, message: Item) -> None:
        kit.finish(self)

    def on_stop(self, reason: Any) -> None:
        raise LookupError("in clean-up")


async def test_an_own_end_whose_clean_up_crashes_is_a_crash(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(stage(kit.actor("a", BadEnd, journal, restart=Restart.TRANSIENT))) as node:
        node.ref("/s/a").tell(Item(1))
        await journal.until(2)
        assert kit.look(node, "/s/a").restarts == 1


class SpawnsAtOnce(Noting):
    def on_start(self) -> None:
        self.note("start")
        if self.incarnation.count == 1:
            self.spawn(self.fail)

    async def fail(self) -> None:
        raise LookupError("at once")


async def test_an_owned_task_that_crashes_at_once_is_a_crash_of_a_started_actor(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    async with kit.running(stage()) as node:
        ref = await node.ref("/s").ask(kit.StartChild(kit.actor("a", SpawnsAtOnce, journal)))
        await trio.sleep(10)
        assert ref.path == "/s/a"
        assert kit.look(node, "/s/a").count == 2
    assert journal.lines == ["start", "start"]


async def test_an_outer_cancellation_reaches_a_node_that_is_still_starting(autojump_clock: MockClock) -> None:
    journal = Journal()
    hanging = kit.actor("b", Hanging, Journal(), start_s=10_000)
    with trio.move_on_after(5) as scope:
        async with kit.open_node(kit.settings(), children=(kit.actor("a", Living, journal), hanging)):
            raise AssertionError("it cannot have started")
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(5, abs=0.2)
    assert journal.lines == ["init", "start 1", "stop Shutdown"]


class Hanging(Noting):
    async def on_start(self) -> None:
        await trio.sleep_forever()


# Refs.


async def test_a_ref_may_be_made_before_anybody_lives_there_and_survives_being_forgotten(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    async with kit.running(stage()) as node:
        ref = node.ref("/s/a")
        assert not ref.tell(Item(0))
        spec = kit.actor("a", Living, journal, restart=Restart.TEMPORARY)
        for value in (1, 2):
            await node.ref("/s").ask(kit.StartChild(spec))
            assert ref.tell(Item(value))
            await ref.ask(Do("nothing"))
            await ref.stop(timeout=5)
            assert not ref.tell(Item(99))
            with pytest.raises(Refused) as refusal:
                await ref.ask(Do("nothing"))
            assert refusal.value.code in ("not_found", "stopped")
        assert ref == node.ref("/s/a")
    assert [line for line in journal.lines if line.startswith("item")] == ["item 1", "item 2"]


async def test_stopping_by_the_ref_is_for_good_and_keeps_the_spec(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(stage(kit.actor("a", Living, journal))) as node:
        await node.ref("/s/a").stop(timeout=5)
        await trio.sleep(100)
        assert await kit.children_of(node.ref("/s")) == {"a": "down"}
        await node.ref("/s").ask(RestartChild("a"))
        assert await node.ref("/s/a").ask(Do("nothing")) is None


# Incarnations and fences.


async def test_incarnations_count_the_starts_of_a_path(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(stage(kit.actor("a", Living, journal))) as node:
        for number in range(3):
            with pytest.raises(Unknown):
                await node.ref("/s/a").ask(Do("crash", number))
        await journal.until("start 4")
        await node.ref("/s").ask(TerminateChild("a"))
        await node.ref("/s").ask(RestartChild("a"))
        assert kit.look(node, "/s/a").count == 5


class Gateway(Noting):
    """Refuses what an older life of its sender says."""

    fences = True

    def __init__(self, journal: int) -> None:
        super().__init__(journal)
        self.newest = 0

    @receive
    def fenced(self, message: Fenced) -> None:
        if self.sender is None:
            self.note(f"{message.value} from nobody")
            return
        count = self.sender.incarnation.count
        if count < self.newest:
            self.note(f"{message.value} from the past")
        else:
            self.newest = count
            self.note(f"{message.value} from {self.sender.path} {count}")


class Trader(Noting):
    @receive
    def send_it(self, request: SendFenced) -> None:
        self.lookup("/gateway").tell(Fenced(request.value))

    @receive
    async def do(self, request: Do) -> None:
        match request.what:
            case "send":
                await self.lookup("/gateway").send(Fenced(request.number))
            case "task":
                self.spawn(self.task, request.number)
            case "crash":
                raise ValueError("crash")

    async def task(self, number: int) -> None:
        self.lookup("/gateway").tell(Fenced(number))


async def test_a_fencing_actor_knows_which_life_of_its_sender_speaks(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("gateway", Gateway, journal), kit.actor("trader", Trader, Journal())) as node:
        node.ref("/gateway").tell(Fenced(0))
        await node.ref("/trader").ask(SendFenced(1))
        await node.ref("/trader").ask(Do("send", 2))
        await node.ref("/trader").ask(Do("task", 3))
        await kit.settle()
        node.ref("/trader").tell(Do("crash"))
        await kit.settle()
        await node.ref("/trader").ask(SendFenced(4))
        await kit.settle()
    assert journal.lines == [
        "0 from nobody",
        "1 from /trader 1",
        "2 from /trader 1",
        "3 from /trader 1",
        "4 from /trader 2",
    ]


async def test_what_an_older_life_said_is_recognised_when_it_arrives_late(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("gateway", Gateway, journal), kit.actor("trader", Trader, Journal())) as node:
        await kit.pause(node, "/gateway")
        await node.ref("/trader").ask(SendFenced(1))
        node.ref("/trader").tell(Do("crash"))
        await kit.settle()
        await node.ref("/trader").ask(SendFenced(2))
        await kit.resume(node, "/gateway")
        await kit.settle()
    assert journal.lines == ["1 from /trader 1", "2 from /trader 2"]


# The recovery gate.


class Recovering(Noting):
    """`gate` is how long recovery takes; negative: it raises after as long."""

    def __init__(self, journal: int, gate: float, then: str = "") -> None:
        super().__init__(journal)
        self.seconds = gate
        self.then = then

    async def on_start(self) -> None:
        self.note("start")

    async def on_continue(self) -> None:
        self.note("recovering")
        await trio.sleep(self.seconds)
        if self.then == "crash" and self.incarnation.count == 1:
            raise LookupError("no state")
        if self.then == "ask":
            self.note(str(await self.lookup("/other").ask(Do("early"))))
        self.note("recovered")

    async def on_stop(self, reason: Any) -> None:
        self.note("stop")

    @receive
    def item(self, message: Item) -> None:
        self.note(f"item {message.value}")


async def test_the_gate_holds_messages_until_recovery_is_done(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Recovering, journal, gate=10.0)) as node:
        await journal.until("recovering")
        for value in (1, 2):
            assert node.ref("/a").tell(Item(value))
        await trio.sleep(5)
        assert kit.look(node, "/a").state == "recovering"
        assert journal.lines == ["start", "recovering"]
        await journal.until("item 2")
        assert kit.look(node, "/a").state == "up"
    assert journal.lines == ["start", "recovering", "recovered", "item 1", "item 2", "stop"]


async def test_recovery_does_not_hold_up_the_start_of_siblings(autojump_clock: MockClock) -> None:
    journal, sibling = Journal(), Journal()
    tree = stage(kit.actor("a", Recovering, journal, gate=100.0), kit.actor("b", Living, sibling))
    async with kit.running(tree):
        assert sibling.lines == ["init", "start 1"]
        assert "recovered" not in journal.lines


async def test_recovery_may_take_longer_than_a_start(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Recovering, journal, gate=100.0, start_s=1)):
        await journal.until("recovered")
    assert journal.lines[:3] == ["start", "recovering", "recovered"]


async def test_a_crash_in_recovery_is_a_crash_and_messages_wait_on(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(stage(kit.actor("a", Recovering, journal, gate=2.0, then="crash"))) as node:
        await journal.until("recovering")
        node.ref("/s/a").tell(Item(1))
        await journal.until("item 1")
        assert kit.look(node, "/s/a").restarts == 1
    assert journal.lines[:6] == ["start", "recovering", "start", "recovering", "recovered", "item 1"]


async def test_a_stop_ends_a_recovery(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(stage(kit.actor("a", Recovering, journal, gate=10_000.0))) as node:
        await journal.until("recovering")
        began = trio.current_time()
        await node.ref("/s").ask(TerminateChild("a"))
        assert trio.current_time() == began
    assert "recovered" not in journal.lines


async def test_recovery_may_ask_others(autojump_clock: MockClock) -> None:
    journal = Journal()
    other = kit.actor("other", Living, Journal())
    async with kit.running(other, kit.actor("a", Recovering, journal, gate=0.0, then="ask")):
        await journal.until("recovered")


async def test_an_ask_that_expires_at_the_gate_was_certainly_not_performed(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Recovering, journal, gate=10.0)) as node:
        with pytest.raises(Refused) as refusal:
            await node.ref("/a").ask(Do("early"), timeout=2)
        assert refusal.value.code == "expired"


# Owned tasks.


class Owner(Noting):
    KEPT: ClassVar[list[trio.Event]] = []

    @receive
    def do(self, request: Do) -> None:
        match request.what:
            case "spawn":
                self.spawn(self.linger, request.number)
            case "fail":
                self.spawn(self.fail)
            case "quick":
                self.spawn(self.quick, name="quickly")
            case "tell":
                self.spawn(self.tell)
            case "crash":
                raise ValueError("crash")
            case "finish":
                kit.finish(self)
            case "exit":
                self.spawn(self.exit)

    @receive
    def item(self, message: Item) -> None:
        self.note(f"item {message.value}")

    async def linger(self, number: int) -> None:
        self.note(f"task {number}")
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
            self.note(f"task {number} ended")

    async def fail(self) -> None:
        await trio.sleep(1)
        raise LookupError("in the task")

    async def exit(self) -> None:
        raise SystemExit(1)

    async def quick(self) -> None:
        self.note("quick")

    async def tell(self) -> None:
        for value in range(3):
            self.ref.tell(Item(value))
            await trio.sleep(1)

    def on_start(self) -> None:
        self.note(f"start {self.incarnation.count}")

    def on_stop(self, reason: Any) -> None:
        self.note("stop")


class Watcher(Noting):
    def on_start(self) -> None:
        self.watch(self.lookup("/s/a"))

    @receive
    def ended(self, message: Terminated) -> None:
        self.note(f"{type(message.reason).__name__} {getattr(message.reason, 'error', '')}".strip())


async def test_an_owned_task_runs_beside_the_handlers(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(stage(kit.actor("a", Owner, journal))) as node:
        await node.ref("/s/a").ask(Do("quick"))
        await node.ref("/s/a").ask(Do("tell"))
        await journal.until("item 2")
        assert kit.look(node, "/s/a").count == 1, "a task that returns is no end of its actor"
    assert sorted(journal.lines[1:5]) == ["item 0", "item 1", "item 2", "quick"]


@pytest.mark.parametrize(("what", "error"), [("fail", "LookupError"), ("exit", "SystemExit")])
async def test_the_crash_of_an_owned_task_is_the_actors_crash(what: str, error: str, autojump_clock: MockClock) -> None:
    journal, ends = Journal(), Journal()
    tree = stage(kit.actor("a", Owner, journal))
    async with kit.running(tree, kit.actor("w", Watcher, ends)) as node:
        await node.ref("/s/a").ask(Do(what))
        await ends.until(1)
        await journal.until("start 2")
    assert ends.lines[0] == f"Crashed {error}"
    assert "stop" not in journal.lines[: journal.lines.index("start 2")]


@pytest.mark.parametrize("end", ["crash", "finish", "kill", "fail"])
async def test_owned_tasks_end_with_their_actor_and_before_its_next_life(end: str, autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(stage(kit.actor("a", Owner, journal))) as node:
        for number in (1, 2):
            await node.ref("/s/a").ask(Do("spawn", number))
        await journal.until("task 2")
        if end == "kill":
            await kit.kill(node, "/s/a")
        else:
            node.ref("/s/a").tell(Do(end))
        await journal.until("start 2")
    before = journal.lines[: journal.lines.index("start 2")]
    assert {"task 1 ended", "task 2 ended"} <= set(before)


async def test_a_stop_ends_owned_tasks_after_on_stop(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(stage(kit.actor("a", Owner, journal))) as node:
        await node.ref("/s/a").ask(Do("spawn", 1))
        await journal.until("task 1")
        await node.ref("/s").ask(TerminateChild("a"))
        assert journal.lines == ["start 1", "task 1", "stop", "task 1 ended"]


# Offloaded work.


class Worker(Noting):
    RELEASE = threading.Event()

    @receive
    async def do(self, request: Do) -> Any:
        match request.what:
            case "work":
                return await self.offload(lambda number: number * 2, request.number, timeout=30)
            case "error":
                return await self.offload(int, "no number", timeout=30)
            case "thread":
                return await self.offload(threading.get_ident, timeout=30) != threading.get_ident()
            case "block":
                try:
                    await self.offload(self.RELEASE.wait, 60, timeout=1)
                except trio.TooSlowError:
                    return "too slow"
        return None


async def test_offloaded_work_runs_on_a_thread_and_returns_its_value() -> None:
    async with kit.open_node(kit.settings(), children=(kit.actor("a", Worker, Journal()),)) as node:
        assert await node.ref("/a").ask(Do("work", 21), timeout=60) == 42
        assert await node.ref("/a").ask(Do("thread"), timeout=60) is True


async def test_an_error_of_offloaded_work_is_the_handlers() -> None:
    async with kit.open_node(kit.settings(), children=(kit.actor("a", Worker, Journal()),)) as node:
        with pytest.raises(Unknown):
            await node.ref("/a").ask(Do("error"), timeout=60)
        assert await node.ref("/a").ask(Do("work", 1), timeout=60) == 2


async def test_offloaded_work_has_a_deadline(autojump_clock: MockClock) -> None:
    """The autojump clock fires deadlines while a thread works: here that is what is wanted."""
    Worker.RELEASE.clear()
    try:
        async with kit.running(kit.actor("a", Worker, Journal())) as node:
            assert await node.ref("/a").ask(Do("block"), timeout=60) == "too slow"
    finally:
        Worker.RELEASE.set()


# The stop of a node.


def chain(journals: dict[str, Journal], **options: dict[str, Any]) -> tuple[kit.ChildSpec, ...]:
    return tuple(kit.actor(name, Living, journal, **options.get(name, {})) for name, journal in journals.items())


async def test_an_outer_cancellation_stops_a_node_in_order_and_with_clean_up(autojump_clock: MockClock) -> None:
    together = Journal()
    with trio.move_on_after(5):
        async with kit.open_node(
            kit.settings(),
            children=(
                kit.actor("a", Living, together),
                kit.actor("b", Living, together, stop="slow"),
                kit.actor("c", Living, together),
            ),
        ):
            await trio.sleep_forever()
    assert together.lines[6:] == ["stop Shutdown", "stop Shutdown", "cleaned up", "stop Shutdown"]


async def test_an_error_in_the_block_stops_the_node_and_comes_out(autojump_clock: MockClock) -> None:
    journal = Journal()
    with pytest.RaisesGroup(ZeroDivisionError, allow_unwrapped=True, flatten_subgroups=True):
        async with kit.open_node(kit.settings(), children=(kit.actor("a", Living, journal),)):
            raise ZeroDivisionError
    assert journal.lines[-1] == "stop Shutdown"


async def test_the_stop_of_a_node_has_one_budget(autojump_clock: MockClock) -> None:
    journals = {name: Journal() for name in "abcd"}
    hang = {"stop": "hang", "stop_s": 60}
    began = 0.0
    async with kit.running(*chain(journals, b=hang, c=hang), stop_s=4.0):
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(4, abs=0.1)
    assert journals["d"].lines[-1] == "stop Shutdown"
    assert journals["c"].lines[-1] == "stop Shutdown"


async def test_a_node_stop_gives_each_child_its_own_time_if_the_budget_allows(autojump_clock: MockClock) -> None:
    journals = {name: Journal() for name in "abc"}
    began = 0.0
    async with kit.running(*chain(journals, b={"stop": "hang", "stop_s": 1}, a={"stop": "slow"}), stop_s=8.0):
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(4, abs=0.1)
    assert journals["a"].lines[-1] == "cleaned up"


async def test_the_budget_holds_for_whole_branches(autojump_clock: MockClock) -> None:
    journals = {name: Journal() for name in "wxyz"}
    hang = {"stop": "hang", "stop_s": 60}
    began = 0.0
    inner = supervisor("inner", *chain(journals, w=hang, x=hang, y=hang, z=hang))
    async with kit.running(supervisor("outer", inner), stop_s=3.0):
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(3, abs=0.1)


async def test_a_cancelled_node_keeps_its_clock_while_it_stops(autojump_clock: MockClock) -> None:
    journals = {name: Journal() for name in "abc"}
    hang = {"stop": "hang", "stop_s": 60}
    with trio.move_on_after(5):
        async with kit.open_node(kit.settings(stop_s=4.0), children=chain(journals, b=hang)):
            await trio.sleep_forever()
    assert trio.current_time() == pytest.approx(9, abs=0.1)
    assert [journals[name].lines[2:] for name in "cba"] == [["stop Shutdown"], ["stop Shutdown"], []]


async def test_a_node_can_be_opened_again_in_the_same_loop(autojump_clock: MockClock) -> None:
    journal = Journal()
    for _ in range(2):
        async with kit.running(kit.actor("a", Living, journal)):
            pass
    assert journal.lines == ["init", "start 1", "stop Shutdown"] * 2


async def test_no_task_is_left_behind(autojump_clock: MockClock) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with kit.running(stage(kit.actor("a", Owner, Journal())), kit.actor("b", Living, Journal())) as node:
        await node.ref("/s/a").ask(Do("spawn", 1))
    assert trio.lowlevel.current_statistics().tasks_living == before
