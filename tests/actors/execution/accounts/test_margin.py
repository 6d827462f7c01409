from __future__ import annotations

import pytest

from tests.actors.execution.accounts.kit import Marked, account, instrument, n, text, trade


def test_on_margin_only_profit_and_costs_move_cash() -> None:
    owner = account({"P": Marked("110")}, instrument("P", "perpetual"), kind="margin", leverage="10")
    owner.take_entries()
    trade(owner, "buy", 50, 100, market="P", fee="2")
    (entry,) = owner.take_entries()
    assert [(each.account, text(each.amount)) for each in entry.postings] == [
        ("position", "5000"),
        ("financing", "-5000"),
        ("cash", "-2"),
        ("fees", "2"),
    ]
    assert text(owner.equity()) == "10498"
    trade(owner, "sell", 20, 110, market="P")
    (entry,) = owner.take_entries()
    assert [(each.account, text(each.amount)) for each in entry.postings] == [
        ("cash", "200"),
        ("position", "-2000"),
        ("financing", "2000"),
        ("realised", "-200"),
    ]
    assert text(owner.equity()) == "10498"


def test_margin_is_the_notional_at_the_exit_price_over_the_leverage() -> None:
    marks = {"P": Marked("110", "112"), "Q": Marked("10")}
    owner = account(
        marks,
        instrument("P", "perpetual"),
        instrument("Q", "future", multiplier=n(50)),
        kind="margin",
        leverage="10",
        market_leverage={"Q": "4"},
    )
    trade(owner, "sell", 50, 110, market="P")
    trade(owner, "buy", 2, 10, market="Q")
    assert text(owner.margin_used()) == "810", "5600 / 10 and 1000 / 4"
    assert text(owner.maintenance()) == "405"
    assert text(owner.available()) == "9090", "10000, less 100 of loss, less 810"
    assert text(owner.gross_exposure()) == "6600"


@pytest.mark.parametrize(
    ("side", "size", "price", "bound"),
    [
        ("buy", 10, 100, "100"),  # enlarges the 20 that are held
        ("sell", 20, 100, "0"),  # closes them
        ("sell", 35, 100, "150"),  # closes them and opens 15 the other way
    ],
)
def test_an_order_binds_margin_only_for_what_it_opens(side: str, size: int, price: int, bound: str) -> None:
    owner = account({"X": Marked("100")}, kind="margin", leverage="10")
    trade(owner, "buy", 20, 100)
    assert text(owner.initial_margin("X", "buy" if side == "buy" else "sell", n(size), n(price))) == bound


def test_margin_is_rounded_up_and_counts_in_its_own_currency() -> None:
    marks = {"P": Marked("100"), "Q": Marked("100")}
    markets = (instrument("P", "perpetual"), instrument("Q", "perpetual", "EUR"))
    owner = account(marks, *markets, kind="margin", leverage="3", conversions={"EUR": "2"})
    owner.deposit(n(50), 1, currency="EUR")
    trade(owner, "buy", 1, 100, market="P")
    trade(owner, "buy", 1, 90, market="Q")
    assert text(owner.available()) == "9966.666666666"
    assert text(owner.available("EUR")) == "26.666666666", "50, and 10 of profit, less a third of 100"
    assert text(owner.margin_used()) == "100.000000002"


def test_what_an_order_binds_depends_on_how_it_is_paid() -> None:
    owner = account(None, instrument("X"), instrument("K", "prediction"), instrument("P", "perpetual"))
    assert text(owner.initial_margin("X", "buy", n(10), n(100))) == "1000"
    assert text(owner.initial_margin("X", "sell", n(10), n(100))) == "0"
    assert text(owner.initial_margin("P", "sell", n(10), n(100))) == "1000", "a cash account has no leverage"
    assert text(owner.initial_margin("K", "buy", n(10), n("0.3"))) == "3"
    assert text(owner.initial_margin("K", "sell", n(10), n("0.3"))) == "7", "NO at 0.7"


def test_an_account_is_called_when_equity_is_below_maintenance_and_not_at_it() -> None:
    marks = {"P": Marked("100")}
    owner = account(marks, instrument("P", "perpetual"), kind="margin", leverage="10", initial_capital="1000")
    assert owner.margin_call() is False
    trade(owner, "buy", 100, 100, market="P")
    assert owner.margin_call() is False
    # Equity 1000 - 100 (100 - p), maintenance 100 p / 20: equal at p = 9000 / 95.
    marks["P"].bid = n("94.736842106")
    assert owner.margin_call() is False
    marks["P"].bid = n("94.736842105")
    assert owner.margin_call() is True
    trade(owner, "sell", 100, "94.7", market="P")
    assert owner.margin_call() is False


def test_shares_in_a_cash_account_bind_no_margin_and_are_never_called() -> None:
    marks = {"X": Marked("1")}
    owner = account(marks)
    trade(owner, "buy", 100, 100)
    assert (owner.margin_used(), owner.maintenance(), owner.margin_call()) == (0, 0, False)
