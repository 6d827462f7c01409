"""A data set's file: parquet of our columns, with what it is in its metadata; written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from actors.market.tables.faults import TableError
from actors.market.tables.schema import METADATA, Kind
from actors.research.datasets.collected import Collected

FILE: Final = "data.parquet"
ROW_GROUP: Final = 524_288
VERSION: Final = 1


def write(collected: Collected, content_hash: str, path: Path) -> int:
    """Write it; its bytes. Raises OSError."""
    about = {
        "version": VERSION,
        "kind": collected.kind,
        "interval": collected.interval,
        "name": collected.name,
        "market": collected.markets[0] if len(collected.markets) == 1 else "",
        "markets": list(collected.markets),
        "marks": list(collected.marks),
        "content_hash": content_hash,
    }
    table = collected.table.replace_schema_metadata({METADATA: json.dumps(about).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    texts = [field.name for field in table.schema if pa.types.is_string(field.type) or field.name == "market"]
    try:
        parquet.write_table(table, beside, compression="zstd", use_dictionary=texts, row_group_size=ROW_GROUP)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path.stat().st_size


class StoredFile:
    """A file that `write` has written, opened. Raises TableError for any other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        about = metadata_of(path)
        if about is None:
            raise TableError("file", f"expected a stored data set, got {path.name}")
        self.about = about
        self.kind: Kind = about["kind"]
        self.markets: tuple[str, ...] = tuple(about["markets"])

    def table(self, columns: list[str] | None = None) -> Any:
        """The whole Arrow table, mapped into memory where it is not compressed."""
        return parquet.read_table(self.path, columns=columns, memory_map=True)

    def rows(self) -> int:
        """How many."""
        return int(parquet.read_metadata(self.path).num_rows)

    def batches(self, rows: int) -> Any:
        """Arrow tables of about `rows` rows, in order."""
        with parquet.ParquetFile(self.path, memory_map=True) as file:
            for batch in file.iter_batches(rows):
                yield pa.Table.from_batches([batch])

    def slice(self, first: int, count: int) -> Any:
        """Some rows; only the row groups that hold them are read."""
        with parquet.ParquetFile(self.path, memory_map=True) as file:
            found, before = [], 0
            for group in range(file.metadata.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                if before + size > first and before < first + count:
                    found.append((before, group))
                before += size
            if not found:
                return file.schema_arrow.empty_table()
            read = file.read_row_groups([group for _, group in found])
            return read.slice(first - found[0][0], count)


def metadata_of(path: Path) -> dict[str, Any] | None:
    """What a parquet file of ours says about itself; None for another file. Raises OSError."""
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return None
    try:
        metadata = parquet.read_metadata(path).metadata or {}
    except (pa.ArrowInvalid, pa.ArrowException):
        return None
    about = json.loads(metadata[METADATA]) if METADATA in metadata else None
    return about if isinstance(about, dict) and about.get("version") == VERSION else None
