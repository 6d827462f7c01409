"""An account with a journal: a desk that keeps its inputs as rows and its events as a stored log.

Everything in it is made up (marks: synthetic).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from actors.execution.account_rows import RowMaker
from actors.execution.accounts.rows import ExecutionJournalRow
from actors.execution.inputs import EngineInput
from actors.execution.journal import InputJournal
from actors.research.analysis.journal_file import Head, Journal, write_journal
from actors.storage.capability import Settings as DatabaseSettings
from protocols.orders import OrderEvent
from runtime.node import NodeSettings
from runtime.settings import Configuration, load
from tests.actors.execution.kit import Desk

SYNTHETIC = ("synthetic",)
D = TypeVar("D", bound=Desk)


def configuration(folder: Path) -> Configuration:
    """Of a data folder, as a command is given it."""
    sections = {"node": NodeSettings, "database": DatabaseSettings}
    return load(None, sections, {}, [f"node.data_dir={folder}"])


def journal_of(desk: Desk, *, live: bool = False, events: Any = None) -> Journal:
    """The desk's inputs as its account would have journaled them."""
    rows: list[ExecutionJournalRow] = []
    journal = InputJournal("a", rows.append, 0, 0)  # type: ignore[arg-type]
    for place, (item, ts) in enumerate(desk.inputs, 1):
        journal.add(item, ts)
        if not place % 3:
            journal.flush()
    journal.flush()
    head = Head(account="a", engine=desk.engine.settings, live=live, exported=desk.ts)
    return Journal(head, tuple(rows), tuple(desk.events if events is None else events))


def written(desk: Desk, path: Path, **fields: Any) -> Path:
    """The same in a file."""
    write_journal(path, journal_of(desk, **fields))
    return path


class Kept(Desk):
    """A desk, and what its account's actor would have written to the log."""

    def __init__(self, **settings: Any) -> None:
        self.rows: list[Any] = []
        self.last: dict[str, int] = {}
        self.maker = RowMaker("a", self)
        super().__init__(**settings)

    def append(self, row: Any) -> None:
        self.rows.append(row)
        self.last[row.stream] = row.seq

    def last_seq(self, stream: str) -> int:
        return self.last.get(stream, 0)

    def of(self, kind: type) -> tuple[Any, ...]:
        return tuple(row for row in self.rows if type(row) is kind)

    def say(self, item: EngineInput, later: int = 0) -> list[OrderEvent]:
        self.ts += later
        self.inputs.append((item, self.ts))
        self.engine.handle(item, self.ts)
        fresh = self.maker.keep(self.engine).events
        self.events += fresh
        return fresh


def busy(**settings: Any) -> Desk:
    """A desk with a bought and half sold position, an order that rests, and one that was denied."""
    return at_work(Desk(**settings))


def at_work(desk: D) -> D:
    """What `busy` does, on any desk."""
    desk.quote(100, 101)
    desk.submit(desk.order("one", "buy", 2, marks=SYNTHETIC))
    desk.quote(103, 104)
    desk.submit(desk.order("two", "sell", 1, marks=SYNTHETIC))
    desk.submit(desk.order("rest", "buy", 1, "limit", price=90, marks=SYNTHETIC))
    desk.submit(desk.order("huge", "sell", 50, marks=SYNTHETIC))
    desk.quote(102, 103, later=120 * 10**9)
    return desk
