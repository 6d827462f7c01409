"""OpenAPI 3.1 out of the routes: the same msgspec types that check requests and shape answers describe them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from actors.edge.binding import Binding, is_answer_struct
from actors.edge.errors import ErrorBody
from actors.edge.responses import REASONS
from actors.edge.routing import Endpoint, Route

Json = dict[str, Any]

_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{([a-z_][a-z0-9_]*)(?::path)?\}")
_TITLE = "Troupe"


def document(routes: Iterable[Route], *, always_token: bool = False) -> Json:
    """The OpenAPI document of `routes`; `always_token`: every one of them asks for the token."""
    return document_of([Endpoint(route) for route in routes], always_token=always_token)


def document_of(endpoints: Iterable[Endpoint], *, always_token: bool = False) -> Json:
    """Like `document`, from routes that are compiled already."""
    endpoints = sorted(endpoints, key=lambda endpoint: (endpoint.route.path, endpoint.route.method))
    schemas = _Schemas(endpoints)
    paths: dict[str, Json] = {}
    for endpoint in endpoints:
        place = paths.setdefault(_PARAMETER.sub(r"{\1}", endpoint.route.path), {})
        place[endpoint.route.method.lower()] = _operation(endpoint, schemas, always_token)
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": _version(), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The token in the file `token` of the node's data folder.",
                }
            },
        },
    }


class _Schemas:
    """The schema of every type that a route mentions; structs are components, referred to by name."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._kinds: list[Any] = [ErrorBody]
        self._index: dict[int, int] = {id(ErrorBody): 0}
        for endpoint in endpoints:
            binding = endpoint.binding
            for kind in (binding.request_type, binding.answer_type if is_answer_struct(binding.answer_type) else None):
                self._add(kind)
            for fields in binding.fields():
                for field in fields:
                    self._add(field.type)
        self._schemas, self.components = msgspec.json.schema_components(self._kinds, ref_template=_REF)

    def _add(self, kind: Any) -> None:
        if kind is not None and id(kind) not in self._index:
            self._index[id(kind)] = len(self._kinds)
            self._kinds.append(kind)

    def of(self, kind: Any) -> Json:
        return self._schemas[self._index[id(kind)]]

    def expanded(self, kind: Any) -> Json:
        """The schema itself where `of` gives a reference to it."""
        schema = self.of(kind)
        name = schema.get("$ref", "").rpartition("/")[2]
        expanded: Json = self.components[name] if name else schema
        return expanded


def _operation(endpoint: Endpoint, schemas: _Schemas, always_token: bool) -> Json:
    route, binding = endpoint.route, endpoint.binding
    described = (route.handler.__doc__ or "").strip()
    operation: Json = {"operationId": _operation_id(route), "responses": _responses(endpoint, schemas)}
    if route.summary or described:
        operation["summary"] = route.summary or described.splitlines()[0]
    if described:
        operation["description"] = described
    if route.tags:
        operation["tags"] = list(route.tags)
    if route.token or always_token:
        operation["security"] = [{"token": []}]
    parameters = _parameters(binding, schemas)
    if parameters:
        operation["parameters"] = parameters
    if binding.has_body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _body_schema(binding, schemas)}},
        }
    elif binding.streams:
        operation["requestBody"] = {"required": True, "content": {"*/*": {}}}
    return operation


def _parameters(binding: Binding, schemas: _Schemas) -> list[Json]:
    in_path, others = binding.fields()
    described = schemas.expanded(binding.request_type).get("properties", {}) if binding.request_type else {}
    typed = {field.name: field for field in in_path}
    parameters: list[Json] = []
    for name in binding.path_names:
        schema = schemas.of(typed[name].type) if name in typed else {"type": "string"}
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    if not binding.has_body:
        for field in others:
            schema = described.get(field.wire_name) or schemas.of(field.type)
            parameters.append({"name": field.wire_name, "in": "query", "required": field.required, "schema": schema})
    return parameters


def _body_schema(binding: Binding, schemas: _Schemas) -> Json:
    """The request's schema without the fields that come from the path."""
    in_path = {field.wire_name for field in binding.fields()[0]}
    if not in_path:
        return schemas.of(binding.request_type)
    schema = dict(schemas.expanded(binding.request_type))
    schema["properties"] = {name: part for name, part in schema["properties"].items() if name not in in_path}
    schema["required"] = [name for name in schema.get("required", ()) if name not in in_path]
    return schema


def _responses(endpoint: Endpoint, schemas: _Schemas) -> Json:
    route, kind = endpoint.route, endpoint.binding.answer_type
    error = {"description": "Refused or failed", "content": {"application/json": {"schema": schemas.of(ErrorBody)}}}
    if route.websocket:
        return {"101": {"description": "A WebSocket"}, "default": error}
    if kind is type(None):
        return {"204": {"description": REASONS[204]}, "default": error}
    answer: Json = {"description": REASONS[route.status]}
    if is_answer_struct(kind):
        answer["content"] = {"application/json": {"schema": schemas.of(kind)}}
    return {str(route.status): answer, "default": error}


def _operation_id(route: Route) -> str:
    words = re.findall(r"[A-Za-z0-9]+", route.path)
    return "_".join(["websocket" if route.websocket else route.method.lower(), *words])


def _version() -> str:
    try:
        return version("troupe")
    except PackageNotFoundError:
        return "0"
