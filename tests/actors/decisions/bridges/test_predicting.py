"""Predictions of a running node whose services outside answer, are away, hang, or talk nonsense."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock
from trio_websocket import open_websocket_url

from actors.decisions.bridges.settings import Settings
from actors.decisions.features.market import EXTERNAL
from actors.decisions.features.names import FEATURE_SETS, MARKET_29
from protocols.paths import TRADING_BRIDGE
from tests.actors.decisions.bridges.kit.nodes import state_of
from tests.actors.decisions.bridges.kit.predicting import HOUR_MS, NOW_MS, Predicting, hourly, predicting
from tests.actors.decisions.bridges.kit.service import VERDICT, Asked, Service, backend, plain, reply, service

OF_BARS = set(FEATURE_SETS[MARKET_29]) - EXTERNAL
AROUND = {
    "whales": {
        "BTC": {"status": "available", "count": 12, "bought": 3e6, "sold": 1e6, "window_hours": 4.0},
    },
    "funding": [
        {"symbol": "BTC", "exchange": "one", "rate": 0.0001},
        {"symbol": "BTC", "exchange": "two", "rate": 0.0003},
    ],
    "liquidations": [
        {"symbol": "BTC", "side": "long", "amountUsd": 3e5, "timestamp": NOW_MS - 60_000},
        {"symbol": "BTC", "side": "short", "amountUsd": 1e5, "timestamp": NOW_MS - 60_000},
        {"symbol": "BTC", "side": "short", "amountUsd": 9e9, "timestamp": NOW_MS - 2 * HOUR_MS},
        {"symbol": "ETH", "side": "short", "amountUsd": 9e9, "timestamp": NOW_MS - 60_000},
    ],
    "metadata": {},
}


def aggregator(window: Any, around: Any = AROUND) -> Callable[[Asked], bytes]:
    def answer(asked: Asked) -> bytes:
        if asked.path.startswith("/api/data/market/"):
            return reply(200, window)
        return reply(200, around) if asked.path == "/api/data/aggregate" else backend(asked)

    return answer


@asynccontextmanager
async def outside(
    folder: Path, *names: str, answering: Callable[[Asked], bytes] = backend, breaker: int = 5, **changes: Any
) -> AsyncIterator[tuple[Predicting, Service]]:
    """A node with bridges to these services, all of them one stand-in."""
    async with service(answering) as there:
        urls = {f"{name}_url": there.url for name in names}
        async with predicting(folder, Settings(**urls, retries=0, breaker_failures=breaker), **changes) as node:
            yield node, there


async def test_market_fields_that_were_not_sent_come_from_the_aggregator(tmp_path: Path, leaping: MockClock) -> None:
    window = hourly(synthetic=True)
    async with outside(tmp_path, "data", answering=aggregator(window)) as (node, there):
        said = await node.predict(signal_data={"rsi": 28.0})
        assert (said["served_by"], said["reason"], said["upstreams"]) == ("rl", "", {"market": "ok", "aggregate": "ok"})
        assert said["marks"] == ["synthetic"]
        [known] = node.model.known
        assert set(known) >= OF_BARS
        assert known["rsi"] == pytest.approx((28.0 - 50) / 50)  # the client's word, not the bars'
        assert known["whale_net_flow"] == 0.5
        assert known["liquidation_imbalance"] == 0.5
        assert set(said["missing"]) == set(FEATURE_SETS[MARKET_29]) - set(known)
        assert "active_addresses_change" in said["missing"]
        assert sorted(asked.path for asked in there.asked) == ["/api/data/aggregate", "/api/data/market/BTC"]

        # Nothing is asked twice while it is fresh.
        await node.predict(user_id="bob")
        assert len(there.asked) == 2


async def test_the_aggregator_s_bars_tell_the_regime_unless_the_client_does(tmp_path: Path, leaping: MockClock) -> None:
    async with outside(tmp_path, "data", answering=aggregator(hourly(120))) as (node, there):
        said = await node.predict()
        assert sum(said["regimes"].values()) == pytest.approx(1.0)
        said = await node.predict(regimes={"bull": 1.0})
        assert said["regimes"]["bull"] == 1.0
        there.answering = aggregator(hourly(40))
        assert (await node.predict(symbol="ETH"))["regimes"] == {}  # too few bars to tell one


async def test_what_a_client_sends_itself_is_not_asked_for(tmp_path: Path, leaping: MockClock) -> None:
    async with outside(tmp_path, "data", answering=aggregator(hourly())) as (node, there):
        blocks = {name: {} for name in ("onchain", "whales", "funding", "smartMoney", "liquidations")}
        said = await node.predict(market_data={"candles": hourly()["data"], **blocks})
        assert (said["upstreams"], there.asked) == ({}, [])
        wrong = {"user_id": "ann", "symbol": "BTC", "signal_data": {"rsi": 200}}
        error = await node.ask("POST", "/api/v1/predict", wrong, status=400)
        assert (error["error"]["field"], there.asked) == ("signal_data.rsi", [])


HALF = reply(200, hourly(), cut=40)
FAULTS: dict[str, tuple[bytes | None, str]] = {
    "a fault of its own": (reply(500, {"error": "on fire"}), "upstream_error: "),
    "busy": (reply(503, {}), "upstream_unavailable: "),
    "no JSON": (reply(200, b"<html>"), "upstream_error: "),
    "JSON of something else": (reply(200, {"bars": "none"}), "upstream_error: "),
    "half an answer": (HALF, "upstream_unavailable: "),
    "silence": (None, "timed_out: "),
    "bars that cannot be": (reply(200, hourly(low=1e9)), "unusable: "),
    "bars of last week": (reply(200, hourly(end_ms=NOW_MS - 168 * HOUR_MS)), "unusable: "),
    "no bars": (reply(200, {"bars": []}), "unusable: "),
}


async def test_whatever_the_aggregator_does_a_prediction_is_made_in_time(tmp_path: Path, leaping: MockClock) -> None:
    async with outside(tmp_path, "data", breaker=1000, min_features=3) as (node, there):
        for place, (fault, (sent, why)) in enumerate(FAULTS.items()):
            there.always[:] = [sent]
            symbol = fault.replace(" ", "-")
            said = await node.predict(symbol=symbol, market_data={"prices": [1.0]}, timeout_seconds=0.4)
            assert "market" not in said["upstreams"]  # there are prices
            said = await node.predict(symbol=symbol, timeout_seconds=0.4)
            assert said["upstreams"]["market"].startswith(why), (fault, said["upstreams"])
            assert (said["served_by"], said["reason"]) == ("fallback", "MISSING_FEATURES")
            assert set(said["missing"]) == set(FEATURE_SETS[MARKET_29]) - {"rsi"}
            # With what the client knows itself the model answers all the same.
            enough = {"rsi": 20.0 + place, "sma_ratio": 1.01, "bollinger_position": 0.1}
            said = await node.predict(symbol=symbol, signal_data=enough, timeout_seconds=0.4)
            assert (said["served_by"], set(node.model.known[-1])) == ("rl", set(enough)), fault
            leaping.jump(15.0)  # what hangs has failed by now


async def test_an_aggregator_that_is_away_costs_a_prediction_its_fields_until_it_is_back(
    tmp_path: Path, leaping: MockClock
) -> None:
    async with outside(tmp_path, "data", answering=aggregator(hourly())) as (node, there):
        there.down()
        said = await node.predict()
        assert said["upstreams"]["market"].startswith("upstream_unavailable: the data aggregator: ConnectError: ")
        for _ in range(3):
            said = await node.predict()
        assert said["upstreams"]["aggregate"].startswith("circuit_open: ")
        assert said["served_by"] == "rl"
        data = (await node.ask("GET", "/api/v1/bridges"))["bridges"][1]
        assert (data["name"], data["state"], data["breaker"]) == ("data", "degraded", "open")
        services = (await node.ask("GET", "/api/v1/health"))["services"]
        assert services["data_connector"] == "degraded"

        async with trio.open_nursery() as nursery:
            await nursery.start(there.run)  # at the same port
            assert (await node.predict())["upstreams"]["market"].startswith("circuit_open: ")
            assert there.asked == []
            leaping.jump(61.0)
            # One call tries; the other is refused while it does.
            first = (await node.predict())["upstreams"]
            assert "ok" in first.values()
            said = await node.predict()
            assert said["upstreams"] == {"market": "ok", "aggregate": "ok"}
            assert set(node.model.known[-1]) >= OF_BARS
            assert (await node.ask("GET", "/api/v1/bridges"))["bridges"][1]["breaker"] == "closed"
            nursery.cancel_scope.cancel()


async def test_an_aggregator_that_does_not_speak_tls_is_told_as_that(tmp_path: Path) -> None:
    async with plain() as url, predicting(tmp_path, Settings(data_url=url, retries=0)) as node:
        said = await node.predict()
        assert said["served_by"] == "rl"
        assert said["upstreams"]["market"].startswith("upstream_unavailable: ")
        assert "SSL" in said["upstreams"]["market"]


async def test_a_request_that_names_no_time_has_that_of_the_configuration(tmp_path: Path, leaping: MockClock) -> None:
    async with outside(tmp_path, "data", timeout_s=0.2) as (node, there):
        there.always.append(None)
        began = trio.current_time()
        said = await node.predict()
        assert trio.current_time() - began <= 0.2
        assert said["upstreams"]["market"] == "timed_out: no answer within 0.1 s"
        taken = await node.ask(
            "POST", "/api/v1/predict/async", {"user_id": "ann", "symbol": "BTC", "signal_data": {"rsi": 28.0}}
        )
        assert taken["estimated_time_seconds"] == 0.2


async def test_a_prediction_that_is_fetched_later_has_the_fields_too(tmp_path: Path, leaping: MockClock) -> None:
    async with outside(tmp_path, "data", answering=aggregator(hourly())) as (node, _):
        body = {"user_id": "ann", "symbol": "BTC", "signal_data": {}}
        taken = await node.ask("POST", "/api/v1/predict/async", body)
        said = await node.ask("GET", f"/api/v1/predict/{taken['request_id']}/result")
        assert said["served_by"] == "rl"
        assert set(node.model.known[0]) >= OF_BARS


async def test_a_prediction_over_a_websocket_has_the_fields_too(tmp_path: Path, leaping: MockClock) -> None:
    async with outside(tmp_path, "data", answering=aggregator(hourly())) as (node, there):
        url = str(node.client.base_url).replace("http:", "ws:")
        async with open_websocket_url(f"{url}/ws/predictions/ann") as socket:
            await socket.send_message('{"symbol": "BTC"}')
            said = json.loads(await socket.get_message())
            assert (said["served_by"], said["upstreams"]) == ("rl", {"aggregate": "ok", "market": "ok"})
            there.always.append(reply(500, {}))
            await socket.send_message('{"symbol": "ETH", "timeout_seconds": 0.4}')
            said = json.loads(await socket.get_message())
            assert said["upstreams"]["market"].startswith("upstream_error: ")
        assert set(node.model.known[0]) >= OF_BARS


# The threshold service.

SIGNAL = {"action": "BUY", "confidence": 0.8, "rsi": 28.0}


def judging(should_trade: bool) -> bytes:
    return reply(200, {"success": True, "data": {**VERDICT["data"], "should_trade": should_trade}})  # type: ignore[dict-item]


async def test_the_control_arm_answers_by_the_verdict_of_the_threshold_service(
    tmp_path: Path, leaping: MockClock
) -> None:
    async with outside(tmp_path, "threshold", share=0.0) as (node, there):
        said = await node.predict(signal_data=SIGNAL)
        assert (said["served_by"], said["model_used"], said["arm"]) == ("rule", "adaptive_threshold", "control")
        assert (said["action"], said["should_trade"], said["confidence"]) == ("BUY", True, 0.8)
        assert said["reasoning"] == "threshold service: BUY: all rules pass"
        assert there.asked[0].body == {"signal": {"symbol": "BTC", "action": "BUY", "confidence": 0.8, "rsi": 28.0}}

        there.faults.append(judging(False))
        said = await node.predict(signal_data=SIGNAL)
        assert (said["action"], said["should_trade"]) == ("HOLD", False)

        # There is nothing to judge where nothing is proposed.
        for nothing in ({"rsi": 28.0}, {**SIGNAL, "action": "HOLD"}):
            said = await node.predict(signal_data=nothing)
            assert (said["action"], said["upstreams"], len(there.asked)) == ("HOLD", {}, 2)


async def test_the_fallback_of_a_model_is_the_verdict_too(tmp_path: Path, leaping: MockClock) -> None:
    async with outside(tmp_path, "threshold", min_features=20) as (node, there):
        there.faults.append(judging(False))
        said = await node.predict(signal_data=SIGNAL)
        assert (said["served_by"], said["reason"], said["arm"]) == ("fallback", "MISSING_FEATURES", "treatment")
        assert (said["action"], said["should_trade"]) == ("HOLD", False)
        assert "threshold service: no trade" in said["reasoning"]


async def test_without_a_verdict_the_fixed_rule_answers_in_time_and_says_why(
    tmp_path: Path, leaping: MockClock
) -> None:
    async with outside(tmp_path, "threshold", share=0.0) as (node, there):
        for sent, why in (
            (reply(500, {}), "upstream_error: "),
            (reply(200, {"success": False, "error": "no such user"}), "upstream_refused: "),
            (reply(200, {"data": {}}), "upstream_error: "),
            (None, "timed_out: "),
        ):
            there.always[:] = [sent]
            said = await node.predict(signal_data=SIGNAL, timeout_seconds=0.4)
            assert (said["served_by"], said["action"], said["confidence"]) == ("rule", "BUY", pytest.approx(0.85))
            assert f"no verdict of the threshold service ({why}" in said["reasoning"]
            assert "confirmed by rsi 28 is low" in said["reasoning"]
            assert said["upstreams"]["threshold"].startswith(why)


# The trading service.


async def test_an_outcome_is_passed_on_to_the_trading_service_once(tmp_path: Path, leaping: MockClock) -> None:
    async with outside(tmp_path, "trading") as (node, there):
        made = await node.predict()
        told = {"userId": "ann", "predictionId": made["request_id"], "outcome": {"return": 0.01, "success": True}}
        said = await node.ask("POST", "/api/rl/feedback", told)
        assert (said["repeated"], said["forwarded"]) == (False, True)
        await there.until(1)
        asked = there.asked[0]
        assert (asked.path, asked.body["outcome"]) == ("/api/rl/feedback", {"success": True, "return": 0.01})
        assert (asked.body["userId"], asked.body["predictionId"]) == ("ann", made["request_id"])
        again = await node.ask("POST", "/api/rl/feedback", told)
        assert (again["repeated"], "forwarded" in again, len(there.asked)) == (True, False, 1)


async def test_an_outcome_is_stored_though_the_trading_service_is_away(tmp_path: Path, leaping: MockClock) -> None:
    async with outside(tmp_path, "trading") as (node, there):
        there.down()
        made = await node.predict()
        told = {"userId": "ann", "predictionId": made["request_id"], "outcome": 0.01}
        assert (await node.ask("POST", "/api/rl/feedback", told))["status"] == "recorded"
        await node.ask("POST", "/api/v1/bridges/trading/stop", {"user_id": "ann"}, status=503)
        assert (await state_of(node.node, TRADING_BRIDGE)).consecutive_failures == 2
        assert (await node.ask("POST", "/api/rl/feedback", told))["repeated"] is True


async def test_the_trading_service_can_be_told_an_outcome_by_hand(tmp_path: Path, leaping: MockClock) -> None:
    async with outside(tmp_path, "trading") as (node, there):
        body = {"user_id": "ann", "prediction_id": "p1", "outcome": {"pnl": 3}}
        said = await node.ask("POST", "/api/v1/bridges/trading/feedback", body)
        assert said["answer"] == {"taken": "p1"}
        assert json.dumps(there.asked[0].body["outcome"]) == '{"pnl": 3}'
