"""The address of an actor: four verbs.

A ref names a path and survives restarts; it may be made before anybody lives there.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from protocols.control import Message, Refused, Request, Unknown

if TYPE_CHECKING:
    from runtime.cell import Cell

R = TypeVar("R")
ASK_S = 5.0
"""The deadline of an ask or a send that names none (OTP's `call`)."""


class Done(msgspec.Struct, frozen=True):
    """The request was performed; `value` is the handler's answer."""

    value: Any


Outcome = Done | Refused | Unknown


class ActorRef:
    """Where messages to one path go. Equal to every other ref of the same path."""

    __slots__ = ("_cell", "path")

    def __init__(self, path: str, cell: Cell) -> None:
        self.path = path
        self._cell = cell

    def tell(self, message: Message) -> bool:
        """Leave a message; never waits. Returns whether it was accepted, which is no promise that it is handled."""
        cell = self._cell
        queue = cell.queue
        if len(queue) < cell.limit:
            queue.append(message)
            if cell.asleep:
                cell.wake()
            return True
        return self._living().tell(message)

    async def send(self, message: Message, timeout: float = ASK_S) -> None:
        """Leave a message, waiting up to `timeout` seconds for room.

        Raises Refused: nobody lives there, the policy rejects, no room in time, or the wait would be a deadlock.
        """
        await self._living().send(message, timeout)

    def ask(self, request: Request[R], timeout: float = ASK_S) -> Coroutine[Any, Any, R]:
        """Ask and wait for the answer, up to `timeout` seconds (less, if the caller itself is being asked).

        Raises Refused: the request was certainly not performed (the actor refused, has stopped, is full, its breaker
        is open, asking would close a cycle, the deadline passed while it waited).
        Raises Unknown: handling had begun when the deadline passed or the actor died.
        """
        cell = self._cell
        if cell.limit < 0:
            cell = self._living()
            if cell.guard is not None:
                return cell.guard.ask(request, timeout)
        return cell.ask_directly(request, timeout)

    async def outcome(self, request: Request[Any], timeout: float = ASK_S) -> Outcome:
        """`ask`, with the outcome as a value to match on."""
        try:
            return Done(await self.ask(request, timeout))
        except (Refused, Unknown) as outcome:
            return outcome

    async def stop(self, timeout: float = ASK_S) -> None:
        """Have the supervisor stop the actor for good (a static spec is kept; see RestartChild), and wait for its end.

        Raises Refused `not_found` if there is none, Unknown if it has not ended within `timeout` seconds.
        """
        await self._living().stop(timeout)

    def _living(self) -> Cell:
        cell = self._cell
        if cell.gone:
            found = cell.node.find(self.path)
            if found is not None:
                self._cell = cell = found
        return cell

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorRef) and other.path == self.path and other._cell.node is self._cell.node

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"<ref {self.path}>"
