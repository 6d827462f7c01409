"""Arrow columns as the numpy columns of `Table`."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.market.bars_intervals import parse_interval
from actors.market.tables.decimals import MISSING, floats
from actors.market.tables.schema import COLUMNS, Kind
from actors.research.datasets.collected import codes_of, column
from actors.research.datasets.table import Column, Table

PRICES: Final = ("open", "high", "low", "close")
NO_PRICE: Final = "no_price"
REPEATED: Final = "repeated"
_SMALL: Final = {"side": np.int8, "taker": np.int8, "flags": np.uint8}


class Conflict(ValueError):
    """Two bars of one market begin at one time and differ."""


def columns_of(kind: Kind, interval: str, arrow: Any, newest: int = MISSING) -> dict[str, Column]:
    """All columns of a kind; `newest`: the last `ts` before these rows."""
    rows = arrow.num_rows
    found: dict[str, Column] = {"market": codes_of(arrow)}
    for name, form in COLUMNS[kind].items():
        if form == "text":
            continue
        if form == "volume":
            found[name] = volume_of(arrow, name)
        elif name in _SMALL:
            given = arrow[name].to_numpy() if name in arrow.column_names else np.zeros(rows)
            found[name] = np.asarray(given, dtype=_SMALL[name])
        else:
            empty = 0 if name.endswith("size") or name == "seq" else MISSING
            values = column(arrow, name)
            values = np.full(rows, empty, np.int64) if values is None else values
            found[name] = np.where(values == MISSING, empty, values) if empty == 0 else values
    if kind == "bars":
        found["end"] = found["start"] + parse_interval(interval).length
        found["ts"] = found["end"]
    else:
        found["ts"] = moments(found["ts_event"], found["ts_recv"], newest)
    return {"ts": found.pop("ts"), **found}


def moments(event: NDArray[np.int64], received: NDArray[np.int64], newest: int = MISSING) -> NDArray[np.int64]:
    """When each row can be known: the running maximum of the time of receipt, or of the venue's time without one."""
    known = np.where(received == MISSING, event, received)
    if len(known):
        known[0] = max(int(known[0]), newest)
    return np.maximum.accumulate(known) if len(known) else known


def volume_of(arrow: Any, name: str) -> NDArray[np.float64]:
    """float64 units, NaN where it is missing."""
    if name not in arrow.column_names:
        return np.full(arrow.num_rows, np.nan)
    return floats(arrow[name].combine_chunks())


def clean_bars(table: Table) -> Table:
    """Without bars that lack a price or a time and without exact repeats, counted in `dropped`. Raises Conflict."""
    columns = table.columns
    whole = columns["start"] != MISSING
    for name in PRICES:
        whole &= columns[name] != MISSING
    dropped = {NO_PRICE: int((~whole).sum())} if not whole.all() else {}
    same = (columns["start"][1:] == columns["start"][:-1]) & (columns["market"][1:] == columns["market"][:-1])
    same &= whole[1:] & whole[:-1]
    if same.any():
        volume = columns["volume"]
        equal = (volume[1:] == volume[:-1]) | (np.isnan(volume[1:]) & np.isnan(volume[:-1]))
        for name in PRICES:
            equal &= columns[name][1:] == columns[name][:-1]
        if (same & ~equal).any():
            row = int(np.flatnonzero(same & ~equal)[0])
            market = table.markets[int(columns["market"][row])]
            when = np.datetime64(int(columns["start"][row]), "ns")
            raise Conflict(f"expected one bar of {market} at {when}Z, got two that differ (rows {row + 1}, {row + 2})")
        dropped[REPEATED] = int(same.sum())
        whole[1:] &= ~same
    if not dropped:
        return table
    return msgspec.structs.replace(table.take(np.flatnonzero(whole)), dropped=dropped)


def market_code(table: Any, market: str) -> Any:
    """The rows of an Arrow table that are of one market."""
    return table.filter(pc.equal(pc.cast(table["market"], pa.string()), market))


def longer(table: Table, interval: str) -> Table:
    """Bars of a longer interval, a multiple of the table's; those whose beginning or end is missing are left out.

    Raises ValueError for an interval that is no multiple.
    """
    fine, coarse = parse_interval(table.interval), parse_interval(interval)
    if coarse.length == fine.length:
        return table
    if coarse.kind != "time" or coarse.length % fine.length or coarse.length < fine.length:
        raise ValueError(f"expected a multiple of {fine.name}, got {coarse.name}")
    parts = [_longer(table.of(market), coarse.length, coarse.bounds(0)[0]) for market in table.markets]
    columns = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    columns["market"] = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part[0]["ts"]) for part in parts])
    arrow = pa.concat_tables([part[1] for part in parts])
    order = np.lexsort((columns["market"], columns["start"]))
    return msgspec.structs.replace(
        table,
        interval=coarse.name,
        columns={name: values[order] for name, values in columns.items()},
        content_hash=table.content_hash,
        source=arrow,
        rows_of_source=order,
    )


def _longer(table: Table, length: int, offset: int) -> tuple[dict[str, Column], Any]:
    """The columns of one market's longer bars, and their volumes as an Arrow table."""
    bars = table.columns
    bucket = bars["start"] - (bars["start"] - offset) % length
    first = np.flatnonzero(np.r_[True, np.diff(bucket) != 0]) if len(bucket) else np.zeros(0, np.int64)
    last = np.r_[first[1:], len(bucket)] - 1 if len(first) else first
    volume, trades, vwap = bars["volume"], bars["trades"], bars["vwap"]
    sums: dict[str, Column] = {}
    if len(first):
        weighted = np.add.reduceat(np.where(vwap == MISSING, np.nan, vwap.astype(float)) * volume, first)
        volumes = np.add.reduceat(volume, first)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = weighted / volumes
        sums = {
            "volume": volumes,
            "trades": np.where(
                np.minimum.reduceat(trades, first) == MISSING, MISSING, np.add.reduceat(np.maximum(trades, 0), first)
            ),
            "vwap": np.where(np.isfinite(mean), np.nan_to_num(mean, posinf=0, neginf=0), MISSING).astype(np.int64),
            "high": np.maximum.reduceat(bars["high"], first),
            "low": np.minimum.reduceat(bars["low"], first),
        }
    else:
        sums = {name: bars[name] for name in ("volume", "trades", "vwap", "high", "low")}
    start = bucket[first]
    columns = sums | {"start": start, "end": start + length, "ts": start + length}
    columns |= {"open": bars["open"][first], "close": bars["close"][last]}
    whole = np.ones(len(first), dtype=bool)
    if len(first):
        whole[0] = bars["start"][0] == start[0]
        whole[-1] &= bars["end"][-1] == columns["end"][-1]
    exact = _exact_sums(table, first)
    columns = {name: values[whole] for name, values in columns.items()}
    return columns, exact.filter(pa.array(whole))


def _exact_sums(table: Table, first: NDArray[np.int64]) -> Any:
    """The sums of volumes, as exact decimals."""
    if table.source is None or "volume" not in table.source.column_names:
        return pa.table({"rows": pa.array(np.arange(len(first)))})
    texts = table.texts("volume")
    edges = [*first.tolist(), len(texts)]
    sums = [
        None if "" in texts[begin:stop] else sum(map(Decimal, texts[begin:stop]), Decimal(0))
        for begin, stop in pairwise(edges)
    ]
    return pa.table({"volume": pa.array(sums, pa.decimal128(38, 12))})
