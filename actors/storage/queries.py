"""Queries: SELECTs for the routes and the actors, on one asyncio thread, a page at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar

import asyncpg
import msgspec
import trio

from actors.storage.asyncio_thread import AsyncioThread
from protocols.control import Message, Probe, ProbeReport, Refused, Unknown
from protocols.paths import STORAGE_WRITER
from protocols.storage import PAGE, QueryResult, RunQuery
from runtime import Actor, Mailbox, OnCrash, Overflow, receive

CONNECT_S = 2.0
PROBE_S = 1.0
IDLE_CONNECTION_S = 300.0
FORGET_S = 60.0
"""How long an answer waits for somebody who no longer asks."""

M = TypeVar("M", bound=Message)

AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
)
"""What means that there is no database for now; PostgreSQL's classes 08, 57 and 53."""


class Answered(Message, frozen=True, gc=False, tag="query_answered"):
    """A query has its answer: whoever asked can be told."""


class Question:
    """A request that is being worked on, kept here so that its identity stays its own."""

    __slots__ = ("answer", "answered_at", "request")

    def __init__(self, request: Message) -> None:
        self.request = request
        self.answer: Message | Refused | None = None
        self.answered_at = 0.0


class Queries(Actor):
    """Answers `RunQuery`, as many at a time as there are connections.

    A question waits in the stash while its query runs, so that a slow query keeps nobody else waiting.
    """

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=256, overflow=Overflow.REJECT)
    stash_capacity: ClassVar[int] = 256
    # What waits was begun already: a question that crashed this actor must not do it again.
    on_crash: ClassVar[OnCrash] = OnCrash.CLEAR

    def __init__(self, url: str, connections: int = 4) -> None:
        self._url = url
        self._connections = connections
        self._questions: dict[int, Question] = {}
        """By the identity of the request."""

    def on_start(self) -> None:
        """Begin the thread; the first query connects."""
        self._thread = AsyncioThread("queries")
        self._database = Database(self._url, self._connections)
        self.spawn(self._keep_thread, name="thread")

    @receive
    def run(self, request: RunQuery) -> QueryResult | None:
        """Answer with a page of rows. See `RunQuery` for the refusals."""
        if not 1 <= request.limit <= PAGE:
            raise Refused("invalid", f"limit must be 1 to {PAGE}, got {request.limit}", "limit")
        answer = self._answer(request, self._query)
        assert answer is None or isinstance(answer, QueryResult)
        return answer

    @receive
    def probe(self, request: Probe) -> ProbeReport | None:
        """Tell how storage is as a whole: the writer's report, and whether a query is answered."""
        answer = self._answer(request, self._examine)
        assert answer is None or isinstance(answer, ProbeReport)
        return answer

    @receive
    def answered(self, message: Answered) -> None:
        """Look at the waiting questions again."""
        now = trio.current_time()
        for key, question in tuple(self._questions.items()):
            # Whoever asked has given up, and the runtime has dropped the question.
            if question.answer is not None and now > question.answered_at + FORGET_S:
                del self._questions[key]
        self.unstash()

    def _answer(self, request: M, work: Callable[[M], Awaitable[Message | Refused]]) -> Message | None:
        """Return the answer if it is there; if not, see to it and keep the request."""
        question = self._questions.get(id(request))
        if question is None:
            if len(self._questions) >= self.stash_capacity:
                raise Refused("unavailable", f"{len(self._questions)} queries are waiting already")
            question = self._questions[id(request)] = Question(request)
            self.spawn(self._work, question, work, name=type(request).__name__)
        if question.answer is None:
            self.stash()
            return None
        del self._questions[id(request)]
        if isinstance(question.answer, Refused):
            raise question.answer
        return question.answer

    async def _work(self, question: Question, work: Callable[[Any], Awaitable[Message | Refused]]) -> None:
        question.answer = await work(question.request)
        question.answered_at = trio.current_time()
        # By the control lane, which no full mailbox holds up.
        self.after(0, Answered())

    async def _query(self, request: RunQuery) -> QueryResult | Refused:
        try:
            return await self._thread.run(self._database.page(request))
        except Refused as refusal:
            return refusal

    async def _examine(self, request: Probe) -> ProbeReport:
        try:
            report = await self.lookup(STORAGE_WRITER).ask(Probe(), timeout=PROBE_S)
        except (Refused, Unknown) as error:
            return ProbeReport("failed", f"the writer does not answer: {error}", False)
        answer = await self._query(RunQuery("SELECT 1", limit=1, timeout_s=PROBE_S))
        if isinstance(answer, Refused) and report.ready:
            return ProbeReport("failed", answer.message, False, report.figures)
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
