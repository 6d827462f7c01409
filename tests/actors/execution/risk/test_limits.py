from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.execution.risk.breaker import BreakerSettings
from actors.execution.risk.limits import LIVE_REFUSES, PAPER_DEFAULTS, Bounds, RiskLimits
from protocols.market import MARKS
from tests.actors.execution.risk.desk import n


def test_limits_are_read_from_decimal_text_exactly() -> None:
    limits = msgspec.convert({"max_leverage": "2", "max_daily_loss": "0.3", "max_positions": 5}, RiskLimits)
    assert (limits.nanos("max_leverage"), limits.nanos("max_daily_loss")) == (n(2), 300_000_000)
    assert limits.nanos("max_exposure") is None
    bounds = Bounds.of(limits)
    assert (bounds.max_daily_loss, bounds.max_positions, bounds.max_position) == (300_000_000, 5, None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"max_position": "-1"}, "max_position: expected at least 0, got -1"),
        ({"max_daily_loss": "1.5"}, "max_daily_loss: expected from 0 to 1, got 1.5"),
        ({"max_leverage": "two"}, "max_leverage: expected a decimal number as text, not a decimal number: 'two'"),
        ({"max_exposure": "0.0000000001"}, "max_exposure: expected a decimal number as text, .* finer than 10⁻⁹"),
        ({"max_positions": -1}, "max_positions: expected at least 0, got -1"),
        ({"refused_marks": ("late",)}, "refused_marks: expected some of delayed, demo, stale, synthetic, got 'late'"),
        ({"max_leverage": 2.0}, "Expected `str | null`, got `float`"),
        ({"max_levrage": "2"}, "unknown field `max_levrage`"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert(given, RiskLimits)


def test_paper_accounts_begin_with_the_limits_of_the_service_that_they_replace() -> None:
    names = ("max_position_share", "max_daily_loss", "max_drawdown", "max_leverage", "max_concentration")
    assert [getattr(PAPER_DEFAULTS, name) for name in names] == ["0.1", "0.02", "0.15", "2", "0.25"]
    assert (PAPER_DEFAULTS.max_margin_use, PAPER_DEFAULTS.max_positions) == ("0.75", 20)


def test_real_money_refuses_every_mark_there_is() -> None:
    assert set(LIVE_REFUSES) == MARKS
    assert RiskLimits(refused_marks=LIVE_REFUSES).refused_marks == LIVE_REFUSES


@pytest.mark.parametrize(
    "given",
    [{"max_rejections": -1}, {"window_seconds": 0}, {"open_seconds": -1}, {"max_loss": "2"}, {"max_loss": "a lot"}],
)
def test_breaker_settings_name_what_is_out_of_their_bounds(given: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=next(iter(given))):
        msgspec.convert(given, BreakerSettings)
