"""How often a prediction came true: hits and outcomes by the strength of what predicted, and what follows from them.

The estimate is the mean of the Beta(1 + hits, 1 + misses) distribution, the posterior of a rate about which nothing was
known before (Laplace's rule of succession): (hits + 1) / (outcomes + 2). Old outcomes fade: once a bin has `memory`
outcomes, each new one takes the place of an equal share of all older ones.
"""

from __future__ import annotations

import msgspec


class Tally(msgspec.Struct):
    """Outcomes of one bin; fractions, because old ones fade."""

    hits: float = 0.0
    outcomes: float = 0.0

    def rate(self) -> float:
        """The estimated rate of hits, above 0 and below 1."""
        return (self.hits + 1.0) / (self.outcomes + 2.0)


class Evidence:
    """Tallies of predictions whose strength is from 0 to 1, in `bins` bins of equal width."""

    def __init__(self, bins: int, memory: int) -> None:
        self.memory = memory
        self.tallies = [Tally() for _ in range(bins)]

    def bin(self, strength: float) -> int:
        """The bin of a strength in [0, 1]."""
        return min(int(strength * len(self.tallies)), len(self.tallies) - 1)

    def tally(self, strength: float) -> Tally:
        """What became of predictions of about this strength."""
        return self.tallies[self.bin(strength)]

    def add(self, strength: float, hit: bool) -> None:
        """A prediction of this strength has come true, or not."""
        tally = self.tally(strength)
        if tally.outcomes >= self.memory:
            fade = (self.memory - 1.0) / tally.outcomes
            tally.hits *= fade
            tally.outcomes *= fade
        tally.hits += hit
        tally.outcomes += 1.0

    @property
    def outcomes(self) -> float:
        """All of them."""
        return sum(tally.outcomes for tally in self.tallies)
