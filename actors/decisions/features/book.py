"""The features of one order book from its quotes, levels and trades: the set `book`. A core.

    features = BookFeatures(tick=0.01)
    features.levels(bids, asks, ts)             # (price, size) pairs or `Level`s, best first
    features.trade(price, size, "buy", ts)
    observation = features.observation(ts)      # 12 floats, NaN where missing

Prices and the tick are in one unit and sizes in one unit, whichever: floats, or integers of nanos. What comes out is
relative and a float. Where a side is empty nothing of the two sides is known, and it is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final, Literal

from actors.decisions.features.checking import FeatureError, number
from actors.decisions.features.names import BOOK
from actors.decisions.features.table import scale
from protocols.decisions import Observation
from protocols.market import Level

SECOND: Final = 1_000_000_000
FLOWS: Final = (("flow_fast", 5.0), ("flow_middle", 30.0), ("flow_slow", 180.0))
"""Half-lives of the signed flow, in seconds."""
SILENCE: Final = 10.0
"""Half-lives without a trade after which a flow is missing: a thousandth of it is left."""
VOLATILITY_HALF_LIFE: Final = 60.0
DEPTH: Final = 10
"""Levels a side of `depth_ratio`."""
_DEPTHS: Final = (1, 2, 3, 4, 5)
_STATE_VERSION: Final = 1

Pairs = Sequence[tuple[float, float] | Level]


class BookFeatures:
    """The builder of one book. `tick`: the smallest step of its price, in the price's unit.

    Times are those at which something was known (`ts_recv`), in ns; an earlier one than before is taken for the one
    before, since clocks may be wrong. Raises FeatureError for a tick that is not positive.
    """

    feature_set: Final = BOOK

    def __init__(self, tick: float) -> None:
        if number("tick", tick) <= 0:
            raise FeatureError("tick", "a number above 0", tick)
        self.tick = float(tick)
        self._flows = [_Flow(half_life) for _, half_life in FLOWS]
        self.gap()

    def gap(self) -> None:
        """The book is not to be trusted, or inputs were lost: whatever was known of it is missing."""
        self._now = 0
        self._bids: tuple[tuple[float, float], ...] = ()
        self._asks: tuple[tuple[float, float], ...] = ()
        self._deep = False
        self._variance = _Variance(VOLATILITY_HALF_LIFE)
        for flow in self._flows:
            flow.clear()

    def quote(self, bid: float | None, bid_size: float, ask: float | None, ask_size: float, ts: int) -> None:
        """The best prices alone; None for a side without levels. Nothing is known of deeper levels then."""
        bids = ((bid, bid_size),) if bid is not None else ()
        asks = ((ask, ask_size),) if ask is not None else ()
        self._take(_side("bid", bids, -1), _side("ask", asks, 1), ts, deep=False)

    def levels(self, bids: Pairs, asks: Pairs, ts: int) -> None:
        """Both sides, best first; at least 10 levels each, or all that there are.

        Raises FeatureError where they are in another order, a size is not positive, or the book is crossed.
        """
        self._take(_side("bids", bids, -1), _side("asks", asks, 1), ts, deep=True)

    def trade(self, price: float, size: float, taker: Literal["buy", "sell"] | None, ts: int) -> None:
        """A public trade. One whose taker is hidden says nothing of the flow. Raises FeatureError."""
        number("price", price)
        found = number("size", size, 0.0)
        now = self._time(ts)
        if taker is not None and found:
            for flow in self._flows:
                flow.add(found if taker == "buy" else -found, now)

    def raw(self, ts: int) -> dict[str, float]:
        """The raw fields that are known at `ts`, by feature. Raises FeatureError for a time before the last input."""
        if ts < self._now:
            raise FeatureError("ts", f"the last input's time, {self._now}, or later", ts)
        found = self._two_sided()
        for (name, _), flow in zip(FLOWS, self._flows, strict=True):
            if (balance := flow.balance(ts)) is not None:
                found[name] = balance
        if (deviation := self._variance.deviation()) is not None:
            found["realised_volatility"] = deviation
        return found

    def observation(self, ts: int, marks: Iterable[str] = ()) -> Observation:
        """The features at `ts`; `ts_event` is the last input's time. Raises FeatureError for a time before it."""
        return Observation(BOOK, scale(self.raw(ts), BOOK), self._now, tuple(marks))

    def save(self) -> tuple[Any, ...]:
        """The whole state: tuples, numbers, text and None."""
        flows = tuple(flow.save() for flow in self._flows)
        return (BOOK, _STATE_VERSION, self.tick, self._now, self._bids, self._asks, self._deep,
                flows, self._variance.save())  # fmt: skip

    def restore(self, state: tuple[Any, ...]) -> None:
        """Go on where `save` was called. Raises FeatureError for a state of something else, or of another tick."""
        if tuple(state[:3]) != (BOOK, _STATE_VERSION, self.tick) or len(state) != 9:
            wanted = f"one of {BOOK}, version {_STATE_VERSION}, tick {self.tick}"
            raise FeatureError("state", wanted, tuple(state[:3]))
        _, _, _, self._now, bids, asks, self._deep, flows, variance = state
        self._bids = tuple((price, size) for price, size in bids)
        self._asks = tuple((price, size) for price, size in asks)
        for flow, saved in zip(self._flows, flows, strict=True):
            flow.restore(saved)
        self._variance.restore(variance)

    def _take(
        self, bids: tuple[tuple[float, float], ...], asks: tuple[tuple[float, float], ...], ts: int, *, deep: bool
    ) -> None:
        if bids and asks and bids[0][0] > asks[0][0]:
            raise FeatureError("book", "a best bid that is no higher than the best ask", (bids[0][0], asks[0][0]))
        self._bids, self._asks, self._deep = bids, asks, deep
        middle = (bids[0][0] + asks[0][0]) / 2.0 if bids and asks else None
        self._variance.add(middle if middle is not None and middle > 0 else None, self._time(ts))

    def _time(self, ts: int) -> int:
        self._now = max(self._now, ts)
        return self._now

    def _two_sided(self) -> dict[str, float]:
        bids, asks = self._bids, self._asks
        if not bids or not asks:
            return {}
        found: dict[str, float] = {}
        (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
        middle = (bid + ask) / 2.0
        if middle > 0:
            found["spread"] = (ask - bid) / middle
        # The microprice less the middle: half a spread times the imbalance at the best prices.
        found["microprice_offset"] = (ask - bid) / 2.0 * (bid_size - ask_size) / (bid_size + ask_size) / self.tick
        bought = list(accumulate(size for _, size in bids))
        offered = list(accumulate(size for _, size in asks))
        for depth in _DEPTHS:
            if len(bids) >= depth and len(asks) >= depth:
                more, less = bought[depth - 1], offered[depth - 1]
                found[f"imbalance_{depth}"] = (more - less) / (more + less)
        if self._deep:
            found["depth_ratio"] = bought[-1] / offered[-1]
        return found


class _Flow:
    """Signed and unsigned size with exponential forgetting."""

    def __init__(self, half_life: float) -> None:
        self.half_life = half_life * SECOND
        self.clear()

    def clear(self) -> None:
        self._signed = 0.0
        self._total = 0.0
        self._ts: int | None = None

    def add(self, size: float, ts: int) -> None:
        kept = 0.0 if self._ts is None else 0.5 ** ((ts - self._ts) / self.half_life)
        self._signed = self._signed * kept + size
        self._total = self._total * kept + abs(size)
        self._ts = ts

    def balance(self, ts: int) -> float | None:
        if self._ts is None or ts - self._ts > SILENCE * self.half_life:
            return None
        return self._signed / self._total

    def save(self) -> tuple[Any, ...]:
        return self._signed, self._total, self._ts

    def restore(self, state: Sequence[Any]) -> None:
        self._signed, self._total, self._ts = state


class _Variance:
    """Squared log returns over the time that they took, both with exponential forgetting; known after a half-life.

    The realised variance of Andersen and Bollerslev (1998), as a rate. Time without a middle counts for nothing.
    """

    def __init__(self, half_life: float) -> None:
        self.half_life = half_life
        self._squares = 0.0
        self._seconds = 0.0
        self._watched = 0.0
        self._middle: float | None = None
        self._ts = 0

    def add(self, middle: float | None, ts: int) -> None:
        if middle is not None and self._middle is not None:
            seconds = (ts - self._ts) / SECOND
            kept = 0.5 ** (seconds / self.half_life)
            self._squares = self._squares * kept + math.log(middle / self._middle) ** 2
            self._seconds = self._seconds * kept + seconds
            self._watched += seconds
        self._middle, self._ts = middle, ts

    def deviation(self) -> float | None:
        return math.sqrt(self._squares / self._seconds) if self._watched >= self.half_life else None

    def save(self) -> tuple[Any, ...]:
        return self._squares, self._seconds, self._watched, self._middle, self._ts

    def restore(self, state: Sequence[Any]) -> None:
        self._squares, self._seconds, self._watched, self._middle, self._ts = state


def _side(name: str, pairs: Pairs, sign: Literal[1, -1]) -> tuple[tuple[float, float], ...]:
    """One side as floats, not deeper than needed. Raises FeatureError."""
    found: list[tuple[float, float]] = []
    for place, each in enumerate(pairs[:DEPTH]):
        price, size = (each.price, each.size) if isinstance(each, Level) else each
        level = number(f"{name}[{place}].price", price), number(f"{name}[{place}].size", size, 0.0)
        if not level[1]:
            raise FeatureError(f"{name}[{place}].size", "a number above 0", size)
        if found and (level[0] - found[-1][0]) * sign <= 0:
            raise FeatureError(f"{name}[{place}].price", "one that is worse than the level before", price)
        found.append(level)
    return tuple(found)
