from __future__ import annotations

from actors.execution.accounts.round_trips import ClosedTrade
from tests.actors.execution.accounts.kit import Marked, account, instrument, n, text, trade


def shown(trip: ClosedTrade) -> tuple[str | None, ...]:
    prices = (trip.entry_price, trip.exit_price)
    return (trip.side, text(trip.size), *map(text, prices), text(trip.pnl), text(trip.fees))


def test_a_round_trip_goes_from_flat_to_flat() -> None:
    owner = account()
    trade(owner, "buy", 10, 100, fee="1", ts=1, deployment="d", signal_id="s1", decision_id="c1", client_order_id="o1")
    trade(owner, "buy", 30, 104, fee="3", ts=2, deployment="d", signal_id="s2", client_order_id="o2")
    trade(owner, "sell", 20, 110, fee="2", ts=3, deployment="d", client_order_id="o3")
    assert owner.take_trades() == []
    trade(owner, "sell", 20, 108, fee="2", ts=4, deployment="d", client_order_id="o4", source="bracket")
    (trip,) = owner.take_trades()
    assert shown(trip) == ("long", "40", "103", "109", "232", "8")
    assert (trip.entry_ts, trip.exit_ts, trip.trade_id, trip.open, trip.replaces) == (1, 4, 1, False, 0)
    assert (trip.deployment_id, trip.signal_id, trip.decision_id) == ("d", "s1", "c1")
    assert (trip.client_order_id, trip.exit_client_order_id, trip.exit_reason) == ("o1", "o4", "bracket")
    assert text(trip.entry_cost) == "4120"
    assert text(trip.return_) == "0.05631068", "232 of 4120"
    assert owner.take_trades() == []


def test_a_flip_ends_one_and_begins_the_next_and_shares_its_fee_by_size() -> None:
    owner = account(kind="margin")
    trade(owner, "sell", 10, 100, fee="1", ts=1)
    trade(owner, "buy", 40, 90, fee="4", ts=2)
    trade(owner, "sell", 30, 80, fee="3", ts=3)
    first, second = owner.take_trades()
    assert shown(first) == ("short", "10", "100", "90", "98", "2")
    assert shown(second) == ("long", "30", "90", "80", "-306", "6")
    assert (second.trade_id, second.entry_ts) == (2, 2)
    equity = owner.equity()
    assert equity is not None
    assert equity - n(10000) == first.pnl + second.pnl


def test_each_deployment_has_round_trips_of_its_own() -> None:
    owner = account()
    trade(owner, "buy", 1, 100, deployment="d1")
    trade(owner, "buy", 1, 110, deployment="d2")
    trade(owner, "sell", 1, 120, deployment="d2")
    trade(owner, "sell", 1, 120, deployment="d1")
    first, second = owner.take_trades()
    assert (first.deployment_id, text(first.pnl), first.trade_id) == ("d2", "10", 1), "numbered as they end"
    assert (second.deployment_id, text(second.pnl), second.trade_id) == ("d1", "20", 2)


def test_excursions_are_the_worst_and_best_unrealised_profit_on_the_way() -> None:
    owner = account()
    owner.seen("X", n(1), n(1000))
    trade(owner, "buy", 10, 100)
    owner.seen("X", n(95), n(103))
    owner.seen("X", n(97), n(99))
    trade(owner, "buy", 10, 110)
    owner.seen("X", n(104), n(111))
    trade(owner, "sell", 15, 111)
    owner.seen("X", n(50), n(51))
    owner.seen("Y", n(1), n(2))
    trade(owner, "sell", 5, 50)
    (trip,) = owner.take_trades()
    assert text(trip.mae) == "-275", "the last five at 50"
    assert text(trip.mfe) == "120", "twenty at 111"


def test_what_was_seen_counts_for_the_quantity_that_was_held_then() -> None:
    owner = account()
    trade(owner, "buy", 10, 100)
    owner.seen("X", n(95), n(103))
    trade(owner, "buy", 90, 95)
    trade(owner, "sell", 100, 96)
    (trip,) = owner.take_trades()
    assert (text(trip.mae), text(trip.mfe)) == ("-50", "30"), "ten of them, and not a hundred"


def test_excursions_of_a_short_trade_have_the_other_sign() -> None:
    owner = account(kind="margin")
    trade(owner, "sell", 10, 100)
    owner.seen("X", n(95), n(103))
    trade(owner, "buy", 10, 100)
    (trip,) = owner.take_trades()
    assert (text(trip.mae), text(trip.mfe)) == ("-30", "50")


def test_without_a_price_on_the_way_there_are_no_excursions() -> None:
    owner = account()
    trade(owner, "buy", 10, 100)
    trade(owner, "sell", 10, 101)
    (trip,) = owner.take_trades()
    assert (trip.mae, trip.mfe) == (None, None)


def test_fees_in_another_currency_are_named_and_not_subtracted() -> None:
    owner = account()
    trade(owner, "buy", 10, 100, fee="0.01", fee_currency="BNB")
    trade(owner, "sell", 10, 101, fee="0.02", fee_currency="BNB")
    (trip,) = owner.take_trades()
    assert (text(trip.pnl), text(trip.fees), trip.other_fees) == ("10", "0", (("BNB", n("0.03")),))


def test_a_multiplier_is_in_the_money_and_not_in_the_prices() -> None:
    owner = account(None, instrument("F", "future", multiplier=n(50)))
    trade(owner, "buy", 2, 4500, market="F")
    owner.seen("F", n(4499), n(4501))
    trade(owner, "sell", 2, "4500.5", market="F")
    (trip,) = owner.take_trades()
    assert shown(trip) == ("long", "2", "4500", "4500.5", "50", "0")
    assert (text(trip.mae), text(trip.mfe)) == ("-100", "100")


def test_open_trades_end_at_the_exit_price_and_stay_open() -> None:
    marks = {"X": Marked("108", "109"), "Y": Marked()}
    owner = account(marks, instrument("X"), instrument("Y"))
    trade(owner, "buy", 10, 100, fee="1")
    trade(owner, "sell", 5, 104, fee="1")
    trade(owner, "buy", 1, 100, market="Y")
    (trip,) = owner.open_trades(9)
    assert shown(trip) == ("long", "10", "100", "106", "58", "2")
    assert (trip.open, trip.exit_ts, trip.exit_reason, trip.trade_id) == (True, 9, "end_of_data", 0)
    trade(owner, "sell", 5, 108)
    assert shown(owner.take_trades()[0]) == ("long", "10", "100", "106", "58", "2")


def test_a_settlement_closes_a_trade_and_its_reversal_opens_it_again() -> None:
    owner = account({}, instrument("K", "prediction"))
    trade(owner, "buy", 10, "0.40", market="K", ts=1, deployment="d")
    owner.seen("K", n("0.1"), n("0.9"))
    owner.settle("K", n(1), 5, reference="s")
    (closed,) = owner.take_trades()
    assert (closed.exit_reason, text(closed.exit_price), text(closed.pnl)) == ("settlement", "1", "6")
    owner.unsettle("K", "s", 6)
    (recalled,) = owner.take_trades()
    assert (recalled.trade_id, recalled.replaces, recalled.open) == (2, 1, True)
    assert recalled.exit_reason == "settlement_reversed"
    owner.settle("K", 0, 7, reference="t")
    (again,) = owner.take_trades()
    assert (again.trade_id, again.replaces, again.open, text(again.pnl)) == (3, 2, False, "-4")
    assert (text(again.mae), text(again.mfe)) == ("-3", "5")


def test_a_trade_that_went_on_after_a_settlement_takes_in_what_a_reversal_gives_back() -> None:
    owner = account({}, instrument("K", "prediction"))
    trade(owner, "buy", 10, "0.40", market="K", ts=1)
    owner.settle("K", n(1), 5, reference="s")
    trade(owner, "buy", 10, "0.60", market="K", ts=6)
    owner.unsettle("K", "s", 7)
    assert [(trip.trade_id, trip.replaces, trip.open) for trip in owner.take_trades()] == [(1, 0, False), (2, 1, True)]
    trade(owner, "sell", 20, "0.70", market="K", ts=8)
    (trip,) = owner.take_trades()
    assert (trip.trade_id, trip.replaces, text(trip.entry_price), text(trip.pnl)) == (3, 0, "0.5", "4")


def test_funding_is_part_of_a_trades_profit() -> None:
    from tests.actors.execution.accounts.test_funding import told

    owner = account({}, instrument("P", "perpetual"), kind="margin")
    trade(owner, "buy", 100, 100, market="P", ts=1)
    owner.funding(told("0.0001", 5), 5)
    trade(owner, "sell", 100, 101, market="P", ts=9)
    (trip,) = owner.take_trades()
    assert (text(trip.funding), text(trip.pnl)) == ("1", "99")
