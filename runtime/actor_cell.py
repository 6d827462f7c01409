"""How an actor lives in its cell: start, the loop over its mailbox, the end of an incarnation.

One task per incarnation, started by the supervisor. The task wakes once for all that is queued and gives the loop back
after a slice of real time (2 ms shared by all awake actors, at least 5 µs), so that no set of busy actors delays I/O.
"""

from __future__ import annotations

import inspect
import math
from collections import deque
from collections.abc import Awaitable, Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import cancel_shielded_checkpoint, wait_task_rescheduled

from protocols.control import Crashed, ExitReason, Killed, Lagged, Message, Normal, Refused, Terminated, Unknown
from runtime.cell import NO_CONTROL, NOTHING, Cell, Kept, State
from runtime.errors import Declined
from runtime.exits import crashed, without_cancelled
from runtime.journal import JournalEntry
from runtime.mailbox import Ask, Lag, OnCrash, Posted, content
from runtime.promise import Promise
from runtime.quarantine import Quarantine
from runtime.timers import Timer
from runtime.variables import running_cell

if TYPE_CHECKING:
    from runtime.actor import Actor

BATCH = 256
"""Most messages handled before the loop gets a turn."""
CHECK = 64
"""Most messages handled between two looks at the time."""
TURN_NS = 2_000_000
LEAST_SLICE_NS = 5_000
RECORDED = 8
"""How many messages the flight recorder keeps."""
STOP = object()


class StashOverflow(RuntimeError):
    """More was stashed than the actor's `stash_capacity`."""


class UnhandledTermination(RuntimeError):
    """A watched actor ended, and the watcher has no handler for Terminated."""


class ActorCell(Cell):
    """A cell in which an actor lives."""

    __slots__ = ()

    def begin(self) -> ExitReason | None:
        """See `Cell.begin`. An actor without asynchronous set-up is up when this returns."""
        self.count = self.node.next_count(self.path, self.count)
        self.kind.starts += 1
        self.exit = self.stop_reason = None
        self.kill_asked = self.started = False
        self._mark = None
        self.set_state(State.STARTING)
        token = running_cell.set(self)
        try:
            starting = self._construct()
            if starting is None:
                self.started = True
                self.set_state(State.UP)
                self.open_fast_path()
            assert self.parent is not None
            self.parent.nursery.start_soon(self.live, starting, name=self.path)
        except Declined:
            self._leave()
            return Normal()
        except Exception as error:
            self._leave()
            return crashed(error)
        finally:
            running_cell.reset(token)
        return None

    def _construct(self) -> Awaitable[None] | None:
        self.actor = actor = self.spec.actor_class()(**self.spec.arguments)
        actor._cell = self
        return actor.on_start()  # type: ignore[no-any-return]

    async def live(self, starting: Awaitable[None] | None) -> None:
        """Live one incarnation and report its end to the supervisor; nothing else gets out."""
        self.task = trio.lowlevel.current_task()
        self.node.awake += 1
        reason: ExitReason = Killed()
        actor = self.actor
        assert actor is not None
        assert self.parent is not None
        try:
            with trio.CancelScope() as self.scope:
                if self.kill_asked:
                    self.scope.cancel()
                if starting is not None:
                    await starting
                    self.started = True
                    self.set_state(State.UP)
                    self.open_fast_path()
                    self.parent.signal()
                if actor.on_continue is not None:
                    await self._recover(actor.on_continue())
                asked_to = await self._serve(actor)
                self.set_state(State.STOPPING)
                self.handling = self.asked = None
                if (stopping := actor.on_stop(asked_to)) is not None:
                    await stopping
                reason = asked_to
        except BaseException as error:
            rest = without_cancelled(error)
            if rest is None:
                raise
            reason = Normal() if isinstance(rest, Declined) and not self.started else self._crash(rest)
        finally:
            del actor
            self.node.awake -= 1
            self._leave()
            if isinstance(self.stop_reason, Crashed) or (isinstance(self.stop_reason, Killed) and reason == Killed()):
                reason = self.stop_reason
            if self.owned:
                await self._join_owned()
            self.task = self.scope = self.actor = None
            self.parent.child_exited(self, reason)

    async def _recover(self, hook: Awaitable[None]) -> None:
        self.set_state(State.RECOVERING)
        with trio.CancelScope() as self.gate:
            await hook
        self.gate = None
        self.set_state(State.UP)

    # The loop.

    async def _serve(self, actor: Actor) -> ExitReason:
        node, kind = self.node, self.kind
        fast = type(actor)._handler_of if not self.spec.journal else _no_handler
        record: Callable[[Message], None] | None = None
        while True:
            if self.control and (reason := await self._serve_control()) is not None:
                return reason
            queue = self.queue
            if self.room is not None:
                self._make_room()
            if not queue or self.state is State.PAUSED:
                if self.state is not State.PAUSED and self.more():
                    continue
                self.handling = None
                self.parked = True
                self.asleep = self.state is not State.PAUSED
                node.awake -= 1
                await wait_task_rescheduled(self._abort)
                continue
            if record is None:
                if self.recorder is None:
                    self.recorder = deque(maxlen=RECORDED)
                record = self.recorder.append
            take = queue.popleft
            node.running = self
            began = perf_counter_ns()
            slice_ns = TURN_NS // node.awake
            if slice_ns < LEAST_SLICE_NS:
                slice_ns = LEAST_SLICE_NS
            handled = 0
            check = 1
            try:
                while queue:
                    item = take()
                    handler = fast(type(item))
                    if handler is not None:
                        self.handling = item
                        record(item)
                        handled += 1
                        handler(actor, item)
                    elif type(item) is Ask and (handler := fast(type(item.request))) is not None:
                        if item.task is not None:
                            item.begun = True
                            self.asked = item
                            self.handling = request = item.request
                            self.sender = item.sender
                            record(request)
                            handled += 1
                            answer = handler(actor, request)
                            if self.kept is None:
                                item.answer(answer)
                            else:
                                self._keep(item)
                            self.asked = self.sender = None
                    else:
                        handled += 1
                        await self._receive(actor, item)
                        node.running = self
                    if self.control:
                        break
                    if handled >= check:
                        if handled >= BATCH or perf_counter_ns() - began > slice_ns:
                            break
                        check += check if check < CHECK else CHECK
            except Refused as refusal:
                self._refused(refusal)
            finally:
                self.handled += handled
                kind.handled += handled
                took = perf_counter_ns() - began
                self.busy_ns += took
                kind.busy_ns += took
            if queue or self.control:
                await cancel_shielded_checkpoint()
                if self.scope is not None and self.scope.cancel_called:
                    await trio.lowlevel.checkpoint()

    def more(self) -> bool:
        """Whether something was put into the empty queue just now: the mailbox of a placed actor is elsewhere."""
        return False

    def _refused(self, refusal: Refused) -> None:
        """A handler refused: the answer of an ask; for a tell, nobody waits for it, so it is written down."""
        asked, self.asked, self.sender = self.asked, None, None
        if asked is not None:
            asked.settle(refusal)
        elif self.handling is not None:
            self.node.dead_letter(self.path, self.handling, refusal.code)

    async def _receive(self, actor: Actor, item: Any) -> None:
        """Handle what needs more than a plain call: coroutine handlers, envelopes, journals, unknown types."""
        message = content(item)
        if type(item) is Ask:
            if item.task is None:
                return
            item.begun = True
            self.asked = item
            self.sender = item.sender
        elif type(item) is Posted:
            self.sender = item.sender
        elif type(item) is Lag:
            self.node.topics.lag_delivered(self, item)
        elif type(item) is Timer:
            item.pending = False
        await self._handle(actor, message)
        if self.kept is not None:
            self._keep(item)
        self.asked = self.sender = None

    async def _handle(self, actor: Actor, message: Message) -> None:
        self.handling = message
        if self.recorder is not None:
            self.recorder.append(message)
        if self.spec.journal:
            self._journal(message)
        handler = type(actor)._sync_handlers.get(type(message))
        if handler is None:
            handler = find_handler(type(actor), type(message))
            if handler is None:
                self._unhandled(message)
                return
        answer = handler(actor, message)
        if inspect.iscoroutine(answer):
            answer = await answer
        if self.asked is not None and self.kept is None:
            self.asked.answer(answer)

    def _keep(self, item: Any) -> None:
        if self.kept is Kept.STASHED and type(item) is Ask:
            item.begun = False
        self.kept = None

    def _unhandled(self, message: Message) -> None:
        if isinstance(message, Terminated):
            raise UnhandledTermination(f"{message.path} ended ({message.reason}) and nothing handles Terminated")
        if self.asked is not None:
            name = type(message).__name__
            self.asked.refuse("not_handled", f"{self.path} does not handle {name}")
        elif not isinstance(message, Lagged):
            self.node.dead_letter(self.path, message, "not_handled")

    def _journal(self, message: Message) -> None:
        log = self.node.require_log()
        stream = f"journal:{self.path}"
        log.append(
            JournalEntry(
                stream,
                log.last_seq(stream) + 1,
                self.node.clock.now(),
                type(message).__name__,
                "" if self.sender is None else f"{self.sender.path}@{self.sender.incarnation}",
                self.node.encode(message),
            )
        )

    async def _serve_control(self) -> ExitReason | None:
        actor = self.actor
        assert actor is not None
        while self.control:
            item = self.control.popleft()
            if item is STOP:
                return self.stop_reason
            if isinstance(item, Timer):
                item.pending = False
                item = item.message
            try:
                await self._handle(actor, item)
            except Refused as refusal:
                self._refused(refusal)
        return None

    def _make_room(self) -> None:
        assert self.room is not None
        free = self.capacity - len(self.queue)
        if free > 0 and len(self.room):
            self.room.unpark(count=free)

    # Control.

    def request_stop(self, reason: ExitReason) -> None:
        """See `Cell.request_stop`."""
        if self.stop_reason is None:
            self.stop_reason = reason
            if self.gate is not None:
                self.gate.cancel()
            self.post_control(STOP)

    def kill(self, detail: str) -> None:
        """See `Cell.kill`."""
        self.kill_asked = True
        if not isinstance(self.stop_reason, Crashed):
            self.stop_reason = Killed(detail)
        if self.scope is not None:
            self.scope.cancel()

    def pause(self) -> None:
        """Suspend the data lane; control runs on, and the mailbox's policy applies."""
        if self.state is State.UP:
            self.set_state(State.PAUSED)
            self.asleep = False

    def resume(self) -> None:
        """End a pause."""
        if self.state is State.PAUSED:
            self.set_state(State.UP)
            self.signal()

    def tick(self, timer: Timer) -> None:
        """A timer has fired; one that fires again before it is handled merges. A paused actor's waits in its place."""
        if not timer.pending:
            timer.pending = True
            if self.state is State.PAUSED:
                if self.queue is NOTHING:
                    self.queue = deque()
                self.queue.append(timer)
            else:
                self.post_control(timer)
        if timer.interval is None and self.timers is not None:
            self.timers.discard(timer)

    def add_timer(self, message: Message, seconds: float, interval: float | None) -> Timer:
        """See `Actor.after` and `Actor.every`."""
        if interval is not None and interval <= 0:
            raise ValueError(f"a periodic timer needs an interval above 0 s, got {interval}")
        timer = Timer(self, message, trio.current_time() + seconds, interval)
        if self.timers is None:
            self.timers = set()
        self.timers.add(timer)
        self.node.timers.add(timer)
        return timer

    def forget_timer(self, timer: Timer) -> None:
        """A timer was cancelled."""
        if self.timers is not None:
            self.timers.discard(timer)
        if timer.pending:
            for lane in (self.control, self.queue):
                if timer in lane:
                    lane.remove(timer)

    def lagged(self, topic: str, key: str, count: int) -> None:
        """Tell of a loss ahead of what waits; losses of one topic and key merge."""
        for index, item in enumerate(self.control):
            if type(item) is Lagged and item.topic == topic and item.key == key:
                self.control[index] = Lagged(topic, key, item.count + count)
                return
        self.post_control(Lagged(topic, key, count))

    # Owned tasks and stash.

    def spawn(self, function: Callable[..., Awaitable[object]], args: tuple[Any, ...], name: str | None) -> None:
        """See `Actor.spawn`."""
        assert self.parent is not None
        scope = trio.CancelScope()
        if self.owned is None:
            self.owned = {}
        label = name or str(getattr(function, "__qualname__", "task"))
        self.owned[scope] = label
        token = running_cell.set(self)
        try:
            self.parent.nursery.start_soon(self._own, scope, function, args, name=f"{self.path}#{label}")
        finally:
            running_cell.reset(token)

    async def _own(
        self, scope: trio.CancelScope, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> None:
        try:
            with scope:
                await function(*args)
        except BaseException as error:
            rest = without_cancelled(error)
            if rest is None:
                raise
            if not isinstance(self.stop_reason, Crashed):
                self.stop_reason = reason = crashed(rest)
                self.errors += 1
                self.kind.errors += 1
                self.node.crash(self, reason, None)
            self.kill("an owned task crashed")
        finally:
            assert self.owned is not None
            del self.owned[scope]
            self.signal()

    def answer_later(self, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
        """See `Actor.answer_later`."""
        assert self.actor is not None
        if self.later >= self.actor.later_capacity:
            raise Refused("overloaded", f"{self.path} is working on {self.later} requests already")
        if self.asked is not None:
            self.kept = Kept.LATER
        self.later += 1
        name = None if self.handling is None else type(self.handling).__name__
        self.spawn(self._answer, (self.asked, function, args), name)

    async def _answer(
        self, asked: Ask | None, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> None:
        try:
            # Nobody waits for the answer beyond the deadline.
            with trio.CancelScope(deadline=math.inf if asked is None else asked.deadline) as waited:
                value = await function(*args)
                if asked is not None:
                    asked.answer(value)
            if asked is not None and waited.cancelled_caught:
                asked.expire()
        except (Refused, Unknown) as outcome:
            if asked is not None:
                asked.settle(outcome)
        finally:
            self.later -= 1
            if asked is not None:
                asked.lose(f"{self.path} ended while handling the request")

    def promise(self) -> Promise:
        """See `Actor.promise`."""
        if self.promised is None:
            self.promised = set()
        if self.asked is not None:
            self.kept = Kept.LATER
        return Promise(self.asked, self.promised)

    async def _join_owned(self) -> None:
        while self.owned:
            for scope in self.owned:
                scope.cancel()
            self.parked = True
            self.node.awake -= 1
            await wait_task_rescheduled(self._abort)

    def stash(self) -> None:
        """See `Actor.stash`."""
        assert self.actor is not None
        assert self.handling is not None
        if self.stashed is None:
            self.stashed = deque()
        if len(self.stashed) >= self.actor.stash_capacity:
            raise StashOverflow(f"{self.path} stashed more than {self.actor.stash_capacity} messages")
        self.kept = Kept.STASHED
        if self.asked is not None:
            self.stashed.append(self.asked)
        elif self.sender is not None:
            self.stashed.append(Posted(self.handling, self.sender))
        else:
            self.stashed.append(self.handling)

    def unstash(self) -> None:
        """See `Actor.unstash`."""
        if self.stashed:
            if self.queue is NOTHING:
                self.queue = deque()
            self.queue.extendleft(reversed(self.stashed))
            self.stashed.clear()
            self.open_fast_path()

    # The end of an incarnation.

    def _crash(self, error: BaseException) -> ExitReason:
        reason = crashed(error)
        self.errors += 1
        self.kind.errors += 1
        culprit = self.handling
        if culprit is not None and self.state is not State.STOPPING:
            if self.quarantine is None:
                self.quarantine = Quarantine()
            if self.quarantine.crashed(culprit, trio.current_time()):
                self.purge(culprit)
                self.node.quarantined(self.path, culprit)
        self.node.crash(self, reason, culprit)
        return reason

    def _leave(self) -> None:
        """Give back what an incarnation holds; the mailbox stays with the path."""
        self.asleep = self.parked = False
        asked, self.asked = self.asked, None
        if asked is not None:
            asked.lose(f"{self.path} ended while handling the request")
        self.handling = self.sender = self.gate = None
        self.kept = None
        for promise in tuple(self.promised or ()):
            promise.lose(f"{self.path} ended while handling the request")
        self.promised = None
        for timer in self.timers or ():
            timer.live = False
        if any(type(item) is Timer for item in self.queue):
            self.queue = deque(item for item in self.queue if type(item) is not Timer)
        self.timers = None
        self.control = NO_CONTROL
        self.node.topics.drop(self)
        self.node.unwatch_all(self)
        self.unstash()
        if self.actor is not None and self.actor.on_crash is OnCrash.CLEAR:
            waiting, self.queue = self.queue, NOTHING
            for item in waiting:
                self.refuse_item(item, "cleared")
        if self.room is not None:
            self._make_room()
        self.open_fast_path()


def _no_handler(_: type) -> None:
    return None


def find_handler(actor: type[Actor], message: type) -> Callable[[Any, Any], Any] | None:
    """The handler of the nearest base of a message type; what is found is remembered in the class's table."""
    for base in message.__mro__:
        sync = actor._sync_handlers.get(base)
        if sync is not None:
            actor._sync_handlers[message] = sync
            return sync
        asynchronous = actor._async_handlers.get(base)
        if asynchronous is not None:
            actor._async_handlers[message] = asynchronous
            return asynchronous
    return None
