"""What metrics were at one sampling after the other: bounded, and honest about what it does not know.

A counter is one series for each set of labels, a histogram several: `x_bucket` with `le`, `x_sum`, `x_count`. What is
not there is unknown, never zero. There is one exception, and it is no guess: a counter that appears while we look has
begun at zero, for its process has; so it gets a zero at the sampling before.

    history = History(retention_s=7200, points=1000, most=5000)
    history.take(ts, [Point("rl_predictions_total", "counter", {"arm": "control"}, 3.0)], families={"rl_predictions"})
    history.growth(Selector("rl_predictions_total"), {}, ts, 300.0)
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from actors.monitor.alerts.expression import Aggregate, Selector

SECOND: Final = 1_000_000_000
Kind = Literal["counter", "gauge", "histogram", "other"]
Labels = tuple[tuple[str, str], ...]


class Point(msgspec.Struct, frozen=True):
    """One sample of the registry. `name` is the sample's own (`x_bucket`), `kind` that of its family."""

    name: str
    kind: Kind
    labels: dict[str, str]
    value: float


class Unknown(Exception):
    """It cannot be said; the text says why."""


class Series:
    """The samples of one name and set of labels, in order of time."""

    __slots__ = ("kind", "labels", "times", "values")

    def __init__(self, kind: Kind, labels: dict[str, str]) -> None:
        self.kind = kind
        self.labels = labels
        self.times: list[int] = []
        self.values: list[float] = []

    def add(self, ts: int, value: float, oldest: int, points: int) -> None:
        """Take a sample in, and forget what is too old or too much."""
        self.times.append(ts)
        self.values.append(value)
        # One sample from before the window stays: it is where growth in the window begins.
        drop = max(bisect_left(self.times, oldest) - 1, len(self.times) - points, 0)
        if drop:
            del self.times[:drop], self.values[:drop]

    def growth(self, begin: int) -> float | None:
        """By how much a counter has grown since `begin`; a fall is a restart from zero. None: fewer than two samples.

        Growth is counted from the last sample at or before `begin`, or else from the first one there is.
        """
        first = max(0, bisect_right(self.times, begin) - 1)
        if len(self.times) - first < 2:
            return None
        grown = 0.0
        before = self.values[first]
        for value in self.values[first + 1 :]:
            grown += value - before if value >= before else value
            before = value
        return grown


class History:
    """The series of all metrics that rules look at.

    `retention_s`, `points`: what a series keeps at most. `most`: so many series; those beyond are counted in `lost`.
    """

    def __init__(self, retention_s: float, points: int, most: int) -> None:
        self.retention_ns = int(retention_s * SECOND)
        self.points = points
        self.most = most
        self.lost = 0
        self.taken = 0
        """The time of the last sampling, ns; 0: there has been none."""
        self._series: dict[str, dict[Labels, Series]] = {}
        self._times: list[int] = []

    def __len__(self) -> int:
        return sum(len(each) for each in self._series.values())

    def take(self, ts: int, points: Iterable[Point]) -> None:
        """Take one sampling in. `ts` must be above the last one's."""
        before, self.taken = self.taken, ts
        self._times.append(ts)
        oldest = ts - self.retention_ns
        del self._times[: max(bisect_left(self._times, oldest), len(self._times) - self.points, 0)]
        self._forget(oldest)
        count = len(self)
        for point in points:
            known = self._series.setdefault(point.name, {})
            key = tuple(sorted(point.labels.items()))
            series = known.get(key)
            if series is None:
                if count >= self.most:
                    self.lost += 1
                    continue
                count += 1
                series = known[key] = Series(point.kind, point.labels)
                if before and point.kind in ("counter", "histogram"):
                    series.add(before, 0.0, oldest, self.points)
            series.add(ts, point.value, oldest, self.points)

    def groups(self, selector: Selector, by: tuple[str, ...]) -> set[Labels]:
        """The different values of these labels, over the selected series that were there at the last sampling."""
        names = (selector.name, f"{selector.name}_count")
        return {
            tuple((label, series.labels.get(label, "")) for label in by)
            for name in names
            for series in self._series.get(name, {}).values()
            if selector.selects(series.labels) and series.times[-1] == self.taken
        }

    def is_histogram(self, name: str) -> bool:
        """Whether the name is that of a histogram."""
        return any(series.kind == "histogram" for series in self._series.get(f"{name}_count", {}).values())

    def latest(self, selector: Selector, group: Mapping[str, str], aggregate: Aggregate | None) -> float:
        """The value at the last sampling. Raises Unknown."""
        return self._at(list(self._selected(selector.name, selector, group)), self.taken, aggregate, selector.name)

    def mean(self, selector: Selector, group: Mapping[str, str], aggregate: Aggregate | None, begin: int) -> float:
        """The mean of a gauge over all samplings after `begin`, of a histogram over what it observed since.

        Raises Unknown.
        """
        if self.is_histogram(selector.name):
            total = self.growth(msgspec.structs.replace(selector, name=f"{selector.name}_sum"), group, begin)
            count = self.growth(msgspec.structs.replace(selector, name=f"{selector.name}_count"), group, begin)
            if not count:
                raise Unknown(f"{selector.name} observed nothing in that time")
            return total / count
        found = list(self._selected(selector.name, selector, group))
        if not found:
            raise Unknown(f"there is no {selector.name}")
        values = []
        for ts in self._times[bisect_right(self._times, begin) :]:
            there = [each for each in found if _has(each, ts)]
            if there:
                values.append(self._at(there, ts, aggregate, selector.name))
        if not values:
            raise Unknown(f"{selector.name} has no sample in that time")
        return sum(values) / len(values)

    def begin_of_last(self, count: int) -> int:
        """The moment behind which there are `count` samplings. Raises Unknown where there have not been so many."""
        if len(self._times) < count:
            raise Unknown(f"{len(self._times)} of {count} samples")
        return self._times[-count] - 1

    def begin_of_intervals(self, count: int) -> int:
        """The sampling since which there have been `count` more. Raises Unknown."""
        if len(self._times) < count + 1:
            raise Unknown(f"{max(0, len(self._times) - 1)} of {count} samples")
        return self._times[-count - 1]

    def growth(self, selector: Selector, group: Mapping[str, str], begin: int) -> float:
        """By how much the selected counters have grown since `begin`, together. Raises Unknown."""
        grown = [each.growth(begin) for each in self._selected(selector.name, selector, group)]
        known = [each for each in grown if each is not None]
        if not known:
            raise Unknown(f"{selector.name} has not been seen twice" if grown else f"there is no {selector.name}")
        return sum(known)

    def span_s(self, selector: Selector, group: Mapping[str, str], begin: int) -> float:
        """The seconds from where growth since `begin` is counted to the last sampling."""
        first = min(
            each.times[max(0, bisect_right(each.times, begin) - 1)]
            for each in self._selected(selector.name, selector, group)
        )
        return (self.taken - first) / SECOND

    def buckets(self, selector: Selector, group: Mapping[str, str], begin: int) -> list[tuple[float, float]]:
        """(upper bound, observations up to it since `begin`), ascending. Raises Unknown."""
        name = f"{selector.name}_bucket"
        counts: dict[float, float] = {}
        seen = False
        for series in self._selected(name, selector, group):
            seen = True
            grown = series.growth(begin)
            if grown is not None:
                bound = float(series.labels["le"])
                counts[bound] = counts.get(bound, 0.0) + grown
        if not counts:
            what = "has not been seen twice" if seen else "is not there"
            raise Unknown(f"the histogram {selector.name} {what}")
        return sorted(counts.items())

    def _selected(self, name: str, selector: Selector, group: Mapping[str, str]) -> Iterator[Series]:
        for series in self._series.get(name, {}).values():
            labels = series.labels
            if selector.selects(labels) and all(labels.get(label, "") == text for label, text in group.items()):
                yield series

    def _at(self, found: list[Series], ts: int, aggregate: Aggregate | None, name: str) -> float:
        values = [series.values[bisect_left(series.times, ts)] for series in found if _has(series, ts)]
        if not values:
            raise Unknown(f"there is no {name}" if not found else f"{name} has gone")
        if aggregate is None and len(values) > 1:
            raise Unknown(f"{len(values)} series of {name}: say sum, min, max or mean of them, or `by` which label")
        match aggregate:
            case "min":
                return min(values)
            case "max":
                return max(values)
            case "mean":
                return sum(values) / len(values)
            case _:
                return sum(values)

    def _forget(self, oldest: int) -> None:
        for name, known in list(self._series.items()):
            for key in [key for key, series in known.items() if series.times[-1] < oldest]:
                del known[key]
            if not known:
                del self._series[name]


def _has(series: Series, ts: int) -> bool:
    at = bisect_left(series.times, ts)
    return at < len(series.times) and series.times[at] == ts
