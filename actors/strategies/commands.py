"""`bin/troupe strategy`: begin a strategy, check it, and run it over a file of bars, without a node.

`check` and `run` load the file into a locked worker, as a node does: what passes here is accepted there.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO

import trio

from actors.market.bars_intervals import parse_interval
from actors.strategies import synthetic_bars, trial
from actors.strategies.bar_files import BarFile, BarFileError, Coarser, merged
from actors.strategies.sandbox.control import Limits
from actors.strategies.sandbox.keeper import SandboxSettings
from actors.strategies.sandbox.loaded import NotLoaded
from actors.strategies.sandbox.wire import BarInput, Load, Problem
from actors.strategies.sandbox.worker import WorkerEnded
from actors.strategies.sandbox.zygote import ZygoteFailed
from actors.strategies.templates import TEMPLATES, template
from actors.strategies.trial_report import FAILED, Told, accepted, described, rejected, summary
from protocols.control import Refused
from runtime.settings import Configuration

LOOKBACK: Final = 200
SHOWN: Final = 20
MOST_SOURCE: Final = 1024 * 1024
"""A file beyond this is no strategy; the worker's own bound is far below."""

Answer = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], int] | int


def strategy(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Begin a strategy, check it in a locked worker, run it over bars of a file.

    Answers with the exit status 1 where the strategy is not accepted or has failed. Raises Refused for files that
    cannot be read or written.
    """
    given = _parser().parse_args(arguments)
    if given.verb == "new":
        return _new(given)
    if given.verb == "sample":
        return _sample(given)
    limits = _limits(given.memory, configuration)
    return _check(given, limits) if given.verb == "check" else _run(given, limits)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="troupe strategy", description=(strategy.__doc__ or "").partition("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    new = verbs.add_parser("new", help="write a small strategy to begin with")
    new.add_argument("name", metavar="NAME", help="its name: NAME.py is written, which must not be there yet")
    new.add_argument("--contract", choices=tuple(TEMPLATES), default="sdk", help="what kind of strategy (sdk)")
    check = verbs.add_parser("check", help="say what is wrong with a strategy, and what can be set")
    run = verbs.add_parser("run", help="hand it the bars of a file, and show its signals")
    for each in (check, run):
        each.add_argument("file", metavar="FILE", type=Path, help="the strategy: one Python file")
        each.add_argument(
            "--parameter",
            "-p",
            action="append",
            default=[],
            dest="parameters",
            metavar="NAME=VALUE",
            help="set a parameter, as fast=5 (repeatable)",
        )
        each.add_argument("--memory", type=int, metavar="MIB", help="what it may allocate (sandbox.memory_mb)")
    check.add_argument("--symbol", action="append", metavar="S", help="of the run that it is built for (repeatable)")
    check.add_argument("--timeframe", action="append", metavar="T", help="of that run: 1m (repeatable)")
    run.add_argument(
        "--data",
        action="append",
        required=True,
        type=Path,
        metavar="FILE",
        help="bars: CSV or CSV.gz, or a folder of `troupe data download` (repeatable: several symbols)",
    )
    run.add_argument(
        "--symbol",
        action="append",
        default=[],
        metavar="S",
        help="what each file's symbol is called, or which one of it to take (default: the file's name)",
    )
    run.add_argument(
        "--timeframe",
        action="append",
        default=[],
        metavar="T",
        help="1m, 1h ...: of the bars; longer than the file's, they are put together (repeatable)",
    )
    run.add_argument("--lookback", type=int, default=LOOKBACK, metavar="N", help=f"bars that it sees ({LOOKBACK})")
    run.add_argument("--limit", type=int, metavar="N", help="end after N bars")
    run.add_argument("--show", type=int, default=SHOWN, metavar="N", help=f"show the last N signals ({SHOWN})")
    run.add_argument(
        "--signals", metavar="FILE", help="write all signals there, one line of JSON each; - to the output"
    )
    run.add_argument("--errors", type=int, default=0, metavar="N", help="go on after N exceptions of its code (0)")
    run.add_argument("--quiet", action="store_true", help="show neither progress nor what it logs")
    sample = verbs.add_parser("sample", help="write made-up bars of a minute as CSV, to try a strategy with")
    sample.add_argument("file", metavar="FILE", type=Path, help="where to; it must not be there yet")
    sample.add_argument("--bars", type=int, default=1000, metavar="N", help="how many (1000)")
    sample.add_argument("--seed", type=int, default=1, metavar="N", help="the same number gives the same bars (1)")
    return parser


# -- new and sample ------------------------------------------------------------------------------------------


def _new(given: argparse.Namespace) -> Answer:
    name = given.name.removesuffix(".py")
    if not Path(name).name.isidentifier():
        raise Refused("invalid", f"expected a name such as my_strategy, got {given.name!r}", "name")
    path = Path(f"{name}.py")
    _write_new(path, template(given.contract, path.stem))
    text = f"{path} is written; next: troupe strategy check {path}"
    return text, {"file": str(path), "contract": given.contract}


def _sample(given: argparse.Namespace) -> Answer:
    if not 1 <= given.bars <= 10_000_000:
        raise Refused("invalid", f"expected 1 to 10000000 bars, got {given.bars}", "bars")
    _write_new(given.file, "".join(f"{line}\n" for line in synthetic_bars.lines(given.bars, given.seed)))
    text = f"{given.file} is written: {given.bars} bars, synthetic"
    return text, {"file": str(given.file), "bars": given.bars, "seed": given.seed, "synthetic": True}


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused("conflict", f"{path} is there already", "file") from None
    except OSError as error:
        raise Refused("invalid", f"{path} cannot be written: {error.strerror or error}", "file") from None


# -- check ---------------------------------------------------------------------------------------------------


def _check(given: argparse.Namespace, limits: Limits) -> Answer:
    name, source = _source(given.file)
    markets = tuple(
        (symbol, timeframe) for symbol in given.symbol or ["CHECK"] for timeframe in given.timeframe or ["1m"]
    )
    load = trial.load_of(name, source, markets, _parameters(given.parameters), LOOKBACK)
    try:
        ready = trio.run(trial.check, load, limits)
    except NotLoaded as error:
        return rejected(given.file, error.problems)
    except WorkerEnded as error:
        return rejected(given.file, (Problem(error.cause, f"the worker ended: {error.detail}"),))
    except ZygoteFailed as error:
        raise Refused("unavailable", f"there is no locked worker on this machine: {error}") from error
    return accepted(given.file, ready), described(given.file, ready)


# -- run -----------------------------------------------------------------------------------------------------


def _run(given: argparse.Namespace, limits: Limits) -> Answer:
    name, source = _source(given.file)
    try:
        bars, markets = _bars(given)
    except BarFileError as error:
        raise Refused("invalid", str(error), "data") from error
    load = trial.load_of(name, source, markets, _parameters(given.parameters), given.lookback)
    with ExitStack() as stack:
        told = Told(_lines_to(given.signals, stack), quiet=given.quiet)
        going = trial.Trial(limits, told.signal, told.log, given.errors)
        status = 0
        ended = ""
        try:
            interrupted = trio.run(_until_interrupted, going, load, bars, lambda: told.progress(going.figures))
        except NotLoaded as error:
            return rejected(given.file, error.problems)
        except WorkerEnded as error:
            interrupted, ended, status = False, f"the worker ended: {error}", FAILED
        except BarFileError as error:
            raise Refused("invalid", str(error), "data") from error
        except ZygoteFailed as error:
            raise Refused("unavailable", f"there is no locked worker on this machine: {error}") from error
        finally:
            told.end()
    failures = going.figures.failures
    if len(failures) > given.errors:
        status = FAILED
    text = "\n".join([*told.table(given.show), *summary(given.file, going.figures, ended, interrupted=interrupted)])
    data = {
        "file": str(given.file),
        "markets": [list(market) for market in markets],
        "complete": not (interrupted or status),
        "ended": ended or ("interrupted" if interrupted else ""),
        "signals": told.kept,
        "signals_left_out": going.figures.signals - len(told.kept),
        "summary": going.figures.as_data(),
    }
    if interrupted:
        print(text, file=sys.stderr, flush=True)
        raise KeyboardInterrupt
    if given.signals == "-":
        print(text, file=sys.stderr, flush=True)
        return status
    return (text, data, status) if status else (text, data)


async def _until_interrupted(
    going: trial.Trial, load: Load, bars: Iterator[BarInput], progress: Callable[[], None]
) -> bool:
    """Run the trial; Ctrl-C ends it in order. Whether it was that."""
    interrupted = False

    async def listen(scope: trio.CancelScope) -> None:
        nonlocal interrupted
        with trio.open_signal_receiver(signal.SIGINT) as signals:
            async for _ in signals:
                interrupted = True
                scope.cancel()

    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen, nursery.cancel_scope)
        try:
            await going.run(load, bars, progress)
        except Exception as error:
            # Past the nursery, which would wrap it into a group.
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None and not interrupted:
        raise failure
    return interrupted


def _bars(given: argparse.Namespace) -> tuple[Iterator[BarInput], tuple[tuple[str, str], ...]]:
    """The bars of all files in order, and their markets. Raises BarFileError, Refused."""
    if len(given.symbol) > len(given.data):
        raise Refused("invalid", f"{len(given.symbol)} symbols for {len(given.data)} files", "symbol")
    try:
        wanted = [parse_interval(name) for name in given.timeframe]
    except ValueError as error:
        raise Refused("invalid", str(error), "timeframe") from None
    names = [*given.symbol, *("" for _ in given.data[len(given.symbol) :])]
    files = [BarFile(path, symbol=symbol) for path, symbol in zip(given.data, names, strict=True)]
    symbols = [symbol for file in files for symbol in file.symbols]
    if len(set(symbols)) < len(symbols):
        raise Refused("invalid", f"a symbol is there twice: {', '.join(symbols)}; name them with --symbol", "symbol")
    finest = files[0].interval
    if any(file.interval != finest for file in files):
        raise Refused("invalid", "expected files of one interval", "data")
    timeframes = wanted or [finest]
    try:
        coarser = [Coarser(finest, interval) for interval in timeframes if interval.length != finest.length]
    except ValueError as error:
        raise Refused("invalid", str(error), "timeframe") from None
    keeps = any(interval.length == finest.length for interval in timeframes)
    markets = tuple((symbol, interval.name) for symbol in symbols for interval in timeframes)
    found = _with_coarser(merged(files), coarser, keeps=keeps)
    return islice(found, given.limit), markets


def _with_coarser(bars: Iterator[BarInput], coarser: Sequence[Coarser], *, keeps: bool) -> Iterator[BarInput]:
    # Longer bars that end with a short one come first: when that is handled, all that is complete is to be seen.
    for bar in bars:
        for each in coarser:
            yield from each.take(bar)
        if keeps:
            yield bar


# -- what they share -----------------------------------------------------------------------------------------


def _source(file: Path) -> tuple[str, str]:
    try:
        if file.stat().st_size > MOST_SOURCE:
            raise Refused("invalid", f"{file} is no strategy: {file.stat().st_size} bytes", "file")
        return file.name, file.read_bytes().decode()
    except OSError as error:
        raise Refused("not_found", f"{file} cannot be read: {error.strerror or error}", "file") from None
    except UnicodeDecodeError as error:
        raise Refused("invalid", f"{file} is not in UTF-8: {error}", "file") from None


def _parameters(given: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE: a value that is JSON is that (5, 0.5, true, "5"), any other is text."""
    found: dict[str, Any] = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise Refused("invalid", f"expected NAME=VALUE, got {each!r}", "parameter")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[name] = value
    return found


def _limits(memory_mb: int | None, configuration: Configuration | None) -> Limits:
    """Those that a node of this configuration has, so that what passes here passes there."""
    settings = SandboxSettings() if configuration is None else configuration.section("sandbox")
    memory_mb = settings.memory_mb if memory_mb is None else memory_mb
    if not 16 <= memory_mb <= 65_536:
        raise Refused("invalid", f"expected 16 to 65536 MiB, got {memory_mb}", "memory")
    return Limits(memory_mb=memory_mb, call_s=settings.call_s, load_s=settings.load_s)


def _lines_to(target: str | None, stack: ExitStack) -> TextIO | None:
    if target is None:
        return None
    if target == "-":
        return sys.stdout
    try:
        return stack.enter_context(Path(target).open("w", encoding="utf-8"))
    except OSError as error:
        raise Refused("invalid", f"{target} cannot be written: {error.strerror or error}", "signals") from None
