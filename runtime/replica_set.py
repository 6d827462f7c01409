"""Replicas at work: one path, several equal actors behind it, resized while they run.

    ChildSpec("quoter", Quoter, replicas=ReplicaSettings(count=4, routing="sticky", key="market"))

A ref to `/quoter` is used as any other. What is sent to it goes to one of `/quoter/0` … `/quoter/3`, which are ordinary
actors under a supervisor (one_for_one); the requests of `administration.py` are for that supervisor. A set that has
given up and is started again has the count of its spec.

What holds
==========

Order. Messages from one sender to one replica keep their order, as ever. `least_loaded` gives no order between
replicas. `sticky` keeps the order of a key, across a resize, too: a message of a key that moves is held back until the
old owner has handled everything that it had accepted, and is then given to the new one. A tell waits for that in the
set (as many as one mailbox holds; one more is a dead letter), an ask or a send in its own task, until its deadline. The
order of a key is given up only where somebody stops a replica for good, or one ends by itself and is not started again:
its keys go to the next one by the hash, and come back with it.

Loss. What was accepted before a resize is handled. What a leaving replica has not handled within its `stop_s` is
refused (asks) or a dead letter (tells). One that has crashed and waits for its restart keeps what waits for it.

Division. Replicas that handle `ReplicaMembers` are told who they are, at each start and when it changes, and may divide
among themselves what comes to them on topics. A replica that crashes, or that somebody stops, keeps its share.

Choice. `least_loaded` goes around replicas that are full, not up, or behind an open breaker, as long as there is
another. `sticky` does not: the owner of a key is the owner, and its mailbox outlives a crash.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from protocols.control import ExitReason, Message, Refused
from runtime.administration import ADMINISTRATIVE, DeleteChild, ResizeReplicas, StartChild
from runtime.cell import REFUSALS, Cell, State, refuse_cycle, waiting_handler
from runtime.exits import describe
from runtime.hashing import Rendezvous
from runtime.mailbox import Posted
from runtime.replica_members import Membership
from runtime.replica_move import Move, Point
from runtime.replicas import ReplicaFigures, ReplicasSnapshot
from runtime.spec import ChildSpec
from runtime.supervisor import SupervisorCell, _StopAskedError
from runtime.variables import running_cell

if TYPE_CHECKING:
    from runtime.node import Node

POLL_S = 0.01
"""How often a resize looks whether a replica is through with what it had."""
REMEMBERED_KEYS = 4096
"""So many keys' owners are kept: a draw costs about 1 µs for each replica."""


class ReplicaSet(SupervisorCell):
    """The cell of a replicated path: a supervisor, and the choice of who gets a message."""

    __slots__ = ("_figures", "_members", "_membership", "_move", "_owners", "_ring", "_turn", "replicas")

    def __init__(self, node: Node, parent: SupervisorCell | None, spec: ChildSpec, path: str) -> None:
        super().__init__(node, parent, spec.expanded(), path)
        assert spec.replicas is not None
        self.replicas = spec.replicas
        self._figures: dict[str, ReplicaFigures] = {}
        self._members: tuple[Cell, ...] = ()
        """Who is in the routing, by number."""
        self._membership = Membership(self)
        self._ring = Rendezvous(str(number) for number in range(spec.replicas.count))
        self._owners: dict[str, tuple[str, ...]] = {}
        self._move: Move | None = None
        self._turn = 0

    def snapshot(self) -> ReplicasSnapshot:
        """The replicas as they are now."""
        return ReplicasSnapshot(
            routing=self.replicas.routing,
            key=self.replicas.key,
            count=len(self._members),
            most=self.replicas.most,
            replicas=tuple(
                self._figures[name].snapshot(name, max(cell.load, self._figures[name].open))
                for name, cell in self.children.items()
            ),
        )

    # The supervisor.

    def begin(self) -> ExitReason | None:
        """See `Cell.begin`. All mailboxes are open before the first replica starts, so that no key moves meanwhile."""
        for spec in self.options.children:
            self.add(spec).set_state(State.BACKOFF)
        self._route_to(Rendezvous(spec.name for spec in self.options.children))
        self._membership.begin(spec.name for spec in self.options.children)
        return super().begin()

    async def _start_first(self) -> ExitReason | None:
        failure = await super()._start_first()
        if failure is None:
            await self._until_told(tuple(self.children.values()))
        return failure

    async def start(self, cell: Cell) -> ExitReason | None:
        """See `SupervisorCell.start`; who has started is told who the members are."""
        failure = await super().start(cell)
        if failure is None:
            self._membership.tell(cell)
        return failure

    def add(self, spec: ChildSpec) -> Cell:
        """See `SupervisorCell.add`; one that is there already is taken as it is."""
        known = self.children.get(spec.name)
        if known is not None:
            return known
        self._figures[spec.name] = ReplicaFigures()
        return super().add(spec)

    def remove(self, cell: Cell) -> None:
        """See `SupervisorCell.remove`."""
        super().remove(cell)
        self._members = tuple(member for member in self._members if member is not cell)
        del self._figures[cell.name]
        self._membership.forget(cell)

    @property
    def routes(self) -> bool:
        """See `Cell.routes`."""
        return True

    def open_fast_path(self) -> None:
        """There is none: every message is looked at."""
        self.limit = -1

    async def answer(self, request: Any) -> Any:
        """See `SupervisorCell.answer`."""
        if isinstance(request, ResizeReplicas):
            return await self._resize(request.count)
        if isinstance(request, StartChild | DeleteChild):
            raise Refused("invalid", f"{self.path} has replicas, all equal: ask it for another count")
        return await super().answer(request)

    # Who gets a message.

    def _route_to(self, ring: Rendezvous) -> None:
        self._ring = ring
        self._owners.clear()
        names = ring.names
        self._members = tuple(cell for name, cell in self.children.items() if name in names)

    def _choose(self, message: Message, *, asked: bool) -> Cell | None:
        key = self.replicas.key_of(message)
        return self._least_loaded(asked=asked) if key is None else self._owner(key)

    def _owner(self, key: str) -> Cell | None:
        ranked = self._owners.get(key)
        if ranked is None:
            if len(self._owners) >= REMEMBERED_KEYS:
                self._owners.clear()
            ranked = self._owners[key] = self._ring.ranked(key)
        for name in ranked:
            cell = self.children.get(name)
            if cell is not None and cell.state is not State.STOPPED:
                return cell
        return None

    def _least_loaded(self, *, asked: bool) -> Cell | None:
        members = self._members
        best: Cell | None = None
        least: tuple[bool, bool, int] | None = None
        begin = self._turn
        for step in range(len(members)):
            index = (begin + step) % len(members)
            cell = members[index]
            if cell.state is State.STOPPED:
                continue
            waits = cell.state is not State.UP or (cell.guard is not None and not cell.guard.passes(asked=asked))
            full = len(cell.queue) >= cell.capacity
            rank = (waits, full, max(cell.load, self._figures[cell.name].open))
            if least is None or rank < least:
                best, least = cell, rank
                self._turn = index + 1
        return best

    def _refused(self) -> Refused:
        code = "not_found" if self.gone else "stopped"
        return Refused(code, f"{REFUSALS[code]} ({self.path})")

    # The verbs.

    def tell(self, message: Message) -> bool:
        """See `ActorRef.tell`."""
        if type(message) in ADMINISTRATIVE:
            return super().tell(message)
        if self._old_owner(message) is not None:
            return self._hold(message)
        cell = self._choose(message, asked=False)
        if cell is None:
            self.node.dead_letter(self.path, message, self._refused().code)
            return False
        figures = self._figures[cell.name]
        figures.routed += 1
        told = cell.ref.tell(message)
        figures.refused += not told
        return told

    async def send(self, message: Message, timeout: float) -> None:
        """See `ActorRef.send`."""
        if type(message) in ADMINISTRATIVE:
            await super().send(message, timeout)
            return
        await self._pass_on(message, timeout, asked=False)

    async def ask_directly(self, request: Message, timeout: float) -> Any:
        """See `ActorRef.ask`."""
        if type(request) in ADMINISTRATIVE:
            return await super().ask_directly(request, timeout)
        return await self._pass_on(request, timeout, asked=True)

    async def _pass_on(self, message: Message, timeout: float, *, asked: bool) -> Any:
        if self._move is not None:
            timeout = await self._wait_for_owner(message, timeout)
        cell = self._choose(message, asked=asked)
        if cell is None:
            raise self._refused()
        figures = self._figures[cell.name]
        figures.routed += 1
        figures.open += 1
        try:
            answer: Any = None
            if asked:
                answer = await cell.ref.ask(message, timeout)  # type: ignore[arg-type]
            else:
                await cell.ref.send(message, timeout)
        except BaseException as error:
            figures.settle(error)
            raise
        finally:
            figures.open -= 1
        figures.done += asked
        return answer

    # Keys that change hands.

    def _old_owner(self, message: Message) -> Cell | None:
        """Who must be through before this message may be handled; None if nobody."""
        if self._move is None:
            return None
        key = self.replicas.key_of(message)
        name = None if key is None else self._move.old_owner(key)
        return None if name is None else self.children.get(name, self)

    def _hold(self, message: Message) -> bool:
        assert self._move is not None
        if len(self._move.held) >= max((cell.capacity for cell in self._members), default=0):
            self.count_drop()
            self.node.dead_letter(self.path, message, "mailbox_full")
            return False
        sender = running_cell.get()
        self._move.held.append(Posted(message, None if sender is None else sender.mark))
        return True

    async def _wait_for_owner(self, message: Message, timeout: float) -> float:
        """Wait until the key of a message has its new owner; returns what is left of the time."""
        deadline = trio.current_time() + timeout
        while (old := self._old_owner(message)) is not None:
            assert self._move is not None
            asker = waiting_handler(trio.lowlevel.current_task())
            until = deadline
            if asker is not None:
                refuse_cycle(asker, old)
                asker.awaiting.append(old)
                if asker.asked is not None:
                    until = min(until, asker.asked.deadline)
            try:
                with trio.move_on_at(until) as scope:
                    await self._move.over.wait()
            finally:
                if asker is not None:
                    asker.awaiting.remove(old)
            if scope.cancelled_caught:
                raise Refused("expired", f"the deadline passed while {self.path} moved the key to another replica")
        return deadline - trio.current_time()

    def _end_move(self) -> None:
        move, self._move = self._move, None
        if move is None:
            return
        for posted in move.held:
            self._deliver(posted)
        move.over.set()

    def _deliver(self, posted: Posted) -> None:
        message = posted.message
        cell = self._choose(message, asked=False)
        if cell is None:
            self.node.dead_letter(self.path, message, self._refused().code)
            return
        self._figures[cell.name].routed += 1
        item = posted if cell.kind.fences else message
        code = cell.admit(item)
        if code == "mailbox_full":
            # It was accepted when it came: now there is a place for it, whatever the bound says.
            cell.dropped -= 1
            cell.kind.dropped -= 1
            cell.queue.append(item)
        elif code is not None:
            self.node.dead_letter(cell.path, message, code)

    # Resizing.

    async def _resize(self, count: int) -> ReplicasSnapshot:
        if not 1 <= count <= self.replicas.most:
            raise Refused(
                "invalid", f"{self.path} can have from 1 to {self.replicas.most} replicas, not {count}", "count"
            )
        leaving = [cell for cell in reversed(tuple(self.children.values())) if int(cell.name) >= count]
        if leaving:
            await self._shrink(leaving, count)
        else:
            await self._grow(count)
        return self.snapshot()

    async def _grow(self, count: int) -> None:
        joining: list[Cell] = []
        template = self.options.children[0]
        for number in range(count):
            if str(number) in self.children:
                continue
            cell = self.add(msgspec.structs.replace(template, name=str(number)))
            failure = await self.start(cell)
            if failure is not None:
                self.finish(cell, failure)
                await self._drop([cell, *reversed(joining)])
                raise Refused("start_failed", f"{cell.path}: {describe(failure)}")
            joining.append(cell)
        if not joining:
            return
        waited_for = self._members
        before = self._ring
        names = [str(number) for number in range(count)]
        self._begin_move(Rendezvous(names))
        try:
            self._membership.give(waited_for, names)
            passed = self._move is None or await self._until_passed(waited_for)
            if not (passed and await self._until_told(waited_for)):
                self._route_to(before)
                self._membership.give(waited_for, [cell.name for cell in waited_for])
                raise Refused("busy", f"replicas of {self.path} did not get through what they had: nothing is changed")
        finally:
            self._end_move()
            if self._ring is before:
                await self._serving_until(lambda: all(map(self._idle, joining)), self._stop_s())
                await self._drop(joining[::-1])
        self._membership.give(joining, names)
        await self._until_told(joining)

    async def _shrink(self, leaving: list[Cell], count: int) -> None:
        names = [str(number) for number in range(count)]
        self._begin_move(Rendezvous(names))
        try:
            self._membership.give(leaving, names)
            for cell in leaving:
                self.node.topics.drop(cell)  # what is published from now on is for those who stay
            await self._serving_until(
                lambda: all(self._membership.is_told(cell) and self._idle(cell) for cell in leaving), self._stop_s()
            )
            await self._drop(leaving)
        finally:
            self._end_move()
        self._membership.give(self._members, names)
        await self._until_told(self._members)

    async def _drop(self, cells: list[Cell]) -> None:
        for cell in cells:
            await self.stop_child(cell)
            if not cell.gone:
                self.remove(cell)

    def _begin_move(self, ring: Rendezvous) -> None:
        old = self._ring
        self._route_to(ring)
        if self.replicas.routing == "sticky":
            gone = old.names | ring.names
            gone -= {name for name, cell in self.children.items() if cell.state is not State.STOPPED}
            self._move = Move(old, ring, frozenset(gone))

    def _stop_s(self) -> float:
        return self.options.children[0].stop_s

    def _idle(self, cell: Cell) -> bool:
        if cell.gone or cell.state is State.STOPPED:
            return True
        return cell.load == 0 and self._figures[cell.name].open == 0

    async def _until_told(self, cells: Iterable[Cell]) -> bool:
        """Wait until these replicas have noted who the members are, up to their `stop_s`; returns whether they have."""
        return await self._serving_until(lambda: all(map(self._membership.is_told, cells)), self._stop_s())

    async def _until_passed(self, cells: tuple[Cell, ...]) -> bool:
        """Wait until what these replicas have now is handled, up to their `stop_s`; returns whether it is."""
        points = [Point(cell) for cell in cells]
        return await self._serving_until(lambda: all(point.is_passed() for point in points), self._stop_s())

    async def _serving_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for what replicas do, and supervise them meanwhile: one that crashes now has to come back first."""
        deadline = trio.current_time() + seconds
        while not condition():
            now = trio.current_time()
            if self.stop_reason is not None or self.killed:
                raise _StopAskedError
            if self.exits:
                cell = self.exits.popleft()
                if cell.exit is not None:
                    await self._exited(cell)
            elif self.due and (anchor := self._next_due()) is not None:
                await self._restart(anchor)
            elif now >= deadline:
                return False
            else:
                await self._park(min(deadline, now + POLL_S, min(self.due.values(), default=math.inf)))
        return True
