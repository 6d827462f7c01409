"""Breakers and routers at work: declared on a child spec, in front of a real actor, unseen by who holds its ref."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from protocols.control import DeadLetter, Message, Refused, Request, Unknown
from runtime import (
    Actor,
    BreakerSettings,
    ChildSpec,
    CircuitOpen,
    Junction,
    Node,
    RestartLimit,
    RouterSettings,
    ShadowAnswer,
    VariantSettings,
    open_node,
    receive,
    supervisor,
)
from runtime.breaker import State
from runtime.breaker_window import Count
from runtime.clock import VirtualClock

BREAKER = BreakerSettings(window=Count(4), minimum_calls=4, failure_rate=0.5, open_s=10, half_open_calls=2)
FOREVER = RestartLimit(count=10, seconds=1000)


class Price(Request[str], frozen=True, gc=False, tag="price"):
    user: str
    fail: bool = False

    def topic_key(self) -> str:
        return self.user


class Note(Message, frozen=True, gc=False, tag="note"):
    user: str

    def topic_key(self) -> str:
        return self.user


class Desk(Actor):
    def __init__(self, name: str, seconds: float = 0.0) -> None:
        self.name = name
        self.seconds = seconds
        self.notes: list[str] = []

    @receive
    async def price(self, request: Price) -> str:
        await trio.sleep(self.seconds)
        if request.fail:
            raise RuntimeError("no price")
        return f"{self.name}:{request.user}"

    @receive
    def note(self, message: Note) -> None:
        self.notes.append(message.user)


def notes(node: Node, path: str) -> list[str]:
    actor: Any = node.resolve(path).actor
    return list(actor.notes)


def desk(name: str, **guards: Any) -> ChildSpec:
    return ChildSpec(name, Desk, {"name": name}, **guards)


async def fail(node: Node, path: str, times: int) -> None:
    for number in range(times):  # each a message of its own: an equal one would be quarantined
        with pytest.raises(Unknown):
            await node.ref(path).ask(Price(f"bad-{number}", fail=True))


async def test_a_breaker_opens_after_failures_refuses_at_once_and_closes_after_good_trials(
    autojump_clock: MockClock,
) -> None:
    clock = VirtualClock(0)
    async with open_node(children=(supervisor("s", desk("a", breaker=BREAKER), limit=FOREVER),), clock=clock) as node:
        ref = node.ref("/s/a")
        assert await ref.ask(Price("u")) == "a:u"
        await fail(node, "/s/a", 3)
        handled = node.resolve("/s/a").handled
        with pytest.raises(CircuitOpen) as refusal:
            await ref.ask(Price("u"))
        assert refusal.value.code == "circuit_open"
        assert refusal.value.retry_after == 10
        assert node.resolve("/s/a").handled == handled, "the actor must not have heard of it"
        assert not ref.tell(Note("u"))
        with pytest.raises(Refused, match="circuit_open"):
            await ref.send(Note("u"))
        clock.advance(11_000_000_000)
        assert [await ref.ask(Price("u")) for _ in range(2)] == ["a:u", "a:u"]
        shown = node.tree("/s/a")
        assert shown is not None
        assert shown.breaker is not None
        assert (shown.breaker.state, shown.breaker.opened, shown.breaker.refused) == (State.CLOSED, 1, 1)
        assert ref.tell(Note("u"))


async def test_a_tell_through_an_open_breaker_is_a_dead_letter(autojump_clock: MockClock) -> None:
    async with open_node(children=(supervisor("s", desk("a", breaker=BREAKER), limit=FOREVER),)) as node:
        await fail(node, "/s/a", 4)
        with node.open_tap((DeadLetter, None)) as tap:
            node.ref("/s/a").tell(Note("u"))
            (letter,) = await tap.receive()
        assert letter == DeadLetter("/s/a", "Note", "circuit_open", repr(Note("u")))


async def test_an_open_breaker_asks_its_fallback(autojump_clock: MockClock) -> None:
    settings = BreakerSettings(window=Count(2), minimum_calls=2, fallback="/s/b")
    tree = supervisor("s", desk("a", breaker=settings), desk("b"), limit=FOREVER)
    async with open_node(children=(tree,)) as node:
        await fail(node, "/s/a", 2)
        assert await node.ref("/s/a").ask(Price("u")) == "b:u"


async def test_a_cancelled_trial_gives_its_permit_back(autojump_clock: MockClock) -> None:
    clock = VirtualClock(0)
    settings = BreakerSettings(window=Count(1), minimum_calls=1, open_s=1, half_open_calls=1)
    slow = ChildSpec("a", Desk, {"name": "a", "seconds": 1.0}, breaker=settings)
    async with open_node(children=(supervisor("s", slow, limit=FOREVER),), clock=clock) as node:
        await fail(node, "/s/a", 1)
        clock.advance(2_000_000_000)
        with trio.move_on_after(0.1):
            await node.ref("/s/a").ask(Price("u"))
        assert await node.ref("/s/a").ask(Price("u")) == "a:u"


async def test_a_breaker_and_its_state_outlive_the_crash_of_its_actor(autojump_clock: MockClock) -> None:
    async with open_node(children=(supervisor("s", desk("a", breaker=BREAKER), limit=FOREVER),)) as node:
        await fail(node, "/s/a", 4)
        await trio.testing.wait_all_tasks_blocked()
        assert node.resolve("/s/a").restarts == 4
        with pytest.raises(CircuitOpen):
            await node.ref("/s/a").ask(Price("u"))


ROUTER = RouterSettings(
    salt="desks",
    variants=(
        VariantSettings(name="control", path="/a", weight=0.5),
        VariantSettings(name="new", path="/b", weight=0.5),
        VariantSettings(name="shadow", path="/c", shadow=True),
    ),
    coverage=1.0,
)
USERS = tuple(f"user-{number}" for number in range(40))


async def test_a_router_sends_each_key_to_its_variant_always_the_same(autojump_clock: MockClock) -> None:
    async with open_node(children=(desk("a", router=ROUTER), desk("b"), desk("c"))) as node:
        first = [await node.ref("/a").ask(Price(user)) for user in USERS]
        again = [await node.ref("/a").ask(Price(user)) for user in USERS]
        assert first == again
        assert {answer.partition(":")[0] for answer in first} == {"a", "b"}
        for user, answer in zip(USERS, first, strict=True):
            node.ref("/a").tell(Note(user))
            await node.ref("/a").send(Note(user))
            await trio.testing.wait_all_tasks_blocked()
            served = "/a" if answer.startswith("a") else "/b"
            assert notes(node, served)[-2:] == [user, user]
        shown = node.tree("/a")
        assert shown is not None
        assert shown.router is not None
        figures = {each.name: (each.routed, each.done) for each in shown.router.variants}
        assert figures["control"][1] + figures["new"][1] == 2 * len(USERS)
        assert figures["shadow"] == (4 * len(USERS), 2 * len(USERS))


async def test_the_answer_of_a_shadow_is_published_and_never_returned(autojump_clock: MockClock) -> None:
    async with open_node(children=(desk("a", router=ROUTER), desk("b"), desk("c"))) as node:
        with node.open_tap((ShadowAnswer, "/a")) as tap:
            answer = await node.ref("/a").ask(Price("user-1"))
            (shadow,) = await tap.receive()
        assert not answer.startswith("c")
        assert shadow == ShadowAnswer("/a", "shadow", Price("user-1"), "c:user-1")


async def test_a_shadow_that_crashes_is_not_seen_by_the_caller(autojump_clock: MockClock) -> None:
    router = RouterSettings(
        salt="s",
        variants=(
            VariantSettings(name="control", path="/s/a"),
            VariantSettings(name="shadow", path="/s/missing", shadow=True),
        ),
    )
    tree = supervisor("s", desk("a", router=router))
    async with open_node(children=(tree,)) as node:
        with node.open_tap((ShadowAnswer, None)) as tap:
            assert await node.ref("/s/a").ask(Price("u")) == "a:u"
            (shadow,) = await tap.receive()
        assert isinstance(shadow, ShadowAnswer)
        assert shadow.error.startswith("not_found")


async def test_a_junction_is_a_path_that_is_only_a_router(autojump_clock: MockClock) -> None:
    router = RouterSettings(
        salt="s", variants=(VariantSettings(name="a", path="/a"), VariantSettings(name="b", path="/b"))
    )
    async with open_node(children=(ChildSpec("desk", Junction, router=router), desk("a"), desk("b"))) as node:
        answers = {(await node.ref("/desk").ask(Price(user))).partition(":")[0] for user in USERS}
        assert answers == {"a", "b"}


async def test_a_router_and_the_breaker_of_its_own_variant_compose(autojump_clock: MockClock) -> None:
    router = RouterSettings(
        salt="s", variants=(VariantSettings(name="a", path="/s/a"), VariantSettings(name="b", path="/s/b"))
    )
    tree = supervisor("s", desk("a", router=router, breaker=BREAKER), desk("b"), limit=FOREVER)
    async with open_node(children=(tree,)) as node:
        answers = {user: await node.ref("/s/a").ask(Price(user)) for user in USERS}
        mine = [user for user, answer in answers.items() if answer == f"a:{user}"]
        (other, *_) = [user for user, answer in answers.items() if answer == f"b:{user}"]
        for user in mine[:2]:  # half of the last four
            with pytest.raises(Unknown):
                await node.ref("/s/a").ask(Price(user, fail=True))
        with pytest.raises(CircuitOpen):
            await node.ref("/s/a").ask(Price(mine[0]))
        assert await node.ref("/s/a").ask(Price(other)) == f"b:{other}"
