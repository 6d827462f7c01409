"""Mailboxes: what waits for an actor, how much of it may wait, and what happens to the rest.

A queue holds bare messages, so that a tell costs no wrapping. What needs more than the message travels in an
envelope: an `Ask` (somebody waits for the answer), a `Posted` (the receiver fences and wants the sender), a `Lag`
(the place in a lossless subscription where something is missing).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from protocols.control import Incarnation, Lagged, Message, Refused, Unknown
from runtime.timers import Timer

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.cell import Cell


class Overflow(enum.Enum):
    """What a full mailbox does with one more message."""

    BLOCK = "block"
    """`send` waits for room; `tell` and `ask` are rejected."""
    REJECT = "reject"
    """The newcomer is refused, and its sender knows."""
    DROP_NEWEST = "drop_newest"
    """The newcomer becomes a dead letter."""
    DROP_OLDEST = "drop_oldest"
    """The oldest waiting message becomes a dead letter; a dropped ask is refused at once."""
    CONFLATE = "conflate"
    """A message replaces the waiting one of the same type and conflate key, at the tail; others are lossless."""


class OnCrash(enum.Enum):
    """What happens to the waiting messages of an actor that crashed."""

    KEEP = "keep"
    CLEAR = "clear"


class Mailbox(msgspec.Struct, frozen=True):
    """The bound of a mailbox (messages) and its overflow policy.

    Raises ValueError if the capacity is not positive.
    """

    capacity: int = 1024
    overflow: Overflow = Overflow.BLOCK

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise ValueError(f"mailbox capacity must be at least 1, got {self.capacity}")


class Sender(msgspec.Struct, frozen=True):
    """Who sent a message, and in which of its lives."""

    path: str
    incarnation: Incarnation


class Posted:
    """A tell to a fencing actor: the message with its sender."""

    __slots__ = ("message", "sender")

    def __init__(self, message: Message, sender: Sender | None) -> None:
        self.message = message
        self.sender = sender


class Lag:
    """The place in a mailbox where a lossless subscription lost `count` messages."""

    __slots__ = ("count", "key", "topic")

    def __init__(self, topic: str, key: str) -> None:
        self.topic = topic
        self.key = key
        self.count = 0

    def message(self) -> Lagged:
        """What the subscriber is told."""
        return Lagged(self.topic, self.key, self.count)


ELSEWHERE = object()
"""The task of an ask that somebody in another process waits for."""


class Ask:
    """One request on its way: from the asking task, through a mailbox, to exactly one outcome."""

    __slots__ = (
        "asker", "begun", "bucket", "deadline", "done", "error", "holder", "number", "request", "sender", "target",
        "task", "value",
    )  # fmt: skip

    def __init__(
        self,
        request: Message,
        sender: Sender | None,
        deadline: float,
        task: Any,
        asker: Cell | None,
        target: Cell,
        done: Callable[[Ask], None] | None = None,
    ) -> None:
        self.request = request
        self.sender = sender
        self.asker = asker
        """The cell whose handler waits for the answer; None if no handler does."""
        self.target = target
        self.deadline = deadline
        self.task: Any = task
        """The waiting task (ELSEWHERE if it is at the other end of a link); None once there is an outcome, or once it
        was cancelled."""
        self.done = done
        """What is called with the outcome where no task of this process waits."""
        self.holder: Any = None
        """Who has sent this on to another process, and knows its number there."""
        self.number = 0
        self.begun = False
        self.bucket: set[Ask] | None = None
        self.value: Any = None
        self.error: Refused | Unknown | None = None

    def answer(self, value: object) -> None:
        """Done. The first outcome counts."""
        task = self.task
        if task is not None:
            self.value = value
            self._leave()
            if self.done is None:
                trio.lowlevel.reschedule(task)
            else:
                self.done(self)

    def settle(self, error: Refused | Unknown) -> None:
        """Refused or Unknown. The first outcome counts."""
        task = self.task
        if task is not None:
            self.error = error
            self._leave()
            if self.done is None:
                trio.lowlevel.reschedule(task)
            else:
                self.done(self)

    def _leave(self) -> None:
        self.task = None
        if self.bucket is not None:
            self.bucket.discard(self)
        if self.asker is not None:
            # At once, not when its task runs: until then it would look as if it were still waiting.
            self.asker.awaiting.remove(self.target)

    def refuse(self, code: str, message: str = "", field: str | None = None) -> None:
        """Certainly not performed."""
        self.settle(Refused(code, message, field))

    def lose(self, why: str) -> None:
        """Begun, and nobody knows how it ended."""
        self.settle(Unknown(why))

    def expire(self) -> None:
        """The deadline has passed."""
        if self.begun:
            self.lose("the deadline passed while the request was being handled")
        elif self.holder is not None:
            self.holder.overdue(self)
        else:
            self.refuse("expired", "the deadline passed before the request was handled")

    def abort(self, _: Any) -> trio.lowlevel.Abort:
        """The asker is being cancelled: a request that has not begun will be skipped."""
        self._leave()
        if self.holder is not None:
            self.holder.revoke(self)
        return trio.lowlevel.Abort.SUCCEEDED


def content(item: object) -> Any:
    """The message inside whatever lies in a queue."""
    if type(item) is Ask:
        return item.request
    if type(item) is Posted:
        return item.message
    if type(item) is Lag:
        return item.message()
    if type(item) is Timer:
        return item.message
    return item


def conflate(cell: Cell, item: object) -> bool:
    """Replace the waiting message of the same type and key; True if there was one. The newer goes to the tail."""
    message = content(item)
    key = message.conflate_key()
    if key is None:
        return False
    for index, waiting in enumerate(cell.queue):
        old = content(waiting)
        if type(old) is type(message) and old.conflate_key() == key:
            del cell.queue[index]
            if type(waiting) is Ask:
                waiting.refuse("superseded", "a newer request of the same key took its place")
            cell.queue.append(item)
            return True
    return False
