"""When nothing is left to do: every actor waits for a message, and every task for something outside.

Who drives a virtual clock asks for it between two moments, so that what one moment led to is over before the next one
comes, whichever actors it went through. Real time passes meanwhile where an actor waits for a process or a thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import trio
from trio.testing import wait_all_tasks_blocked

from runtime.cell import Cell, State

if TYPE_CHECKING:
    from runtime.clock import VirtualClock
    from runtime.node import Node

POLL_S: Final = 0.0002


async def settled(node: Node, *, but: frozenset[str] = frozenset()) -> None:
    """Wait until no actor of the node handles anything or has anything to handle, those at the paths `but` aside.

    Not for a handler: it would wait for itself.
    """
    while True:
        await wait_all_tasks_blocked()
        if not any(_busy(cell) for path, cell in node.cells.items() if path not in but):
            return
        await trio.sleep(POLL_S)


async def virtual_moment(node: Node, clock: VirtualClock, moment: int, happen: Callable[[], Awaitable[object]]) -> None:
    """Move a node's virtual clock to a moment: what is due before it first, then what happens at it (`happen`), then
    what is due at it; each with all that follows, before the next."""
    await settled(node)
    while (due := clock.next_alarm()) is not None and due < moment:
        clock.reach(due)
        await settled(node)
    clock.enter(moment)
    await happen()
    await settled(node)
    while (due := clock.next_alarm()) is not None and due <= clock.now():
        clock.advance(0)
        await settled(node)


def _busy(cell: Cell) -> bool:
    if cell.later:
        return True
    if cell.task is None:
        return cell.state in (State.STARTING, State.RECOVERING)
    if cell.actor is None:
        return False  # a supervisor: what it does is seen at its children
    if cell.state is State.UP:
        return not cell.parked or bool(cell.queue) or bool(cell.control)
    return cell.state in (State.STARTING, State.RECOVERING, State.STOPPING)
