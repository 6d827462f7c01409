"""`troupe kill|stop|start|restart|pause|resume PATH` and `troupe resize PATH N`: one actor of a running node."""

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
    "resize": "resized",
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
    content = {"replicas": arguments.replicas} if arguments.verb == "resize" else {}
    with NodeApi(find_node(arguments), arguments.timeout) as node, with_near_paths(node, path):
        answer = node.post(f"/api/v1/actors/{quoted(path)}/{arguments.verb}", content)
    data = answer if isinstance(answer, dict) else {}
    to = f" to {arguments.replicas}" if arguments.verb == "resize" else ""
    return Report(f"{DONE[arguments.verb]} {path}{to}", {"path": path, "done": DONE[arguments.verb], **data})
