"""The Kalshi gateway against the stand-in, over real sockets: every command, every fault, what the account hears."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.control import Refused
from protocols.gateways import (
    Adopted,
    AdoptOrders,
    CancelAll,
    CancelMany,
    GatewayState,
    GetGatewayState,
    QueryOrder,
    Reconcile,
    SendAmend,
    SendCancel,
    SendOrder,
    SendOrders,
)
from protocols.nanos import NANO
from protocols.orders import (
    VenueAccepted,
    VenueAmended,
    VenueCancelled,
    VenueFilled,
    VenueRefusedChange,
    VenueRejected,
    VenueUnknown,
)
from runtime import ChildSpec, KillChild, supervisor
from tests.actors.execution.gateways.kit import ACCOUNT, ALPHA, CENT, MARKET, PEM, fills_of, order, trading


async def test_an_order_is_accepted_filled_once_and_costs_what_the_venue_says(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.other("ask", 40, 4)
        run.tell(SendOrder(order("a", cents=41)))
        accepted = await run.next(VenueAccepted)
        fill = await run.next(VenueFilled)
        assert accepted.venue_order_id == fill.venue_order_id != ""
        assert (fill.price, fill.size, fill.side, fill.leaves) == (40 * CENT, 4 * NANO, "buy", 6 * NANO)
        # 0.07 · 4 · 0.4 · 0.6, rounded up to a hundredth of a cent
        assert (fill.fee, fill.fee_currency, fill.liquidity) == (67_200_000, "USD", "taker")
        run.other("ask", 41, 6)
        last = await run.next(VenueFilled)
        assert (last.size, last.leaves, last.liquidity, last.fee) == (6 * NANO, 0, "maker", 0)
        assert run.kalshi.trading.account.cash == 10_000 * NANO - 4 * 40 * CENT - 6 * 41 * CENT - 67_200_000
        assert sum(move.amount for move in run.kalshi.trading.account.moves) == run.kalshi.trading.account.cash


async def test_a_sale_is_an_ask_of_the_yes_book_and_its_collateral_is_the_rest_of_a_dollar(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.other("bid", 40, 10)
        run.tell(SendOrder(order("a", "sell", 40, leg="NO")))
        fill = await run.next(VenueFilled)
        assert (fill.side, fill.price, fill.leaves) == ("sell", 40 * CENT, 0)
        state = await run.gateway.ask(Reconcile(0))
        assert [(each.market, each.quantity, each.leg) for each in state.positions] == [(MARKET, -10 * NANO, "NO")]
        assert state.balances[0].total == 10_000 * NANO - 10 * 60 * CENT - fill.fee


@pytest.mark.parametrize(
    ("more", "filled", "code"),
    [
        ({"time_in_force": "IOC"}, 4, "ioc"),
        ({"time_in_force": "FOK"}, 0, "fok"),
        ({"post_only": True}, 0, "post_only"),
    ],
)
async def test_what_does_not_rest_ends_with_its_code_behind_its_fills(
    tmp_path: Path, more: dict[str, object], filled: int, code: str
) -> None:
    async with trading(tmp_path) as run:
        run.other("ask", 40, 4)
        run.tell(SendOrder(order("a", cents=40, **more)))
        ended = await run.next(VenueCancelled)
        assert ended.code == code
        assert fills_of(run, "a") == filled * NANO


async def test_an_order_with_a_time_ends_at_it(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        now = run.kalshi.clock.now()
        expires = (now // NANO + 2) * NANO
        run.tell(SendOrder(order("a", time_in_force="GTD", expires=expires)))
        await run.next(VenueAccepted)
        run.fault("clock", seconds=2.0)
        assert (await run.next(VenueCancelled)).code == "expired"


async def test_orders_cancels_and_amendments_of_one_order_never_overtake_one_another(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.tell(
            SendOrder(order("a")),
            SendAmend("a", size=6 * NANO),
            SendAmend("a", price=45 * CENT),
            SendAmend("a", size=8 * NANO, price=44 * CENT),
            SendCancel("a"),
        )
        amended = await run.all(VenueAmended, 3)
        assert [(each.size, each.price) for each in amended] == [
            (6 * NANO, 40 * CENT),
            (6 * NANO, 45 * CENT),
            (8 * NANO, 44 * CENT),
        ]
        assert (await run.next(VenueCancelled)).code == "user"
        (kept,) = run.kalshi.trading.account.orders.values()
        assert (kept.status, kept.filled) == ("canceled", 0)


async def test_an_amendment_counts_what_is_filled_and_one_that_crosses_fills(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.tell(SendOrder(order("a")))
        await run.next(VenueAccepted)
        run.other("ask", 40, 3)
        await run.next(VenueFilled)
        run.other("ask", 50, 2)
        run.tell(SendAmend("a", size=12 * NANO, price=50 * CENT))
        await run.next(VenueAmended)
        crossed = await run.next(VenueFilled)
        assert (crossed.price, crossed.size, crossed.leaves) == (50 * CENT, 2 * NANO, 7 * NANO)
        (kept,) = run.kalshi.trading.account.resting()
        assert (kept.filled, kept.remaining) == (5 * NANO, 7 * NANO)


async def test_batches_succeed_and_fail_item_by_item(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        dear = order("dear", cents=99, contracts=1_000_000)
        run.tell(SendOrders((order("a"), dear, order("b", cents=41))))
        rejected = await run.next(VenueRejected)
        assert (rejected.client_order_id, rejected.code) == ("dear", "available_balance_too_low")
        await run.next(VenueAccepted, lambda each: each.client_order_id == "b")
        run.tell(CancelMany(("a", "b", "nobody")))
        refused = await run.next(VenueRefusedChange)
        assert (refused.client_order_id, refused.code, refused.gone) == ("nobody", "not_known", False)
        assert {each.client_order_id for each in await run.all(VenueCancelled, 2)} == {"a", "b"}
        assert run.kalshi.trading.account.resting() == []


async def test_cancel_all_kills_the_next_minutes_orders_so_none_is_sent(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.tell(SendOrders((order("a"), order("b", cents=41))))
        await run.all(VenueAccepted, 2)
        run.tell(CancelAll())
        assert {each.client_order_id for each in await run.all(VenueCancelled, 2)} == {"a", "b"}
        run.tell(SendOrder(order("c")))
        assert (await run.next(VenueRejected)).code == "locked"
        assert len(run.kalshi.trading.account.orders) == 2


# -- what is refused here ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"marks": ("stale",)}, "tainted"),
        ({"kind": "market", "price": None}, "unsupported"),
        ({"kind": "stop", "stop_price": 50 * CENT}, "unsupported"),
        ({"reduce_only": True}, "unsupported"),
        ({"display": NANO}, "unsupported"),
        ({"time_in_force": "DAY"}, "unsupported"),
        ({"oco": "x"}, "unsupported"),
        ({"price": 40 * CENT + 1}, "invalid"),
        ({"size": NANO + 1}, "invalid"),
        ({"market": "NOWHERE"}, "no_instrument"),
    ],
)
async def test_what_the_venue_lacks_or_live_data_does_not_bear_stays_here(
    tmp_path: Path, more: dict[str, object], code: str
) -> None:
    async with trading(tmp_path, wait=False) as run:
        run.tell(SendOrder(order("a", **more)))
        assert (await run.next(VenueRejected)).code == code
        assert run.kalshi.trading.account.orders == {}


async def test_an_order_may_bring_its_markets_definition(tmp_path: Path) -> None:
    async with trading(tmp_path, instruments=(), wait=False) as run:
        run.tell(SendOrder(order("a")), SendOrder(order("b"), ALPHA))
        assert (await run.next(VenueRejected)).client_order_id == "a"
        assert (await run.next(VenueAccepted)).client_order_id == "b"


@pytest.mark.parametrize(("enabled", "live"), [(False, True), (True, False)])
async def test_nothing_leaves_unless_the_configuration_and_the_account_both_say_so(
    tmp_path: Path, enabled: bool, live: bool
) -> None:
    async with trading(tmp_path, enabled=enabled, live=live, wait=False) as run:
        run.tell(SendOrder(order("a")))
        assert (await run.next(VenueRejected)).code == "live_disabled"
        state: GatewayState = await run.gateway.ask(GetGatewayState())
        assert state.state == "disabled"
        with pytest.raises(Refused, match="unavailable"):
            await run.gateway.ask(Reconcile(0))


@pytest.mark.parametrize("mark", ["synthetic", "demo"])
async def test_what_is_made_up_may_be_traded_where_everything_is(tmp_path: Path, mark: str) -> None:
    async with trading(tmp_path, wait=False) as run:
        run.tell(SendOrder(order("a", marks=(mark,))))
        await run.next(VenueAccepted)


async def test_without_its_key_a_gateway_says_so_and_begins_when_it_is_there(tmp_path: Path) -> None:
    key_file = tmp_path / "later.pem"
    async with trading(tmp_path, key_file=str(key_file), wait=False) as run:
        failed = await run.state("failed")
        assert "later.pem" in failed.detail
        run.tell(SendOrder(order("a")))
        assert (await run.next(VenueRejected)).code == "gateway_failed"
        key_file.write_bytes(PEM)
        await run.state("live")
        run.tell(SendOrder(order("b")))
        await run.next(VenueAccepted)


@pytest.mark.parametrize("venue", ["kalshi", "binance"])
async def test_a_simulated_account_finds_the_venue_of_its_own_node(tmp_path: Path, venue: str) -> None:
    own = ChildSpec(
        name="venue",
        actor="actors.market.simulated.venue:SimulatedVenue",
        arguments={
            "markets": [MARKET],
            "key_file": str(tmp_path / "own.pem"),
            "rate": 0.0,
            "warm_up": 0,
            "faces": ["binance"],
            "coins": ["BTC"],
            "levels": 10,
        },
    )
    nowhere = {"rest_url": "", "url": "", "key_id": "", "key_file": ""}
    async with trading(tmp_path, venue, limits=[], beside=(supervisor("market", own),), **nowhere) as run:
        state = await run.gateway.ask(Reconcile(0))
        assert {each.currency for each in state.balances} == ({"USD"} if venue == "kalshi" else {"USDT", "BTC"})


async def test_a_production_account_trades_at_no_venue_that_calls_itself_synthetic(tmp_path: Path) -> None:
    async with trading(tmp_path, environment="production", wait=False) as run:
        await run.state("failed")
        run.tell(SendOrder(order("a")))
        assert (await run.next(VenueRejected)).code == "gateway_failed"
        assert run.kalshi.trading.account.orders == {}


# -- faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [{"kind": "lost_answer"}, {"kind": "failed_answer", "status": 502}, {"kind": "late", "seconds": 3.0}]
)
async def test_an_order_whose_answer_is_lost_is_at_the_venue_exactly_once(
    tmp_path: Path, fault: dict[str, object]
) -> None:
    async with trading(tmp_path, timeout_s=0.3) as run:
        run.other("ask", 40, 4)
        run.fault(str(fault.pop("kind")), on="writes", **fault)
        run.tell(SendOrder(order("a")), SendOrder(order("a")))
        await run.next(VenueFilled)
        run.other("ask", 40, 6)
        assert (await run.next(VenueFilled)).leaves == 0
        assert len(run.kalshi.trading.account.orders) == 1
        assert len(run.told(VenueAccepted)) == 1
        assert run.told(VenueRejected) == []


async def test_an_answer_that_is_lost_is_unknown_until_the_venue_is_asked(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        # Without its private stream it has only REST to find out.
        run.fault("silence")
        run.fault("lost_answer", on="writes")
        run.fault("lag", seconds=0.5)
        run.tell(SendOrder(order("a")))
        assert (await run.next(VenueUnknown)).what == "submit"
        run.fault("lag", seconds=0.0)
        await run.next(VenueAccepted)
        assert len(run.kalshi.trading.account.orders) == 1


async def test_a_request_that_was_lost_is_rejected_once_it_cannot_arrive_any_more(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        begun = run.kalshi.clock.now()
        run.fault("lost_request", on="writes")
        run.tell(SendOrder(order("a")))
        await run.next(VenueUnknown)
        rejected = await run.next(VenueRejected)
        assert rejected.code == "never_arrived"
        assert rejected.ts >= begun + 0.3 * NANO
        assert run.kalshi.trading.account.orders == {}


async def test_a_request_that_arrives_late_is_found_and_not_believed_lost(tmp_path: Path) -> None:
    async with trading(tmp_path, timeout_s=0.1, arrival_s=5.0) as run:
        run.fault("late_request", on="writes", seconds=0.4)
        run.tell(SendOrder(order("a")))
        await run.next(VenueUnknown)
        await run.next(VenueAccepted)
        assert len(run.kalshi.trading.account.orders) == 1


async def test_a_lost_cancel_is_repeated_and_a_lost_amendment_is_asked_for(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.tell(SendOrder(order("a")), SendOrder(order("b", cents=41)))
        await run.all(VenueAccepted, 2)
        run.fault("lost_request", on="writes")
        run.tell(SendCancel("a"))
        assert (await run.next(VenueUnknown)).what == "cancel"
        await run.next(VenueCancelled)
        run.fault("lost_answer", on="writes")
        run.tell(SendAmend("b", price=42 * CENT))
        amended = await run.next(VenueAmended)
        assert (amended.price, amended.size) == (42 * CENT, 10 * NANO)
        run.fault("lost_request", on="writes")
        run.tell(SendAmend("b", price=43 * CENT), SendCancel("b"))
        refused = await run.next(VenueRefusedChange)
        assert (refused.what, refused.code, refused.gone) == ("amend", "never_arrived", False)
        assert (await run.next(VenueCancelled)).client_order_id == "b"


async def test_fills_that_are_told_twice_are_reported_once(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.fault("duplicate", count=0)
        run.tell(SendOrder(order("a")))
        await run.next(VenueAccepted)
        for _ in range(5):
            run.other("ask", 40, 2)
        fills = await run.all(VenueFilled, 5)
        assert fills[-1].leaves == 0
        assert len({each.fill_id for each in fills}) == 5
        assert len(run.told(VenueFilled)) == 5


async def test_fills_that_were_not_told_are_asked_for(tmp_path: Path) -> None:
    async with trading(tmp_path, reconcile_s=0.3) as run:
        run.tell(SendOrder(order("a")))
        await run.next(VenueAccepted)
        run.fault("drop", count=0)
        run.other("ask", 40, 4)
        assert (await run.next(VenueFilled)).leaves == 6 * NANO
        run.other("ask", 40, 6)
        assert (await run.next(VenueFilled)).leaves == 0


@pytest.mark.parametrize("code", [1001, 1006])
async def test_what_happened_while_the_private_stream_was_gone_is_found(tmp_path: Path, code: int) -> None:
    async with trading(tmp_path) as run:
        run.tell(SendOrders((order("a"), order("b", cents=39), order("c", cents=38))))
        await run.all(VenueAccepted, 3)
        run.fault("http", on="handshakes", count=2, status=503)
        run.fault("close", code=code)
        await run.state("connecting")
        run.other("ask", 40, 10)
        run.other("ask", 39, 4)
        (resting,) = [each for each in run.kalshi.trading.account.resting() if each.client_order_id == "c"]
        run.kalshi.trading._cancel(resting.order_id)
        await run.state("live")
        assert (fills_of(run, "a"), fills_of(run, "b")) == (10 * NANO, 4 * NANO)
        assert [each.client_order_id for each in run.told(VenueCancelled)] == ["c"]


@pytest.mark.parametrize("seconds", [3.0, -3.0])
async def test_requests_are_signed_at_the_venues_time(tmp_path: Path, seconds: float) -> None:
    async with trading(tmp_path) as run:
        # Together with a clock that goes wrong later it would be refused: five seconds are let pass.
        run.fault("clock", seconds=seconds)
        await run.gateway.ask(Reconcile(0))
        run.fault("clock", seconds=2 * seconds)
        run.tell(SendOrder(order("a")))
        await run.next(VenueAccepted)
        assert run.kalshi.refused == 0


async def test_an_order_that_the_venue_refuses_is_rejected_in_its_words(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.kalshi.markets[MARKET].flow.engine.pause()
        run.tell(SendOrder(order("a")))
        assert (await run.next(VenueRejected)).code == "MARKET_INACTIVE"


async def test_more_fills_than_a_page_holds_are_all_found(tmp_path: Path) -> None:
    async with trading(tmp_path, reconcile_s=0.3) as run:
        run.tell(SendOrder(order("a", contracts=210)))
        await run.next(VenueAccepted)
        run.fault("silence")
        for _ in range(210):
            run.other("ask", 40, 1)
        fills = await run.all(VenueFilled, 210)
        assert [each.leaves for each in fills] == [left * NANO for left in range(209, -1, -1)]


# -- limits --------------------------------------------------------------------------------------------------


async def test_a_burst_keeps_to_the_limit_and_cancels_pass_before_it(tmp_path: Path) -> None:
    async with trading(tmp_path, budget_s=30.0) as run:
        run.tell(SendOrder(order("first")))
        await run.next(VenueAccepted)
        run.tell(*(SendOrder(order(f"o{number}", contracts=1)) for number in range(20)), SendCancel("first"))
        await run.next(VenueAccepted, lambda each: each.client_order_id == "o19")
        orders = run.kalshi.trading.account.by_client_id
        assert (len(orders), run.kalshi.limited) == (21, 0)
        assert orders["first"].status == "canceled"
        assert orders["first"].updated < orders["o19"].created


async def test_a_risk_exit_leaves_before_the_orders_that_wait(tmp_path: Path) -> None:
    async with trading(tmp_path, budget_s=30.0) as run:
        waiting = tuple(SendOrder(order(f"o{number}", contracts=1)) for number in range(20))
        run.tell(*waiting, SendOrder(order("exit", source="flatten")))
        await run.next(VenueAccepted, lambda each: each.client_order_id == "o19")
        orders = run.kalshi.trading.account.by_client_id
        assert orders["exit"].created < orders["o19"].created


async def test_where_no_feed_shares_the_limit_the_gateway_keeps_it_itself(tmp_path: Path) -> None:
    async with trading(tmp_path, limits=[], budget_s=30.0) as run:
        run.tell(*(SendOrder(order(f"o{number}", contracts=1)) for number in range(15)))
        await run.all(VenueAccepted, 15)
        assert run.kalshi.limited == 0


async def test_fills_of_orders_that_nobody_has_named_are_named_by_asking(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.tell(SendOrder(order("a")))
        await run.next(VenueAccepted)
        run.other("ask", 40, 10)
        await run.next(VenueFilled)
        await run.node.ref(f"/execution/accounts/{ACCOUNT}").ask(KillChild("gateway"))
        await run.state("connecting")
        await run.state("live")
        with pytest.raises(Refused, match="AdoptOrders"):
            await run.gateway.ask(Reconcile(0))
        run.tell(AdoptOrders(()))
        state = await run.gateway.ask(Reconcile(0))
        assert [(each.client_order_id, each.size) for each in state.fills] == [("a", 10 * NANO)]


async def test_the_venues_too_many_is_no_unknown_outcome(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        run.tell(SendOrder(order("a")))
        await run.next(VenueAccepted)
        run.fault("http", on="writes", status=429)
        run.tell(SendOrder(order("b")))
        assert (await run.next(VenueRejected)).code == "rate_limited"
        run.fault("http", on="writes", status=429)
        run.tell(SendCancel("a"))
        await run.next(VenueCancelled)
        assert run.told(VenueUnknown) == []


# -- other lives ---------------------------------------------------------------------------------------------


async def test_a_new_life_finds_out_what_became_of_the_orders_of_the_last(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        orders = [order("a"), order("b", cents=39), order("c", cents=38), order("never", cents=37)]
        run.tell(SendOrders(tuple(orders[:3])))
        accepted = {each.client_order_id: each.venue_order_id for each in await run.all(VenueAccepted, 3)}
        run.other("ask", 40, 4)
        first = await run.next(VenueFilled)
        await run.node.ref(f"/execution/accounts/{ACCOUNT}").ask(KillChild("gateway"))
        run.other("ask", 39, 9)
        known = {"known": True, "filled": 4 * NANO, "fill_ids": (first.fill_id,)}
        run.tell(
            AdoptOrders(
                (
                    Adopted(order=orders[0], venue_order_id=accepted["a"], **known),
                    Adopted(order=orders[1], venue_order_id=accepted["b"]),
                    Adopted(order=orders[2], known=False, sent=run.kalshi.clock.now() - 5 * NANO),
                    Adopted(order=orders[3], known=False, sent=run.kalshi.clock.now() - 5 * NANO),
                )
            )
        )
        rejected = await run.next(VenueRejected)
        assert (rejected.client_order_id, rejected.code) == ("never", "never_arrived")
        while (fills_of(run, "a"), fills_of(run, "b")) != (10 * NANO, 3 * NANO):
            await run.next(VenueFilled)
        assert len(run.told(VenueFilled)) == len({each.fill_id for each in run.told(VenueFilled)})
        run.tell(QueryOrder("c"), SendCancel("c"), SendCancel("b"))
        assert len(await run.all(VenueCancelled, 2)) == 2


async def test_reconciling_tells_orders_fills_positions_balance_and_settlements(tmp_path: Path) -> None:
    async with trading(tmp_path) as run:
        begun = run.kalshi.clock.now()
        run.tell(SendOrder(order("a")), SendOrder(order("b", cents=30)))
        run.other("ask", 90, 1)
        await run.all(VenueAccepted, 2)
        run.other("ask", 40, 4)
        fill = await run.next(VenueFilled)
        state = await run.gateway.ask(Reconcile(begun))
        assert {(each.client_order_id, each.filled, each.size, each.ours) for each in state.open_orders} == {
            ("a", 4 * NANO, 10 * NANO, True),
            ("b", 0, 10 * NANO, True),
        }
        assert [(each.fill_id, each.client_order_id, each.size) for each in state.fills] == [
            (fill.fill_id, "a", 4 * NANO)
        ]
        assert (state.positions[0].quantity, state.balances[0].total) == (4 * NANO, 10_000 * NANO - 160 * CENT)
        assert state.as_of >= begun
        run.standin.settle(run.kalshi.markets[MARKET], NANO)
        ended = await run.all(VenueCancelled, 2)
        assert {each.code for each in ended} == {"closed"}
        state = await run.gateway.ask(Reconcile(begun))
        assert (state.open_orders, state.positions) == ((), ())
        assert [(each.value, each.revenue) for each in state.settlements] == [(NANO, 4 * NANO)]
        assert state.balances[0].total == 10_000 * NANO + 240 * CENT


async def test_a_private_stream_that_answers_no_ping_is_opened_anew(tmp_path: Path) -> None:
    async with trading(tmp_path, silence_s=1.0) as run:
        run.tell(SendOrder(order("a")))
        await run.next(VenueAccepted)
        run.fault("silence")
        await run.state("connecting")
        run.other("ask", 40, 10)
        await run.next(VenueFilled)
        await run.state("live")
