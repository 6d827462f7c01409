"""Packages that other services' databases have answered: kept for a while, and for while the database is away."""

from __future__ import annotations

from collections import OrderedDict

from actors.strategies.package import Package


class PackageCache:
    """At most `entries` packages; one is fresh for `fresh_s` seconds. Times are monotonic ns."""

    def __init__(self, fresh_s: float, entries: int) -> None:
        self._fresh_ns = int(fresh_s * 1e9)
        self._entries = entries
        self._kept: OrderedDict[tuple[str, str], tuple[Package, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, source: str, strategy_id: str, now: int) -> tuple[bool, Package | None]:
        """Whether it is fresh, and what is kept."""
        package, at = self._kept.get((source, strategy_id), (None, 0))
        return package is not None and now - at < self._fresh_ns, package

    def keep(self, source: str, strategy_id: str, package: Package | None, now: int) -> Package | None:
        """Keep what was just read for this id (None: nothing is there any more); returns what was kept before."""
        key = (source, strategy_id)
        before, _ = self._kept.pop(key, (None, 0))
        if package is not None:
            self._kept[key] = package, now
            if len(self._kept) > self._entries:
                self._kept.popitem(last=False)
        return before
