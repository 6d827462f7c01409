"""Rows as people and programs outside read them: exact decimal text, times as RFC 3339; and CSV of them."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from actors.market.tables.schema import COLUMNS, Kind
from actors.research.datasets.stored import StoredFile
from actors.research.datasets.table import plain

CSV_ROWS: Final = 262_144
_SIDES: Final = {"side": ("ask", "", "bid"), "taker": ("sell", "", "buy")}


def as_text(table: Any, kind: Kind) -> Any:
    """The same rows with every cell as text, null where nothing is; what we read back is equal."""
    arrays = {}
    for name in table.column_names:
        column = table[name].combine_chunks() if isinstance(table[name], pa.ChunkedArray) else table[name]
        form = COLUMNS[kind][name]
        if form == "time":
            stamps = pc.cast(column, pa.timestamp("ns", "UTC"))
            arrays[name] = pc.replace_substring_regex(pc.cast(stamps, pa.string()), r"^(\S+) (\S+)Z$", r"\1T\2Z")
        elif form in ("price", "size"):
            arrays[name] = _digits(_decimals(column))
        elif form == "volume":
            arrays[name] = _digits(column)
        elif name in _SIDES:
            places = pc.add(pc.cast(column, pa.int32()), 1)
            arrays[name] = pa.array(_SIDES[name]).take(places)
        else:
            arrays[name] = pc.cast(column, pa.string())
    return pa.table(arrays)


def records(table: Any, kind: Kind) -> list[dict[str, str | int | None]]:
    """Rows as JSON objects; whole numbers that are no price or size stay numbers."""
    texts = as_text(table, kind)
    columns: dict[str, list[Any]] = {}
    for name in texts.column_names:
        whole = COLUMNS[kind][name] in ("integer", "flag")
        columns[name] = (table if whole else texts)[name].to_pylist()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def write_csv(stored: StoredFile, output: BinaryIO) -> None:
    """All rows as CSV with a first line of names, piece by piece."""
    first = True
    for table in stored.batches(CSV_ROWS):
        texts = as_text(table, stored.kind)
        piece = io.BytesIO()
        try:
            arrow_csv.write_csv(texts, piece, arrow_csv.WriteOptions(include_header=first, quoting_style="none"))
        except pa.ArrowInvalid:
            # A name holds a comma or a quote.
            piece = io.BytesIO()
            arrow_csv.write_csv(texts, piece, arrow_csv.WriteOptions(include_header=first))
        output.write(piece.getbuffer())
        first = False


def _decimals(nanos: Any) -> Any:
    """int64 nanos as decimal128 of nine places: the same digits, read otherwise."""
    low = np.asarray(pc.fill_null(nanos, 0).to_numpy(zero_copy_only=False), dtype="<i8")
    pairs = np.empty((len(low), 2), dtype="<i8")
    pairs[:, 0], pairs[:, 1] = low, low >> 63
    made = pa.Array.from_buffers(pa.decimal128(38, 9), len(low), [None, pa.py_buffer(pairs.tobytes())])
    return pc.if_else(pc.is_valid(nanos), made, None)


def _digits(decimals: Any) -> Any:
    texts = pc.cast(decimals, pa.string())
    odd = pc.fill_null(pc.match_substring(texts, "E"), False)
    if pc.any(odd).as_py():
        return pa.array([None if text is None else plain(text) for text in texts.to_pylist()], pa.string())
    # All have a point: the decimals have places.
    return pc.replace_substring_regex(texts, r"\.?0+$", "")
