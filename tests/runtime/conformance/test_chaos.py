"""Many things at once, in random trees: whatever happens, the tree comes to rest in the state that the rules give."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.runtime import kit
from tests.runtime.conformance.stage import LOCAL, Case, Do, Run, Sup, W
from tests.runtime.kit import Refused, Unknown

STRATEGIES = st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])
ENOUGH = (400, 5)
"""More restarts than any script here makes. Who has fewer gives up, and the permanent one above starts it again."""


@st.composite
def trees(draw: st.DrawFn, depth: int = 2, name: str = "sut") -> Sup:
    prefix = "" if name == "sut" else name
    parts: list[Any] = []
    for index in range(draw(st.integers(1, 3))):
        if depth and draw(st.integers(0, 2)) == 0:
            parts.append(draw(trees(depth=depth - 1, name=f"{prefix}s{index}")))
            continue
        parts.append(
            W(
                f"{prefix}w{index}",
                draw(st.sampled_from(["permanent", "permanent", "transient", "temporary"])),
                stop=draw(st.sampled_from(["ok", "ok", "brief", "crash", "hang"])),
                stop_s=2,
                start_s=3,
                backoff=(0, 0, 0),
            )
        )
    limit = draw(st.sampled_from([ENOUGH, ENOUGH, (0, 5), (1, 5), (3, 1)]))
    return Sup(tuple(parts), name=name, strategy=draw(STRATEGIES), limit=limit, restart="permanent")


def walk(tree: Sup, path: str = "/stage/sut") -> list[tuple[str, Any]]:
    """(path, part) of everything below."""
    found = []
    for part in tree.parts():
        here = f"{path}/{part.name}"
        found.append((here, part))
        if isinstance(part, Sup):
            found += walk(part, here)
    return found


WORDS = st.lists(
    st.sampled_from(["ok", "ok", "ok", "slow", "fail", "slowfail", "hang", "doomed", "decline"]), max_size=6
)
ACTIONS = ["crash", "crash", "crash", "finish", "kill", "terminate", "restart", "delete", "start", "wait", "turn"]


class Chaos(Run):
    """Plays actions without waiting for what they do."""

    def __init__(self, tree: Sup, starts: dict[str, str], actions: list[tuple[str, int]]) -> None:
        super().__init__(Case("chaos", tree, starts=starts), LOCAL)
        self.actions = actions

    async def open(self) -> None:
        await self.ref("/stage").ask(kit.StartChild(self.case.tree.spec(LOCAL)), timeout=LOCAL.limit)
        everything = walk(self.case.tree)
        for action, index in self.actions:
            path, part = everything[index % len(everything)]
            match action:
                case "wait":
                    await trio.sleep(0.25 + index % 3)
                case "turn":
                    await trio.lowlevel.checkpoint()
                case "terminate" | "restart" | "kill" | "delete":
                    self.aside.start_soon(self.ask, action, path)
                case "start":
                    parent = path if isinstance(part, Sup) else path.rpartition("/")[0]
                    self.aside.start_soon(self.add, parent, f"n{index}{parent.count('/')}{parent[-1]}")
                case _ if isinstance(part, W):
                    self.node.ref(path).tell(Do(action, next(self.numbers)))
        await trio.sleep(500)

    async def ask(self, action: str, path: str) -> None:
        parent, _, name = path.rpartition("/")
        request = {
            "terminate": kit.TerminateChild,
            "restart": kit.RestartChild,
            "kill": kit.runtime.KillChild,
            "delete": kit.DeleteChild,
        }[action](name)
        with suppress(Refused, Unknown):
            await self.node.ref(parent).ask(request, timeout=300)

    async def add(self, parent: str, name: str) -> None:
        with suppress(Refused, Unknown):
            await self.node.ref(parent).ask(kit.StartChild(W(name, backoff=(0, 0, 0)).spec(LOCAL)), timeout=300)

    async def close(self) -> None:
        await kit.settle()
        await self.check("/stage/sut", self.case.tree)
        ups = [line for line in self.hooks.lines if line.startswith("up ")]
        await self.ref("/stage").ask(kit.TerminateChild("sut"), timeout=LOCAL.limit)
        await kit.settle()
        assert [line for line in self.hooks.lines if line.startswith("up ")] == ups
        assert not [line for line in self.ends.lines if line.endswith("twice")], self.ends.lines
        ends = [line.split()[0] for line in self.ends.lines]
        for name in {line.split()[1] for line in ups}:
            assert ends.count(name) == ups.count(f"up {name}"), f"{name}: {self.hooks.lines} {self.ends.lines}"

    async def check(self, path: str, tree: Sup) -> None:
        """Everything is up or down; what is down was ended for a reason that its type allows."""
        touched = {
            index % len(walk(self.case.tree))
            for action, index in self.actions
            if action in ("terminate", "finish", "crash", "kill")
        }
        reachable = [walk(self.case.tree)[index][0] for index in touched]
        deleted = {walk(self.case.tree)[i % len(walk(self.case.tree))][0] for a, i in self.actions if a == "delete"}
        states = await kit.children_of(self.ref(path))
        for part in tree.parts():
            here = f"{path}/{part.name}"
            state = states.get(part.name, "forgotten")
            assert state in ("up", "down", "forgotten"), f"{here} {state}"
            permanent = isinstance(part, Sup) or (
                part.restart == "permanent" and "decline" not in self.case.starts.get(part.name, "")
            )
            if permanent and here not in reachable and state == "down":
                raise AssertionError(f"{here} is down and nobody ended it: {self.hooks.lines}")
            assert state != "forgotten" or here in deleted or (isinstance(part, W) and part.restart == "temporary")
            if isinstance(part, Sup) and state == "up":
                await self.check(here, part)


@given(tree=trees(), data=st.data())
def _comes_to_rest(tree: Sup, data: st.DataObject) -> None:
    names = [part.name for _, part in walk(tree) if isinstance(part, W)]
    starts = {name: " ".join(["ok", *data.draw(WORDS), "ok"]) for name in names}
    actions = data.draw(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 20)), min_size=1, max_size=25))

    async def main() -> None:
        before = trio.lowlevel.current_statistics().tasks_living
        await Chaos(tree, starts, actions).play()
        assert trio.lowlevel.current_statistics().tasks_living == before

    trio.run(main, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("examples", [30, pytest.param(300, marks=pytest.mark.long)])
def test_a_tree_comes_to_rest_as_the_rules_say(examples: int) -> None:
    settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))(_comes_to_rest)()
