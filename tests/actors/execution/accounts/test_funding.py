from __future__ import annotations

import pytest

from protocols.market import Funding
from tests.actors.execution.accounts.kit import HOUR, Marked, account, instrument, n, text, trade

PERPETUAL = instrument("P", "perpetual")


def told(rate: str, next_ts: int, mark: str | None = "100", market: str = "P", ts: int = 0) -> Funding:
    return Funding(market, rate, next_ts, None if mark is None else n(mark), None, ts, ts)


def test_a_long_position_pays_a_positive_rate_on_its_notional_at_the_mark_price() -> None:
    # 10 000 of notional at 0.01 % is 1; the mark price counts and not the entry price.
    owner = account({"P": Marked("120")}, PERPETUAL, kind="margin", leverage="10")
    trade(owner, "buy", 100, 90, market="P", deployment="d")
    owner.take_entries()
    owner.funding(told("0.0001", 8 * HOUR), 8 * HOUR)
    (entry,) = owner.take_entries()
    assert (entry.kind, entry.reference, entry.market, entry.deployment_id) == (
        "funding",
        f"funding:{8 * HOUR}",
        "P",
        "d",
    )
    assert [(each.account, text(each.amount)) for each in entry.postings] == [("cash", "-1"), ("funding", "1")]
    assert text(owner.funding_paid()) == text(owner.position("P").funding) == "1"


@pytest.mark.parametrize(
    ("side", "rate", "paid"), [("sell", "0.0001", "-1"), ("buy", "-0.0001", "-1"), ("sell", "-1e-4", "1")]
)
def test_the_other_side_and_the_other_sign_turn_it_round(side: str, rate: str, paid: str) -> None:
    owner = account({}, PERPETUAL, kind="margin", leverage="10")
    trade(owner, "buy" if side == "buy" else "sell", 100, 90, market="P")
    owner.funding(told(rate, 8 * HOUR), 8 * HOUR)
    assert text(owner.funding_paid()) == paid


def test_a_rate_is_paid_once_when_its_period_ends_with_what_was_told_last() -> None:
    owner = account({}, PERPETUAL, kind="margin", leverage="10")
    trade(owner, "buy", 100, 90, market="P")
    owner.funding(told("0.0001", 8 * HOUR), 1 * HOUR)
    owner.funding(told("0.0003", 8 * HOUR, "200"), 7 * HOUR)
    assert owner.funding_paid() == 0
    assert owner.due() == 8 * HOUR
    owner.advance(8 * HOUR - 1)
    assert owner.funding_paid() == 0
    owner.advance(8 * HOUR)
    assert text(owner.funding_paid()) == "6"
    assert owner.due() is None
    owner.funding(told("0.0003", 8 * HOUR, "200"), 9 * HOUR)
    owner.advance(20 * HOUR)
    assert text(owner.funding_paid()) == "6", "a repeat of a period that is paid"


def test_a_rate_of_the_next_period_pays_the_one_before_it() -> None:
    owner = account({}, PERPETUAL, kind="margin", leverage="10")
    trade(owner, "buy", 100, 90, market="P")
    owner.funding(told("0.0001", 8 * HOUR), 1 * HOUR)
    owner.funding(told("0.0005", 16 * HOUR), 9 * HOUR)
    assert text(owner.funding_paid()) == "1"
    assert owner.due() == 16 * HOUR


def test_without_a_price_it_is_owed_on_what_was_held_until_there_is_one() -> None:
    marks = {"P": Marked()}
    owner = account(marks, PERPETUAL, kind="margin", leverage="10")
    trade(owner, "buy", 100, 90, market="P")
    owner.funding(told("0.0001", 8 * HOUR, None), 8 * HOUR)
    assert owner.funding_paid() == 0
    assert owner.due() is None
    trade(owner, "sell", 100, 90, market="P")
    restored = account(marks, kind="margin", leverage="10")
    restored.restore(owner.snapshot())
    marks["P"].bid, marks["P"].ask = n(99), n(101)
    for each in (owner, restored):
        each.advance(9 * HOUR)
        assert text(each.funding_paid()) == "1"


def test_who_holds_nothing_pays_nothing() -> None:
    owner = account({}, PERPETUAL)
    owner.take_entries()
    owner.funding(told("0.0001", 8 * HOUR), 8 * HOUR)
    assert owner.take_entries() == []


def test_deployments_share_what_is_paid_to_the_nano() -> None:
    owner = account({}, PERPETUAL, kind="margin", leverage="10")
    for deployment in ("d1", "d2", "d3"):
        trade(owner, "buy", "0.01", 100, market="P", deployment=deployment)
    trade(owner, "sell", "0.02", 100, market="P", deployment="d4")
    owner.funding(told("0.0000000155", 8 * HOUR, "100"), 8 * HOUR)
    parts = [owner.deployment_positions(name)[0].funding for name in ("d1", "d2", "d3", "d4")]
    assert sum(parts) == owner.funding_paid() == 16, "15.5 to the even one"
    assert parts[:3] == [16, 16, 16]


def test_a_rate_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="'much'"):
        account({}, PERPETUAL).funding(told("much", 8 * HOUR), 1)
