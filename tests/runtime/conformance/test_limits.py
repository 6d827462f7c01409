"""The restart limit: a sliding window, what counts in it, and what happens above it."""

import pytest
import trio

from tests.runtime.conformance.stage import Case, Placement, Run, Sup, W

CASES = [
    Case(
        "as many restarts as the limit allows are made",
        Sup("a b", limit=(2, 5)),
        script="""
            crash b -> up b
            crash b -> up b
        """,
        after="a up, b up",
    ),
    Case(
        "one more stops the children in reverse and ends the supervisor with Shutdown",
        Sup("a b c", limit=(2, 5)),
        script="""
            crash b -> up b
            crash b -> up b
            crash b -> stop c, stop a ; b Crashed, c Shutdown, a Shutdown, sut Shutdown
            wait 100
        """,
        after=None,
    ),
    Case(
        "with no restarts allowed the first crash ends the supervisor",
        Sup("a b c", limit=(0, 5)),
        script="crash a -> stop c, stop b ; a Crashed, c Shutdown, b Shutdown, sut Shutdown",
        after=None,
    ),
    Case(
        "all children share one limit",
        Sup("a b c", limit=(2, 5)),
        script="""
            crash a -> up a
            crash b -> up b
            crash c -> stop b, stop a ; c Crashed, b Shutdown, a Shutdown, sut Shutdown
        """,
        after=None,
    ),
    Case(
        "restarts that are older than the period do not count",
        Sup("a b", limit=(1, 5)),
        script="""
            crash b -> up b
            wait 6
            crash b -> up b
            wait 6
            crash b -> up b
        """,
        after="a up, b up",
    ),
    Case(
        "the period slides",
        Sup("a b", limit=(2, 10)),
        script="""
            crash b -> up b            # 0
            wait 6
            crash b -> up b            # 6
            wait 6
            crash b -> up b            # 12: 0 is out, 6 and 12 count
            wait 1
            crash b -> stop a ; b Crashed, a Shutdown, sut Shutdown
        """,
        after=None,
    ),
    Case(
        "every end of a permanent child counts, whatever its reason",
        Sup("a b", limit=(2, 5)),
        script="""
            finish b -> up b
            leave b -> up b
            finish b -> stop a ; b Normal, a Shutdown, sut Shutdown
        """,
        after=None,
    ),
    Case(
        "ends without a restart do not count",
        Sup("a b:transient c:temporary d:temporary", limit=(0, 5)),
        script="""
            finish b
            crash c
            kill d
        """,
        after="a up, b down",
    ),
    Case(
        "stopping and starting by hand does not count",
        Sup("a b", limit=(0, 5)),
        script="""
            terminate b -> stop b
            restart b -> up b
            terminate b -> stop b
            restart b -> up b
        """,
        after="a up, b up",
    ),
    Case(
        "a group restart counts once",
        Sup("a b c", strategy="one_for_all", limit=(2, 5)),
        script="""
            crash a -> stop c, stop b, up a, up b, up c
            crash b -> stop c, stop a, up a, up b, up c
        """,
        after="a up, b up, c up",
    ),
    Case(
        "above the limit of a group nothing starts",
        Sup("a b c", strategy="one_for_all", limit=(1, 5)),
        script="""
            crash a -> stop c, stop b, up a, up b, up c
            crash b -> stop c, stop a ; b Crashed, c Shutdown, a Shutdown, sut Shutdown
        """,
        after=None,
    ),
    Case(
        "a restart that fails counts",
        Sup("a b c", limit=(3, 5)),
        starts={"b": "ok fail"},
        script="crash b -> fail b, fail b, fail b, stop c, stop a",
        after=None,
    ),
    Case(
        "a restart that takes too long counts",
        Sup((W("a"), W("b", start_s=1)), limit=(2, 50)),
        starts={"b": "ok hang"},
        script="crash b -> hang b, hang b, stop a",
        after=None,
    ),
    Case(
        "failed restarts and crashes count together",
        Sup("a b", limit=(3, 5)),
        starts={"b": "ok fail ok"},
        script="""
            crash b -> fail b, up b           # two
            crash a -> up a                   # three
            crash b -> stop a ; b Crashed, a Shutdown, sut Shutdown
        """,
        after=None,
    ),
    Case(
        "a supervisor that gives up ends a child that does not stop",
        Sup((W("a"), W("b"), W("c", stop="hang", stop_s=2)), limit=(0, 5)),
        script="crash b -> stop c, stop a ; b Crashed, c Killed, a Shutdown, sut Shutdown",
        after=None,
    ),
    Case(
        "a permanent inner supervisor that gave up is restarted, and that counts outside",
        Sup((W("a"), Sup("x y", name="inner", limit=(0, 5), restart="permanent")), limit=(1, 5)),
        script="""
            crash inner/x -> stop y, up x, up y
            crash inner/x -> stop y, stop a
        """,
        after=None,
    ),
    Case(
        "a transient inner supervisor that gave up is not restarted",
        Sup((W("a"), Sup("x y", name="inner", limit=(0, 5), restart="transient"))),
        script="""
            crash inner/x -> stop y
            wait 100
            see a up, inner down
            restart inner -> up x, up y
        """,
        after="a up, inner up",
    ),
    Case(
        "a temporary inner supervisor that gave up is forgotten",
        Sup((W("a"), Sup("x y", name="inner", limit=(0, 5), restart="temporary"))),
        script="""
            crash inner/x -> stop y
            wait 100
            restart inner => not_found
        """,
        after="a up",
    ),
    Case(
        "a restarted supervisor begins with an empty window",
        Sup((W("a"), Sup("x", name="inner", limit=(1, 50), restart="permanent")), limit=(2, 50)),
        script="""
            crash inner/x -> up x
            crash inner/x -> up x
            crash inner/x -> up x
            crash inner/x -> up x
        """,
        after="a up, inner up",
    ),
    Case(
        "giving up goes outwards level by level",
        Sup(
            (
                W("a"),
                Sup(
                    (W("m"), Sup("x y", name="inner", limit=(0, 5), restart="permanent")),
                    name="middle",
                    limit=(0, 5),
                    restart="permanent",
                ),
            ),
            limit=(0, 5),
        ),
        script="crash middle/inner/x -> stop y, stop m, stop a",
        after=None,
    ),
    Case(
        "one level out is enough if it has restarts left",
        Sup(
            (
                W("a"),
                Sup(
                    (W("m"), Sup("x y", name="inner", limit=(0, 5), restart="permanent")),
                    name="middle",
                    limit=(0, 5),
                    restart="permanent",
                ),
            ),
            limit=(1, 5),
        ),
        script="crash middle/inner/x -> stop y, stop m, up m, up x, up y",
        after="a up, middle up",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_restart_limit(case: Case, placement: Placement, clock: trio.abc.Clock) -> None:
    await Run(case, placement).play()
