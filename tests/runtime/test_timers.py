"""Timers: once and periodic, merged when late, dead with their actor."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from runtime import ChildSpec, PauseChild, ResumeChild, open_node
from tests.runtime import kit
from tests.runtime.kit import Actor, Journal, Message, Noting, Request, receive


class Beat(Message, frozen=True, gc=False, tag="timers_beat"):
    name: str


class After(Request[None], frozen=True, gc=False, tag="timers_after"):
    seconds: float
    name: str


class Every(Request[None], frozen=True, gc=False, tag="timers_every"):
    seconds: float
    name: str


class Cancel(Request[None], frozen=True, gc=False, tag="timers_cancel"):
    name: str


class Hold(Message, frozen=True, gc=False, tag="timers_hold"):
    seconds: float
    cancel: str = ""


class Crash(Message, frozen=True, gc=False, tag="timers_crash"):
    pass


class Timed(Noting):
    def __init__(self, journal: int) -> None:
        super().__init__(journal)
        self.timers: dict[str, kit.Any] = {}

    @receive
    def start_after(self, request: After) -> None:
        self.timers[request.name] = self.after(request.seconds, Beat(request.name))

    @receive
    def start_every(self, request: Every) -> None:
        self.timers[request.name] = self.every(request.seconds, Beat(request.name))

    @receive
    def cancel(self, request: Cancel) -> None:
        self.timers[request.name].cancel()

    @receive
    def beat(self, message: Beat) -> None:
        self.note(message.name)

    @receive
    async def hold(self, message: Hold) -> None:
        self.note("hold")
        await trio.sleep(message.seconds)
        if message.cancel:
            self.timers[message.cancel].cancel()

    @receive
    def crash(self, message: Crash) -> None:
        raise ValueError("crash")


def offsets(journal: Journal, began: float) -> list[float]:
    return [round(time - began, 6) for time in journal.times]


async def test_after_comes_once_and_in_time(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Timed, journal)) as node:
        began = trio.current_time()
        await node.ref("/a").ask(After(3, "x"))
        await trio.sleep(100)
        assert journal.lines == ["x"]
        assert offsets(journal, began) == [3]


async def test_timers_come_in_the_order_of_their_times(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Timed, journal)) as node:
        for seconds in (5, 1, 3, 2, 4):
            await node.ref("/a").ask(After(seconds, f"{seconds}"))
        await journal.until(5)
    assert journal.lines == ["1", "2", "3", "4", "5"]


async def test_every_comes_again_and_again_without_drift(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Timed, journal)) as node:
        began = trio.current_time()
        await node.ref("/a").ask(Every(0.5, "x"))
        await journal.until(1000)
        assert offsets(journal, began) == pytest.approx([0.5 * (n + 1) for n in range(1000)], abs=1e-6)


async def test_beats_that_find_the_last_one_unhandled_merge(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Timed, journal)) as node:
        await node.ref("/a").ask(Every(1, "x"))
        node.ref("/a").tell(Hold(10.5))
        await trio.sleep(10.75)
        assert journal.lines == ["hold", "x"]
        await trio.sleep(3)
        assert journal.lines == ["hold", "x", "x", "x", "x"]


async def test_different_timers_do_not_merge(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Timed, journal)) as node:
        for _ in range(2):
            await node.ref("/a").ask(After(1, "x"))
        await node.ref("/a").ask(Every(1, "y"))
        node.ref("/a").tell(Hold(1.5))
        await journal.until(4)
    assert sorted(journal.lines) == ["hold", "x", "x", "y"]


async def test_a_cancelled_timer_is_silent(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Timed, journal)) as node:
        await node.ref("/a").ask(After(2, "once"))
        await node.ref("/a").ask(Every(2, "again"))
        await trio.sleep(1)
        await node.ref("/a").ask(Cancel("once"))
        await trio.sleep(2)
        await node.ref("/a").ask(Cancel("again"))
        await node.ref("/a").ask(Cancel("again"))
        await trio.sleep(100)
        assert journal.lines == ["again"]


async def test_a_timer_cancelled_after_it_fired_and_before_it_is_handled_is_silent(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Timed, journal)) as node:
        await node.ref("/a").ask(After(1, "x"))
        node.ref("/a").tell(Hold(5, cancel="x"))
        await trio.sleep(100)
        assert journal.lines == ["hold"]


async def test_timers_die_with_their_incarnation(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Timed, journal)) as node:
        await node.ref("/a").ask(After(5, "once"))
        await node.ref("/a").ask(Every(5, "again"))
        node.ref("/a").tell(Crash())
        await trio.sleep(100)
        assert kit.look(node, "/a").count == 2
        assert journal.lines == []


async def test_a_timer_that_fired_before_the_crash_does_not_reach_the_next_life(
    autojump_clock: MockClock,
) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", CrashesLate, journal)) as node:
        node.ref("/a").tell(Crash())
        await trio.sleep(100)
        assert kit.look(node, "/a").count == 2
    assert journal.lines == ["crash"]


class CrashesLate(Noting):
    @receive
    async def crash(self, message: Crash) -> None:
        self.after(1, Beat("x"))
        await trio.sleep(2)
        self.note("crash")
        raise ValueError("crash")

    @receive
    def beat(self, message: Beat) -> None:
        self.note(message.name)


async def test_timers_reach_an_actor_whose_mailbox_is_full(autojump_clock: MockClock) -> None:
    journal = Journal()
    mailbox = kit.Mailbox(capacity=1, overflow=kit.Overflow.REJECT)
    async with kit.running(kit.actor("a", Timed, journal, mailbox=mailbox)) as node:
        await node.ref("/a").ask(After(1, "timer"))
        node.ref("/a").tell(Hold(2))
        await journal.until("hold")
        assert node.ref("/a").tell(Beat("told"))
        assert not node.ref("/a").tell(Beat("too many"))
        await journal.until(3)
    assert journal.lines == ["hold", "timer", "told"]


async def test_a_timer_set_in_on_start_runs(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Early, journal)):
        await journal.until(2)
    assert journal.lines == ["now", "later"]


class Early(Noting):
    def on_start(self) -> None:
        self.after(2, Beat("later"))
        self.after(0, Beat("now"))

    @receive
    def beat(self, message: Beat) -> None:
        self.note(message.name)


async def test_a_period_of_nothing_is_an_error(autojump_clock: MockClock) -> None:
    journal = Journal()
    async with kit.running(kit.actor("a", Wrong, journal)):
        pass
    assert journal.lines == ["0 ValueError", "-1 ValueError"]


class Wrong(Noting):
    def on_start(self) -> None:
        for seconds in (0, -1):
            try:
                self.every(seconds, Beat("x"))
            except ValueError as error:
                self.note(f"{seconds} {type(error).__name__}")


async def test_many_timers_of_many_actors_all_come(autojump_clock: MockClock) -> None:
    journal = Journal()
    names = [f"a{number}" for number in range(50)]
    async with kit.running(*(kit.actor(name, Timed, journal) for name in names)) as node:
        for index, name in enumerate(names):
            for seconds in range(1, 11):
                await node.ref(f"/{name}").ask(After(seconds + index / 100, f"{name}.{seconds}"))
        await journal.until(500)
        assert journal.times == sorted(journal.times)
    assert sorted(journal.lines) == sorted(f"{name}.{seconds}" for name in names for seconds in range(1, 11))


def test_an_actor_has_no_timers_before_it_lives() -> None:
    with pytest.raises(AttributeError):
        Actor().after(1, Beat("x"))


async def test_a_paused_actor_gets_its_ticks_when_it_goes_on_merged_and_in_their_place(
    autojump_clock: MockClock,
) -> None:
    class Tick(Message, frozen=True, gc=False, tag="tick_while_paused"):
        pass

    class Data(Message, frozen=True, gc=False, tag="data_while_paused"):
        pass

    seen: list[str] = []

    class Paused(Actor):
        def on_start(self) -> None:
            self.every(1.0, Tick())

        @receive
        def tick(self, message: Tick) -> None:
            seen.append("tick")

        @receive
        def take(self, message: Data) -> None:
            seen.append("data")

    async with open_node(children=(ChildSpec("a", Paused),)) as node:
        await trio.sleep(1.5)
        assert seen == ["tick"]
        await node.ref("/").ask(PauseChild("a"))
        await trio.sleep(3)
        node.ref("/a").tell(Data())
        await trio.sleep(3)
        assert seen == ["tick"]
        await node.ref("/").ask(ResumeChild("a"))
        await trio.sleep(0.2)
        assert seen == ["tick", "tick", "data"]
        await trio.sleep(1)
        assert seen == ["tick", "tick", "data", "tick"]
