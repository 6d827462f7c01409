"""Closures, nonlocal, decorators with arguments, functools."""

from functools import lru_cache, partial, reduce, wraps


def every(count):
    def decorate(function):
        calls = 0

        @wraps(function)
        def wrapper(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls % count == 0:
                return function(*args, **kwargs)
            return None

        return wrapper

    return decorate


def counter():
    count = 0

    def increase(by=1):
        nonlocal count
        count += by
        return count

    return increase


@lru_cache(maxsize=64)
def weights(count):
    return tuple(1 / (n + 1) for n in range(count))


def weighted(values, power):
    return reduce(lambda total, pair: total + pair[0] * pair[1] ** power, zip(values, weights(len(values))), 0.0)


total = counter()
score = partial(weighted, power=2)


@every(3)
def generate_signal(data, parameters):
    number = total()
    symbol, bars = sorted(data.items())[0]
    change = score(list(bars.close[-5:])) - score(list(bars.open[-5:]))
    assert generate_signal.__name__ == "generate_signal"
    return {"symbol": symbol, "action": "BUY" if change >= 0 else "SELL", "confidence": 0.5, "metadata": {"n": number}}
