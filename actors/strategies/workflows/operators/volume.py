"""Volume: how much was traded, beside its own past and the price. A bar without a volume gives no verdict."""

# What `step` and `judge` return is in the docstring of their class.
# ruff: noqa: D102

from __future__ import annotations

from itertools import pairwise
from math import fsum
from typing import Any, ClassVar, Final

from actors.market.indicators import make
from actors.strategies.workflows.fields import Field, Value, integer, number
from actors.strategies.workflows.operators.base import Operator, Verdict, Windowed, figures

PERIOD: Final = integer("period", 20, 2, 5000, "bars of the window", "bars", "lookback")
BEFORE: Final = integer("bars", 20, 1, 5000, "how many bars before this one", "period", "lookback")
STEPS: Final = integer("bars", 3, 1, 1000, "how many bars in a row", "period", "lookback")
AMOUNT: Final = number("volume", None, 0, None, "units traded in a bar", "threshold", "value", live=True, required=True)
FLOW: Final = number("level", 50.0, 0, 100, "the money flow index", "threshold", "value", live=True)


class VolumeAbove(Operator):
    """More than `volume` units were traded in the bar."""

    CODE, FAMILY, PORTS, FIELDS = "volume_above", "volume", ("bars",), (AMOUNT,)
    ALIASES = ("volume_greater_than", "high_volume")

    def step(self, bar: Any, volume: float) -> Verdict:
        found = figures(bar, "volume")
        return None if found is None else found[0] > volume


class VolumeBelow(Operator):
    """Less than `volume` units were traded in the bar."""

    CODE, FAMILY, PORTS, FIELDS = "volume_below", "volume", ("bars",), (AMOUNT,)
    ALIASES = ("volume_less_than", "low_volume")

    def step(self, bar: Any, volume: float) -> Verdict:
        found = figures(bar, "volume")
        return None if found is None else found[0] < volume


class _Volumes(Windowed):
    """Keeps the volumes of the last bars."""

    FAMILY, PORTS = "volume", ("bars",)
    FIELDS: ClassVar[tuple[Field, ...]] = (STEPS,)

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["bars"]) + 1

    def step(self, *inputs: Any) -> Verdict:
        found = figures(inputs[0], "volume")
        if found is None:
            self.window.clear()
            return None
        self.window.append(found[0])
        return self.judge(*inputs) if len(self.window) == self.window.maxlen else None


class _Mean(_Volumes):
    FIELDS = (
        integer("period", 20, 1, 5000, "how many bars before this one", "bars", "lookback"),
        number("factor", 2.0, 0, 1e6, "how many times the mean", "multiplier", "threshold", "value", live=True),
    )

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["period"]) + 1

    def mean(self) -> float:
        """The mean of the volumes before this one."""
        before = list(self.window)[:-1]
        return fsum(before) / len(before)


class VolumeSpike(_Mean):
    """The volume is above `factor` times the mean of the `period` bars before."""

    CODE, ALIASES = "volume_spike", ("volume_surge", "volume_above_average", "volume_breakout")

    def judge(self, bar: Any, factor: float) -> Verdict:
        return bool(self.window[-1] > factor * self.mean())


class VolumeDryUp(_Mean):
    """The volume is below `factor` times the mean of the `period` bars before."""

    CODE, ALIASES = "volume_dry_up", ("volume_below_average", "volume_dryup")
    FIELDS = (
        integer("period", 20, 1, 5000, "how many bars before this one", "bars", "lookback"),
        number("factor", 0.5, 0, 1e6, "how many times the mean", "multiplier", "threshold", "value", live=True),
    )

    def judge(self, bar: Any, factor: float) -> Verdict:
        return bool(self.window[-1] < factor * self.mean())


class VolumeRising(_Volumes):
    """Each of the last `bars` volumes is above the one before it."""

    CODE, ALIASES = "volume_rising", ("volume_increasing",)

    def judge(self, bar: Any) -> Verdict:
        return all(later > earlier for earlier, later in pairwise(self.window))


class VolumeFalling(_Volumes):
    """Each of the last `bars` volumes is below the one before it."""

    CODE, ALIASES = "volume_falling", ("volume_decreasing",)

    def judge(self, bar: Any) -> Verdict:
        return all(later < earlier for earlier, later in pairwise(self.window))


class VolumeHighest(_Volumes):
    """The volume is above those of the `bars` bars before."""

    CODE, FIELDS, ALIASES = "volume_highest", (BEFORE,), ("highest_volume",)

    def judge(self, bar: Any) -> Verdict:
        *before, now = self.window
        return bool(now > max(before))


class VolumeLowest(_Volumes):
    """The volume is below those of the `bars` bars before."""

    CODE, FIELDS, ALIASES = "volume_lowest", (BEFORE,), ("lowest_volume",)

    def judge(self, bar: Any) -> Verdict:
        *before, now = self.window
        return bool(now < min(before))


class _Scored(Operator):
    FAMILY, PORTS = "volume", ("bars",)
    FIELDS = (PERIOD, number("deviations", 2.0, -100, 100, "standard deviations", "zscore", "value", live=True))

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.score = make("zscore", period=int(built["period"]))

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["period"])


class VolumeZscoreAbove(_Scored):
    """The volume is more than `deviations` standard deviations above the mean of the last `period`, itself included.

    Unknown where all of them are equal.
    """

    CODE, ALIASES = "volume_zscore_above", ("unusual_volume",)

    def step(self, bar: Any, deviations: float) -> Verdict:
        found = figures(bar, "volume")
        score = None if found is None else self.score.update(found[0])
        return None if score is None else bool(score > deviations)


class _Balance(Windowed):
    """Keeps the on-balance volume of the last `bars` bars and the one before; where it began does not matter."""

    FAMILY, PORTS = "volume", ("bars",)
    FIELDS = (integer("bars", 10, 1, 5000, "how many bars ago", "period", "lookback"),)

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.close: float | None = None

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["bars"]) + 1

    def step(self, *inputs: Any) -> Verdict:
        found = figures(inputs[0], "close", "volume")
        if found is None:
            self.close = None
            self.window.clear()
            return None
        last, self.close = self.close, found[0]
        # The first change has no bar before it; it is outside every full window.
        sign = 0.0 if last is None else float((found[0] > last) - (found[0] < last))
        self.window.append(sign * found[1])
        return self.judge() if len(self.window) == self.window.maxlen else None

    def change(self) -> float:
        """How the on-balance volume has changed since `bars` bars ago."""
        return fsum(list(self.window)[1:])


class ObvRising(_Balance):
    """The on-balance volume is above what it was `bars` bars ago."""

    CODE, ALIASES = "obv_rising", ("accumulation", "obv_increasing")

    def judge(self, *inputs: Any) -> Verdict:
        return self.change() > 0


class ObvFalling(_Balance):
    """The on-balance volume is below what it was `bars` bars ago."""

    CODE, ALIASES = "obv_falling", ("distribution", "obv_decreasing")

    def judge(self, *inputs: Any) -> Verdict:
        return self.change() < 0


class _Both(Windowed):
    FAMILY, PORTS = "volume", ("bars",)

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return 2

    def step(self, *inputs: Any) -> Verdict:
        found = figures(inputs[0], "close", "volume")
        if found is None:
            self.window.clear()
            return None
        self.window.append(found)
        return self.judge() if len(self.window) == 2 else None


class PriceVolumeUp(_Both):
    """Close and volume are both above those of the bar before."""

    CODE, ALIASES = "price_volume_up", ("price_up_volume_up", "volume_confirmation")

    def judge(self, *inputs: Any) -> Verdict:
        (close, volume), (now, traded) = self.window
        return bool(now > close and traded > volume)


class PriceVolumeDown(_Both):
    """The close is below that of the bar before, the volume above."""

    CODE, ALIASES = "price_volume_down", ("price_down_volume_up",)

    def judge(self, *inputs: Any) -> Verdict:
        (close, volume), (now, traded) = self.window
        return bool(now < close and traded > volume)


class _Flow(Operator):
    FAMILY, PORTS = "volume", ("bars",)
    FIELDS = (integer("period", 14, 2, 5000, "period of the money flow index", "bars"), FLOW)

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.index = make("mfi", period=int(built["period"]))

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["period"]) + 1

    def mfi(self, bar: Any) -> float | None:
        """The money flow index at this bar."""
        found = figures(bar, "high", "low", "close", "volume")
        value = None if found is None else self.index.update(*found)
        return None if value is None else float(value)


class MfiAbove(_Flow):
    """The money flow index of `period` bars is above `level`."""

    CODE, ALIASES = "mfi_above", ("money_flow_above",)

    def step(self, bar: Any, level: float) -> Verdict:
        value = self.mfi(bar)
        return None if value is None else value > level


class MfiBelow(_Flow):
    """The money flow index of `period` bars is below `level`."""

    CODE, ALIASES = "mfi_below", ("money_flow_below",)

    def step(self, bar: Any, level: float) -> Verdict:
        value = self.mfi(bar)
        return None if value is None else value < level


class _Vwap(Operator):
    FAMILY, PORTS, FIELDS = "volume", ("bars",), (PERIOD,)

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.mean = make("vwap", period=int(built["period"]))

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return int(built["period"])

    def both(self, bar: Any) -> tuple[float, float] | None:
        """The close and the mean."""
        found = figures(bar, "high", "low", "close", "volume")
        value = None if found is None else self.mean.update(*found)
        return None if found is None or value is None else (found[2], float(value))


class AboveVwap(_Vwap):
    """The close is above the volume-weighted mean of the typical price over `period` bars."""

    CODE, ALIASES = "above_vwap", ("price_above_vwap",)

    def step(self, bar: Any) -> Verdict:
        found = self.both(bar)
        return None if found is None else found[0] > found[1]


class BelowVwap(_Vwap):
    """The close is below the volume-weighted mean of the typical price over `period` bars."""

    CODE, ALIASES = "below_vwap", ("price_below_vwap",)

    def step(self, bar: Any) -> Verdict:
        found = self.both(bar)
        return None if found is None else found[0] < found[1]


OPERATORS: Final[tuple[type[Operator], ...]] = (
    VolumeAbove, VolumeBelow, VolumeSpike, VolumeDryUp, VolumeRising, VolumeFalling, VolumeHighest, VolumeLowest,
    VolumeZscoreAbove, ObvRising, ObvFalling, PriceVolumeUp, PriceVolumeDown, MfiAbove, MfiBelow, AboveVwap, BelowVwap,
)  # fmt: skip
