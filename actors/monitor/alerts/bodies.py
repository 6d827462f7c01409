"""An alert as the outside sees it: on HTTP, and in a webhook."""

from __future__ import annotations

import msgspec

from protocols.alerts import Alert, Severity
from protocols.signal_stream import timestamp


class AlertBody(msgspec.Struct, frozen=True):
    """One alert. `metadata`: its labels, its rule and the value that it was fired with. Times in UTC."""

    id: str
    title: str
    description: str
    severity: Severity
    timestamp: str
    source: str
    metadata: dict[str, str | float | None]
    resolved: bool
    resolved_at: str | None


def body_of(alert: Alert) -> AlertBody:
    """An alert for the outside."""
    metadata: dict[str, str | float | None] = dict(alert.labels)
    if alert.rule:
        metadata["rule"] = alert.rule
    if alert.value is not None:
        metadata["value"] = alert.value
    if alert.resolved_by:
        metadata["resolved_by"] = alert.resolved_by
    return AlertBody(
        id=alert.alert_id,
        title=alert.title,
        description=alert.description,
        severity=alert.severity,
        timestamp=timestamp(alert.ts),
        source=alert.source,
        metadata=metadata,
        resolved=alert.ts_resolved > 0,
        resolved_at=timestamp(alert.ts_resolved) if alert.ts_resolved else None,
    )
