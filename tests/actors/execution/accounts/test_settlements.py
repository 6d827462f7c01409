from __future__ import annotations

import pytest

from tests.actors.execution.accounts.kit import Marked, account, instrument, n, text, trade

YES = instrument("K", "prediction")


def test_buying_no_is_selling_yes_with_the_payout_as_collateral() -> None:
    # NO at 0.35 is YES at 0.65: 100 contracts of it cost 35, whatever they are called.
    marks = {"K": Marked("0.60", "0.62")}
    owner = account(marks, YES)
    owner.take_entries()
    fill = trade(owner, "sell", 100, "0.65", market="K", leg="NO")
    assert fill is not None
    assert (fill.leg, text(fill.price), fill.notional) == ("NO", "0.65", "65")
    (entry,) = owner.take_entries()
    assert [(each.account, text(each.amount)) for each in entry.postings] == [
        ("cash", "65"),
        ("position", "-65"),
        ("cash", "-100"),
        ("collateral", "100"),
    ]
    assert text(owner.cash()) == "9965"
    assert text(owner.equity()) == "10003", "bought back at 0.62"
    view = owner.view(owner.position("K"))
    assert (view.quantity, text(view.average_price)) == (n(-100), "0.65")
    assert (view.leg, text(view.leg_quantity), text(view.leg_price)) == ("NO", "100", "0.35")


def test_yes_and_no_net_out_and_the_collateral_comes_back() -> None:
    owner = account({}, YES)
    trade(owner, "buy", 30, "0.40", market="K")
    trade(owner, "sell", 50, "0.45", market="K")
    assert owner.net_position("K") == n(-20)
    assert text(owner.realized()) == "1.5"
    assert text(owner.cash()) == "9990.5", "12 paid, 13.5 back, 20 NO at 0.55"
    trade(owner, "buy", 20, "0.45", market="K")
    assert text(owner.cash()) == "10001.5"
    assert owner.books.ledger.balance("collateral", "USD") == 0


@pytest.mark.parametrize(
    ("value", "long", "short"), [("1", "10600", "9925"), ("0", "9600", "10025"), ("0.5", "10100", "9975")]
)
def test_a_contract_pays_its_value(value: str, long: str, short: str) -> None:
    owner = account({}, YES)
    trade(owner, "buy", 1000, "0.40", market="K")
    owner.settle("K", n(value), 5, reference="s")
    owner.books.proof()
    assert text(owner.cash()) == text(owner.equity()) == long
    owner = account({}, YES)
    trade(owner, "sell", 100, "0.25", market="K")
    owner.settle("K", n(value), 5, reference="s")
    owner.books.proof()
    assert text(owner.cash()) == text(owner.equity()) == short
    assert owner.positions() == ()


def test_profit_of_a_settlement_stands_in_an_account_of_its_own() -> None:
    owner = account({}, YES)
    trade(owner, "buy", 10, "0.40", market="K", deployment="d")
    owner.take_entries()
    owner.settle("K", n(1), 5, reference="s")
    (entry,) = owner.take_entries()
    assert (entry.kind, entry.reference, entry.market, entry.deployment_id) == ("settlement", "s", "K", "d")
    assert [(each.account, text(each.amount)) for each in entry.postings] == [
        ("cash", "10"),
        ("position", "-4"),
        ("settlement", "-6"),
    ]
    assert text(owner.realized()) == "6"


def test_a_settlement_is_booked_once() -> None:
    owner = account({}, YES)
    trade(owner, "buy", 10, "0.40", market="K")
    owner.settle("K", n(1), 5, reference="s")
    before = owner.snapshot()
    owner.settle("K", n(1), 6, reference="s")
    owner.settle("K", n(1), 7, reference="again")
    assert owner.snapshot() == before


def test_an_amended_settlement_reverses_the_first_one() -> None:
    owner = account({}, YES)
    trade(owner, "buy", 10, "0.40", market="K")
    owner.settle("K", n(1), 5, reference="s")
    owner.settle("K", n("0.25"), 9, reference="amended")
    owner.books.proof()
    assert [entry.kind for entry in owner.take_entries()][-3:] == ["settlement", "settlement_reversed", "settlement"]
    assert text(owner.cash()) == "9998.5"
    assert text(owner.realized()) == "-1.5"


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_reversal_leaves_everything_as_it_was(side: str) -> None:
    owner = account({"K": Marked("0.5")}, YES)
    for deployment, size in (("d1", 30), ("d2", 70)):
        trade(owner, "buy" if side == "buy" else "sell", size, "0.413", market="K", deployment=deployment)
    balances = owner.books.ledger.balances()
    positions = owner.books.positions.state()
    owner.settle("K", n("0.333333333"), 5, reference="s")
    assert owner.net_positions() == {}
    owner.unsettle("K", "s", 6)
    owner.books.proof()
    assert owner.books.ledger.balances() == balances
    assert owner.books.positions.state() == positions
    with pytest.raises(ValueError, match="reference of K: expected the settlement that stands, None, got 's'"):
        owner.unsettle("K", "s", 7)


def test_fills_that_are_told_after_the_settlement_are_settled_and_reversed_with_the_rest() -> None:
    owner = account({}, YES)
    trade(owner, "buy", 10, "0.40", market="K")
    owner.settle("K", n(1), 5, reference="s")
    trade(owner, "sell", 4, "0.90", market="K", ts=6)
    owner.settle("K", n(1), 7, reference="s")
    assert owner.net_positions() == {}
    assert text(owner.cash()) == "10005.6"
    owner.unsettle("K", "s", 8)
    owner.books.proof()
    assert owner.net_position("K") == n(6)
    assert text(owner.position("K").realized) == "2"
    assert text(owner.cash()) == "9999.6"


def test_a_settlement_of_deployments_with_opposite_positions_pays_each_its_own() -> None:
    owner = account({}, YES)
    trade(owner, "buy", 10, "0.40", market="K", deployment="d1")
    trade(owner, "sell", 10, "0.60", market="K", deployment="d2")
    owner.settle("K", n(1), 5, reference="s")
    owner.books.proof()
    assert [text(owner.deployment_positions(name)[0].realized) for name in ("d1", "d2")] == ["6", "-4"]
    assert text(owner.realized()) == "2"
    assert len(owner.take_trades()) == 2
    owner.unsettle("K", "s", 6)
    owner.books.proof()
    assert owner.deployment_position("d2", "K") == n(-10)


def test_deployments_are_paid_together_what_the_account_is_paid_to_the_cent() -> None:
    owner = account({}, YES, precision={"USD": 2})
    for deployment in ("d1", "d2"):
        trade(owner, "buy", 1, "0.50", market="K", deployment=deployment)
    owner.settle("K", n("0.333"), 5, reference="s")
    owner.books.proof()
    assert text(owner.realized()) == "-0.33"
    assert [text(owner.deployment_positions(name)[0].realized) for name in ("d1", "d2")] == ["-0.17", "-0.16"]


def test_collateral_in_another_currency_is_part_of_equity() -> None:
    market = instrument("K", "prediction", "EUR")
    owner = account({"K": Marked("0.6", "0.7")}, market, conversions={"EUR": "2"})
    owner.deposit(n(100), 1, currency="EUR")
    trade(owner, "sell", 100, "0.65", market="K")
    assert text(owner.cash("EUR")) == "65"
    assert text(owner.equity()) == "10190", "95 EUR"


def test_a_value_beyond_1_is_refused() -> None:
    owner = account({}, YES)
    with pytest.raises(ValueError, match=r"value of K: expected 0 to 1, got 1\.01"):
        owner.settle("K", n("1.01"), 5, reference="s")


def test_a_future_is_settled_at_its_price() -> None:
    owner = account({}, instrument("F", "future", multiplier=n(50)), kind="margin", leverage="10")
    trade(owner, "sell", 2, "4500", market="F")
    owner.settle("F", n("4490.25"), 5, reference="expiry")
    owner.books.proof()
    assert text(owner.cash()) == "10975"
