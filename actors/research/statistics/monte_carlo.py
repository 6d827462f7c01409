"""Monte Carlo over a finished run: what else could have happened, by methods that each say what they keep.

None of them knows more than the run: where its trades are few or its fills were wrong, so are the simulations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.research.metrics.metric import Unknown
from actors.research.metrics.sample import Sample
from actors.research.results import RoundTrip, RunResult
from actors.research.statistics import resampling, synthetic
from actors.research.statistics.distributions import Distribution, Fan, FanMaker, distributions
from actors.research.statistics.synthetic import Candles

Floats = NDArray[np.float64]

LEAST_TRADES: Final = 5
LEAST_RETURNS: Final = 20


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


class Plan(NamedTuple):
    """What all methods are given."""

    result: RunResult
    sample: Sample
    capital: float
    compounded: bool
    simulations: int
    seed: int
    skip: float
    jitter_ticks: int
    contracts: Mapping[str, Contract]
    block: int | None
    candles: Candles | None
    rerun: Callable[[Candles], float] | None
    path_simulations: int


class Method(NamedTuple):
    """A way of simulating. `apply` raises Unknown where it cannot be."""

    keeps: str
    source: str
    apply: Callable[[Plan], Found]


class Found(NamedTuple):
    """What a method hands back, before it is named."""

    simulations: int
    observations: int
    parameters: dict[str, float]
    distributions: tuple[Distribution, ...]
    fan: Fan | None = None


def run(
    result: RunResult,
    *,
    simulations: int = 1000,
    seed: int = 0,
    methods: Sequence[str] | None = None,
    periods: int | None = None,
    risk_free: float = 0.0,
    contracts: Mapping[str, Contract] | None = None,
    compounded: bool = True,
    skip: float = 0.05,
    jitter_ticks: int = 1,
    block: int | None = None,
    candles: Candles | None = None,
    rerun: Callable[[Candles], float] | None = None,
    path_simulations: int = 100,
) -> MonteCarlo:
    """Simulate. A method that cannot be applied is there with its reason; None: all methods.

    `compounded`: a trade gains a share of the equity that it found (sizes follow the equity); else an amount of money
    (sizes do not). `contracts` by market: for `jittered_fills`. `candles` and `rerun` (final return of the strategy on
    made-up candles, a share): for `synthetic_paths`, which runs the strategy `path_simulations` times. `skip`: chance
    of a trade to be left out. `block`: (mean) block in days; None: chosen from the autocorrelation. Raises ValueError
    on an unknown method, or a number that is out of range.
    """
    chosen = tuple(APPLIED) if methods is None else tuple(methods)
    if unknown := [name for name in chosen if name not in APPLIED]:
        raise ValueError(f"methods: expected some of {', '.join(APPLIED)}, got {unknown[0]!r}")
    for name, number in (("simulations", simulations), ("path_simulations", path_simulations), ("block", block or 1)):
        if number < 1:
            raise ValueError(f"{name}: expected 1 or more, got {number}")
    if not 0 < skip < 1:
        raise ValueError(f"skip: expected a share between 0 and 1, got {skip:g}")
    if jitter_ticks < 1:
        raise ValueError(f"jitter_ticks: expected 1 or more, got {jitter_ticks}")
    plan = Plan(
        result=result,
        sample=Sample.of(result, periods, risk_free, None),
        capital=float(result.initial_capital),
        compounded=compounded,
        simulations=simulations,
        seed=seed,
        skip=skip,
        jitter_ticks=jitter_ticks,
        contracts=contracts or {},
        block=block,
        candles=candles,
        rerun=rerun,
        path_simulations=path_simulations,
    )
    applied = tuple(_applied(name, plan) for name in chosen)
    return MonteCarlo(run_id=result.run_id, seed=seed, simulations=simulations, methods=applied)


def _applied(name: str, plan: Plan) -> MethodResult:
    method = APPLIED[name]
    try:
        found = method.apply(plan)
    except Unknown as unknown:
        return MethodResult(
            method=name,
            keeps=method.keeps,
            source=method.source,
            simulations=0,
            observations=0,
            reason=str(unknown),
        )
    return MethodResult(method=name, keeps=method.keeps, source=method.source, **found._asdict())


def _permutation(plan: Plan) -> Found:
    steps = _steps(plan)
    rng = resampling.generator(plan.seed, "permutation")

    def simulate(rows: int) -> dict[str, Floats]:
        return _depths(_curves(plan, rng.permuted(np.tile(steps, (rows, 1)), axis=1)))

    # Neither sum nor product depends on the order: final profit has no distribution here.
    figures = _simulated(plan, steps.size, simulate)
    observed = _depths(_curves(plan, steps[None, :]))
    return Found(plan.simulations, steps.size, {}, distributions(figures, observed))


def _trade_bootstrap(plan: Plan) -> Found:
    steps = _steps(plan)
    rng = resampling.generator(plan.seed, "trade_bootstrap")
    truth = _curves(plan, steps[None, :])
    fan = FanMaker(steps.size, "trades", truth)

    def simulate(rows: int) -> dict[str, Floats]:
        picked = steps[resampling.bootstrap(rng, steps.size, rows)]
        curves = _curves(plan, picked)
        fan.add(curves)
        return {**_totals(curves), "trade_sharpe": _ratios(picked)}

    figures = _simulated(plan, steps.size, simulate)
    observed = {**_totals(truth), "trade_sharpe": _ratios(steps[None, :])}
    return Found(plan.simulations, steps.size, {}, distributions(figures, observed, centred=True), fan.made())


def _stationary_bootstrap(plan: Plan) -> Found:
    values = _returns(plan)
    mean = float(plan.block) if plan.block is not None else resampling.blocks_of_returns(values)[0]
    rng = resampling.generator(plan.seed, "stationary_bootstrap")
    return _of_returns(plan, values, mean, lambda rows: resampling.stationary(rng, values.size, mean, rows))


def _block_bootstrap(plan: Plan) -> Found:
    values = _returns(plan)
    found = plan.block if plan.block is not None else round(resampling.blocks_of_returns(values)[1])
    length = max(1, min(found, values.size // 2))
    rng = resampling.generator(plan.seed, "block_bootstrap")
    return _of_returns(plan, values, length, lambda rows: resampling.moving_blocks(rng, values.size, length, rows))


def _skipped_trades(plan: Plan) -> Found:
    steps = _steps(plan)
    rng = resampling.generator(plan.seed, "skipped_trades")

    def simulate(rows: int) -> dict[str, Floats]:
        return _totals(_curves(plan, np.where(rng.random((rows, steps.size)) < plan.skip, 0.0, steps)))

    figures = _simulated(plan, steps.size, simulate)
    observed = _totals(_curves(plan, steps[None, :]))
    return Found(plan.simulations, steps.size, {"skip": plan.skip}, distributions(figures, observed))


def _jittered_fills(plan: Plan) -> Found:
    steps = _steps(plan)
    trips = _trips(plan)
    if missing := sorted({trip.market for trip in trips} - set(plan.contracts)):
        raise Unknown(f"the tick of {', '.join(missing)} is not known")
    rng = resampling.generator(plan.seed, "jittered_fills")
    contracts = [plan.contracts[trip.market] for trip in trips]
    money = [each.tick * each.multiplier * trip.size for each, trip in zip(contracts, trips, strict=True)]
    per_tick = np.array(money) / (_found_equity(plan) if plan.compounded else 1.0)
    most = plan.jitter_ticks

    def simulate(rows: int) -> dict[str, Floats]:
        # Of two moves that are as likely up as down the side of the trade makes no difference.
        shape = (rows, steps.size)
        ticks = rng.integers(-most, most + 1, shape) - rng.integers(-most, most + 1, shape)
        return _totals(_curves(plan, steps + ticks * per_tick))

    figures = _simulated(plan, steps.size, simulate)
    observed = _totals(_curves(plan, steps[None, :]))
    return Found(plan.simulations, steps.size, {"ticks": float(most)}, distributions(figures, observed))


def _synthetic_paths(plan: Plan) -> Found:
    if plan.candles is None or plan.rerun is None:
        raise Unknown("needs candles, and the strategy to run on made-up ones")
    try:
        mean = float(plan.block) if plan.block is not None else synthetic.block_of(plan.candles)
        made = [
            plan.rerun(synthetic.path(plan.candles, seed=plan.seed, number=number, block=mean))
            for number in range(plan.path_simulations)
        ]
    except ValueError as error:
        raise Unknown(str(error)) from error
    equity = plan.sample.equity
    if equity.size < 2 or equity[0] <= 0:
        raise Unknown("the run has no return to compare with")
    observed = {"total_return": np.array([equity[-1] / equity[0] - 1])}
    figures = {"total_return": np.array(made, dtype=np.float64)}
    return Found(len(made), plan.candles.close.size, {"block": mean}, distributions(figures, observed))


APPLIED: Final[dict[str, Method]] = {
    "permutation": Method(
        "every trade, in another order: for drawdown and time under water alone, the sum stays", "", _permutation
    ),
    "trade_bootstrap": Method(
        "trades as independent draws: neither their order nor what they did together",
        "Efron, Annals of Statistics 7(1), 1979",
        _trade_bootstrap,
    ),
    "stationary_bootstrap": Method(
        "daily returns with what follows on what, in blocks of random length",
        "Politis and Romano, JASA 89(428), 1994",
        _stationary_bootstrap,
    ),
    "block_bootstrap": Method(
        "daily returns with what follows on what, in blocks of one length",
        "Künsch, Annals of Statistics 17(3), 1989",
        _block_bootstrap,
    ),
    "skipped_trades": Method("all but some trades: what depends on a few of them", "", _skipped_trades),
    "jittered_fills": Method("all trades, at prices some ticks away: what depends on exact fills", "", _jittered_fills),
    "synthetic_paths": Method(
        "the shapes of candles, calm and wild times; the strategy runs anew on made-up candles",
        "Politis and Romano, JASA 89(428), 1994",
        _synthetic_paths,
    ),
}
METHODS: Final = tuple(APPLIED)


def _trips(plan: Plan) -> tuple[RoundTrip, ...]:
    return tuple(sorted(plan.result.round_trips, key=lambda trip: trip.exit_ts))


def _found_equity(plan: Plan) -> Floats:
    """What was there, of closed trades, when each trade was closed."""
    pnl = np.array([trip.pnl for trip in _trips(plan)])
    return plan.capital + np.concatenate(([0.0], np.cumsum(pnl)[:-1]))


def _steps(plan: Plan) -> Floats:
    """What each trade did, in order of their ends: a share of the equity that it found, or money."""
    pnl = np.array([trip.pnl for trip in _trips(plan)])
    if pnl.size < LEAST_TRADES:
        raise Unknown(f"{pnl.size} trades, needs {LEAST_TRADES}")
    if plan.capital <= 0:
        raise Unknown(f"the initial capital is {plan.result.initial_capital}")
    if not plan.compounded:
        return pnl
    found = _found_equity(plan)
    if np.any(found <= 0) or found[-1] + pnl[-1] <= 0:
        raise Unknown("the closed trades lost more than the capital: there is no share of it that they gained")
    return np.asarray(pnl / found)


def _returns(plan: Plan) -> Floats:
    values = plan.sample.returns
    if values.size < LEAST_RETURNS:
        raise Unknown(f"{values.size} daily returns, needs {LEAST_RETURNS}")
    return values


def _curves(plan: Plan, steps: Floats) -> Floats:
    """Equity after each trade of each row, the capital first."""
    if plan.compounded:
        return _grown(steps, plan.capital)
    return np.concatenate((np.full((steps.shape[0], 1), plan.capital), plan.capital + np.cumsum(steps, axis=1)), axis=1)


def _depths(curves: Floats) -> dict[str, Floats]:
    below = curves / np.maximum.accumulate(curves, axis=1) - 1
    # Sums of the same gains in another order differ in their last digits, which is no drawdown.
    return {"max_drawdown": below.min(axis=1), "time_under_water": (below < -1e-12).mean(axis=1)}


def _totals(curves: Floats) -> dict[str, Floats]:
    depth = _depths(curves)["max_drawdown"]
    return {"total_return": curves[:, -1] / curves[:, 0] - 1, "max_drawdown": depth}


def _of_returns(plan: Plan, values: Floats, block: float, pick: Callable[[int], resampling.Indices]) -> Found:
    periods, target = plan.sample.periods, plan.sample.risk_free / plan.sample.periods
    start = float(plan.sample.daily_equity[0])

    def figures_of(rows: Floats) -> dict[str, Floats]:
        sharpe = _ratios(rows - target) * np.sqrt(periods)
        return {**_totals(_grown(rows, start)), "sharpe": sharpe}

    fan = FanMaker(values.size, "days", _grown(values[None, :], start))

    def simulate(rows: int) -> dict[str, Floats]:
        picked = values[pick(rows)]
        fan.add(_grown(picked, start))
        return figures_of(picked)

    figures = _simulated(plan, values.size, simulate)
    shown = distributions(figures, figures_of(values[None, :]), centred=True)
    return Found(plan.simulations, values.size, {"block": float(block)}, shown, fan.made())


def _grown(values: Floats, start: float) -> Floats:
    ones = np.ones((values.shape[0], 1))
    return start * np.concatenate((ones, np.cumprod(1 + values, axis=1)), axis=1)


def _ratios(rows: Floats) -> Floats:
    """Mean over deviation of each row. NaN without variance."""
    deviations = rows.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(deviations > 0, rows.mean(axis=1) / deviations, np.nan)


def _simulated(plan: Plan, observations: int, simulate: Callable[[int], dict[str, Floats]]) -> dict[str, Floats]:
    found: dict[str, list[Floats]] = {}
    for rows in resampling.parts(plan.simulations, observations):
        for key, values in simulate(rows).items():
            found.setdefault(key, []).append(values)
    return {key: np.concatenate(values) for key, values in found.items()}
