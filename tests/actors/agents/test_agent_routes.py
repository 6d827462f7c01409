"""The routes of agents: what is taken, what is refused and how, in the words of the service that this replaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from protocols.decisions import ListModels, ModelList, ModelView
from protocols.paths import DECISIONS, MODELS
from runtime import Actor, ChildSpec, StartChild, receive
from tests.actors.agents.stage import NOWHERE, Desk, Oracle, desk, now_bar

CONFIG = {"symbols": ["A"], "validity_s": 600}


class Shelf(Actor):
    """In the place of the keeper of models: there is one."""

    @receive
    def models(self, request: ListModels) -> ModelList:
        view = ModelView(
            name="demo", version="1", kind="mlp", path="", feature_set="market29", features=(), actions=(),
            min_features=3, ts_loaded=0,
        )  # fmt: skip
        return ModelList((view,))


async def refused(at: Desk, path: str, status: int, body: Any) -> tuple[str, str, str]:
    """(code, field, message) of an error with this status."""
    answer = await at.http.post(path, json=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    return error["code"], error["field"], error["message"]


async def test_a_body_that_cannot_be_is_told_with_its_field_what_was_expected_and_what_came(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE, bars=False) as at:
        for body, field, message in (
            ({"config": {}}, "user_id", "Object missing required field `user_id`"),
            ({"user_id": ""}, "user_id", 'Expected `str` of length >= 1, got ""'),
            ({"user_id": "ada", "colour": 1}, "colour", "Object contains unknown field `colour`"),
            ({"user_id": "ada", "config": 5}, "config", "expected an object, got int"),
            (
                {"user_id": "ada", "config": {"sym": []}},
                "config.sym",
                "Object contains unknown field `sym`",
            ),
            (
                {"user_id": "ada", "config": {"confidence_threshold": 2}},
                "config.confidence_threshold",
                "Expected `float` <= 1.0, got 2",
            ),
            (
                {"user_id": "ada", "config": {"model_type": "oracle"}},
                "config.model_type",
                'Expected one of ensemble, individual, got "oracle"',
            ),
            (
                {"user_id": "ada", "config": {"symbols": ["A", "A"]}},
                "config.symbols",
                "expected each once, got A twice",
            ),
        ):
            assert await refused(at, "/start", 400, body) == ("invalid", field, message)
        code, field, message = await refused(at, "/start", 400, {"user_id": "ada", "config": {"timeframe": "fast"}})
        assert (code, field) == ("invalid", "config.timeframe")
        assert "'fast'" in message
        assert await refused(at, "/control", 400, {"user_id": "ada", "action": "fly"}) == (
            "invalid",
            "action",
            'Expected one of start, stop, pause, resume, got "fly"',
        )
        for path in ("/ada/status", "/status/ada", "/ada/decisions", "/ada/decisions/last"):
            error = (await at.call("GET", path, 404))["error"]
            assert (error["code"], error["field"]) == ("not_found", "user_id")
        assert (await at.control("stop", "ada", 404))["error"]["message"] == "there is no agent of 'ada'"
        assert await at.all() == []


async def test_a_start_again_changes_nothing_and_each_order_says_what_became_of_it(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        first = await at.start(**CONFIG)
        assert (first["status"], first["config"]["symbols"]) == ("started", ["A"])
        await at.running()
        again = await at.start(symbols=["B"])
        assert (again["status"], again["config"], again["created_at"]) == (
            "already_running",
            first["config"],
            first["created_at"],
        )
        not_paused = await at.control("resume")
        assert (not_paused["success"], not_paused["status"], not_paused["current_state"]) == (
            False,
            "not_paused",
            "running",
        )
        assert (await at.control("pause"))["result"] == {"status": "paused"}
        assert (await at.control("pause"))["status"] == "not_running"
        assert (await at.start())["status"] == "resumed"
        stopped = await at.control("stop")
        assert set(stopped["final_stats"]) == {"prediction_count", "error_count", "uptime_seconds"}
        assert (await at.control("stop"))["current_state"] == "stopped"
        # Started again without a configuration, it is what it was.
        assert (await at.control("start"))["status"] == "started"
        view = await at.running()
        assert view.symbols == ("A",)


async def test_both_sets_of_paths_show_an_agent_its_markets_and_what_it_decided(tmp_path: Path) -> None:
    async with desk(tmp_path, NOWHERE) as at:
        await at.start(**CONFIG, decide_every=1)
        await at.running()
        [market] = (await at.call("GET", "/ada/status"))["markets"]
        assert (market["symbol"], market["ready"], market["bars_before"], market["last_bar"]) == ("A", True, 0, None)
        assert market["missing"].startswith("no older bars: ")  # there is no database
        bars = [now_bar(at.node, 1), now_bar(at.node)]
        for each in bars:
            at.node.publish(each)
        await at.decided(2)
        stored = [each.signal.signal_id for each in await at.signals(2)]
        one = await at.call("GET", "/ada/status")
        coded = await at.call("GET", "/status/ada")
        assert coded.pop("uptime_seconds") >= one.pop("uptime_seconds") > 0
        assert coded == one
        assert (one["is_active"], one["strategy_id"], one["last_error"]) == (True, "agent:ada", None)
        listed = await at.all()
        assert [(each["user_id"], each["prediction_count"]) for each in listed] == [("ada", 2)]
        shown = (await at.call("GET", "/ada/decisions?symbol=A"))["decisions"]
        assert [each["signal_id"] for each in shown] == stored[::-1]
        assert [each["decision_id"] for each in shown] == [each.decision_id for each in reversed(Oracle.asked)]
        assert len((await at.call("GET", "/ada/decisions?limit=1"))["decisions"]) == 1
        assert (await at.call("GET", "/ada/decisions?symbol=B"))["decisions"] == []
        assert (await at.call("GET", "/ada/decisions/last"))["decision_id"] == shown[0]["decision_id"]


async def test_a_model_that_nobody_has_loaded_is_refused_by_who_knows_and_taken_where_nobody_does(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, NOWHERE, bars=False) as at:
        assert (await at.start("eve", model="nix"))["status"] == "started"  # there is nobody to ask
        await at.node.ref(DECISIONS.rpartition("/")[0]).ask(
            StartChild(ChildSpec(name=MODELS.rpartition("/")[2], actor=Shelf))
        )
        error = (await at.start("ada", 400, model="nix"))["error"]
        assert (error["field"], error["message"]) == (
            "config.model",
            "expected one of the models that are loaded (rule, demo), got nix",
        )
        for model in ("rule", "demo", ""):
            assert (await at.start(f"u{model}", model=model))["status"] == "started"
