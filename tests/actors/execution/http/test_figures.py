"""What accounts came to, and where their losses reached a limit: against numbers worked out by hand."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.edge.errors import HttpError
from actors.execution.accounts.rows import ExecutionEquityRow
from actors.execution.http.numbers import known_plain, nanos, number
from actors.execution.http.performing import annual_volatility, deepest_fall, deviation, returns_of, sharpe
from actors.execution.http.risking import reached
from actors.execution.risk.limits import RiskLimits
from protocols.nanos import INT64_MAX, NANO, decimal_text


def test_returns_leave_out_days_that_begin_with_nothing() -> None:
    assert returns_of([100, 110, 99, 0, 5]) == pytest.approx([0.1, -0.1, -1.0])
    assert returns_of([]) == []


def test_a_sharpe_ratio_wants_thirty_returns_that_differ() -> None:
    returns = [0.01, -0.01] * 14 + [0.01]
    assert sharpe(returns) is None
    assert annual_volatility(returns) is None
    returns += [0.02]
    spread = deviation(returns)
    assert spread is not None
    assert sharpe(returns) == pytest.approx(sum(returns) / 30 / spread * math.sqrt(365))
    assert annual_volatility(returns) == pytest.approx(spread * math.sqrt(365))
    assert sharpe([0.0] * 40) is None
    assert deviation([0.5]) is None


def test_the_deepest_fall_is_that_of_the_samples_or_the_one_that_goes_on() -> None:
    assert deepest_fall("10", 0.1, "95", "100") == (10 * NANO, 0.1)
    assert deepest_fall("10", 0.1, "80", "100") == (20 * NANO, 0.2)
    assert deepest_fall(None, None, "100", "100") == (0, 0.0)
    assert deepest_fall("10", 0.1, None, "100") == (10 * NANO, 0.1)


def sample(seq: int, equity: str, peak: str, day_start: str) -> ExecutionEquityRow:
    return ExecutionEquityRow(
        stream="equity:a",
        seq=seq,
        ts=seq * 10**9,
        account="a",
        equity=equity,
        cash=equity,
        unrealized="0",
        peak=peak,
        day_start=day_start,
    )


def test_a_loss_that_reaches_its_limit_is_one_alert_each_time_that_it_does() -> None:
    rows = [
        sample(1, "100", "100", "100"),
        sample(2, "98.00000001", "100", "100"),
        sample(3, "98", "100", "100"),
        sample(4, "90", "100", "100"),
        sample(5, "99", "100", "100"),
        sample(6, "97", "100", "100"),
        sample(7, "97", "100", "97"),
    ]
    found = reached(rows, RiskLimits(max_daily_loss="0.02", max_drawdown="0.1"))
    assert [each.alert_id for each in found] == ["daily_loss-3", "daily_loss-6", "drawdown-4"]
    assert all(each.severity == "critical" for each in found)
    assert "2.00% reached its limit of 2.00%" in found[0].message
    assert reached(rows, RiskLimits()) == []


@settings(max_examples=100)
@given(st.integers(-INT64_MAX, INT64_MAX))
def test_numbers_keep_their_digits_both_ways(amount: int) -> None:
    text = decimal_text(amount)
    assert nanos(Decimal(text), "x") == amount
    shown = number(amount)
    assert shown is not None
    assert bytes(shown).decode() == text == bytes(known_plain(text)).decode()


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1E-10", "1E+30", "10000000000"])
def test_what_is_no_number_of_ours_is_an_error_with_the_field(text: str) -> None:
    with pytest.raises(HttpError) as error:
        nanos(Decimal(text), "quantity")
    assert (error.value.status, error.value.field) == (400, "quantity")
