"""The gateway against a real Ray cluster: what it places, how workers end, and what is left when something dies."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
import trio

from runtime.cluster.gateway_messages import (
    LOST_STATUS,
    Connected,
    Describe,
    Ended,
    GatewaySettings,
    Kill,
    Lost,
    Nodes,
    NotPlaced,
    Placed,
)
from tests.runtime.cluster.conftest import gateway_settings
from tests.runtime.cluster.kit import GatewayProcess, Gateways, gone, place, process_of


async def connected(gateways: Gateways, data_dir: Path, **times: float) -> GatewayProcess:
    gateway = await gateways.start(gateway_settings(data_dir, **times))
    await gateway.next(Connected)
    return gateway


async def test_a_worker_is_placed_gets_its_settings_and_its_end_is_told(
    cluster: Path, gateways: Gateways, tmp_path: Path
) -> None:
    gateway = await gateways.start(gateway_settings(cluster))
    told = await gateway.next(Connected)
    assert sorted(node.name for node in told.nodes if node.alive) == ["head", "worker-1"]
    await gateway.send(place("quick", "writes", str(tmp_path / "pid").encode()))
    placed = await gateway.next(Placed)
    assert (placed.host, placed.node_address) == ("quick", "127.0.0.1")
    assert placed.node_id in {node.id for node in told.nodes}
    assert await gateway.next(Ended) == Ended(host="quick", reason="its host ended")
    assert (tmp_path / "pid").read_text() == str(placed.pid)
    await gone(placed.pid)


async def test_where_nobody_listens_the_gateway_says_so_and_ends(gateways: Gateways) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        gateway = await gateways.start(GatewaySettings(address=f"127.0.0.1:{port}", token="t"))
        lost = await gateway.next(Lost)
    assert lost.reason == f"the cluster's head at 127.0.0.1:{port} cannot be reached: Connection refused"
    assert await gateway.child.wait() == LOST_STATUS


async def test_a_gateway_without_a_node_ends(gateways: Gateways) -> None:
    gateway = await gateways.start(GatewaySettings(address="127.0.0.1:1"))
    await gateway.stream.aclose()
    assert await gateway.child.wait() in (0, LOST_STATUS)


@pytest.mark.long
class TestEndsOfWorkers:
    async def test_kill_9(self, cluster: Path, gateways: Gateways) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(place("one"), place("other"))
        placed = await gateway.next(Placed, "one")
        await gateway.next(Placed, "other")
        os.kill(placed.pid, signal.SIGKILL)
        assert await gateway.next(Ended) == Ended(host="one", reason="its process was killed by a signal, or crashed")
        await gateway.send(place("one"))
        assert (await gateway.next(Placed, "one")).pid != placed.pid

    async def test_an_exception_in_the_host_is_the_reason_and_the_process_really_ends(
        self, cluster: Path, gateways: Gateways
    ) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(place("one", "fails", b"wrong"))
        placed = await gateway.next(Placed)
        assert (await gateway.next(Ended)).reason == "its host failed: ValueError: settings are wrong"
        await gone(placed.pid)

    async def test_on_request(self, cluster: Path, gateways: Gateways) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(Kill(host="unknown"), place("one"))
        placed = await gateway.next(Placed)
        await gateway.send(Kill(host="one"))
        assert (await gateway.next(Ended)).reason == "killed on request"
        await gone(placed.pid)

    async def test_of_its_node(self, own_cluster: Path, gateways: Gateways) -> None:
        gateway = await connected(gateways, own_cluster)
        await gateway.send(place("there", node="worker-1"), place("here", node="head"))
        there = await gateway.next(Placed, "there")
        await gateway.next(Placed, "here")
        os.kill(process_of(own_cluster, "worker-1", "raylet").pid, signal.SIGKILL)
        ended = await gateway.next(Ended)
        assert ended.host == "there"
        assert ended.reason.startswith("its node ")
        assert " died: " in ended.reason
        nodes = await gateway.next(Nodes)
        assert {node.name: node.alive for node in nodes.nodes} == {"head": True, "worker-1": False}
        await gone(there.pid)
        await gateway.send(place("there", node="worker-1"))
        assert (await gateway.next(NotPlaced)).reason == ("there is no node 'worker-1' in the cluster; there are: head")


@pytest.mark.long
class TestWhatIsNotPlaced:
    async def test_an_entry_that_fails(self, cluster: Path, gateways: Gateways) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(place("one", "cannot_start"))
        assert await gateway.next(NotPlaced) == NotPlaced(
            host="one", reason="it failed to start: RuntimeError: there is no such thing", failed=True
        )

    async def test_an_entry_that_is_not_there(self, cluster: Path, gateways: Gateways) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(place("one", "nowhere"))
        assert "AttributeError" in (await gateway.next(NotPlaced)).reason

    async def test_an_entry_that_dies(self, cluster: Path, gateways: Gateways) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(place("one", "dies"))
        assert (await gateway.next(NotPlaced)).reason == "its process was killed by a signal, or crashed"

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"cpus": 64.0}, "no node offers 64 cpus (the most that a node has: 2 CPU)"),
            ({"resources": {"gold": 1.0}}, "no node offers 1 gold (the most that a node has: 0 gold)"),
            ({"node": "mars"}, "there is no node 'mars' in the cluster; there are: head, worker-1"),
        ],
    )
    async def test_what_no_node_has(
        self, cluster: Path, gateways: Gateways, options: dict[str, object], reason: str
    ) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(place("one", **options))
        assert await gateway.next(NotPlaced) == NotPlaced(host="one", reason=reason)

    async def test_what_is_in_use_for_too_long_and_nothing_of_it_is_left(
        self, cluster: Path, gateways: Gateways
    ) -> None:
        gateway = await connected(gateways, cluster, place_s=5.0)
        await gateway.send(place("one", cpus=2, node="head"))
        await gateway.next(Placed)
        await gateway.send(place("two", cpus=2, node="head"))
        assert (await gateway.next(NotPlaced)).reason == "there was no worker after 5 s: 2 cpus may be in use"
        await gateway.send(Kill(host="one"))
        await gateway.next(Ended)
        # Were the second still waiting for its processors, it would take them now.
        await gateway.send(place("three", cpus=2, node="head"))
        assert (await gateway.next(Placed)).host == "three"

    async def test_what_hangs_is_killed_on_request_and_holds_nobody_up(
        self, cluster: Path, gateways: Gateways, tmp_path: Path
    ) -> None:
        os.mkfifo(tmp_path / "pipe")
        gateway = await connected(gateways, cluster)
        await gateway.send(place("slow", "hangs", str(tmp_path / "pipe").encode()), place("quick"))
        pid = int(await trio.to_thread.run_sync((tmp_path / "pipe").read_text, abandon_on_cancel=True))
        assert (await gateway.next(Placed)).host == "quick"
        await gateway.send(Kill(host="slow"))
        assert await gateway.next(NotPlaced) == NotPlaced(host="slow", reason="killed on request")
        await gone(pid)

    async def test_a_second_host_of_one_name(self, cluster: Path, gateways: Gateways) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(place("one"), place("one"))
        assert (await gateway.next(NotPlaced)).reason == "a host of this name is there"
        assert (await gateway.next(Placed)).host == "one"


@pytest.mark.long
class TestWhere:
    async def test_on_the_node_that_is_named_by_name_or_id(self, cluster: Path, gateways: Gateways) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(place("by name", node="worker-1"))
        placed = await gateway.next(Placed)
        assert placed.node_name == "worker-1"
        await gateway.send(place("by id", node=placed.node_id))
        assert (await gateway.next(Placed)).node_id == placed.node_id

    async def test_on_another_than_those_to_avoid_if_there_is_one(self, cluster: Path, gateways: Gateways) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(Describe())
        nodes = {node.name: node.id for node in (await gateway.next(Nodes)).nodes if node.alive}
        for avoided, taken in (("head", "worker-1"), ("worker-1", "head")):
            await gateway.send(place(f"not {avoided}", avoid=(nodes[avoided],)))
            assert (await gateway.next(Placed)).node_name == taken
        await gateway.send(place("anywhere", avoid=tuple(nodes.values())))
        await gateway.next(Placed)

    async def test_spread_over_the_nodes_also_without_processors(self, cluster: Path, gateways: Gateways) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(*(place(f"host {number}", spread=True) for number in range(4)))
        taken = [(await gateway.next(Placed)).node_name for _ in range(4)]
        assert sorted(taken) == ["head", "head", "worker-1", "worker-1"]


@pytest.mark.long
class TestLosses:
    @pytest.mark.parametrize(
        ("node", "name", "number", "reason"),
        [
            ("head", "gcs_server", signal.SIGKILL, "the cluster's head at 127.0.0.1:"),
            ("head", "gcs_server", signal.SIGSTOP, "the cluster's head has not answered for 3 s"),
            ("head", "raylet", signal.SIGKILL, "Ray on this machine at "),
        ],
    )
    async def test_the_end_of_the_head_is_told_and_ends_the_gateway_and_its_workers(
        self, own_cluster: Path, gateways: Gateways, node: str, name: str, number: signal.Signals, reason: str
    ) -> None:
        gateway = await connected(gateways, own_cluster, lost_s=3.0)
        await gateway.send(place("one", node="worker-1"))
        placed = await gateway.next(Placed)
        os.kill(process_of(own_cluster, node, name).pid, number)
        lost = await gateway.next(Lost)
        assert lost.reason.startswith(reason)
        assert await gateway.child.wait() == LOST_STATUS
        await gone(placed.pid)

    async def test_the_end_of_the_node_ends_the_gateway_and_its_workers(
        self, cluster: Path, gateways: Gateways
    ) -> None:
        gateway = await connected(gateways, cluster)
        await gateway.send(place("one"), place("two"))
        pids = [(await gateway.next(Placed)).pid for _ in range(2)]
        await gateway.stream.aclose()
        assert await gateway.child.wait() == 0
        for pid in pids:
            await gone(pid)

    async def test_the_end_of_the_gateway_ends_its_workers_and_not_those_of_another(
        self, cluster: Path, gateways: Gateways
    ) -> None:
        one, other = await connected(gateways, cluster), await connected(gateways, cluster)
        await one.send(place("host"))
        await other.send(place("host"))
        mine, theirs = await one.next(Placed), await other.next(Placed)
        one.child.kill()
        await gone(mine.pid)
        await other.send(Kill(host="host"))
        assert (await other.next(Ended)).reason == "killed on request"
        await gone(theirs.pid)

    async def test_a_wrong_token_is_told(self, cluster: Path, gateways: Gateways) -> None:
        settings = gateway_settings(cluster)
        gateway = await gateways.start(GatewaySettings(address=settings.address, token="0" * 64))
        assert (await gateway.next(Lost)).reason.startswith(f"cannot join the cluster at {settings.address}: ")
        assert await gateway.child.wait() == LOST_STATUS
