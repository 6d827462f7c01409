"""`bin/troupe train`: train a policy, write its bundle, and say what it is worth on data that it has not seen."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.agents.environment.market import SCENARIOS
from actors.agents.environment.rewards import REWARDS
from actors.agents.training.plan import ALGORITHMS
from protocols.control import Refused
from protocols.nanos import NANO, exact_nanos
from runtime.settings import Configuration

if TYPE_CHECKING:
    from actors.agents.training.job import Made, Word

Answer = tuple[str, dict[str, Any]]
DEMO: Final = Path("data-demo")
"""In the working folder; the bundles that a node serves (config/models/demo) are written over only when told so."""
MOST_STEPS: Final = 100_000_000
DEMO_OPTIONS: Final = frozenset({"demo", "out", "seed", "steps", "processes"})
FILE_OPTIONS: Final = ("market", "interval", "held_out", "fee", "slippage")
"""Of a file alone: simulated markets have their own fee and spread, and tracks that no training sees."""


def train(arguments: Sequence[str], configuration: Configuration | None) -> Answer:
    """Train a trading policy and compare it after costs with holding and with the fixed rule.

    Raises Refused for what cannot be trained; KeyboardInterrupt goes on, when the trainings have stopped.
    """
    given = parser().parse_args(arguments)
    _check(given)
    from actors.agents.environment.bar_files import BarFileError
    from actors.decisions.bundles.checking import BundleError

    try:
        return _demo(given) if given.demo else _own(given)
    except BarFileError as error:
        raise Refused("invalid", str(error), "data") from None
    except BundleError as error:
        raise Refused("invalid", error.message, error.field) from None
    except msgspec.ValidationError as error:
        raise _named(error) from None
    except ValueError as error:
        field, colon, rest = str(error).partition(": ")
        raise Refused("invalid", rest if colon else field, field if colon else "") from None
    except KeyboardInterrupt:
        print("interrupted: what is being trained is stopped, no bundle of it is written", file=sys.stderr, flush=True)
        raise


def _check(given: argparse.Namespace) -> None:
    """Raises Refused for an option that would have no effect beside the others: it was meant to have one."""
    options = parser()
    every = {name for name in vars(given) if getattr(given, name) != options.get_default(name)}
    if given.demo:
        unused, why = every - DEMO_OPTIONS, "--demo trains what it trains; it takes --out, --seed, --steps, --processes"
    elif given.data is not None:
        unused, why = every & {"scenario", "processes"}, "with --data it has no effect"
    else:
        unused, why = every & {*FILE_OPTIONS, "processes"}, "without --data it has no effect"
    for name in sorted(unused):
        raise Refused("invalid", why, name.replace("_", "-"))


def _named(error: msgspec.ValidationError) -> Refused:
    message, _, place = str(error).partition(" - at `$.")
    return Refused("invalid", message, place.rstrip("`").replace("_", "-"))


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(
        prog="troupe train",
        allow_abbrev=False,
        description="Train a trading policy over the execution core and write it as a bundle. Without --data the "
        "market is simulated, and everything that comes of it is marked synthetic.",
        epilog="`troupe train --demo` trains a generalist and a specialist for each of four regimes in about a "
        "minute on two processors, and compares them on 20 tracks of each regime that no training sees.",
    )
    made.add_argument("--demo", action="store_true", help="the demonstration: five policies and their ensemble")
    made.add_argument(
        "--out", type=Path, metavar="PATH", help="a folder (--demo: data-demo), or the bundle's file (policy.bundle)"
    )
    made.add_argument(
        "--seed", type=_count, default=None, metavar="N", help="of everything that is drawn (--demo: 7; else 0)"
    )
    made.add_argument("--steps", type=_steps, default=None, metavar="N", help="decisions to learn from")
    made.add_argument(
        "--processes", type=_steps, default=None, metavar="N", help="--demo: at once (2, or fewer processors)"
    )
    made.add_argument("--algorithm", choices=ALGORITHMS, default="ppo")
    made.add_argument("--data", type=Path, metavar="FILE", help="bars (CSV, parquet), as backtests take them")
    made.add_argument("--market", default="", help="which one of several in the file")
    made.add_argument("--interval", default="", help="of its bars, where it does not tell")
    made.add_argument(
        "--held-out", type=_share, default=0.3, metavar="SHARE", help="with --data: its last part, not trained on (0.3)"
    )
    made.add_argument(
        "--fee", type=_decimal, default="0.001", help="with --data: of a taker, as a share of the value (0.001)"
    )
    made.add_argument(
        "--slippage",
        type=_decimal,
        default="0.0005",
        help="with --data: how much worse than the open an order fills (0.0005)",
    )
    made.add_argument("--scenario", choices=SCENARIOS, default="mixed", help="without --data: what is planted (mixed)")
    made.add_argument("--actions", choices=("simple", "shares"), default="simple", help="3 actions, or 11")
    made.add_argument("--reward", choices=REWARDS, default="simple_return", help="what is learned from (simple_return)")
    made.add_argument("--checkpoints", type=Path, metavar="FOLDER", help="where the last state of learning is kept")
    return made


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > 1_000_000:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 1000000, got {text!r}")
    return int(text)


def _steps(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_STEPS:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MOST_STEPS}, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, got {text!r}")
    return value


def _decimal(text: str) -> str:
    try:
        value = exact_nanos(text)
    except ValueError:
        value = -1
    if not 0 <= value < NANO:
        raise argparse.ArgumentTypeError(f"expected a share as a decimal number, 0.001 is 0.1 %, got {text!r}")
    return text


def _say(text: str) -> None:
    """Progress is for people: on standard error, a line each."""
    print(text, file=sys.stderr, flush=True)


def _teller(began: float) -> Callable[[Word], None]:
    shown: dict[str, int] = {}

    def tell(word: Word) -> None:
        progress = word.progress
        tenth = 10 * progress.steps // progress.total
        if shown.get(word.name) == tenth:
            return
        shown[word.name] = tenth
        reward = "" if progress.reward is None else f", reward {progress.reward:+.1f} an episode"
        _say(
            f"{time.monotonic() - began:5.0f} s  {word.name:<16} {progress.steps:>7} of {progress.total} steps{reward}"
        )

    return tell


def _processes(given: argparse.Namespace) -> int:
    wanted: int = given.processes or 2
    return max(1, min(wanted, len(os.sched_getaffinity(0)), 5))


def _demo(given: argparse.Namespace) -> Answer:
    from actors.agents.training import demo

    folder: Path = given.out or DEMO
    seed = demo.SEED if given.seed is None else given.seed
    began = time.monotonic()
    tell = _teller(began)

    def finished(made: Made) -> None:
        size = f"{made.bytes / 1000:.0f} kB"
        _say(f"{time.monotonic() - began:5.0f} s  {made.name:<16} is written: {size}, sha256 {made.sha256[:12]}")

    _say(f"        simulated venue, seed {seed}; everything is made up (synthetic)")
    found = demo.run(folder, seed, given.steps, tell, finished, _say, processes=_processes(given))
    text = "\n".join(
        (
            *demo.told(found),
            f"trained and compared in {time.monotonic() - began:.0f} s; the bundles and figures.json are in {folder}",
        )
    )
    return text, msgspec.to_builtins(found)


def _own(given: argparse.Namespace) -> Answer:
    from actors.agents.training import own_run

    began = time.monotonic()
    fields = {
        "out": str(given.out or "policy.bundle"),
        "algorithm": given.algorithm,
        "steps": given.steps or own_run.STEPS,
        "seed": given.seed or 0,
        "data": "" if given.data is None else str(given.data),
        "market": given.market,
        "interval": given.interval,
        "held_out": given.held_out,
        "fee": given.fee,
        "slippage": given.slippage,
        "scenario": given.scenario,
        "actions": given.actions,
        "reward": given.reward,
        "checkpoints": "" if given.checkpoints is None else str(given.checkpoints),
    }
    found = own_run.run(msgspec.convert(fields, own_run.OwnRun), _teller(began))
    return "\n".join(own_run.told(found)), msgspec.to_builtins(found)
