from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.signals.history import History
from tests.actors.signals.samples import stored, update


def filled(capacity: int, count: int) -> History:
    history = History(capacity)
    for seq in range(1, count + 1):
        history.add(stored(seq, "AB"[seq % 2]))
    return history


@given(st.integers(1, 12), st.integers(0, 40), st.integers(1, 45), st.integers(1, 50))
def test_a_page_is_the_stream_from_its_place_on_or_known_to_be_forgotten(
    capacity: int, count: int, from_seq: int, limit: int
) -> None:
    history = filled(capacity, count)
    page = history.read(from_seq, limit)
    assert history.last == count
    assert history.first == max(1, count - capacity + 1)
    if from_seq < history.first:
        assert page is None
    else:
        assert page is not None
        assert [each.seq for each in page] == list(range(from_seq, count + 1))[:limit]


@given(st.integers(1, 12), st.lists(st.integers(1, 15), max_size=40))
def test_an_id_is_known_as_long_as_its_newest_signal_is_remembered(capacity: int, ids: list[int]) -> None:
    history = History(capacity)
    for seq, number in enumerate(ids, 1):
        history.add(stored(seq, signal_id=f"id {number}"))
    remembered = list(enumerate(ids, 1))[-capacity:]
    for number in range(1, 16):
        places = [seq for seq, each in remembered if each == number]
        found = history.find(f"id {number}")
        assert (found.seq if found else None) == (places[-1] if places else None)


@given(st.integers(1, 12), st.integers(0, 30), st.integers(0, 30), st.sets(st.integers(1, 30), max_size=3))
def test_what_is_restored_reaches_up_to_the_end_without_a_hole(
    capacity: int, last: int, found: int, holes: set[int]
) -> None:
    history = History(capacity, last)
    seqs = [seq for seq in range(max(1, last - found + 1), last + 1) if seq not in holes]
    history.restore([stored(seq) for seq in seqs], [])
    page = history.read(history.first, 100)
    assert page is not None
    kept = [each.seq for each in page]
    assert kept == list(range(history.first, last + 1))
    assert set(kept) <= set(seqs)
    assert len(kept) == capacity or history.first - 1 not in seqs
    history.add(stored(last + 1))
    assert history.last == last + 1


def test_a_place_out_of_turn_is_an_error() -> None:
    with pytest.raises(ValueError, match="after place 2 comes 3, not 4"):
        filled(5, 2).add(stored(4))


def test_updates_show_in_the_signal_and_go_with_it() -> None:
    history = filled(3, 3)
    executed = update(1, "sig_2", "executed")
    history.update(executed)
    history.update(update(2, "unknown", "executed"))
    found = history.find("sig_2")
    assert found is not None
    assert found.status == "executed"
    assert history.last_update("sig_2") == executed
    for seq in (4, 5):
        history.add(stored(seq))
    assert history.last_update("sig_2") is None


def test_the_latest_of_a_symbol_come_newest_first() -> None:
    assert [each.seq for each in filled(10, 9).latest("A", 3)] == [8, 6, 4]
