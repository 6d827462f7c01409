"""Made-up decisions with a known best threshold, and how thresholds that learn fare on them. All of it is synthetic.

A decision has a score s ~ N(0, 1) and, if it is acted upon, the outcome y = s - theta* + k T4 / sqrt(2), where T4 is
Student's t with 4 degrees of freedom (so T4 / sqrt(2) has unit variance) and k the noise. What a threshold is worth is
the mean over all decisions of (s - theta*) where it acts, which has no noise.

    static    theta* = 0.8, the default 0
    jump      theta* = 0, from the middle on 0.8; the default 0
    sine      theta* = 0.4 + 0.5 sin(4 pi t / N); the default 0
    placebo   theta* = 0.8, the default 0.8: there is nothing to learn

The learner is `actors.thresholds.learner`, with all safeguards off, so that only the learning is measured. `vectorised`
is the same arithmetic over all series at once; a test holds it equal to the learner itself, which `by_learner` runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from actors.thresholds.gate import GateSettings
from actors.thresholds.learner import Learner
from actors.thresholds.meta_gate import MetaGateSettings
from actors.thresholds.parameters import Parameter
from actors.thresholds.safeguards import SafeguardSettings
from actors.thresholds.settings import LearningSettings

Floats = NDArray[np.float64]
Truth = Literal["static", "jump", "sine", "placebo"]
TRUTHS: Final[tuple[Truth, ...]] = ("static", "jump", "sine", "placebo")
NOISES: Final = (1.0, 5.0, 10.0)
LOWER: Final = -1.5
UPPER: Final = 2.0
FAR: Final = 1e9
FREE: Final = SafeguardSettings(
    max_change=FAR, min_change=0.0, daily_travel=FAR, cooldown_h=0.0, cycle_h=0.0, stale_h=FAR
)

REFERENCE: Final[dict[tuple[Truth, float], tuple[float, float, float, float]]] = {
    ("static", 1): (-0.001, 0.114, 0.113, 0.120),
    ("static", 5): (-0.001, 0.110, 0.107, 0.120),
    ("static", 10): (-0.001, 0.101, 0.088, 0.120),
    ("jump", 1): (0.199, 0.253, 0.253, 0.259),
    ("jump", 5): (0.199, 0.249, 0.243, 0.259),
    ("jump", 10): (0.199, 0.241, 0.228, 0.259),
    ("sine", 1): (0.199, 0.247, 0.247, 0.253),
    ("sine", 5): (0.199, 0.216, 0.212, 0.253),
    ("sine", 10): (0.199, 0.205, 0.198, 0.253),
    ("placebo", 1): (0.120, 0.118, 0.1202, 0.1203),
    ("placebo", 5): (0.120, 0.117, 0.1199, 0.1203),
    ("placebo", 10): (0.120, 0.116, 0.1198, 0.1203),
}
"""Worth of: fixed, learned without the meta-gate, with it, oracle; another program's, 48 series of 20,000 decisions."""
REFERENCE_WINS: Final[dict[tuple[Truth, float], float]] = {
    ("static", 1): 1.0,
    ("static", 5): 1.0,
    ("static", 10): 0.98,
    ("jump", 1): 1.0,
    ("jump", 5): 1.0,
    ("jump", 10): 0.92,
    ("sine", 1): 1.0,
    ("sine", 5): 0.85,
    ("sine", 10): 0.46,
}
"""Share of the series on which it beat the fixed threshold, with the meta-gate."""


class Decisions(NamedTuple):
    """Scores and outcomes (series x decisions), the best threshold at each decision, the default."""

    scores: Floats
    outcomes: Floats
    best: Floats
    default: float


class Worth(NamedTuple):
    """Of every series: the default, learned without a meta-gate, with the plain one, as it is served, the best."""

    fixed: Floats
    without: Floats
    plain: Floats
    learned: Floats
    oracle: Floats


class Cell(NamedTuple):
    """One cell of the table: means over the series, their standard errors, the share of series on which the learner won
    over the fixed threshold, what it lost against that as a share of it, and the standard error of this share."""

    truth: Truth
    noise: float
    fixed: float
    without: float
    plain: float
    learned: float
    oracle: float
    se_without: float
    se_plain: float
    se_learned: float
    wins: float
    loss: float
    se_loss: float


def decisions(truth: Truth, noise: float, series: int, count: int, rng: np.random.Generator) -> Decisions:
    """Made-up decisions."""
    at = np.arange(count)
    match truth:
        case "jump":
            best = np.where(at < count // 2, 0.0, 0.8)
        case "sine":
            best = 0.4 + 0.5 * np.sin(4 * np.pi * at / count)
        case _:
            best = np.full(count, 0.8)
    scores = rng.standard_normal((series, count))
    outcomes = scores - best + noise * rng.standard_t(4, (series, count)) / math.sqrt(2)
    return Decisions(scores, outcomes, best, 0.8 if truth == "placebo" else 0.0)


GATED: Final = MetaGateSettings()
PLAIN: Final = MetaGateSettings(shrink=0.0, judge_served=False)
"""The meta-gate of the reference: one statistic, and all of the candidate while open."""
OPEN: Final = MetaGateSettings(enabled=False)


def settings(meta: MetaGateSettings) -> LearningSettings:
    """The learner as it learns anywhere, without what holds back what it serves."""
    return LearningSettings(meta_gate=meta, safeguards=FREE, drift=None)


def vectorised(made: Decisions, meta: MetaGateSettings = GATED) -> Floats:
    """The threshold that is served at the beginning of each block (series x blocks)."""
    gate = GateSettings()
    block, warm = gate.block, gate.warmup
    if warm % block:
        raise ValueError("warmup: expected whole blocks")
    scores, default = made.scores, made.default
    series, count = scores.shape
    first = made.outcomes[:, :warm]
    centre, reach = first.mean(axis=1), gate.winsor * first.std(axis=1, ddof=1)
    outcomes = np.clip(made.outcomes, (centre - reach)[:, None], (centre + reach)[:, None])
    spread = scores[:, :warm].std(axis=1, ddof=1)
    tried = np.full(series, default)
    m, v, md, vd, ms, vs, served_blocks = (np.zeros(series) for _ in range(7))
    is_open = np.zeros(series, bool)
    serving = np.full((series, count // block), default)
    for number in range(count // block):
        columns = slice(number * block, (number + 1) * block)
        s, y, served = scores[:, columns], outcomes[:, columns], serving[:, number]
        usual = (s >= default).astype(float)
        won = y * ((s >= tried[:, None]) - usual)
        won_served = y * ((s >= served[:, None]) - usual)
        shown, away = tried != default, served != default
        md, vd = _smoothed(md, vd, won, meta.memory, shown)
        ms, vs = _smoothed(np.where(away, ms, 0.0), np.where(away, vs, 0.0), won_served, meta.memory, away)
        served_blocks = np.where(away, served_blocks + 1, 0)
        trust = np.ones(series)
        if meta.enabled:
            t, t_served = _t(md, vd), _t(ms, vs)
            is_open = np.where(t > meta.open_above, True, np.where(t < meta.close_below, False, is_open))
            if meta.judge_served:
                is_open &= ~((t_served < meta.close_below) & (served_blocks >= meta.served_blocks))
            certain = np.maximum(1 - meta.shrink / np.where(t > 0, t, 1.0) ** 2, 0.0)
            trust = np.where(is_open & (t > 0), certain, 0.0)
        width = (gate.bandwidth * spread)[:, None]
        small = np.exp(-np.abs(s - tried[:, None]) / width)
        m, v = _smoothed(m, v, -y * small / ((1 + small) ** 2 * width), gate.memory, np.ones(series, bool))
        t = _t(m, v)
        step = np.where(np.abs(t) > gate.evidence, np.clip(gate.rate * t, -gate.max_step, gate.max_step), 0.0)
        tried = np.clip(tried + np.where(np.abs(step) < gate.deadband, 0.0, step) * spread, LOWER, UPPER)
        if number + 1 < serving.shape[1] and (number + 1) * block >= warm:
            serving[:, number + 1] = np.where(trust == 1, tried, default + trust * (tried - default))
    return serving


def _smoothed(
    mean: Floats, variance: Floats, found: Floats, memory: float, where: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    new = memory * mean + (1 - memory) * found.mean(axis=1)
    spread = memory**2 * variance + (1 - memory) ** 2 * found.var(axis=1, ddof=1) / found.shape[1]
    return np.where(where, new, mean), np.where(where, spread, variance)


def _t(mean: Floats, variance: Floats) -> Floats:
    """Mean over standard error, 0 where nothing has varied: no comparison holds there."""
    return cast(Floats, np.where(variance > 0, mean / np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0))


def by_learner(
    scores: Sequence[float], outcomes: Sequence[float], default: float, meta: MetaGateSettings = GATED
) -> list[float]:
    """The same for one series by the learner itself, one decision after another."""
    parameter = Parameter(name="score", field="confidence", default=default, lower=LOWER, upper=UPPER)
    learner = Learner("synthetic", "synthetic", parameter, settings(meta))
    block, warm = learner.settings.gate.block, learner.settings.gate.warmup
    serving = []
    for number, (score, outcome) in enumerate(zip(scores, outcomes, strict=True)):
        if number % block == 0:
            if number >= warm:
                learner.adapt(number)
            serving.append(learner.value)
        learner.observe(score, outcome, number, number)
    return serving


def worth_of(made: Decisions, serving: Floats) -> Floats:
    """The mean of s - theta* over all decisions, of those that the served threshold acts on."""
    block = made.scores.shape[1] // serving.shape[1]
    true = made.scores - made.best
    acted = made.scores >= np.repeat(serving, block, axis=1)
    return cast(Floats, np.mean(true * acted, axis=1))


def worth(made: Decisions, *, learners: bool = False) -> Worth:
    """What each kind of threshold is worth; `learners`: by the learner itself instead of by `vectorised`."""
    blocks = made.scores.shape[1] // GateSettings().block

    def served(meta: MetaGateSettings) -> Floats:
        if not learners:
            return vectorised(made, meta)
        rows = zip(made.scores.tolist(), made.outcomes.tolist(), strict=True)
        return np.array([by_learner(scores, outcomes, made.default, meta) for scores, outcomes in rows])

    true = made.scores - made.best
    return Worth(
        fixed=worth_of(made, np.full((made.scores.shape[0], blocks), made.default)),
        without=worth_of(made, served(OPEN)),
        plain=worth_of(made, served(PLAIN)),
        learned=worth_of(made, served(GATED)),
        oracle=np.mean(np.maximum(true, 0.0), axis=1),
    )


def cell(truth: Truth, noise: float, found: Worth) -> Cell:
    """The cell of one truth and noise."""
    root = math.sqrt(found.fixed.size)
    fixed, learned = float(found.fixed.mean()), float(found.learned.mean())
    return Cell(
        truth=truth,
        noise=noise,
        fixed=fixed,
        without=float(found.without.mean()),
        plain=float(found.plain.mean()),
        learned=learned,
        oracle=float(found.oracle.mean()),
        se_without=float(found.without.std(ddof=1)) / root,
        se_plain=float(found.plain.std(ddof=1)) / root,
        se_learned=float(found.learned.std(ddof=1)) / root,
        wins=float(np.mean(found.learned > found.fixed)),
        loss=(fixed - learned) / fixed,
        se_loss=float((found.fixed - found.learned).std(ddof=1)) / root / abs(fixed),
    )


def table(
    seed: int = 11,
    series: int = 48,
    count: int = 20_000,
    *,
    learners: bool = False,
    noises: Sequence[float] = NOISES,
) -> list[Cell]:
    """The whole table, from one generator, in order."""
    rng = np.random.default_rng(seed)
    return [
        cell(truth, noise, worth(decisions(truth, noise, series, count, rng), learners=learners))
        for truth in TRUTHS
        for noise in noises
    ]
