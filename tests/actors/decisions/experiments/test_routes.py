"""The routes of A/B tests through a real edge, as the RL service had them and as its clients call them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from actors.decisions.experiments.plans import DEFAULT_SETTINGS, ExperimentSettings
from actors.edge.auth import token_of
from actors.edge.edge import GetEdgeAddress
from runtime import ChildSpec
from tests.actors.decisions.experiments.stage import BEGIN, Stage, experiment, stage
from tests.http_client import http_client

EDGE = ChildSpec(
    name="edge",
    actor="actors.edge.edge:Edge",
    arguments={"settings": {"port": 0}, "routes": ("actors.decisions.experiments.part:routes",)},
)
TEST = "/api/v1/ab-test"
DEFAULT = ExperimentSettings(treatment="rl")


class Api:
    def __init__(self, client: httpx.AsyncClient, at: Stage) -> None:
        self.client = client
        self.at = at

    async def ask(self, method: str, path: str, body: object = None, status: int = 200, **more: Any) -> Any:
        answer = await self.client.request(method, path, json=body, **more)
        assert answer.status_code == status, answer.text
        return answer.json()


@asynccontextmanager
async def api(folder: Path, *experiments: ExperimentSettings) -> AsyncIterator[Api]:
    async with stage(folder, *(experiments or (DEFAULT,)), others=(EDGE,)) as at:
        url = (await at.node.ref("/edge").ask(GetEdgeAddress())).url()
        headers = {"authorization": f"Bearer {token_of(folder)}"}
        async with http_client(base_url=url, headers=headers, timeout=20.0) as client:
            yield Api(client, at)


async def test_the_default_test_is_configured_shown_and_reported_as_the_rl_service_said(tmp_path: Path) -> None:
    async with api(tmp_path) as at:
        decisions = await at.at.predictions(100)
        found = await at.ask("GET", f"{TEST}/status")
        models = sum(each.served_by == "rl" for each in decisions.values())
        assert (found["name"], found["enabled"], found["rl_traffic_percentage"]) == ("default_rl_test", True, 0.1)
        assert found["statistics"] == {
            "total_requests": 100,
            "rl_requests": models,
            "fallback_requests": 100 - models,
            "actual_rl_percentage": models / 100,
        }
        assert 0 < models < 25
        report = await at.ask("GET", f"{TEST}/report")
        assert [arm["units"] for arm in report["arms"]] == [100 - models, models]
        assert (report["state"], report["blocked"]) == ("not enough data", False)
        body = {"enabled": True, "rl_traffic_percentage": 0.3}
        changed = await at.ask("POST", f"{TEST}/configure", body)
        assert changed["status"] == "configured"
        assert changed["config"] == {**body, "name": "default_rl_test", "coverage": 1.0, "phase": 2}
        assert changed["timestamp"].startswith("2024-10-04T12:00:00")
        # The name of the service's other set of routes, in the query as there.
        json = {"content-type": "application/json"}
        alias = await at.ask("POST", f"{TEST}/configure?traffic_percentage=0.2", headers=json)
        assert (alias["config"]["rl_traffic_percentage"], alias["config"]["phase"]) == (0.2, 3)
        assert (await at.ask("GET", f"{TEST}/report"))["arms"][0]["units"] == 0
        assert [arm["units"] for arm in (await at.ask("GET", f"{TEST}/report?phase=1"))["arms"]] == [
            100 - models,
            models,
        ]


BAD: tuple[tuple[str, dict[str, Any], str, str], ...] = (
    (f"{TEST}/configure", {"rl_traffic_percentage": 30}, "rl_traffic_percentage", "<= 1.0"),
    (f"{TEST}/configure", {"rl_traffic": 0.3}, "rl_traffic", "unknown field"),
    (
        f"{TEST}/configure",
        {"rl_traffic_percentage": 0.3, "traffic_percentage": 0.2},
        "traffic_percentage",
        "expected the same as rl_traffic_percentage, got 0.2 and 0.3",
    ),
    ("/api/rl/feedback", {"userId": "ann", "predictionId": "x"}, "outcome", "missing required field"),
    ("/api/rl/feedback", {"userId": "ann", "predictionId": "x", "outcome": "good"}, "outcome", "float | object"),
    (
        "/api/rl/feedback",
        {"userId": "ann", "predictionId": "x", "outcome": {"success": True}},
        "outcome.return",
        "expected a number, or an object with return or pnl",
    ),
    (
        "/api/rl/feedback",
        {"userId": "ann", "predictionId": "x", "outcome": {"return": 0.1, "pnl": 0.2}},
        "outcome",
        "expected one of return and pnl, got 0.1 and 0.2",
    ),
    (
        "/api/rl/feedback",
        {"userId": "ann", "predictionId": "x", "outcome": 0.1, "timestamp": "yesterday"},
        "timestamp",
        "expected ISO 8601, or a number, got 'yesterday'",
    ),
    (f"{TEST}/rollout", {"plan": {"steps": [0.5, 0.1]}}, "plan.steps", "expected rising shares"),
    (f"{TEST}/rollout", {"plan": {"guards": {"alpha": 2}}}, "plan.guards.alpha", "expected a number within 0 to 0.5"),
)


async def test_bad_input_is_one_error_that_names_the_field(tmp_path: Path) -> None:
    async with api(tmp_path) as at:
        for path, body, field, said in BAD:
            error = (await at.ask("POST", path, body, 400))["error"]
            assert (error["code"], error["field"]) == ("invalid", field)
            assert said in error["message"]


async def test_feedback_is_taken_in_every_form_that_clients_write_it_in(tmp_path: Path) -> None:
    async with api(tmp_path) as at:
        for number, (outcome, timestamp) in enumerate(
            (
                (0.01, None),
                ({"return": 0.01, "success": True}, "2024-10-04T13:00:00Z"),
                ({"pnl": 0.01, "note": "closed by hand"}, BEGIN / 1e9),
                ({"return": 0.01, "pnl": 0.01}, BEGIN // 10**6),
                (1, BEGIN),
            )
        ):
            decision = await at.at.predict(f"u{number}")
            body = {"userId": f"u{number}", "predictionId": decision.decision_id, "outcome": outcome}
            body |= {} if timestamp is None else {"timestamp": timestamp}
            taken = await at.ask("POST", "/api/rl/feedback", body)
            assert taken == {"status": "recorded", "predictionId": decision.decision_id, "repeated": False}
            assert (await at.ask("POST", "/api/rl/feedback", body))["repeated"] is True
        body = {"userId": "u0", "predictionId": decision.decision_id, "outcome": 0.01}
        assert (await at.ask("POST", "/api/rl/feedback", body, 404))["error"]["field"] == "predictionId"
        body |= {"userId": "u4", "outcome": 0.5}
        assert (await at.ask("POST", "/api/rl/feedback", body, 409))["error"]["code"] == "conflict"


async def test_a_rollout_is_begun_paused_resumed_and_aborted(tmp_path: Path) -> None:
    rollout = f"{TEST}/rollout"
    async with api(tmp_path) as at:
        assert await at.ask("GET", rollout) == {"rollouts": []}
        begun = await at.ask("POST", rollout, {"plan": {"step_units": 5}})
        assert (begun["state"], begun["coverage"], begun["plan"]["step_units"]) == ("running", 0.01, 5)
        assert (await at.ask("POST", rollout, {}, 409))["error"]["code"] == "conflict"
        refused = await at.ask("POST", f"{TEST}/configure", {"rl_traffic_percentage": 0.3}, 409)
        assert refused["error"]["message"].endswith("abort it first")
        name = f"{rollout}/default_rl_test"
        assert (await at.ask("POST", f"{name}/pause", {"reason": "lunch"}))["why"] == "paused: lunch"
        assert (await at.ask("POST", f"{name}/resume", {}))["state"] == "running"
        assert (await at.ask("POST", f"{name}/release", {}, 409))["error"]["code"] == "conflict"
        assert (await at.ask("POST", f"{name}/abort", {}))["state"] == "reverted"
        found = await at.ask("GET", f"{TEST}/status")
        assert (found["reverted"], found["coverage"], found["staged"]) == ("rule", 0.01, False)
        assert (await at.ask("POST", f"{rollout}/no_such/pause", {}, 404))["error"]["code"] == "not_found"


async def test_all_tests_are_listed_and_a_node_without_any_has_the_usual_one_switched_off(tmp_path: Path) -> None:
    async with api(tmp_path / "two", experiment(name="one"), experiment(name="two")) as at:
        assert [each["name"] for each in (await at.ask("GET", TEST))["tests"]] == ["one", "two"]
        missing = await at.ask("GET", f"{TEST}/status", None, 404)
        assert missing["error"]["message"] == "there is no test 'default_rl_test'; there are: one, two"
    async with api(tmp_path / "none", *DEFAULT_SETTINGS) as at:
        [usual] = (await at.ask("GET", TEST))["tests"]
        assert (usual["name"], usual["enabled"], usual["rl_traffic_percentage"]) == ("default_rl_test", False, 0.1)
        assert (await at.at.predict("ann")).experiment == ""
        await at.ask("POST", f"{TEST}/configure", {"enabled": True})
        assert (await at.at.predict("ann")).experiment == "default_rl_test"
