"""Costs whose answers are worked out by hand."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from actors.research.analysis.costs import GroupCost, OrderCost, groups, multiplier, order_costs
from actors.research.analysis.journal_replay import replay
from actors.research.analysis.market_track import Prices, Watcher, from_sources
from actors.research.analysis.order_log import line_of, stories
from actors.research.analysis.tca_command import tca
from actors.research.backtest.sources import TableSource
from protocols.control import Refused
from protocols.market import BookStale
from tests.actors.execution.kit import SECOND, Desk, nanos
from tests.actors.research.analysis.kit import SYNTHETIC, configuration, journal_of, written
from tests.actors.research.backtest.kit import BEGIN, bars, quotes

AFTER = ((1, 101, 103), (10, 102, 104), (60, 98, 100), (300, 109, 111), (301, 109, 111))


def one(side: str = "buy", *, until: int = 301) -> Desk:
    """2 at the market when it is 100 to 101; the mid is 102, 103, 99, 110 after 1, 10, 60, 300 seconds."""
    desk = Desk(account={"kind": "margin"})
    desk.quote(100, 101)
    began = desk.ts
    desk.submit(desk.order("o", side, 2, marks=SYNTHETIC))
    for seconds, bid, ask in AFTER:
        if seconds <= until:
            desk.quote(bid, ask, later=began + seconds * SECOND - desk.ts)
    return desk


def prices_of(desk: Desk) -> Prices:
    watcher = Watcher()
    replay(desk.engine.settings, journal_of(desk).rows, observers=(watcher,))
    return watcher.prices


def costs_of(desk: Desk) -> list[OrderCost]:
    return order_costs(stories(desk.events).values(), prices_of(desk))


def whole(desk: Desk) -> GroupCost:
    return groups(costs_of(desk))[0]


def test_a_buy_at_the_ask_costs_half_the_spread_on_arrival() -> None:
    found = whole(one())
    assert found.arrival.money == {"USD": nanos(1)}  # 2 · (101 - 100.5)
    assert found.arrival.bps == pytest.approx(10_000 * 0.5 / 100.5)
    assert found.effective.bps == pytest.approx(10_000 * 2 * 0.5 / 100.5)
    assert found.effective.money["USD"] == pytest.approx(nanos(202 * 0.5 / 100.5))
    assert found.fees == {"USD": nanos(0.202)}
    assert found.fees_bps == pytest.approx(10)
    assert (found.fill_ratio, found.first_ns, found.complete_ns) == (1.0, 0, 0)


def test_a_sell_at_the_bid_has_the_same_costs_and_the_other_markouts() -> None:
    found = whole(one("sell"))
    assert found.arrival.money == {"USD": nanos(1)}  # 2 · -(100 - 100.5)
    assert found.effective.bps == pytest.approx(10_000 * 2 * 0.5 / 100.5)
    assert [figure.bps for figure in found.markouts.values()] == pytest.approx([-200, -300, 100, -1000])
    assert found.realised.bps == pytest.approx(10_000 * 2 * 10 / 100.5)


def test_markouts_and_the_realised_spread_look_at_the_mid_later() -> None:
    found = whole(one())
    shares = [1 / 101, 2 / 101, -2 / 101, 9 / 101]
    assert [figure.bps for figure in found.markouts.values()] == pytest.approx([10_000 * each for each in shares])
    assert [figure.money["USD"] for figure in found.markouts.values()] == [nanos(2), nanos(4), nanos(-4), nanos(18)]
    assert found.realised.bps == pytest.approx(10_000 * 2 * (101 - 110) / 100.5)


def test_what_lies_behind_the_data_is_unknown_and_counted() -> None:
    found = whole(one(until=60))
    last = found.markouts[300 * SECOND]
    assert (last.bps, last.money, last.known, last.unknown) == (None, {}, 0, 1)
    assert found.realised.bps is None
    assert found.markouts[60 * SECOND].bps == pytest.approx(-10_000 * 2 / 101)


def test_the_shortfall_has_fees_and_what_was_not_filled() -> None:
    desk = one()
    found = whole(desk)
    assert found.shortfall is not None
    assert found.shortfall.money == {"USD": nanos(1.202)}
    assert found.shortfall.bps == pytest.approx(10_000 * 1.202 / 201)
    waiting = Desk()
    waiting.quote(100, 101)
    waiting.submit(waiting.order("o", "buy", 2))
    waiting.submit(waiting.order("low", "buy", 3, "limit", price=90, time_in_force="GTD", expires=5 * SECOND))
    waiting.quote(104, 105, later=10 * SECOND)
    low = costs_of(waiting)[1]
    assert (low.state, low.opportunity) == ("expired", 0)  # the mid was still 100.5 when it expired
    group = groups(costs_of(waiting))[0]
    assert group.fill_ratio == pytest.approx(2 / 5)
    waiting = Desk()
    waiting.quote(100, 101)
    waiting.submit(waiting.order("o", "buy", 2))
    waiting.submit(waiting.order("low", "buy", 3, "limit", price=90, time_in_force="GTD", expires=15 * SECOND))
    waiting.quote(104, 105, later=10 * SECOND)
    waiting.quote(104, 105, later=10 * SECOND)
    assert costs_of(waiting)[1].opportunity == nanos(3 * 4)  # 3 · (104.5 - 100.5)
    lost = groups(costs_of(waiting))[0].shortfall
    assert lost is not None
    assert lost.money == {"USD": nanos(1 + 0.202 + 12)}


def test_what_a_bracket_left_unfilled_is_no_loss() -> None:
    desk = Desk()
    desk.quote(100, 101)
    desk.submit(desk.order("in", "buy", 1))
    desk.submit(
        desk.order("up", "sell", 1, "limit", price=110, reduce_only=True, oco="pair"),
        desk.order("down", "sell", 1, "stop", stop_price=90, reduce_only=True, oco="pair"),
    )
    desk.quote(111, 112)
    desk.quote(111, 112)
    found = {cost.client_order_id: cost for cost in costs_of(desk)}
    assert (found["down"].state, found["down"].opportunity) == ("cancelled", 0)


def test_an_order_that_never_came_to_the_venue_is_not_counted_as_unfilled() -> None:
    desk = Desk()
    desk.quote(100, 101)
    desk.submit(desk.order("o", "buy", 2))
    desk.submit(desk.order("huge", "sell", 50))
    desk.quote(100, 101)
    found = whole(desk)
    assert (found.orders, found.sent, found.fill_ratio) == (2, 1, 1.0)


def test_the_multiplier_is_read_from_what_was_booked_rounded_or_not() -> None:
    assert multiplier(nanos(202), nanos(101) * nanos(2)) == 1
    assert multiplier(nanos(202.01), nanos(101.0033) * nanos(2)) == 1  # 202.0066, to the cent
    assert multiplier(nanos(10_100), nanos(101) * nanos(2)) == 50
    assert multiplier(nanos(0.0202), nanos(101) * nanos(0.002)) == Fraction(1, 10)


def test_makers_and_takers_are_told_apart() -> None:
    desk = Desk()
    desk.quote(100, 102)
    desk.submit(desk.order("take", "buy", 1))
    desk.submit(desk.order("make", "buy", 1, "limit", price=100))
    desk.trade(99, 50, "sell")
    desk.quote(97, 99)
    desk.quote(97, 99)
    found = {group.name: group for group in groups(costs_of(desk)) if group.by == "liquidity"}
    assert found["taker"].effective.bps == pytest.approx(10_000 * 2 * 1 / 101)
    assert found["maker"].effective.bps == pytest.approx(-10_000 * 2 * 1 / 101)  # it earned half the spread
    assert found["maker"].markouts[SECOND].bps == pytest.approx(-10_000 * 2 / 100)  # and the price went on
    assert found["maker"].fill_ratio is None


def test_while_a_book_is_not_current_its_price_is_unknown() -> None:
    desk = Desk()
    desk.quote(100, 101)
    desk.submit(desk.order("o", "buy", 2))
    desk.say(BookStale(market="X", feed="f", reason="sequence", ts=desk.ts + 1), 1)
    desk.quote(104, 105, later=10 * SECOND - 1)
    desk.quote(104, 105, later=SECOND)
    found = whole(desk)
    assert found.markouts[SECOND].unknown == 1
    assert found.markouts[10 * SECOND].bps == pytest.approx(10_000 * 3.5 / 101)


def test_groups_add_up() -> None:
    desk = one()
    desk.submit(desk.order("back", "sell", 2, marks=SYNTHETIC))
    desk.quote(109, 111, later=400 * SECOND)
    found = groups(costs_of(desk))
    sides = [group for group in found if group.by == "side"]
    assert [group.name for group in sides] == ["buy", "sell"]
    assert sum(group.arrival.money["USD"] for group in sides) == found[0].arrival.money["USD"]
    assert sum(group.fills for group in sides) == found[0].fills == 2


def test_prices_of_tables_are_mids_and_closes() -> None:
    table = quotes(10)
    prices = from_sources([TableSource(table)])
    bid, ask = int(table.columns["bid"][3]), int(table.columns["ask"][3])
    assert prices.mid("A", BEGIN + 3 * SECOND + 5) == (bid + ask) // 2
    assert prices.before("A", BEGIN) is None
    assert prices.mid("A", BEGIN + 10 * SECOND) is None
    rows = bars(4)
    closes = from_sources([TableSource(rows)])
    assert closes.mid("A", int(rows.columns["end"][1])) == int(rows.columns["close"][1])


def test_the_command_says_what_it_does_not_know(tmp_path: Path) -> None:
    desk = one(until=60)
    own = configuration(tmp_path)
    text, data = tca([str(written(desk, tmp_path / "j.jsonl")), "--horizon", "1", "--horizon", "300"], own)
    everything = data["groups"][0]
    assert everything["arrival_slippage"]["money"] == {"USD": "1"}
    assert everything["markouts"]["300s"] == {"bps": None, "money": None, "known": 0, "unknown": 1}
    assert "unknown" in text
    assert data["marks"] == ["synthetic"]
    log = tmp_path / "orders.jsonl"
    log.write_bytes(b"".join(line_of(event) + b"\n" for event in desk.events))
    text, data = tca([str(log)], own)
    assert data["groups"][0]["arrival_slippage"]["money"] is None
    assert "no prices of X" in text


@pytest.mark.parametrize(
    ("arguments", "field"),
    [([], "run"), (["--real", "x"], "real"), (["x", "--horizon", "0"], "horizon")],
)
def test_what_cannot_be_done_names_its_field(arguments: list[str], field: str, tmp_path: Path) -> None:
    if arguments[:1] == ["x"]:
        arguments = [str(written(one(), tmp_path / "x.jsonl")), *arguments[1:]]
    if "--real" in arguments:
        (tmp_path / "x").write_text("")
        arguments = ["--real", str(tmp_path / "x"), "--data", str(tmp_path)]
    with pytest.raises(Refused) as refused:
        tca(arguments, configuration(tmp_path))
    assert refused.value.field == field
