from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.signals.totals import totals
from actors.strategies.metrics_core import RunSpan, run_spans, strategy_metrics, uptime_percentage
from protocols.signals import SignalTally

EXECUTED = SignalTally("BUY", "executed", "USD", 3, 2.1, 0.9, 2, 1, "5")
PENDING = SignalTally("SELL", "pending", "", 1, 0.5, 0.1, 0, 0, "0")


def test_figures_are_those_of_the_signals_and_the_run() -> None:
    spans = (RunSpan(0, 500), RunSpan(600, None))
    found = strategy_metrics(totals([EXECUTED, PENDING]), spans, 100, 1100, errors=2, calls=50)
    assert (found.signals_generated, found.signals_executed, found.execution_rate) == (4, 3, 0.75)
    assert found.average_confidence == pytest.approx(0.65)
    assert found.average_risk_score == pytest.approx(0.25)
    assert (found.total_trades, found.winning_trades, found.win_rate) == (2, 1, 0.5)
    assert (found.uptime_percentage, found.error_rate) == (90.0, 0.04)
    assert set(found.reasons) == {"total_return", "max_drawdown", "sharpe_ratio"}


def test_every_figure_that_is_null_has_a_reason_and_no_other() -> None:
    for tallies, spans, errors in (((), (), None), ((PENDING,), (RunSpan(0, None),), 1), ((EXECUTED,), (), 0)):
        found = strategy_metrics(totals(tallies), spans, 0, 100, errors=errors, calls=10)
        null = {name for name in found.__struct_fields__ if getattr(found, name) is None}
        assert null == set(found.reasons)


def test_times_of_running_come_from_the_events_of_the_runs() -> None:
    events = [
        (5, "configured"), (10, "started"), (12, "swapped"), (20, "stopped"), (21, "failed"), (30, "started"),
        (40, "barred"), (41, "lifted"), (50, "started"),
    ]  # fmt: skip
    assert run_spans(events) == (RunSpan(10, 20), RunSpan(30, 40), RunSpan(50, None))


def test_a_strategy_that_began_within_the_period_is_measured_from_there() -> None:
    assert uptime_percentage((RunSpan(900, None),), 0, 1000) == 100.0
    assert uptime_percentage((RunSpan(900, 950),), 0, 1000) == 50.0
    assert uptime_percentage((RunSpan(0, 10),), 100, 1000) is None
    assert uptime_percentage((), 0, 1000) is None


@given(st.lists(st.integers(0, 1000), max_size=12).map(sorted), st.integers(0, 1000), st.integers(1, 1000))
def test_an_uptime_is_a_percentage(moments: list[int], from_ts: int, length: int) -> None:
    events = [(ts, "started" if index % 2 == 0 else "stopped") for index, ts in enumerate(moments)]
    found = uptime_percentage(run_spans(events), from_ts, from_ts + length)
    assert found is None or 0 < found <= 100
