from __future__ import annotations

import os
import signal
from typing import ClassVar

import msgspec
import trio

from protocols.control import ActorEvent, Incarnation, Message, Refused, Request, Row, Unknown
from runtime import Actor, ChildSpec, open_node, receive, supervisor

PATIENCE_S = 30.0


class Life(Message, frozen=True, gc=False, tag="branch_life"):
    """One life of it."""

    incarnation: Incarnation
    process: int


class WhoAreYou(Request[Life], frozen=True, gc=False, tag="branch_who"):
    """Asks which life of the path this is, and in which process."""


class Add(Request[int], frozen=True, gc=False, tag="branch_add"):
    """Asks for a row."""


class Member(Actor):
    @receive
    def who(self, request: WhoAreYou) -> Life:
        return Life(self.incarnation, os.getpid())


async def test_below_a_placed_branch_no_incarnation_comes_twice_though_its_worker_is_another_one() -> None:
    branch = supervisor("branch", ChildSpec(name="member", actor=Member))
    lives: list[Life] = []
    async with open_node(children=(msgspec.structs.replace(branch, placement="process"),)) as node:
        with trio.fail_after(PATIENCE_S):
            while len(lives) < 3:
                try:
                    life = await node.ref("/branch/member").ask(WhoAreYou())
                except (Refused, Unknown):
                    await trio.sleep(0.02)
                    continue
                if life not in lives:
                    lives.append(life)
                    os.kill(life.process, signal.SIGKILL)
    assert len({life.process for life in lives}) == 3
    assert sorted(lives, key=lambda life: life.incarnation.count) == lives
    assert len({life.incarnation for life in lives}) == 3


class Note(Row, frozen=True, gc=False, tag="branch_note"):
    """A row."""

    table: ClassVar[str] = "notes"

    text: str


class Writer(Member):
    @receive
    def write(self, request: Add) -> int:
        return self.log.append(Note("x"))


async def test_a_row_that_the_node_cannot_keep_ends_the_worker_that_counts_on_it_and_not_the_node() -> None:
    spec = ChildSpec(name="writer", actor=Writer, placement="process")
    async with open_node(children=(spec,)) as node:
        writer = node.ref("/writer")
        with trio.fail_after(PATIENCE_S), node.open_tap((ActorEvent, None)) as tap:
            first = await writer.ask(WhoAreYou())
            await writer.outcome(Add())
            events: list[ActorEvent] = []
            while not events or events[-1].event != "started":
                events += [each for each in await tap.receive() if isinstance(each, ActorEvent)]
            second = await writer.ask(WhoAreYou())
        assert first.process != second.process
        assert any("its row was not kept: this node was opened without a log" in str(each) for each in events)
