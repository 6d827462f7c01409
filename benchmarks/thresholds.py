"""Thresholds that learn: what they are worth where the truth is known, on recorded bars, and how fast the core is.

`bin/troupe bench thresholds` measures all of it and puts it on the page of results. The study alone, with a seed and
bars of one's own:

    .venv/bin/python -m benchmarks.thresholds [--seed 11] [--series 48] [--decisions 20000] [--learner]
                                              [--bars FILE ...] [--cost-bps 0.5] [--json]

Equal arguments give equal numbers. The table's decisions are made up, and say so; the bars are recorded. Without
`--bars` the recorded market data are taken where they are (`TROUPE_RECORDINGS`, or `../shared/data`), else left out.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Final

import msgspec

from actors.thresholds.evaluation import evaluate, lessons
from actors.thresholds.learner import Learner
from actors.thresholds.parameters import DEFAULTS
from benchmarks.harness import (
    ROOT,
    Findings,
    Row,
    Sample,
    Scale,
    at_least,
    at_most,
    cores,
    in_turns,
    measured,
    quantiles,
)
from benchmarks.thresholds_bars import Difference, SymbolResult, studies
from benchmarks.thresholds_table import REFERENCE, REFERENCE_WINS, Cell, table
from protocols.thresholds import GatedSignal

TITLE: Final = "Thresholds that learn"
TURNS: Final = 3
SERIES: Final = 48
DECISIONS: Final = 20_000
SEED: Final = 11
COST_BPS: Final = 0.5
_NOTE: Final = "the note's table"


def run(scale: Scale) -> Findings:
    """The speed of the core, the table, the bars."""
    taken = in_turns(
        {"core": lambda: measured("benchmarks.thresholds:speed", cores()[0], seconds=scale.seconds)}, scale
    )
    core = taken["core"]
    rows = [
        Row("evaluations with five rules, one after another", "/s", core["evaluations/s"], target=at_least(20_000)),
        Row("an evaluation, p99", "µs", core["evaluation p99"], target=at_most(1000)),
        Row("evaluation, and what may be learned from it", "/s", core["lessons/s"]),
        Row("resolved decisions taken in by one learner", "/s", core["observed/s"]),
    ]
    cells = table(SEED, scale.count(SERIES, 8), DECISIONS)
    rows += [row for cell in cells for row in _rows_of_cell(cell)]
    paths = recorded()
    results = studies(paths, COST_BPS, SEED) if paths else []
    rows += [row for result in results for row in _rows_of_symbol(result)]
    notes = [
        f"Worth: mean of (score - best threshold) of what is acted on, {scale.count(SERIES, 8)} synthetic series of "
        f"{DECISIONS:,} decisions, numpy default_rng({SEED}); the peer is the table of the algorithm's description, "
        "learned with its meta-gate.",
        "Bars: walk-forward, purged; a momentum signal without an edge of its own loses after costs, so a threshold "
        "mostly helps by trading less. Every symbol is shown. Of differences the spread is the 95 % interval of a "
        "stationary bootstrap; without one, the days are too few.",
    ]
    if not paths:
        notes.append("The recorded bars are not here (TROUPE_RECORDINGS names their folder): that part is left out.")
    return Findings(tuple(rows), tuple(notes))


def _rows_of_cell(cell: Cell) -> list[Row]:
    reference = REFERENCE[cell.truth, cell.noise]
    name = f"{cell.truth}, noise {cell.noise:g}"
    rows = [
        Row(f"{name}: learned, as served", "", (cell.learned,), _NOTE, (reference[2],)),
        Row(f"{name}: learned, no meta-gate", "", (cell.without,), _NOTE, (reference[1],)),
    ]
    if cell.truth == "placebo":
        rows.append(Row(f"{name}: loss", "%", (100 * cell.loss,), target=at_most(1.0)))
    else:
        won = REFERENCE_WINS[cell.truth, cell.noise]
        rows.append(Row(f"{name}: series won", "%", (100 * cell.wins,), _NOTE, (100 * won,)))
    return rows


def _rows_of_symbol(result: SymbolResult) -> list[Row]:
    """The spread of these rows is the 95 % interval, where enough days tell one."""
    rows = [
        Row(f"{result.symbol}: {name}, total of the test", "bp", (1e4 * total,))
        for name, total in (
            ("default", result.total_default),
            ("best fixed of the training", result.total_trained),
            ("learned", result.total_learned),
        )
    ]
    for name, found in (("default", result.against_default), ("best fixed", result.against_trained)):
        known = [each for each in (found.low, found.mean, found.high) if each is not None]
        rows.append(Row(f"{result.symbol}: learned less {name}, a day", "bp", tuple(1e4 * each for each in known)))
    return rows


def speed(seconds: float) -> Sample:
    """How fast the core is, in one process: evaluating, teaching, learning."""
    thresholds = tuple(each.default for each in DEFAULTS)
    signals = [
        GatedSignal(
            action="BUY" if n % 2 else "SELL",
            confidence=0.5 + (n % 50) / 100,
            rsi=40.0 + n % 45,
            macd=(n % 21 - 10) / 1000,
            change_percent=(n % 13) - 6.0,
            volume=5e8 * (1 + n % 7),
        )
        for n in range(1_000)
    ]
    taken = []
    end = perf_counter() + seconds / 3
    while perf_counter() < end:
        for signal in signals:
            began = perf_counter_ns()
            evaluate(DEFAULTS, thresholds, signal, user_id="u", symbol="BTC")
            taken.append(perf_counter_ns() - began)
    found: Sample = {
        "evaluations/s": 1e9 * len(taken) / sum(taken),
        "evaluation p99": quantiles([each / 1e3 for each in taken], 0.99)[0],
    }
    done, began_s = 0, perf_counter()
    while perf_counter() < began_s + seconds / 3:
        for signal in signals:
            lessons(DEFAULTS, evaluate(DEFAULTS, thresholds, signal))
        done += len(signals)
    found["lessons/s"] = done / (perf_counter() - began_s)
    learner = Learner("u", "BTC", DEFAULTS[1])
    done, began_s = 0, perf_counter()
    while perf_counter() < began_s + seconds / 3:
        for n in range(1_000):
            learner.observe(0.3 + (n * 7 % 100) / 200, ((n * 31) % 17 - 8) / 1000, done + n, done + n)
        done += 1_000
    found["observed/s"] = done / (perf_counter() - began_s)
    return found


def recorded() -> list[Path]:
    """The recorded bars, where they are."""
    folder = Path(os.environ.get("TROUPE_RECORDINGS") or ROOT.parent / "shared" / "data")
    return sorted(folder.glob("bars-*.csv.gz"))


# The study by itself.


def main(arguments: Sequence[str]) -> int:
    """Print the table and what came of the bars."""
    parser = argparse.ArgumentParser(prog="benchmarks.thresholds", description="What thresholds that learn are worth.")
    parser.add_argument("--seed", type=int, default=SEED, help="of numpy's default_rng; default: %(default)s")
    parser.add_argument(
        "--series", type=_positive, default=SERIES, help="synthetic series a cell; default: %(default)s"
    )
    parser.add_argument("--decisions", type=_enough, default=DECISIONS, help="in each; default: %(default)s")
    parser.add_argument("--learner", action="store_true", help="the learner itself, one decision at a time; minutes")
    parser.add_argument("--bars", nargs="+", type=Path, metavar="FILE", help="CSV with time, open, close (.gz or not)")
    parser.add_argument("--cost-bps", type=float, default=COST_BPS, help="half a spread; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    try:
        results = studies(options.bars or recorded(), options.cost_bps, options.seed)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    cells = table(options.seed, options.series, options.decisions, learners=options.learner)
    if options.json:
        found = {
            "synthetic": [cell._asdict() for cell in cells],
            "bars": [_with_differences(result) for result in results],
        }
        print(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
        return 0
    print(text_of_table(cells, options.seed, options.series, options.decisions))
    print(text_of_bars(results, options.cost_bps))
    return 0


def _positive(text: str) -> int:
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f"expected at least 2, got {value}")
    return value


def _enough(text: str) -> int:
    value = int(text)
    if value < 400 or value % 100:
        raise argparse.ArgumentTypeError(f"expected at least 400, in hundreds, got {value}")
    return value


def _with_differences(result: SymbolResult) -> dict[str, object]:
    found: dict[str, object] = result._asdict()
    for name in ("against_default", "against_trained"):
        found[name] = getattr(result, name)._asdict()
    return found


def text_of_table(cells: Sequence[Cell], seed: int, series: int, count: int) -> str:
    """The table for people; the reference in brackets, where it is of as many decisions."""
    told = count == DECISIONS
    lines = [
        f"Synthetic: {series} series x {count:,} decisions, default_rng({seed}). Worth; +- one standard error; the "
        "description's value in brackets.",
        "",
        f"{'truth':8} {'noise':>5} {'fixed':>16} {'no meta-gate':>24} {'plain meta-gate':>24} {'as served':>16} "
        f"{'oracle':>7} {'won':>12} {'loss':>16}",
    ]
    for cell in cells:
        fixed, without, gated, _ = REFERENCE[cell.truth, cell.noise]
        won = REFERENCE_WINS.get((cell.truth, cell.noise))
        columns = (
            f"{cell.truth:8} {cell.noise:5g}",
            f"{cell.fixed:7.4f} {_told(fixed, told)}",
            f"{cell.without:.4f} +-{cell.se_without:.4f} {_told(without, told)}",
            f"{cell.plain:.4f} +-{cell.se_plain:.4f} {_told(gated, told)}",
            f"{cell.learned:.4f} +-{cell.se_learned:.4f}",
            f"{cell.oracle:7.4f}",
            f"{cell.wins:4.0%} " + ("" if won is None or not told else f"[{won:.0%}]"),
            f"{cell.loss:.2%} +-{cell.se_loss:.2%}" if cell.truth == "placebo" else "",
        )
        lines.append("  ".join(columns))
    return "\n".join([*lines, ""])


def _told(value: float, told: bool) -> str:
    return f"[{value:.4f}]" if told else ""


def text_of_bars(results: Sequence[SymbolResult], cost_bps: float) -> str:
    """What came of every symbol, for people."""
    if not results:
        return "Recorded bars: none here (--bars FILE ..., or TROUPE_RECORDINGS names their folder)."
    lines = [
        f"Recorded bars: walk-forward, purged; half a spread of {cost_bps:g} bp where no ask is recorded. Sums of the "
        "test in basis points; [95 % by stationary bootstrap]; p corrected by Holm.",
        "",
        f"{'symbol':22} {'tested':>6} {'days':>5} {'all':>8} {'default':>8} {'trained':>8} {'learned':>8} "
        f"{'unheld':>8} {'hindsight':>9} {'moves':>5}  served at the end",
    ]
    for each in results:
        totals = (each.total_all, each.total_default, each.total_trained, each.total_learned, each.total_free)
        lines.append(
            f"{each.symbol:22} {each.tested:6} {each.days:5} "
            + " ".join(f"{1e4 * total:8.0f}" for total in totals)
            + f" {1e4 * each.total_hindsight:9.0f} {each.moves:5}  {each.served_last:.2f} (trained "
            f"{each.trained_last:.2f}, hindsight {each.hindsight:.2f})"
        )
    lines += ["", "Learned less the other, basis points per day:"]
    for each in results:
        lines.append(f"{each.symbol:22} less default: {_difference(each.against_default)}")
        lines.append(f"{'':22} less trained: {_difference(each.against_trained)}")
    return "\n".join(lines)


def _difference(found: Difference) -> str:
    if found.p is None or found.low is None or found.high is None or found.p_holm is None:
        why = "no difference" if found.mean == 0 else "too few days to tell"
        return f"{1e4 * found.mean:+8.2f}  ({why})"
    verdict = "not shown" if found.p_holm > 0.05 else "better" if found.mean > 0 else "WORSE"
    sequence = ""
    if found.sequence_low is not None and found.sequence_high is not None:
        sequence = f", always valid [{1e4 * found.sequence_low:+.2f}, {1e4 * found.sequence_high:+.2f}]"
    return (
        f"{1e4 * found.mean:+8.2f} [{1e4 * found.low:+.2f}, {1e4 * found.high:+.2f}]{sequence}, "
        f"p = {found.p_holm:.4f}: {verdict}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
