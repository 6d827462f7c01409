"""What Prometheus is told of decisions. No user is in a label."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import Counter, Histogram

from protocols.decisions import Decision
from runtime.metrics import Metrics

SECONDS: Final = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0, 5.0)
"""One edge stands exactly on the promise of 100 ms."""
PRIORITY: Final = ("risk_exit", "high", "normal", "low")


class Meters:
    """The metrics of the decision server. Children are kept: finding one by its labels takes longer than counting."""

    def __init__(self, metrics: Metrics) -> None:
        self._duration = metrics.histogram(
            "rl_predict_duration_seconds",
            "From a request's arrival to its answer",
            ("model", "arm", "priority"),
            SECONDS,
        )
        self._queue = metrics.histogram("rl_predict_queue_seconds", "Waiting for a model", ("priority",), SECONDS)
        self._predictions = metrics.counter(
            "rl_predictions_total", "Decisions by who served them, and why", ("arm", "served_by", "reason")
        )
        self._cache = metrics.counter(
            "rl_cache_requests_total", "Look-ups of answers to equal observations", ("result",)
        )
        self._depth = metrics.gauge("rl_queue_depth", "Requests that wait for their answer")
        self._model = metrics.gauge("rl_model_info", "1 for what serves a name", ("name", "version", "bundle_sha"))
        self._kept: dict[tuple[str, str, str, str, int], tuple[Histogram, Counter]] = {}
        self._waits = tuple(self._queue.labels(name) for name in PRIORITY)
        self._results = {name: self._cache.labels(name) for name in ("hit", "miss", "shared")}

    def decided(self, decision: Decision) -> None:
        """Count one answer."""
        key = (decision.model, decision.arm, decision.served_by, decision.reason, decision.priority)
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = (
                self._duration.labels(decision.model, decision.arm, PRIORITY[decision.priority]),
                self._predictions.labels(decision.arm, decision.served_by, decision.reason),
            )
        kept[0].observe(decision.took_ns / 1e9)
        kept[1].inc()

    def waited(self, priority: int, ns: int) -> None:
        """Count one wait in the queue."""
        self._waits[priority].observe(ns / 1e9)

    def waiting(self, number: Callable[[], int]) -> None:
        """Ask this, whenever somebody looks, how many requests wait."""
        self._depth.set_function(number)

    def cache(self, result: str) -> None:
        """Count one look-up: hit, miss, shared."""
        self._results[result].inc()

    def model(self, name: str, version: str, before: str) -> None:
        """Another version serves a name."""
        if before:
            self._model.remove(name, before, before)
        self._model.labels(name, version, version).set(1)
