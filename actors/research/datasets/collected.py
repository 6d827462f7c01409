"""One file or folder of market data, whole, in our columns and in order: what is stored, validated and hashed.

Bars are in order of their start and market; quotes, trades and level changes in the order of receipt. Where no time of
receipt is there: level changes and what is numbered stay in the order of the file, the rest is put in order of the
venue's time (a file with the newest first is turned round).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.market.history import Manifest
from actors.market.history_files import MANIFEST
from actors.market.tables.canonical import TableFile
from actors.market.tables.decimals import MISSING
from actors.market.tables.faults import Faults, TableError
from actors.market.tables.options import ReadOptions
from actors.market.tables.schema import COLUMNS, TIME_COLUMN, Kind
from actors.research.datasets.table import LAST, SNAPSHOT

MOST_ROWS: Final = 100_000_000
OUT_OF_ORDER: Final = "out_of_order"
REVERSED: Final = "reversed"
Say = Callable[[int], None]
"""Is told how many rows have come so far."""


class Collected(msgspec.Struct, kw_only=True, eq=False):
    """`table`: an Arrow table of our columns (`market` a dictionary). `zoned`: its times name a zone, or need none.

    `faults`: what could not be kept, and `out_of_order` and `reversed` rows, counted.
    """

    kind: Kind
    interval: str
    markets: tuple[str, ...]
    table: Any
    format: str
    name: str
    marks: tuple[str, ...] = ()
    zoned: bool | None = None
    zone: str = "UTC"
    faults: Faults = msgspec.field(default_factory=Counter)
    mapping: dict[str, str] = {}
    own: dict[str, Any] = {}
    """What a file of ours says about itself."""


def collect(
    path: Path, options: ReadOptions | None = None, *, most_rows: int = MOST_ROWS, say: Say = lambda rows: None
) -> Collected:
    """Read a CSV or parquet file. Raises TableError for what it is not, or more rows than `most_rows`."""
    options = options or ReadOptions()
    file = TableFile(path, options)
    batches = _taken(file, most_rows, say)
    if not batches:
        wanted = f" of {options.market}" if options.market and file.has_markets else ""
        raise TableError("file", f"expected rows{wanted}, got none")
    if file.kind == "bars" and not file.interval:
        raise TableError("interval", "expected two bars, or to be told the interval")
    stem = path.name.partition(".")[0]
    own = file.source.metadata
    table, markets = _marketed(batches, "" if file.has_markets else options.market or own.get("market") or stem.upper())
    faults = file.faults
    table = ordered(table, file.kind, markets, faults)
    return Collected(
        kind=file.kind,
        interval=file.interval,
        markets=markets,
        table=shaped(table, file.kind, has_flags=file.own),
        format=file.source.format,
        name=stem,
        marks=tuple(sorted({*own.get("marks", ()), *file.source.marks})),
        zoned=file.zoned,
        zone=options.zone,
        faults=faults,
        mapping=dict(file.mapping.columns),
        own=own,
    )


def collect_history(folder: Path, options: ReadOptions | None = None, *, say: Say = lambda rows: None) -> Collected:
    """Read the parts of a folder of `troupe data download`. Raises TableError."""
    manifest = manifest_of(folder)
    kinds: dict[str, Kind] = {"bars": "bars", "trades": "trades"}
    if manifest.kind not in kinds:
        raise TableError("file", f"expected a history of bars or trades, got {manifest.kind}")
    kind = kinds[manifest.kind]
    told = ReadOptions(kind=kind, interval=manifest.interval)
    batches: list[Any] = []
    faults: Faults = Counter()
    rows = 0
    for part in manifest.parts:
        if not part.rows:
            continue
        file = TableFile(folder / part.file, told)
        batches += list(file.batches())
        faults += file.faults
        rows += part.rows
        say(rows)
    if not batches:
        raise TableError("file", f"expected a history with rows, got none in {folder}")
    table, markets = _marketed(batches, "")
    return Collected(
        kind=kind,
        interval=manifest.interval,
        markets=markets,
        table=shaped(ordered(table, kind, markets, faults), kind),
        format="history",
        name=f"{manifest.venue}-{manifest.market}",
        marks=manifest.marks,
        zoned=True,
        faults=faults,
    )


def history_in(folder: Path) -> Path | None:
    """The folder itself, or the only history below it; None where there is none. Raises TableError for several."""
    found = [path.parent for path in sorted(folder.rglob(f"*/{MANIFEST}"))]
    if (folder / MANIFEST).exists():
        return folder
    if len(found) > 1:
        names = ", ".join(str(each.relative_to(folder)) for each in found[:10])
        raise TableError("file", f"expected the folder of one history, got {len(found)}: {names}")
    return found[0] if found else None


def manifest_of(folder: Path) -> Manifest:
    """What a downloaded history says about itself. Raises TableError."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise TableError("file", f"expected a folder with a {MANIFEST}, got: {error}") from None


def ordered(table: Any, kind: Kind, markets: tuple[str, ...], faults: Faults) -> Any:
    """The rows in their order; those that were not are counted. Stable."""
    received = column(table, "ts_recv")
    times = column(table, "start" if kind == "bars" else "ts_event")
    key = times if received is None or kind == "bars" else received
    if key is None:
        raise TableError(TIME_COLUMN[kind], "expected a column of times, got none")
    if kind != "bars" and received is None and (kind == "l2" or column(table, "seq") is not None):
        return table
    steps = np.diff(key)
    if len(markets) == 1 and not (steps < 0).any():
        return table
    if len(steps) and (steps <= 0).all() and (steps < 0).any():
        faults[REVERSED] += len(key)
        table = table.take(pa.array(np.arange(len(key) - 1, -1, -1)))
        key = key[::-1]
    back = int((key < np.maximum.accumulate(key)).sum())
    codes = codes_of(table)
    if kind == "bars" and len(markets) > 1:
        back = _back_within(key, codes)
        order = np.lexsort((codes, key))
    elif back:
        order = np.argsort(key, kind="stable")
    else:
        return table
    faults[OUT_OF_ORDER] += back
    return table.take(pa.array(order))


def shaped(table: Any, kind: Kind, *, has_flags: bool = False) -> Any:
    """Our columns in our order, without those that are missing in every row; l2 with the ends of its messages."""
    if kind == "l2" and not has_flags:
        flags = _ended(table)
        names = [name for name in table.column_names if name != "flags"]
        table = table.select(names).append_column("flags", pa.array(flags, pa.uint8()))
    names = [name for name in COLUMNS[kind] if name in table.column_names]
    kept = [name for name in names if table[name].null_count < table.num_rows and not _blank(table[name])]
    return table.select(kept).combine_chunks()


def column(table: Any, name: str) -> NDArray[np.int64] | None:
    """An integer column as numpy, MISSING for nulls; None where it is absent."""
    if name not in table.column_names:
        return None
    return np.asarray(pc.fill_null(pc.cast(table[name], pa.int64()), MISSING).to_numpy())


def codes_of(table: Any) -> NDArray[np.int32]:
    """The places of the rows' markets."""
    chunks = [np.asarray(chunk.indices.to_numpy(zero_copy_only=False)) for chunk in table["market"].chunks]
    return np.concatenate(chunks).astype(np.int32) if chunks else np.zeros(0, np.int32)


def _taken(file: TableFile, most_rows: int, say: Say) -> list[Any]:
    batches: list[Any] = []
    rows = 0
    for batch in file.batches():
        rows += batch.num_rows
        if rows > most_rows:
            raise TableError("file", f"expected at most {most_rows} rows, got more")
        batches.append(batch)
        say(rows)
    return batches


def _marketed(batches: list[Any], market: str) -> tuple[Any, tuple[str, ...]]:
    """One table with `market` as a dictionary in the order of the alphabet."""
    table = pa.Table.from_batches(batches)
    if market:
        indices = pa.array(np.zeros(table.num_rows, np.int32))
        return table.append_column("market", pa.DictionaryArray.from_arrays(indices, pa.array([market]))), (market,)
    names = pc.unique(table["market"])
    sorted_names = names.take(pc.sort_indices(names)).cast(pa.string())
    if sorted_names.null_count or "" in (first := sorted_names.to_pylist()):
        raise TableError("market", "expected a market in every row, got none in some")
    codes = pc.cast(pc.index_in(pc.cast(table["market"], pa.string()), sorted_names), pa.int32()).combine_chunks()
    encoded = pa.DictionaryArray.from_arrays(codes, sorted_names)
    return table.set_column(table.column_names.index("market"), "market", encoded), tuple(first)


def _back_within(key: NDArray[np.int64], codes: NDArray[np.int32]) -> int:
    """Rows that are behind an earlier one of their own market."""
    order = np.argsort(codes, kind="stable")
    found = 0
    for part in np.split(key[order], np.flatnonzero(np.diff(codes[order])) + 1):
        found += int((part < np.maximum.accumulate(part)).sum())
    return found


def _ended(table: Any) -> NDArray[np.uint8]:
    """Flags with LAST: a message is the rows of one market, time, session and number beside each other."""
    given = column(table, "flags")
    if given is not None and (given & LAST).any():
        return given.astype(np.uint8)
    flags = np.zeros(table.num_rows, np.uint8) if given is None else (given & SNAPSHOT).astype(np.uint8)
    new = np.zeros(table.num_rows, dtype=bool)
    new[-1:] = True
    for name in ("ts_event", "ts_recv", "seq"):
        values = column(table, name)
        if values is not None:
            new[:-1] |= values[1:] != values[:-1]
    codes = codes_of(table)
    new[:-1] |= codes[1:] != codes[:-1]
    new[:-1] |= (flags[1:] & SNAPSHOT) != (flags[:-1] & SNAPSHOT)
    flags[new] |= LAST
    return flags


def _blank(values: Any) -> bool:
    return pa.types.is_string(values.type) and not pc.any(pc.not_equal(values, "")).as_py()
