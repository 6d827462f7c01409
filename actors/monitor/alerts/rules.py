"""The rules: what a configuration says of one, those that are there without a word, and the two put together.

A `[[alerts]]` with the name of a default changes that default where it says something; any other is a rule of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from actors.monitor.alerts.expression import Condition, ExpressionError, longest_window, parse
from protocols.alerts import Severity

Seconds = Annotated[float, msgspec.Meta(ge=0, le=604_800)]
Label = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class RuleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[alerts]]`: a rule over the node's metrics."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
    """Of its own, or that of a default rule, which is then changed."""
    expression: str | None = None
    """When it holds, such as `max(rl_queue_depth) > 100`; docs/how-to/alerts-and-dashboards.md has the language."""
    for_s: Seconds | None = None
    """It fires when it has held for so many seconds."""
    severity: Severity | None = None
    cooldown_s: Seconds | None = None
    """It does not fire again within so many seconds after it was resolved."""
    description: str | None = None
    by: tuple[Label, ...] | None = None
    """Labels: each set of their values is watched, and fires, on its own."""
    enabled: bool = True


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it is evaluated. `condition` is what `expression` was read into."""

    name: str
    expression: str
    condition: Condition
    for_s: float
    severity: Severity
    cooldown_s: float
    description: str
    by: tuple[str, ...] = ()


class RuleError(ValueError):
    """A rule that cannot be: `index` into the settings, and which `field` of it is wrong."""

    def __init__(self, index: int, field: str, message: str) -> None:
        super().__init__(f"alerts.{index}.{field}: {message}")
        self.index = index
        self.field = field


COOLDOWN_S: Final = 300.0
ERRORS: Final = "TIMEOUT|REJECTED|CIRCUIT_OPEN|MODEL_ERROR"
"""Reasons of the fallback that are failures of ours; the others (low confidence, stale or missing features) are its
purpose."""
ASKED: Final = 'rl_predictions_total{served_by!="rule"}'
"""Decisions that a model was asked for. With one user in ten in the arm of a model, a model that always fails is but a
tenth of all decisions."""


def _default(
    name: str,
    expression: str,
    severity: Severity,
    description: str,
    *,
    for_s: float = 0.0,
    by: tuple[str, ...] = (),
) -> RuleSettings:
    return RuleSettings(
        name=name,
        expression=expression,
        for_s=for_s,
        severity=severity,
        cooldown_s=COOLDOWN_S,
        description=description,
        by=by,
    )


DEFAULTS: Final = (
    _default(
        "high_response_time",
        "mean_of_last(rl_predict_duration_seconds, 10) > 1",
        "warning",
        "Decisions take more than a second on average",
    ),
    _default(
        "low_success_rate",
        f'1 - ratio(rl_predictions_total{{reason=~"{ERRORS}"}}, {ASKED}, 5m) < 0.9',
        "error",
        "More than a tenth of the decisions that a model was asked for failed, and the fallback gave them",
    ),
    _default(
        "high_queue_size",
        "mean_of_last(sum(rl_queue_depth), 3) > 100",
        "warning",
        "More than 100 requests wait for a decision",
    ),
    _default(
        "high_cpu_usage",
        "rate(process_cpu_seconds_total, 2m) > 0.8",
        "warning",
        "The node's process uses more than 80 % of one core: its event loop has hardly any room",
    ),
    _default(
        "high_memory_usage",
        "process_resident_memory_bytes / 1e6 > 1000",
        "warning",
        "The node's process holds more than 1000 MB",
    ),
    _default(
        "low_rl_accuracy",
        "rl_model_accuracy_ratio < 0.6",
        "warning",
        "A model was right in less than 60 % of its decisions that have an outcome",
        by=("model",),
    ),
    _default(
        "slow_predictions",
        "quantile(0.99, rl_predict_duration_seconds, 5m) > 0.1",
        "warning",
        "One in a hundred decisions of a model takes longer than 0.1 s",
        for_s=300,
        by=("model",),
    ),
    _default(
        "high_fallback_ratio",
        f'ratio(rl_predictions_total{{served_by="fallback"}}, {ASKED}, 10m) > 0.05',
        "warning",
        "More than 5 % of the decisions that a model was asked for were given by the fallback",
        for_s=600,
    ),
    _default(
        "sample_ratio_mismatch",
        "ab_srm_p_value < 0.001",
        "error",
        "The arms of an experiment have shares that chance does not explain: its results cannot be read",
        for_s=1800,
        by=("experiment",),
    ),
)


def rules(settings: Sequence[RuleSettings], interval_s: float, retention_s: float, *, defaults: bool) -> list[Rule]:
    """The rules that are evaluated every `interval_s` on samples of the last `retention_s`. Raises RuleError."""
    seen: set[str] = set()
    known = {each.name: each for each in DEFAULTS} if defaults else {}
    made = {each.name: _rule(0, each, interval_s, retention_s) for each in known.values()}
    for index, given in enumerate(settings):
        if given.name in seen:
            raise RuleError(index, "name", f"expected a name of its own, got {given.name!r} again")
        seen.add(given.name)
        made.pop(given.name, None)
        if given.enabled:
            made[given.name] = _rule(index, _changed(known.get(given.name), given), interval_s, retention_s)
    return list(made.values())


def _changed(default: RuleSettings | None, given: RuleSettings) -> RuleSettings:
    if default is None:
        return given
    said = {name: value for name, value in msgspec.structs.asdict(given).items() if value is not None}
    if given.expression is not None and given.description is None:
        said["description"] = None  # that of the default would speak of the default's limit
    return msgspec.structs.replace(default, **said)


def _rule(index: int, given: RuleSettings, interval_s: float, retention_s: float) -> Rule:
    if given.expression is None:
        raise RuleError(index, "expression", f"expected an expression for {given.name}, which is no default rule")
    try:
        condition = parse(given.expression)
    except ExpressionError as error:
        raise RuleError(index, "expression", f"{error} in {given.expression!r}") from None
    window = longest_window(condition, interval_s)
    if window > retention_s:
        raise RuleError(
            index,
            "expression",
            f"expected a window of at most alerting.retention_s = {retention_s:g} s, got {window:g}",
        )
    return Rule(
        name=given.name,
        expression=given.expression,
        condition=condition,
        for_s=given.for_s or 0.0,
        severity=given.severity or "warning",
        cooldown_s=COOLDOWN_S if given.cooldown_s is None else given.cooldown_s,
        description=given.description or given.expression,
        by=given.by or (),
    )
