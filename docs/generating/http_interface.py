"""http.md: the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from actors import node
from docs.generating.fields import schema_type
from docs.generating.markdown import table


def http_interface() -> Iterator[str]:
    """All routes, from the OpenAPI document."""
    document = node.openapi()
    yield "# HTTP interface"
    yield (
        "Every route of a node, by what it belongs to. A running node serves the whole of it, with every schema, as "
        "OpenAPI 3.1 at `/openapi.json` and as a page at `/docs`. WS marks a WebSocket."
    )
    yield (
        "A route marked with a token asks for `Authorization: Bearer TOKEN`, the content of the file `token` in the "
        "node's data folder. What has a body, and every POST, needs `Content-Type: application/json`. An error is "
        '`{"error": {"code": "...", "message": "...", "field": "..."}}` with a status that fits.'
    )
    found: dict[str, list[tuple[str, ...]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            socket = "101" in operation["responses"]
            needs = "token" if operation.get("security") else ""
            row = (f"`{'WS' if socket else method.upper()} {path}`", operation.get("summary", ""), needs)
            row += (_parameters(operation), _answer(operation))
            for tag in operation.get("tags", ["other"]):
                found.setdefault(tag, []).append(row)
    for tag in sorted(found):
        yield f"## {tag.capitalize()}"
        yield table(("Route", "What", "Needs", "Parameters", "Answer"), found[tag])


def _parameters(operation: dict[str, Any]) -> str:
    shown = []
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        default = schema.get("default")
        text = f"`{parameter['name']}`: {schema_type(schema)}"
        shown.append(text if default in (None, "") else f"{text}, default {json.dumps(default)}")
    return "<br>".join(shown)


def _answer(operation: dict[str, Any]) -> str:
    for status, answer in operation["responses"].items():
        for content in answer.get("content", {}).values():
            schema = content["schema"]
            if status != "default" and "$ref" in schema:
                return f"`{schema['$ref'].rpartition('/')[2]}`"
    return ""
