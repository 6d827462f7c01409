"""Figures of decisions that were given."""

from __future__ import annotations

from typing import Any

from actors.decisions.serving.figures import HOUR_NS, MINUTE_NS, NEWEST, Figures
from protocols.decisions import Decision


def decision(number: int = 0, **changes: Any) -> Decision:
    given: dict[str, Any] = {
        "decision_id": f"d{number}",
        "user_id": "anna",
        "symbol": "BTC",
        "action": "BUY",
        "should_trade": True,
        "confidence": 0.5,
        "confidence_kind": "rule",
        "reasoning": "",
        "served_by": "rl",
        "model_version": "v1",
        "took_ns": 1_000_000,
        **changes,
    }
    return Decision(**given)


def test_times_are_the_newest_thousand_and_percentiles_are_of_them() -> None:
    figures = Figures()
    for number in range(NEWEST):
        figures.add(decision(number, took_ns=10**12))
    for number in range(1, NEWEST + 1):
        figures.add(decision(number, took_ns=number * 1_000_000, cached=number % 2 == 0, should_trade=number % 4 == 0))
    (served,) = figures.served()
    assert served.decisions == figures.decisions == 2 * NEWEST
    assert (served.p50_ms, served.p95_ms, served.p99_ms, served.mean_ms) == (500.0, 950.0, 990.0, 500.5)
    assert (served.cached, served.trades) == (500, NEWEST + 250)
    assert served.mean_confidence == 0.5


def test_each_version_and_arm_has_figures_of_its_own() -> None:
    figures = Figures()
    for changes in ({}, {"model_version": "v2"}, {"arm": "treatment"}, {}, {"served_by": "rule", "model_version": ""}):
        figures.add(decision(**changes))
    assert [(row.served_by, row.model_version, row.arm, row.decisions) for row in figures.served()] == [
        ("rl", "v1", "", 2), ("rl", "v1", "treatment", 1), ("rl", "v2", "", 1), ("rule", "", "", 1),
    ]  # fmt: skip


def test_a_users_last_hour_slides_and_only_faults_of_ours_are_errors() -> None:
    figures = Figures()
    start = 1_000_000 * MINUTE_NS
    figures.add(decision(ts=start, reason="TIMEOUT"))
    figures.add(decision(ts=start + 30 * MINUTE_NS, reason="LOW_CONFIDENCE"))
    figures.add(decision(ts=start + 30 * MINUTE_NS, agent_id="agent"))
    (user,) = figures.users(start + 30 * MINUTE_NS)
    assert (user.predictions, user.errors, user.predictions_1h, user.success_rate_1h) == (3, 1, 3, 2 / 3)
    assert (user.agents, user.ts_first, user.ts_last) == (("agent",), start, start + 30 * MINUTE_NS)
    (later,) = figures.users(start + 61 * MINUTE_NS)
    assert (later.predictions, later.predictions_1h, later.success_rate_1h) == (3, 2, 1.0)
    (silent,) = figures.users(start + 3 * HOUR_NS)
    assert (silent.predictions_1h, silent.success_rate_1h) == (0, None)
    assert figures.reasons == {"TIMEOUT": 1, "LOW_CONFIDENCE": 1}


def test_who_asked_least_recently_is_forgotten_first() -> None:
    figures = Figures(users=2)
    for place, user in enumerate(("anna", "bert", "anna", "carl")):
        figures.add(decision(user_id=user, ts=place))
    assert [user.user_id for user in figures.users(10)] == ["carl", "anna"]
