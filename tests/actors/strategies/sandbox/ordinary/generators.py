"""Generators, send, yield from, itertools, and a result that is one itself."""

from itertools import accumulate, chain, count, islice, pairwise, takewhile


def averages(period):
    window = []
    mean = None
    while True:
        value = yield mean
        window.append(value)
        if len(window) > period:
            window.pop(0)
        mean = sum(window) / len(window)


def steps(values):
    yield from (after - before for before, after in pairwise(values))


streams = {}
numbers = count(1)


def generate_signals(data, parameters):
    number = next(numbers)
    for symbol, bars in data.items():
        if symbol not in streams:
            streams[symbol] = averages(8)
            next(streams[symbol])
        mean = streams[symbol].send(float(bars.close[-1]))
        rising = list(takewhile(lambda step: step > 0, reversed(list(steps(bars.close)))))
        highs = list(accumulate(bars.high, max))
        if number > 8 and rising and bars.close[-1] > mean:
            best = next(islice(chain(highs[-1:], [0.0]), 1))
            yield {
                "symbol": symbol,
                "action": "BUY",
                "confidence": min(0.9, 0.5 + len(rising) / 20),
                "price_target": best,
            }
