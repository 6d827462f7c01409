"""Dataclasses: frozen, with defaults, ordered, with properties, replaced."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace


@dataclass(frozen=True)
class Idea:
    symbol: str
    entry: float
    age: int = 0
    tags: tuple[str, ...] = ()

    def __post_init__(self):
        if self.entry <= 0:
            raise ValueError("entry")

    @property
    def stale(self) -> bool:
        return self.age >= 4

    def older(self) -> Idea:
        return replace(self, age=self.age + 1)


@dataclass(order=True)
class Ranked:
    score: float
    idea: Idea = field(compare=False)


ideas: dict[str, Idea] = {}


def generate_signals(data, parameters):
    found = []
    for symbol, bars in data.items():
        idea = ideas.get(symbol)
        if idea is None:
            ideas[symbol] = Idea(symbol, float(bars.close[-1]), tags=("new",))
        elif idea.stale:
            ranked = sorted(Ranked(each.entry, each) for each in ideas.values())
            best = ranked[-1].idea
            found.append({"symbol": best.symbol, "action": "BUY", "confidence": 0.6, "metadata": asdict(best)})
            del ideas[symbol]
        else:
            ideas[symbol] = idea.older()
    return found
