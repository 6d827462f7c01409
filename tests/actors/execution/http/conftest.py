"""One node for all tests of these routes: the simulated venue, a strategy that trades, an account of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.node.kit import NodeProcess

CONFIGURATION = """\
[node]
name = "routes"
data_dir = "data"

[edge]
port = 0

[venue]
rate = 50.0

[[feeds]]
name = "demo"
venue = "simulated"

[[strategies]]
name = "every"
strategy = "tests.node.strategies:TradeEveryQuote"
markets = ["SIM-BETA"]

[[accounts]]
name = "Configured"
[accounts.engine.account]
account_id = "configured"
user = "ada"
initial_capital = "10000"

[[deployments]]
deployment_id = "d1"
strategy_id = "every"
account = "configured"
markets = ["SIM-BETA"]
opposite = "flip"
"""
PATIENCE_S = 30.0


class Client:
    """Speaks to the node; `expected` is the status that an answer has to have."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        token = (node.data / "token").read_text().strip()
        self.http = httpx.Client(base_url=node.url, headers={"authorization": f"Bearer {token}"}, timeout=60.0)

    def __call__(self, method: str, path: str, expected: int = 200, **body: Any) -> Any:
        content = body if method in ("POST", "PUT", "PATCH") else None
        answer = self.http.request(method, path, json=content)
        assert answer.status_code == expected, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def get(self, path: str, expected: int = 200) -> Any:
        return self("GET", path, expected)

    def until(self, path: str, condition: Callable[[Any], Any]) -> Any:
        """Ask until the answer is what is waited for."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = self.get(path)
            if condition(found):
                return found
            assert time.monotonic() < deadline, f"{path} answers {found}"
            time.sleep(0.02)

    def session(self, **fields: Any) -> str:
        """A session of its own for a test."""
        return str(self("POST", "/api/paper-trading/sessions", 201, **fields)["session_id"])


@contextmanager
def client_of(folder: Path, configuration: str) -> Iterator[Client]:
    """A client of a node of its own, once that listens."""
    with NodeProcess(folder, configuration) as node:
        deadline = time.monotonic() + PATIENCE_S
        while not node.out.endswith("\n"):
            assert node.process.poll() is None, node.log[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        found = Client(node)
        yield found
        found.http.close()


@pytest.fixture(scope="package")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a node that trades; it is busy, so it ends with the last of these tests."""
    with client_of(tmp_path_factory.mktemp("r"), CONFIGURATION) as found:
        found.until("/api/v1/accounts", lambda answer: any(each["up"] for each in answer["accounts"]))
        yield found
