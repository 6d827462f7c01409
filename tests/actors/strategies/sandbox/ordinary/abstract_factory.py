"""Abstract base classes, multiple inheritance, super in a diamond, class attributes, isinstance and type."""

from abc import ABC, abstractmethod
from numbers import Real


class Rule(ABC):
    weight: float = 1.0

    @abstractmethod
    def score(self, bars) -> float: ...

    def weighted(self, bars):
        value = self.score(bars)
        assert isinstance(value, Real) and isinstance(type(value), type) and issubclass(type(self), Rule)
        return self.weight * value


class Named:
    def __init__(self, *, name="rule", **rest):
        super().__init__(**rest)
        self.name = name


class Breakout(Named, Rule):
    def __init__(self, period, **rest):
        super().__init__(**rest)
        self.period = period

    def score(self, bars):
        return float(bars.close[-1] >= bars.high[-self.period - 1 : -1].max() - 0.3)


class Volume(Named, Rule):
    weight = 0.5

    def score(self, bars):
        return float(bars.volume[-1] > bars.volume.mean())


rules = [Breakout(5, name="breakout"), Volume()]


def generate_signal(data, parameters):
    best = None
    for symbol, bars in data.items():
        if len(bars) < 6:
            continue
        total = sum(rule.weighted(bars) for rule in rules) / sum(rule.weight for rule in rules)
        if total > 0.6 and (best is None or total > best["confidence"]):
            names = [rule.name for rule in rules if type(rule) is Breakout or isinstance(rule, (Volume, str))]
            best = {"symbol": symbol, "action": "BUY", "confidence": total, "metadata": {"rules": names}}
    return best
