"""Which regime a market is in, from its returns up to now: a hidden Markov model's filter. A core.

    regimes = RegimeFilter()
    for value in log_returns:
        probabilities = regimes.update(value)   # bull, bear, sideways, high_volatility; empty while warming up

Filtered and never smoothed: what is said of a bar depends on that bar and those before, so that training sees what
live would have seen. The forward recursion is that of Hamilton (1989), "A new approach to the economic analysis of
nonstationary time series": predict with the transition matrix, weigh with the density of the return, normalise.

Returns are divided by a slow estimate of their deviation, so that one set of parameters serves any symbol and
timeframe. That makes `high_volatility` relative: what lasts longer than the estimate remembers becomes the usual.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, Final

import msgspec

from actors.decisions.features.names import REGIMES

WARM_UP: Final = 50
"""Returns until the deviation is known."""
HALF_LIFE: Final = 500.0
"""Bars after which a return counts half in the slow deviation."""
MOST_RETURN: Final = 10.0
"""A log return beyond it (a factor of 22,000) is taken for this one."""
_FEWEST_DEGREES: Final = 2.0
_WIDEST: Final = 20.0
"""Deviations beyond which an outlier is no more of one: densities stay above 0."""
_TAKEN: Final = 6.0
"""Deviations of a return that the slow estimate takes at most: one outlier does not hide what follows."""
_LEAST: Final = 1e-9
"""No regime is ever impossible; its way back would be long."""
_STATE_VERSION: Final = 1
_MAD: Final = 1.4826
"""Deviation of a normal variable in its median absolute one."""


class RegimeParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model of regimes, in the order of `REGIMES`. Raises ValueError for what is none.

    `drift`, `sigma`: mean and scale of a standardised return. `transition[i][j]`: the probability that j follows i on
    the next bar. `degrees`: of freedom of Student's t; 0 for a Gaussian. `half_life`: of the slow deviation, in bars.
    """

    drift: tuple[float, ...]
    sigma: tuple[float, ...]
    transition: tuple[tuple[float, ...], ...]
    degrees: float = 5.0
    half_life: float = HALF_LIFE

    def __post_init__(self) -> None:
        count = len(REGIMES)
        rows = (self.drift, self.sigma, self.transition, *self.transition)
        if any(len(row) != count for row in rows):
            raise ValueError(f"expected {count} regimes in drift, sigma, and both ways of transition")
        numbers = (
            *self.drift,
            *self.sigma,
            self.degrees,
            self.half_life,
            *(each for row in self.transition for each in row),
        )
        if not all(math.isfinite(each) for each in numbers):
            raise ValueError("parameters: expected finite numbers")
        if min(self.sigma) <= 0 or self.half_life <= 0:
            raise ValueError(f"sigma and half_life: expected more than 0, got {self.sigma} and {self.half_life}")
        if self.degrees and self.degrees <= _FEWEST_DEGREES:
            raise ValueError(f"degrees: expected 0, or more than {_FEWEST_DEGREES:g}, got {self.degrees}")
        for place, row in enumerate(self.transition):
            if min(row) < 0 or abs(math.fsum(row) - 1.0) > 1e-6:
                raise ValueError(f"transition[{place}]: expected probabilities that sum to 1, got {row}")


def sticky(stay: float) -> tuple[tuple[float, ...], ...]:
    """A transition matrix that stays with probability `stay`, and else goes anywhere alike."""
    count = len(REGIMES)
    away = (1.0 - stay) / (count - 1)
    return tuple(tuple(stay if i == j else away for j in range(count)) for i in range(count))


PARAMETERS: Final = RegimeParameters(
    drift=(0.33, -0.33, 0.0, 0.0), sigma=(0.55, 0.55, 0.33, 1.4), transition=sticky(0.992), degrees=5.0
)
"""Where nothing was fitted: rounded from a fit to made-up returns, trends of half a deviation a bar among regimes of 60
to 200 bars. A market of another kind wants parameters of its own (`fit`)."""


class SlowDeviation:
    """An estimate of the deviation of returns that knows the past alone. `value` is None while it warms up."""

    def __init__(self, half_life: float) -> None:
        self.half_life = half_life
        self.value: float | None = None
        self._first: list[float] = []

    def update(self, value: float) -> None:
        """Take one return."""
        if self.value is None:
            self._first.append(value)
            if len(self._first) >= WARM_UP:
                self._begin()
            return
        taken = min(abs(value), _TAKEN * self.value)
        variance = self.value**2
        self.value = math.sqrt(variance + (taken**2 - variance) * (1.0 - 0.5 ** (1.0 / self.half_life)))

    def _begin(self) -> None:
        sizes = [abs(each) for each in self._first]
        # More than half may be 0; then the median says nothing, and a market that never moved has no scale yet.
        bound = _TAKEN * _MAD * median(sizes) or max(sizes)
        found = math.sqrt(math.fsum(min(each, bound) ** 2 for each in sizes) / len(sizes))
        if found > 0:
            self.value, self._first = found, []
        else:
            del self._first[0]

    def save(self) -> tuple[Any, ...]:
        """The whole state."""
        return self.value, tuple(self._first)

    def restore(self, state: Sequence[Any]) -> None:
        """Go on where `save` was called."""
        self.value, self._first = state[0], list(state[1])


class RegimeFilter:
    """The probabilities of the regimes of one market, bar by bar."""

    def __init__(self, parameters: RegimeParameters = PARAMETERS) -> None:
        self.parameters = parameters
        self.probabilities: tuple[float, ...] = ()
        self._deviation = SlowDeviation(parameters.half_life)
        self._top = -1
        self._bars = 0
        self._switches = 0

    @property
    def stability(self) -> float | None:
        """How often the most probable regime changed, per 100 bars; None before there are two of them."""
        return 100.0 * self._switches / (self._bars - 1) if self._bars > 1 else None

    @property
    def regime(self) -> str:
        """The most probable one; empty while warming up."""
        return REGIMES[self._top] if self.probabilities else ""

    def update(self, value: float | None) -> tuple[float, ...]:
        """Take the log return of the next bar and say how probable each regime is at its end; sums to 1.

        None or NaN: the bar is missing, and what is known of the regime ages by one bar. Empty until the deviation is
        known. Raises ValueError for an infinite return; nothing has changed then.
        """
        if value is not None and math.isinf(value):
            raise ValueError(f"return: expected a finite number, or none, got {value}")
        known = value is not None and not math.isnan(value)
        scale = self._deviation.value
        if scale is not None:
            self._step(None if not known or value is None else value / scale)
        if known and value is not None:
            self._deviation.update(min(max(value, -MOST_RETURN), MOST_RETURN))
        return self.probabilities

    def save(self) -> tuple[Any, ...]:
        """The whole state but the parameters: tuples and numbers."""
        return _STATE_VERSION, self.probabilities, self._deviation.save(), self._top, self._bars, self._switches

    def restore(self, state: Sequence[Any]) -> None:
        """Go on where `save` was called. Raises ValueError for a state of another version."""
        if len(state) != 6 or state[0] != _STATE_VERSION:
            raise ValueError(f"state: expected version {_STATE_VERSION}, got {state[:1]!r}")
        _, probabilities, deviation, self._top, self._bars, self._switches = state
        self.probabilities = tuple(probabilities)
        self._deviation.restore(deviation)

    def _step(self, standardised: float | None) -> None:
        count = len(REGIMES)
        before = self.probabilities or (1.0 / count,) * count
        transition = self.parameters.transition
        found = [math.fsum(before[i] * transition[i][j] for i in range(count)) for j in range(count)]
        if standardised is not None:
            densities = self._log_densities(min(max(standardised, -_WIDEST), _WIDEST))
            highest = max(densities)
            found = [each * math.exp(density - highest) for each, density in zip(found, densities, strict=True)]
        total = math.fsum(found)
        found = [max(each / total, _LEAST) for each in found]
        total = math.fsum(found)
        self.probabilities = tuple([each / total for each in found])
        top = max(range(count), key=self.probabilities.__getitem__)
        self._switches += self._bars > 0 and top != self._top
        self._top = top
        self._bars += 1

    def _log_densities(self, value: float) -> list[float]:
        """Logarithms of the densities, without the part that all regimes share."""
        own = self.parameters
        found = []
        for drift, sigma in zip(own.drift, own.sigma, strict=True):
            squared = ((value - drift) / sigma) ** 2
            heavy = 0.5 * (own.degrees + 1.0) * math.log1p(squared / own.degrees) if own.degrees else None
            tail = 0.5 * squared if heavy is None else heavy
            found.append(-tail - math.log(sigma))
        return found


def over(returns: Iterable[float | None], parameters: RegimeParameters = PARAMETERS) -> list[tuple[float, ...]]:
    """The filter's answer to each return, from its beginning."""
    regimes = RegimeFilter(parameters)
    return [regimes.update(value) for value in returns]
