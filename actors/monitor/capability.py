"""Health, metrics, alerts, drift: what an operator, a load balancer or Prometheus asks.

`GET /`, `/health`, `/health/live`, `/health/ready`, `/health/status`, `/health/metrics`, `/metrics` and
`/api/v1/system/config`. Every figure is read when it is asked for. What is watched all the time is in the parts:
alerts and drift.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import msgspec
import trio
from prometheus_client import generate_latest

from actors.edge.call import Call
from actors.edge.responses import Response
from actors.edge.routing import Route, get
from actors.monitor.alerts import part as alerts
from actors.monitor.drift import part as drift
from actors.monitor.health import Component, GetConfiguration, GetHealth, Health, process_figures
from actors.monitor.inference_metrics import InferenceMetrics, NodeFacts, RouteFigures
from protocols.control import Refused, Row, Unknown
from protocols.paths import MONITOR, THRESHOLDS
from runtime import ChildSpec
from runtime.capability import Whole
from runtime.metrics import CONTENT_TYPE
from runtime.settings import Configuration

VERSION = version("troupe")
ASK_S = 5.0


class Service(msgspec.Struct, frozen=True):
    """What answers here."""

    service: str
    version: str
    status: str
    endpoints: tuple[str, ...]


class Check(msgspec.Struct, frozen=True):
    """One component's probe, as the threshold service tells it. `critical`: where it has failed the node is unhealthy,
    which is so of every component. `failure_count`: in a row."""

    healthy: bool
    execution_time_ms: float
    failure_count: int
    critical: bool
    description: str


class Checks(msgspec.Struct, frozen=True):
    """All probes."""

    overall_healthy: bool
    critical_failures: tuple[str, ...]
    checks: dict[str, Check]
    ml_service: dict[str, str]
    """The components of the adaptive thresholds."""


class HealthAnswer(msgspec.Struct, frozen=True):
    """The node as a whole and its components by name."""

    status: str
    service: str
    timestamp: str
    version: str
    components: dict[str, str]
    checks: Checks


class Alive(msgspec.Struct, frozen=True):
    """The event loop turns: otherwise nobody would have answered."""

    alive: bool
    timestamp: str


class Ready(msgspec.Struct, frozen=True):
    """Whether every component can serve."""

    ready: bool
    checks: dict[str, bool]
    details: dict[str, str]


class ComponentAnswer(msgspec.Struct, frozen=True):
    """One component as it described itself."""

    status: str
    ready: bool
    detail: str
    path: str
    figures: dict[str, str | int | float | bool | None]


class ProcessFigures(msgspec.Struct, frozen=True):
    """The process since its start."""

    uptime_seconds: float
    memory_usage_mb: float
    cpu_usage_percent: float
    actors: int
    dead_letters: int


class Status(msgspec.Struct, frozen=True):
    """Everything the probes say."""

    status: str
    service: str
    version: str
    node: str
    epoch: int
    components: dict[str, ComponentAnswer]
    metrics: ProcessFigures


def _time(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat()


async def _health(call: Call) -> Health:
    try:
        return await call.ref(MONITOR).ask(GetHealth(), ASK_S)
    except (Refused, Unknown) as error:
        failed = Component("monitor", MONITOR, "failed", False, str(error), ())
        return Health(call.node.clock.now(), "unhealthy", False, (failed,))


def _json(status: int, body: msgspec.Struct) -> Response:
    return Response(status, msgspec.json.encode(body))


async def index(call: Call) -> Service:
    """Say what this is and where to go."""
    return Service("troupe", VERSION, "running", tuple(sorted({e.route.path for e in call.router.endpoints})))


async def health(call: Call) -> Response:
    """Answer 200 while nothing has failed, 503 otherwise."""
    found = await _health(call)
    states: dict[str, str] = {c.name: c.status for c in found.components}
    body = HealthAnswer(found.status, "troupe", _time(found.at), VERSION, states, _checks(found))
    return _json(503 if found.status == "unhealthy" else 200, body)


def _checks(found: Health) -> Checks:
    return Checks(
        overall_healthy=found.status != "unhealthy",
        critical_failures=tuple(c.name for c in found.components if c.status == "failed"),
        checks={
            c.name: Check(c.status != "failed", round(c.took_ms, 3), c.failures, True, c.detail or c.path)
            for c in found.components
        },
        ml_service={c.name: c.status for c in found.components if c.path.startswith(f"{THRESHOLDS}/")},
    )


async def live(call: Call) -> Alive:
    """Answer as long as the event loop turns."""
    return Alive(True, _time(call.node.clock.now()))


async def ready(call: Call) -> Response:
    """Answer 200 once every component can serve, 503 before."""
    found = await _health(call)
    body = Ready(
        found.ready,
        {c.name: c.ready for c in found.components},
        {c.name: c.detail for c in found.components if c.detail},
    )
    return _json(200 if found.ready else 503, body)


async def status(call: Call) -> Response:
    """Answer what every probe says, with its figures."""
    found = await _health(call)
    node = call.node
    uptime_s = (node.clock.now() - node.started_at) / 1e9
    process = process_figures()
    body = Status(
        found.status,
        "troupe",
        VERSION,
        node.settings.name,
        node.epoch,
        {c.name: ComponentAnswer(c.status, c.ready, c.detail, c.path, dict(c.figures)) for c in found.components},
        ProcessFigures(
            round(uptime_s, 3),
            round(process.resident_mb, 1),
            round(100 * process.cpu_s / max(uptime_s, 1e-9), 2),
            len(node.cells),
            node.dead_letters,
        ),
    )
    return _json(503 if found.status == "unhealthy" else 200, body)


async def metrics(call: Call) -> Response:
    """Answer Prometheus."""
    return Response(200, await call.node.metrics.scrape(), CONTENT_TYPE)


async def inference_metrics(call: Call) -> Response:
    """Answer Prometheus with the names of the inference service."""
    node = call.node
    uptime_s = (node.clock.now() - node.started_at) / 1e9
    facts = NodeFacts(
        VERSION,
        node.settings.name,
        round(uptime_s, 3),
        round(100 * process_figures().cpu_s / max(uptime_s, 1e-9), 2),
        tuple(
            RouteFigures(
                each.route.method, each.route.path, each.answers, each.failures, each.times.buckets(), each.times.total
            )
            for each in call.router.endpoints
        ),
    )
    families = InferenceMetrics(node.metrics.snapshot(), facts)
    return Response(200, await trio.to_thread.run_sync(generate_latest, families), CONTENT_TYPE)


async def configuration(call: Call) -> Response:
    """Answer the resolved configuration; secrets are hidden."""
    return Response(200, await call.ref(MONITOR).ask(GetConfiguration(), ASK_S))


TAGS = ("health",)
PARTS: Final = (alerts, drift)
routes: list[Route] = [
    get("/", index, summary="What this is", tags=TAGS),
    get("/health", health, summary="Health", tags=TAGS),
    get("/health/live", live, summary="Liveness", tags=TAGS),
    get("/health/ready", ready, summary="Readiness", tags=TAGS),
    get("/health/status", status, summary="Every component", tags=TAGS),
    get("/health/metrics", inference_metrics, summary="Metrics by the inference service's names", tags=TAGS),
    get("/metrics", metrics, summary="Prometheus metrics", tags=TAGS),
    get("/api/v1/system/config", configuration, summary="The resolved configuration", tags=TAGS),
    *(route for part in PARTS for route in part.routes),
]
sections: dict[str, Any] = {name: kind for part in PARTS for name, kind in part.sections.items()}
migrations: str | None = str(Path(__file__).parent / "migrations")
rows: tuple[type[Row], ...] = tuple(row for part in PARTS for row in part.rows)
commands: dict[str, str] = {
    "monitoring check": "actors.monitor.generating.command:check",
    "monitoring generate": "actors.monitor.generating.command:generate",
}


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """Return the monitor over all probes, and the parts. Raises ConfigurationError for alerts that cannot be."""
    shown = msgspec.json.encode(configuration.resolved(), enc_hook=str)
    monitor = ChildSpec("monitor", "actors.monitor.health:Monitor", {"probes": whole.probes, "configuration": shown})
    return [monitor, *(spec for part in PARTS for spec in part.children(configuration))]


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for the parts; nobody has to ask the one who asks."""
    return [probe for part in PARTS for probe in part.probes(configuration)]
