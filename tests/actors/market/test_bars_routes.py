"""Bars and trades over HTTP: from memory, from the database, made of shorter ones; and what is wrong with a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.market.bars import merged
from actors.market.bars_intervals import SECOND, parse_interval
from actors.market.rows import BarRow, TradeRow
from protocols.market import Bar, Trade
from protocols.market_data import BarSource
from protocols.nanos import NANO
from runtime import ChildSpec, supervisor
from tests.actors.databases import Databases
from tests.actors.market.routes_kit import FEED, SPOT, YES, Api, open_api
from tests.actors.market.stored import FOLDERS, START, StoreDatabase

MINUTE = 60 * SECOND
T0 = START // (3600 * SECOND) * 3600 * SECOND


def trade(second: float, price: int, market: str = YES, size: int = NANO) -> Trade:
    ts = T0 + round(second * SECOND)
    return Trade(market, price, size, "buy", f"{market}{second}", f"{FEED}-1.1-1", 1, ts, ts, marks=("synthetic",))


def bar(minute: int, *, interval: str = "1m", source: BarSource = "trades", close: int = 0) -> Bar:
    start = T0 + minute * parse_interval(interval).length
    price = close or (minute + 1) * 10_000_000
    return Bar(
        SPOT, interval, start, start + parse_interval(interval).length, price, price, price, price,
        volume="1.5", trades=2, vwap=price, source=source, ts_recv=start + 61 * SECOND,
    )  # fmt: skip


async def bars(api: Api, market: str, **query: Any) -> Any:
    return await api.get(f"/api/v1/markets/{market}/bars", **query)


async def test_bars_say_what_they_are_made_of_how_old_they_are_and_that_they_are_made_up() -> None:
    async with open_api() as api:
        await api.say(trade(0, 400_000_000), trade(30, 455_000_000, size=NANO // 4), trade(61, 450_000_000))
        found = await bars(api, YES)
        assert found["interval"] == "1m"
        assert found["built_from"] == "trades"
        assert found["missing"] != ""  # there is no database here, and nobody knows what was before
        (first,) = found["bars"]
        assert (first["open"], first["high"], first["low"], first["close"]) == ("0.4000", "0.4550", "0.4000", "0.4550")
        assert (first["volume"], first["trades"], first["vwap"]) == ("1.25", 2, "0.4110")
        assert (first["start"], first["end"]) == (T0, T0 + MINUTE)
        assert first["marks"] == ["stale", "synthetic"]  # its first half minute was not seen
        assert found["origin"] == {
            "source": FEED,
            "venue": "simulated",
            "freshness": "stale",
            "age_ms": found["origin"]["age_ms"],
            "synthetic": True,
            "marks": ["stale", "synthetic"],
        }
        await api.say(trade(130, 400_000_000))
        later = await bars(api, YES)
        assert (later["origin"]["freshness"], later["origin"]["marks"]) == ("live", ["synthetic"])
        assert (await bars(api, SPOT))["origin"]["freshness"] == "missing"


async def test_a_window_of_bars_holds_its_start_and_not_its_end() -> None:
    async with open_api() as api:
        await api.say(*(trade(60 * minute, 400_000_000) for minute in range(6)))
        found = await bars(api, YES, start=T0 + MINUTE, end=T0 + 3 * MINUTE)
        assert [each["start"] for each in found["bars"]] == [T0 + MINUTE, T0 + 2 * MINUTE]
        assert found["missing"] == ""
        newest = await bars(api, YES, start="2026-01-01T00:00:00Z", limit=2)
        assert [each["start"] for each in newest["bars"]] == [T0 + 3 * MINUTE, T0 + 4 * MINUTE]


async def test_longer_bars_that_nobody_builds_are_made_of_shorter_ones() -> None:
    async with open_api() as api:
        await api.say(*(trade(60 * minute, (40 + minute) * 10_000_000) for minute in range(8)))
        found = await bars(api, YES, interval="3m", start=T0)
        starts = [each["start"] for each in found["bars"]]
        assert starts == [T0, T0 + 3 * MINUTE]
        assert found["bars"][1]["close"] == "0.4500"
        assert found["bars"][1]["volume"] == "3"


async def test_trades_come_in_their_order_and_from_a_time_on() -> None:
    async with open_api() as api:
        await api.say(*(trade(second, 400_000_000 + second) for second in range(5)))
        found = await api.get(f"/api/v1/markets/{YES}/trades", limit=3)
        assert [each["price"] for each in found["trades"]] == ["0.400000002", "0.400000003", "0.400000004"]
        assert found["trades"][0]["size"] == "1.00"
        assert found["origin"]["synthetic"]
        later = await api.get(f"/api/v1/markets/{YES}/trades", since=T0 + 4 * SECOND)
        assert len(later["trades"]) == 1


@pytest.mark.parametrize(
    ("path", "query", "status", "field"),
    [
        ("bars", {"interval": "1y"}, 400, "interval"),
        ("bars", {"start": "yesterday"}, 400, "start"),
        ("bars", {"start": "2026-01-02", "end": "2026-01-01"}, 400, "end"),
        ("bars", {"limit": 0}, 400, "limit"),
        ("bars", {"limit": 5001}, 400, "limit"),
        ("bars", {"source": "dreams"}, 400, "source"),
        ("trades", {"limit": "many"}, 400, "limit"),
        ("trades", {"since": "1e9"}, 400, "since"),
    ],
)
async def test_a_parameter_that_is_wrong_is_named(path: str, query: dict[str, object], status: int, field: str) -> None:
    async with open_api(built=False) as api:
        found = await api.get(f"/api/v1/markets/{YES}/{path}", status, **query)
        assert found["error"]["field"] == field
        missing = await api.get(f"/api/v1/markets/NOTHING/{path}", 404)
        assert missing["error"]["code"] == "not_found"


@pytest.fixture(scope="module")
def url(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> str:
    found = databases.new(FOLDERS)
    stored = StoreDatabase(found, tmp_path_factory.mktemp("bars"))
    for minute in range(600):
        stored.log.append(BarRow.of(bar(minute), FEED))
    for _ in range(2):  # a recording that was played twice
        stored.log.append(BarRow.of(bar(0, interval="1h"), FEED))
    stored.log.append(BarRow.of(bar(5, source="venue", interval="5m", close=77), FEED))
    stored.log.append(BarRow.of(bar(5, interval="5m"), FEED))
    for second in range(700):
        stored.log.append(TradeRow.of(trade(second / 10, 10**6 + second, SPOT), FEED))
    stored.move()
    stored.log.close()
    return found


def queries(url: str) -> ChildSpec:
    spec = ChildSpec(name="queries", actor="actors.storage.queries:Queries", arguments={"url": url, "connections": 2})
    return supervisor("storage", spec)


async def test_what_is_not_in_memory_comes_from_the_database(url: str) -> None:
    async with open_api(queries(url)) as api:
        found = await bars(api, SPOT, start=T0, limit=5000)
        assert found["missing"] == ""
        assert [each["start"] for each in found["bars"]] == [T0 + minute * MINUTE for minute in range(600)]
        assert found["bars"][7] == {
            "start": T0 + 7 * MINUTE, "end": T0 + 8 * MINUTE, "open": "0.0800", "high": "0.0800", "low": "0.0800",
            "close": "0.0800", "volume": "1.5", "trades": 2, "vwap": "0.0800", "empty": False, "late": 0, "marks": [],
        }  # fmt: skip
        assert len((await bars(api, SPOT, interval="1h"))["bars"]) == 1
        own = await bars(api, SPOT, interval="5m")
        assert (own["built_from"], own["bars"][0]["close"]) == ("venue", "0.000000077")
        assert (await bars(api, SPOT, interval="5m", source="trades"))["bars"][0]["close"] == "0.0600"
        quarter = (await bars(api, SPOT, interval="15m", start=T0))["bars"]
        assert len(quarter) == len(merged([bar(minute) for minute in range(600)], parse_interval("15m")))


async def test_bars_in_memory_and_in_the_database_meet_without_a_gap_or_a_double(url: str) -> None:
    async with open_api(queries(url)) as api:
        live = [trade(60 * minute, 400_000_000, SPOT) for minute in range(598, 605)]
        await api.say(*live)
        found = await bars(api, SPOT, start=T0, limit=5000)
        assert [each["start"] for each in found["bars"]] == [T0 + minute * MINUTE for minute in range(604)]
        assert found["bars"][597]["close"] == "5.9800"
        assert found["bars"][598]["close"] == "0.4000"
        trades = (await api.get(f"/api/v1/markets/{SPOT}/trades", limit=5000))["trades"]
        assert len(trades) == 700 + len(live)
        assert [each["ts_recv"] for each in trades] == sorted(each["ts_recv"] for each in trades)


async def test_a_database_that_is_away_takes_nothing_but_what_it_has(tmp_path: Path) -> None:
    away = queries(f"postgresql://nobody@/nothing?host={tmp_path}")
    async with open_api(away) as api:
        await api.say(trade(0, 400_000_000), trade(60, 400_000_000))
        found = await bars(api, YES)
        assert len(found["bars"]) == 1
        assert "database" in str(found["missing"])
