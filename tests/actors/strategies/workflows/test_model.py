from __future__ import annotations

import json
from typing import Any

import pytest

from actors.strategies.workflows.model import MOST_NODES, MOST_WORKFLOW, WorkflowInvalid, read_workflow
from tests.actors.strategies.workflows.drawing import SIMPLE, indicator


def test_nodes_and_edges_are_read_from_text_and_from_objects() -> None:
    assert read_workflow(json.dumps(SIMPLE)) == read_workflow(SIMPLE)
    found = read_workflow(SIMPLE)
    assert [each.id for each in found.nodes] == ["prices", "rsi", "low", "buy"]
    assert found.nodes[1].parameters == {"indicator": "RSI", "period": 14}


def test_handles_are_read_from_the_edge_or_from_its_data() -> None:
    edge = {"id": "e", "source": "a", "target": "b"}
    handles = {"sourceHandle": "value-output", "targetHandle": "data-input"}
    nodes = [indicator("a", "RSI"), indicator("b", "SMA")]
    plain = read_workflow({"nodes": nodes, "edges": [edge | handles]})
    inside = read_workflow({"nodes": nodes, "edges": [edge | {"data": handles | {"rule": {"dataType": "numeric"}}}]})
    assert plain.edges == inside.edges
    assert plain.edges[0].source_handle == "value-output"
    empty = read_workflow({"nodes": nodes, "edges": [edge | {"sourceHandle": None, "targetHandle": None}]})
    assert (empty.edges[0].source_handle, empty.edges[0].target_handle) == ("", "")


def test_a_node_without_a_label_is_called_by_its_id_and_labels_fit_one_line() -> None:
    nodes: list[Any] = [
        {"id": 7, "type": "output"},
        {"id": "b", "type": "output", "data": {"label": " two\n lines\u202e "}},
    ]
    assert [each.label for each in read_workflow({"nodes": nodes}).nodes] == ["7", "two lines"]


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        ("{", "", "not JSON"),
        ("[]", "", "expected an object"),
        ({}, "nodes", "expected a list, got nothing"),
        ({"nodes": 3}, "nodes", "expected a list, got a number"),
        ({"nodes": [], "edges": {}}, "edges", "expected a list, got an object"),
        ({"nodes": ["a"]}, "nodes[0]", "expected an object, got text of 1 characters"),
        ({"nodes": [{"type": "output"}]}, "nodes[0].id", "got nothing"),
        ({"nodes": [{"id": "a"}]}, "nodes[0].type", "got nothing"),
        ({"nodes": [{"id": "a\0", "type": "output"}]}, "nodes[0].id", "expected text"),
        ({"nodes": [{"id": "a", "type": "x", "data": []}]}, "nodes[0].data", "got a list"),
        ({"nodes": [{"id": "a", "type": "x", "data": {"parameters": 1}}]}, "nodes[0].data.parameters", "a number"),
        ({"nodes": [], "edges": [1]}, "edges[0]", "expected an object"),
        ({"nodes": [], "edges": [{"source": "a"}]}, "edges[0].target", "id of a node"),
        (
            {"nodes": [], "edges": [{"source": "a", "target": "b", "sourceHandle": 1}]},
            "edges[0].sourceHandle",
            "handle",
        ),
        ({"nodes": [], "config": []}, "config", "expected an object"),
        ({"nodes": [{"id": str(n), "type": "x"} for n in range(MOST_NODES + 1)]}, "nodes", "at most 500"),
        ("x" * (MOST_WORKFLOW + 1), "", "at most"),
        ("[" * 100_000, "", "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_workflow_is_refused_with_the_place(content: Any, field: str, message: str) -> None:
    with pytest.raises(WorkflowInvalid) as caught:
        read_workflow(content)
    problem = caught.value.problems[0]
    assert (problem.field, message in problem.message) == (field, True), problem
