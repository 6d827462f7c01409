"""`troupe watch PATH|TOPIC`: what happens to an actor, or what is published on a topic, as it happens."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from typing import Any
from urllib.parse import urlencode

import trio
import trio_websocket

from actors.cli.nearby import with_near_paths
from actors.cli.node_api import Address, NodeApi, error_of, find_node, quoted
from actors.cli.parser import near_miss
from actors.cli.report import SCHEMA, CommandError, Exit, Issue, failure, paint, say

_GOING_AWAY = 1001
_COLOURS = {"crashed": "red", "killed": "red", "restarted": "yellow", "started": "green", "lagged": "yellow"}


def watch(arguments: argparse.Namespace) -> int:
    """Print a line per message until the node or the user ends it. Raises CommandError."""
    address = find_node(arguments)
    subject = arguments.subject
    of_path = subject.startswith("/")
    with NodeApi(address, arguments.timeout) as node:
        if of_path:
            with with_near_paths(node, subject):
                below = quoted(subject)
                node.get(f"/api/v1/actors/{below}" if below else "/api/v1/actors")
        else:
            _check_topic(node, subject)
    query = urlencode({"path": subject} if of_path else {"topic": subject})
    url = f"{address.url.replace('http', 'ws', 1)}/api/v1/watch?{query}"
    try:
        return trio.run(_follow, url, address, arguments)
    except BaseExceptionGroup as group:
        # trio-websocket wraps what happens inside its nursery; a command ends with one error.
        raise _only(group) from group


def _only(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _check_topic(node: NodeApi, topic: str) -> None:
    """A topic that nothing has published on yet may be right all the same: say so, and wait for it."""
    try:
        known = sorted(topic_names(node.get("/api/v1/topics")))
    except CommandError as error:
        if error.exit_status is not Exit.NOT_FOUND:
            raise
        return
    if known and topic not in known and topic.partition(":")[0] not in known:
        question = near_miss(topic, known)
        say(f"nothing is published on {topic} yet" + (f"; {question}" if question else f"; known: {', '.join(known)}"))


def topic_names(document: Any) -> set[str]:
    """The names in `GET /api/v1/topics`: a list, or an object with `topics`, of names or objects with `topic`."""
    entries = document.get("topics", ()) if isinstance(document, dict) else document
    names = set()
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get("topic") if isinstance(entry, dict) else entry
        if isinstance(name, str):
            names.add(name)
    return names


async def _follow(url: str, address: Address, arguments: argparse.Namespace) -> int:
    headers = [(b"authorization", f"Bearer {address.token}".encode())] if address.token else []
    try:
        async with contextlib.AsyncExitStack() as stack:
            with trio.fail_after(arguments.timeout):
                socket = await stack.enter_async_context(
                    trio_websocket.open_websocket_url(
                        url, extra_headers=headers, connect_timeout=arguments.timeout, disconnect_timeout=1.0
                    )
                )
            return await _print_all(socket, arguments)
    except trio_websocket.ConnectionRejected as rejected:
        raise error_of(rejected.status_code, rejected.body or b"", url) from rejected
    except (trio.TooSlowError, trio_websocket.ConnectionTimeout) as error:
        raise failure(Exit.TIMED_OUT, "timed_out", f"{url} did not answer in time") from error
    except (OSError, trio_websocket.HandshakeError) as error:
        raise failure(Exit.UNREACHABLE, "unreachable", f"{address.url} is not reachable: {error}") from error


async def _print_all(socket: trio_websocket.WebSocketConnection, arguments: argparse.Namespace) -> int:
    left = arguments.count
    try:
        while left is None or left > 0:
            print(shown(await socket.get_message(), as_json=arguments.json), flush=True)
            left = None if left is None else left - 1
    except trio_websocket.ConnectionClosed as closed:
        reason = closed.reason
        code = reason.code if reason is not None else None
        if code in (1000, _GOING_AWAY):
            say("the node has ended the stream" + (f": {reason.reason}" if reason and reason.reason else ""))
            return int(Exit.OK)
        text = f"the connection to the node broke ({code})"
        raise CommandError(Exit.UNREACHABLE, Issue("connection_lost", text)) from closed
    return int(Exit.OK)


def shown(payload: str | bytes, *, as_json: bool) -> str:
    """A message of the node as a line. With `--json` the node's own object, in the envelope's `data`."""
    text = payload if isinstance(payload, str) else payload.decode("utf-8", "replace")
    try:
        message = json.loads(text)
    except ValueError:
        message = text
    if as_json:
        document = {"schema": SCHEMA, "command": "watch", "outcome": "complete", "data": message, "issues": []}
        return json.dumps(document, ensure_ascii=False)
    if not isinstance(message, dict):
        return text
    return line_of(message)


def line_of(message: dict[str, Any]) -> str:
    """Time, kind, subject, and the rest as `key=value`; the node's time where it says one, else ours."""
    rest = dict(message)
    kind = str(rest.pop("event", None) or rest.pop("type", ""))
    rest.pop("type", None)
    stamp = next((rest.pop(name) for name in ("ts", "ts_event", "at") if isinstance(rest.get(name), int)), None)
    seconds, rest_ns = divmod(time.time_ns() if stamp is None else stamp, 1_000_000_000)
    clock = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest_ns // 1_000_000:03d}"
    subject = str(rest.pop("path", None) or rest.pop("topic", "") or "")
    pairs = " ".join(f"{name}={_plain(value)}" for name, value in rest.items() if value not in (None, ""))
    return "  ".join(
        part for part in (clock, paint(kind, _COLOURS.get(kind, "cyan"), sys.stdout), subject, pairs) if part
    )


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
