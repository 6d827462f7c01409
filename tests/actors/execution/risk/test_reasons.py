"""Every coded reason: an order that is denied for it, and one beside it that passes narrowly."""

from __future__ import annotations

from typing import Any

import pytest

from actors.execution.risk.gate import RiskGate
from actors.execution.risk.limits import LIVE_REFUSES, Denial, RiskLimits
from actors.execution.risk.protections import CooldownPeriod, Lock
from protocols.instruments import PriceRange
from protocols.nanos import NANO
from protocols.orders import NewOrder
from tests.actors.execution.risk.desk import NOW, Desk, holding, instrument, n, order, resting


def judged(limits: RiskLimits, desk: Desk, one: NewOrder, ts: int = NOW, **settings: Any) -> Denial | None:
    return RiskGate(limits, **settings).check(one, desk, ts)


def code(found: Denial | None) -> str:
    return "" if found is None else found.code


ANY = RiskLimits()


# The order itself.


@pytest.mark.parametrize(
    ("denied", "field"),
    [
        (order(kind="limit"), "price"),
        (order(price=100, kind="market"), "price"),
        (order(kind="stop"), "stop_price"),
        (order(kind="stop_limit", price=100), "stop_price"),
        (order(time_in_force="GTD"), "expires"),
        (order(expires=NOW + 1), "expires"),
        (order(kind="trailing_stop"), "trail"),
        (order(trail=1), "trail"),
        (order(kind="trailing_stop", trail=1, trail_share=1), "trail"),
        (order(kind="trailing_stop", trail=0), "trail"),
        (order(post_only=True), "post_only"),
        (order(price=100, post_only=True, time_in_force="IOC"), "post_only"),
        (order(price=100, protection=1), "protection"),
        (order(protection=-1), "protection"),
        (order(display=n(1)), "display"),
        (order(price=100, display=n(2)), "display"),
    ],
)
def test_an_order_whose_fields_do_not_fit_together_is_invalid(denied: NewOrder, field: str) -> None:
    found = judged(ANY, Desk(), denied)
    assert found is not None
    assert (found.code, found.field) == ("invalid_order", field)


@pytest.mark.parametrize(
    "passed",
    [
        order(),
        order(price=100),
        order(kind="stop", stop_price=n(100)),
        order(kind="stop_limit", stop_price=n(100), price=101),
        order(time_in_force="GTD", expires=NOW + 1),
        order(kind="trailing_stop", trail=1),
        order(kind="trailing_stop", trail_share=1),
        order(price=100, post_only=True),
        order(protection=0),
        order(price=100, display=n(1)),
    ],
)
def test_an_order_of_each_kind_passes(passed: NewOrder) -> None:
    assert judged(ANY, Desk(), passed) is None


STEPPED = instrument(price_ranges=(PriceRange(n("0.01"), n("0.1"), n("0.01")), PriceRange(n("0.1"), n(1), n("0.1"))))
LIMITED = instrument(minimum_size=n("0.01"), maximum_size=n(5), minimum_notional=n(10))

FORM: list[tuple[str, Desk, NewOrder, NewOrder]] = [
    ("instrument_unknown", Desk(), order(market="DOGE"), order()),
    ("precision_price", Desk(), order(price="100.001"), order(price="100.01")),
    ("precision_price", Desk(), order(kind="stop", stop_price=n("100.001")), order(kind="stop", stop_price=n(100))),
    ("precision_price", Desk(instruments={"BTC": STEPPED}), order(price="0.15"), order(price="0.09")),
    ("precision_price", Desk(instruments={"BTC": STEPPED}), order(price="0.45"), order(price="0.4")),
    ("price_range", Desk(), order(price="0.001"), order(price="0.01")),
    ("price_range", Desk(), order(price=1_000_001), order(price=1_000_000)),
    ("precision_size", Desk(), order(size="0.0001"), order(size="0.001")),
    ("precision_size", Desk(), order(size=0), order(size="0.001")),
    ("precision_size", Desk(), order(price=100, display=n("0.0001")), order(price=100, display=n("0.001"))),
    ("order_size", Desk(instruments={"BTC": LIMITED}), order(size="0.009", price=10000), order(size="0.1")),
    ("order_size", Desk(instruments={"BTC": LIMITED}), order(size="5.001"), order(size=5)),
    (
        "order_notional",
        Desk(instruments={"BTC": LIMITED}),
        order(size="0.099", price=100),
        order(size="0.1", price=100),
    ),
    ("expired", Desk(), order(time_in_force="GTD", expires=NOW), order(time_in_force="GTD", expires=NOW + 1)),
    ("reduce_only", holding(1), order("buy", reduce_only=True), order("sell", reduce_only=True)),
    ("reduce_only", Desk(), order("sell", reduce_only=True), order("sell", reduce_only=True, parent="entry")),
    ("unknown_reference_price", Desk(asks={}, bids={}), order(), order(price=100)),
    ("unknown_reference_price", Desk(asks={}), order(), order("sell")),
]


@pytest.mark.parametrize(("expected", "desk", "denied", "passed"), FORM)
def test_an_order_is_denied_for_what_it_is(expected: str, desk: Desk, denied: NewOrder, passed: NewOrder) -> None:
    assert code(judged(ANY, desk, denied)) == expected
    assert code(judged(ANY, desk, passed)) == ""


def test_nothing_can_be_ordered_of_an_instrument_that_is_data_only() -> None:
    assert code(judged(ANY, Desk(instruments={"BTC": instrument(data_only=True)}), order())) == "data_only"


@pytest.mark.parametrize("status", ["halted", "closed", "settled"])
def test_a_closed_market_takes_no_order(status: str) -> None:
    assert code(judged(ANY, Desk(instruments={"BTC": instrument(status=status)}), order())) == "market_closed"
    assert code(judged(ANY, Desk(instruments={"BTC": instrument(status="open")}), order())) == ""


def test_what_was_said_last_of_a_market_counts_for_more_than_its_definition() -> None:
    closed = {"BTC": instrument(status="closed")}
    assert code(judged(ANY, Desk(instruments=closed, open={"BTC": True}), order())) == ""
    assert code(judged(ANY, Desk(open={"BTC": False}), order())) == "market_closed"


def test_a_market_is_open_from_its_opening_until_just_before_its_end() -> None:
    def at(ts: int) -> str:
        return code(judged(ANY, Desk(instruments={"BTC": instrument(opens=NOW, closes=NOW + 10)}), order(), ts))

    assert [at(NOW - 1), at(NOW), at(NOW + 9), at(NOW + 10)] == ["market_closed", "", "", "market_closed"]


def test_a_live_account_takes_no_order_that_rests_on_tainted_data() -> None:
    live = RiskLimits(refused_marks=LIVE_REFUSES)
    found = judged(live, Desk(), order(marks=("stale",)))
    assert found is not None
    assert (found.code, found.value) == ("taint", "stale")
    assert code(judged(live, Desk(), order())) == ""
    assert code(judged(ANY, Desk(), order(marks=("stale",)))) == ""


# Limits.

LIMITS: list[tuple[str, RiskLimits, Desk, NewOrder, NewOrder]] = [
    ("order_size", RiskLimits(max_order_size="2"), Desk(), order(size="2.001"), order(size=2)),
    (
        "order_notional",
        RiskLimits(max_order_notional="500"),
        Desk(),
        order(size="5.001", price=100),
        order(size=5, price=100),
    ),
    # A short in a prediction market costs its collateral.
    (
        "order_notional",
        RiskLimits(max_order_notional="7"),
        Desk(),
        order("sell", 11, market="RAIN"),
        order("sell", 10, market="RAIN"),
    ),
    (
        "order_notional",
        RiskLimits(max_order_notional="3"),
        Desk(),
        order("buy", 11, market="RAIN"),
        order("buy", 10, market="RAIN"),
    ),
    ("price_collar", RiskLimits(price_collar="0.05"), Desk(), order(price="105.02"), order(price="105.01")),
    ("price_collar", RiskLimits(price_collar="0.05"), Desk(), order("sell", price="94.99"), order("sell", price="95")),
    (
        "price_collar",
        RiskLimits(price_collar="0.01"),
        Desk(),
        order(kind="stop_limit", stop_price=n(110), price="111.11"),
        order(kind="stop_limit", stop_price=n(110), price="111.1"),
    ),
    (
        "unknown_reference_price",
        RiskLimits(price_collar="0.05"),
        Desk(asks={}),
        order(price=100),
        order("sell", price=100),
    ),
    ("open_orders", RiskLimits(max_open_orders=1), Desk(orders=[resting()]), order(), order(client_order_id="old")),
    ("position", RiskLimits(max_position="3"), holding(2), order(size="1.001"), order(size=1)),
    ("position", RiskLimits(max_position="3"), holding(-2), order("sell", size="1.001"), order("sell", size=1)),
    ("position", RiskLimits(max_position="3"), Desk(orders=[resting(leaves=2)]), order(size="1.001"), order(size=1)),
    ("position", RiskLimits(max_position="3"), holding(2), order("sell", size="5.001"), order("sell", size=5)),
    (
        "position",
        RiskLimits(max_position_share="0.1"),
        Desk(),
        order(size="1.001", price=99),
        order(size="0.999", price=99),
    ),
    (
        "unknown_equity",
        RiskLimits(max_position_share="0.1"),
        Desk(money=None),
        order(),
        order("sell", market="ETH", reduce_only=True, parent="p"),
    ),
    ("position_count", RiskLimits(max_positions=1), holding(1, "ETH"), order(), order(market="ETH")),
    ("position_count", RiskLimits(max_positions=1), Desk(orders=[resting(market="ETH")]), order(), order(market="ETH")),
    ("exposure", RiskLimits(max_exposure="300"), holding(2), order(price=100), order(size="0.999", price=100)),
    ("exposure", RiskLimits(max_exposure_share="0.3"), holding(2), order(price=100), order(size="0.999", price=100)),
    (
        "unknown_reference_price",
        RiskLimits(max_exposure="300"),
        holding(1, "DOGE"),
        order(),
        order("sell", reduce_only=True, parent="p"),
    ),
    ("leverage", RiskLimits(max_leverage="2"), Desk(), order(size=20, price=100), order(size="19.998", price=100)),
    (
        "daily_loss",
        RiskLimits(max_daily_loss="0.02"),
        Desk(money=n(980)),
        order(),
        order("sell", reduce_only=True, parent="p"),
    ),
    (
        "drawdown",
        RiskLimits(max_drawdown="0.15"),
        Desk(money=n(850)),
        order(),
        order("sell", reduce_only=True, parent="p"),
    ),
    (
        "unknown_equity",
        RiskLimits(max_drawdown="0.15"),
        Desk(peak=None),
        order(),
        order("sell", reduce_only=True, parent="p"),
    ),
    ("margin", ANY, Desk(available=n(100)), order(price="100.01"), order(price=100)),
    ("unknown_margin", ANY, Desk(available=None), order(), order("sell", reduce_only=True, parent="p")),
    ("cash", RiskLimits(cash_reserve="100"), Desk(available=n(200)), order(price="100.01"), order(price=100)),
    ("cash", RiskLimits(cash_reserve_share="0.1"), Desk(available=n(200)), order(price="100.01"), order(price=100)),
    ("margin", RiskLimits(max_margin_use="0.75"), Desk(used=n(650)), order(price="100.01"), order(price=100)),
    ("short_not_allowed", RiskLimits(allow_short=False), holding(1), order("sell", size="1.001"), order("sell")),
    (
        "short_not_allowed",
        RiskLimits(allow_short=False),
        holding(1, orders=[resting("sell", "0.5")]),
        order("sell", size="0.501"),
        order("sell", size="0.5"),
    ),
]


@pytest.mark.parametrize(("expected", "limits", "desk", "denied", "passed"), LIMITS)
def test_a_limit_denies_what_is_over_it_and_nothing_else(
    expected: str, limits: RiskLimits, desk: Desk, denied: NewOrder, passed: NewOrder
) -> None:
    assert code(judged(limits, desk, denied)) == expected
    assert code(judged(limits, desk, passed)) == ""


@pytest.mark.parametrize(
    ("expected", "limits", "changes"),
    [
        ("unknown_reference_price", RiskLimits(max_position_share="0.2"), {"rates": {}}),
        ("unknown_reference_price", RiskLimits(max_concentration="0.2"), {"rates": {}}),
        ("unknown_reference_price", RiskLimits(max_leverage="9"), {"rates": {}}),
        ("unknown_reference_price", RiskLimits(max_exposure_share="9"), {"rates": {}}),
        ("unknown_equity", RiskLimits(cash_reserve_share="0.1"), {"money": None}),
        ("unknown_equity", RiskLimits(max_leverage="9"), {"money": None}),
        ("unknown_equity", RiskLimits(max_daily_loss="0.5"), {"day_start": None}),
        ("unknown_margin", RiskLimits(max_margin_use="1"), {"used": None}),
    ],
)
def test_a_limit_that_asks_for_what_nobody_knows_is_not_passed(
    expected: str, limits: RiskLimits, changes: dict[str, Any]
) -> None:
    assert code(judged(limits, Desk(**changes), order())) == expected
    assert code(judged(limits, Desk(), order())) == ""
    exit_desk = holding(1, **changes)
    assert code(judged(limits, exit_desk, order("sell", reduce_only=True))) == ""


def test_an_exit_passes_where_nobody_knows_what_it_is_worth() -> None:
    limits = RiskLimits(max_order_notional="500")
    assert code(judged(limits, holding(1, asks={}, bids={}), order("sell", reduce_only=True))) == ""
    tiny = instrument(minimum_notional=n(1000))
    assert code(judged(ANY, holding(1, instruments={"BTC": tiny}), order("sell", reduce_only=True))) == ""
    assert code(judged(ANY, Desk(asks={}, bids={}, instruments={"BTC": tiny}), order())) == "unknown_reference_price"


def test_a_collar_holds_only_prices() -> None:
    assert judged(RiskLimits(price_collar="0"), Desk(), order()) is None
    assert judged(RiskLimits(price_collar="0"), Desk(), order(price="100.01")) is None
    assert code(judged(RiskLimits(price_collar="0"), Desk(), order(price="100.02"))) == "price_collar"


def test_where_everything_is_lost_no_risk_is_taken() -> None:
    for limits in (RiskLimits(max_leverage="9"), RiskLimits(max_drawdown="1"), RiskLimits(cash_reserve_share="1")):
        assert code(judged(limits, Desk(money=0, available=0), order())) in ("leverage", "drawdown", "margin")
    assert code(judged(RiskLimits(max_daily_loss="1"), Desk(day_start=0), order())) == "daily_loss"


@pytest.mark.parametrize(
    ("limits", "before", "after"),
    [
        (RiskLimits(max_daily_loss="0.02"), n("980.000000001"), n(980)),
        (RiskLimits(max_drawdown="0.15"), n("850.000000001"), n(850)),
    ],
)
def test_a_loss_that_reaches_its_limit_ends_trading(limits: RiskLimits, before: int, after: int) -> None:
    assert judged(limits, Desk(money=before), order()) is None
    found = judged(limits, Desk(money=after), order())
    assert found is not None
    assert found.value == found.limit


def test_concentration_counts_all_markets_of_one_underlying() -> None:
    limits = RiskLimits(max_concentration="0.25")
    desk = holding(1, "BTC-PERP")
    desk.instruments["BTC-PERP"] = instrument("BTC-PERP", base="BTC")
    desk.bids["BTC-PERP"] = desk.asks["BTC-PERP"] = n(100)
    assert code(judged(limits, desk, order(size="1.5", price=100))) == "concentration"
    assert code(judged(limits, desk, order(size="1.499", price=100))) == ""
    assert code(judged(limits, desk, order(size=24, price=10, market="ETH"))) == ""


def test_a_market_without_an_underlying_stands_alone() -> None:
    limits = RiskLimits(max_concentration="0.25")
    desk = holding(800, "RAIN")
    desk.instruments = {"RAIN": yes_alone("RAIN"), "SNOW": yes_alone("SNOW")}
    desk.asks["SNOW"] = desk.bids["SNOW"] = n("0.3")
    assert code(judged(limits, desk, order(size=100, market="SNOW"))) == ""
    assert code(judged(limits, desk, order(size=100, market="RAIN"))) == "concentration"


def yes_alone(market: str) -> Any:
    return instrument(market, kind="prediction", base="", lot=NANO)


def test_the_order_rate_counts_orders_of_the_last_second_and_minute() -> None:
    gate = RiskGate(RiskLimits(max_orders_per_second=2, max_orders_per_minute=3))
    desk = Desk()

    def at(ts: int) -> str:
        return code(gate.check(order(), desk, NOW + ts))

    assert [at(0), at(1), at(NANO - 1), at(NANO)] == ["", "", "order_rate", ""]
    found = gate.check(order(), desk, NOW + 60 * NANO - 1)
    assert found is not None
    assert (found.field, found.value) == ("max_orders_per_minute", "4")
    assert at(60 * NANO) == ""


@pytest.mark.parametrize(("field", "span"), [("max_orders_per_second", NANO), ("max_orders_per_minute", 60 * NANO)])
def test_each_rate_holds_alone(field: str, span: int) -> None:
    given: dict[str, Any] = {field: 1}
    gate = RiskGate(RiskLimits(**given))
    answers = [code(gate.check(order(), Desk(), NOW + moment)) for moment in (0, span - 1, span)]
    assert answers == ["", "order_rate", ""]


def test_an_order_is_valued_at_its_limit_where_that_is_worse_than_the_market() -> None:
    limits = RiskLimits(max_exposure="105")
    assert code(judged(limits, Desk(), order(price="105.01"))) == "exposure"
    assert code(judged(limits, Desk(), order(price=105))) == ""
    # One to sell is filled at the market where that is better, and in a prediction market its collateral falls with it.
    assert code(judged(RiskLimits(max_exposure="100"), Desk(), order("sell", price=50))) == "exposure"
    assert code(judged(RiskLimits(max_exposure="9"), Desk(), order("sell", 10, "0.1", market="RAIN"))) == ""
    assert code(judged(RiskLimits(max_exposure="8.9"), Desk(), order("sell", 10, "0.1", market="RAIN"))) == "exposure"


def test_a_denied_order_does_not_count_as_sent() -> None:
    gate = RiskGate(RiskLimits(max_orders_per_second=1, max_order_size="1"))
    assert code(gate.check(order(size=2), Desk(), NOW)) == "order_size"
    assert gate.check(order(), Desk(), NOW) is None
    assert gate.denied == {"order_size": 1}


def test_a_cash_account_sells_only_what_it_has() -> None:
    desk = holding(1)
    desk.instruments["BTC"] = instrument(kind="spot")
    assert code(judged(ANY, desk, order("sell", "1.001"), account_kind="cash")) == "short_not_allowed"
    assert code(judged(ANY, desk, order("sell", 1), account_kind="cash")) == ""
    assert code(judged(ANY, desk, order("sell", "1.001"), account_kind="margin")) == ""


def test_a_cash_account_may_be_short_in_a_prediction_market_which_is_the_other_leg() -> None:
    assert code(judged(ANY, Desk(), order("sell", 5, market="RAIN"), account_kind="cash")) == ""


def test_what_a_cash_account_lacks_is_cash() -> None:
    assert code(judged(ANY, Desk(available=n(99)), order(price=100), account_kind="cash")) == "cash"
    assert code(judged(ANY, Desk(available=n(100)), order(price=100), account_kind="cash")) == ""


# States of the account.


def test_the_kill_switch_lets_only_flatten_and_liquidation_pass() -> None:
    gate, desk = RiskGate(ANY), holding(1)
    gate.set_trading("halted", "by hand")
    found = gate.check(order(), desk, NOW)
    assert found is not None
    assert (found.code, found.reason) == ("kill_switch", "by hand")
    assert code(gate.check(order("sell", reduce_only=True), desk, NOW)) == "kill_switch"
    assert gate.check(order("sell", reduce_only=True, source="flatten"), desk, NOW) is None
    assert code(gate.check(order("buy", source="flatten"), desk, NOW)) == "kill_switch"
    gate.set_trading("active")
    assert gate.check(order(), desk, NOW) is None


def test_while_reducing_only_what_reduces_passes() -> None:
    gate, desk = RiskGate(ANY), holding(1)
    gate.set_trading("reducing")
    assert code(gate.check(order(), desk, NOW)) == "reducing_only"
    assert code(gate.check(order("sell", "1.001"), desk, NOW)) == "reducing_only"
    assert gate.check(order("sell", 1), desk, NOW) is None


def test_a_halt_of_one_deployment_leaves_the_others_alone() -> None:
    gate = RiskGate(ANY)
    gate.set_trading("halted", "mad", "a")
    found = gate.check(order(deployment_id="a"), Desk(), NOW)
    assert found is not None
    assert (found.code, found.scope) == ("kill_switch", "a")
    assert gate.check(order(deployment_id="b"), Desk(), NOW) is None
    assert (gate.trading("a"), gate.trading("b")) == (("halted", "mad"), ("active", ""))


def test_while_the_breaker_is_open_what_reduces_passes() -> None:
    gate, desk = RiskGate(ANY), holding(1)
    gate.trip("too hot", NOW)
    assert gate.breaker_state(NOW) == "open"
    assert code(gate.check(order(), desk, NOW)) == "breaker_open"
    assert gate.check(order("sell", reduce_only=True), desk, NOW) is None
    assert gate.check(order("sell", 1), desk, NOW) is None
    gate.reset(NOW)
    assert gate.check(order(), desk, NOW) is None
    assert gate.breaker_state(NOW) == "closed"


def test_a_lock_holds_back_its_market_and_side_until_its_end() -> None:
    gate, desk = RiskGate(ANY), holding(1)
    gate.lock(Lock("BTC", "long", "by hand", NOW + 10))
    assert code(gate.check(order("buy"), desk, NOW + 9)) == "locked"
    assert gate.check(order("buy"), desk, NOW + 10) is None
    assert gate.check(order("buy", market="ETH"), desk, NOW) is None
    assert gate.check(order("sell", "1.001"), desk, NOW) is None
    assert gate.unlock("ETH") == 0
    assert gate.unlock("BTC") == 1
    assert gate.check(order("buy"), desk, NOW) is None


def test_what_takes_risk_away_by_order_of_the_engine_passes_limits_of_size_and_rate() -> None:
    limits = RiskLimits(max_order_size="1", max_order_notional="1", max_orders_per_second=0, max_open_orders=0)
    desk = holding(5)
    assert code(judged(limits, desk, order("sell", 5, reduce_only=True))) == "order_size"
    assert judged(limits, desk, order("sell", 5, reduce_only=True, source="flatten")) is None
    assert code(judged(limits, Desk(), order("buy", 5, source="flatten"))) == "order_size"
    far = {"reduce_only": True, "price": 50}
    assert code(judged(RiskLimits(price_collar="0.1"), desk, order("sell", 5, **far))) == "price_collar"
    assert judged(RiskLimits(price_collar="0.1"), desk, order("sell", 5, source="flatten", **far)) is None


# Deployments.


def test_the_accounts_limits_come_first_then_the_deployments() -> None:
    gate = RiskGate(RiskLimits(max_order_size="5"), {"a": RiskLimits(max_order_size="1")})
    account = gate.check(order(size=6, deployment_id="a"), Desk(), NOW)
    own = gate.check(order(size=2, deployment_id="a"), Desk(), NOW)
    assert account is not None
    assert own is not None
    assert (account.code, account.scope, account.limit) == ("order_size", "", "5")
    assert (own.code, own.scope, own.limit) == ("order_size", "a", "1")
    assert gate.check(order(size=2, deployment_id="b"), Desk(), NOW) is None


def test_a_deployment_is_judged_by_its_own_positions_and_orders() -> None:
    gate = RiskGate(ANY, {"a": RiskLimits(max_position="3"), "b": RiskLimits(max_position="3")})
    desk = Desk(held={("a", "BTC", ""): n(2), ("b", "BTC", ""): n(1)}, orders=[resting(leaves=1, deployment_id="b")])
    assert code(gate.check(order(size=2, deployment_id="a"), desk, NOW)) == "position"
    assert gate.check(order(size=1, deployment_id="a"), desk, NOW) is None
    assert code(gate.check(order(size="1.001", deployment_id="b"), desk, NOW)) == "position"


def test_other_limits_hold_from_the_next_order_on() -> None:
    gate = RiskGate(ANY, {"a": RiskLimits(max_order_size="1")})
    gate.define("a", RiskLimits(max_order_size="2"))
    gate.define("", RiskLimits(max_order_size="3"), [CooldownPeriod(stop_minutes=1)])
    assert gate.check(order(size=2, deployment_id="a"), Desk(), NOW) is None
    assert code(gate.check(order(size="3.001"), Desk(), NOW)) == "order_size"
    gate.forget("a")
    gate.forget("")
    assert gate.check(order(size=3, deployment_id="a"), Desk(), NOW) is None
    assert gate.limits() == RiskLimits(max_order_size="3")


# Several at once.


def test_orders_that_are_judged_together_count_for_one_another() -> None:
    gate = RiskGate(RiskLimits(max_position="3"))
    answers = gate.check_all(
        [order(size=2, client_order_id="1"), order(size=2, client_order_id="2"), order(size=1, client_order_id="3")],
        Desk(),
        NOW,
    )
    assert [code(each) for each in answers] == ["", "position", ""]


def test_what_hangs_on_a_denied_order_is_denied_with_it_whatever_their_order() -> None:
    gate = RiskGate(RiskLimits(max_order_size="1"))
    child: dict[str, Any] = {"reduce_only": True, "parent": "entry"}
    answers = gate.check_all(
        [
            order("sell", 1, client_order_id="stop", kind="stop", stop_price=n(90), **child),
            order(size=2, client_order_id="entry"),
            order(size=1, client_order_id="other"),
        ],
        Desk(),
        NOW,
    )
    assert [code(each) for each in answers] == ["parent_denied", "order_size", ""]


def test_a_bracket_passes_before_there_is_a_position() -> None:
    answers = RiskGate(RiskLimits(max_position="1")).check_all(
        [
            order(client_order_id="e"),
            order("sell", 1, client_order_id="s", kind="stop", stop_price=n(90), reduce_only=True, parent="e", oco="e"),
            order("sell", 1, 110, client_order_id="t", reduce_only=True, parent="e", oco="e"),
        ],
        Desk(),
        NOW,
    )
    assert answers == (None, None, None)


def test_orders_that_hang_on_one_another_in_a_circle_are_invalid() -> None:
    answers = RiskGate(ANY).check_all(
        [order(client_order_id="1", parent="2"), order(client_order_id="2", parent="1")], Desk(), NOW
    )
    assert [code(each) for each in answers] == ["invalid_order", "invalid_order"]


def test_of_orders_that_cancel_one_another_only_the_largest_counts() -> None:
    limits = RiskLimits(max_position="3")
    straddle = [resting(leaves=2, client_order_id="1", oco="x"), resting(leaves=1, client_order_id="2", oco="x")]
    assert judged(limits, Desk(orders=straddle), order(size=1)) is None
    apart = [resting(leaves=2, client_order_id="1"), resting(leaves=1, client_order_id="2")]
    assert code(judged(limits, Desk(orders=apart), order(size=1))) == "position"


def test_an_amendment_takes_the_place_of_the_order_that_it_changes() -> None:
    desk = Desk(orders=[resting(leaves=3)])
    limits = RiskLimits(max_position="3")
    assert judged(limits, desk, order(size=3, price=100, client_order_id="old")) is None
    assert code(judged(limits, desk, order(size="3.001", price=100, client_order_id="old"))) == "position"


def test_the_legs_of_a_hedged_market_are_counted_apart() -> None:
    desk = Desk(held={("", "BTC", "long"): n(2), ("", "BTC", "short"): -n(2)})
    limits = RiskLimits(max_position="3", max_exposure="510")
    assert judged(limits, desk, order("sell", 2, position_side="long")) is None
    assert judged(limits, desk, order("buy", 1, position_side="long", price=100)) is None
    assert code(judged(limits, desk, order("buy", "1.001", position_side="long"))) == "position"
    assert code(judged(limits, desk, order("sell", "1.001", position_side="short"))) == "position"
    assert code(judged(RiskLimits(max_exposure="490"), desk, order("buy", 1, position_side="long"))) == "exposure"


def test_money_in_another_currency_is_counted_at_its_rate() -> None:
    desk = Desk(rates={"USD": NANO, "EUR": n("1.1")})
    desk.instruments["BTC"] = instrument(currency="EUR")
    assert judged(RiskLimits(max_exposure="110.011"), desk, order()) is None
    assert code(judged(RiskLimits(max_exposure="110.010"), desk, order())) == "exposure"
    desk.rates = {"USD": NANO}
    assert code(judged(RiskLimits(max_exposure="110.010"), desk, order())) == "unknown_reference_price"
    assert code(judged(RiskLimits(max_order_notional="110.010"), desk, order())) == "unknown_reference_price"
    assert code(judged(RiskLimits(max_order_notional="110.011"), Desk(), order())) == ""


def test_the_multiplier_of_a_contract_counts() -> None:
    desk = Desk(instruments={"BTC": instrument(multiplier=n(50))})
    assert code(judged(RiskLimits(max_exposure="5000"), desk, order())) == "exposure"
    assert judged(RiskLimits(max_exposure="5000.5"), desk, order()) is None
