from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from actors.market.book import Book, Gap, Grid
from actors.market.book_sides import WIDE
from protocols.market import BookUpdate, Level, LevelChange, Side, pack_levels

Change = tuple[Side, int, int]


def update(seq: int, *changes: Change, signed: bool = True, snapshot: bool = False, session: str = "s") -> BookUpdate:
    return BookUpdate(
        market="M",
        changes=tuple(LevelChange(*change) for change in changes),
        kind="signed" if signed else "absolute",
        snapshot=snapshot,
        session=session,
        seq=seq,
        ts_event=seq * 10,
        ts_recv=seq * 10 + 1,
        marks=("synthetic",),
    )


def snapshot(seq: int, *changes: Change, session: str = "s") -> BookUpdate:
    return update(seq, *changes, signed=False, snapshot=True, session=session)


def book_of(*changes: Change) -> Book:
    book = Book("M")
    book.apply(snapshot(1, *changes))
    return book


def test_a_snapshot_makes_the_book_current_and_quotes_it() -> None:
    book = Book("M")
    assert book.stale == "no_snapshot"
    quote = book.apply(snapshot(5, ("bid", 40, 7), ("bid", 39, 1), ("ask", 45, 2), ("ask", 44, 3)))
    assert quote is not None
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (40, 7, 44, 3)
    assert (quote.session, quote.seq, quote.ts_event, quote.ts_recv, quote.marks) == ("s", 5, 50, 51, ("synthetic",))
    assert book.stale == ""


def test_an_update_that_empties_the_best_level_promotes_the_next_one() -> None:
    book = book_of(("bid", 40, 7), ("bid", 38, 1), ("ask", 44, 3))
    quote = book.apply(update(2, ("bid", 40, -7)))
    assert quote is not None
    assert (quote.bid, quote.bid_size) == (38, 1)


def test_a_side_can_be_empty_and_come_back() -> None:
    book = book_of(("bid", 40, 7))
    quote = book.apply(update(2, ("bid", 40, -7)))
    assert quote is not None
    assert (quote.bid, quote.bid_size, quote.ask) == (None, 0, None)
    quote = book.apply(update(3, ("ask", 50, 1)))
    assert quote is not None
    assert (quote.ask, quote.ask_size) == (50, 1)


def test_a_change_below_the_best_level_makes_no_quote() -> None:
    book = book_of(("bid", 40, 7), ("ask", 44, 3))
    assert book.apply(update(2, ("bid", 39, 5))) is None
    assert book.view().bids == (Level(40, 7), Level(39, 5))
    assert book.view().seq == 2


def test_more_size_taken_than_there_was_is_a_gap_and_the_book_is_stale_until_a_snapshot() -> None:
    book = book_of(("bid", 40, 7), ("ask", 44, 3))
    with pytest.raises(Gap, match="negative_size"):
        book.apply(update(2, ("bid", 40, -8)))
    assert book.stale == "negative_size"
    assert book.apply(update(3, ("bid", 40, 1))) is None
    assert book.dropped == 1
    assert "stale" in book.view().marks
    assert book.apply(snapshot(4, ("bid", 41, 1))) is not None
    assert (book.stale, book.view().marks) == ("", ("synthetic",))


def test_a_crossed_book_after_a_whole_message_is_a_gap() -> None:
    book = book_of(("bid", 40, 7), ("ask", 44, 3))
    with pytest.raises(Gap, match=r"^M: crossed: 45 over 44$"):
        book.apply(update(2, ("bid", 45, 1)))
    assert book.stale == "crossed"


def test_a_book_may_cross_midway_through_a_message() -> None:
    book = book_of(("bid", 40, 7), ("ask", 44, 3))
    quote = book.apply(update(2, ("bid", 45, 1), ("ask", 44, -3), ("ask", 46, 2)))
    assert quote is not None
    assert (quote.bid, quote.ask) == (45, 46)


def test_a_locked_book_is_legal_and_negative_prices_are_too() -> None:
    book = book_of(("bid", -5, 7), ("ask", -5, 3))
    assert (book.stale, book.view().bids, book.view().asks) == ("", (Level(-5, 7),), (Level(-5, 3),))


def test_absolute_sizes_replace_and_deleting_an_unknown_level_is_normal() -> None:
    book = book_of(("bid", 40, 7), ("ask", 44, 3))
    book.apply(update(2, ("bid", 40, 2), ("ask", 50, 0), ("ask", 44, 0), signed=False))
    assert (book.view().bids, book.view().asks) == ((Level(40, 2),), ())
    with pytest.raises(Gap, match="negative_size"):
        book.apply(update(3, ("bid", 40, -1), signed=False))


def test_an_update_of_another_session_or_an_older_number_is_a_gap() -> None:
    book = book_of(("bid", 40, 7))
    with pytest.raises(Gap, match="session"):
        book.apply(update(2, ("bid", 40, 1), session="other"))
    book.apply(snapshot(9, ("bid", 40, 7)))
    with pytest.raises(Gap, match=r"out_of_order: 9 after 9"):
        book.apply(update(9, ("bid", 40, 1)))
    book.apply(snapshot(3, ("bid", 40, 7), session="next"))
    assert book.apply(update(4, ("bid", 40, 1), session="next")) is not None


def test_in_a_pause_the_book_is_kept_and_not_quoted_and_may_cross() -> None:
    book = book_of(("bid", 40, 7), ("ask", 44, 3))
    assert book.set_phase("paused") is None
    assert book.apply(update(2, ("bid", 45, 1))) is None
    assert book.apply(update(3, ("bid", 45, -1), ("bid", 41, 1))) is None
    quote = book.set_phase("active")
    assert quote is not None
    assert quote.bid == 41


def test_a_pause_that_ends_with_a_crossed_book_is_a_gap() -> None:
    book = book_of(("bid", 40, 7), ("ask", 44, 3))
    book.set_phase("paused")
    book.apply(update(2, ("bid", 45, 1)))
    with pytest.raises(Gap, match="crossed"):
        book.set_phase("active")
    assert book.stale == "crossed"


def test_what_was_quoted_is_told_again_as_stale_and_then_afresh() -> None:
    book = book_of(("bid", 40, 7), ("ask", 44, 3))
    quote = book.mark_stale("gap")
    assert quote is not None
    assert (quote.bid, quote.ask, quote.marks) == (40, 44, ("synthetic", "stale"))
    assert book.mark_stale("gap") is None
    again = book.apply(snapshot(7, ("bid", 40, 7), ("ask", 44, 3)))
    assert again is not None
    assert again.marks == ("synthetic",)


def test_an_event_without_time_keeps_the_last_known_one() -> None:
    book = book_of(("bid", 40, 7))
    undated = BookUpdate("M", (LevelChange("bid", 40, 1),), "signed", False, "s", 2, 0, 99)
    quote = book.apply(undated)
    assert quote is not None
    assert (quote.ts_event, quote.ts_recv) == (10, 99)


def test_a_view_has_the_depth_asked_for_best_first() -> None:
    book = book_of(*[("bid", price, 1) for price in range(30, 40)], *[("ask", price, 1) for price in range(50, 60)])
    assert [level.price for level in book.view(3).bids] == [39, 38, 37]
    assert [level.price for level in book.view(3).asks] == [50, 51, 52]
    assert len(book.view().asks) == 10


def test_an_auction_is_a_pause_too() -> None:
    book = book_of(("bid", 40, 7), ("ask", 44, 3))
    book.set_phase("auction")
    assert book.apply(update(2, ("bid", 50, 1))) is None
    assert book.apply(update(3, ("ask", 44, -3), ("ask", 51, 3))) is None
    assert (book.best(), book.stale) == ((50, 1, 51, 3), "")
    quote = book.set_phase("active")
    assert quote is not None
    assert (quote.bid, quote.ask) == (50, 51)


def packed(seq: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> BookUpdate:
    return BookUpdate("M", (), "absolute", True, "s", seq, 0, 0, (), pack_levels(bids), pack_levels(asks))


@pytest.mark.parametrize("grid", [None, Grid(0, 1, 100)])
def test_a_packed_snapshot_is_the_same_book(grid: Grid | None) -> None:
    book = Book("M", grid)
    quote = book.apply(packed(5, [(40, 7), (39, 1)], [(44, 3), (45, 2)]))
    assert quote is not None
    assert (quote.bid, quote.bid_size, quote.ask, quote.ask_size) == (40, 7, 44, 3)
    assert book.view().asks == (Level(44, 3), Level(45, 2))
    with pytest.raises(Gap, match="negative_size"):
        book.apply(packed(6, [(40, -7)], []))


def test_a_book_of_many_thousand_levels_changes_like_any_other() -> None:
    book = Book("M")
    count = WIDE + 500
    book.apply(packed(1, [(count - each, 1) for each in range(count)], [(count + 10 + each, 2) for each in range(5)]))
    assert len(book.levels("bid")) == count
    quote = book.apply(update(2, ("bid", count, -1), ("bid", 7, -1), ("bid", count + 5, 3), ("bid", -3, 1)))
    assert quote is not None
    assert (quote.bid, quote.bid_size, quote.ask) == (count + 5, 3, count + 10)
    prices = [level.price for level in book.view().bids]
    assert prices == [count + 5, *range(count - 1, 7, -1), *range(6, 0, -1), -3]
    assert [level.price for level in book.view(2).bids] == [count + 5, count - 1]


def test_a_price_that_is_not_on_the_grid_is_kept_all_the_same() -> None:
    book = Book("M", Grid(0, 10, 11))
    book.apply(snapshot(1, ("bid", 40, 7), ("ask", 60, 3)))
    quote = book.apply(update(2, ("bid", 45, 1)))
    assert quote is not None
    assert (quote.bid, book.grid) == (45, None)
    book.apply(update(3, ("ask", 55, 1), ("ask", 200, 1)))
    assert book.view().bids == (Level(45, 1), Level(40, 7))
    assert book.view().asks == (Level(55, 1), Level(60, 3), Level(200, 1))
    assert Book("M", Grid(0, 10, 11)).apply(snapshot(1, ("bid", 7, 1))) is not None


level_changes = st.tuples(st.sampled_from(["bid", "ask"]), st.integers(1, 30), st.integers(0, 5))


# No grid, one that holds every price below, and one that some of them are not on.
grids = st.sampled_from([None, Grid(0, 1, 200), Grid(2, 2, 60)])


@given(st.lists(st.lists(level_changes, max_size=6), max_size=40), grids)
def test_absolute_updates_end_where_a_dict_of_levels_ends(messages: list[list[Change]], grid: Grid | None) -> None:
    # Sides that cannot meet, so that only the keeping of levels is judged.
    book = Book("M", grid)
    book.apply(snapshot(1))
    expected: dict[tuple[str, int], int] = {}
    for seq, changes in enumerate(messages, start=2):
        shifted: list[Change] = [(side, price if side == "bid" else price + 100, size) for side, price, size in changes]
        book.apply(update(seq, *shifted, signed=False))
        for side, price, size in shifted:
            expected[(side, price)] = size
    kept = {key: size for key, size in expected.items() if size}
    view = book.view()
    assert {("bid", level.price): level.size for level in view.bids} | {
        ("ask", level.price): level.size for level in view.asks
    } == kept
    assert [level.price for level in view.bids] == sorted((level.price for level in view.bids), reverse=True)
    assert [level.price for level in view.asks] == sorted(level.price for level in view.asks)


class SignedBook(RuleBasedStateMachine):
    """A book under any signed changes is either right or stale, and says which."""

    grid: Grid | None = None

    def __init__(self) -> None:
        super().__init__()
        self.book = Book("M", self.grid)
        self.seq = 0
        self.levels: dict[tuple[str, int], int] = {}
        self.snapshot()

    @rule()
    def snapshot(self) -> None:
        self.seq += 1
        self.levels = {("bid", 10): 3, ("bid", 9): 2, ("ask", 12): 4}
        self.book.apply(snapshot(self.seq, ("bid", 10, 3), ("bid", 9, 2), ("ask", 12, 4)))

    @rule(side=st.sampled_from(["bid", "ask"]), price=st.integers(8, 13), size=st.integers(-4, 4))
    def change(self, side: Side, price: int, size: int) -> None:
        self.seq += 1
        if self.book.stale:
            assert self.book.apply(update(self.seq, (side, price, size))) is None
            return
        levels = dict(self.levels)
        levels[(side, price)] = levels.get((side, price), 0) + size
        bids = [p for (s, p), n in levels.items() if s == "bid" and n]
        asks = [p for (s, p), n in levels.items() if s == "ask" and n]
        wrong = levels[(side, price)] < 0 or (bids and asks and max(bids) > min(asks))
        try:
            quote = self.book.apply(update(self.seq, (side, price, size)))
        except Gap:
            assert wrong
            assert self.book.stale
            return
        assert not wrong
        self.levels = levels
        if quote is not None:
            assert quote.bid == max(bids, default=None)
            assert quote.ask == min(asks, default=None)

    @invariant()
    def shows_its_levels(self) -> None:
        if not self.book.stale:
            view = self.book.view()
            shown = {("bid", level.price): level.size for level in view.bids}
            shown |= {("ask", level.price): level.size for level in view.asks}
            assert shown == {key: size for key, size in self.levels.items() if size}


class SignedLadder(SignedBook):
    """The same, on a grid that holds every price."""

    grid = Grid(8, 1, 6)


class SignedLadderThatWidens(SignedBook):
    """The same, on a grid that some prices are not on."""

    grid = Grid(9, 1, 4)


TestSignedBook = SignedBook.TestCase
TestSignedLadder = SignedLadder.TestCase
TestSignedLadderThatWidens = SignedLadderThatWidens.TestCase
