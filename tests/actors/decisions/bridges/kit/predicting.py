"""A running node that predicts over HTTP, with bridges to services that stand in, on trio's clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import trio

from actors.decisions.bridges.part import LIMIT
from actors.decisions.bridges.part import specs as bridge_specs
from actors.decisions.bridges.settings import Settings
from actors.decisions.experiments.part import specs as experiment_specs
from actors.decisions.experiments.plans import ExperimentSettings
from actors.decisions.policy import Mask, PolicyAnswer, Values
from actors.decisions.serving.part import specs as serving_specs
from actors.decisions.serving.settings import Settings as ServingSettings
from actors.edge.auth import token_of
from actors.edge.edge import GetEdgeAddress
from protocols.decisions import UseModel
from protocols.paths import DECISIONS
from runtime import ChildSpec, Node, NodeSettings, open_node, supervisor
from runtime.log import open_log
from tests.actors.decisions.bridges.kit.nodes import START, TrioClock
from tests.actors.decisions.serving.policies import FEATURES, Sure
from tests.http_client import http_client

HOUR_MS = 3_600_000
NOW_MS = START // 1_000_000
ROUTES = tuple(f"actors.decisions.{part}.part:routes" for part in ("serving", "experiments", "bridges"))
EDGE = ChildSpec(name="edge", actor="actors.edge.edge:Edge", arguments={"settings": {"port": 0}, "routes": ROUTES})


class Seeing(Sure):
    """Buys, and keeps what it was shown: the known features of each observation."""

    def __init__(self, **changes: object) -> None:
        super().__init__(**changes)  # type: ignore[arg-type]
        self.known: list[dict[str, float]] = []

    def act(self, values: Values, mask: Mask | None = None, regimes: Values | None = None) -> list[PolicyAnswer]:
        for row in values:
            self.known.append({name: float(value) for name, value in zip(FEATURES, row, strict=True) if value == value})
        return super().act(values, mask, regimes)


class Predicting:
    """What a test has of it. `model`: what the treatment arm is served by."""

    def __init__(self, node: Node, client: httpx.AsyncClient, model: Seeing) -> None:
        self.node = node
        self.client = client
        self.model = model

    async def ask(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        answer = await self.client.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def predict(self, **changes: Any) -> Any:
        """A prediction; one that comes after its deadline fails the test."""
        body = {"user_id": "ann", "symbol": "BTC", "signal_data": {"rsi": 28.0}, **changes}
        began = trio.current_time()
        answer = await self.ask("POST", "/api/v1/predict", body)
        assert trio.current_time() - began <= body.get("timeout_seconds", 5.0)
        return answer


@asynccontextmanager
async def predicting(
    folder: Path, settings: Settings, *, share: float = 1.0, timeout_s: float = 5.0, **model: object
) -> AsyncIterator[Predicting]:
    """With `share` of the users in the treatment arm."""
    test = ExperimentSettings(name="test", treatment="rl", rl_traffic_percentage=share)
    branch = supervisor(
        "decisions",
        *serving_specs(ServingSettings(timeout_s=timeout_s), str(folder / "models")),
        *experiment_specs((test,)),
        supervisor("bridges", *bridge_specs(settings), limit=LIMIT),
    )
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        node_settings = NodeSettings(data_dir=str(folder))
        async with open_node(node_settings, (branch, EDGE), clock=TrioClock(), log=log) as node:
            policy = Seeing(**model)
            await node.ref(DECISIONS).ask(UseModel(name="rl", version="1", policy=policy))
            url = (await node.ref("/edge").ask(GetEdgeAddress())).url()
            headers = {"authorization": f"Bearer {token_of(folder)}"}
            async with http_client(base_url=url, headers=headers, timeout=60.0) as client:
                with trio.fail_after(600):
                    yield Predicting(node, client, policy)
    finally:
        log.close()


def hourly(count: int = 40, *, end_ms: int = NOW_MS, **changes: Any) -> dict[str, Any]:
    """A window of hourly bars, as the old service has it; the newest one ends at `end_ms`."""
    closes = 100.0 + np.cumsum(np.sin(np.arange(count) * 1.7))
    bars = [
        {
            "timestamp": end_ms - (count - place) * HOUR_MS,
            "open": close,
            "high": close + 1.0,
            "low": close - 1.0,
            "close": close,
            "volume": 10.0 + place % 3,
            **changes,
        }
        for place, close in enumerate(closes.tolist())
    ]
    return {"data": bars}
