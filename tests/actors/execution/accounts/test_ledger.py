from __future__ import annotations

import pytest

from actors.execution.accounts.ledger import Entry, Ledger, Posting, Unbalanced


def test_an_entry_that_does_not_balance_is_refused_and_changes_nothing() -> None:
    ledger = Ledger()
    with pytest.raises(Unbalanced, match=r"expected a sum of 0 USD, got 0\.000000001"):
        ledger.post(1, "deposit", "r", (Posting("cash", "USD", 5), Posting("capital", "USD", -4)))
    assert (ledger.seq, ledger.balances(), ledger.take_entries()) == (0, {}, [])


def test_currencies_balance_each_for_itself() -> None:
    ledger = Ledger()
    with pytest.raises(Unbalanced, match="each currency"):
        ledger.post(1, "conversion", "r", (Posting("cash", "USD", 5), Posting("cash", "EUR", -5)))
    entry = ledger.post(
        1,
        "conversion",
        "r",
        (
            Posting("cash", "USD", -5),
            Posting("conversion", "USD", 5),
            Posting("cash", "EUR", 4),
            Posting("conversion", "EUR", -4),
        ),
    )
    assert entry is not None
    assert entry.seq == 1
    assert ledger.of("cash") == {"USD": -5, "EUR": 4}
    assert ledger.balance("conversion", "EUR") == -4


def test_nothing_is_no_entry() -> None:
    ledger = Ledger()
    assert ledger.post(1, "fill", "r", (Posting("cash", "USD", 0),)) is None
    assert ledger.seq == 0


def test_entries_are_taken_once_and_numbered_on() -> None:
    ledger = Ledger()
    postings = (Posting("cash", "USD", 1), Posting("capital", "USD", -1))
    ledger.post(1, "deposit", "a", postings)
    ledger.post(2, "deposit", "b", postings)
    assert ledger.take_entries() == [
        Entry(1, 1, "deposit", "a", postings),
        Entry(2, 2, "deposit", "b", postings, before=2),
    ]
    ledger.post(3, "deposit", "c", postings)
    assert [entry.seq for entry in ledger.take_entries()] == [3]
    assert ledger.take_entries() == []


def test_amounts_beyond_64_bits_survive_a_snapshot() -> None:
    ledger = Ledger()
    ledger.post(1, "deposit", "a", (Posting("cash", "IDR", 10**30), Posting("capital", "IDR", -(10**30))))
    restored = Ledger()
    restored.load(ledger.state())
    assert restored.balances() == ledger.balances()
    assert restored.take_entries() == ledger.take_entries()
