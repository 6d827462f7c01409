from __future__ import annotations

import os
import signal

import msgspec
import trio

from protocols.control import Incarnation, Message, Refused, Request, Unknown
from runtime import Actor, ChildSpec, open_node, receive, supervisor

PATIENCE_S = 30.0


class Life(Message, frozen=True, gc=False, tag="branch_life"):
    """One life of it."""

    incarnation: Incarnation
    process: int


class WhoAreYou(Request[Life], frozen=True, gc=False, tag="branch_who"):
    """Asks which life of the path this is, and in which process."""


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
