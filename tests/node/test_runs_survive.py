"""Strategies that were started over HTTP run again after the node, the zygote or a worker was killed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.node.kit import NodeProcess, until, with_pid

CONFIGURATION = """\
[node]
name = "killed"
data_dir = "data"

[edge]
port = 0

[venue]
rate = 100.0

[[feeds]]
name = "demo"
venue = "simulated"
"""
CODE = """
PARAMETERS = {"step": 1}

def generate_signal(data, parameters):
    for symbol, bars in data.items():
        if len(bars):
            return {"symbol": symbol, "action": "BUY", "confidence": 0.9, "metadata": {"step": parameters["step"]}}
"""
WIDE = {"max_risk_threshold": 1, "signal_cooldown": 0, "max_concurrent_signals": 50}


async def said(node: NodeProcess, path: str, **body: Any) -> Any:
    answer = await node.client.post(f"/api/strategies{path}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def status(node: NodeProcess, name: str) -> Any:
    return await node.get(f"/api/strategies/{name}/status")


async def started(node: NodeProcess, name: str, **changes: Any) -> str:
    """Write a strategy and run it on bars of a second; returns its id."""
    strategy: str = (await said(node, "", name=name, code=CODE))["strategy_id"]
    await said(node, "/start", strategy_id=strategy, symbols=["SIM-ALPHA"], timeframe="1s", configuration=WIDE,
               **changes)  # fmt: skip
    return strategy


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with a short name."""
    return tmp_path_factory.mktemp("n")


@pytest.mark.long
async def test_what_ran_runs_again_after_a_kill_with_its_parameters_and_what_was_stopped_does_not(folder: Path) -> None:
    with NodeProcess(folder, CONFIGURATION) as node:
        await node.ready()
        runs = await started(node, "Runs", parameters={"step": 5})
        await said(node, f"/{runs}/configure", parameters={"step": 7}, min_confidence_threshold=0.8)
        stopped = await started(node, "Stopped")
        await said(node, f"/{stopped}/stop")
        before = await status(node, runs)
        node.kill()
        node.start()
        await node.ready()

        async def active() -> Any:
            listed = await node.get("/api/strategies/active/list")
            return [each for each in listed if each["status"] == "active"]

        [again] = await until(active, "the strategy that ran")
        assert again["strategy_id"] == runs
        assert again["parameters"] == {"step": 7}
        assert again["execution_id"] != before["execution_id"]
        assert (await status(node, stopped))["status"] == "inactive"

        async def signals() -> Any:
            return (await node.get(f"/api/signals/list?strategy_ids={runs}&limit=1"))["signals"]

        [signal_] = await until(signals, "a signal of the strategy that runs again")
        assert signal_["metadata"]["step"] == 7
        assert "synthetic" in signal_["marks"]


@pytest.mark.long
async def test_a_killed_worker_and_a_killed_zygote_are_replaced(folder: Path) -> None:
    with NodeProcess(folder, CONFIGURATION) as node:
        await node.ready()
        runs = await started(node, "Runs")
        before = await status(node, runs)

        async def another() -> Any:
            now = await status(node, runs)
            return now if now["status"] == "active" and now["execution_id"] != before["execution_id"] else None

        with_pid(before["figures"]["pid"], signal.SIGKILL)
        before = await until(another, "another life of the strategy")
        assert "oom_or_cpu" in before["last_error"]
        worker = before["figures"]["pid"]
        zygotes = [each.parent for each in node.descendants() if each.pid == worker]
        with_pid(zygotes[0], signal.SIGKILL)
        again = await until(another, "a life after the zygote's")
        assert again["barred"] is None


LOOKS_BACK = """
def generate_signal(data, parameters):
    bars = data["SIM-ALPHA"]
    return {"action": "BUY", "confidence": 0.9, "metadata": {"bars": len(bars), "first": int(bars.timestamp[0])}}
"""


@pytest.mark.long
async def test_a_window_begins_with_the_bars_of_the_nodes_earlier_life(folder: Path) -> None:
    with NodeProcess(folder, CONFIGURATION) as node:
        await node.ready()
        strategy = (await said(node, "", name="Looks back", code=LOOKS_BACK))["strategy_id"]
        await said(node, "/start", strategy_id=strategy, symbols=["SIM-ALPHA"], timeframe="1s", configuration=WIDE)

        async def signals() -> Any:
            return (await node.get(f"/api/signals/list?strategy_ids={strategy}&limit=1000"))["signals"]

        async def several() -> Any:
            found = await signals()
            return found if len(found) >= 3 else None

        first = (await until(several, "three signals"))[-1]
        last = (await signals())[0]
        node.kill()
        node.start()
        await node.ready()

        async def later() -> Any:
            # What the first life had made and not yet stored comes before what the second one makes.
            return [each for each in await signals() if each["timestamp"] > last["timestamp"]]

        newest = (await until(later, "a signal of the second life"))[0]
        assert newest["metadata"]["first"] == first["metadata"]["first"]
        assert newest["metadata"]["bars"] >= 3
