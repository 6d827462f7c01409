"""Workflows over HTTP, with the real library, sandbox, hub and database."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import trio

from actors.strategies.package import LIBRARY
from actors.strategies.workflows.indicators import KINDS
from actors.strategies.workflows.operators.pattern import NAMES
from actors.strategies.workflows.rows import WORKFLOWS
from actors.strategies.workflows.templates import TEMPLATES
from protocols.control import Probe, Refused
from tests.actors.storage.kit import call
from tests.actors.strategies.workflows.drawing import Drawn, action, condition, drawn, indicator, node, source
from tests.actors.strategies.workflows.stage import LIMIT_S, OPEN, Desk, bar, desk

UP = drawn(
    [
        source(timeframe="1m"),
        condition("up", "greater_than", value=100),
        action(confidence=0.75, stop_loss=2.0),
    ],
    "prices.close>up",
    "up>buy",
)


def broken() -> Drawn:
    found = copy.deepcopy(UP)
    found["nodes"][1]["data"]["parameters"]["condition"] = "greater_then"
    found["nodes"].append(action("sell", "sell"))
    return found


async def created(at: Desk, name: str = "Above a hundred", drawing: Drawn = UP) -> str:
    made = await at.answered("POST", "/workflows", 201, name=name, workflow_data=drawing)
    workflow_id: str = made["id"]
    return workflow_id


async def test_a_drawn_workflow_is_compiled_started_and_its_signals_are_stored(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        one = await created(at)
        compiled = await at.answered("POST", f"/workflows/{one}/compile")
        assert (compiled["success"], compiled["compilation_status"], compiled["version"]) == (True, "success", 1)
        assert compiled["generated_code"].startswith('"""Above a hundred: a compiled workflow.')
        assert (compiled["generated_requirements"], compiled["timeframes"], compiled["warnings"]) == (
            ["numpy"],
            ["1m"],
            [],
        )
        package = await at.package(one)
        assert (package.code, package.version, package.trusted) == (compiled["generated_code"], "1", False)
        run = await at.answered("POST", f"/workflows/{one}/execute", execution_type="paper_trade", symbols=["A"],
                                configuration=OPEN)  # fmt: skip
        assert (run["success"], run["strategy_id"], run["timeframes"], run["version"]) == (True, one, ["1m"], "1")
        for number, close in enumerate((99.0, 101.0, 102.0, 98.0, 103.0)):
            at.node.publish(bar(number, close))
        first, second = await at.signals(2)
        assert (first.signal.symbol, first.signal.action, first.signal.confidence) == ("A", "BUY", 0.75)
        assert (first.signal.strategy_id, first.signal.strategy_source) == (one, "workflow")
        assert first.signal.execution_params.stop_loss == 98_980_000_000
        assert second.signal.execution_params.stop_loss == 100_940_000_000
        shown = await at.answered("GET", f"/workflows/{one}")
        assert (shown["total_executions"], shown["deployment_status"]) == (1, "published")
        assert shown["last_executed_at"] is not None
        again = await at.answered("POST", f"/workflows/{one}/execute", 400, symbols=["A"])
        assert one in again["error"]["message"]
        done = await at.answered("POST", f"/strategies/{one}/configure", parameters={"up_value": 200.0})
        assert done["parameters"]["up_value"] == 200.0
        gone = await at.answered("DELETE", f"/workflows/{one}")
        assert gone["was_running"] is True
        assert await at.answered("GET", "/strategies/active/list") == []


def all_indicators() -> Drawn:
    nodes = [node(f"o{code}", "output") for code in KINDS] + [indicator(f"i{code}", code) for code in KINDS]
    return with_hull(nodes, *(f"prices>i{code}" for code in KINDS), *(f"i{code}>o{code}" for code in KINDS))


def all_patterns() -> Drawn:
    nodes = [node("seen", "output"), node("any", "logic", operation="OR"), indicator("ihma", "hma")]
    nodes += [condition(f"c{code}", code) for code in NAMES]
    edges = [*(f"prices>c{code}" for code in NAMES), *(f"c{code}>any" for code in NAMES)]
    return with_hull(nodes, *edges, "any>seen", "prices>ihma")


def with_hull(nodes: list[Drawn], *edges: str) -> Drawn:
    """Nodes, and an action from the bar on at which the Hull average is known."""
    ends = [source(timeframe="1m"), condition("known", "greater_than", value=0), action(repeat="every_bar")]
    return drawn([*ends, *nodes], *edges, "ihma>known", "known>buy")


@pytest.mark.parametrize("drawing", [all_indicators(), all_patterns()], ids=["indicators", "patterns"])
async def test_all_of_them_work_in_a_locked_process(tmp_path: Path, database: str, drawing: Drawn) -> None:
    async with desk(tmp_path, database) as at:
        one = await created(at, "All", drawing)
        compiled = await at.answered("POST", f"/workflows/{one}/compile")
        assert compiled["generated_requirements"] == ["numpy", "ta-lib"]
        checked = await at.answered("POST", "/code/validate", code=compiled["generated_code"])
        assert (checked["problems"], checked["contract"]) == ([], "sdk")
        await at.answered("POST", f"/workflows/{one}/execute", symbols=["A"], configuration=OPEN)
        for number in range(60):
            at.node.publish(bar(number, 100.0 + number % 7))
        first = (await at.signals(38))[0]
        assert first.signal.action == "BUY"
        status = await at.answered("GET", f"/strategies/{one}/status")
        assert (status["error_count"], status["last_error"]) == (0, None)


async def test_a_workflow_that_does_not_compile_says_every_error_with_its_node(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        one = await created(at, drawing=broken())
        answer = await at.answered("POST", f"/workflows/{one}/compile", 400)
        assert answer["error"]["code"] == "invalid_workflow"
        assert "did you mean greater_than" in answer["error"]["message"]
        assert answer["error"]["field"] == "condition"
        assert [(each["node_id"], each["node_label"], each["field"], each["code"]) for each in answer["errors"]] == [
            ("up", "Up", "condition", "unknown_condition"),
            ("sell", "Sell", "signal", "missing_input"),
        ]
        shown = await at.answered("GET", f"/workflows/{one}")
        assert (shown["compilation_status"], shown["validation_status"]) == ("failed", "invalid")
        assert (shown["total_compilations"], shown["successful_compilations"]) == (1, 0)
        assert len(shown["problems"]) == 2
        assert (await at.answered("GET", f"/workflows/{one}/generated-code", 404))["error"]["code"] == "not_found"
        assert len((await at.answered("POST", f"/workflows/{one}/execute", 400, symbols=["A"]))["errors"]) == 2
        with pytest.raises(Refused, match="not_found"):
            await at.package(one)


async def test_versions_are_kept_listed_and_restored(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        one = await created(at)
        await at.answered("POST", f"/workflows/{one}/compile")
        changed = await at.answered("PUT", f"/workflows/{one}", workflow_data=broken(), expected_version=1)
        assert (changed["version"], changed["compilation_status"], changed["code_version"]) == (2, "pending", 1)
        same = await at.answered("PUT", f"/workflows/{one}", workflow_data=broken())
        assert same["version"] == 2
        stale = await at.answered("GET", f"/workflows/{one}/generated-code")
        assert (stale["version"], stale["code_version"], stale["current"]) == (2, 1, False)
        conflict = await at.answered("PUT", f"/workflows/{one}", 409, name="B", expected_version=1)
        assert conflict["error"]["code"] == "conflict"
        back = await at.answered("POST", f"/workflows/{one}/versions/1/restore")
        assert (back["version"], back["parent_version"], back["workflow_data"]) == (3, 1, UP)
        found = await at.answered("GET", f"/workflows/{one}/versions")
        assert [(each["version"], each["change"], each["restored_from"]) for each in found["versions"]] == [
            (3, "restored", 1),
            (2, "updated", None),
            (1, "created", None),
        ]
        code = await at.answered("POST", f"/workflows/{one}/generate-code")
        assert (code["code_version"], code["current"]) == (3, True)
        assert (await at.answered("POST", f"/workflows/{one}/versions/9/restore", 404))["error"]["field"] == "version"


async def test_workflows_survive_a_restart_of_the_node_and_of_the_library(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        one = await created(at)
        gone = await created(at, "Gone")
        await at.answered("POST", f"/workflows/{one}/compile")
        await at.answered("PUT", "/workflows/mine", name="Mine", workflow_data=UP, tags=["a"])
        await at.answered("POST", f"/workflows/{one}/execution-mode", mode="paper_trading", config={"a": 1})
        await at.answered("DELETE", f"/workflows/{gone}")
    async with desk(tmp_path, database) as at:
        listed = await at.answered("GET", "/workflows")
        assert [each["id"] for each in listed["workflows"]] == [one, "mine"]
        shown = await at.answered("GET", f"/workflows/{one}")
        assert (shown["workflow_data"], shown["execution_mode"], shown["execution_config"]) == (
            UP,
            "paper_trading",
            {"a": 1},
        )
        await until_packaged(at, one)
        await at.kill(LIBRARY)
        await until_packaged(at, one)
        await at.kill(WORKFLOWS)
        assert (await at.answered("GET", "/workflows/mine"))["tags"] == ["a"]
        again = await at.answered("PUT", f"/workflows/{gone}", name="Back", workflow_data=UP)
        assert again["version"] == 3, "its versions go on"
        report = await at.node.ref(WORKFLOWS).ask(Probe())
        assert dict(report.figures) == {"workflows": 3, "compiled": 1, "read_back": True}


async def test_rows_that_the_database_has_lost_are_told_of_and_stop_nobody(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        one = await created(at)
        await at.answered("GET", f"/workflows/{one}/versions")
        lost = await created(at, "Lost")
        await at.answered("GET", f"/workflows/{lost}/versions")
    call(database, lambda connection: connection.execute("DELETE FROM workflow_versions WHERE name = 'Lost'"))
    async with desk(tmp_path, database, patience_s=0.2) as at:
        listed = await at.answered("GET", "/workflows")
        assert [each["id"] for each in listed["workflows"]] == [one]
        report = await at.node.ref(WORKFLOWS).ask(Probe())
        detail = "the database has workflow_versions up to 1, the log up to 2"
        assert (report.status, report.detail) == ("degraded", detail)
        assert await created(at, "More") == "more-w3"


async def until_packaged(at: Desk, strategy_id: str) -> None:
    """Wait until the library has a workflow."""
    with trio.fail_after(LIMIT_S):
        while True:
            try:
                await at.package(strategy_id)
            except Refused:
                await trio.lowlevel.checkpoint()
            else:
                return


async def test_a_run_takes_the_next_version_that_compiles(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        one = await created(at)
        await at.answered("POST", f"/workflows/{one}/execute", symbols=["A"], configuration=OPEN)
        at.node.publish(bar(0, 99.0))
        at.node.publish(bar(1, 101.0))
        assert [each.signal.action for each in await at.signals(1)] == ["BUY"]
        other = copy.deepcopy(UP)
        other["nodes"][2]["data"]["parameters"] |= {"action": "sell"}
        await at.answered("PUT", f"/workflows/{one}", workflow_data=other)
        await at.answered("POST", f"/workflows/{one}/compile")
        with trio.fail_after(LIMIT_S):
            while (await at.answered("GET", f"/strategies/{one}/status"))["version"] != "2":
                await trio.lowlevel.checkpoint()
        for number, close in ((2, 98.0), (3, 102.0)):
            at.node.publish(bar(number, close))
        assert [each.signal.action for each in await at.signals(2)] == ["BUY", "SELL"]


async def test_executions_that_cannot_be_say_why(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        one = await created(at)
        for body, status, code, field in (
            ({"execution_type": "backtest"}, 400, "invalid", "dataset_id"),
            ({"execution_type": "backtest", "dataset_id": "d"}, 409, "not_deployed", "execution_type"),
            ({"execution_type": "live_trade"}, 403, "forbidden", "execution_type"),
            ({"execution_type": "odd"}, 400, "invalid", "execution_type"),
            ({"execution_type": "paper_trade"}, 400, "invalid", "symbols"),
            ({"symbols": ["A"], "parameters": {"up_valeu": 1}}, 400, "invalid", "up_valeu"),
            ({"symbols": ["A"], "timeframe": "7x"}, 400, "invalid", "timeframe"),
        ):
            answer = await at.answered("POST", f"/workflows/{one}/execute", status, **body)
            assert (answer["error"]["code"], field in str(answer["error"])) == (code, True), answer
        answer = await at.answered("POST", f"/workflows/{one}/backtest", 409, dataset_id="d")
        assert answer["error"]["code"] == "not_deployed"
        for mode in ("model", "hybrid", "research"):
            answer = await at.answered("POST", f"/workflows/{one}/execution-mode", 409, mode=mode)
            assert (answer["error"]["code"], answer["error"]["field"]) == ("not_deployed", "mode")
        for mode in ("strategy", "backtesting", "paper_trading"):
            assert (await at.answered("POST", f"/workflows/{one}/execution-mode", mode=mode))["execution_mode"] == mode
        assert (await at.answered("POST", f"/workflows/{one}/execution-mode", 400, mode="odd"))["error"][
            "field"
        ] == "mode"
        for method, path in (
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/compile"),
            ("GET", "/versions"),
            ("POST", "/execute"),
        ):
            await at.answered(method, f"/workflows/none{path}", 404)


async def test_what_cannot_be_stored_is_a_400_that_says_where(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        good = {"name": "A", "workflow_data": UP}
        for field, wrong, named in (
            ("name", "", "name"),
            ("name", "x" * 256, "name"),
            ("description", "x" * 1001, "description"),
            ("tags", [""], "tags"),
            ("workflow_data", {"nodes": 3}, "workflow.nodes"),
            ("workflow_data", [], "workflow"),
        ):
            answer = await at.answered("POST", "/workflows", 400, **{**good, field: wrong})
            assert answer["error"]["field"] == named, answer
        await at.answered("PUT", "/workflows/a%20b", 400, **good)
        assert (await at.answered("GET", "/workflows"))["total_count"] == 0
        parts = await at.answered("POST", "/workflows", 201, name="Parts", nodes=UP["nodes"], edges=UP["edges"])
        assert parts["workflow_data"]["nodes"] == UP["nodes"]
        empty = await at.answered("POST", "/workflows", 201, name="Empty")
        assert (await at.answered("POST", f"/workflows/{empty['id']}/compile", 400))["errors"][0]["code"] == "empty"
        found = await at.answered("GET", "/workflows?search=parts&limit=1")
        assert [each["name"] for each in found["workflows"]] == ["Parts"]
        at.http.headers.pop("authorization")
        await at.answered("POST", "/workflows", 401, **good)
        await at.answered("DELETE", f"/workflows/{empty['id']}", 401)


async def test_templates_are_shown_and_used_and_components_listed(tmp_path: Path, database: str) -> None:
    async with desk(tmp_path, database) as at:
        listed = await at.answered("GET", "/templates")
        assert [each["id"] for each in listed] == list(TEMPLATES)
        assert all(each["workflow_data"] is None for each in listed)
        one = await at.answered("GET", "/templates/rsi-reversion")
        assert one["workflow_data"] == TEMPLATES["rsi-reversion"].workflow
        await at.answered("GET", "/templates/none", 404)
        used = await at.answered("POST", "/templates/rsi-reversion/use", 201, name="Mine", symbol="BTCUSDT")
        compiled = await at.answered("POST", f"/workflows/{used['id']}/compile")
        assert compiled["symbols"] == ["BTCUSDT"]
        palette = await at.answered("GET", "/components")
        assert len(palette["conditions"]) >= 100
        assert len(palette["indicators"]) >= 70
