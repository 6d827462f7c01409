"""Decisions over HTTP and WebSocket, through a real edge."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio
from prometheus_client.parser import text_string_to_metric_families
from trio_websocket import WebSocketConnection, open_websocket_url

from actors.decisions.serving.part import specs
from actors.decisions.serving.settings import ModelSettings, Settings
from actors.edge.auth import token_of
from actors.edge.edge import GetEdgeAddress
from protocols.decisions import UseModel
from protocols.experiments import ExperimentPlan
from protocols.paths import DECISIONS
from runtime import ChildSpec, Node, NodeSettings, TerminateChild, open_node, supervisor
from runtime.log import open_log
from tests.actors.decisions.serving.policies import Mlp, Slow, Sure
from tests.actors.decisions.serving.stage import plan
from tests.actors.decisions.serving.test_models import broken, written
from tests.http_client import http_client

EDGE = ChildSpec(
    name="edge",
    actor="actors.edge.edge:Edge",
    arguments={"settings": {"port": 0}, "routes": ("actors.decisions.serving.part:routes",)},
)
SIGNAL = {"confidence": 0.75, "rsi": 45, "macd": 0.02, "change_percent": -1.5, "action": "BUY"}


class Api:
    def __init__(self, client: httpx.AsyncClient, node: Node, url: str) -> None:
        self.client = client
        self.node = node
        self.url = url

    async def ask(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        answer = await self.client.request(method, path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        self.headers = answer.headers
        return answer.json() if "json" in answer.headers["content-type"] else answer.text

    async def predict(self, status: int = 200, **changes: Any) -> Any:
        body = {"user_id": "user5", "symbol": "BTC", "signal_data": SIGNAL, **changes}
        return await self.ask("POST", "/api/v1/predict", body, status)

    def use(self, policy: Any, name: str = "rl") -> None:
        self.node.ref(DECISIONS).tell(UseModel(name=name, version=policy.info.version, policy=policy))

    @asynccontextmanager
    async def socket(self, user: str) -> AsyncIterator[WebSocketConnection]:
        async with open_websocket_url(self.url.replace("http", "ws") + f"/ws/predictions/{user}") as socket:
            yield socket


async def said(socket: WebSocketConnection) -> Any:
    with trio.fail_after(20):
        return msgspec.json.decode(await socket.get_message())


@asynccontextmanager
async def api(
    folder: Path, settings: Settings | None = None, *plans: ExperimentPlan, token: bool = True
) -> AsyncIterator[Api]:
    branch = supervisor("decisions", *specs(settings or Settings(), str(folder / "models"), plans))
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_node(NodeSettings(data_dir=str(folder)), (branch, EDGE), log=log) as node:
            url = (await node.ref("/edge").ask(GetEdgeAddress())).url()
            headers = {"authorization": f"Bearer {token_of(folder)}"} if token else {}
            async with http_client(base_url=url, headers=headers, timeout=20.0) as client:
                with trio.fail_after(60):
                    yield Api(client, node, url)
    finally:
        log.close()


async def test_a_prediction_says_who_served_it_and_why(tmp_path: Path) -> None:
    async with api(tmp_path, None, plan(1.0), token=False) as at:
        at.use(Mlp())
        found = await at.predict()
        assert found["served_by"] == found["model"] == "rl"
        assert (found["reason"], found["fallback_used"], found["model_used"]) == ("", False, "rl_ensemble")
        assert (found["experiment"], found["arm"], found["marks"]) == ("test", "treatment", ["synthetic"])
        assert sum(found["probabilities"].values()) > 0.999
        assert {"rsi", "change_percent"}.isdisjoint(found["missing"])
        assert "adx" in found["missing"]
        assert found["metadata"]["priority"] == 1
        explained = await at.predict(explain=True)
        assert explained["factors"]
        assert explained["factors"][0]["text"] in explained["reasoning"]
        # Something in the arm's way: the fallback answers, and says what.
        sure = await at.predict(min_confidence=1.0)
        assert (sure["served_by"], sure["reason"], sure["model_used"]) == (
            "fallback",
            "LOW_CONFIDENCE",
            "error_fallback",
        )
        assert (sure["arm"], sure["action"]) == ("treatment", "BUY")
        unknown = await at.predict(signal_data={"rsi": 45, "moon": 1}, market_data={"stars": 2})
        assert unknown["ignored"] == ["signal_data.moon", "market_data.stars"]


async def test_candles_tell_the_regime_and_what_is_said_of_it_counts_before_them(tmp_path: Path) -> None:
    async with api(tmp_path) as at:
        at.use(Sure())
        closes = [100 * 1.002**number * (1.001 if number % 2 else 1.0) for number in range(120)]
        found = await at.predict(model="rl", market_data={"closes": closes})
        assert abs(sum(found["regimes"].values()) - 1) < 1e-6
        assert max(found["regimes"], key=found["regimes"].get) == "bull"
        given = {"bull": 0.1, "bear": 0.2, "sideways": 0.3, "high_volatility": 0.4}
        assert (await at.predict(model="rl", market_data={"closes": closes}, regimes=given))["regimes"] == given
        assert (await at.predict(model="rl", market_data={"closes": closes[:40]}))["regimes"] == {}


async def test_what_cannot_be_asked_is_one_error_with_its_field(tmp_path: Path) -> None:
    async with api(tmp_path, token=False) as at:
        for changes, field in (
            ({"signal_data": {"confidence": "high"}}, "signal_data.confidence"),
            ({"signal_data": None}, "signal_data"),
            ({"priority": 0}, "priority"),  # of a risk exit, which HTTP cannot ask for
            ({"priority": 4}, "priority"),
            ({"timeout_seconds": 31}, "timeout_seconds"),
            ({"regimes": {"bull": 0.5}}, "regimes"),
            ({"regimes": {"moon": 1.0}}, "regimes"),
            ({"user_id": ""}, "user_id"),
            ({"surprise": 1}, "surprise"),
        ):
            error = (await at.predict(400, **changes))["error"]
            assert error["field"] == field, error
            assert error["message"]


async def test_a_client_over_its_rate_is_told_when_to_come_again_and_a_full_queue_is_no_such_thing(
    tmp_path: Path,
) -> None:
    async with api(tmp_path, Settings(requests_per_s=0.2, burst=3, capacity=1, reserve=0, inference_s=30.0)) as at:
        slow = Slow()
        at.use(slow)
        try:
            answers = []

            async def ask() -> None:
                answers.append(await at.predict(model="rl", timeout_seconds=0.3))

            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(ask)
            assert {answer["served_by"] for answer in answers} == {"fallback"}
            assert {answer["reason"] for answer in answers} == {"TIMEOUT", "REJECTED"}
            error = (await at.predict(429))["error"]
            assert error["code"] == "rate_limited"
            assert 1 <= int(at.headers["retry-after"]) <= 5
            body = {"user_id": "anna", "symbol": "BTC", "signal_data": {}}
            assert (await at.ask("POST", "/api/v1/predict/async", body, 429))["error"]["code"] == "rate_limited"
        finally:
            slow.gate.set()


async def test_a_submitted_prediction_is_fetched_by_its_id_and_pushed_to_every_socket_of_its_user(
    tmp_path: Path,
) -> None:
    async with api(tmp_path, Settings(inference_s=60.0)) as at:
        slow = Slow()
        at.use(slow)
        async with at.socket("anna") as first, at.socket("anna") as second, at.socket("bert") as other:
            # A question of one's own shows that each socket is being served.
            for socket in (first, second, other):
                await socket.send_message('{"signal_data": {"rsi": 20}}')
                assert (await said(socket))["served_by"] == "rule"
            body = {"user_id": "anna", "symbol": "BTC", "signal_data": SIGNAL, "model": "rl", "timeout_seconds": 30}
            taken = await at.ask("POST", "/api/v1/predict/async", body)
            assert (taken["status"], taken["estimated_time_seconds"]) == ("submitted", 30)
            path = f"/api/v1/predict/{taken['request_id']}/result"
            waiting = await at.ask("GET", f"{path}?timeout=0.1", status=404)
            assert waiting["error"]["code"] == "pending"
            slow.gate.set()
            found = await at.ask("GET", f"{path}?timeout=20")
            assert (found["request_id"], found["served_by"]) == (taken["request_id"], "rl")
            for socket in (first, second):
                assert await said(socket) == {"type": "prediction_result", "data": found}
            await other.send_message("{}")
            assert (await said(other))["metadata"]["symbol"] == "BTC"  # its own answer, and nothing of anna's
        unknown = await at.ask("GET", "/api/v1/predict/nothing/result", status=404)
        assert unknown["error"]["code"] == "not_found"
        assert (await at.ask("GET", f"{path}?timeout=31", status=400))["error"]["field"] == "timeout"


async def test_a_socket_answers_each_message_and_survives_what_it_cannot_read(tmp_path: Path) -> None:
    async with api(tmp_path, None, plan(1.0)) as at:
        at.use(Sure())
        async with at.socket("anna") as socket:
            await socket.send_message(msgspec.json.encode({"signal_data": SIGNAL, "request_id": "mine"}).decode())
            found = await said(socket)
            assert (found["served_by"], found["request_id"], found["arm"]) == ("rl", "mine", "treatment")
            for message, code, field in (
                ("no json", "malformed_json", None),
                ('{"symbol": 7}', "invalid", "symbol"),
                ('{"signal_data": {"rsi": "low"}}', "invalid", "signal_data.rsi"),
                ('{"priority": 0}', "invalid", "priority"),
            ):
                await socket.send_message(message)
                error = await said(socket)
                assert (error["type"], error["code"], error.get("field")) == ("error", code, field)
            await socket.send_message("{}")
            assert (await said(socket))["fallback_used"] is True  # too little is known
            assert (await at.ask("GET", "/api/v1/status"))["active_connections"] == 1
            users = (await at.ask("GET", "/api/v1/stats/users"))["users"]
            assert users["anna"]["websocket_connections"] == 1


async def test_while_the_server_is_down_predictions_are_the_fallbacks_and_it_comes_back(tmp_path: Path) -> None:
    async with api(tmp_path, None, plan(1.0)) as at:
        at.use(Sure())
        assert (await at.predict())["served_by"] == "rl"
        await at.node.ref("/decisions").ask(TerminateChild("server"))
        found = await at.predict(timeout_seconds=0.5)
        assert (found["served_by"], found["reason"], found["action"]) == ("fallback", "REJECTED", "BUY")
        assert (await at.ask("GET", "/api/v1/metrics"))["service_metrics"] == {"is_ready": False}
        health = await at.ask("GET", "/api/v1/health")
        assert health["services"]["decision_server"] == "unhealthy"
        assert health["status"] == "degraded"
        restarted = await at.ask("POST", "/api/v1/system/restart", {})
        assert restarted["status"] == "restart_initiated"
        at.use(Sure())
        assert (await at.predict())["served_by"] == "rl"


async def test_models_are_put_in_service_listed_and_taken_back(tmp_path: Path) -> None:
    first, old = written(tmp_path, 1)
    second, new = written(tmp_path, 2)
    settings = Settings(models=(ModelSettings(name="rl_ensemble", path=str(first)),))
    async with api(tmp_path, settings) as at:

        async def update(status: int = 200, kind: str = "ensemble", **changes: Any) -> Any:
            return await at.ask("POST", "/api/v1/models/update", {"model_type": kind, **changes}, status)

        found = await update(parameters={"path": str(first)})
        assert (found["status"], found["agent_name"], found["model"]["version"]) == ("updated", "rl_ensemble", old)
        found = await update(parameters={"path": str(second)})
        assert (found["model"]["version"], found["model"]["previous"]) == (new, old)
        assert (await at.predict(model="rl_ensemble"))["model_version"] == new
        wrong = await update(400, parameters={"path": str(broken(tmp_path))})
        assert wrong["error"]["field"].startswith("golden[")
        absent = await update(404, parameters={"path": str(tmp_path / "absent")})
        assert absent["error"]["field"] == "parameters.path"
        for status, field, changes in (
            (409, "parameters", {}),
            (409, "parameters", {"parameters": {"path": str(first), "rollback": True}}),
            (501, "training_data", {"training_data": {}}),
            (400, "agent_name", {"kind": "individual", "parameters": {"path": str(first)}}),
            (404, "agent_name", {"kind": "individual", "agent_name": "nobody", "parameters": {"rollback": True}}),
            (400, "model_type", {"kind": "whatever"}),
        ):
            assert (await update(status, **changes))["error"]["field"] == field
        assert (await at.predict(model="rl_ensemble"))["model_version"] == new
        assert (await update(parameters={"rollback": True}))["model"]["version"] == old
        assert (await at.ask("POST", "/api/v1/models/rl_ensemble/rollback", {}))["version"] == new
        listed = await at.ask("GET", "/api/v1/models")
        assert [(model["name"], model["version"], model["swaps"]) for model in listed["models"]] == [
            ("rl_ensemble", new, 3)
        ]


async def test_who_has_no_token_changes_nothing(tmp_path: Path) -> None:
    async with api(tmp_path, token=False) as at:
        for path in ("/api/v1/models/update", "/api/v1/models/rl/rollback", "/api/v1/system/restart"):
            assert (await at.ask("POST", path, {}, 401))["error"]["code"] == "unauthorized"


async def test_figures_are_of_what_was_decided_and_what_nobody_knows_is_null(tmp_path: Path) -> None:
    async with api(tmp_path, None, plan(0.5)) as at:
        at.use(Sure())
        users = [f"user{number}" for number in range(20)]
        served = [(await at.predict(user_id=user))["served_by"] for user in users]
        assert (await at.predict(model="nobody", user_id="user0"))["reason"] == "MODEL_ERROR"
        by_model, by_rule = served.count("rl"), served.count("rule")
        assert min(by_model, by_rule) > 0

        metrics = await at.ask("GET", "/api/v1/metrics")
        service = metrics["service_metrics"]
        assert (service["total_predictions"], service["failed_predictions"]) == (21, 1)
        assert service["by_served"] == {"fallback": 1, "rl": by_model, "rule": by_rule}
        assert service["by_reason"] == {"MODEL_ERROR": 1}
        performance = await at.ask("GET", "/api/v1/metrics/performance")
        assert {row["served_by"]: row["decisions"] for row in performance["by_server"]} == service["by_served"]
        assert performance["overall"]["accuracy"] is None
        assert "outcomes" in performance["overall"]["remark"]
        compared = await at.ask("GET", "/api/v1/models/comparison")
        assert compared["rl_model"]["total_predictions"] == by_model
        assert compared["fallback_model"]["total_predictions"] == by_rule + 1
        assert compared["rl_advantage"]["accuracy_diff"] is None
        assert compared["rl_advantage"]["response_time_diff"] is not None
        assert (await at.ask("GET", "/api/v1/models/performance"))["comparison"]["rl_model"] == compared["rl_model"]
        dashboard = await at.ask("GET", "/api/v1/metrics/dashboard")
        assert "rl_predictions" in {name.removesuffix("_total") for name in dashboard["metrics_available"]}
        assert dashboard["alerts"] is None  # there is no keeper of alerts here: nobody says that there are none
        stats = await at.ask("GET", "/api/v1/stats/users?limit=5")
        assert stats["total_users"] == 5
        assert stats["users"]["user0"] | {"uptime_seconds": 0, "last_activity": ""} == {
            "state": None,
            "total_predictions": 2,
            "total_errors": 1,
            "recent_predictions_1h": 2,
            "recent_success_rate": 0.5,
            "uptime_seconds": 0,
            "last_activity": "",
            "agents": [],
            "websocket_connections": 0,
        }
        counters = await at.ask("GET", "/api/v1/stats/performance")
        assert counters["total_predictions"] == 21
        assert counters["avg_processing_time_ms"] > 0
        for path in ("/status", "/api/v1/status"):
            assert (await at.ask("GET", path))["is_ready"] is True

        text = await at.ask("GET", "/api/v1/metrics/prometheus")
        families = {family.name: family for family in text_string_to_metric_families(text)}
        told = families["rl_predictions"]
        assert (told.type, bool(told.documentation)) == ("counter", True)
        counted = {
            sample.labels["served_by"]: sample.value for sample in told.samples if sample.name.endswith("_total")
        }
        assert counted == {name: float(count) for name, count in service["by_served"].items()}
        assert not [sample for family in families.values() for sample in family.samples if "user_id" in sample.labels]
