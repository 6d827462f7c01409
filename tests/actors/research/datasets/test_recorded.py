"""Recordings as columns: the books that come of the rows are the books that come of the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.research.datasets.folders import DatasetError
from actors.research.datasets.reading import open_file, open_l2, open_quotes, open_trades
from actors.research.datasets.recorded import is_one, messages
from actors.research.datasets.recordings_held import held
from actors.research.datasets.table import LAST, MISSING, SIGNED, SNAPSHOT
from protocols.market import BookUpdate, Quote, Trade

pytestmark = pytest.mark.recordings


@pytest.mark.parametrize("name", ["kalshi-btcmaxy-20251104-0252.jsonl.gz", "cryptofeed-binance-futures.jsonl.zst"])
def test_the_rows_make_the_quotes_that_a_replay_makes(recordings: Path, name: str) -> None:
    path = recordings / name
    levels = open_l2(path)
    quotes = open_quotes(path)
    played = [output for output in messages(path) if isinstance(output, BookUpdate | Quote)]
    expected = [output for output in played if isinstance(output, Quote)]
    assert [levels.markets.index(quote.market) for quote in expected] == quotes.columns["market"].tolist()
    for field in ("bid", "ask"):
        told = [MISSING if getattr(quote, field) is None else getattr(quote, field) for quote in expected]
        assert quotes.columns[field].tolist() == told
    ends = np.flatnonzero(levels.columns["flags"] & LAST)
    updates = [output for output in played if isinstance(output, BookUpdate)]
    assert levels.columns["seq"][ends].tolist() == [update.seq for update in updates]
    books: dict[int, tuple[dict[int, int], dict[int, int]]] = {}
    last: dict[int, tuple[int, int]] = {}
    for row in zip(
        *(levels.columns[name].tolist() for name in ("market", "side", "price", "size", "flags")), strict=True
    ):
        market, side, price, size, flags = row
        if flags & SNAPSHOT and market not in books:
            books[market] = ({}, {})
        book = books[market][0 if side == 1 else 1]
        book[price] = size + (book.get(price, 0) if flags & SIGNED else 0)
        if book[price] == 0:
            del book[price]
        if flags & LAST:
            last[market] = (max(books[market][0], default=MISSING), min(books[market][1], default=MISSING))
    for market, (bid, ask) in last.items():
        of_market = quotes.of(quotes.markets[market])
        assert (of_market.columns["bid"][-1], of_market.columns["ask"][-1]) == (bid, ask)


def test_trades_of_a_recording_are_those_of_its_frames(recordings: Path) -> None:
    path = recordings / "cryptofeed-binance-futures.jsonl.zst"
    found = open_trades(path)
    expected = [output for output in messages(path) if isinstance(output, Trade)]
    assert found.columns["price"].tolist() == [trade.price for trade in expected]
    assert found.columns["taker"].tolist() == [1 if trade.taker == "buy" else -1 for trade in expected]
    assert (np.diff(found.columns["ts"]) >= 0).all()


def test_what_is_no_recording_is_known_and_what_a_recording_lacks_is_told(recordings: Path) -> None:
    assert not is_one(recordings / "bars-btcperp-1m-202201.csv.gz")
    assert not is_one(recordings / "kalshi-trades-spx-2026-01.parquet")
    with pytest.raises(DatasetError, match="kind: expected l2, quotes or trades of a recording, got bars"):
        open_file(recordings / "kalshi-btcmaxy-20251104-0110.jsonl.gz", kind="bars")
    with pytest.raises(DatasetError, match="expected trades in the recording, got none"):
        open_trades(recordings / "kalshi-btcmaxy-20251104-0110.jsonl.gz")
    with pytest.raises(DatasetError, match="expected a recording of a known venue, got one of 'deribit'"):
        open_l2(recordings / "cryptofeed-deribit.jsonl.zst")


def test_a_recording_tells_what_it_holds(recordings: Path) -> None:
    found = held(recordings / "kalshi-demo-session-20260701.jsonl.gz")
    assert (found.frames, len(found.markets), found.kinds["book_update"], found.kinds["quote"]) == (2898, 5, 2890, 414)
    assert found.report().valid
