"""A worker on its own: what it does when its node is gone, and who is let in at the node's door."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio

from runtime import ChildSpec, NodeSettings, open_node
from runtime.cluster import wire
from runtime.cluster.codec import path_of
from runtime.cluster.host import LOST
from runtime.cluster.settings import ClusterSettings, WorkerSettings
from tests.runtime.cluster.cast import Counter, Stubborn, Total, Wait

SETTINGS = WorkerSettings(
    host="1-1", token="secret", address="", node="test", node_name="test", worker="1-1", epoch=1, data_dir="data",
    threads=4, heartbeat_s=0.1, lost_s=0.5, debug=False, main="tests",
)  # fmt: skip
LIMIT_S = 20.0


class Node:
    """The node's end of a worker's link, by hand."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._waiting: list[wire.Record] = []

    def say(self, *records: wire.Record) -> None:
        self.connection.sendall(wire.frame(records))

    def hear(self, kind: type[wire.Record]) -> wire.Record:
        """The next record of a kind; others are passed over."""
        while True:
            while self._waiting:
                record = self._waiting.pop(0)
                if isinstance(record, kind):
                    return record
            length = int.from_bytes(self._exactly(4), "big")
            self._waiting = wire.records(self._exactly(length))

    def _exactly(self, length: int) -> bytes:
        found = b""
        while len(found) < length:
            chunk = self.connection.recv(length - len(found))
            if not chunk:
                raise EOFError
            found += chunk
        return found


@pytest.fixture
def worker() -> Iterator[tuple[Node, subprocess.Popen[str]]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(LIMIT_S)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.cluster.host"],
        stdin=theirs, stderr=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip
    theirs.close()
    first = msgspec.msgpack.encode(SETTINGS)
    ours.sendall(len(first).to_bytes(4, "big") + first)
    yield Node(ours), process
    ours.close()
    process.kill()
    process.communicate()


def start(path: str, kind: type) -> wire.Start:
    spec = ChildSpec(path.strip("/"), f"{kind.__module__}:{kind.__qualname__}")
    return wire.Start(path, msgspec.Raw(msgspec.msgpack.encode(spec)), 1, 0)


def ask(path: str, request: object) -> wire.Ask:
    items = msgspec.Raw(msgspec.msgpack.encode([request]))
    return wire.Ask(1, path, path_of(type(request)), items, 100.0, None, False, False)


def test_a_worker_says_who_it_is_and_ends_in_order_when_it_is_let_go(
    worker: tuple[Node, subprocess.Popen[str]],
) -> None:
    node, process = worker
    hello = node.hear(wire.Hello)
    assert isinstance(hello, wire.Hello)
    assert (hello.version, hello.host, hello.token, hello.pid) == (wire.VERSION, "1-1", "secret", process.pid)
    node.say(wire.Welcome(), start("/counter", Counter))
    assert node.hear(wire.StateIs) == wire.StateIs("/counter", "up")
    node.say(ask("/counter", Total()))
    # The node is told of the begin before the answer can be there.
    assert node.hear(wire.Begun) == wire.Begun("/counter", 1)
    assert node.hear(wire.Answer) == wire.Answer(1, msgspec.Raw(b"\x00"))
    node.say(wire.Bye())
    assert process.wait(LIMIT_S) == 0


def test_a_worker_without_its_node_ends_though_an_actor_does_not(worker: tuple[Node, subprocess.Popen[str]]) -> None:
    node, process = worker
    node.say(wire.Welcome(), start("/stubborn", Stubborn))
    node.hear(wire.StateIs)
    node.say(ask("/stubborn", Wait(1000.0)))
    node.hear(wire.Begun)
    node.connection.close()
    assert process.wait(LIMIT_S) == LOST


def test_a_worker_that_hears_nothing_of_its_node_ends(worker: tuple[Node, subprocess.Popen[str]]) -> None:
    node, process = worker
    node.say(wire.Welcome(), start("/counter", Counter))
    node.hear(wire.StateIs)
    assert process.wait(LIMIT_S) == LOST
    assert process.stderr is not None
    assert "nothing was heard for" in process.stderr.read()


def test_a_worker_that_is_refused_ends(worker: tuple[Node, subprocess.Popen[str]]) -> None:
    node, process = worker
    node.say(wire.Unwelcome("worker 1-1 is not awaited here"))
    assert process.wait(LIMIT_S) == LOST
    assert process.stderr is not None
    assert "the node refused it: worker 1-1 is not awaited here" in process.stderr.read()


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (wire.Hello(wire.VERSION, "9-9", "secret", 1), "worker 9-9 is not awaited here"),
        (wire.Hello(wire.VERSION + 1, "9-9", "secret", 1), "it speaks version"),
        (wire.Heartbeat(), "expected a hello, got Heartbeat"),
    ],
)
async def test_who_is_not_awaited_is_not_let_in(tmp_path: Path, first: wire.Record, reason: str) -> None:
    with trio.fail_after(LIMIT_S):
        async with open_node(NodeSettings(data_dir=str(tmp_path)), cluster=ClusterSettings(address="h:1")) as node:
            gateway = node.hosts.gateway
            await gateway._listen()
            host, _, port = gateway._address().rpartition(":")
            assert host == "127.0.0.1"
            async with await trio.open_tcp_stream(host, int(port)) as stream:
                await stream.send_all(wire.frame([first]))
                answer = b""
                async for chunk in stream:
                    answer += chunk
            (refused,) = wire.records(answer[4:])
            assert refused.reason.startswith(reason)


async def test_a_worker_with_another_token_is_not_let_in() -> None:
    async with open_node() as node:
        hosts = node.hosts
        from runtime.cluster.hosts import Host

        host = Host(hosts, "1-1", "ray", "")
        hello = wire.Hello(wire.VERSION, "1-1", host.token, 1)
        assert hosts.refusal(host, hello) == ""
        assert "token" in hosts.refusal(host, msgspec.structs.replace(hello, token="guessed"))
        host.over.set()
        assert "given up" in hosts.refusal(host, hello), "an older worker that comes back is fenced"
