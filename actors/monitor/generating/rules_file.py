"""Rules for Prometheus: the node's own, said in its language, and those that only who looks from outside can have.

What a node cannot say of itself: that it is gone (`absent`). What takes hours of samples: how fast the budget of an
objective burns (Google, "The Site Reliability Workbook", chapter 5: 14.4 times over 1 h and 5 min, 6 times over 6 h and
30 min).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import msgspec

from actors.monitor.alerts.promql import duration, promql
from actors.monitor.alerts.rules import ERRORS, Rule
from actors.monitor.registry import HISTOGRAMS

RUNBOOK: Final = "docs/how-to/alerts-and-dashboards.md#what-the-rules-mean"
OBJECTIVE: Final = 0.99
"""Of the decisions are to be given in time, and without an error of ours."""
IN_TIME_S: Final = 0.1
"""It is an edge of a bucket, so what is counted is exact."""


class PrometheusRule(msgspec.Struct, frozen=True, kw_only=True):
    """One alerting rule."""

    name: str
    expression: str
    for_s: float
    severity: str
    summary: str
    description: str


def own(rule: Rule, interval_s: float) -> PrometheusRule:
    """A rule of the node for Prometheus."""
    # A node's rule is about one node: Prometheus, which sees all of them, must not add them up.
    by = (*rule.by, "instance")
    about = "".join(f" {label}={{{{ $labels.{label} }}}}" for label in by)
    return PrometheusRule(
        name="".join(part.capitalize() for part in rule.name.split("_")),
        expression=promql(rule.condition, by, interval_s, HISTOGRAMS),
        for_s=rule.for_s,
        severity=rule.severity,
        summary=f"{rule.name}{about}",
        description=f"{rule.description}. Now {{{{ $value }}}}.",
    )


_SLOW: Final = (
    f'1 - sum(rate(rl_predict_duration_seconds_bucket{{le="{IN_TIME_S}"}}[{{0}}]))'
    " / sum(rate(rl_predict_duration_seconds_count[{0}]))"
)
_FAILED: Final = (
    f'sum(rate(rl_predictions_total{{reason=~"{ERRORS}"}}[{{0}}])) / sum(rate(rl_predictions_total[{{0}}]))'
)


def burn_rates() -> Iterator[PrometheusRule]:
    """How fast the budgets of both objectives burn, each over a long and a short window."""
    severities: tuple[tuple[str, float, str, str, Literal["critical", "error"]], ...] = (
        ("Fast", 14.4, "1h", "5m", "critical"),
        ("Slow", 6.0, "6h", "30m", "error"),
    )
    for what, share, text in (
        ("Latency", _SLOW, f"are not given within {IN_TIME_S:g} s"),
        ("Error", _FAILED, "are given by the fallback because of an error"),
    ):
        for speed, factor, long, short, severity in severities:
            limit = f"{factor * (1 - OBJECTIVE):.4g}"
            both = (f"({share.replace('{0}', window)}) > {limit}" for window in (long, short))
            yield PrometheusRule(
                name=f"{what}Budget{speed}Burn",
                expression=" and ".join(both),
                for_s=120,
                severity=severity,
                summary=f"The budget of decisions that {text} burns {factor:g} times too fast",
                description=f"Over {long} and over {short} more than {limit} of the decisions {text}; the objective is "
                f"{OBJECTIVE:.0%}.",
            )


OUTSIDE: Final = (
    PrometheusRule(
        name="NodeGone",
        expression="absent(troupe_actor_up)",
        for_s=120,
        severity="critical",
        summary="No node is scraped",
        description="No node of Troupe has shown a metric for two minutes.",
    ),
    PrometheusRule(
        name="NoPredictions",
        expression="absent(rl_predictions_total)",
        for_s=600,
        severity="warning",
        summary="Nothing is decided",
        description="No decision has been counted for ten minutes. Leave this rule out where no agent runs.",
    ),
    PrometheusRule(
        name="ActorRestarts",
        expression="increase(troupe_actor_restarts_total[10m]) > 3",
        for_s=0,
        severity="error",
        summary="{{ $labels.path }} keeps restarting",
        description="{{ $labels.path }} was restarted {{ $value }} times within ten minutes.",
    ),
    PrometheusRule(
        name="MessagesDropped",
        expression="increase(troupe_class_dropped_total[10m]) > 0",
        for_s=0,
        severity="warning",
        summary="Mailboxes overflow",
        description="Actors of the class {{ $labels.class }} have lost {{ $value }} messages within ten minutes.",
    ),
    PrometheusRule(
        name="BreakerOpen",
        expression='troupe_breaker_state{state=~"open|forced_open"} == 1',
        for_s=120,
        severity="warning",
        summary="The breaker of {{ $labels.path }} is open",
        description="Calls of {{ $labels.path }} have been refused for two minutes.",
    ),
    PrometheusRule(
        name="LoopLag",
        expression="histogram_quantile(0.99, rate(troupe_loop_lag_seconds_bucket[5m])) > 0.1",
        for_s=300,
        severity="warning",
        summary="The event loop is late",
        description="One in a hundred wake-ups is late by more than 0.1 s; troupe_loop_held_seconds_total names who.",
    ),
    PrometheusRule(
        name="FeatureDrift",
        expression="(drift_psi > drift_psi_limit) and (drift_psi > 0.1)",
        for_s=900,
        severity="warning",
        summary="{{ $labels.feature }} of {{ $labels.model }} has drifted",
        description="The population stability index is {{ $value }}, above what samples of this size have by chance.",
    ),
    PrometheusRule(
        name="AlertsNotDelivered",
        expression='increase(alerts_notifications_total{outcome!="taken"}[15m]) > 0',
        for_s=0,
        severity="error",
        summary="Alerts do not reach {{ $labels.target }}",
        description="{{ $value }} messages to {{ $labels.target }} were lost ({{ $labels.outcome }}).",
    ),
)


def all_rules(rules: Sequence[Rule], interval_s: float) -> dict[str, tuple[PrometheusRule, ...]]:
    """All rules by the name of their group."""
    return {
        "troupe-rules": tuple(own(rule, interval_s) for rule in rules),
        "troupe-objectives": tuple(burn_rates()),
        "troupe-outside": OUTSIDE,
    }


def rules_file(rules: Sequence[Rule], interval_s: float) -> str:
    """The file, as `rule_files` of Prometheus wants it. Texts are JSON's, which is YAML."""
    lines = ["# Written by `bin/troupe monitoring generate`; change the rules, then run it again.", "groups:"]
    for group, members in all_rules(rules, interval_s).items():
        if members:
            lines += [f"  - name: {group}", "    rules:"]
        for rule in members:
            lines += [
                f"      - alert: {rule.name}",
                f"        expr: {json.dumps(rule.expression)}",
                f"        for: {duration(rule.for_s) if rule.for_s else '0s'}",
                "        keep_firing_for: 1m",
                "        labels:",
                f"          severity: {rule.severity}",
                "        annotations:",
                f"          summary: {json.dumps(rule.summary)}",
                f"          description: {json.dumps(rule.description)}",
                f"          runbook_url: {json.dumps(RUNBOOK)}",
            ]
    return "\n".join(lines) + "\n"
