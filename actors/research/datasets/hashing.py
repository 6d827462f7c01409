"""The content of a data set as one number: equal rows hash equally, whatever file they came in.

SHA-256 over the kind, the interval and every column that holds something: its name, its nulls, and its values as
little-endian integers (prices in nanos, volumes in 10⁻¹²). The name of the only market is none of the content; of
several the sorted names are.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.market.tables.decimals import MISSING
from actors.research.datasets.collected import Collected, codes_of


def content_hash(collected: Collected) -> str:
    """64 hex digits."""
    whole = hashlib.sha256(f"troupe-1\0{collected.kind}\0{collected.interval}\0".encode())
    table = collected.table
    for name in table.column_names:
        if name == "market":
            if len(collected.markets) > 1:
                whole.update(("market\0" + "\0".join(collected.markets) + "\0").encode())
                whole.update(codes_of(table).astype("<i4").tobytes())
            continue
        whole.update(f"{name}\0{table.num_rows}\0".encode())
        for chunk in table[name].chunks:
            _add(whole, chunk)
    return whole.hexdigest()


def _add(whole: Any, chunk: Any) -> None:
    if pa.types.is_decimal(chunk.type):
        filled = pc.fill_null(chunk, pa.scalar(0, pa.int64()).cast(chunk.type))
        raw = np.frombuffer(filled.buffers()[1], dtype="<i8")
        whole.update(raw[2 * filled.offset : 2 * (filled.offset + len(filled))].tobytes())
        whole.update(np.packbits(pc.is_null(chunk).to_numpy(zero_copy_only=False)).tobytes())
    elif pa.types.is_string(chunk.type):
        whole.update(pc.binary_length(chunk).to_numpy(zero_copy_only=False).astype("<i4").tobytes())
        offsets = np.frombuffer(chunk.buffers()[1], dtype="<i4")[chunk.offset : chunk.offset + len(chunk) + 1]
        text = chunk.buffers()[2]
        if text is not None and len(offsets):
            whole.update(memoryview(text)[int(offsets[0]) : int(offsets[-1])])
    elif pa.types.is_integer(chunk.type) and chunk.type.bit_width == 8:
        whole.update(chunk.to_numpy(zero_copy_only=False).tobytes())
    else:
        whole.update(pc.fill_null(chunk, MISSING).to_numpy(zero_copy_only=False).astype("<i8").tobytes())
