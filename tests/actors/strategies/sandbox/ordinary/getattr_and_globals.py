"""getattr, setattr and hasattr on one's own objects; module state by global."""

calls = 0
strategy = None


class State:
    _hidden = 3

    def __init__(self, **values):
        for name, value in values.items():
            setattr(self, name, value)

    def bump(self, name):
        setattr(self, name, getattr(self, name, 0) + 1)
        return getattr(self, name)


def generate_signal(data, parameters):
    global calls, strategy
    calls += 1
    if strategy is None:
        strategy = State(ups=0)
    symbol = next(iter(data))
    bars = data[symbol]
    name = "ups" if bars.close[-1] > bars.open[-1] else "downs"
    number = strategy.bump(name)
    assert hasattr(strategy, name) and not hasattr(strategy, "sideways") and getattr(strategy, "_hidden") == 3
    column = getattr(bars, "close" if calls % 2 else "open")
    if number % 5 == 0:
        return {
            "symbol": symbol,
            "action": "BUY" if name == "ups" else "SELL",
            "confidence": 0.5,
            "price_target": column[-1],
        }
    return None
