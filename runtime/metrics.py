"""Prometheus metrics of a node: gathered when somebody asks, so that between two scrapes they cost nothing.

Actors are shown by class and by path of the static tree, never by path of dynamic children: a hundred thousand of them
are a few lines. What a scrape shows is read from the node in one go on the loop and turned into text in a thread.

    metrics = Metrics(source)                                     # one per node, no global registry
    frames = metrics.counter("kalshi_frames", "Frames received", ("kind",))
    frames.labels("delta").inc()
    text = await metrics.scrape()

An actor that asks for a metric after its restart gets the one that it had.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

import msgspec
import prometheus_client
import trio
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from runtime.breaker import BreakerSnapshot, State
from runtime.replicas import ReplicasSnapshot
from runtime.router import RouterSnapshot

M = TypeVar("M", Counter, Gauge, Histogram)

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the buckets of lags and pauses."""
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
NAMED_HOLDERS = 500
"""So many actors that held the loop are named; those after them are `other`."""


class ClassFigures(msgspec.Struct, frozen=True, kw_only=True):
    """All actors of one class since the node started, those that have ended included. None: not known."""

    cls: str
    handled: int
    errors: int
    restarts: int
    dropped: int
    busy_ns: int
    starts: int | None = None
    depth: int | None = None


class ActorFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One path of the static tree since the node started, across all its lives. None: not known."""

    path: str
    cls: str
    up: bool
    handled: int
    errors: int
    restarts: int
    depth: int
    dropped: int
    busy_ns: int | None = None


class Sample(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One number of a metric, as it comes from a worker."""

    name: str
    labels: dict[str, str]
    value: float


class Family(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One metric that an actor registered in a worker."""

    name: str
    documentation: str
    kind: str
    samples: tuple[Sample, ...]


class WorkerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A process in which placed actors live. `rss` in bytes."""

    worker: str
    node: str
    kind: str
    rss: int
    actors: int
    families: tuple[Family, ...]


class Source(Protocol):
    """Where a scrape reads. Called on the loop, and to return at once: as many items as the static tree has paths."""

    def classes(self) -> Iterable[ClassFigures]:
        """The figures of every class of actors."""

    def actors(self) -> Iterable[ActorFigures]:
        """The figures of every path of the static tree."""

    def breakers(self) -> Iterable[BreakerSnapshot]:
        """Every breaker; its name is its path."""

    def routers(self) -> Iterable[tuple[str, RouterSnapshot]]:
        """Every router with its path."""

    def replicas(self) -> Iterable[tuple[str, ReplicasSnapshot]]:
        """Every set of replicas with its path."""

    def workers(self) -> Iterable[WorkerFigures]:
        """Every worker."""


class Distribution:
    """Observations counted in buckets. No lock and no allocation that could start a collection: it is also fed by the
    garbage collector's callbacks, in the middle of anything."""

    __slots__ = ("bounds", "counts", "most", "total")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0
        self.most = 0.0

    def observe(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value
        if value > self.most:
            self.most = value

    def buckets(self) -> list[tuple[str, float]]:
        """The upper bounds with the number of observations up to each, as Prometheus has them."""
        running = 0
        found = []
        for bound, number in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += number
            found.append((bound, float(running)))
        return found


class Metrics:
    """All metrics of one node."""

    def __init__(self, source: Source | None = None) -> None:
        self.source = source
        """Set it once there is a node; without one only what was registered is shown."""
        self.loop_lag = Distribution()
        self.pauses = (Distribution(), Distribution(), Distribution())
        """Pauses by the garbage collector, by generation."""
        self._held: dict[str, float] = {}
        self._registered: dict[str, MetricWrapperBase] = {}
        self._registry = CollectorRegistry()
        # A start time for every counter would double the text and is of no use to anybody here.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self._registry)
        self._reserved = {family.name for family in _Scrape(self).collect()}

    def counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        """A counter of the caller's own; `_total` is added to its name. See `histogram` for the errors."""
        return self._register(Counter, name.removesuffix("_total"), documentation, labels)

    def gauge(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Gauge:
        """A gauge of the caller's own. See `histogram` for the errors."""
        return self._register(Gauge, name, documentation, labels)

    def histogram(
        self, name: str, documentation: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS
    ) -> Histogram:
        """A histogram of the caller's own.

        Raises ValueError if the name is taken by something of another kind or with other labels, or is no valid name.
        """
        return self._register(Histogram, name, documentation, labels, buckets=buckets)

    def hold(self, path: str, seconds: float) -> None:
        """The actor at `path` has held the loop for so long."""
        if path not in self._held and len(self._held) >= NAMED_HOLDERS:
            path = "other"
        self._held[path] = self._held.get(path, 0.0) + seconds

    def pause(self, generation: int, seconds: float) -> None:
        """The garbage collector has stopped the process for so long."""
        self.pauses[min(generation, 2)].observe(seconds)

    def registered(self) -> Iterator[Metric]:
        """What actors have registered, as it is now."""
        for metric in self._registered.values():
            yield from metric.collect()

    def snapshot(self) -> Collector:
        """What is shown now; `collect` of it may run in any thread."""
        return _Scrape(self)

    def render(self) -> bytes:
        """The text that Prometheus reads (`CONTENT_TYPE`)."""
        return prometheus_client.generate_latest(_Scrape(self))

    async def scrape(self) -> bytes:
        """`render` without holding the loop while the text is made."""
        return await trio.to_thread.run_sync(prometheus_client.generate_latest, _Scrape(self))

    def _register(
        self, kind: type[M], name: str, documentation: str, labels: Sequence[str], **options: Sequence[float]
    ) -> M:
        known = self._registered.get(name)
        if known is not None:
            if type(known) is not kind or known._labelnames != tuple(labels):
                raise ValueError(
                    f"the metric {name} is a {type(known).__name__.lower()} with labels {list(known._labelnames)}, "
                    f"not a {kind.__name__.lower()} with labels {list(labels)}"
                )
            return known
        if not _NAME.fullmatch(name):
            raise ValueError(f"the name of a metric is letters, digits and _, not {name!r}")
        if name in self._reserved:
            raise ValueError(f"the metric {name} is the node's own")
        made = kind(name, documentation, tuple(labels), registry=self._registry, **options)  # type: ignore[arg-type]
        self._registered[name] = made
        return made


class _Scrape(Collector):
    """What the node shows at one moment. Made on the loop; `collect` may then run anywhere."""

    def __init__(self, metrics: Metrics) -> None:
        source = metrics.source
        self._classes = [] if source is None else list(source.classes())
        self._actors = [] if source is None else list(source.actors())
        self._breakers = [] if source is None else list(source.breakers())
        self._routers = [] if source is None else list(source.routers())
        self._replicas = [] if source is None else list(source.replicas())
        self._held = dict(metrics._held)
        self._lag = metrics.loop_lag.buckets(), metrics.loop_lag.total
        self._pauses = [(each.buckets(), each.total) for each in metrics.pauses]
        self._registry = metrics._registry
        self._workers = [] if source is None else list(source.workers())

    def collect(self) -> Iterator[Metric]:
        """Every family of metrics."""
        yield from self._of_classes()
        yield from self._of_actors()
        yield from self._of_the_loop()
        yield from self._of_breakers()
        yield from self._of_routers()
        yield from self._of_replicas()
        yield from self._of_workers()
        yield from self._registered()

    def _of_workers(self) -> Iterator[Metric]:
        rows = [((each.worker, each.node, each.kind), each) for each in self._workers]
        labels = ("worker", "node", "kind")
        yield _gauge("troupe_worker_memory_bytes", "Memory of a worker process", labels, ((k, e.rss) for k, e in rows))
        yield _gauge("troupe_worker_actors", "Actors that live in a worker", labels, ((k, e.actors) for k, e in rows))

    def _registered(self) -> Iterator[Metric]:
        """What actors have registered here, and, with a label more, in workers."""
        families = {family.name: family for family in self._registry.collect()}
        for worker in self._workers:
            for theirs in worker.families:
                family = families.get(theirs.name)
                if family is None:
                    family = families[theirs.name] = Metric(theirs.name, theirs.documentation, theirs.kind)
                for sample in theirs.samples:
                    family.add_sample(sample.name, {**sample.labels, "worker": worker.worker}, sample.value)
        yield from families.values()

    def _of_classes(self) -> Iterator[Metric]:
        rows = [((each.cls,), each) for each in self._classes]
        label = ("class",)
        yield _counter("troupe_class_messages", "Messages handled", label, ((k, e.handled) for k, e in rows))
        yield _counter("troupe_class_errors", "Crashes and failed starts", label, ((k, e.errors) for k, e in rows))
        yield _counter("troupe_class_restarts", "Restarts", label, ((k, e.restarts) for k, e in rows))
        yield _counter("troupe_class_dropped", "Messages lost by overflow", label, ((k, e.dropped) for k, e in rows))
        yield _counter(
            "troupe_class_handler_seconds", "Time in handlers", label, ((k, e.busy_ns / 1e9) for k, e in rows)
        )
        yield _counter("troupe_class_starts", "Starts of actors", label, ((k, e.starts) for k, e in rows))
        yield _gauge("troupe_class_mailbox_depth", "Messages waiting", label, ((k, e.depth) for k, e in rows))

    def _of_actors(self) -> Iterator[Metric]:
        rows = [((each.path, each.cls), each) for each in self._actors]
        labels = ("path", "class")
        yield _gauge("troupe_actor_up", "1 while the actor runs", labels, ((k, e.up) for k, e in rows))
        yield _counter("troupe_actor_messages", "Messages handled", labels, ((k, e.handled) for k, e in rows))
        yield _counter("troupe_actor_errors", "Crashes and failed starts", labels, ((k, e.errors) for k, e in rows))
        yield _counter("troupe_actor_restarts", "Restarts", labels, ((k, e.restarts) for k, e in rows))
        yield _counter("troupe_actor_dropped", "Messages lost by overflow", labels, ((k, e.dropped) for k, e in rows))
        yield _gauge("troupe_actor_mailbox_depth", "Messages waiting", labels, ((k, e.depth) for k, e in rows))
        busy = ((k, None if e.busy_ns is None else e.busy_ns / 1e9) for k, e in rows)
        yield _counter("troupe_actor_handler_seconds", "Time in handlers", labels, busy)

    def _of_the_loop(self) -> Iterator[Metric]:
        lag = HistogramMetricFamily("troupe_loop_lag_seconds", "How late the event loop wakes a task")
        lag.add_metric([], *self._lag)
        yield lag
        held = (((path,), seconds) for path, seconds in self._held.items())
        yield _counter("troupe_loop_held_seconds", "Time for which an actor made the loop late", ("path",), held)
        pauses = HistogramMetricFamily(
            "troupe_gc_pause_seconds", "Pauses by the garbage collector", labels=["generation"]
        )
        for generation, pause in enumerate(self._pauses):
            pauses.add_metric([str(generation)], *pause)
        yield pauses

    def _of_breakers(self) -> Iterator[Metric]:
        rows = [((each.name,), each) for each in self._breakers]
        label = ("path",)
        states = (((e.name, each.value), e.state is each) for _, e in rows for each in State)
        yield _gauge("troupe_breaker_state", "1 for the state that the breaker is in", ("path", "state"), states)
        calls = (
            ((e.name, outcome), number)
            for _, e in rows
            for outcome, number in (("success", e.succeeded), ("failure", e.failed), ("refused", e.refused))
        )
        yield _counter("troupe_breaker_calls", "Calls by outcome", ("path", "outcome"), calls)
        yield _counter("troupe_breaker_slow_calls", "Slow calls", label, ((k, e.slow) for k, e in rows))
        yield _counter("troupe_breaker_opened", "How often it opened", label, ((k, e.opened) for k, e in rows))
        rates = ((k, e.failure_rate) for k, e in rows)
        yield _gauge("troupe_breaker_failure_rate", "Failed calls in the window, of 1", label, rates)

    def _of_routers(self) -> Iterator[Metric]:
        rows = [((path, each.name), each) for path, router in self._routers for each in router.variants]
        labels = ("path", "variant")
        coverages = (((path,), router.coverage) for path, router in self._routers)
        yield _gauge("troupe_router_coverage", "Enrolled part of the keys, of 1", ("path",), coverages)
        yield _gauge("troupe_router_share", "Part of the keys that it serves", labels, ((k, e.share) for k, e in rows))
        yield _counter("troupe_router_messages", "Messages routed", labels, ((k, e.routed) for k, e in rows))
        yield _counter(
            "troupe_router_enrolled", "Messages of enrolled keys", labels, ((k, e.enrolled) for k, e in rows)
        )
        outcomes = (
            ((*key, outcome), number)
            for key, each in rows
            for outcome, number in (("done", each.done), ("refused", each.refused), ("failed", each.failed))
        )
        yield _counter("troupe_router_outcomes", "Asks by outcome", (*labels, "outcome"), outcomes)

    def _of_replicas(self) -> Iterator[Metric]:
        rows = [((path, each.name), each) for path, found in self._replicas for each in found.replicas]
        labels = ("path", "replica")
        counts = (((path,), found.count) for path, found in self._replicas)
        yield _gauge("troupe_replicas", "Replicas that get messages", ("path",), counts)
        loads = ((k, e.load) for k, e in rows)
        yield _gauge("troupe_replica_load", "Messages waiting or in progress", labels, loads)
        yield _counter("troupe_replica_messages", "Messages routed", labels, ((k, e.routed) for k, e in rows))
        outcomes = (
            ((*key, outcome), number)
            for key, each in rows
            for outcome, number in (("done", each.done), ("refused", each.refused), ("failed", each.failed))
        )
        yield _counter("troupe_replica_outcomes", "Asks by outcome", (*labels, "outcome"), outcomes)


def _counter(
    name: str, documentation: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], float | None]]
) -> Metric:
    return _filled(CounterMetricFamily(name, documentation, labels=labels), rows)


def _gauge(
    name: str, documentation: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], float | None]]
) -> Metric:
    return _filled(GaugeMetricFamily(name, documentation, labels=labels), rows)


def _filled(
    family: CounterMetricFamily | GaugeMetricFamily, rows: Iterable[tuple[Sequence[str], float | None]]
) -> Metric:
    for labels, value in rows:
        if value is not None:
            family.add_metric(labels, float(value))
    return family
