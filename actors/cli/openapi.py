"""`troupe openapi`: the HTTP interface as a document, from the routes themselves or from a running node."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

from actors.cli.node_api import NodeApi, find_node
from actors.cli.report import Exit, Report, failure


def openapi(arguments: argparse.Namespace) -> Report:
    """Print the document, or write it to `--output`. Raises CommandError."""
    document = _of_node(arguments) if arguments.url else _of_routes() or _of_node(arguments)
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if not arguments.output:
        return Report(text, document)
    try:
        Path(arguments.output).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise failure(Exit.FAILED, "not_written", f"{arguments.output}: {error.strerror}", field="output") from error
    return Report("", {"written": arguments.output})


def _of_routes() -> Any:
    """The document made from the routes of all capabilities, without a node; None if that is not offered."""
    made = getattr(importlib.import_module("actors.node"), "openapi", None)
    return None if made is None else made()


def _of_node(arguments: argparse.Namespace) -> Any:
    with NodeApi(find_node(arguments), arguments.timeout) as node:
        return node.get("/openapi.json")
