"""Cells: what a path is made of, across the lives of its actor.

A cell owns the mailbox and the record of a path; an incarnation of the actor comes and goes inside it. This module
holds what all cells share: who may put what into the mailbox, and how somebody waits for an answer. `actor_cell.py`
lets an actor live in a cell, `supervisor.py` a supervisor.

The fast path of a tell is in `ref.py`: one comparison with `limit`. Whenever anything but appending has to be
considered (nobody there, a fence, conflation, quarantine, a breaker, no queue yet), `limit` is -1 and the tell comes
here.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import Abort, wait_task_rescheduled

from protocols.control import ExitReason, Incarnation, Message, Refused
from runtime.mailbox import Ask, Lag, Mailbox, Overflow, Posted, Sender, conflate, content
from runtime.quarantine import Quarantine
from runtime.ref import ActorRef
from runtime.timers import Timer
from runtime.variables import running_cell

if TYPE_CHECKING:
    from runtime.actor import Actor
    from runtime.guard import Guard
    from runtime.node import Node
    from runtime.promise import Promise
    from runtime.spec import ChildSpec
    from runtime.supervisor import SupervisorCell
    from runtime.tree import ActorView


class State(enum.Enum):
    """Where in its life a path is."""

    STARTING = "starting"
    RECOVERING = "recovering"
    UP = "up"
    PAUSED = "paused"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    UNPLACED = "unplaced"
    """Waiting for a cluster that could run it."""
    STOPPED = "stopped"


class Kept(enum.Enum):
    """What became of a request that its handler did not answer."""

    STASHED = "stashed"
    LATER = "later"


RUNNING = (State.STARTING, State.RECOVERING, State.UP, State.PAUSED, State.STOPPING)
"""The states in which a path has a task."""

REFUSALS = {
    "stopped": "no actor runs at this path",
    "not_found": "there is no actor at this path",
    "mailbox_full": "the mailbox is full",
    "dropped": "the mailbox is full and drops what is new",
    "quarantined": "an equal message has crashed this actor twice",
    "expired": "the deadline passed before the request was handled",
}
NOTHING: deque[Any] = deque(maxlen=0)
"""The queue of a cell that was never told anything: a real one costs 0.6 kB, which 100,000 idle actors need not pay."""
NO_CONTROL: Sequence[Any] = ()
NOBODY: list[Cell] = []


class Cell:
    """One path: its mailbox, its record, and the actor that lives there now."""

    __slots__ = (
        "_mark",
        "_ref",
        "actor",
        "asked",
        "asleep",
        "awaiting",
        "busy_ns",
        "capacity",
        "control",
        "count",
        "dropped",
        "errors",
        "exit",
        "gate",
        "gone",
        "guard",
        "handled",
        "handling",
        "kept",
        "kill_asked",
        "kind",
        "last_exit",
        "later",
        "limit",
        "merged",
        "name",
        "node",
        "overflow",
        "owned",
        "parent",
        "parked",
        "path",
        "promised",
        "quarantine",
        "queue",
        "recorder",
        "restarts",
        "room",
        "scope",
        "sender",
        "since",
        "spec",
        "started",
        "stashed",
        "state",
        "stop_reason",
        "task",
        "timers",
        "woken_ns",
    )  # fmt: skip

    def __init__(self, node: Node, parent: SupervisorCell | None, spec: ChildSpec, path: str) -> None:
        self.node = node
        self.parent = parent
        self.spec = spec
        self.name = spec.name
        self.path = path
        self.kind = node.kind_of(spec)
        mailbox = spec.mailbox or self._default_mailbox()
        self.capacity = mailbox.capacity
        self.overflow = mailbox.overflow
        self.queue: deque[Any] = NOTHING
        self.limit = -1
        self.control: Any = NO_CONTROL
        self.state = State.STARTING
        self.since = node.clock.now()
        self.count = 0
        self.busy_ns = self.later = 0
        self.handled = self.errors = self.restarts = self.dropped = self.merged = 0
        self.asleep = self.parked = self.gone = self.kill_asked = self.started = False
        self.kept: Kept | None = None
        """Why the request being handled is not answered when its handler returns."""
        self.promised: set[Promise] | None = None
        """The answers that the actor owes."""
        self.actor: Actor | None = None
        self.task: trio.lowlevel.Task | None = None
        self.scope: trio.CancelScope | None = None
        self.gate: trio.CancelScope | None = None
        self.guard: Guard | None = None
        self.asked: Ask | None = None
        self.handling: Message | None = None
        self.sender: Sender | None = None
        self.awaiting: list[Cell] = NOBODY
        """Whom the handler of this cell waits for; what an ask walks to find a cycle."""
        self.exit: ExitReason | None = None
        """The end of an incarnation that the supervisor has not dealt with yet."""
        self.last_exit: ExitReason | None = None
        self.stop_reason: ExitReason | None = None
        self.room: trio.lowlevel.ParkingLot | None = None
        self.owned: dict[trio.CancelScope, str] | None = None
        self.timers: set[Timer] | None = None
        self.stashed: deque[Any] | None = None
        self.quarantine: Quarantine | None = None
        self.recorder: deque[Message] | None = None
        self.woken_ns = 0
        self._mark: Sender | None = None
        self._ref: ActorRef | None = None

    def _default_mailbox(self) -> Mailbox:
        return self.kind.mailbox

    @property
    def ref(self) -> ActorRef:
        """The address of this path."""
        if self._ref is None:
            self._ref = ActorRef(self.path, self)
        return self._ref

    @property
    def mark(self) -> Sender:
        """How messages from this incarnation are signed."""
        if self._mark is None:
            self._mark = Sender(self.path, Incarnation(self.node.epoch, self.count))
        return self._mark

    # Putting something into the mailbox.

    def admit(self, item: Any) -> str | None:
        """Queue `item`, or return the code of why not. Overflow is settled by the mailbox's policy."""
        if self.gone or self.state is State.STOPPED:
            return "not_found" if self.gone else "stopped"
        if self.quarantine is not None and self.quarantine.holds(content(item), trio.current_time()):
            return "quarantined"
        queue = self.queue
        if queue is NOTHING:
            queue = self.queue = deque()
            self.open_fast_path()
        if self.overflow is Overflow.CONFLATE and conflate(self, item):
            self.merged += 1
        else:
            if len(queue) >= self.capacity:
                if self.overflow is Overflow.DROP_OLDEST:
                    self._drop_oldest()
                else:
                    self.count_drop()
                    return "dropped" if self.overflow is Overflow.DROP_NEWEST else "mailbox_full"
            queue.append(item)
        if self.asleep:
            self.wake()
        return None

    def put_lag(self, lag: Lag) -> None:
        """Mark the place in the full mailbox where a lossless subscription lost something."""
        if self.queue is NOTHING:
            self.queue = deque()
            self.open_fast_path()
        self.queue.append(lag)
        if self.asleep:
            self.wake()

    def count_drop(self) -> None:
        """One more message found no room."""
        self.dropped += 1
        self.kind.dropped += 1

    def open_fast_path(self) -> None:
        """Let tells append directly if nothing else has to be considered."""
        plain = not (
            self.gone
            or self.state is State.STOPPED
            or self.overflow is Overflow.CONFLATE
            or self.kind.fences
            or self.guard is not None
            or (self.quarantine is not None and self.quarantine.active)
            or self.queue is NOTHING
        )
        self.limit = self.capacity if plain else -1

    def _drop_oldest(self) -> None:
        for index, item in enumerate(self.queue):
            if type(item) not in (Lag, Timer):
                del self.queue[index]
                self.count_drop()
                self.node.topics.note_drop(self, content(item))
                self.refuse_item(item, "dropped")
                return

    def purge(self, culprit: Message) -> None:
        """Refuse what waits and is equal to a message that is in quarantine now."""
        assert self.quarantine is not None
        now = trio.current_time()
        kept: deque[Any] = deque()
        for item in self.queue:
            if type(content(item)) is type(culprit) and self.quarantine.holds(content(item), now):
                self.refuse_item(item, "quarantined")
            else:
                kept.append(item)
        if self.queue is not NOTHING:
            self.queue = kept

    def refuse_item(self, item: Any, code: str) -> None:
        """Settle something that will never be handled: an ask is refused, a tell becomes a dead letter."""
        if type(item) is Ask:
            item.refuse(code, REFUSALS.get(code, code))
        elif type(item) not in (Lag, Timer):
            self.node.dead_letter(self.path, content(item), code)

    def tell(self, message: Message) -> bool:
        """The slow path of `ActorRef.tell`."""
        if self.guard is not None:
            return self.guard.tell(message)
        return self.tell_directly(message)

    def tell_directly(self, message: Message) -> bool:
        """Tell past a breaker or router."""
        code = self.admit(self._post(message))
        if code is not None:
            self.node.dead_letter(self.path, message, code)
        return code is None

    def _post(self, message: Message) -> Any:
        if not self.kind.fences:
            return message
        sender = running_cell.get()
        return Posted(message, None if sender is None else sender.mark)

    async def send(self, message: Message, timeout: float) -> None:
        """See `ActorRef.send`."""
        if self.guard is not None:
            await self.guard.send(message, timeout)
            return
        await self.send_directly(message, timeout)

    async def send_directly(self, message: Message, timeout: float) -> None:
        """Send past a breaker or router."""
        item = self._post(message)
        code = self.admit(item)
        if code == "mailbox_full" and self.overflow is Overflow.BLOCK:
            code = await self._wait_for_room(item, timeout)
        if code is not None:
            raise Refused(code, f"{REFUSALS[code]} ({self.path})")

    async def _wait_for_room(self, item: Any, timeout: float) -> str | None:
        sender = waiting_handler(trio.lowlevel.current_task())
        deadline = trio.current_time() + timeout
        if sender is not None:
            if sender.asked is not None:
                deadline = min(deadline, sender.asked.deadline)
            refuse_cycle(sender, self)
        if deadline <= trio.current_time():
            return "mailbox_full"
        if sender is not None:
            sender.awaiting.append(self)
        if self.room is None:
            self.room = trio.lowlevel.ParkingLot()
        code: str | None = "mailbox_full"
        self.dropped -= 1  # it is not lost yet
        self.kind.dropped -= 1
        try:
            with trio.move_on_at(deadline):
                while code == "mailbox_full":
                    await self.room.park()
                    if len(self.queue) < self.capacity or self.state is State.STOPPED or self.gone:
                        code = self.admit(item)
        finally:
            if sender is not None:
                sender.awaiting.remove(self)
        if code == "mailbox_full":
            self.count_drop()
        return code

    async def ask_directly(self, request: Message, timeout: float) -> Any:
        """Ask past a breaker or router. See `ActorRef.ask`."""
        task = trio.lowlevel.current_task()
        now = trio.current_time()
        deadline = now + timeout
        cell = running_cell.get()
        if cell is None:
            ask = Ask(request, None, deadline, task, None, self)
        else:
            asker = cell if cell.task is task and cell.awaiting is not NOBODY else waiting_handler(task)
            if asker is not None:
                if asker.asked is not None and asker.asked.deadline < deadline:
                    deadline = asker.asked.deadline  # the caller's rest bounds what it asks in turn
                    timeout = deadline - now
                refuse_cycle(asker, self)
            ask = Ask(request, cell._mark or cell.mark, deadline, task, asker, self)
        if deadline <= now:
            raise Refused("expired", f"no time was left to ask {self.path}")
        if len(self.queue) < self.limit:
            self.queue.append(ask)
            if self.asleep:
                self.wake()
        else:
            self.put_ask(ask)
        self.node.timers.add_ask(ask, timeout)
        if ask.asker is not None:
            ask.asker.awaiting.append(self)
        await wait_task_rescheduled(ask.abort)
        if ask.error is not None:
            raise ask.error
        return ask.value

    def put_ask(self, ask: Ask) -> None:
        """Let a request wait here. Raises Refused."""
        code = self.admit(ask)
        if code is not None:
            raise Refused(code, f"{REFUSALS[code]} ({self.path})")

    async def stop(self, timeout: float) -> None:
        """See `ActorRef.stop`."""
        from runtime.administration import TerminateChild

        if self.parent is None:
            raise Refused("not_found", f"there is no child at {self.path}")
        await self.parent.ref.ask(TerminateChild(self.name), timeout)

    # Waking.

    def wake(self) -> None:
        """Let the parked task of this cell run."""
        self.asleep = self.parked = False
        self.node.awake += 1
        assert self.task is not None
        trio.lowlevel.reschedule(self.task)

    def signal(self) -> None:
        """Wake the task for something that is not in the mailbox."""
        if self.parked:
            self.wake()

    def post_control(self, item: Any) -> None:
        """Put one of the runtime's own messages into the control lane, which has no bound and is served first."""
        if self.control is NO_CONTROL:
            self.control = deque()
        self.control.append(item)
        self.signal()

    def _abort(self, _: Any) -> Abort:
        self.asleep = self.parked = False
        self.node.awake += 1
        return Abort.SUCCEEDED

    def set_state(self, state: State) -> None:
        """Change the state, stamped with the node's clock."""
        self.state = state
        self.since = self.node.clock.now()

    # The end of a path.

    def close(self, code: str = "stopped") -> None:
        """After the final exit: what waits is refused or becomes dead letters; nothing more is accepted."""
        self.set_state(State.STOPPED)
        self.limit = -1
        waiting, self.queue = self.queue, NOTHING
        for item in waiting:
            self.refuse_item(item, code)
        if self.room is not None:
            self.room.unpark_all()

    # What kinds of cells do differently.

    @property
    def routes(self) -> bool:
        """Whether an ask has to find its way from here, which takes a task of its own."""
        return self.guard is not None

    @property
    def load(self) -> int:
        """How many messages wait or are being worked on: in the mailbox, stashed, handled, to be answered later."""
        stashed = 0 if self.stashed is None else len(self.stashed)
        return len(self.queue) + stashed + self.later + (self.handling is not None)

    @property
    def lanes(self) -> tuple[deque[Any], ...]:
        """Where messages wait that were accepted, each in its order."""
        return (self.queue,) if self.stashed is None else (self.queue, self.stashed)

    @property
    def host(self) -> object:
        """The other process in which its actor lives; None if it is this one."""
        return None

    def start_limit(self) -> float:
        """How long a start may take, in seconds."""
        return self.spec.start_s

    def place(self) -> tuple[str, str]:
        """The node and the worker process on which its actor runs; the worker is empty for the node's own process."""
        return self.node.settings.name, self.node.worker

    @property
    def placement(self) -> str:
        """Where it runs, or is to run."""
        return "/".join(self.spec.placements())

    def look(self, depth: int | None) -> ActorView | None:
        """A snapshot of this path and `depth` levels below it; None if nobody lives here."""
        from runtime.tree import view

        return view(self.node, self, depth)

    def seen(self) -> ActorView | None:
        """The actor as its own process sees it, if that is another one."""
        return None

    def watch_elsewhere(self, watcher: Cell, on: bool) -> bool:
        """Let the process in which this path lives tell `watcher` of its ends; False if that is this one."""
        return False

    def pause(self) -> None:
        """Suspend the data lane."""
        raise NotImplementedError

    def resume(self) -> None:
        """End a pause."""
        raise NotImplementedError

    def begin(self) -> ExitReason | None:
        """Start an incarnation. Returns why it failed, or None if it is up or (state STARTING) on its way."""
        raise NotImplementedError

    def request_stop(self, reason: ExitReason) -> None:
        """Ask the incarnation to end in order; the first reason given counts."""
        raise NotImplementedError

    def kill(self, detail: str) -> None:
        """End the incarnation without asking; `detail` says why."""
        raise NotImplementedError


def waiting_handler(task: trio.lowlevel.Task) -> Cell | None:
    """The cell whose handler waits while `task` does: the task is the handler's, or in a nursery inside of it.

    None for owned tasks, beside which the handlers go on, and for tasks of no actor.
    """
    cell = running_cell.get()
    if cell is None or cell.task is None:
        return None
    step: trio.lowlevel.Task | None = task
    while step is not None and step is not cell.task:
        step = None if step.parent_nursery is None else step.parent_nursery.parent_task
    if step is None:
        return None
    if cell.awaiting is NOBODY:
        cell.awaiting = []
    return cell


def refuse_cycle(asker: Cell, target: Cell) -> None:
    """Raise Refused if `target` waits, directly or not, for `asker`: neither could ever answer."""
    if target is asker:
        raise Refused("cycle", f"asking would wait for itself: {asker.path} → {asker.path}")
    if not target.awaiting:
        return
    trails = [(target, f"{asker.path} → {target.path}")]
    seen = {target}
    while trails:
        step, trail = trails.pop()
        for awaited in step.awaiting:
            if awaited is asker:
                raise Refused("cycle", f"asking would wait for itself: {trail} → {asker.path}")
            if awaited not in seen:
                seen.add(awaited)
                trails.append((awaited, f"{trail} → {awaited.path}"))
