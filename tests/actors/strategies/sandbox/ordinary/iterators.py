"""Iterator and container protocols, descriptors, context managers, and call operators of own classes."""


class Ring:
    def __init__(self, size):
        self.size = size
        self.items = []

    def __call__(self, item):
        self.items = [*self.items, item][-self.size :]
        return self

    def __iter__(self):
        return iter(self.items)

    def __reversed__(self):
        return reversed(self.items)

    def __getitem__(self, place):
        return self.items[place]

    def __contains__(self, item):
        return item in self.items

    def __len__(self):
        return len(self.items)


class Bounded:
    def __set_name__(self, owner, name):
        self.name = "_" + name

    def __get__(self, instance, owner=None):
        return self if instance is None else getattr(instance, self.name, 0.0)

    def __set__(self, instance, value):
        setattr(instance, self.name, min(max(value, 0.0), 1.0))


class Countdown:
    def __init__(self, start):
        self.left = start

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            raise StopIteration
        self.left -= 1
        return self.left


class Timing:
    confidence = Bounded()

    def __enter__(self):
        self.confidence = 0.3
        return self

    def __exit__(self, kind, error, trace):
        return kind is ZeroDivisionError


ring = Ring(6)


def generate_signal(data, parameters):
    symbol = min(data)
    ring(round(float(data[symbol].close[-1]), 2))
    if len(ring) < 6:
        return None
    timing = Timing()
    with timing as inside:
        inside.confidence = 0.5 + sum(Countdown(4)) / 10
        1 / (0 if ring[-1] == ring[0] else 1)
    up = all(a <= b for a, b in zip(ring, list(ring)[1:]))
    if up or next(reversed(ring)) not in ring:
        return {"symbol": symbol, "action": "BUY", "confidence": timing.confidence}
    return None
