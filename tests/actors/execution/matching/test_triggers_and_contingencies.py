from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.execution.matching.contingencies import Contingencies, Follow
from actors.execution.matching.triggers import TriggerBook
from protocols.nanos import NANO
from tests.actors.execution.matching.kit import CENT, order


def test_stops_wait_for_their_price_and_are_triggered_in_the_order_in_which_they_came() -> None:
    book = TriggerBook()
    for name, side, stop in (("b1", "buy", 105), ("s1", "sell", 95), ("b2", "buy", 104)):
        book.add(order(name, side, 1, kind="stop", stop_price=stop), None)
    assert book.move(103 * CENT, 96 * CENT) == []
    assert book.move(105 * CENT, 96 * CENT) == ["b1", "b2"]
    assert book.move(None, 95 * CENT) == ["s1"]
    assert len(book) == 0


def test_a_trailing_stop_follows_away_and_never_comes_back() -> None:
    book = TriggerBook()
    stop = book.add(order("s", "sell", 1, kind="trailing_stop", trail=5), 100 * CENT)
    assert stop.stop == 95 * CENT
    assert book.move(110 * CENT, 110 * CENT) == []
    assert stop.stop == 105 * CENT
    assert book.move(106 * CENT, 106 * CENT) == []
    assert stop.stop == 105 * CENT
    assert book.move(105 * CENT, 105 * CENT) == ["s"]


def test_a_trailing_stop_may_follow_by_a_share_and_begin_with_a_price_of_its_own() -> None:
    book = TriggerBook()
    bought = book.add(order("b", "buy", 1, kind="trailing_stop", trail_share=NANO // 10), 100 * CENT)
    assert bought.stop == 110 * CENT
    book.move(50 * CENT, 50 * CENT)
    assert bought.stop == 55 * CENT
    sold = book.add(order("s", "sell", 1, kind="trailing_stop", trail=5, stop_price=98), 100 * CENT)
    assert sold.stop == 98 * CENT


def test_an_amended_stop_waits_for_its_new_price() -> None:
    book = TriggerBook()
    book.add(order("s", "sell", 1, kind="stop", stop_price=95), None)
    book.amend("s", 90 * CENT)
    assert book.move(95 * CENT, 95 * CENT) == []
    assert book.move(90 * CENT, 90 * CENT) == ["s"]


def bracket() -> Contingencies:
    links = Contingencies()
    assert links.add(order("p", "buy", 100, 50), live=False)
    assert not links.add(order("tp", "sell", 100, 60, parent="p", oco="g"), live=True)
    assert not links.add(order("sl", "sell", 100, kind="stop", stop_price=40, parent="p", oco="g"), live=True)
    return links


def test_children_open_for_as_much_as_their_parent_has_filled() -> None:
    links = bracket()
    assert links.open("tp", 100 * NANO, 0) == 0
    assert links.filled("p", 30 * NANO) == [Follow("tp", "release"), Follow("sl", "release")]
    assert links.filled("p", 20 * NANO) == [Follow("tp", "resize"), Follow("sl", "resize")]
    assert links.open("sl", 100 * NANO, 0) == 50 * NANO


def test_what_one_of_a_group_fills_the_other_loses() -> None:
    links = bracket()
    links.filled("p", 50 * NANO)
    assert links.filled("tp", 20 * NANO) == [Follow("sl", "resize")]
    assert links.open("sl", 0, 0) == 30 * NANO
    assert links.total("sl", 0) == 80 * NANO
    links.filled("p", 50 * NANO)
    assert links.open("sl", 0, 0) == 80 * NANO
    assert links.filled("tp", 80 * NANO) == [Follow("sl", "cancel", "oco")]


def test_a_parent_that_ends_leaves_its_children_what_it_filled_and_cancels_them_where_that_is_nothing() -> None:
    links = bracket()
    assert links.ended("p") == [Follow("tp", "cancel", "parent"), Follow("sl", "cancel", "parent")]
    links = bracket()
    links.filled("p", 30 * NANO)
    assert links.ended("p") == [Follow("tp", "resize"), Follow("sl", "resize")]
    assert links.total("tp", 0) == 30 * NANO


def test_a_child_that_comes_behind_the_end_of_its_parent_has_that_ones_fills() -> None:
    links = Contingencies()
    links.add(order("p", "buy", 100), live=False)
    links.filled("p", 40 * NANO)
    links.ended("p")
    assert links.add(order("c", "sell", 100, 60, parent="p"), live=False)
    assert links.open("c", 0, 0) == 40 * NANO
    assert not links.add(order("lost", "sell", 100, 60, parent="nobody"), live=False)
    assert links.over("lost")


@given(st.lists(st.tuples(st.sampled_from(["p", "tp", "sl"]), st.integers(1, 60)), max_size=30))
def test_a_bracket_never_sells_more_than_was_bought(steps: list[tuple[str, int]]) -> None:
    links = bracket()
    bought = sold = 0
    for name, size in steps:
        if name == "p":
            size = min(size, 100 - bought)
            if size:
                bought += size
                links.filled("p", size * NANO)
        else:
            size = min(size, links.open(name, 0, 0) // NANO)
            if size:
                sold += size
                links.filled(name, size * NANO)
        assert sold <= bought
        assert links.open("tp", 0, 0) == links.open("sl", 0, 0) == (bought - sold) * NANO
