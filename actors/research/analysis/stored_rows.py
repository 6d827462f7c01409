"""Rows of an account, read back: from the database, and behind its end from the node's log, where it is newer.

A core for both ends: the node's routes ask its actor of queries, the command line asks the database itself when no node
runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

import msgspec

from actors.execution.account_settings import AccountSpec
from actors.execution.accounts.rows import (
    ExecutionEquityRow,
    ExecutionFillRow,
    ExecutionJournalRow,
    ExecutionLedgerRow,
    ExecutionOrderRow,
    equity_stream,
    fills_stream,
    ledger_stream,
    orders_stream,
)
from actors.execution.engine_state import EngineSettings
from actors.execution.journal import journal_stream
from actors.execution.more_rows import ExecutionTradeRow, ExecutionVerdictRow, trade_stream
from actors.execution.roster_rows import EXECUTION_ROSTER, ExecutionRosterRow
from actors.research.analysis.journal_file import Head, Journal
from protocols.control import Row
from protocols.nanos import decimal_text, exact_nanos
from protocols.orders import OrderEvent
from runtime.log_reader import LogReader

if TYPE_CHECKING:
    from actors.research.analysis.account_record import AccountRecord

R = TypeVar("R", bound=Row)
Kind = Literal["inputs", "orders", "fills", "ledger", "equity", "trades", "verdicts"]


class Stream(NamedTuple):
    """A kind of row, and the stream of an account's."""

    row: type[Any]
    of: Callable[[str], str]


def _verdicts(account: str) -> str:
    return f"verdicts:{account}"


STREAMS: Final[Mapping[Kind, Stream]] = {
    "inputs": Stream(ExecutionJournalRow, journal_stream),
    "orders": Stream(ExecutionOrderRow, orders_stream),
    "fills": Stream(ExecutionFillRow, fills_stream),
    "ledger": Stream(ExecutionLedgerRow, ledger_stream),
    "equity": Stream(ExecutionEquityRow, equity_stream),
    "trades": Stream(ExecutionTradeRow, trade_stream),
    "verdicts": Stream(ExecutionVerdictRow, _verdicts),
}
KINDS: Final[tuple[Kind, ...]] = tuple(STREAMS)


class RowsMissing(ValueError):
    """Rows that were accepted are neither in the database nor in the node's log."""


def select(row: type[Row]) -> str:
    """Rows of a stream ($1) behind a place ($2), in order."""
    columns = ", ".join(row.__struct_fields__)
    return f"SELECT {columns} FROM {row.table} WHERE stream = $1 AND seq > $2 ORDER BY seq"  # noqa: S608 - our names


def select_settings() -> str:
    """Everything that the roster has noted of an account ($1)."""
    columns = ", ".join(ExecutionRosterRow.__struct_fields__)
    return f"SELECT {columns} FROM execution_roster WHERE kind = 'account' AND id = $1 ORDER BY seq"  # noqa: S608


def converted(row: type[R], values: Iterable[Mapping[str, Any]]) -> list[R]:
    """Rows of what a query gave. JSON columns are `msgspec.Raw`. Raises msgspec.ValidationError."""
    found: list[R] = msgspec.json.decode(msgspec.json.encode(list(values)), type=list[row])  # type: ignore[valid-type]
    return found


def logged(directory: Path, wanted: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Rows of the node's log, as `converted` takes them: by (table, stream) those behind a place. Blocking."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {key: [] for key in wanted}
    if not directory.is_dir():
        return found
    reader = LogReader(directory)
    try:
        while rows := reader.read(4096, 8 << 20):
            for row in rows:
                table = row.table
                key = (table.name, row.fields[table.stream] if table.stream >= 0 else "")
                if key in wanted and row.fields[table.seq] > wanted[key]:
                    found[key].append(dict(zip(table.columns, map(_plain, table.columns, row.fields), strict=True)))
    finally:
        reader.close()
    return found


def _plain(column: str, value: Any) -> Any:
    """The log keeps JSON as text."""
    return msgspec.Raw(value.encode()) if column in ("detail", "why", "settings") and isinstance(value, str) else value


def connected(rows: Iterable[R], more: Iterable[R], *, whole: bool = True) -> list[R]:
    """Rows of a stream, and those of the log behind them. Raises RowsMissing where one is nowhere (`whole`)."""
    found = list(rows)
    last = found[-1].seq if found else 0  # type: ignore[attr-defined]
    for row in more:
        if row.seq > last:  # type: ignore[attr-defined]
            found.append(row)
            last = row.seq  # type: ignore[attr-defined]
    for place, row in enumerate(found, 1):
        if whole and row.seq != place:  # type: ignore[attr-defined]
            raise RowsMissing(f"{row.stream}: row {place} is neither in the database nor in the log")  # type: ignore[attr-defined]
    return found


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What an account was opened with, as far as its journal needs it."""

    engine: EngineSettings
    mode: str = "paper"
    name: str = ""


class StoredAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept of an account. `live`: it was running while it was read. `ledger`: None: it was not."""

    opened: Opened
    live: bool = False
    inputs: Sequence[ExecutionJournalRow] = ()
    orders: Sequence[ExecutionOrderRow] = ()
    fills: Sequence[ExecutionFillRow] = ()
    ledger: Sequence[ExecutionLedgerRow] | None = None
    equity: Sequence[ExecutionEquityRow] = ()
    trades: Sequence[ExecutionTradeRow] = ()
    verdicts: Sequence[ExecutionVerdictRow] = ()

    @property
    def account(self) -> str:
        """Its id."""
        return self.opened.engine.account.account_id

    def events(self) -> tuple[OrderEvent, ...]:
        """The order log. Raises RowsMissing for an event whose fill is not there."""
        fills = {row.fill_id: row for row in self.fills}
        found = []
        for row in self.orders:
            fill = None
            if row.fill_id:
                if row.fill_id not in fills:
                    raise RowsMissing(f"fills:{self.account}: the fill {row.fill_id} of event {row.seq} is missing")
                fill = _exact(fills[row.fill_id]).fill()
            found.append(
                OrderEvent(account=row.account, seq=row.seq, kind=row.kind, ts=row.ts, order=row.order(), fill=fill)
            )
        return tuple(found)

    def journal(self, now: int) -> Journal:
        """Its journal with its order log, to be written."""
        head = Head(
            account=self.account,
            engine=self.opened.engine,
            mode=self.opened.mode,
            name=self.opened.name,
            exported=now,
            live=self.live,
        )
        ledger = None if self.ledger is None else tuple(_plain_money(row) for row in self.ledger)
        return Journal(head, tuple(self.inputs), self.events(), ledger)

    def record(self) -> AccountRecord:
        """What the account has done, by its rows."""
        # Imported here: it needs numpy, which the start of a node does not.
        from actors.research.analysis.account_record import of_rows

        return of_rows(
            self.opened.engine,
            events=self.events(),
            equity=self.equity,
            trades=self.trades,
            ledger=self.ledger or (),
            verdicts=[(row.signal_id, row.code) for row in self.verdicts],
            inputs=sum(row.count for row in self.inputs),
            name=self.opened.name,
            mode=self.opened.mode,
        )


def _exact(row: ExecutionFillRow) -> ExecutionFillRow:
    """Money with the digits that were stored: a database may write the same number in another way."""
    return msgspec.structs.replace(
        row,
        notional=decimal_text(exact_nanos(row.notional)),
        realized=decimal_text(exact_nanos(row.realized)),
    )


def _plain_money(row: ExecutionLedgerRow) -> ExecutionLedgerRow:
    return msgspec.structs.replace(row, amount=decimal_text(exact_nanos(row.amount)))


def opened_with(rows: Sequence[ExecutionRosterRow], account: str) -> Opened | None:
    """The settings that the account was opened with last; None: there is none of this name."""
    for row in reversed(rows):
        if row.kind == "account" and row.id == account:
            spec = msgspec.json.decode(row.settings, type=AccountSpec)
            return Opened(engine=spec.engine, mode=spec.mode, name=spec.name)
    return None


def streams_of(account: str, kinds: Iterable[Kind]) -> dict[Kind, tuple[str, str]]:
    """(table, stream) of each kind."""
    return {kind: (STREAMS[kind].row.table, STREAMS[kind].of(account)) for kind in kinds}


ROSTER: Final = (ExecutionRosterRow.table, EXECUTION_ROSTER)
