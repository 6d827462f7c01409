"""Requests that an owned task answers, while their actor handles what comes next."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from protocols.control import Refused, Request, Unknown
from runtime import Actor, ChildSpec, KillChild, Node, open_node, receive


class Slow(Request[str], frozen=True, gc=False, tag="slow_later"):
    seconds: float
    ending: str = "done"


class Quick(Request[str], frozen=True, gc=False, tag="quick_later"):
    pass


class Clerk(Actor):
    later_capacity = 3

    def __init__(self) -> None:
        self.begun = 0
        self.finished = 0

    @receive
    def slow(self, request: Slow) -> None:
        self.answer_later(self._work, request)

    @receive
    def quick(self, request: Quick) -> str:
        return f"quick {self.begun} {self.finished}"

    async def _work(self, request: Slow) -> str:
        self.begun += 1
        await trio.sleep(request.seconds)
        self.finished += 1
        if request.ending == "refused":
            raise Refused("no", "not today")
        if request.ending == "unknown":
            raise Unknown("nobody knows")
        if request.ending == "crash":
            raise ArithmeticError("wrong")
        return request.ending


TREE = (ChildSpec("clerk", Clerk),)


async def outcomes(node: Node, *requests: Slow, timeout: float = 60) -> list[object]:
    found: list[object] = [None] * len(requests)

    async def ask(place: int, request: Slow) -> None:
        found[place] = await node.ref("/clerk").outcome(request, timeout)

    async with trio.open_nursery() as nursery:
        for place, request in enumerate(requests):
            nursery.start_soon(ask, place, request)
    return found


async def test_other_messages_are_handled_while_a_request_is_worked_on(autojump_clock: MockClock) -> None:
    async with open_node(children=TREE) as node:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outcomes, node, Slow(5), Slow(3))
            await trio.sleep(1)
            assert await node.ref("/clerk").ask(Quick()) == "quick 2 0"
            await trio.sleep(3)
            assert await node.ref("/clerk").ask(Quick()) == "quick 2 1"
        assert await node.ref("/clerk").ask(Slow(1, "late"), 60) == "late"


async def test_refusals_and_unknown_outcomes_are_answers(autojump_clock: MockClock) -> None:
    async with open_node(children=TREE) as node:
        refused, unknown = await outcomes(node, Slow(1, "refused"), Slow(1, "unknown"))
        assert isinstance(refused, Refused)
        assert refused.code == "no"
        assert isinstance(unknown, Unknown)
        assert node.resolve("/clerk").restarts == 0


async def test_a_crash_of_the_work_is_the_actors_and_all_it_worked_on_is_unknown(autojump_clock: MockClock) -> None:
    async with open_node(children=TREE) as node:
        crashed, other = await outcomes(node, Slow(1, "crash"), Slow(9))
        assert isinstance(crashed, Unknown)
        assert isinstance(other, Unknown)
        await trio.testing.wait_all_tasks_blocked()
        assert node.resolve("/clerk").restarts == 1
        assert await node.ref("/clerk").ask(Quick()) == "quick 0 0"


async def test_a_request_whose_actor_is_killed_is_unknown(autojump_clock: MockClock) -> None:
    async with open_node(children=TREE) as node, trio.open_nursery() as nursery:

        async def kill() -> None:
            await trio.sleep(1)
            await node.ref("/").ask(KillChild("clerk"))

        nursery.start_soon(kill)
        with pytest.raises(Unknown, match="ended while handling"):
            await node.ref("/clerk").ask(Slow(9), 60)


async def test_the_work_ends_at_the_deadline_of_its_request(autojump_clock: MockClock) -> None:
    async with open_node(children=TREE) as node:
        with pytest.raises(Unknown, match="deadline"):
            await node.ref("/clerk").ask(Slow(9), 2)
        await trio.sleep(20)
        assert await node.ref("/clerk").ask(Quick()) == "quick 1 0"
        assert not node.resolve("/clerk").owned


async def test_beyond_its_capacity_a_request_is_refused_and_room_comes_back(autojump_clock: MockClock) -> None:
    async with open_node(children=TREE) as node:
        *answered, refused = await outcomes(node, Slow(1), Slow(1), Slow(1), Slow(1))
        assert [type(each).__name__ for each in (*answered, refused)].count("Done") == 3
        assert [each.code for each in (*answered, refused) if isinstance(each, Refused)] == ["overloaded"]
        assert await node.ref("/clerk").ask(Slow(1), 60) == "done"
