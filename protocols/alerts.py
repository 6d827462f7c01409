"""What is said about alerts: raised by anybody, fired and resolved by rules, told to people.

An alert is one occurrence: what fires again after it was resolved is another one, with another id. Times are integer
nanoseconds, UTC.
"""

from __future__ import annotations

from typing import Final, Literal

from protocols.control import Message, Request, Row

Severity = Literal["info", "warning", "error", "critical"]
RuleState = Literal["ok", "pending", "firing", "unknown"]
"""`pending`: it holds, and has not done so for long enough. `unknown`: what it is about is not known."""

ALERTS_STREAM: Final = "alerts"
"""The stream of changes of alerts in the node's log."""


class Alert(Message, frozen=True, gc=False, kw_only=True, tag="alert"):
    """One alert. `alert_id` is its own; a rule that fires again makes another. `ts_resolved` 0: it is active."""

    alert_id: str
    title: str
    description: str
    severity: Severity
    source: str
    ts: int
    rule: str = ""
    value: float | None = None
    labels: tuple[tuple[str, str], ...] = ()
    ts_resolved: int = 0
    resolved_by: str = ""
    key: str = ""
    """What it is about, within its source: while one is active, no other has the same."""


class RaiseAlert(Message, frozen=True, gc=False, kw_only=True, tag="raise_alert"):
    """Tells the alerts that something happened. Equal `key` and `source` while one is active: nothing new.

    `resolve`: the active one has ended.
    """

    key: str
    source: str
    title: str = ""
    description: str = ""
    severity: Severity = "warning"
    labels: tuple[tuple[str, str], ...] = ()
    value: float | None = None
    resolve: bool = False


class AlertChanged(Message, frozen=True, gc=False, tag="alert_changed"):
    """Topic, by severity: an alert was fired or resolved."""

    alert: Alert

    def topic_key(self) -> str:
        """The severity."""
        return self.alert.severity


class AlertList(Message, frozen=True, gc=False, tag="alert_list"):
    """Alerts, the newest first. `total`: how many there are, of which these may be the first."""

    alerts: tuple[Alert, ...]
    total: int = 0


class ListAlerts(Request[AlertList], frozen=True, gc=False, kw_only=True, tag="list_alerts"):
    """Asks for alerts, of one severity or (empty) all."""

    severity: str = ""
    active_only: bool = True
    limit: int = 500


class ResolveAlert(Request[Alert], frozen=True, gc=False, kw_only=True, tag="resolve_alert"):
    """Resolve an alert by hand; one that is resolved stays as it is. Refused `not_found`. Its rule may fire again."""

    alert_id: str
    by: str = "operator"


class RuleView(Message, frozen=True, gc=False, kw_only=True, tag="rule_view"):
    """A rule as it stands for one set of its labels.

    `value`: what was compared at the last evaluation, None: not known. `why`: why it is not known. `since`: when it
    began to hold, 0: it does not.
    """

    name: str
    expression: str
    severity: Severity
    description: str
    for_s: float
    cooldown_s: float
    state: RuleState
    labels: tuple[tuple[str, str], ...] = ()
    value: float | None = None
    why: str = ""
    since: int = 0
    alert_id: str = ""


class RuleList(Message, frozen=True, gc=False, tag="rule_list"):
    """All rules, in the order of the configuration. `ts`: of the last evaluation, 0: there has been none."""

    rules: tuple[RuleView, ...]
    ts: int
    interval_s: float


class ListRules(Request[RuleList], frozen=True, gc=False, tag="list_rules"):
    """Asks for all rules and how each stands."""


class AlertRow(Row, frozen=True, gc=False, kw_only=True, tag="alert_row"):
    """One change of an alert (`alerts`); the newest of an id counts. `ts`: of the change, `ts_fired`: of its begin.

    `labels`: `name=value`.
    """

    table = "alerts"
    sequenced = True

    stream: str
    seq: int
    ts: int
    alert_id: str
    key: str
    title: str
    description: str
    severity: str
    source: str
    rule: str
    value: float | None
    labels: tuple[str, ...]
    ts_fired: int
    resolved: bool
    resolved_by: str
