"""Queries: SELECTs for the routes and the actors, on one asyncio thread, a page at a time."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import asyncpg
import msgspec
import trio

from actors.storage.asyncio_thread import AsyncioThread
from protocols.control import Probe, ProbeReport, Refused, Unknown
from protocols.paths import STORAGE_WRITER
from protocols.storage import PAGE, QueryResult, RunQuery
from runtime import Actor, Mailbox, Overflow, receive

CONNECT_S = 2.0
PROBE_S = 1.0
IDLE_CONNECTION_S = 300.0
AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    # A connection that is cut while the client is in the middle of a step of its own.
    asyncpg.InternalClientError,
)
"""What means that there is no database for now; PostgreSQL's classes 08, 57 and 53."""


class Queries(Actor):
    """Answers `RunQuery`, as many at a time as there are connections; a slow query keeps nobody else waiting."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=256, overflow=Overflow.REJECT)
    later_capacity: ClassVar[int] = 256

    def __init__(self, url: str, connections: int = 4) -> None:
        self._url = url
        self._connections = connections

    def on_start(self) -> None:
        """Begin the thread; the first query connects."""
        metrics = self.node.metrics
        self._count = metrics.counter("troupe_database_queries", "Queries by outcome", ("database", "outcome"))
        self._seconds = metrics.histogram("troupe_database_query_seconds", "How long queries take", ("database",))
        self._open = metrics.gauge("troupe_database_connections", "Connections of the pool", ("database",))
        self._thread = AsyncioThread("queries")
        self._database = Database(self._url, self._connections)
        self.spawn(self._keep_thread, name="thread")

    @receive
    def run(self, request: RunQuery) -> None:
        """Answer with a page of rows. See `RunQuery` for the refusals."""
        if not 1 <= request.limit <= PAGE:
            raise Refused("invalid", f"limit must be 1 to {PAGE}, got {request.limit}", "limit")
        self.answer_later(self._query, request)

    @receive
    def probe(self, request: Probe) -> None:
        """Tell how storage is as a whole: the writer's report, and whether a query is answered."""
        self.answer_later(self._examine)

    async def _query(self, request: RunQuery) -> QueryResult:
        name = self.path.rpartition("/")[2]
        begun = self.clock.monotonic()
        outcome = "failed"
        try:
            found = await self._thread.run(self._database.page(request))
            outcome = "answered"
        finally:
            self._count.labels(name, outcome).inc()
            self._seconds.labels(name).observe((self.clock.monotonic() - begun) / 1e9)
            self._open.labels(name).set(self._database.connected)
        return found

    async def _examine(self) -> ProbeReport:
        try:
            report = await self.lookup(STORAGE_WRITER).ask(Probe(), timeout=PROBE_S)
        except (Refused, Unknown) as error:
            return ProbeReport("failed", f"the writer does not answer: {error}", False)
        try:
            await self._query(RunQuery("SELECT 1", limit=1, timeout_s=PROBE_S))
        except Refused as refusal:
            if report.ready:
                return ProbeReport("failed", refusal.message, False, report.figures)
        return report

    async def _keep_thread(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._thread.stop(self._database.close)


class Database:
    """A pool of connections that cannot write. For the asyncio thread only."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = url
        self._connections = connections
        self._pool: asyncpg.Pool | None = None

    async def page(self, request: RunQuery) -> QueryResult:
        """Run a query. Raises Refused."""
        try:
            async with asyncio.timeout(request.timeout_s):
                pool = await self._connected()
                async with pool.acquire(timeout=CONNECT_S) as connection, connection.transaction(readonly=True):
                    statement = await connection.prepare(request.sql)
                    _check_arguments(request, len(statement.get_parameters()))
                    cursor = await statement.cursor(*request.arguments)
                    rows = await cursor.fetch(request.limit + 1)
                    columns = tuple(attribute.name for attribute in statement.get_attributes())
        except TimeoutError:
            raise Refused("timed_out", f"no answer from the database in {request.timeout_s:g} s") from None
        except AWAY as error:
            raise Refused("unavailable", f"no database: {error}") from error
        except (asyncpg.PostgresError, TypeError, ValueError) as error:
            raise Refused("query_failed", str(error)) from error
        more = len(rows) > request.limit
        return QueryResult(columns, tuple(tuple(map(_cell, row)) for row in rows[: request.limit]), more)

    @property
    def connected(self) -> int:
        """How many connections there are now."""
        return 0 if self._pool is None else self._pool.get_size()

    def close(self) -> None:
        """Cut the connections."""
        if self._pool is not None:
            self._pool.terminate()

    async def _connected(self) -> asyncpg.Pool:
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=0,
                max_size=self._connections,
                max_inactive_connection_lifetime=IDLE_CONNECTION_S,
                timeout=CONNECT_S,
                init=_prepare,
                server_settings={"application_name": "troupe queries", "default_transaction_read_only": "on"},
            )
        return self._pool


def _check_arguments(request: RunQuery, expected: int) -> None:
    # asyncpg's error for this is the one that it has for a broken connection.
    if len(request.arguments) != expected:
        raise Refused("query_failed", f"the query has {expected} parameters, got {len(request.arguments)} arguments")


async def _prepare(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=_json, decoder=_raw)


def _json(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _cell(value: Any) -> Any:
    # Messages hold no lists.
    return tuple(map(_cell, value)) if isinstance(value, list) else value
