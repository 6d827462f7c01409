"""Figures and times as text, the same in every form of a report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from actors.research.metrics.metric import Metric, Unit
from actors.research.results import RunResult

NONE: Final = "—"
SECOND_NS: Final = 1_000_000_000


def figure(value: float | None, unit: str, currency: str = "") -> str:
    """A value in its unit; a dash for none."""
    if value is None:
        return NONE
    match unit:
        case "share":
            return f"{value * 100:,.2f} %"
        case "money":
            return f"{money(value)} {currency}".rstrip()
        case "days":
            return f"{value:,.1f} days"
        case "count":
            return f"{value:,.0f}"
    return f"{value:,.3f}"


def money(value: float) -> str:
    """Two decimals, and eight below one: an account may be in bitcoin."""
    if value == 0 or abs(value) >= 1:
        return f"{value:,.2f}"
    whole, _, decimals = f"{value:.8f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def shown(metric: Metric, currency: str = "") -> str:
    """A metric's value, or its state."""
    return figure(metric.value, metric.unit, currency) if metric.state == "value" else metric.state


def note(metric: Metric) -> str:
    """What is to be read beside it: why there is no value, or the warning."""
    return metric.reason or metric.warning


def shown_benchmark(metric: Metric, currency: str = "") -> str:
    """The benchmark's value of the same metric."""
    return figure(metric.benchmark, metric.unit, currency)


def moment(ns: int) -> str:
    """`2024-01-31 14:05:00` UTC."""
    return datetime.fromtimestamp(ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M:%S")


def day(ns: int) -> str:
    """`2024-01-31`, in UTC."""
    return moment(ns)[:10]


def identity(result: RunResult) -> tuple[tuple[str, str], ...]:
    """What a run was and what would repeat it: names and values, in order."""
    data = ", ".join(result.data) or NONE
    return (
        ("Run", result.run_id),
        ("Strategy", result.strategy),
        ("Family", f"{result.family}, {result.trials} run{'s' if result.trials != 1 else ''} so far"),
        ("Methodology", result.methodology),
        ("Markets", ", ".join(result.markets) or NONE),
        ("Data", data),
        ("Data hashes", ", ".join(result.data_hashes) or NONE),
        ("Marks", ", ".join(result.marks) or "none"),
        ("Period (UTC)", f"{moment(result.first)} to {moment(result.last)}"),
        ("Parameters", ", ".join(f"{key} = {value}" for key, value in result.parameters.items()) or NONE),
        ("Capital", f"{result.initial_capital} {result.currency}"),
        ("Final equity", f"{result.final_equity or NONE} {result.currency}"),
        ("Seed", str(result.seed)),
        ("Order hash", result.order_hash or NONE),
        ("Counted", counted(result)),
    )


def counted(result: RunResult) -> str:
    """`1,000 events, 20 orders …`: what happened at all."""
    names = ("events", "bars", "signals", "orders", "fills", "denied", "rejected", "ambiguous")
    return ", ".join(f"{getattr(result, name):,} {name}" for name in names)


UNITS: Final[dict[Unit, str]] = {
    "share": "a part of one, shown in %",
    "ratio": "a ratio",
    "money": "money",
    "days": "days",
    "count": "a count",
}


def explained(metric: Metric) -> str:
    """What stands behind a metric's name: formula, unit, source, sample."""
    parts = [metric.formula, UNITS[metric.unit]]
    if metric.source:
        parts.append(f"source: {metric.source}")
    if metric.minimum:
        parts.append(f"needs {metric.minimum} {metric.counted}, had {metric.samples}")
    return "; ".join(parts)
