from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.execution.risk.limits import PAPER_DEFAULTS, RiskLimits
from actors.execution.risk.measures import PAPER_VOLATILITY, RiskFigures, RiskMetric, measure, value_at_risk
from tests.actors.execution.risk.desk import n


def figures(**changes: Any) -> RiskFigures:
    """1000 of equity, 20 and 30 in two markets of one underlying, 40 in another."""
    fields: dict[str, Any] = {
        "equity": n(1000),
        "day_start_equity": n(1000),
        "peak_equity": n(1000),
        "values": {"BTC": n(20), "BTC-PERP": n(30), "ETH": n(40)},
        "bases": {"BTC-PERP": "BTC"},
        "margin_used": 0,
        "open_orders": 2,
    }
    return RiskFigures(**{**fields, **changes})


def metrics(of: RiskFigures, limits: RiskLimits = PAPER_DEFAULTS) -> dict[str, RiskMetric]:
    return {each.name: each for each in measure(of, limits, volatility=PAPER_VOLATILITY).risk_metrics}


def test_each_figure_is_held_against_its_limit() -> None:
    found = metrics(figures(day_start_equity=n(1010), peak_equity=n(1250), margin_used=n(300)))
    shown = {name: (each.value, each.limit) for name, each in found.items() if each.value is not None}
    assert shown == {
        "position_size": (0.04, 0.1),
        "concentration": (0.05, 0.25),
        "leverage": (0.09, 2.0),
        "exposure": (0.09, None),
        "daily_loss": (pytest.approx(10 / 1010), 0.02),
        "drawdown": (0.2, 0.15),
        "margin_use": (0.3, 0.75),
        "positions": (3.0, 20.0),
        "open_orders": (2.0, None),
    }
    assert found["position_size"].utilization_pct == pytest.approx(40)
    assert (found["drawdown"].risk_level, found["drawdown"].breach) == ("critical", True)
    assert (found["exposure"].utilization_pct, found["exposure"].risk_level) == (None, "unknown")


@pytest.mark.parametrize(
    ("share", "level"),
    [
        ("0.0499", "low"),
        ("0.05", "medium"),
        ("0.0749", "medium"),
        ("0.075", "high"),
        ("0.0999", "high"),
        ("0.1", "critical"),
    ],
)
def test_levels_begin_at_half_three_quarters_and_all_of_a_limit(share: str, level: str) -> None:
    limits = RiskLimits(max_position_share="0.1")
    found = measure(figures(values={"BTC": n(share) * 1000}), limits)
    assert found.overall_risk_level == level
    assert found.overall_risk_score == pytest.approx(float(share) * 1000)
    assert [each.level for each in found.alerts] == ([level] if level in ("high", "critical") else [])


def test_one_limit_that_is_reached_makes_the_whole_account_critical() -> None:
    found = measure(figures(values={"BTC": n(200)}))
    assert (found.overall_risk_score, found.overall_risk_level) == (100.0, "critical")
    (alert,) = [each for each in found.alerts if each.level == "critical"]
    assert alert.message == ("position_size (largest position, share of the equity) has reached its limit: 0.2 of 0.1")


def test_what_is_not_known_is_none_and_named() -> None:
    found = metrics(figures(values={"BTC": n(20), "ETH": None}, peak_equity=None, returns=[0.1]))
    unknown = {name for name, each in found.items() if each.value is None}
    assert unknown == {
        "position_size", "concentration", "leverage", "exposure", "drawdown", "volatility", "var_95", "cvar_95",
    }  # fmt: skip
    assert set(measure(figures(values={"ETH": None})).unknown) >= {"leverage"}
    nothing = measure(RiskFigures(equity=None), RiskLimits(max_drawdown="0.1"))
    assert (nothing.overall_risk_score, nothing.overall_risk_level) == (None, "unknown")


def test_an_account_without_positions_risks_nothing() -> None:
    found = metrics(figures(values={}))
    assert (found["position_size"].value, found["leverage"].value) == (0.0, 0.0)


def test_a_limit_of_nothing_is_reached_by_anything() -> None:
    limits = RiskLimits(max_exposure_share="0")
    assert metrics(figures(), limits)["exposure"].utilization_pct == 100.0
    assert metrics(figures(values={}), limits)["exposure"].utilization_pct == 0.0


def test_volatility_is_the_standard_deviation_of_the_returns() -> None:
    returns = [0.01, -0.02, 0.03, 0.0]
    found = metrics(figures(returns=returns))["volatility"]
    assert found.value == pytest.approx(float(np.std(returns, ddof=1)), rel=1e-12)
    assert found.limit == 0.05
    assert metrics(figures(returns=[0.01, 0.03]))["volatility"].value == pytest.approx(0.02 / 2**0.5)


def test_value_at_risk_is_the_loss_of_the_mildest_of_the_worst_and_its_mean() -> None:
    returns = [each / 1000 for each in range(-20, 20)]
    # 5 % of 40: the two worst, -2.0 % and -1.9 %.
    assert value_at_risk(returns) == pytest.approx((0.019, 0.0195))
    assert value_at_risk([-0.03] + [0.01] * 19) == pytest.approx((0.03, 0.03))


def test_value_at_risk_is_unknown_with_too_few_returns() -> None:
    assert value_at_risk([-0.03] * 19) is None
    assert value_at_risk([-0.03] * 20) == pytest.approx((0.03, 0.03))
    assert value_at_risk([-0.03] * 99, 0.99) is None
    assert value_at_risk([0.01] * 20) == (0.0, 0.0)
    for confidence in (0.0, 1.0):
        with pytest.raises(ValueError, match="confidence: expected above 0 and below 1"):
            value_at_risk([0.1], confidence)


@given(st.lists(st.floats(-0.5, 0.5), min_size=20, max_size=80), st.sampled_from([0.9, 0.95]))
@settings(max_examples=50, deadline=None)
def test_value_at_risk_is_the_empirical_quantile(returns: list[float], confidence: float) -> None:
    found = value_at_risk(returns, confidence)
    assert found is not None
    quantile = float(np.quantile(returns, round(1 - confidence, 9), method="inverted_cdf"))
    assert found[0] == pytest.approx(max(0.0, -quantile))
    assert found[1] >= found[0]
