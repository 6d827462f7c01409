"""Landlock: what it denies with no other layer, and what it is known not to."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from actors.strategies.sandbox.landlock import Ruleset
from tests.actors.strategies.sandbox.kit import landlock_abi, only, tell, worker_of

ABI = landlock_abi()
needs = pytest.mark.skipif(ABI == 0, reason="this kernel has no Landlock")
needs_tcp = pytest.mark.skipif(ABI < 4, reason=f"Landlock of this kernel (ABI {ABI}) knows no TCP: 4 does")
needs_scopes = pytest.mark.skipif(ABI < 6, reason=f"Landlock of this kernel (ABI {ABI}) knows no signals: 6 does")


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (1, (0x1FFF,)),
        (2, (0x3FFF,)),
        (3, (0x7FFF,)),
        (4, (0x7FFF, 3)),
        (5, (0xFFFF, 3)),
        (6, (0xFFFF, 3, 3)),
        (9, (0xFFFF, 3, 3)),
    ],
)
def test_a_ruleset_handles_every_right_of_its_abi_and_no_other(version: int, words: tuple[int, ...]) -> None:
    assert Ruleset(version).attributes == struct.pack(f"<{len(words)}Q", *words)


@needs
async def test_alone_it_denies_files() -> None:
    async with worker_of(only("landlock")) as worker:
        for do, path in (("read_file", "/etc/passwd"), ("read_file", "/"), ("write_file", "/tmp/landlock-was-here")):
            assert (await tell(worker, do, path=path)).startswith("PermissionError: [Errno 13]"), path


@needs_tcp
async def test_alone_it_denies_tcp_and_lets_udp_through() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("127.0.0.1", 0))
        async with worker_of(only("landlock")) as worker:
            said = await tell(worker, "connect", port=listener.getsockname()[1])
            assert said.startswith("PermissionError: [Errno 13]"), said
            assert await tell(worker, "send_datagram", port=receiver.getsockname()[1]) == "None"


@needs_scopes
async def test_alone_it_denies_signals_to_the_node_and_to_the_zygote() -> None:
    async with worker_of(only("landlock")) as worker:
        for pid in (os.getpid(), 0):
            assert (await tell(worker, "send_signal", pid=pid)).startswith("PermissionError: [Errno 1]")
