from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.execution.engine import Engine
from actors.execution.inputs import Flatten, MoveDeployment, Numbered, SenderEnded, SetTrading, Tick, decode, encode
from actors.execution.matching.settings import Constant, FillSettings, LatencySettings
from actors.execution.risk.breaker import BreakerSettings
from actors.execution.risk.limits import RiskLimits
from protocols.market import Funding, MarketStatus
from protocols.nanos import NANO
from protocols.orders import (
    AmendOrder,
    CancelOrder,
    CancelOrders,
    SubmitOrders,
    VenueAccepted,
    VenueFilled,
    VenueUnknown,
)
from tests.actors.execution.kit import SECOND, Desk, instrument, nanos


def kinds(events: list) -> list[str]:
    return [f"{event.order.order.client_order_id}:{event.kind}" for event in events]


def balances(desk: Desk) -> dict[str, int]:
    total: dict[str, int] = {}
    for (_, currency), amount in desk.engine.account.books.ledger.balances().items():
        total[currency] = total.get(currency, 0) + amount
    return total


# -- orders --------------------------------------------------------------------------------------------------------


def test_a_market_order_is_submitted_accepted_and_filled_at_the_opposite_price() -> None:
    desk = Desk()
    desk.quote(100, 101)
    assert kinds(desk.submit(desk.order("o", "buy", 2))) == ["o:submitted", "o:accepted", "o:filled"]
    assert desk.fills() == [("o", 101.0, 2.0)]
    assert desk.engine.account.cash() == nanos(100_000 - 202 - 0.202)


def test_the_same_order_said_twice_is_one_order() -> None:
    desk = Desk()
    desk.quote(100, 101)
    order = desk.order("o", "buy", 2)
    desk.submit(order)
    assert desk.submit(order) == []
    assert desk.position() == 2


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"size": 0.0005}, "precision_size"),
        ({"size": 1, "kind": "limit", "price": 100.001}, "precision_price"),
        ({"size": 1, "market": "Y"}, "instrument_unknown"),
    ],
)
def test_what_does_not_fit_the_instrument_is_denied_and_never_rounded(fields: dict, code: str) -> None:
    desk = Desk()
    desk.quote(100, 101)
    size = fields.pop("size")
    desk.submit(desk.order("o", "buy", size, **fields))
    assert desk.state("o") == ("denied", code)
    assert desk.fills() == []


def test_an_order_of_an_older_life_of_its_sender_is_denied_and_its_cancel_is_not() -> None:
    desk = Desk()
    desk.quote(100, 101)
    desk.submit(desk.order("old", "buy", 1, "limit", price=90, sender="/strategies/s@1.1"))
    desk.submit(desk.order("new", "buy", 1, "limit", price=91, sender="/strategies/s@1.2"))
    desk.submit(desk.order("late", "buy", 1, "limit", price=92, sender="/strategies/s@1.1"))
    assert desk.state("late") == ("denied", "stale_incarnation")
    desk.say(CancelOrder("old"))
    assert desk.state("old")[0] == "cancelled"


def test_what_a_life_that_crashed_had_on_its_way_is_denied_before_its_next_life_has_spoken() -> None:
    desk = Desk()
    desk.quote(100, 101)
    desk.submit(desk.order("old", "buy", 1, "limit", price=90, sender="/strategies/s@1.1"))
    desk.say(SenderEnded("/strategies/s", 1, 1))
    desk.submit(desk.order("late", "buy", 1, "limit", price=92, sender="/strategies/s@1.1"))
    assert desk.state("late") == ("denied", "stale_incarnation")
    desk.say(CancelOrder("old"))
    assert desk.state("old")[0] == "cancelled"
    desk.submit(desk.order("new", "buy", 1, "limit", price=91, sender="/strategies/s@1.2"))
    assert desk.state("new")[0] == "accepted"
    # An end that is told late takes nothing back.
    desk.say(SenderEnded("/strategies/s", 1, 1))
    desk.submit(desk.order("more", "buy", 1, "limit", price=91, sender="/strategies/s@1.2"))
    assert desk.state("more")[0] == "accepted"


def test_an_account_that_accepts_no_marks_refuses_what_comes_from_made_up_data() -> None:
    desk = Desk(accepts_marks=())
    desk.quote(100, 101)
    desk.submit(desk.order("o", "buy", 1, marks=("synthetic",)))
    assert desk.state("o") == ("denied", "taint")


def test_a_reduce_only_order_is_cut_to_the_position_and_denied_without_one() -> None:
    desk = Desk()
    desk.quote(100, 101)
    desk.submit(desk.order("none", "sell", 1, reduce_only=True))
    assert desk.state("none") == ("denied", "reduce_only")
    desk.submit(desk.order("in", "buy", 1))
    asked = desk.order("out", "sell", 3, reduce_only=True)
    desk.submit(asked)
    assert desk.position() == 0
    again = Engine(desk.engine.settings)
    again.restore(desk.engine.snapshot())
    working = again.blotter.ended["out"]
    assert (working.order.size, working.asked) == (nanos(1), asked), "a repeat is known by what was asked for"


def test_two_deployments_of_one_account_do_not_trade_with_one_another() -> None:
    desk = Desk(account={"kind": "margin"})
    desk.quote(100, 110)
    desk.submit(desk.order("rest", "buy", 1, "limit", price=105, deployment_id="one"))
    desk.submit(desk.order("meets", "sell", 1, "limit", price=104, deployment_id="two"))
    assert desk.state("meets") == ("denied", "self_trade")
    assert desk.state("rest")[0] == "accepted"


def test_an_amendment_changes_price_and_size_and_one_below_what_is_filled_is_refused() -> None:
    desk = Desk()
    desk.quote(100, 101, size=1)
    desk.submit(desk.order("o", "buy", 3, "limit", price=101))
    assert desk.engine.blotter.get("o").filled == nanos(1)  # type: ignore[union-attr]
    assert kinds(desk.say(AmendOrder("o", size=nanos(1)))) == ["o:amend_rejected"]
    assert desk.engine.blotter.open["o"].reason == "size: expected above the 1 that are filled, got 1"
    assert kinds(desk.say(AmendOrder("o", size=nanos(2), price=nanos(99)))) == ["o:pending_amend", "o:amended"]
    working = desk.engine.blotter.open["o"]
    assert (working.order.size, working.order.price, working.leaves) == (nanos(2), nanos(99), nanos(1))


def test_commands_reach_the_venue_after_the_entry_latency_and_fills_us_after_the_response_latency() -> None:
    latency = LatencySettings(entry=Constant(ns=30_000_000), response=Constant(ns=20_000_000))
    desk = Desk(fills=FillSettings(latency=latency))
    desk.quote(100, 101)
    assert kinds(desk.submit(desk.order("o", "buy", 1))) == ["o:submitted"]
    assert desk.engine.due() == desk.ts + 30_000_000
    told = desk.quote(102, 103, later=10_000_000)
    assert told == []
    told = desk.say(Tick(), later=39_999_999)
    assert told == []
    told = desk.say(Tick(), later=1)
    assert kinds(told) == ["o:accepted", "o:filled"]
    fill = told[-1].fill
    assert fill is not None
    assert fill.price == nanos(103)
    assert (fill.why.entry_ns, fill.why.response_ns) == (30_000_000, 20_000_000)
    assert fill.ts - fill.ts_event == 20_000_000


@pytest.mark.parametrize("change", ["cancel", "cancel all", "amend"])
def test_what_was_due_before_an_order_is_changed_is_done_before(change: str) -> None:
    latency = LatencySettings(entry=Constant(ns=30_000_000), response=Constant(ns=20_000_000))
    desk = Desk(fills=FillSettings(latency=latency))
    desk.quote(100, 101)
    desk.submit(desk.order("o", "buy", 1, kind="limit", price=90))
    changes = {
        "cancel": CancelOrder("o"),
        "cancel all": CancelOrders(),
        "amend": AmendOrder("o", size=2 * NANO),
    }
    told = desk.say(changes[change], later=SECOND)
    assert kinds(told)[0] == "o:accepted"
    assert kinds(told)[1:] == (["o:pending_amend"] if change == "amend" else ["o:pending_cancel"])
    assert told[0].ts < told[1].ts == desk.ts


def test_the_venue_message_that_fills_two_orders_is_used_once() -> None:
    desk = Desk()
    desk.quote(100, 101, size=3)
    desk.submit(desk.order("first", "buy", 2), desk.order("second", "buy", 2, time_in_force="IOC"))
    assert desk.fills() == [("first", 101.0, 2.0), ("second", 101.0, 1.0)]
    assert desk.state("second")[0] == "cancelled"


# -- brackets ------------------------------------------------------------------------------------------------------


def bracket(desk: Desk) -> None:
    desk.submit(
        desk.order("entry", "buy", 1, "limit", price=100),
        desk.order("stop", "sell", 1, "stop", stop_price=95, reduce_only=True, parent="entry", oco="b"),
        desk.order("target", "sell", 1, "limit", price=110, reduce_only=True, parent="entry", oco="b"),
    )


@pytest.mark.parametrize(("then", "done", "gone"), [((94, 95), "stop", "target"), ((111, 112), "target", "stop")])
def test_one_leg_of_a_bracket_ends_the_other(then: tuple[float, float], done: str, gone: str) -> None:
    desk = Desk()
    desk.quote(102, 103)
    bracket(desk)
    assert desk.state("stop")[0] == "held"
    desk.quote(98, 99)
    assert desk.state("entry")[0] == "filled"
    desk.quote(*then)
    assert desk.state(done)[0] == "filled"
    assert desk.state(gone) == ("cancelled", "oco")
    assert desk.position() == 0


def test_children_of_a_cancelled_parent_are_cancelled() -> None:
    desk = Desk()
    desk.quote(102, 103)
    bracket(desk)
    desk.say(CancelOrder("entry"))
    assert desk.state("stop") == ("cancelled", "parent")
    assert not desk.engine.blotter.open


def test_a_denied_parent_denies_its_children() -> None:
    desk = Desk(limits=RiskLimits(max_order_size="0.5"))
    desk.quote(102, 103)
    bracket(desk)
    assert desk.state("entry") == ("denied", "order_size")
    assert desk.state("target") == ("denied", "parent")


# -- an external venue ---------------------------------------------------------------------------------------------


def outgoing(desk: Desk) -> list[tuple[str, str, str]]:
    return [(each.what, each.order.client_order_id, each.order.kind) for each in desk.engine.take_outgoing()]


def venue_fill(desk: Desk, name: str, price: float, size: float, number: int) -> VenueFilled:
    order = desk.engine.blotter.get(name)
    assert order is not None
    return VenueFilled(
        client_order_id=name,
        fill_id=f"f{number}",
        market="X",
        side=order.order.side,
        price=nanos(price),
        size=nanos(size),
        liquidity="taker",
        fee=0,
        fee_currency="USD",
        ts=desk.ts,
    )


def test_a_bracket_that_a_venue_lacks_is_held_here_and_sent_when_it_is_due() -> None:
    desk = Desk(venue="external")
    desk.quote(102, 103)
    bracket(desk)
    assert outgoing(desk) == [("submit", "entry", "limit")]
    desk.say(VenueAccepted("entry", "v1", desk.ts))
    desk.say(venue_fill(desk, "entry", 100, 1, 1))
    assert outgoing(desk) == [("submit", "target", "limit")]
    assert desk.state("stop")[0] == "held"
    desk.quote(94, 95)
    assert outgoing(desk) == [("submit", "stop", "market")]
    desk.say(venue_fill(desk, "stop", 94, 1, 2))
    assert outgoing(desk) == [("cancel", "target", "limit")]
    assert desk.position() == 0


def test_an_external_fill_that_comes_twice_is_booked_once() -> None:
    desk = Desk(venue="external")
    desk.quote(102, 103)
    desk.submit(desk.order("o", "buy", 2))
    fill = venue_fill(desk, "o", 103, 2, 7)
    desk.say(fill)
    assert desk.say(fill) == []
    assert desk.position() == 2


def test_an_unknown_outcome_stays_unknown_until_the_venue_says_more() -> None:
    desk = Desk(venue="external")
    desk.quote(102, 103)
    desk.submit(desk.order("o", "buy", 2, "limit", price=90))
    desk.say(VenueUnknown("o", "submit", "timed out", desk.ts))
    assert desk.state("o")[0] == "unknown"
    desk.say(VenueAccepted("o", "v1", desk.ts))
    assert desk.state("o")[0] == "accepted"


def test_a_fill_that_overtakes_our_cancel_counts() -> None:
    desk = Desk(venue="external")
    desk.quote(102, 103)
    desk.submit(desk.order("o", "buy", 2, "limit", price=90))
    desk.say(VenueAccepted("o", "v1", desk.ts))
    desk.say(CancelOrder("o"))
    desk.say(venue_fill(desk, "o", 90, 2, 1))
    assert desk.state("o")[0] == "filled"
    assert desk.position() == 2


# -- deployments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "position", "verdict"), [("close", 0, ""), ("flip", -1, ""), ("ignore", 1, "opposite_position")]
)
def test_a_signal_against_the_position_does_what_the_deployment_says(rule: str, position: float, verdict: str) -> None:
    desk = Desk(account={"kind": "margin", "leverage": "5"})
    desk.quote(100, 101)
    desk.deploy(opposite=rule)
    desk.signal(1, "BUY", quantity=1)
    desk.engine.take_verdicts()
    desk.signal(2, "SELL", quantity=1)
    assert desk.position() == position
    assert [each.code for each in desk.engine.take_verdicts()] == [verdict]


def test_a_signal_carries_its_identity_to_the_fill_and_its_stops_become_a_bracket() -> None:
    desk = Desk()
    desk.quote(100, 101)
    desk.deploy()
    desk.signal(1, "BUY", quantity=1, stop_loss=95, take_profit=120, decision_id="dec")
    fill = next(event.fill for event in desk.events if event.fill is not None)
    assert (fill.deployment_id, fill.signal_id, fill.decision_id) == ("d", "sig1", "dec")
    open_kinds = sorted(working.order.kind for working in desk.engine.blotter)
    assert open_kinds == ["limit", "stop"]
    desk.signal(2, "CLOSE_LONG")
    assert desk.position() == 0
    desk.say(Tick(), later=SECOND)
    update = desk.engine.take_updates()[0]
    assert (update.signal_id, update.status, update.execution_price) == ("sig1", "executed", nanos(101))


def test_a_signal_that_is_read_again_is_not_taken_again() -> None:
    desk = Desk()
    desk.quote(100, 101)
    desk.deploy()
    desk.signal(4, "BUY", quantity=1)
    desk.signal(4, "BUY", quantity=1)
    desk.signal(3, "BUY", quantity=1)
    assert desk.position() == 1


def test_an_expired_signal_and_one_of_a_paused_deployment_become_no_order() -> None:
    desk = Desk()
    desk.quote(100, 101)
    desk.deploy()
    desk.signal(1, "BUY", quantity=1, ts_expires=desk.ts)
    desk.say(MoveDeployment("d", "paused", "lunch"))
    desk.signal(2, "BUY", quantity=1)
    assert [each.code for each in desk.engine.take_verdicts()] == ["expired", "deployment_paused"]
    assert desk.events == []


def test_a_signal_without_a_quantity_is_sized_with_the_share_of_the_deployment() -> None:
    desk = Desk()
    desk.quote(99, 100)
    desk.deploy(capital_share=0.5)
    desk.say(Tick(), later=60 * SECOND)
    desk.quote(99, 100, size=1000)
    desk.signal(1, "BUY")
    assert desk.position() == 500


def test_an_order_sized_at_the_open_of_the_next_bar_uses_its_price() -> None:
    desk = Desk(account={"kind": "margin", "leverage": "2"}, fills=FillSettings(limit_on="touch"))
    desk.deploy(sized_at="open")
    desk.bar(100, 110, 90, 105)
    desk.signal(1, "BUY")
    assert desk.fills() == []
    desk.bar(80, 85, 75, 82)
    assert [fill[1:] for fill in desk.fills()] == [(80.0, 1250.0)]


# -- the kill switch, status, money --------------------------------------------------------------------------------


def test_flatten_cancels_by_id_closes_every_position_and_lets_nothing_new_in() -> None:
    desk = Desk()
    desk.quote(100, 101)
    desk.submit(desk.order("in", "buy", 2), desk.order("rest", "buy", 1, "limit", price=90))
    desk.say(Flatten("somebody pulled it"))
    assert desk.state("rest")[0] == "cancelled"
    assert desk.position() == 0
    assert desk.engine.flattening.phase == "done"
    desk.submit(desk.order("more", "buy", 1))
    assert desk.state("more")[0] == "denied"
    desk.say(SetTrading("active", "all clear"))
    desk.submit(desk.order("again", "buy", 1))
    assert desk.state("again")[0] == "filled"


def test_flatten_closes_the_parts_of_deployments_that_add_up_to_nothing() -> None:
    desk = Desk(account={"kind": "margin", "leverage": "5"})
    desk.quote(100, 101)
    desk.deploy(deployment_id="one", capital_share=0.5)
    desk.deploy(deployment_id="two", strategy_id="other", capital_share=0.5)
    desk.submit(desk.order("a", "buy", 2, deployment_id="one"), desk.order("b", "sell", 2, deployment_id="two"))
    assert desk.position() == 0
    desk.say(Flatten("somebody pulled it"))
    for name in ("one", "two"):
        assert desk.engine.account.deployment_position(name, "X") == 0
    assert desk.position() == 0
    assert desk.engine.flattening.phase == "done"


def test_reducing_lets_out_and_not_in() -> None:
    desk = Desk()
    desk.quote(100, 101)
    desk.submit(desk.order("in", "buy", 2))
    desk.say(SetTrading("reducing", "careful"))
    desk.submit(desk.order("more", "buy", 1), desk.order("out", "sell", 1, reduce_only=True))
    assert desk.state("more")[0] == "denied"
    assert desk.state("out")[0] == "filled"


def test_a_settled_prediction_market_pays_once_and_an_amended_value_replaces_it() -> None:
    desk = Desk()
    desk.say(instrument("P", kind="prediction", lot=NANO, maker_fee="0", taker_fee="0"))
    desk.quote(0.40, 0.42, size=100, market="P")
    desk.submit(desk.order("yes", "buy", 10, market="P"))
    assert desk.engine.account.cash() == nanos(100_000 - 4.2)
    desk.say(MarketStatus("P", "settled", "s", 5, desk.ts, settlement=NANO), SECOND)
    assert desk.engine.account.cash() == nanos(100_000 - 4.2 + 10)
    desk.say(MarketStatus("P", "settled", "s", 5, desk.ts, settlement=NANO), SECOND)
    assert desk.engine.account.cash() == nanos(100_000 - 4.2 + 10)
    desk.say(MarketStatus("P", "settled", "s", 6, desk.ts, settlement=0), SECOND)
    assert desk.engine.account.cash() == nanos(100_000 - 4.2)
    assert set(balances(desk).values()) == {0}


def test_funding_is_paid_when_it_is_due() -> None:
    desk = Desk(account={"kind": "margin", "leverage": "5"})
    desk.say(instrument("F", kind="perpetual", taker_fee="0"))
    desk.quote(100, 100, market="F")
    desk.submit(desk.order("long", "buy", 2, market="F"))
    desk.say(Funding("F", "0.001", desk.ts + 10 * SECOND, nanos(100), None, desk.ts, desk.ts))
    assert desk.engine.account.funding_paid() == 0
    desk.say(Tick(), later=10 * SECOND)
    assert desk.engine.account.funding_paid() == nanos(0.2)


# -- what holds over random flows ----------------------------------------------------------------------------------

PRICE = st.integers(95, 105)
STEP = st.one_of(
    st.tuples(st.just("quote"), PRICE, st.integers(0, 3), st.integers(1, 5)),
    st.tuples(st.just("trade"), PRICE, st.integers(1, 4), st.sampled_from(["buy", "sell", None])),
    st.tuples(st.just("market"), st.sampled_from(["buy", "sell"]), st.integers(1, 4), st.booleans()),
    st.tuples(st.just("limit"), st.sampled_from(["buy", "sell"]), st.integers(1, 4), PRICE),
    st.tuples(st.just("stop"), st.sampled_from(["buy", "sell"]), st.integers(1, 4), PRICE),
    st.tuples(st.just("cancel"), st.integers(0, 20), st.just(0), st.just(0)),
    st.tuples(st.just("amend"), st.integers(0, 20), st.integers(1, 5), PRICE),
    st.tuples(st.just("cancel_all"), st.just(0), st.just(0), st.just(0)),
)
DELAYS = st.sampled_from([0, 1_500_000_000])


def play(desk: Desk, steps: list, delay: int = 0) -> None:
    for number, (what, a, b, c) in enumerate(steps):
        if what == "quote":
            desk.quote(a, a + b, size=c)
        elif what == "trade":
            desk.trade(a, b, c)
        elif what == "market":
            desk.submit(desk.order(f"o{number}", a, b, time_in_force="IOC" if c else "GTC"))
        elif what == "limit":
            desk.submit(desk.order(f"o{number}", a, b, "limit", price=c))
        elif what == "stop":
            desk.submit(desk.order(f"o{number}", a, b, "stop", stop_price=c))
        elif what == "cancel":
            desk.say(CancelOrder(f"o{a}"))
        elif what == "amend":
            desk.say(AmendOrder(f"o{a}", size=nanos(b), price=nanos(c)))
        else:
            desk.say(CancelOrders())
    desk.say(Tick(), later=10 * SECOND)


def random_desk(delay: int) -> Desk:
    latency = LatencySettings(entry=Constant(ns=delay), response=Constant(ns=delay // 3))
    return Desk(account={"kind": "margin", "leverage": "10"}, fills=FillSettings(latency=latency), seed=3)


@given(st.lists(STEP, max_size=40), DELAYS)
@settings(max_examples=80, deadline=None)
def test_over_any_flow_the_ledger_balances_and_positions_are_the_sum_of_fills(steps: list, delay: int) -> None:
    desk = random_desk(delay)
    play(desk, steps)
    assert set(balances(desk).values()) <= {0}
    held = filled = 0
    ended: set[str] = set()
    for event in desk.events:
        name = event.order.order.client_order_id
        if event.fill is not None:
            held += event.fill.size if event.fill.side == "buy" else -event.fill.size
            filled += 1
            order = event.order.order
            if order.kind == "limit" and order.price is not None and "amend" not in {s[0] for s in steps}:
                assert event.fill.price <= order.price if order.side == "buy" else event.fill.price >= order.price
        assert event.order.filled <= event.order.order.size
        assert name not in ended, "an order that has ended changes no more"
        if event.order.state in ("filled", "cancelled", "expired", "denied", "rejected"):
            ended.add(name)
    assert held == desk.engine.account.net_position("X")
    assert filled == desk.engine.blotter.fills


@given(st.lists(STEP, max_size=40), DELAYS, st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_a_journal_played_again_from_any_snapshot_gives_the_same_events_and_the_same_state(
    steps: list, delay: int, cut: int
) -> None:
    desk = random_desk(delay)
    play(desk, steps)
    journal = encode([Numbered(number, ts, item) for number, (item, ts) in enumerate(desk.inputs, 1)])
    again = Engine(desk.engine.settings)
    events = []
    for each in decode(journal):
        if each.number == cut:
            data = again.snapshot()
            again = Engine(desk.engine.settings)
            again.restore(data)
        again.handle(each.item, each.ts)
        events += again.take_events()
    assert msgspec.json.encode(events) == msgspec.json.encode(desk.events)
    for engine in (again, desk.engine):
        engine.take_entries()
        engine.take_samples()
        engine.take_trades()
    assert again.snapshot() == desk.engine.snapshot()


def test_orders_submitted_together_can_be_journaled() -> None:
    desk = Desk()
    item = SubmitOrders((desk.order("o", "buy", 1),))
    assert decode(encode([Numbered(1, 2, item)])) == (Numbered(1, 2, item),)


@pytest.mark.parametrize("mode", ["netting", "hedging"])
def test_a_signal_does_not_ask_again_for_what_an_order_is_about_to_do(mode: str) -> None:
    """An order is on its way for a second: nobody enters, leaves or turns twice meanwhile."""
    latency = LatencySettings(entry=Constant(ns=SECOND // 2), response=Constant(ns=SECOND // 2))
    account = {"kind": "margin", "leverage": "10", "position_mode": mode}
    desk = Desk(account=account, fills=FillSettings(latency=latency))
    desk.deploy(opposite="flip", entries=1)
    desk.quote(100, 100.5)

    def said(number: int, action: str) -> str:
        desk.signal(number, action, quantity=1.0)
        [verdict] = desk.engine.take_verdicts()
        return verdict.code

    assert said(1, "BUY") == ""
    assert said(2, "BUY") == "entries"
    assert said(3, "CLOSE_LONG") == "", "what comes will have to go"
    assert said(4, "CLOSE_LONG") == "no_position"
    desk.quote(100, 100.5, later=2 * SECOND)
    assert said(5, "BUY") == ""
    desk.quote(100, 100.5, later=2 * SECOND)
    assert desk.position() == 1.0
    if mode == "hedging":
        assert said(6, "SELL") == ""
        assert said(7, "SELL") == "entries"
        desk.quote(100, 100.5, later=2 * SECOND)
        legs = {each.side: each.quantity // NANO for each in desk.engine.account.positions()}
        assert legs == {"long": 1, "short": -1}
        return
    assert said(6, "SELL") == ""
    assert said(7, "SELL") == "entries"
    desk.quote(100, 100.5, later=2 * SECOND)
    assert desk.position() == -1.0
    assert sum(price * size for _, price, size in desk.fills()) > 0
    assert len(desk.fills()) == 3 + 2


def test_an_exit_that_another_one_was_faster_than_does_not_open_the_breaker() -> None:
    desk = Desk(breaker=BreakerSettings(max_rejections=1, max_denials=1))
    desk.quote(100, 100.5)
    desk.submit(desk.order("a", "sell", 1, reduce_only=True))
    assert desk.state("a") == ("denied", "reduce_only")
    assert desk.engine.gate.breaker_state(desk.ts) == "closed"
