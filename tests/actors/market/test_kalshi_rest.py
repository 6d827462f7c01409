"""Kalshi over REST: definitions by price ranges, candlesticks with an archive, trades, discovery by volume."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from actors.market.rest.kalshi import (
    MOST_CANDLESTICKS,
    Discovery,
    KalshiRest,
    discovery_call,
    read_discovery,
)
from actors.market.session_core import Credentials
from protocols.instruments import PriceRange
from protocols.nanos import NANO
from protocols.venues.errors import VenueError
from protocols.venues.kalshi_signing import KEY_HEADER, SIGNATURE_HEADER, generate_ed25519_pem, public_key_of, verify

HOUR = 3600
T0 = 1_704_067_200  # 2024-01-01T00:00:00Z
TS = (T0 + 10 * HOUR) * NANO
MARKET = "KXBTCD-24JAN01-T45000"
NOT_FOUND = (404, {"error": {"code": "not_found", "message": "market not found"}})


def market(ticker: str, **fields: Any) -> dict[str, Any]:
    whole = {
        "ticker": ticker,
        "event_ticker": "KXBTCD-24JAN01",
        "title": "Bitcoin price on Jan 1?",
        "yes_sub_title": "$45,000 or above",
        "status": "active",
        "open_time": "2023-12-31T17:00:00Z",
        "close_time": "2024-01-01T17:00:00.5Z",
        "notional_value_dollars": "1.0000",
        "price_level_structure": "tapered_deci_cent",
        "price_ranges": [
            {"start": "0.0000", "end": "0.1000", "step": "0.0010"},
            {"start": "0.1000", "end": "0.9000", "step": "0.0100"},
        ],
        "something_new": {"nested": True},
    }
    return whole | fields


def body(content: Any) -> bytes:
    return json.dumps(content).encode()


def candle(end: int, close: str | None = "0.5600", **fields: Any) -> dict[str, Any]:
    prices = dict.fromkeys(("open_dollars", "high_dollars", "low_dollars", "close_dollars"), close)
    quote = {"open_dollars": "0.1", "high_dollars": "0.1", "low_dollars": "0.1", "close_dollars": "0.1"}
    whole = {"end_period_ts": end, "yes_bid": quote, "yes_ask": quote, "volume_fp": "2.50", "open_interest_fp": "1.00"}
    return whole | {"price": prices | {"previous_dollars": "0.4400", "mean_dollars": close}} | fields


def test_a_market_becomes_an_instrument_with_its_ranges_of_prices() -> None:
    rest = KalshiRest()
    call = rest.instruments([MARKET])
    assert call.target == f"/markets?limit=1000&tickers={MARKET}"
    (found,), following = rest.read_instruments(call, 200, body({"markets": [market(MARKET)], "cursor": ""}), TS)
    assert found.price_ranges == (
        PriceRange(0, NANO // 10, NANO // 1000),
        PriceRange(NANO // 10, 9 * NANO // 10, NANO // 100),
    )
    assert (found.market, found.venue, found.kind, found.currency) == (MARKET, "kalshi", "prediction", "USD")
    assert (found.lot, found.multiplier, found.status, found.valid_from) == (NANO, NANO, "open", TS)
    assert found.closes == (T0 + 17 * HOUR) * NANO + NANO // 2
    assert found.title == "Bitcoin price on Jan 1? $45,000 or above"
    assert (found.taker_fee, following) == (None, None)
    assert found.price(0.0730) == 73_000_000
    with pytest.raises(ValueError, match="tick"):
        found.price(0.5005)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("initialized", "pre_open"),
        ("active", "open"),
        ("inactive", "halted"),
        ("closed", "closed"),
        ("determined", "closed"),
        ("disputed", "closed"),
        ("finalized", "settled"),
        ("a new word", "unknown"),
    ],
)
def test_the_status_of_a_market_uses_other_words_than_the_filter(said: str, meant: str) -> None:
    rest = KalshiRest()
    page = body({"markets": [market(MARKET, status=said, fractional_trading_enabled=True)]})
    (found,), _ = rest.read_instruments(rest.instruments([MARKET]), 200, page, TS)
    assert (found.status, found.lot) == (meant, NANO // 100)


def test_pages_are_followed_by_the_cursor_and_many_markets_are_asked_for_in_hundreds() -> None:
    rest = KalshiRest()
    call = rest.instruments([f"KX-{number}" for number in range(250)])
    sizes = []
    while call is not None:
        sizes.append(len(dict(call.query)["tickers"].split(",")))
        _, following = rest.read_instruments(call, 200, body({"markets": [], "cursor": None}), TS)
        if following is None:
            break
        call = following
    assert sizes == [100, 100, 50]
    _, following = rest.read_instruments(rest.instruments(), 200, body({"markets": [], "cursor": "abc"}), TS)
    assert following is not None
    assert dict(following.query) == {"limit": "1000", "status": "open", "cursor": "abc"}


def test_candlesticks_are_bars_named_by_their_start() -> None:
    rest = KalshiRest()
    call = rest.history("bars", MARKET, "1h", T0 * NANO, (T0 + 2 * HOUR) * NANO)
    assert call.path == f"/series/KXBTCD/markets/{MARKET}/candlesticks"
    assert dict(call.query)["start_ts"] == str(T0 + HOUR)
    rows = [candle(T0), candle(T0 + HOUR), candle(T0 + 2 * HOUR, None), candle(T0 + 3 * HOUR)]
    page = rest.read_history(call, 200, body({"ticker": MARKET, "candlesticks": rows}), TS)
    first, second = page.bars
    assert (first.start, first.end) == (T0 * NANO, (T0 + HOUR) * NANO)
    assert (first.close, first.volume, first.empty, first.source) == (560_000_000, "2.50", False, "venue")
    # Nothing was traded: the last price stays, and the bar says so.
    assert (second.open, second.close, second.empty, second.vwap) == (440_000_000, 440_000_000, True, None)
    assert page.next is None


def test_before_the_first_trade_there_is_no_bar() -> None:
    rest = KalshiRest()
    call = rest.history("bars", MARKET, "1m", T0 * NANO, (T0 + HOUR) * NANO)
    row = candle(T0 + 60, None, price={})
    assert rest.read_history(call, 200, body({"candlesticks": [row]}), TS).bars == ()


def test_a_long_span_is_asked_for_in_pieces_that_join() -> None:
    rest = KalshiRest()
    end = T0 + (2 * MOST_CANDLESTICKS + 10) * 60
    call = rest.history("bars", MARKET, "1m", T0 * NANO, end * NANO)
    spans = []
    while True:
        query = dict(call.query)
        spans.append((int(query["start_ts"]), int(query["end_ts"])))
        page = rest.read_history(call, 200, body({"candlesticks": [candle(spans[-1][0])]}), TS)
        if page.next is None:
            break
        call = page.next
    assert [last - first for first, last in spans[:2]] == [(MOST_CANDLESTICKS - 1) * 60] * 2
    assert [after[0] - before[1] for before, after in itertools.pairwise(spans)] == [60, 60]


def test_what_settled_long_ago_is_in_the_archive_under_names_without_suffix() -> None:
    rest = KalshiRest()
    call = rest.history("bars", MARKET, "1d", T0 * NANO, (T0 + 24 * HOUR) * NANO)
    page = rest.read_history(call, NOT_FOUND[0], body(NOT_FOUND[1]), TS)
    assert page.next is not None
    assert page.next.path == f"/historical/markets/{MARKET}/candlesticks"
    prices = {"open": "0.5", "high": "0.7", "low": "0.4", "close": "0.6", "mean": "0.55", "previous": None}
    row = {"end_period_ts": T0 + 24 * HOUR, "price": prices, "volume": "7.00"}
    (bar,) = rest.read_history(page.next, 200, body({"candlesticks": [row]}), TS).bars
    assert (bar.high, bar.vwap, bar.volume) == (700_000_000, 550_000_000, "7.00")
    with pytest.raises(VenueError, match="market not found"):
        rest.read_history(page.next, NOT_FOUND[0], body(NOT_FOUND[1]), TS)


def test_a_quiet_span_of_a_living_market_is_empty_though_the_archive_does_not_know_it() -> None:
    rest = KalshiRest()
    call = rest.history("bars", MARKET, "1m", T0 * NANO, (T0 + HOUR) * NANO)
    page = rest.read_history(call, 200, body({"candlesticks": []}), TS)
    assert page.next is not None
    assert rest.read_history(page.next, NOT_FOUND[0], body(NOT_FOUND[1]), TS).next is None


def test_trades_are_cut_to_the_span_and_taken_on_the_yes_scale() -> None:
    rest = KalshiRest()
    call = rest.history("trades", MARKET, "", T0 * NANO, (T0 + 10) * NANO)
    assert call.target == f"/markets/trades?ticker={MARKET}&min_ts={T0 - 1}&max_ts={T0 + 11}&limit=1000"
    rows = [
        {"trade_id": f"t{at}", "ticker": MARKET, "created_time": f"2024-01-01T00:00:{at:02}.250Z"}
        | {"yes_price_dollars": "0.4400", "no_price_dollars": "0.5600", "count_fp": "1.50"}
        | ({"taker_outcome_side": "no"} if at % 2 else {"taker_side": "yes"})
        for at in (11, 9, 4)
    ]
    page = rest.read_history(call, 200, body({"trades": rows, "cursor": "next"}), TS)
    assert [(trade.trade_id, trade.taker, trade.size) for trade in page.trades] == [
        ("t4", "buy", 1_500_000_000),
        ("t9", "sell", 1_500_000_000),
    ]
    assert page.trades[0].ts_event == (T0 + 4) * NANO + 250_000_000
    assert page.next is not None
    assert dict(page.next.query)["cursor"] == "next"
    # The archive may have what the list has no more.
    last = rest.read_history(page.next, 200, body({"trades": [], "cursor": ""}), TS)
    assert last.next is not None
    assert last.next.path == "/historical/trades"
    assert rest.read_history(last.next, 200, body({"trades": [], "cursor": ""}), TS).next is None


def test_calls_are_signed_over_the_path_on_the_host_where_there_is_a_key() -> None:
    pem = generate_ed25519_pem()
    rest = KalshiRest(Credentials("key", pem))
    call = rest.instruments([MARKET])
    headers = dict(rest.headers(call, TS))
    assert headers[KEY_HEADER] == "key"
    assert verify(public_key_of(pem), headers[SIGNATURE_HEADER], TS // 1_000_000, "GET", "/trade-api/v2/markets")
    assert KalshiRest().headers(call, TS) == ()


@pytest.mark.parametrize(
    ("status", "content", "code", "retry"),
    [
        (429, {"error": "too many requests"}, "http_429", True),
        (503, b"<html>", "http_503", True),
        (400, {"error": {"code": "bad_request", "message": "no"}}, "bad_request", False),
        (400, {"code": "invalid", "message": "no", "details": "x"}, "invalid", False),
        (200, b"[]", "unreadable", False),
        (200, {"markets": [market("A", price_ranges=[{"start": "x", "end": "1", "step": "1"}])]}, "unreadable", False),
    ],
)
def test_an_error_says_its_code_and_whether_it_may_pass(status: int, content: Any, code: str, retry: bool) -> None:
    rest = KalshiRest()
    raw = content if isinstance(content, bytes) else body(content)
    with pytest.raises(VenueError) as caught:
        rest.read_instruments(rest.instruments([MARKET]), status, raw, TS)
    assert (caught.value.code, caught.value.retry_s is not None) == (code, retry)


def test_what_the_venue_does_not_offer_is_said() -> None:
    rest = KalshiRest()
    with pytest.raises(ValueError, match="5m"):
        rest.history("bars", MARKET, "5m", 0, 1)
    with pytest.raises(ValueError, match="funding"):
        rest.history("funding", MARKET, "", 0, 1)


def test_discovery_keeps_the_most_traded_of_all_pages() -> None:
    call = discovery_call("open")
    assert call.target == "/markets?limit=1000&status=open&mve_filter=exclude"
    volumes = {f"KX-{n}": (n * 37) % 101 for n in range(300)}
    names = list(volumes)
    discovery = Discovery(most=100)
    at = 0
    while call is not None:
        rows = [
            market(name, volume_24h_fp=f"{volumes[name]}.00", volume_fp=f"{n}.50", open_interest_fp="3.00")
            for n, name in enumerate(names[at : at + 120])
        ]
        at += 120
        found, following = read_discovery(call, 200, body({"markets": rows, "cursor": str(at) if at < 300 else ""}))
        discovery.take(found)
        if following is None:
            break
        call = following
    best = discovery.markets()
    assert (len(best), discovery.read) == (100, 300)
    assert [each.volume_24h for each in best] == sorted((v * NANO for v in volumes.values()), reverse=True)[:100]
    assert (best[0].status, best[0].open_interest) == ("active", 3 * NANO)


def test_discovery_takes_the_words_of_the_filter_only() -> None:
    assert dict(discovery_call("settled", series="KXBTCD").query)["series_ticker"] == "KXBTCD"
    with pytest.raises(ValueError, match="unopened"):
        discovery_call("active")  # type: ignore[arg-type]
