"""`bin/troupe backtest`: run a strategy over data, without a node."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from actors.research.backtest.command_options import parser, spec_from
from actors.research.backtest.family_ledger import FileLedger
from actors.research.backtest.look_ahead import LookAhead, look_ahead
from actors.research.backtest.methodologies import Found, Study
from actors.research.backtest.opening import Opened
from actors.research.backtest.optimise import NothingFound
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.shown import told
from actors.research.backtest.sources import SourceError
from actors.research.backtest.spec import SpecError
from actors.research.report.document import as_json
from actors.strategies.sandbox.failures import SandboxFailed
from protocols.control import Refused
from protocols.signal_stream import timestamp
from runtime.settings import Configuration

FAILED: Final = 1
LIBRARY: Final = "library:"
ASK_S: Final = 10.0
FOLDER: Final = "backtests"

Answer = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], int]


def backtest(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Run a strategy over recordings, trades, quotes or bars, and say what would have come of it.

    Answers with the exit status 1 where a look-ahead is found. Raises Refused for what cannot be run.
    """
    given = parser().parse_args(arguments)
    assert configuration is not None
    data_dir = Path(configuration.section("node").data_dir)
    progress = _Progress(quiet=given.quiet)
    try:
        spec = spec_from(given, _code_of(given, data_dir))
        opened = Opened(spec, data_dir=data_dir)
        with LocalPasses(opened) as passes:
            if given.look_ahead is not None:
                return _looked(look_ahead(spec, opened, passes, moments=given.look_ahead, tell=progress), given)
            ledger = FileLedger(data_dir / FOLDER)
            found = Study(spec, opened, passes, ledger, now=time.time_ns, tell=progress).run()
    except KeyboardInterrupt:
        progress.end()
        print("interrupted; the runs so far are in the ledger of trials", file=sys.stderr, flush=True)
        raise
    except SpecError as error:
        raise Refused("invalid", error.message, error.field) from None
    except NothingFound as error:
        raise Refused("nothing_found", str(error)) from None
    except SourceError as error:
        raise Refused("unreadable", str(error), "data") from None
    except SandboxFailed as error:
        lines = [error.message, *(f"line {each.line}: {each.message}" for each in error.problems[:10] if each.line)]
        raise Refused(error.code, "\n".join(lines), "strategy") from None
    finally:
        progress.end()
    return _answered(found, given)


def _answered(found: Found, given: argparse.Namespace) -> Answer:
    report = found.report
    files = _write(found, given)
    document = json.loads(
        as_json(report.run, report.metrics, monte_carlo=report.monte_carlo, walk_forward=report.walk_forward)
    )
    text, extra = told(report)
    if files:
        text += "\n" + "\n".join(f"{path} is written" for path in files)
    return text, {**document, **extra, "files": [str(path) for path in files]}


def _write(found: Found, given: argparse.Namespace) -> list[Path]:
    report, files = found.report, []
    try:
        if given.orders is not None:
            given.orders.write_bytes(found.log)
            files.append(given.orders)
        if given.report is not None:
            from actors.research.report.page import Section, write_html

            section = Section(
                result=report.run,
                metrics=report.metrics,
                monte_carlo=report.monte_carlo,
                walk_forward=report.walk_forward,
            )
            write_html(given.report, [section], title=report.run.strategy)
            files.append(given.report)
        if given.parquet is not None:
            from actors.research.report.columns import write_parquet

            files += write_parquet(given.parquet, report.run, report.metrics)
    except OSError as error:
        raise Refused("invalid", f"{error.filename} cannot be written: {error.strerror or error}", "report") from None
    return files


def _looked(found: LookAhead, given: argparse.Namespace) -> Answer:
    lines = [f"{len(found.checks)} comparisons, seed {found.seed}"]
    for check in found.checks:
        verdict = "the same" if check.equal else "DIFFERENT"
        lines.append(
            f"  before {timestamp(check.ts)}: data {check.variant}: {check.lines} signals and order events, {verdict}"
        )
        if not check.equal:
            lines += [
                f"    with all data: {check.expected[:200] or 'nothing'}",
                f"    without: {check.got[:200] or 'nothing'}",
            ]
    if found.empty:
        lines.append("nothing was ordered: this says nothing")
    lines.append("the strategy sees the future" if found.caught else "no look-ahead was found")
    data = {
        "strategy": given.strategy,
        "caught": found.caught,
        "empty": found.empty,
        "seed": found.seed,
        "checks": [
            {
                "ts": check.ts,
                "variant": check.variant,
                "lines": check.lines,
                "equal": check.equal,
                "expected": check.expected,
                "got": check.got,
            }
            for check in found.checks
        ],
    }
    text = "\n".join(lines)
    return (text, data, FAILED) if found.caught else (text, data)


def _code_of(given: argparse.Namespace, data_dir: Path) -> tuple[str, str]:
    """(name, source text) of the strategy; no text: trusted code. Raises Refused."""
    name = given.strategy
    if name.startswith(LIBRARY):
        return _from_library(name.removeprefix(LIBRARY), given.url or _node(data_dir))
    if not name.endswith(".py"):
        return name, ""
    try:
        return Path(name).stem, Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("not_found", f"{name} cannot be read: {error}", "strategy") from None


def _node(data_dir: Path) -> str:
    try:
        return str(json.loads((data_dir / "node.json").read_bytes())["url"])
    except (OSError, ValueError, KeyError):
        raise ConnectionError(f"no node runs on the data folder {data_dir}; its library is asked for") from None


def _from_library(strategy_id: str, url: str) -> tuple[str, str]:
    try:
        answer = httpx.get(f"{url.rstrip('/')}/strategies/{strategy_id}", timeout=ASK_S)
    except httpx.HTTPError as error:
        raise ConnectionError(f"{url} does not answer: {error}") from None
    if answer.status_code == 404:
        raise Refused("not_found", f"the library has no strategy {strategy_id}", "strategy")
    if answer.status_code != 200:
        raise Refused("unavailable", f"the library answers {answer.status_code}: {answer.text[:200]}", "strategy")
    found = answer.json()
    code = str(found.get("code") or "")
    return (strategy_id, code) if code else (str(found.get("strategy_id") or strategy_id), "")


class _Progress:
    """One line on standard error while it goes, where somebody looks at it."""

    def __init__(self, *, quiet: bool) -> None:
        self._live = sys.stderr.isatty() and not quiet
        self._next = 0.0
        self._open = False

    def __call__(self, share: float, what: str) -> None:
        now = time.monotonic()
        if self._live and now >= self._next:
            self._next = now + 0.2
            self._open = True
            print(f"\r\x1b[K{share:6.1%}  {what}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave an empty line."""
        if self._open:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._open = False
