"""The routes of the bridges, through a real edge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio

from actors.decisions.bridges.part import LIMIT, specs
from actors.decisions.bridges.settings import Settings
from actors.edge.auth import token_of
from actors.edge.edge import GetEdgeAddress
from runtime import ChildSpec, NodeSettings, open_node, supervisor
from tests.actors.decisions.bridges.kit.service import Service, backend, reply, service
from tests.http_client import http_client

EDGE = ChildSpec(
    name="edge",
    actor="actors.edge.edge:Edge",
    arguments={"settings": {"port": 0}, "routes": ("actors.decisions.bridges.part:routes",)},
)
PREFIX = "/api/v1/bridges"


class Api:
    def __init__(self, client: httpx.AsyncClient, there: Service) -> None:
        self.client = client
        self.there = there

    async def ask(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        answer = await self.client.request(method, PREFIX + path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()


@asynccontextmanager
async def api(folder: Path, *without: str, token: bool = True) -> AsyncIterator[Api]:
    async with service(backend) as there:
        urls = {f"{name}_url": there.url for name in ("trading", "data", "threshold") if name not in without}
        settings = Settings(**urls, retries=0)
        tree = supervisor("decisions", supervisor("bridges", *specs(settings), limit=LIMIT))
        async with open_node(NodeSettings(data_dir=str(folder)), (tree, EDGE)) as node:
            url = (await node.ref("/edge").ask(GetEdgeAddress())).url()
            headers = {"authorization": f"Bearer {token_of(folder)}"} if token else {}
            async with http_client(base_url=url, headers=headers, timeout=20.0) as client:
                with trio.fail_after(30):
                    yield Api(client, there)


async def test_everything_that_a_bridge_can_be_asked_can_be_asked_over_http(tmp_path: Path) -> None:
    async with api(tmp_path) as at:
        assert (await at.ask("GET", "/trading/status/ann"))["is_active"] is True
        body = {"user_id": "ann", "watchlist": ["BTC"], "settings": {"maxPositions": 2}}
        assert (await at.ask("POST", "/trading/start", body))["session_id"] == "x1"
        assert (await at.ask("POST", "/trading/stop", {"user_id": "ann"}))["message"] == "stopped"
        assert len((await at.ask("GET", "/trading/signals/ann?limit=5"))["signals"]) == 2
        taken = await at.ask("PUT", "/trading/settings/ann", {"settings": {"maxDrawdown": 0.2}})
        assert taken["answer"] == {"maxDrawdown": 0.2}
        window = await at.ask("GET", "/data/market/BTC?window_hours=48&include_indicators=false")
        assert [bar["close"] for bar in window["bars"]] == [2.0, 2.5]
        assert window["bars"][0]["volume"] is None
        assert (await at.ask("POST", "/data/aggregate", {"symbols": ["BTC"]}))["missing"] == ["smart_money"]
        verdict = await at.ask("POST", "/threshold/evaluate", {"user_id": "ann", "symbol": "BTC", "action": "BUY"})
        assert (verdict["action"], verdict["confidence"]) == ("BUY", None)
        assert at.there.asked[5].query["include_indicators"] == "false"
        assert at.there.asked[1].body["settings"] == {"maxPositions": 2}


async def test_the_overview_shows_breaker_statistics_and_what_is_not_configured(tmp_path: Path) -> None:
    async with api(tmp_path, "threshold") as at:
        at.there.always.append(reply(500, {"error": "on fire"}))
        for _ in range(5):
            failed = await at.ask("GET", "/trading/status/ann", status=502)
            assert failed["error"]["code"] == "upstream_error"
        refused = await at.ask("GET", "/trading/status/ann", status=503)
        assert refused["error"]["code"] == "circuit_open"
        trading, data, threshold = (await at.ask("GET", ""))["bridges"]
        assert (trading["name"], trading["state"], trading["breaker"], trading["refused"]) == (
            "trading",
            "degraded",
            "open",
            1,
        )
        assert 0 < trading["retry_after_s"] <= 60
        assert trading["statistics"]["requests"] == 5
        assert trading["statistics"]["success_rate"] == 0.0
        assert trading["statistics"]["mean_ms"] is None
        assert "on fire" in trading["detail"]
        assert (data["state"], data["breaker"], data["statistics"]["success_rate"]) == ("ok", "closed", None)
        assert (threshold["state"], threshold["breaker"]) == ("not_configured", None)


async def test_each_way_in_which_a_service_fails_has_its_status(tmp_path: Path) -> None:
    async with api(tmp_path, "threshold") as at:
        for answer, status, code in (
            (reply(404, {}), 404, "upstream_not_found"),
            (reply(422, {"error": "no such field"}), 409, "upstream_refused"),
            (reply(503, {}), 503, "upstream_unavailable"),
            (reply(200, b"nonsense"), 502, "upstream_error"),
        ):
            at.there.faults.append(answer)
            assert (await at.ask("GET", "/trading/status/ann", status=status))["error"]["code"] == code
        at.there.faults.append(reply(500, {}))
        unknown = await at.ask("POST", "/trading/start", {"user_id": "ann"}, status=504)
        assert unknown["error"]["code"] == "unknown"
        absent = await at.ask(
            "POST", "/threshold/evaluate", {"user_id": "a", "symbol": "B", "action": "BUY"}, status=503
        )
        assert absent["error"]["code"] == "not_configured"
        assert "bridges.threshold_url" in absent["error"]["message"]
        assert (await at.ask("GET", "/data/market/BTC?window_hours=0", status=400))["error"]["field"] == "window_hours"


async def test_who_has_no_token_may_look_and_changes_nothing(tmp_path: Path) -> None:
    async with api(tmp_path, token=False) as at:
        await at.ask("GET", "")
        await at.ask("GET", "/trading/status/ann")
        for method, path, body in (
            ("POST", "/trading/start", {"user_id": "ann"}),
            ("POST", "/trading/stop", {"user_id": "ann"}),
            ("PUT", "/trading/settings/ann", {"settings": {}}),
        ):
            await at.ask(method, path, body, status=401)
        assert [each.method for each in at.there.asked] == ["GET"]
