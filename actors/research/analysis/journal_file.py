"""A journal as a file: what an account was given, and the order log and the ledger that were stored of it.

Lines of JSON, gzipped where the name ends in `.gz`: the head, rows of inputs (`payload`: as it stands in the database,
base64), stored order events, postings, the end. A file without its end was not written whole and is refused.

    {"line": "head", "schema": "troupe.journal/1", "account": "a", "engine": {...}, ...}
    {"line": "inputs", "row": {"stream": "execution_inputs:a", "seq": 1, "ts": 1, "count": 2, "payload": "k5MB..."}}
    {"line": "event", "event": {"type": "order_event", ...}}
    {"line": "posting", "row": {"stream": "ledger:a", "seq": 1, "ledger_account": "cash", "amount": "100000", ...}}
    {"line": "end", "rows": 1, "events": 1, "order_hash": "..."}
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from actors.execution.accounts.rows import ExecutionJournalRow, ExecutionLedgerRow
from actors.execution.engine_state import EngineSettings
from actors.research.analysis.order_log import order_hash
from protocols.orders import OrderEvent

SCHEMA: Final = "troupe.journal/1"


class JournalFileError(ValueError):
    """A file that is no journal, or not all of one."""


class Head(msgspec.Struct, frozen=True, kw_only=True, tag_field="line", tag="head"):
    """Whose journal. `engine`: settings of its engine. `exported`: when, ns.

    `live`: the account was running, so its copy may end before the journal does.
    """

    account: str
    engine: EngineSettings
    mode: str = "paper"
    name: str = ""
    exported: int = 0
    live: bool = False
    schema: str = SCHEMA


class _Inputs(msgspec.Struct, frozen=True, tag_field="line", tag="inputs"):
    row: ExecutionJournalRow


class _Event(msgspec.Struct, frozen=True, tag_field="line", tag="event"):
    event: OrderEvent


class _Posting(msgspec.Struct, frozen=True, tag_field="line", tag="posting"):
    row: ExecutionLedgerRow


class _End(msgspec.Struct, frozen=True, tag_field="line", tag="end"):
    rows: int
    events: int
    order_hash: str
    postings: int | None = None


class Journal(msgspec.Struct, frozen=True):
    """A journal, the order log and (None: they were not read) the postings that were stored of it."""

    head: Head
    rows: tuple[ExecutionJournalRow, ...]
    events: tuple[OrderEvent, ...]
    ledger: tuple[ExecutionLedgerRow, ...] | None = None

    @property
    def inputs(self) -> int:
        """How many inputs it holds."""
        return sum(row.count for row in self.rows)


_LINE: Final = msgspec.json.Decoder(Head | _Inputs | _Event | _Posting | _End)
_JSON: Final = msgspec.json.Encoder()


def write_journal(path: Path, journal: Journal) -> None:
    """Write it, whole or not at all. Raises OSError."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _written(aside, gzipped=path.suffix == ".gz") as file:
            file.write(_JSON.encode(journal.head) + b"\n")
            for row in journal.rows:
                file.write(_JSON.encode(_Inputs(row)) + b"\n")
            for event in journal.events:
                file.write(_JSON.encode(_Event(event)) + b"\n")
            for posting in journal.ledger or ():
                file.write(_JSON.encode(_Posting(posting)) + b"\n")
            postings = None if journal.ledger is None else len(journal.ledger)
            end = _End(len(journal.rows), len(journal.events), order_hash(journal.events), postings)
            file.write(_JSON.encode(end) + b"\n")
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _written(path: Path, *, gzipped: bool) -> Any:
    return gzip.open(path, "wb") if gzipped else path.open("wb")


def is_journal(path: Path) -> bool:
    """Whether a file begins as a journal does. Raises OSError."""
    try:
        with open_lines(path) as file:
            head = msgspec.json.decode(file.readline(1 << 20))
    except (msgspec.DecodeError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError):
        return False
    return isinstance(head, dict) and head.get("line") == "head"


def open_lines(path: Path) -> BinaryIO:
    """A file of lines, plain or gzipped. Raises OSError."""
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if gzipped else path.open("rb")  # type: ignore[return-value]


def read_journal(path: Path) -> Journal:
    """The journal of a file. Raises JournalFileError with the line, OSError."""
    head: Head | None = None
    rows: list[ExecutionJournalRow] = []
    events: list[OrderEvent] = []
    ledger: list[ExecutionLedgerRow] = []
    for number, line in _lines(path):
        if isinstance(line, Head):
            if line.schema != SCHEMA:
                raise JournalFileError(f"{path}: schema: expected {SCHEMA}, got {line.schema!r}")
            head = line
        elif head is None:
            raise JournalFileError(f"{path}: line {number}: expected the head first")
        elif isinstance(line, _Inputs):
            rows.append(line.row)
        elif isinstance(line, _Event):
            events.append(line.event)
        elif isinstance(line, _Posting):
            ledger.append(line.row)
        else:
            _compare(path, line, rows, events, ledger)
            return Journal(head, tuple(rows), tuple(events), None if line.postings is None else tuple(ledger))
    raise JournalFileError(f"{path}: expected an end, it was not written whole")


def _lines(path: Path) -> Iterator[tuple[int, Head | _Inputs | _Event | _Posting | _End]]:
    number = 1
    try:
        with open_lines(path) as file:
            for number, text in enumerate(file, 1):
                yield number, _LINE.decode(text)
    except (msgspec.DecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise JournalFileError(f"{path}: line {number}: {error}") from None


def _compare(
    path: Path,
    end: _End,
    rows: list[ExecutionJournalRow],
    events: list[OrderEvent],
    ledger: list[ExecutionLedgerRow],
) -> None:
    for what, expected, got in (
        ("rows", end.rows, len(rows)),
        ("events", end.events, len(events)),
        ("postings", end.postings or 0, len(ledger)),
    ):
        if expected != got:
            raise JournalFileError(f"{path}: expected {expected} {what}, got {got}")
    if (found := order_hash(events)) != end.order_hash:
        raise JournalFileError(f"{path}: expected order events with hash {end.order_hash}, got {found}")
