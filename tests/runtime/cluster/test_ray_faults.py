"""Actors on Ray while workers, raylets, nodes, the gateway and the head die under them, under load.

`bin/troupe test --long tests/runtime/cluster/test_ray_faults.py`
"""

from __future__ import annotations

import os
import signal
from collections import Counter as Tally
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from protocols.control import DeadLetter, Refused, Unknown
from runtime import ActorRef, Backoff, ChildSpec, Done, HostOptions, NodeSettings, open_node, supervisor
from runtime.cluster import local
from runtime.cluster.local_state import read_state
from runtime.cluster.settings import ClusterSettings
from runtime.node import Node
from runtime.spec import RestartLimit
from tests.runtime.cluster.cast import Counter, Job, Ledger, Pid, Total, Work
from tests.runtime.cluster.kit import gone, process_of

pytestmark = pytest.mark.long
LIMIT = 180.0
RATE = 2000
"""Messages a second, half of them asks."""
SPREAD = HostOptions(spread=True)


@asynccontextmanager
async def running(data_dir: Path, *children: ChildSpec, **options: Any) -> AsyncIterator[Node]:
    settings = ClusterSettings(address="local", **options)
    spec = supervisor("desk", *children, limit=RestartLimit(20, 60.0))
    with trio.fail_after(LIMIT):
        async with open_node(
            NodeSettings(name="test", data_dir=str(data_dir)),
            children=(ChildSpec("ledger", Ledger), spec),
            cluster=settings,
        ) as node:
            yield node


def on_ray(name: str, placement: Any = "ray", host: HostOptions = SPREAD) -> ChildSpec:
    backoff = Backoff(first_s=0.1, most_s=1.0)
    return ChildSpec(name, Counter, placement=placement, host=host, backoff=backoff)


async def up(node: Node, path: str, on: str | None = None) -> str:
    """Wait until an actor is up (on a node of the cluster); returns which node it is on."""
    while True:
        view = node.tree(path)
        if view is not None and view.state == "up" and on in (None, view.node):
            return view.node
        await trio.sleep(0.01)


class Load:
    """Asks and tells at a steady rate, and what became of them."""

    def __init__(self, node: Node, path: str) -> None:
        self.node = node
        self.ref: ActorRef = node.ref(path)
        self.outcomes: dict[int, Any] = {}
        self.told: dict[int, bool] = {}
        self.letters: list[DeadLetter] = []
        self.number = 0

    async def run(self, seconds: float) -> None:
        """Load it for so long, and wait for all outcomes."""
        with self.node.open_tap((DeadLetter, self.ref.path), capacity=100_000) as tap:
            async with trio.open_nursery() as nursery, trio.open_nursery() as asks:
                nursery.start_soon(self._collect, tap)
                began = trio.current_time()
                for turn in range(int(seconds * 100)):
                    for _ in range(RATE // 200):
                        asks.start_soon(self._ask, self._next())
                        number = self._next()
                        self.told[number] = self.ref.tell(Work(number))
                    await trio.sleep_until(began + turn / 100)
                asks.cancel_scope.deadline = trio.current_time() + 60
                while len(self.outcomes) < self.number // 2:  # noqa: ASYNC110 - counted
                    await trio.sleep(0.01)
                nursery.cancel_scope.cancel()

    def _next(self) -> int:
        self.number += 1
        return self.number

    async def _ask(self, number: int) -> None:
        self.outcomes[number] = await self.ref.outcome(Job(number), 20.0)

    async def _collect(self, tap: Any) -> None:
        while True:
            self.letters += await tap.receive()

    async def check(self) -> Tally[str]:
        """Nothing that ended Done was lost or handled twice, and every other end is told; returns the outcomes."""
        # Behind everything that the last life has told the ledger.
        await self.ref.ask(Total())
        await trio.testing.wait_all_tasks_blocked()
        cell = self.node.cells["/ledger"]
        handled = Tally(entry.number for entry in cell.actor.entries)  # type: ignore[union-attr]
        assert max(handled.values()) == 1, "something was handled twice"
        for number, outcome in self.outcomes.items():
            if isinstance(outcome, Done):
                assert outcome.value == number
                assert handled[number] == 1
            elif isinstance(outcome, Refused):
                assert handled[number] == 0, f"refused, and handled: {outcome}"
            else:
                assert isinstance(outcome, Unknown)
        lost = sum(accepted and not handled[number] for number, accepted in self.told.items())
        assert lost <= len([letter for letter in self.letters if letter.kind == "Work"])
        return Tally(type(outcome).__name__ for outcome in self.outcomes.values())


def processes_of(data_dir: Path, node: str) -> list[int]:
    state = read_state(data_dir)
    assert state is not None
    return [each.pid for one in state.nodes if one.name == node for each in one.processes]


async def spread_out(node: Node) -> str:
    """Wait for both actors; returns the path of the one on the second node."""
    places = {path: await up(node, path) for path in ("/desk/a", "/desk/b")}
    assert set(places.values()) == {"head", "worker-1"}
    return next(path for path, place in places.items() if place == "worker-1")


async def kill_worker(node: Node, data_dir: Path, path: str) -> None:
    os.kill(await node.ref(path).ask(Pid()), signal.SIGKILL)


async def kill_raylet(node: Node, data_dir: Path, path: str) -> None:
    os.kill(process_of(data_dir, "worker-1", "raylet").pid, signal.SIGKILL)


async def kill_node(node: Node, data_dir: Path, path: str) -> None:
    pid = await node.ref(path).ask(Pid())
    for each in [*processes_of(data_dir, "worker-1"), pid]:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


@pytest.mark.parametrize(
    ("kill", "then_on"), [(kill_worker, None), (kill_raylet, "head"), (kill_node, "head")], ids=lambda it: str(it)[:25]
)
async def test_service_resumes_by_itself_and_nothing_is_lost_or_doubled(
    own_cluster: Path, kill: Any, then_on: str | None
) -> None:
    async with running(own_cluster, on_ray("a"), on_ray("b")) as node:
        path = await spread_out(node)
        load = Load(node, path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run, 15.0)
            await trio.sleep(3.0)
            pid = await node.ref(path).ask(Pid())
            await kill(node, own_cluster, path)
            await gone(pid)
            await up(node, path, then_on)
        outcomes = await load.check()
        view = node.tree(path)
        assert view is not None
        assert view.restarts == 1
        assert view.incarnation == "1.2"
        assert str(view.restart_reason).startswith("HostLost: worker ")
        # The service resumed: far more was done after the kill than before it.
        assert outcomes["Done"] > 10_000
        print(kill.__name__, dict(outcomes), view.restart_reason)


async def test_the_loss_of_the_gateway_ends_its_actors_and_they_are_placed_again(own_cluster: Path) -> None:
    async with running(own_cluster, on_ray("a")) as node:
        await up(node, "/desk/a")
        pid = await node.ref("/desk/a").ask(Pid())
        gateway = node.hosts.gateway.pid
        os.kill(gateway, signal.SIGKILL)
        await gone(pid)
        while node.tree("/desk/a").incarnation == "1.1":  # type: ignore[union-attr]  # noqa: ASYNC110
            await trio.sleep(0.01)
        await up(node, "/desk/a")
        assert await node.ref("/desk/a").ask(Pid()) != pid
        assert node.tree("/desk/a").restarts == 0, "the loss of a cluster is nobody's fault"  # type: ignore[union-attr]


async def test_without_its_head_an_actor_waits_unplaced_or_falls_back_and_goes_on_when_there_is_one_again(
    own_cluster: Path,
) -> None:
    async with running(own_cluster, on_ray("waits"), on_ray("falls", ("ray", "process"))) as node:
        await up(node, "/desk/waits")
        await up(node, "/desk/falls")
        ref = node.ref("/desk/waits")
        await trio.to_thread.run_sync(local.down, own_cluster)
        while node.tree("/desk/waits").state != "unplaced":  # type: ignore[union-attr]  # noqa: ASYNC110
            await trio.sleep(0.01)
        view = node.tree("/desk/waits")
        assert view is not None
        assert str(view.restart_reason).startswith("ClusterLost: ")
        assert view.restarts == 0
        while node.tree("/desk/falls").placement != "process":  # type: ignore[union-attr]  # noqa: ASYNC110
            await trio.sleep(0.01)
        await up(node, "/desk/falls")
        # What is told meanwhile waits at the node.
        assert ref.tell(Work(1))
        await trio.to_thread.run_sync(local.up, own_cluster, local.ClusterSize(nodes=1), print)
        await up(node, "/desk/waits")
        await ref.ask(Total())
        entries = node.cells["/ledger"].actor.entries  # type: ignore[union-attr]
        assert [entry.number for entry in entries] == [1]


async def test_a_child_for_which_no_node_has_room_waits_until_one_has(own_cluster: Path) -> None:
    async with running(own_cluster, on_ray("a", host=HostOptions(resources={"gpu_of_mine": 1.0}))) as node:
        view = node.tree("/desk/a")
        assert view is not None
        assert view.state == "unplaced"
        assert "gpu_of_mine" in str(view.restart_reason)
