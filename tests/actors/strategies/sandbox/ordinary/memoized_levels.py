"""cached_property, total_ordering, recursion, default arguments, lambdas, star arguments, conditional imports."""

from functools import cached_property, total_ordering

try:
    import numpy as np
except ImportError:
    np = None


@total_ordering
class Level:
    def __init__(self, price, touches=0):
        self.price = price
        self.touches = touches

    def __eq__(self, other):
        return (self.touches, self.price) == (other.touches, other.price)

    def __lt__(self, other):
        return (self.touches, self.price) < (other.touches, other.price)


class Levels:
    def __init__(self, *prices, width=0.5):
        self.prices = prices
        self.width = width

    @cached_property
    def found(self):
        return self._split(sorted(self.prices))

    def _split(self, prices):
        if len(prices) < 2 or prices[-1] - prices[0] < self.width:
            return [Level(sum(prices) / len(prices), len(prices))] if prices else []
        middle = len(prices) // 2
        return self._split(prices[:middle]) + self._split(prices[middle:])


def generate_signals(
    data, parameters, *, nearest=lambda levels, price: min(levels, key=lambda each: abs(each.price - price))
):
    signals = []
    for symbol, bars in data.items():
        levels = Levels(*bars.close.tolist(), *(), **{"width": 0.4}).found
        strongest = max(levels)
        level = nearest(levels, bars.close[-1])
        if level is strongest and level.touches > 2 and np is not None:
            side = "BUY" if bars.close[-1] >= level.price else "SELL"
            signals.append({"symbol": symbol, "action": side, "confidence": 0.5, "support_level": level.price})
    return signals
