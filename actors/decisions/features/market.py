"""The features of one symbol from a stream of bars and of figures from elsewhere: the set `market29`. A core.

    features = MarketFeatures()
    for bar in bars:
        features.bar(bar.open, bar.high, bar.low, bar.close, bar.volume, bar.end)
    features.external("funding_rate", 0.0001, ts)
    observation = features.observation(ts)      # 29 floats, NaN where missing

Training, backtest and live feed this one class, so that they cannot differ. What a feature is stands in `table`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from actors.decisions.features.checking import FeatureError, number
from actors.decisions.features.names import FUNDING, LIQUIDATIONS, MARKET_29, ON_CHAIN, SMART_MONEY, WHALES
from actors.decisions.features.table import AGES, HOUR, checked, scale
from actors.market.indicators import make
from protocols.decisions import Observation

EXTERNAL: Final = frozenset(ON_CHAIN + WHALES + FUNDING + SMART_MONEY + LIQUIDATIONS)
"""What bars do not say."""
DAY: Final = 24 * HOUR
WARM_UP: Final = 34
"""Bars until the slowest indicator, the MACD with its signal line, has its first value."""
_RETURNS: Final = {"return_1": 1, "return_5": 5, "momentum_10": 10, "momentum_20": 20}
_KEPT: Final = 8
"""Values of one external figure that are kept: a newer one that is not yet known at `ts` hides none before it."""
_STATE_VERSION: Final = 1
_MOST_PRICE: Final = 1e15
_MOST_VOLUME: Final = 1e30
"""Sums of a window stay finite."""


class MarketFeatures:
    """The builder of one symbol. Bars come in order; the price may be in any currency.

    A bar is a fact at its end and not before. `warm_up`: bars until every feature of bars is there, save
    `change_percent`, which needs 24 hours of them: `warm_up_of(interval)` counts those, too.
    """

    feature_set: Final = MARKET_29
    warm_up: Final = WARM_UP

    def __init__(self) -> None:
        self._external: dict[str, deque[tuple[int, float]]] = {}
        self.gap()

    @staticmethod
    def warm_up_of(interval: int) -> int:
        """Bars of `interval` ns until every feature of bars is there."""
        return max(WARM_UP, -(-DAY // interval) + 1)

    def gap(self) -> None:
        """Bars are missing here: what is made of bars begins anew. Features never span a hole."""
        self.bars = 0
        self._ts = 0
        self._raw: dict[str, float] = {}
        self._close = 0.0
        self._moved = False
        self._day: deque[tuple[int, float]] = deque()
        self._indicators = {
            **{name: make("returns", period=period) for name, period in _RETURNS.items()},
            "sma": make("sma", period=20),
            "rsi": make("rsi", period=14),
            "macd": make("macd"),
            "bollinger": make("bollinger", period=20),
            "atr": make("atr", period=14),
            "adx": make("adx", period=14),
        }
        self._volume = make("sma", period=20)

    def bar(self, open: float, high: float, low: float, close: float, volume: float | None, ts_end: int) -> None:
        """Take the next complete bar, which ended at `ts_end` (ns). `volume` None: not known.

        Raises FeatureError for a bar that cannot be, or one that is no later than the last; nothing has changed then.
        """
        open, high = _price("open", open), _price("high", high)
        low, close = _price("low", low), _price("close", close)
        if not low <= min(open, close) <= max(open, close) <= high:
            raise FeatureError("bar", "low <= open, close <= high", (open, high, low, close))
        if volume is not None:
            volume = number("volume", volume, 0.0, _MOST_VOLUME)
        if self.bars and ts_end <= self._ts:
            raise FeatureError("ts_end", f"later than the bar before, {self._ts}", ts_end)
        self.bars += 1
        self._ts = ts_end
        self._moved = self._moved or (self.bars > 1 and close != self._close)
        self._close = close
        self._raw = raw = self._relative(high, low, close)
        if (ratio := self._volume_ratio(volume)) is not None:
            raw["volume_ratio"] = ratio
        if (change := self._day_change(close, ts_end)) is not None:
            raw["change_percent"] = change
        for name in [name for name, value in raw.items() if not math.isfinite(value)]:
            del raw[name]

    def external(self, name: str, value: float, ts: int) -> None:
        """A figure from elsewhere, known since `ts` (ns); fed when it becomes known. The newest one counts.

        It is missing again when it is older than `table.AGES` says. Raises FeatureError for a name that is none of
        `EXTERNAL`, or a value out of its range.
        """
        if name not in EXTERNAL:
            raise FeatureError(name, f"any of {', '.join(sorted(EXTERNAL))}", value)
        found = checked(name, value)
        kept = self._external.setdefault(name, deque(maxlen=_KEPT))
        if kept and kept[-1][0] > ts:
            ordered = sorted([*kept, (ts, found)], key=lambda each: each[0])
            self._external[name] = deque(ordered, maxlen=_KEPT)
        else:
            kept.append((ts, found))

    def raw(self, ts: int) -> dict[str, float]:
        """The raw fields known at `ts` (ns), by feature. Raises FeatureError for a `ts` before the last bar."""
        if self.bars and ts < self._ts:
            raise FeatureError("ts", f"the end of the last bar, {self._ts}, or later", ts)
        found = dict(self._raw)
        for name, kept in self._external.items():
            for since, value in reversed(kept):
                if since <= ts:
                    if ts - since <= AGES[name]:
                        found[name] = value
                    break
        return found

    def observation(self, ts: int, marks: Iterable[str] = ()) -> Observation:
        """The features at `ts` (ns). Raises FeatureError for a `ts` before the last bar: it was not known then.

        `ts_event` is the last bar's end: a fresh figure from elsewhere makes no old price new. Without bars it is the
        newest figure's time.
        """
        values = scale(self.raw(ts), MARKET_29)
        newest = self._ts
        if not self.bars:
            known = [since for kept in self._external.values() for since, _ in kept if since <= ts]
            newest = max(known, default=0)
        return Observation(MARKET_29, values, newest, tuple(marks))

    def _relative(self, high: float, low: float, close: float) -> dict[str, float]:
        """What the indicators say of this bar. To a price that is not positive nothing is relative."""
        raw: dict[str, float] = {}
        found: dict[str, Any] = {}
        for name, indicator in self._indicators.items():
            found[name] = indicator.update(*((close,) if len(indicator.INPUTS) == 1 else (high, low, close)))
        # An index of gains and losses is not defined before the first of either; the core says 0, as TA-Lib does.
        if found["rsi"] is not None and self._moved:
            raw["rsi"] = found["rsi"]
        if found["adx"] is not None:
            raw["adx"] = found["adx"][0]
        if found["bollinger"] is not None:
            upper, _, lower = found["bollinger"]
            if upper > lower:
                raw["bollinger_position"] = (close - lower) / (upper - lower)
        if close > 0:
            for name in _RETURNS:
                if found[name] is not None and found[name] > -1.0:
                    raw[name] = found[name]
            if found["macd"] is not None:
                raw["macd"] = found["macd"][0] / close
            if found["atr"] is not None:
                raw["atr"] = found["atr"] / close
            if found["sma"] is not None and found["sma"] > 0:
                raw["sma_ratio"] = close / found["sma"]
        return raw

    def _volume_ratio(self, volume: float | None) -> float | None:
        if volume is None:
            # A mean over a hole would be one of other bars than it says.
            self._volume = make("sma", period=20)
            return None
        mean = self._volume.update(volume)
        return volume / mean if mean else None

    def _day_change(self, close: float, ts_end: int) -> float | None:
        day = self._day
        day.append((ts_end, close))
        while len(day) > 1 and day[1][0] <= ts_end - DAY:
            day.popleft()
        since, before = day[0]
        # A close of two days before is none of 24 hours before.
        if not ts_end - 2 * DAY < since <= ts_end - DAY or before <= 0 or close <= 0:
            return None
        return (close / before - 1.0) * 100.0

    def save(self) -> tuple[Any, ...]:
        """The whole state: tuples, numbers, text and None, so that it goes through msgpack or JSON unchanged."""
        return (
            MARKET_29,
            _STATE_VERSION,
            self.bars,
            self._ts,
            self._close,
            self._moved,
            tuple(self._raw.items()),
            tuple(self._day),
            tuple((name, tuple(kept)) for name, kept in self._external.items()),
            tuple(indicator.save() for indicator in self._indicators.values()),
            self._volume.save(),
        )

    def restore(self, state: tuple[Any, ...]) -> None:
        """Go on where `save` was called. Raises FeatureError for a state of something else, or of another version."""
        if tuple(state[:2]) != (MARKET_29, _STATE_VERSION) or len(state) != 11:
            raise FeatureError("state", f"one of {MARKET_29}, version {_STATE_VERSION}", tuple(state[:2]))
        self.gap()
        _, _, self.bars, self._ts, self._close, self._moved, raw, day, external, indicators, volume = state
        self._raw = dict(raw)
        self._day = deque((since, close) for since, close in day)
        self._external = {
            name: deque(((since, value) for since, value in kept), maxlen=_KEPT) for name, kept in external
        }
        for indicator, saved in zip(self._indicators.values(), indicators, strict=True):
            indicator.restore(tuple(saved))
        self._volume.restore(tuple(volume))


def _price(field: str, value: object) -> float:
    return number(field, value, -_MOST_PRICE, _MOST_PRICE)
