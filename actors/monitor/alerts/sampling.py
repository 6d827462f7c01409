"""From the families of the node's registry to the points that rules look at. Runs in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from actors.monitor.alerts.expression import Selector
from actors.monitor.alerts.series import Kind, Point

_SUFFIXES: Final = ("_total", "_bucket", "_sum", "_count")
_KINDS: Final[dict[str, Kind]] = {"counter": "counter", "gauge": "gauge", "histogram": "histogram"}


def wanted_families(selectors: Iterable[Selector]) -> frozenset[str]:
    """The names of families in which what is selected may stand: `x_total` stands in the family `x`."""
    names = set()
    for selector in selectors:
        names.add(selector.name)
        names.update(selector.name.removesuffix(suffix) for suffix in _SUFFIXES)
    return frozenset(names)


def points(snapshot: Collector, wanted: frozenset[str]) -> list[Point]:
    """All samples of the wanted families at the moment of the snapshot."""
    return [point for family in snapshot.collect() if family.name in wanted for point in _points(family)]


def _points(family: Metric) -> Iterator[Point]:
    kind = _KINDS.get(family.type, "other")
    for sample in family.samples:
        if not sample.name.endswith("_created"):
            yield Point(sample.name, kind, dict(sample.labels), float(sample.value))
