"""Significant children: only their own final ends can take their supervisor with them."""

import pytest
import trio

from tests.runtime.conformance.stage import Case, Placement, Run, Sup, W

ENDS = "stop c, stop a"

CASES = [
    *(
        Case(
            f"any_significant: {act} of a {kind} significant child ends the supervisor",
            Sup((W("a"), W("b", kind, significant=True), W("c")), auto="any_significant"),
            script=f"{act} b -> {ENDS} ; b {reason}, c Shutdown, a Shutdown, sut Shutdown\nwait 100",
            after=None,
        )
        for act, kind, reason in [
            ("finish", "transient", "Normal"),
            ("leave", "transient", "Shutdown"),
            ("finish", "temporary", "Normal"),
            ("leave", "temporary", "Shutdown"),
            ("crash", "temporary", "Crashed"),
            ("kill", "temporary", "Killed"),
        ]
    ),
    *(
        Case(
            f"any_significant: {act} of a transient significant child restarts it",
            Sup("a b:transient! c", auto="any_significant"),
            script=f"{act} b -> up b",
            after="a up, b up, c up",
        )
        for act in ("crash", "kill")
    ),
    Case(
        "all_significant: the last one ends the supervisor",
        Sup("a b:transient! c:temporary! d", auto="all_significant"),
        script="""
            finish b -> ; b Normal
            wait 100
            crash c -> stop d, stop a ; c Crashed, d Shutdown, a Shutdown, sut Shutdown
        """,
        after=None,
    ),
    Case(
        "all_significant: one that is to be restarted is not gone",
        Sup(
            (
                W("a"),
                W("b", "transient", significant=True, backoff=(1000, 1000, 0.0)),
                W("c", "transient", significant=True),
            ),
            auto="all_significant",
            limit=(2, 10_000),
        ),
        starts={"b": "ok fail ok"},
        script="""
            crash b -> fail b
            finish c
        """,
        after="a up, b restarting, c down",
    ),
    Case(
        "a stop by hand is no end of its own",
        Sup("a b:transient! c", auto="any_significant"),
        script="terminate b -> stop b\nwait 100",
        after="a up, b down, c up",
    ),
    Case(
        "a stop by hand of the last significant child is no end of its own",
        Sup("a b:transient! c:temporary!", auto="all_significant"),
        script="""
            finish b
            terminate c -> stop c
            wait 100
        """,
        after="a up, b down",
    ),
    Case(
        "all_significant: those stopped by hand are gone when the last one ends by itself",
        Sup("a b:transient! c:transient!", auto="all_significant"),
        script="""
            terminate b -> stop b
            finish c -> stop a
        """,
        after=None,
    ),
    Case(
        "being stopped because of a sibling is no end of its own",
        Sup("a b:temporary! c", strategy="one_for_all", auto="any_significant"),
        script="crash a -> stop c, stop b, up a, up c\nwait 100",
        after="a up, c up",
    ),
    Case(
        "children that are not significant may end",
        Sup("a b:transient! c:transient d:temporary", auto="any_significant"),
        script="""
            finish c
            crash d
            wait 100
        """,
        after="a up, b up, c down",
    ),
    Case(
        "without significant children nothing shuts down by itself",
        Sup("a:transient b:transient", auto="all_significant"),
        script="""
            finish a
            finish b
            wait 100
        """,
        after="a down, b down",
    ),
    Case(
        "never: children that end leave an empty supervisor",
        Sup("a:transient b:temporary"),
        script="""
            finish a
            finish b
            wait 100
        """,
        after="a down",
    ),
    Case(
        "a significant child started by hand again counts again",
        Sup("a b:transient!", auto="any_significant"),
        script="""
            terminate b -> stop b
            restart b -> up b
            finish b -> stop a
        """,
        after=None,
    ),
    Case(
        "a permanent supervisor that shut itself down is restarted",
        Sup((W("a"), Sup("x y:transient!", name="inner", auto="any_significant", restart="permanent"))),
        script="finish inner/y -> stop x, up x, up y",
        after="a up, inner up",
    ),
    Case(
        "a transient supervisor that shut itself down is not restarted",
        Sup((W("a"), Sup("x y:transient!", name="inner", auto="any_significant", restart="transient"))),
        script="finish inner/y -> stop x\nwait 100",
        after="a up, inner down",
    ),
    Case(
        "a significant supervisor that shut itself down takes the next one with it",
        Sup(
            (
                W("a"),
                Sup(
                    "x y:transient!",
                    name="inner",
                    auto="any_significant",
                    restart="transient",
                    significant=True,
                ),
            ),
            auto="any_significant",
        ),
        script="finish inner/y -> stop x, stop a",
        after=None,
    ),
    Case(
        "a significant transient supervisor that gave up has ended for good",
        Sup(
            (W("a"), Sup("x y", name="inner", limit=(0, 5), restart="transient", significant=True)),
            auto="any_significant",
        ),
        script="crash inner/y -> stop x, stop a",
        after=None,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_auto_shutdown(case: Case, placement: Placement, clock: trio.abc.Clock) -> None:
    await Run(case, placement).play()
