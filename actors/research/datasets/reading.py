"""Data opened for reading: a data set of a node by its folder, or any file without a node.

    table = open_file(Path("bars.csv.gz"), market="BTCUSDT")          kind and interval are told from the file
    table = open_bars(folder_of(data_dir, dataset_id))
    for table in chunks(path, rows=1_000_000): ...                    quotes, trades, l2 of any length

What blocks is called on a thread or in a child process. See `Table` for the columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actors.market.tables.schema import Kind
from actors.research.datasets.table import Table

ROWS = 1_000_000


class DatasetError(ValueError):
    """Data that cannot be read as what it is said to be: which field, what was expected, what came."""

    def __init__(self, message: str, field: str = "file") -> None:
        super().__init__(message)
        self.field = field


def open_file(
    path: Path, *, kind: Kind | None = None, market: str = "", interval: str = "", zone: str = "UTC"
) -> Table:
    """A CSV (plain, .gz, .zst), parquet, a downloaded history's folder, a stored data set or a recording, whole.

    `kind`: None: as the columns tell; of a recording: l2. `market`: which one of several, or the name of the only one.
    `interval` of bars: as most steps tell. `zone`: of times that name none. Rows without a price and exact repeats of
    bars are left out and counted in `dropped`. Raises DatasetError.
    """
    raise NotImplementedError


def open_bars(path: Path, *, market: str = "", interval: str = "") -> Table:
    """Bars of any file; `interval` longer than the file's puts them together. Raises DatasetError."""
    raise NotImplementedError


def open_quotes(path: Path, *, market: str = "") -> Table:
    """Quotes; of a recording, the best prices of its books. Raises DatasetError."""
    raise NotImplementedError


def open_trades(path: Path, *, market: str = "") -> Table:
    """Trades. Raises DatasetError."""
    raise NotImplementedError


def open_l2(path: Path, *, market: str = "") -> Table:
    """Level changes. Raises DatasetError."""
    raise NotImplementedError


def chunks(path: Path, *, kind: Kind | None = None, market: str = "", rows: int = ROWS) -> Iterator[Table]:
    """The same in pieces of about `rows` rows (l2: whole messages), with bounded memory. Raises DatasetError."""
    raise NotImplementedError


def folder_of(data_dir: Path, dataset_id: str) -> Path:
    """Where a node keeps a data set. Raises DatasetError for an id that is none."""
    raise NotImplementedError
