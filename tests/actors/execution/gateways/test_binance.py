"""The Binance gateway against the stand-in, over real sockets: every command, every fault, what the account hears."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from actors.market.simulated.binance_face import BinanceSpotFace
from actors.market.simulated.binance_trading import BinanceTrading
from protocols.gateways import (
    Adopted,
    AdoptOrders,
    CancelAll,
    CancelMany,
    Reconcile,
    SendAmend,
    SendCancel,
    SendOrder,
    SendOrders,
)
from protocols.instruments import Instrument, PriceRange
from protocols.nanos import NANO
from protocols.orders import (
    NewOrder,
    VenueAccepted,
    VenueAmended,
    VenueCancelled,
    VenueFilled,
    VenueRefusedChange,
    VenueRejected,
    VenueUnknown,
)
from runtime import KillChild
from tests.actors.execution.gateways.kit import ACCOUNT, CENT, Trading, fills_of, order
from tests.actors.execution.gateways.kit import trading as gateway_to

SYMBOL, MARKET = "BTCUSDT", "BTCUSDT.BINANCE"
COIN = Instrument(
    market=MARKET,
    symbol=SYMBOL,
    venue="binance",
    kind="spot",
    currency="USDT",
    price_ranges=(PriceRange(CENT, 240_000 * NANO - CENT, CENT),),
    lot=10_000,
    minimum_notional=5 * NANO,
)
LIMITS = [["rest", 5900.0, 98.0], ["write", 25.0, 2.4]]


def trading(tmp_path: Path, **settings: Any) -> AbstractAsyncContextManager[Trading]:
    return gateway_to(tmp_path, "binance", **({"instruments": (COIN,), "limits": LIMITS} | settings))


def venue(run: Trading) -> BinanceTrading:
    face = run.standin.faces["binance"]
    assert isinstance(face, BinanceSpotFace)
    assert face.trading is not None
    return face.trading


def coins(id: str, side: str = "buy", dollars: int = 50_000, hundredths: int = 10, **more: Any) -> NewOrder:
    """An order of so many hundredths of a coin."""
    fields = {"market": MARKET, "price": dollars * NANO, "size": hundredths * CENT}
    return order(id, side, **(fields | more))


def other(run: Trading, side: Any, dollars: int, hundredths: int) -> None:
    """Somebody else's order, of hundredths of a coin."""
    face = run.standin.faces["binance"]
    market = face.markets[SYMBOL]
    execution = market.flow.engine.submit("other", side, dollars * NANO, hundredths * CENT)
    face.publish(market, market.keep([*execution.changes], face.clock.now()))


async def test_an_order_is_filled_once_and_assets_move_by_what_was_traded(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        other(run, "ask", 49_000, 4)
        run.tell(SendOrder(coins("a")))
        accepted = await run.next(VenueAccepted)
        fill = await run.next(VenueFilled)
        assert accepted.venue_order_id == fill.venue_order_id == f"{SYMBOL}:1"
        assert (fill.price, fill.size, fill.leaves, fill.liquidity) == (49_000 * NANO, 4 * CENT, 6 * CENT, "taker")
        assert (fill.fee, fill.fee_currency) == (4 * CENT // 1_000, "BTC")
        other(run, "ask", 50_000, 6)
        last = await run.next(VenueFilled)
        assert (last.leaves, last.liquidity) == (0, "maker")
        assert len(run.told(VenueFilled)) == 2
        state = await run.gateway.ask(Reconcile(0, (MARKET,)))
        totals = {each.currency: each.total for each in state.balances}
        assert totals == {
            "USDT": 1_000_000 * NANO - 4 * 490 * NANO - 6 * 500 * NANO,
            "BTC": 10 * NANO + 10 * CENT * 999 // 1000,
        }
        assert [each.fill_id for each in state.fills] == [fill.fill_id, last.fill_id]
        assert {each.client_order_id for each in state.fills} == {"a"}


@pytest.mark.parametrize(
    ("more", "filled", "code"),
    [
        ({"time_in_force": "IOC"}, 4, "ioc"),
        ({"time_in_force": "FOK"}, 0, "fok"),
        ({"kind": "market", "price": None}, 4, "ioc"),
    ],
)
async def test_what_does_not_rest_ends_with_its_code_behind_its_fills(
    tmp_path: Path, more: dict[str, object], filled: int, code: str
) -> None:
    async with trading(tmp_path) as run:
        other(run, "ask", 50_000, 4)
        run.tell(SendOrder(coins("a", **more)))
        assert (await run.next(VenueCancelled)).code == code
        assert fills_of(run, "a") == filled * CENT


async def test_post_only_a_repeated_id_and_too_little_money_are_the_venues_refusals(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        other(run, "ask", 50_000, 4)
        run.tell(SendOrder(coins("maker", post_only=True)), SendOrder(coins("dear", hundredths=100_000)))
        rejected = await run.all(VenueRejected, 2)
        assert {each.client_order_id: each.code for each in rejected} == {"maker": "post_only", "dear": "-2010"}


async def test_less_size_is_an_amendment_and_another_price_is_not(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        name = "signal/17:leg 1, which is no name that the venue takes"
        run.tell(SendOrder(coins(name)), SendAmend(name, size=6 * CENT), SendAmend(name, price=49_000 * NANO))
        amended = await run.next(VenueAmended)
        assert (amended.client_order_id, amended.size) == (name, 6 * CENT)
        refused = await run.next(VenueRefusedChange)
        assert (refused.what, refused.code) == ("amend", "invalid")
        run.tell(SendCancel(name))
        assert (await run.next(VenueCancelled)).code == "user"


async def test_cancels_go_one_by_one_or_for_all_and_lock_nothing(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.tell(SendOrders((coins("a"), coins("b"), coins("c"), coins("d"))))
        await run.all(VenueAccepted, 4)
        run.tell(CancelMany(("a", "b")))
        assert {each.client_order_id for each in await run.all(VenueCancelled, 2)} == {"a", "b"}
        run.tell(CancelAll())
        assert {each.client_order_id for each in await run.all(VenueCancelled, 2)} == {"c", "d"}
        run.tell(SendOrder(coins("e")))
        await run.next(VenueAccepted)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"kind": "stop", "stop_price": NANO}, "unsupported"),
        ({"time_in_force": "GTD"}, "unsupported"),
        ({"reduce_only": True}, "unsupported"),
        ({"price": 50_000 * NANO + 1}, "invalid"),
        ({"size": 10_001}, "invalid"),
        ({"size": 10_000}, "invalid"),
    ],
)
async def test_what_the_venue_lacks_or_its_filters_refuse_stays_here(
    tmp_path: Path, more: dict[str, object], code: str
) -> None:
    async with trading(tmp_path, wait=False) as run:
        run.tell(SendOrder(coins("a", **more)))
        assert (await run.next(VenueRejected)).code == code
        assert venue(run).account.orders == {}


@pytest.mark.parametrize("fault", [{"kind": "lost_answer"}, {"kind": "failed_answer", "status": 504}])
async def test_an_order_whose_answer_is_lost_is_at_the_venue_exactly_once(
    tmp_path: Path, fault: dict[str, object]
) -> None:
    async with trading(tmp_path) as run:
        other(run, "ask", 50_000, 4)
        run.fault("silence")
        run.fault(str(fault.pop("kind")), on="writes", **fault)
        run.tell(SendOrder(coins("a")), SendOrder(coins("a")))
        assert (await run.next(VenueUnknown)).what == "submit"
        assert (await run.next(VenueFilled)).leaves == 6 * CENT
        run.fault("speak")
        other(run, "ask", 50_000, 6)
        assert (await run.next(VenueFilled)).leaves == 0
        assert len(venue(run).account.orders) == len(run.told(VenueAccepted)) == 1


async def test_a_request_that_was_lost_is_rejected_once_it_cannot_arrive_any_more(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.fault("lost_request", on="writes")
        run.tell(SendOrder(coins("a")))
        await run.next(VenueUnknown)
        assert (await run.next(VenueRejected)).code == "never_arrived"
        assert venue(run).account.orders == {}


async def test_events_that_are_told_twice_are_reported_once(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.fault("duplicate", count=0)
        run.tell(SendOrder(coins("a")))
        await run.next(VenueAccepted)
        for _ in range(5):
            other(run, "ask", 50_000, 2)
        fills = await run.all(VenueFilled, 5)
        assert fills[-1].leaves == 0
        assert len({each.fill_id for each in fills}) == len(run.told(VenueFilled)) == 5


async def test_what_happened_while_the_private_stream_was_gone_is_found(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.tell(SendOrders((coins("a"), coins("b", dollars=49_000), coins("c", dollars=48_000))))
        await run.all(VenueAccepted, 3)
        run.fault("http", on="handshakes", count=2, status=503)
        run.fault("close", code=1006)
        await run.state("connecting")
        other(run, "ask", 50_000, 10)
        other(run, "ask", 49_000, 4)
        (resting,) = [each for each in venue(run).account.open_orders() if each.client_order_id == "c"]
        venue(run)._cancelled(resting)
        await run.state("live")
        assert (fills_of(run, "a"), fills_of(run, "b")) == (10 * CENT, 4 * CENT)
        assert [each.client_order_id for each in run.told(VenueCancelled)] == ["c"]


@pytest.mark.parametrize("seconds", [20.0, -20.0])
async def test_a_clock_that_was_set_is_learnt_again_and_no_order_is_lost_or_doubled(
    tmp_path: Path, seconds: float
) -> None:
    async with trading(tmp_path) as run:
        run.tell(SendOrder(coins("a")))
        await run.next(VenueAccepted)
        run.fault("clock", seconds=seconds)
        run.tell(SendOrder(coins("b")))
        rejected = await run.next(VenueRejected)
        assert (rejected.client_order_id, rejected.code) == ("b", "clock")
        run.tell(SendCancel("a"))
        await run.next(VenueCancelled)
        run.tell(SendOrder(coins("c")))
        assert (await run.next(VenueAccepted)).client_order_id == "c"
        assert run.told(VenueUnknown) == []


async def test_a_burst_keeps_to_the_limit_and_cancels_are_no_orders(tmp_path: Path) -> None:
    async with trading(tmp_path, limits=[["rest", 5900.0, 98.0], ["write", 25.0, 0.01]], budget_s=1.5) as run:
        run.tell(*(SendOrder(coins(f"o{number}", hundredths=1)) for number in range(30)))
        rejected = await run.all(VenueRejected, 8)
        assert {each.code for each in rejected} == {"not_sent"}
        run.tell(SendOrder(coins("exit", "sell", 60_000, source="liquidation")), SendCancel("o0"))
        await run.next(VenueCancelled)
        await run.next(VenueAccepted, lambda each: each.client_order_id == "exit")
        assert venue(run).limited == 0


async def test_a_new_life_finds_out_what_became_of_the_orders_of_the_last(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        kept, lost, never = coins("kept"), coins("odd name: 1", dollars=49_000), coins("never")
        run.tell(SendOrders((kept, lost)))
        accepted = {each.client_order_id: each.venue_order_id for each in await run.all(VenueAccepted, 2)}
        await run.node.ref(f"/execution/accounts/{ACCOUNT}").ask(KillChild("gateway"))
        other(run, "ask", 49_000, 15)
        run.tell(
            AdoptOrders(
                (
                    Adopted(order=kept, venue_order_id=accepted["kept"]),
                    Adopted(order=lost, known=False),
                    Adopted(order=never, known=False),
                )
            )
        )
        rejected = await run.next(VenueRejected)
        assert (rejected.client_order_id, rejected.code) == ("never", "never_arrived")
        while (fills_of(run, "kept"), fills_of(run, "odd name: 1")) != (10 * CENT, 5 * CENT):
            await run.next(VenueFilled)
