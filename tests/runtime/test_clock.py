from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from runtime.clock import Clock, SystemClock, VirtualClock

S = 1_000_000_000


class Machine:
    """The machine's two clocks, set by hand."""

    def __init__(self) -> None:
        self.wall = 1_000 * S
        self.uptime = 5 * S

    def clock(self) -> SystemClock:
        return SystemClock(wall=lambda: self.wall, monotonic=lambda: self.uptime)

    def pass_time(self, nanoseconds: int) -> None:
        self.wall += nanoseconds
        self.uptime += nanoseconds


def test_wall_time_goes_on_with_monotonic_time() -> None:
    machine = Machine()
    clock = machine.clock()
    assert (clock.now(), clock.monotonic()) == (1_000 * S, 5 * S)
    machine.pass_time(7)
    assert (clock.now(), clock.monotonic()) == (1_000 * S + 7, 5 * S + 7)


def test_a_wall_clock_that_is_set_back_does_not_take_us_back() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall -= 3_600 * S
    assert clock.now() == 1_000 * S
    assert clock.skew() == -3_600 * S
    assert clock.catch_up() == 0
    assert clock.now() == 1_000 * S


def test_a_wall_clock_that_is_set_forward_is_followed_when_asked() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall += 30 * S
    assert clock.now() == 1_000 * S
    assert clock.catch_up() == 30 * S
    assert clock.now() == 1_030 * S
    assert clock.skew() == 0


@given(st.lists(st.tuples(st.integers(0, 10 * S), st.integers(-100 * S, 100 * S), st.booleans())))
def test_wall_time_never_goes_backwards_whatever_the_machine_does(steps: list[tuple[int, int, bool]]) -> None:
    machine = Machine()
    clock = machine.clock()
    last = clock.now()
    for passed, step, follow in steps:
        machine.pass_time(passed)
        machine.wall += step
        if follow:
            clock.catch_up()
        assert clock.now() >= last
        last = clock.now()


async def test_the_system_clock_sleeps_until_a_moment(autojump_clock: trio.testing.MockClock) -> None:
    clock = SystemClock(monotonic=lambda: int(trio.current_time() * S))
    begin = clock.now()
    await clock.sleep_until(begin + 90 * S)
    assert clock.now() == pytest.approx(begin + 90 * S, abs=S // 1000)
    with trio.testing.assert_checkpoints():
        await clock.sleep_until(begin)


def test_both_clocks_are_clocks() -> None:
    clocks: list[Clock] = [SystemClock(), VirtualClock()]
    for clock in clocks:
        assert isinstance(clock.now(), int)
        assert isinstance(clock.monotonic(), int)


def test_a_virtual_clock_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock(100)
    assert (clock.now(), clock.monotonic()) == (100, 0)
    clock.advance(5)
    clock.set(110)
    assert (clock.now(), clock.monotonic()) == (110, 10)


def test_a_virtual_clock_cannot_go_back() -> None:
    clock = VirtualClock(100)
    with pytest.raises(ValueError, match="cannot go back from 100 to 99"):
        clock.set(99)
    with pytest.raises(ValueError, match="cannot go back by 1 ns"):
        clock.advance(-1)
    clock.reach(50)
    assert clock.now() == 100
    clock.reach(150)
    assert clock.now() == 150


def test_alarms_ring_in_order_each_at_its_own_moment() -> None:
    clock = VirtualClock()
    rung: list[tuple[str, int]] = []

    def note(name: str) -> None:
        rung.append((name, clock.now()))

    clock.at(30, lambda: note("third"))
    clock.at(10, lambda: note("first"))
    clock.at(10, lambda: note("second"))
    clock.at(99, lambda: note("later"))
    clock.advance(50)
    assert rung == [("first", 10), ("second", 10), ("third", 30)]
    assert clock.now() == 50
    assert clock.next_alarm() == 99


def test_an_alarm_may_set_another_that_is_due_on_the_same_way() -> None:
    clock = VirtualClock()
    rung: list[int] = []

    def tick() -> None:
        rung.append(clock.now())
        clock.at(clock.now() + 10, tick)

    clock.at(10, tick)
    clock.set(45)
    assert rung == [10, 20, 30, 40]


def test_an_alarm_of_the_past_rings_with_the_next_move_and_takes_nobody_back() -> None:
    clock = VirtualClock(100)
    rung: list[int] = []
    clock.at(10, lambda: rung.append(clock.now()))
    clock.advance(0)
    assert rung == [100]


def test_a_cancelled_alarm_does_not_ring() -> None:
    clock = VirtualClock()
    alarm = clock.at(10, lambda: pytest.fail("rang"))
    alarm.cancel()
    assert clock.next_alarm() is None
    clock.set(20)
    alarm.cancel()


def test_an_alarm_that_raises_stops_the_clock_at_its_moment_and_loses_no_other() -> None:
    clock = VirtualClock()
    rung: list[int] = []

    def fail() -> None:
        raise LookupError

    clock.at(10, fail)
    clock.at(20, lambda: rung.append(clock.now()))
    with pytest.raises(LookupError):
        clock.set(30)
    assert clock.now() == 10
    clock.set(30)
    assert rung == [20]


def test_an_alarm_cannot_move_the_clock() -> None:
    clock = VirtualClock()
    clock.at(10, lambda: clock.advance(5))
    with pytest.raises(RuntimeError, match="cannot move the clock that rings it"):
        clock.set(20)
    clock.set(20)
    assert clock.now() == 20


async def test_sleepers_on_a_virtual_clock_wake_in_order_when_it_is_moved() -> None:
    clock = VirtualClock()
    woken: list[int] = []

    async def sleep(moment: int) -> None:
        await clock.sleep_until(moment)
        woken.append(moment)

    async with trio.open_nursery() as nursery:
        for moment in (30, 10, 20):
            nursery.start_soon(sleep, moment)
        await trio.testing.wait_all_tasks_blocked()
        assert woken == []
        clock.set(15)
        await trio.testing.wait_all_tasks_blocked()
        assert woken == [10]
        clock.set(20)
        await trio.testing.wait_all_tasks_blocked()
        clock.set(40)
    assert woken == [10, 20, 30]
    with trio.testing.assert_checkpoints():
        await clock.sleep_until(5)


async def test_a_cancelled_sleeper_leaves_no_alarm() -> None:
    clock = VirtualClock()
    with trio.move_on_after(0):
        await clock.sleep_until(10)
    assert clock.next_alarm() is None
