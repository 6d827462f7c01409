"""The other end of a link as actors see it: messages go out, messages come in, asks find their answers.

Both ends are alike but for two things: who owns a path (`way`), and how messages for a path are put down (`deliver`).
What is sent carries its sender's incarnation, so a receiver that fences sees who sent what in which life.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import trio

from protocols.control import Incarnation, Lagged, Message, Refused, Unknown
from runtime.cell import NOBODY, Cell, refuse_cycle
from runtime.cluster import wire
from runtime.cluster.codec import Codec, NotTransferable, answer_type, path_of
from runtime.cluster.far import FarCell
from runtime.cluster.link import Link, Run
from runtime.mailbox import ELSEWHERE, Ask, Sender
from runtime.variables import running_cell

if TYPE_CHECKING:
    from runtime.node import Node

VERDICT_S = 0.25
"""How long after its deadline an ask waits to be told by the other end whether it was begun."""


class Peer:
    """One end's view of the other."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.codec = Codec(node.settings.name, node.ref)
        self.link: Link
        self.up = False
        self.asks: dict[int, Ask] = {}
        """Sent and not answered."""
        self.incoming: dict[int, Ask] = {}
        """Received and not answered."""
        self._numbers = count(1)
        self._senders: dict[wire.Mark, Cell] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            wire.Heartbeat: lambda record: None,
            wire.Tell: self._tell,
            wire.Ask: self._ask,
            wire.Answer: self._answer,
            wire.Refusal: self._refusal,
            wire.Lost: self._lost,
            wire.Revoke: self._revoke,
            wire.Control: self._control,
        }

    # What differs.

    def way(self, path: str) -> Cell:
        """The cell of a path, as messages from the other end reach it."""
        raise NotImplementedError

    def deliver(self, path: str, messages: Sequence[Message], sender: Sender | None) -> None:
        """Put messages down where they belong."""
        tell = self.way(path).ref.tell
        for message in messages:
            tell(message)

    def sender_cell(self, mark: wire.Mark) -> Cell:
        """A cell that stands for a sender at the other end."""
        cell = self._senders.get(mark)
        if cell is None:
            if len(self._senders) > 10_000:
                self._senders.clear()
            cell = FarCell(self.node, mark.path, lambda: self)
            cell._mark = Sender(mark.path, Incarnation(mark.epoch, mark.count))
            self._senders[mark] = cell
        return cell

    # The socket's side.

    def receive(self, records: list[Any]) -> None:
        """Take the records of one frame."""
        handlers = self._handlers
        for record in records:
            handlers[type(record)](record)

    def turn(self) -> None:
        """All that came at once has been taken."""

    def seal(self, run: Run) -> Sequence[wire.Record]:
        """The records of a run; a message that cannot leave the process is a dead letter."""
        try:
            return (self._sealed(run, run.items),)
        except NotTransferable:
            made = []
            for item in run.items:
                try:
                    made.append(self._sealed(run, [item]))
                except NotTransferable as error:
                    self.node.logger.warning("not transferable", actor=run.path, error=str(error))
                    self.node.dead_letter(run.path, item, "not_transferable")
            return made

    def _sealed(self, run: Run, items: list[Message]) -> wire.Record:
        cls, packed, sender = path_of(run.cls), self.codec.pack(items, run.cls), mark_of(run.sender)
        if run.kind is wire.Publish:
            return wire.Publish(cls, packed, sender)
        if run.kind is wire.Control:
            return wire.Control(run.path, cls, packed)
        return wire.Tell(run.path, cls, packed, sender)

    # Out.

    def tell(self, path: str, message: Message, sender: Sender | None) -> bool:
        """Send a message to a path at the other end; False if the link is gone or too slow."""
        if not self.up or self.link.congested:
            return False
        self.link.say(wire.Tell, path, message, sender)
        return True

    def ask(self, path: str, ask: Ask, *, send: bool = False) -> None:
        """Send a request on. Raises Refused."""
        if not self.up:
            raise Refused("stopped", f"the process of {path} is gone")
        if self.link.congested:
            raise Refused("mailbox_full", f"the link to {path} is full")
        try:
            packed = self.codec.pack([ask.request], type(ask.request))
            cls = path_of(type(ask.request))
        except NotTransferable as error:
            raise Refused("not_transferable", str(error)) from error
        number = ask.number = next(self._numbers)
        ask.holder = self
        self.asks[number] = ask
        left = max(0.0, min(ask.deadline - trio.current_time(), 1e9))
        self.link.put(wire.Ask(number, path, cls, packed, left, mark_of(ask.sender), ask.asker is not None, send))

    def revoke(self, ask: Ask) -> None:
        """The asker was cancelled."""
        if self.asks.pop(ask.number, None) is not None and self.up:
            self.link.put(wire.Revoke(ask.number))

    def overdue(self, ask: Ask) -> None:
        """The deadline of an ask has passed; the other end knows whether it was begun, and is about to say so."""

        def no_verdict() -> None:
            self.asks.pop(ask.number, None)
            ask.lose("the deadline passed, and the other process did not say whether it had begun")

        self.node.timers.call_at(trio.current_time() + VERDICT_S, no_verdict)

    def end(self, why: str) -> None:
        """The link is gone: who waits for an answer will never have it."""
        self.up = False
        asks, self.asks = self.asks, {}
        for ask in asks.values():
            ask.lose(why)
        # What the other end had asked stays where it waits: whether it still counts is for its receiver to say.
        for ask in self.incoming.values():
            ask.done = _ignore
        self.incoming.clear()

    # In.

    @contextmanager
    def on_behalf_of(self, mark: wire.Mark | None) -> Iterator[None]:
        """What is done in the block is done by this sender."""
        if mark is None:
            yield
            return
        token = running_cell.set(self.sender_cell(mark))
        try:
            yield
        finally:
            running_cell.reset(token)

    def decoded(self, path: str, cls: str, items: Any) -> Sequence[Message]:
        """The messages of a record; none, with a line in the log, if they cannot be made here."""
        try:
            return self.codec.messages(cls, items)
        except NotTransferable as error:
            self.node.logger.warning("not transferable", actor=path, error=str(error))
            return ()

    def _tell(self, record: wire.Tell) -> None:
        messages = self.decoded(record.path, record.cls, record.items)
        with self.on_behalf_of(record.sender):
            self.deliver(record.path, messages, sender_of(record.sender))

    def _control(self, record: wire.Control) -> None:
        cell = self.way(record.path)
        for message in self.decoded(record.path, record.cls, record.items):
            if type(message) is Lagged:
                cell.lagged(message.topic, message.key, message.count)  # type: ignore[attr-defined]
            else:
                cell.post_control(message)

    def _ask(self, record: wire.Ask) -> None:
        try:
            (request,) = self.codec.messages(record.cls, record.items)
        except NotTransferable as error:
            self.link.put(wire.Refusal(record.number, "not_transferable", str(error), None))
            return
        now = trio.current_time()
        asker = self.sender_cell(record.sender) if record.waits and record.sender is not None else None
        target = self.way(record.path)
        ask = Ask(
            request, sender_of(record.sender), now + record.left, ELSEWHERE, asker, target,
            functools.partial(self._settled, record.number),
        )  # fmt: skip
        if asker is not None:
            if asker.awaiting is NOBODY:
                asker.awaiting = []
            asker.awaiting.append(target)
        self.incoming[record.number] = ask
        if record.send or target.routes:
            self.node.keep(self._in_a_task, ask, target, record)
            return
        try:
            if asker is not None:
                asker.awaiting.remove(target)
                try:
                    refuse_cycle(asker, target)
                finally:
                    asker.awaiting.append(target)
            target.put_ask(ask)
        except Refused as refusal:
            ask.settle(refusal)
            return
        if ask.task is not None:
            self.node.timers.add_ask(ask, record.left)

    async def _in_a_task(self, ask: Ask, target: Cell, record: wire.Ask) -> None:
        with self.on_behalf_of(record.sender), trio.CancelScope(deadline=ask.deadline):
            try:
                if record.send:
                    await target.send(ask.request, record.left)
                    value = None
                elif target.guard is not None:
                    value = await target.guard.ask(ask.request, record.left)
                else:
                    value = await target.ask_directly(ask.request, record.left)
            except (Refused, Unknown) as outcome:
                ask.settle(outcome)
                return
            ask.answer(value)
            return
        ask.lose("the deadline passed while the request was under way")

    def _settled(self, number: int, ask: Ask) -> None:
        self.incoming.pop(number, None)
        if not self.up:
            return
        error = ask.error
        if error is None:
            try:
                kind = answer_type(type(ask.request))
                self.link.put(wire.Answer(number, self.codec.pack(ask.value, kind)))
            except NotTransferable as unsendable:
                self.node.logger.warning("not transferable", actor=ask.target.path, error=str(unsendable))
                self.link.put(wire.Lost(number, f"the answer cannot be sent: {unsendable}"))
        elif isinstance(error, Refused):
            self.link.put(wire.Refusal(number, error.code, error.message, error.field))
        else:
            self.link.put(wire.Lost(number, str(error)))

    def _answer(self, record: wire.Answer) -> None:
        ask = self.asks.pop(record.number, None)
        if ask is None:
            return
        try:
            ask.answer(self.codec.answer(type(ask.request), record.value))
        except NotTransferable as error:
            self.node.logger.warning("not transferable", actor=ask.target.path, error=str(error))
            ask.lose(str(error))

    def _refusal(self, record: wire.Refusal) -> None:
        ask = self.asks.pop(record.number, None)
        if ask is not None:
            ask.refuse(record.code, record.message, record.field)

    def _lost(self, record: wire.Lost) -> None:
        ask = self.asks.pop(record.number, None)
        if ask is not None:
            ask.lose(record.why)

    def _revoke(self, record: wire.Revoke) -> None:
        ask = self.incoming.pop(record.number, None)
        if ask is not None and ask.task is not None:
            ask._leave()
            if ask.holder is not None:
                ask.holder.revoke(ask)


def _ignore(ask: Ask) -> None:
    """Nobody is there to be told."""


def mark_of(sender: Sender | None) -> wire.Mark | None:
    """A sender as it travels."""
    if sender is None:
        return None
    return wire.Mark(sender.path, sender.incarnation.epoch, sender.incarnation.count)


def sender_of(mark: wire.Mark | None) -> Sender | None:
    """And back."""
    return None if mark is None else Sender(mark.path, Incarnation(mark.epoch, mark.count))


def finite(seconds: float) -> float:
    """A time-out that msgpack and the other end can reckon with."""
    return min(seconds, 1e9) if seconds != math.inf else 1e9
