"""Ordered stops: reverse, one at a time, each with its own time-out, then cancel; and stops during starts."""

import pytest
import trio

from runtime import StartChild, TerminateChild
from tests.runtime import kit
from tests.runtime.conformance.stage import Case, Placement, Run, Sup, W, Witness
from tests.runtime.kit import Journal, Refused, RestartLimit, Unknown

CASES = [
    Case(
        "children stop in reverse",
        Sup("a b c"),
        script="terminate sut -> stop c, stop b, stop a ; c Shutdown, b Shutdown, a Shutdown, sut Shutdown",
        after=None,
    ),
    Case(
        "the next child is asked to stop when the one after it has stopped",
        Sup((W("a"), W("b", stop="slow"), W("c", stop="slow"))),
        verbose=True,
        first="try a, up a, try b, up b, try c, up c",
        script="terminate sut -> stop c, end c, stop b, end b, stop a, end a",
        after=None,
    ),
    Case(
        "an inner supervisor stops its children before the sibling in front of it stops",
        Sup((W("a"), Sup("x y", name="inner"), W("z"))),
        script="terminate sut -> stop z, stop y, stop x, stop a",
        after=None,
    ),
    Case(
        "a child that does not stop in its time is ended, the others are asked as usual",
        Sup((W("a"), W("b", stop="hang", stop_s=2), W("c"))),
        script="terminate sut -> stop c, stop b, stop a ; c Shutdown, b Killed, a Shutdown, sut Shutdown",
        after=None,
    ),
    Case(
        "each child has its own time",
        Sup((W("a", stop="brief", stop_s=2), W("b", stop="brief", stop_s=0.5), W("c", stop="brief", stop_s=2))),
        script="terminate sut -> stop c, stop b, stop a ; c Shutdown, b Killed, a Shutdown, sut Shutdown",
        after=None,
    ),
    Case(
        "an inner supervisor has all the time that its children need",
        Sup((W("a"), Sup(tuple(W(name, stop="slow") for name in "wxyz"), name="inner"))),
        script="""
            terminate inner -> stop z, stop y, stop x, stop w ; z Shutdown, y Shutdown, x Shutdown, w Shutdown
        """,
        after="a up",
    ),
    Case(
        "a child that is busy for ever is ended after its time",
        Sup((W("a"), W("b", stop_s=2), W("c"))),
        script="""
            hang b -> busy b
            terminate sut -> stop c, stop a ; c Shutdown, b Killed, a Shutdown, sut Shutdown
        """,
        after=None,
    ),
    Case(
        "a child that crashes while it stops has crashed, and the stop goes on",
        Sup((W("a"), W("b", stop="crash"), W("c"))),
        script="terminate sut -> stop c, stop b, stop a ; c Shutdown, b Crashed, a Shutdown, sut Shutdown",
        after=None,
    ),
    Case(
        "nothing is restarted while a supervisor stops",
        Sup((W("a"), W("b", stop="slow"), W("c", stop="slow")), strategy="one_for_all"),
        script="""
            & terminate sut -> stop c
            crash a -> stop b
            wait 10
        """,
        after=None,
    ),
    Case(
        "children that have ended already are passed over",
        Sup("a b:transient c d:temporary e"),
        script="""
            finish b
            finish d
            terminate c -> stop c
            terminate sut -> stop e, stop a
        """,
        after=None,
    ),
    Case(
        "a restarted child keeps its place in the order",
        Sup("a b c"),
        script="""
            crash a -> up a
            crash b -> up b
            terminate sut -> stop c, stop b, stop a
        """,
        after=None,
    ),
    Case(
        "a child stopped and started by hand keeps its place in the order",
        Sup("a b c"),
        script="""
            terminate a -> stop a
            restart a -> up a
            terminate sut -> stop c, stop b, stop a
        """,
        after=None,
    ),
    Case(
        "children added at run time stop first",
        Sup("a b"),
        extras="m n",
        script="""
            start m -> up m
            start n -> up n
            terminate sut -> stop n, stop m, stop b, stop a
        """,
        after=None,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_stops(case: Case, placement: Placement, clock: trio.abc.Clock) -> None:
    await Run(case, placement).play()


@pytest.mark.parametrize("inner", [False, True], ids=["own child", "child of an inner supervisor"])
async def test_a_stop_reaches_a_supervisor_during_the_first_start_of_a_child(
    inner: bool, placement: Placement, clock: trio.abc.Clock
) -> None:
    hooks, ends = Journal(), Journal()
    endless = 1_000_000.0
    witness = kit.child(
        "witness",
        Witness,
        {"hooks": hooks.number, "ends": ends.number, "starts": {"b": "hang"}, "verbose": False},
    )
    part = Sup((W("x"), W("b", start_s=endless)), name="sut").spec(placement)
    if not inner:
        part = W("b", start_s=endless).spec(placement)
    top = kit.supervisor("top", kit.supervisor("stage", limit=RestartLimit(count=3, seconds=5)))
    outcomes: list[str] = []

    async with kit.running(witness, top, **placement.options) as node, trio.open_nursery() as nursery:

        async def start() -> None:
            try:
                await node.ref("/top/stage").ask(StartChild(part), timeout=placement.limit)
            except (Refused, Unknown) as error:
                outcomes.append(type(error).__name__)

        nursery.start_soon(start)
        await hooks.until("hang b")
        began = trio.current_time()
        await node.ref("/top").ask(TerminateChild("stage"), timeout=placement.limit)
        assert trio.current_time() - began < 5 * placement.unit, "the start is cancelled, not waited for"
        nursery.cancel_scope.deadline = trio.current_time() + placement.limit
    assert hooks.lines == (["up x", "hang b", "stop x"] if inner else ["hang b"])
    assert len(outcomes) == 1, "who asked for the start is told that it came to nothing"


async def test_a_stop_of_the_node_reaches_a_child_that_is_starting(placement: Placement, clock: trio.abc.Clock) -> None:
    hooks, ends = Journal(), Journal()
    witness = kit.child(
        "witness",
        Witness,
        {"hooks": hooks.number, "ends": ends.number, "starts": {"b": "ok hang"}, "verbose": False},
    )
    sut = Sup((W("a"), W("b", start_s=1_000_000.0))).spec(placement)
    async with kit.running(witness, sut, **placement.options) as node:
        await hooks.until("up b")
        await kit.kill(node, "/sut/b")
        await hooks.until("hang b")
    assert hooks.lines == ["up a", "up b", "hang b", "stop a"]
