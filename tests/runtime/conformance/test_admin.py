"""What one may ask a supervisor at run time, and what it refuses."""

import pytest
import trio

from tests.runtime import kit
from tests.runtime.conformance.stage import SUT, Case, Placement, Run, Sup, W

CASES = [
    Case(
        "a started child comes last",
        Sup("a b"),
        extras="n",
        script="""
            start n -> up n
            see a up, b up, n up
        """,
        after="a up, b up, n up",
    ),
    Case(
        "a started child is restarted by its type",
        Sup("a"),
        extras="n:transient",
        script="""
            start n -> up n
            crash n -> up n
            finish n
        """,
        after="a up, n down",
    ),
    Case(
        "a running name is already started, a stopped one already present",
        Sup("a b c:transient"),
        extras="a b c",
        script="""
            start a => already_started
            terminate b -> stop b
            start b => already_present
            finish c
            start c => already_present
        """,
        after="a up, b down, c down",
    ),
    Case(
        "a child that fails to start is refused and its spec is not kept",
        Sup("a"),
        extras="n",
        starts={"n": "fail fail ok"},
        script="""
            start n => * fail n
            restart n => not_found
            start n => * fail n
            start n -> up n
        """,
        after="a up, n up",
    ),
    Case(
        "a child that takes too long to start is refused and its spec is not kept",
        Sup("a"),
        extras=(W("n", start_s=1),),
        starts={"n": "hang ok"},
        script="""
            start n => * hang n
            see a up
            start n -> up n
        """,
        after="a up, n up",
    ),
    Case(
        "a failed start by hand is not counted and not retried",
        Sup("a", limit=(0, 5)),
        extras="n",
        starts={"n": "fail"},
        script="""
            start n => * fail n
            start n => * fail n
            wait 100
        """,
        after="a up",
    ),
    Case(
        "a supervisor can be started, with its children",
        Sup("a"),
        extras=(Sup("x y", name="inner", restart="permanent"),),
        script="""
            start inner -> up x, up y
            crash inner/x -> up x
            terminate inner -> stop y, stop x
            restart inner -> up x, up y
        """,
        after="a up, inner up",
    ),
    Case(
        "stopping a child keeps its spec and restarts nothing",
        Sup("a b c"),
        script="""
            terminate b -> stop b ; b Shutdown
            wait 100
            see a up, b down, c up
        """,
        after="a up, b down, c up",
    ),
    Case(
        "stopping a child twice is the same as once",
        Sup("a b:transient"),
        script="""
            terminate a -> stop a
            terminate a
            finish b
            terminate b
        """,
        after="a down, b down",
    ),
    Case(
        "a stopped temporary child is forgotten",
        Sup("a b:temporary"),
        script="""
            terminate b -> stop b
            terminate b => not_found
            restart b => not_found
        """,
        after="a up",
    ),
    Case(
        "a stop by hand waits its own time, then ends the child",
        Sup((W("a"), W("b", stop="hang", stop_s=2))),
        script="""
            terminate b -> stop b ; b Killed
            wait 100
        """,
        after="a up, b down",
    ),
    Case(
        "a child that crashes while it is stopped by hand is stopped",
        Sup((W("a"), W("b", stop="crash")), limit=(0, 5)),
        script="""
            terminate b -> stop b ; b Crashed
            wait 100
        """,
        after="a up, b down",
    ),
    Case(
        "restart of a stopped child starts it, of a running one is refused",
        Sup("a b"),
        script="""
            restart b => running
            terminate b -> stop b
            restart b -> up b
            restart b => running
            restart nobody => not_found
        """,
        after="a up, b up",
    ),
    Case(
        "a restart by hand that fails leaves the child stopped",
        Sup("a b", limit=(0, 5)),
        starts={"b": "ok fail ok"},
        script="""
            terminate b -> stop b
            restart b => * fail b
            wait 100
            see a up, b down
            restart b -> up b
        """,
        after="a up, b up",
    ),
    Case(
        "only a stopped child can be deleted",
        Sup("a b"),
        extras="b",
        script="""
            delete b => running
            terminate b -> stop b
            delete b
            delete b => not_found
            restart b => not_found
            start b -> up b
        """,
        after="a up, b up",
    ),
    Case(
        "a finished child can be deleted",
        Sup("a b:transient"),
        script="""
            finish b
            delete b
        """,
        after="a up",
    ),
    Case(
        "nobody is not found",
        Sup("a"),
        script="""
            terminate nobody => not_found
            restart nobody => not_found
            delete nobody => not_found
        """,
        after="a up",
    ),
    *(
        Case(
            f"under {strategy} a request concerns that child alone",
            Sup("a b c", strategy=strategy),
            script="""
                terminate a -> stop a
                restart a -> up a
                terminate b -> stop b
                delete b
            """,
            after="a up, c up",
        )
        for strategy in ("one_for_all", "rest_for_one")
    ),
    Case(
        "a child cannot become significant where nothing shuts down",
        Sup("a"),
        extras="n:transient!",
        script="start n => *",
        after="a up",
    ),
    Case(
        "a dynamic child cannot be significant",
        Sup(dynamic=True),
        extras="n:temporary!",
        script="start n => *",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_requests(case: Case, placement: Placement, clock: trio.abc.Clock) -> None:
    await Run(case, placement).play()


async def test_a_supervisor_counts_its_children(placement: Placement, clock: trio.abc.Clock) -> None:
    class Counting(Run):
        async def close(self) -> None:
            counts = await kit.counts_of(self.ref(SUT))
            assert counts == {"specs": 4, "active": 3, "supervisors": 1, "restarting": 0}
            await super().close()

    case = Case(
        "counts",
        Sup((W("a"), W("b"), W("c", "temporary"), W("d"), Sup("x y", name="inner"))),
        script="""
            terminate b -> stop b
            crash c
        """,
    )
    await Counting(case, placement).play()


async def test_the_ref_of_a_started_child_is_answered(placement: Placement, clock: trio.abc.Clock) -> None:
    class Answered(Run):
        async def close(self) -> None:
            ref = await self.admin("start", "n")
            assert ref.path == f"{SUT}/n"
            assert ref.tell is not None
            await self.expect(["up n"], None, "start")
            await super().close()

    await Answered(Case("answered", Sup("a"), extras="n", after="a up, n up"), placement).play()


@pytest.mark.parametrize("end", ["terminate", "kill"])
async def test_a_child_may_be_ended_in_the_instant_in_which_it_started(
    end: str, placement: Placement, clock: trio.abc.Clock
) -> None:
    class Quick(Run):
        async def close(self) -> None:
            await self.admin("start", "n")
            if end == "kill":
                await kit.kill(self.node, f"{SUT}/n")
                await self.expect(["up n", "up n"], None, "killed and started again")
            else:
                await self.admin("terminate", "n")
                await self.expect(["up n", "stop n"], None, "stopped")
            await super().close()

    after = "a up, n up" if end == "kill" else "a up, n down"
    await Quick(Case("quick", Sup("a"), extras="n", after=after), placement).play()


async def test_who_gives_up_waiting_for_a_start_does_not_end_it(placement: Placement, clock: trio.abc.Clock) -> None:
    class Impatient(Run):
        async def close(self) -> None:
            spec = W("n").spec(placement)
            with pytest.raises(kit.Unknown):
                await self.ref(SUT).ask(kit.StartChild(spec), timeout=placement.unit / 2)
            await self.expect(["slow n", "up n"], None, "it starts all the same")
            await super().close()

    case = Case("impatient", Sup("a"), starts={"n": "slow"}, after="a up, n up")
    await Impatient(case, placement).play()
