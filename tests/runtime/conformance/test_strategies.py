"""Which siblings a restart takes with it, and in which order."""

import pytest
import trio

from tests.runtime.conformance.stage import Case, Placement, Run, Sup, W

CASES = [
    Case(
        "one_for_one leaves siblings alone",
        Sup("a b c"),
        script="""
            crash a -> up a ; a Crashed
            crash c -> up c ; c Crashed
        """,
        after="a up, b up, c up",
    ),
    Case(
        "one_for_all stops survivors in reverse and starts all in order",
        Sup("a b c d", strategy="one_for_all"),
        script="""
            crash b -> stop d, stop c, stop a, up a, up b, up c, up d ; b Crashed, d Shutdown, c Shutdown, a Shutdown
        """,
        after="a up, b up, c up, d up",
    ),
    Case(
        "one_for_all for its first child",
        Sup("a b c", strategy="one_for_all"),
        script="crash a -> stop c, stop b, up a, up b, up c",
    ),
    Case(
        "one_for_all for its last child",
        Sup("a b c", strategy="one_for_all"),
        script="crash c -> stop b, stop a, up a, up b, up c",
    ),
    Case(
        "rest_for_one restarts the offender and what was started after it",
        Sup("a b c d", strategy="rest_for_one"),
        script="crash b -> stop d, stop c, up b, up c, up d ; b Crashed, d Shutdown, c Shutdown",
        after="a up, b up, c up, d up",
    ),
    Case(
        "rest_for_one for its first child is everything",
        Sup("a b c", strategy="rest_for_one"),
        script="crash a -> stop c, stop b, up a, up b, up c",
    ),
    Case(
        "rest_for_one for its last child is that child",
        Sup("a b c", strategy="rest_for_one"),
        script="crash c -> up c",
    ),
    Case(
        "survivors have stopped before anything starts",
        Sup((W("a", stop="slow"), W("b"), W("c", stop="slow")), strategy="one_for_all"),
        verbose=True,
        first="try a, up a, try b, up b, try c, up c",
        script="crash b -> stop c, end c, stop a, end a, try a, up a, try b, up b, try c, up c",
    ),
    Case(
        "one_for_all starts a sibling that had finished",
        Sup("a:transient b c", strategy="one_for_all"),
        script="""
            finish a
            crash c -> stop b, up a, up b, up c
        """,
        after="a up, b up, c up",
    ),
    Case(
        "one_for_all starts a sibling that was stopped by hand",
        Sup("a b c", strategy="one_for_all"),
        script="""
            terminate b -> stop b
            crash c -> stop a, up a, up b, up c
        """,
        after="a up, b up, c up",
    ),
    Case(
        "rest_for_one starts a later sibling that had finished",
        Sup("a b c:transient", strategy="rest_for_one"),
        script="""
            finish c
            crash b -> up b, up c
        """,
        after="a up, b up, c up",
    ),
    Case(
        "rest_for_one starts a later sibling that was stopped by hand",
        Sup("a b c d", strategy="rest_for_one"),
        script="""
            terminate c -> stop c
            crash b -> stop d, up b, up c, up d
        """,
        after="a up, b up, c up, d up",
    ),
    Case(
        "rest_for_one leaves an earlier sibling that was stopped by hand alone",
        Sup("a b c", strategy="rest_for_one"),
        script="""
            terminate a -> stop a
            crash b -> stop c, up b, up c
        """,
        after="a down, b up, c up",
    ),
    Case(
        "one_for_one leaves a stopped sibling alone",
        Sup("a b c"),
        script="""
            terminate a -> stop a
            crash b -> up b
        """,
        after="a down, b up, c up",
    ),
    Case(
        "a group restart stops temporary siblings and forgets them",
        Sup("a:temporary b c:temporary d", strategy="one_for_all"),
        script="""
            crash b -> stop d, stop c, stop a, up b, up d
            see b up, d up
            restart a => not_found
            restart c => not_found
        """,
        after="b up, d up",
    ),
    Case(
        "rest_for_one forgets only later temporary siblings",
        Sup("a:temporary b c:temporary d", strategy="rest_for_one"),
        script="crash b -> stop d, stop c, up b, up d",
        after="a up, b up, d up",
    ),
    Case(
        "the end of a child that is not restarted touches no sibling",
        Sup("a b:transient c:temporary d", strategy="one_for_all"),
        script="""
            finish b
            crash c
        """,
        after="a up, b down, d up",
    ),
    Case(
        "a group restart ends a survivor that does not stop",
        Sup((W("a"), W("b"), W("c", stop="hang", stop_s=3)), strategy="one_for_all"),
        script="crash a -> stop c, stop b, up a, up b, up c ; a Crashed, c Killed, b Shutdown",
        after="a up, b up, c up",
    ),
    Case(
        "a group restart goes on when a survivor crashes while it stops",
        Sup((W("a"), W("b"), W("c", stop="crash")), strategy="one_for_all", limit=(1, 5)),
        script="crash a -> stop c, stop b, up a, up b, up c ; a Crashed, c Crashed, b Shutdown",
        after="a up, b up, c up",
    ),
    Case(
        "two that crash together are one group restart",
        Sup("a b c", strategy="one_for_all", limit=(1, 5)),
        script="crash a c -> stop b, up a, up b, up c",
        after="a up, b up, c up",
    ),
    Case(
        "all that crash together are one group restart",
        Sup("a b c", strategy="one_for_all", limit=(1, 5)),
        script="crash a b c -> up a, up b, up c",
        after="a up, b up, c up",
    ),
    Case(
        "two that crash together are both restarted alone",
        Sup("a b c", limit=(2, 5)),
        starts={"a": "ok", "c": "ok"},
        script="crash a -> up a\ncrash c -> up c",
        after="a up, b up, c up",
    ),
    Case(
        "a supervisor is a sibling like any other",
        Sup((W("a"), Sup("x y", name="inner", restart="permanent"), W("c")), strategy="one_for_all"),
        script="crash a -> stop c, stop y, stop x, up a, up x, up y, up c",
        after="a up, inner up, c up",
    ),
    Case(
        "a crash below an inner supervisor stays there",
        Sup((W("a"), Sup("x y", name="inner", restart="permanent"), W("c")), strategy="one_for_all"),
        script="crash inner/x -> up x",
        after="a up, inner up, c up",
    ),
    Case(
        "an inner supervisor that gives up is an offender of the outer strategy",
        Sup(
            (W("a"), Sup("x y", name="inner", restart="permanent", limit=(0, 5)), W("c")),
            strategy="rest_for_one",
        ),
        script="crash inner/x -> stop y, stop c, up x, up y, up c",
        after="a up, inner up, c up",
    ),
    Case(
        "children added at run time belong to the group, last in order",
        Sup("a b", strategy="one_for_all"),
        extras="n",
        script="""
            start n -> up n
            crash a -> stop n, stop b, up a, up b, up n
        """,
        after="a up, b up, n up",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_strategies(case: Case, placement: Placement, clock: trio.abc.Clock) -> None:
    await Run(case, placement).play()
