"""What a condition is made of: an operator that says yes, no or nothing yet, and the confirmation around it.

A number that is not known is None, and so is a verdict. What cannot be judged is neither true nor false: NOT of
nothing is nothing.

What an operator remembers follows from the bars that it was given, and from no more of them than `warm_up` and `memory`
say. So nothing has to be saved: the window of a strategy holds it all.
"""

from __future__ import annotations

from collections import deque
from math import isfinite
from typing import Any, ClassVar, Final

from actors.strategies.workflows.fields import Field, Value, integer

Number = float | None
Verdict = bool | None

CONFIRMATION: Final = integer(
    "confirmationBars", 1, 1, 1000, "how many bars in a row it has to hold", "confirmation_bars", "confirmations"
)


class Operator:
    """One condition without its confirmation. The docstring of a subclass is its definition.

    `step` is called once for each bar with what `PORTS` name (numbers; for the port `bars` the bar itself; for
    `values` as many numbers as are connected) and then the values of the fields that are `live`. It is called only
    when all of them are known; after a bar where one was not, the operator begins anew.
    """

    CODE: ClassVar[str]
    FAMILY: ClassVar[str]
    PORTS: ClassVar[tuple[str, ...]] = ("value",)
    FIELDS: ClassVar[tuple[Field, ...]] = ()
    ALIASES: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **built: Any) -> None:
        """`built`: the values of the fields that are not live."""
        self.built = built

    def step(self, *inputs: Any) -> Verdict:
        """The verdict at this bar, None while the bars before it do not suffice."""
        raise NotImplementedError

    @classmethod
    def warm_up(cls, built: dict[str, Value]) -> int:
        """How many bars it takes until the first verdict, that bar included."""
        return 1

    @classmethod
    def memory(cls, built: dict[str, Value]) -> int:
        """How many bars more its verdict depends on, to nine digits; 0 for a window."""
        return 0


class Windowed(Operator):
    """An operator that looks at its last `warm_up` inputs, kept in `self.window`."""

    def __init__(self, **built: Any) -> None:
        super().__init__(**built)
        self.window: deque[Any] = deque(maxlen=self.warm_up(built))

    def step(self, *inputs: Any) -> Verdict:
        """Keep what has come; judge once the window is full."""
        self.window.append(self.kept(*inputs))
        return self.judge(*inputs) if len(self.window) == self.window.maxlen else None

    def kept(self, *inputs: Any) -> Any:
        """What of the inputs is kept."""
        return inputs[0]

    def judge(self, *inputs: Any) -> Verdict:
        """The verdict over a full window, whose last element is what has just come."""
        raise NotImplementedError


def known(value: object) -> bool:
    """Whether an input is there: a number that is one."""
    return value is not None and (not isinstance(value, float) or isfinite(value))


def figures(bar: Any, *names: str) -> tuple[float, ...] | None:
    """These figures of a bar, or None where one of them is missing (NaN)."""
    found = tuple(float(getattr(bar, name)) for name in names)
    return found if all(map(isfinite, found)) else None
