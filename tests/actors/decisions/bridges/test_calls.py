"""What each bridge says to its service, and what it makes of the answer."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from trio.testing import MockClock

from actors.decisions.bridges.settings import Settings
from protocols.bridges import (
    AggregateSymbols,
    ChangeUpstreamSettings,
    EvaluateUpstream,
    FlowTotals,
    FundingRate,
    GetMarketWindow,
    GetTradingState,
    GetUpstreamSignals,
    SendFeedback,
    StartUpstreamTrading,
    StopUpstreamTrading,
    UpstreamAccount,
    UpstreamSignal,
    WindowBar,
)
from protocols.control import Probe, Refused
from protocols.paths import DATA_BRIDGE, THRESHOLD_BRIDGE, TRADING_BRIDGE
from tests.actors.decisions.bridges.kit.nodes import SECOND, START, bridged, state_of
from tests.actors.decisions.bridges.kit.service import backend, reply, service

pytestmark = pytest.mark.usefixtures("leaping")
Raw = msgspec.Raw


async def test_the_trading_service_is_asked_as_it_wants_and_its_own_figures_come_back(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        trading = node.ref(TRADING_BRIDGE)
        state = await trading.ask(GetTradingState("ann"))
        assert (state.user_id, state.is_active, state.watchlist) == ("ann", True, ("BTC",))
        assert state.accounts == (UpstreamAccount(account_id="a1", mode="paper", equity=10012.5, open_orders=2),)
        assert state.accounts[0].balance is None
        started = await trading.ask(
            StartUpstreamTrading(user_id="ann", watchlist=("BTC",), settings=Raw(b'{"maxPositions":3}'))
        )
        assert (started.user_id, started.session_id, started.status, started.is_active) == ("ann", "x1", "active", None)
        stopped = await trading.ask(StopUpstreamTrading("ann"))
        assert (stopped.user_id, stopped.message, stopped.status) == ("ann", "stopped", None)
        found = await trading.ask(GetUpstreamSignals(user_id="ann", limit=2, symbol="BTC"))
        assert found.signals == (
            UpstreamSignal(signal_id="s1", symbol="BTC", action="BUY", confidence=0.7, ts=START + SECOND),
            UpstreamSignal(signal_id="s2", symbol="BTC"),
        )
        taken = await trading.ask(ChangeUpstreamSettings("ann", Raw(b'{"maxDrawdown":0.1}')))
        assert msgspec.json.decode(taken.answer) == {"maxDrawdown": 0.1}
        sent = await trading.ask(
            SendFeedback(user_id="ann", prediction_id="p1", outcome=Raw(b"0.012"), ts=START + SECOND)
        )
        assert msgspec.json.decode(sent.answer) == {"taken": "p1"}
        assert [(each.method, each.path, each.query, each.body) for each in there.asked] == [
            ("GET", "/api/trading/status/ann", {}, None),
            (
                "POST",
                "/api/trading/start",
                {},
                {"userId": "ann", "watchlist": ["BTC"], "settings": {"maxPositions": 3}},
            ),
            ("POST", "/api/trading/stop", {}, {"userId": "ann"}),
            ("GET", "/api/trading/signals/ann", {"limit": "2", "symbol": "BTC"}, None),
            ("PUT", "/api/trading/settings/ann", {}, {"maxDrawdown": 0.1}),
            (
                "POST",
                "/api/rl/feedback",
                {},
                {
                    "userId": "ann",
                    "predictionId": "p1",
                    "outcome": 0.012,
                    "timestamp": "2026-01-01T00:00:01.000000Z",
                },
            ),
        ]
        figures = (await state_of(node, TRADING_BRIDGE)).statistics
        assert (figures.requests, figures.succeeded, figures.success_rate) == (6, 6, 1.0)


async def test_the_aggregator_gives_bars_in_order_and_says_which_sections_are_missing(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(data_url=there.url)) as node:
        data = node.ref(DATA_BRIDGE)
        window = await data.ask(GetMarketWindow(symbol="BTC/USD", window_hours=48, resolution="15m"))
        assert window.bars == (
            WindowBar(ts=START, open=1.0, high=2.0, low=1.0, close=2.0, volume=None),
            WindowBar(ts=START + 3600 * SECOND, open=2.0, high=3.0, low=1.0, close=2.5, volume=10.0),
        )
        assert window.indicators == (("macd", None), ("rsi", 55.5))
        [asked] = there.asked
        assert asked.path == "/api/data/market/BTC%2FUSD"
        assert asked.query == {"window_hours": "48", "resolution": "15m", "include_indicators": "true"}
        found = await data.ask(AggregateSymbols(symbols=("BTC",), onchain=False))
        assert there.asked[1].body == {
            "symbols": ["BTC"],
            "options": {
                "includeOnchain": False,
                "includeFunding": True,
                "includeWhales": True,
                "includeSmartMoney": True,
                "includeLiquidations": True,
            },
        }
        assert found.missing == ("smart_money",)
        assert (found.smart_money, found.liquidations) == (None, ())
        assert found.whales is not None
        assert (found.whales[0].kind, found.whales[0].ts) == ("exchange_inflow", START + SECOND // 4)
        assert (found.sources, found.reliability) == (("bitquery",), 0.9)


async def test_an_approved_signal_keeps_its_own_action_and_a_declined_one_is_hold(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(threshold_url=there.url)) as node:
        threshold = node.ref(THRESHOLD_BRIDGE)
        asked = EvaluateUpstream(user_id="ann", symbol="BTC", action="SELL", confidence=0.8, rsi=41.0)
        found = await threshold.ask(asked)
        assert (found.should_trade, found.action, found.confidence) == (True, "SELL", 0.8)
        assert (found.thresholds, found.reasoning) == ((("rsi_threshold", 70.0),), "all rules pass")
        # What is not known is not sent as a zero.
        assert there.asked[0].body == {"signal": {"symbol": "BTC", "action": "SELL", "confidence": 0.8, "rsi": 41.0}}
        there.faults.append(reply(200, {"success": True, "data": {"should_trade": False}}))
        found = await threshold.ask(asked)
        assert (found.should_trade, found.action, found.thresholds) == (False, "HOLD", None)


async def test_the_token_comes_from_its_file_and_is_read_again_after_it_was_not_taken(
    leaping: MockClock, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    async with (
        service(backend) as there,
        bridged(Settings(trading_url=there.url, trading_token_file=str(file))) as node,
    ):
        trading = node.ref(TRADING_BRIDGE)
        await trading.ask(GetTradingState("ann"))
        file.write_text("second")
        await trading.ask(GetTradingState("ann"))
        there.faults.append(reply(401, {"error": "who?"}))
        with pytest.raises(Refused) as refusal:
            await trading.ask(GetTradingState("ann"))
        assert refusal.value.code == "upstream_error"
        await trading.ask(GetTradingState("ann"))
        said = [each.headers["authorization"] for each in there.asked]
        assert said == ["Bearer first", "Bearer first", "Bearer first", "Bearer second"]
        file.unlink()
        there.faults.append(reply(403, {}))
        for _ in range(2):
            with pytest.raises(Refused) as refusal:
                await trading.ask(GetTradingState("ann"))
        assert refusal.value.code == "upstream_unavailable"
        assert "cannot be read" in refusal.value.message
        assert len(there.asked) == 5


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{nothing", "no JSON"),
        (b"", "no JSON"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"data":[{"timestamp":1,"close":"2.5"}]}', "Expected `float | null`, got `str` - at `$.data[0].close`"),
        (b'{"data":[{"close":2.5}]}', "missing required field `timestamp` - at `$.data[0]`"),
        (b'{"data":[{"timestamp":"yesterday"}]}', "expected a time in ISO 8601, got 'yesterday'"),
        (b'{"rows":[]}', "neither bars nor indicators"),
        (b'{"data":[{"timestamp":1,"close":NaN}]}', "no JSON"),
    ],
)
async def test_an_answer_of_the_wrong_shape_is_one_clear_error_and_is_not_asked_for_again(
    leaping: MockClock, body: bytes, said: str
) -> None:
    async with service(backend) as there, bridged(Settings(data_url=there.url)) as node:
        there.faults.append(reply(200, body))
        if body == b"[]":
            assert (await node.ref(DATA_BRIDGE).ask(GetMarketWindow(symbol="BTC"))).bars == ()
            return
        with pytest.raises(Refused) as refusal:
            await node.ref(DATA_BRIDGE).ask(GetMarketWindow(symbol="BTC"))
        assert refusal.value.code == "upstream_error"
        assert "the data aggregator has answered what cannot be read" in refusal.value.message
        assert said in refusal.value.message
        assert len(there.asked) == 1
        assert (await state_of(node, DATA_BRIDGE)).statistics.by_outcome == (("malformed", 1),)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (reply(404, {"error": "no user"}), "upstream_not_found", "no user"),
        (reply(409, {"error": "already trading"}), "upstream_refused", "already trading"),
        (reply(200, {"success": False, "error": "the market is closed"}), "upstream_refused", "the market is closed"),
    ],
)
async def test_what_the_service_itself_refuses_is_its_answer_and_no_failure(
    leaping: MockClock, answer: bytes, code: str, words: str
) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url)) as node:
        there.always.append(answer)
        for _ in range(6):
            with pytest.raises(Refused) as refusal:
                await node.ref(TRADING_BRIDGE).ask(GetTradingState("ann"))
            assert refusal.value.code == code
            assert words in refusal.value.message
        state = await state_of(node, TRADING_BRIDGE)
        assert (len(there.asked), state.breaker, state.statistics.failed) == (6, "closed", 0)
        assert (await node.ref(TRADING_BRIDGE).ask(Probe())).status == "ok"


async def test_what_cannot_be_sent_is_refused_with_its_field_before_anybody_is_asked(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(trading_url=there.url, data_url=there.url)) as node:
        trading, data = node.ref(TRADING_BRIDGE), node.ref(DATA_BRIDGE)
        for wrong, field in (
            (trading.ask(GetTradingState("..")), "user_id"),
            (trading.ask(GetTradingState("a\nb")), "user_id"),
            (trading.ask(GetUpstreamSignals(user_id="ann", limit=0)), "limit"),
            (trading.ask(ChangeUpstreamSettings("ann", Raw(b"[1]"))), "settings"),
            (trading.ask(StartUpstreamTrading(user_id="ann", idempotency_key="a\r\nb: c")), "idempotency_key"),
            (trading.ask(SendFeedback(user_id="ann", prediction_id="p", outcome=Raw(b"{"))), "outcome"),
            (data.ask(GetMarketWindow(symbol="BTC", window_hours=0)), "window_hours"),
            (data.ask(AggregateSymbols(symbols=())), "symbols"),
        ):
            with pytest.raises(Refused) as refusal:
                await wrong
            assert (refusal.value.code, refusal.value.field) == ("invalid", field)
        assert there.asked == []


OWN_WINDOW = {
    "symbol": "BTC",
    "data": [
        {
            "timestamp": "2026-01-01T00:00:00.000000Z",
            "open": 1.5,
            "high": None,
            "low": None,
            "close": 2,
            "volume": 0,
            "synthetic": True,
            "marks": ["demo"],
            "indicators": {"rsi_14": 50.5, "adx": None},
        }
    ],
    "origin": {"source": "s", "venue": "v", "freshness": "stale", "age_ms": None, "synthetic": True, "marks": []},
    "missing": {},
}
OWN_AGGREGATE = {
    "onchain": {"BTC": {"status": "missing", "reason": "nobody provides it"}},
    "whales": {"BTC": {"status": "available", "window_hours": 4.0, "count": 2, "bought": 5e6, "sold": 0}},
    "funding": {
        "BTC": {"status": "available", "rate": 0.0001, "origin": {"synthetic": True, "marks": [], "freshness": "live"}},
        "ETH": {"status": "missing", "reason": "no perpetual", "rate": None},
    },
    "smartMoney": None,
    "liquidations": {"BTC": {"status": "available", "window_hours": 1.0, "count": 1, "longs": 7.5, "shorts": None}},
    "metadata": {"sources": ["simulated"], "reliability": 0.5, "available": 3, "wanted": 6},
}


async def test_a_node_of_ours_is_understood_as_an_aggregator_and_its_marks_stay(leaping: MockClock) -> None:
    async with service(backend) as there, bridged(Settings(data_url=there.url)) as node:
        there.faults.extend([reply(200, OWN_WINDOW), reply(200, OWN_AGGREGATE)])
        window = await node.ref(DATA_BRIDGE).ask(GetMarketWindow(symbol="BTC"))
        assert window.marks == ("demo", "stale", "synthetic")
        assert window.indicators == (("adx", None), ("rsi_14", 50.5))
        found = await node.ref(DATA_BRIDGE).ask(AggregateSymbols(symbols=("BTC", "ETH")))
        assert found.whale_totals == (FlowTotals(symbol="BTC", count=2, bought=5e6, sold=0.0, window_hours=4.0),)
        # Longs that are closed by force are sold.
        assert found.liquidation_totals == (FlowTotals(symbol="BTC", count=1, bought=None, sold=7.5, window_hours=1.0),)
        assert found.funding == (FundingRate(symbol="BTC", rate=0.0001),)
        assert (found.whales, found.onchain, found.marks) == (None, None, ("synthetic",))
        assert found.missing == (
            "onchain:BTC",
            "onchain:ETH",
            "whales:ETH",
            "funding:ETH",
            "smart_money",
            "liquidations:ETH",
        )
