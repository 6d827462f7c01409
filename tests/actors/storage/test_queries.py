"""Questions to the database: typed pages, refusals, and nobody waits for somebody else's slow query."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import trio

from actors.storage.queries import Queries
from protocols.control import Probe, Refused, Unknown
from protocols.storage import PAGE, QueryResult, RunQuery
from runtime import ActorRef, ChildSpec, NodeSettings, open_node
from tests.actors.storage.kit import afetch


@asynccontextmanager
async def queries(url: str, connections: int = 2) -> AsyncIterator[ActorRef]:
    spec = ChildSpec(name="queries", actor=Queries, arguments={"url": url, "connections": connections})
    async with open_node(NodeSettings(), children=(spec,)) as node:
        yield node.ref("/queries")


async def ask(ref: ActorRef, sql: str, *arguments: object, **options: Any) -> QueryResult:
    return await ref.ask(RunQuery(sql, arguments, **options), timeout=10)


class Tick(msgspec.Struct):
    n: int
    market: str
    raw: bytes | None
    body: msgspec.Raw


async def test_an_answer_has_columns_and_rows_in_the_order_of_the_query(database: str) -> None:
    async with queries(database) as ref:
        answer = await ask(
            ref, "SELECT n, n * 2 AS twice FROM generate_series($1::bigint, $2) AS n ORDER BY n DESC", 1, 3
        )
        assert answer == QueryResult(("n", "twice"), ((3, 6), (2, 4), (1, 2)))
        assert await ask(ref, "SELECT 1 AS a WHERE false") == QueryResult(("a",), ())


async def test_every_type_comes_back_as_a_message_may_hold_it(database: str) -> None:
    sql = """SELECT NULL, true, 7::bigint, 0.5::float8, 1.50::numeric, 'ü', '\\x00ff'::bytea,
                    '{"a": [1, 2]}'::jsonb, '[1,  2]'::json, ARRAY[['x'], ['y']], '2026-07-01 12:00Z'::timestamptz"""
    async with queries(database) as ref:
        answer = await ask(ref, sql)
        [row] = answer.rows
        assert [bytes(cell) if isinstance(cell, msgspec.Raw) else cell for cell in row] == [
            None, True, 7, 0.5, Decimal("1.50"), "ü", b"\x00\xff",
            b'{"a": [1, 2]}', b"[1,  2]", (("x",), ("y",)), datetime(2026, 7, 1, 12, tzinfo=UTC),
        ]  # fmt: skip
        assert b'{"a": [1, 2]}' in msgspec.json.encode(answer)


async def test_rows_become_structs_and_a_route_can_send_them_on(database: str) -> None:
    async with queries(database) as ref:
        sql = "SELECT 1 AS n, 'A' AS market, '\\x01'::bytea AS raw, '{\"x\": 1}'::jsonb AS body"
        [tick] = (await ask(ref, sql)).into(Tick)
        assert (tick.n, tick.market, tick.raw, bytes(tick.body)) == (1, "A", b"\x01", b'{"x": 1}')
        assert msgspec.json.encode(tick) == b'{"n":1,"market":"A","raw":"AQ==","body":{"x": 1}}'
        with pytest.raises(msgspec.ValidationError):
            (await ask(ref, "SELECT 'x' AS n, 'A' AS market, NULL AS raw, NULL AS body")).into(Tick)


async def test_arguments_travel_with_their_types(database: str) -> None:
    async with queries(database) as ref:
        sql = "SELECT $1::bigint, $2::text, $3::text[], $4::jsonb, $5::bytea"
        [row] = (await ask(ref, sql, 1 << 40, "it's", ("a", "b"), '{"x": 1}', b"\0")).rows
        assert (*row[:3], bytes(row[3]), row[4]) == (1 << 40, "it's", ("a", "b"), b'{"x": 1}', b"\0")


async def test_a_page_ends_at_its_limit_and_says_whether_there_is_more(database: str) -> None:
    async with queries(database) as ref:
        sql = "SELECT n FROM generate_series(1, 1000) AS n WHERE n > $1 ORDER BY n"
        first = await ask(ref, sql, 0)
        assert (len(first.rows), first.more) == (PAGE, True)
        last = await ask(ref, sql, first.rows[-1][0], limit=500)
        assert (last.rows[0], len(last.rows), last.more) == ((501,), 500, False)


@pytest.mark.parametrize("limit", [0, PAGE + 1])
async def test_a_page_has_one_to_five_hundred_rows(limit: int, database: str) -> None:
    async with queries(database) as ref:
        with pytest.raises(Refused, match=f"limit must be 1 to 500, got {limit}") as refusal:
            await ask(ref, "SELECT 1", limit=limit)
        assert (refusal.value.code, refusal.value.field) == ("invalid", "limit")


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist'),
        ("INSERT INTO ticks (n, market) VALUES (1, 'A')", "read-only transaction"),
        ("SELECT $1::bigint", "argument"),
        ("SELECT 1 / 0", "division by zero"),
    ],
)
async def test_what_the_database_refuses_is_refused_in_its_words(sql: str, text: str, database: str) -> None:
    async with queries(database) as ref:
        with pytest.raises(Refused, match=text) as refusal:
            await ask(ref, sql)
        assert refusal.value.code == "query_failed"
        assert (await ask(ref, "SELECT 1")).rows == ((1,),)
    assert await afetch(database, "SELECT n FROM ticks") == []


async def test_a_query_that_takes_too_long_is_cancelled_in_the_database(database: str) -> None:
    async with queries(database, connections=1) as ref:
        with pytest.raises(Refused, match=r"no answer from the database in 0\.05 s") as refusal:
            await ask(ref, "SELECT pg_sleep(600)", timeout_s=0.05)
        assert refusal.value.code == "timed_out"
        assert (await ask(ref, "SELECT 1")).rows == ((1,),)


async def test_a_slow_query_keeps_no_other_waiting(database: str) -> None:
    async with queries(database, connections=2) as ref, trio.open_nursery() as nursery:
        ended: list[str] = []

        async def slow() -> None:
            # It waits for the lock until the other query has been answered.
            with pytest.raises(Refused):
                await ask(ref, "SELECT pg_sleep(600)", timeout_s=2)
            ended.append("slow")

        nursery.start_soon(slow)
        for _ in range(20):
            await ask(ref, "SELECT 1")
        ended.append("quick")
        assert ended == ["quick"]
        nursery.cancel_scope.cancel()


async def test_many_questions_at_once_get_each_its_own_answer(database: str) -> None:
    found: dict[int, int] = {}

    async def question(ref: ActorRef, number: int) -> None:
        found[number] = (await ask(ref, "SELECT $1::int, pg_sleep(0.001)", number)).rows[0][0]

    async with queries(database, connections=3) as ref, trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(question, ref, number)
    assert found == {number: number for number in range(100)}


async def test_an_asker_that_gives_up_disturbs_nobody(database: str) -> None:
    async with queries(database, connections=1) as ref:
        for _ in range(5):
            with pytest.raises((Refused, Unknown)):
                await ref.ask(RunQuery("SELECT pg_sleep(0.05)"), timeout=0.01)
        assert (await ask(ref, "SELECT 2")).rows == ((2,),)


async def test_without_a_database_a_question_is_refused_and_the_actor_lives(tmp_path: Any) -> None:
    async with queries(f"postgresql://x@/x?host={tmp_path}") as ref:
        for _ in range(2):
            with pytest.raises(Refused, match="no database") as refusal:
                await ask(ref, "SELECT 1")
            assert refusal.value.code == "unavailable"


async def test_the_probe_says_that_the_writer_is_missing(database: str) -> None:
    async with queries(database) as ref:
        report = await ref.ask(Probe())
        assert (report.status, report.ready) == ("failed", False)
        assert "writer" in report.detail


async def test_the_same_request_asked_twice_at_once_is_answered_twice(database: str) -> None:
    request = RunQuery("SELECT 5")
    answers = []

    async def question(ref: ActorRef) -> None:
        answers.append((await ref.ask(request)).rows)

    async with queries(database) as ref, trio.open_nursery() as nursery:
        nursery.start_soon(question, ref)
        nursery.start_soon(question, ref)
    assert answers == [((5,),)] * 2
