"""Actors and messages for placed actors: importable by name, as a worker needs them."""

from __future__ import annotations

import os
import time
from typing import Any

import msgspec
import trio

from protocols.control import Lagged, Message, Refused, Request, Row, Terminated
from runtime import Actor, ActorRef, Mailbox, Overflow, Restart, receive
from runtime.spec import ChildSpec, supervisor


class Add(Message, frozen=True, gc=False, tag="cast_add"):
    amount: int


class Total(Request[int], frozen=True, gc=False, tag="cast_total"):
    pass


class Pid(Request[int], frozen=True, gc=False, tag="cast_pid"):
    pass


class Fail(Message, frozen=True, gc=False, tag="cast_fail"):
    number: int = 0


class Wait(Request[str], frozen=True, gc=False, tag="cast_wait"):
    """Handled for so many seconds."""

    seconds: float


class Block(Message, frozen=True, gc=False, tag="cast_block"):
    """Holds the worker's loop for so many seconds."""

    seconds: float


class Later(Request[str], frozen=True, gc=False, tag="cast_later"):
    """Answered by an owned task after so many seconds."""

    seconds: float


class Pick(Request[int], frozen=True, gc=False, tag="cast_pick"):
    """Refused, with a field."""


class Handled(Message, frozen=True, gc=False, tag="cast_handled"):
    """Told to the ledger for each job that was begun."""

    number: int
    by: str


class Job(Request[int], frozen=True, gc=False, tag="cast_job"):
    number: int


class Work(Message, frozen=True, gc=False, tag="cast_work"):
    number: int


class Tick(Message, frozen=True, gc=False, tag="cast_tick"):
    market: str
    number: int

    def topic_key(self) -> str:
        return self.market


class Say(Message, frozen=True, gc=False, tag="cast_say"):
    """Publish so many ticks."""

    market: str
    count: int


class Heard(Request[tuple[str, ...]], frozen=True, gc=False, tag="cast_heard"):
    pass


class WhoAsks(Request[str], frozen=True, gc=False, tag="cast_who"):
    pass


class Relay(Request[str], frozen=True, gc=False, tag="cast_relay"):
    """Ask `WhoAsks` of this ref."""

    to: ActorRef


class Attend(Request[None], frozen=True, gc=False, tag="cast_attend"):
    """Watch this path."""

    path: str


class Parameters(Request[msgspec.Raw], frozen=True, gc=False, tag="cast_parameters"):
    """Free JSON there and back."""

    given: msgspec.Raw


class Noted(Row, frozen=True, gc=False):
    table = "noted"
    text: str


class Beat(Message, frozen=True, gc=False, tag="cast_beat"):
    pass


class Counter(Actor):
    """Counts, crashes, waits, as it is told."""

    def __init__(self, start: int = 0, ledger: ActorRef | None = None) -> None:
        self.value = start
        self.ledger = ledger

    def on_start(self) -> None:
        self.ledger = self.ledger or self.lookup("/ledger")
        self.node.metrics.counter("cast_starts", "Starts").inc()
        self.remark = f"counts from {self.value}"

    @receive
    def add(self, message: Add) -> None:
        self.value += message.amount

    @receive
    def total(self, request: Total) -> int:
        return self.value

    @receive
    def pid(self, request: Pid) -> int:
        return os.getpid()

    @receive
    def fail(self, message: Fail) -> None:
        raise ValueError(f"told to fail {message.number}")

    @receive
    async def wait(self, request: Wait) -> str:
        await trio.sleep(request.seconds)
        return "waited"

    @receive
    def block(self, message: Block) -> None:
        time.sleep(message.seconds)

    @receive
    def later(self, request: Later) -> None:
        self.answer_later(self._later, request.seconds)

    async def _later(self, seconds: float) -> str:
        await trio.sleep(seconds)
        return "later"

    @receive
    def pick(self, request: Pick) -> int:
        raise Refused("not_today", "try tomorrow", "day")

    @receive
    def job(self, request: Job) -> int:
        self._note(request.number)
        return request.number

    @receive
    def work(self, message: Work) -> None:
        self._note(message.number)

    def _note(self, number: int) -> None:
        assert self.ledger is not None
        self.ledger.tell(Handled(number, str(self.incarnation)))

    @receive
    def who(self, request: WhoAsks) -> str:
        return "" if self.sender is None else f"{self.sender.path}@{self.sender.incarnation}"

    @receive
    async def relay(self, request: Relay) -> str:
        return await request.to.ask(WhoAsks())

    @receive
    def parameters(self, request: Parameters) -> msgspec.Raw:
        return request.given


class Ledger(Actor):
    """Keeps who handled what, in order; it is local."""

    mailbox = Mailbox(capacity=100_000, overflow=Overflow.REJECT)

    def __init__(self) -> None:
        self.entries: list[Handled] = []

    @receive
    def handled(self, message: Handled) -> None:
        self.entries.append(message)

    @receive
    def who(self, request: WhoAsks) -> str:
        return "" if self.sender is None else f"{self.sender.path}@{self.sender.incarnation}"


class Listener(Actor):
    """Hears ticks of one market, or of all."""

    mailbox = Mailbox(capacity=64)

    def __init__(self, market: str | None = None, lossless: bool = False) -> None:
        self.market = market
        self.lossless = lossless
        self.heard: list[str] = []

    def on_start(self) -> None:
        self.subscribe(Tick, self.market, lossless=self.lossless)

    @receive
    def tick(self, message: Tick) -> None:
        self.heard.append(f"{message.market} {message.number}")

    @receive
    def lagged(self, message: Lagged) -> None:
        self.heard.append(f"lost {message.count}")

    @receive
    def block(self, message: Block) -> None:
        time.sleep(message.seconds)

    @receive
    def tell(self, request: Heard) -> tuple[str, ...]:
        return tuple(self.heard)


class Speaker(Actor):
    """Publishes."""

    @receive
    def say(self, message: Say) -> None:
        for number in range(message.count):
            self.publish(Tick(message.market, number))

    @receive
    def pid(self, request: Pid) -> int:
        return os.getpid()


class Watcher(Actor):
    """Tells how what it watches ended."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    @receive
    def attend(self, request: Attend) -> None:
        self.watch(self.lookup(request.path))

    @receive
    def terminated(self, message: Terminated) -> None:
        kind = type(message.reason).__name__
        self.heard.append(f"{message.path} {kind}{' for good' if message.final else ''}")

    @receive
    def tell(self, request: Heard) -> tuple[str, ...]:
        return tuple(self.heard)


class Writer(Actor):
    """Has a log, a timer and a journal."""

    def __init__(self) -> None:
        self.beats = 0

    def on_start(self) -> None:
        self.logger.info("the writer is up")
        self.after(0.01, Beat())

    @receive
    def beat(self, message: Beat) -> None:
        self.beats += 1

    @receive
    def add(self, message: Add) -> None:
        self.log.append(Noted(f"added {message.amount}"))

    @receive
    def total(self, request: Total) -> int:
        return self.beats


class Stubborn(Actor):
    """Does not let itself be cancelled."""

    @receive
    async def wait(self, request: Wait) -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(request.seconds)
        return "waited"

    @receive
    def pid(self, request: Pid) -> int:
        return os.getpid()


class Fencing(Actor):
    """Wants to know who told it what."""

    fences = True

    def __init__(self) -> None:
        self.heard: list[str] = []

    @receive
    def add(self, message: Add) -> None:
        sender = self.sender
        self.heard.append("nobody" if sender is None else f"{sender.path}@{sender.incarnation}")

    @receive
    def tell(self, request: Heard) -> tuple[str, ...]:
        return tuple(self.heard)


def branch(name: str, **options: Any) -> ChildSpec:
    """A placed supervisor with a counter and a listener."""
    made = supervisor(
        name,
        ChildSpec("counter", Counter, {"start": 7}),
        ChildSpec("listener", Listener, {"market": "A"}),
        ChildSpec("speaker", Speaker),
        restart=Restart.PERMANENT,
    )
    return msgspec.structs.replace(made, **options)
