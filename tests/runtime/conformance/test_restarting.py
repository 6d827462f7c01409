"""Restart types against exit reasons, under each strategy: the full matrix."""

from itertools import product

import pytest
import trio

from tests.runtime.conformance.stage import Case, Placement, Run, Sup, W

REASONS = {
    "finish": "Normal",
    "leave": "Shutdown",
    "crash": "Crashed",
    "crash_group": "Crashed",
    "crash_exit": "Crashed",
    "crash_interrupt": "Crashed",
    "kill": "Killed",
}
STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
TYPES = ("permanent", "transient", "temporary")


def restarts(kind: str, reason: str) -> bool:
    """The rule itself."""
    return kind == "permanent" or (kind == "transient" and reason in {"Crashed", "Killed"})


def matrix_case(strategy: str, kind: str, act: str) -> Case:
    reason = REASONS[act]
    hooks, ends, after = "", f"b {reason}", "a up, b up, c up"
    if restarts(kind, reason):
        stops, ups = {
            "one_for_one": ("", "b"),
            "one_for_all": ("ca", "abc"),
            "rest_for_one": ("c", "bc"),
        }[strategy]
        hooks = ", ".join([f"stop {name}" for name in stops] + [f"up {name}" for name in ups])
        ends = ", ".join([ends, *(f"{name} Shutdown" for name in stops)])
    else:
        after = "a up, c up" if kind == "temporary" else "a up, b down, c up"
    again = {"permanent": "=> running", "transient": "-> up b", "temporary": "=> not_found"}[kind]
    if restarts(kind, reason):
        again = "=> running"
    elif kind == "transient":
        after = "a up, b up, c up"
    return Case(
        f"{kind} and {act} under {strategy}",
        Sup((W("a"), W("b", kind), W("c")), strategy=strategy),
        script=f"""
            {act} b -> {hooks} ; {ends}
            restart b {again}
        """,
        after=after,
    )


MATRIX = [matrix_case(*cell) for cell in product(STRATEGIES, TYPES, REASONS)]


@pytest.mark.parametrize("case", MATRIX, ids=str)
async def test_restart_type_and_exit_reason_decide(case: Case, placement: Placement, clock: trio.abc.Clock) -> None:
    await Run(case, placement).play()


CASES = [
    Case(
        "a restarted child is restarted again",
        Sup("a b"),
        script="""
            crash b -> up b ; b Crashed
            crash b -> up b ; b Crashed
            kill b  -> up b ; b Killed
            finish b -> up b ; b Normal
        """,
        after="a up, b up",
    ),
    Case(
        "a finished transient child keeps its spec and its place",
        Sup("a b:transient c"),
        script="""
            finish b
            see a up, b down, c up
            restart b -> up b
            terminate sut -> stop c, stop b, stop a
        """,
        after=None,
    ),
    Case(
        "a temporary child is forgotten as soon as it ends",
        Sup("a b:temporary c"),
        script="""
            crash b
            see a up, c up
            delete b => not_found
            terminate b => not_found
        """,
        after="a up, c up",
    ),
    Case(
        "the name of a forgotten child is free",
        Sup("a b:temporary"),
        extras="b",
        script="""
            finish b
            start b -> up b
            crash b -> up b
        """,
        after="a up, b up",
    ),
    Case(
        "a supervisor that leaves nothing behind is itself restarted by its type",
        Sup((W("a"), Sup("x y", name="inner", limit=(0, 5), restart="permanent"), W("z"))),
        script="""
            crash inner/y -> stop x, up x, up y
        """,
        after="a up, inner up, z up",
    ),
    Case(
        "a killed supervisor takes its children with it unasked, innermost too, and comes back by its type",
        Sup(
            (
                W("a"),
                Sup((W("x"), Sup("y", name="deep")), name="inner", restart="transient"),
                W("z"),
            )
        ),
        script="kill inner -> up x, up y ; y Killed, x Killed",
        after="a up, inner up, z up",
    ),
    Case(
        "a supervisor can be killed while a child of it is starting",
        Sup((W("a"), Sup((W("x"), W("y", start_s=100_000)), name="inner", restart="permanent"))),
        starts={"y": "ok hang ok"},
        script="""
            crash inner/y -> hang y
            kill inner -> up x, up y
        """,
        after="a up, inner up",
    ),
    Case(
        "a child that crashes while a sibling is being restarted comes after it",
        Sup("a b"),
        starts={"b": "ok slow ok"},
        script="""
            crash b -> slow b
            crash a -> up b, up a
        """,
        after="a up, b up",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_restarts(case: Case, placement: Placement, clock: trio.abc.Clock) -> None:
    await Run(case, placement).play()
