"""Topics: typed publish and subscribe inside a node, keyed by message type and key.

A publish never waits. A full subscriber loses by its own mailbox's policy and is told so: `Lagged` ahead of what waits
in its mailbox, or, for a lossless subscription, at the very place where something is missing.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import trio

from protocols.control import Lagged, Message
from runtime.mailbox import Lag, Overflow, Posted
from runtime.variables import running_cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.cell import Cell

ALL: None = None
"""The key of a subscription to every key of a type."""


class Subscription:
    """One subscriber of one topic."""

    __slots__ = ("cell", "key", "lag", "lossless", "lost", "message_type")

    def __init__(self, cell: Cell | Tap, message_type: type[Message], key: str | None, lossless: bool) -> None:
        self.cell = cell
        self.message_type = message_type
        self.key = key
        self.lossless = lossless
        self.lag: Lag | None = None
        """Set while a gap of a lossless subscription waits in the mailbox."""
        self.lost = 0

    @property
    def topic(self) -> str:
        """The name of the topic."""
        return self.message_type.__name__

    def deliver(self, message: Message) -> bool:
        """Everything that is not a plain append."""
        cell = self.cell
        if isinstance(cell, Tap):
            cell.lose(message)
            self.lost += 1
            return True
        item: Any = message
        if cell.kind.fences:
            sender = running_cell.get()
            item = Posted(message, None if sender is None else sender.mark)
        if self.lossless:
            return self._deliver_lossless(cell, item)
        code = cell.admit(item)
        if code in ("mailbox_full", "dropped"):
            self.lost += 1
            cell.lagged(self.topic, message.topic_key(), 1)  # type: ignore[attr-defined]
        return code is None

    def miss(self, key: str, count: int) -> None:
        """Tell of a loss that happened before the messages came here."""
        cell = self.cell
        self.lost += count
        if isinstance(cell, Tap):
            cell.lost += count
        elif not self.lossless:
            cell.lagged(self.topic, key, count)  # type: ignore[attr-defined]
        else:
            if self.lag is None:
                self.lag = Lag(self.topic, self.key or "")
                cell.put_lag(self.lag)
            self.lag.count += count

    def _deliver_lossless(self, cell: Cell, item: Any) -> bool:
        if self.lag is None:
            if len(cell.queue) < cell.capacity or cell.overflow is Overflow.CONFLATE:
                code = cell.admit(item)
                if code != "mailbox_full":
                    return code is None
            self.lag = Lag(self.topic, self.key or "")
            cell.put_lag(self.lag)
        self.lag.count += 1
        self.lost += 1
        return False


class Topics:
    """Who subscribed to what."""

    def __init__(self) -> None:
        self._by_type: dict[type, dict[str | None, tuple[Subscription, ...]]] = {}
        self._by_cell: dict[Cell | Tap, list[Subscription]] = {}
        self.changed: Callable[[type[Message]], None] | None = None
        """Called when a subscription comes or goes, with its type."""

    def publish(self, message: Message) -> int:
        """Deliver to every subscriber; returns how many took it."""
        keyed = self._by_type.get(type(message))
        if keyed is None:
            return 0
        taken = 0
        for subscriptions in (keyed.get(message.topic_key()), keyed.get(ALL)):
            for subscription in subscriptions or ():
                cell = subscription.cell
                queue = cell.queue
                if len(queue) < cell.limit and subscription.lag is None:
                    queue.append(message)
                    if cell.asleep:
                        cell.wake()
                    taken += 1
                elif subscription.deliver(message):
                    taken += 1
        return taken

    def publish_from(self, message: Message, origin: object) -> int:
        """`publish` for what comes from a host (`origin`), which has already served its own subscribers."""
        keyed = self._by_type.get(type(message))
        if keyed is None:
            return 0
        taken = 0
        for subscriptions in (keyed.get(message.topic_key()), keyed.get(ALL)):
            for subscription in subscriptions or ():
                cell = subscription.cell
                if cell.host is not origin and self._put(subscription, message):
                    taken += 1
        return taken

    def _put(self, subscription: Subscription, message: Message) -> bool:
        cell = subscription.cell
        if len(cell.queue) < cell.limit and subscription.lag is None:
            cell.queue.append(message)
            if cell.asleep:
                cell.wake()
            return True
        return subscription.deliver(message)

    def missed(self, message_type: type[Message], key: str, count: int, origin: object) -> None:
        """So many publishes by a host did not reach this process: tell the subscribers."""
        keyed = self._by_type.get(message_type, {})
        for subscriptions in (keyed.get(key), keyed.get(ALL)):
            for subscription in subscriptions or ():
                if subscription.cell.host is not origin:
                    subscription.miss(key, count)

    def wanted(self, message_type: type[Message], origin: object) -> tuple[bool, tuple[str, ...]]:
        """Whether anybody beside a host itself wants every message of a type, and else of which keys."""
        keyed = self._by_type.get(message_type, {})
        keys = [key for key, found in keyed.items() if any(each.cell.host is not origin for each in found)]
        return ALL in keys, tuple(key for key in keys if key is not None)

    def has_subscribers(self, message_type: type[Message]) -> bool:
        """Whether anybody would get a message of this type under some key."""
        return message_type in self._by_type

    def subscribe(self, cell: Cell | Tap, message_type: type[Message], key: str | None, lossless: bool) -> None:
        """Add a subscription; the same one again changes only whether it is lossless."""
        keyed = self._by_type.setdefault(message_type, {})
        for known in keyed.get(key, ()):
            if known.cell is cell:
                known.lossless = lossless
                return
        subscription = Subscription(cell, message_type, key, lossless)
        keyed[key] = (*keyed.get(key, ()), subscription)
        self._by_cell.setdefault(cell, []).append(subscription)
        if self.changed is not None:
            self.changed(message_type)

    def unsubscribe(self, cell: Cell | Tap, message_type: type[Message], key: str | None) -> None:
        """Remove a subscription, if there is one."""
        for subscription in self._by_cell.get(cell, ()):
            if subscription.message_type is message_type and subscription.key == key:
                self._by_cell[cell].remove(subscription)
                self._remove(subscription)
                return

    def drop(self, cell: Cell | Tap) -> None:
        """A subscriber has ended, and its subscriptions with it."""
        for subscription in self._by_cell.pop(cell, ()):
            self._remove(subscription)

    def _remove(self, subscription: Subscription) -> None:
        if self.changed is not None:
            self.changed(subscription.message_type)
        keyed = self._by_type[subscription.message_type]
        rest = tuple(s for s in keyed[subscription.key] if s is not subscription)
        if rest:
            keyed[subscription.key] = rest
            return
        del keyed[subscription.key]
        if not keyed:
            del self._by_type[subscription.message_type]

    def lag_delivered(self, cell: Cell, lag: Lag) -> None:
        """The subscriber is about to be told of a gap; what is published from now on is delivered again."""
        for subscription in self._by_cell.get(cell, ()):
            if subscription.lag is lag:
                subscription.lag = None

    def note_drop(self, cell: Cell, message: Message) -> None:
        """A waiting message was dropped for a newer one; told as lag if it came from a topic."""
        for subscription in self._by_cell.get(cell, ()):
            if subscription.message_type is type(message) and subscription.key in (None, message.topic_key()):
                subscription.lost += 1
                cell.lagged(subscription.topic, message.topic_key(), 1)  # type: ignore[attr-defined]
                return

    def rows(self) -> list[tuple[str, str | None, str, bool, int]]:
        """Every subscription as (topic, key, path of the subscriber, lossless, lost)."""
        return [
            (s.topic, s.key, s.cell.path, s.lossless, s.lost)
            for keyed in self._by_type.values()
            for subscriptions in keyed.values()
            for s in subscriptions
        ]


class Tap:
    """A subscriber that is no actor: a bounded window on topics for one task, which loses the oldest and counts.

    Made by `Node.open_tap`.
    """

    __slots__ = ("_task", "asleep", "host", "limit", "lost", "path", "queue")

    def __init__(self, path: str, capacity: int) -> None:
        self.path = path
        self.host: object = None
        self.queue: deque[Any] = deque()
        self.limit = capacity
        self.asleep = False
        self.lost = 0
        self._task: trio.lowlevel.Task | None = None

    def wake(self) -> None:
        """Let the waiting task run."""
        self.asleep = False
        assert self._task is not None
        trio.lowlevel.reschedule(self._task)

    def lose(self, message: Message) -> None:
        """Make room for the newest message."""
        self.queue.popleft()
        self.lost += 1
        self.queue.append(message)

    async def receive(self) -> tuple[Message, ...]:
        """Everything published since the last call, waiting for at least one; a loss leads as `Lagged`."""
        if not self.queue:
            self._task = trio.lowlevel.current_task()
            self.asleep = True

            def abort(_: Any) -> trio.lowlevel.Abort:
                self.asleep = False
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
        else:
            await trio.lowlevel.checkpoint()
        batch: tuple[Message, ...] = tuple(self.queue)
        self.queue.clear()
        if self.lost:
            batch = (Lagged("*", "", self.lost), *batch)
            self.lost = 0
        return batch
