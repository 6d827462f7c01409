"""The thresholds that are served, of the users and symbols that were asked for last: what a verdict needs. A core."""

from __future__ import annotations

from typing import Final

from actors.thresholds.messages import Served

Key = tuple[str, str]
AGES: Final = 256
"""After so many hits an entry counts as used again: to move it at every hit would cost more than the rest."""


class Entry:
    """One user and symbol. `retry_at`: of what is provisional, when it is
    to be read again (monotonic, ns)."""

    __slots__ = ("hits", "retry_at", "served")

    def __init__(self, served: Served, retry_at: int = 0) -> None:
        self.served = served
        self.retry_at = retry_at
        self.hits = 0


class ServedCache:
    """At most `most` entries; what was not used for the longest time goes first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.entries: dict[Key, Entry] = {}
        self._symbols: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, key: Key) -> Entry | None:
        """The entry of a user and symbol."""
        entry = self.entries.get(key)
        if entry is not None:
            entry.hits += 1
            if entry.hits >= AGES:
                entry.hits = 0
                self.entries[key] = self.entries.pop(key)
        return entry

    def put(self, served: Served, retry_at: int = 0) -> None:
        """Have this from now on."""
        key = (served.user_id, served.symbol)
        if self.entries.pop(key, None) is None:
            self._symbols.setdefault(served.user_id, set()).add(served.symbol)
            while len(self.entries) >= self.most:
                self._drop(next(iter(self.entries)))
        self.entries[key] = Entry(served, retry_at)

    def forget(self, user_id: str) -> None:
        """Have nothing of a user any more."""
        for symbol in tuple(self._symbols.get(user_id, ())):
            self._drop((user_id, symbol))

    @property
    def users(self) -> int:
        """How many users there is something of."""
        return len(self._symbols)

    def _drop(self, key: Key) -> None:
        self.entries.pop(key, None)
        symbols = self._symbols[key[0]]
        symbols.discard(key[1])
        if not symbols:
            del self._symbols[key[0]]
