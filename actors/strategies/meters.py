"""What is counted of strategies: their calls and how long they take. A figure is by strategy, never by its life."""

from __future__ import annotations

from runtime.metrics import Metrics


class CallMeter:
    """Counts the calls of one strategy in the node's metrics."""

    def __init__(self, metrics: Metrics, strategy_id: str) -> None:
        calls = metrics.counter("troupe_strategy_executions", "Calls of strategies", ("strategy_id", "outcome"))
        seconds = metrics.histogram("troupe_strategy_execution_seconds", "How long a call of a strategy takes")
        self._done = calls.labels(strategy_id, "done")
        self._failed = calls.labels(strategy_id, "failed")
        self._seconds = seconds

    def count(self, took_ns: int, *, failed: bool) -> None:
        """One call has ended, after so many nanoseconds."""
        (self._failed if failed else self._done).inc()
        self._seconds.observe(took_ns / 1e9)
