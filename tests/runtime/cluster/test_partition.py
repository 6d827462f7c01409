"""A node of the cluster that the network cuts off, in a network namespace of its own. For root on Linux.

`bin/troupe test --long tests/runtime/cluster/test_partition.py`
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter as Tally
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from protocols.control import Unknown
from runtime import ChildSpec, Done, HostOptions, NodeSettings, open_node
from runtime.cluster.settings import ClusterSettings
from runtime.orphans import processes
from tests.runtime.cluster.cast import Counter, Job, Ledger, Pid, Total
from tests.runtime.cluster.kit import gone

HERE, THERE = "10.201.77.1", "10.201.77.2"
PORT = 6397
SPACE = "troupe-part"
LIMIT = 150.0
RAY = str(Path(sys.executable).with_name("ray"))

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and iproute2"
    ),
]


def run(*command: str, **environment: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})


def link(state: str) -> None:
    """Cut the network in two, or join it again."""
    run("ip", "link", "set", f"{SPACE}-0", state)


@pytest.fixture
def two_machines() -> Iterator[str]:
    """A cluster of two nodes, the second in a network namespace; gives the head's address."""
    folder = Path("/tmp") / f"{SPACE}-{os.getpid()}"  # Ray's sockets need a short path
    environment = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "TROUPE_PARTITION": str(folder),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    size = ("--num-cpus=2", "--object-store-memory=80000000", "--disable-usage-stats")
    inside = ("ip", "netns", "exec", SPACE)
    try:
        run("ip", "netns", "add", SPACE)
        run("ip", "link", "add", f"{SPACE}-0", "type", "veth", "peer", "name", f"{SPACE}-1", "netns", SPACE)
        run("ip", "addr", "add", f"{HERE}/24", "dev", f"{SPACE}-0")
        run(*inside, "ip", "addr", "add", f"{THERE}/24", "dev", f"{SPACE}-1")
        run(*inside, "ip", "link", "set", "lo", "up")
        run(*inside, "ip", "link", "set", f"{SPACE}-1", "up")
        link("up")
        head = ("start", "--head", f"--node-ip-address={HERE}", f"--port={PORT}", "--include-dashboard=false")
        run(RAY, *head, f"--temp-dir={folder}/h", *size, **environment)
        second = ("start", f"--address={HERE}:{PORT}", f"--node-ip-address={THERE}", f"--temp-dir={folder}/w")
        run(*inside, RAY, *second, *size, **environment)
        yield f"{HERE}:{PORT}"
    finally:
        for entry in processes():
            with suppress(ProcessLookupError, PermissionError):
                if entry.has_token(f"TROUPE_PARTITION={folder}"):
                    os.kill(entry.pid, 9)
        subprocess.run(["ip", "link", "del", f"{SPACE}-0"], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", SPACE], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


async def test_what_is_cut_off_is_given_up_and_started_elsewhere_and_ends_by_itself(
    two_machines: str, tmp_path: Path
) -> None:
    settings = ClusterSettings(address=two_machines, listen=HERE, heartbeat_s=0.3, lost_s=2.0)
    spread = HostOptions(spread=True)
    actors = [ChildSpec(name, Counter, placement="ray", host=spread) for name in ("a", "b")]
    with trio.fail_after(LIMIT):
        async with (
            open_node(
                NodeSettings(name="test", data_dir=str(tmp_path)),
                children=(ChildSpec("ledger", Ledger), *actors),
                cluster=settings,
            ) as node,
            trio.open_nursery() as nursery,
        ):
            for path in ("/a", "/b"):
                await node.ref(path).ask(Total(), 60)
            places = {path: node.tree(path).node for path in ("/a", "/b")}  # type: ignore[union-attr]
            (path,) = (path for path, place in places.items() if THERE in place)
            ref = node.ref(path)
            pid = await ref.ask(Pid())
            outcomes: dict[int, object] = {}

            async def ask(number: int) -> None:
                outcomes[number] = await ref.outcome(Job(number), 30.0)

            async def load() -> None:
                for number in range(4000):
                    nursery.start_soon(ask, number)
                    await trio.sleep(0.002)

            nursery.start_soon(load)
            while len(outcomes) < 200:  # noqa: ASYNC110 - counted
                await trio.sleep(0.01)
            link("down")
            while node.tree(path).incarnation == "1.1" or node.tree(path).state != "up":  # type: ignore[union-attr]  # noqa: ASYNC110
                await trio.sleep(0.01)
            assert HERE in node.tree(path).node  # type: ignore[union-attr]
            assert "nothing was heard for" in str(node.tree(path).restart_reason)  # type: ignore[union-attr]
            # Without its node the old life ends by itself: nobody can reach it to tell it so.
            await gone(pid)
            link("up")
            while len(outcomes) < 4000:  # noqa: ASYNC110 - counted
                await trio.sleep(0.01)
            await ref.ask(Total())
            handled = Tally(entry.number for entry in node.cells["/ledger"].actor.entries)  # type: ignore[union-attr]
            for number, outcome in outcomes.items():
                if isinstance(outcome, Done):
                    assert handled[number] == 1
                elif isinstance(outcome, Unknown):
                    assert handled[number] <= 1
                else:
                    assert handled[number] == 0
            tally = Tally(type(outcome).__name__ for outcome in outcomes.values())
            assert tally["Unknown"] > 0
            assert tally["Done"] > 2000
            print(dict(tally), node.tree(path).restart_reason)  # type: ignore[union-attr]
