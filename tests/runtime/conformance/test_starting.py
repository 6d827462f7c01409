"""First starts: order, synchrony, failure, time-out."""

import pytest
import trio

from tests.runtime.conformance.stage import Case, Placement, Run, Sup, W

CASES = [
    Case(
        "children start from left to right",
        Sup("a b c"),
        after="a up, b up, c up",
    ),
    Case(
        "the next child starts when the one before it has started",
        Sup("a b c"),
        starts={"a": "slow", "b": "slow"},
        verbose=True,
        first="try a, slow a, up a, try b, slow b, up b, try c, up c",
    ),
    Case(
        "a supervisor has started when its children have",
        Sup((W("a"), Sup("x y", name="inner"), W("z"))),
        starts={"y": "slow"},
        verbose=True,
        first="try a, up a, try x, up x, try y, slow y, up y, try z, up z",
        after="a up, inner up, z up",
    ),
    Case("a supervisor without children starts", Sup(()), first=""),
    Case(
        "a first start that fails stops the started ones in reverse and is not retried",
        Sup("a b c d"),
        starts={"c": "fail ok"},
        first="up a, up b, fail c, stop b, stop a",
        refused=True,
        script="wait 100",
    ),
    Case(
        "a first start that fails at once starts nothing",
        Sup("a b"),
        starts={"a": "fail ok"},
        first="fail a",
        refused=True,
        script="wait 100",
    ),
    Case(
        "a first start that fails is not retried for any restart type",
        Sup("a:transient b:temporary"),
        starts={"b": "fail ok"},
        first="up a, fail b, stop a",
        refused=True,
        script="wait 100",
    ),
    Case(
        "one that cannot start is the end of its supervisors, innermost first",
        Sup((W("a"), Sup("x y", name="inner", restart="permanent"), W("z"))),
        starts={"y": "fail ok"},
        first="up a, up x, fail y, stop x, stop a",
        refused=True,
        script="wait 100",
    ),
    Case(
        "a start that takes too long is a failed start",
        Sup((W("a"), W("b", start_s=2), W("c"))),
        starts={"b": "hang ok"},
        first="up a, hang b, stop a",
        refused=True,
        script="wait 100",
    ),
    Case(
        "a start that ends just in time is a start",
        Sup((W("a", start_s=2), W("b", start_s=2))),
        starts={"a": "slow", "b": "slow"},
        first="slow a, up a, slow b, up b",
    ),
    Case(
        "the time for a start is that of each child, not of all",
        Sup(tuple(W(name, start_s=2.5) for name in "abcd")),
        starts=dict.fromkeys("abcd", "slow"),
        first="slow a, up a, slow b, up b, slow c, up c, slow d, up d",
    ),
    Case(
        "a start that raises SystemExit is a failed start",
        Sup("a b"),
        starts={"b": "exit ok"},
        first="up a, exit b, stop a",
        refused=True,
        script="wait 100",
    ),
    Case(
        "after a failed first start a child that does not stop is ended after its own time",
        Sup((W("a"), W("b", stop="hang", stop_s=2), W("c"))),
        starts={"c": "fail"},
        first="up a, up b, fail c, stop b, stop a",
        refused=True,
    ),
    Case(
        "a child that crashes while a later one starts is restarted when all have started",
        Sup("a b c"),
        starts={"a": "doomed ok", "b": "slow"},
        first="doomed a, up a, slow b, up b, up c, up a",
        after="a up, b up, c up",
    ),
    Case(
        "a child that crashes while a later one fails to start is gone already",
        Sup("a b c"),
        starts={"b": "doomed ok", "c": "slowfail ok"},
        first="up a, doomed b, up b, slowfail c, stop a",
        refused=True,
        script="wait 100",
    ),
    Case(
        "a group that is hit while it starts again is started again as a whole",
        Sup("a b c", strategy="one_for_all"),
        starts={"a": "ok doomed ok", "b": "ok slow ok"},
        script="crash c -> stop b, stop a, doomed a, up a, slow b, up b, up c, stop c, stop b, up a, up b, up c",
        after="a up, b up, c up",
    ),
    Case(
        "a dynamic supervisor starts without children",
        Sup(dynamic=True),
        extras="x y",
        script="""
            start x -> up x
            start y -> up y
        """,
        after="x up, y up",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_first_starts(case: Case, placement: Placement, clock: trio.abc.Clock) -> None:
    await Run(case, placement).play()
