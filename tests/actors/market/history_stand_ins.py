"""Stand-ins for the venues' history endpoints: each answers in its venue's own JSON, with its own way of paging.

A `Truth` is what happened: minutes with a bar, and trades. Prices follow from the minute, so that a bar that was mixed
up with another one shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tests.actors.market.rest_stand_in import Answer, Answering, Query

NANO = 1_000_000_000
MINUTE_S = 60
NEW_YORK = ZoneInfo("America/New_York")


class Truth(NamedTuple):
    """`minutes`: the seconds at which bars begin. `trades`: (seconds, number), oldest first."""

    minutes: Sequence[int]
    trades: Sequence[tuple[float, int]] = ()

    def within(self, first: float, last: float) -> list[int]:
        return [at for at in self.minutes if first <= at <= last]


def price(at: int) -> str:
    """Of the minute that begins at `at` seconds."""
    return f"{100 + (at // MINUTE_S) % 900}.25"


def volume(at: int) -> str:
    return f"{(at // MINUTE_S) % 7 + 1}.5"


def binance(truth: Truth) -> Answering:
    def klines(query: Query) -> Answer:
        found = truth.within(int(query["startTime"]) / 1000, int(query["endTime"]) / 1000)
        rows: list[list[Any]] = []
        for at in found[: min(1000, int(query["limit"]))]:
            p = price(at)
            rows.append([at * 1000, p, p, p, p, volume(at), at * 1000 + 59_999, "1", 3, "1", "1", "0"])
        return 200, rows

    def trades(query: Query) -> Answer:
        if "fromId" in query:
            found = [trade for trade in truth.trades if trade[1] >= int(query["fromId"])]
        else:
            first, last = int(query["startTime"]) / 1000, int(query["endTime"]) / 1000
            found = [trade for trade in truth.trades if first <= trade[0] <= last]
        rows = [
            {"a": n, "p": "1.5", "q": "2", "f": n, "l": n, "T": round(at * 1000), "m": n % 2 == 0, "M": True}
            for at, n in found[: min(1000, int(query["limit"]))]
        ]
        return 200, rows

    def answer(path: str, query: Query) -> Answer:
        if query.get("symbol") != "BTCUSDT":
            return 400, {"code": -1121, "msg": "Invalid symbol."}
        return klines(query) if path.endswith("/klines") else trades(query)

    return answer


def coinbase(truth: Truth) -> Answering:
    def answer(path: str, query: Query) -> Answer:
        first, last = int(query["start"]), int(query["end"])
        if path.endswith("/candles"):
            if (last - first) // MINUTE_S >= 350:
                return 400, {
                    "error": "INVALID_ARGUMENT",
                    "message": "number of candles requested should be less than 350",
                }
            rows = [
                {"start": str(at), "low": price(at), "high": price(at), "open": price(at), "close": price(at)}
                | {"volume": volume(at)}
                for at in truth.within(first, last)
            ]
            return 200, {"candles": rows[::-1]}
        found = [trade for trade in truth.trades if first <= trade[0] < last]
        rows = [
            {"trade_id": str(n), "product_id": "BTC-USD", "price": "1.5", "size": "2", "time": _iso(at), "side": "BUY"}
            for at, n in found[-1000:]
        ]
        return 200, {"trades": rows[::-1], "best_bid": "1", "best_ask": "2"}

    return answer


def kraken(truth: Truth) -> Answering:
    def answer(path: str, query: Query) -> Answer:
        if path.endswith("/OHLC"):
            rows: list[list[Any]] = []
            for at in [at for at in truth.minutes if at > int(query["since"])][-720:]:
                p = price(at)
                rows.append([at, p, p, p, p, p, volume(at), 3])
            return 200, {"error": [], "result": {"XXBTZUSD": rows, "last": rows[-1][0] if rows else 0}}
        found = [trade for trade in truth.trades if trade[0] * NANO > int(query["since"])][:1000]
        rows = [["1.50000", "2.00000000", at, "b", "l", "", n] for at, n in found]
        last = round(found[-1][0] * NANO) if found else int(query["since"])
        return 200, {"error": [], "result": {"XXBTZUSD": rows, "last": str(last)}}

    return answer


def massive(truth: Truth, most: int = 500) -> Answering:
    """Pages of its own size: the venue counts base bars, and names its host in the next address."""

    def answer(path: str, query: Query) -> Answer:
        words = path.split("/")
        first, last = int(words[-2]), int(words[-1])
        found = truth.within(first / 1000, last / 1000)
        rows = [
            {"t": at * 1000, "v": float(volume(at)), "vw": 1.5, "n": 2}
            | dict.fromkeys(("o", "h", "l", "c"), float(price(at)))
            for at in found[:most]
        ]
        body: dict[str, Any] = {"status": "OK", "ticker": words[4], "resultsCount": len(rows), "adjusted": True}
        if rows:
            body["results"] = rows
        if len(found) > most:
            base = "/".join(words[:-2])
            body["next_url"] = f"https://api.massive.com{base}/{found[most] * 1000}/{last}?cursor=abc"
        return 200, body

    return answer


def alphavantage(truth: Truth) -> Answering:
    def answer(path: str, query: Query) -> Answer:
        if query.get("apikey") != "KEY":
            return 200, {"Error Message": "the parameter apikey is invalid or missing."}
        if query["symbol"] != "IBM":
            return 200, {"Error Message": "Invalid API call. Please retry."}
        series: dict[str, Any] = {}
        for at in reversed(truth.minutes):
            local = datetime.fromtimestamp(at, NEW_YORK)
            if f"{local:%Y-%m}" == query["month"]:
                words = ("1. open", "2. high", "3. low", "4. close")
                series[f"{local:%Y-%m-%d %H:%M:%S}"] = dict.fromkeys(words, price(at)) | {"5. volume": "7"}
        if not series:
            return 200, {"Error Message": "Invalid API call. Please retry."}
        return 200, {"Meta Data": {"6. Time Zone": "US/Eastern"}, "Time Series (1min)": series}

    return answer


def kalshi(truth: Truth, most: int = 100) -> Answering:
    """Candlesticks by their ends; trades newest first behind a cursor; an archive that has nothing."""

    def candlesticks(query: Query) -> Answer:
        first, last = int(query["start_ts"]), int(query["end_ts"])
        if (last - first) // MINUTE_S >= 5000:
            return 400, {"error": {"code": "bad_request", "message": "too many candlesticks"}}
        rows = []
        for at in truth.within(first - MINUTE_S, last - MINUTE_S):
            words = ("open_dollars", "high_dollars", "low_dollars", "close_dollars")
            prices = dict.fromkeys(words, price(at))
            rows.append({"end_period_ts": at + MINUTE_S, "price": prices, "volume_fp": volume(at)})
        return 200, {"ticker": "KX-1", "candlesticks": rows}

    def trades(query: Query) -> Answer:
        first, last = int(query["min_ts"]), int(query["max_ts"])
        found = [trade for trade in reversed(truth.trades) if first <= trade[0] <= last]
        at = int(query.get("cursor") or 0)
        rows = [
            {"trade_id": f"t{n}", "ticker": query["ticker"], "created_time": _iso(ts), "yes_price_dollars": "0.4500"}
            | {"no_price_dollars": "0.5500", "count_fp": "2.00", "taker_outcome_side": "yes"}
            for ts, n in found[at : at + most]
        ]
        return 200, {"trades": rows, "cursor": str(at + most) if at + most < len(found) else ""}

    def answer(path: str, query: Query) -> Answer:
        if "/historical/" in path:
            return 404, {"error": {"code": "not_found", "message": "not found"}}
        if path.endswith("/candlesticks"):
            return candlesticks(query) if "/KX-1/" in path else (404, {"code": "not_found", "message": "no market"})
        return trades(query)

    return answer


def _iso(seconds: float) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return at.isoformat().replace("+00:00", "Z")
