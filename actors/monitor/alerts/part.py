"""Alerts as a part of the monitor: the actor of the rules, and one for each who is told."""

from __future__ import annotations

from typing import Any, Final

from actors.edge.routing import Route
from actors.monitor.alerts.routes import routes as alert_routes
from actors.monitor.alerts.rules import RuleError, RuleSettings, rules
from actors.monitor.alerts.settings import (
    RULES_SECTION,
    SECTION,
    TARGETS_SECTION,
    AlertingSettings,
    TargetSettings,
)
from actors.monitor.alerts.targets import issues
from protocols.alerts import AlertRow
from protocols.control import Row
from protocols.paths import ALERTS
from runtime import Backoff, ChildSpec, RestartLimit, supervisor
from runtime.settings import Configuration, ConfigurationError, Issue

LIMIT: Final = RestartLimit(count=10, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)
NOTIFIERS: Final = "alert_notifiers"

sections: dict[str, Any] = {
    SECTION: AlertingSettings,
    RULES_SECTION: tuple[RuleSettings, ...],
    TARGETS_SECTION: tuple[TargetSettings, ...],
}
routes: list[Route] = alert_routes
rows: tuple[type[Row], ...] = (AlertRow,)


def children(configuration: Configuration) -> list[ChildSpec]:
    """`/alerts` and `/alert_notifiers`. Raises ConfigurationError for rules and targets that cannot be."""
    settings: AlertingSettings = configuration.section(SECTION)
    given: tuple[RuleSettings, ...] = configuration.section(RULES_SECTION)
    targets: tuple[TargetSettings, ...] = configuration.section(TARGETS_SECTION)
    found = issues(targets)
    try:
        rules(given, settings.interval_s, settings.retention_s, defaults=settings.default_rules)
    except RuleError as error:
        found.append(Issue("invalid", str(error), f"{RULES_SECTION}.{error.index}.{error.field}"))
    if found:
        raise ConfigurationError(found)
    return specs(settings, given, targets)


def specs(
    settings: AlertingSettings, given: tuple[RuleSettings, ...] = (), targets: tuple[TargetSettings, ...] = ()
) -> list[ChildSpec]:
    """The actors for these settings."""
    alerts = ChildSpec(
        ALERTS.strip("/"),
        "actors.monitor.alerts.actor:Alerts",
        {"settings": settings, "rules": given},
        backoff=BACKOFF,
    )
    # Those who are told first: nothing is to fire before somebody listens.
    notifiers = [
        ChildSpec(each.name, "actors.monitor.alerts.notify:Notifier", {"settings": each}, backoff=BACKOFF)
        for each in targets
    ]
    return [*([supervisor(NOTIFIERS, *notifiers, limit=LIMIT, backoff=BACKOFF)] if notifiers else []), alerts]


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for alerts."""
    targets: tuple[TargetSettings, ...] = configuration.section(TARGETS_SECTION)
    return [("alerts", ALERTS), *((f"alerts_to_{each.name}", f"/{NOTIFIERS}/{each.name}") for each in targets)]
