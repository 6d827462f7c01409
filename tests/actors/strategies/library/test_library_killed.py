"""A whole node that is killed: what it has accepted is there when it is started again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.actors.strategies.library.stage import CODE
from tests.node.kit import NodeProcess

CONFIGURATION = """\
[node]
name = "killed"
data_dir = "data"

[edge]
port = 0
"""


async def written(node: NodeProcess, method: str, path: str, **body: Any) -> Any:
    answer = await node.client.request(method, f"/api/strategies{path}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with a short name."""
    return tmp_path_factory.mktemp("n")


@pytest.mark.long
async def test_strategies_survive_the_kill_of_their_node(folder: Path) -> None:
    with NodeProcess(folder, CONFIGURATION) as node:
        await node.ready()
        one = (await written(node, "POST", "", name="One", code=CODE, tags=["a"]))["strategy_id"]
        await written(node, "PUT", f"/{one}", code=f"# 2\n{CODE}")
        two = (await written(node, "POST", "", name="Two", code=CODE))["strategy_id"]
        await written(node, "DELETE", f"/{two}")
        last = (await written(node, "POST", "", name="Last", code=CODE))["strategy_id"]
        node.kill()
        node.start()
        await node.ready()
        shown = await node.get(f"/api/strategies/{one}")
        assert (shown["version"], shown["tags"]) == ("2", ["a"])
        assert shown["files"]["strategy.py"]["content"] == f"# 2\n{CODE}"
        assert (await node.get(f"/api/strategies/{one}/versions/1"))["code"] == CODE
        assert (await node.get(f"/api/strategies/{two}"))["status"] == "archived"
        listed = await node.get("/api/strategies?source=own")
        assert [each["strategy_id"] for each in listed["strategies"]] == [last, one]
        assert (await written(node, "POST", f"/{one}/versions/1/restore"))["version"] == 3
