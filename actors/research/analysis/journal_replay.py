"""A journal again, through a fresh engine: orders, fills, positions and the ledger as they were at any of its inputs.

    replayed = replay(settings, rows, until=Until(number=1200))

The engine has the account's settings and nothing else: what it comes to follows from the inputs alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from zstandard import ZstdError

from actors.execution.accounts.equity_curve import EquitySample
from actors.execution.accounts.ledger import Entry
from actors.execution.accounts.round_trips import ClosedTrade
from actors.execution.accounts.rows import ExecutionJournalRow, ExecutionLedgerRow
from actors.execution.engine import Engine
from actors.execution.engine_signals import Verdict
from actors.execution.engine_state import EngineSettings
from actors.execution.inputs import Numbered, TakeSignal, decode
from actors.research.analysis.journal_file import Journal
from actors.research.analysis.order_log import first_difference, line_of, order_hash
from actors.strategies.bar_files import BarFileError, nanos_of
from protocols.orders import OrderEvent
from protocols.signals import Signal

_NUMBER: Final = re.compile(r"\d{1,11}")

Observer = Callable[[Numbered, Engine], None]
"""Told of every input once it is handled."""


class JournalBroken(ValueError):
    """A journal that is not whole: a row or an input is missing, or is none."""


class Until(msgspec.Struct, frozen=True):
    """Where to stop: behind the input of this number, or behind the last one at or before `ts` (ns)."""

    number: int | None = None
    ts: int | None = None

    def reached(self, item: Numbered) -> bool:
        """Whether this input lies behind the end."""
        if self.number is not None and item.number > self.number:
            return True
        return self.ts is not None and item.ts > self.ts


def until_of(text: str) -> Until:
    """A number of at most 11 digits is that of an input, anything else a time. Raises ValueError."""
    if _NUMBER.fullmatch(text):
        return Until(number=int(text))
    try:
        return Until(ts=nanos_of(text))
    except BarFileError:
        raise ValueError(f"until: expected the number of an input or a time, got {text[:50]!r}") from None


class Replayed:
    """What came of a journal: the engine as it stands, and everything that it has said on the way.

    `number`, `ts`: of the last input. `signals`: those that the account was given, with when.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self.engine = Engine(settings)
        self.number = 0
        self.first = self.ts = 0
        self.complete = True
        self.events: list[OrderEvent] = []
        self.entries: list[Entry] = []
        self.trades: list[ClosedTrade] = []
        self.samples: list[EquitySample] = []
        self.verdicts: list[Verdict] = []
        self.signals: list[tuple[int, Signal]] = []
        self.problems: list[tuple[int, str]] = []

    def take(self) -> None:
        """Take what the engine has to say."""
        engine = self.engine
        self.events += engine.take_events()
        self.entries += engine.take_entries()
        self.trades += engine.take_trades()
        self.samples += [sample for _, sample in engine.take_samples()]
        self.verdicts += engine.take_verdicts()
        engine.take_updates()
        engine.take_outgoing()
        self.problems += [(self.number, text) for text in engine.problems]
        engine.problems.clear()


def inputs(rows: Iterable[ExecutionJournalRow]) -> Iterator[Numbered]:
    """The inputs of rows, numbered 1, 2, 3 … without a hole. Raises JournalBroken."""
    expected, place = 1, 1
    for row in rows:
        if row.seq != place:
            raise JournalBroken(f"{row.stream}: expected row {place}, got {row.seq}")
        place += 1
        try:
            found = decode(row.payload)
        except (msgspec.DecodeError, ZstdError) as error:
            raise JournalBroken(f"{row.stream}: row {row.seq} holds no inputs: {error}") from None
        if len(found) != row.count:
            raise JournalBroken(f"{row.stream}: row {row.seq}: expected {row.count} inputs, got {len(found)}")
        for item in found:
            if item.number != expected:
                raise JournalBroken(f"{row.stream}: row {row.seq}: expected input {expected}, got {item.number}")
            expected += 1
            yield item


def replay(
    settings: EngineSettings,
    rows: Iterable[ExecutionJournalRow],
    *,
    until: Until | None = None,
    observers: Iterable[Observer] = (),
) -> Replayed:
    """Hand the inputs to a fresh engine, in order. Raises JournalBroken."""
    found = Replayed(settings)
    observers = tuple(observers)
    for item in inputs(rows):
        if until is not None and until.reached(item):
            found.complete = False
            break
        found.number, found.ts = item.number, item.ts
        found.first = found.first or item.ts
        if isinstance(item.item, TakeSignal):
            found.signals.append((item.ts, item.item.signal()))
        found.engine.handle(item.item, item.ts)
        if found.engine.has_news() or found.engine.problems:
            found.take()
        for observer in observers:
            observer(item, found.engine)
    found.take()
    return found


class LedgerCheck(msgspec.Struct, frozen=True, kw_only=True):
    """As `JournalCheck`, of postings."""

    stored: int
    replayed: int
    difference: int | None = None
    expected: str = ""
    got: str = ""
    missing: int = 0
    beyond: int = 0


class JournalCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the order log and the ledger that were stored follow from the journal.

    `difference`: the place (from 1) of the first event that is another one, with both as JSON. `missing`: events that
    follow from the journal and were not stored; `beyond`: such as were stored and do not follow from it. `ledger`: the
    same of the postings; None: they were not read.
    """

    inputs: int
    stored: int
    replayed: int
    stored_hash: str
    replayed_hash: str
    difference: int | None = None
    expected: str = ""
    got: str = ""
    missing: int = 0
    beyond: int = 0
    ledger: LedgerCheck | None = None
    live: bool = False

    @property
    def equal(self) -> bool:
        """Whether they agree: all of it, or of an account that was running, as far as its copy went."""
        found = (self,) if self.ledger is None else (self, self.ledger)
        if any(each.difference is not None or each.beyond for each in found):
            return False
        return self.live or not any(each.missing for each in found)


def checked(journal: Journal) -> JournalCheck:
    """Replay a journal, and compare what comes of it with what was stored. Raises JournalBroken."""
    found = replay(journal.head.engine, journal.rows)
    stored, replayed = journal.events, found.events
    place = first_difference(stored, replayed)
    return JournalCheck(
        inputs=found.number,
        stored=len(stored),
        replayed=len(replayed),
        stored_hash=order_hash(stored),
        replayed_hash=order_hash(replayed),
        difference=None if place is None else place + 1,
        expected="" if place is None else line_of(replayed[place]).decode(),
        got="" if place is None else line_of(stored[place]).decode(),
        missing=max(0, len(replayed) - len(stored)),
        beyond=max(0, len(stored) - len(replayed)),
        ledger=None if journal.ledger is None else _ledger(journal.head.account, journal.ledger, found),
        live=journal.head.live,
    )


def _ledger(account: str, stored: Sequence[ExecutionLedgerRow], found: Replayed) -> LedgerCheck:
    replayed = [row for entry in found.entries for row in ExecutionLedgerRow.of(account, entry)]
    pairs = enumerate(zip(stored, replayed, strict=False), 1)
    place = next((number for number, (own, other) in pairs if own != other), None)
    return LedgerCheck(
        stored=len(stored),
        replayed=len(replayed),
        difference=place,
        expected="" if place is None else msgspec.json.encode(replayed[place - 1]).decode(),
        got="" if place is None else msgspec.json.encode(stored[place - 1]).decode(),
        missing=max(0, len(replayed) - len(stored)),
        beyond=max(0, len(stored) - len(replayed)),
    )


def as_data(check: JournalCheck) -> dict[str, Any]:
    """A check as plain data."""
    return {"equal": check.equal, **msgspec.to_builtins(check)}
