"""The tree one can look at: state, lives, restarts and why, mailboxes, what is being handled."""

from __future__ import annotations

import msgspec
import pytest
import trio
from trio.testing import MockClock

from runtime import StartChild, TerminateChild
from tests.runtime import kit
from tests.runtime.kit import (
    Journal,
    Mailbox,
    Message,
    Noting,
    Overflow,
    Request,
    Restart,
    RestartLimit,
    dynamic_supervisor,
    receive,
    supervisor,
)


class Work(Message, frozen=True, gc=False, tag="tree_work"):
    seconds: float = 0.0
    secret: str = "sesame"


class Crash(Message, frozen=True, gc=False, tag="tree_crash"):
    number: int = 0


class AskOn(Request[None], frozen=True, gc=False, tag="tree_ask_on"):
    path: str


class Node(Noting):
    @receive
    async def work(self, message: Work) -> None:
        self.note("work")
        await trio.sleep(message.seconds)

    @receive
    def crash(self, message: Crash) -> None:
        raise ValueError(f"number {message.number}")

    @receive
    async def ask_on(self, request: AskOn) -> None:
        await self.lookup(request.path).ask(AskOn(""), timeout=60)


def tree() -> tuple[kit.ChildSpec, ...]:
    return (
        kit.actor("a", Node, Journal(), mailbox=Mailbox(capacity=3, overflow=Overflow.REJECT)),
        supervisor(
            "s",
            kit.actor("x", Node, Journal(), restart=Restart.TRANSIENT),
            supervisor("t", kit.actor("y", Node, Journal())),
            limit=RestartLimit(count=10, seconds=1000),
        ),
        dynamic_supervisor("d"),
    )


def paths(view: object) -> list[str]:
    return [view.path, *(path for child in view.children for path in paths(child))]


async def test_the_tree_shows_every_path_in_start_order(autojump_clock: MockClock) -> None:
    async with kit.running(*tree()) as node:
        await node.ref("/d").ask(StartChild(kit.actor("z", Node, Journal())))
        assert paths(node.tree()) == ["/", "/a", "/s", "/s/x", "/s/t", "/s/t/y", "/d", "/d/z"]
        assert paths(node.tree("/s/t")) == ["/s/t", "/s/t/y"]
        assert node.tree("/nobody") is None
        assert {kit.look(node, path).state for path in paths(node.tree())} == {"up"}


async def test_the_tree_is_plain_data(autojump_clock: MockClock) -> None:
    async with kit.running(*tree()) as node:
        encoded = msgspec.json.encode(node.tree())
    assert b'"/s/t/y"' in encoded


async def test_a_restart_shows_with_its_reason(autojump_clock: MockClock) -> None:
    async with kit.running(*tree()) as node:
        for number in (1, 2):
            node.ref("/s/x").tell(Crash(number))
            await trio.sleep(10)
        view = node.tree("/s/x")
        assert (view.state, view.restarts, kit.look(node, "/s/x").count) == ("up", 2, 3)
        assert "ValueError" in view.restart_reason
        assert "number 2" in view.restart_reason
        assert node.tree("/a").restarts == 0


async def test_a_stopped_child_shows_as_stopped(autojump_clock: MockClock) -> None:
    async with kit.running(*tree()) as node:
        await node.ref("/s").ask(TerminateChild("x"))
        assert kit.look(node, "/s/x").state == "stopped"


async def test_a_backoff_shows_with_its_rest(autojump_clock: MockClock) -> None:
    spec = kit.actor("x", Node, Journal(), backoff=kit.backoff(100, 100))
    async with kit.running(supervisor("s", spec, limit=RestartLimit(count=3, seconds=1000))) as node:
        for number in (1, 2):
            node.ref("/s/x").tell(Crash(number))
            await kit.settle()
        view = node.tree("/s/x")
        assert view.state == "backoff"
        assert view.next_try_s == pytest.approx(100, abs=1)


async def test_the_mailbox_shows_its_depth_bound_and_losses(autojump_clock: MockClock) -> None:
    async with kit.running(*tree()) as node:
        await kit.pause(node, "/a")
        for _ in range(5):
            node.ref("/a").tell(Work())
        mailbox = node.tree("/a").mailbox
        assert (mailbox.depth, mailbox.capacity, mailbox.dropped) == (3, 3, 2)
        await kit.resume(node, "/a")
        await kit.settle()
        assert kit.look(node, "/a").depth == 0
        assert kit.look(node, "/a").handled == 3


async def test_what_is_being_handled_shows_by_type_and_never_by_content(autojump_clock: MockClock) -> None:
    async with kit.running(*tree()) as node:
        node.ref("/a").tell(Work(5))
        await kit.settle()
        assert kit.look(node, "/a").handling == "Work"
        assert b"sesame" not in msgspec.json.encode(node.tree())
        await trio.sleep(10)
        assert kit.look(node, "/a").handling is None


async def test_whom_an_actor_waits_for_shows(autojump_clock: MockClock) -> None:
    async with kit.running(*tree()) as node, trio.open_nursery() as nursery:
        node.ref("/s/x").tell(Work(20))
        await kit.settle()
        nursery.start_soon(node.ref("/a").outcome, AskOn("/s/x"), 5.0)
        await kit.settle()
        assert node.tree("/a").awaiting == ("/s/x",)
