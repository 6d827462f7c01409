"""A condition of a workflow while it runs: an operator, and for how many bars in a row it has to hold."""

from __future__ import annotations

from typing import Any

from actors.strategies.workflows.operators import OPERATORS
from actors.strategies.workflows.operators.base import Verdict, known


class Condition:
    """A condition by its code. `update` is called once a bar with its inputs and the values of its live fields.

    None: it cannot be judged yet. Of an input that is not known nothing follows, and the operator begins anew behind
    it. With `confirm` n it is true at the n-th bar in a row at which its operator is.
    """

    def __init__(self, code: str, *, confirm: int = 1, **built: Any) -> None:
        self._kind = OPERATORS[code]
        self._built = built
        self._confirm = confirm
        self._operator = self._kind(**built)
        self._fresh = True
        self._held = 0

    def update(self, *inputs: Any) -> Verdict:
        """The verdict at this bar."""
        if not all(map(known, inputs)):
            if not self._fresh:
                self._operator, self._fresh = self._kind(**self._built), True
            self._held = 0
            return None
        self._fresh = False
        verdict = self._operator.step(*inputs)
        self._held = self._held + 1 if verdict else 0
        return self._held >= self._confirm if verdict is not None else None


def all_of(*verdicts: Verdict) -> Verdict:
    """True where all are; None where any is not known."""
    return None if None in verdicts else all(verdicts)


def any_of(*verdicts: Verdict) -> Verdict:
    """True where one is; None where any is not known."""
    return None if None in verdicts else any(verdicts)


def odd_of(*verdicts: Verdict) -> Verdict:
    """True where an odd number of them is (of two: exactly one); None where any is not known."""
    return None if None in verdicts else sum(map(bool, verdicts)) % 2 == 1


def negated(verdict: Verdict) -> Verdict:
    """True where it is false; None where it is not known."""
    return None if verdict is None else not verdict


class Trigger:
    """When an action acts: at the bar at which its condition becomes true, or (`every_bar`) as long as it is.

    It becomes true where it is, and was known not to be at the bar before.
    """

    def __init__(self, *, every_bar: bool = False) -> None:
        self._every_bar = every_bar
        self._last: Verdict = None

    def fires(self, verdict: Verdict) -> bool:
        """Whether to act at this bar."""
        last, self._last = self._last, verdict
        return verdict is True and (self._every_bar or last is False)
