"""Double entry in integers: every event is an entry whose postings add up to nothing, in each currency.

An amount is positive where the named account grows and negative where it shrinks. The accounts:

    cash         money at hand, of each currency
    position     what open positions cost (a short one: less than nothing)
    financing    what open positions on margin have borrowed: their cost with the opposite sign
    collateral   money bound for shorts of prediction markets: the payout of each contract
    realised     profit taken by trading, with the opposite sign (profit is what the account owes its owner)
    settlement   profit taken by settlement, likewise
    fees         what was paid to trade, rebates taken off
    funding      what was paid for holding perpetuals, receipts taken off
    capital      what the owner has put in, with the opposite sign
    conversion   the other half of an exchange of currencies: one currency's side of it here, the other's there

How the kinds of instruments are booked; N: the signed notional (bought: positive), C: change of the cost, R = C - N:
the profit taken. It is the same number on both legs.

    paid in full     cash -N,                position +C,                 realised -R
    on margin        cash +R,                position +C, financing -C,   realised -R
    prediction       cash -N, and for a short of q contracts cash -q, collateral +q
    fee              cash -f, fees +f, in the fee's own currency
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from protocols.nanos import decimal_text

AccountName = Literal[
    "cash",
    "position",
    "financing",
    "collateral",
    "realised",
    "settlement",
    "fees",
    "funding",
    "capital",
    "conversion",
]
EntryKind = Literal[
    "deposit", "withdrawal", "adjustment", "conversion", "fill", "funding", "settlement", "settlement_reversed"
]


class Unbalanced(ValueError):
    """The postings of an entry do not add up to nothing."""


class Posting(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What one account gains (negative: loses): nanos of the currency, an int of any size."""

    account: AccountName
    currency: str
    amount: int


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event in the books. `seq` 1, 2, 3 … of the account's entries. `reference`: the fill, the settlement …"""

    seq: int
    ts: int
    kind: EntryKind
    reference: str
    postings: tuple[Posting, ...]
    market: str = ""
    deployment_id: str = ""
    before: int = 0
    """How many postings the account's earlier entries have: its own are numbered on from there."""


class Ledger:
    """Balances by account and currency. What does not balance is not booked."""

    __slots__ = ("_balances", "_currencies", "_new", "postings", "seq")

    def __init__(self) -> None:
        self.seq = 0
        self.postings = 0
        self._balances: dict[tuple[str, str], int] = {}
        self._currencies: set[str] = set()
        self._new: list[Entry] = []

    def post(
        self,
        ts: int,
        kind: EntryKind,
        reference: str,
        postings: Iterable[Posting],
        *,
        market: str = "",
        deployment_id: str = "",
    ) -> Entry | None:
        """Book an entry; amounts of 0 are left out, and None is answered where nothing is left.

        Raises Unbalanced, and then nothing is booked.
        """
        kept = tuple([posting for posting in postings if posting.amount])
        if not kept:
            return None
        _balance(kept, kind, reference)
        balances = self._balances
        for posting in kept:
            key = (posting.account, posting.currency)
            known = balances.get(key)
            if known is None:
                self._currencies.add(posting.currency)
                known = 0
            balances[key] = known + posting.amount
        self.seq += 1
        entry = Entry(self.seq, ts, kind, reference, kept, market, deployment_id, self.postings)
        self.postings += len(kept)
        self._new.append(entry)
        return entry

    def balance(self, account: AccountName, currency: str) -> int:
        """Nanos of the currency; 0 where nothing was ever booked."""
        return self._balances.get((account, currency), 0)

    def balances(self) -> dict[tuple[str, str], int]:
        """By account and currency; those that are not 0."""
        return {key: amount for key, amount in self._balances.items() if amount}

    def of(self, account: AccountName) -> dict[str, int]:
        """By currency: the balances of one account that are not 0."""
        return {currency: amount for (name, currency), amount in self._balances.items() if amount and name == account}

    def foreign(self, own: str) -> bool:
        """Whether anything was ever booked in another currency than `own`."""
        return len(self._currencies) > (own in self._currencies)

    @property
    def entered(self) -> bool:
        """Whether there are entries to take."""
        return bool(self._new)

    def take_entries(self) -> list[Entry]:
        """The entries since the last call."""
        taken, self._new = self._new, []
        return taken

    def state(self) -> dict[str, Any]:
        """What a snapshot holds: amounts as text, as they outgrow 64 bits."""
        return {
            "seq": self.seq,
            "postings": self.postings,
            "balances": [(name, currency, str(amount)) for (name, currency), amount in self._balances.items()],
            "entries": [packed(entry) for entry in self._new],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Become what `state` gave."""
        self.seq = state["seq"]
        self.postings = state["postings"]
        self._balances = {(name, currency): int(amount) for name, currency, amount in state["balances"]}
        self._currencies = {currency for _, currency in self._balances}
        self._new = [unpacked(entry) for entry in state["entries"]]


def _balance(postings: tuple[Posting, ...], kind: str, reference: str) -> None:
    currency = postings[0].currency
    total = 0
    for posting in postings:
        if posting.currency != currency:
            break
        total += posting.amount
    else:
        if total:
            raise Unbalanced(f"entry {kind} {reference!r}: expected a sum of 0 {currency}, got {decimal_text(total)}")
        return
    sums: dict[str, int] = {}
    for posting in postings:
        sums[posting.currency] = sums.get(posting.currency, 0) + posting.amount
    if wrong := {name: decimal_text(amount) for name, amount in sums.items() if amount}:
        raise Unbalanced(f"entry {kind} {reference!r}: expected a sum of 0 of each currency, got {wrong}")


def packed(entry: Entry) -> tuple[Any, ...]:
    """An entry for msgpack."""
    postings = [(posting.account, posting.currency, str(posting.amount)) for posting in entry.postings]
    return (entry.seq, entry.ts, entry.kind, entry.reference, postings, entry.market, entry.deployment_id, entry.before)


def unpacked(fields: list[Any]) -> Entry:
    """The entry that `packed` made this of."""
    seq, ts, kind, reference, postings, market, deployment_id, before = fields
    made = tuple(Posting(name, currency, int(amount)) for name, currency, amount in postings)
    return Entry(seq, ts, kind, reference, made, market, deployment_id, before)
