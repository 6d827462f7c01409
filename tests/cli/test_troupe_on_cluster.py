"""The default troupe with its strategies on Ray, as a user starts it, while its cluster is taken apart under load.

`bin/troupe test --long tests/cli/test_troupe_on_cluster.py`
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.cluster import local
from runtime.cluster.local_state import read_state

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
RATE = 2000
"""Changes a second at the simulated venue."""
LIMIT_S = 60.0
RUNNERS = ("imbalance", "follow")


class Troupe:
    """A running node, and what its user sees."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self.client = httpx.Client(base_url=url, timeout=20.0)
        self.data_dir = data_dir

    def runner(self, name: str) -> dict[str, Any]:
        """The actor of a strategy as `/api/v1/actors` has it."""
        answer = self.client.get(f"/api/v1/actors/strategies/{name}/runner")
        return answer.json()["actor"] if answer.status_code == 200 else {}

    def pid(self, name: str) -> int:
        found = re.search(r"process (\d+)", self.runner(name)["worker"])
        assert found is not None
        return int(found.group(1))

    def last_signal(self) -> str:
        """When the last signal of the trusted strategy was made."""
        listed = self.client.get("/api/signals/list", params={"strategy_ids": "imbalance", "limit": 1}).json()[
            "signals"
        ]
        return str(listed[0]["timestamp"]) if listed else ""

    def tree(self) -> str:
        command = [sys.executable, "-m", "actors.cli", "tree", "--data-dir", str(self.data_dir)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
    return found


@pytest.fixture
def troupe(tmp_path: Path) -> Iterator[Troupe]:
    local.up(tmp_path, local.ClusterSize(nodes=2), print)
    arguments = [f"--set=venue.rate={RATE}", "--set=edge.port=0", "--set=cluster.lost_s=5"]
    node = subprocess.Popen(
        [sys.executable, "-m", "actors.cli", "run", "cluster", "--data-dir", str(tmp_path), *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=(tmp_path / "node.err").open("w"), text=True,
    )  # fmt: skip
    try:
        assert node.stdout is not None
        url = node.stdout.readline().removeprefix("listening on ").strip()
        yield Troupe(url, tmp_path)
    finally:
        node.send_signal(signal.SIGINT)
        assert node.wait(30) == 0
        local.down(tmp_path)


def kill_worker(troupe: Troupe) -> None:
    os.kill(troupe.pid("imbalance"), signal.SIGKILL)


def kill_raylet(troupe: Troupe) -> None:
    os.kill(next(pid for name, pid in processes_of(troupe, "worker-1") if name == "raylet"), signal.SIGKILL)


def kill_node(troupe: Troupe) -> None:
    workers = [troupe.pid(name) for name in RUNNERS if troupe.runner(name)["node"] == "worker-1"]
    for pid in [*(pid for _, pid in processes_of(troupe, "worker-1")), *workers]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def processes_of(troupe: Troupe, node: str) -> list[tuple[str, int]]:
    state = read_state(troupe.data_dir)
    assert state is not None
    return [(each.name, each.pid) for one in state.nodes if one.name == node for each in one.processes]


@pytest.mark.parametrize("kill", [kill_worker, kill_raylet, kill_node])
def test_signals_come_again_by_themselves(troupe: Troupe, kill: Callable[[Troupe], None]) -> None:
    for name in RUNNERS:
        until(lambda name=name: troupe.runner(name).get("state") == "up")
    before = {name: troupe.runner(name) for name in RUNNERS}
    assert {each["placement"] for each in before.values()} == {"ray"}
    assert {each["node"] for each in before.values()} == {"head", "worker-1"}
    until(troupe.last_signal)
    kill(troupe)
    hit = [name for name in RUNNERS if before[name]["node"] == "worker-1"] if kill is not kill_worker else ["imbalance"]
    for name in hit:
        until(lambda name=name: troupe.runner(name).get("incarnation") not in (None, before[name]["incarnation"]))
        until(lambda name=name: troupe.runner(name).get("state") == "up")
        after = troupe.runner(name)
        assert after["worker"] != before[name]["worker"]
        assert after["restart_reason"].startswith("HostLost: worker ")
        if kill is not kill_worker:
            assert after["node"] == "head"
        assert f"on {after['node']}, worker {after['worker']}" in troupe.tree()
    came = troupe.last_signal()
    until(lambda: troupe.last_signal() > came)
    # Who was not hit has noticed nothing.
    for name in set(RUNNERS) - set(hit):
        assert troupe.runner(name)["incarnation"] == before[name]["incarnation"]
