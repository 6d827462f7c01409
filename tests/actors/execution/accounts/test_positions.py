from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.execution.accounts.positions import Position, Positions, meant_side
from tests.actors.execution.accounts.kit import account, instrument, n, order, text, trade

CENT = n("0.01")
trades = st.lists(
    st.tuples(st.integers(-(10**12), 10**12).filter(bool), st.integers(-(10**14), 10**14)), min_size=1, max_size=25
)


@settings(max_examples=100)
@given(trades, st.sampled_from([1, CENT]))
def test_cost_less_profit_is_what_was_paid_and_who_is_flat_has_paid_nothing(
    flow: list[tuple[int, int]], step: int
) -> None:
    position = Position("X", "USD", step=step)
    paid = 0
    for quantity, notional in flow:
        notional = notional // step * step
        before, cost = position.quantity, position.cost
        profit = position.trade(quantity, notional)
        paid += notional
        assert position.cost - position.realized == paid
        assert position.cost % step == 0
        assert position.quantity != 0 or position.cost == 0
        if before and abs(quantity) < abs(before) and (quantity > 0) != (before > 0):
            exact = Fraction(cost * (before + quantity), before)
            assert abs(position.cost - exact) <= Fraction(step, 2)
        if before == 0 or (before > 0) == (quantity > 0):
            assert profit == 0
    position.trade(-position.quantity, 7 * step) if position.quantity else None
    assert (position.quantity, position.cost) == (0, 0)


def test_partial_closes_of_a_third_do_not_drift() -> None:
    position = Position("X", "USD", step=CENT)
    position.trade(n(3), n("100.00"))
    taken = [position.trade(n(-1), n("-40.00")) for _ in range(3)]
    assert [text(each) for each in taken] == ["6.67", "6.66", "6.67"]
    assert sum(taken) == n("20.00")
    assert position.cost == 0


def test_a_flip_closes_all_and_opens_the_other_way_with_the_rest_of_the_notional() -> None:
    position = Position("X", "USD")
    position.trade(n(2), n(200))
    assert position.trade(n(-5), n(-550)) == n(20)
    assert (position.quantity, position.cost) == (n(-3), n(-330))
    assert position.average_price() == n(110)


def test_an_average_price_is_made_for_people_and_a_flat_position_has_none() -> None:
    position = Position("ES", "USD", multiplier=n(50))
    assert position.average_price() is None
    position.trade(n(2), n("450025"))
    assert text(position.average_price()) == "4500.25"
    position.trade(n(-4), n("-900000"))
    assert text(position.average_price()) == "4500"


def test_with_hedging_a_long_and_a_short_position_stand_side_by_side() -> None:
    owner = account(position_mode="hedging", kind="margin")
    trade(owner, "buy", 3, 100, position_side="long")
    trade(owner, "sell", 2, 110, position_side="short")
    assert owner.position("X", "long").quantity == n(3)
    assert owner.position("X", "short").quantity == n(-2)
    assert owner.net_position("X") == n(1)
    trade(owner, "buy", 2, 105, position_side="short")
    assert text(owner.realized()) == "10"
    assert owner.position("X", "short").cost == 0
    assert owner.position("X", "long").quantity == n(3)


def test_with_hedging_what_closes_more_than_there_is_opens_the_other_side() -> None:
    owner = account(position_mode="hedging", kind="margin")
    trade(owner, "buy", 3, 100, position_side="long")
    fill = trade(owner, "sell", 5, "110.01", position_side="long", reduce_only=True, fee="0.05")
    assert owner.position("X", "long").quantity == 0
    assert owner.position("X", "short").quantity == n(-2)
    assert text(owner.position("X", "short").cost) == "-220.02"
    assert fill is not None
    assert fill.realized == "30.03"
    assert text(owner.fees_paid()) == "0.05"
    assert [text(owner.position("X", side).fees) for side in ("long", "short")] == ["0.03", "0.02"]


def test_positions_keep_their_order_over_a_snapshot() -> None:
    owner = account(None, instrument("X"), instrument("Y"), position_mode="hedging", kind="margin")
    trade(owner, "buy", 3, 100, position_side="long")
    trade(owner, "buy", 3, 100, market="Y", position_side="long")
    trade(owner, "sell", 1, 100, position_side="short")
    trade(owner, "sell", 3, 100, position_side="long", reduce_only=True)
    trade(owner, "buy", 2, 100, position_side="long")
    restored = account(None, position_mode="hedging", kind="margin")
    restored.restore(owner.snapshot())
    assert list(restored.net_positions()) == list(owner.net_positions()) == ["X", "Y"]
    assert [each.market + each.side for each in restored.positions()] == ["Ylong", "Xshort", "Xlong"]


def test_an_order_that_names_no_side_opens_its_own_or_reduces_the_other() -> None:
    assert meant_side(order(side="buy")) == "long"
    assert meant_side(order(side="sell")) == "short"
    assert meant_side(order(side="buy", reduce_only=True)) == "short"
    assert meant_side(order(side="sell", reduce_only=True)) == "long"
    assert meant_side(order(side="sell", position_side="long")) == "long"


def test_without_hedging_the_position_side_of_an_order_means_nothing() -> None:
    positions = Positions(hedging=False)
    assert positions.slices(order(position_side="short"), n(4)) == (("", n(4)),)


def test_deployments_hold_what_their_own_fills_add_up_to() -> None:
    owner = account()
    trade(owner, "buy", 4, 100, deployment="d1")
    trade(owner, "buy", 4, 200, deployment="d2")
    trade(owner, "sell", 4, 150, deployment="d1")
    assert owner.deployment_position("d1", "X") == 0
    assert owner.deployment_position("d2", "X") == n(4)
    assert owner.net_position("X") == n(4)
    first, second = (owner.deployment_positions(name)[0] for name in ("d1", "d2"))
    assert (text(first.realized), text(first.cost)) == ("200", "0")
    assert (text(second.realized), text(second.cost)) == ("0", "800")
    # The account has pooled them; together it is the same.
    whole = owner.position("X")
    assert whole.cost - whole.realized == first.cost - first.realized + second.cost - second.realized


def test_deployments_that_hold_opposite_positions_leave_an_account_that_is_flat_and_costs_nothing() -> None:
    owner = account(kind="margin", leverage="2")
    trade(owner, "buy", 10, 100, deployment="d1")
    trade(owner, "sell", 10, 110, deployment="d2")
    whole = owner.position("X")
    assert (whole.quantity, whole.cost, text(whole.realized)) == (0, 0, "100")
    assert owner.positions() == ()
    assert owner.deployment_position("d1", "X") == n(10)
    assert owner.deployment_position("d2", "X") == n(-10)
    # Each closes at another price: now all are flat, and the profits add up.
    trade(owner, "sell", 10, 130, deployment="d1")
    trade(owner, "buy", 10, 120, deployment="d2")
    parts = [owner.deployment_positions(name)[0] for name in ("d1", "d2")]
    assert [text(part.realized) for part in parts] == ["300", "-100"]
    assert text(owner.position("X").realized) == "200"
    assert text(owner.realized()) == "200"
