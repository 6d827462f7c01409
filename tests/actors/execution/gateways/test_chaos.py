"""Random orders through random faults: in the end the account knows exactly what the venue has booked."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import trio

from protocols.control import Message
from protocols.gateways import CancelMany, SendAmend, SendCancel, SendOrder, SendOrders
from protocols.nanos import NANO
from protocols.orders import (
    NewOrder,
    VenueAccepted,
    VenueCancelled,
    VenueFilled,
    VenueRejected,
)
from tests.actors.execution.gateways.kit import CENT, Noted, Trading, order, trading
from tests.actors.execution.gateways.test_binance import COIN, LIMITS, SYMBOL, other
from tests.actors.execution.gateways.test_binance import MARKET as BINANCE_MARKET
from tests.actors.execution.gateways.test_binance import venue as binance_of

FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("lost_answer", {"on": "writes"}),
    ("lost_request", {"on": "writes"}),
    ("late_request", {"on": "writes", "seconds": 0.3}),
    ("late", {"on": "all", "seconds": 0.4}),
    ("failed_answer", {"on": "writes", "status": 502}),
    ("http", {"on": "reads", "status": 503}),
    ("http", {"on": "writes", "status": 429}),
    ("duplicate", {"count": 3}),
    ("drop", {"count": 2}),
    ("garble", {"count": 1}),
    ("reorder", {"count": 2}),
    ("close", {"code": 1006}),
    ("lag", {"seconds": 0.2}),
    ("lag", {"seconds": 0.0}),
)


def new_order(venue: str, id: str, side: str, cents: int, contracts: int, **more: Any) -> NewOrder:
    """At Binance a contract is a hundredth of a coin, a cent a thousand dollars."""
    if venue == "binance":
        more |= {"market": BINANCE_MARKET, "price": cents * 1_000 * NANO, "size": contracts * CENT}
    return order(id, side, cents, contracts, **more)


def command(venue: str, chance: random.Random, sent: list[str]) -> Message:
    what = chance.random()
    if what < 0.55 or not sent:
        sent.append(f"o{len(sent)}")
        more: dict[str, Any] = {}
        if chance.random() < 0.3:
            more["time_in_force"] = chance.choice(["IOC", "FOK"])
        elif chance.random() < 0.2:
            more["post_only"] = True
        side = chance.choice(["buy", "sell"])
        return SendOrder(new_order(venue, sent[-1], side, chance.randrange(45, 56), chance.randrange(1, 9), **more))
    if what < 0.65:
        names = [f"o{len(sent) + number}" for number in range(3)]
        sent.extend(names)
        return SendOrders(tuple(new_order(venue, name, "buy", chance.randrange(40, 50), 2) for name in names))
    if what < 0.8:
        return SendCancel(chance.choice(sent))
    if what < 0.9:
        return CancelMany(tuple(chance.sample(sent, min(len(sent), 3))))
    if venue == "binance":
        return SendAmend(chance.choice(sent), size=chance.randrange(1, 6) * CENT)
    return SendAmend(chance.choice(sent), price=chance.randrange(40, 60) * CENT, size=chance.randrange(1, 12) * NANO)


def somebody(run: Trading, venue: str, side: Any, cents: int, contracts: int) -> None:
    if venue == "binance":
        other(run, side, cents * 1_000, contracts)
    else:
        run.other(side, cents, contracts)


async def play(run: Trading, venue: str, seed: int, turns: int) -> None:
    chance = random.Random(seed)
    sent: list[str] = []
    for _ in range(turns):
        run.tell(command(venue, chance, sent))
        if chance.random() < 0.5:
            somebody(run, venue, chance.choice(["bid", "ask"]), chance.randrange(45, 56), chance.randrange(1, 6))
        if chance.random() < 0.25:
            kind, options = chance.choice(FAULTS)
            run.fault(kind, **options)
        await trio.sleep(0.02)  # a pace, not a wait: the gateway has to be in the middle of things
    run.standin.clear()
    # What rests is taken away, so that every order has an end.
    run.tell(CancelMany(tuple(sent)))
    ended: set[str] = set()
    with trio.fail_after(60):
        while len(ended) < len(sent):
            report = await run.next(Message)
            if isinstance(report, VenueRejected | VenueCancelled) or (
                isinstance(report, VenueFilled) and report.leaves == 0
            ):
                assert report.client_order_id not in ended, f"{report} came twice"
                ended.add(report.client_order_id)
            if isinstance(report, Noted) and report.state.state == "live":
                run.tell(CancelMany(tuple(set(sent) - ended)))
    if venue == "binance":
        compare_binance(run)
    else:
        compare_kalshi(run)


def compare_kalshi(run: Trading) -> None:
    account = run.kalshi.trading.account
    theirs = {(fill.fill_id, fill.order.client_order_id): (fill.price, fill.size, fill.fee) for fill in account.fills}
    compare(run, theirs, len(account.fills), [each.client_order_id for each in account.orders.values()])
    assert account.resting() == []
    assert run.kalshi.limited == 0
    assert sum(move.amount for move in account.moves) == account.cash


def compare_binance(run: Trading) -> None:
    account = binance_of(run).account
    theirs = {
        (f"{SYMBOL}-{trade.trade_id}", trade.order.client_order_id): (trade.price, trade.size, trade.commission)
        for trade in account.trades
    }
    compare(run, theirs, len(account.trades), [each.client_order_id for each in account.orders.values()])
    assert account.open_orders() == []
    assert binance_of(run).limited == 0


def compare(run: Trading, theirs: dict[tuple[str, str], tuple[int, int, int]], count: int, orders: list[str]) -> None:
    told = run.told(VenueFilled)
    assert {(each.fill_id, each.client_order_id): (each.price, each.size, each.fee) for each in told} == theirs
    assert len(told) == count
    assert len(orders) == len(set(orders))
    accepted = [each.client_order_id for each in run.told(VenueAccepted)]
    assert len(accepted) == len(set(accepted))
    assert {each.client_order_id for each in run.told(VenueRejected)}.isdisjoint(orders)


HASTE: dict[str, Any] = {"timeout_s": 0.3, "reconcile_s": 1.0, "arrival_s": 1.5, "budget_s": 20.0}
AT_BINANCE: dict[str, Any] = {"instruments": (COIN,), "limits": LIMITS}


async def test_random_faults_leave_no_order_lost_doubled_or_told_wrongly(tmp_path: Path) -> None:
    async with trading(tmp_path, **HASTE) as run:
        await play(run, "kalshi", 7, 40)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("venue", ["kalshi", "binance"])
async def test_long_random_faults_leave_no_order_lost_doubled_or_told_wrongly(
    tmp_path: Path, venue: str, seed: int
) -> None:
    async with trading(tmp_path, venue, **(HASTE | (AT_BINANCE if venue == "binance" else {}))) as run:
        await play(run, venue, seed, 150)
