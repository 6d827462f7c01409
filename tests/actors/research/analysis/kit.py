"""An account with a journal: a desk that keeps its inputs as rows and its events as a stored log.

Everything in it is made up (marks: synthetic).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors.execution.accounts.rows import ExecutionJournalRow
from actors.execution.inputs import Numbered
from actors.execution.journal import InputJournal
from actors.research.analysis.journal_file import Head, Journal, write_journal
from actors.storage.capability import Settings as DatabaseSettings
from runtime.node import NodeSettings
from runtime.settings import Configuration, load
from tests.actors.execution.kit import Desk

SYNTHETIC = ("synthetic",)


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


def numbered(desk: Desk) -> list[Numbered]:
    return [Numbered(number, ts, item) for number, (item, ts) in enumerate(desk.inputs, 1)]


def busy(**settings: Any) -> Desk:
    """A desk with a bought and half sold position, an order that rests, and one that was denied."""
    desk = Desk(**settings)
    desk.quote(100, 101)
    desk.submit(desk.order("one", "buy", 2, marks=SYNTHETIC))
    desk.quote(103, 104)
    desk.submit(desk.order("two", "sell", 1, marks=SYNTHETIC))
    desk.submit(desk.order("rest", "buy", 1, "limit", price=90, marks=SYNTHETIC))
    desk.submit(desk.order("huge", "sell", 50, marks=SYNTHETIC))
    desk.quote(102, 103, later=120 * 10**9)
    return desk
