"""A Ray cluster of several nodes on this machine: started, looked at and ended here, without importing Ray.

    up(data_dir, ClusterSize(nodes=2), print)      it stays when the caller ends
    status(data_dir)                               what of it runs
    down(data_dir)                                 ends it, and what its workers have started

Everything listens on loopback, asks for a token of our own, and keeps its files below the data folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
import trio

from runtime.cluster.local_state import (
    LOOPBACK,
    STATE,
    WORD,
    ClusterNode,
    ClusterProcess,
    ClusterSize,
    LocalCluster,
    NoCluster,
    boot,
    cluster_folder,
    missing,
    processes_of,
    read_state,
    resolve_address,
    state_of,
    word_of,
    write_private,
    write_state,
)
from runtime.orphans import ProcessEntry, end_processes, read_process

PACKAGES = Path(__file__).resolve().parent.parent.parent
"""The folder that holds the packages, so that workers can import them."""
SOCKET_PATH = 107
"""The longest path of a Unix socket, in bytes (unix(7))."""
BELOW = len("/63/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.65535")
"""What Ray adds to its folder for the longest of its sockets."""
START_S = 90.0
"""How long `ray start` may take; it needs two seconds where the machine is not busy."""
END_S = 20.0

__all__ = [
    "ClusterSize",
    "ClusterStatus",
    "DifferentCluster",
    "LocalCluster",
    "NoCluster",
    "StartFailed",
    "down",
    "read_state",
    "resolve_address",
    "status",
    "up",
]

Tell = Callable[[str], None]


class StartFailed(Exception):
    """The cluster could not be started; nothing of it is left."""


class DifferentCluster(Exception):
    """A cluster is there that is not what was asked for, or not whole."""


class NodeStatus(msgspec.Struct, frozen=True):
    """What of a node runs now."""

    name: str
    head: bool
    address: str
    state: Literal["starting", "up", "died"]
    resources: dict[str, float]
    """What it offers."""
    processes: tuple[ClusterProcess, ...]
    """All that run, workers too."""
    missing: tuple[str, ...]
    """The names of the processes that have died."""


class ClusterStatus(msgspec.Struct, frozen=True):
    """What of a cluster runs now."""

    address: str
    token_file: str
    folder: str
    nodes: tuple[NodeStatus, ...]


class Ended(NamedTuple):
    """What `down` found."""

    nodes: int
    processes: int


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    """One command at a time changes the cluster; another waits."""
    folder = cluster_folder(data_dir)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def temporary_folder(data_dir: Path) -> Path:
    """Return the folder for Ray's files: below the data folder, or a private one where that path is too long."""
    folder = cluster_folder(data_dir).resolve() / "ray"
    if len(os.fsencode(folder)) + BELOW <= SOCKET_PATH:
        folder.mkdir(mode=0o700)
        return folder
    # Not TMPDIR, which may be long, too; mkdtemp makes it for the owner alone.
    return Path(tempfile.mkdtemp(prefix="troupe-", dir="/tmp"))


# --- what is run ------------------------------------------------------------------------------------------


def start_command(size: ClusterSize, node: ClusterNode, folder: str, address: str) -> list[str]:
    """Return the command that starts a node; `address` is the head's, and empty for the head."""
    command = [sys.executable, "-m", "runtime.cluster.ray_start"]
    if node.head:
        # No autoscaler and no dashboard: nobody would look at them. Port 0, because 8265 is somebody else's dashboard.
        command += ["--head", "--port", str(size.port), "--include-dashboard", "false", "--dashboard-port", "0"]
        command += ["--no-monitor"]
    else:
        command += ["--address", address]
    command += ["--node-name", node.name, "--node-ip-address", LOOPBACK, "--temp-dir", folder]
    command += ["--num-cpus", f"{size.cpus_per_node:g}", "--object-store-memory", str(size.store_mb * 2**20)]
    if size.memory_mb:
        command += ["--memory", str(size.memory_mb * 2**20)]
    command += ["--include-log-monitor", "false", "--disable-usage-stats"]
    return [*command, "--log-style", "record", "--log-color", "false"]


def start_environment(cluster: LocalCluster, node: ClusterNode, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a node's processes, and of everything that runs on it."""
    # What somebody has set for another Ray (RAY_ADDRESS, RAY_AUTH_TOKEN) must not reach this one.
    kept = {name: text for name, text in environ.items() if not name.startswith(("RAY_", "TROUPE_"))}
    paths = [str(PACKAGES), *(path for path in kept.get("PYTHONPATH", "").split(os.pathsep) if path)]
    return kept | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": cluster.token_file,
        "RAY_USAGE_STATS_ENABLED": "0",
        # A node that has died is found in five seconds instead of fifteen (the defaults are for a network).
        "RAY_health_check_period_ms": "1000",
        WORD: word_of(cluster, node),
    }


def up(data_dir: Path, size: ClusterSize, tell: Tell) -> LocalCluster:
    """Start a cluster and return it once all of its nodes run; one that is up like that is only returned.

    Raises DifferentCluster if one is there that is not like that or not whole, StartFailed with Ray's last words.
    """
    with _locked(data_dir):
        there = read_state(data_dir)
        if there is not None and any(processes_of(there).values()):
            if not there.running:
                raise DifferentCluster("a part of the local cluster has died")
            if size != there.size:
                raise DifferentCluster(f"a local cluster of another size is up: {described(there.size)}")
            return there
        if there is not None:
            _remove(data_dir, there)
        _check_port(size.port)
        shutil.rmtree(cluster_folder(data_dir) / "ray", ignore_errors=True)
        cluster = _new(data_dir, size)
        # Written before anything runs: were this process killed, `down` would still find everything.
        write_state(data_dir, cluster)
        try:
            cluster = _start(data_dir, cluster, tell)
        except BaseException:
            begun = read_state(data_dir) or cluster
            _end(begun)
            _remove(data_dir, begun)
            raise
        write_state(data_dir, cluster)
        return cluster


def described(size: ClusterSize) -> str:
    """Return the size in the words of the command's options."""
    defaults = ClusterSize()
    given = [
        f"--{field.replace('_', '-')} {getattr(size, field):g}"
        for field in size.__struct_fields__
        if field == "nodes" or getattr(size, field) != getattr(defaults, field)
    ]
    return " ".join(given)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise StartFailed(f"port {port} cannot be used: {error.strerror}") from None


def _new(data_dir: Path, size: ClusterSize) -> LocalCluster:
    token = cluster_folder(data_dir).resolve() / "token"
    write_private(token, secrets.token_hex(32).encode())
    names = ["head", *(f"worker-{number}" for number in range(1, size.nodes))]
    return LocalCluster(
        id=secrets.token_hex(8),
        boot=boot(),
        size=size,
        folder=str(temporary_folder(data_dir)),
        token_file=str(token),
        nodes=tuple(ClusterNode(name, name == "head") for name in names),
    )


def _start(data_dir: Path, cluster: LocalCluster, tell: Tell) -> LocalCluster:
    """Start the head, then all others at once."""
    tell("starting the head")
    cluster, starting = _launch(data_dir, cluster, cluster.nodes[:1], "")
    _await(data_dir, cluster.nodes[:1], starting, tell)
    # Ray tells the port that it has found in this file only.
    address = (Path(cluster.ray_folder(cluster.nodes[0])) / "ray_current_cluster").read_text(encoding="utf-8").strip()
    others = cluster.nodes[1:]
    if others:
        tell(f"starting {len(others)} more node{'s' if len(others) > 1 else ''}")
    cluster, starting = _launch(data_dir, cluster, others, address)
    _await(data_dir, others, starting, tell)
    found = processes_of(cluster)
    nodes = tuple(
        msgspec.structs.replace(node, processes=tuple(_described(entry) for entry in found[node.name]))
        for node in cluster.nodes
    )
    return msgspec.structs.replace(cluster, address=address, nodes=nodes)


def _launch(
    data_dir: Path, cluster: LocalCluster, nodes: Sequence[ClusterNode], address: str
) -> tuple[LocalCluster, list[subprocess.Popen[bytes]]]:
    """Start nodes without waiting for them; returns the state with their sessions, which is written down."""
    starting = []
    for node in nodes:
        with _log(data_dir, node).open("wb") as log:
            process = subprocess.Popen(
                start_command(cluster.size, node, cluster.ray_folder(node), address),
                env=start_environment(cluster, node, os.environ),
                cwd=cluster.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal of `up`, or its end, does not reach what shall stay.
                start_new_session=True,
            )
        starting.append(process)
        entry = read_process(process.pid)
        begun = msgspec.structs.replace(node, session=process.pid, started=0 if entry is None else entry.started)
        known = tuple(begun if each.name == node.name else each for each in cluster.nodes)
        cluster = msgspec.structs.replace(cluster, nodes=known)
    write_state(data_dir, cluster)
    return cluster, starting


def _log(data_dir: Path, node: ClusterNode) -> Path:
    return cluster_folder(data_dir) / f"{node.name}.log"


def _await(
    data_dir: Path, nodes: Sequence[ClusterNode], starting: Sequence[subprocess.Popen[bytes]], tell: Tell
) -> None:
    for node, process in zip(nodes, starting, strict=True):
        try:
            status = process.wait(START_S)
        except subprocess.TimeoutExpired:
            raise StartFailed(f"{node.name} did not start within {START_S:g} s{_last_words(data_dir, node)}") from None
        if status != 0:
            raise StartFailed(f"{node.name} did not start (status {status}){_last_words(data_dir, node)}")
        tell(f"{node.name} runs")


def _last_words(data_dir: Path, node: ClusterNode) -> str:
    lines = _log(data_dir, node).read_text(encoding="utf-8", errors="replace").splitlines()
    return "".join(f"\n  | {line}" for line in lines[-8:])


def _described(entry: ProcessEntry) -> ClusterProcess:
    return ClusterProcess(_name_of(entry), entry.pid, entry.started)


def _name_of(entry: ProcessEntry) -> str:
    """A process by what it does: Python's are told apart by the script that they run."""
    if not entry.name.startswith("python"):
        return entry.name
    try:
        words = Path(f"/proc/{entry.pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return entry.name
    scripts = [Path(word).stem for word in words if word.endswith(".py")]
    return scripts[0] if scripts else entry.name


def down(data_dir: Path) -> Ended | None:
    """End the cluster, whatever is left of it; None if there is none."""
    with _locked(data_dir):
        cluster = read_state(data_dir)
        if cluster is None:
            return None
        ended = _end(cluster)
        _remove(data_dir, cluster)
        return Ended(len(cluster.nodes), ended)


def _end(cluster: LocalCluster) -> int:
    """Kill everything, until a look finds nothing more. Nothing there would use time to end in order."""

    def find() -> list[ProcessEntry]:
        return [entry for entries in processes_of(cluster).values() for entry in entries]

    return trio.run(functools.partial(end_processes, find, END_S))


def _remove(data_dir: Path, cluster: LocalCluster) -> None:
    shutil.rmtree(cluster.folder, ignore_errors=True)
    Path(cluster.token_file).unlink(missing_ok=True)
    for node in cluster.nodes:
        _log(data_dir, node).unlink(missing_ok=True)
    (cluster_folder(data_dir) / STATE).unlink(missing_ok=True)


# --- what is told -----------------------------------------------------------------------------------------


def status(data_dir: Path) -> ClusterStatus | None:
    """Return what of the cluster runs, None if there is none. Raises NoCluster for a state that cannot be read."""
    cluster = read_state(data_dir)
    if cluster is None:
        return None
    found = processes_of(cluster)
    size = cluster.size
    offers = {"cpus": size.cpus_per_node, "store_mb": float(size.store_mb)}
    if size.memory_mb:
        offers["memory_mb"] = float(size.memory_mb)
    nodes = tuple(
        NodeStatus(
            name=node.name,
            head=node.head,
            address=cluster.address if node.head else LOOPBACK,
            state=state_of(node),
            resources=offers,
            processes=tuple(_described(entry) for entry in found[node.name]),
            missing=missing(node),
        )
        for node in cluster.nodes
    )
    return ClusterStatus(cluster.address, cluster.token_file, cluster.folder, nodes)
