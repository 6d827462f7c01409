"""A result that is an object of the strategy's own class."""

from types import SimpleNamespace


class Advice:
    def __init__(self, symbol, action, confidence):
        self.symbol = symbol
        self.action = action
        self.confidence = confidence
        self.take_profit = None


class MyStrategy:
    def __init__(self, parameters):
        self.every = parameters.get("every", 7)

    def generate_signals(self, data, parameters):
        result = []
        for symbol, bars in data.items():
            if len(bars) % self.every == 0:
                result.append(Advice(symbol, "BUY", 0.4))
            elif len(bars) % self.every == 1:
                result.append(SimpleNamespace(symbol=symbol, action="CLOSE_LONG", confidence=0.3))
        return tuple(result)
