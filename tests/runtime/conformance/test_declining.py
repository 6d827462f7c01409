"""A start may decline: OTP's `ignore`. The spec is kept, nothing runs, and nothing has gone wrong."""

import pytest
import trio

from tests.runtime.conformance.stage import Case, Placement, Run, Sup, W

CASES = [
    Case(
        "a child that declines is stopped and the next one starts",
        Sup("a b c"),
        starts={"b": "decline"},
        first="up a, decline b, up c",
        script="wait 100",
        after="a up, b down, c up",
    ),
    Case(
        "all may decline",
        Sup("a b"),
        starts={"a": "decline", "b": "decline"},
        first="decline a, decline b",
        after="a down, b down",
    ),
    Case(
        "a temporary child that declines is forgotten",
        Sup("a b:temporary"),
        starts={"b": "decline"},
        first="up a, decline b",
        script="restart b => not_found",
        after="a up",
    ),
    Case(
        "a child that declines when it is started by hand keeps its spec",
        Sup("a"),
        extras="n",
        starts={"n": "decline decline ok"},
        script="""
            start n -> decline n
            see a up, n down
            start n => already_present
            restart n -> decline n
            see a up, n down
            restart n -> up n
        """,
        after="a up, n up",
    ),
    Case(
        "a temporary child that declines when it is started by hand is forgotten",
        Sup("a"),
        extras="n:temporary",
        starts={"n": "decline ok"},
        script="""
            start n -> decline n
            see a up
            start n -> up n
        """,
        after="a up, n up",
    ),
    Case(
        "a dynamic child that declines is forgotten and takes no place",
        Sup(dynamic=True, max_children=1),
        extras="x y",
        starts={"x": "decline"},
        script="""
            start x -> decline x
            start y -> up y
        """,
        after="y up",
    ),
    Case(
        "a restart that is declined is no failed restart and is not tried again",
        Sup("a b c", limit=(1, 1000)),
        starts={"b": "ok decline ok"},
        script="""
            crash b -> decline b
            wait 100
            see a up, b down, c up
            restart b -> up b
        """,
        after="a up, b up, c up",
    ),
    Case(
        "one that declines in the restart of its group does not keep the others from starting",
        Sup("a b c", strategy="one_for_all", limit=(2, 1000)),
        starts={"b": "ok decline ok"},
        script="""
            crash a -> stop c, stop b, up a, decline b, up c
            see a up, b down, c up
            crash c -> stop a, up a, up b, up c
        """,
        after="a up, b up, c up",
    ),
    Case(
        "a significant child that declines has not ended",
        Sup((W("a"), W("b", "transient", significant=True)), auto="any_significant"),
        starts={"b": "decline"},
        first="up a, decline b",
        script="wait 100",
        after="a up, b down",
    ),
    Case(
        "one that declined is passed over when its supervisor stops",
        Sup("a b c"),
        starts={"b": "decline"},
        first="up a, decline b, up c",
        script="terminate sut -> stop c, stop a",
        after=None,
    ),
    Case(
        "one that declined can be deleted",
        Sup("a b"),
        starts={"b": "decline"},
        first="up a, decline b",
        script="""
            delete b
            restart b => not_found
        """,
        after="a up",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_declined_starts(case: Case, placement: Placement, clock: trio.abc.Clock) -> None:
    await Run(case, placement).play()
