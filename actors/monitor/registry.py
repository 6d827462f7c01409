"""All metrics of Troupe by name: what generated rules and dashboards may speak of.

Names follow Prometheus' practice: base units, `_total` for counters, `_ratio` for shares of 1. A name is as a scrape
shows it; that of a histogram is without `_bucket`, `_sum`, `_count`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

MetricKind = Literal["counter", "gauge", "histogram"]
Unit = Literal["", "seconds", "bytes", "ratio"]


class MetricEntry(msgspec.Struct, frozen=True):
    """One metric. `unit`: what a value of 1 is; empty: a count."""

    name: str
    kind: MetricKind
    labels: tuple[str, ...]
    unit: Unit
    help: str

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of its samples."""
        if self.kind != "histogram":
            return (self.name,)
        return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))


def _counter(name: str, labels: str, text: str, unit: Unit = "") -> MetricEntry:
    return MetricEntry(name, "counter", tuple(labels.split()), unit, text)


def _gauge(name: str, labels: str, text: str, unit: Unit = "") -> MetricEntry:
    return MetricEntry(name, "gauge", tuple(labels.split()), unit, text)


def _histogram(name: str, labels: str, text: str, unit: Unit = "seconds") -> MetricEntry:
    return MetricEntry(name, "histogram", tuple(labels.split()), unit, text)


DECISIONS: Final = (
    _histogram("rl_predict_duration_seconds", "model arm priority", "From request to decision"),
    _histogram("rl_predict_queue_seconds", "priority", "Waiting before a decision"),
    _counter("rl_predictions_total", "arm served_by reason", "Decisions; a reason says why the fallback answered"),
    _gauge("rl_queue_depth", "", "Requests that wait for their answer"),
    _gauge(
        "rl_model_accuracy_ratio", "model", "Decisions that were right, of the newest that have an outcome", "ratio"
    ),
    _gauge("rl_model_info", "name version bundle_sha", "1 for the version that serves a name"),
    _counter("rl_cache_requests_total", "result", "Questions to the cache of decisions"),
    _counter("ab_exposures_total", "experiment arm", "Units that an arm could first have changed something for"),
    _gauge("ab_srm_p_value", "experiment", "How probable the shares of the arms are by chance", "ratio"),
    _gauge("ab_effect", "experiment bound", "The treatment's effect per user-day, with its always-valid interval"),
    _counter("troupe_bridge_requests_total", "bridge outcome", "Calls of other services by outcome"),
    _histogram("troupe_bridge_request_seconds", "bridge", "How long calls of other services take"),
)
MONITOR: Final = (
    _counter("threshold_outcomes_total", "source known", "Outcomes that learners are told"),
    _gauge("threshold_signals_followed", "", "Signals whose outcome is awaited"),
    _gauge("drift_psi", "model feature", "Population stability index"),
    _gauge("drift_psi_limit", "model feature", "Above it a feature has drifted"),
    _gauge("drift_features", "model", "Features and predictions that have drifted"),
    _gauge("drift_evidence_ratio", "model of", "Evidence for a loss of performance, of what makes an alarm", "ratio"),
    _counter("drift_losses_total", "model", "Alarms of a loss of performance"),
    _counter("drift_observations_total", "kind", "What was told of models"),
    _gauge("alerts_active", "severity", "Alerts that are active"),
    _counter("alerts_fired_total", "severity", "Alerts that were fired"),
    _gauge("alerts_rules", "state", "Rules, each set of labels on its own, by state"),
    _counter("alerts_lost_total", "reason", "Alerts that could not be taken or stored"),
    _counter("alerts_notifications_total", "target outcome", "Messages about alerts by how they ended"),
)
RUNTIME: Final = (
    _counter("troupe_class_messages_total", "class", "Messages handled"),
    _counter("troupe_class_errors_total", "class", "Crashes and failed starts"),
    _counter("troupe_class_restarts_total", "class", "Restarts"),
    _counter("troupe_class_dropped_total", "class", "Messages lost by overflow"),
    _counter("troupe_class_handler_seconds_total", "class", "Time in handlers", "seconds"),
    _counter("troupe_class_starts_total", "class", "Starts of actors"),
    _gauge("troupe_class_mailbox_depth", "class", "Messages waiting"),
    _gauge("troupe_actor_up", "path class", "1 while the actor runs"),
    _counter("troupe_actor_messages_total", "path class", "Messages handled"),
    _counter("troupe_actor_errors_total", "path class", "Crashes and failed starts"),
    _counter("troupe_actor_restarts_total", "path class", "Restarts"),
    _counter("troupe_actor_dropped_total", "path class", "Messages lost by overflow"),
    _gauge("troupe_actor_mailbox_depth", "path class", "Messages waiting"),
    _counter("troupe_actor_handler_seconds_total", "path class", "Time in handlers", "seconds"),
    _histogram("troupe_loop_lag_seconds", "", "How late the event loop wakes a task"),
    _counter("troupe_loop_held_seconds_total", "path", "Time for which an actor made the loop late", "seconds"),
    _histogram("troupe_gc_pause_seconds", "generation", "Pauses by the garbage collector"),
    _gauge("troupe_breaker_state", "path state", "1 for the state that the breaker is in"),
    _counter("troupe_breaker_calls_total", "path outcome", "Calls by outcome"),
    _counter("troupe_breaker_slow_calls_total", "path", "Slow calls"),
    _counter("troupe_breaker_opened_total", "path", "How often it opened"),
    _gauge("troupe_breaker_failure_rate", "path", "Failed calls in the window, of 1", "ratio"),
    _gauge("troupe_router_coverage", "path", "Enrolled part of the keys, of 1", "ratio"),
    _gauge("troupe_router_share", "path variant", "Part of the keys that it serves", "ratio"),
    _counter("troupe_router_messages_total", "path variant", "Messages routed"),
    _counter("troupe_router_enrolled_total", "path variant", "Messages of enrolled keys"),
    _counter("troupe_router_outcomes_total", "path variant outcome", "Asks by outcome"),
    _gauge("troupe_replicas", "path", "Replicas that get messages"),
    _gauge("troupe_replica_load", "path replica", "Messages waiting or in progress"),
    _counter("troupe_replica_messages_total", "path replica", "Messages routed"),
    _counter("troupe_replica_outcomes_total", "path replica outcome", "Asks by outcome"),
    _gauge("troupe_worker_memory_bytes", "worker node kind", "Memory of a worker process", "bytes"),
    _gauge("troupe_worker_actors", "worker node kind", "Actors that live in a worker"),
    _gauge("process_virtual_memory_bytes", "", "Virtual memory size in bytes.", "bytes"),
    _gauge("process_resident_memory_bytes", "", "Resident memory size in bytes.", "bytes"),
    _gauge("process_start_time_seconds", "", "Start time of the process since unix epoch in seconds.", "seconds"),
    _counter("process_cpu_seconds_total", "", "Total user and system CPU time spent in seconds.", "seconds"),
    _gauge("process_open_fds", "", "Number of open file descriptors."),
    _gauge("process_max_fds", "", "Maximum number of open file descriptors."),
)
CAPABILITIES: Final = (
    _counter("troupe_signals_total", "action", "Signals that were accepted"),
    _histogram("troupe_signal_confidence", "", "Confidence of accepted signals", "ratio"),
    _gauge("troupe_stream_subscribers", "", "WebSocket clients of the signal stream"),
    _counter("troupe_stream_frames_sent_total", "", "Signals sent to WebSocket clients"),
    _counter("troupe_channel_delivered_total", "channel", "Signals and updates that a channel's target has confirmed"),
    _counter("troupe_channel_failures_total", "channel", "Attempts of a channel that failed"),
    _counter("troupe_channel_left_out_total", "channel", "Messages that a channel's target refuses for good"),
    _gauge("troupe_channel_behind", "channel", "Signals and updates that a channel has still to deliver"),
    _counter("troupe_database_queries_total", "database outcome", "Queries by outcome"),
    _histogram("troupe_database_query_seconds", "database", "How long queries take"),
    _gauge("troupe_database_connections", "database", "Connections of the pool"),
    _counter("troupe_strategy_executions_total", "strategy_id outcome", "Calls of strategies"),
    _histogram("troupe_strategy_execution_seconds", "", "How long a call of a strategy takes"),
    _gauge("troupe_strategies", "status", "Strategies by status"),
    _counter("troupe_library_cache_hits_total", "source", "Strategies that were kept"),
    _counter("troupe_library_cache_misses_total", "source", "Strategies that were read"),
    _gauge("troupe_feed_state", "feed state", "1 for the state that a feed is in"),
    _gauge("troupe_feed_books", "feed condition", "Books of a feed, current and stale"),
    _gauge("troupe_feed_lag_seconds", "feed", "Delay of a feed's data beyond the smallest delay seen", "seconds"),
    _gauge("troupe_feed_age_seconds", "feed", "Time since a feed's last market data", "seconds"),
    _gauge("troupe_feed_messages", "feed what", "What a feed has counted since its session started"),
    _counter("troupe_venue_requests_total", "venue outcome", "REST calls by outcome"),
    _histogram("troupe_venue_request_seconds", "venue", "How long REST calls take"),
    _gauge("troupe_store_rows", "table", "Rows of market data that were stored since the start"),
    _gauge("troupe_store_dropped", "table", "Messages that were lost before they were stored"),
    _gauge("troupe_store_overflows", "", "Stored sessions that a drop has ended"),
    _gauge("troupe_store_sessions", "", "Stored sessions that are open"),
)
REGISTRY: Final = (*DECISIONS, *MONITOR, *RUNTIME, *CAPABILITIES)
HISTOGRAMS: Final = frozenset(each.name for each in REGISTRY if each.kind == "histogram")
