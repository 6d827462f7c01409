"""What every feature means: its raw field, that field's unit and range, and how it becomes a bounded number. A core.

A feature depends on its own raw field alone, so that a value from a stream of bars, from a request and from a table
for training becomes the same number. All of them are relative: no price, and nothing that grows with one. A missing
raw field is NaN; a field at the middle of its range is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from actors.decisions.features.checking import names_of, number
from actors.decisions.features.names import BOOK, FEATURE_SETS, FUNDING, LIQUIDATIONS, ON_CHAIN, SMART_MONEY, WHALES

NAN: Final = math.nan
HOUR: Final = 3_600_000_000_000
AGES: Final[dict[str, int]] = {
    **dict.fromkeys(ON_CHAIN, 48 * HOUR),
    **dict.fromkeys(WHALES, 4 * HOUR),
    **dict.fromkeys(FUNDING, 9 * HOUR),
    **dict.fromkeys(SMART_MONEY, 6 * HOUR),
    **dict.fromkeys(LIQUIDATIONS, HOUR),
}
"""How old a value from elsewhere may be (ns), before it is missing again: on-chain figures are daily and come late,
funding is told at least every 8 hours, the others are the window that they are counted over."""

_ONE_BASIS_POINT: Final = 1e-4


class Feature(msgspec.Struct, frozen=True):
    """One feature. `unit` is the raw field's, `least` to `most` its range; `low` to `high` that of `scaled`.

    `source`: what makes it. `transform` says in words what `scaled` does.
    """

    name: str
    meaning: str
    unit: str
    source: str
    transform: str
    least: float
    most: float
    low: float
    high: float
    function: Callable[[float], float]

    def scaled(self, raw: float) -> float:
        """The feature of a raw value; NaN stays NaN. Always from `low` to `high`."""
        if raw != raw:
            return NAN
        return min(max(self.function(raw), self.low), self.high)


def signed_log(unit: float, full: float) -> Callable[[float], float]:
    """sign(x)·ln(1 + |x| / unit) / ln(1 + full / unit): near linear below `unit`, 1 at `full`.

    For what is a hundred times as large on daily bars as on those of a minute.
    """
    whole = math.log1p(full / unit)

    def function(raw: float) -> float:
        return math.copysign(math.log1p(abs(raw) / unit) / whole, raw)

    return function


def squashed(unit: float) -> Callable[[float], float]:
    """tanh(x / unit)."""
    return lambda raw: math.tanh(raw / unit)


def _ratio(raw: float) -> float:
    return (raw - 1.0) / (raw + 1.0)


def _same(raw: float) -> float:
    return raw


_CHANGE: Final = signed_log(_ONE_BASIS_POINT, 1.0)


class _Raw(msgspec.Struct, frozen=True):
    """A raw field whose transform is still to be said."""

    name: str
    meaning: str
    unit: str
    source: str

    def by(
        self,
        transform: str,
        function: Callable[[float], float],
        raw: tuple[float, float] = (-math.inf, math.inf),
        low: float = -1.0,
    ) -> Feature:
        return Feature(self.name, self.meaning, self.unit, self.source, transform, *raw, low, 1.0, function)

    def log(self, unit: float, full: float, raw: tuple[float, float], low: float = -1.0) -> Feature:
        words = f"sign(x)·ln(1 + |x|/{unit:g}) / ln(1 + {full:g}/{unit:g})"
        return self.by(words if low < 0 else words[8:].replace("|x|", "x"), signed_log(unit, full), raw, low)

    def change(self) -> Feature:
        return self.log(_ONE_BASIS_POINT, 1.0, (-1.0, 1e6))

    def tanh(self, unit: float, raw: tuple[float, float]) -> Feature:
        return self.by(f"tanh(x / {unit:g})", squashed(unit), raw)

    def balance(self) -> Feature:
        return self.by("x", _same, (-1.0, 1.0))

    def share(self) -> Feature:
        return self.by("x", _same, (0.0, 1.0), 0.0)

    def ratio(self) -> Feature:
        return self.by("(x - 1) / (x + 1)", _ratio, (0.0, 1e12))


_BARS: Final = "bars"
_BOOK: Final = "quotes and levels"
_ELSEWHERE: Final = "external"

_MARKET: Final = (
    _Raw("change_percent", "the close since the close of 24 hours before", "percent", "bars of 24 hours")
    .tanh(10.0, (-100.0, 1e6)),
    _Raw("return_1", "the close since the close before", "fraction", _BARS).change(),
    _Raw("return_5", "the close since 5 bars before", "fraction", _BARS).change(),
    _Raw("volume_ratio", "the volume in the mean of the last 20, this one included", "ratio", _BARS).ratio(),
    _Raw("rsi", "relative strength index of 14 bars", "0 to 100", _BARS)
    .by("(x - 50) / 50", lambda raw: (raw - 50.0) / 50.0, (0.0, 100.0)),
    _Raw("macd", "EMA(12) - EMA(26) of the close, in the close", "fraction of the price", _BARS)
    .log(_ONE_BASIS_POINT, 1.0, (-1e6, 1e6)),
    _Raw("bollinger_position", "where the close is between the bands of 20 bars and 2 deviations",
        "0 at the lower band, 1 at the upper", _BARS).by("x - 0.5", lambda raw: raw - 0.5, (-5.0, 6.0)),
    _Raw("atr", "average true range of 14 bars, in the close", "fraction of the price", _BARS)
    .log(_ONE_BASIS_POINT, 1.0, (0.0, 1e6), 0.0),
    _Raw("sma_ratio", "the close in its mean of the last 20", "ratio", _BARS)
    .by("as return_1, of x - 1", lambda raw: _CHANGE(raw - 1.0), (0.0, 1e6)),
    _Raw("momentum_10", "the close since 10 bars before", "fraction", _BARS).change(),
    _Raw("momentum_20", "the close since 20 bars before", "fraction", _BARS).change(),
    _Raw("adx", "average directional index of 14 bars", "0 to 100", _BARS)
    .by("x / 100", lambda raw: raw / 100.0, (0.0, 100.0), 0.0),
    _Raw("active_addresses_change", "active addresses of a day since the day before", "fraction", _ELSEWHERE)
    .tanh(0.2, (-1.0, 1e6)),
    _Raw("transaction_count_change", "transactions of a day since the day before", "fraction", _ELSEWHERE)
    .tanh(0.2, (-1.0, 1e6)),
    _Raw("exchange_netflow", "(in - out) / (in + out) of what a day moved to and from exchanges", "-1 to 1", _ELSEWHERE)
    .balance(),
    _Raw("network_growth", "new addresses among the active ones of a day", "share", _ELSEWHERE).share(),
    _Raw("whale_net_flow", "(bought - sold) / (bought + sold) in large trades of 4 hours", "-1 to 1", _ELSEWHERE)
    .balance(),
    _Raw("whale_transactions", "large trades in 4 hours", "count", _ELSEWHERE)
    .log(1.0, 1000.0, (0.0, 1e12), 0.0),
    _Raw("whale_volume_share", "large trades in all that 4 hours traded", "share", _ELSEWHERE).share(),
    _Raw("whale_accumulation", "balances of large holders since 4 hours before", "fraction", _ELSEWHERE)
    .tanh(0.01, (-1.0, 1e6)),
    _Raw("funding_rate", "what longs pay shorts for one period", "fraction", _ELSEWHERE).tanh(0.001, (-1.0, 1.0)),
    _Raw("funding_rate_change", "the funding rate less that of the period before", "fraction", _ELSEWHERE)
    .tanh(0.001, (-2.0, 2.0)),
    _Raw("open_interest_change", "open interest since 24 hours before", "fraction", _ELSEWHERE)
    .tanh(0.2, (-1.0, 1e6)),
    _Raw("smart_money_net_flow", "(bought - sold) / (bought + sold) of known good traders in 6 hours", "-1 to 1",
        _ELSEWHERE).balance(),
    _Raw("smart_money_buy_share", "those who bought among known good traders of 6 hours", "share", _ELSEWHERE)
    .by("2·x - 1", lambda raw: 2.0 * raw - 1.0, (0.0, 1.0)),
    _Raw("smart_money_activity", "their trades in 6 hours in their usual number", "ratio", _ELSEWHERE).ratio(),
    _Raw("long_liquidations", "long positions closed by force in one hour", "notional in dollars", _ELSEWHERE)
    .log(1e4, 1e9, (0.0, 1e15), 0.0),
    _Raw("short_liquidations", "short positions closed by force in one hour", "notional in dollars", _ELSEWHERE)
    .log(1e4, 1e9, (0.0, 1e15), 0.0),
    _Raw("liquidation_imbalance", "(longs - shorts) / (longs + shorts) of those two", "-1 to 1", _ELSEWHERE).balance(),
)  # fmt: skip

_BOOKS: Final = (
    _Raw("spread", "best ask less best bid, in their middle", "fraction", _BOOK).log(1e-5, 1.0, (0.0, 1e6), 0.0),
    _Raw("microprice_offset", "the microprice less the middle", "ticks", _BOOK).tanh(1.0, (-1e9, 1e9)),
    *(
        _Raw(f"imbalance_{depth}", f"(bids - asks) / (bids + asks) of the sizes of the best {depth} levels",
            "-1 to 1", _BOOK).balance()
        for depth in range(1, 6)
    ),
    _Raw("depth_ratio", "the bids' sizes in the asks', of up to 10 levels a side", "ratio", "levels").ratio(),
    *(
        _Raw(f"flow_{name}", f"(bought - sold) / (bought + sold) by takers, with a half-life of {seconds} s",
            "-1 to 1", "trades").balance()
        for name, seconds in (("fast", 5), ("middle", 30), ("slow", 180))
    ),
    _Raw("realised_volatility", "deviation of the middle's log returns, with a half-life of 60 s",
        "fraction per root second", "quotes").log(1e-6, 0.1, (0.0, 1e6), 0.0),
)  # fmt: skip

FEATURES: Final[dict[str, Feature]] = {each.name: each for each in (*_MARKET, *_BOOKS)}
"""Every feature by its name."""

_PLACES: Final = {name: {each: place for place, each in enumerate(names)} for name, names in FEATURE_SETS.items()}


def scale(raw: Mapping[str, float], feature_set: str) -> tuple[float, ...]:
    """The features of a set from raw fields by name, in the set's order; NaN where there is no such field.

    Raises FeatureError for an unknown set.
    """
    names_of(feature_set)
    places = _PLACES[feature_set]
    scaled = [NAN] * len(places)
    for name, value in raw.items():
        place = places.get(name)
        if place is not None:
            scaled[place] = FEATURES[name].scaled(value)
    return tuple(scaled)


def checked(name: str, value: object, field: str = "") -> float:
    """The raw value of a feature within its range. Raises FeatureError that names `field` (if empty: the feature)."""
    feature = FEATURES[name]
    return number(field or name, value, feature.least, feature.most)


if tuple(each.name for each in _MARKET) + tuple(each.name for each in _BOOKS) != sum(FEATURE_SETS.values(), ()):
    raise AssertionError(f"the table and the sets of {BOOK} and market features differ")
