"""Watching: every end of every incarnation, with its reason and whether it was the last."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from runtime import RestartChild, TerminateChild
from tests.runtime import kit
from tests.runtime.kit import (
    Crashed,
    Journal,
    Message,
    Noting,
    Request,
    Restart,
    RestartLimit,
    Shutdown,
    Strategy,
    Terminated,
    receive,
    supervisor,
)


class End(Message, frozen=True, gc=False, tag="watch_end"):
    how: str
    number: int = 0


class Unwatch(Request[None], frozen=True, gc=False, tag="watch_unwatch"):
    path: str


class Watch(Request[None], frozen=True, gc=False, tag="watch_watch"):
    path: str


class Watcher(Noting):
    def __init__(self, journal: int, paths: tuple[str, ...] = ()) -> None:
        super().__init__(journal)
        self.paths = paths

    def on_start(self) -> None:
        for path in self.paths:
            self.watch(self.lookup(path))

    @receive
    def add(self, request: Watch) -> None:
        self.watch(self.lookup(request.path))

    @receive
    def remove(self, request: Unwatch) -> None:
        self.unwatch(self.lookup(request.path))

    @receive
    def end(self, message: End) -> None:
        raise ValueError(f"{message.number}")

    @receive
    def ended(self, message: Terminated) -> None:
        final = " final" if message.final else ""
        self.note(f"{message.path} {message.incarnation.count} {type(message.reason).__name__}{final}")
        SEEN.append(message)


SEEN: list[Terminated] = []


class Mortal(Noting):
    """Starts as often as `starts` says, then fails to, or declines."""

    def __init__(self, journal: int, starts: int = 1000, declines: bool = False) -> None:
        super().__init__(journal)
        self.starts = starts
        self.declines = declines

    def on_start(self) -> None:
        self.note("start")
        if self.journal.lines.count("start") > self.starts:
            raise kit.Declined("no more") if self.declines else LookupError("no more")

    @receive
    async def end(self, message: End) -> None:
        match message.how:
            case "finish":
                kit.finish(self)
            case "leave":
                kit.leave(self, "done")
            case "crash":
                raise ValueError(f"number {message.number}")


class Careless(Noting):
    """Watches and does not handle the end."""

    def on_start(self) -> None:
        self.note("start")
        if self.incarnation.count == 1:
            self.watch(self.lookup("/s/a"))


def mortal(name: str = "a", **options: object) -> kit.ChildSpec:
    return kit.actor(name, Mortal, Journal(), **options)


def stage(*children: kit.ChildSpec, count: int = 10, **options: object) -> kit.ChildSpec:
    return supervisor("s", *children, limit=RestartLimit(count=count, seconds=1000), **options)


@pytest.mark.parametrize(
    ("how", "reason"), [("finish", "Normal"), ("leave", "Shutdown"), ("crash", "Crashed"), ("kill", "Killed")]
)
@pytest.mark.parametrize("restart", list(Restart), ids=lambda restart: restart.name)
async def test_a_watcher_learns_the_reason_and_whether_it_was_the_last_life(
    how: str, reason: str, restart: Restart, autojump_clock: MockClock
) -> None:
    ends = Journal()
    watcher = kit.actor("w", Watcher, ends, paths=("/s/a",))
    again = restart is Restart.PERMANENT or (restart is Restart.TRANSIENT and reason in ("Crashed", "Killed"))
    async with kit.running(stage(mortal(restart=restart)), watcher) as node:
        await kit.settle()
        if how == "kill":
            await kit.kill(node, "/s/a")
        else:
            node.ref("/s/a").tell(End(how))
        await ends.until(1)
        await kit.settle()
        assert ends.lines == [f"/s/a 1 {reason}" + ("" if again else " final")]


async def test_every_incarnation_ends_once_and_they_are_numbered(autojump_clock: MockClock) -> None:
    ends = Journal()
    async with kit.running(stage(mortal()), kit.actor("w", Watcher, ends, paths=("/s/a",))) as node:
        await kit.settle()
        for number in range(3):
            node.ref("/s/a").tell(End("crash", number))
            await ends.until(number + 1)
            await trio.sleep(5)
        await node.ref("/s").ask(TerminateChild("a"))
        await kit.settle()
        assert ends.lines == ["/s/a 1 Crashed", "/s/a 2 Crashed", "/s/a 3 Crashed", "/s/a 4 Shutdown final"]


async def test_a_crash_is_told_as_data(autojump_clock: MockClock) -> None:
    SEEN.clear()
    ends = Journal()
    async with kit.running(stage(mortal()), kit.actor("w", Watcher, ends, paths=("/s/a",))) as node:
        await kit.settle()
        node.ref("/s/a").tell(End("crash", 7))
        await ends.until(1)
    reason = SEEN[0].reason
    assert isinstance(reason, Crashed)
    assert (reason.error, reason.text) == ("ValueError", "number 7")
    assert "raise ValueError" in reason.traceback
    assert SEEN[0].incarnation.epoch >= 1


async def test_a_shutdown_says_why(autojump_clock: MockClock) -> None:
    SEEN.clear()
    ends = Journal()
    async with kit.running(stage(mortal()), kit.actor("w", Watcher, ends, paths=("/s/a",))) as node:
        await kit.settle()
        node.ref("/s/a").tell(End("leave"))
        await ends.until(1)
    assert SEEN[0].reason == Shutdown("done")


async def test_siblings_taken_down_by_a_group_are_told_too(autojump_clock: MockClock) -> None:
    ends = Journal()
    watcher = kit.actor("w", Watcher, ends, paths=("/s/a", "/s/b", "/s/c"))
    tree = stage(mortal("a"), mortal("b"), mortal("c", restart=Restart.TEMPORARY), strategy=Strategy.ONE_FOR_ALL)
    async with kit.running(tree, watcher) as node:
        await kit.settle()
        node.ref("/s/b").tell(End("crash"))
        await ends.until(3)
        await kit.settle()
        assert sorted(ends.lines) == ["/s/a 1 Shutdown", "/s/b 1 Crashed", "/s/c 1 Shutdown final"]


async def test_who_gives_up_tells_each_end_once_and_as_final(autojump_clock: MockClock) -> None:
    ends = Journal()
    watcher = kit.actor("w", Watcher, ends, paths=("/s/a", "/s/b", "/s"))
    tree = stage(mortal("a"), mortal("b"), count=0, restart=Restart.TEMPORARY)
    async with kit.running(tree, watcher) as node:
        await kit.settle()
        node.ref("/s/a").tell(End("crash"))
        await ends.until(3)
        await kit.settle()
        assert ends.lines == ["/s/a 1 Crashed final", "/s/b 1 Shutdown final", "/s 1 Shutdown final"]


async def test_an_end_that_came_by_failed_restarts_is_told_as_final(autojump_clock: MockClock) -> None:
    ends = Journal()
    tree = stage(mortal("a", starts=1), count=2, restart=Restart.TEMPORARY)
    async with kit.running(tree, kit.actor("w", Watcher, ends, paths=("/s/a",))) as node:
        await kit.settle()
        node.ref("/s/a").tell(End("crash"))
        await ends.until(lambda lines: any(line.endswith("final") for line in lines))
        await trio.sleep(100)
        assert ends.lines[0] == "/s/a 1 Crashed"
        assert [line.endswith("final") for line in ends.lines].count(True) == 1


async def test_a_stop_during_a_backoff_is_told_as_final(autojump_clock: MockClock) -> None:
    ends = Journal()
    tree = stage(mortal("a", backoff=kit.backoff(50, 50)))
    async with kit.running(tree, kit.actor("w", Watcher, ends, paths=("/s/a",))) as node:
        await kit.settle()
        for number in range(2):
            node.ref("/s/a").tell(End("crash", number))
            await kit.settle()
        assert ends.lines == ["/s/a 1 Crashed", "/s/a 2 Crashed"]
        await node.ref("/s").ask(TerminateChild("a"))
        await kit.settle()
        assert len(ends.lines) == 3
        assert ends.lines[2].endswith("final")


async def test_a_watched_end_cannot_be_overlooked(autojump_clock: MockClock) -> None:
    starts = Journal()
    async with kit.running(stage(mortal()), kit.actor("w", Careless, starts)) as node:
        await kit.settle()
        await node.ref("/s").ask(TerminateChild("a"))
        await starts.until(2)


async def test_watching_twice_tells_once_and_unwatching_tells_nothing(autojump_clock: MockClock) -> None:
    twice, none = Journal(), Journal()
    watchers = (
        kit.actor("twice", Watcher, twice, paths=("/s/a", "/s/a")),
        kit.actor("none", Watcher, none, paths=("/s/a",)),
    )
    async with kit.running(stage(mortal()), *watchers) as node:
        await node.ref("/none").ask(Unwatch("/s/a"))
        node.ref("/s/a").tell(End("crash"))
        await twice.until(1)
        await kit.settle()
    assert twice.lines[0] == "/s/a 1 Crashed"
    assert none.lines == []


async def test_a_watch_dies_with_the_watcher(autojump_clock: MockClock) -> None:
    ends = Journal()
    async with kit.running(kit.actor("w", Watcher, ends), stage(mortal())) as node:
        await node.ref("/w").ask(Watch("/s/a"))
        node.ref("/w").tell(End("crash"))
        await trio.sleep(1)
        await node.ref("/s").ask(TerminateChild("a"))
        await kit.settle()
    assert ends.lines == []


async def test_watching_what_has_ended_is_told_at_once(autojump_clock: MockClock) -> None:
    ends = Journal()
    async with kit.running(kit.actor("w", Watcher, ends), stage(mortal())) as node:
        await node.ref("/s").ask(TerminateChild("a"))
        await node.ref("/w").ask(Watch("/s/a"))
        await kit.settle()
        assert ends.lines == ["/s/a 1 Shutdown final"]


async def test_a_path_that_lives_again_after_a_final_end_can_be_watched_again(autojump_clock: MockClock) -> None:
    ends = Journal()
    async with kit.running(stage(mortal()), kit.actor("w", Watcher, ends, paths=("/s/a",))) as node:
        await kit.settle()
        await node.ref("/s").ask(TerminateChild("a"))
        await node.ref("/s").ask(RestartChild("a"))
        await node.ref("/w").ask(Watch("/s/a"))
        await node.ref("/s").ask(TerminateChild("a"))
        await kit.settle()
        assert ends.lines == ["/s/a 1 Shutdown final", "/s/a 2 Shutdown final"]


async def test_incarnations_go_on_counting_when_a_forgotten_name_is_used_again(autojump_clock: MockClock) -> None:
    ends = Journal()
    watcher = kit.actor("w", Watcher, ends, paths=("/s/a",))
    spec = mortal("a", restart=Restart.TEMPORARY)
    async with kit.running(stage(spec), watcher) as node:
        await kit.settle()
        await node.ref("/s").ask(TerminateChild("a"))
        await node.ref("/s").ask(kit.StartChild(spec))
        await node.ref("/w").ask(Watch("/s/a"))
        await node.ref("/s").ask(TerminateChild("a"))
        await kit.settle()
        assert ends.lines == ["/s/a 1 Shutdown final", "/s/a 2 Shutdown final"]


async def test_an_end_told_as_final_is_not_told_again_when_its_group_gives_up(autojump_clock: MockClock) -> None:
    ends = Journal()
    tree = stage(
        mortal("a"),
        mortal("b", starts=1),
        mortal("c", restart=Restart.TRANSIENT),
        count=1,
        strategy=Strategy.ONE_FOR_ALL,
        restart=Restart.TEMPORARY,
    )
    async with kit.running(tree, kit.actor("w", Watcher, ends, paths=("/s/c", "/s"))) as node:
        await kit.settle()
        node.ref("/s/c").tell(End("finish"))
        await kit.settle()
        node.ref("/s/a").tell(End("crash"))
        await ends.until("/s 1 Shutdown final")
        await kit.settle()
        assert ends.lines == ["/s/c 1 Normal final", "/s 1 Shutdown final"]


async def test_an_end_whose_restart_is_declined_is_told_as_final(autojump_clock: MockClock) -> None:
    ends = Journal()
    tree = stage(mortal("a", starts=1, declines=True))
    async with kit.running(tree, kit.actor("w", Watcher, ends, paths=("/s/a",))) as node:
        await kit.settle()
        node.ref("/s/a").tell(End("crash"))
        await trio.sleep(100)
        assert ends.lines[0] == "/s/a 1 Crashed"
        assert [line.endswith("final") for line in ends.lines] == [False, True]
        assert await kit.children_of(node.ref("/s")) == {"a": "down"}
