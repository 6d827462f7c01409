"""Moving rows from the log into the database: one transaction holds the rows and the position behind them.

Whatever happens to either side, the position in the database says which rows it has; so every row arrives exactly once,
and in the log's order within its table. Commits are asynchronous by default: PostgreSQL may take back the last ones
when it is killed, and then it takes back the position with them.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import msgspec

from runtime.log_reader import LoggedRow

COMMAND_S = 60.0
"""How long one statement may take: the database is local or near, and a batch is small."""

ROW_CLASSES = frozenset({"22", "23", "44", "54", "P0"})
"""SQLSTATE classes that are the row's fault: data, integrity, check option, program limit, a trigger's own error."""
TABLE_CLASSES = frozenset({"42", "0A"})
"""Classes that every row of the table would meet: no such table or column, another type, no right."""


class PositionMoved(Exception):
    """Another writer has moved this log's position: what was read from the log has to be read again."""


class Refusal(NamedTuple):
    """Why the database does not take a row."""

    code: str
    """The SQLSTATE; `client` if the row could not even be sent."""
    text: str


class _TableRefused(Exception):
    """A COPY failed: some row of this kind (None: of any) is refused, or all of them."""

    def __init__(self, kind: int | None, refusal: Refusal, *, every_row: bool) -> None:
        super().__init__(kind, refusal)
        self.kind = kind
        self.refusal = refusal
        self.every_row = every_row


async def connect(url: str, timeout: float = 5.0) -> asyncpg.Connection:
    """Connect as the writer does. Raises OSError, TimeoutError or asyncpg's errors."""
    connection = await asyncpg.connect(
        url,
        timeout=timeout,
        command_timeout=COMMAND_S,
        server_settings={"application_name": "troupe writer", "synchronous_commit": "off"},
    )
    # Text is taken as JSON; anything else, such as a tuple of structs, becomes JSON.
    for name, prefix in (("json", b""), ("jsonb", b"\x01")):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=_json_encoder(prefix), decoder=bytes, format="binary"
        )
    return connection


class Mover:
    """Moves the rows of one log over one connection."""

    def __init__(self, connection: asyncpg.Connection, log_id: UUID) -> None:
        self._connection = connection
        self._log_id = log_id
        self.position = 0
        """Up to where the database has the log, by this connection's last word."""
        self.rejected: list[tuple[LoggedRow, Refusal]] = []
        """What was refused since somebody looked; the owner reports and clears it."""

    async def begin(self) -> int:
        """Return the position from which this log has to be moved on."""
        await self._connection.execute(
            "INSERT INTO write_position (log_id, position) VALUES ($1, 0) ON CONFLICT DO NOTHING", self._log_id
        )
        self.position = await self._connection.fetchval(
            "SELECT position FROM write_position WHERE log_id = $1", self._log_id
        )
        return self.position

    async def check(self) -> None:
        """Ask the database whether it still is where we left it. Raises PositionMoved, OSError or asyncpg's errors."""
        stored = await self._connection.fetchval("SELECT position FROM write_position WHERE log_id = $1", self._log_id)
        if stored != self.position:
            raise PositionMoved(f"the position of log {self._log_id} is {stored}, not {self.position}")

    async def move(self, rows: Sequence[LoggedRow], end: int, *, durable: bool) -> None:
        """Store `rows`, which follow `position` in the log, and make `end` the new position.

        A row that the database refuses goes to `rejected_rows` with the reason, and the others are stored all the
        same. `durable`: on the disk before this returns. Raises PositionMoved, OSError or asyncpg's errors; then
        some prefix of the rows may have been stored, and `begin` tells which.
        """
        await self._move(rows, end, durable, {})

    async def _move(self, rows: Sequence[LoggedRow], end: int, durable: bool, refused: dict[int, Refusal]) -> None:
        try:
            await self._store(rows, end, durable, refused)
        except _TableRefused as error:
            suspects = [
                row for row in rows if row.end not in refused and (error.kind is None or row.table.kind == error.kind)
            ]
            if error.every_row or len(suspects) == 1:
                refused.update((row.end, error.refusal) for row in suspects)
                await self._move(rows, end, durable, refused)
                return
            # Halve where the suspects do, so that a rare table is not searched through all the others' rows.
            first = suspects[len(suspects) // 2]
            cut = next(index for index, row in enumerate(rows) if row.end == first.end)
            await self._move(rows[:cut], rows[cut - 1].end, False, refused)
            await self._move(rows[cut:], end, durable, refused)

    async def _store(self, rows: Sequence[LoggedRow], end: int, durable: bool, refused: dict[int, Refusal]) -> None:
        connection = self._connection
        transaction = connection.transaction()
        await transaction.start()
        try:
            if durable:
                await connection.execute("SET LOCAL synchronous_commit TO on")
            # First, because it also keeps a second writer out until the commit.
            await self._advance(end)
            await self._copy(rows, refused)
            if refused:
                await self._reject([row for row in rows if row.end in refused], refused)
        except BaseException:
            if not connection.is_closed():
                await transaction.rollback()
            raise
        try:
            await transaction.commit()
        except asyncpg.IntegrityConstraintViolationError as error:  # a deferred constraint
            raise _TableRefused(None, Refusal(error.sqlstate, str(error)), every_row=False) from error
        self.position = end
        self.rejected += [(row, refused[row.end]) for row in rows if row.end in refused]

    async def _advance(self, end: int) -> None:
        moved = await self._connection.fetchval(
            "UPDATE write_position SET position = $3, updated_at = now()"
            " WHERE log_id = $1 AND position = $2 RETURNING position",
            self._log_id,
            self.position,
            end,
        )
        if moved is None:
            raise PositionMoved(f"the position of log {self._log_id} is no longer {self.position}")

    async def _copy(self, rows: Sequence[LoggedRow], refused: dict[int, Refusal]) -> None:
        """COPY the rows, the tables in the order of their first row."""
        fields: dict[int, list[list[Any]]] = {}
        tables = {}
        for row in rows:
            if refused and row.end in refused:
                continue
            kind = row.table.kind
            of_table = fields.get(kind)
            if of_table is None:
                of_table = fields[kind] = []
                tables[kind] = row.table
            of_table.append(row.fields)
        for kind, of_table in fields.items():
            table = tables[kind]
            try:
                await self._connection.copy_records_to_table(table.name, records=of_table, columns=table.columns)
            except asyncpg.PostgresError as error:
                code = error.sqlstate or ""
                if code[:2] not in ROW_CLASSES | TABLE_CLASSES:
                    raise
                every_row = code[:2] in TABLE_CLASSES
                raise _TableRefused(kind, Refusal(code, str(error)), every_row=every_row) from error
            except (TypeError, ValueError, OverflowError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                if self._connection.is_closed():
                    raise
                raise _TableRefused(kind, Refusal("client", str(error)), every_row=False) from error

    async def _reject(self, rows: Sequence[LoggedRow], refused: dict[int, Refusal]) -> None:
        await self._connection.executemany(
            "INSERT INTO rejected_rows (log_id, position, table_name, error_code, error, row, fields)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            [
                (
                    self._log_id, row.end, row.table.name, refused[row.end].code,
                    refused[row.end].text.replace("\0", "\\0"),
                    readable(row), msgspec.msgpack.encode(row.fields),
                )
                for row in rows
            ],
        )  # fmt: skip


def readable(row: LoggedRow) -> str:
    """Return a row as JSON text for people: bytes as base64, numbers that JSON lacks as text."""
    return msgspec.json.encode(dict(zip(row.table.columns, map(_plain, row.fields), strict=True))).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _json_encoder(prefix: bytes) -> Any:
    def encode(value: Any) -> bytes:
        return prefix + (value.encode() if isinstance(value, str) else msgspec.json.encode(value))

    return encode
