"""The node's side of an actor that lives in another process.

To its supervisor it is a child like any other: it starts, is asked to stop, is killed, ends with a reason. Its mailbox
is here. What the host may have at once is a window; the host says what it has taken to be handled (`Begun`) before it
handles it, and what it has handled. So, when the host is gone, everything waiting is in one of three places:

    queue      not sent
    waiting    sent, not begun: goes back to the queue, for the next life
    running    begun, perhaps not finished: dead letters, and asks whose outcome is unknown

If the end of the host was not seen but only inferred from its silence, what it said last may be missing, and
everything that was sent counts as begun.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import wait_task_rescheduled

from protocols.control import Crashed, ExitReason, Incarnation, Killed, Lagged, Message, Refused, Terminated
from runtime.cell import NO_CONTROL, NOTHING, Cell, State
from runtime.cluster import wire
from runtime.cluster.codec import NotTransferable
from runtime.cluster.far import FarCell
from runtime.cluster.peer import sender_of
from runtime.exits import crashed, without_cancelled
from runtime.mailbox import Ask, Lag, Overflow, Posted, content
from runtime.quarantine import Quarantine

if TYPE_CHECKING:
    from runtime.cluster.hosts import Host
    from runtime.node import Node
    from runtime.spec import ChildSpec
    from runtime.supervisor import SupervisorCell
    from runtime.tree import ActorView

WINDOW = 1024
"""Most messages that a host has and has not begun."""
CONFLATED_WINDOW = 16
"""The same where newer messages replace waiting ones, which they can only do here."""
KILL_S = 1.0
"""How long an actor may take to end when it is killed, before its whole worker is."""


class HostLost(Exception):
    """The worker in which an actor lived is gone."""


class ClusterLost(Exception):
    """There is no cluster that could run it."""


class PlacedCell(Cell):
    """A cell whose actor lives in a worker."""

    __slots__ = ("begun", "ending", "far", "full", "home", "last_view", "late", "running", "taken", "waiting", "window")

    def __init__(self, node: Node, parent: SupervisorCell | None, spec: ChildSpec, path: str) -> None:
        super().__init__(node, parent, spec, path)
        self.full = self.capacity
        self.window = min(CONFLATED_WINDOW if self.overflow is Overflow.CONFLATE else WINDOW, self.full)
        self.waiting: deque[Any] = deque()
        self.running: deque[Any] = deque()
        self.begun = self.taken = 0
        """How many the host has begun, and has handled, in this life."""
        self.home: Host | None = None
        """The worker in which it lives; kept over restarts."""
        self.ending: ExitReason | None = None
        self.late: Crashed | None = None
        """Its start took too long."""
        self.last_view: ActorView | None = None
        self.far: dict[str, FarCell] = {}
        if spec.supervisor is not None:
            node.branches[path] = self

    # What others see.

    @property
    def load(self) -> int:
        """See `Cell.load`."""
        return len(self.queue) + len(self.waiting) + len(self.running)

    @property
    def lanes(self) -> tuple[deque[Any], ...]:
        """See `Cell.lanes`."""
        return self.queue, self.waiting, self.running

    @property
    def host(self) -> object:
        """See `Cell.host`."""
        return self.home

    @property
    def placement(self) -> str:
        """See `Cell.placement`."""
        return super().placement if self.home is None else self.home.kind

    def place(self) -> tuple[str, str]:
        """See `Cell.place`."""
        return ("", "") if self.home is None else (self.home.node_name, self.home.worker)

    def seen(self) -> ActorView | None:
        """See `Cell.seen`."""
        return self.last_view if self.started else None

    def start_limit(self) -> float:
        """See `Cell.start_limit`: a worker has to be there first."""
        return self.spec.start_s + self.node.hosts.settings.place_s + KILL_S

    def below(self, path: str) -> Cell:
        """The way to a path below this supervisor."""
        cell = self.far.get(path)
        if cell is None:
            cell = self.far[path] = BelowCell(self.node, path, self)
        return cell

    # Life.

    def begin(self) -> ExitReason | None:
        """See `Cell.begin`: always on its way."""
        self.count = self.node.next_count(self.path, self.count)
        self.kind.starts += 1
        self.exit = self.stop_reason = self.ending = self.late = None
        self.kill_asked = self.started = False
        self._mark = None
        self.begun = self.taken = 0
        self.set_state(State.STARTING)
        assert self.parent is not None
        self.parent.nursery.start_soon(self.live, name=self.path)
        return None

    async def live(self) -> None:
        """Let one incarnation live elsewhere and report its end to the supervisor; nothing else gets out."""
        self.task = trio.lowlevel.current_task()
        self.node.awake += 1
        reason: ExitReason = Killed()
        assert self.parent is not None
        try:
            with trio.CancelScope() as self.scope:
                if self.kill_asked:
                    self.scope.cancel()
                home = await self.node.hosts.acquire(self)
                home.start(self)
                self._limit_start()
                reason = await self._serve(home)
        except (HostLost, ClusterLost, NotTransferable) as error:
            reason = Crashed(type(error).__name__, str(error))
        except BaseException as error:
            rest = without_cancelled(error)
            if rest is None:
                raise
            reason = crashed(rest)
        finally:
            self.node.awake -= 1
            if self.home is not None:
                self.home.forget(self)
            self._leave()
            if self.late is not None:
                reason = self.late
            elif isinstance(self.stop_reason, Killed) and reason == Killed():
                reason = self.stop_reason
            self.task = self.scope = None
            self.parent.child_exited(self, reason)

    def _limit_start(self) -> None:
        """The time for a start begins when there is a worker."""
        count, start_s = self.count, self.spec.start_s

        def check() -> None:
            if not self.started and self.count == count and self.ending is None and not self.kill_asked:
                self.late = Crashed("StartTimeout", f"not started within {start_s:g} s")
                self.kill("its start took too long")

        if start_s != math.inf:
            self.node.timers.call_at(trio.current_time() + start_s, check)

    async def _serve(self, home: Host) -> ExitReason:
        """Send what comes into the mailbox, until the life is over."""
        while self.ending is None:
            while self.control:
                home.link.say(wire.Control, self.path, self.control.popleft(), None)
            if self.room is not None and len(self.room) and len(self.queue) < self.capacity:
                self.room.unpark(count=self.capacity - len(self.queue))
            if self.queue and self._may_send():
                if home.link.congested:
                    with trio.CancelScope() as self.gate:
                        await home.link.room()
                    self.gate = None
                else:
                    self._send(home)
                continue
            self.parked = True
            self.asleep = self._may_send()
            self.node.awake -= 1
            await wait_task_rescheduled(self._abort)
        return self.ending

    def _may_send(self) -> bool:
        return (
            self.started
            and self.stop_reason is None
            and self.state is not State.PAUSED
            and len(self.waiting) < self.window
        )

    def _send(self, home: Host) -> None:
        queue, waiting, link, path = self.queue, self.waiting, home.link, self.path
        for _ in range(min(len(queue), self.window - len(waiting))):
            item = queue.popleft()
            kind = type(item)
            if kind is Ask:
                if item.task is None:
                    continue
                try:
                    home.ask(path, item)
                except Refused as refusal:
                    item.settle(refusal)
                    continue
            elif kind is Posted:
                link.say(wire.Tell, path, item.message, item.sender)
            elif kind is Lag:
                self.node.topics.lag_delivered(self, item)
                link.put(wire.Gap(path, item.topic, item.key, item.count))
            else:
                link.say(wire.Tell, path, item, None)
            waiting.append(item)
        self._fit()

    def _fit(self) -> None:
        """What the host has not begun counts as waiting here."""
        self.capacity = self.full - len(self.waiting)
        if self.limit >= 0:
            self.limit = self.capacity

    def open_fast_path(self) -> None:
        """See `Cell.open_fast_path`."""
        super().open_fast_path()
        self._fit()

    # What the host tells.

    def state_is(self, state: State) -> None:
        """The actor is up, or recovers."""
        if self.stop_reason is None and self.state is not State.PAUSED:
            self.set_state(state)
        if not self.started:
            self.started = True
            self.open_fast_path()
            for path, watchers in self.node.watchers_below(self.path):
                for watcher in watchers:
                    self.below(path).watch_elsewhere(watcher, True)
            assert self.parent is not None
            self.parent.signal()
        self.signal()

    def begun_is(self, number: int) -> None:
        """So many have been begun in this life."""
        while self.begun < number and self.waiting:
            item = self.waiting.popleft()
            if type(item) is Ask:
                item.begun = True
            self.running.append(item)
            self.begun += 1
        self._fit()
        self.signal()

    def handled_is(self, number: int) -> None:
        """So many have been handled in this life."""
        done = 0
        while self.taken < number and self.running:
            self.running.popleft()
            self.taken += 1
            done += 1
        self.handled += done
        self.kind.handled += done

    def ended(self, record: wire.Ended) -> None:
        """The life is over, and its process tells how; what it had taken and not begun comes back."""
        home = self.home
        assert home is not None
        back: list[Any] = []
        for leftover in record.leftovers:
            if leftover.ask:
                if (ask := home.asks.get(leftover.ask)) is not None:
                    back.append(ask)
            else:
                for message in home.decoded(self.path, leftover.cls, leftover.item):
                    sender = sender_of(leftover.sender)
                    back.append(message if sender is None else Posted(message, sender))
        self._take_back([*back, *self.waiting])
        self.running.clear()
        if isinstance(record.reason, Crashed):
            self._crashed(record)
        self._is_over(record.reason)

    def lost(self, reason: Crashed, *, exact: bool) -> None:
        """The host is gone. Not `exact`: what it said last may be missing."""
        begun = list(self.running)
        if exact:
            self._take_back(list(self.waiting))
        else:
            begun += self.waiting
            self.waiting.clear()
        self.running.clear()
        for item in begun:
            if type(item) is Ask:
                item.lose(f"{self.path} was lost while it had the request: {reason.text}")
            elif type(item) is not Lag:
                self.node.dead_letter(self.path, content(item), "lost")
        self.errors += 1
        self.kind.errors += 1
        self._is_over(reason)

    def _take_back(self, items: list[Any]) -> None:
        assert self.home is not None
        back = []
        for item in items:
            if type(item) is Ask:
                self.home.asks.pop(item.number, None)
                item.holder = None
                item.begun = False
                if item.task is None:
                    continue
                if item.deadline <= trio.current_time():
                    item.expire()
                    continue
            back.append(item)
        self.waiting.clear()
        if back:
            if self.queue is NOTHING:
                self.queue = deque()
            self.queue.extendleft(reversed(back))

    def _crashed(self, record: wire.Ended) -> None:
        assert self.home is not None
        self.errors += 1
        self.kind.errors += 1
        culprit: Message | None = None
        if record.culprit is not None:
            found = self.home.decoded(self.path, record.culprit.cls, record.culprit.item)
            culprit = found[0] if found else None
        if culprit is not None:
            if self.quarantine is None:
                self.quarantine = Quarantine()
            if self.quarantine.crashed(culprit, trio.current_time()):
                self.node.quarantined(self.path, culprit)
                self.purge(culprit)
        self.node.crash(self, record.reason, culprit, record.last)

    def _is_over(self, reason: ExitReason) -> None:
        self.ending = reason
        if self.gate is not None:
            self.gate.cancel()
        self.signal()

    def _leave(self) -> None:
        self.asleep = self.parked = False
        self.gate = None
        self.control = NO_CONTROL
        self.node.topics.drop(self)
        self.node.unwatch_all(self)
        for cell in self.far.values():
            self.node.topics.drop(cell)
            self.node.unwatch_all(cell)
        self.last_view = None
        for path, watchers in self.node.watchers_below(self.path):
            # Its supervisor is not there any more to say so.
            message = Terminated(path, Incarnation(self.node.epoch, 0), self.ending or Killed(), False)
            for watcher in watchers:
                watcher.post_control(message)
        if self.kind.clears:
            waiting, self.queue = self.queue, NOTHING
            for item in waiting:
                self.refuse_item(item, "cleared")
        self.capacity = self.full
        self.open_fast_path()

    def close(self, code: str = "stopped") -> None:
        """See `Cell.close`; the worker is let go."""
        super().close(code)
        self.node.branches.pop(self.path, None)
        home, self.home = self.home, None
        if home is not None:
            home.release(self)

    # Control.

    def request_stop(self, reason: ExitReason) -> None:
        """See `Cell.request_stop`."""
        if self.stop_reason is not None:
            return
        self.stop_reason = reason
        if self.home is None or self.path not in self.home.cells:
            if self.scope is not None:
                self.scope.cancel()
            return
        self.set_state(State.STOPPING)
        self.home.link.put(wire.Stop(self.path, reason))

    def kill(self, detail: str) -> None:
        """See `Cell.kill`: an actor that does not end at once is ended with its worker."""
        self.kill_asked = True
        self.stop_reason = Killed(detail)
        home, count = self.home, self.count
        if home is None or self.path not in home.cells:
            if self.scope is not None:
                self.scope.cancel()
            return
        home.link.put(wire.Kill(self.path, detail))

        def still_there() -> None:
            if self.count == count and self.home is home and home.cells.get(self.path) is self:
                home.kill(f"{self.path} did not end when it was killed")

        self.node.timers.call_at(trio.current_time() + KILL_S, still_there)

    def pause(self) -> None:
        """See `Cell.pause`."""
        if self.state is State.UP and self.home is not None:
            self.set_state(State.PAUSED)
            self.asleep = False
            self.home.link.put(wire.Pause(self.path, True))

    def resume(self) -> None:
        """See `Cell.resume`."""
        if self.state is State.PAUSED and self.home is not None:
            self.set_state(State.UP)
            self.home.link.put(wire.Pause(self.path, False))
            self.signal()

    def lagged(self, topic: str, key: str, count: int) -> None:
        """See `ActorCell.lagged`."""
        self.post_control(Lagged(topic, key, count))

    def set_state(self, state: State) -> None:
        """See `Cell.set_state`."""
        super().set_state(state)
        if self.home is not None:
            self.home.changed()


class BelowCell(FarCell):
    """A path below a placed supervisor, wherever that lives now."""

    __slots__ = ("branch",)

    def __init__(self, node: Node, path: str, branch: PlacedCell) -> None:
        def peer() -> Host | None:
            return branch.home if branch.started else None

        super().__init__(node, path, peer)
        self.branch = branch

    def look(self, depth: int | None) -> ActorView | None:
        """See `Cell.look`."""
        from runtime.tree import cut

        found = self.branch.last_view
        while found is not None and found.path != self.path:
            found = next((c for c in found.children if self.path == c.path or self.path.startswith(f"{c.path}/")), None)
        return None if found is None else cut(found, depth)

    def watch_elsewhere(self, watcher: Cell, on: bool) -> bool:
        """See `Cell.watch_elsewhere`."""
        peer = self.peer()
        if peer is None or not peer.up:
            return False
        peer.link.put(wire.Watch(watcher.path, self.path, on))
        return True
