"""A whole node with a database of its own is killed while users ask: everybody stays, nothing is lost or twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.node.kit import NodeProcess, until

CONFIGURATION = """\
[node]
name = "killed"
data_dir = "data"

[edge]
port = 0

[[experiments]]
rl_traffic_percentage = 0.5
"""
SIGNAL = {"action": "BUY", "confidence": 0.8, "rsi": 25, "change_percent": 1.5}
USERS = 60


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with a short name."""
    return tmp_path_factory.mktemp("n")


async def predict(node: NodeProcess, user: str) -> Any:
    body = {"user_id": user, "symbol": "BTC", "signal_data": SIGNAL}
    answer = await node.client.post("/api/v1/predict", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.long
async def test_a_killed_node_has_the_same_arms_exposures_and_outcomes(folder: Path) -> None:
    with NodeProcess(folder, CONFIGURATION) as node:
        await node.ready()
        arms: dict[str, str] = {}
        told = 0
        for life in range(3):
            for number in range(USERS):
                decision = await predict(node, f"u{number}")
                assert arms.setdefault(f"u{number}", decision["arm"]) == decision["arm"]
                if number % 2 == life % 2:
                    body = {"userId": f"u{number}", "predictionId": decision["request_id"], "outcome": 0.01 * number}
                    answer = await node.client.post("/api/rl/feedback", json=body)
                    assert answer.status_code == 200, answer.text
                    told += 1
            before = await node.get("/api/v1/ab-test/report")
            node.kill()
            node.start()
            await node.ready()

            async def known() -> Any:
                return (await node.get("/api/v1/ab-test/status"))["incomplete"] is None

            await until(known, "what only the database knew")
            after = await node.get("/api/v1/ab-test/report")
            for one, other in zip(before["arms"], after["arms"], strict=True):
                assert other == {**one, "p99_ms": other["p99_ms"]}
            assert sum(arm["requests"] for arm in after["arms"]) == (life + 1) * USERS
        assert {arm["name"]: arm["units"] for arm in after["arms"]} == {
            arm: list(arms.values()).count(arm) for arm in ("control", "treatment")
        }
        assert sum(arm["pending"] for arm in after["arms"]) == 3 * USERS - told

        async def rows() -> Any:
            found = await node.query("SELECT unit, count(*) FROM ab_exposures GROUP BY unit")
            return len(found) == USERS and {count for _, count in found} == {1}

        await until(rows, "one row of each exposure")
