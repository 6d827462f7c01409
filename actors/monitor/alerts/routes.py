"""Alerts over HTTP: which there are, resolving one, and how every rule stands."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

import msgspec

from actors.edge.call import Call
from actors.edge.routing import Route, get, post
from actors.monitor.alerts.bodies import AlertBody, body_of
from protocols.alerts import Alert, ListAlerts, ListRules, ResolveAlert, RuleState, RuleView, Severity
from protocols.paths import ALERTS
from protocols.signal_stream import timestamp

ASK_S = 5.0


MOST = 1000
ALIASES: dict[str, Severity] = {"low": "info", "medium": "warning", "high": "error"}
"""What the threshold service calls severities."""
HOUR_NS = 3_600_000_000_000


class AlertsQuery(msgspec.Struct, frozen=True):
    """Which alerts. `hours_back`: those fired since then, active or not, unless `active_only` says so; without it: the
    active ones. `low`, `medium`, `high` are info, warning, error."""

    severity: Severity | Literal["low", "medium", "high"] | None = None
    active_only: bool | None = None
    hours_back: Annotated[float, msgspec.Meta(gt=0, le=87_600)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 500


class NamedAlert(msgspec.Struct, frozen=True):
    """An alert as the threshold service lists it. `trigger_count`: how often what it is about has fired, as far as that
    is remembered."""

    alert_id: str
    name: str
    severity: Severity
    message: str
    timestamp: str
    trigger_count: int


class AlertsData(msgspec.Struct, frozen=True):
    """The same alerts in the threshold service's shape."""

    alerts: tuple[NamedAlert, ...]
    total: int


class AlertsBody(msgspec.Struct, frozen=True):
    """Alerts, the newest first. `total_count`: how many there are; `alerts` has at most `limit` of them."""

    alerts: tuple[AlertBody, ...]
    total_count: int
    success: Literal[True]
    data: AlertsData


class ResolveBody(msgspec.Struct, frozen=True):
    """Which alert."""

    alert_id: str


class ResolvedBody(msgspec.Struct, frozen=True):
    """The alert is resolved."""

    status: str
    alert_id: str


class RuleBody(msgspec.Struct, frozen=True):
    """A rule for one set of labels. `value`: what was compared last, null where it is not known, and `why` it is not.

    `since`: since when it holds.
    """

    name: str
    expression: str
    severity: Severity
    description: str
    for_s: float
    cooldown_s: float
    labels: dict[str, str]
    state: RuleState
    value: float | None
    why: str | None
    since: str | None
    alert_id: str | None


class RulesBody(msgspec.Struct, frozen=True):
    """All rules. `evaluated_at`: null before the first evaluation."""

    rules: tuple[RuleBody, ...]
    interval_s: float
    evaluated_at: str | None


async def alerts(request: AlertsQuery, call: Call) -> AlertsBody:
    """Answer alerts: those that are active, or all that are remembered."""
    wanted = request.severity or ""
    active = request.active_only if request.active_only is not None else request.hours_back is None
    every = (await call.ref(ALERTS).ask(ListAlerts(active_only=False, limit=MOST), ASK_S)).alerts
    fired = Counter((each.source, each.key or each.title) for each in every)
    asked = ListAlerts(
        severity=ALIASES.get(wanted, wanted),
        active_only=active,
        limit=MOST if request.hours_back is not None else request.limit,
    )
    found = await call.ref(ALERTS).ask(asked, ASK_S)
    shown, total = found.alerts, found.total
    if request.hours_back is not None:
        since = call.node.clock.now() - int(request.hours_back * HOUR_NS)
        shown = tuple(each for each in shown if each.ts >= since)
        total = len(shown)
    shown = shown[: request.limit]
    listed = tuple(_named(each, fired[each.source, each.key or each.title]) for each in shown)
    return AlertsBody(tuple(map(body_of, shown)), total, True, AlertsData(listed, total))


def _named(alert: Alert, count: int) -> NamedAlert:
    name = alert.rule or alert.title
    return NamedAlert(alert.alert_id, name, alert.severity, alert.description, timestamp(alert.ts), max(1, count))


async def resolve(request: ResolveBody, call: Call) -> ResolvedBody:
    """Resolve an alert. What it is about may fire again, as another alert."""
    alert = await call.ref(ALERTS).ask(ResolveAlert(alert_id=request.alert_id, by=call.principal), ASK_S)
    return ResolvedBody("resolved", alert.alert_id)


async def rules(call: Call) -> RulesBody:
    """Answer how every rule stands, and what it has found last."""
    found = await call.ref(ALERTS).ask(ListRules(), ASK_S)
    return RulesBody(tuple(map(_rule, found.rules)), found.interval_s, timestamp(found.ts) if found.ts else None)


def _rule(view: RuleView) -> RuleBody:
    return RuleBody(
        name=view.name,
        expression=view.expression,
        severity=view.severity,
        description=view.description,
        for_s=view.for_s,
        cooldown_s=view.cooldown_s,
        labels=dict(view.labels),
        state=view.state,
        value=view.value,
        why=view.why or None,
        since=timestamp(view.since) if view.since else None,
        alert_id=view.alert_id or None,
    )


TAGS = ("alerts",)
LIST = get("/api/v1/alerts", alerts, summary="Alerts", tags=TAGS)
LIST.flagged = True  # the threshold service's, too
routes: list[Route] = [
    LIST,
    get("/api/v1/alerts/rules", rules, summary="Rules of alerts, and how each stands", tags=TAGS),
    post("/api/v1/alerts/{alert_id}/resolve", resolve, summary="Resolve an alert", tags=TAGS, stores=False),
]
