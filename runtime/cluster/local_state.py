"""What is known of the local cluster: its state file, and which processes of this machine belong to it.

Every process of a node has a word in its environment that only this cluster has; all descendants inherit it. By that
word, not by their names, they are found: `ray stop` would end every Ray of the machine. Ray's agents and workers write
their titles over their environment (as setproctitle does); they are known by their session and our Python.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from runtime.cluster.settings import ClusterSettings
from runtime.orphans import ProcessEntry, processes, read_process

LOOPBACK = "127.0.0.1"
WORD = "TROUPE_CLUSTER"
"""The variable that marks every process of a cluster: the cluster's id and the node's name."""
STATE = "cluster.json"
ESSENTIAL: Final = frozenset({"gcs_server", "raylet"})
"""Without one of these a node has died. The others only report."""


class NoCluster(Exception):
    """There is no cluster where the settings say that there is one; the text says what to do."""


class ClusterSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a local cluster shall be."""

    nodes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """The head included."""
    cpus_per_node: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    """Processors that each node offers; they are counted, not enforced."""
    memory_mb: Annotated[int, msgspec.Meta(ge=0)] = 0
    """MiB that each node offers; 0: what Ray finds free."""
    store_mb: Annotated[int, msgspec.Meta(ge=75)] = 80
    """MiB of each node's object store; Ray takes no less than 75."""
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    """Of the head; 0: any that is free."""


class ClusterProcess(msgspec.Struct, frozen=True):
    """One process that makes up a node."""

    name: str
    pid: int
    started: int
    """Clock ticks since boot: a number that is used again has another."""

    def runs(self) -> bool:
        """Return whether it still does."""
        entry = read_process(self.pid)
        return entry is not None and not entry.dead and entry.started == self.started


class ClusterNode(msgspec.Struct, frozen=True):
    """One node as it was started."""

    name: str
    head: bool
    session: int = 0
    """Of all its processes; the number of the program that started them, which has ended."""
    started: int = 0
    """When that program was, in clock ticks since boot."""
    processes: tuple[ClusterProcess, ...] = ()


class LocalCluster(msgspec.Struct, frozen=True):
    """The state file of a local cluster."""

    id: str
    boot: str
    """Which start of the machine the numbers of processes belong to."""
    size: ClusterSize
    folder: str
    """Private, with Ray's temporary files; removed with the cluster."""
    token_file: str
    nodes: tuple[ClusterNode, ...]
    address: str = ""
    """Of the head, `host:port`; empty until everything runs."""

    def ray_folder(self, node: ClusterNode) -> str:
        """Return a node's folder inside the private one: everybody may write into it, and its sockets ask for no token.

        Each has its own, because nodes that start at once in one take each other's ports, and wait for them.
        """
        names = [each.name for each in self.nodes]
        return f"{self.folder}/{names.index(node.name)}"

    @property
    def running(self) -> bool:
        """Whether all of it runs."""
        return bool(self.address) and all(state_of(node) == "up" for node in self.nodes)


def cluster_folder(data_dir: Path) -> Path:
    """Return the folder of the cluster's state, token and logs."""
    return data_dir / "cluster"


def read_state(data_dir: Path) -> LocalCluster | None:
    """Return the state of the cluster, None if there is none. Raises NoCluster if it cannot be read."""
    path = cluster_folder(data_dir) / STATE
    try:
        return msgspec.json.decode(path.read_bytes(), type=LocalCluster)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise NoCluster(f"cannot read {path}: {error}") from None


def write_state(data_dir: Path, cluster: LocalCluster) -> None:
    """Write the state, whole or not at all; for the owner alone."""
    path = cluster_folder(data_dir) / STATE
    aside = path.with_suffix(".new")
    write_private(aside, msgspec.json.format(msgspec.json.encode(cluster), indent=2) + b"\n")
    aside.replace(path)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def word_of(cluster: LocalCluster, node: ClusterNode) -> str:
    """Return what marks the processes of a node."""
    return f"{cluster.id}/{node.name}"


def processes_of(cluster: LocalCluster) -> dict[str, list[ProcessEntry]]:
    """Return the living processes of each node, with all that they have started, by the node's name."""
    found: dict[str, list[ProcessEntry]] = {node.name: [] for node in cluster.nodes}
    if cluster.boot != boot():
        return found
    this = os.getpid()
    alive = [entry for entry in processes() if not entry.dead and entry.pid != this]
    leaders = {entry.pid: entry.started for entry in alive if entry.pid == entry.session}
    for node in cluster.nodes:
        word = f"{WORD}={word_of(cluster, node)}"
        # The number of a session that has ended may be another's by now: one whose leader started at another time.
        ours = node.session if leaders.get(node.session, node.started) == node.started else 0
        for entry in alive:
            if entry.has_token(word) or (
                ours and entry.session == ours and entry.started >= node.started and _runs_our_python(entry)
            ):
                found[node.name].append(entry)
    return found


def _runs_our_python(entry: ProcessEntry) -> bool:
    try:
        return os.readlink(f"/proc/{entry.pid}/exe") == os.path.realpath(sys.executable)
    except OSError:
        return False


def boot() -> str:
    """Return what tells this start of the machine from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def state_of(node: ClusterNode) -> Literal["starting", "up", "died"]:
    """Return whether a node runs: all of its essential processes do."""
    if not node.processes:
        return "starting"
    return "died" if missing(node) else "up"


def missing(node: ClusterNode) -> tuple[str, ...]:
    """Return the names of its essential processes that have ended."""
    return tuple(each.name for each in node.processes if each.name in ESSENTIAL and not each.runs())


def resolve_address(settings: ClusterSettings, data_dir: Path) -> tuple[str, str]:
    """Return the address (`host:port`) of the head that the settings mean, and its token (empty: it asks for none).

    Raises NoCluster, with what to do, if there is no such cluster or its token cannot be read.
    """
    address, token_file = settings.address, settings.token_file
    if address == "local":
        address, token_file = _local_address(data_dir, token_file)
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise NoCluster(f"cluster.address: expected host:port or local, got {address!r}")
    if not token_file:
        return address, ""
    try:
        token = Path(token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise NoCluster(f"cannot read the cluster's token: {error}") from None
    if not token:
        raise NoCluster(f"the cluster's token file {token_file} is empty")
    return address, token


def _local_address(data_dir: Path, token_file: str) -> tuple[str, str]:
    cluster = read_state(data_dir)
    if cluster is None:
        raise NoCluster(f"no local cluster is up in {data_dir}; start one: troupe cluster up")
    if not cluster.address:
        raise NoCluster("the local cluster is still starting, or its start was interrupted: troupe cluster status")
    if state_of(cluster.nodes[0]) != "up":
        raise NoCluster("the local cluster's head has died: troupe cluster down, then troupe cluster up")
    return cluster.address, token_file or cluster.token_file
