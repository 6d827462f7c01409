"""The node as the actors of a worker see it: what is not found here goes over the link."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from protocols.control import ExitReason, Message, Row
from runtime.cell import Cell
from runtime.clock import SystemClock
from runtime.cluster import wire
from runtime.cluster.codec import path_of
from runtime.cluster.far import FarCell
from runtime.cluster.hosted import HostedActor, HostedSupervisor
from runtime.journal import JournalEntry
from runtime.metrics import Metrics
from runtime.node import Node, NodeSettings, preview
from runtime.topics import Tap, Topics

if TYPE_CHECKING:
    from runtime.cluster.node_end import NodeEnd


class HostTopics(Topics):
    """Topics of a worker: its own subscribers are served here, all others by the node."""

    def __init__(self, end: NodeEnd) -> None:
        super().__init__()
        self._end = end

    def publish(self, message: Message) -> int:
        """See `Topics.publish`; the node counts as one subscriber if somebody there is interested."""
        return super().publish(message) + self._end.publish(message)

    def subscribe(self, cell: Cell | Tap, message_type: type[Message], key: str | None, lossless: bool) -> None:
        """See `Topics.subscribe`."""
        super().subscribe(cell, message_type, key, lossless)
        self._end.link.put(wire.Subscribe(cell.path, path_of(message_type), key, lossless))

    def unsubscribe(self, cell: Cell | Tap, message_type: type[Message], key: str | None) -> None:
        """See `Topics.unsubscribe`."""
        super().unsubscribe(cell, message_type, key)
        self._end.link.put(wire.Unsubscribe(cell.path, path_of(message_type), key))

    def drop(self, cell: Cell | Tap) -> None:
        """See `Topics.drop`."""
        super().drop(cell)
        if self._end.up:
            self._end.link.put(wire.Gone(cell.path))


class HostLog:
    """The node's log, from afar: a row travels in order with all that its actor sends, and before what depends on
    it."""

    def __init__(self, end: NodeEnd) -> None:
        self._end = end
        self.epoch = end.settings.epoch
        self.last: dict[str, int] = {}
        """The last number of each journal that is written here."""

    def append(self, row: Row) -> int:
        """Send a row; returns its number in the stream, if it has one."""
        number = getattr(row, "seq", 0)
        if isinstance(row, JournalEntry):
            self.last[row.stream] = number
        self._end.link.put(wire.Row(path_of(type(row)), self._end.codec.pack([row], type(row))))
        return int(number)

    def last_seq(self, stream: str) -> int:
        """The last number of a journal of this worker. Raises RuntimeError for other streams: ask the node's actors."""
        if stream not in self.last:
            raise RuntimeError(f"the stream {stream} is not known to a worker: ask an actor of the node")
        return self.last[stream]


class HostNode(Node):
    """The node as the actors of a worker see it."""

    def __init__(self, end: NodeEnd) -> None:
        self.end = end
        settings = end.settings
        super().__init__(
            NodeSettings(name=settings.node, data_dir=settings.data_dir, threads=settings.threads),
            SystemClock(),
            cast("Any", HostLog(end)),
            Metrics(),
            None,
        )
        self.worker = settings.worker
        self.topics = HostTopics(end)
        self.far: weakref.WeakValueDictionary[str, FarCell] = weakref.WeakValueDictionary()
        self.culprits: dict[str, tuple[Message | None, tuple[str, ...]]] = {}
        self.floors: dict[str, int] = {}
        """By placed branch: what the starts below it are counted from in its present life."""

    def next_count(self, path: str, count: int) -> int:
        """See `Node.next_count`: an earlier life of a branch may have been in another worker, and had counts, too."""
        above = path
        while above := above.rpartition("/")[0]:
            if above in self.floors:
                count = max(count, self.floors[above])
                break
        return super().next_count(path, count)

    def find(self, path: str) -> Cell | None:
        """See `Node.find`: what does not live here lives, if anywhere, with the node."""
        cell = self.cells.get(path)
        if cell is None or cell is self.root:
            cell = self.far.get(path)
            if cell is None:
                cell = self.far[path] = FarCell(self, path, lambda: self.end)
        return cell

    def watch(self, watcher: Cell, path: str) -> None:
        """See `Node.watch`."""
        if isinstance(watcher, FarCell) or (path in self.cells and self._ends_here(path)):
            super().watch(watcher, path)
        else:
            self._watched.setdefault(watcher, set()).add(path)
            self.end.link.put(wire.Watch(watcher.path, path, True))

    def unwatch(self, watcher: Cell, path: str) -> None:
        """See `Node.unwatch`."""
        if watcher in self._watchers.get(path, ()):
            super().unwatch(watcher, path)
        elif path in self._watched.get(watcher, ()):
            self._watched[watcher].discard(path)
            if self.end.up:
                self.end.link.put(wire.Watch(watcher.path, path, False))

    def _ends_here(self, path: str) -> bool:
        """Whether the supervisor of a path is in this worker: it alone can say whether an end was the last."""
        return not isinstance(self.cells[path], HostedActor | HostedSupervisor)

    def dead_letter(self, path: str, message: Message, reason: str) -> None:
        """See `Node.dead_letter`."""
        super().dead_letter(path, message, reason)

    def crash(self, cell: Cell, reason: ExitReason, culprit: Message | None, last: Sequence[str] | None = None) -> None:
        """See `Node.crash`: of a placed actor the node itself says it."""
        if isinstance(cell, HostedActor | HostedSupervisor):
            self.culprits[cell.path] = culprit, tuple(preview(message) for message in cell.recorder or ())
        else:
            super().crash(cell, reason, culprit, last)

    def quarantined(self, path: str, message: Message) -> None:
        """See `Node.quarantined`; of a placed actor the node itself says it."""
        cell = self.cells.get(path)
        if not isinstance(cell, HostedActor | HostedSupervisor):
            super().quarantined(path, message)
