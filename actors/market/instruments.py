"""What can be traded, at any time: the versions of each market's definition. No I/O, no clock.

Definitions come from several sources (an endpoint, a session's own channel). A source that repeats itself says nothing
new, even where another one has said something else meanwhile; so two sources that see a market differently do not make
a version with each refresh.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final

import msgspec

from protocols.instruments import Instrument

_valid_from: Final = attrgetter("valid_from")


class InstrumentVersions:
    """All versions of all markets. A version is true from its `valid_from` on until the next one of its market."""

    def __init__(self) -> None:
        self._versions: dict[str, list[Instrument]] = {}
        self._said: dict[tuple[str, str], Instrument] = {}

    def __len__(self) -> int:
        return len(self._versions)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._versions))

    def load(self, versions: Iterable[Instrument]) -> None:
        """Take versions that were kept, in any order. One that is there already is replaced."""
        for version in versions:
            known = self._versions.setdefault(version.market, [])
            place = bisect_right(known, version.valid_from, key=_valid_from)
            if place and known[place - 1].valid_from == version.valid_from:
                known[place - 1] = version
            else:
                insort(known, version, key=_valid_from)
            said = self._said.get((version.market, version.source))
            if said is None or said.valid_from <= version.valid_from:
                self._said[version.market, version.source] = version

    def learn(self, definition: Instrument, ts: int) -> Instrument | None:
        """The new version that this definition makes, or None where it says nothing new.

        It is true from its own `valid_from` on, or from `ts` where it has none, and always from after the last one.
        """
        key = (definition.market, definition.source)
        said = self._said.get(key)
        if said is not None and same(said, definition):
            return None
        self._said[key] = definition
        known = self._versions.setdefault(definition.market, [])
        if known and same(known[-1], definition):
            return None
        since = definition.valid_from or ts
        if known and since <= known[-1].valid_from:
            since = max(ts, known[-1].valid_from + 1)
        version = msgspec.structs.replace(definition, valid_from=since)
        self._said[key] = version
        known.append(version)
        return version

    def at(self, market: str, ts: int | None = None) -> Instrument | None:
        """What the market was at `ts`, or is by the last version (None)."""
        known = self._versions.get(market)
        if not known:
            return None
        if ts is None:
            return known[-1]
        place = bisect_right(known, ts, key=_valid_from)
        return known[place - 1] if place else None

    def versions(self, market: str) -> tuple[Instrument, ...]:
        """All versions of a market, oldest first."""
        return tuple(self._versions.get(market, ()))

    def page(self, venue: str, kind: str, after: str, limit: int) -> tuple[tuple[Instrument, ...], bool]:
        """Last versions sorted by market behind `after`, and whether there are more."""
        found: list[Instrument] = []
        for market in sorted(name for name in self._versions if name > after):
            last = self._versions[market][-1]
            if (venue and last.venue != venue) or (kind and last.kind != kind):
                continue
            if len(found) == limit:
                return tuple(found), True
            found.append(last)
        return tuple(found), False


def same(one: Instrument, other: Instrument) -> bool:
    """Whether two definitions say the same, whoever said it and from when on."""
    return one == other or one == msgspec.structs.replace(other, valid_from=one.valid_from, source=one.source)
