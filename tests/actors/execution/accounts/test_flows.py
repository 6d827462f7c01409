"""Random flows: what must hold after every event, whatever comes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.execution.accounts.account import Account
from actors.execution.accounts.settings import AccountSettings
from protocols.market import Funding
from protocols.orders import NewOrder, VenueFilled
from tests.actors.execution.accounts.kit import HOUR, Marked, instrument, n

INSTRUMENTS = (
    instrument("S", "spot", "USD", base="BTC"),
    instrument("E", "equity"),
    instrument("P", "perpetual"),
    instrument("F", "future", multiplier=n(50)),
    instrument("K", "prediction"),
    instrument("U", "perpetual", "EUR"),
)
MARKETS = {each.market: each for each in INSTRUMENTS}
CURRENCIES = ("USD", "EUR", "BNB")

Event = tuple[Any, ...]
names = st.sampled_from(sorted(MARKETS))
fills = st.tuples(
    st.just("fill"),
    names,
    st.booleans(),
    st.integers(1, 10**11),
    st.integers(1, 999_999_999),
    st.integers(-(10**7), 10**8),
    st.sampled_from(("USD", "EUR", "BNB", "BTC")),
    st.sampled_from(("", "d1", "d2")),
    st.sampled_from(("", "long", "short")),
    st.booleans(),
)
events = st.one_of(
    fills,
    fills,
    fills,
    st.tuples(st.just("funding"), st.sampled_from(("P", "U")), st.integers(-(10**6), 10**6), st.booleans()),
    st.tuples(st.just("settle"), st.sampled_from(("K", "F")), st.integers(0, 10**9)),
    st.tuples(st.just("unsettle"), st.sampled_from(("K", "F"))),
    st.tuples(st.just("deposit"), st.sampled_from(CURRENCIES), st.integers(0, 10**13)),
    st.tuples(st.just("adjust"), st.sampled_from(CURRENCIES), st.integers(-(10**13), 10**13)),
    st.tuples(st.just("convert"), st.integers(1, 10**12), st.integers(1, 10**12)),
    st.tuples(st.just("seen"), names, st.integers(1, 10**9), st.integers(0, 10**8)),
    st.tuples(st.just("advance")),
)
flows = st.lists(events, min_size=1, max_size=25)
kinds = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(("cash", "margin")),
        "position_mode": st.sampled_from(("netting", "hedging")),
        "leverage": st.sampled_from(("1", "3")),
        "precision": st.sampled_from(({}, {"USD": 2, "EUR": 4})),
    }
)


def new_account(chosen: dict[str, Any], marks: dict[str, Marked]) -> Account:
    return Account(
        AccountSettings(
            account_id="a", initial_capital="1000", conversions={"EUR": "1.1", "BNB": "600", "BTC": "1"}, **chosen
        ),
        marks,
    )


def play(owner: Account, number: int, event: Event) -> object:
    """Have one event happen; the answer is what the account said."""
    ts = number * HOUR
    match event:
        case ("fill", market, buy, size, price, fee, fee_currency, deployment, side, reduce_only):
            if market == "F" and fee_currency == "BTC":
                fee_currency = ""
            made = VenueFilled(
                client_order_id="o",
                fill_id=str(number),
                market=market,
                side="buy" if buy else "sell",
                price=price,
                size=size,
                liquidity="maker",
                fee=fee,
                fee_currency=fee_currency,
                ts=ts,
            )
            return owner.fill(made, order_of(made, deployment, side, reduce_only), ts)
        case ("funding", market, rate, priced):
            text = f"{Decimal(rate).scaleb(-9):f}"
            owner.funding(Funding(market, text, ts + HOUR, 10**8 if priced else None, None, ts, ts), ts)
        case ("settle", market, value):
            owner.settle(market, value, ts, reference=f"s{number}")
        case ("unsettle", market):
            standing = owner._settlements.standing(market)
            if standing is not None:
                owner.unsettle(market, standing.reference, ts)
        case ("deposit", currency, amount):
            owner.deposit(amount, ts, currency=currency)
        case ("adjust", currency, amount):
            owner.adjust(amount, ts, currency=currency, reference=str(number))
        case ("convert", sold, bought):
            owner.convert(sold, "USD", bought, "EUR", ts)
        case ("seen", market, low, more):
            owner.seen(market, low, low + more)
        case _:
            owner.advance(ts)
    return None


def order_of(fill: VenueFilled, deployment: str, side: Any, reduce_only: bool) -> NewOrder:
    return NewOrder(
        client_order_id="o",
        market=fill.market,
        side=fill.side,
        kind="market",
        size=fill.size,
        deployment_id=deployment,
        position_side=side,
        reduce_only=reduce_only,
    )


def balanced(owner: Account, seen: dict[tuple[str, str], int]) -> None:
    """Every new entry adds up to nothing, and the balances are what all entries add up to."""
    for entry in owner.take_entries():
        sums: dict[str, int] = {}
        for posting in entry.postings:
            sums[posting.currency] = sums.get(posting.currency, 0) + posting.amount
            key = (posting.account, posting.currency)
            seen[key] = seen.get(key, 0) + posting.amount
        assert not any(sums.values()), entry
    assert {key: amount for key, amount in seen.items() if amount} == owner.books.ledger.balances()


def check_books(flow: list[Event], chosen: dict[str, Any]) -> None:
    owner = new_account(chosen, {"P": Marked("0.1"), "U": Marked("0.1")})
    owner.open(0)
    for each in INSTRUMENTS:
        owner.define(each)
    seen: dict[tuple[str, str], int] = {}
    for number, event in enumerate(flow, 1):
        play(owner, number, event)
        balanced(owner, seen)
        owner.books.proof()
        for position in owner.positions():
            assert position.quantity != 0
        for market in MARKETS:
            held = sum(owner.deployment_position(name, market) for name in ("", "d1", "d2"))
            assert held == owner.net_position(market)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(flows, kinds)
def test_the_ledger_balances_and_the_parts_add_up_after_every_event(flow: list[Event], chosen: dict[str, Any]) -> None:
    check_books(flow, chosen)


@pytest.mark.long
@settings(max_examples=5000, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(flows, kinds)
def test_the_ledger_balances_over_many_flows(flow: list[Event], chosen: dict[str, Any]) -> None:
    check_books(flow, chosen)


def check_restored(flow: list[Event], chosen: dict[str, Any], cut: int) -> None:
    marks = {name: Marked("0.25", "0.26") for name in MARKETS}
    first = new_account(chosen, marks)
    first.open(0)
    for each in INSTRUMENTS:
        first.define(each)
    cut = min(cut, len(flow))
    for number, event in enumerate(flow[:cut], 1):
        play(first, number, event)
        first.sample(number * HOUR)
    second = new_account(chosen, marks)
    second.restore(first.snapshot())
    told: list[Callable[[Account], object]] = [
        Account.snapshot,
        Account.equity,
        Account.unrealized,
        Account.margin_used,
        Account.available,
        lambda owner: list(owner.net_positions().items()),
        lambda owner: [(each.market, each.side) for each in owner.positions()],
        lambda owner: owner.open_trades(7),
    ]
    for number, event in enumerate(flow[cut:], cut + 1):
        assert play(first, number, event) == play(second, number, event)
        assert first.sample(number * HOUR) == second.sample(number * HOUR)
        for question in told:
            assert question(first) == question(second)
    assert first.take_entries() == second.take_entries()
    assert first.take_trades() == second.take_trades()
    assert first.curve.take_samples() == second.curve.take_samples()
    assert first.snapshot() == second.snapshot()


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(flows, kinds, st.integers(0, 25))
def test_an_account_goes_on_from_its_snapshot_as_if_nothing_had_happened(
    flow: list[Event], chosen: dict[str, Any], cut: int
) -> None:
    check_restored(flow, chosen, cut)


@settings(max_examples=60)
@given(st.lists(fills, min_size=1, max_size=25), kinds)
def test_equity_is_what_was_put_in_less_what_was_paid_plus_what_is_held(
    flow: list[Event], chosen: dict[str, Any]
) -> None:
    """Against a slow account of one currency that knows neither costs, nor margin, nor collateral: in decimals."""
    marks = {name: Marked("0.25", "0.26") for name in MARKETS}
    owner = new_account(chosen, marks)
    owner.open(0)
    for each in INSTRUMENTS:
        owner.define(each)
    cent = Decimal(1).scaleb(-chosen["precision"].get("USD", 9))
    cash = Decimal(1000)
    held: dict[str, Decimal] = {}
    for number, event in enumerate(flow, 1):
        _, market, buy, size, price, fee, *rest = event
        if market == "U":
            continue
        play(owner, number, ("fill", market, buy, size, price, fee, "USD", *rest[1:]))
        quantity = Decimal(size if buy else -size).scaleb(-9)
        notional = quantity * Decimal(price).scaleb(-9) * Decimal(MARKETS[market].multiplier).scaleb(-9)
        cash -= notional.quantize(cent, ROUND_HALF_EVEN) + Decimal(fee).scaleb(-9)
        held[market] = held.get(market, Decimal(0)) + quantity
    if chosen["position_mode"] == "hedging":
        # Long and short positions are left at different prices: let both be the same.
        for mark in marks.values():
            mark.ask = mark.bid
    for market, quantity in held.items():
        price = marks[market].exit(1 if quantity > 0 else -1)
        assert price is not None
        cash += quantity * Decimal(price).scaleb(-9) * Decimal(MARKETS[market].multiplier).scaleb(-9)
    equity = owner.equity()
    assert equity is not None
    # The values of what is held are rounded to a nano, each.
    assert abs(Decimal(equity) - cash.scaleb(9)) <= 2 * len(held)


def check_trades(flow: list[Event]) -> None:
    owner = new_account({"kind": "margin"}, {})
    owner.open(0)
    for each in INSTRUMENTS:
        owner.define(each)
    last = len(flow)
    for number, event in enumerate(flow, 1):
        _, market, buy, size, price, fee, _, deployment, *_ = event
        play(owner, number, ("fill", market, buy, size, price, fee, "", deployment, "", False))
    for deployment in ("", "d1", "d2"):
        for part in owner.deployment_positions(deployment):
            if part.quantity:
                last += 1
                buy, size = part.quantity < 0, abs(part.quantity)
                play(owner, last, ("fill", part.market, buy, size, 10**8, 0, "", deployment, "", False))
    trades = owner.take_trades()
    for currency in ("USD", "EUR"):
        profit = sum(trade.pnl for trade in trades if trade.currency == currency)
        assert profit == owner.realized(currency) - owner.fees_paid(currency)
    assert owner.open_trades(0) == ()
    assert [trade.trade_id for trade in trades] == list(range(1, len(trades) + 1))


@settings(max_examples=50)
@given(st.lists(fills, min_size=1, max_size=20))
def test_round_trips_add_up_to_the_profit_of_an_account_that_is_flat(flow: list[Event]) -> None:
    check_trades(flow)
