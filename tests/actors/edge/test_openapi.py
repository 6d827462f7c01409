from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import msgspec

from actors.edge import docs
from actors.edge.call import BodyStream, Call
from actors.edge.openapi import document
from actors.edge.responses import StreamingResponse
from actors.edge.routing import Route, delete, get, post, put, websocket
from actors.edge.websocket import WebSocket
from tests.actors.edge.harness import once, serving


class Level(msgspec.Struct):
    price: Decimal
    size: int


class Book(msgspec.Struct):
    market: str
    bids: tuple[Level, ...]


class BookQuery(msgspec.Struct):
    market: str
    depth: int = 10


class Change(msgspec.Struct):
    name: str
    levels: list[Level]
    dry_run: bool = msgspec.field(default=False, name="dryRun")


async def book(request: BookQuery, call: Call) -> Book:
    """Answer the book of one market.

    Best first.
    """
    raise NotImplementedError


async def change(request: Change, call: Call) -> Level: ...  # type: ignore[empty-body]


async def remove(call: Call) -> None: ...


async def upload(body: BodyStream, call: Call) -> StreamingResponse: ...  # type: ignore[empty-body]


async def stream(request: BookQuery, socket: WebSocket, call: Call) -> None: ...


ROUTES: list[Route] = [
    get("/markets/{market}/book", book, tags=("market",)),
    post("/things", change, summary="Change a thing", status=201),
    put("/things/{name}", change),
    delete("/tree/{path:path}/leaf", remove),
    post("/upload", upload),
    websocket("/stream", stream, token=True),
]


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        return {part["$ref"]} if "$ref" in part else set().union(*map(references, part.values()))
    return set().union(*map(references, part)) if isinstance(part, list) else set()


def test_the_document_says_what_the_types_say() -> None:
    made = document(ROUTES)
    assert made["openapi"] == "3.1.0"
    operation = made["paths"]["/markets/{market}/book"]["get"]
    assert operation["summary"] == "Answer the book of one market."
    assert operation["tags"] == ["market"]
    assert "security" not in operation
    assert operation["parameters"] == [
        {"name": "market", "in": "path", "required": True, "schema": {"type": "string"}},
        {"name": "depth", "in": "query", "required": False, "schema": {"type": "integer", "default": 10}},
    ]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/Book"}
    assert operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")


def test_a_change_has_a_body_a_status_and_asks_for_the_token() -> None:
    paths = document(ROUTES)["paths"]
    operation = paths["/things"]["post"]
    assert operation["summary"] == "Change a thing"
    assert operation["security"] == [{"token": []}]
    assert set(operation["responses"]) == {"201", "default"}
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Change"}
    assert set(paths["/tree/{path}/leaf"]["delete"]["responses"]) == {"204", "default"}
    assert paths["/upload"]["post"]["requestBody"]["content"] == {"*/*": {}}
    assert set(paths["/stream"]["get"]["responses"]) == {"101", "default"}


def test_what_comes_from_the_path_is_not_asked_for_in_the_body() -> None:
    operation = document(ROUTES)["paths"]["/things/{name}"]["put"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == {"levels", "dryRun"}
    assert schema["required"] == ["levels"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["name"]


def test_with_authentication_always_every_operation_asks_for_the_token() -> None:
    for place in document(ROUTES, always_token=True)["paths"].values():
        for operation in place.values():
            assert operation["security"] == [{"token": []}]


def test_every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() -> None:
    made = document([*ROUTES, *docs.routes])
    known = {f"#/components/schemas/{name}" for name in made["components"]["schemas"]}
    assert references(made) <= known
    names = [operation["operationId"] for place in made["paths"].values() for operation in place.values()]
    assert len(set(names)) == len(names)
    for path, place in made["paths"].items():
        for operation in place.values():
            in_path = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"}
            assert in_path == set(re.findall(r"\{(\w+)\}", path))


async def test_the_document_is_served() -> None:
    async with serving([*ROUTES, *docs.routes]) as served:
        answer = await once(served, "GET", "/openapi.json")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == document([*ROUTES, *docs.routes])
        assert (await once(served, "GET", "/openapi.json")).body == answer.body


async def test_the_page_needs_nothing_but_this_server_and_runs_nothing_inline() -> None:
    async with serving(docs.routes) as served:
        page = await once(served, "GET", "/docs")
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        text = page.body.decode()
        assert "http://" not in text
        assert "https://" not in text
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=", text)
        assets = re.findall(r'(?:src|href)="(/docs/[^"]+)"', text)
        assert len(assets) == 4
        for path in assets:
            asset = await once(served, "GET", path)
            assert asset.status == 200
            assert asset.headers["x-content-type-options"] == "nosniff"
            assert len(asset.body) > 100
        script = (await once(served, "GET", "/docs/start.js")).body
        assert b'url: "/openapi.json"' in script
        bundle = (await once(served, "GET", "/docs/swagger-ui-bundle.js")).body
        assert b"isOAS31" in bundle  # reads OpenAPI 3.1
        for other in ("nosuch.js", "..%2F__init__.py", "index.html"):
            assert (await once(served, "GET", f"/docs/{other}")).status == 404
