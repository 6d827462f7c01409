"""What is stored of accounts, read by place: each page ends where the next one goes on (`before`).

The writer moves rows within milliseconds. A page is read once the database has what the node had accepted when the
question came; what it still lacks after a second is counted (`behind`).
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec
import trio

from actors.edge.call import Call
from actors.execution.accounts.rows import (
    ExecutionEquityRow,
    ExecutionFillRow,
    ExecutionLedgerRow,
    ExecutionOrderRow,
    equity_stream,
    fills_stream,
    ledger_stream,
    orders_stream,
)
from actors.execution.more_rows import ExecutionTradeRow, ExecutionVerdictRow, trade_stream
from protocols.control import Row
from protocols.deployments import DEPLOYMENTS
from protocols.execution import GetAccountSettings
from protocols.nanos import INT64_MAX
from protocols.paths import QUERIES
from protocols.storage import RunQuery

SETTLE_S: Final = 1.0
POLL_S: Final = 0.01
QUERY_S: Final = 10.0
LAST: Final = INT64_MAX
LOOKED_AT: Final = 20_000
"""Events that are looked through for what was denied."""

R = TypeVar("R", bound=Row)


class Page(msgspec.Struct, Generic[R], frozen=True):
    """Rows, the newest first. `next`: what `before` is for the next page; None: there is none."""

    rows: tuple[R, ...]
    next: int | None
    behind: int


def verdict_stream(account: str) -> str:
    """The stream of what deployments made of signals."""
    return f"verdicts:{account}"


async def settled(call: Call, table: str, stream: str) -> int:
    """Wait until the database has what the log has of a stream; how many rows it lacks after a second."""
    last = call.node.require_log().last_seq(stream)
    if not last:
        return 0
    deadline = trio.current_time() + SETTLE_S
    sql = f"SELECT coalesce(max(seq), 0) FROM {table} WHERE stream = $1"  # noqa: S608 - a table of ours
    while True:
        found = await call.ref(QUERIES).ask(RunQuery(sql, (stream,), 1), QUERY_S)
        behind = max(0, last - int(found.rows[0][0]))
        if not behind or trio.current_time() >= deadline:
            return behind
        await trio.sleep(POLL_S)


async def rows(
    call: Call,
    kind: type[R],
    stream: str,
    *,
    before: int = LAST,
    limit: int = 100,
    where: str = "",
    arguments: tuple[Any, ...] = (),
) -> Page[R]:
    """A page of a stream. `where`: further conditions, whose arguments are $4, $5 …

    Raises Refused `not_found` (there never was such an account), `unavailable`, Unknown: no database answers.
    """
    behind = await settled(call, kind.table, stream)
    columns = ", ".join(f"o.{name}" for name in kind.__struct_fields__)
    sql = (
        f"SELECT {columns} FROM {kind.table} o WHERE o.stream = $1 AND o.seq < $2 {where} "  # noqa: S608
        "ORDER BY o.seq DESC LIMIT $3"
    )
    found = await call.ref(QUERIES).ask(RunQuery(sql, (stream, before, limit + 1, *arguments), limit + 1), QUERY_S)
    all_rows: tuple[Any, ...] = found.into(kind)
    if not all_rows and not call.node.require_log().last_seq(stream):
        await call.ref(DEPLOYMENTS).ask(GetAccountSettings(stream.partition(":")[2]), QUERY_S)
    chosen = all_rows[:limit]
    more = len(all_rows) > limit
    return Page(chosen, chosen[-1].seq if more else None, behind)


NEWEST: Final = """
    AND NOT EXISTS (
        SELECT 1 FROM execution_orders_log n
        WHERE n.stream = o.stream AND n.client_order_id = o.client_order_id AND n.seq > o.seq
    )
    AND ($4 = '' OR o.market = $4) AND ($5 = '' OR o.deployment_id = $5) AND ($6 = '' OR o.state = $6)
"""


async def orders(
    call: Call, account: str, before: int, limit: int, market: str = "", deployment_id: str = "", state: str = ""
) -> Page[ExecutionOrderRow]:
    """Orders as they stand, that which changed last first."""
    return await rows(
        call,
        ExecutionOrderRow,
        orders_stream(account),
        before=before,
        limit=limit,
        where=NEWEST,
        arguments=(market, deployment_id, state),
    )


async def denials(call: Call, account: str, limit: int) -> Page[ExecutionOrderRow]:
    """The newest orders that were denied, out of the last events."""
    last = call.node.require_log().last_seq(orders_stream(account))
    return await rows(
        call,
        ExecutionOrderRow,
        orders_stream(account),
        limit=limit,
        where="AND o.kind = 'denied' AND o.seq > $4",
        arguments=(max(0, last - LOOKED_AT),),
    )


async def order_events(call: Call, account: str, client_order_id: str) -> tuple[ExecutionOrderRow, ...]:
    """Everything that happened to one order, in order; at most 500 events."""
    page = await rows(
        call,
        ExecutionOrderRow,
        orders_stream(account),
        limit=499,
        where="AND o.client_order_id = $4",
        arguments=(client_order_id,),
    )
    return page.rows[::-1]


async def fills(
    call: Call,
    account: str,
    before: int,
    limit: int,
    market: str = "",
    deployment_id: str = "",
    client_order_id: str = "",
) -> Page[ExecutionFillRow]:
    """Fills."""
    return await rows(
        call,
        ExecutionFillRow,
        fills_stream(account),
        before=before,
        limit=limit,
        where="AND ($4 = '' OR o.market = $4) AND ($5 = '' OR o.deployment_id = $5) "
        "AND ($6 = '' OR o.client_order_id = $6)",
        arguments=(market, deployment_id, client_order_id),
    )


async def postings(
    call: Call, account: str, before: int, limit: int, market: str = "", reference: str = ""
) -> Page[ExecutionLedgerRow]:
    """Postings of the ledger."""
    return await rows(
        call,
        ExecutionLedgerRow,
        ledger_stream(account),
        before=before,
        limit=limit,
        where="AND ($4 = '' OR o.market = $4) AND ($5 = '' OR o.reference = $5)",
        arguments=(market, reference),
    )


async def equity(
    call: Call, account: str, before: int, limit: int, from_ts: int = 0, to_ts: int = LAST
) -> Page[ExecutionEquityRow]:
    """Samples of equity."""
    return await rows(
        call,
        ExecutionEquityRow,
        equity_stream(account),
        before=before,
        limit=limit,
        where="AND o.ts >= $4 AND o.ts <= $5",
        arguments=(from_ts, to_ts),
    )


async def trades(
    call: Call, account: str, before: int, limit: int, market: str = "", deployment_id: str = ""
) -> Page[ExecutionTradeRow]:
    """Round trips."""
    return await rows(
        call,
        ExecutionTradeRow,
        trade_stream(account),
        before=before,
        limit=limit,
        where="AND ($4 = '' OR o.market = $4) AND ($5 = '' OR o.deployment_id = $5)",
        arguments=(market, deployment_id),
    )


async def verdicts(
    call: Call, account: str, before: int, limit: int, deployment_id: str = "", signal_id: str = ""
) -> Page[ExecutionVerdictRow]:
    """What deployments made of signals."""
    return await rows(
        call,
        ExecutionVerdictRow,
        verdict_stream(account),
        before=before,
        limit=limit,
        where="AND ($4 = '' OR o.deployment_id = $4) AND ($5 = '' OR o.signal_id = $5)",
        arguments=(deployment_id, signal_id),
    )


DAYS: Final = """
    SELECT DISTINCT ON (ts / 86400000000000) ts, equity::text FROM execution_equity
    WHERE stream = $1 AND ts >= $2 ORDER BY ts / 86400000000000, seq DESC
"""
"""The last equity of each day, UTC."""


async def daily_equity(call: Call, account: str, since: int = 0) -> list[tuple[int, str]]:
    """(ts, equity) at the end of each day, oldest first; at most 500 days."""
    await settled(call, ExecutionEquityRow.table, equity_stream(account))
    found = await call.ref(QUERIES).ask(RunQuery(DAYS, (equity_stream(account), since), 500), QUERY_S)
    return [(int(ts), str(value)) for ts, value in found.rows]


DRAWDOWN: Final = """
    SELECT max(peak - equity)::text, max((peak - equity) / peak) FILTER (WHERE peak > 0), count(*)
    FROM execution_equity WHERE stream = $1
"""


async def drawdown(call: Call, account: str) -> tuple[str | None, float | None, int]:
    """The deepest fall of the equity below its peak, in money and as a share, and how many samples there are."""
    await settled(call, ExecutionEquityRow.table, equity_stream(account))
    found = await call.ref(QUERIES).ask(RunQuery(DRAWDOWN, (equity_stream(account),), 1), QUERY_S)
    money, share, samples = found.rows[0]
    return (None if money is None else str(money), None if share is None else float(share), int(samples))


SUMS: Final = """
    SELECT count(*), count(*) FILTER (WHERE pnl > 0), count(*) FILTER (WHERE pnl < 0),
           coalesce(sum(pnl) FILTER (WHERE pnl > 0), 0)::text, coalesce(-sum(pnl) FILTER (WHERE pnl < 0), 0)::text,
           coalesce(sum(pnl), 0)::text, max(pnl)::text, min(pnl)::text, avg(return_share),
           avg(exit_ts - entry_ts)::float8
    FROM execution_trades WHERE stream = $1 AND ($2 = '' OR deployment_id = $2)
"""


class TradeSums(msgspec.Struct, frozen=True):
    """Round trips of an account added up; money as decimal text, times in ns."""

    count: int
    won: int
    lost: int
    gross_profit: str
    gross_loss: str
    net: str
    best: str | None
    worst: str | None
    mean_return: float | None
    mean_held: float | None


async def trade_sums(call: Call, account: str, deployment_id: str = "") -> TradeSums:
    """All round trips of an account, or of one deployment."""
    await settled(call, ExecutionTradeRow.table, trade_stream(account))
    query = RunQuery(SUMS, (trade_stream(account), deployment_id), 1)
    return TradeSums(*(await call.ref(QUERIES).ask(query, QUERY_S)).rows[0])


async def account_of_order(call: Call, client_order_id: str) -> str | None:
    """The account that has an order; of several that have one of this id, the newest."""
    sql = "SELECT account FROM execution_orders_log WHERE client_order_id = $1 ORDER BY seq DESC LIMIT 1"
    found = await call.ref(QUERIES).ask(RunQuery(sql, (client_order_id,), 1), QUERY_S)
    return str(found.rows[0][0]) if found.rows else None
