"""Restarts that fail are tried again through the supervisor's own inbox, so that requests get in between."""

import pytest
import trio

from tests.runtime.conformance.stage import Case, Placement, Run, Sup, W

LONG = (1000, 1000, 0.0)
"""A backoff that only a request can end. With two failures the limit below is not reached."""


def waiting(name: str, start_s: float = 10) -> W:
    return W(name, backoff=LONG, start_s=start_s)


CASES = [
    Case(
        "a restart that fails is tried again",
        Sup("a b c"),
        starts={"b": "ok fail fail ok"},
        script="crash b -> fail b, fail b, up b",
        after="a up, b up, c up",
    ),
    Case(
        "one_for_all stops the restarted siblings again before it retries",
        Sup("a b c", strategy="one_for_all"),
        starts={"b": "ok fail ok"},
        script="crash b -> stop c, stop a, up a, fail b, stop a, up a, up b, up c",
        after="a up, b up, c up",
    ),
    Case(
        "one_for_all retries a sibling that did not start again",
        Sup("a b c", strategy="one_for_all"),
        starts={"c": "ok fail fail ok"},
        script="""
            crash a -> stop c, stop b, up a, up b, fail c,
                stop b, stop a, up a, up b, fail c,
                stop b, stop a, up a, up b, up c
        """,
        after="a up, b up, c up",
    ),
    Case(
        "rest_for_one retries from the child that failed to start",
        Sup("a b c d", strategy="rest_for_one"),
        starts={"c": "ok fail ok"},
        script="crash b -> stop d, stop c, up b, fail c, up c, up d",
        after="a up, b up, c up, d up",
    ),
    Case(
        "rest_for_one retries from the offender when that failed to start",
        Sup("a b c d", strategy="rest_for_one"),
        starts={"b": "ok fail ok"},
        script="crash b -> stop d, stop c, fail b, up b, up c, up d",
        after="a up, b up, c up, d up",
    ),
    Case(
        "every retry of a group counts",
        Sup("a b c", strategy="one_for_all", limit=(2, 5)),
        starts={"b": "ok fail"},
        script="crash b -> stop c, stop a, up a, fail b, stop a, up a, fail b, stop a",
        after=None,
    ),
    Case(
        "every retry of the rest counts",
        Sup("a b c", strategy="rest_for_one", limit=(2, 5)),
        starts={"c": "ok fail"},
        script="crash b -> stop c, up b, fail c, fail c, stop b, stop a",
        after=None,
    ),
    Case(
        "while it waits to be tried again a child is restarting",
        Sup((W("a"), waiting("b"), W("c")), limit=(2, 10_000)),
        starts={"b": "ok fail ok"},
        script="""
            crash b -> fail b
            see a up, b restarting, c up
        """,
        after="a up, b restarting, c up",
    ),
    Case(
        "a request to stop the supervisor gets in between",
        Sup((W("a"), waiting("b"), W("c")), limit=(2, 10_000)),
        starts={"b": "ok fail ok"},
        script="""
            crash b -> fail b
            terminate sut -> stop c, stop a
            wait 2
        """,
        after=None,
    ),
    Case(
        "a request to stop the child gets in between, and is obeyed",
        Sup((W("a"), waiting("b"), W("c")), limit=(2, 10_000)),
        starts={"b": "ok fail ok"},
        script="""
            crash b -> fail b
            terminate b
            see a up, b down, c up
            wait 1500
            see a up, b down, c up
            restart b -> up b
        """,
        after="a up, b up, c up",
    ),
    Case(
        "requests about a restarting child are refused as they should be",
        Sup((W("a"), waiting("b")), limit=(2, 10_000)),
        starts={"b": "ok fail ok"},
        extras="b n",
        script="""
            crash b -> fail b
            restart b => restarting
            delete b => restarting
            start b => already_started
            start n -> up n
        """,
        after="a up, b restarting, n up",
    ),
    Case(
        "a sibling is restarted while another waits to be tried again",
        Sup((W("a"), waiting("b"), W("c")), limit=(3, 10_000)),
        starts={"b": "ok fail ok"},
        script="""
            crash b -> fail b
            crash a -> up a
            see a up, b restarting, c up
        """,
        after="a up, b restarting, c up",
    ),
    Case(
        "the restart of a group takes in the one that waits to be tried again",
        Sup((W("a"), waiting("b"), W("c")), limit=(3, 10_000), strategy="rest_for_one"),
        starts={"b": "ok fail ok"},
        script="""
            crash b -> stop c, fail b
            crash a -> up a, up b, up c
            wait 1500
        """,
        after="a up, b up, c up",
    ),
    Case(
        "a stop reaches a supervisor whose child is starting again",
        Sup((W("a"), W("b", start_s=100_000), W("c"))),
        starts={"b": "ok hang"},
        script="""
            crash b -> hang b
            terminate sut -> stop c, stop a
            wait 2
        """,
        after=None,
    ),
    Case(
        "a stop reaches an inner supervisor whose child is starting again",
        Sup((W("a"), Sup((W("x"), W("y", start_s=100_000)), name="inner", restart="permanent"), W("z"))),
        starts={"y": "ok hang"},
        script="""
            crash inner/y -> hang y
            terminate sut -> stop z, stop x, stop a
            wait 2
        """,
        after=None,
    ),
    Case(
        "a stop reaches a supervisor that is starting a group again",
        Sup((W("a"), W("b", start_s=100_000), W("c")), strategy="one_for_all"),
        starts={"b": "ok hang"},
        script="""
            crash c -> stop b, stop a, up a, hang b
            terminate sut -> stop a
            wait 2
        """,
        after=None,
    ),
    Case(
        "a child started while its group waits for its restart is left alone when that comes",
        Sup((W("a"), waiting("b"), W("c")), strategy="one_for_all", limit=(2, 10_000)),
        starts={"b": "ok fail ok"},
        extras="n",
        script="""
            crash b -> stop c, stop a, up a, fail b, stop a
            start n -> up n
            see a restarting, b restarting, c restarting, n up
            wait 1500 -> up a, up b, up c
        """,
        after="a up, b up, c up, n up",
    ),
    Case(
        "a stop reaches a supervisor in the backoff of a group",
        Sup((W("a"), waiting("b"), W("c")), strategy="one_for_all", limit=(2, 10_000)),
        starts={"b": "ok fail ok"},
        script="""
            crash b -> stop c, stop a, up a, fail b, stop a
            terminate sut
            wait 1500
        """,
        after=None,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_retries(case: Case, placement: Placement, clock: trio.abc.Clock) -> None:
    await Run(case, placement).play()
