"""The metrics of the inference service, by its names: the node's own figures, said in its words.

`GET /health/metrics` shows these and nothing else; all figures of a node are at `/metrics`. A name is shown once there
is a figure for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

PREFIX: Final = "inference_service_"


class RouteFigures(msgspec.Struct, frozen=True):
    """What was asked of one route. `buckets`: upper bounds in seconds with the number of answers up to each."""

    method: str
    path: str
    answers: int
    failures: int
    buckets: Sequence[tuple[str, float]]
    seconds: float


class NodeFacts(msgspec.Struct, frozen=True):
    """What is known beside the metrics of the registry."""

    version: str
    node: str
    uptime_s: float
    cpu_percent: float
    routes: tuple[RouteFigures, ...]


Families = Mapping[str, Metric]


def _sum_of(source: str, sample: str, labels: Mapping[str, str] | None = None) -> Callable[[Families], float | None]:
    """Adds up the samples of a family (those with these labels)."""

    def total(families: Families) -> float | None:
        family = families.get(source)
        if family is None:
            return None
        wanted = (labels or {}).items()
        values = [each.value for each in family.samples if each.name == sample and wanted <= each.labels.items()]
        return sum(values) if values else 0.0

    return total


_COUNTERS: Final = {
    "strategy_executions": ("Calls of strategies", "troupe_strategy_executions"),
    "signals_generated": ("Signals that were accepted, by action", "troupe_signals"),
    "signals_distributed": ("Signals that a channel has delivered", "troupe_channel_delivered"),
    "market_data_requests": ("REST calls to venues, by outcome", "troupe_venue_requests"),
    "websocket_messages_sent": ("Signals sent to WebSockets", "troupe_stream_frames_sent"),
    "errors": ("Crashes and failed starts, by class of actor", "troupe_class_errors"),
    "database_queries": ("Queries, by outcome", "troupe_database_queries"),
    "cache_hits": ("Strategies of other databases that were kept", "troupe_library_cache_hits"),
    "cache_misses": ("Strategies of other databases that were read", "troupe_library_cache_misses"),
}
"""Counters that are said again as they are: what they count, and the family of ours."""
_HISTOGRAMS: Final = {
    "strategy_execution_duration_seconds": ("How long a call of a strategy takes", "troupe_strategy_execution_seconds"),
    "signal_confidence": ("Confidence of accepted signals", "troupe_signal_confidence"),
    "market_data_latency_seconds": ("How long REST calls to venues take", "troupe_venue_request_seconds"),
    "database_query_duration_seconds": ("How long queries take", "troupe_database_query_seconds"),
}
_GAUGES: Final = {
    "strategies_active": (
        "Strategies that run", _sum_of("troupe_strategies", "troupe_strategies", {"status": "active"}),
    ),
    "websocket_connections": (
        "Clients of the signal stream", _sum_of("troupe_stream_subscribers", "troupe_stream_subscribers"),
    ),
    "memory_usage_bytes": (
        "Memory of the node\'s process", _sum_of("process_resident_memory_bytes", "process_resident_memory_bytes"),
    ),
    "database_connections": (
        "Connections to databases", _sum_of("troupe_database_connections", "troupe_database_connections"),
    ),
}  # fmt: skip


class InferenceMetrics(Collector):
    """The families, made of a snapshot of the node's metrics (`Metrics.snapshot`) and what is known beside it."""

    def __init__(self, snapshot: Collector, facts: NodeFacts) -> None:
        self._snapshot = snapshot
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        """Every family that there is a figure for."""
        facts = self._facts
        families = {family.name: family for family in self._snapshot.collect()}
        yield _gauge("uptime_seconds", "Time since the node started", facts.uptime_s)
        info = InfoMetricFamily(f"{PREFIX[:-1]}", "What runs here")
        info.add_metric([], {"version": facts.version, "node": facts.node})
        yield info
        yield from _of_routes(facts.routes)
        for name, (documentation, source) in _COUNTERS.items():
            if (family := families.get(source)) is not None:
                yield _again(CounterMetricFamily(f"{PREFIX}{name}", documentation), family)
        for name, (documentation, source) in _HISTOGRAMS.items():
            if (family := families.get(source)) is not None:
                yield _again(HistogramMetricFamily(f"{PREFIX}{name}", documentation), family)
        for name, (documentation, value) in _GAUGES.items():
            if (found := value(families)) is not None:
                yield _gauge(name, documentation, found)
        yield _gauge("cpu_usage_percent", "Processor use of the node's process, of one core", facts.cpu_percent)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}{name}", documentation, value=value)


def _again(family: Metric, source: Metric) -> Metric:
    """The samples of one family under the name of another."""
    for sample in source.samples:
        family.samples.append(sample._replace(name=family.name + sample.name.removeprefix(source.name)))
    return family


def _of_routes(routes: Iterable[RouteFigures]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        f"{PREFIX}http_requests", "Requests by route and outcome", labels=["method", "endpoint", "outcome"]
    )
    times = HistogramMetricFamily(
        f"{PREFIX}http_request_duration_seconds", "How long answers take", labels=["method", "endpoint"]
    )
    for route in routes:
        if not route.answers + route.failures:
            continue
        requests.add_metric([route.method, route.path, "answered"], route.answers)
        requests.add_metric([route.method, route.path, "failed"], route.failures)
        times.add_metric([route.method, route.path], list(route.buckets), route.seconds)
    yield requests
    yield times
