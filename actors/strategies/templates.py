"""The files that `troupe strategy new` writes: one small strategy in each of the three contracts."""

from __future__ import annotations

from typing import Final, Literal

Contract = Literal["function", "class", "sdk"]

SDK: Final = '''"""{name}: buys when a fast average crosses above a slow one, closes when it crosses back."""

from actors.strategies.sdk import Bar, BaseStrategy, Parameter, indicators


class {title}(BaseStrategy):
    """Two moving averages of the closes."""

    # What can be set from outside, with the bounds that are checked before the strategy sees a value.
    fast = Parameter.int(10, least=2, most=200, description="bars of the fast average")
    slow = Parameter.int(30, least=3, most=500, description="bars of the slow average")

    def validate_parameters(self) -> list[str]:
        """What the bounds alone cannot say."""
        return [] if self.fast < self.slow else [f"fast ({{self.fast}}) has to be less than slow ({{self.slow}})"]

    def on_bar(self, bar: Bar) -> None:
        """Called for each complete bar; its window is in self.data already."""
        closes = self.data.get_prices(bar.symbol, self.slow + 1)
        if len(closes) <= self.slow:
            return  # too few bars yet
        fast = indicators.sma(closes, self.fast)
        slow = indicators.sma(closes, self.slow)

        # What this says are signals, not orders: what the strategy would do, and how sure it is (0 to 1).
        if indicators.crossed_above(fast, slow):
            self.buy(bar.symbol, confidence=0.6, stop_loss=bar.close * 0.98)
            # Variables survive a restart; attributes of self do not.
            self.set_variable("entries", self.get_variable("entries", 0) + 1)
        elif indicators.crossed_below(fast, slow):
            self.close_long(bar.symbol, confidence=0.6)
        self.record_metric("distance", float(fast[-1] - slow[-1]))
'''

FUNCTION: Final = '''"""{name}: buys when the close is far below its mean, sells when it is far above."""

from actors.strategies.sdk import Parameter, indicators

# What can be set from outside, with the bounds that are checked before the strategy sees a value.
PARAMETERS = {{
    "period": Parameter.int(20, least=2, most=200, description="bars of the mean"),
    "distance": Parameter.float(2.0, least=0.5, most=10.0, description="in standard deviations"),
}}


def generate_signal(data, parameters):
    """Called for each complete bar. `data`: symbol -> bars up to now, with columns open, high, low, close ..."""
    signals = []
    for symbol, bars in data.items():
        if len(bars) < parameters["period"]:
            continue  # too few bars yet
        score = indicators.zscore(bars.close[-parameters["period"] :], parameters["period"])[-1]

        # A signal is a dictionary: an action, and a confidence from 0 to 1. No signal is None, or an empty list.
        if score < -parameters["distance"]:
            signals.append({{"symbol": symbol, "action": "BUY", "confidence": 0.6, "metadata": {{"score": score}}}})
        elif score > parameters["distance"]:
            signals.append({{"symbol": symbol, "action": "SELL", "confidence": 0.6, "metadata": {{"score": score}}}})
    return signals
'''

CLASS: Final = '''"""{name}: follows a close that leaves the range of the bars before it."""

from actors.strategies.sdk import Parameter


class {title}:
    """One instance lives as long as the run, so it can remember."""

    PARAMETERS = {{
        "period": Parameter.int(20, least=2, most=200, description="bars of the range"),
    }}

    def __init__(self):
        self.side = {{}}

    def generate_signal(self, data, parameters):
        """Called for each complete bar. `data`: symbol -> bars up to now, with columns open, high, low, close ..."""
        signals = []
        for symbol, bars in data.items():
            before = bars[-1 - parameters["period"] : -1]
            if len(before) < parameters["period"]:
                continue  # too few bars yet
            close = bars.close[-1]
            side = "BUY" if close > before.high.max() else "SELL" if close < before.low.min() else None
            if side is not None and side != self.side.get(symbol):
                self.side[symbol] = side
                signals.append({{"symbol": symbol, "action": side, "confidence": 0.55}})
        return signals

    # What survives a restart, and goes on to the next version. Without these two, nothing does.
    def on_save(self):
        """Numbers, texts, lists, dictionaries."""
        return {{"side": self.side}}

    def on_load(self, state):
        """What on_save has returned."""
        self.side = state["side"]
'''

TEMPLATES: Final[dict[Contract, str]] = {"sdk": SDK, "function": FUNCTION, "class": CLASS}


def template(contract: Contract, name: str) -> str:
    """The text of a new strategy; `name` is that of its file, without `.py`."""
    return TEMPLATES[contract].format(name=name, title="".join(word.capitalize() for word in name.split("_")))
