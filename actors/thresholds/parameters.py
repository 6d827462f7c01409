"""Which thresholds there are: the five of the threshold service, and a registry for more.

A parameter lives on two axes. Its *value* is what users see (RSI 70, a volume of 10⁹). Its *gate* axis is what learning
sees: there, every rule says "act if score >= theta". A cap is turned round, a log scale is taken:

    gate(v) = sign * (ln v if log else v)        sign = +1 for a floor, -1 for a cap
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import msgspec

from protocols.thresholds import Comparison, GatedSignal

Field = Literal["confidence", "rsi", "macd", "change_percent", "volume"]
Scale = Literal["linear", "log"]


class Parameter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One threshold. `field`: the field of a signal that it judges.

    `applies` BUY: a SELL is not judged by it. `absolute`: the size of the field counts, not its sign. `mirrored`: for a
    SELL the field's sign is turned round. `required`: a signal without the field is not traded; otherwise the rule is
    left out. Raises ValueError for what cannot be.
    """

    name: str
    field: Field
    default: float
    lower: float
    upper: float
    comparison: Comparison = "floor"
    scale: Scale = "linear"
    applies: Literal["BUY", "both"] = "both"
    absolute: bool = False
    mirrored: bool = False
    required: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name: expected a name, got an empty one")
        if not all(map(math.isfinite, (self.default, self.lower, self.upper))):
            raise ValueError(f"{self.name}: expected finite numbers for default, lower and upper")
        if not self.lower < self.upper:
            raise ValueError(f"{self.name}.upper: expected above lower ({self.lower:g}), got {self.upper:g}")
        if not self.lower <= self.default <= self.upper:
            raise ValueError(
                f"{self.name}.default: expected {self.lower:g} to {self.upper:g}, got {self.default:g}",
            )
        if self.scale == "log" and self.lower <= 0:
            raise ValueError(f"{self.name}.lower: expected above 0 on a log scale, got {self.lower:g}")
        if self.absolute and self.mirrored:
            raise ValueError(f"{self.name}.mirrored: expected false for an absolute field")

    def gate(self, value: float) -> float:
        """A value or a score on the gate axis. Raises ValueError for a score that a log scale does not have."""
        on = math.log(value) if self.scale == "log" else value
        return -on if self.comparison == "cap" else on

    def value(self, gate: float) -> float:
        """A point of the gate axis as a value within the bounds."""
        on = -gate if self.comparison == "cap" else gate
        if self.scale == "log":
            # Far outside exp overflows; the bounds are known before.
            on = min(max(on, math.log(self.lower)), math.log(self.upper))
            on = math.exp(on)
        return min(max(on, self.lower), self.upper)

    def score(self, signal: GatedSignal) -> float | None:
        """What the rule compares: the field, absolute or mirrored as it says. None: missing, or no number."""
        found: float | None = getattr(signal, self.field)
        if found is None or not math.isfinite(found):
            return None
        if self.absolute:
            return abs(found)
        if self.mirrored and signal.action == "SELL":
            return -found
        return found

    @property
    def needs_action(self) -> bool:
        """Whether the rule cannot be told without the signal's action."""
        return self.mirrored or self.applies == "BUY"


DEFAULTS: Final = (
    Parameter(
        name="rsi", field="rsi", default=70.0, lower=50.0, upper=90.0, comparison="cap", applies="BUY", required=False
    ),
    Parameter(name="confidence", field="confidence", default=0.65, lower=0.2, upper=1.0),
    Parameter(name="macd", field="macd", default=0.0, lower=-0.1, upper=0.1, mirrored=True, required=False),
    Parameter(name="volume", field="volume", default=1e9, lower=1e8, upper=1e10, scale="log"),
    Parameter(name="momentum", field="change_percent", default=2.0, lower=1.0, upper=5.0, absolute=True),
)
"""The five, with the defaults and bounds of the threshold service.

It refused a signal without confidence, change or volume (it read zeros) and let one without RSI pass (it read 50): so
`required` says. Its MACD was judged nowhere; here a BUY needs macd >= threshold and a SELL -macd >= threshold.
"""


class Registry:
    """The parameters of a service by name, in the order of their rules. Raises ValueError for a name that comes twice,
    or for none."""

    __slots__ = ("_by_name", "parameters")

    def __init__(self, parameters: Iterable[Parameter] = DEFAULTS) -> None:
        self.parameters = tuple(parameters)
        self._by_name = {each.name: each for each in self.parameters}
        if len(self._by_name) != len(self.parameters):
            names = [each.name for each in self.parameters]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"parameters: expected each name once, got {twice!r} twice")
        if not self.parameters:
            raise ValueError("parameters: expected at least one")

    def with_(self, *more: Parameter) -> Registry:
        """A registry that has these too; one of a name that is known replaces it, in its place."""
        replaced = {**self._by_name, **{each.name: each for each in more}}
        return Registry(replaced.values())

    def __getitem__(self, name: str) -> Parameter:
        """The parameter of a name. Raises KeyError."""
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)
