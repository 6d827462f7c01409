"""Coinbase over REST: definitions, candles and trades in pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from actors.market.rest.coinbase import MOST_TRADES, CoinbaseRest
from actors.market.session_core import Credentials
from actors.market.sessions.coinbase import CoinbaseSession
from actors.market.venue_rest import HistoryPage, VenueRest
from protocols.instruments import PriceRange
from protocols.nanos import NANO
from protocols.venues.coinbase_signing import Signer, generate_secret, verify
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall
from protocols.venues.rfc3339 import rfc3339_text

MARKET = "BTC-USD.COINBASE"
NOW = 1_786_309_548 * NANO
PRODUCT: dict[str, Any] = {
    "product_id": "BTC-USD",
    "product_type": "SPOT",
    "status": "online",
    "base_currency_id": "BTC",
    "quote_currency_id": "USD",
    "base_increment": "0.00000001",
    "quote_increment": "0.01",
    "price_increment": "0.01",
    "base_min_size": "0.0001",
    "base_max_size": "3400",
    "quote_min_size": "1",
    "display_name": "BTC-USD",
}


def page(body: object) -> bytes:
    return json.dumps(body).encode()


def test_the_session_names_its_rest_side() -> None:
    module, _, name = CoinbaseSession.REST.partition(":")
    assert (module, name) == (CoinbaseRest.__module__, CoinbaseRest.__name__)
    rest: VenueRest = CoinbaseRest()
    assert rest.VENUE == CoinbaseSession.VENUE


def test_a_product_is_an_instrument() -> None:
    rest = CoinbaseRest()
    call = rest.instruments([MARKET, "ETH-USD.COINBASE"])
    assert call.target == (
        "/api/v3/brokerage/market/products?limit=250&product_type=SPOT&product_ids=BTC-USD&product_ids=ETH-USD"
    )
    assert rest.headers(call, NOW) == ()
    (found,), more = rest.read_instruments(call, 200, page({"products": [PRODUCT], "num_products": 1}), NOW)
    assert more is None
    assert (found.market, found.symbol, found.base, found.currency) == (MARKET, "BTC-USD", "BTC", "USD")
    assert found.price_ranges == (PriceRange(10_000_000, 9_223_372_036_850_000_000, 10_000_000),)
    assert (found.lot, found.minimum_size, found.maximum_size, found.minimum_notional) == (
        10, 100_000, 3400 * NANO, NANO,
    )  # fmt: skip
    assert (found.maker_fee, found.taker_fee, found.status, found.data_only) == (None, None, "open", False)
    assert found.price(65_083.66) == 65_083_660_000_000
    assert (found.valid_from, found.source) == (NOW, "GET /api/v3/brokerage/market/products")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"status": "delisted"}, "closed"),
        ({"trading_disabled": True}, "halted"),
        ({"cancel_only": True}, "halted"),
        ({"auction_mode": True}, "auction"),
        ({"status": "new"}, "unknown"),
    ],
)
def test_the_state_of_a_product(change: dict[str, object], status: str) -> None:
    rest = CoinbaseRest()
    (found,), _ = rest.read_instruments(rest.instruments(), 200, page({"products": [PRODUCT | change]}), NOW)
    assert found.status == status


def test_order_types_follow_the_products_restrictions_and_fine_steps_are_for_looking_only() -> None:
    rest = CoinbaseRest()
    products = [
        PRODUCT | {"post_only": True},
        PRODUCT | {"limit_only": True},
        PRODUCT | {"price_increment": "0.0000000001"},
        PRODUCT | {"product_type": "FUTURE"},
    ]
    found, _ = rest.read_instruments(rest.instruments(), 200, page({"products": products}), NOW)
    assert [each.order_types for each in found[:2]] == [("post_only",), ("limit", "post_only")]
    assert [each.data_only for each in found] == [False, False, True]


def test_products_come_in_pages() -> None:
    rest = CoinbaseRest()
    body = page({"products": [PRODUCT] * 2, "num_products": 3})
    _, second = rest.read_instruments(rest.instruments(), 200, body, NOW)
    assert second is not None
    assert dict(second.query)["offset"] == "2"
    _, third = rest.read_instruments(second, 200, page({"products": [PRODUCT], "num_products": 3}), NOW)
    assert third is None


def test_with_a_key_the_accounts_fees_are_asked_for_first() -> None:
    secret = generate_secret()
    rest = CoinbaseRest(Credentials("key", secret))
    call = rest.instruments([MARKET])
    ((_, value),) = rest.headers(call, NOW)
    claims = verify(Signer("key", secret).public_key, value.removeprefix("Bearer "), NOW)
    assert claims.uri == "GET api.coinbase.com/api/v3/brokerage/transaction_summary"
    body = page({"fee_tier": {"maker_fee_rate": "0.004", "taker_fee_rate": "0.006"}})
    none, products = rest.read_instruments(call, 200, body, NOW)
    assert none == ()
    assert products is not None
    assert ("product_ids", "BTC-USD") in products.query
    (found,), _ = rest.read_instruments(products, 200, page({"products": [PRODUCT]}), NOW)
    assert (found.maker_fee, found.taker_fee) == ("0.004", "0.006")


@pytest.mark.parametrize(
    ("status", "body", "code", "retry_s"),
    [
        (429, b"slow down", "http_429", 1.0),
        (502, b"<html>", "http_502", 1.0),
        (400, b'{"error":"INVALID_ARGUMENT","message":"no"}', "INVALID_ARGUMENT", None),
        (200, b"<html>", "unreadable", None),
        (200, b'{"products":[{}]}', "unreadable", None),
        (200, page({"products": [PRODUCT | {"base_increment": "x"}]}), "unreadable", None),
    ],
)
def test_what_is_no_answer_is_a_venue_error(status: int, body: bytes, code: str, retry_s: float | None) -> None:
    rest = CoinbaseRest()
    with pytest.raises(VenueError) as raised:
        rest.read_instruments(rest.instruments(), status, body, NOW)
    assert (raised.value.code, raised.value.retry_s) == (code, retry_s)


def whole(rest: CoinbaseRest, call: RestCall, serve: Any) -> list[HistoryPage]:
    pages = []
    following: RestCall | None = call
    while following is not None:
        pages.append(rest.read_history(following, 200, page(serve(following)), NOW))
        following = pages[-1].next
        assert len(pages) < 1000
    return pages


@pytest.mark.parametrize(("interval", "length"), [("1m", 60), ("5m", 300), ("1h", 3600), ("1d", 86_400)])
def test_candles_of_a_span_come_once_each_and_oldest_first(interval: str, length: int) -> None:
    begin = NOW // NANO // length * length - 700 * length
    asked: list[int] = []

    def serve(call: RestCall) -> object:
        query = dict(call.query)
        first, last = int(query["start"]), int(query["end"])
        asked.append((last - first) // length + 1)
        rows = range(first, last + 1, length)
        candle = {"low": "1", "high": "4", "open": "2", "close": "3", "volume": "0.5"}
        return {"candles": [candle | {"start": str(start)} for start in reversed(rows)]}

    rest = CoinbaseRest()
    # Neither end is on a candle's start; the last candle is still open.
    call = rest.history("bars", MARKET, interval, begin * NANO - 1, NOW + 1)
    assert call.path == "/api/v3/brokerage/market/products/BTC-USD/candles"
    bars = [bar for each in whole(rest, call, serve) for bar in each.bars]
    assert [bar.start // NANO for bar in bars] == [begin + at * length for at in range(700)]
    assert max(asked) <= 350
    assert (bars[0].open, bars[0].high, bars[0].low, bars[0].close) == (2 * NANO, 4 * NANO, NANO, 3 * NANO)
    assert (bars[0].interval, bars[0].end - bars[0].start, bars[0].volume) == (interval, length * NANO, "0.5")
    assert (bars[0].source, bars[0].trades, bars[0].market) == ("venue", None, MARKET)


def test_trades_of_a_span_come_once_each_however_many_there_are() -> None:
    begin = NOW - 900 * NANO
    # Ten a second, and a burst of nine hundred in one second.
    times = [begin + at * NANO // 10 for at in range(6_000)] + [begin + 450 * NANO + at for at in range(900)]
    trades = [
        {"trade_id": str(at), "product_id": "BTC-USD", "price": "10", "size": "1", "time": rfc3339_text(time),
         "side": "BUY"}
        for at, time in enumerate(sorted(times))
    ]  # fmt: skip

    def serve(call: RestCall) -> object:
        query = dict(call.query)
        first, last = (rfc3339_text(int(query[name]) * NANO) for name in ("start", "end"))
        found = [trade for trade in trades if first <= trade["time"] <= last]
        return {"trades": found[-int(query["limit"]) :][::-1]}

    rest = CoinbaseRest()
    start, end = begin + 5, begin + 600 * NANO
    got = [
        trade for each in whole(rest, rest.history("trades", MARKET, "", start, end), serve) for trade in each.trades
    ]
    assert [trade.trade_id for trade in got] == [
        trade["trade_id"] for trade in trades if rfc3339_text(start) <= trade["time"] < rfc3339_text(end)
    ]
    assert len(got) > 6_000
    assert {trade.taker for trade in got} == {"sell"}


def test_a_second_with_more_trades_than_an_answer_holds_is_no_whole_history() -> None:
    rest = CoinbaseRest()
    trade = {
        "trade_id": "1",
        "product_id": "BTC-USD",
        "price": "1",
        "size": "1",
        "time": rfc3339_text(NOW),
        "side": "BUY",
    }
    with pytest.raises(VenueError, match="more than 1000 trades in the second"):
        whole(
            rest,
            rest.history("trades", MARKET, "", NOW - NANO, NOW),
            lambda call: {"trades": [trade] * MOST_TRADES},
        )


def test_what_is_not_offered_is_refused() -> None:
    rest = CoinbaseRest()
    with pytest.raises(ValueError, match="not '3m'"):
        rest.history("bars", MARKET, "3m", 0, NOW)
    with pytest.raises(ValueError, match="not funding"):
        rest.history("funding", MARKET, "", 0, NOW)


@pytest.mark.recordings
def test_every_product_of_the_recording_is_an_instrument(recordings: Path) -> None:
    rest = CoinbaseRest()
    with zstandard.open(recordings / "cryptofeed-coinbase.jsonl.zst", "rt", encoding="utf-8") as lines:
        answer = next(record for record in map(json.loads, lines) if record["t"] == "http")
    found, more = rest.read_instruments(rest.instruments(), 200, answer["data"].encode(), NOW)
    assert (len(found), more) == (920, None)
    assert sum(each.status == "open" for each in found) == 912
    assert all(each.lot > 0 and each.price_ranges[0].step > 0 and not each.data_only for each in found)
