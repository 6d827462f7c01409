"""`troupe tree [PATH]`: the supervisor tree of a running node, once or kept up to date."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import msgspec

from actors.cli.nearby import with_near_paths
from actors.cli.node_api import NodeApi, find_node, quoted
from actors.cli.report import CommandError, Exit, Report, envelope, failure, paint
from actors.cli.tree_table import decode, render


def tree(arguments: argparse.Namespace) -> Report | int:
    """Show the tree; with `--watch` until Ctrl-C. Raises CommandError."""
    with NodeApi(find_node(arguments), arguments.timeout) as node:
        if arguments.watch:
            return watch(node, arguments)
        document = look(node, arguments.path)
    return Report(draw(document, arguments), document)


def look(node: NodeApi, path: str) -> Any:
    """The branch at a path as the node tells it. Raises CommandError; an unknown path names its neighbours."""
    below = quoted(path)
    if not below:
        return node.get("/api/v1/actors")
    with with_near_paths(node, path):
        return node.get(f"/api/v1/actors/{below}")["actor"]


def draw(document: Any, arguments: argparse.Namespace) -> str:
    """The branch as a table."""
    try:
        root = decode(document)
    except msgspec.ValidationError as error:
        hint = "the node and this command may be of different versions: troupe doctor"
        raise failure(Exit.FAILED, "not_a_tree", f"the node's tree is not as expected: {error}", hint=hint) from error
    return render(root, time.time_ns(), depth=arguments.depth, limit=arguments.limit)


def watch(node: NodeApi, arguments: argparse.Namespace) -> int:
    """Look again and again. A node that does not answer leaves the last table, marked with its age."""
    document = look(node, arguments.path)
    if arguments.json or not sys.stdout.isatty():
        while True:
            print(envelope("tree", "complete", document, ()) if arguments.json else draw(document, arguments))
            sys.stdout.flush()
            time.sleep(arguments.every)
            document = look(node, arguments.path)
    return _watch_terminal(node, arguments, document)


def _watch_terminal(node: NodeApi, arguments: argparse.Namespace, document: Any) -> int:
    from rich.live import Live
    from rich.text import Text

    seen = time.monotonic()
    stale: CommandError | None = None
    with Live(screen=True, auto_refresh=False) as live:
        while True:
            if stale is None:
                state = paint("live", "green")
            else:
                state = paint(f"stale {time.monotonic() - seen:.0f} s: {stale}", "red")
            title = f"{node.address.url}  {time.strftime('%H:%M:%S')}  {state}"
            body = draw(document, arguments)
            text = Text.from_ansi(f"{title}\n\n{body}", no_wrap=True, overflow="ellipsis")
            live.update(text, refresh=True)
            time.sleep(arguments.every)
            try:
                document = look(node, arguments.path)
                seen, stale = time.monotonic(), None
            except CommandError as error:
                stale = error
