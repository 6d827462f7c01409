"""The kill table and the budgets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.strategies.sandbox.policy import WINDOW_NS, Cause, CpuBudget, ErrorBudget, KillRecord

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


@pytest.mark.parametrize("cause", ["timeout", "memory", "oom_or_cpu", "cpu_budget"])
def test_two_kills_within_ten_minutes_are_followed_by_a_restart_and_the_third_bars(cause: Cause) -> None:
    record = KillRecord()
    assert record.ended(cause, "x", 0).action == "restart"
    assert record.ended(cause, "x", 9 * MINUTE).action == "restart"
    third = record.ended(cause, "the last", 10 * MINUTE - 1)
    assert third.action == "bar"
    assert third.reason == f"{cause}: the last (3 kills within 10 minutes)"


def test_kills_that_are_ten_minutes_apart_never_bar() -> None:
    record = KillRecord()
    for number in range(100):
        assert record.ended("timeout", "", number * (WINDOW_NS // 2)).action == "restart"


@pytest.mark.parametrize("cause", ["forbidden_syscall", "protocol"])
def test_a_forbidden_call_or_a_forged_frame_bars_at_once(cause: Cause) -> None:
    assert KillRecord().ended(cause, "", 0).action == "bar"


def test_a_crash_is_forgiven_once() -> None:
    record = KillRecord()
    assert record.ended("crashed", "SIGSEGV", 0).action == "restart"
    assert record.ended("crashed", "SIGSEGV", 100 * MINUTE).action == "bar"


def test_the_end_of_the_sandbox_itself_is_not_the_strategys_fault() -> None:
    record = KillRecord()
    assert {record.ended("zygote", "", number).action for number in range(10)} == {"restart"}
    assert record.kills == 0


def test_an_error_beyond_the_budget_within_an_hour_is_one_too_many() -> None:
    budget = ErrorBudget(most=10)
    assert not any(budget.spent(number * MINUTE) for number in range(10))
    assert budget.spent(10 * MINUTE)
    seldom = ErrorBudget(most=10)
    assert not any(seldom.spent(number * 6 * MINUTE) for number in range(1000))


@given(st.lists(st.tuples(st.integers(0, SECOND), st.integers(0, 10 * SECOND)), max_size=200))
def test_a_strategy_that_keeps_below_its_share_in_every_stretch_never_runs_out(steps: list[tuple[int, int]]) -> None:
    budget = CpuBudget(15 * SECOND, 0)
    now = 0
    for used, idle in steps:
        now += idle + 4 * used  # at most a quarter of the time since the last call
        assert not budget.spent(used, now)


def test_a_strategy_that_lives_at_its_deadline_runs_out_within_the_minute() -> None:
    budget = CpuBudget(15 * SECOND, 0)
    now = 0
    while not budget.spent(SECOND, now):
        now += SECOND
    assert 15 * SECOND <= now <= MINUTE
