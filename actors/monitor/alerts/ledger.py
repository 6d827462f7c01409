"""Which alerts there are: the active ones by what they are about, and the resolved ones for a while.

    fired      nothing active has its source and key: a new alert, with an id of its own
    resolved   by its rule, by who raised it, by hand; what fires after that is another alert

And `Watch`: how a rule stands for one set of labels, and when it fires.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from actors.monitor.alerts.evaluation import Finding
from actors.monitor.alerts.rules import Rule
from protocols.alerts import ALERTS_STREAM, Alert, AlertRow, RuleState, RuleView, Severity

RULES: Final = "rules"
"""The source of alerts that a rule has fired."""
SECOND: Final = 1_000_000_000
Labels = tuple[tuple[str, str], ...]


def key_of(rule: Rule, labels: Labels) -> str:
    """What an alert of a rule is about."""
    return rule.name + "".join(f",{name}={value}" for name, value in labels)


class Ledger:
    """Alerts. `most_active`: so many at a time; one more is not taken. `keep_s`, `most_kept`: of resolved ones."""

    def __init__(self, keep_s: float = 604_800.0, most_active: int = 1000, most_kept: int = 5000) -> None:
        self.keep_ns = int(keep_s * SECOND)
        self.most_active = most_active
        self.most_kept = most_kept
        self.active: dict[tuple[str, str], Alert] = {}
        self.resolved: OrderedDict[str, Alert] = OrderedDict()

    def of(self, source: str, key: str) -> Alert | None:
        """The active alert about something."""
        return self.active.get((source, key))

    def fire(self, alert: Alert) -> bool:
        """Take a new alert in. False: one is active already, or there are too many."""
        place = alert.source, alert.key
        if place in self.active or len(self.active) >= self.most_active:
            return False
        self.active[place] = alert
        return True

    def resolve(self, source: str, key: str, now: int, by: str) -> Alert | None:
        """End the active alert about something; None: there is none."""
        alert = self.active.pop((source, key), None)
        return None if alert is None else self._end(alert, now, by)

    def find(self, alert_id: str) -> Alert | None:
        """The alert with this id."""
        for alert in self.active.values():
            if alert.alert_id == alert_id:
                return alert
        return self.resolved.get(alert_id)

    def restore(self, alerts: Iterable[Alert], now: int) -> list[Alert]:
        """Take in what an earlier life has left. Returns those that end by that: what they are about has fired anew."""
        superseded = []
        for alert in alerts:
            if alert.ts_resolved:
                self.resolved.setdefault(alert.alert_id, alert)
            elif (current := self.of(alert.source, alert.key)) is None:
                self.active[alert.source, alert.key] = alert
            elif current.alert_id != alert.alert_id:
                superseded.append(self._end(alert, now, "fired again"))
        self._sort()
        return superseded

    def listed(self, severity: str, *, active_only: bool) -> list[Alert]:
        """Alerts, the newest first."""
        found = list(self.active.values()) + ([] if active_only else list(self.resolved.values()))
        return sorted(
            (alert for alert in found if not severity or alert.severity == severity),
            key=lambda alert: (alert.ts, alert.alert_id),
            reverse=True,
        )

    def counts(self) -> dict[Severity, int]:
        """Active alerts by severity."""
        counts: dict[Severity, int] = {"info": 0, "warning": 0, "error": 0, "critical": 0}
        for alert in self.active.values():
            counts[alert.severity] += 1
        return counts

    def forget(self, now: int) -> None:
        """Drop resolved alerts that are too old, or too many."""
        while self.resolved:
            oldest = next(iter(self.resolved.values()))
            if len(self.resolved) <= self.most_kept and oldest.ts_resolved >= now - self.keep_ns:
                return
            self.resolved.popitem(last=False)

    def _end(self, alert: Alert, now: int, by: str) -> Alert:
        ended = msgspec.structs.replace(alert, ts_resolved=max(now, 1), resolved_by=by)
        self.resolved[ended.alert_id] = ended
        return ended

    def _sort(self) -> None:
        self.resolved = OrderedDict(sorted(self.resolved.items(), key=lambda item: item[1].ts_resolved))


class Watch:
    """A rule for one set of labels.

    It fires when its condition has been known to hold at every evaluation for `for_s`, and `cooldown_s` have passed
    since its last alert ended. What is not known neither fires nor resolves; after it a run of holding begins again.
    """

    __slots__ = ("finding", "labels", "quiet_until", "rule", "since")

    def __init__(self, rule: Rule, labels: Labels) -> None:
        self.rule = rule
        self.labels = labels
        self.since = 0
        self.quiet_until = 0
        self.finding = Finding(None, None, "it has not been evaluated yet")

    def step(self, finding: Finding, now: int, *, firing: bool) -> Literal["fire", "resolve", ""]:
        """Take a finding in; `firing`: its alert is active. Says what is to be done."""
        self.finding = finding
        if finding.holds is None:
            if not firing:
                self.since = 0
            return ""
        if not finding.holds:
            self.since = 0
            return "resolve" if firing else ""
        if not self.since:
            self.since = max(now, 1)
        held = now - self.since >= self.rule.for_s * SECOND
        return "fire" if held and not firing and now >= self.quiet_until else ""

    def ended(self, now: int) -> None:
        """Its alert was resolved, by whomever: the cooldown begins, and holding is counted anew."""
        self.since = 0
        self.quiet_until = now + int(self.rule.cooldown_s * SECOND)

    def view(self, alert: Alert | None) -> RuleView:
        """How it stands."""
        rule = self.rule
        state: RuleState = "ok"
        if alert is not None:
            state = "firing"
        elif self.finding.holds is None:
            state = "unknown"
        elif self.since:
            state = "pending"
        return RuleView(
            name=rule.name,
            expression=rule.expression,
            severity=rule.severity,
            description=rule.description,
            for_s=rule.for_s,
            cooldown_s=rule.cooldown_s,
            state=state,
            labels=self.labels,
            value=self.finding.value,
            why=self.finding.why,
            since=self.since,
            alert_id="" if alert is None else alert.alert_id,
        )


def row_of(alert: Alert, seq: int, ts: int) -> AlertRow:
    """A change of an alert as a row."""
    return AlertRow(
        stream=ALERTS_STREAM,
        seq=seq,
        ts=ts,
        alert_id=alert.alert_id,
        key=alert.key,
        title=alert.title,
        description=alert.description,
        severity=alert.severity,
        source=alert.source,
        rule=alert.rule,
        value=alert.value,
        labels=tuple(f"{name}={value}" for name, value in alert.labels),
        ts_fired=alert.ts,
        resolved=alert.ts_resolved > 0,
        resolved_by=alert.resolved_by,
    )


def alert_of(row: AlertRow) -> Alert:
    """The alert as its newest row has it. Raises msgspec.ValidationError for a severity that there is not."""
    pairs = (text.partition("=") for text in row.labels)
    return Alert(
        alert_id=row.alert_id,
        title=row.title,
        description=row.description,
        severity=msgspec.convert(row.severity, Severity),
        source=row.source,
        ts=row.ts_fired,
        rule=row.rule,
        value=row.value,
        labels=tuple((name, value) for name, _, value in pairs),
        ts_resolved=row.ts if row.resolved else 0,
        resolved_by=row.resolved_by,
        key=row.key,
    )
