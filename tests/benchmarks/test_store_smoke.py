"""The benchmark of the store at a tiny size: that it still runs. No speed is judged."""

from __future__ import annotations

from itertools import islice

import pytest

from actors.market.book import Book
from benchmarks import store

pytestmark = pytest.mark.long


def test_the_updates_that_are_stored_make_sound_books() -> None:
    books: dict[str, Book] = {}
    for update in islice(store.updates(1_790_000_000_000_000_000), 3_000):
        books.setdefault(update.market, Book(update.market)).apply(update)
    assert len(books) == len(store.MARKETS)
    assert not any(book.stale for book in books.values())


@pytest.mark.long
def test_storing_gives_deltas_a_second_and_loses_none() -> None:
    assert store.core_alone(2_000)["µs"] > 0
    sample = store.sustained(1.0)
    assert sample["deltas"] > 0


@pytest.mark.long
def test_the_wait_of_another_subscriber_is_measured() -> None:
    assert store.latency(0.2, stored=True)["p50"] > 0
