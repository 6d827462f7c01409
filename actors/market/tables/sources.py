"""Files as batches of columns: CSV (every cell as text) and parquet, read in pieces of bounded size."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from actors.market.tables.decimals import NOTHING
from actors.market.tables.faults import TableError
from actors.market.tables.schema import METADATA
from protocols.market import MARKS

BLOCK_BYTES: Final = 4 << 20
BATCH_ROWS: Final = 262_144
_COMPRESSIONS: Final = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_HEAD_BYTES: Final = 1 << 20
_PARQUET: Final = b"PAR1"


class CsvSource:
    """Text parted by commas, semicolons, tabs or bars; lines that begin with # are left out.

    `columns`: their names where the first line does not tell them. Raises TableError for what cannot be read.
    """

    format = "csv"

    def __init__(self, path: Path, columns: tuple[str, ...] = ()) -> None:
        self.path = path
        self.metadata: dict[str, Any] = {}
        self.rows: int | None = None
        self.marks: tuple[str, ...] = ()
        """What the comments before the names say of the data: a line that begins with `# synthetic:` marks them so."""
        head, self._before = self._first_lines()
        self.delimiter = max(",;\t|", key=head.count)
        self.names = columns or tuple(next(csv.reader([head], delimiter=self.delimiter), []))
        self._named = bool(columns)
        doubled = sorted({name for name in self.names if self.names.count(name) > 1})
        if doubled:
            raise TableError("columns", f"expected a name for each column, got twice: {', '.join(doubled)[:200]}")

    def batches(self, columns: tuple[str, ...] = ()) -> Generator[Any]:
        """Batches of text columns, all or these. Raises TableError."""
        if not self.names:
            return
        wrong: list[Any] = []

        def handle(row: Any) -> str:
            if not row.text.lstrip().startswith("#"):
                wrong.append(row)
                return "error"
            return "skip"

        read = arrow_csv.ReadOptions(
            block_size=BLOCK_BYTES,
            column_names=list(self.names),
            skip_rows=self._before + (0 if self._named else 1),
        )
        parse = arrow_csv.ParseOptions(delimiter=self.delimiter, invalid_row_handler=handle)
        convert = arrow_csv.ConvertOptions(
            column_types={name: pa.string() for name in self.names},
            strings_can_be_null=True,
            null_values=NOTHING.to_pylist(),
            include_columns=list(columns),
        )
        rows = 0
        try:
            with closing(self._opened()) as stream:
                reader = arrow_csv.open_csv(stream, read, parse, convert)
                for batch in reader:
                    rows += batch.num_rows
                    yield batch
        except (pa.ArrowInvalid, OSError, EOFError) as error:
            if wrong:
                got = f"{wrong[0].actual_columns}: {wrong[0].text[:100]!r}"
                raise TableError("columns", f"expected {wrong[0].expected_columns} in each row, got {got}") from None
            if "Empty CSV file" in str(error):
                return
            raise TableError("file", f"expected a CSV that can be read, got: {_first_line(error)}") from None
        self.rows = rows

    def _opened(self) -> Any:
        try:
            return pa.input_stream(str(self.path), compression=_COMPRESSIONS.get(self.path.suffix))
        except OSError as error:
            raise TableError("file", f"expected a file that can be read, got: {_reason(error)}") from None

    def _first_lines(self) -> tuple[str, int]:
        """The line of names, and how many lines stand before it."""
        with closing(self._opened()) as stream:
            try:
                raw = bytes(stream.read(_HEAD_BYTES))
            except OSError as error:
                raise TableError("file", f"expected a file that can be read, got: {_first_line(error)}") from None
        before = 0
        for line in raw.split(b"\n"):
            try:
                text = line.decode("utf-8-sig").strip("\r")
            except UnicodeDecodeError as error:
                raise TableError("file", f"expected text in UTF-8, got: {error}") from None
            if text.strip() and not text.startswith("#"):
                return text, before
            word = text.lstrip("# ").partition(":")[0].strip()
            if word in MARKS and word not in self.marks:
                self.marks = (*self.marks, word)
            before += 1
        return "", before


class ParquetSource:
    """A parquet file. `metadata` is what one of ours says about itself. Raises TableError."""

    format = "parquet"
    marks: tuple[str, ...] = ()

    def __init__(self, path: Path, columns: tuple[str, ...] = ()) -> None:
        if columns:
            raise TableError("columns", "expected no names for a parquet file, which has its own")
        self.path = path
        try:
            with parquet.ParquetFile(path, memory_map=True) as file:
                schema = file.schema_arrow
                self.rows: int | None = file.metadata.num_rows
        except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
            raise TableError("file", f"expected a parquet file, got: {_first_line(error)}") from None
        self.names = tuple(schema.names)
        self.types = {field.name: field.type for field in schema}
        self.metadata: dict[str, Any] = {}
        about = (schema.metadata or {}).get(METADATA)
        if about is not None:
            try:
                self.metadata = json.loads(about)
            except ValueError:
                raise TableError("file", "expected metadata of ours as JSON, got something else") from None

    def batches(self, columns: tuple[str, ...] = ()) -> Generator[Any]:
        """Batches of columns, all or these. Raises TableError."""
        try:
            with parquet.ParquetFile(self.path, memory_map=True) as file:
                yield from file.iter_batches(BATCH_ROWS, columns=list(columns) or None)
        except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
            raise TableError("file", f"expected a whole parquet file, got: {_first_line(error)}") from None


Source = CsvSource | ParquetSource


def source_of(path: Path, columns: tuple[str, ...] = ()) -> Source:
    """The file opened by what is in it. Raises TableError for one that cannot be read."""
    try:
        with path.open("rb") as file:
            begin = file.read(4)
    except OSError as error:
        raise TableError("file", f"expected a file that can be read, got: {_reason(error)}") from None
    return ParquetSource(path, columns) if begin == _PARQUET else CsvSource(path, columns)


def simple(name: str) -> str:
    """A column's name as it is compared: small letters and digits only."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _reason(error: OSError) -> str:
    return error.strerror or _first_line(error)
