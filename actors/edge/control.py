"""The tree over HTTP: look at it, control an actor, watch what happens.

GET  /api/v1/actors                  the whole tree
GET  /api/v1/actors/{path}           one branch, with the last events of its own path
POST /api/v1/actors/{path}/{verb}    stop | start | restart | pause | resume | kill | resize
GET  /api/v1/topics                  who subscribed to what
WS   /api/v1/watch?path=… | topic=…  life events of a branch, or the messages of a topic
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
import trio

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import get, post, websocket
from actors.edge.websocket import SocketClosed, WebSocket
from protocols.control import ActorEvent, DeadLetter, Lagged, Message, Quarantined, Refused, Request
from runtime.administration import (
    KillChild,
    PauseChild,
    ResizeReplicas,
    RestartChild,
    ResumeChild,
    StartChild,
    TerminateChild,
)
from runtime.cell import Cell, State
from runtime.node import Node
from runtime.supervisor import SupervisorCell
from runtime.tree import ActorView

CONTROL_S = 15.0
"""How long a stop or a start may take before the answer is 504 (it goes on nevertheless)."""
WATCHED = 4096
"""Messages that a watcher may lag behind before it loses some, and is told."""


class TreeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many levels to show; all without it."""

    depth: int | None = None


class PathQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One path, without its leading slash."""

    path: str
    depth: int | None = None


class PathRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One path, without its leading slash."""

    path: str


class ResizeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One path, without its leading slash, and how many replicas are to run behind it."""

    path: str
    replicas: int


class ActorDetail(msgspec.Struct, frozen=True):
    """One branch, and the last events at its top, oldest first."""

    actor: ActorView
    events: tuple[ActorEvent, ...]


class Done(msgspec.Struct, frozen=True):
    """The actor as it is after the command; None if nothing is left of it."""

    success: bool
    path: str
    actor: ActorView | None


class TopicRow(msgspec.Struct, frozen=True):
    """One subscription. `key` None: every key. `lost`: messages its subscriber was too slow for."""

    topic: str
    key: str | None
    subscriber: str
    lossless: bool
    lost: int


class TopicList(msgspec.Struct, frozen=True):
    """Every subscription of the node."""

    topics: tuple[TopicRow, ...]


class WatchQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to watch: a branch of the tree, or a topic by the name of its message type (`Quote`, `Quote:KXBTC`)."""

    path: str | None = None
    topic: str | None = None


class Watched(msgspec.Struct, frozen=True):
    """One thing that happened. `type` is `event` (life of an actor), `message` (of a topic) or `lagged`."""

    type: Literal["event", "message", "lagged"]
    topic: str
    key: str
    data: msgspec.Raw


def _cell(call: Call, path: str) -> Cell:
    cell = call.node.cells.get(f"/{path.strip('/')}")
    if cell is None:
        raise HttpError(404, "not_found", f"there is no actor at /{path.strip('/')}", "path")
    return cell


def _parent(cell: Cell) -> SupervisorCell:
    if cell.parent is None:
        raise HttpError(409, "invalid", "the root ends with the node: stop that", "path")
    return cell.parent


async def tree(request: TreeQuery, call: Call) -> ActorView:
    """Answer the whole tree."""
    found = call.node.tree("/", request.depth)
    assert found is not None
    return found


async def branch(request: PathQuery, call: Call) -> ActorDetail:
    """Answer one branch."""
    cell = _cell(call, request.path)
    found = call.node.tree(cell.path, request.depth)
    assert found is not None
    return ActorDetail(found, tuple(event for event in call.node.history if event.path == cell.path))


def _done(call: Call, path: str) -> Done:
    return Done(True, path, call.node.tree(path, 0))


async def _command(call: Call, path: str, kind: Callable[[str], Request[Any]]) -> Done:
    """Ask the supervisor of the actor at `path` for one of the things that are done to a child."""
    cell = _cell(call, path)
    await _parent(cell).ref.ask(kind(cell.name), CONTROL_S)
    return _done(call, cell.path)


async def stop(request: PathRequest, call: Call) -> Done:
    """Stop an actor for good; a static child keeps its spec and can be started again."""
    return await _command(call, request.path, TerminateChild)


async def start(request: PathRequest, call: Call) -> Done:
    """Start an actor that is stopped."""
    return await _command(call, request.path, RestartChild)


async def restart(request: PathRequest, call: Call) -> Done:
    """Stop an actor in order and start it again; not counted as a restart by its supervisor."""
    cell = _cell(call, request.path)
    parent = _parent(cell)
    if cell.state is not State.STOPPED:
        await parent.ref.ask(TerminateChild(cell.name), CONTROL_S)
    again = StartChild(cell.spec) if cell.gone else RestartChild(cell.name)
    await parent.ref.ask(again, CONTROL_S)
    return _done(call, cell.path)


async def pause(request: PathRequest, call: Call) -> Done:
    """Suspend the data lane of an actor; its mailbox fills by its policy."""
    return await _command(call, request.path, PauseChild)


async def resume(request: PathRequest, call: Call) -> Done:
    """Let a paused actor go on."""
    return await _command(call, request.path, ResumeChild)


async def kill(request: PathRequest, call: Call) -> Done:
    """End an actor without asking it, as a fault would; its supervisor then does what the spec says."""
    return await _command(call, request.path, KillChild)


async def resize(request: ResizeRequest, call: Call) -> Done:
    """Let a replicated actor have another number of replicas; answered when they are up, or have ended in order."""
    cell = _cell(call, request.path)
    found = call.node.tree(cell.path, 0)
    if found is None or found.replicas is None:
        raise HttpError(409, "not_replicated", f"{cell.path} has no replicas: its child spec would say so", "path")
    try:
        await cell.ref.ask(ResizeReplicas(request.replicas), CONTROL_S)
    except Refused as refused:
        field = "replicas" if refused.field == "count" else refused.field
        raise Refused(refused.code, refused.message, field) from None
    return _done(call, cell.path)


async def topics(call: Call) -> TopicList:
    """Answer every subscription."""
    return TopicList(tuple(TopicRow(*row) for row in call.node.topics.rows()))


def message_types(name: str, base: type[Message] = Message) -> Iterator[type[Message]]:
    """The message types of that name (class name, or tag on the wire) that this process knows."""
    for kind in base.__subclasses__():
        if name in (kind.__name__, kind.__struct_config__.tag):
            yield kind
        yield from message_types(name, kind)


async def watch(request: WatchQuery, socket: WebSocket, call: Call) -> None:
    """Send what happens until the client goes; a client that is too slow is told what it lost."""
    if (request.path is None) == (request.topic is None):
        raise HttpError(400, "invalid", "watch either a path or a topic", "path")
    if request.topic is not None:
        name, _, key = request.topic.partition(":")
        kinds = list(message_types(name))
        if not kinds:
            raise HttpError(404, "not_found", f"there is no message type {name!r}", "topic")
        await _follow(call.node, socket, [(kind, key or None) for kind in kinds], None)
        return
    path = f"/{(request.path or '').strip('/')}"
    _cell(call, path)
    life: list[tuple[type[Message], str | None]] = [(ActorEvent, None), (DeadLetter, None), (Quarantined, None)]
    await _follow(call.node, socket, life, path)


async def _follow(
    node: Node, socket: WebSocket, subscriptions: list[tuple[type[Message], str | None]], below: str | None
) -> None:
    encode = msgspec.json.Encoder(enc_hook=str).encode
    with node.open_tap(*subscriptions, path="/api/v1/watch", capacity=WATCHED) as tap:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_closed, socket, nursery.cancel_scope)
            while True:
                for message in await tap.receive():
                    if below is not None and not _concerns(message, below):
                        continue
                    await socket.send(encode(_watched(message, below is not None)).decode())


def _watched(message: Message, of_path: bool) -> Watched:
    data = msgspec.Raw(msgspec.json.encode(message, enc_hook=str))
    if isinstance(message, Lagged):
        return Watched("lagged", "*", "", data)
    return Watched("event" if of_path else "message", type(message).__name__, message.topic_key(), data)


def _concerns(message: Message, below: str) -> bool:
    path = message.topic_key()
    return isinstance(message, Lagged) or below == "/" or path == below or path.startswith(f"{below}/")


async def _until_closed(socket: WebSocket, scope: trio.CancelScope) -> None:
    try:
        while True:
            await socket.receive()
    except SocketClosed:
        scope.cancel()


TAGS = ("control",)
routes = [
    get("/api/v1/actors", tree, summary="The tree", tags=TAGS),
    get("/api/v1/actors/{path:path}", branch, summary="One branch of the tree", tags=TAGS),
    post("/api/v1/actors/{path:path}/stop", stop, summary="Stop an actor", tags=TAGS, stores=False),
    post("/api/v1/actors/{path:path}/start", start, summary="Start a stopped actor", tags=TAGS, stores=False),
    post("/api/v1/actors/{path:path}/restart", restart, summary="Stop and start an actor", tags=TAGS, stores=False),
    post("/api/v1/actors/{path:path}/pause", pause, summary="Suspend an actor", tags=TAGS, stores=False),
    post("/api/v1/actors/{path:path}/resume", resume, summary="Resume an actor", tags=TAGS, stores=False),
    post("/api/v1/actors/{path:path}/kill", kill, summary="Kill an actor", tags=TAGS, stores=False),
    post("/api/v1/actors/{path:path}/resize", resize, summary="Change the replicas", tags=TAGS, stores=False),
    get("/api/v1/topics", topics, summary="Every subscription", tags=TAGS),
    websocket("/api/v1/watch", watch, summary="Watch a branch or a topic", tags=TAGS),
]
