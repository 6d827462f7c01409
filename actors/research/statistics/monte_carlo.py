"""Monte Carlo over a finished run: what else could have happened, by methods that each say what they keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from actors.research.results import RunResult

METHODS: Final = (
    "permutation",
    "trade_bootstrap",
    "stationary_bootstrap",
    "block_bootstrap",
    "skipped_trades",
    "jittered_fills",
    "synthetic_paths",
)


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """One figure over the simulations. `p` = (1 + #{simulated as good as observed}) / (1 + simulations)."""

    key: str
    name: str
    unit: str
    observed: float
    mean: float
    quantiles: dict[str, float]
    """By `0.05`, `0.25`, `0.5`, `0.75`, `0.95`."""
    p: float
    p_means: str


class Fan(msgspec.Struct, frozen=True, kw_only=True):
    """Equity over the simulations: `position` (day or trade number) and one line per quantile."""

    position: tuple[int, ...]
    axis: str
    observed: tuple[float, ...]
    quantiles: dict[str, tuple[float, ...]]


class MethodResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one method gave; `reason`: why it gave nothing."""

    method: str
    keeps: str
    source: str
    simulations: int
    observations: int
    parameters: dict[str, float] = {}
    distributions: tuple[Distribution, ...] = ()
    fan: Fan | None = None
    reason: str = ""


class MonteCarlo(msgspec.Struct, frozen=True, kw_only=True):
    """All methods of one run. Equal seed and input give equal figures in any process."""

    run_id: str
    seed: int
    simulations: int
    methods: tuple[MethodResult, ...]


class Contract(msgspec.Struct, frozen=True):
    """What jittering a fill needs to know of a market: its tick, and money per unit of price and size."""

    tick: float
    multiplier: float = 1.0


class Candles(msgspec.Struct, frozen=True, kw_only=True):
    """Bars as columns of float64 of one length; `ts` ns of their starts."""

    ts: Sequence[int]
    open: Sequence[float]
    high: Sequence[float]
    low: Sequence[float]
    close: Sequence[float]
    volume: Sequence[float] = ()


def run(
    result: RunResult,
    *,
    simulations: int = 1000,
    seed: int = 0,
    methods: Sequence[str] = METHODS,
    periods: int | None = None,
    contracts: Mapping[str, Contract] | None = None,
    skip: float = 0.05,
    jitter_ticks: int = 1,
    block: int | None = None,
    candles: Candles | None = None,
    rerun: Callable[[Candles], float] | None = None,
) -> MonteCarlo:
    """Simulate. A method that cannot be applied is there with its reason.

    `contracts` by market: for `jittered_fills`. `candles` and `rerun` (final return of the strategy on made-up candles,
    a share) for `synthetic_paths`. `block`: mean block in days; None: chosen from the autocorrelation. Raises
    ValueError on an unknown method or less than one simulation.
    """
    raise NotImplementedError
