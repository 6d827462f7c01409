"""Randomness with a seed, of Python and of numpy."""

import random

import numpy as np
from numpy.random import default_rng

generator = random.Random(7)
numbers = default_rng(7)


def generate_signal(data, parameters):
    symbol = generator.choice(sorted(data))
    noise = numbers.normal(scale=0.1, size=5)
    if generator.random() < 0.3:
        order = list(numbers.permutation(3))
        return {
            "symbol": symbol,
            "action": generator.choices(["BUY", "SELL"], [3, 1])[0],
            "confidence": float(np.clip(0.5 + noise.mean(), 0, 1)),
            "metadata": {"order": order},
        }
    return None
