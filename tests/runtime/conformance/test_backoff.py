"""Backoff, which OTP lacks: the first restart in a period is immediate, then delays grow, with jitter."""

from itertools import pairwise

import pytest
import trio

from tests.runtime.conformance.stage import Case, Placement, Run, Sup, W

FIRST, MOST = 2.0, 16.0


def delays(run: Run) -> list[float]:
    """Units of time between the line before each `up b` and that line."""
    lines, times = run.hooks.lines, run.hooks.times
    found = [i for i, line in enumerate(lines) if line == "up b"][1:]
    return [(times[i] - times[i - 1]) / run.placement.unit for i in found]


def failing(jitter: float, restarts: int = 6) -> Case:
    return Case(
        "failing restarts",
        Sup((W("a"), W("b", backoff=(FIRST, MOST, jitter))), limit=(20, 1000)),
        starts={"b": "ok" + " fail" * (restarts - 1) + " ok"},
        script="crash b -> " + "fail b, " * (restarts - 1) + "up b",
        after="a up, b up",
    )


def waits(run: Run) -> list[float]:
    """Units of time between the attempts to start b again, from the first one on."""
    attempts = [
        time for line, time in zip(run.hooks.lines, run.hooks.times, strict=True) if line in ("fail b", "up b")
    ][1:]
    return [(after - before) / run.placement.unit for before, after in pairwise(attempts)]


async def test_the_first_restart_is_immediate(placement: Placement, clock: trio.abc.Clock) -> None:
    case = Case(
        "immediate",
        Sup((W("a"), W("b", backoff=(1000, 1000, 0.0))), limit=(2, 10_000)),
        script="crash b -> up b",
        after="a up, b up",
    )
    run = Run(case, placement)
    began = trio.current_time()
    await run.play()
    assert (run.hooks.times[-1] - began) / placement.unit < 1000


async def test_delays_double_up_to_the_most(placement: Placement, clock: trio.abc.Clock) -> None:
    run = Run(failing(jitter=0.0), placement)
    await run.play()
    assert waits(run) == pytest.approx([2, 4, 8, 16, 16], abs=placement.slack)


async def test_jitter_stays_inside_its_bounds(placement: Placement, clock: trio.abc.Clock) -> None:
    run = Run(failing(jitter=0.25), placement)
    await run.play()
    seen = waits(run)
    for delay, base in zip(seen, [2, 4, 8, 16, 16], strict=True):
        assert base * 0.75 - 0.05 <= delay <= base * 1.25 + 0.05
    assert seen != pytest.approx([2, 4, 8, 16, 16], abs=1e-6), "there is jitter at all"


async def test_a_quiet_period_makes_the_next_restart_immediate_again(
    placement: Placement, clock: trio.abc.Clock
) -> None:
    case = Case(
        "quiet",
        Sup((W("a"), W("b", backoff=(FIRST, MOST, 0.0))), limit=(5, 100)),
        script="""
            crash b -> up b
            crash b -> up b
            wait 300
            crash b -> up b
            crash b -> up b
        """,
    )
    run = Run(case, placement)
    await run.play()
    ups = [time for line, time in zip(run.hooks.lines, run.hooks.times, strict=True) if line == "up b"]
    units = [(after - before) / placement.unit for before, after in pairwise(ups)]
    assert units == pytest.approx([0, 2, 300, 2], abs=placement.slack)


async def test_a_restart_is_recorded_when_it_is_decided(placement: Placement, clock: trio.abc.Clock) -> None:
    """Two restarts are allowed in 10 units. The second is decided at 0 and made at 6; at 11 it no longer counts."""
    case = Case(
        "recorded",
        Sup((W("a"), W("b", backoff=(6, 6, 0.0))), limit=(2, 10)),
        script="""
            crash b -> up b            # decided at 0
            crash b -> up b            # decided at 0, made at 6
            wait 5
            crash b -> up b            # decided at 11, the first in its period: made at once
            crash b -> up b            # decided at 11, made at 17
            crash b -> stop a          # decided at 17: 11, 11 and 17 are three
        """,
        after=None,
    )
    await Run(case, placement).play()


async def test_a_group_waits_between_its_stops_and_its_starts(placement: Placement, clock: trio.abc.Clock) -> None:
    case = Case(
        "group",
        Sup((W("a"), W("b", backoff=(6, 6, 0.0)), W("c")), strategy="one_for_all", limit=(2, 100)),
        script="""
            crash b -> stop c, stop a, up a, up b, up c
            crash b -> stop c, stop a, up a, up b, up c
        """,
        after="a up, b up, c up",
    )
    run = Run(case, placement)
    await run.play()
    lines, times = run.hooks.lines[8:13], run.hooks.times[8:13]
    assert lines == ["stop c", "stop a", "up a", "up b", "up c"]
    offsets = [(time - times[0]) / placement.unit for time in times]
    assert offsets == pytest.approx([0, 0, 6, 6, 6], abs=placement.slack)


async def test_a_stop_ends_a_backoff_at_once(placement: Placement, clock: trio.abc.Clock) -> None:
    case = Case(
        "stop in backoff",
        Sup((W("a"), W("b", backoff=(1000, 1000, 0.0))), limit=(2, 100_000)),
        script="""
            crash b -> up b
            crash b
            see a up, b restarting
            terminate sut -> stop a
        """,
        after=None,
    )
    run = Run(case, placement)
    began = trio.current_time()
    await run.play()
    assert (trio.current_time() - began) / placement.unit < 1000
