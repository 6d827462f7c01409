"""Indicators that weigh prices with volume. Volumes are floats here; exact sums of them are the bars' own matter."""

from __future__ import annotations

from collections import deque
from math import fsum
from typing import Final

from actors.market.indicators_base import Indicator, checked_period

_SAME: Final = 1e-14


class Obv(Indicator[float]):
    """On-balance volume: the running sum of volumes, signed by the close's direction. Begins with the first volume.

    The value depends on where it began; only its changes mean anything.
    """

    NAME = "obv"
    INPUTS = ("close", "volume")

    def __init__(self) -> None:
        self.warm_up = 1
        self._close: float | None = None
        self._value = 0.0

    def _next(self, close: float, volume: float) -> float | None:
        last, self._close = self._close, close
        if last is None:
            self._value = volume
        elif close > last:
            self._value += volume
        elif close < last:
            self._value -= volume
        return self._value


class Mfi(Indicator[float]):
    """Money flow index: the share, in percent, of the flow on bars whose typical price rose, over `period` bars.

    0 where there was no flow at all. TA-Lib says 0 for any flow below 1, too, which is wrong for small units.
    """

    NAME = "mfi"
    INPUTS = ("high", "low", "close", "volume")

    def __init__(self, period: int = 14) -> None:
        self.period = checked_period(period, least=2)
        self.warm_up = period + 1
        self._typical: float | None = None
        self._flows: deque[float] = deque(maxlen=period)

    def _next(self, high: float, low: float, close: float, volume: float) -> float | None:
        typical = (high + low + close) / 3.0
        last, self._typical = self._typical, typical
        if last is None:
            return None
        flow = typical * volume
        # Sums of the same cents in another order differ in their last bits, and are the same price.
        change = typical - last if abs(typical - last) > _SAME * abs(typical) else 0.0
        self._flows.append(flow if change > 0 else -flow if change < 0 else 0.0)
        if len(self._flows) < self.period:
            return None
        up = fsum(flow for flow in self._flows if flow > 0)
        total = fsum(map(abs, self._flows))
        return 100.0 * up / total if total else 0.0


class RollingVwap(Indicator[float]):
    """Volume-weighted mean of the typical price over `period` bars. None where nothing was traded."""

    NAME = "vwap"
    INPUTS = ("high", "low", "close", "volume")

    def __init__(self, period: int = 20) -> None:
        self.period = self.warm_up = checked_period(period)
        self._flows: deque[float] = deque(maxlen=period)
        self._volumes: deque[float] = deque(maxlen=period)

    def _next(self, high: float, low: float, close: float, volume: float) -> float | None:
        self._flows.append((high + low + close) / 3.0 * volume)
        self._volumes.append(volume)
        if len(self._flows) < self.period:
            return None
        traded = fsum(self._volumes)
        return fsum(self._flows) / traded if traded else None


class SessionVwap(Indicator[float]):
    """Volume-weighted mean of the typical price since the session began. `session` is any number that names it.

    None until something was traded in it.
    """

    NAME = "session_vwap"
    INPUTS = ("high", "low", "close", "volume", "session")

    def __init__(self) -> None:
        self.warm_up = 1
        self._session: float | None = None
        self._flow = 0.0
        self._volume = 0.0
        self._flow_rest = 0.0
        self._volume_rest = 0.0

    def _next(self, high: float, low: float, close: float, volume: float, session: float) -> float | None:
        if session != self._session:
            self._session = session
            self._flow = self._volume = self._flow_rest = self._volume_rest = 0.0
        self._flow, self._flow_rest = _added(self._flow, self._flow_rest, (high + low + close) / 3.0 * volume)
        self._volume, self._volume_rest = _added(self._volume, self._volume_rest, volume)
        return self._flow / self._volume if self._volume else None


def _added(total: float, rest: float, value: float) -> tuple[float, float]:
    """Kahan's sum: a session of a million bars loses no digit."""
    value -= rest
    new = total + value
    return new, (new - total) - value
