"""Supervisors: start children in order, restart them by the rules, stop them in reverse.

Theory of operation. A supervisor is one task that owns one shielded nursery; every child lives in a cancel scope of
its own, so only the supervisor ends children, and in order. Everything that happens reaches the supervisor as a
signal: a child's exit (`child_exited`), a request to stop, an admin request in its mailbox, a time. Its loop takes one
of them per turn, the most urgent first:

    stop or kill  >  exits of children  >  restarts that are due  >  admin requests

so that a stop gets in between two attempts to restart. Where it has to wait (a child's start, a child's end) it waits
for a condition in `_until`, which a stop request interrupts during starts.

A group (one_for_all: everything, rest_for_one: the child and what follows) is stopped at once when a restart is
decided, and started as a whole when the backoff is over; its restart is recorded once, when it is decided. A start
that fails during a restart is recorded again and tried again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import wait_task_rescheduled

from protocols.control import Crashed, ExitReason, Killed, Normal, Shutdown
from runtime import supervisor_requests
from runtime.actor_cell import ActorCell
from runtime.cell import RUNNING, Cell, State
from runtime.exits import crashed, describe, without_cancelled
from runtime.spec import AutoShutdown, ChildSpec, Restart, Strategy
from runtime.supervision import RestartWindow, ended_by_itself, lost_its_cluster, restarts
from runtime.variables import running_cell

if TYPE_CHECKING:
    from runtime.node import Node


class _StopAskedError(Exception):
    """A stop request arrived while the supervisor was waiting for a start."""


class _GaveUpError(Exception):
    """The restart limit was exceeded, or a significant child has ended: stop everything."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class SupervisorCell(Cell):
    """A cell in which a supervisor lives."""

    __slots__ = ("children", "due", "exits", "killed", "nursery", "options", "recent", "told", "unplaced", "window")

    def __init__(self, node: Node, parent: SupervisorCell | None, spec: ChildSpec, path: str) -> None:
        super().__init__(node, parent, spec, path)
        assert spec.supervisor is not None
        self.options = spec.supervisor
        self.children: dict[str, Cell] = {}
        self.exits: deque[Cell] = deque()
        self.due: dict[Cell, float] = {}
        """Restarts that wait for their time, by the child at which they begin."""
        self.window = RestartWindow(self.options.limit)
        self.recent: dict[Cell, list[float]] = {}
        """When each child was restarted within the period of the limit."""
        self.told: set[Cell] = set()
        """Children whose final exit has been told, and which were not started since."""
        self.unplaced: set[Cell] = set()
        """Children that wait for a cluster."""
        self.killed = False
        self.nursery: trio.Nursery

    # Life.

    def begin(self) -> ExitReason | None:
        """See `Cell.begin`: a supervisor is always started asynchronously."""
        self.count = self.node.next_count(self.path, self.count)
        self.exit = self.stop_reason = None
        self.killed = self.started = False
        self._mark = None
        self.window = RestartWindow(self.options.limit)
        self.set_state(State.STARTING)
        token = running_cell.set(self)
        try:
            nursery = self.node.nursery if self.parent is None else self.parent.nursery
            nursery.start_soon(self.live, name=self.path)
        finally:
            running_cell.reset(token)
        return None

    async def live(self) -> None:
        """Supervise until the end, then report it."""
        self.task = trio.lowlevel.current_task()
        self.node.awake += 1
        reason: ExitReason
        try:
            async with trio.open_nursery() as self.nursery:
                self.nursery.cancel_scope.shield = True
                reason = await self._live()
        except BaseException as error:
            rest = without_cancelled(error)
            if rest is None:
                raise
            reason = crashed(rest)
            self.node.crash(self, reason, None)
        finally:
            self.node.awake -= 1
            self.asleep = self.parked = False
        self._forget_children()
        self.task = None
        self.exits.clear()
        self.due.clear()
        self.unplaced.clear()
        if self.parent is None:
            self.exit = reason
            self.set_state(State.STOPPED)
            self.node.root_ended(reason)
        else:
            self.parent.child_exited(self, reason)

    async def _live(self) -> ExitReason:
        try:
            failure = await self._start_first()
            if failure is not None:
                return failure
            self.started = True
            self.set_state(State.UP)
            self.open_fast_path()
            if self.parent is None:
                self.node.up.set()
            else:
                self.parent.signal()
            await self._serve()
        except _StopAskedError:
            pass
        except _GaveUpError as gave_up:
            if self.stop_reason is None:
                self.stop_reason = Shutdown(gave_up.detail)
        self.set_state(State.STOPPING)
        await self._stop_children()
        return self.stop_reason or Shutdown()

    async def _start_first(self) -> ExitReason | None:
        for spec in self.options.children:
            cell = self.add(spec)
            failure = await self.start(cell)
            if failure is not None:
                self.finish(cell, failure)
                self.set_state(State.STOPPING)
                await self._stop_children()
                text = f"{cell.path} failed to start: {describe(failure)}"
                trace = failure.traceback if isinstance(failure, Crashed) else ""
                return Crashed("StartFailed", text, trace)
        return None

    async def _serve(self) -> None:
        while True:
            if self.stop_reason is not None or self.killed:
                return
            if self.exits:
                cell = self.exits.popleft()
                if cell.exit is not None:
                    await self._exited(cell)
            elif self.due and (anchor := self._next_due()) is not None:
                await self._restart(anchor)
            elif self.queue:
                await supervisor_requests.serve(self, self.queue.popleft())
            else:
                self.asleep = True
                await self._park(min(self.due.values(), default=math.inf))

    # Waiting.

    async def _park(self, deadline: float) -> None:
        if deadline != math.inf:
            self.node.timers.call_at(deadline, self.signal)
        self.parked = True
        self.node.awake -= 1
        await wait_task_rescheduled(self._abort)

    async def _until(self, condition: Callable[[], bool], deadline: float, *, interruptible: bool) -> bool:
        while not condition():
            if interruptible and (self.stop_reason is not None or self.killed):
                raise _StopAskedError
            if trio.current_time() >= deadline:
                return False
            await self._park(deadline)
        return True

    def child_exited(self, cell: Cell, reason: ExitReason) -> None:
        """An incarnation of a child has ended; called by the child's own task as its last act."""
        cell.exit = reason
        self.exits.append(cell)
        self.signal()

    def next_try(self, cell: Cell) -> float | None:
        """Seconds until a child in backoff (or its group) is started again."""
        due = self.due.get(cell)
        if due is None and self.options.strategy is not Strategy.ONE_FOR_ONE:
            due = min(self.due.values(), default=None)
        return None if due is None else max(0.0, due - trio.current_time())

    def request_stop(self, reason: ExitReason) -> None:
        """See `Cell.request_stop`."""
        if self.stop_reason is None:
            self.stop_reason = reason
            self.signal()

    def kill(self, detail: str) -> None:
        """See `Cell.kill`: children are cancelled in reverse order, without being asked."""
        self.killed = True
        self.stop_reason = Killed(detail)
        self.signal()

    async def answer(self, request: Any) -> Any:
        """Do what it is asked for at run time. Raises Refused."""
        return await supervisor_requests.answer(self, request)

    # Children.

    def add(self, spec: ChildSpec) -> Cell:
        """Make the cell of a spec; nothing is started."""
        path = f"/{spec.name}" if self.parent is None else f"{self.path}/{spec.name}"
        cell = self._cell(spec, path)
        cell.guard = self.node.guard_of(cell)
        self.children[spec.name] = cell
        self.node.cells[path] = cell
        return cell

    def _cell(self, spec: ChildSpec, path: str) -> Cell:
        if spec.replicas is not None:
            from runtime.replica_set import ReplicaSet  # a supervisor itself

            return ReplicaSet(self.node, self, spec, path)
        # A host is where its specs' placement has led: below it everything is local.
        if spec.placements() != ("local",) and not self.node.worker:
            from runtime.cluster.placed import PlacedCell  # a node that places nothing needs none of it

            return PlacedCell(self.node, self, spec, path)
        kind = ActorCell if spec.supervisor is None else SupervisorCell
        return kind(self.node, self, spec, path)

    def remove(self, cell: Cell) -> None:
        """Forget a child whose final exit has been dealt with."""
        del self.children[cell.name]
        self.due.pop(cell, None)
        self.unplaced.discard(cell)
        self.recent.pop(cell, None)
        self.told.discard(cell)
        cell.gone = True
        self.node.forget(cell)

    def _forget_children(self) -> None:
        """A supervisor that ended keeps nothing: its next life starts from its own spec."""
        for cell in tuple(self.children.values()):
            if cell.state is not State.STOPPED:
                self.finish(cell, cell.last_exit or Shutdown())
            if cell.name in self.children:
                self.remove(cell)

    def finish(self, cell: Cell, reason: ExitReason) -> None:
        """The final exit of a child: its mailbox is closed and its watchers are told."""
        cell.last_exit = reason
        cell.close()
        self.due.pop(cell, None)
        self.unplaced.discard(cell)
        if cell not in self.told:
            self.told.add(cell)
            self.node.ended(cell, reason, final=True)
        if cell.spec.restart is Restart.TEMPORARY or self.options.dynamic:
            self.remove(cell)

    async def start(self, cell: Cell) -> ExitReason | None:
        """Start one child and wait until it is up. Returns why it failed."""
        nobody_waits = cell in self.told or cell.last_exit is None
        self.told.discard(cell)
        failure = cell.begin()
        if failure is None and not cell.started:
            deadline = trio.current_time() + cell.start_limit()
            self.awaiting = [cell]
            try:
                ready = await self._until(lambda: cell.started or cell.exit is not None, deadline, interruptible=True)
            except _StopAskedError:
                # An actor inside its set-up hears no request; a supervisor stops what it has started, in order.
                await self._end(cell, cell.spec.stop_s if isinstance(cell, SupervisorCell) else 0)
                self.finish(cell, self._take_exit(cell))
                raise
            finally:
                self.awaiting = []
            if not ready:
                await self._end(cell, 0)
                self._take_exit(cell)
                failure = Crashed("StartTimeout", f"not started within {cell.start_limit():g} s")
            elif not cell.started:
                failure = self._take_exit(cell)
        if isinstance(failure, Normal):
            if nobody_waits:  # it declined, and nobody was told that it would come back: there is no end to tell
                self.told.add(cell)
            self.finish(cell, cell.last_exit or failure)
            return None
        if failure is not None:
            cell.last_exit = failure
            if lost_its_cluster(failure) and cell.spec.restart is not Restart.TEMPORARY:
                self._wait_for_cluster(cell, failure)
                return None
            self.node.start_failed(cell, failure)
        else:
            self.node.started(cell)
        return failure

    def _wait_for_cluster(self, cell: Cell, reason: ExitReason) -> None:
        """There is no place for a child: it waits, which is no failure, and counts as started for its siblings."""
        cell.set_state(State.UNPLACED)
        self.unplaced.add(cell)
        self.node.unplaced(cell, reason)
        self.node.hosts.wait_for_cluster(self)

    def place_again(self) -> None:
        """A cluster answers: children that waited for one are started."""
        now = trio.current_time()
        for cell in self.unplaced:
            self.due[cell] = now
        self.unplaced.clear()
        self.signal()

    def _take_exit(self, cell: Cell) -> ExitReason:
        reason, cell.exit = cell.exit, None
        assert reason is not None
        cell.last_exit = reason
        return reason

    async def _end(self, cell: Cell, stop_s: float) -> None:
        """Stop a running child in order, kill it after `stop_s` seconds; returns when it has ended."""
        self.awaiting = [cell]
        try:
            if stop_s > 0 and not self.killed and cell.exit is None and self.node.stop_left() > 0:
                cell.request_stop(Shutdown())
                deadline = trio.current_time() + min(stop_s, self.node.stop_left())
                await self._until(lambda: cell.exit is not None or self.killed, deadline, interruptible=False)
            if cell.exit is None:
                cell.kill("by its supervisor" if stop_s == 0 or self.killed else f"did not stop within {stop_s:g} s")
                await self._until(lambda: cell.exit is not None, math.inf, interruptible=False)
        finally:
            self.awaiting = []

    async def stop_child(self, cell: Cell) -> None:
        """Stop a child, whatever it is doing, as its final exit."""
        if cell.state in RUNNING:
            await self._end(cell, cell.spec.stop_s)
            self.finish(cell, self._take_exit(cell))
        elif cell.state in (State.BACKOFF, State.UNPLACED):
            when = self.due.get(cell)
            rest = [c for c in self._group(cell) if c is not cell and c.state is State.BACKOFF]
            self.finish(cell, cell.last_exit or Shutdown())
            if when is not None and rest:
                self.due[rest[0]] = when  # the others of its group still wait for their start

    async def _stop_children(self) -> None:
        if self.options.dynamic:
            await self._stop_all_at_once()
        else:
            for cell in reversed(tuple(self.children.values())):
                await self.stop_child(cell)

    async def _stop_all_at_once(self) -> None:
        running = {cell for cell in self.children.values() if cell.state in RUNNING and cell.exit is None}
        for cell in running:
            if self.killed or cell.spec.stop_s == 0 or self.node.stop_left() == 0:
                cell.kill("by its supervisor")
            else:
                cell.request_stop(Shutdown())

        def ended() -> bool:
            while self.exits:
                running.discard(self.exits.popleft())
            return not running

        # One timer for all that have one; then those that may take as long as they need (supervisors do).
        begun = trio.current_time()
        finite = max((cell.spec.stop_s for cell in running if cell.spec.stop_s != math.inf), default=0.0)
        for wait_s in (finite, math.inf):
            deadline = min(begun + wait_s, trio.current_time() + self.node.stop_left())
            await self._until(lambda: ended() or self.killed, deadline, interruptible=False)
            for cell in running:
                if self.killed or cell.spec.stop_s <= wait_s:
                    cell.kill("by its supervisor" if self.killed else f"did not stop within {wait_s:g} s")
        await self._until(ended, math.inf, interruptible=False)
        for cell in tuple(self.children.values()):
            if cell.exit is not None:
                self._take_exit(cell)
            self.finish(cell, cell.last_exit or Shutdown())

    # Restarts.

    async def _exited(self, cell: Cell) -> None:
        reason = self._take_exit(cell)
        if restarts(cell.spec.restart, reason):
            await self._decide_restart(cell, reason)
            return
        self.finish(cell, reason)
        self._auto_shutdown(cell, reason)

    def _auto_shutdown(self, cell: Cell, reason: ExitReason) -> None:
        if not cell.spec.significant or not ended_by_itself(cell.spec.restart, reason):
            return
        rest = [
            c for c in self.children.values() if c.spec.significant and c is not cell and c.state is not State.STOPPED
        ]
        if self.options.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT or not rest:
            raise _GaveUpError(f"significant child {cell.name} has ended")

    def _group(self, anchor: Cell) -> list[Cell]:
        if self.options.strategy is Strategy.ONE_FOR_ONE:
            return [anchor]
        cells = list(self.children.values())
        return cells if self.options.strategy is Strategy.ONE_FOR_ALL else cells[cells.index(anchor) :]

    async def _decide_restart(self, cell: Cell, reason: ExitReason) -> None:
        """Record the restart, stop the rest of the group, and set the time of the new start."""
        cell.last_exit = reason
        cell.set_state(State.BACKOFF)
        counts = not lost_its_cluster(reason)
        if counts:
            try:
                self._record(cell, reason)
            except _GaveUpError:
                self.finish(cell, reason)
                raise
        self.node.ended(cell, reason, final=False)
        await self._stop_group(self._group(cell), cell)
        self._schedule(cell, 0.0 if not counts else None)

    def _record(self, cell: Cell, reason: ExitReason) -> None:
        now = trio.current_time()
        cell.restarts += 1
        cell.kind.restarts += 1
        recent = [time for time in self.recent.get(cell, ()) if time > now - self.options.limit.seconds]
        self.recent[cell] = [*recent, now]
        if not self.window.record(now):
            limit = self.options.limit
            raise _GaveUpError(
                f"more than {limit.count} restarts in {limit.seconds:g} s; the last was {cell.path}: {describe(reason)}"
            )

    def _schedule(self, anchor: Cell, delay: float | None = None) -> None:
        now = trio.current_time()
        alone = self.options.strategy is Strategy.ONE_FOR_ONE
        attempt = len(self.recent.get(anchor, ())) if alone else self.window.count(now)
        if delay is None:
            delay = anchor.spec.backoff.delay(attempt, self.node.random.random())
        for later in self._group(anchor):
            self.due.pop(later, None)
        if self.due and not alone:
            return  # a group that begins earlier is already waiting, and covers this one
        self.due[anchor] = now + delay
        self.node.restarting(anchor, delay)

    async def _stop_group(self, group: list[Cell], anchor: Cell) -> None:
        for cell in reversed(group):
            if cell is anchor:
                continue
            if cell.state in RUNNING:
                await self._end(cell, cell.spec.stop_s)
                reason = self._take_exit(cell)
                if cell.spec.restart is Restart.TEMPORARY:
                    self.finish(cell, reason)
                    continue
                self.node.ended(cell, reason, final=False)
            cell.set_state(State.BACKOFF)
            self.unplaced.discard(cell)

    def _next_due(self) -> Cell | None:
        anchor = min(self.due, key=self.due.__getitem__)
        return anchor if self.due[anchor] <= trio.current_time() else None

    async def _restart(self, anchor: Cell) -> None:
        del self.due[anchor]
        group = self._group(anchor)
        for index, cell in enumerate(group):
            if cell.state in RUNNING:
                continue
            failure = await self.start(cell)
            if failure is None:
                continue
            cell.set_state(State.BACKOFF)
            self._record(cell, failure)
            if self.options.strategy is Strategy.ONE_FOR_ALL:
                await self._stop_group(group[:index], cell)
            self._schedule(cell)
            return
