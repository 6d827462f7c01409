from __future__ import annotations

import msgspec
import pytest

from actors.execution.accounts.ledger import Posting
from actors.execution.accounts.settings import AccountSettings
from tests.actors.execution.accounts.kit import Marked, account, instrument, n, text, trade


def test_the_initial_capital_is_booked_once() -> None:
    owner = account()
    owner.open(5)
    (entry,) = owner.take_entries()
    assert (entry.kind, entry.ts) == ("deposit", 0)
    assert entry.postings == (Posting("cash", "USD", n(10000)), Posting("capital", "USD", n(-10000)))
    assert owner.equity() == owner.cash() == owner.available() == n(10000)


def test_a_purchase_and_a_sale_on_cash_move_the_notional_and_keep_the_profit() -> None:
    marks = {"X": Marked("104", "106")}
    owner = account(marks)
    owner.take_entries()
    fill = trade(owner, "buy", 10, 100, fee="1.5", deployment="d", fill_id="first", ts=7)
    assert fill is not None
    assert (fill.notional, fill.realized, fill.position, fill.seq, fill.fee_currency) == ("1000", "0", n(10), 1, "USD")
    (entry,) = owner.take_entries()
    assert (entry.kind, entry.reference, entry.market, entry.deployment_id, entry.ts) == ("fill", "first", "X", "d", 7)
    assert [(each.account, text(each.amount)) for each in entry.postings] == [
        ("cash", "-1000"),
        ("position", "1000"),
        ("cash", "-1.5"),
        ("fees", "1.5"),
    ]
    assert text(owner.cash()) == "8998.5"
    assert text(owner.equity()) == "10038.5", "valued at the bid"
    assert text(owner.unrealized()) == text(owner.unrealized("X")) == "40"
    fill = trade(owner, "sell", 4, 105)
    assert fill is not None
    assert (fill.realized, fill.position) == ("20", n(6))
    assert (text(owner.realized()), text(owner.fees_paid())) == ("20", "1.5")


def test_a_missing_price_is_no_zero() -> None:
    marks = {"X": Marked()}
    owner = account(marks, kind="margin", leverage="2")
    trade(owner, "buy", 10, 100)
    assert owner.equity() is None
    assert owner.unrealized() is None
    assert owner.unrealized("X") is None
    assert owner.margin_used() is None
    assert owner.available() is None
    assert owner.gross_exposure() is None
    assert owner.margin_call() is None
    assert owner.sample(1) is None
    assert owner.curve.missing == 1
    assert owner.view(owner.position("X")).unrealized is None
    trade(owner, "sell", 10, 100)
    assert owner.equity() == owner.available() == n(10000)


def test_a_fill_that_is_told_twice_is_booked_once() -> None:
    owner = account()
    assert trade(owner, "buy", 1, 100, fill_id="same") is not None
    assert trade(owner, "buy", 1, 100, fill_id="same") is None
    assert owner.net_position("X") == n(1)
    assert len(owner.take_entries()) == 2


def test_the_oldest_fill_ids_are_forgotten_first() -> None:
    owner = account(remembered_fills=1000)
    for number in range(1001):
        trade(owner, "buy" if number % 2 else "sell", 1, 100, fill_id=str(number))
    assert trade(owner, "buy", 1, 100, fill_id="1") is None
    assert trade(owner, "buy", 1, 100, fill_id="0") is not None


def test_a_fill_of_an_unknown_market_or_without_size_is_an_error() -> None:
    owner = account()
    with pytest.raises(ValueError, match="market: expected one that is defined, got 'Y'"):
        trade(owner, "buy", 1, 100, market="Y")
    with pytest.raises(ValueError, match="expected more than 0, got 0"):
        trade(owner, "buy", 0, 100)
    with pytest.raises(ValueError, match="got an index"):
        trade(account(None, instrument("I", "index")), "buy", 1, 100, market="I")


def test_a_fee_in_another_currency_is_a_posting_of_its_own() -> None:
    marks = {"X": Marked("100"), "BNBUSD": Marked("600", "602")}
    owner = account(marks, conversions={"BNB": "BNBUSD"})
    owner.deposit(n("0.5"), 1, currency="BNB")
    owner.take_entries()
    fill = trade(owner, "buy", 10, 100, fee="0.001", fee_currency="BNB")
    assert fill is not None
    assert fill.fee_currency == "BNB"
    (entry,) = owner.take_entries()
    assert [(each.account, each.currency, text(each.amount)) for each in entry.postings[2:]] == [
        ("cash", "BNB", "-0.001"),
        ("fees", "BNB", "0.001"),
    ]
    assert (text(owner.cash("BNB")), text(owner.fees_paid("BNB"))) == ("0.499", "0.001")
    assert text(owner.equity()) == "10299.4", "0.499 BNB at the bid of 600"


def test_a_balance_without_a_rate_has_no_value_and_a_fixed_rate_is_one() -> None:
    owner = account()
    owner.deposit(n(5), 1, currency="EUR")
    assert owner.equity() is None
    assert owner.unvalued() == {"EUR"}
    pegged = account(conversions={"USDC": "1", "EUR": "1.1"})
    pegged.deposit(n(5), 1, currency="USDC")
    pegged.deposit(n(5), 1, currency="EUR")
    assert text(pegged.equity()) == "10010.5"
    assert not pegged.unvalued()


def test_a_market_in_another_currency_is_held_and_valued_in_that() -> None:
    marks = {"B": Marked("51"), "EURUSD": Marked("1.1", "1.2")}
    owner = account(marks, instrument("B", currency="EUR"), kind="margin", conversions={"EUR": "EURUSD"})
    trade(owner, "buy", 10, 50, market="B")
    assert text(owner.unrealized()) == "11"
    assert text(owner.unrealized("B")) == "10"
    assert text(owner.equity()) == "10011"
    assert text(owner.gross_exposure()) == "561"
    trade(owner, "sell", 10, 49, market="B")
    assert text(owner.realized("EUR")) == "-10"
    assert text(owner.equity()) == "9988", "what is owed costs the ask"


def test_an_exchange_of_currencies_balances_in_each() -> None:
    owner = account(conversions={"EUR": "1.25"})
    owner.convert(n(125), "USD", n(100), "EUR", 1, reference="fx")
    entry = owner.take_entries()[-1]
    assert [(each.account, each.currency, text(each.amount)) for each in entry.postings] == [
        ("cash", "USD", "-125"),
        ("conversion", "USD", "125"),
        ("cash", "EUR", "100"),
        ("conversion", "EUR", "-100"),
    ]
    assert text(owner.equity()) == "10000"
    with pytest.raises(ValueError, match="two amounts above 0 of two currencies"):
        owner.convert(n(1), "USD", n(1), "USD", 1)


def test_a_spot_venue_that_takes_its_fee_out_of_what_was_bought_makes_the_position_smaller() -> None:
    # Binance: buying 1 BTC at 0.1 % without BNB leaves 0.999 BTC.
    marks = {"BTCUSDT": Marked("40000")}
    owner = account(marks, instrument("BTCUSDT", "spot", "USDT", base="BTC"), currency="USDT", initial_capital="50000")
    fill = trade(owner, "buy", 1, 40000, market="BTCUSDT", fee="0.001", fee_currency="BTC")
    assert fill is not None
    assert (text(fill.position), fill.fee_currency) == ("0.999", "BTC")
    assert (text(owner.cash()), text(owner.cash("BTC"))) == ("10000", "0")
    assert text(owner.position("BTCUSDT").cost) == "39960"
    assert text(owner.fees_paid()) == "40"
    assert text(owner.equity()) == "49960"
    trade(owner, "sell", "0.999", 42000, market="BTCUSDT", fee="41.958", fee_currency="USDT")
    assert text(owner.cash()) == "51916.042"
    (trip,) = owner.take_trades()
    assert (text(trip.pnl), text(trip.fees), text(trip.size)) == ("1916.042", "81.958", "1")
    # What is not held cannot be taken: it is owed.
    trade(owner, "buy", 5, 42000, market="BTCUSDT", deployment="d1")
    trade(owner, "sell", 1, 42000, market="BTCUSDT", deployment="d2", fee="0.002", fee_currency="BTC")
    assert text(owner.cash("BTC")) == "-0.002"
    trade(owner, "sell", 4, 42000, market="BTCUSDT", deployment="d1")
    trade(owner, "sell", 1, 42000, market="BTCUSDT", fee="0.001", fee_currency="BTC")
    assert text(owner.cash("BTC")) == "-0.003"


def test_notionals_are_rounded_once_to_the_currencys_precision() -> None:
    owner = account(precision={"USD": 2})
    trade(owner, "buy", "0.1", "33.335")
    assert text(owner.cash()) == "9996.67"
    assert text(owner.position("X").cost) == "3.33"
    down = account(precision={"USD": 2}, rounding={"USD": "up"})
    trade(down, "buy", "0.1", "33.335")
    assert text(down.position("X").cost) == "3.34"


@pytest.mark.parametrize("kind", ["cash", "margin"])
def test_the_commissions_of_backtesting_py_come_out_to_the_cent(kind: str) -> None:
    # backtesting/test/_test.py test_spread_commission (0.6.6): the first days of GOOG, bought at the open of bar 2,
    # sold at the open of bar 3; equity at the closes of both.
    marks = {"X": Marked()}
    owner = account(marks, kind=kind)
    # Spread 1 %, commission 1 %: 88 shares at 110.75 x 1.01.
    trade(owner, "buy", 88, "111.8575", fee="98.4346")
    marks["X"].bid = n("109.4")
    assert f"{(owner.equity() or 0) / 1e9:.2f}" == "9685.31"
    trade(owner, "sell", 88, "111.24", fee="97.8912")
    assert f"{(owner.equity() or 0) / 1e9:.2f}" == "9749.33"
    # Commission 100 and 1 %, no spread: 47 shares.
    fixed = account(marks, kind=kind)
    trade(fixed, "buy", 47, "110.75", fee="152.0525")
    assert f"{(fixed.equity() or 0) / 1e9:.2f}" == "9784.50"
    trade(fixed, "sell", 47, "111.24", fee="152.2828")
    assert f"{(fixed.equity() or 0) / 1e9:.2f}" == "9718.69"


def test_more_than_the_free_cash_cannot_be_taken_out() -> None:
    marks = {"X": Marked("100")}
    owner = account(marks, kind="margin", leverage="2")
    trade(owner, "buy", 100, 100)
    assert (text(owner.available()), text(owner.withdrawable())) == ("5000", "5000")
    with pytest.raises(ValueError, match="expected at most 5000 USD, got 5001"):
        owner.deposit(n(-5001), 2)
    owner.deposit(n(-5000), 2, reference="out")
    assert owner.take_entries()[-1].kind == "withdrawal"
    assert text(owner.available()) == "0"


def test_what_reconciliation_finds_is_booked_whatever_its_sign() -> None:
    owner = account(initial_capital="0")
    owner.adjust(n("-3.25"), 1, reference="venue says")
    assert text(owner.cash()) == "-3.25"
    assert owner.take_entries()[-1].kind == "adjustment"


def test_a_definition_that_does_not_fit_what_is_held_is_refused() -> None:
    owner = account(None, instrument("F", "future", multiplier=n(50)))
    trade(owner, "buy", 1, 100, market="F")
    owner.define(instrument("F", "future", multiplier=n(50), status="halted"))
    with pytest.raises(ValueError, match="instrument F: expected currency, booking and multiplier"):
        owner.define(instrument("F", "future", multiplier=n(20)))
    trade(owner, "sell", 1, 100, market="F")
    owner.define(instrument("F", "future", multiplier=n(20)))
    trade(owner, "buy", 1, 100, market="F")
    assert text(owner.position("F").cost) == "2000"


def test_a_short_position_is_valued_at_the_ask() -> None:
    owner = account({"X": Marked("99", "101")}, kind="margin")
    trade(owner, "sell", 10, 100)
    assert text(owner.unrealized()) == "-10"
    assert text(owner.equity()) == "9990"
    view = owner.view(owner.position("X"))
    assert (view.side, view.cost, view.unrealized, view.leg) == ("short", "-1000", "-10", "")


def test_money_beyond_64_bits_survives_a_snapshot() -> None:
    marks = {"X": Marked("900000"), "K": Marked("0.5")}
    owner = account(marks, instrument("X"), instrument("K", "prediction"), kind="margin", currency="IDR")
    other = instrument("I", currency="IDR")
    owner.define(other)
    marks["I"] = Marked("999999")
    for market, price in (("I", 900_000), ("X", 900_000), ("K", "0.25")):
        for side in ("buy", "sell", "buy"):
            trade(owner, "buy" if side == "buy" else "sell", 9_000_000_000, price, market=market)
            owner.seen(market, n(price), n(price) + 5)
    owner.settle("K", n(1), 5, reference="s")
    owner.deposit(10**30, 5)
    assert owner.sample(6) is None, "USD has no rate"
    restored = account(marks, kind="margin", currency="IDR")
    restored.restore(owner.snapshot())
    assert restored.snapshot() == owner.snapshot()
    assert restored.open_trades(6) == owner.open_trades(6)
    assert restored.take_trades() == owner.take_trades()
    restored.unsettle("K", "s", 6)
    assert restored.position("K").cost == n(9_000_000_000) // 4


def test_a_snapshot_of_another_account_is_refused() -> None:
    with pytest.raises(ValueError, match="snapshot: expected one of"):
        account(account_id="b").restore(account().snapshot())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"leverage": "0.5"}, "leverage of 'leverage': expected 1 or more"),
        ({"market_leverage": {"X": "0"}}, "leverage of 'X': expected 1 or more"),
        ({"maintenance": "1.5"}, "maintenance: expected a share"),
        ({"time_zone": "Mars/Olympus"}, "time_zone: expected an IANA name"),
        ({"conversions": {"USD": "1"}}, "expected foreign currencies"),
        ({"precision": {"USD": 10}}, r"<= 9.*precision"),
        ({"initial_capital": "-5"}, "initial_capital"),
        ({"account_id": "a/b"}, "account_id"),
        ({"leverag": "2"}, "unknown field `leverag`"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_their_name(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({"account_id": "a", **wrong}, AccountSettings)
