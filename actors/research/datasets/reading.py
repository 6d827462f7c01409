"""Data opened for reading: a data set of a node by its folder, or any file without a node.

    table = open_file(Path("bars.csv.gz"), market="BTCUSDT")          kind and interval are told from the file
    table = open_bars(folder_of(data_dir, dataset_id))
    for table in chunks(path, rows=1_000_000): ...                    quotes, trades, l2 of any length

What blocks is called on a thread or in a child process. See `Table` for the columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from actors.market.recordings.entries import READ_FAULTS
from actors.market.tables.decimals import MISSING
from actors.market.tables.faults import TableError
from actors.market.tables.options import ReadOptions
from actors.market.tables.schema import Kind
from actors.research.datasets import recorded
from actors.research.datasets.collected import Collected, collect, collect_history, history_in
from actors.research.datasets.columns import Conflict, clean_bars, columns_of, longer, market_code
from actors.research.datasets.folders import DatasetError, recording_of
from actors.research.datasets.hashing import content_hash
from actors.research.datasets.stored import FILE, StoredFile, metadata_of
from actors.research.datasets.table import LAST, Table

ROWS: Final = 1_000_000


def open_file(
    path: Path,
    *,
    kind: Kind | None = None,
    market: str = "",
    interval: str = "",
    zone: str = "UTC",
    options: ReadOptions | None = None,
) -> Table:
    """A CSV (plain, .gz, .zst), parquet, a downloaded history's folder, a stored data set or a recording, whole.

    `kind`: None: as the columns tell; of a recording: l2. `market`: which one of several, or the name of the only one.
    `interval` of bars: as most steps tell; a longer one puts the file's together. `zone`: of times that name none.
    `options` says all that can be told (and replaces the others). Bars without a price and exact repeats of bars are
    left out and counted in `dropped`. Raises DatasetError, also for two bars of one time that differ.
    """
    options = options or ReadOptions(kind=kind, market=market, interval=interval, zone=zone)
    try:
        stored = _stored(path)
        if stored is not None:
            return _finished(_of_stored(stored, options), options.interval)
        return _finished(_of_collected(collected_of(path, options)), options.interval)
    except TableError as error:
        raise DatasetError(f"{path.name}: {error}", error.field) from None
    except (Conflict, *READ_FAULTS) as error:
        raise DatasetError(f"{path.name}: {error}") from None


def open_bars(path: Path, *, market: str = "", interval: str = "") -> Table:
    """Bars of any file; `interval` longer than the file's puts them together. Raises DatasetError."""
    return _of_kind(path, "bars", market, interval)


def open_quotes(path: Path, *, market: str = "") -> Table:
    """Quotes; of a recording, the best prices of its books. Raises DatasetError."""
    return _of_kind(path, "quotes", market)


def open_trades(path: Path, *, market: str = "") -> Table:
    """Trades. Raises DatasetError."""
    return _of_kind(path, "trades", market)


def open_l2(path: Path, *, market: str = "") -> Table:
    """Level changes. Raises DatasetError."""
    return _of_kind(path, "l2", market)


def chunks(path: Path, *, kind: Kind | None = None, market: str = "", rows: int = ROWS) -> Iterator[Table]:
    """The same in pieces of about `rows` rows (l2: whole messages), of a stored data set with bounded memory.

    Bars come in one piece. Raises DatasetError.
    """
    stored = _stored(path)
    if stored is None or stored.kind == "bars":
        table = open_file(path, kind=kind, market=market)
        yield from _split(table, rows) if table.kind != "bars" else (table,)
        return
    _check_kind(path, stored.kind, kind)
    if market and market not in stored.markets:
        raise DatasetError(f"market: expected one of {', '.join(stored.markets)[:200]}, got {market!r}", "market")
    newest = MISSING
    left: Any = None
    for batch in stored.batches(rows):
        piece = batch if left is None else _joined(left, batch)
        piece, left = _whole_messages(piece, stored.kind)
        if not piece.num_rows:
            continue
        table = _table(stored, piece, newest)
        newest = int(table.columns["ts"][-1])
        yield table.of(market) if market else table
    if left is not None and left.num_rows:
        table = _table(stored, left, newest)
        yield table.of(market) if market else table


def collected_of(path: Path, options: ReadOptions) -> Collected:
    """Any file or folder that is no stored data set. Raises TableError, and what is in READ_FAULTS."""
    path = (recording_of(path) or path) if path.is_dir() else path
    if path.is_dir():
        history = history_in(path)
        if history is not None:
            return collect_history(history, options)
        return recorded.collect(path, options)
    if recorded.is_one(path):
        return recorded.collect(path, options)
    return collect(path, options)


def _of_kind(path: Path, kind: Kind, market: str, interval: str = "") -> Table:
    stored = _stored(path)
    if stored is not None:
        _check_kind(path, stored.kind, kind)
    found = open_file(path, kind=kind, options=ReadOptions(kind=kind, market=market, interval=interval))
    _check_kind(path, found.kind, kind)
    return found


def _check_kind(path: Path, kind: Kind, wanted: Kind | None) -> None:
    if wanted not in (None, kind):
        raise DatasetError(f"{path.name}: kind: expected {wanted}, got {kind}", "kind")


def _stored(path: Path) -> StoredFile | None:
    file = path / FILE if path.is_dir() and (path / FILE).is_file() else path
    try:
        return StoredFile(file) if file.is_file() and metadata_of(file) is not None else None
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from None


def _of_stored(stored: StoredFile, options: ReadOptions) -> Table:
    _check_kind(stored.path, stored.kind, options.kind)
    arrow = stored.table()
    market = options.market
    if market and len(stored.markets) > 1:
        if market not in stored.markets:
            raise TableError("market", f"expected one of {', '.join(stored.markets)[:200]}, got {market!r}")
        arrow = market_code(arrow, market)
        found = _table(stored, arrow).of(market)
    else:
        found = _table(stored, arrow)
        if market:
            found = msgspec.structs.replace(found, market=market, markets=(market,))
    return found


def _table(stored: StoredFile, arrow: Any, newest: int = MISSING) -> Table:
    about = stored.about
    return Table(
        kind=stored.kind,
        market=about["market"],
        markets=stored.markets,
        interval=about["interval"],
        columns=columns_of(stored.kind, about["interval"], arrow, newest),
        content_hash=about["content_hash"],
        name=about["name"],
        marks=tuple(about["marks"]),
        source=arrow,
    )


def _of_collected(collected: Collected) -> Table:
    return Table(
        kind=collected.kind,
        market=collected.markets[0] if len(collected.markets) == 1 else "",
        markets=collected.markets,
        interval=collected.interval,
        columns=columns_of(collected.kind, collected.interval, collected.table),
        content_hash=content_hash(collected),
        name=collected.name,
        marks=collected.marks,
        source=collected.table,
    )


def _finished(table: Table, interval: str) -> Table:
    if table.kind != "bars":
        return table
    table = clean_bars(table)
    if interval and interval != table.interval:
        try:
            return longer(table, interval)
        except ValueError as error:
            raise TableError("interval", str(error)) from None
    return table


def _split(table: Table, rows: int) -> Iterator[Table]:
    first = 0
    while first < len(table):
        stop = min(first + rows, len(table))
        if table.kind == "l2" and stop < len(table):
            ends = np.flatnonzero(table.columns["flags"][stop - 1 :] & LAST)
            stop = stop + int(ends[0]) if len(ends) else len(table)
        yield table.take(np.arange(first, stop))
        first = stop


def _whole_messages(piece: Any, kind: Kind) -> tuple[Any, Any]:
    """Whole messages, and the rows of the last one that is not."""
    if kind != "l2":
        return piece, None
    ends = np.flatnonzero(piece["flags"].to_numpy() & LAST)
    stop = int(ends[-1]) + 1 if len(ends) else 0
    return piece.slice(0, stop), piece.slice(stop)


def _joined(left: Any, right: Any) -> Any:
    return pa.concat_tables([left, right]).unify_dictionaries()
