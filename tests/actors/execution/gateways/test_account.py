"""An account, its gateway, a feed and the venue together: orders by hand, fills in the ledger, and what was missed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from actors.execution.account_settings import AccountSpec, resolved
from actors.execution.account_tree import account_branch
from actors.execution.accounts.settings import AccountSettings
from actors.execution.engine_state import EngineSettings
from actors.market.capability import branch as market_branch
from actors.market.feed_settings import FeedSettings, VenueSettings
from actors.market.instrument_master import InstrumentSettings
from actors.market.simulated.face import KEY_ID
from protocols.control import Probe
from protocols.execution import AccountView, GetAccount, GetReconciliation, OrderByHand, account_actor
from protocols.nanos import decimal_text
from protocols.orders import CancelOrder, OrderEvent, SubmitOrders
from runtime import KillChild, Node, NodeSettings, Tap, open_node, supervisor
from runtime.log import open_log
from tests.actors.execution.gateways.kit import (
    ACCOUNT,
    MARKET,
    PATIENCE_S,
    PEM,
    QUICK,
    Trading,
    order,
    standing,
)


class Owner(Trading):
    """The account's own view beside the venue's."""

    def __init__(self, node: Node, tap: Tap, standin: Any) -> None:
        super().__init__(node, tap, standin)
        self.account = node.ref(account_actor(ACCOUNT))

    async def event(self, kind: str) -> OrderEvent:
        return await self.next(OrderEvent, lambda each: each.kind == kind)

    async def view(self, fits: Callable[[AccountView], bool]) -> AccountView:
        with trio.fail_after(PATIENCE_S):
            while True:
                view = await self.account.ask(GetAccount())
                if fits(view):
                    return view
                await self.node.ref("/market/index").ask(Probe())

    async def agrees(self) -> None:
        """The account's money and position are the venue's."""
        theirs = self.kalshi.trading.account
        cash, held = decimal_text(theirs.cash), theirs.holding(MARKET).quantity
        await self.view(lambda view: view.cash == cash and sum(each.quantity for each in view.positions) == held)


@asynccontextmanager
async def owning(tmp_path: Path) -> AsyncIterator[Owner]:
    key_file = tmp_path / "key.pem"
    key_file.write_bytes(PEM)
    log = open_log(tmp_path / "log", segment_bytes=64 << 10, max_bytes=16 << 20, reserve_bytes=0)
    async with standing(faces=("kalshi",)) as standin:
        face = standin.faces["kalshi"]
        where = {"rest_url": face.rest_url, "url": face.url, "key_id": KEY_ID, "key_file": str(key_file)}
        gateway = {"venue": "kalshi", "live": True, "environment": "simulated", **where, **QUICK}
        engine = EngineSettings(account=AccountSettings(account_id=ACCOUNT))
        spec = AccountSpec(engine=engine, mode="live", markets=(MARKET,), gateway=gateway, reconcile_s=0.5)
        feed = FeedSettings(name="sim", venue="kalshi", markets=(MARKET,), **where)  # type: ignore[arg-type]
        accounts = supervisor("accounts", account_branch(resolved(spec), 1_000, live=True))
        market = market_branch((feed,), VenueSettings(), tmp_path, instruments=InstrumentSettings())
        children = (market, supervisor("execution", accounts))
        async with open_node(NodeSettings(data_dir=str(tmp_path)), children, log=log) as node:
            with node.open_tap((OrderEvent, None), path="test", capacity=10_000) as tap:
                run = Owner(node, tap, standin)
                run.other("bid", 20, 9)
                run.other("ask", 80, 9)
                await run.view(lambda view: view.state == "trading" and not view.missing)
                yield run
    log.close()


async def test_what_the_venue_does_with_an_accounts_orders_is_in_its_ledger(tmp_path: Path) -> None:
    async with owning(tmp_path) as run:
        hand = {"source": "manual", "deployment_id": "manual"}
        orders = (order("m1", **hand), order("m2", cents=41, **hand))
        taken = await run.account.ask(OrderByHand(commands=(SubmitOrders(orders),)))
        assert taken.denied == ()
        for _ in orders:
            await run.event("accepted")
        run.other("ask", 41, 4)
        assert (await run.event("filled")).order.order.client_order_id == "m2"
        await run.agrees()
        # While its gateway is dead one order is filled, and the other in part.
        await run.node.ref(f"/execution/accounts/{ACCOUNT}").ask(KillChild("gateway"))
        run.other("ask", 40, 9)
        await run.agrees()
        await run.account.ask(OrderByHand(commands=(CancelOrder("m1"),)))
        assert (await run.event("cancelled")).order.order.client_order_id == "m1"
        view = await run.view(lambda view: view.open_orders == 0)
        assert view.fills == len(run.kalshi.trading.account.fills)
        shown = await run.account.ask(GetReconciliation())
        assert (shown.differences, view.trading) == ((), "active")
