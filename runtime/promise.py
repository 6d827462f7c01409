"""An answer that an actor owes: it handles other messages first, and gives the answer out of a later handler.

    @receive
    def decide(self, request: Decide) -> None:
        self.queue.append((request, self.promise()))      # what this handler returns is no answer

    @receive
    def drain(self, message: Drain) -> None:
        for request, promise in self.queue:
            promise.answer(...)

It costs no task, as `Actor.answer_later` does; the actor keeps its state to itself, because only handlers answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from protocols.control import Refused

if TYPE_CHECKING:
    from runtime.mailbox import Ask


class Promise:
    """Who made it answers once. What the actor's life leaves open ends for the asker as Unknown.

    Of a message that was told, nobody waits for the answer: it is made, and goes nowhere.
    """

    __slots__ = ("_ask", "_open")

    def __init__(self, ask: Ask | None, promised: set[Promise]) -> None:
        self._ask = ask
        self._open = promised
        promised.add(self)

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits: not after an answer, the deadline, or the asker's own end."""
        return self._ask is not None and self._ask.task is not None

    @property
    def deadline(self) -> float:
        """When the asker stops waiting, in seconds of `trio.current_time()`; infinite where nobody waits."""
        return math.inf if self._ask is None else self._ask.deadline

    def answer(self, value: object) -> None:
        """Done. The first outcome counts."""
        self._open.discard(self)
        if self._ask is not None:
            self._ask.answer(value)

    def refuse(self, refusal: Refused) -> None:
        """Certainly not performed. The first outcome counts."""
        self._open.discard(self)
        if self._ask is not None:
            self._ask.settle(refusal)

    def lose(self, why: str) -> None:
        """Begun, and nobody knows how it ended."""
        self._open.discard(self)
        if self._ask is not None:
            self._ask.lose(why)
