"""A workflow as it is drawn: nodes and edges, read out of the JSON of a no-code editor.

    {"nodes": [{"id": "rsi", "type": "technicalIndicator", "position": {"x": 0, "y": 0},
                "data": {"label": "RSI", "parameters": {"indicator": "RSI", "period": 14}}}],
     "edges": [{"id": "e1", "source": "prices", "target": "rsi",
                "sourceHandle": "data-output", "targetHandle": "data-input"}],
     "config": {}}

Editors differ in where an edge keeps its handles (the edge itself, or its `data`) and in how they call them
(`data-output`, `data`); both are read. What the drawing needs and the strategy does not (colours, sizes, selection) is
kept in the stored text and left out here.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

MOST_NODES: Final = 500
MOST_EDGES: Final = 2000
MOST_TEXT: Final = 200
MOST_WORKFLOW: Final = 512 * 1024
"""Bytes of a workflow's JSON."""


class WorkflowProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a workflow, and where. `node_id` empty: an edge, or the whole.

    `field` is a parameter, a handle, or a key of the JSON. `severity` "warning": it compiles all the same.
    """

    code: str
    message: str
    node_id: str = ""
    node_label: str = ""
    edge_id: str = ""
    field: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        where = f"{self.node_label} ({self.node_id}): " if self.node_id else ""
        return f"{where}{self.message}"


class WorkflowInvalid(ValueError):
    """A workflow that cannot be compiled, with every reason that was found."""

    def __init__(self, problems: tuple[WorkflowProblem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(map(str, self.problems))


class WorkflowNode(msgspec.Struct, frozen=True):
    """One node. `parameters` are as they were given."""

    id: str
    type: str
    label: str
    parameters: dict[str, Any]


class WorkflowEdge(msgspec.Struct, frozen=True):
    """One edge. A handle is empty where the edge does not name it."""

    id: str
    source: str
    target: str
    source_handle: str = ""
    target_handle: str = ""


class Workflow(msgspec.Struct, frozen=True):
    """The nodes and edges of a workflow, in their order, and its settings."""

    nodes: tuple[WorkflowNode, ...]
    edges: tuple[WorkflowEdge, ...]
    config: dict[str, Any] = {}

    def node(self, node_id: str) -> WorkflowNode | None:
        """The first node with this id."""
        return next((each for each in self.nodes if each.id == node_id), None)


def read_workflow(content: bytes | str | dict[str, Any]) -> Workflow:
    """A workflow out of its JSON, as text or decoded. Raises WorkflowInvalid for what is no workflow.

    Whether the nodes make sense is `checker.check`'s question.
    """
    found: Any = content
    if isinstance(content, bytes | str):
        if len(content) > MOST_WORKFLOW:
            raise _invalid("too_large", f"expected at most {MOST_WORKFLOW} bytes, got {len(content)}")
        try:
            found = msgspec.json.decode(content)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise _invalid("malformed", f"this is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise _invalid("malformed", f"expected an object with nodes and edges, got {_kind(found)}")
    problems: list[WorkflowProblem] = []
    nodes = [
        node for place, each in enumerate(_list(found, "nodes", problems)) if (node := _node(each, place, problems))
    ]
    edges = [
        edge for place, each in enumerate(_list(found, "edges", problems)) if (edge := _edge(each, place, problems))
    ]
    config = found.get("config")
    if config is not None and not isinstance(config, dict):
        problems.append(_problem("malformed", f"expected an object, got {_kind(config)}", "config"))
    for name, count, most in (("nodes", len(nodes), MOST_NODES), ("edges", len(edges), MOST_EDGES)):
        if count > most:
            problems.append(_problem("too_large", f"expected at most {most} {name}, got {count}", name))
    if problems:
        raise WorkflowInvalid(tuple(problems))
    return Workflow(tuple(nodes), tuple(edges), config or {})


def _list(found: dict[str, Any], key: str, problems: list[WorkflowProblem]) -> list[Any]:
    value = found.get(key, [] if key == "edges" else None)
    if isinstance(value, list | tuple):
        return list(value)
    problems.append(_problem("malformed", f"expected a list, got {_kind(value)}", key))
    return []


def _node(found: object, place: int, problems: list[WorkflowProblem]) -> WorkflowNode | None:
    where = f"nodes[{place}]"
    if not isinstance(found, dict):
        problems.append(_problem("malformed", f"expected an object, got {_kind(found)}", where))
        return None
    data = found.get("data", {})
    data = {} if data is None else data
    if not isinstance(data, dict):
        problems.append(_problem("malformed", f"expected an object, got {_kind(data)}", f"{where}.data"))
        return None
    texts: dict[str, str] = {}
    for key in ("id", "type"):
        value = _text(found.get(key))
        if not value:
            got = _kind(found.get(key))
            message = f"expected text of 1 to {MOST_TEXT} characters, got {got}"
            problems.append(_problem("malformed", message, f"{where}.{key}", node_id=texts.get("id", "")))
            return None
        texts[key] = value
    parameters = data.get("parameters", {})
    parameters = {} if parameters is None else parameters
    if not isinstance(parameters, dict):
        message = f"expected an object, got {_kind(parameters)}"
        problems.append(_problem("malformed", message, f"{where}.data.parameters", node_id=texts["id"]))
        return None
    given = data.get("label")
    # What is shown in errors and in the generated code's comments fits one line.
    label = " ".join(given.split())[:MOST_TEXT] if isinstance(given, str) else ""
    if not label.isprintable():
        label = "".join(each for each in label if each.isprintable())
    return WorkflowNode(texts["id"], texts["type"], label or texts["id"], {str(k): v for k, v in parameters.items()})


def _edge(found: object, place: int, problems: list[WorkflowProblem]) -> WorkflowEdge | None:
    where = f"edges[{place}]"
    if not isinstance(found, dict):
        problems.append(_problem("malformed", f"expected an object, got {_kind(found)}", where))
        return None
    data = found.get("data")
    data = data if isinstance(data, dict) else {}
    edge_id = _text(found.get("id")) or f"edge {place + 1}"
    ends: list[str] = []
    for key in ("source", "target"):
        value = _text(found.get(key))
        if not value:
            message = f"expected the id of a node, got {_kind(found.get(key))}"
            problems.append(_problem("malformed", message, f"{where}.{key}", edge_id=edge_id))
            return None
        ends.append(value)
    handles: list[str] = []
    for key in ("sourceHandle", "targetHandle"):
        handle = found.get(key) if found.get(key) is not None else data.get(key)
        if handle is not None and not isinstance(handle, str):
            message = f"expected the name of a handle, got {_kind(handle)}"
            problems.append(_problem("malformed", message, f"{where}.{key}", edge_id=edge_id))
            return None
        handles.append((handle or "")[:MOST_TEXT])
    return WorkflowEdge(edge_id, ends[0], ends[1], handles[0], handles[1])


def _text(value: object) -> str:
    # Some editors number their nodes.
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and 0 < len(value) <= MOST_TEXT and value.isprintable() else ""


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"text of {len(value)} characters" if value else "empty text"
    names = {dict: "an object", list: "a list", bool: "a truth value", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)


def _problem(code: str, message: str, field: str, *, node_id: str = "", edge_id: str = "") -> WorkflowProblem:
    return WorkflowProblem(code=code, message=message, field=field, node_id=node_id, edge_id=edge_id)


def _invalid(code: str, message: str) -> WorkflowInvalid:
    return WorkflowInvalid((WorkflowProblem(code=code, message=message),))
