"""The dashboard for Grafana: a list of panels, and how a panel becomes JSON.

Its limits are those of the rules: a line on a panel is where an alert fires.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from actors.monitor.alerts.expression import Comparison, Number
from actors.monitor.alerts.rules import Rule

SCHEMA_VERSION: Final = 39
UID: Final = "troupe-overview"
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
MODEL: Final = 'model=~"$model"'
ARM: Final = 'arm=~"$arm"'


class Target(msgspec.Struct, frozen=True):
    """One line (or family of lines) of a panel."""

    expression: str
    legend: str


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One panel. `rule`: the rule whose limit is drawn; `scale`: from its unit to that of the panel."""

    title: str
    targets: tuple[Target, ...]
    unit: str = "short"
    rule: str = ""
    scale: float = 1.0
    kind: str = "timeseries"
    help: str = ""


def _quantiles(metric: str, matchers: str, by: str) -> tuple[Target, ...]:
    return tuple(
        Target(
            f"histogram_quantile({q}, sum by (le, {by}) (rate({metric}_bucket{{{matchers}}}[$__rate_interval])))",
            f"p{round(q * 100)} {{{{{by}}}}}",
        )
        for q in (0.5, 0.99)
    )


ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    (
        "Decisions",
        (
            Panel(
                title="Decisions per second by arm",
                targets=(
                    Target(f"sum by (arm) (rate(rl_predictions_total{{{ARM}}}[$__rate_interval]))", "{{arm}}"),
                ),
                unit="reqps",
            ),
            Panel(
                title="Time to a decision",
                targets=_quantiles("rl_predict_duration_seconds", f"{MODEL}, {ARM}", "model"),
                unit="s",
                rule="slow_predictions",
            ),
            Panel(
                title="Given by the fallback",
                targets=(
                    Target(
                        'sum by (reason) (rate(rl_predictions_total{served_by="fallback"}[10m]))'
                        ' / ignoring (reason) group_left sum(rate(rl_predictions_total{served_by!="rule"}[10m]))',
                        "{{reason}}",
                    ),
                ),
                unit="percentunit",
                rule="high_fallback_ratio",
                help="Of the decisions that a model was asked for.",
            ),
            Panel(
                title="Accuracy by model",
                targets=(Target(f"rl_model_accuracy_ratio{{{MODEL}}}", "{{model}}"),),
                unit="percentunit",
                rule="low_rl_accuracy",
            ),
            Panel(
                title="Waiting for a decision", targets=(Target("sum(rl_queue_depth)", "requests"),),
                rule="high_queue_size",
            ),
            Panel(
                title="Wait in the queue, p99",
                targets=(
                    Target(
                        "histogram_quantile(0.99, sum by (le, priority) (rate(rl_predict_queue_seconds_bucket[5m])))",
                        "{{priority}}",
                    ),
                ),
                unit="s",
            ),
            Panel(
                title="Cache",
                targets=(
                    Target("sum by (result) (rate(rl_cache_requests_total[$__rate_interval]))", "{{result}}"),
                ),
                unit="reqps",
            ),
            Panel(
                title="Models that serve",
                targets=(Target("rl_model_info", "{{name}} {{version}}"),),
                kind="table",
            ),
        ),
    ),
    (
        "Experiments and drift",
        (
            Panel(
                title="Exposures by arm",
                targets=(Target("sum by (experiment, arm) (ab_exposures_total)", "{{experiment}} {{arm}}"),),
            ),
            Panel(
                title="Sample ratio: probability by chance",
                targets=(Target("ab_srm_p_value", "{{experiment}}"),),
                rule="sample_ratio_mismatch",
                help="Below the line the shares of the arms are no chance.",
            ),
            Panel(
                title="Effect of the treatment",
                targets=(Target("ab_effect", "{{experiment}} {{bound}}"),),
                help="Per user-day, with the interval that may be looked at any time.",
            ),
            Panel(
                title="Population stability index, of its limit",
                targets=(
                    Target(f"drift_psi{{{MODEL}}} / drift_psi_limit{{{MODEL}}}", "{{model}} {{feature}}"),
                ),
                unit="percentunit",
            ),
            Panel(
                title="Evidence for a loss of performance",
                targets=(Target(f"drift_evidence_ratio{{{MODEL}}}", "{{model}} {{of}}"),),
                unit="percentunit",
            ),
        ),
    ),
    (
        "Alerts",
        (
            Panel(
                title="Active alerts", targets=(Target("alerts_active", "{{severity}}"),), kind="stat",
            ),
            Panel(title="Rules by state", targets=(Target("alerts_rules", "{{state}}"),)),
            Panel(
                title="Messages about alerts",
                targets=(
                    Target(
                        "sum by (target, outcome) (increase(alerts_notifications_total[1h]))",
                        "{{target}} {{outcome}}",
                    ),
                ),
            ),
        ),
    ),
    (
        "Actors",
        (
            Panel(
                title="Messages per second by class",
                targets=(Target("topk(10, rate(troupe_class_messages_total[$__rate_interval]))", "{{class}}"),),
                unit="ops",
            ),
            Panel(
                title="Restarts",
                targets=(Target("increase(troupe_actor_restarts_total[10m]) > 0", "{{path}}"),),
            ),
            Panel(
                title="Mailboxes",
                targets=(Target("topk(10, troupe_actor_mailbox_depth)", "{{path}}"),),
            ),
            Panel(
                title="The loop's lag, p99",
                targets=(
                    Target(
                        "histogram_quantile(0.99, rate(troupe_loop_lag_seconds_bucket[$__rate_interval]))", "p99"
                    ),
                ),
                unit="s",
            ),
            Panel(
                title="Processor, of one core",
                targets=(Target("rate(process_cpu_seconds_total[2m])", "{{instance}}"),),
                unit="percentunit",
                rule="high_cpu_usage",
            ),
            Panel(
                title="Memory",
                targets=(Target("process_resident_memory_bytes", "{{instance}}"),),
                unit="bytes",
                rule="high_memory_usage",
                scale=1e6,
            ),
        ),
    ),
    (
        "Market, signals and storage",
        (
            Panel(
                title="Age of market data", targets=(Target("troupe_feed_age_seconds", "{{feed}}"),), unit="s",
            ),
            Panel(
                title="Signals per second",
                targets=(Target("rate(troupe_signals_total[$__rate_interval])", "{{action}}"),),
                unit="ops",
            ),
            Panel(
                title="Channels: still to deliver",
                targets=(Target("troupe_channel_behind", "{{channel}}"),),
            ),
            Panel(
                title="Calls of other services by outcome",
                targets=(
                    Target(
                        "sum by (bridge, outcome) (rate(troupe_bridge_requests_total[$__rate_interval]))",
                        "{{bridge}} {{outcome}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                title="Time of queries",
                targets=_quantiles("troupe_database_query_seconds", "", "database"),
                unit="s",
            ),
        ),
    ),
)  # fmt: skip

ANNOTATIONS: Final = (
    (
        "Model swapped or rolled back",
        "sum by (name, version) (rl_model_info unless rl_model_info offset 1m) > 0",
        "{{name}} {{version}}",
        "blue",
    ),
    ("Alert fired", "sum by (severity) (increase(alerts_fired_total[1m])) > 0", "{{severity}}", "red"),
    ("Loss of performance", "sum by (model) (increase(drift_losses_total[1m])) > 0", "{{model}}", "orange"),
)


VARIABLES: Final = (("model", "rl_predict_duration_seconds_count"), ("arm", "rl_predict_duration_seconds_count"))
"""Labels to choose by, and the sample that has their values."""


def limits(rules: Sequence[Rule]) -> dict[str, tuple[str, float]]:
    """For each rule that is one comparison with a number: the operator, and the number."""
    found: dict[str, tuple[str, float]] = {}
    for rule in rules:
        condition = rule.condition
        if isinstance(condition, Comparison) and isinstance(condition.right, Number):
            found[rule.name] = (condition.operator, condition.right.value)
    return found


def dashboard(rules: Sequence[Rule]) -> str:
    """The dashboard as JSON, for Grafana's import."""
    known = limits(rules)
    panels: list[object] = []
    top = 0
    for title, row in ROWS:
        panels.append(_row(len(panels) + 1, title, top))
        top += 1
        for index, panel in enumerate(row):
            place = {"h": 8, "w": 8, "x": 8 * (index % 3), "y": top + 8 * (index // 3)}
            panels.append(_panel(len(panels) + 1, panel, place, known))
        top += 8 * ((len(row) + 2) // 3)
    return json.dumps(_whole(panels), indent=2, ensure_ascii=False) + "\n"


def _whole(panels: list[object]) -> dict[str, object]:
    return {
        "__inputs": [
            {
                "name": "DS_PROMETHEUS",
                "label": "Prometheus",
                "description": "Where the metrics of the nodes are",
                "type": "datasource",
                "pluginId": "prometheus",
                "pluginName": "Prometheus",
            }
        ],
        "__requires": [{"type": "datasource", "id": "prometheus", "name": "Prometheus", "version": "1.0.0"}],
        "annotations": {"list": [_annotation(*each) for each in ANNOTATIONS]},
        "description": "Decisions, experiments, drift, alerts and actors of Troupe. Written by "
        "`bin/troupe monitoring generate`.",
        "editable": True,
        "graphTooltip": 1,
        "id": None,
        "panels": panels,
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "tags": ["troupe"],
        "templating": {"list": [_data_source(), *(_variable(label, sample) for label, sample in VARIABLES)]},
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "title": "Troupe",
        "uid": UID,
        "version": 1,
    }


def _row(number: int, title: str, top: int) -> dict[str, object]:
    place = {"h": 1, "w": 24, "x": 0, "y": top}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(number: int, panel: Panel, place: dict[str, int], known: dict[str, tuple[str, float]]) -> dict[str, object]:
    defaults: dict[str, object] = {"unit": panel.unit, "thresholds": _thresholds(panel, known)}
    if panel.kind == "timeseries":
        style = "line" if panel.rule in known else "off"
        defaults["custom"] = {"thresholdsStyle": {"mode": style}, "fillOpacity": 5, "spanNulls": False}
    made: dict[str, object] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.help,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": list(_targets(panel)),
    }
    return made


def _targets(panel: Panel) -> Iterable[dict[str, object]]:
    for letter, target in zip("ABCDEF", panel.targets, strict=False):
        one: dict[str, object] = {
            "refId": letter,
            "datasource": SOURCE,
            "expr": target.expression,
            "legendFormat": target.legend,
        }
        if panel.kind == "table":
            one |= {"format": "table", "instant": True}
        yield one


def _thresholds(panel: Panel, known: dict[str, tuple[str, float]]) -> dict[str, object]:
    steps: list[dict[str, object]] = [{"color": "green", "value": None}]
    if panel.rule in known:
        operator, value = known[panel.rule]
        below = operator in ("<", "<=")
        steps = [
            {"color": "red" if below else "green", "value": None},
            {"color": "green" if below else "red", "value": value * panel.scale},
        ]
    return {"mode": "absolute", "steps": steps}


def _annotation(name: str, expression: str, text: str, color: str) -> dict[str, object]:
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": True,
        "expr": expression,
        "iconColor": color,
        "step": "60s",
        "textFormat": text,
        "titleFormat": name,
    }


def _data_source() -> dict[str, object]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "${DS_PROMETHEUS}", "value": "${DS_PROMETHEUS}"},
        "hide": 0,
    }


def _variable(label: str, sample: str) -> dict[str, object]:
    query = f"label_values({sample}, {label})"
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": label},
        "definition": query,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
        "sort": 1,
    }
