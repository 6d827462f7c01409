from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.strategies.workflows.checker import check
from actors.strategies.workflows.compiler import compile_workflow
from actors.strategies.workflows.model import WorkflowInvalid, WorkflowProblem, read_workflow
from actors.strategies.workflows.templates import TEMPLATES
from tests.actors.strategies.workflows.drawing import (
    SIMPLE,
    Drawn,
    action,
    condition,
    drawn,
    indicator,
    logic,
    node,
    source,
)
from tests.actors.strategies.workflows.running import bars, loaded, prices, run

SHORT = bars(prices(1, 60))


def errors(drawing: Drawn) -> tuple[WorkflowProblem, ...]:
    return check(read_workflow(drawing)).errors


def only(drawing: Drawn) -> WorkflowProblem:
    found = errors(drawing)
    assert len(found) == 1, found
    return found[0]


def changed(node_id: str, **parameters: Any) -> Drawn:
    """The simple workflow with other parameters of one node."""
    found = copy.deepcopy(SIMPLE)
    for each in found["nodes"]:
        if each["id"] == node_id:
            each["data"]["parameters"] |= parameters
    return found


def with_edges(*edges: tuple[str, str, str, str]) -> Drawn:
    """The simple workflow with more edges."""
    found = copy.deepcopy(SIMPLE)
    for start, output, target, port in edges:
        edge = {"id": f"{start}-{target}", "source": start, "target": target}
        found["edges"].append({**edge, "data": {"sourceHandle": output, "targetHandle": port}})
    return found


def with_nodes(*nodes: Drawn, edges: tuple[tuple[str, str], ...] = ()) -> Drawn:
    found = copy.deepcopy(SIMPLE)
    found["nodes"] += nodes
    found["edges"] += [{"id": f"{start}-{target}", "source": start, "target": target} for start, target in edges]
    return found


def test_a_workflow_that_is_right_has_no_problems() -> None:
    assert check(read_workflow(SIMPLE)).problems == ()


@pytest.mark.parametrize(
    ("node_id", "parameters", "code", "field", "message"),
    [
        ("rsi", {"indicator": "RSY"}, "unknown_indicator", "indicator", "did you mean rsi"),
        ("rsi", {"indicator": None}, "missing_parameter", "indicator", "missing"),
        ("rsi", {"period": 0}, "invalid_parameter", "period", "from 2 to 2000, got 0"),
        ("rsi", {"period": "a"}, "invalid_parameter", "period", "whole number"),
        ("rsi", {"period": 14.5}, "invalid_parameter", "period", "whole number"),
        ("rsi", {"period": True}, "invalid_parameter", "period", "whole number"),
        ("rsi", {"period": [14]}, "invalid_parameter", "period", "whole number"),
        ("rsi", {"perod": 14}, "unknown_parameter", "perod", "did you mean period"),
        ("rsi", {"source": "vwap"}, "invalid_parameter", "source", "one of open"),
        ("low", {"condition": "less_then"}, "unknown_condition", "condition", "did you mean less_than"),
        ("low", {"value": None}, "missing_parameter", "value", "nothing to compare with"),
        ("low", {"value": "NaN"}, "invalid_parameter", "value", "expected a number"),
        ("low", {"confirmationBars": 0}, "invalid_parameter", "confirmationBars", "from 1 to 1000"),
        ("prices", {"timeframe": "1M"}, "invalid_parameter", "timeframe", "such as"),
        ("prices", {"timeframe": "9999w"}, "invalid_parameter", "timeframe", "such as"),
        ("buy", {"action": "bye"}, "invalid_parameter", "action", "one of buy"),
        ("buy", {"action": None}, "missing_parameter", "action", "missing"),
        ("buy", {"actionCategory": "exit", "action": "long"}, "invalid_parameter", "action", "category entry"),
        ("buy", {"actionCategory": "management"}, "not_deployed", "actionCategory", "fills of an account"),
        ("buy", {"actionCategory": "portfolio", "action": "rebalance"}, "not_deployed", "actionCategory", "positions"),
        ("buy", {"confidence": 1.5}, "invalid_parameter", "confidence", "from 0 to 1"),
        ("buy", {"stop_loss": -1}, "invalid_parameter", "stop_loss", "from 0 to 100"),
        ("buy", {"order_type": "iceberg"}, "invalid_parameter", "order_type", "one of market"),
        ("buy", {"symbol": "ETH"}, "unknown_symbol", "symbol", "data sources name none"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_named_with_its_node(
    node_id: str, parameters: dict[str, Any], code: str, field: str, message: str
) -> None:
    found = only(changed(node_id, **parameters))
    assert (found.code, found.node_id, found.node_label, found.field) == (code, node_id, node_id.title(), field)
    assert message in found.message


def test_parameters_that_do_not_go_together_are_an_error_of_their_node() -> None:
    macd = drawn(
        [source(), indicator("m", "MACD", fastPeriod=30), condition("c", "positive"), action()],
        "prices>m", "m>c", "c>buy",
    )  # fmt: skip
    assert (only(macd).node_id, only(macd).field) == ("m", "fast")
    span = changed("low", condition="between", value=None, lower=70, upper=30)
    assert (only(span).node_id, only(span).field) == ("low", "upper")


@pytest.mark.parametrize(
    ("edges", "code", "node_id", "field", "message"),
    [
        ((("prices", "", "nobody", ""),), "unknown_node", "prices", "target", "no node with the id nobody"),
        ((("nobody", "", "low", ""),), "unknown_node", "low", "source", "no node with the id nobody"),
        ((("rsi", "middle-output", "low", "reference"),), "unknown_handle", "rsi", "sourceHandle", "one of value"),
        ((("rsi", "", "low", "third-input"),), "unknown_handle", "low", "targetHandle", "one of data, reference"),
        ((("buy", "", "low", "reference"),), "unknown_handle", "buy", "sourceHandle", "has no outputs"),
        ((("rsi", "", "prices", ""),), "unknown_handle", "prices", "targetHandle", "has no inputs"),
        ((("low", "", "low", "reference"),), "type_mismatch", "low", "reference", "takes numeric or ohlcv"),
        ((("prices", "", "buy", "signal-input"),), "type_mismatch", "buy", "signal", "takes signal"),
        ((("prices", "", "low", "data-input"),), "too_many_edges", "low", "data", "has an edge already"),
    ],
)  # fmt: skip
def test_a_wrong_edge_is_named_with_a_node(
    edges: tuple[tuple[str, str, str, str], ...], code: str, node_id: str, field: str, message: str
) -> None:
    found = only(with_edges(*edges))
    assert (found.code, found.node_id, found.field) == (code, node_id, field)
    assert message in found.message


def test_a_node_that_is_known_and_cannot_be_compiled_says_why() -> None:
    for kind, reason in (
        ("sentiment", "news"),
        ("marketRegimeDetection", "regime"),
        ("correlation-analysis", "markets"),
        ("multiTimeframeAnalysis", "data source for each timeframe"),
    ):
        found = only(with_nodes(node("x", kind)))
        assert (found.code, found.node_id, found.field) == ("not_available", "x", "type")
        assert reason in found.message
    assert only(with_nodes(node("x", "teapot"))).code == "unknown_type"


def test_a_missing_input_is_an_error_of_the_node_that_needs_it() -> None:
    found = only(drawn([source(), condition("c", "greater_than", value=1), action()], "c>buy"))
    assert (found.code, found.node_id, found.field) == ("missing_input", "c", "data")
    found = only(with_nodes(action("sell", "sell")))
    assert (found.code, found.node_id, found.field) == ("missing_input", "sell", "signal")


def test_logic_nodes_need_as_many_signals_as_their_operation_takes() -> None:
    one = with_nodes(logic("and", "AND"), edges=(("low", "and"),))
    assert (only(one).code, only(one).field) == ("missing_input", "input")
    several = with_nodes(
        condition("high", "greater_than", value=70), logic("not", "NOT"),
        edges=(("rsi", "high"), ("low", "not"), ("high", "not")),
    )  # fmt: skip
    assert (only(several).code, only(several).node_id) == ("too_many_edges", "not")
    fewer = with_nodes(
        condition("high", "greater_than", value=70), node("and", "logic", operation="AND", inputs=3),
        edges=(("rsi", "high"), ("low", "and"), ("high", "and")),
    )  # fmt: skip
    assert "3 signals are announced" in only(fewer).message


def test_several_signals_into_one_action_ask_for_a_logic_node() -> None:
    drawing = with_nodes(condition("high", "greater_than", value=70), edges=(("rsi", "high"), ("high", "buy")))
    assert "logic node" in only(drawing).message


def test_every_node_of_a_cycle_is_named() -> None:
    drawing = with_nodes(
        logic("a", "AND"), logic("b", "OR"),
        edges=(("low", "a"), ("b", "a"), ("low", "b"), ("a", "b")),
    )  # fmt: skip
    found = errors(drawing)
    assert {each.code for each in found} == {"cycle"}
    assert {each.node_id for each in found} == {"a", "b"}
    own = with_nodes(logic("a", "AND"), edges=(("low", "a"), ("a", "a")))
    assert [each.node_id for each in errors(own)] == ["a"]


def test_a_workflow_without_nodes_or_without_an_action_says_so() -> None:
    assert errors({"nodes": [], "edges": []})[0].code == "empty"
    assert only(drawn([source()])).code == "no_action"


def test_two_nodes_of_one_id_are_an_error() -> None:
    assert only(with_nodes(indicator("rsi", "EMA"))).code == "duplicate_id"


def test_what_leads_nowhere_is_left_out_with_a_warning() -> None:
    checked = check(read_workflow(with_nodes(indicator("ema", "EMA"), edges=(("prices", "ema"),))))
    assert checked.graph is not None
    assert [(each.code, each.node_id, each.severity) for each in checked.problems] == [("unused", "ema", "warning")]
    assert "ema" not in {step.id for step in checked.graph.steps}


def test_risk_nodes_need_what_their_type_says() -> None:
    def risk(**parameters: Any) -> Drawn:
        return with_nodes(node("risk", "risk", **parameters), edges=(("risk", "buy"),))

    assert errors(risk(riskType="stop_loss", maxLoss=2)) == ()
    assert only(risk(riskType="stop_loss")).field == "maxLoss"
    assert only(risk(riskType="atr_stop")).field == "value"
    assert only(risk(riskType="var")).field == "riskType"
    twice = with_nodes(
        node("one", "risk", riskType="stop_loss", maxLoss=2), node("two", "risk", riskType="stop_loss", maxLoss=3),
        edges=(("one", "buy"), ("two", "buy")),
    )  # fmt: skip
    assert "both set the stop loss" in only(twice).message


def test_data_sources_agree_on_whether_they_name_a_market() -> None:
    mixed = drawn(
        [source("a", "BTC"), source("b"), condition("c", "greater_than"), action()], "a>c.data", "b>c.value", "c>buy"
    )
    assert (only(mixed).node_id, only(mixed).field) == ("b", "symbol")
    several = drawn(
        [source("a", "BTC"), source("b", "ETH"), condition("c", "greater_than"), action()],
        "a>c.data", "b>c.value", "c>buy",
    )  # fmt: skip
    assert (only(several).node_id, only(several).field) == ("buy", "symbol")


def test_conditions_on_several_timeframes_have_several() -> None:
    one = drawn(
        [source(), indicator("a", "SMA"), indicator("b", "EMA"), condition("c", "timeframe_above"), action()],
        "prices>a", "prices>b", "a>c.data", "b>c.reference", "c>buy",
    )  # fmt: skip
    assert (only(one).code, only(one).node_id) == ("one_timeframe", "c")


def test_the_handles_of_editors_are_understood() -> None:
    for output, port in (("value-output", "data-input"), ("output", "input-0"), ("", ""), ("signal-output", "value")):
        drawing = copy.deepcopy(SIMPLE)
        drawing["edges"][1] |= {"sourceHandle": output, "targetHandle": port}
        assert errors(drawing) == (), (output, port)


NAMES = (
    "data",
    "data-input",
    "value-output",
    "signal",
    "output",
    "input-1",
    "reference",
    "nonsense",
    "",
    "macd-output",
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 5000) | st.floats(allow_nan=True) | st.text(max_size=5)
    | st.sampled_from(["RSI", "ema", "BB", "less_than", "cross_above", "uptrend", "doji", "buy", "exit", "AND", "1h"])
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> Drawn:
    """A ready workflow after some accidents."""
    drawing = copy.deepcopy(draw(st.sampled_from(sorted(TEMPLATES.values(), key=lambda each: each.id))).workflow)
    for _ in range(draw(st.integers(1, 4))):
        nodes, edges = drawing["nodes"], drawing["edges"]
        accident = draw(
            st.sampled_from(("type", "drop", "twin", "edge", "cut", "handle", "parameter", "forget", "odd"))
        )
        if not nodes or (accident in ("cut", "handle") and not edges):
            continue
        victim = draw(st.sampled_from(nodes))
        given = victim["data"]["parameters"] if isinstance(victim["data"], dict) else {}
        ids = [each["id"] for each in nodes]
        if accident == "type":
            kinds = (
                "dataSource",
                "condition",
                "logic",
                "risk",
                "output",
                "action",
                "sentiment",
                "x",
                "technicalIndicator",
            )
            victim["type"] = draw(st.sampled_from(kinds))
        elif accident == "drop":
            nodes.remove(victim)
        elif accident == "twin":
            nodes.append(copy.deepcopy(victim))
        elif accident == "edge":
            edge = {
                "id": "new",
                "source": draw(st.sampled_from([*ids, "nobody"])),
                "target": draw(st.sampled_from(ids)),
            }
            edges.append(
                edge | {"sourceHandle": draw(st.sampled_from(NAMES)), "targetHandle": draw(st.sampled_from(NAMES))}
            )
        elif accident == "cut":
            edges.remove(draw(st.sampled_from(edges)))
        elif accident == "handle":
            end = draw(st.sampled_from(("sourceHandle", "targetHandle")))
            draw(st.sampled_from(edges))[end] = draw(st.sampled_from(NAMES))
        elif accident == "parameter":
            name = draw(st.sampled_from([*given, "period", "value", "odd", "confirmationBars", "symbol", "timeframe"]))
            given[name] = draw(SCALARS)
        elif accident == "forget" and given:
            del given[draw(st.sampled_from(sorted(given)))]
        elif accident == "odd":
            victim["data"]["label"] = draw(st.text(max_size=12))
    return drawing


@given(mutated())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_happens_to_a_workflow_it_runs_or_says_where_it_is_wrong(drawing: Drawn) -> None:
    workflow = read_workflow(drawing)
    try:
        compiled = compile_workflow(workflow, title="Broken")
    except WorkflowInvalid as error:
        problems = error.problems
    else:
        problems = ()
        symbols = compiled.symbols or ("A",)
        contract = loaded(compiled.code, [(symbol, each) for symbol in symbols for each in compiled.timeframes])
        run(contract, [each for each in SHORT if compiled.symbols in ((), ("A",))])
    for each in problems:
        assert each.message
        assert each.code
        if each.code not in ("empty", "no_action"):
            labels = [found.label for found in workflow.nodes if found.id == each.node_id]
            # An edge between two nodes that are gone has no node to be told of at.
            assert labels or each.edge_id, each
            assert not labels or each.node_label in labels
            assert each.field, each


KEYS = ["nodes", "edges", "id", "type", "data", "parameters", "label", "source", "target", "config"]
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=20,
)


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_anything_is_read_or_refused_with_the_place(content: Any) -> None:
    problems: tuple[WorkflowProblem, ...] = ()
    try:
        problems = check(read_workflow(content)).problems
    except WorkflowInvalid as error:
        problems = error.problems
    assert all(each.message for each in problems)
