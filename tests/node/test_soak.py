"""Ten minutes at a high rate while everything is killed all the time."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import httpx
import pytest
import trio

from protocols.paths import EDGE, HUB, QUERIES, STORAGE_POSTGRES, STORAGE_WRITER, STREAM, VENUE
from tests.node.kit import DEFAULT, RUNNER, NodeProcess, assert_stored, assert_unbroken, until, with_pid
from tests.node.subscriber import Subscriber, subscriber_in

pytestmark = pytest.mark.long

SOAK_S = float(os.environ.get("TROUPE_SOAK_S", "600"))
WARM_UP = 25_000
"""Signals after which all that the hub remembers is full."""
ACTORS = [
    "/market/demo/session",
    "/market/demo/books/SIM-ALPHA",
    "/market/demo/books/SIM-BETA",
    VENUE,
    RUNNER,
    HUB,
    STREAM,
    QUERIES,
    STORAGE_WRITER,
    STORAGE_POSTGRES,
    EDGE,
    "/roster",
    "/monitor",
]


def resident_bytes(pid: int) -> int:
    """What a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Follower:
    """A subscriber that connects again whenever it has to, and goes on behind what it has."""

    def __init__(self) -> None:
        self.signals: list[tuple[int, str]] = []
        self.connections = 0
        self.lagged = 0
        self._changed = trio.Event()

    async def follow(self, node: NodeProcess) -> None:
        while True:
            resume_from = self.signals[-1][0] + 1 if self.signals else 1
            try:
                async with trio.open_nursery() as nursery:
                    subscriber = await subscriber_in(nursery, node.port, resume_from=resume_from)
                    await self._take(subscriber)
                    nursery.cancel_scope.cancel()
            except* (OSError, IndexError, trio.BrokenResourceError, trio.TooSlowError):
                pass
            await trio.sleep(0.05)

    async def _take(self, subscriber: Subscriber) -> None:
        self.connections += 1
        taken = 0
        while not subscriber.closed or taken < len(subscriber.signals):
            self.signals += subscriber.signals[taken:]
            taken = len(subscriber.signals)
            self.lagged += len(subscriber.said("lagged"))
            assert not subscriber.said("lagged"), subscriber.said("lagged")
            self._changed.set()
            self._changed = trio.Event()
            if subscriber.said("error"):
                await subscriber.end()
                return
            with trio.move_on_after(0.1):
                await subscriber.until(lambda taken=taken: len(subscriber.signals) > taken or subscriber.closed)

    async def more(self, count: int) -> None:
        wanted = len(self.signals) + count
        with trio.fail_after(60.0):
            while len(self.signals) < wanted:
                await self._changed.wait()


async def fault(node: NodeProcess, chance: random.Random) -> str:
    """Kill something, or let it stand still for a while."""
    kind = chance.choice(
        ["actor"] * 6 + ["writer", "postmaster", "backend", "pause database", "pause writer", "pause node"]
    )
    if kind == "actor":
        path = chance.choice(ACTORS)
        try:
            await node.client.post(f"/api/v1/actors{path}/kill", json={})
        except httpx.TransportError:
            node.refreshed()
        return path
    try:
        if kind == "writer":
            with_pid(node.writer_pid(), signal.SIGKILL)
        elif kind == "postmaster":
            with_pid(node.postmaster_pid(), signal.SIGKILL)
        elif kind == "backend":
            with_pid(chance.choice(node.postgres_pids()), signal.SIGKILL)
        else:
            pids = {"pause database": node.postgres_pids, "pause writer": lambda: [node.writer_pid()]}.get(
                kind, lambda: [node.process.pid]
            )()
            for pid in pids:
                with_pid(pid, signal.SIGSTOP)
            await trio.sleep(chance.uniform(0.1, 3.0))
            for pid in pids:
                with_pid(pid, signal.SIGCONT)
    except (ValueError, OSError, IndexError):
        return f"{kind}: not there"
    return kind


async def test_nothing_is_lost_and_nothing_grows_while_everything_is_killed(
    prepared: Path, chance: random.Random
) -> None:
    configuration = DEFAULT.replace("rate = 100.0", "rate = 500.0").replace("restart_count = 12", "restart_count = 100")
    configuration = (
        configuration.replace("restart_s = 120.0", "restart_s = 1000000.0") + "parameters = { signals = 2 }\n"
    )
    with NodeProcess(prepared, configuration) as node:
        await node.ready()
        follower = Follower()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(follower.follow, node)
            began = trio.current_time()
            sizes: list[int] = []
            faults = 0
            while trio.current_time() < began + 0.7 * SOAK_S:
                await follower.more(chance.randint(1, 1_500))
                assert node.process.poll() is None, node.log[-3000:]
                what = await fault(node, chance)
                faults += 1
                print(f"{trio.current_time() - began:7.1f} s  {len(follower.signals)} signals  {what}", flush=True)
                if len(follower.signals) > WARM_UP:
                    sizes.append(resident_bytes(node.process.pid))
            if sizes:
                assert max(sizes[-10:]) < 1.3 * max(sizes[:10]) + 20e6, sizes
            while trio.current_time() < began + SOAK_S:
                await follower.more(chance.randint(1, 1_500))
                if chance.random() < 0.5:
                    await fault(node, chance)
                else:
                    node.kill()
                    await node.start().ready()
                    print(f"{trio.current_time() - began:7.1f} s  {len(follower.signals)} signals  node", flush=True)
            nursery.cancel_scope.cancel()
        await until(node.is_ready, "readiness", 60.0)
        last = await node.still()
        stored = await node.stored_up_to(last)
        assert_unbroken([seq for seq, _ in follower.signals])
        assert follower.signals[0][0] == 1
        assert_stored(stored, follower.signals)
        assert await node.query("SELECT count(*) FROM rejected_rows") == [(0,)]
        print(f"{faults} faults, {follower.connections} connections, {len(stored)} signals, {sizes[:1]} {sizes[-1:]}")
        assert await node.stop() == 0
        assert node.survivors() == []
