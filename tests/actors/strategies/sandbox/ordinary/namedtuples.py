"""Named tuples of both kinds; a result may be one."""

from collections import namedtuple
from typing import NamedTuple

Range = namedtuple("Range", "low high", defaults=(0.0,))


class Advice(NamedTuple):
    symbol: str
    action: str
    confidence: float = 0.5
    stop_loss: float | None = None

    @property
    def strong(self) -> bool:
        return self.confidence > 0.7


def generate_signal(data, parameters):
    advices = []
    for symbol, bars in data.items():
        spread = Range(bars.low.min(), bars.high.max())
        place = (bars.close[-1] - spread.low) / (spread.high - spread.low)
        if place > 0.9:
            advices.append(Advice(symbol, "BUY", float(place)))
        elif place < 0.1:
            advices.append(Advice(symbol, "SELL", stop_loss=spread._replace(low=1.0).high))
    best = max(advices, key=lambda advice: advice.confidence, default=None)
    assert best is None or best._asdict()["symbol"] == best[0] and best._fields[0] == "symbol"
    return best
