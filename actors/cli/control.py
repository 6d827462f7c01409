"""`troupe kill|stop|start|restart|pause|resume PATH`: one actor of a running node."""

from __future__ import annotations

import argparse

from actors.cli.nearby import with_near_paths
from actors.cli.node_api import NodeApi, find_node, quoted
from actors.cli.report import Exit, Report, failure

DONE = {
    "kill": "killed",
    "stop": "stopped",
    "start": "started",
    "restart": "restarted",
    "pause": "paused",
    "resume": "resumed",
}


def control(arguments: argparse.Namespace) -> Report:
    """Ask the node for it, with the token of its data folder. Raises CommandError."""
    path = "/" + arguments.path.strip("/")
    if path == "/":
        raise failure(
            Exit.USAGE,
            "usage",
            f"{arguments.verb} needs the path of one actor",
            field="path",
            hint="Ctrl-C or SIGTERM ends the whole node",
        )
    with NodeApi(find_node(arguments), arguments.timeout) as node, with_near_paths(node, path):
        answer = node.post(f"/api/v1/actors/{quoted(path)}/{arguments.verb}")
    data = answer if isinstance(answer, dict) else {}
    return Report(f"{DONE[arguments.verb]} {path}", {"path": path, "done": DONE[arguments.verb], **data})
