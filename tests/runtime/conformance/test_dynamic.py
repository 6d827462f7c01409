"""Dynamic children: started at run time, stopped all at once, never restored."""

import pytest
import trio

from tests.runtime import kit
from tests.runtime.conformance.stage import Case, Do, Placement, Run, Sup, W

THREE = """
    start x -> up x
    start y -> up y
    start z -> up z
"""

CASES = [
    Case(
        "dynamic children are restarted alone",
        Sup(dynamic=True),
        extras="x y z",
        script=THREE + "crash y -> up y ; y Crashed",
        after="x up, y up, z up",
    ),
    Case(
        "a dynamic child that fails to start is refused and leaves nothing behind",
        Sup(dynamic=True),
        extras="x y",
        starts={"y": "fail fail ok"},
        script="""
            start x -> up x
            start y => * fail y
            see x up
            start y => * fail y
            start y -> up y
        """,
        after="x up, y up",
    ),
    Case(
        "a running name is refused",
        Sup(dynamic=True),
        extras="x",
        script="""
            start x -> up x
            start x => already_started
        """,
        after="x up",
    ),
    Case(
        "a dynamic child that is stopped by hand is forgotten",
        Sup(dynamic=True),
        extras="x y z",
        script=THREE
        + """
            terminate y -> stop y ; y Shutdown
            see x up, z up
            terminate y => not_found
            start y -> up y
        """,
    ),
    Case(
        "a dynamic child that ends for good is forgotten, whatever its type",
        Sup(dynamic=True),
        extras="x:transient y:temporary",
        script="""
            start x -> up x
            start y -> up y
            finish x
            crash y
            wait 1
            start x -> up x
            start y -> up y
        """,
        after="x up, y up",
    ),
    Case(
        "dynamic children share the restart limit",
        Sup(dynamic=True, limit=(1, 5)),
        extras="x y z",
        script="""
            start x -> up x
            start y -> up y
            crash x -> up x
            crash y -> stop x ; y Crashed, x Shutdown, sut Shutdown
        """,
        after=None,
    ),
    Case(
        "a restart of a dynamic child that fails is tried again",
        Sup(dynamic=True),
        extras="x",
        starts={"x": "ok fail fail ok"},
        script="""
            start x -> up x
            crash x -> fail x, fail x, up x
        """,
        after="x up",
    ),
    Case(
        "no more than max_children",
        Sup(dynamic=True, max_children=2),
        extras="x y z",
        script="""
            start x -> up x
            start y -> up y
            start z => max_children
            crash x -> up x
            start z => max_children
            terminate x -> stop x
            start z -> up z
            start x => max_children
        """,
    ),
    Case(
        "a child that ended for good makes room",
        Sup(dynamic=True, max_children=1),
        extras="x:temporary y",
        script="""
            start x -> up x
            start y => max_children
            crash x
            start y -> up y
        """,
        after="y up",
    ),
    Case(
        "a start that failed makes room again",
        Sup(dynamic=True, max_children=1),
        extras="x y",
        starts={"x": "fail"},
        script="""
            start x => * fail x
            start y -> up y
        """,
        after="y up",
    ),
    Case(
        "a child that waits to be restarted counts",
        Sup(dynamic=True, max_children=1, limit=(2, 10_000)),
        extras=(W("x", backoff=(1000, 1000, 0.0)), W("y")),
        starts={"x": "ok fail ok"},
        script="""
            start x -> up x
            crash x -> fail x
            start y => max_children
            terminate x
            start y -> up y
        """,
        after="y up",
    ),
    Case(
        "no child at all with max_children 0",
        Sup(dynamic=True, max_children=0),
        extras="x",
        script="start x => max_children",
        after="",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_dynamic_children(case: Case, placement: Placement, clock: trio.abc.Clock) -> None:
    await Run(case, placement).play()


async def test_dynamic_children_stop_all_at_once(placement: Placement, clock: trio.abc.Clock) -> None:
    run = Run(
        Case(
            "at once",
            Sup(dynamic=True),
            extras=tuple(W(name, stop="slow") for name in "xyz"),
            script="start x -> try x, up x\nstart y -> try y, up y\nstart z -> try z, up z",
            verbose=True,
        ),
        placement,
    )
    await run.play()
    assert sorted(run.hooks.lines[-6:-3]) == ["stop x", "stop y", "stop z"]
    assert sorted(run.hooks.lines[-3:]) == ["end x", "end y", "end z"]


class Closing(Run):
    """Keeps the times between which the supervisor stopped."""

    began = ended = 0.0

    async def close(self) -> None:
        self.began = trio.current_time()
        await super().close()
        self.ended = trio.current_time()


async def test_dynamic_children_have_one_timer_for_all(placement: Placement, clock: trio.abc.Clock) -> None:
    manners = {"w": "ok", "x": "hang", "y": "hang", "z": "hang"}
    case = Case(
        "one timer",
        Sup(dynamic=True),
        extras=tuple(W(name, stop=stop, stop_s=10) for name, stop in manners.items()),
        script="start w -> up w\n" + THREE,
    )
    run = Closing(case, placement)
    await run.play()
    assert sorted(run.hooks.lines[-4:]) == ["stop w", "stop x", "stop y", "stop z"]
    assert sorted(run.ends.lines[-5:-1]) == ["w Shutdown", "x Killed", "y Killed", "z Killed"]
    assert run.ended - run.began < 2 * 10 * placement.unit


async def test_dynamic_children_are_not_restored_when_their_supervisor_restarts(
    placement: Placement, clock: trio.abc.Clock
) -> None:
    case = Case(
        "not restored",
        Sup((W("a"), Sup(dynamic=True, name="inner", limit=(0, 5), restart="permanent"))),
        extras="x y",
        script="""
            start inner/x -> up x
            start inner/y -> up y
            crash inner/x -> stop y
            wait 100
            see a up, inner up
            start inner/x -> up x
            start inner/y -> up y
        """,
        after="a up, inner up",
    )
    await Run(case, placement).play()


async def test_children_added_to_a_static_supervisor_are_not_restored_when_it_restarts(
    placement: Placement, clock: trio.abc.Clock
) -> None:
    case = Case(
        "added ones are not restored",
        Sup((W("a"), Sup("x", name="inner", limit=(0, 5), restart="permanent"))),
        extras="n",
        script="""
            start inner/n -> up n
            crash inner/x -> stop n, up x
            restart inner/n => not_found
        """,
        after="a up, inner up",
    )
    await Run(case, placement).play()


async def test_a_thousand_children_come_back_and_stop_together(placement: Placement, clock: trio.abc.Clock) -> None:
    names = [f"c{number}" for number in range(1000)]
    case = Case(
        "many",
        Sup(dynamic=True, limit=(1000, 1000)),
        extras=tuple(W(name, stop="slow", backoff=(0, 0, 0)) for name in names),
        script="\n".join(f"start {name} -> up {name}" for name in names[:10]),
    )

    class Many(Closing):
        async def close(self) -> None:
            for name in names[10:]:
                await self.admin("start", name)
            await self.expect([f"up {name}" for name in names[10:]], None, "starts")
            for name in names[::2]:
                self.ref(self.path(name)).tell(Do("crash", next(self.numbers)))
            await self.hooks.until(1500)
            await self.expect_in_any_order([f"up {name}" for name in names[::2]])
            await super().close()

        async def expect_in_any_order(self, lines: list[str]) -> None:
            await kit.settle()
            hooks, _ = self.unseen()
            assert sorted(hooks) == sorted(lines)

    run = Many(case, placement)
    await run.play()
    assert sorted(run.hooks.lines[-1000:]) == sorted(f"stop {name}" for name in names)
    assert run.ended - run.began < 1000 * placement.unit


async def test_a_dynamic_child_that_never_stops_is_ended_though_its_sibling_is_a_supervisor(
    placement: Placement, clock: trio.abc.Clock
) -> None:
    """A supervisor may take all the time that its children need; that is no licence for its siblings."""
    case = Case(
        "beside a supervisor",
        Sup(dynamic=True),
        extras=(W("x", stop="hang", stop_s=2), Sup((W("y", stop="slow"),), name="inner")),
        script="""
            start x -> up x
            start inner -> up y
        """,
    )
    run = Closing(case, placement)
    await run.play()
    assert sorted(run.hooks.lines[-2:]) == ["stop x", "stop y"]
    assert sorted(run.ends.lines[-3:]) == ["sut Shutdown", "x Killed", "y Shutdown"]
