from __future__ import annotations

import json
from typing import Any

import pytest

from actors.market.rest.binance import BinanceCoinmRest, BinanceSpotRest, BinanceUsdmRest
from actors.market.rest.binance_instruments import Venue, read_instrument
from actors.market.session_core import Credentials
from actors.market.venue_rest import HistoryPage, VenueRest
from actors.market.venues import session_class
from protocols.instruments import Instrument, PriceRange
from protocols.nanos import INT64_MAX, NANO
from protocols.venues.binance import MILLISECOND
from protocols.venues.binance_rest import Filter, SymbolInfo
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
START_MS = 1_700_000_040_000
LATER = (START_MS + 3000 * DAY_MS) * MILLISECOND
ALL = (BinanceSpotRest, BinanceUsdmRest, BinanceCoinmRest)


def test_the_sessions_name_them() -> None:
    for rest in ALL:
        module, _, name = session_class(rest.VENUE).REST.partition(":")
        assert (module, name) == (rest.__module__, rest.__name__)
        each: VenueRest = rest(Credentials("id", b""))
        assert each.headers(each.instruments(), 0) == (("X-MBX-APIKEY", "id"),)
        assert rest().headers(each.instruments(), 0) == ()


# -- instruments ------------------------------------------------------------------------------------


def info(**more: Any) -> SymbolInfo:
    filters = (
        Filter(filter_type="PRICE_FILTER", min_price="556.72", max_price="1000000", tick_size="0.10"),
        Filter(filter_type="LOT_SIZE", min_qty="0.001", max_qty="1000", step_size="0.001"),
        Filter(filter_type="MIN_NOTIONAL", notional="5"),
    )
    return SymbolInfo(**{"symbol": "BTCUSDT", "base_asset": "BTC", "quote_asset": "USDT", "filters": filters, **more})


def read(row: SymbolInfo, kind: Venue = "usdm") -> Instrument:
    return read_instrument(row, kind, "binance-usdm", "BTCUSDT.BINANCE-USDM", 7, "GET /x")


def test_prices_begin_and_end_on_a_tick() -> None:
    instrument = read(info())
    assert instrument.price_ranges == (PriceRange(556_800_000_000, 1_000_000 * NANO, 100_000_000),)
    assert (instrument.lot, instrument.minimum_size, instrument.maximum_size) == (1_000_000, 1_000_000, 1000 * NANO)
    assert (instrument.minimum_notional, instrument.currency, instrument.base) == (5 * NANO, "USDT", "BTC")
    assert (instrument.maker_fee, instrument.taker_fee, instrument.valid_from) == (None, None, 7)
    assert instrument.price(556.8) == 556_800_000_000


def test_a_bound_of_zero_is_turned_off() -> None:
    filters = (
        Filter(filter_type="PRICE_FILTER", min_price="0", max_price="0.00", tick_size="0.01"),
        Filter(filter_type="LOT_SIZE", min_qty="0", max_qty="0", step_size="1"),
    )
    instrument = read(info(filters=filters))
    (prices,) = instrument.price_ranges
    assert (prices.start, prices.step) == (10_000_000, 10_000_000)
    assert INT64_MAX - prices.end < prices.step
    assert (instrument.maximum_size, instrument.minimum_notional, instrument.data_only) == (None, 0, False)


def test_a_tick_finer_than_a_nano_makes_it_data_only() -> None:
    fine = Filter(filter_type="PRICE_FILTER", min_price="0.0000000001", max_price="1", tick_size="0.0000000001")
    instrument = read(info(filters=(fine, Filter(filter_type="LOT_SIZE", step_size="1"))))
    assert instrument.data_only
    assert instrument.price_ranges[0].step == 1
    huge = Filter(filter_type="PRICE_FILTER", min_price="1", max_price="99999999999", tick_size="1")
    assert not read(info(filters=(huge, Filter(filter_type="LOT_SIZE", step_size="1")))).data_only


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"contract_type": "PERPETUAL", "delivery_date": 4133404800000}, "perpetual"),
        ({"contract_type": "TRADIFI_PERPETUAL", "delivery_date": 4133404800000}, "perpetual"),
        ({"contract_type": "CURRENT_QUARTER", "delivery_date": 1632470400000}, "future"),
        ({"contract_type": "", "delivery_date": 4133404800000}, "perpetual"),
        ({"contract_type": "", "delivery_date": 1632470400000}, "future"),
    ],
)
def test_a_contract_ends_or_does_not(row: dict[str, Any], kind: str) -> None:
    instrument = read(info(**row))
    assert instrument.kind == kind
    assert (instrument.closes is None) == (kind == "perpetual")


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("TRADING", "open"),
        ("BREAK", "halted"),
        ("PENDING_TRADING", "pre_open"),
        ("SETTLING", "closed"),
        ("DELIVERED", "settled"),
        ("AUCTION_MATCH", "auction"),
        ("SOMETHING_NEW", "unknown"),
    ],
)
def test_the_venues_words_for_a_status(word: str, status: str) -> None:
    assert read(info(status=word)).status == status
    assert read(info(contract_status=word)).status == status


def test_order_types_in_our_words() -> None:
    spot = info(order_types=("LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT"), allow_trailing_stop=True)
    assert read(spot, "spot").order_types == ("limit", "post_only", "stop_limit", "take_profit", "trailing_stop")
    futures = info(order_types=("LIMIT", "STOP", "STOP_MARKET", "TRAILING_STOP_MARKET"), time_in_force=("GTC", "GTX"))
    assert read(futures).order_types == ("limit", "stop_limit", "stop", "trailing_stop", "post_only")


def test_a_contract_is_so_many_dollars() -> None:
    rest = BinanceCoinmRest()
    body = {
        "symbols": [
            {
                "symbol": "BTCUSD_PERP",
                "contractStatus": "TRADING",
                "contractType": "PERPETUAL",
                "contractSize": 100,
                "deliveryDate": 4133404800000,
                "onboardDate": 1597042800000,
                "baseAsset": "BTC",
                "quoteAsset": "USD",
                "orderTypes": ["LIMIT"],
                "filters": [
                    {"filterType": "PRICE_FILTER", "minPrice": "1000", "maxPrice": "4520958", "tickSize": "0.1"},
                    {"filterType": "LOT_SIZE", "minQty": "1", "maxQty": "1000000", "stepSize": "1"},
                ],
            },
            {"symbol": "ETHUSD_PERP", "filters": []},
        ]
    }
    call = rest.instruments(["BTCUSD_PERP.BINANCE-COINM"])
    assert call.target == "/dapi/v1/exchangeInfo"
    (found,), following = rest.read_instruments(call, 200, json.dumps(body).encode(), 7)
    assert following is None
    assert (found.market, found.multiplier, found.status, found.lot) == (
        "BTCUSD_PERP.BINANCE-COINM",
        100 * NANO,
        "open",
        NANO,
    )
    assert found.opens == 1597042800000 * MILLISECOND
    everything, _ = rest.read_instruments(rest.instruments(), 200, json.dumps(body).encode(), 7)
    assert len(everything) == 2


def test_an_error_or_another_shape_is_a_venue_error() -> None:
    rest = BinanceSpotRest()
    call = rest.instruments()
    for status, body in ((418, b"{}"), (200, b"<html>")):
        with pytest.raises(VenueError):
            rest.read_instruments(call, status, body, 7)
    bars = rest.history("bars", "X.BINANCE", "1m", 0, NANO)
    for status, body in ((400, b'{"code":-1121,"msg":"Invalid symbol."}'), (200, b"{}"), (200, b'[[1,"x"]]')):
        with pytest.raises(VenueError):
            rest.read_history(bars, status, body, 7)


# -- history ----------------------------------------------------------------------------------------


class Venue1m:
    """What the venue answers for one symbol that trades every minute from `first` on."""

    def __init__(self, first_ms: int, now_ms: int, *, latest_of_span: bool = False) -> None:
        self.first = first_ms
        self.now = now_ms
        self.latest_of_span = latest_of_span
        self.calls: list[RestCall] = []

    def answer(self, call: RestCall) -> bytes:
        self.calls.append(call)
        asked = dict(call.query)
        limit = int(asked["limit"])
        if call.path.endswith("aggTrades"):
            return self._trades(asked, limit)
        step = MINUTE_MS if call.path.endswith("klines") else 8 * HOUR_MS
        start, end = int(asked["startTime"]), min(int(asked["endTime"]), self.now)
        assert not self.latest_of_span or end - start < 200 * DAY_MS
        begin = max(-(-start // step) * step, self.first)
        times = range(begin, end + 1, step)
        chosen = times[-limit:] if self.latest_of_span else times[:limit]
        if call.path.endswith("klines"):
            rows: list[Any] = [
                [at, "1.0", "2.0", "0.5", "1.5", "10.0", at + step - 1, "12.0", 3, "5", "6", "0"] for at in chosen
            ]
        else:
            rows = [{"symbol": "X", "fundingRate": "0.00010000", "fundingTime": at, "markPrice": "5"} for at in chosen]
        return json.dumps(rows).encode()

    def _trades(self, asked: dict[str, str], limit: int) -> bytes:
        # Trade number n is at first + n seconds.
        made = max(self.now - self.first, 0) // 1000 + 1
        if "fromId" in asked:
            assert "startTime" not in asked
            numbers = range(int(asked["fromId"]), made)
        else:
            start, end = int(asked["startTime"]), int(asked["endTime"])
            assert end - start < HOUR_MS
            numbers = range(max(-(-(start - self.first) // 1000), 0), min((end - self.first) // 1000 + 1, made))
        rows = [
            {"a": n, "p": "1.5", "q": "2", "f": n, "l": n, "T": self.first + n * 1000, "m": n % 2 == 0}
            for n in numbers[:limit]
        ]
        return json.dumps(rows).encode()

    def download(self, rest: VenueRest, call: RestCall | None) -> list[HistoryPage]:
        pages = []
        while call is not None:
            pages.append(rest.read_history(call, 200, self.answer(call), self.now * MILLISECOND))
            call = pages[-1].next
            assert len(pages) < 500
        return pages


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("minutes", [1, 999, 1000, 1001, 2500])
def test_bars_come_page_by_page_each_once_and_oldest_first(
    kind: type[BinanceSpotRest] | type[BinanceUsdmRest] | type[BinanceCoinmRest], minutes: int
) -> None:
    rest = kind()
    venue = Venue1m(START_MS - DAY_MS, START_MS + 10 * DAY_MS, latest_of_span=kind is BinanceCoinmRest)
    market = session_class(kind.VENUE).market_of("X")
    start, end = START_MS * MILLISECOND, (START_MS + minutes * MINUTE_MS) * MILLISECOND
    pages = venue.download(rest, rest.history("bars", market, "1m", start, end))
    bars = [bar for page in pages for bar in page.bars]
    assert [bar.start for bar in bars] == [start + at * MINUTE_MS * MILLISECOND for at in range(minutes)]
    assert all(bar.market == market and bar.source == "venue" and bar.end - bar.start == 60 * NANO for bar in bars)
    assert (bars[0].vwap is None) == (kind is BinanceCoinmRest)


@pytest.mark.parametrize("kind", [BinanceUsdmRest, BinanceCoinmRest])
def test_bars_before_the_first_trade_and_after_now_are_none(
    kind: type[BinanceUsdmRest] | type[BinanceCoinmRest],
) -> None:
    rest = kind()
    venue = Venue1m(START_MS, START_MS + 5 * MINUTE_MS + 30_000, latest_of_span=kind is BinanceCoinmRest)
    market = session_class(kind.VENUE).market_of("X")
    start, end = (START_MS - 3 * DAY_MS) * MILLISECOND, (START_MS + DAY_MS) * MILLISECOND
    pages = venue.download(rest, rest.history("bars", market, "1m", start, end))
    bars = [bar for page in pages for bar in page.bars]
    assert [bar.start // MILLISECOND for bar in bars] == [START_MS + at * MINUTE_MS for at in range(5)]


def test_the_span_of_a_call_for_coinm_bars_is_short_enough_whatever_the_interval() -> None:
    rest = BinanceCoinmRest()
    for interval in rest.INTERVALS:
        call = rest.history("bars", "X.BINANCE-COINM", interval, 0, LATER)
        asked = dict(call.query)
        assert int(asked["endTime"]) - int(asked["startTime"]) < 200 * DAY_MS


@pytest.mark.parametrize("seconds", [1, 10, 5000])
def test_trades_are_found_by_time_and_then_read_by_number(seconds: int) -> None:
    rest = BinanceSpotRest()
    venue = Venue1m(START_MS, START_MS + DAY_MS)
    start, end = (START_MS - 3 * HOUR_MS) * MILLISECOND, (START_MS + seconds * 1000) * MILLISECOND
    pages = venue.download(rest, rest.history("trades", "X.BINANCE", "", start, end))
    trades = [trade for page in pages for trade in page.trades]
    assert [trade.seq for trade in trades] == list(range(seconds))
    assert [trade.taker for trade in trades[:2]] == ["sell", "buy"][: len(trades)]
    assert all(start <= trade.ts_event < end for trade in trades)
    by_number = ["fromId" in dict(call.query) for call in venue.calls]
    assert by_number == [False] * 4 + [True] * (seconds // 1000)


def test_trades_end_with_the_last_one_made() -> None:
    rest = BinanceUsdmRest()
    venue = Venue1m(START_MS, START_MS + 30_000)
    pages = venue.download(rest, rest.history("trades", "X.BINANCE-USDM", "", START_MS * MILLISECOND, LATER))
    assert sum(len(page.trades) for page in pages) == 31


def test_funding_that_was_paid() -> None:
    rest = BinanceUsdmRest()
    venue = Venue1m(0, START_MS + 1000 * DAY_MS)
    start, end = START_MS * MILLISECOND, (START_MS + 400 * DAY_MS) * MILLISECOND
    pages = venue.download(rest, rest.history("funding", "X.BINANCE-USDM", "", start, end))
    paid = [funding for page in pages for funding in page.funding]
    assert len(pages) == 2
    assert len(paid) == len({funding.next_ts for funding in paid}) == 1200
    assert (paid[0].rate, paid[0].mark_price, paid[0].next_ts) == ("0.0001", 5 * NANO, paid[0].ts_event)


def test_what_is_not_offered_is_said() -> None:
    for rest, kind, interval in (
        (BinanceSpotRest(), "funding", ""),
        (BinanceSpotRest(), "bars", "7m"),
        (BinanceUsdmRest(), "bars", "1s"),
    ):
        with pytest.raises(ValueError, match="binance"):
            rest.history(kind, "X", interval, 0, 1)  # type: ignore[arg-type]


def test_calls_cost_what_the_venue_counts() -> None:
    assert [rest().history("bars", "X", "1m", 0, LATER).cost for rest in ALL] == [2, 5, 5]
    assert [rest().history("trades", "X", "", 0, LATER).cost for rest in ALL] == [4, 20, 20]
    assert [rest().instruments().cost for rest in ALL] == [20, 1, 1]
