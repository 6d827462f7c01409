"""All that a backtest came to: the run, its metrics, and what its methodology adds."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.research.backtest.optimise import Search
from actors.research.metrics.metric import Metric
from actors.research.results import RunResult
from actors.research.statistics.monte_carlo import MonteCarlo
from actors.research.statistics.splits import Fold
from actors.research.statistics.walk_forward import WalkForward


class FoldResult(msgspec.Struct, frozen=True, kw_only=True):
    """A fold of a cross-validation: what was chosen in training, and the metric in training and in the test."""

    fold: Fold
    parameters: dict[str, Any]
    trials: int
    in_sample: float | None
    out_of_sample: float | None
    reason: str = ""


class BracketResult(msgspec.Struct, frozen=True, kw_only=True):
    """The same run with the fills of one bracket."""

    bracket: str
    final_equity: str
    total_return: float | None
    sharpe: float | None
    max_drawdown: float | None
    fills: int
    trades: int
    order_hash: str


class FamilyShown(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger knew of the family at the end: trials, those with a Sharpe ratio, and its spread per day.

    The spread is that of ratios which are all brought to the number of this run's returns.
    """

    family: str
    trials: int
    with_sharpe: int
    variance: float | None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A finished backtest. `spec` as plain data. `run` is what its methodology shows: of a walk-forward the stitched
    tests, of a cross-validation the tests of all folds, else the whole span. `logs`: the first lines of what a
    sandboxed strategy has said."""

    spec: dict[str, Any]
    run: RunResult
    metrics: tuple[Metric, ...]
    family: FamilyShown
    search: Search | None = None
    walk_forward: WalkForward | None = None
    folds: tuple[FoldResult, ...] = ()
    monte_carlo: MonteCarlo | None = None
    brackets: tuple[BracketResult, ...] = ()
    elapsed_s: float = 0.0
    schema: int = 1


def encode(report: Report) -> bytes:
    """A report as msgpack."""
    return msgspec.msgpack.encode(report)


def decode(packed: bytes) -> Report:
    """A report back. Raises msgspec.DecodeError."""
    return msgspec.msgpack.decode(packed, type=Report)


def figures(report: Report) -> dict[str, float | None]:
    """The metrics by their key; None where one is not known."""
    return {metric.key: metric.value for metric in report.metrics}
