"""Where a resting order stands in its level's queue, as far as levels and trades can say.

The formulas are those of hftbacktest (`hftbacktest/src/backtest/models/queue.rs`). Sizes in nanos; the functions f take
units, as ln(1 + x) depends on the unit.

* risk averse: a trade of q takes q from what is ahead; a level never has more ahead than its size.
* probability: besides, a decrease of the level that no trade explains happened behind us with probability p:
  ahead − (1 − p)·c + min(back − p·c, 0), at most the level's new size, where c is that decrease and back what stands
  behind us. One thing differs: what is ahead never falls below 0 by a decrease, as hftbacktest's then makes the next
  trade fill more than its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import msgspec

from actors.execution.matching.settings import QueueName
from protocols.nanos import NANO

Probability = Callable[[float, float, float], float]
"""(ahead, back, exponent) in units: the probability that a decrease happened behind."""


class Place(msgspec.Struct, kw_only=True):
    """An order's place. `ahead` None: not known yet, as nobody showed the size of its level.

    `traded`: trades at its price since the level last changed. The rest is the level's last decrease, kept because the
    trade that caused it may be told later: (`ahead`, `traded`) before it, the sizes it went from and to, its time at
    the venue.
    """

    ahead: int | None
    at_rest: int | None = None
    traded: int = 0
    before_ahead: int = 0
    before_traded: int = 0
    decreased_from: int = 0
    decreased_to: int = 0
    decreased_ts: int = 0


def power(ahead: float, back: float, exponent: float) -> float:
    """f(back) / (f(back) + f(ahead)), f(x) = xⁿ."""
    behind = math.pow(back, exponent)
    return _ratio(behind, behind + math.pow(ahead, exponent))


def log(ahead: float, back: float, exponent: float) -> float:
    """f(back) / (f(back) + f(ahead)), f(x) = ln(1 + x)."""
    return _ratio(math.log1p(back), math.log1p(back) + math.log1p(ahead))


def power_total(ahead: float, back: float, exponent: float) -> float:
    """f(back) / f(back + ahead), f(x) = xⁿ."""
    return _ratio(math.pow(back, exponent), math.pow(back + ahead, exponent))


def log_total(ahead: float, back: float, exponent: float) -> float:
    """f(back) / f(back + ahead), f(x) = ln(1 + x)."""
    return _ratio(math.log1p(back), math.log1p(back + ahead))


def power_front_back(ahead: float, back: float, exponent: float) -> float:
    """1 − f(ahead / (ahead + back)), f(x) = xⁿ."""
    return 1.0 - (math.pow(ahead / (ahead + back), exponent) if ahead + back > 0 else 0.0)


def _ratio(part: float, whole: float) -> float:
    # hftbacktest: "if prob.is_infinite() { prob = 1.0 }"; 0 / 0 is a level without anybody.
    return part / whole if whole > 0 else 1.0


PROBABILITIES: Final[dict[str, Probability]] = {
    "probability_power": power,
    "probability_log": log,
    "probability_power_total": power_total,
    "probability_log_total": log_total,
    "probability_power_front_back": power_front_back,
}


class QueueModel:
    """One of the models by name. `none`: every order is at the front of its level."""

    __slots__ = ("_exponent", "_probability", "fill_model", "name")

    def __init__(self, name: QueueName, exponent: float = 3.0) -> None:
        self.name = name
        self.fill_model = "trade" if name == "none" else f"queue:{name}"
        self._probability = PROBABILITIES.get(name)
        self._exponent = exponent

    def rest(self, displayed: int | None) -> Place:
        """The place of an order that comes to rest at a level of this size (None: not known)."""
        ahead = 0 if self.name == "none" else displayed
        return Place(ahead=ahead, at_rest=ahead)

    def show(self, place: Place, displayed: int) -> None:
        """The level's size is known now: everything in it counts as ahead."""
        place.ahead = place.at_rest = displayed

    def trade(self, place: Place, size: int, ts_event: int) -> int:
        """A trade at the order's price; what of it is left behind those ahead.

        A trade that the level's last decrease shows already (it is not younger) is put before that decrease.
        """
        if place.ahead is None:
            return 0
        if self.name == "none":
            return size
        if 0 < ts_event <= place.decreased_ts:
            left = max(size - place.before_ahead, 0)
            place.before_ahead = max(place.before_ahead - size, 0)
            place.before_traded += size
            place.ahead = self._after(place.before_ahead, place.before_traded, place.decreased_from, place.decreased_to)
            return left
        left = max(size - place.ahead, 0)
        place.ahead = max(place.ahead - size, 0)
        place.traded += size
        return left

    def depth(self, place: Place, previous: int, displayed: int, ts_event: int) -> None:
        """The level's size has changed."""
        if place.ahead is None or self.name == "none":
            return
        if displayed < previous:
            place.before_ahead, place.before_traded = place.ahead, place.traded
            place.decreased_from, place.decreased_to, place.decreased_ts = previous, displayed, ts_event
        place.ahead = self._after(place.ahead, place.traded, previous, displayed)
        place.traded = 0

    def _after(self, ahead: int, traded: int, previous: int, displayed: int) -> int:
        unexplained = previous - displayed - traded
        if self._probability is None or unexplained < 0:
            return min(ahead, displayed)
        back = max(previous - ahead, 0)
        share = self._probability(ahead / NANO, back / NANO, self._exponent)
        estimate = ahead - (1.0 - share) * unexplained + min(back - share * unexplained, 0.0)
        return max(min(round(estimate), displayed), 0)
