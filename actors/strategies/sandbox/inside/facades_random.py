"""`random` of strategies: one generator that begins with a given seed, so that a run can be repeated."""

from __future__ import annotations

import random
from typing import Any, Final

from actors.strategies.sandbox.inside.facade import Facade

_FUNCTIONS: Final = (
    "betavariate", "choice", "choices", "expovariate", "gammavariate", "gauss", "getrandbits", "getstate",
    "lognormvariate", "normalvariate", "paretovariate", "randbytes", "randint", "random", "randrange", "sample", "seed",
    "setstate", "shuffle", "triangular", "uniform", "vonmisesvariate", "weibullvariate",
)  # fmt: skip


class Random(random.Random):
    """Python's generator; without a seed it begins with 0."""

    def __init__(self, seed: Any = None) -> None:
        super().__init__(0 if seed is None else seed)

    def seed(self, a: Any = None, version: int = 2) -> None:
        """Begin anew."""
        super().seed(0 if a is None else a, version)


_SHARED: Final = Random(0)


def seed_random(number: int) -> None:
    """Begin the shared generator anew."""
    _SHARED.seed(number)


def random_facade() -> Facade:
    """The functions of the shared generator, and the class."""
    return Facade("random", {"Random": Random, **{name: getattr(_SHARED, name) for name in _FUNCTIONS}})
