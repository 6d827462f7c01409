"""A second opinion on what workflows mean: whole arrays at once, from the drawing itself, by numpy and TA-Lib.

A verdict is 1, 0, or NaN where there is none yet. Nothing here is taken from the compiler or its blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import talib
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from actors.market.indicators import compute

Floats = NDArray[np.float64]
Columns = dict[str, Floats]


def shift(a: Floats, by: int) -> Floats:
    return np.concatenate([np.full(min(by, len(a)), np.nan), a[: max(len(a) - by, 0)]])


def rolling(a: Floats, count: int, function: Callable[..., Any]) -> Floats:
    """`function(windows, axis=1)` over the last `count` values, NaN before."""
    found = np.full(len(a), np.nan)
    if len(a) >= count:
        found[count - 1 :] = function(sliding_window_view(a, count), axis=1)
    return found


def truth(verdict: Any, *needed: Floats) -> Floats:
    """1 and 0, NaN where anything that is needed is."""
    found = np.where(verdict, 1.0, 0.0)
    for each in needed:
        found = np.where(np.isnan(each), np.nan, found)
    return found


def before(a: Floats, count: int, function: Callable[..., Floats]) -> Floats:
    """Over the `count` values before each."""
    return shift(rolling(a, count, function), 1)


def steps(a: Floats, count: int, sign: int) -> Floats:
    """Whether each of the last `count` changes has this sign."""
    change = sign * (a - shift(a, 1))
    return truth(rolling(np.nan_to_num(change, nan=-1.0), count, np.min) > 0, shift(a, count))


def up(a: Floats, b: Floats) -> Floats:
    return truth((shift(a, 1) <= shift(b, 1)) & (a > b), shift(a, 1))


def down(a: Floats, b: Floats) -> Floats:
    return truth((shift(a, 1) >= shift(b, 1)) & (a < b), shift(a, 1))


def lately(crossed: Floats, count: int) -> Floats:
    return truth(
        rolling(np.concatenate([np.zeros(count - 1), np.nan_to_num(crossed)]), count, np.max)[count - 1 :] > 0, crossed
    )


def slope(a: Floats, count: int) -> Floats:
    places = np.arange(count) - (count - 1) / 2
    return rolling(a, count, lambda windows, axis: windows @ places / (places @ places))


def zscore(a: Floats, count: int) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = (a - rolling(a, count, np.mean)) / rolling(a, count, np.std)
    # The rounded mean of equal values may be another value, and the rest of a division by nothing.
    return np.where(rolling(a, count, np.ptp) > 0, scores, np.nan)


def true_range(bars: Columns) -> Floats:
    return talib.TRANGE(bars["high"], bars["low"], bars["close"])


def bands(bars: Columns, p: dict[str, Any]) -> tuple[Floats, Floats, Floats]:
    d = float(p["deviations"])
    return talib.BBANDS(bars["close"], timeperiod=p["period"], nbdevup=d, nbdevdn=d)


def squeezed(bars: Columns, p: dict[str, Any]) -> Floats:
    upper, _, lower = bands(bars, p)
    middle = talib.EMA(bars["close"], p["period"])
    span = p["multiple"] * talib.ATR(bars["high"], bars["low"], bars["close"], p["period"])
    return truth((upper < middle + span) & (lower > middle - span), upper, span)


def returns_deviation(bars: Columns, count: int) -> Floats:
    change = np.diff(np.log(bars["close"]), prepend=np.nan)
    return rolling(change, count, lambda windows, axis: np.std(windows, axis=axis, ddof=1))


def balance(bars: Columns) -> Floats:
    return talib.OBV(bars["close"], bars["volume"])


def vwap(bars: Columns, count: int) -> Floats:
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3
    return rolling(typical * bars["volume"], count, np.sum) / rolling(bars["volume"], count, np.sum)


def mfi(bars: Columns, count: int) -> Floats:
    return talib.MFI(bars["high"], bars["low"], bars["close"], bars["volume"], count)


def adx(bars: Columns, count: int) -> Floats:
    return talib.ADX(bars["high"], bars["low"], bars["close"], count)


def natr(bars: Columns, count: int) -> Floats:
    return talib.NATR(bars["high"], bars["low"], bars["close"], count)


def moved(a: Floats, sign: int) -> Floats:
    return truth(sign * (a - shift(a, 1)) > 0, a, shift(a, 1))


def inside(a: Floats, p: dict[str, Any]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (p["lower"] <= a) & (a <= p["upper"])
    return found


def average(bars: Columns, p: dict[str, Any], sign: int) -> Floats:
    mean = talib.SMA(bars["close"], p["period"])
    return truth((sign * (bars["close"] - mean) > 0) & (sign * (mean - shift(mean, 1)) > 0), shift(mean, 1))


def level(bars: Columns, edge: str, reference: Floats, sign: int) -> Floats:
    """A bar that reaches a level and closes back on its own side of it, as the bar before did."""
    beyond = sign * (bars[edge] - reference) >= 0
    back = sign * (bars["close"] - reference) < 0
    came = sign * (shift(bars["close"], 1) - shift(reference, 1)) < 0
    return truth(beyond & back & came, shift(reference, 1))


def directions(values: list[Floats]) -> list[Floats]:
    """The sign of the last change of each; NaN before the first."""
    found = []
    for each in values:
        signs = np.sign(np.diff(each, prepend=each[:1]))
        last = np.maximum.accumulate(np.where(signs != 0, np.arange(len(each)), 0))
        found.append(np.where(signs[last] == 0, np.nan, signs[last]))
    return found


PAIRS: dict[str, Callable[[Floats, Floats, dict[str, Any]], Floats]] = {
    "greater_than": lambda a, b, p: truth(a > b),
    "less_than": lambda a, b, p: truth(a < b),
    "greater_than_equal": lambda a, b, p: truth(a >= b),
    "less_than_equal": lambda a, b, p: truth(a <= b),
    "equal": lambda a, b, p: truth(np.abs(a - b) <= p["tolerance"]),
    "not_equal": lambda a, b, p: truth(np.abs(a - b) > p["tolerance"]),
    "within_percent": lambda a, b, p: truth(np.abs(a - b) <= np.abs(b) * p["percent"] / 100),
    "above_percent": lambda a, b, p: truth(a - b > np.abs(b) * p["percent"] / 100),
    "below_percent": lambda a, b, p: truth(b - a > np.abs(b) * p["percent"] / 100),
    "cross_above": lambda a, b, p: up(a, b),
    "cross_below": lambda a, b, p: down(a, b),
    "cross": lambda a, b, p: np.maximum(up(a, b), down(a, b)),
    "cross_above_within": lambda a, b, p: lately(up(a, b), p["bars"]),
    "cross_below_within": lambda a, b, p: lately(down(a, b), p["bars"]),
    "timeframe_above": lambda a, b, p: truth(a > b),
    "timeframe_below": lambda a, b, p: truth(a < b),
    "timeframe_cross_above": lambda a, b, p: up(a, b),
    "timeframe_cross_below": lambda a, b, p: down(a, b),
}

SERIES: dict[str, Callable[[Floats, dict[str, Any]], Floats]] = {
    "between": lambda a, p: truth(inside(a, p)),
    "outside": lambda a, p: truth(~inside(a, p)),
    "positive": lambda a, p: truth(a > 0),
    "negative": lambda a, p: truth(a < 0),
    "highest_of": lambda a, p: truth(a >= rolling(a, p["bars"], np.max), rolling(a, p["bars"], np.max)),
    "lowest_of": lambda a, p: truth(a <= rolling(a, p["bars"], np.min), rolling(a, p["bars"], np.min)),
    "percentile_above": lambda a, p: truth(rank(a, p["bars"]) > p["percent"], rank(a, p["bars"])),
    "percentile_below": lambda a, p: truth(rank(a, p["bars"]) < p["percent"], rank(a, p["bars"])),
    "zscore_above": lambda a, p: truth(zscore(a, p["bars"]) > p["deviations"], zscore(a, p["bars"])),
    "zscore_below": lambda a, p: truth(zscore(a, p["bars"]) < p["deviations"], zscore(a, p["bars"])),
    "turns_up": lambda a, p: truth((shift(a, 1) <= shift(a, 2)) & (a > shift(a, 1)), shift(a, 2)),
    "turns_down": lambda a, p: truth((shift(a, 1) >= shift(a, 2)) & (a < shift(a, 1)), shift(a, 2)),
    "enters_range": lambda a, p: truth(inside(a, p) & ~inside(shift(a, 1), p), shift(a, 1)),
    "leaves_range": lambda a, p: truth(~inside(a, p) & inside(shift(a, 1), p), shift(a, 1)),
    "rising": lambda a, p: steps(a, p["bars"], 1),
    "falling": lambda a, p: steps(a, p["bars"], -1),
    "higher_than_before": lambda a, p: truth(a > shift(a, p["bars"]), shift(a, p["bars"])),
    "lower_than_before": lambda a, p: truth(a < shift(a, p["bars"]), shift(a, p["bars"])),
    "change_above": lambda a, p: truth(change(a, p["bars"]) > p["percent"], change(a, p["bars"])),
    "change_below": lambda a, p: truth(change(a, p["bars"]) < p["percent"], change(a, p["bars"])),
    "slope_above": lambda a, p: truth(slope(a, p["bars"]) > p["slope"], slope(a, p["bars"])),
    "slope_below": lambda a, p: truth(slope(a, p["bars"]) < p["slope"], slope(a, p["bars"])),
    "accelerating": lambda a, p: truth(np.diff(a, 2, prepend=[np.nan] * 2) > 0, shift(a, 2)),
    "decelerating": lambda a, p: truth(np.diff(a, 2, prepend=[np.nan] * 2) < 0, shift(a, 2)),
}


def rank(a: Floats, count: int) -> Floats:
    return rolling(a, count + 1, lambda windows, axis: 100.0 * np.mean(windows[:, :-1] < windows[:, -1:], axis=axis))


def change(a: Floats, count: int) -> Floats:
    old = shift(a, count)
    return (a - old) / np.abs(old) * 100


def extreme(bars: Columns, of: str, edge: str, count: int, sign: int) -> Floats:
    most = before(sign * bars[edge], count, np.max)
    return truth(sign * bars[of] > most, most)


def each_of(bars: Columns, count: int, sign: int) -> Floats:
    body = sign * (bars["close"] - bars["open"])
    return truth(rolling(body, count, np.min) > 0, rolling(body, count, np.min))


BARS: dict[str, Callable[[Columns, dict[str, Any]], Floats]] = {
    "higher_highs": lambda b, p: steps(b["high"], p["bars"], 1),
    "lower_highs": lambda b, p: steps(b["high"], p["bars"], -1),
    "higher_lows": lambda b, p: steps(b["low"], p["bars"], 1),
    "lower_lows": lambda b, p: steps(b["low"], p["bars"], -1),
    "new_high": lambda b, p: extreme(b, "high", "high", p["bars"], 1),
    "new_low": lambda b, p: extreme(b, "low", "low", p["bars"], -1),
    "breakout_up": lambda b, p: extreme(b, "close", "high", p["bars"], 1),
    "breakout_down": lambda b, p: extreme(b, "close", "low", p["bars"], -1),
    "up_bars": lambda b, p: each_of(b, p["bars"], 1),
    "down_bars": lambda b, p: each_of(b, p["bars"], -1),
    "gap_up": lambda b, p: truth(b["open"] > shift(b["high"], 1), shift(b["high"], 1)),
    "gap_down": lambda b, p: truth(b["open"] < shift(b["low"], 1), shift(b["low"], 1)),
    "uptrend": lambda b, p: average(b, p, 1),
    "downtrend": lambda b, p: average(b, p, -1),
    "strong_trend": lambda b, p: truth(adx(b, p["period"]) > p["strength"], adx(b, p["period"])),
    "weak_trend": lambda b, p: truth(adx(b, p["period"]) < p["strength"], adx(b, p["period"])),
    "volatility_above": lambda b, p: over(100 * returns_deviation(b, p["period"]), p["percent"], 1),
    "volatility_below": lambda b, p: over(100 * returns_deviation(b, p["period"]), p["percent"], -1),
    "volatility_rising": lambda b, p: moved(returns_deviation(b, p["period"]), 1),
    "volatility_falling": lambda b, p: moved(returns_deviation(b, p["period"]), -1),
    "atr_above": lambda b, p: over(natr(b, p["period"]), p["percent"], 1),
    "atr_below": lambda b, p: over(natr(b, p["period"]), p["percent"], -1),
    "range_expansion": lambda b, p: beside(true_range(b), p, 1),
    "range_contraction": lambda b, p: beside(true_range(b), p, -1),
    "narrowest_range": lambda b, p: width(b, p["bars"], -1),
    "widest_range": lambda b, p: width(b, p["bars"], 1),
    "squeeze": lambda b, p: squeezed(b, p),
    "squeeze_release": lambda b, p: truth(
        (shift(squeezed(b, p), 1) == 1) & (squeezed(b, p) == 0), shift(squeezed(b, p), 1)
    ),
    "above_upper_band": lambda b, p: truth(b["close"] > bands(b, p)[0], bands(b, p)[0]),
    "below_lower_band": lambda b, p: truth(b["close"] < bands(b, p)[2], bands(b, p)[2]),
    "bandwidth_above": lambda b, p: over(bandwidth(b, p), p["percent"], 1),
    "bandwidth_below": lambda b, p: over(bandwidth(b, p), p["percent"], -1),
    "volume_above": lambda b, p: truth(b["volume"] > p["volume"]),
    "volume_below": lambda b, p: truth(b["volume"] < p["volume"]),
    "volume_spike": lambda b, p: beside(b["volume"], p, 1),
    "volume_dry_up": lambda b, p: beside(b["volume"], p, -1),
    "volume_rising": lambda b, p: steps(b["volume"], p["bars"], 1),
    "volume_falling": lambda b, p: steps(b["volume"], p["bars"], -1),
    "volume_highest": lambda b, p: extreme(b, "volume", "volume", p["bars"], 1),
    "volume_lowest": lambda b, p: extreme(b, "volume", "volume", p["bars"], -1),
    "volume_zscore_above": lambda b, p: over(zscore(b["volume"], p["period"]), p["deviations"], 1),
    "obv_rising": lambda b, p: over(balance(b) - shift(balance(b), p["bars"]), 0, 1),
    "obv_falling": lambda b, p: over(balance(b) - shift(balance(b), p["bars"]), 0, -1),
    "price_volume_up": lambda b, p: both_moved(b, 1),
    "price_volume_down": lambda b, p: both_moved(b, -1),
    "mfi_above": lambda b, p: over(mfi(b, p["period"]), p["level"], 1),
    "mfi_below": lambda b, p: over(mfi(b, p["period"]), p["level"], -1),
    "above_vwap": lambda b, p: over(b["close"] - vwap(b, p["period"]), 0, 1),
    "below_vwap": lambda b, p: over(b["close"] - vwap(b, p["period"]), 0, -1),
    "inside_bar": lambda b, p: two_bars(b, 1),
    "outside_bar": lambda b, p: two_bars(b, -1),
}

LEVELS: dict[str, Callable[[Columns, Floats], Floats]] = {
    "touches": lambda b, r: truth((b["low"] <= r) & (r <= b["high"])),
    "rejected_above": lambda b, r: level(b, "high", r, 1),
    "rejected_below": lambda b, r: level(b, "low", r, -1),
}

MANY: dict[str, Callable[[list[Floats]], Floats]] = {
    "timeframes_rising": lambda v: truth(np.min(directions(v), axis=0) > 0, *directions(v)),
    "timeframes_falling": lambda v: truth(np.max(directions(v), axis=0) < 0, *directions(v)),
    "timeframes_opposed": lambda v: truth(
        (np.min(directions(v), axis=0) < 0) & (np.max(directions(v), axis=0) > 0), *directions(v)
    ),
    "timeframes_positive": lambda v: truth(np.min(v, axis=0) > 0),
    "timeframes_negative": lambda v: truth(np.max(v, axis=0) < 0),
}


def over(a: Floats, limit: float, sign: int) -> Floats:
    return truth(sign * (a - limit) > 0, a)


def beside(a: Floats, p: dict[str, Any], sign: int) -> Floats:
    mean = p["factor"] * before(a, p["period"], np.mean)
    return truth(sign * (a - mean) > 0, mean)


def width(bars: Columns, count: int, sign: int) -> Floats:
    span = sign * (bars["high"] - bars["low"])
    most = before(span, count - 1, np.max)
    return truth(span > most, most)


def bandwidth(bars: Columns, p: dict[str, Any]) -> Floats:
    upper, middle, lower = bands(bars, p)
    return (upper - lower) / np.abs(middle) * 100


def both_moved(bars: Columns, sign: int) -> Floats:
    close, volume = bars["close"], bars["volume"]
    return truth((sign * (close - shift(close, 1)) > 0) & (volume > shift(volume, 1)), shift(close, 1))


def two_bars(bars: Columns, sign: int) -> Floats:
    high, low = bars["high"], bars["low"]
    return truth((sign * (high - shift(high, 1)) < 0) & (sign * (low - shift(low, 1)) > 0), shift(high, 1))


def pattern(code: str, bars: Columns, direction: str, window: int = 40) -> Floats:
    function = getattr(talib, f"CDL{code.upper()}")
    value = function(*(bars[name] for name in ("open", "high", "low", "close"))).astype(float)
    value[: window - 1] = np.nan
    wanted = {"bullish": value > 0, "bearish": value < 0, "any": value != 0}[direction]
    return truth(wanted, value)


def confirmed(verdict: Floats, count: int) -> Floats:
    """True at the `count`-th in a row."""
    return truth(
        rolling(np.concatenate([np.zeros(count - 1), np.nan_to_num(verdict)]), count, np.min)[count - 1 :] > 0, verdict
    )


def from_first(function: Callable[..., Floats], inputs: list[Floats]) -> Floats:
    """`function` of the inputs from where all are known."""
    valid = ~np.any(np.isnan(inputs), axis=0)
    found = np.full(len(inputs[0]), np.nan)
    if valid.any():
        first = int(np.argmax(valid))
        assert valid[first:].all()
        found[first:] = function(*(each[first:] for each in inputs))
    return found


def fires(verdict: Floats, every_bar: bool) -> list[int]:
    """Where an action acts."""
    wanted = verdict == 1
    if not every_bar:
        wanted &= shift(verdict, 1) == 0
    return np.flatnonzero(wanted).tolist()


def core(code: str, bars: Columns, **parameters: Any) -> dict[str, Floats]:
    """An indicator that TA-Lib lacks, by the core over the whole array."""
    return compute(code, bars, **parameters)
