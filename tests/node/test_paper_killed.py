"""A paper account through `kill -9`: no signal without its verdict, no order lost or doubled, the same state again."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
import trio

from actors.execution.account_settings import AccountSpec
from actors.execution.accounts.rows import ExecutionJournalRow, ExecutionOrderRow
from actors.execution.engine import Engine
from actors.execution.inputs import decode
from tests.node.kit import NodeProcess, until

ACCOUNT = {
    "engine": {
        "account": {"account_id": "paper", "initial_capital": "1000000", "kind": "margin", "leverage": "5"},
        "breaker": {"max_denials": 0},
    }
}
CONFIGURATION = """\
[node]
name = "examined"
data_dir = "data"
restart_count = 12
restart_s = 120.0

[edge]
port = 0

[venue]
rate = 400.0

[[feeds]]
name = "demo"
venue = "simulated"

[[strategies]]
name = "every"
strategy = "tests.node.strategies:TradeEveryQuote"
markets = ["SIM-ALPHA", "SIM-BETA"]

[execution]
snapshot_inputs = 700

[[accounts]]
[accounts.engine.account]
account_id = "paper"
initial_capital = "1000000"
kind = "margin"
leverage = "5"
[accounts.engine.breaker]
max_denials = 0

[[deployments]]
deployment_id = "d"
strategy_id = "every"
account = "paper"
markets = ["SIM-ALPHA", "SIM-BETA"]
opposite = "flip"
"""
SIGNALS_BEHIND = """
    SELECT count(*) FROM signals s
    WHERE s.seq > (SELECT min(signal_seq) FROM execution_verdicts)
      AND s.seq <= (SELECT max(signal_seq) FROM execution_verdicts)
      AND NOT EXISTS (SELECT 1 FROM execution_verdicts v WHERE v.signal_id = s.signal_id)
"""


async def trades(node: NodeProcess, more: int) -> None:
    """Wait until so many more fills are in the database."""

    async def fills() -> int:
        try:
            return int((await node.query("SELECT count(*) FROM execution_fills"))[0][0])
        except (OSError, asyncpg.PostgresError):  # the server is starting, or has no such table yet
            return -1

    before = await until(lambda: _known(fills), "the database")
    await until(lambda: _at_least(fills, before[0] + more), f"{more} fills", 60.0)


async def _known(count: Any) -> tuple[int] | None:
    found = await count()
    return None if found < 0 else (found,)


async def _at_least(count: Any, least: int) -> bool:
    return bool(await count() >= least)


async def stopped_and_checked(node: NodeProcess) -> None:
    """Let it end in order, and hold everything that is stored against the journal played from its first input."""
    last = await node.last_seq()
    await node.stored_up_to(last)

    async def settled() -> bool:
        [(seen, taken)] = await node.query(
            "SELECT (SELECT max(seq) FROM signals), (SELECT max(signal_seq) FROM execution_verdicts)"
        )
        return bool(taken >= last <= seen)

    await until(settled, "the last signal's verdict")
    rejected = await node.query("SELECT count(*), min(error) FROM rejected_rows")
    assert rejected[0][0] == 0, rejected
    assert await node.query(SIGNALS_BEHIND) == [(0,)]
    doubled = "SELECT signal_id FROM execution_verdicts GROUP BY signal_id HAVING count(*) > 1"
    assert await node.query(doubled) == []
    for table in (
        "execution_orders_log",
        "execution_fills",
        "execution_ledger",
        "execution_verdicts",
        "execution_trades",
    ):
        [(count, highest)] = await node.query(f"SELECT count(*), max(seq) FROM {table}")
        assert count == highest, table
    assert await node.query("SELECT sum(amount) FROM execution_ledger GROUP BY currency HAVING sum(amount) <> 0") == []
    outcomes = await node.query("SELECT count(*), count(DISTINCT outcome_id) FROM outcomes")
    assert outcomes[0][0] == outcomes[0][1]

    rows = await node.query("SELECT stream, seq, ts, count, payload FROM execution_journal ORDER BY seq")
    assert [row[1] for row in rows] == list(range(1, len(rows) + 1))
    engine = Engine(msgspec.convert(ACCOUNT, AccountSpec).engine)
    stored: list[Any] = []
    for row in rows:
        for item in decode(ExecutionJournalRow(*row).payload):
            engine.handle(item.item, item.ts)
        stored += [ExecutionOrderRow.of(event) for event in engine.take_events()]
    kept = await node.query(
        f"SELECT seq, kind, client_order_id, state, filled, average_price, fees FROM execution_orders_log"
        f" WHERE seq <= {len(stored)} ORDER BY seq"
    )
    derived = [(r.seq, r.kind, r.client_order_id, r.state, r.filled, r.average_price, r.fees) for r in stored]
    assert kept == derived[: len(kept)]
    assert len(kept) >= len(derived) - 50, "what the database lacks is only what came since it was asked"
    bought = await node.query(
        "SELECT market, sum(CASE side WHEN 'buy' THEN size ELSE -size END) FROM execution_fills"
        f" WHERE seq <= {engine.blotter.fills} GROUP BY market"
    )
    positions = engine.account.net_positions()
    assert {market: int(size) for market, size in bought if size} == dict(positions)


async def killed(folder: Path, chance: random.Random, lives: int) -> None:
    with NodeProcess(folder, CONFIGURATION) as node:
        for _ in range(lives):
            await node.ready()
            await trades(node, chance.randint(1, 40))
            await trio.sleep(chance.random() / 10)  # a kill at any place between two fills
            node.kill()
            node.start()
        await node.ready()
        await trades(node, 5)
        await stopped_and_checked(node)
        assert await node.stop() == 0


@pytest.mark.long
async def test_no_order_is_lost_or_doubled_when_the_node_is_killed(prepared: Path, chance: random.Random) -> None:
    await killed(prepared, chance, 1)


@pytest.mark.long
async def test_no_order_is_lost_or_doubled_when_the_node_is_killed_two_hundred_times(
    prepared: Path, chance: random.Random
) -> None:
    await killed(prepared, chance, 200)
