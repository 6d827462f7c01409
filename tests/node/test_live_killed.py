"""An account at a venue through `kill -9`: after it the venue and we agree, and nothing was ordered twice."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import trio

from actors.market.simulated.kalshi_face import KEY_ID
from actors.market.simulated.standin import StandIn, StandInSettings
from actors.market.simulated.venue import demo_key
from protocols.nanos import NANO
from protocols.venues import kalshi_signing
from tests.node.kit import NodeProcess, until

CONFIGURATION = """\
[node]
name = "live"
data_dir = "data"

[edge]
port = 0

[[feeds]]
name = "sim"
venue = "simulated"
url = "{url}"
rest_url = "{rest_url}"
markets = ["SIM-ALPHA"]
key_id = "{key_id}"
key_file = "{key_file}"
backoff_s = 0.02
backoff_most_s = 0.1

[[strategies]]
name = "every"
strategy = "tests.node.strategies:TradeEveryQuote"
markets = ["SIM-ALPHA"]

[execution]
live = true

[[accounts]]
mode = "live"
reconcile_s = 1.0
[accounts.gateway]
venue = "kalshi"
live = true
environment = "simulated"
url = "{url}"
rest_url = "{rest_url}"
key_id = "{key_id}"
key_file = "{key_file}"
backoff_s = 0.02
backoff_most_s = 0.1
[accounts.engine.account]
account_id = "venue1"

[[deployments]]
deployment_id = "d"
strategy_id = "every"
account = "venue1"
mode = "live"
markets = ["SIM-ALPHA"]
opposite = "flip"
"""


async def count(node: NodeProcess, sql: str) -> int:
    try:
        return int((await node.query(sql))[0][0] or 0)
    except (OSError, asyncpg.PostgresError):
        return -1


async def traded(node: NodeProcess, more: int) -> None:
    fills = "SELECT count(*) FROM execution_fills"

    async def known() -> tuple[int] | None:
        found = await count(node, fills)
        return None if found < 0 else (found,)

    async def enough() -> bool:
        return await count(node, fills) >= before + more

    before = (await until(known, "the database"))[0]
    await until(enough, f"{more} fills", 60.0)


async def killed(folder: Path, chance: random.Random, lives: int) -> None:
    key_file = folder / "venue-key.pem"
    key = kalshi_signing.public_key_of(demo_key(key_file))
    settings = StandInSettings(markets=("SIM-ALPHA",), rate=12.0)
    standin = StandIn(settings, key, time.time_ns, time.monotonic_ns)
    async with trio.open_nursery() as nursery:
        await standin.open()
        nursery.start_soon(standin.run)
        nursery.start_soon(standin.trade)
        face: Any = standin.faces["kalshi"]
        text = CONFIGURATION.format(url=face.url, rest_url=face.rest_url, key_id=KEY_ID, key_file=key_file)
        with NodeProcess(folder, text) as node:
            for _ in range(lives):
                await node.ready()
                await traded(node, chance.randint(1, 8))
                await trio.sleep(chance.random() / 5)  # a kill anywhere between an order and its fill
                node.kill()
                node.start()
            await node.ready()
            await traded(node, 3)
            await node.post("/api/v1/actors/strategies/every/stop")
            await until(lambda: agrees(node, face), "that the venue and the account agree")
            await never_twice(node, face)
            assert await node.stop() == 0
        nursery.cancel_scope.cancel()


async def agrees(node: NodeProcess, face: Any) -> bool:
    """What the venue has traded for us is what is booked: each fill once, and the same money."""
    account = face.trading.account
    theirs = sorted((fill.order.client_order_id, fill.price, fill.size, fill.fee) for fill in account.fills)
    rows = await node.query("SELECT client_order_id, price, size, fee FROM execution_fills")
    cash = await node.query("SELECT sum(amount) FROM execution_ledger WHERE ledger_account = 'cash'")
    return sorted(map(tuple, rows)) == theirs and int(cash[0][0] * NANO) == account.cash


async def never_twice(node: NodeProcess, face: Any) -> None:
    """Every order at the venue is one of ours, and was sent once; what we hold for open is open there."""
    account = face.trading.account
    sent = [order.client_order_id for order in account.orders.values()]
    assert len(sent) == len(set(sent))
    rows = await node.query("SELECT DISTINCT client_order_id FROM execution_orders_log")
    assert set(sent) <= {row[0] for row in rows}
    wrong = await node.query(
        "SELECT count(*) FROM execution_orders_log WHERE state = 'unknown' AND seq = ("
        "SELECT max(seq) FROM execution_orders_log o WHERE o.client_order_id ="
        " execution_orders_log.client_order_id)"
    )
    assert wrong == [(0,)]
    assert await node.query("SELECT count(*) FROM rejected_rows") == [(0,)]


@pytest.mark.long
async def test_after_a_kill_the_venue_and_the_account_agree(prepared: Path, chance: random.Random) -> None:
    await killed(prepared, chance, 1)


@pytest.mark.long
async def test_after_many_kills_the_venue_and_the_account_agree(prepared: Path, chance: random.Random) -> None:
    await killed(prepared, chance, 20)
