"""Exceptions: own classes, chains, else and finally, groups, assertions, context managers."""

from contextlib import contextmanager, suppress


class TooFewBars(ValueError):
    def __init__(self, symbol, count):
        super().__init__(f"{symbol}: {count} bars")
        self.count = count


done = []


@contextmanager
def noted(name):
    done.append(name)
    try:
        yield name
    finally:
        done.append(f"/{name}")


def score(symbol, bars):
    if len(bars) < 8:
        raise TooFewBars(symbol, len(bars))
    return bars.close[-1] / bars.close[-8]


def generate_signals(data, parameters):
    found = []
    missing = []
    for symbol, bars in data.items():
        with noted(symbol):
            try:
                value = score(symbol, bars)
            except TooFewBars as error:
                missing.append(error)
                continue
            else:
                found.append((value, symbol))
            finally:
                with suppress(KeyError, IndexError):
                    done[10_000]
    if missing:
        try:
            raise ExceptionGroup("missing", missing)
        except* TooFewBars as group:
            assert all(each.count < 8 for each in group.exceptions)
    try:
        value, symbol = max(found)
    except ValueError as error:
        assert "max()" in str(error)
        return []
    del done[:]
    return [{"symbol": symbol, "action": "BUY", "confidence": 0.5}] if value > 1.002 else []
