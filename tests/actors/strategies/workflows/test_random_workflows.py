"""Workflows that nobody drew: what each of their actions does, against a second interpreter over whole arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.actors.strategies.workflows import reference
from tests.actors.strategies.workflows.drawing import Drawn, action, condition, indicator, logic, source
from tests.actors.strategies.workflows.reference import Floats
from tests.actors.strategies.workflows.running import Columns, bars, built, prices, run

COUNT = 160
INDICATORS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "sma": ({"period": 7}, ("value",)),
    "ema": ({"period": 9}, ("value",)),
    "wma": ({"period": 5}, ("value",)),
    "rsi": ({"period": 6}, ("value",)),
    "roc": ({"period": 3}, ("value",)),
    "macd": ({"fast": 4, "slow": 9, "signal": 3}, ("macd", "signal", "histogram")),
    "bollinger": ({"period": 8, "multiplier": 1.5}, ("upper", "middle", "lower")),
    "donchian": ({"period": 10}, ("upper", "middle", "lower")),
    "stoch": ({"k": 6, "slow_k": 3, "d": 2}, ("k", "d")),
    "atr": ({"period": 5}, ("value",)),
    "adx": ({"period": 5}, ("adx", "plus", "minus")),
    "mfi": ({"period": 6}, ("value",)),
}
SERIES = ("sma", "ema", "wma", "rsi", "roc", "macd", "bollinger")
"""Those that take numbers of another node."""
BAR_FIELDS: dict[str, dict[str, Any]] = {
    "uptrend": {"period": 6},
    "new_high": {"bars": 5},
    "up_bars": {"bars": 2},
    "gap_up": {},
    "volume_spike": {"period": 6, "factor": 1.2},
    "above_upper_band": {"period": 8, "deviations": 1.0},
}
SERIES_FIELDS: dict[str, dict[str, Any]] = {
    "rising": {"bars": 2},
    "falling": {"bars": 2},
    "turns_up": {},
    "highest_of": {"bars": 4},
    "slope_above": {"bars": 4, "slope": 0.0123},
    "zscore_above": {"bars": 6, "deviations": 0.4937},
}
PAIRS = [code for code in reference.PAIRS if not code.startswith("timeframe")]


def outputs_of(code: str, parameters: dict[str, Any], columns: Columns) -> list[Floats]:
    arguments = dict(parameters)
    if code == "bollinger":
        arguments["up"] = arguments["down"] = arguments.pop("multiplier")
    return list(reference.core(code, columns, **arguments).values())


class Interpreter:
    """Computes every node of a drawing over whole arrays."""

    def __init__(self, drawing: Drawn, columns: Columns) -> None:
        self.nodes = {each["id"]: each for each in drawing["nodes"]}
        self.edges = drawing["edges"]
        self.columns = columns
        self.known: dict[str, Any] = {}

    def inputs(self, node: str) -> list[Any]:
        """What comes in, in the order of the edges: arrays, or columns of bars."""
        found = []
        for edge in self.edges:
            if edge["target"] == node:
                value = self.value(edge["source"])
                handle = edge["sourceHandle"]
                found.append(value[handle] if isinstance(value, dict) and handle != "data" else value)
        return found

    def value(self, node: str) -> Any:
        if node not in self.known:
            self.known[node] = self._compute(self.nodes[node])
        return self.known[node]

    def _compute(self, node: Drawn) -> Any:
        given = dict(node["data"]["parameters"])
        if node["type"] == "dataSource":
            return self.columns
        inputs = self.inputs(node["id"])
        if node["type"] == "technicalIndicator":
            code = given.pop("indicator")
            names = INDICATORS[code][1]
            if isinstance(inputs[0], dict):
                return dict(zip(names, outputs_of(code, given, inputs[0]), strict=True))

            def over(values: Floats, place: int) -> Floats:
                return outputs_of(code, given, {"close": values})[place]

            made = [reference.from_first(lambda a, n=place: over(a, n), inputs) for place in range(len(names))]
            return dict(zip(names, made, strict=True))
        if node["type"] == "condition":
            return self._condition(given, inputs)
        assert node["type"] == "logic"
        match given["operation"]:
            case "NOT":
                return 1.0 - inputs[0]
            case "AND":
                return reference.truth(np.min(inputs, axis=0) > 0, *inputs)
            case "OR":
                return reference.truth(np.max(inputs, axis=0) > 0, *inputs)
        return reference.truth(np.sum(inputs, axis=0) % 2 == 1, *inputs)

    def _condition(self, given: dict[str, Any], inputs: list[Any]) -> Floats:
        code, count = given.pop("condition"), given.pop("confirmationBars")
        if code in reference.BARS:
            verdict = reference.BARS[code](inputs[0], given)
        elif code in reference.SERIES:
            verdict = reference.from_first(lambda a: reference.SERIES[code](a, given), inputs)
        else:
            if len(inputs) == 1:
                inputs = [inputs[0], np.full(COUNT, given["value"])]
            verdict = reference.from_first(lambda a, b: reference.PAIRS[code](a, b, given), inputs)
        return reference.confirmed(verdict, count)


@st.composite
def workflows(draw: st.DrawFn, columns: Columns) -> Drawn:
    """A drawing whose thresholds are where its values are."""
    nodes = [source()]
    edges: list[dict[str, str]] = []
    numbers: list[tuple[str, str]] = [("prices", "close"), ("prices", "high")]

    def connect(start: str, output: str, target: str, port: str) -> None:
        edges.append(
            {"id": f"e{len(edges)}", "source": start, "target": target, "sourceHandle": output, "targetHandle": port}
        )

    for place in range(draw(st.integers(1, 4))):
        chained = draw(st.booleans()) and place > 0
        code = draw(st.sampled_from(SERIES if chained else sorted(INDICATORS)))
        name = f"i{place}"
        nodes.append(indicator(name, code, **INDICATORS[code][0]))
        start, output = draw(st.sampled_from(numbers)) if chained else ("prices", "data")
        connect(start, output, name, "data")
        numbers += [(name, each) for each in INDICATORS[code][1]]
    verdicts = []
    for place in range(draw(st.integers(1, 4))):
        name = f"c{place}"
        kind = draw(st.sampled_from(("pair", "level", "bars", "series")))
        given: dict[str, Any] = {"confirmationBars": draw(st.sampled_from((1, 1, 2, 3)))}
        if kind == "bars":
            code = draw(st.sampled_from(sorted(BAR_FIELDS)))
            given |= BAR_FIELDS[code]
            connect("prices", "data", name, "data")
        elif kind == "series":
            code = draw(st.sampled_from(sorted(SERIES_FIELDS)))
            given |= SERIES_FIELDS[code]
            connect(*draw(st.sampled_from(numbers)), name, "data")
        else:
            code = draw(st.sampled_from(PAIRS))
            given |= {"tolerance": 0.3} if code in ("equal", "not_equal") else {}
            given |= {"percent": 0.5} if code.endswith("_percent") else {}
            given |= {"bars": 3} if code.endswith("_within") else {}
            first = draw(st.sampled_from(numbers))
            connect(*first, name, "data")
            if kind == "pair":
                connect(*draw(st.sampled_from([each for each in numbers if each != first])), name, "reference")
            else:
                values = Interpreter({"nodes": nodes, "edges": edges}, columns).value(first[0])[first[1]]
                share = draw(st.floats(0.1, 0.9))
                # Between two values, never on one.
                given["value"] = float(np.nanquantile(values, share)) + 1.234e-7
        nodes.append(condition(name, code, **given))
        verdicts.append(name)
    for place in range(draw(st.integers(0, 3))):
        name = f"l{place}"
        operation = draw(st.sampled_from(("AND", "OR", "NOT", "XOR")))
        count = 1 if operation == "NOT" else 2
        if len(verdicts) < count:
            continue
        for port, each in enumerate(draw(st.permutations(verdicts))[:count]):
            connect(each, "signal", name, f"input-{port}")
        nodes.append(logic(name, operation))
        verdicts.append(name)
    for place in range(draw(st.integers(1, 2))):
        name = f"a{place}"
        nodes.append(action(name, ("buy", "sell")[place], repeat=draw(st.sampled_from(("every_bar", "on_change")))))
        connect(draw(st.sampled_from(verdicts)), "signal", name, "signal")
    return {"nodes": draw(st.permutations(nodes)), "edges": edges, "config": {}}


@given(st.integers(0, 10_000), st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_every_action_of_a_random_workflow_acts_where_whole_arrays_say(seed: int, data: st.DataObject) -> None:
    columns = prices(seed, COUNT)
    drawing = data.draw(workflows(columns))
    wanted = {}
    interpreter = Interpreter(drawing, columns)
    for node in drawing["nodes"]:
        if node["type"] == "action":
            [verdict] = interpreter.inputs(node["id"])
            wanted[node["id"]] = reference.fires(verdict, node["data"]["parameters"]["repeat"] == "every_bar")
    found: dict[str, list[int]] = {name: [] for name in wanted}
    for place, signal in run(built(drawing), bars(columns)):
        found[signal.metadata.removeprefix('{"node":"').removesuffix('"}')].append(place)
    assert found == wanted
