"""metrics.md: what a scrape of a node holds, and the registry of the capabilities' metrics."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from actors.monitor.registry import CAPABILITIES, DECISIONS, MONITOR
from docs.generating.markdown import table
from runtime.breaker import BreakerSettings, CircuitBreaker
from runtime.metrics import ActorFigures, ClassFigures, Metrics, WorkerFigures
from runtime.replicas import ReplicaFigures, ReplicasSnapshot
from runtime.router import Router, RouterSettings, VariantSettings


class OneOfEach:
    """A source of metrics with one class, one path, one breaker and one router: every family has a sample."""

    def classes(self) -> Iterable[ClassFigures]:
        """One class."""
        return [
            ClassFigures(cls="C", handled=1, errors=1, restarts=1, dropped=1, busy_ns=1, starts=1, depth=1),
        ]

    def actors(self) -> Iterable[ActorFigures]:
        """One path."""
        figures = {"handled": 1, "errors": 1, "restarts": 1, "depth": 1, "dropped": 1, "busy_ns": 1}
        return [ActorFigures(path="/a", cls="C", up=True, **figures)]

    def breakers(self) -> Iterable[Any]:
        """One breaker."""
        snapshot = CircuitBreaker("/a", BreakerSettings(), 0).snapshot(0)
        return [msgspec.structs.replace(snapshot, failure_rate=0.0)]

    def routers(self) -> Iterable[tuple[str, Any]]:
        """One router."""
        variants = (VariantSettings(name="a", path="/a"), VariantSettings(name="b", path="/b"))
        return [("/a", Router(RouterSettings(salt="s", variants=variants)).snapshot())]

    def replicas(self) -> Iterable[tuple[str, Any]]:
        """One set of replicas."""
        one = ReplicaFigures().snapshot("0", 0)
        found = ReplicasSnapshot(routing="least_loaded", key="", count=1, most=1, replicas=(one,))
        return [("/a", found)]

    def workers(self) -> Iterable[WorkerFigures]:
        """One worker."""
        return [WorkerFigures(worker="1-1", node="n", kind="process", rss=1, actors=1, families=())]


def metrics() -> Iterator[str]:
    """Every family that a scrape shows."""
    yield "# Metrics"
    yield (
        "What `GET /metrics` answers, in the text format of Prometheus. Everything is gathered when somebody asks, so "
        "that between two scrapes it costs nothing. Actors are shown by class and by path of the static tree; dynamic "
        "children are in the sums of their class only, so that a hundred thousand of them are a few lines."
    )
    gathered = Metrics(OneOfEach())
    gathered.hold("/a", 1.0)
    rows = []
    for family in text_string_to_metric_families(gathered.render().decode()):
        labels = dict.fromkeys(itertools.chain.from_iterable(sample.labels for sample in family.samples))
        suffix = "_total" if family.type == "counter" else ""
        name = f"`{family.name.removesuffix('_total')}{suffix}`"
        rows.append(
            (name, family.type, ", ".join(f"`{each}`" for each in labels if each != "le"), family.documentation)
        )
    yield table(("Metric", "Kind", "Labels", "Meaning"), rows)
    yield "Capabilities add theirs. A line of one appears once there is something to count."
    for title, entries in (("Decisions", DECISIONS), ("Monitor", MONITOR), ("Others", CAPABILITIES)):
        yield f"## {title}"
        yield table(
            ("Metric", "Kind", "Labels", "Meaning"),
            [
                (f"`{each.name}`", each.kind, ", ".join(f"`{label}`" for label in each.labels), each.help)
                for each in entries
            ],
        )
    yield "An actor can add its own: `self.node.metrics.counter(name, documentation, labels)`, `gauge`, `histogram`."
