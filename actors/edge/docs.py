"""`/openapi.json`, and `/docs`: Swagger UI from an installed package, so that it works without internet.

The page may load nothing but what this server serves, and runs no inline script.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.openapi import document_of
from actors.edge.responses import Response
from actors.edge.routing import Router, get

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Styles alone may be inline: Swagger UI sets them on its elements.

_HEADERS = (
    ("content-security-policy", _POLICY),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-cache"),
)

_PAGE = b"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Troupe: HTTP interface</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>The same as data: <a href="/openapi.json">/openapi.json</a></noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

_START = b"""window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout"
});
"""

_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".png": "image/png"}
_ASSETS = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"})


def _document(router: Router) -> bytes:
    return msgspec.json.encode(document_of(router.endpoints))


async def openapi(call: Call) -> Response:
    """Describe all routes as an OpenAPI 3.1 document."""
    return Response(body=call.router.once("openapi", _document), headers=(("cache-control", "no-cache"),))


async def page(call: Call) -> Response:
    """Show the routes in a browser, where they can be tried."""
    return Response(body=_PAGE, content_type="text/html; charset=utf-8", headers=_HEADERS)


async def asset(call: Call) -> Response:
    """Serve a part of the page."""
    name = call.path_params["name"]
    if name == "start.js":
        content = _START
    elif name in _ASSETS:
        content = _read(name)
    else:
        raise HttpError(404, "not_found", f"there is no {name[:100]} here")
    return Response(body=content, content_type=_TYPES[Path(name).suffix], headers=_HEADERS)


@cache
def _read(name: str) -> bytes:
    from openapi_ui_bundles.swagger_ui import static_path

    return bytes((static_path / name).read_bytes())


routes = [
    get("/openapi.json", openapi, summary="This interface as OpenAPI 3.1", tags=("docs",)),
    get("/docs", page, summary="This interface as a page", tags=("docs",)),
    get("/docs/{name}", asset, summary="A part of the page", tags=("docs",)),
]
