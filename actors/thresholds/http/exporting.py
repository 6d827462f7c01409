"""Figures of thresholds for other programs: as JSON, as lines of CSV, for Prometheus. And the service at a glance.

A point has a name, a time, a value and whose it is. What is not known is no point.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Annotated, Any, Final, Literal

import msgspec
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from actors.edge.call import Call
from actors.edge.responses import Response, json_response
from actors.thresholds.http.bodies import Success, named
from actors.thresholds.http.entrance import admit
from actors.thresholds.http.performing import FIGURES, HOUR_NS, measures, records_since
from actors.thresholds.intake import history
from actors.thresholds.performance import DAY_NS, performance, score
from actors.thresholds.records import confidence_of, text_of
from protocols.alerts import ListAlerts
from protocols.control import Probe, ProbeReport, Refused, Unknown
from protocols.paths import ALERTS, QUERIES, STORAGE_WRITER, THRESHOLD_OUTCOMES, THRESHOLD_ROSTER
from protocols.signal_stream import timestamp
from protocols.threshold_outcomes import GetOutcomeFigures, OutcomeFigures
from protocols.thresholds import MOVES, GetThresholdStats, ThresholdStats
from runtime.metrics import CONTENT_TYPE

ASK_S: Final = 3.0
CSV: Final = "text/csv; charset=utf-8"
COLUMNS: Final = ("timestamp", "metric", "value", "user_id", "symbol", "parameter", "tags")


class ExportQuery(msgspec.Struct, frozen=True):
    """Of how long, and how written."""

    hours_back: Annotated[int, msgspec.Meta(ge=1, le=8760)] = 24
    format: Literal["json", "prometheus", "csv"] = "json"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. `tags`: what more is known of it."""

    timestamp: str
    metric: str
    value: float
    user_id: str = ""
    symbol: str = ""
    parameter: str = ""
    tags: dict[str, str | float] = {}


class Export(msgspec.Struct, frozen=True):
    """Points of the time, oldest first; `remark`: what could not be read."""

    period_hours: int
    exported_at: str
    metrics: tuple[Point, ...]
    remark: str | None


class ServiceInfo(msgspec.Struct, frozen=True):
    """What answers."""

    name: str
    version: str
    started_at: str
    uptime_seconds: float


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The service at a glance; what nobody answers is null."""

    service_info: ServiceInfo
    integration_status: dict[str, str]
    metrics_summary: dict[str, Any]
    alerts: dict[str, int]
    health_status: str


async def export(request: ExportQuery, call: Call) -> Response:
    """Answer all points of the time, in the format."""
    await admit(call)
    points, remark = await _points(call, request.hours_back)
    if request.format == "csv":
        return Response(200, csv_of(points).encode(), CSV)
    if request.format == "prometheus":
        return Response(200, generate_latest(_Families(points)), CONTENT_TYPE)
    found = Export(request.hours_back, timestamp(call.node.clock.now()), tuple(points), remark or None)
    return json_response(Success(data=found))


async def _points(call: Call, hours: int) -> tuple[list[Point], str]:
    now = call.node.clock.now()
    since = now - hours * HOUR_NS
    measured = await measures(call)
    records = await records_since(call, "", None, since)
    points = [
        Point(
            timestamp=timestamp(each.ts),
            metric="parameter_adaptation",
            value=each.applied,
            user_id=each.user,
            symbol=each.symbol,
            parameter=named(each.parameter),
            tags={
                "old_value": each.old,
                "reason_code": each.reason_code,
                "confidence": confidence_of(each),
                "reason": text_of(each),
            },
        )
        for each in reversed(records.records)
        if each.reason_code in MOVES and each.kind != "block"
    ]
    queries = call.ref(QUERIES)
    begin = now - measured.window_days * DAY_NS
    for user, symbol in await history.active_users(queries, since):
        trades = await history.closed_trades(queries, user, symbol, begin, now + 1)
        figures = performance(trades, begin, now + 1, minimum=measured.min_trades)
        values: dict[str, float | None] = {name: getattr(figures, name) for name in FIGURES}
        values |= {"trade_count": figures.trades, "performance_score": score(figures, measured.weights)}
        points += [
            Point(timestamp=timestamp(now), metric=f"trading_{name}", value=value, user_id=user, symbol=symbol)
            for name, value in values.items()
            if value is not None
        ]
    roster, keeper = await _figures(call)
    for prefix, figures_ in (("thresholds", roster), ("threshold_outcomes", keeper)):
        points += [
            Point(timestamp=timestamp(now), metric=f"{prefix}_{name}", value=value)
            for name, value in ({} if figures_ is None else msgspec.structs.asdict(figures_)).items()
            if type(value) is int and name not in ("since", "last_adapt_all")
        ]
    return points, records.remark


def csv_of(points: Iterable[Point]) -> str:
    """Lines with a head; tags are a JSON object."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for each in points:
        tags = msgspec.json.encode(each.tags).decode() if each.tags else ""
        lines.writerow(
            (
                each.timestamp,
                each.metric,
                repr(each.value),
                *map(_harmless, (each.user_id, each.symbol)),
                each.parameter,
                tags,
            )
        )
    return text.getvalue()


def _harmless(text: str) -> str:
    """An id that a spreadsheet would take for a formula is not one (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


class _Families:
    """Points as gauges: of several of one name and labels the newest."""

    def __init__(self, points: Iterable[Point]) -> None:
        self.newest = {(each.metric, each.user_id, each.symbol, each.parameter): each.value for each in points}

    def collect(self) -> Iterator[Metric]:
        """One family for each name."""
        families: dict[str, GaugeMetricFamily] = {}
        for (name, *labels), value in sorted(self.newest.items()):
            family = families.get(name)
            if family is None:
                text = (
                    "The value that a threshold moved to" if name == "parameter_adaptation" else name.replace("_", " ")
                )
                family = families[name] = GaugeMetricFamily(name, text, labels=("user_id", "symbol", "parameter"))
            family.add_metric(labels, value)
        yield from families.values()


async def _figures(call: Call) -> tuple[ThresholdStats | None, OutcomeFigures | None]:
    roster: ThresholdStats | None = None
    keeper: OutcomeFigures | None = None
    try:
        roster = await call.ref(THRESHOLD_ROSTER).ask(GetThresholdStats(), ASK_S)
        keeper = await call.ref(THRESHOLD_OUTCOMES).ask(GetOutcomeFigures(), ASK_S)
    except (Refused, Unknown) as error:
        call.node.logger.info("figures of thresholds are lacking", why=str(error))  # shown as null
    return roster, keeper


PARTS: Final = (
    ("database", STORAGE_WRITER),
    ("thresholds", THRESHOLD_ROSTER),
    ("outcomes", THRESHOLD_OUTCOMES),
    ("alerts", ALERTS),
)


async def stats(call: Call) -> Success[Stats]:
    """Answer how the service is."""
    await admit(call)
    node = call.node
    status: dict[str, str] = {}
    for name, path in PARTS:
        report = await _probed(call, path)
        status[name] = "unavailable" if report is None else report.status
    roster, keeper = await _figures(call)
    counts: dict[str, int] = {}
    try:
        for alert in (await call.ref(ALERTS).ask(ListAlerts(), ASK_S)).alerts:
            counts[alert.severity] = counts.get(alert.severity, 0) + 1
    except (Refused, Unknown) as error:
        node.logger.info("alerts cannot be counted", why=str(error))  # `alerts` above says so
    worst = "healthy" if set(status.values()) <= {"ok"} else "degraded"
    if "failed" in status.values() or "unavailable" in status.values():
        worst = "unhealthy"
    uptime_s = (node.clock.now() - node.started_at) / 1e9
    return Success(
        data=Stats(
            service_info=ServiceInfo("adaptive-thresholds", version("troupe"), timestamp(node.started_at), uptime_s),
            integration_status=status,
            metrics_summary={"thresholds": _plain(roster), "outcomes": _plain(keeper)},
            alerts=counts,
            health_status=worst,
        )
    )


def _plain(figures: ThresholdStats | OutcomeFigures | None) -> dict[str, Any] | None:
    return None if figures is None else msgspec.structs.asdict(figures)


async def _probed(call: Call, path: str) -> ProbeReport | None:
    try:
        return await call.ref(path).ask(Probe(), ASK_S)
    except (Refused, Unknown):
        return None  # shown as unavailable
