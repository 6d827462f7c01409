"""A book of orders: by hand, against a naive model, and on a recorded opening of a futures contract."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.market.importers.dbn import read_orders
from actors.market.l3 import Gap, OrderBook, QueuePosition, RestingOrder
from protocols.market import Level, OrderAction, OrderUpdate, Side


class Feed:
    """A book and the records that it gets."""

    def __init__(self, *, clear: bool = True) -> None:
        self.book = OrderBook("M")
        self.seq = 0
        if clear:
            self.tell("clear")

    def record(
        self,
        action: OrderAction,
        order_id: int = 0,
        side: Side | None = None,
        price: int = 0,
        size: int = 0,
        *,
        last: bool = True,
        session: str = "s",
        snapshot: bool = False,
    ) -> OrderUpdate:
        self.seq += 1
        return OrderUpdate("M", action, order_id, side, price, size, last, session, self.seq, 5, 6, snapshot)

    def tell(
        self,
        action: OrderAction,
        order_id: int = 0,
        side: Side | None = None,
        price: int = 0,
        size: int = 0,
        *,
        last: bool = True,
    ) -> tuple[int | None, int, int | None, int] | None:
        """What the quote says, if there is one."""
        quote = self.book.apply(self.record(action, order_id, side, price, size, last=last))
        return None if quote is None else (quote.bid, quote.bid_size, quote.ask, quote.ask_size)


def test_orders_of_one_price_are_one_level_and_stand_in_the_order_of_their_arrival() -> None:
    feed = Feed()
    assert feed.tell("add", 1, "bid", 40, 5) == (40, 5, None, 0)
    assert feed.tell("add", 2, "bid", 40, 3) == (40, 8, None, 0)
    assert feed.tell("add", 3, "bid", 39, 9) is None
    assert feed.tell("add", 4, "ask", 42, 1) == (40, 8, 42, 1)
    book = feed.book
    assert book.view().bids == (Level(40, 8), Level(39, 9))
    assert book.queue("bid", 40) == (RestingOrder(1, "bid", 40, 5), RestingOrder(2, "bid", 40, 3))
    assert book.position(2) == QueuePosition(orders_ahead=1, size_ahead=5, orders=2, size=8)
    assert (book.mid(), book.spread(), book.vwap("bid", 10)) == (41, 2, 39.8)
    assert (book.order(9), book.position(9), book.queue("ask", 50)) == (None, None, ())


def test_an_order_that_gets_smaller_keeps_its_place_and_any_other_change_loses_it() -> None:
    feed = Feed()
    for order_id in (1, 2, 3):
        feed.tell("add", order_id, "bid", 40, 5)
    feed.tell("modify", 1, "bid", 40, 2)
    assert [each.order_id for each in feed.book.queue("bid", 40)] == [1, 2, 3]
    feed.tell("modify", 1, "bid", 40, 3)
    assert [each.order_id for each in feed.book.queue("bid", 40)] == [2, 3, 1]
    feed.tell("modify", 2, "bid", 41, 5)
    feed.tell("modify", 2, "bid", 40, 5)
    assert [each.order_id for each in feed.book.queue("bid", 40)] == [3, 1, 2]
    feed.tell("cancel", 3, "bid", 40, 1)
    assert feed.book.position(3) == QueuePosition(0, 0, 3, 12)
    feed.tell("cancel", 3, "bid", 40, 4)
    assert feed.book.position(1) == QueuePosition(0, 0, 2, 8)


def test_a_trade_and_a_fill_change_nothing_until_the_venue_takes_the_order_back() -> None:
    feed = Feed()
    feed.tell("add", 1, "ask", 42, 5)
    assert feed.tell("trade", 7, "bid", 42, 2, last=False) is None
    assert feed.tell("fill", 1, "ask", 42, 2, last=False) is None
    assert feed.book.order(1) == RestingOrder(1, "ask", 42, 5)
    assert feed.tell("modify", 1, "ask", 42, 3) == (None, 0, 42, 3)


def test_an_event_is_judged_at_its_last_record() -> None:
    feed = Feed()
    feed.tell("add", 1, "ask", 42, 5)
    assert feed.tell("add", 2, "bid", 43, 5, last=False) is None
    assert feed.tell("cancel", 1, "ask", 42, 5) == (43, 5, None, 0)
    with pytest.raises(Gap, match="crossed: 43 over 41"):
        feed.tell("add", 3, "ask", 41, 5)
    assert feed.book.stale == "crossed"


def test_a_snapshot_is_quoted_when_it_is_whole() -> None:
    feed = Feed(clear=False)
    assert feed.tell("add", 1, "bid", 40, 5) is None
    assert (feed.book.stale, feed.book.dropped) == ("no_snapshot", 1)
    for record in (
        feed.record("clear", snapshot=True, last=False),
        feed.record("add", 1, "bid", 40, 5, snapshot=True, last=False),
        feed.record("add", 2, "ask", 42, 5, snapshot=True, last=False),
    ):
        assert feed.book.apply(record) is None
    assert feed.book.stale == "loading"
    feed.seq = 0
    quote = feed.book.apply(feed.record("add", 3, "bid", 41, 1))
    assert quote is not None
    assert (quote.bid, quote.ask, feed.book.stale) == (41, 42, "")


@pytest.mark.parametrize(
    ("action", "order_id", "side", "price", "size", "reason"),
    [
        ("cancel", 9, "bid", 40, 1, "unknown_order"),
        ("modify", 9, "bid", 40, 1, "unknown_order"),
        ("add", 1, "bid", 40, 1, "known_order"),
        ("add", 2, None, 40, 1, "no_side"),
        ("add", 2, "bid", 40, 0, "negative_size"),
        ("cancel", 1, "bid", 40, 6, "negative_size"),
        ("modify", 1, "bid", 40, -1, "negative_size"),
    ],
)
def test_what_cannot_be_is_a_gap_and_all_is_dropped_until_the_book_is_cleared(
    action: OrderAction, order_id: int, side: Side | None, price: int, size: int, reason: str
) -> None:
    feed = Feed()
    feed.tell("add", 1, "bid", 40, 5)
    with pytest.raises(Gap, match=reason):
        feed.tell(action, order_id, side, price, size)
    assert feed.book.stale == reason
    assert feed.tell("add", 5, "bid", 44, 1) is None
    assert feed.book.dropped == 1
    feed.tell("clear")
    assert feed.tell("add", 5, "bid", 44, 1) == (44, 1, None, 0)


def test_a_number_that_goes_back_or_another_session_is_a_gap() -> None:
    feed = Feed()
    feed.tell("add", 1, "bid", 40, 5)
    feed.seq -= 1
    assert feed.tell("add", 2, "bid", 40, 5) is not None
    feed.seq -= 2
    with pytest.raises(Gap, match="out_of_order"):
        feed.tell("add", 3, "bid", 40, 5)
    feed.tell("clear")
    with pytest.raises(Gap, match="session"):
        feed.book.apply(feed.record("add", 1, "bid", 40, 5, session="other"))


def test_a_change_of_side_is_a_new_place() -> None:
    feed = Feed()
    feed.tell("add", 1, "bid", 40, 5)
    assert feed.tell("modify", 1, "ask", 41, 5) == (None, 0, 41, 5)
    assert feed.tell("modify", 1, None, 41, 0) == (None, 0, None, 0)
    assert len(feed.book) == 0


class Orders(RuleBasedStateMachine):
    """Orders in a list, in priority, against the book. The sides cannot meet."""

    def __init__(self) -> None:
        super().__init__()
        self.feed = Feed()
        self.orders: list[tuple[int, Side, int, int]] = []
        self.made = 0

    def place(self, side: Side, price: int) -> int:
        return price if side == "bid" else price + 100

    @rule(side=st.sampled_from(["bid", "ask"]), price=st.integers(1, 4), size=st.integers(1, 5))
    def add(self, side: Side, price: int, size: int) -> None:
        self.made += 1
        self.orders.append((self.made, side, self.place(side, price), size))
        self.feed.tell("add", *self.orders[-1])

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), price=st.integers(1, 4), size=st.integers(1, 6))
    def modify(self, data: st.DataObject, price: int, size: int) -> None:
        index = data.draw(st.integers(0, len(self.orders) - 1))
        order_id, side, old_price, old_size = self.orders[index]
        order = (order_id, side, self.place(side, price), size)
        if order[2] == old_price and size <= old_size:
            self.orders[index] = order
        else:
            del self.orders[index]
            self.orders.append(order)
        self.feed.tell("modify", *order)

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.orders) - 1))
        order_id, side, price, size = self.orders[index]
        taken = data.draw(st.integers(1, size))
        if taken == size:
            del self.orders[index]
        else:
            self.orders[index] = (order_id, side, price, size - taken)
        self.feed.tell("cancel", order_id, side, price, taken)

    @rule()
    def clear(self) -> None:
        self.orders.clear()
        self.feed.tell("clear")

    @invariant()
    def shows_its_orders(self) -> None:
        book = self.feed.book
        levels: Counter[tuple[Side, int]] = Counter()
        for _, side, price, size in self.orders:
            levels[(side, price)] += size
        view = book.view()
        assert [(each.price, each.size) for each in view.bids] == sorted(
            ((price, size) for (side, price), size in levels.items() if side == "bid"), reverse=True
        )
        assert [(each.price, each.size) for each in view.asks] == sorted(
            (price, size) for (side, price), size in levels.items() if side == "ask"
        )
        for side, price in levels:
            queue = [order for order in self.orders if order[1:3] == (side, price)]
            assert list(book.queue(side, price)) == queue
            ahead = book.position(queue[-1][0])
            assert ahead is not None
            assert (ahead.orders_ahead, ahead.size_ahead) == (len(queue) - 1, sum(each[3] for each in queue[:-1]))
        assert len(book) == len(self.orders)


TestOrders = Orders.TestCase


@pytest.mark.recordings
def test_the_opening_of_a_futures_contract_is_a_book_without_a_gap(recordings: Path) -> None:
    updates = list(read_orders(recordings / "databento-glbx-mbo-20240508-2s.dbn.zst"))
    assert Counter(update.action for update in updates) == {
        "clear": 1,
        "add": 13_678,
        "cancel": 80,
        "modify": 27,
        "trade": 5,
        "fill": 5,
    }
    book = OrderBook(updates[0].market)
    quotes = [quote for quote in map(book.apply, updates) if quote is not None]
    assert book.stale == ""
    assert all(quote.bid is not None and quote.ask is not None and quote.bid < quote.ask for quote in quotes)
    # Independently: orders in a dict, summed at the end.
    orders: dict[int, tuple[Side, int, int]] = {}
    for update in updates:
        if update.action in ("add", "modify"):
            assert update.side is not None
            orders[update.order_id] = (update.side, update.price, update.size)
        elif update.action == "cancel":
            side, price, size = orders.pop(update.order_id)
            if size > update.size:
                orders[update.order_id] = (side, price, size - update.size)
    levels: Counter[tuple[Side, int]] = Counter()
    for side, price, size in orders.values():
        levels[(side, price)] += size
    view = book.view()
    assert len(book) == len(orders)
    assert {("bid", *level) for level in ((each.price, each.size) for each in view.bids)} | {
        ("ask", *level) for level in ((each.price, each.size) for each in view.asks)
    } == {(side, price, size) for (side, price), size in levels.items()}
