"""What the gate remembers, and what holds after any sequence of orders and fills."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.execution.risk.breaker import BreakerSettings, RiskBreaker
from actors.execution.risk.gate import RiskGate
from actors.execution.risk.limits import RiskLimits
from actors.execution.risk.notional import worth
from actors.execution.risk.projection import as_open, only_reduces, reach
from actors.execution.risk.protections import ClosedTrade, CooldownPeriod, StoplossGuard
from actors.execution.risk.view import OpenOrder
from protocols.nanos import NANO
from tests.actors.execution.risk.desk import NOW, Desk, instrument, n, order, resting, yes

SECOND = NANO
RISK_CODES = {"position", "position_count", "concentration", "exposure", "leverage", "daily_loss", "drawdown", "margin"}


# The breaker.


def test_the_breaker_opens_at_the_last_rejection_that_is_allowed_within_the_window() -> None:
    breaker = RiskBreaker(BreakerSettings(max_rejections=3, window_seconds=60, open_seconds=300))
    for moment in (0, 30):
        breaker.on_reject("x", NOW + moment * SECOND)
    # The first one is outside of the window (0, 60] now.
    breaker.on_reject("x", NOW + 60 * SECOND)
    assert not breaker.is_open(NOW + 60 * SECOND)
    breaker.on_reject("x", NOW + 61 * SECOND)
    assert breaker.is_open(NOW + 61 * SECOND)
    assert breaker.reason == "3 rejections by the venue, within 60 s"
    assert breaker.until == NOW + 361 * SECOND


def test_the_breaker_closes_after_its_time_and_begins_to_count_anew() -> None:
    breaker = RiskBreaker(BreakerSettings(max_rejections=1, open_seconds=10))
    breaker.on_reject("x", NOW)
    assert breaker.is_open(NOW + 10 * SECOND - 1)
    assert not breaker.is_open(NOW + 10 * SECOND)
    assert (breaker.reason, breaker.until, breaker.opened) == ("", None, 1)
    breaker.on_reject("x", NOW + 10 * SECOND)
    assert (breaker.is_open(NOW + 10 * SECOND), breaker.opened) == (True, 2)


@pytest.mark.parametrize("code", ["never_arrived", "not_sent", "locked"])
def test_what_did_not_leave_is_no_rejection_by_the_venue(code: str) -> None:
    breaker = RiskBreaker(BreakerSettings(max_rejections=1))
    breaker.on_reject(code, NOW)
    assert not breaker.is_open(NOW)
    breaker.on_reject("insufficient_balance", NOW)
    assert breaker.is_open(NOW)


def test_failures_while_it_is_open_do_not_keep_the_breaker_open() -> None:
    breaker = RiskBreaker(BreakerSettings(max_rejections=1, max_denials=1, open_seconds=10))
    breaker.on_reject("x", NOW)
    for moment in range(1, 10):
        breaker.on_reject("x", NOW + moment * SECOND)
        breaker.on_denial("exposure", NOW + moment * SECOND)
        breaker.on_denial("breaker_open", NOW + moment * SECOND)
    assert not breaker.is_open(NOW + 10 * SECOND)


def test_a_breaker_that_was_opened_by_hand_closes_only_by_hand() -> None:
    breaker = RiskBreaker()
    breaker.trip("")
    assert breaker.is_open(NOW + 10**18)
    assert breaker.reason == "by hand"
    breaker.reset()
    assert not breaker.is_open(NOW)


def test_without_an_open_time_the_breaker_waits_for_a_hand() -> None:
    breaker = RiskBreaker(BreakerSettings(max_denials=2, open_seconds=0))
    breaker.on_denial("exposure", NOW)
    assert not breaker.is_open(NOW)
    breaker.on_denial("leverage", NOW)
    assert breaker.reason == "2 denials, the last for leverage, within 60 s"
    assert breaker.is_open(NOW + 10**18)


@pytest.mark.parametrize("code", ["breaker_open", "locked", "kill_switch", "reducing_only", "parent_denied"])
def test_denials_that_follow_from_an_earlier_one_are_no_failures(code: str) -> None:
    breaker = RiskBreaker(BreakerSettings(max_denials=1))
    breaker.on_denial(code, NOW)
    assert not breaker.is_open(NOW)


def test_the_breaker_opens_where_equity_has_fallen_by_its_share_within_the_window() -> None:
    breaker = RiskBreaker(BreakerSettings(max_loss="0.05", window_seconds=60))
    breaker.on_equity(n(1000), NOW)
    breaker.on_equity(n("950.000000001"), NOW + SECOND)
    assert not breaker.is_open(NOW + SECOND)
    breaker.on_equity(n(950), NOW + 59 * SECOND)
    assert breaker.is_open(NOW + 59 * SECOND)
    assert breaker.reason == "50 of 1000 was lost within 60 s"


def test_a_loss_that_takes_longer_than_the_window_does_not_open_the_breaker() -> None:
    breaker = RiskBreaker(BreakerSettings(max_loss="0.05", window_seconds=60))
    breaker.on_equity(n(1000), NOW)
    breaker.on_equity(n(970), NOW + 30 * SECOND)
    breaker.on_equity(n(949), NOW + 60 * SECOND)
    assert not breaker.is_open(NOW + 60 * SECOND)


def test_a_withdrawal_is_no_loss() -> None:
    breaker = RiskBreaker(BreakerSettings(max_loss="0.05"))
    breaker.on_equity(n(1000), NOW)
    breaker.on_transfer(-n(500))
    breaker.on_equity(n(500), NOW)
    assert not breaker.is_open(NOW)


def test_denials_of_the_gate_open_its_breaker() -> None:
    gate = RiskGate(RiskLimits(max_order_size="1"), breaker=BreakerSettings(max_denials=2))
    for _ in range(2):
        gate.check(order(size=2), Desk(), NOW)
    found = gate.check(order(), Desk(), NOW)
    assert found is not None
    assert found.code == "breaker_open"
    gate.on_reject("no", NOW)
    gate.on_equity(n(1), NOW)
    gate.on_transfer(n(1), NOW)
    assert gate.breaker.opened == 1


# Locks out of the gate.


def lost(market: str = "BTC", **changes: Any) -> ClosedTrade:
    fields: dict[str, Any] = {"side": "long", "ts_closed": NOW, "profit": -n(1), "stake": n(100), "exit": "stop"}
    return ClosedTrade(market=market, **{**fields, **changes})


def test_protections_of_a_deployment_lock_its_orders_alone() -> None:
    gate = RiskGate(
        RiskLimits(),
        {"a": RiskLimits()},
        protections=[StoplossGuard(lookback_minutes=60, trade_limit=2, stop_minutes=5)],
        deployment_protections={"a": [CooldownPeriod(stop_minutes=1)]},
    )
    (lock,) = gate.on_round_trip(lost(deployment_id="a"), NOW)
    assert (lock.market, lock.deployment_id) == ("BTC", "a")
    found = gate.check(order(deployment_id="a"), Desk(), NOW)
    assert found is not None
    assert (found.code, found.scope) == ("locked", "a")
    assert gate.check(order(deployment_id="b"), Desk(), NOW) is None
    gate.on_round_trip(lost("ETH"), NOW)
    everybody = gate.check(order(deployment_id="b"), Desk(), NOW)
    assert everybody is not None
    assert (everybody.code, everybody.scope) == ("locked", "")
    assert len(gate.locks(NOW)) == 2
    assert gate.locks(NOW + 300 * SECOND) == ()


# Snapshots.


def test_a_gate_goes_on_from_its_snapshot() -> None:
    def made() -> RiskGate:
        return RiskGate(
            RiskLimits(max_orders_per_minute=2),
            {"a": RiskLimits(max_orders_per_second=1)},
            breaker=BreakerSettings(max_rejections=2),
            protections=[StoplossGuard(lookback_minutes=60, trade_limit=2, stop_minutes=5)],
        )

    before, after = made(), made()
    before.check(order(deployment_id="a"), Desk(), NOW)
    before.on_reject("no", NOW)
    before.on_round_trip(lost(), NOW)
    before.set_trading("reducing", "why", "b")
    after.restore(before.snapshot())
    assert after.snapshot() == before.snapshot()
    for gate in (before, after):
        found = gate.check(order(deployment_id="a"), Desk(), NOW + 1)
        assert found is not None
        assert (found.code, found.scope) == ("order_rate", "a")
        gate.on_round_trip(lost(), NOW + 1)
        gate.on_reject("no", NOW + 1)
    assert after.locks(NOW + 2) == before.locks(NOW + 2) != ()
    assert after.breaker_state(NOW + 2) == before.breaker_state(NOW + 2) == "open"
    assert after.trading("b") == ("reducing", "why")
    assert after.snapshot() == before.snapshot()


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        RiskGate(RiskLimits()).restore(b"no")


# Properties. Quantities are whole here; a nano is a nano.

ORDERS = st.builds(
    lambda side, leaves, reduce_only, oco: resting(side, leaves, reduce_only=reduce_only, oco=oco),
    st.sampled_from(["buy", "sell"]),
    st.integers(1, 3),
    st.booleans(),
    st.sampled_from(["", "x"]),
)


def all_outcomes(position: int, orders: list[OpenOrder]) -> set[int]:
    """Every position that fills of whole orders in any order can lead to, by trying."""
    found = {position}
    for index, each in enumerate(orders):
        sign = 1 if each.side == "buy" else -1
        size = each.leaves
        if each.reduce_only:
            size = min(size, max(0, -sign * position))
        rest = [o for i, o in enumerate(orders) if i != index and not (each.oco and o.oco == each.oco)]
        found |= all_outcomes(position + sign * size, rest)
    return found


@given(st.integers(-4, 4), st.lists(ORDERS, max_size=4))
@settings(max_examples=100, deadline=None)
def test_no_sequence_of_fills_reaches_beyond_what_was_projected(position: int, orders: list[OpenOrder]) -> None:
    highest, lowest = reach(n(position), orders)
    outcomes = all_outcomes(n(position), orders)
    # Reduce-only buys of a short that sells made larger in between are the sells' own risk, which is counted.
    assert lowest <= min(outcomes)
    assert max(outcomes) <= highest


@given(st.integers(-3, 3), st.lists(ORDERS, max_size=3), st.sampled_from(["buy", "sell"]), st.integers(1, 3))
@settings(max_examples=80, deadline=None)
def test_an_order_that_only_reduces_never_takes_the_position_through_zero(
    position: int, orders: list[OpenOrder], side: Any, size: int
) -> None:
    one = order(side, size)
    if only_reduces(one, n(position), orders):
        same_side = [each for each in orders if each.side == side]
        outcomes = all_outcomes(n(position), [*same_side, as_open(one)])
        assert all(each * position >= 0 and abs(each) <= abs(n(position)) for each in outcomes)


TIGHT = RiskLimits(
    max_position="0", max_position_share="0", max_exposure="0", max_exposure_share="0", max_leverage="0",
    max_daily_loss="0", max_drawdown="0", max_concentration="0", max_positions=0, cash_reserve="1000000000",
    max_margin_use="0",
)  # fmt: skip


@given(
    st.integers(-5, 5).filter(bool),
    st.lists(ORDERS, max_size=3),
    st.integers(1, 9),
    st.sampled_from(["BTC", "RAIN"]),
    st.one_of(st.none(), st.integers(-1000, 1000)),
)
@settings(max_examples=100, deadline=None)
def test_an_order_that_is_reduce_only_is_never_denied_for_risk(
    position: int, orders: list[OpenOrder], size: int, market: str, money: int | None
) -> None:
    desk = Desk(
        held={("", market, ""): n(position), ("", "DOGE", ""): n(1)},
        orders=[msgspec.structs.replace(each, market=market) for each in orders],
        money=None if money is None else n(money),
        available=None,
    )
    gate = RiskGate(TIGHT)
    gate.trip("open", NOW)
    side: Any = "sell" if position > 0 else "buy"
    assert gate.check(order(side, size, market=market, reduce_only=True), desk, NOW) is None
    assert gate.check(order(side, abs(position), market=market, reduce_only=True), Desk(held=desk.held), NOW) is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["BTC", "ETH", "RAIN"]),
        st.sampled_from(["buy", "sell"]),
        st.integers(1, 6),
        st.sampled_from(["market", "low", "high"]),
        st.booleans(),
        st.integers(0, 5),
    ),
    max_size=25,
)
LOW_HIGH: dict[str, tuple[Any, Any]] = {"BTC": (95, 105), "ETH": (9, 11), "RAIN": ("0.4", "0.6")}
LOTS = {"BTC": 1, "ETH": 10, "RAIN": 200}
"""Sizes that are worth about the same."""


@given(STEPS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_exposure_stays_within_its_limit_after_every_accepted_order_and_any_fills(steps: list[Any]) -> None:
    """At unchanged prices, and where a short is worth as much as a long.

    What only reduces passes; where an order that is not reduce-only does, and a reduce-only one is filled before it,
    it makes a position of the opposite side, of the same size. In a prediction market that has other collateral.
    """
    limit, most = n(1000), n(1500)
    gate = RiskGate(RiskLimits(max_exposure="1000", max_position="1500"), breaker=BreakerSettings(max_denials=0))
    desk = Desk()
    desk.instruments = {"BTC": instrument(), "ETH": instrument("ETH"), "RAIN": yes()}
    desk.bids["RAIN"] = desk.asks["RAIN"] = n("0.5")
    for index, (market, side, size, kind, reduce_only, filled) in enumerate(steps):
        name = str(index)
        price = None if kind == "market" else LOW_HIGH[market][kind == "high"]
        one = order(side, size * LOTS[market], price, market=market, client_order_id=name, reduce_only=reduce_only)
        if gate.check(one, desk, NOW) is None:
            desk.orders.append(as_open(one))
        if filled < len(desk.orders):
            _fill(desk, desk.orders.pop(filled))
        gross = 0
        for market_, _, quantity in desk.positions():
            assert abs(quantity) <= most
            gross += worth(desk.instruments[market_], quantity, desk.bids[market_])
        assert gross <= limit


def _fill(desk: Desk, filled: OpenOrder) -> None:
    key: Any = ("", filled.market, "")
    held = desk.held.get(key, 0)
    sign = 1 if filled.side == "buy" else -1
    size = min(filled.leaves, max(0, -sign * held)) if filled.reduce_only else filled.leaves
    desk.held[key] = held + sign * size
