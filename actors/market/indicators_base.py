"""What all indicators have in common: one value in, one value out, a warm-up, and a state that can be kept.

An indicator is fed one bar at a time and answers None until it has seen enough (`warm_up` bars): a value that is
missing is never a number. Feeding the same bars gives the same values whatever the speed: live, in a backtest, or
over an array, which goes through the same class.

A window is summed anew for each value (`math.fsum` is exact), so that there is no drift over millions of bars and a
value depends on its window alone.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, ClassVar, Final, Generic, TypeVar

V = TypeVar("V", float, tuple[float, ...])

MOST_PERIOD: Final = 100_000
"""A window longer than this is a mistake."""
STATE_VERSION: Final = 1

State = tuple[Any, ...]
"""What `save` gives: tuples, numbers, text and None, so it goes through msgpack or JSON unchanged."""


class Indicator(Generic[V]):
    """The base of all indicators. A subclass sets the names and defines `_next`, one argument for each of `INPUTS`.

    Everything that a subclass keeps is set in its constructor, so that a state can be put back field by field.
    """

    NAME: ClassVar[str]
    INPUTS: ClassVar[tuple[str, ...]] = ("close",)
    """What `update` takes, in order: fields of a bar."""
    OUTPUTS: ClassVar[tuple[str, ...]] = ("value",)
    """What it gives; one number where there is one output, a tuple of them where there are several."""

    _next: Callable[..., V | None]

    warm_up: int
    """How many bars it takes until the first value; that bar's included."""

    def update(self, *inputs: float) -> V | None:
        """Take the next bar and return the value at its end, None while warming up or where it is not defined.

        Raises ValueError for a number that is none (NaN, infinite); the state is then unchanged.
        """
        for value in inputs:
            if not isfinite(value):
                raise ValueError(f"{self.NAME}: expected finite numbers, got {value}")
        return self._next(*inputs)

    def save(self) -> State:
        """The whole state, parameters included."""
        return (self.NAME, STATE_VERSION, *(_saved(value) for value in vars(self).values()))

    def restore(self, state: State) -> None:
        """Go on where `save` was called.

        Raises ValueError for a state of another indicator, or of one with other parameters.
        """
        own = vars(self)
        if tuple(state[:2]) != (self.NAME, STATE_VERSION) or len(state) != len(own) + 2:
            raise ValueError(f"{self.NAME}: this is not a state of it: {state[:2]!r}")
        parameters = self.parameters()
        for name, saved in zip(own, state[2:], strict=True):
            if name in parameters and own[name] != saved:
                raise ValueError(f"{self.NAME}: {name} is {own[name]}, and {saved} in the state")
        for (name, value), saved in zip(list(own.items()), state[2:], strict=True):
            setattr(self, name, _restored(value, saved))

    @classmethod
    def parameters(cls) -> Mapping[str, Any]:
        """The constructor's parameters with their defaults."""
        return {name: each.default for name, each in inspect.signature(cls).parameters.items()}

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={vars(self)[name]}" for name in self.parameters())
        return f"{type(self).__name__}({given})"


def _saved(value: Any) -> Any:
    if isinstance(value, Indicator):
        return value.save()
    if isinstance(value, deque):
        return tuple(_saved(each) for each in value)
    return value


def _restored(now: Any, saved: Any) -> Any:
    if isinstance(now, Indicator):
        now.restore(tuple(saved))
        return now
    if isinstance(now, deque):
        return deque((tuple(each) if isinstance(each, list) else each for each in saved), now.maxlen)
    return tuple(saved) if isinstance(saved, list) else saved


def checked_period(value: int, name: str = "period", least: int = 1) -> int:
    """`value`, if it is a length of a window. Raises ValueError that names the parameter."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MOST_PERIOD:
        raise ValueError(f"{name}: expected a whole number from {least} to {MOST_PERIOD}, got {value!r}")
    return value


def checked_factor(value: float, name: str) -> float:
    """`value` as a float, if it is finite and not negative. Raises ValueError that names the parameter."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
        raise ValueError(f"{name}: expected a number of at least 0, got {value!r}")
    return float(value)
