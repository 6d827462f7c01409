"""A report as people read it, and what a program gets beside the run and its metrics."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.research.backtest.report import Report
from actors.research.report.terminal import render, render_monte_carlo, render_walk_forward

SHOWN = 10


def told(report: Report) -> tuple[str, dict[str, Any]]:
    """Text and data."""
    run = report.run
    parts = [render(run, report.metrics)]
    more = (_search(report), _windows(report), _paths(report), _folds(report), _brackets(report))
    parts += [part for part in more if part]
    parts.append(f"order log {run.order_hash[:16]}, {run.events} events in {report.elapsed_s:.2f} s")
    parts.append(f"the family {report.family.family} has {report.family.trials} trials")
    data: dict[str, Any] = {
        "spec": report.spec,
        "family": msgspec.to_builtins(report.family),
        "search": msgspec.to_builtins(report.search),
        "folds": msgspec.to_builtins(report.folds),
        "brackets": msgspec.to_builtins(report.brackets),
        "elapsed_s": report.elapsed_s,
    }
    return "\n\n".join(parts), data


def _search(report: Report) -> str:
    found = report.search
    if found is None:
        return ""
    best = ", ".join(f"{name}={value}" for name, value in found.best.items())
    lines = [f"{found.trials} combinations ran; the best {found.objective} has {best}: {found.value:.6g}"]
    if found.overfitting is not None:
        lines.append(f"probability that the winner is one by luck (PBO): {found.overfitting.probability:.1%}")
    else:
        lines.append(f"PBO unknown: {found.overfitting_reason}")
    valued = [(value, parameters) for parameters, value, _ in found.rows if value is not None]
    for value, parameters in sorted(valued, key=lambda row: -row[0])[:SHOWN]:
        lines.append(f"  {value:12.6g}  " + ", ".join(f"{name}={each}" for name, each in parameters.items()))
    return "\n".join(lines)


def _windows(report: Report) -> str:
    return "" if report.walk_forward is None else render_walk_forward(report.walk_forward)


def _paths(report: Report) -> str:
    return "" if report.monte_carlo is None else render_monte_carlo(report.monte_carlo, report.run.currency)


def _folds(report: Report) -> str:
    if not report.folds:
        return ""
    lines = ["cross-validation"]
    for fold in report.folds:
        chosen = ", ".join(f"{name}={value}" for name, value in fold.parameters.items())
        lines.append(
            f"  {fold.fold.number:3d}  train {_number(fold.in_sample)}  test {_number(fold.out_of_sample)}  {chosen}"
        )
    return "\n".join(lines)


def _brackets(report: Report) -> str:
    if not report.brackets:
        return ""
    lines = ["bracket       return     sharpe   drawdown   fills  trades"]
    for each in report.brackets:
        lines.append(
            f"{each.bracket:12s} {_percent(each.total_return)} {_number(each.sharpe)} "
            f"{_percent(each.max_drawdown)} {each.fills:7d} {each.trades:7d}"
        )
    return "\n".join(lines)


def _percent(value: float | None) -> str:
    return "   unknown" if value is None else f"{value:9.2%} "


def _number(value: float | None) -> str:
    return "   unknown" if value is None else f"{value:10.4f}"
