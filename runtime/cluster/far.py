"""A path at the other end of a link: a cell without a mailbox, whose verbs send records."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import wait_task_rescheduled

from protocols.control import Lagged, Message, Refused
from runtime.cell import Cell, waiting_handler
from runtime.cluster import wire
from runtime.mailbox import Ask, Lag, Posted, content
from runtime.spec import ChildSpec
from runtime.variables import running_cell

if TYPE_CHECKING:
    from runtime.cluster.peer import Peer
    from runtime.node import Node

SOMEBODY = ChildSpec(name="far", actor="runtime.actor:Actor")


class FarCell(Cell):
    """`peer` gives the end of the link behind which the path lives now; None: it is gone."""

    __slots__ = ("__weakref__", "peer")

    def __init__(self, node: Node, path: str, peer: Callable[[], Peer | None]) -> None:
        super().__init__(node, None, SOMEBODY, path)
        self.peer = peer

    def _peer(self) -> Peer:
        peer = self.peer()
        if peer is None or not peer.up:
            raise Refused("stopped", f"the process of {self.path} is gone")
        return peer

    def tell_directly(self, message: Message) -> bool:
        """See `Cell.tell_directly`."""
        peer, cell = self.peer(), running_cell.get()
        if peer is not None and peer.tell(self.path, message, None if cell is None else cell.mark):
            return True
        self.node.dead_letter(self.path, message, "stopped" if peer is None or not peer.up else "mailbox_full")
        return False

    async def send_directly(self, message: Message, timeout: float) -> None:
        """See `Cell.send_directly`: the other end waits for room, and says how it went."""
        task = trio.lowlevel.current_task()
        asker = waiting_handler(task)
        deadline = trio.current_time() + timeout
        if asker is not None and asker.asked is not None:
            deadline = min(deadline, asker.asked.deadline)
        cell = running_cell.get()
        ask = Ask(message, None if cell is None else cell.mark, deadline, task, asker, self)
        self._peer().ask(self.path, ask, send=True)
        self.node.timers.add_ask(ask, deadline - trio.current_time())
        if ask.asker is not None:
            ask.asker.awaiting.append(self)
        await wait_task_rescheduled(ask.abort)
        if ask.error is not None:
            raise ask.error

    def put_ask(self, ask: Ask) -> None:
        """See `Cell.put_ask`."""
        self._peer().ask(self.path, ask)

    def admit(self, item: Any) -> str | None:
        """Take something as a subscriber, or say why not."""
        peer = self.peer()
        if peer is None or not peer.up:
            return "stopped"
        if peer.link.congested:
            return "mailbox_full"
        if type(item) is Lag:
            peer.link.put(wire.Gap(self.path, item.topic, item.key, item.count))
        else:
            peer.link.say(wire.Tell, self.path, content(item), item.sender if type(item) is Posted else None)
        return None

    def put_lag(self, lag: Lag) -> None:
        """See `Cell.put_lag`: the place is where the link has room again."""
        peer = self.peer()
        if peer is None or not peer.up:
            return

        def sent() -> None:
            self.node.topics.lag_delivered(self, lag)
            peer.link.put(wire.Gap(self.path, lag.topic, lag.key, lag.count))

        peer.link.when_sent(sent)

    @property
    def host(self) -> object:
        """See `Cell.host`."""
        return self.peer()

    def lagged(self, topic: str, key: str, count: int) -> None:
        """A subscriber there has lost something here."""
        self.post_control(Lagged(topic, key, count))

    def post_control(self, item: Any) -> None:
        """See `Cell.post_control`."""
        peer = self.peer()
        if peer is not None and peer.up:
            peer.link.say(wire.Control, self.path, item, None)

    async def stop(self, timeout: float) -> None:
        """See `Cell.stop`: its supervisor lives where it does."""
        from runtime.administration import TerminateChild

        above, _, name = self.path.rpartition("/")
        await self.node.ref(above or "/").ask(TerminateChild(name), timeout)
