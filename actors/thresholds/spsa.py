"""Paired SPSA in a switchback: learning where the outcome of a declined signal cannot be observed.

A live threshold is served c above and c below its centre, a block each, in an order that chance decides for every pair:

    slope = (J+ - J-) / (2 c)      J: mean outcome of a signal, one that was declined giving nothing
    c_k   = c / (k + 1)^0.101      Spall, IEEE Trans. Aerospace and Electronic Systems 34(3), 1998

That chance is a hash of names and number: a replay serves the same. What the centre has won over the default cannot be
seen either; the slope times the way from the default is a first-order estimate of it, and, for a gain with one hill,
not more than was won.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from actors.thresholds.gate import Moments


class SwitchbackSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`probe`: c in standard deviations of the score. `most`: c as a share of the value, at most; three times that is
    taken off what a cycle may move, so that centre and probe together keep to it."""

    probe: float = 0.2
    decay: float = 0.101
    most: float = 0.02

    def __post_init__(self) -> None:
        if min(self.probe, self.most) <= 0 or self.decay < 0:
            raise ValueError("probe, most: expected above 0; decay: 0 or more")


class Slope(msgspec.Struct, frozen=True):
    """The estimate of one pair, on the gate axis, and its variance."""

    mean: float
    variance: float


class Switchback(msgspec.Struct):
    """Where it is: the number of the pair, and what each side has shown in it. `probe`: c of this pair, gate axis."""

    pair: int = 0
    probe: float = 0.0
    above: Moments = msgspec.field(default_factory=Moments)
    below: Moments = msgspec.field(default_factory=Moments)

    def side(self, key: str, block: int) -> Literal[1, -1]:
        """Whether signals are judged above or below the centre now; `key` names whose threshold it is."""
        first: Literal[1, -1] = 1 if hashlib.blake2b(f"{key}#{self.pair}".encode()).digest()[0] & 1 else -1
        done = self.above if first == 1 else self.below
        if done.n < block:
            return first
        return -1 if first == 1 else 1

    def add(self, outcome: float, side: int, block: int) -> Slope | None:
        """Take in one signal; the slope, when the pair is complete."""
        (self.above if side > 0 else self.below).add(outcome)
        if min(self.above.n, self.below.n) < block:
            return None
        width = 2 * self.probe
        found = Slope(
            (self.above.mean - self.below.mean) / width,
            (self.above.variance / self.above.n + self.below.variance / self.below.n) / width**2,
        )
        self.begin_anew(self.pair + 1)
        return found

    def begin_anew(self, pair: int) -> None:
        """Forget what the pair has shown: it is complete, or what it was centred on has moved."""
        self.pair = pair
        self.above, self.below = Moments(), Moments()


def probe_of(pair: int, score_sd: float, settings: SwitchbackSettings) -> float:
    """c of a pair on the gate axis, before it is limited as a share of the value."""
    return float(settings.probe * score_sd / (pair + 1) ** settings.decay)
