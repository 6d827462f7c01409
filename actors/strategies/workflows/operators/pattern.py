"""Candlestick patterns: TA-Lib's 61, each over a window of one fixed length, and two of our own."""

# What `step` and `judge` return is in the docstring of their class.
# ruff: noqa: D102

from __future__ import annotations

from typing import Any, Final

from actors.strategies.workflows.fields import Value, choice
from actors.strategies.workflows.operators.base import Operator, Verdict, Windowed, figures

WINDOW: Final = 40
"""Bars that TA-Lib is given. Its patterns look back at most 16, but it sums what it averages from the first bar on, so
that a window of another length could differ in the last digit."""

DIRECTION: Final = choice("direction", "any", ("any", "bullish", "bearish"), "which of its two forms", "bias")

NAMES: Final[dict[str, str]] = {
    "2crows": "two crows",
    "3blackcrows": "three black crows",
    "3inside": "three inside up or down",
    "3linestrike": "three-line strike",
    "3outside": "three outside up or down",
    "3starsinsouth": "three stars in the south",
    "3whitesoldiers": "three advancing white soldiers",
    "abandonedbaby": "abandoned baby",
    "advanceblock": "advance block",
    "belthold": "belt-hold",
    "breakaway": "breakaway",
    "closingmarubozu": "closing marubozu",
    "concealbabyswall": "concealing baby swallow",
    "counterattack": "counterattack",
    "darkcloudcover": "dark cloud cover",
    "doji": "doji",
    "dojistar": "doji star",
    "dragonflydoji": "dragonfly doji",
    "engulfing": "engulfing pattern",
    "eveningdojistar": "evening doji star",
    "eveningstar": "evening star",
    "gapsidesidewhite": "up or down-gap side-by-side white lines",
    "gravestonedoji": "gravestone doji",
    "hammer": "hammer",
    "hangingman": "hanging man",
    "harami": "harami pattern",
    "haramicross": "harami cross pattern",
    "highwave": "high-wave candle",
    "hikkake": "hikkake pattern",
    "hikkakemod": "modified hikkake pattern",
    "homingpigeon": "homing pigeon",
    "identical3crows": "identical three crows",
    "inneck": "in-neck pattern",
    "invertedhammer": "inverted hammer",
    "kicking": "kicking",
    "kickingbylength": "kicking, bull or bear by the longer marubozu",
    "ladderbottom": "ladder bottom",
    "longleggeddoji": "long-legged doji",
    "longline": "long line candle",
    "marubozu": "marubozu",
    "matchinglow": "matching low",
    "mathold": "mat hold",
    "morningdojistar": "morning doji star",
    "morningstar": "morning star",
    "onneck": "on-neck pattern",
    "piercing": "piercing pattern",
    "rickshawman": "rickshaw man",
    "risefall3methods": "rising or falling three methods",
    "separatinglines": "separating lines",
    "shootingstar": "shooting star",
    "shortline": "short line candle",
    "spinningtop": "spinning top",
    "stalledpattern": "stalled pattern",
    "sticksandwich": "stick sandwich",
    "takuri": "takuri (dragonfly doji with a very long lower shadow)",
    "tasukigap": "tasuki gap",
    "thrusting": "thrusting pattern",
    "tristar": "tristar pattern",
    "unique3river": "unique three river",
    "upsidegap2crows": "upside gap two crows",
    "xsidegap3methods": "upside or downside gap three methods",
}
"""TA-Lib's patterns without their `CDL`, and what they are called."""


class Pattern(Windowed):
    """One of TA-Lib's candlestick patterns, with its standard settings."""

    FAMILY, PORTS, FIELDS = "pattern", ("bars",), (DIRECTION,)
    FUNCTION: str

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        import talib

        self.found = getattr(talib, self.FUNCTION)

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return WINDOW

    def step(self, *inputs: Any) -> Verdict:
        bar = figures(inputs[0], "open", "high", "low", "close")
        if bar is None:
            self.window.clear()
            return None
        self.window.append(bar)
        return self.judge() if len(self.window) == self.window.maxlen else None

    def judge(self, *inputs: Any) -> Verdict:
        import numpy as np

        value = int(self.found(*np.array(self.window).T.copy())[-1])
        direction = self.built["direction"]
        return value > 0 if direction == "bullish" else value < 0 if direction == "bearish" else value != 0


def _pattern(code: str, title: str) -> type[Pattern]:
    definition = (
        f"TA-Lib's CDL{code.upper()} ({title}) sees its pattern end at this bar, over the last {WINDOW} bars: "
        "above 0 is bullish, below 0 bearish."
    )
    aliases = (f"cdl{code}", f"cdl_{code}", title.replace("-", "_").replace(" ", "_"))
    members = {"CODE": code, "FUNCTION": f"CDL{code.upper()}", "ALIASES": aliases, "__doc__": definition}
    return type(f"Cdl{code.title()}", (Pattern,), members)


class _TwoBars(Windowed):
    FAMILY, PORTS = "pattern", ("bars",)

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        return 2

    def step(self, *inputs: Any) -> Verdict:
        bar = figures(inputs[0], "high", "low")
        if bar is None:
            self.window.clear()
            return None
        self.window.append(bar)
        return self.judge() if len(self.window) == 2 else None


class InsideBar(_TwoBars):
    """The bar's high is below the high of the bar before, and its low above the low."""

    CODE, ALIASES = "inside_bar", ("inside",)

    def judge(self, *inputs: Any) -> Verdict:
        (high, low), (now_high, now_low) = self.window
        return bool(now_high < high and now_low > low)


class OutsideBar(_TwoBars):
    """The bar's high is above the high of the bar before, and its low below the low."""

    CODE, ALIASES = "outside_bar", ()

    def judge(self, *inputs: Any) -> Verdict:
        (high, low), (now_high, now_low) = self.window
        return bool(now_high > high and now_low < low)


OPERATORS: Final[tuple[type[Operator], ...]] = (
    *(_pattern(code, title) for code, title in NAMES.items()), InsideBar, OutsideBar,
)  # fmt: skip
