"""What lives in a worker: placed actors and branches, what they hang on, and the services beside them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, cast

import msgspec

from protocols.control import ExitReason, Refused
from runtime.actor_cell import ActorCell
from runtime.cell import NOTHING, Cell, State
from runtime.cluster import wire
from runtime.exits import describe
from runtime.mailbox import Ask, Lag, Posted, content
from runtime.spec import ChildSpec
from runtime.supervisor import SupervisorCell
from runtime.timers import Timer

if TYPE_CHECKING:
    from runtime.cluster.host_node import HostNode
    from runtime.cluster.node_end import NodeEnd

CLAIM_NS = 1_000_000
"""How much work an actor takes over at once, in ns: what it has taken counts as begun if the worker dies."""
MOST_CLAIMED = 256


class ServicesEnded(Exception):
    """What placed actors need beside them cannot be had: the worker ends."""


class Gap(Lag):
    """The place of a loss that the node's mailbox had."""

    __slots__ = ()

    def __init__(self, topic: str, key: str, count: int) -> None:
        super().__init__(topic, key)
        self.count = count


class HostedActor(ActorCell):
    """A placed actor in its worker. What the node delivers waits in `inbox` until the node was told of its begin."""

    __slots__ = ("begun", "busy_mark", "claimed", "claiming", "handled_mark", "host_end", "inbox")

    def __init__(self, node: HostNode, parent: Root, spec: ChildSpec, path: str) -> None:
        super().__init__(node, parent, spec, path)
        self.host_end: NodeEnd = node.end
        self.inbox: deque[Any] = deque()
        self.begun = 0
        self.claimed = 1
        """How many were taken over last."""
        self.claiming = 0
        self.handled_mark = self.busy_mark = 0

    def set_state(self, state: State) -> None:
        """See `Cell.set_state`; the node is told."""
        super().set_state(state)
        if state in (State.UP, State.RECOVERING):
            self.host_end.link.put(wire.StateIs(self.path, state.value))

    def deliver(self, item: Any) -> None:
        """Take something from the node."""
        self.inbox.append(item)
        if self.asleep:
            self.host_end.claimants.add(self)

    def put_ask(self, ask: Ask) -> None:
        """See `Cell.put_ask`: one from the node waits with what else came from there."""
        if ask.done is not None:
            self.deliver(ask)
        else:
            super().put_ask(ask)

    def more(self) -> bool:
        """See `ActorCell.more`."""
        self.tell_handled()
        if not self.inbox or self.claiming:
            return False
        self.claiming = self._claim()
        if self.host_end.link.flush():
            self.take()
            return True
        self.host_end.link.when_sent(self.take)
        return False

    def claim(self) -> None:
        """As `more`, for an actor that sleeps; `take` follows when the node has been told."""
        if self.inbox and not self.claiming and self.asleep:
            self.claiming = self._claim()
            self.host_end.link.when_sent(self.take)

    def _claim(self) -> int:
        """Say how many of those that wait are begun now: about a millisecond of work, a coroutine always alone."""
        handled, busy = self.handled - self.handled_mark, self.busy_ns - self.busy_mark
        self.handled_mark, self.busy_mark = self.handled, self.busy_ns
        most = self.claimed * 2
        if handled and busy:
            most = min(most, max(1, CLAIM_NS * handled // busy))
        most = self.claimed = min(most, MOST_CLAIMED, len(self.inbox))
        sync = type(self.actor)._sync_handlers if self.actor is not None else {}
        number = 0
        for item in self.inbox:
            if number >= most:
                break
            if type(content(item)) not in sync:
                number = number or 1
                break
            number += 1
        self.begun += number
        self.host_end.link.put(wire.Begun(self.path, self.begun))
        return number

    def take(self) -> None:
        """The node knows: let the claimed ones be handled."""
        number, self.claiming = self.claiming, 0
        if self.exit is not None or self.stop_reason is not None or self.actor is None:
            # The life ended meanwhile: they were never begun, and go back with what else is left.
            number = min(number, len(self.inbox))
        if self.queue is NOTHING:
            self.queue = deque()
            self.open_fast_path()
        inbox, queue = self.inbox, self.queue
        for _ in range(number):
            queue.append(inbox.popleft())
        if self.asleep:
            self.wake()

    def tell_handled(self) -> None:
        """All that was begun is handled, unless something was stashed."""
        if not self.stashed and not self.claiming and self.begun > self.host_end.told.get(self.path, 0):
            self.host_end.told[self.path] = self.begun
            self.host_end.link.put(wire.Handled(self.path, self.begun))

    def leftovers(self) -> tuple[wire.Leftover, ...]:
        """What was taken and not begun."""
        made = []
        end = self.host_end
        for item in self.queue:
            if type(item) in (Lag, Timer):
                continue
            if type(item) is Ask:
                if item.done is None:
                    item.refuse("stopped", f"{self.path} has ended")
                elif (number := end.number_of(item)) is not None:
                    made.append(wire.Leftover(number, "", msgspec.Raw(b"\x90"), None))
                continue
            sender = item.sender if type(item) is Posted else None
            made += end.leftover(content(item), sender)
        self.queue = NOTHING
        for item in self.inbox:
            if type(item) is Ask:
                end.number_of(item)
        self.inbox.clear()
        return tuple(made)


class HostedSupervisor(SupervisorCell):
    """A placed branch in its worker."""

    __slots__ = ("host_end",)

    def __init__(self, node: HostNode, parent: Root, spec: ChildSpec, path: str) -> None:
        super().__init__(node, parent, spec, path)
        self.host_end: NodeEnd = node.end

    def set_state(self, state: State) -> None:
        """See `Cell.set_state`; the node is told."""
        super().set_state(state)
        if state is State.UP:
            self.host_end.link.put(wire.StateIs(self.path, state.value))

    def deliver(self, item: Any) -> None:
        """Take something from the node; a supervisor's requests wait here."""
        end = self.host_end
        end.told[self.path] = number = end.told.get(self.path, 0) + 1
        end.link.put(wire.Begun(self.path, number))
        end.link.put(wire.Handled(self.path, number))
        if type(item) is Ask:
            try:
                super().put_ask(item)
            except Refused as refusal:
                item.settle(refusal)
        elif (code := self.admit(item)) is not None:
            self.refuse_item(item, code)

    def put_ask(self, ask: Ask) -> None:
        """See `Cell.put_ask`."""
        if ask.done is not None:
            self.deliver(ask)
        else:
            super().put_ask(ask)

    def leftovers(self) -> tuple[wire.Leftover, ...]:
        """A supervisor that ends refuses what waits."""
        self.close()
        return ()


class Root(SupervisorCell):
    """What the placed actors live in: it starts and ends them as the node says, and decides nothing."""

    __slots__ = ()

    def signal(self) -> None:
        """See `Cell.signal`: nobody waits here."""

    def child_exited(self, cell: Cell, reason: ExitReason) -> None:
        """Tell the node; without its services a worker is of no use."""
        end = cast("HostNode", self.node).end
        if isinstance(cell, Services):
            if end.up:
                raise ServicesEnded(f"the worker's services gave up: {describe(reason)}")
            return
        end.tell_ended(cast("HostedActor | HostedSupervisor", cell), reason)


class Services(SupervisorCell):
    """What placed actors need beside them in their worker, at the top of its tree."""

    __slots__ = ()

    def add(self, spec: ChildSpec) -> Cell:
        """See `SupervisorCell.add`; the paths are those of the node's top."""
        cell = super().add(spec)
        del self.node.cells[cell.path]
        cell.path = f"/{spec.name}"
        cell._ref = None
        self.node.cells[cell.path] = cell
        return cell
