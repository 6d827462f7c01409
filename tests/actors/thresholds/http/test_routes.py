"""The threshold service over HTTP, as its README's clients call it."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.thresholds.http.settings import ApiSettings
from actors.thresholds.performance import DAY_NS
from actors.thresholds.records import text_of
from protocols.paths import THRESHOLD_OUTCOMES
from protocols.threshold_outcomes import GetOutcomeFigures
from protocols.thresholds import AdaptationRecord
from runtime.clock import VirtualClock
from tests.actors.thresholds.http.stage import ADMIN, API, LIMIT_S, README_SIGNAL, Api, api
from tests.actors.thresholds.intake.stage import BEGIN, HOUR

NAMES = {"rsi_threshold", "confidence_threshold", "macd_threshold", "volume_threshold", "momentum_threshold"}


async def until_told(at: Api, count: int) -> None:
    """Wait until learners were told so much."""
    while (await at.node.ref(THRESHOLD_OUTCOMES).ask(GetOutcomeFigures(), LIMIT_S)).told < count:
        pass


async def test_the_readme_s_requests_get_the_readme_s_responses(tmp_path: Path, database: str) -> None:
    async with api(tmp_path, database) as at:
        found = await at.data("GET", "thresholds/user123?symbol=BTCUSD", token=False)
        assert (found["user_id"], found["symbol"], found["last_adaptation"]) == ("user123", "BTCUSD", None)
        assert set(found["thresholds"]) == NAMES
        assert found["thresholds"]["volume_threshold"] == 1e9
        judged = await at.data("POST", "evaluate/user123", {"signal": README_SIGNAL}, token=False)
        assert (judged["user_id"], judged["symbol"], judged["should_trade"]) == ("user123", "BTCUSD", True)
        assert judged["current_thresholds"] == judged["threshold_adjustments"] == found["thresholds"]
        assert (judged["confidence_adjustment"], judged["outcome"]) == (0.0, None)
        assert judged["evaluated_at"].startswith("2027-01-15T08:00:00")
        poor = {**README_SIGNAL, "rsi": 75, "action": "buy"}
        assert (await at.data("POST", "evaluate/user123", {"signal": poor}))["reasoning"] == (
            "not traded: rsi 75 is above the maximum 70"
        )
        sold = {**poor, "action": "SELL"}
        assert (await at.data("POST", "evaluate/user123", {"signal": sold}))["should_trade"] is True
        # What is missing is missing: it was 0 there, and 50 for RSI.
        bare = await at.data("POST", "evaluate/user123", {"signal": {"symbol": "BTCUSD", "action": "BUY"}})
        assert bare["should_trade"] is False
        assert {rule["parameter"]: rule["outcome"] for rule in bare["rules"]} == dict.fromkeys(NAMES, "missing")
        many = await at.data("POST", "evaluate/user123/batch", {"signals": [README_SIGNAL, poor]})
        assert ([each["should_trade"] for each in many["results"]], many["approved"]) == ([True, False], 1)
        adapted = await at.data("POST", "thresholds/user123/adapt", {"symbol": "BTCUSD"})
        assert (adapted["user_id"], adapted["symbol"], adapted["updates"]) == ("user123", "BTCUSD", [])
        reset = await at.data("POST", "thresholds/user123/reset", {"symbol": "BTCUSD"})
        assert reset["thresholds"] == found["thresholds"]
        assert reset["message"]
        shown = await at.data("GET", "stats")
        assert set(shown) == {"service_info", "integration_status", "metrics_summary", "alerts", "health_status"}
        assert shown["metrics_summary"]["thresholds"]["evaluations"] == 6
        user = await at.data("GET", "thresholds/" + "%E2%82%AC%2Fher%20id")
        assert user["user_id"] == "€/her id"


async def test_thresholds_learn_from_trades_that_are_told_and_what_moved_survives_a_restart(
    tmp_path: Path, database: str
) -> None:
    clock = VirtualClock(BEGIN)
    chance = random.Random(5)
    async with api(tmp_path, database, clock) as at:
        for number in range(150):
            # Only what is more confident than 0.8 pays.
            confidence = 0.5 + 0.5 * chance.random()
            clock.advance(HOUR // 60)
            share = (0.03 if confidence > 0.8 else -0.03) + chance.gauss(0, 0.01)
            taken = await at.trade(share, confidence)
            assert taken["learning"] is True, number
        await until_told(at, 151)  # that it is poor, too
        clock.advance(HOUR)
        # All of it was traded, and lost more than it won: nothing moves for 48 hours, whatever is known.
        cooling = await at.data("POST", "thresholds/user123/adapt", {"symbol": "BTCUSD", "force": True})
        assert cooling["updates"] == []
        assert {each["reason_code"] for each in cooling["unchanged"]} == {"COOLDOWN"}
        clock.advance(48 * HOUR)
        [moved] = (await at.data("POST", "thresholds/user123/adapt", {"symbol": "BTCUSD", "force": True}))["updates"]
        assert (moved["parameter"], moved["old_value"]) == ("confidence_threshold", 0.65)
        assert 0.65 < moved["new_value"] <= 0.65 * 1.1 + 1e-12
        assert 0.9 < moved["confidence"] <= 1
        everybody = await at.data("POST", "adapt-all", {}, headers={"X-Admin-Key": ADMIN})
        assert (everybody["total_users"], everybody["failures"]) == (1, 0)
        analytics = await at.data("GET", "analytics/user123?symbol=BTCUSD&hours_back=96")
        of_it = analytics["adaptation_analytics"]["confidence_threshold"]
        assert (of_it["adaptations"], of_it["latest_value"]) == (1, moved["new_value"])
        assert analytics["performance_trends"]["total_return"]["data_points"] >= 1
        records = (await at.data("GET", "thresholds/user123/records?symbol=BTCUSD"))["records"]
        texts = [each["text"] for each in records]
        assert moved["reason"] in texts
        for each in records:
            record = msgspec.convert({"type": "adaptation_record", **each["record"]}, AdaptationRecord, strict=False)
            assert text_of(record) == each["text"]
        lines = list(csv.DictReader((await at.raw("GET", "metrics/export?format=csv&hours_back=96")).text.splitlines()))
        [line] = [each for each in lines if each["metric"] == "parameter_adaptation"]
        assert (float(line["value"]), line["parameter"]) == (moved["new_value"], "confidence_threshold")
        assert json.loads(line["tags"])["reason"] == moved["reason"]
        exported = (await at.data("GET", "metrics/export?hours_back=96"))["metrics"]
        assert {"trading_win_rate", "trading_sortino_ratio", "trading_performance_score"} <= {
            each["metric"] for each in exported
        }
        text = (await at.raw("GET", "metrics/export?format=prometheus&hours_back=96")).text
        wanted = 'parameter_adaptation{parameter="confidence_threshold",symbol="BTCUSD",user_id="user123"}'
        assert f"{wanted} {moved['new_value']}" in text
        served = (await at.data("GET", "thresholds/user123?symbol=BTCUSD"))["thresholds"]
    async with api(tmp_path, database, clock) as at:
        assert (await at.data("GET", "thresholds/user123?symbol=BTCUSD"))["thresholds"] == served
        assert served["confidence_threshold"] == moved["new_value"]
        assert (await at.data("GET", "performance/user123?symbol=BTCUSD"))["trade_count"] == 150


async def test_performance_is_that_of_the_trades_and_unknown_below_the_minimum(tmp_path: Path, database: str) -> None:
    async with api(tmp_path, database) as at:
        for number in range(9):
            trade = {"pnl_percent": 1.0 if number % 3 else -2.0, "closed_at": BEGIN - number * HOUR, "id": f"t{number}"}
            await at.data("POST", "performance/ada", {"symbol": "BTCUSD", "trade": trade})
        early = await at.data("GET", "performance/ada")
        assert set(early["metrics"].values()) == {None}
        assert early["performance_score"] is None
        assert early["unknown"] == "9 closed trades in the window, at least 10 are needed"
        last = {"entry_price": 100.0, "exit_price": 99.0, "quantity": 2.0, "fees": 2.0, "action": "SELL"}
        again = {"symbol": "BTCUSD", "trade": {**last, "closed_at": "2027-01-15T07:30:00Z", "id": "last"}}
        assert (await at.data("POST", "performance/ada", again))["pnl_percent"] == pytest.approx(0.0)
        assert (await at.data("POST", "performance/ada", again))["repeated"] is True
        found = await at.data("GET", "performance/ada?symbol=BTCUSD&days_back=7")
        figures = found["metrics"]
        assert (found["trade_count"], found["unknown"], found["behind"]) == (10, None, 0)
        assert figures["win_rate"] == 0.6
        assert figures["total_return"] == pytest.approx(100 * (1.01**6 * 0.98**3 - 1))
        assert figures["profit_factor"] == pytest.approx(1.0)
        assert figures["avg_trade_return"] == pytest.approx(0.0)
        assert figures["sharpe_ratio"] == pytest.approx(0.0)
        at.clock.advance(8 * DAY_NS)
        assert (await at.data("GET", "performance/ada?days_back=7"))["trade_count"] == 0


async def test_a_history_of_trades_is_told_at_once_all_of_it_or_nothing(tmp_path: Path, database: str) -> None:
    async with api(tmp_path, database) as at:

        def told(*shares: float) -> dict[str, Any]:
            signal = {**README_SIGNAL, "confidence": 0.9}
            return {
                "trades": [
                    {"symbol": "BTCUSD", "trade": {"return": each, "id": f"t{place}"}, "signal": signal}
                    for place, each in enumerate(shares)
                ]
            }

        for wrong in (1e9, None):
            refused = await at.refused("POST", "performance/ada/batch", told(0.01, wrong))
            assert refused == (400, "invalid", "trades[1].outcome" if wrong else "trades[1].trade")
        assert (await at.data("GET", "performance/ada"))["trade_count"] == 0
        first = await at.data("POST", "performance/ada/batch", told(0.01, -0.02, 0.03))
        assert (first["total"], first["repeated"], first["learning"]) == (3, 0, 3)
        assert [(each["trade_id"], each["pnl_percent"]) for each in first["trades"]] == [
            ("t0", 1),
            ("t1", -2),
            ("t2", 3),
        ]
        again = await at.data("POST", "performance/ada/batch", told(0.01, -0.02, 0.03, 0.04))
        assert (again["total"], again["repeated"], again["learning"]) == (4, 3, 1)
        assert (await at.data("GET", "performance/ada"))["trade_count"] == 4
        await until_told(at, 4)
        view = await at.data("GET", "thresholds/ada?symbol=BTCUSD")
        assert view["parameters"]["confidence_threshold"]["decisions"] == 4


async def test_an_evaluation_with_the_token_is_followed_until_its_outcome_is_known(
    tmp_path: Path, database: str
) -> None:
    async with api(tmp_path, database) as at:
        at.quote(99.0, 100.0)
        judged = await at.data("POST", "evaluate/ada", {"signal": {**README_SIGNAL, "signal_id": "mine"}})
        assert judged["outcome"] == {"followed": True, "due": "2027-01-15T09:00:00.000000Z", "why": None}
        nowhere = await at.data("POST", "evaluate/ada", {"signal": {**README_SIGNAL, "symbol": "NOWHERE"}})
        assert nowhere["outcome"]["followed"] is False
        assert nowhere["outcome"]["why"] == "no feed has a market 'NOWHERE'"
        stranger = await at.data("POST", "evaluate/ada", {"signal": README_SIGNAL, "follow": True}, token=False)
        assert stranger["outcome"]["why"] == "only for callers with the bearer token"
        at.clock.advance(HOUR)
        at.quote(104.0, 105.0)
        await until_told(at, 1)
        view = await at.data("GET", "thresholds/ada?symbol=BTCUSD")
        assert view["parameters"]["confidence_threshold"]["decisions"] == 1


BAD: tuple[tuple[str, str, Any, int, str, str | None], ...] = (
    ("POST", "evaluate/ada", {}, 400, "invalid", "signal"),
    ("POST", "evaluate/ada", {"signal": {"confidence": "high"}}, 400, "invalid", "signal.confidence"),
    ("POST", "evaluate/ada", {"signal": {"confidence": 1.6}}, 400, "invalid", "signal.confidence"),
    ("POST", "evaluate/ada", {"signal": {"rsi": -1}}, 400, "invalid", "signal.rsi"),
    ("POST", "evaluate/ada", {"signal": {"volume": -1}}, 400, "invalid", "signal.volume"),
    ("POST", "evaluate/ada", {"signal": {"action": "HODL"}}, 400, "invalid", "signal.action"),
    ("POST", "evaluate/ada/batch", {"signals": []}, 400, "invalid", "signals"),
    ("GET", "performance/ada?days_back=0", None, 400, "invalid", "days_back"),
    ("GET", "metrics/export?format=xml", None, 400, "invalid", "format"),
    ("POST", "performance/ada", {"symbol": "A", "trade": {"entry_price": 1.0}}, 400, "invalid", "trade"),
    ("POST", "performance/ada", {"symbol": "A", "trade": {"return": 1e9}}, 400, "invalid", "outcome"),
    ("POST", "performance/ada/batch", {"trades": []}, 400, "invalid", "trades"),
    ("GET", "thresholds/ada/of/nothing", None, 404, "not_found", None),
    ("DELETE", "thresholds/ada", None, 405, "method_not_allowed", None),
    ("POST", "adapt-all", {}, 401, "unauthorized", "x-admin-key"),
    ("POST", "config/reload", {}, 401, "unauthorized", "x-admin-key"),
)


async def test_every_refusal_has_one_shape_and_names_the_field(tmp_path: Path, database: str) -> None:
    async with api(tmp_path, database) as at:
        for method, path, body, *refusal in BAD:
            assert list(await at.refused(method, path, body)) == refusal, path
        wrong = {"X-Admin-Key": ADMIN[:-1]}
        assert await at.refused("POST", "adapt-all", {}, headers=wrong) == (401, "unauthorized", "x-admin-key")
        changing = (
            "thresholds/ada/adapt",
            "thresholds/ada/reset",
            "performance/ada",
            "performance/ada/batch",
            "adapt-all",
        )
        for path in changing:
            refused = await at.refused("POST", path, {}, token=False, headers={"X-Admin-Key": ADMIN})
            assert refused == (401, "unauthorized", None), path
        large = {"signal": {**README_SIGNAL, "more": "x" * (1 << 20)}}
        assert (await at.refused("POST", "evaluate/ada", large))[:2] == (413, "body_too_large")


async def test_without_a_configured_key_nobody_adapts_everybody_and_a_client_has_its_rate(
    tmp_path: Path, database: str
) -> None:
    async with api(tmp_path, database, settings=ApiSettings(requests_per_minute=5)) as at:
        for key in ({}, {"X-Admin-Key": ""}, {"X-Admin-Key": "anything"}):
            assert await at.refused("POST", "adapt-all", {}, headers=key) == (403, "forbidden", "x-admin-key")
        for _ in range(2):
            await at.data("GET", "thresholds/ada")
        answer = await at.raw("GET", "thresholds/ada")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "12")
        assert answer.json()["error"]["message"] == "more than 5 requests a minute from 127.0.0.1"
        at.clock.advance(12 * 10**9)
        await at.data("GET", "thresholds/ada")


async def test_the_file_is_read_again_and_what_is_wrong_with_it_changes_nothing(tmp_path: Path, database: str) -> None:
    file = tmp_path / "service.json"
    content: dict[str, Any] = {"security": {"rate_limit_per_minute": 0}, "adaptation": {"performance_window": 50}}
    file.write_text(json.dumps(content))
    settings = msgspec.structs.replace(API, config_file=str(file))
    key = {"X-Admin-Key": ADMIN}
    async with api(tmp_path, database, settings=settings) as at:
        unchanged = await at.data("POST", "config/reload", {}, headers=key)
        assert (unchanged["applied"], unchanged["restart_needed"], unchanged["unchanged"]) == ([], [], 2)
        content["adaptation"] |= {"min_trades_for_adaptation": 3, "max_adaptation_per_cycle": 0.05}
        file.write_text(json.dumps(content))
        again = await at.data("POST", "config/reload", {}, headers=key)
        assert again["applied"] == ["threshold_outcomes.min_trades"]
        assert again["restart_needed"] == ["thresholds.learning.safeguards.max_change"]
        for number in range(3):
            trade = {"symbol": "A", "trade": {"return": 0.01 * number, "id": f"t{number}"}}
            await at.data("POST", "performance/ada", trade)
        at.clock.advance(2 * 10**9)
        assert (await at.data("GET", "performance/ada"))["metrics"]["win_rate"] == pytest.approx(2 / 3)
        content["adaptation"] |= {"min_trade": 4}
        file.write_text(json.dumps(content))
        answer = await at.raw("POST", "config/reload", {}, headers=key)
        assert answer.status_code == 400
        assert "adaptation.min_trade: unknown key" in answer.json()["error"]["message"]
        assert (await at.data("GET", "performance/ada"))["minimum_trades"] == 3
        del content["adaptation"]["min_trade"]
        content["security"]["rate_limit_per_minute"] = -5
        file.write_text(json.dumps(content))
        assert (await at.refused("POST", "config/reload", {}, headers=key))[:2] == (400, "invalid")
