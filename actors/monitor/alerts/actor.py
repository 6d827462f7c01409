"""The alerts: samples the metrics, evaluates the rules, keeps what has fired.

A change of an alert is a row in the node's log before it is told. After a restart the active ones come back from the
database. Rules wait for that, but not long: without a database they are evaluated all the same, and what they fire
meanwhile takes the place of what is found later.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
import trio

from actors.monitor.alerts import archive
from actors.monitor.alerts.evaluation import examine
from actors.monitor.alerts.expression import selectors
from actors.monitor.alerts.ledger import RULES, SECOND, Labels, Ledger, Watch, key_of, row_of
from actors.monitor.alerts.rules import Rule, RuleSettings, rules
from actors.monitor.alerts.sampling import points, wanted_families
from actors.monitor.alerts.series import History
from actors.monitor.alerts.settings import AlertingSettings
from protocols.alerts import (
    ALERTS_STREAM,
    Alert,
    AlertChanged,
    AlertList,
    ListAlerts,
    ListRules,
    RaiseAlert,
    ResolveAlert,
    RuleList,
    RuleView,
)
from protocols.control import Message, Probe, ProbeReport, Refused, Request
from protocols.paths import QUERIES
from runtime import Actor, Mailbox, receive
from runtime.log import LogFull

MOST_GROUPS: Final = 200
"""So many sets of labels a rule watches; more would be a label that is no group, such as a user."""
MOST_LISTED: Final = 1000
SAMPLE_S: Final = 5.0
AGAIN_S: Final = 5.0
GRACE_S: Final = 10.0
"""So long rules wait for what was active before: it must not fire a second time."""


class Evaluate(Request[int], frozen=True, gc=False, tag="evaluate_alerts"):
    """Sample, and evaluate every rule. Answers how many alerts have changed by it."""


class Restored(Message, frozen=True, gc=False, tag="alerts_restored"):
    """What the database has of earlier lives."""

    alerts: tuple[Alert, ...]
    missing: str


class Alerts(Actor):
    """Evaluates `rules` every `settings.interval_s`, and takes alerts from everybody."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=4096)

    def __init__(self, settings: AlertingSettings, rules: tuple[RuleSettings, ...] = ()) -> None:
        self.settings = settings
        self.given = rules
        self.ledger = Ledger(keep_s=settings.keep_days * 86_400.0)
        self.history = History(settings.retention_s, settings.points, settings.series)
        self.rules: list[Rule] = []
        self.watches: dict[str, dict[Labels, Watch]] = {}
        self.restored = False
        self.started = 0
        self.problem = ""
        self.evaluations = self.failures = self.dropped = self.unlogged = self.fired = 0

    def on_start(self) -> None:
        """Begin to evaluate, and to read what was active."""
        settings = self.settings
        self.rules = rules(self.given, settings.interval_s, settings.retention_s, defaults=settings.default_rules)
        self.watches = {rule.name: {} for rule in self.rules}
        self.wanted = wanted_families(each for rule in self.rules for each in selectors(rule.condition))
        metrics = self.node.metrics
        self._active = metrics.gauge("alerts_active", "Alerts that are active", ("severity",))
        self._fired = metrics.counter("alerts_fired", "Alerts that were fired", ("severity",))
        self._states = metrics.gauge("alerts_rules", "Rules, each set of labels on its own, by state", ("state",))
        self._lost = metrics.counter("alerts_lost", "Alerts that could not be taken or stored", ("reason",))
        # What has not happened yet is a zero, or Prometheus would not see the first time as an increase.
        for severity in self.ledger.counts():
            self._fired.labels(severity)
        for reason in ("too_many", "log_full"):
            self._lost.labels(reason)
        self._show()
        self.started = self.clock.now()
        self.every(settings.interval_s, Evaluate())
        self.after(0.0, Evaluate())
        self.spawn(self._restore, name="restore")

    # Rules.

    @receive
    async def evaluate(self, request: Evaluate) -> int:
        """Sample and evaluate. A sampling that fails leaves everything as it is, and is counted."""
        try:
            taken = await self.offload(points, self.node.metrics.snapshot(), self.wanted, timeout=SAMPLE_S)
        except trio.TooSlowError:
            self.failures += 1
            self.logger.warning("the metrics could not be sampled", within_s=SAMPLE_S)
            return 0
        now = max(self.clock.now(), self.history.taken + 1)
        self.history.take(now, taken)
        if not self.restored and now - self.started < GRACE_S * SECOND:
            return 0
        changed = sum(self._evaluate(rule, now) for rule in self.rules)
        self.evaluations += 1
        self.ledger.forget(now)
        self._show()
        return changed

    def _evaluate(self, rule: Rule, now: int) -> int:
        changed = 0
        for watch in self._watches(rule):
            key = key_of(rule, watch.labels)
            finding = examine(rule.condition, self.history, dict(watch.labels))
            step = watch.step(finding, now, firing=self.ledger.of(RULES, key) is not None)
            if step == "fire":
                changed += self._fire(self._of_rule(watch, key, now))
            elif step == "resolve":
                self._resolve(RULES, key, "rule")
                changed += 1
        return changed

    def _watches(self, rule: Rule) -> list[Watch]:
        """What there is to evaluate of a rule. A group that has gone stays: what it was is not forgotten by that."""
        watches = self.watches[rule.name]
        if not rule.by:
            watches.setdefault((), Watch(rule, ()))
        else:
            for selector in selectors(rule.condition):
                for labels in sorted(self.history.groups(selector, rule.by)):
                    if labels not in watches and len(watches) < MOST_GROUPS:
                        watches[labels] = Watch(rule, labels)
        return list(watches.values())

    def _of_rule(self, watch: Watch, key: str, now: int) -> Alert:
        rule, value = watch.rule, watch.finding.value
        about = ", ".join(f"{name} {text or 'none'}" for name, text in watch.labels)
        return Alert(
            alert_id=self._id(now),
            title=rule.name + (f" ({about})" if about else ""),
            description=("" if rule.description == rule.expression else f"{rule.description}. ")
            + rule.expression
            + ("" if value is None else f", now {value:.6g}"),
            severity=rule.severity,
            source=RULES,
            ts=now,
            rule=rule.name,
            value=value,
            labels=watch.labels,
            key=key,
        )

    # Alerts.

    @receive
    def raised(self, message: RaiseAlert) -> None:
        """Fire or resolve what somebody says."""
        if message.source == RULES:
            raise Refused("invalid", f"expected a source other than {RULES!r}, which is that of the rules", "source")
        if message.resolve:
            if self._resolve(message.source, message.key, message.source) is not None:
                self._show()
        elif self.ledger.of(message.source, message.key) is None:
            now = self.clock.now()
            fired = self._fire(
                Alert(
                    alert_id=self._id(now),
                    title=message.title or message.key,
                    description=message.description,
                    severity=message.severity,
                    source=message.source,
                    ts=now,
                    value=message.value,
                    labels=message.labels,
                    key=message.key,
                )
            )
            if fired:
                self._show()

    @receive
    def listed(self, request: ListAlerts) -> AlertList:
        """Answer alerts, the newest first."""
        found = self.ledger.listed(request.severity, active_only=request.active_only)
        return AlertList(tuple(found[: min(max(request.limit, 0), MOST_LISTED)]), len(found))

    @receive
    def resolved(self, request: ResolveAlert) -> Alert:
        """End an alert by hand."""
        alert = self.ledger.find(request.alert_id)
        if alert is None:
            raise Refused("not_found", f"there is no alert {request.alert_id!r}", "alert_id")
        if alert.ts_resolved:
            return alert
        ended = self._resolve(alert.source, alert.key, request.by)
        self._show()
        return alert if ended is None else ended

    @receive
    def standing(self, request: ListRules) -> RuleList:
        """Answer how every rule stands."""
        return RuleList(tuple(self._views()), self.history.taken, self.settings.interval_s)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Tell what is active. An active alert is no illness of the monitor."""
        counts = self.ledger.counts()
        figures = (
            *((f"active_{severity}", number) for severity, number in counts.items()),
            ("rules", len(self.rules)),
            ("series", len(self.history)),
            ("series_not_kept", self.history.lost),
            ("evaluations", self.evaluations),
            ("failed_evaluations", self.failures),
            ("not_taken", self.dropped),
            ("not_stored", self.unlogged),
            ("restored", self.restored),
        )
        wrong = self.problem or ("series are not kept: raise alerting.series" if self.history.lost else "")
        return ProbeReport("degraded" if wrong else "ok", wrong, figures=figures)

    def _fire(self, alert: Alert) -> bool:
        if not self.ledger.fire(alert):
            self.dropped += 1
            self._lost.labels("too_many").inc()
            if self.dropped % 1000 == 1:
                self.logger.error("alerts are not taken: too many are active", title=alert.title, count=self.dropped)
            return False
        self._fired.labels(alert.severity).inc()
        said = alert.description
        self.logger.warning("alert", title=alert.title, severity=alert.severity, source=alert.source, text=said)
        self._tell(alert, alert.ts)
        return True

    def _resolve(self, source: str, key: str, by: str) -> Alert | None:
        now = self.clock.now()
        ended = self.ledger.resolve(source, key, now, by)
        if ended is None:
            return None
        if source == RULES:
            watch = self.watches.get(ended.rule, {}).get(ended.labels)
            if watch is not None:
                watch.ended(now)
        self.logger.info("alert resolved", title=ended.title, severity=ended.severity, by=by)
        self._tell(ended, now)
        return ended

    def _tell(self, alert: Alert, ts: int) -> None:
        """Store a change, and publish it. Without room in the log it is told all the same, and the loss counted."""
        try:
            self.log.append(row_of(alert, self.log.last_seq(ALERTS_STREAM) + 1, ts))
        except LogFull:
            self.unlogged += 1
            self._lost.labels("log_full").inc()
        self.publish(AlertChanged(alert))

    def _id(self, now: int) -> str:
        self.fired += 1
        return f"alert_{now:x}_{self.incarnation.count}_{self.fired:06d}"

    # What survives.

    async def _restore(self) -> None:
        last = self.log.last_seq(ALERTS_STREAM)
        after = self.clock.now() - self.ledger.keep_ns
        while True:
            try:
                found, missing = await archive.read_alerts(self.lookup(QUERIES), last, after)
            except (Refused, msgspec.ValidationError) as error:
                self.logger.warning("alerts cannot be read back", error=str(error))
                await trio.sleep(AGAIN_S)
            else:
                self.after(0.0, Restored(found, missing))  # a timer ends with this life: the next one reads for itself
                return

    @receive
    def take_back(self, message: Restored) -> None:
        """Go on with what was active. Alerts of rules that are no more end."""
        now = self.clock.now()
        self.problem = message.missing
        for alert in self.ledger.restore(message.alerts, now):
            self._tell(alert, now)
        for alert in list(self.ledger.active.values()):
            if alert.source != RULES:
                continue
            if alert.rule not in self.watches:
                self._resolve(RULES, alert.key, "rule removed")
                continue
            rule = next(rule for rule in self.rules if rule.name == alert.rule)
            if tuple(name for name, _ in alert.labels) != rule.by:
                self._resolve(RULES, alert.key, "rule changed")
            else:
                self.watches[rule.name].setdefault(alert.labels, Watch(rule, alert.labels))
        for alert in self.ledger.resolved.values():
            known = next((rule for rule in self.rules if alert.source == RULES and rule.name == alert.rule), None)
            if known is not None and tuple(name for name, _ in alert.labels) == known.by:
                watch = self.watches[known.name].setdefault(alert.labels, Watch(known, alert.labels))
                watch.quiet_until = max(watch.quiet_until, alert.ts_resolved + int(known.cooldown_s * SECOND))
        self.restored = True
        self._show()

    def _views(self) -> list[RuleView]:
        found = []
        for rule in self.rules:
            watches = list(self.watches[rule.name].values()) or [Watch(rule, ())]
            if not self.watches[rule.name] and self.evaluations:
                names = sorted({each.name for each in selectors(rule.condition)})
                watches[0].finding = msgspec.structs.replace(
                    watches[0].finding, why=f"there is no {' or '.join(names)} with {', '.join(rule.by)}"
                )
            found += [watch.view(self.ledger.of(RULES, key_of(rule, watch.labels))) for watch in watches]
        return found

    def _show(self) -> None:
        for severity, number in self.ledger.counts().items():
            self._active.labels(severity).set(number)
        states = dict.fromkeys(("ok", "pending", "firing", "unknown"), 0)
        for view in self._views():
            states[view.state] += 1
        for state, number in states.items():
            self._states.labels(state).set(number)
