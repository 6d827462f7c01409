"""The connector's routes: bars with indicators, and what is known or missing of several symbols."""

from __future__ import annotations

import math

import numpy as np
import pytest
import talib

from actors.market.bars_intervals import SECOND
from actors.market.data_routes import indicator_columns, resolved
from actors.market.routes_bodies import venue_name
from protocols.control import Refused
from protocols.market import Bar, Funding, Liquidation, MarketSummary, Trade
from protocols.nanos import NANO
from protocols.providers import GetProvidedBars, ProvidedBars
from runtime import Actor, ChildSpec, receive
from tests.actors.market.routes_kit import FEED, PERPETUAL, SPOT, YES, open_api

MINUTE, HOUR = 60 * SECOND, 3600 * SECOND


def summary(market: str) -> MarketSummary:
    return MarketSummary(market, "f", "", "active", None, ())


@pytest.mark.parametrize(
    ("symbol", "market"),
    [
        ("BTCUSDT.BINANCE", "BTCUSDT.BINANCE"),
        ("BTCUSDT", "BTCUSDT.BINANCE"),
        ("btc", "BTCUSDT.BINANCE"),
        ("BTC/USD", "BTC-USD.COINBASE"),
        ("ETH", "ETH-USD.COINBASE"),
        ("KXA", "KXA"),
        ("DOGE", None),
        ("", None),
        ("/", None),
    ],
)
def test_a_symbol_means_the_market_with_the_closest_name(symbol: str, market: str | None) -> None:
    names = ("BTCUSDT.BINANCE-USDM", "BTCUSDT.BINANCE", "BTC-USD.COINBASE", "ETH-USD.COINBASE", "KXA")
    found = resolved(symbol, [summary(name) for name in names])
    assert (found.market if found else None) == market
    perpetual = resolved("BTC", [summary(name) for name in names], "binance-usdm")
    assert perpetual is not None
    assert perpetual.market == "BTCUSDT.BINANCE-USDM"


def test_a_market_without_an_ending_is_kalshis_or_simulated() -> None:
    assert venue_name("KXA", ()) == "kalshi"
    assert venue_name("SIM-ALPHA", ("synthetic",)) == "simulated"
    assert venue_name("BTC-USD.COINBASE", ("synthetic",)) == "coinbase"


def test_indicators_are_those_of_ta_lib_and_missing_while_they_warm_up() -> None:
    random = np.random.default_rng(3)
    closes = 100 + np.cumsum(random.normal(0, 1, 80))
    bars = [
        Bar("M", "1h", i, i + 1, 0, price + NANO, price - NANO, price, "2", 1, None, "trades", 1)
        for i, price in enumerate(round(close * NANO) for close in closes.tolist())
    ]
    columns = indicator_columns(bars)
    assert columns[0] == dict.fromkeys(columns[0])
    exact = np.array([bar.close / NANO for bar in bars])
    assert columns[-1]["rsi_14"] == pytest.approx(talib.RSI(exact, 14)[-1], rel=1e-9)
    assert columns[-1]["macd_signal"] == pytest.approx(talib.MACD(exact)[1][-1], rel=1e-9)
    position = columns[-1]["bollinger_position"]
    assert position is not None
    assert math.isfinite(position)
    quotes = indicator_columns([Bar("M", "1h", 0, 1, 5, 5, 5, 5, "", None, None, "quotes", 1)] * 30)
    assert quotes[-1]["vwap_20"] is None
    assert quotes[-1]["sma_20"] == pytest.approx(5 / NANO)


async def test_the_bars_of_a_window_come_with_indicators_exact_digits_and_their_origin() -> None:
    async with open_api() as api:
        now = api.node.clock.now() // MINUTE * MINUTE
        for minute in range(90, -1, -1):
            ts = now - minute * MINUTE
            price = (40_000 + minute) * NANO + 120_000_000
            await api.say(Trade(SPOT, price, NANO // 8, "buy", "", f"{FEED}-1.1-1", 1, ts, ts, marks=("synthetic",)))
        answer = await api.client.get("/api/data/market/BTC", params={"window_hours": 1, "resolution": "1m"})
        assert '"close":40005.12' in answer.text
        found = answer.json()
        assert (found["symbol"], found["market"], found["resolution"]) == ("BTC", SPOT, "1m")
        rows = found["data"]
        assert 59 <= len(rows) <= 60
        assert rows[-1]["volume"] == 0.125
        assert rows[-1]["indicators"]["sma_20"] == pytest.approx(sum(row["close"] for row in rows[-20:]) / 20, rel=1e-9)
        assert rows[0]["indicators"]["ema_26"] is not None  # it was warmed up before the window
        assert all(row["synthetic"] for row in rows)
        assert (found["origin"]["source"], found["origin"]["venue"], found["origin"]["synthetic"]) == (
            FEED,
            "binance",
            True,
        )
        plain = await api.get("/api/data/market/BTC", window_hours=1, resolution="1m", include_indicators="false")
        assert plain["data"][0]["indicators"] is None
        assert plain["warm_up_start"] is None
        hourly = await api.get(f"/api/data/market/{YES}")
        assert hourly["data"] == []
        assert "bars" in hourly["missing"]
        assert hourly["origin"]["freshness"] == "missing"


@pytest.mark.parametrize(
    ("path", "query", "status", "field"),
    [
        ("DOGE", {}, 404, "symbol"),
        ("BTC", {"resolution": "soon"}, 400, "resolution"),
        ("BTC", {"resolution": "5t"}, 400, "resolution"),
        ("BTC", {"window_hours": 0}, 400, "window_hours"),
        ("BTC", {"window_hours": 8000, "resolution": "1s"}, 400, "window_hours"),
        ("BTC", {"include_indicators": "perhaps"}, 400, "include_indicators"),
    ],
)
async def test_a_parameter_that_is_wrong_is_named(path: str, query: dict[str, object], status: int, field: str) -> None:
    async with open_api(built=False) as api:
        assert (await api.get(f"/api/data/market/{path}", status, **query))["error"]["field"] == field


async def test_what_is_known_comes_with_its_origin_and_what_is_not_with_a_reason() -> None:
    async with open_api() as api:
        now = api.node.clock.now()
        marks = ("synthetic",)
        await api.say(
            Funding(PERPETUAL, "0.0001", now + 1, 60_000 * NANO, None, now, now, marks),
            Liquidation(PERPETUAL, "sell", 60_000 * NANO, NANO // 2, now, now, marks),
            Liquidation(PERPETUAL, "buy", 60_001 * NANO, NANO, now, now - 7200 * SECOND, marks),
            Trade(SPOT, 60_000 * NANO, NANO, "buy", "a", "s", 1, now, now, marks=marks),
            Trade(SPOT, 60_000 * NANO, NANO // 100, "sell", "b", "s", 1, now, now, marks=marks),
            Trade(SPOT, 50_000 * NANO, NANO // 10, None, "c", "s", 1, now, now, marks=marks),
        )
        found = await api.post("/api/data/aggregate", {"symbols": ["BTC", "DOGE"]})
        assert list(found) == ["onchain", "whales", "funding", "smartMoney", "liquidations", "metadata"]
        funding = found["funding"]["BTC"]
        assert (funding["status"], funding["rate"], funding["mark_price"], funding["index_price"]) == (
            "available", 0.0001, 60_000, None,
        )  # fmt: skip
        assert (funding["origin"]["source"], funding["origin"]["venue"]) == (FEED, "binance-usdm")
        forced = found["liquidations"]["BTC"]
        assert (forced["count"], forced["longs"], forced["shorts"], forced["window_hours"]) == (1, 30_000, 0, 1)
        whales = found["whales"]["BTC"]
        assert (whales["market"], whales["threshold"], whales["count"]) == (SPOT, 1000, 2)
        assert (whales["bought"], whales["sold"], whales["unknown"]) == (60_000, 0, 5_000)
        assert whales["origin"]["synthetic"]
        for section in ("onchain", "smartMoney"):
            assert found[section]["BTC"] == {"status": "missing", "reason": found[section]["BTC"]["reason"]}
        assert found["funding"]["DOGE"]["status"] == "missing"
        assert found["funding"]["DOGE"]["rate"] is None
        assert "binance-usdm" in found["funding"]["DOGE"]["reason"]
        assert found["whales"]["DOGE"]["count"] is None
        assert found["metadata"]["sources"] == [FEED]
        assert (found["metadata"]["available"], found["metadata"]["wanted"]) == (3, 10)
        assert found["metadata"]["reliability"] == 0.3


async def test_only_what_is_wanted_is_answered() -> None:
    async with open_api() as api:
        options = {"includeOnchain": False, "includeWhales": False, "includeSmartMoney": False, "includeFunding": False}
        found = await api.post("/api/data/aggregate", {"symbols": [PERPETUAL], "options": options})
        assert [name for name, section in found.items() if section is None] == [
            "onchain",
            "whales",
            "funding",
            "smartMoney",
        ]
        assert found["liquidations"][PERPETUAL]["status"] == "missing"
        assert "no feed tells liquidations" in found["liquidations"][PERPETUAL]["reason"]
        for body, field in (({}, "symbols"), ({"symbols": []}, "symbols"), ({"symbols": [1]}, "symbols[0]")):
            wrong = await api.post("/api/data/aggregate", body, 400)
            assert wrong["error"]["field"] == field


async def test_without_the_keeper_everything_is_missing_and_says_so() -> None:
    async with open_api(built=False) as api:
        found = await api.post("/api/data/aggregate", {"symbols": ["BTC"]})
        assert "does not answer" in found["funding"]["BTC"]["reason"]
        assert found["metadata"]["reliability"] == 0


class Providers(Actor):
    """What answers for a symbol that several providers quote."""

    @receive
    def bars(self, request: GetProvidedBars) -> ProvidedBars:
        if request.symbol == "AWAY":
            raise Refused("unavailable", "no provider answers")
        if request.symbol != "AAPL":
            raise Refused("not_found", "nobody provides it")
        last = request.end // HOUR * HOUR
        bars = tuple(
            Bar("AAPL.MASSIVE", "1h", at, at + HOUR, 5, 5, 5, 5, "", None, None, "venue", at + HOUR, marks=("delayed",))
            for at in range(last - 300 * HOUR, last, HOUR)
        )
        return ProvidedBars(
            symbol="AAPL", provider="AAPL.MASSIVE", interval="1h", freshness="delayed",
            age=5_000_000_000, bars=bars, passed_over=(("AAPL.FIRST", "its breaker is open"),),
        )  # fmt: skip


async def test_a_symbol_with_providers_is_answered_by_the_one_that_is_chosen() -> None:
    async with open_api(within=[ChildSpec(name="providers", actor=Providers)]) as api:
        found = await api.get("/api/data/market/AAPL", window_hours=48)
        assert found["market"] == "AAPL.MASSIVE"
        assert found["origin"] == {
            "source": "AAPL.MASSIVE", "venue": "massive", "freshness": "delayed", "age_ms": 5000, "synthetic": False,
            "marks": ["delayed"],
        }  # fmt: skip
        assert 47 <= len(found["data"]) <= 48
        assert found["data"][0]["indicators"]["sma_20"] is not None
        assert found["data"][0]["volume"] is None
        assert found["missing"] == {"AAPL.FIRST": "passed over: its breaker is open"}
        assert (await api.get("/api/data/market/BTC"))["market"] == SPOT
        assert (await api.get("/api/data/market/DOGE", 404))["error"]["field"] == "symbol"
        own = await api.get(f"/api/data/market/{YES}")
        assert own["origin"]["source"] == FEED
