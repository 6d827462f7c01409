"""Kraken over REST: definitions, the last bars, and trades in pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from actors.market.rest.kraken import KrakenRest
from actors.market.sessions.kraken import KrakenSession
from actors.market.venue_rest import VenueRest
from protocols.nanos import NANO
from protocols.venues.errors import VenueError
from protocols.venues.rest import RestCall

MARKET = "BTC-USD.KRAKEN"
NOW = 1_786_309_548 * NANO
PAIR = (
    '{"altname":"XBTUSD","wsname":"XBT/USD","base":"XXBT","quote":"ZUSD","pair_decimals":1,"lot_decimals":8,'
    '"fees":[[0,0.40],[10000,0.35]],"fees_maker":[[0,0.25],[10000,0.2]],"ordermin":"0.00005","costmin":"0.5",'
    '"tick_size":"0.1","status":"online"}'
)


def answer(result: str) -> bytes:
    return f'{{"error":[],"result":{result}}}'.encode()


def test_the_session_names_its_rest_side() -> None:
    module, _, name = KrakenSession.REST.partition(":")
    assert (module, name) == (KrakenRest.__module__, KrakenRest.__name__)
    rest: VenueRest = KrakenRest()
    assert rest.VENUE == KrakenSession.VENUE


def test_a_pair_is_an_instrument_under_the_name_of_the_stream() -> None:
    rest = KrakenRest()
    call = rest.instruments([MARKET, "ETH-EUR.KRAKEN"])
    assert (call.path, call.query) == ("/0/public/AssetPairs", (("pair", "BTC/USD,ETH/EUR"),))
    assert rest.instruments().query == ()
    (found,), more = rest.read_instruments(call, 200, answer(f'{{"XXBTZUSD":{PAIR}}}'), NOW)
    assert more is None
    assert (found.market, found.symbol, found.base, found.currency) == (MARKET, "BTC/USD", "BTC", "USD")
    assert (found.price_ranges[0].step, found.lot) == (100_000_000, 10)
    assert (found.minimum_size, found.minimum_notional) == (50_000, 500_000_000)
    assert (found.maker_fee, found.taker_fee, found.status) == ("0.0025", "0.004", "open")


def test_a_pair_of_old_has_its_tick_in_decimals_and_no_state() -> None:
    pair = PAIR.replace('"tick_size":"0.1","status":"online"', '"lot":"unit"').replace("XBT/USD", "XDG/USD")
    rest = KrakenRest()
    (found,), _ = rest.read_instruments(rest.instruments(), 200, answer(f'{{"X":{pair}}}'), NOW)
    assert (found.market, found.price_ranges[0].step, found.status) == ("DOGE-USD.KRAKEN", 100_000_000, "open")


@pytest.mark.parametrize(
    ("status", "word"),
    [("cancel_only", "halted"), ("post_only", "auction"), ("limit_only", "open"), ("something", "unknown")],
)
def test_the_state_of_a_pair(status: str, word: str) -> None:
    rest = KrakenRest()
    body = answer('{"X":' + PAIR.replace('"online"', f'"{status}"') + "}")
    assert rest.read_instruments(rest.instruments(), 200, body, NOW)[0][0].status == word


@pytest.mark.parametrize(
    ("status", "body", "code", "retries"),
    [
        (200, b'{"error":["EQuery:Unknown asset pair"]}', "EQuery", False),
        (200, b'{"error":["EAPI:Rate limit exceeded"]}', "EAPI", True),
        (200, b'{"error":["EService:Unavailable"]}', "EService", True),
        (520, b"<html>", "http_520", True),
        (404, b"nothing", "http_404", False),
        (200, b"<html>", "unreadable", False),
        (200, b'{"error":[],"result":{"X":{}}}', "unreadable", False),
    ],
)
def test_errors_come_with_status_200_too(status: int, body: bytes, code: str, retries: bool) -> None:
    rest = KrakenRest()
    with pytest.raises(VenueError) as raised:
        rest.read_instruments(rest.instruments(), status, body, NOW)
    assert raised.value.code == code
    assert (raised.value.retry_s is not None) == retries


def test_bars_are_the_closed_ones_of_the_span() -> None:
    rest = KrakenRest()
    begin = NOW // NANO // 60 * 60
    rows = [[begin + at * 60, "2.0", "4.0", "1.0", "3.0", "2.5", "0.50", 0 if at == -2 else 7] for at in range(-9, 1)]
    call = rest.history("bars", MARKET, "1m", (begin - 480) * NANO, NOW + NANO)
    assert call.target == f"/0/public/OHLC?pair=BTC%2FUSD&interval=1&since={begin - 481}"
    body = answer(json.dumps({"XXBTZUSD": rows, "last": begin - 60}))
    page = rest.read_history(call, 200, body, NOW)
    assert page.next is None
    assert [bar.start // NANO for bar in page.bars] == [begin + at * 60 for at in range(-8, 0)], "the last one is open"
    assert (page.bars[0].vwap, page.bars[0].trades, page.bars[0].empty) == (2_500_000_000, 7, False)
    assert (page.bars[-2].vwap, page.bars[-2].trades, page.bars[-2].empty) == (None, 0, True)


def test_trades_of_a_span_come_once_each_and_oldest_first() -> None:
    begin = NOW - 100 * NANO
    # Several trades share a nanosecond where one page ends.
    times = sorted([begin + at * NANO // 40 for at in range(3_000)] + [begin + 999 * NANO // 40] * 5)
    rows = [(time, number) for number, time in enumerate(times, start=1)]

    def serve(call: RestCall) -> bytes:
        since, count = int(dict(call.query)["since"]), int(dict(call.query)["count"])
        found = [row for row in rows if row[0] >= since][:count]
        trades = ",".join(
            f'["10.0","1.5",{time // NANO}.{time % NANO:09d},"s","l","",{number}]' for time, number in found
        )
        last = found[-1][0] if found else since
        return answer(f'{{"XXBTZUSD":[{trades}],"last":"{last}"}}')

    rest = KrakenRest()
    start, end = begin + NANO, begin + 60 * NANO
    following: RestCall | None = rest.history("trades", MARKET, "", start, end)
    got: list[Any] = []
    pages = 0
    while following is not None:
        page = rest.read_history(following, 200, serve(following), NOW)
        got += page.trades
        following = page.next
        pages += 1
    assert [int(trade.trade_id) for trade in got] == [number for time, number in rows if start <= time < end]
    assert [trade.ts_event for trade in got] == [time for time, _ in rows if start <= time < end]
    assert pages == 3
    assert (got[0].taker, got[0].price, got[0].size) == ("sell", 10 * NANO, 1_500_000_000)


def test_a_pair_without_trades_ends_the_history() -> None:
    rest = KrakenRest()
    call = rest.history("trades", MARKET, "", 0, NOW)
    page = rest.read_history(call, 200, answer('{"XXBTZUSD":[],"last":"0"}'), NOW)
    assert (page.trades, page.next) == ((), None)
    with pytest.raises(VenueError, match="2 pairs instead of one"):
        rest.read_history(call, 200, answer('{"A":[],"B":[],"last":"0"}'), NOW)


def test_what_is_not_offered_is_refused() -> None:
    rest = KrakenRest()
    with pytest.raises(ValueError, match="not '3m'"):
        rest.history("bars", MARKET, "3m", 0, NOW)
    with pytest.raises(ValueError, match="not funding"):
        rest.history("funding", MARKET, "", 0, NOW)


@pytest.mark.recordings
def test_every_pair_of_the_recording_is_an_instrument(recordings: Path) -> None:
    rest = KrakenRest()
    with zstandard.open(recordings / "cryptofeed-kraken.jsonl.zst", "rt", encoding="utf-8") as lines:
        record = next(record for record in map(json.loads, lines) if record["t"] == "http")
    found, _ = rest.read_instruments(rest.instruments(), 200, record["data"].encode(), NOW)
    # 304 pairs; the dark pools have no name on the stream.
    assert len(found) == 293
    assert {each.market for each in found if each.base == "BTC"} >= {"BTC-USD.KRAKEN", "BTC-EUR.KRAKEN"}
    assert {each.symbol for each in found if each.data_only} == {"SC/BTC", "TRX/BTC"}
    assert {(each.maker_fee, each.taker_fee) for each in found} >= {("0.0016", "0.0026")}
