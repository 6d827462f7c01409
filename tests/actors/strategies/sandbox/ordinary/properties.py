"""Properties, class and static methods, slots, operators, and special methods."""


class Mean:
    __slots__ = ("_count", "_total")

    def __init__(self):
        self._count = 0
        self._total = 0.0

    @property
    def value(self):
        return self._total / self._count if self._count else 0.0

    @value.setter
    def value(self, found):
        self._count, self._total = 1, found

    @classmethod
    def of(cls, values):
        made = cls()
        for each in values:
            made += each
        return made

    @staticmethod
    def ratio(a, b):
        return a / b if b else 1.0

    def __iadd__(self, value):
        self._count += 1
        self._total += value
        return self

    def __len__(self):
        return self._count

    def __bool__(self):
        return self._count > 0

    def __eq__(self, other):
        return isinstance(other, Mean) and self._total == other._total

    __hash__ = None

    def __repr__(self):
        return f"{type(self).__name__}({self.value:.3f})"

    def __lt__(self, other):
        return self.value < other.value


class TradingStrategy:
    def generate_signal(self, data, parameters):
        means = {symbol: Mean.of(bars.close[-6:]) for symbol, bars in data.items() if len(bars) > 6}
        if not means or len(min(means.values())) != 6:
            return None
        symbol = max(means, key=lambda each: Mean.ratio(data[each].close[-1], means[each].value))
        ratio = Mean.ratio(data[symbol].close[-1], means[symbol].value)
        assert means[symbol] == Mean.of(data[symbol].close[-6:])
        if ratio > 1.003:
            return {"symbol": symbol, "action": "SELL", "confidence": 0.6, "metadata": {"mean": repr(means[symbol])}}
        return None
