"""`troupe watch PATH|TOPIC`: what happens to an actor, or what is published on a topic, as it happens."""

from __future__ import annotations

import argparse
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
from actors.cli.report import SCHEMA, CommandError, Exit, failure, paint, say

# RFC 6455 section 7.4.1
_NORMAL, _GOING_AWAY, _POLICY = 1000, 1001, 1008
_COLOURS = {
    "started": "green",
    "restarting": "yellow",
    "ended": "yellow",
    "start_failed": "red",
    "dead_letter": "red",
    "quarantined": "red",
    "lagged": "yellow",
}


def watch(arguments: argparse.Namespace) -> int:
    """Print a line per message until the node or the user ends it. Raises CommandError."""
    address = find_node(arguments)
    subject = arguments.subject
    of_path = subject.startswith("/")
    known: set[str] = set()
    with NodeApi(address, arguments.timeout) as node:
        below = quoted(subject)
        if of_path and below:
            with with_near_paths(node, subject):
                node.get(f"/api/v1/actors/{below}?depth=0")
        elif not of_path:
            known = topic_names(node.get("/api/v1/topics"))
    query = urlencode({"path": subject} if of_path else {"topic": subject})
    url = f"{address.url.replace('http', 'ws', 1)}/api/v1/watch?{query}"
    try:
        return trio.run(_follow, url, address, arguments, known)
    except BaseExceptionGroup as group:
        # trio-websocket wraps what happens inside its nursery; a command ends with one error.
        raise _only(group) from group


def _only(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def topic_names(document: Any) -> set[str]:
    """The topics that somebody has subscribed to, by `GET /api/v1/topics`."""
    return {str(entry["topic"]) for entry in document["topics"]}


async def _follow(url: str, address: Address, arguments: argparse.Namespace, known: set[str]) -> int:
    headers = [(b"authorization", f"Bearer {address.token}".encode())] if address.token else []
    try:
        async with trio_websocket.open_websocket_url(
            url, extra_headers=headers, connect_timeout=arguments.timeout, disconnect_timeout=1.0
        ) as socket:
            return await _print_all(socket, arguments, known)
    except trio_websocket.ConnectionRejected as rejected:
        raise error_of(rejected.status_code, rejected.body or b"", url) from rejected
    except trio_websocket.ConnectionTimeout as error:
        raise failure(Exit.TIMED_OUT, "timed_out", f"{url} did not answer in time") from error
    except (OSError, trio_websocket.HandshakeError) as error:
        raise failure(Exit.UNREACHABLE, "unreachable", f"{address.url} is not reachable: {error}") from error


async def _print_all(socket: trio_websocket.WebSocketConnection, arguments: argparse.Namespace, known: set[str]) -> int:
    left = arguments.count
    try:
        while left is None or left > 0:
            print(shown(await socket.get_message(), as_json=arguments.json), flush=True)
            left = None if left is None else left - 1
    except trio_websocket.ConnectionClosed as closed:
        code, text = (closed.reason.code, closed.reason.reason or "") if closed.reason else (1006, "")
        if code in (_NORMAL, _GOING_AWAY):
            say("the node has ended the stream" + (f": {text}" if text else ""))
            return int(Exit.OK)
        raise ended(code, text, arguments.subject, known) from closed
    return int(Exit.OK)


def ended(code: int, text: str, subject: str, known: set[str]) -> CommandError:
    """The error for a stream that the node ended with a close code and a reason (`code: message`), or that broke."""
    if code != _POLICY:
        message = f"the stream broke ({code}{': ' + text if text else ''})"
        return failure(Exit.UNREACHABLE, "connection_lost", message)
    name, _, message = text.partition(": ")
    if name != "not_found":
        return failure(Exit.REFUSED, name, message or text)
    hint = near_miss(subject.partition(":")[0], known) or f"subscribed to now: {', '.join(sorted(known)) or 'nothing'}"
    return failure(Exit.NOT_FOUND, name, message, hint=hint)


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
    data = message.get("data")
    rest: dict[str, Any] = dict(data) if isinstance(data, dict) else {"data": data}
    tag = rest.pop("type", None)
    kind = str(
        rest.pop("event", None) or (tag if message.get("type") == "event" else message.get("topic")) or tag or ""
    )
    subject = str(rest.pop("path", None) or message.get("key") or "")
    stamp = next((rest.pop(name) for name in ("ts", "ts_event") if isinstance(rest.get(name), int)), None)
    seconds, part = divmod(time.time_ns() if stamp is None else stamp, 1_000_000_000)
    clock = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{part // 1_000_000:03d}"
    pairs = " ".join(f"{name}={_plain(value)}" for name, value in rest.items() if value not in (None, "", 0.0))
    shown_kind = paint(kind, _COLOURS.get(kind, "cyan"), sys.stdout)
    return "  ".join(piece for piece in (clock, shown_kind, subject, pairs) if piece)


def _plain(value: Any) -> str:
    if isinstance(value, dict) and set(value) == {"epoch", "count"}:
        return f"{value['epoch']}.{value['count']}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
