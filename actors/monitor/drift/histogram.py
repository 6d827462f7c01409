"""Histograms with fixed bins: for each feature and hour one, which can be added up over hours and over actors.

The last count is of what was missing (NaN): that a feature is missing more often than it was is a drift, too.
Neither an event loop nor a clock nor numpy: other capabilities import this.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

BINS: Final = 10
HOUR_NS: Final = 3_600_000_000_000


class Histogram(msgspec.Struct, frozen=True):
    """Counts by bins: up to and with `edges[0]`, …, above the last edge; and, last, the missing ones."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.edges) + 2:
            raise ValueError(f"counts: expected {len(self.edges) + 2}, got {len(self.counts)}")
        if list(self.edges) != sorted(set(self.edges)) or not all(map(math.isfinite, self.edges)):
            raise ValueError("edges: expected finite numbers, each above the one before")
        if min(self.counts) < 0:
            raise ValueError("counts: expected none below 0")

    @property
    def size(self) -> int:
        """How many observations there are, missing ones included."""
        return sum(self.counts)

    def merged(self, other: Histogram) -> Histogram:
        """Both together. Raises ValueError for other bins."""
        if self.edges != other.edges:
            raise ValueError("expected the same edges in both histograms")
        return Histogram(self.edges, tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)))


def quantile_edges(values: Sequence[float], bins: int = BINS) -> tuple[float, ...]:
    """Edges between bins that hold equal parts of the reference; fewer where values repeat.

    Raises ValueError without a number.
    """
    ordered = sorted(value for value in values if math.isfinite(value))
    if not ordered:
        raise ValueError("expected at least one number")
    edges = {ordered[math.ceil(len(ordered) * k / bins) - 1] for k in range(1, bins)}
    # Above the highest value there would be a bin that the reference never fills.
    return tuple(sorted(edge for edge in edges if edge < ordered[-1])) or (ordered[-1],)


def histogram(values: Iterable[float], edges: tuple[float, ...]) -> Histogram:
    """Count values."""
    counts = [0] * (len(edges) + 2)
    for value in values:
        counts[bin_of(value, edges)] += 1
    return Histogram(edges, tuple(counts))


def bin_of(value: float, edges: tuple[float, ...]) -> int:
    """The place of a value in the counts. Infinities are in the outer bins, NaN is missing."""
    return len(edges) + 1 if math.isnan(value) else bisect_left(edges, value)


class Hourly:
    """A histogram for each hour of event time, for so many hours."""

    __slots__ = ("edges", "hours", "keep")

    def __init__(self, edges: tuple[float, ...], keep: int) -> None:
        self.edges = edges
        self.keep = keep
        self.hours: dict[int, list[int]] = {}

    def add(self, value: float, ts: int) -> None:
        """Count one observation at `ts` (ns). What is older than the hours that are kept is not counted."""
        hour = ts // HOUR_NS
        counts = self.hours.get(hour)
        if counts is None:
            newest = max(self.hours, default=hour)
            if hour <= newest - self.keep:
                return
            counts = self.hours[hour] = [0] * (len(self.edges) + 2)
            for old in [each for each in self.hours if each <= max(newest, hour) - self.keep]:
                del self.hours[old]
        counts[bin_of(value, self.edges)] += 1

    def merge(self, hour: int, other: Histogram) -> None:
        """Add what another actor has counted in an hour. Raises ValueError for other bins."""
        mine = Histogram(self.edges, tuple(self.hours.get(hour, [0] * (len(self.edges) + 2))))
        self.hours[hour] = list(mine.merged(other).counts)

    def last(self, hours: int, ts: int) -> Histogram:
        """The last hours up to the one of `ts`, together."""
        newest = ts // HOUR_NS
        total = [0] * (len(self.edges) + 2)
        for hour, counts in self.hours.items():
            if newest - hours < hour <= newest:
                total = [a + b for a, b in zip(total, counts, strict=True)]
        return Histogram(self.edges, tuple(total))
