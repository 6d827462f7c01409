"""The options of `bin/troupe backtest`, and the specification that they make."""

from __future__ import annotations

import argparse
import json
import math
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from actors.market.bars_intervals import DAY
from actors.research.backtest.spec import BacktestSpec, SpecError, spec_of
from actors.strategies.bar_files import BarFileError, nanos_of
from protocols.control import Refused

_RANGE: Final = re.compile(r"(-?[0-9.]+):(-?[0-9.]+):([0-9.]+)")
_DATASET: Final = re.compile(r"[0-9a-f]{8,64}")
MOST_VALUES: Final = 10_000


def parser() -> argparse.ArgumentParser:
    """The grammar."""
    made = argparse.ArgumentParser(
        prog="troupe backtest",
        description="Run a strategy over recordings, trades, quotes or bars, and say what would have come of it.",
        epilog="Every run counts as a trial of its strategy's family; the deflated Sharpe ratio knows them all.",
    )
    add = made.add_argument
    add(
        "strategy",
        metavar="STRATEGY",
        help="of the catalogue, package.module:Class (trusted), FILE.py (in the sandbox), or library:ID of a node",
    )
    add(
        "--data",
        action="append",
        required=True,
        metavar="PATH",
        help="a file, a folder, or a data set's id (repeatable)",
    )
    add("--market", action="append", default=[], metavar="M", help="of each --data: which one, or what it is called")
    add(
        "--timeframe", action="append", default=[], metavar="T", help="bars that a sandboxed strategy sees (repeatable)"
    )
    add("--from", dest="since", metavar="TIME", help="2024-01-31, or a time; UTC")
    add("--to", dest="until", metavar="TIME", help="the end; a date is included")
    add("--parameter", "-p", action="append", default=[], metavar="NAME=VALUE", help="of the strategy (repeatable)")
    add("--capital", default="100000", metavar="N", help="initial capital (100000)")
    add("--currency", default="USD", metavar="C", help="of the account (USD)")
    add("--kind", default="equity", choices=("spot", "perpetual", "future", "equity", "prediction"), help="(equity)")
    add("--tick", default="0.000000001", metavar="N", help="the step of prices (none)")
    add("--lot", default="0.000000001", metavar="N", help="the step of quantities (none)")
    add("--fee", default="", metavar="N[/M]", help="share of the value: taker, or taker/maker (none)")
    add("--leverage", default="1", metavar="N", help="(1)")
    add("--cash", action="store_true", help="a cash account: nothing is borrowed, nothing is sold short")
    add("--size", type=float, default=0.05, metavar="SHARE", help="of the equity for each position (0.05)")
    add("--opposite", choices=("close", "flip", "ignore"), default="close", help="what becomes of a position (close)")
    add("--entries", type=int, default=1, metavar="N", help="signals that may add to one position; 0: any (1)")
    add("--long-only", action="store_true", help="no short positions")
    add("--size-at-open", action="store_true", help="bars: the size follows from the price at which it is filled")
    add("--close-at-end", action="store_true", help="close what is open at the last open, instead of valuing it")
    add("--slippage", default="", metavar="SHARE", help="bars: how much worse a market order is filled (none)")
    add("--latency", type=float, default=0.0, metavar="MS", help="of orders and of reports, milliseconds each (0)")
    add("--optimise", default="", metavar="GRID", help="fast=5:50:5,slow=20|50|100: values to choose from")
    add("--random", type=int, default=0, metavar="N", help="try N combinations, drawn by the seed (all)")
    add("--objective", default="sharpe", metavar="METRIC", help="what is to be best (sharpe)")
    add("--processes", type=int, default=2, metavar="N", help="that try combinations (2)")
    add("--walk-forward", metavar="TRAIN/TEST/STEP", help="months, as 12/3/3")
    add("--cross-validation", type=int, metavar="K", help="K parts in time, each tested once")
    add("--purge", type=float, default=0.0, metavar="S", help="seconds that a training loses at its end (0)")
    add("--embargo", type=float, default=0.0, metavar="S", help="seconds between a training and its test (0)")
    add(
        "--warm-up", type=float, default=0.0, metavar="DAYS", help="data before a span that is seen without trading (0)"
    )
    add("--monte-carlo", type=int, metavar="N", help="simulations of what else could have been")
    add("--bracket", action="store_true", help="also with the optimistic and the pessimistic fills")
    add(
        "--look-ahead",
        nargs="?",
        type=int,
        const=5,
        metavar="N",
        help="check at N moments that it does not see the future",
    )
    add("--seed", type=int, default=0, metavar="N", help="of everything that is drawn by chance (0)")
    add("--spec", type=Path, metavar="FILE", help="JSON with further fields of the specification")
    add("--report", type=Path, metavar="FILE.html", help="write a page")
    add("--orders", type=Path, metavar="FILE", help="write the order log, JSON lines")
    add("--parquet", type=Path, metavar="DIR", help="write equity, trades and metrics as parquet")
    add("--url", metavar="URL", help="the node whose library is asked")
    add("--quiet", action="store_true", help="show no progress")
    return made


def spec_from(given: argparse.Namespace, code: tuple[str, str]) -> BacktestSpec:
    """The specification. Raises Refused, SpecError."""
    name, source = code
    if len(given.market) > len(given.data):
        raise Refused("invalid", f"{len(given.market)} markets for {len(given.data)} pieces of data", "market")
    taker, _, maker = given.fee.partition("/")
    if not math.isfinite(given.latency):
        raise Refused("invalid", f"expected milliseconds, got {given.latency}", "latency")
    _none_idle(given)
    latency = {"model": "constant", "ns": round(given.latency * 1e6)}
    fields: dict[str, Any] = {
        "strategy": {
            "name": name,
            "code": source,
            "filename": Path(given.strategy).name if source else "strategy.py",
            "parameters": _parameters(given.parameter),
            "timeframes": given.timeframe or (["1m"] if source else []),
        },
        "data": _data(given),
        "since": _time(given.since, "from", end=False),
        "until": _time(given.until, "to", end=True),
        "initial_capital": given.capital,
        "currency": given.currency,
        "account_kind": "cash" if given.cash else "margin",
        "leverage": given.leverage,
        "market": {
            "kind": given.kind,
            "tick": given.tick,
            "lot": given.lot,
            "taker_fee": taker or None,
            "maker_fee": (maker or taker) or None,
        },
        "fills": {
            "latency": {"entry": latency, "response": latency},
            **({"slippage": {"model": "share", "share": given.slippage}} if given.slippage else {}),
        },
        "sizing": {"method": "fixed_percentage", "percentage": given.size, "max_position_size": max(given.size, 0.1)},
        "sized_at": "open" if given.size_at_open else "signal",
        "opposite": given.opposite,
        "entries": given.entries or None,
        "allow_short": not (given.long_only or given.cash),
        "close_at_end": given.close_at_end,
        "seed": given.seed,
        "method": _method(given),
    }
    if given.spec is not None:
        fields = _merged(fields, _read(given.spec))
    return spec_of(fields)


def _none_idle(given: argparse.Namespace) -> None:
    """Refuse options that would do nothing. What `--spec` adds is not known here."""
    windows = given.walk_forward or given.cross_validation
    if given.spec is None:
        for name, needs, there in (
            ("random", "--optimise", given.optimise),
            ("purge", "--walk-forward or --cross-validation", windows),
            ("embargo", "--walk-forward or --cross-validation", windows),
        ):
            if getattr(given, name) and not there:
                raise Refused("invalid", f"--{name} does nothing without {needs}", name)
    for name in ("walk_forward", "cross_validation", "optimise", "monte_carlo", "bracket"):
        if given.look_ahead is not None and getattr(given, name):
            option = name.replace("_", "-")
            raise Refused("invalid", f"--look-ahead checks one plain run: leave out --{option}", option)


def _method(given: argparse.Namespace) -> dict[str, Any]:
    chosen = [
        word
        for word, value in (
            ("walk_forward", given.walk_forward),
            ("cross_validation", given.cross_validation),
        )
        if value is not None
    ]
    simulated = given.monte_carlo is not None
    if len(chosen) > 1:
        raise Refused("invalid", f"expected one methodology, got {' and '.join(chosen)}", chosen[1])
    fields: dict[str, Any] = {
        "methodology": chosen[0] if chosen else "monte_carlo" if simulated else "standard",
        "simulate": simulated and bool(chosen),
        "grid": grid_of(given.optimise),
        "random_trials": given.random,
        "objective": given.objective,
        "processes": given.processes,
        "purge_s": given.purge,
        "embargo_s": given.embargo,
        "warm_up_s": given.warm_up * 86_400,
        "both_brackets": given.bracket,
    }
    for name, value in (
        ("walk_forward", given.walk_forward),
        ("folds", given.cross_validation),
        ("simulations", given.monte_carlo),
    ):
        if value is not None:
            fields[name] = value
    return fields


def grid_of(text: str) -> dict[str, list[Any]]:
    """`fast=5:50:5,slow=20|50`: from:to:step with both ends, or values. Raises Refused."""
    found: dict[str, list[Any]] = {}
    for part in filter(None, text.split(",")):
        name, equals, values = part.partition("=")
        name = name.strip()
        if not equals or not name or not values:
            raise Refused("invalid", f"expected NAME=FROM:TO:STEP or NAME=A|B|C, got {part!r}", "optimise")
        span = _RANGE.fullmatch(values.strip())
        found[name] = _steps(*span.groups()) if span else [_value(each) for each in values.split("|")]
    return found


def _steps(first: str, last: str, step: str) -> list[Any]:
    try:
        begin, end, by = Decimal(first), Decimal(last), Decimal(step)
    except InvalidOperation:
        raise Refused("invalid", f"expected numbers, got {first}:{last}:{step}", "optimise") from None
    if by <= 0 or end < begin or (end - begin) / by > MOST_VALUES:
        raise Refused("invalid", f"expected from <= to and a step above 0, got {first}:{last}:{step}", "optimise")
    values = [begin + by * place for place in range(int((end - begin) / by) + 1)]
    whole = all(value == value.to_integral_value() for value in values) and "." not in first + step
    return [int(value) if whole else float(value) for value in values]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _parameters(given: list[str]) -> dict[str, Any]:
    found = {}
    for each in given:
        name, equals, text = each.partition("=")
        if not equals or not name:
            raise Refused("invalid", f"expected NAME=VALUE, got {each!r}", "parameter")
        found[name] = _value(text)
    return found


def _data(given: argparse.Namespace) -> list[dict[str, Any]]:
    found = []
    for place, text in enumerate(given.data):
        market = given.market[place] if place < len(given.market) else ""
        known = Path(text).exists() or not _DATASET.fullmatch(text)
        found.append({"path" if known else "dataset": text, "market": market})
    return found


def _time(text: str | None, field: str, *, end: bool) -> int | None:
    if text is None:
        return None
    try:
        ts = nanos_of(text)
    except BarFileError as error:
        raise Refused("invalid", str(error), field) from None
    return ts + DAY if end and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else ts


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError("spec", f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise SpecError("spec", f"expected a JSON object, got {type(found).__name__}")
    return found


def _merged(fields: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    found = dict(fields)
    for name, value in more.items():
        own = found.get(name)
        found[name] = _merged(own, value) if isinstance(own, dict) and isinstance(value, dict) else value
    return found
