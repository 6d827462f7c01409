"""Learned thresholds on recorded bars: walk-forward, purged, against the default and against the best fixed value of
the training.

The signal is the simplest that there is, so that only the threshold is judged: every `HORIZON` bars it goes with the
move of the last `LOOKBACK` bars (a BUY after a rise, a SELL after a fall), and its score is the size of that move in
standard deviations of such moves, measured over the `SPREAD` bars before. A signal with a score of at least the
threshold is traded: in at the next bar's open, out at the close `HORIZON` bars after the signal, both on the side that
takes. Signals do not overlap, and none spans a gap of more than a week.

Where a file with the bid has a sister with the ask, the prices are theirs; elsewhere half a spread of `cost_bps` is
taken off on both sides. What a declined signal would have come to is known at its exit, and never before: the learner
is told then, and a best fixed value is sought among those that had ended one horizon before its test began.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from actors.decisions.experiments.sequences import half_width
from actors.research.statistics.comparison import holm
from actors.research.statistics.resampling import generator, optimal_blocks, stationary
from actors.thresholds.learner import Learner
from actors.thresholds.outcomes import Quoted, exit_side_return
from actors.thresholds.parameters import Parameter
from actors.thresholds.records import moved
from actors.thresholds.settings import LearningSettings
from benchmarks.thresholds_table import FREE
from protocols.thresholds import AdaptationRecord

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

LOOKBACK: Final = 20
SPREAD: Final = 100
HORIZON: Final = 5
DAY_NS: Final = 86_400_000_000_000
GAP_NS: Final = 7 * DAY_NS
TRAINING: Final = 0.4
FOLDS: Final = 6
GRID: Final = 60
LEAST_DAYS: Final = 10
SIMULATIONS: Final = 5_000
SCORE: Final = Parameter(name="score", field="confidence", default=1.0, lower=0.25, upper=4.0)


class Bars(NamedTuple):
    """Bars of one symbol: their starts (ns), and the prices at which one buys and sells at open and close."""

    symbol: str
    ts: Times
    open_bid: Floats
    open_ask: Floats
    close_bid: Floats
    close_ask: Floats


class Signals(NamedTuple):
    """Signals that do not overlap: when each was given, when its outcome was known, score, return after costs."""

    ts: Times
    ts_out: Times
    scores: Floats
    outcomes: Floats


class Difference(NamedTuple):
    """Learned less another, per day of the test, as a share; None where too few days tell nothing.

    `low`, `high`: 95 % by the stationary bootstrap; `sequence_low`, `sequence_high`: of an asymptotic confidence
    sequence, valid whenever one looks; `p`, `p_holm`: two-sided by the bootstrap, and corrected for the symbols.
    """

    mean: float
    low: float | None
    high: float | None
    sequence_low: float | None
    sequence_high: float | None
    p: float | None
    p_holm: float | None = None


class SymbolResult(NamedTuple):
    """What came of one symbol. `total_…`: sum of returns over the test, as shares; `moves`: of what was served."""

    symbol: str
    signals: int
    tested: int
    days: int
    total_all: float
    total_default: float
    total_trained: float
    total_hindsight: float
    total_learned: float
    total_free: float
    moves: int
    served_last: float
    trained_last: float
    hindsight: float
    against_default: Difference
    against_trained: Difference


# Reading.


def read(paths: Sequence[Path], cost_bps: float) -> list[Bars]:
    """The bars of files with columns time, open, high, low, close, gzipped or not. A file with `-bid-` in its name goes
    with its sister with `-ask-` if that is given too. Raises ValueError for what is no such file."""
    by_name = {path.name: path for path in paths}
    found = []
    for path in paths:
        if "-ask-" in path.name and path.name.replace("-ask-", "-bid-") in by_name:
            continue
        symbol = path.name.removesuffix(".gz").removesuffix(".csv").removeprefix("bars-")
        sister = by_name.get(path.name.replace("-bid-", "-ask-")) if "-bid-" in path.name else None
        if sister is None:
            half = cost_bps / 1e4
            ts, opened, closed = _columns(path)
            found.append(
                Bars(symbol, ts, opened * (1 - half), opened * (1 + half), closed * (1 - half), closed * (1 + half))
            )
        else:
            found.append(_both_sides(symbol.replace("-bid", ""), _columns(path), _columns(sister)))
    return found


def _both_sides(symbol: str, bid: tuple[Times, Floats, Floats], ask: tuple[Times, Floats, Floats]) -> Bars:
    common, left, right = np.intersect1d(bid[0], ask[0], return_indices=True)
    return Bars(symbol, common, bid[1][left], ask[1][right], bid[2][left], ask[2][right])


def _columns(path: Path) -> tuple[Times, Floats, Floats]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        rows = csv.reader(file)
        head = [name.strip().lower() for name in next(rows, [])]
        wanted = [next((n for n, each in enumerate(head) if each in names), -1) for names in _NAMES]
        if min(wanted) < 0:
            raise ValueError(f"{path}: expected columns time, open and close, got {', '.join(head) or 'none'}")
        at, first, last = wanted
        table = [(_time(row[at]), float(row[first]), float(row[last])) for row in rows if row]
    if len(table) < SPREAD + LOOKBACK + 2 * HORIZON:
        raise ValueError(f"{path}: expected at least {SPREAD + LOOKBACK + 2 * HORIZON} bars, got {len(table)}")
    ts = np.array([row[0] for row in table], dtype=np.int64)
    if np.any(np.diff(ts) <= 0):
        raise ValueError(f"{path}: expected times in order, got some that repeat or go back")
    prices = np.array([row[1:] for row in table])
    if not np.all(prices > 0):
        raise ValueError(f"{path}: expected positive prices")
    return ts, prices[:, 0], prices[:, 1]


_NAMES: Final = (("timestamp", "time", "date"), ("open",), ("close",))


def _time(text: str) -> int:
    """Nanoseconds; a time without a zone is taken for UTC: only days and order matter here."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = datetime.strptime(text, "%d.%m.%Y %H:%M:%S.%f")
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return round(when.timestamp()) * 1_000_000_000


# Signals.


def signals(bars: Bars) -> Signals:
    """The signals of the bars; each knows only what was before it."""
    middle = (bars.close_bid + bars.close_ask) / 2
    logs = np.log(middle)
    found = []
    for begin, end in _stretches(bars.ts):
        for at in range(begin + SPREAD + LOOKBACK, end - HORIZON, HORIZON):
            usual = logs[at - SPREAD : at + 1]
            spread = float(np.std(np.diff(usual), ddof=1)) * math.sqrt(LOOKBACK)
            move = float(logs[at] - logs[at - LOOKBACK])
            if spread <= 0 or move == 0:
                continue
            outcome = exit_side_return(
                "BUY" if move > 0 else "SELL",
                Quoted(float(bars.open_bid[at + 1]), float(bars.open_ask[at + 1])),
                Quoted(float(bars.close_bid[at + HORIZON]), float(bars.close_ask[at + HORIZON])),
            )
            if outcome is not None:
                # A bar is known at its end, which is the start of the next one at the latest.
                out = bars.ts[min(at + HORIZON + 1, len(bars.ts) - 1)]
                found.append((int(bars.ts[at + 1]), int(out), abs(move) / spread, outcome))
    if not found:
        raise ValueError(f"{bars.symbol}: expected bars that make signals, got none")
    columns = list(zip(*found, strict=True))
    return Signals(
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.int64),
        np.array(columns[2]),
        np.array(columns[3]),
    )


def _stretches(ts: Times) -> Iterator[tuple[int, int]]:
    edges = [0, *(np.flatnonzero(np.diff(ts) > GAP_NS) + 1).tolist(), len(ts)]
    yield from pairwise(edges)


# Thresholds.


def best_fixed(scores: Floats, outcomes: Floats) -> float:
    """The value of a grid over the scores, within the bounds, with the highest sum; the default if none is better."""
    grid = np.unique(np.clip(np.quantile(scores, np.linspace(0, 1, GRID)), SCORE.lower, SCORE.upper))
    grid = np.concatenate(([SCORE.default], grid))
    sums = [float(outcomes[scores >= value].sum()) for value in grid]
    return float(grid[int(np.argmax(sums))])


def trained(found: Signals, folds: Sequence[NDArray[np.int64]]) -> Floats:
    """Of every signal of a test the best fixed value of all that was known one horizon before that test."""
    values = np.full(len(found.ts), math.nan)
    for fold in folds:
        begins = found.ts[fold[0]]
        known = np.flatnonzero(found.ts_out < begins)
        # The last of them may still echo in the first of the test: one more is left out.
        known = known[:-1]
        values[fold] = best_fixed(found.scores[known], found.outcomes[known])
    return values


def learned(found: Signals, how: LearningSettings, symbol: str) -> tuple[Floats, list[AdaptationRecord]]:
    """The threshold that was served to every signal, learning from what had ended before it."""
    learner = Learner("bench", symbol, SCORE, how)
    served = np.empty(len(found.ts))
    records: list[AdaptationRecord] = []
    told = 0
    for number, now in enumerate(found.ts.tolist()):
        while told < number and found.ts_out[told] <= now:
            ts_out = int(found.ts_out[told])
            records += learner.observe(float(found.scores[told]), float(found.outcomes[told]), ts_out, now)
            told += 1
        record = learner.adapt(now)
        if moved(record):
            records.append(record)
        served[number] = learner.served()
    return served, records


def study(bars: Bars, seed: int = 11) -> SymbolResult:
    """Walk forward over one symbol."""
    found = signals(bars)
    count = len(found.ts)
    first = int(count * TRAINING)
    folds = [fold for fold in np.array_split(np.arange(first, count), FOLDS) if fold.size]
    test = np.arange(first, count)
    fixed = trained(found, folds)
    served, records = learned(found, LearningSettings(), bars.symbol)
    free, _ = learned(found, LearningSettings(safeguards=FREE), bars.symbol)
    scores, outcomes = found.scores[test], found.outcomes[test]
    hindsight = best_fixed(scores, outcomes)
    gained = {
        name: outcomes * (scores >= value)
        for name, value in (
            ("all", np.zeros(test.size)),
            ("default", np.full(test.size, SCORE.default)),
            ("trained", fixed[test]),
            ("hindsight", np.full(test.size, hindsight)),
            ("learned", served[test]),
            ("free", free[test]),
        )
    }
    days = found.ts[test] // DAY_NS
    total = {name: float(each.sum()) for name, each in gained.items()}
    return SymbolResult(
        symbol=bars.symbol,
        signals=count,
        tested=test.size,
        days=int(np.unique(days).size),
        total_all=total["all"],
        total_default=total["default"],
        total_trained=total["trained"],
        total_hindsight=total["hindsight"],
        total_learned=total["learned"],
        total_free=total["free"],
        moves=sum(moved(each) for each in records),
        served_last=float(served[-1]),
        trained_last=float(fixed[-1]),
        hindsight=hindsight,
        against_default=difference(days, gained["learned"] - gained["default"], seed, f"{bars.symbol} default"),
        against_trained=difference(days, gained["learned"] - gained["trained"], seed, f"{bars.symbol} trained"),
    )


def difference(days: Times, gained: Floats, seed: int, name: str) -> Difference:
    """The paired difference per day, with its intervals and p."""
    _, place = np.unique(days, return_inverse=True)
    daily = cast(Floats, np.bincount(place, weights=gained))
    mean = float(daily.mean())
    if daily.size < LEAST_DAYS or not np.any(daily):
        return Difference(mean, None, None, None, None, None)
    block = optimal_blocks(daily)[0]
    rows = stationary(generator(seed, name), daily.size, block, SIMULATIONS)
    means = cast(Floats, daily[rows].mean(axis=1))
    low, high = np.quantile(means, [0.025, 0.975])
    # Shifted to no difference: how often chance alone comes as far.
    p = (1 + int(np.sum(np.abs(means - mean) >= abs(mean)))) / (1 + SIMULATIONS)
    n = float(daily.size)
    reach = float(half_width(n, float(means.std(ddof=1)), tuned_for=n))
    return Difference(mean, float(low), float(high), mean - reach, mean + reach, p)


def studies(paths: Sequence[Path], cost_bps: float = 0.5, seed: int = 11) -> list[SymbolResult]:
    """All symbols, losers too, with p corrected for their number (Holm). Raises ValueError."""
    found = [study(each, seed) for each in read(paths, cost_bps)]
    for field in ("against_default", "against_trained"):
        # A symbol of which nothing can be told was looked at too: it counts in the correction.
        told = [getattr(each, field).p for each in found]
        corrected = holm([1.0 if p is None else p for p in told])
        for n, (p, p_holm) in enumerate(zip(told, corrected, strict=True)):
            if p is not None:
                found[n] = found[n]._replace(**{field: getattr(found[n], field)._replace(p_holm=p_holm)})
    return found
