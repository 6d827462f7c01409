"""What simulations came to: a figure's distribution with its p-value, and the fan of equity curves."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
FAN_POINTS: Final = 200

CENTRED: Final = "chance of a figure this high if the true one were zero (the simulations, moved there)"
SHARE: Final = "share of simulations that did as well or better"
DEEPER: Final = "share of simulations that fell as deep or deeper"
LONGER: Final = "share of simulations that were under water as long or longer"


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """One figure over the simulations. `p` = (1 + count) / (1 + simulations), of what `p_means` says."""

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
    """Equity over the simulations: `position` (of `axis`: trades or days, 0 the start), a line per quantile."""

    position: tuple[int, ...]
    axis: str
    observed: tuple[float, ...]
    quantiles: dict[str, tuple[float, ...]]


class FanMaker:
    """Keeps the equity of every simulation at some places."""

    def __init__(self, length: int, axis: str, observed: Floats) -> None:
        self.places = np.unique(np.linspace(0, length, min(length + 1, FAN_POINTS)).round().astype(np.int64))
        self.axis = axis
        self.observed = observed[0, self.places]
        self.kept: list[Floats] = []

    def add(self, curves: Floats) -> None:
        """Curves of some simulations: one per row, with as many values as all others."""
        self.kept.append(curves[:, self.places])

    def made(self) -> Fan:
        """The quantiles at each of the places."""
        lines = np.quantile(np.concatenate(self.kept), QUANTILES, axis=0)
        return Fan(
            position=tuple(self.places.tolist()),
            axis=self.axis,
            observed=tuple(self.observed.tolist()),
            quantiles={str(q): tuple(line.tolist()) for q, line in zip(QUANTILES, lines, strict=True)},
        )


NAMES: Final = {
    "max_drawdown": ("Max. Drawdown", "share"),
    "time_under_water": ("Time under Water (share of trades)", "share"),
    "total_return": ("Total Return", "share"),
    "sharpe": ("Sharpe Ratio (annualised)", "ratio"),
    "trade_sharpe": ("Sharpe Ratio per Trade (not annualised)", "ratio"),
}


def distributions(
    figures: dict[str, Floats], observed: dict[str, Floats], *, centred: bool = False
) -> tuple[Distribution, ...]:
    """Of each figure: what it was in every simulation and in truth (one value).

    p counts the simulations as good as the truth; `centred`: as good after they were moved so that their truth is zero,
    which is what a bootstrap says of chance. Simulations without the figure (NaN) are left out.
    """
    found = []
    for key, simulated in figures.items():
        actual = float(observed[key][0])
        values = simulated[np.isfinite(simulated)]
        if not values.size or not np.isfinite(actual):
            continue
        count, meaning = _as_good(key, values, actual, centred)
        name, unit = NAMES[key]
        found.append(
            Distribution(
                key=key,
                name=name,
                unit=unit,
                observed=actual,
                mean=float(values.mean()),
                quantiles={str(q): float(np.quantile(values, q)) for q in QUANTILES},
                p=(1 + count) / (1 + values.size),
                p_means=meaning,
            )
        )
    return tuple(found)


def _as_good(key: str, values: Floats, actual: float, centred: bool) -> tuple[int, str]:
    # Equal sums in another order may differ by their last digit: such a one is as good.
    slack = 1e-12 * max(1.0, abs(actual))
    if key == "max_drawdown":
        return int(np.sum(values <= actual + slack)), DEEPER
    if key == "time_under_water":
        return int(np.sum(values >= actual - slack)), LONGER
    if centred and key == "total_return":
        # Growth multiplies: it is moved to zero as a logarithm, else the right tail would count for chance.
        if actual <= -1:
            return int(values.size), CENTRED
        truth = np.log1p(actual)
        with np.errstate(divide="ignore"):
            return int(np.sum(np.log1p(np.maximum(values, -1.0)) - truth >= truth)), CENTRED
    if centred:
        return int(np.sum(values - actual >= actual - slack)), CENTRED
    return int(np.sum(values >= actual - slack)), SHARE
