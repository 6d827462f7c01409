"""operator, copy, sorting with keys, unpacking, slices, sets, chained comparisons."""

import copy
import operator
from operator import attrgetter, itemgetter, methodcaller

history = []


class Step:
    def __init__(self, symbol, price):
        self.symbol = symbol
        self.price = price

    def half(self, factor=2):
        return self.price / factor


def generate_signal(data, parameters):
    steps = [Step(symbol, float(bars.close[-1])) for symbol, bars in data.items()]
    history.append(copy.deepcopy(steps))
    first, *others = sorted(steps, key=attrgetter("symbol"))
    halves = list(map(methodcaller("half", factor=4), steps))
    table = sorted(((step.price, step.symbol) for step in steps), key=itemgetter(0), reverse=True)
    compare = operator.gt if len(history) % 2 else operator.lt
    if len(history) > 3 and compare(first.price, history[-3][0].price):
        *_, (price, symbol) = table
        low, high = slice(None, 2), slice(-2, None)
        change = sum(each[0].price for each in history[high]) - sum(each[0].price for each in history[low])
        return dict(
            symbol=symbol,
            action="BUY" if 0 < change < 1e9 else "SELL",
            confidence=0.5,
            metadata={"halves": halves, "others": len(others), "price": price},
        )
    return None
