"""Answers that are owed: given by a later handler, lost with the life that owes them."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from protocols.control import Message, Refused, Request, Unknown
from runtime import Actor, ChildSpec, Node, open_node, receive
from runtime.promise import Promise


class Want(Request[str], frozen=True, gc=False, tag="want_promise"):
    name: str


class Give(Message, frozen=True, gc=False, tag="give_promise"):
    how: str


class Waiting(Request[tuple[bool, ...]], frozen=True, gc=False, tag="waiting_promise"):
    pass


class Counter(Actor):
    """Gives the answers in the opposite order of the questions."""

    def __init__(self) -> None:
        self.owed: list[tuple[str, Promise]] = []

    @receive
    def want(self, request: Want) -> str:
        self.owed.append((request.name, self.promise()))
        return "never sent"

    @receive
    def waiting(self, request: Waiting) -> tuple[bool, ...]:
        return tuple(promise.wanted for _, promise in self.owed)

    @receive
    def give(self, message: Give) -> None:
        if message.how == "crash":
            raise ArithmeticError("wrong")
        for name, promise in reversed(self.owed):
            if message.how == "refuse":
                promise.refuse(Refused("no", f"not to {name}"))
            else:
                promise.answer(f"for {name}")
                promise.answer("the first outcome counts")


TREE = (ChildSpec("counter", Counter),)


async def asked(node: Node, names: str, then: Give | None, timeout: float = 10.0) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []

    async def ask(name: str) -> None:
        outcome = await node.ref("/counter").outcome(Want(name), timeout)
        found.append((name, outcome if isinstance(outcome, Exception) else outcome.value))

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(ask, name)
            await wait_all_tasks_blocked()
        if then is not None:
            node.ref("/counter").tell(then)
    return found


async def test_a_later_handler_answers_in_the_order_that_it_chooses() -> None:
    async with open_node(children=TREE) as node:
        found = await asked(node, "abc", Give("answer"))
        assert dict(found) == {"a": "for a", "b": "for b", "c": "for c"}
        assert len(found) == 3


async def test_a_refusal_is_an_outcome() -> None:
    async with open_node(children=TREE) as node:
        ((_, outcome),) = await asked(node, "a", Give("refuse"))
        assert isinstance(outcome, Refused)
        assert outcome.message == "not to a"


async def test_a_life_that_ends_leaves_nobody_waiting() -> None:
    async with open_node(children=TREE) as node:
        found = await asked(node, "ab", Give("crash"))
        assert [type(outcome) for _, outcome in found] == [Unknown, Unknown]
        assert await node.ref("/counter").ask(Waiting()) == ()


async def test_who_stopped_waiting_is_not_answered(autojump_clock: MockClock) -> None:
    async with open_node(children=TREE) as node:
        ((_, outcome),) = await asked(node, "a", None, timeout=1.0)
        assert isinstance(outcome, Unknown)
        assert await node.ref("/counter").ask(Waiting()) == (False,)
        node.ref("/counter").tell(Want("told"))
        assert await node.ref("/counter").ask(Waiting()) == (False, False)
        node.ref("/counter").tell(Give("answer"))
        assert await node.ref("/counter").ask(Waiting()) == (False, False)
