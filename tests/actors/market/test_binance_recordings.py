"""Recorded days of Binance through the sessions: nothing is lost, and the venue's own best prices agree."""

from __future__ import annotations

import gzip
import io
import json
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest
import zstandard

from actors.market.book import Book
from actors.market.rest.binance import BinanceSpotRest, BinanceUsdmRest
from actors.market.session_core import BOOK, TICKERS, TRADES, Event, SessionOptions, Tally
from actors.market.sessions.binance import BinanceCoinmSession, BinanceSpotSession, BinanceUsdmSession
from actors.market.sessions.binance_core import BinanceSession
from protocols.market import BookUpdate, Ticker, Trade
from protocols.venues.rest import RestCall

Best = tuple[int | None, int | None, int | None, int | None]


class Recording(NamedTuple):
    """A file of lines `<receive time, ns> <raw JSON>`, and what its description says it holds."""

    file: str
    kind: type[BinanceSession]
    symbol: str
    depth: int
    tickers: int
    trades: int
    known: int
    """Changes that the snapshot has already."""
    checks: int
    """How often its description compares the book: at the snapshot, at each fiftieth update, and at the end."""


RECORDINGS = (
    Recording("binance-usdm-btcusdt-20240808", BinanceUsdmSession, "BTCUSDT", 6551, 66089, 21313, 4, 132),
    Recording("binance-spot-btcusdt-20240808", BinanceSpotSession, "BTCUSDT", 3451, 28040, 9757, 2, 71),
    Recording("binance-coinm-btcusd-perp-20240808", BinanceCoinmSession, "BTCUSD_PERP", 26847, 19136, 2286, 23, 538),
)
WITHOUT_SNAPSHOT = Recording("binance-spot-btcusdt-20240809", BinanceSpotSession, "BTCUSDT", 3044, 45134, 10147, 0, 0)


class Listener:
    """A session that listens, its books, and after each update the best prices; the venue's own beside them."""

    def __init__(self, kind: type[BinanceSession]) -> None:
        self.core = kind("feed", (), (BOOK, TRADES, TICKERS), SessionOptions(listening=True))
        self.core.connected("recorded", (), 0, 0)
        self.books: dict[str, Book] = {}
        self.bests: dict[str, list[tuple[int, Best]]] = {}
        self.tickers: dict[str, list[tuple[int, Best]]] = {}
        self.trades = 0
        self.early = 0

    def depth(self, symbol: str, body: bytes, ts: int) -> None:
        market = self.core.market_of(symbol)
        self.take(self.core.answered(RestCall(purpose="depth", path="", market=market), 200, body, ts, 0))

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, BookUpdate):
                book = self.books.setdefault(event.market, Book(event.market))
                book.apply(event)
                view = book.view(1)
                (bid,), (ask,) = view.bids, view.asks
                best = (bid.price, bid.size, ask.price, ask.size)
                self.bests.setdefault(event.market, []).append((event.seq, best))
            elif isinstance(event, Ticker):
                said = (event.bid, event.bid_size, event.ask, event.ask_size)
                self.tickers.setdefault(event.market, []).append((event.seq, said))
            elif isinstance(event, Trade):
                self.trades += 1
                self.early += event.ts_recv < event.ts_event

    def compared(self, market: str) -> list[bool]:
        """For each update with a ticker at or before its id: whether prices and sizes agree."""
        said = self.tickers.get(market, [])
        ids = [seq for seq, _ in said]
        return [said[at - 1][1] == best for seq, best in self.bests[market] if (at := bisect_right(ids, seq))]


def play(path: Path, recording: Recording) -> Listener:
    listener = Listener(recording.kind)
    with gzip.open(path / f"{recording.file}.txt.gz") as lines:
        for line in lines:
            ts, _, raw = line.partition(b" ")
            if raw.startswith(b'{"lastUpdateId'):
                listener.depth(recording.symbol, raw, int(ts))
            else:
                listener.take(listener.core.receive(raw, int(ts), 0))
    return listener


@pytest.mark.recordings
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)
def test_a_recorded_book_agrees_with_the_venues_best_prices_after_every_update(
    recordings: Path, recording: Recording
) -> None:
    listener = play(recordings, recording)
    core = listener.core
    market = core.market_of(recording.symbol)
    assert core.counts == {
        "depthUpdate": recording.depth,
        "bookTicker": recording.tickers,
        "trade": recording.trades,
        "snapshots": 1,
    }
    updates = 1 + recording.depth - recording.known
    frames = recording.depth + recording.tickers + recording.trades
    assert core.tally == Tally(frames=frames, updates=updates, dropped=recording.known)
    assert core.faults.total == 0
    assert core.state == "live"
    assert listener.trades == recording.trades
    assert len(listener.tickers[market]) == recording.tickers
    compared = listener.compared(market)
    assert len(compared) == updates
    assert all(compared)
    sample = [compared[0], *compared[49::50], compared[-1]]
    assert (sum(sample), len(sample)) == (recording.checks, recording.checks)


@pytest.mark.recordings
def test_the_day_after_without_a_snapshot_stays_stale_and_counts_what_it_drops(recordings: Path) -> None:
    listener = play(recordings, WITHOUT_SNAPSHOT)
    core = listener.core
    assert core.state == "recovering"
    core.disconnected("end", 0)
    assert core.tally == Tally(
        frames=WITHOUT_SNAPSHOT.depth + WITHOUT_SNAPSHOT.tickers + WITHOUT_SNAPSHOT.trades,
        dropped=WITHOUT_SNAPSHOT.depth,
    )
    assert listener.books == {}
    # The recorder's clock was behind the venue's.
    assert listener.early == listener.trades == WITHOUT_SNAPSHOT.trades


def depth_events(path: Path, recording: Recording) -> list[tuple[int, bytes]]:
    with gzip.open(path / f"{recording.file}.txt.gz") as lines:
        parts = [line.partition(b" ") for line in lines]
    return [(int(ts), raw) for ts, _, raw in parts if b"@depth" in raw[:60] or raw.startswith(b'{"lastUpdateId')]


@pytest.mark.recordings
def test_over_midnight_two_files_are_one_stream_without_a_hole(recordings: Path) -> None:
    listener = Listener(BinanceSpotSession)
    for ts, raw in depth_events(recordings, RECORDINGS[1]) + depth_events(recordings, WITHOUT_SNAPSHOT):
        if raw.startswith(b'{"lastUpdateId'):
            listener.depth("BTCUSDT", raw, ts)
        else:
            listener.take(listener.core.receive(raw, ts, 0))
    assert listener.core.tally.gaps == 0
    assert listener.core.tally.updates == 1 + 3451 - 2 + 3044
    assert listener.core.state == "live"


@pytest.mark.recordings
def test_a_change_that_is_left_out_of_a_recording_is_noticed_at_the_next_one(recordings: Path) -> None:
    for recording in RECORDINGS:
        listener = Listener(recording.kind)
        entries = depth_events(recordings, recording)
        for at, (ts, raw) in enumerate(entries[:2000]):
            if raw.startswith(b'{"lastUpdateId'):
                listener.depth(recording.symbol, raw, ts)
            elif at != 1000:
                listener.take(listener.core.receive(raw, ts, 0))
            assert listener.core.tally.gaps == (at > 1000)
        assert listener.core.live_markets() == set()


# -- several symbols on one connection ----------------------------------------------------------------


def cryptofeed(path: Path) -> Iterator[dict[str, Any]]:
    """Its answers and frames, in the order of their times (the file groups them by connection)."""
    with path.open("rb") as file:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8")
        records = [json.loads(line) for line in lines]
    yield from sorted((each for each in records if each["t"] in ("http", "recv")), key=lambda each: each["ts"])


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("file", "kind", "frames", "depth", "known", "checks"),
    [
        ("cryptofeed-binance", BinanceSpotSession, 265, 177, 5, 159),
        ("cryptofeed-binance-futures", BinanceUsdmSession, 1535, 764, 15, 745),
    ],
)
def test_four_symbols_with_their_own_snapshots(
    recordings: Path, file: str, kind: type[BinanceSession], frames: int, depth: int, known: int, checks: int
) -> None:
    listener = Listener(kind)
    core = listener.core
    snapshots = 0
    for record in cryptofeed(recordings / f"{file}.jsonl.zst"):
        ts = round(record["ts"] * 1e9)
        if record["t"] == "recv":
            listener.take(core.receive(record["data"], ts, 0))
        elif (url := urlsplit(record["url"])).path.endswith("/depth"):
            snapshots += 1
            listener.depth(parse_qs(url.query)["symbol"][0], record["data"].encode(), ts)
    assert snapshots == len(listener.books) == 4
    assert core.tally == Tally(frames=frames, updates=4 + depth - known, dropped=known)
    assert core.counts["depthUpdate"] == depth
    assert core.state == "live"
    compared = [same for market in listener.books for same in listener.compared(market)]
    assert (sum(compared), len(compared)) == (checks, checks)


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("file", "rest", "count"),
    [("cryptofeed-binance", BinanceSpotRest(), 1695), ("cryptofeed-binance-futures", BinanceUsdmRest(), 122)],
)
def test_recorded_definitions_keep_the_venues_digits(
    recordings: Path, file: str, rest: BinanceSpotRest | BinanceUsdmRest, count: int
) -> None:
    records = cryptofeed(recordings / f"{file}.jsonl.zst")
    body = next(record["data"] for record in records if "exchangeInfo" in record.get("url", ""))
    found, following = rest.read_instruments(rest.instruments(), 200, body.encode(), 7)
    assert following is None
    assert len(found) == len({instrument.market for instrument in found}) == count
    assert not any(instrument.data_only for instrument in found)
    for instrument in found:
        (prices,) = instrument.price_ranges
        assert 0 < prices.start < prices.end
        assert prices.start % prices.step == prices.end % prices.step == 0
        assert instrument.lot > 0
        assert instrument.order_types
