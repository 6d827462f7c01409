"""Scripts nobody thought of: random trees and requests against the plain machine of `model.py`."""

from __future__ import annotations

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.runtime.conformance.model import Child, Model
from tests.runtime.conformance.stage import LOCAL, Case, Run, Sup, W

NAMES = "abcd"
EXITS = ("finish", "leave", "crash", "kill")
REQUESTS = ("terminate", "restart", "delete", "start")


@st.composite
def trees(draw: st.DrawFn) -> tuple[Sup, dict[str, str]]:
    auto = draw(st.sampled_from(["never", "any_significant", "all_significant"]))
    parts = []
    for name in NAMES[: draw(st.integers(1, 4))]:
        restart = draw(st.sampled_from(["permanent", "transient", "temporary"]))
        significant = auto != "never" and restart != "permanent" and draw(st.booleans())
        parts.append(W(name, restart, significant=significant))
    strategy = draw(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]))
    limit = (draw(st.integers(0, 6)), 1000)
    word = st.sampled_from(["ok", "ok", "ok", "ok", "fail", "fail", "decline"])
    starts = {part.name: " ".join(["ok", *draw(st.lists(word, max_size=5)), "ok"]) for part in parts}
    return Sup(tuple(parts), strategy=strategy, limit=limit, auto=auto), starts


def model_of(tree: Sup, starts: dict[str, str]) -> Model:
    return Model(
        tree.strategy,
        [Child(part.name, part.restart, part.significant) for part in tree.parts()],
        tree.limit[0],
        tree.auto,
        {name: words.split() for name, words in starts.items()},
    )


def script_for(model: Model, tree: Sup, data: st.DataObject) -> str:
    """Up to twelve steps, each with what the model shows for it."""
    lines = []
    parts = {part.name: part for part in tree.parts()}
    for _ in range(data.draw(st.integers(1, 12), label="steps")):
        if model.gone:
            break
        up = [child.name for child in model.children if child.state == "up"]
        actions = [*REQUESTS, *(EXITS if up else ())]
        action = data.draw(st.sampled_from(actions))
        name = data.draw(st.sampled_from(up if action in EXITS else list(parts)))
        code: str | None = None
        if action in EXITS:
            model.exit(name, action)
        elif action == "start":
            part = parts[name]
            code = model.start(Child(name, part.restart, part.significant))
        else:
            code = getattr(model, action)(name)
        shown = ", ".join(model.take())
        lines.append(f"{action} {name} => {code} {shown}" if code else f"{action} {name} -> {shown}")
        if not model.gone and model.children:
            lines.append("see " + ", ".join(f"{name} {state}" for name, state in model.states().items()))
    return "\n".join(lines)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=trees(), data=st.data())
def test_a_supervisor_does_what_otps_does(tree: tuple[Sup, dict[str, str]], data: st.DataObject) -> None:
    sup, starts = tree
    model = model_of(sup, starts)
    assert model.open()
    first = ", ".join(model.take())
    script = script_for(model, sup, data)
    case = Case(
        "random",
        sup,
        script=script,
        first=first,
        starts=starts,
        extras=sup.parts(),
        after=None if model.gone else ", ".join(f"{name} {state}" for name, state in model.states().items()),
    )
    play(case)


def play(case: Case) -> None:
    async def main() -> None:
        await Run(case, LOCAL).play()

    trio.run(main, clock=MockClock(autojump_threshold=0))


def test_the_model_itself_follows_the_rules() -> None:
    """Anchors: if these are right, the model is worth comparing with."""
    model = Model("rest_for_one", [Child(name, "permanent") for name in "abcd"], 5, starts={"c": ["ok", "fail", "ok"]})
    model.open()
    model.take()
    model.exit("b", "crash")
    assert model.take() == ["stop d", "stop c", "up b", "fail c", "up c", "up d"]

    model = Model("one_for_all", [Child(name, "permanent") for name in "abc"], 5, starts={"b": ["ok", "fail", "ok"]})
    model.open()
    model.take()
    model.exit("b", "crash")
    assert model.take() == ["stop c", "stop a", "up a", "fail b", "stop a", "up a", "up b", "up c"]
