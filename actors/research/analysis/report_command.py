"""`bin/troupe report`: an account as a backtest is reported, and a backtest that is stored."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from actors.research.analysis.account_record import result
from actors.research.analysis.reading import Named, named
from actors.research.analysis.stored_rows import Kind, RowsMissing
from actors.research.backtest.shown import told
from actors.research.metrics.metric import Metric
from actors.research.metrics.registry import evaluate
from actors.research.report.document import as_json
from actors.research.report.terminal import render
from actors.research.results import RunResult
from protocols.control import Refused
from runtime.settings import Configuration

ROWS: Final[tuple[Kind, ...]] = ("orders", "fills", "trades", "verdicts", "equity", "ledger")
Answer = tuple[str, dict[str, Any]]


def report(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Report on an account or a stored backtest: metrics, months, trades.

    Raises Refused.
    """
    given = _parser().parse_args(arguments)
    assert configuration is not None
    if given.periods is not None and given.periods < 1:
        raise Refused("invalid", f"expected 1 or more returns per year, got {given.periods}", "periods")
    found = named(given.run, configuration, field="run", url=given.url, kinds=ROWS)
    if found.report is not None:
        run, metrics = found.report.run, found.report.metrics
        text, extra = told(found.report)
        walk_forward, monte_carlo = found.report.walk_forward, found.report.monte_carlo
    else:
        run = _result(found)
        metrics = evaluate(run, periods=given.periods, risk_free=given.risk_free)
        text, extra = render(run, metrics), {}
        walk_forward = monte_carlo = None
    files = _write(given, run, metrics, found)
    document = json.loads(as_json(run, metrics, monte_carlo=monte_carlo, walk_forward=walk_forward))
    if files:
        text += "\n" + "\n".join(f"{path} is written" for path in files)
    return text, {**document, **extra, "files": [str(path) for path in files]}


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="troupe report", description=(report.__doc__ or "").partition("\n")[0])
    made.add_argument(
        "run", metavar="ACCOUNT|RUN", help="an account, its exported journal, or a backtest's id, folder or report"
    )
    made.add_argument("--html", metavar="FILE", type=Path, help="write one self-contained page there")
    made.add_argument("--parquet", metavar="FOLDER", type=Path, help="write equity, trades and metrics there")
    made.add_argument("--periods", type=int, metavar="N", help="returns per year (365 or 252, as the days say)")
    made.add_argument("--risk-free", type=float, default=0.0, metavar="R", help="a rate per year, 0.02 is 2 %% (0)")
    made.add_argument("--url", default="", metavar="URL", help="of a node (that of the data folder)")
    return made


def _result(found: Named) -> RunResult:
    try:
        return result(found.record())
    except RowsMissing as error:
        raise Refused("unreadable", str(error), "run") from None
    except ValueError as error:
        raise Refused("invalid", str(error), "run") from None


def _write(given: argparse.Namespace, run: RunResult, metrics: Sequence[Metric], found: Named) -> list[Path]:
    files: list[Path] = []
    try:
        if given.html is not None:
            from actors.research.report.page import Section, write_html

            kept = found.report
            section = Section(
                result=run,
                metrics=tuple(metrics),
                monte_carlo=None if kept is None else kept.monte_carlo,
                walk_forward=None if kept is None else kept.walk_forward,
            )
            write_html(given.html, [section], title=run.strategy)
            files.append(given.html)
        if given.parquet is not None:
            from actors.research.report.columns import write_parquet

            files += write_parquet(given.parquet, run, metrics)
    except OSError as error:
        raise Refused("invalid", f"{error.filename} cannot be written: {error.strerror or error}", "html") from None
    return files
