from __future__ import annotations

import datetime

import pytest

from actors.execution.accounts.equity_curve import EquityCurve
from tests.actors.execution.accounts.kit import DAY, HOUR, Marked, account, n, text, trade


def at(when: str) -> int:
    return int(datetime.datetime.fromisoformat(when).timestamp()) * 10**9


def test_the_peak_and_the_drawdown_follow_the_equity() -> None:
    curve = EquityCurve()
    assert (curve.peak, curve.drawdown(), curve.day_start) == (None, None, None)
    for ts, equity in enumerate((100, 120, 90, 110)):
        curve.sample(ts, equity, equity, 0)
    assert (curve.peak, curve.drawdown(), curve.worst) == (120, 10, 30)
    samples = curve.take_samples()
    assert [(each.ts, each.equity, each.peak) for each in samples] == [
        (0, 100, 100),
        (1, 120, 120),
        (2, 90, 120),
        (3, 110, 120),
    ]
    assert curve.take_samples() == []


def test_a_day_begins_with_the_last_equity_before_its_midnight() -> None:
    curve = EquityCurve()
    curve.sample(1 * HOUR, 100, 0, 0)
    curve.sample(23 * HOUR, 130, 0, 0)
    assert curve.day_start == 100
    curve.sample(DAY, 90, 0, 0)
    assert curve.day_start == 130
    curve.sample(DAY + HOUR, 80, 0, 0)
    assert curve.day_start == 130
    curve.sample(5 * DAY, 70, 0, 0)
    assert curve.day_start == 80


@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [
        ("UTC", "2026-03-08T23:59:59+00:00", "2026-03-09T00:00:00+00:00"),
        # The clocks went forward that morning: the day before was of 23 hours.
        ("America/New_York", "2026-03-09T03:59:59+00:00", "2026-03-09T04:00:00+00:00"),
    ],
)
def test_midnight_is_that_of_the_accounts_time_zone(zone: str, before: str, after: str) -> None:
    curve = EquityCurve(zone)
    curve.sample(at("2026-03-07T05:30:00+00:00"), 100, 0, 0)
    curve.sample(at("2026-03-08T05:30:00+00:00"), 100, 0, 0)
    curve.sample(at(before), 110, 0, 0)
    assert curve.day_start == 100
    curve.sample(at(after), 120, 0, 0)
    assert curve.day_start == 110


def test_a_day_begins_with_what_was_put_in_before_its_midnight() -> None:
    curve = EquityCurve()
    curve.sample(1 * HOUR, 100, 0, 0)
    curve.flow(-40)
    assert curve.drawdown() == 0
    curve.sample(DAY, 70, 0, 0)
    assert (curve.day_start, curve.peak) == (60, 70)


def test_what_has_no_price_is_counted_and_is_no_sample() -> None:
    curve = EquityCurve()
    assert curve.sample(1, None, 5, None) is None
    assert (curve.missing, curve.take_samples(), curve.peak) == (1, [], None)


def test_money_that_is_put_in_or_taken_out_is_neither_profit_nor_drawdown() -> None:
    marks = {"X": Marked("100")}
    owner = account(marks)
    trade(owner, "buy", 10, 100)
    owner.sample(1)
    owner.deposit(n(-4000), 2)
    owner.sample(3)
    assert owner.curve.drawdown() == 0
    assert text(owner.curve.day_start) == "6000"
    marks["X"].bid = n(90)
    owner.deposit(n(1000), 4)
    sample = owner.sample(5)
    assert sample is not None
    assert [text(each) for each in sample[1:]] == ["6900", "6000", "-100", "7000", "7000"]
    assert text(owner.curve.drawdown()) == "100"


def test_foreign_money_that_is_put_in_moves_the_peak_by_what_it_is_worth() -> None:
    owner = account(conversions={"EUR": "2"})
    owner.sample(1)
    owner.deposit(n(50), 2, currency="EUR")
    owner.deposit(n(50), 2, currency="BNB")
    assert text(owner.curve.peak) == "10100", "BNB has no rate"
