"""The peers of `benchmarks.market`, each in the environment that has it: this file imports nothing of ours.

    PYTHON -m benchmarks.market_peers PEER VENUE FRAMES SECONDS

`FRAMES` is a file with one JSON text a line. Tells one line of JSON: frames a second, the best prices at the end, and
the peer's version. Each peer goes the way that its own users go, frame bytes to best bid and ask:

* nautilus: its Binance adapter's message types and its `OrderBook`. For Kalshi the same with message types written
  here, as its adapter of this version knows no such stream: parsed by msgspec, signed changes added up in a dict,
  prices kept by their text.
* cryptofeed: its Binance adapter as it is. For Kalshi its parser (yapic.json), its `OrderBook` and Decimals.
* hftbacktest: its converter of recorded files, then its market depth, read at each event by compiled code.
"""

from __future__ import annotations

import gzip
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from decimal import Decimal
from typing import Any

import msgspec

Best = dict[str, tuple[Any, Any]]
SNAPSHOT = b'{"lastUpdateId"'


class KalshiReply(msgspec.Struct):
    """A frame of which only its place counts."""

    type: str
    sid: int = 0
    seq: int = 0


class KalshiBody(msgspec.Struct):
    """A snapshot or a delta."""

    market_ticker: str = ""
    side: str = ""
    price_dollars: str = ""
    delta_fp: str = ""
    ts_ms: int = 0
    yes_dollars_fp: list[tuple[str, str]] = []
    no_dollars_fp: list[tuple[str, str]] = []


class KalshiFrame(KalshiReply):
    """A frame with a body."""

    msg: KalshiBody = msgspec.field(default_factory=KalshiBody)


def nautilus_kalshi(frames: list[bytes]) -> tuple[float, Best]:
    """Signed changes of a level, made absolute as an adapter must."""
    from nautilus_trader.model.book import OrderBook
    from nautilus_trader.model.data import BookOrder, OrderBookDelta
    from nautilus_trader.model.enums import BookAction, BookType, OrderSide
    from nautilus_trader.model.identifiers import InstrumentId
    from nautilus_trader.model.objects import Price, Quantity

    decode, decode_other = msgspec.json.Decoder(KalshiFrame).decode, msgspec.json.Decoder(KalshiReply).decode
    books: dict[str, tuple[Any, Any, dict[tuple[str, str], int]]] = {}
    prices: dict[tuple[str, str], Any] = {}
    due: dict[int, int] = {}
    sides = {"yes": OrderSide.BUY, "no": OrderSide.SELL}

    def price_of(side: str, text: str) -> Any:
        price = prices.get((side, text))
        if price is None:
            price = Price.from_str(text if side == "yes" else str(1 - Decimal(text)))
            prices[(side, text)] = price
        return price

    def delta(id: Any, side: str, text: str, hundredths: int, seq: int, ts: int) -> Any:
        size = Quantity(hundredths / 100, 2)
        order = BookOrder(sides[side], price_of(side, text), size, 0)
        action = BookAction.UPDATE if hundredths else BookAction.DELETE
        return OrderBookDelta(id, action, order, 0, seq, ts, ts)

    began = time.perf_counter()
    for raw in frames:
        try:
            frame = decode(raw)
        except msgspec.ValidationError:
            frame = decode_other(raw)
        if frame.seq:
            if due.get(frame.sid, frame.seq) != frame.seq:
                raise RuntimeError("gap")
            due[frame.sid] = frame.seq + 1
        if frame.type == "orderbook_delta":
            body = frame.msg
            id, book, sizes = books[body.market_ticker]
            place = (body.side, body.price_dollars)
            size = sizes[place] = sizes.get(place, 0) + int(body.delta_fp.replace(".", ""))
            book.apply_delta(delta(id, *place, size, frame.seq, body.ts_ms * 1_000_000))
            book.best_bid_price(), book.best_ask_price()
        elif frame.type == "orderbook_snapshot":
            body = frame.msg
            id = InstrumentId.from_str(f"{body.market_ticker}.KALSHI")
            book, sizes = OrderBook(id, BookType.L2_MBP), {}
            books[body.market_ticker] = (id, book, sizes)
            for side, levels in (("yes", body.yes_dollars_fp), ("no", body.no_dollars_fp)):
                for text, size_text in levels:
                    sizes[(side, text)] = int(size_text.replace(".", ""))
                    book.apply_delta(delta(id, side, text, sizes[(side, text)], frame.seq, 0))
            book.best_bid_price(), book.best_ask_price()
    took = time.perf_counter() - began
    return took, {name: (book.best_bid_price(), book.best_ask_price()) for name, (_, book, _) in books.items()}


def nautilus_binance(frames: list[bytes]) -> tuple[float, Best]:
    """Its own adapter's types; the chain of `pu` is checked as its data client does not, so that all do the same."""
    from nautilus_trader.adapters.binance.common.schemas.market import BinanceDepth, BinanceOrderBookMsg
    from nautilus_trader.model.book import OrderBook
    from nautilus_trader.model.enums import BookType
    from nautilus_trader.model.identifiers import InstrumentId

    decode = msgspec.json.Decoder(BinanceOrderBookMsg).decode
    decode_snapshot = msgspec.json.Decoder(BinanceDepth).decode
    id = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
    book = OrderBook(id, BookType.L2_MBP)
    last = 0
    began = time.perf_counter()
    for raw in frames:
        if raw.startswith(SNAPSHOT):
            book.apply_deltas(decode_snapshot(raw).parse_to_order_book_snapshot(id, 1))
        else:
            data = decode(raw).data
            if last and data.pu != last:
                raise RuntimeError("gap")
            last = data.u
            book.apply_deltas(data.parse_to_order_book_deltas(id, 1))
        book.best_bid_price(), book.best_ask_price()
    took = time.perf_counter() - began
    return took, {"BTCUSDT": (book.best_bid_price(), book.best_ask_price())}


def cryptofeed_kalshi(frames: list[bytes]) -> tuple[float, Best]:
    """As its adapters are written: JSON with Decimals, a book of Decimals."""
    from cryptofeed.types import OrderBook
    from yapic import json as yapic

    loads = yapic.loads
    books: dict[str, Any] = {}
    due: dict[int, int] = {}
    one = Decimal(1)
    began = time.perf_counter()
    for raw in frames:
        msg = loads(raw, parse_float=Decimal)
        seq = msg.get("seq")
        if seq:
            if due.get(msg["sid"], seq) != seq:
                raise RuntimeError("gap")
            due[msg["sid"]] = seq + 1
        if msg["type"] == "orderbook_delta":
            body = msg["msg"]
            book = books[body["market_ticker"]].book
            price = Decimal(body["price_dollars"])
            if body["side"] == "yes":
                levels = book.bids
            else:
                levels, price = book.asks, one - price
            size = Decimal(body["delta_fp"])
            if price in levels:
                size += levels[price]
            if size:
                levels[price] = size
            else:
                del levels[price]
        elif msg["type"] == "orderbook_snapshot":
            body = msg["msg"]
            whole = books[body["market_ticker"]] = OrderBook("KALSHI", body["market_ticker"])
            book = whole.book
            book.bids = {Decimal(price): Decimal(size) for price, size in body.get("yes_dollars_fp", ())}
            book.asks = {one - Decimal(price): Decimal(size) for price, size in body.get("no_dollars_fp", ())}
        else:
            continue
        if len(book.bids):
            book.bids.index(0)
        if len(book.asks):
            book.asks.index(0)
    took = time.perf_counter() - began
    return took, {name: _ends(each.book) for name, each in books.items()}


def cryptofeed_binance(frames: list[bytes]) -> tuple[float, Best]:
    """Its adapter's `message_handler`, with the snapshot where it would ask for it."""
    from cryptofeed.defines import BINANCE_FUTURES, L2_BOOK
    from cryptofeed.exchanges.binance_futures import BinanceFutures
    from cryptofeed.symbols import Symbols

    snapshot = next(raw for raw in frames if raw.startswith(SNAPSHOT))

    class Rest:
        async def read(self, address: str) -> bytes:
            return snapshot

    Symbols.set(BINANCE_FUTURES, {"BTC-USDT-PERP": "BTCUSDT"}, {"instrument_type": {"BTC-USDT-PERP": "perpetual"}})
    seen: list[Any] = []

    async def look(book: Any, received: float) -> None:
        seen[:] = [book]
        _ends(book.book)

    feed = BinanceFutures(symbols=["BTC-USDT-PERP"], channels=[L2_BOOK], callbacks={L2_BOOK: look})
    feed._reset()
    feed.http_conn = Rest()
    handle = feed.message_handler
    texts = [raw.decode() for raw in frames if not raw.startswith(SNAPSHOT)]
    began = time.perf_counter()
    for text in texts:
        try:
            handle(text, None, 0.0).send(None)
        except StopIteration:
            continue
        raise RuntimeError("it waits for something")
    took = time.perf_counter() - began
    return took, {"BTCUSDT": _ends(seen[0].book)}


def _ends(book: Any) -> tuple[Any, Any]:
    bids, asks = book.bids, book.asks
    return (bids.index(0)[0] if len(bids) else None), (asks.index(0)[0] if len(asks) else None)


_compiled: list[Any] = []


def hftbacktest_binance(frames: list[bytes]) -> tuple[float, Best]:
    """Its converter reads a gzipped file; unpacking it is in the time, as little as it is."""
    import numpy as np
    from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
    from hftbacktest.data.utils import binancefutures
    from numba import njit

    if not _compiled:

        @njit  # type: ignore[untyped-decorator]
        def through(hbt: Any) -> tuple[float, float]:
            bid, ask = np.nan, np.nan
            while True:
                status = hbt.wait_next_feed(False, 10_000_000_000_000)
                depth = hbt.depth(0)
                bid, ask = depth.best_bid, depth.best_ask
                if status != 2:
                    return bid, ask

        _compiled.append(through)
    begin = 1_723_161_256_000_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "frames.gz")
        with gzip.open(path, "wb", 1) as file:
            for number, raw in enumerate(frames):
                file.write(b"%d %b\n" % (begin + number * 1_000, raw))
        began = time.perf_counter()
        # It tells what it does on standard output, which is ours.
        aside, sys.stdout = sys.stdout, sys.stderr
        try:
            events = binancefutures.convert(path, buffer_size=2_000_000)
        finally:
            sys.stdout = aside
        asset = (
            BacktestAsset()
            .data(events)
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .risk_adverse_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(0, 0)
            .tick_size(0.1)
            .lot_size(0.001)
        )
        hbt = HashMapMarketDepthBacktest([asset])
        bid, ask = _compiled[0](hbt)
        took = time.perf_counter() - began
        hbt.close()
    return took, {"BTCUSDT": (bid, ask)}


SIDES = {
    ("nautilus_trader", "kalshi"): nautilus_kalshi,
    ("nautilus_trader", "binance-usdm"): nautilus_binance,
    ("cryptofeed", "kalshi"): cryptofeed_kalshi,
    ("cryptofeed", "binance-usdm"): cryptofeed_binance,
    ("hftbacktest", "binance-usdm"): hftbacktest_binance,
}


def main(peer: str, venue: str, path: str, seconds: float, cpu: str = "any") -> dict[str, Any]:
    """Play the frames for about so many seconds."""
    if cpu != "any":
        os.sched_setaffinity(0, {int(cpu)})
    with open(path, "rb") as file:
        frames = file.read().splitlines()
    side = SIDES[(peer, venue)]
    # The first round warms up (hftbacktest compiles in it); with no time for more it has to do.
    took, best = side(frames)
    rounds = [side(frames)[0] for _ in range(max(1, round(seconds / took)))] if seconds else [took]
    return {
        "frames/s": len(frames) * len(rounds) / sum(rounds),
        "best": {name: [None if each is None else float(each) for each in pair] for name, pair in best.items()},
        "version": importlib.metadata.version(peer),
    }


if __name__ == "__main__":
    arguments = sys.argv[1:]
    print(json.dumps(main(arguments[0], arguments[1], arguments[2], float(arguments[3]), *arguments[4:])))
