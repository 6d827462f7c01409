"""What the suites of the runtime share: a node on trio's clock, journals, and every name that the rules leave open.

The rules say what the runtime does; where they do not say how it is spelled (the snapshot of the tree, the
name of a dead letter, how an actor ends itself), the spelling stands here and nowhere else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import trio
import trio.testing

import runtime
from protocols.control import (
    Crashed,
    DeadLetter,
    ExitReason,
    Killed,
    Message,
    Normal,
    Refused,
    Request,
    Shutdown,
    Terminated,
    Unknown,
)
from runtime import (
    Actor,
    ActorRef,
    AutoShutdown,
    Backoff,
    ChildSpec,
    HostOptions,
    Mailbox,
    NodeSettings,
    Overflow,
    Restart,
    RestartLimit,
    Strategy,
    dynamic_supervisor,
    open_node,
    receive,
    supervisor,
)
from runtime.cluster.settings import ClusterSettings

__all__ = [
    "Actor",
    "ActorRef",
    "AutoShutdown",
    "Backoff",
    "ChildSpec",
    "Crashed",
    "ExitReason",
    "HostOptions",
    "Journal",
    "Killed",
    "Mailbox",
    "Message",
    "Normal",
    "Noting",
    "Overflow",
    "Refused",
    "Request",
    "Restart",
    "RestartLimit",
    "Shutdown",
    "Strategy",
    "Terminated",
    "Unknown",
    "dynamic_supervisor",
    "open_node",
    "receive",
    "supervisor",
]

LIMIT = 600.0
"""Seconds of trio's clock after which a wait has failed. Under the autojump clock they cost nothing."""

INVALID = (ValueError, TypeError)
"""What a child spec that can never work raises when it is made."""


# A node.


def settings(**changes: Any) -> NodeSettings:
    return NodeSettings(**{"name": "test", **changes})


@asynccontextmanager
async def running(
    *children: ChildSpec, limit: float = LIMIT, cluster: ClusterSettings | None = None, **changes: Any
) -> AsyncIterator[Any]:
    """A node with these children under its root, for at most `limit` seconds; leaving the block stops it."""
    with trio.fail_after(limit):
        async with open_node(settings(**changes), children=children, cluster=cluster) as node:
            yield node


async def settle() -> None:
    """Wait until no task can go on without time passing."""
    await trio.testing.wait_all_tasks_blocked()


# Journals: what actors did, in order.


class Journal:
    """Lines in the order in which actors wrote them. Actors find it by its number, which is plain data."""

    _numbers: ClassVar[count[int]] = count(1)
    _open: ClassVar[dict[int, Journal]] = {}

    def __init__(self) -> None:
        self.number = next(self._numbers)
        self.lines: list[str] = []
        self.times: list[float] = []
        self._grown = trio.Event()
        self._open[self.number] = self

    @classmethod
    def of(cls, number: int) -> Journal:
        return cls._open[number]

    def note(self, line: str) -> None:
        self.lines.append(line)
        self.times.append(trio.current_time())
        self._grown.set()
        self._grown = trio.Event()

    async def until(self, reached: Callable[[list[str]], bool] | int | str, limit: float = LIMIT) -> list[str]:
        """Wait for a number of lines, for a line, or for a condition on the lines."""
        if isinstance(reached, int):
            wanted = reached
            condition: Callable[[list[str]], bool] = lambda lines: len(lines) >= wanted  # noqa: E731
        elif isinstance(reached, str):
            line = reached
            condition = lambda lines: line in lines  # noqa: E731
        else:
            condition = reached
        try:
            with trio.fail_after(limit):
                while not condition(self.lines):
                    await self._grown.wait()
        except trio.TooSlowError:
            raise AssertionError(f"waited for {reached!r}, saw {self.lines}") from None
        return self.lines

    def time_of(self, line: str) -> float:
        return self.times[self.lines.index(line)]


class Noting(Actor):
    """An actor with a journal."""

    def __init__(self, journal: int) -> None:
        self.journal = Journal.of(journal)

    def note(self, line: str) -> None:
        self.journal.note(line)


def child(name: str, kind: type[Actor] | str, arguments: dict[str, Any] | None = None, **options: Any) -> ChildSpec:
    return ChildSpec(name=name, actor=kind, arguments=arguments or {}, **options)


def actor(name: str, kind: type[Actor], journal: Journal | None = None, **options: Any) -> ChildSpec:
    """A child spec; what is no option of a spec goes to the constructor."""
    arguments = {key: options.pop(key) for key in list(options) if key not in ChildSpec.__struct_fields__}
    if journal is not None:
        arguments["journal"] = journal.number
    return child(name, kind, arguments, **options)


def backoff(first: float, most: float, jitter: float = 0.0) -> Backoff:
    return Backoff(first_s=first, most_s=most, jitter=jitter)


Declined = runtime.Declined
"""What a start raises that declines (OTP's `ignore`)."""

CLEAR = runtime.OnCrash.CLEAR
KEEP = runtime.OnCrash.KEEP


# A supervisor's answers.

StartChild = runtime.StartChild
TerminateChild = runtime.TerminateChild
RestartChild = runtime.RestartChild
DeleteChild = runtime.DeleteChild
WhichChildren = runtime.WhichChildren
CountChildren = runtime.CountChildren


async def children_of(ref: ActorRef) -> dict[str, str]:
    """Name to `up`, `down`, `restarting`, in start order."""
    answer = await ref.ask(WhichChildren())
    words = {"recovering": "up", "paused": "up", "stopped": "down", "backoff": "restarting"}
    return {child.name: words.get(child.state, child.state) for child in answer}


async def counts_of(ref: ActorRef) -> dict[str, int]:
    """`specs`, `active`, `supervisors`, `restarting`."""
    answer = await ref.ask(CountChildren())
    return {key: getattr(answer, key) for key in ("specs", "active", "supervisors", "restarting")}


# How an actor ends.


def finish(it: Actor) -> None:
    """The actor ends by itself, reason Normal, after the message that it handles."""
    it.stop()


def leave(it: Actor, detail: str = "own wish") -> None:
    """The actor ends by itself, reason Shutdown, after the message that it handles."""
    it._cell.request_stop(Shutdown(detail))


def _parent(node: Any, path: str) -> tuple[ActorRef, str]:
    parent, _, name = path.rpartition("/")
    return node.ref(parent or "/"), name


async def kill(node: Any, path: str) -> None:
    """End the actor without asking it; reason Killed."""
    parent, name = _parent(node, path)
    await parent.ask(runtime.KillChild(name))


async def pause(node: Any, path: str) -> None:
    parent, name = _parent(node, path)
    await parent.ask(runtime.PauseChild(name))


async def resume(node: Any, path: str) -> None:
    parent, name = _parent(node, path)
    await parent.ask(runtime.ResumeChild(name))


# Losses.


class DeadLetters(Noting):
    """Writes every dead letter of the node as `dead PATH TYPE[ WHY]`."""

    def __init__(self, journal: int, why: bool = False) -> None:
        super().__init__(journal)
        self.why = why

    async def on_start(self) -> None:
        self.subscribe(DeadLetter)

    @receive
    def dead(self, message: DeadLetter) -> None:
        self.note(f"dead {message.path} {message.kind}" + (f" {message.reason}" if self.why else ""))


# The tree.


@dataclass(frozen=True)
class Entry:
    """What the tests read of one path of the tree."""

    state: str
    count: int
    """Of starts."""
    restarts: int
    depth: int
    dropped: int
    merged: int
    handled: int
    handling: str | None


def look(node: Any, path: str) -> Entry:
    """The entry of a path in the node's snapshot. Raises LookupError if there is none."""
    view = node.tree(path)
    if view is None:
        raise LookupError(path)
    return Entry(
        view.state,
        int(view.incarnation.split(".")[1]),
        view.restarts,
        view.mailbox.depth,
        view.mailbox.dropped,
        view.mailbox.merged,
        view.handled,
        view.handling,
    )


def said_under_other_hash_seeds(program: str) -> set[str]:
    """What a program prints in processes whose `hash` of text differs."""
    return {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "4242")
    }
