"""The local cluster: what is written down and run, that it listens on loopback alone, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from runtime.cluster import local, local_state
from runtime.cluster.gateway_messages import Connected, Placed
from runtime.cluster.local_state import ClusterNode, ClusterSize, LocalCluster, NoCluster
from runtime.cluster.settings import ClusterSettings
from runtime.orphans import processes
from tests.runtime.cluster.conftest import gateway_settings
from tests.runtime.cluster.kit import Gateways, gone, place, process_of

HEAD, WORKER = ClusterNode("head", True), ClusterNode("worker-1", False)


def state(**changes: object) -> LocalCluster:
    fields: dict[str, object] = {
        "id": "1a2b",
        "boot": local_state.boot(),
        "size": ClusterSize(),
        "folder": "/f",
        "token_file": "/t",
        "nodes": (HEAD, WORKER),
        "address": "127.0.0.1:6379",
    }
    return LocalCluster(**(fields | changes))  # type: ignore[arg-type]


def written(data_dir: Path, cluster: LocalCluster) -> Path:
    local_state.cluster_folder(data_dir).mkdir(exist_ok=True)
    local_state.write_state(data_dir, cluster)
    return local_state.cluster_folder(data_dir) / "cluster.json"


# --- what is written and run ------------------------------------------------------------------------------


def test_a_head_is_started_without_a_dashboard_and_a_worker_with_the_heads_address() -> None:
    size = ClusterSize(cpus_per_node=3, memory_mb=200, port=7000)
    head = " ".join(local.start_command(size, HEAD, "/f", ""))
    worker = " ".join(local.start_command(size, WORKER, "/f", "127.0.0.1:7000"))
    assert "--head --port 7000 --include-dashboard false" in head
    assert "--address 127.0.0.1:7000" in worker
    for command in (head, worker):
        assert "--node-ip-address 127.0.0.1 --temp-dir /f --num-cpus 3 --object-store-memory 83886080" in command
        assert "--memory 209715200" in command
        assert "--disable-usage-stats" in command


def test_a_node_gets_our_token_and_our_packages_and_nothing_that_was_meant_for_another_ray() -> None:
    others = {"RAY_ADDRESS": "elsewhere", "RAY_AUTH_TOKEN": "theirs", "TROUPE_TOKEN": "t"}
    environ = {**others, "PYTHONPATH": "/mine", "A": "b"}
    made = local.start_environment(state(), HEAD, environ)
    assert not set(others) & set(made)
    assert (made["RAY_AUTH_MODE"], made["RAY_AUTH_TOKEN_PATH"], made["RAY_USAGE_STATS_ENABLED"]) == ("token", "/t", "0")
    assert made["PYTHONPATH"].split(os.pathsep) == [str(local.PACKAGES), "/mine"]
    assert (made["TROUPE_CLUSTER"], made["A"]) == ("1a2b/head", "b")


def test_the_state_is_read_as_it_was_written_and_is_the_owners_alone(tmp_path: Path) -> None:
    path = written(tmp_path, state())
    assert local_state.read_state(tmp_path) == state()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_state_of_an_earlier_start_of_the_machine_names_no_process(tmp_path: Path) -> None:
    mine = ClusterNode("head", True, session=os.getsid(0), started=0)
    assert local_state.processes_of(state(boot="earlier", nodes=(mine,))) == {"head": []}


def test_where_the_path_is_too_long_for_a_socket_the_files_are_in_a_private_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    local_state.cluster_folder(deep).mkdir(parents=True)
    folder = local.temporary_folder(deep)
    try:
        assert len(str(folder)) + local.BELOW <= local.SOCKET_PATH
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        folder.rmdir()


@pytest.mark.parametrize(
    ("address", "there", "message"),
    [
        ("local", None, "no local cluster is up in .*; start one: troupe cluster up"),
        ("local", state(address=""), "is still starting, or its start was interrupted"),
        (
            "local",
            state(nodes=(ClusterNode("head", True, 1, 1, (local_state.ClusterProcess("raylet", 1, 1),)),)),
            "head has died",
        ),
        ("10.0.0.5", None, "expected host:port or local, got '10.0.0.5'"),
        ("host:0", None, "expected host:port or local, got 'host:0'"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_with_what_to_do(
    address: str, there: LocalCluster | None, message: str, tmp_path: Path
) -> None:
    if there is not None:
        written(tmp_path, there)
    with pytest.raises(NoCluster, match=message):
        local_state.resolve_address(ClusterSettings(address=address), tmp_path)


def test_another_cluster_has_the_token_of_the_file_that_is_named(tmp_path: Path) -> None:
    token = tmp_path / "token"
    settings = ClusterSettings(address="10.0.0.5:6379", token_file=str(token))
    with pytest.raises(NoCluster, match="cannot read the cluster's token"):
        local_state.resolve_address(settings, tmp_path)
    token.write_text("")
    with pytest.raises(NoCluster, match="is empty"):
        local_state.resolve_address(settings, tmp_path)
    token.write_text("secret\n")
    assert local_state.resolve_address(settings, tmp_path) == ("10.0.0.5:6379", "secret")
    assert local_state.resolve_address(ClusterSettings(address="10.0.0.5:6379"), tmp_path) == ("10.0.0.5:6379", "")


def test_a_port_that_is_taken_is_told_and_nothing_stays(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(local.StartFailed, match=f"port {port} cannot be used: Address already in use"):
            local.up(tmp_path, ClusterSize(port=port), print)
    assert list(local_state.cluster_folder(tmp_path).iterdir()) == []


# --- real ones --------------------------------------------------------------------------------------------


def listeners(pids: set[int]) -> Iterator[str]:
    """The local addresses at which these processes listen, as /proc/net shows them (proc(5))."""
    inodes = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                yield fields[1].partition(":")[0]


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.mark.long
async def test_nothing_of_it_listens_beyond_loopback(cluster: Path, gateways: Gateways) -> None:
    gateway = await gateways.start(gateway_settings(cluster))
    await gateway.next(Connected)
    await gateway.send(place("one", node="head"), place("two", node="worker-1"))
    workers = {(await gateway.next(Placed)).pid for _ in range(2)}
    there = local_state.read_state(cluster)
    assert there is not None
    found = {entry.pid for entries in local_state.processes_of(there).values() for entry in entries}
    assert workers <= found
    addresses = list(listeners(found | {gateway.child.pid}))
    assert len(addresses) > len(workers)
    assert set(addresses) <= LOOPBACK


@pytest.mark.long
def test_its_token_is_the_owners_alone(cluster: Path) -> None:
    there = local_state.read_state(cluster)
    assert there is not None
    assert stat.S_IMODE(Path(there.token_file).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(there.folder).stat().st_mode) == 0o700


@pytest.mark.long
async def test_its_end_ends_its_workers_and_nothing_of_another(
    cluster: Path, own_cluster: Path, gateways: Gateways
) -> None:
    gateway = await gateways.start(gateway_settings(own_cluster))
    await gateway.next(Connected)
    await gateway.send(place("one", node="worker-1"))
    placed = await gateway.next(Placed)
    there = local_state.read_state(own_cluster)
    assert there is not None
    assert await trio.to_thread.run_sync(local.down, own_cluster) is not None
    await gone(placed.pid)
    assert not any(local_state.processes_of(there).values())
    assert not os.path.exists(there.folder)  # noqa: ASYNC240
    other = local.status(cluster)
    assert other is not None
    assert {node.state for node in other.nodes} == {"up"}


@pytest.mark.long
def test_agents_that_outlive_their_node_are_ended_too(own_cluster: Path) -> None:
    there = local_state.read_state(own_cluster)
    assert there is not None
    for node, name in (("worker-1", "raylet"), ("head", "raylet"), ("head", "gcs_server")):
        os.kill(process_of(own_cluster, node, name).pid, signal.SIGKILL)
    assert local.down(own_cluster) is not None
    sessions = {node.session for node in there.nodes}
    assert not [entry for entry in processes() if entry.session in sessions and not entry.dead]


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_start_that_is_interrupted_leaves_nothing_that_down_does_not_end(
    number: signal.Signals, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "actors.cli", "cluster", "up", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, cwd=local.PACKAGES, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "starting 1 more node" not in process.stderr.readline():
            pass
        there = local_state.read_state(tmp_path)
        assert there is not None
        process.send_signal(number)
        process.wait(60)
    if number == signal.SIGKILL:
        with pytest.raises(NoCluster, match="its start was interrupted"):
            local_state.resolve_address(ClusterSettings(address="local"), tmp_path)
        local.down(tmp_path)
    assert local_state.read_state(tmp_path) is None
    assert not any(local_state.processes_of(there).values())
