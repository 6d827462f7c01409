"""Strategies over HTTP, in the shapes of the inference service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
import trio.testing

from tests.actors.strategies.sandbox_desk import LIMIT_S, OPEN, SandboxDesk, bar, sandbox_desk
from tests.actors.strategies.test_sandboxed import TUNED, UP
from tests.http_client import http_client

TALKS = """
def generate_signal(data, parameters):
    print("bars:", len(data["A"]))
    return None
"""


async def answered(desk: SandboxDesk, method: str, path: str, status: int, **body: Any) -> Any:
    token = (desk.folder.parent / "token").read_text().strip()
    async with http_client(base_url=await desk.url(), headers={"authorization": f"Bearer {token}"}) as client:
        answer = await client.request(method, path, json=body if method == "POST" else None, timeout=LIMIT_S)
    assert answer.status_code == status, answer.text
    return answer.json()


def asked(name: str, **changes: Any) -> dict[str, Any]:
    return {"strategy_id": name, "symbols": ["A"], "timeframe": "1m", "configuration": OPEN, **changes}


async def test_a_strategy_is_started_watched_configured_and_stopped(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path, edge=True) as desk:
        await desk.write("tuned", TUNED)
        started = await answered(desk, "POST", "/api/strategies/start", 200, **asked("tuned", parameters={"period": 5}))
        assert (started["success"], started["status"], started["strategy_name"]) == (True, "active", "tuned")
        desk.say(bar(0))
        await desk.signals(1)
        [active] = await answered(desk, "GET", "/api/strategies/active/list", 200)
        assert active["execution_id"] == started["execution_id"]
        assert active["parameters"] == {"period": 5}
        assert (active["source"], active["symbols"]) == ("folder", ["A"])
        status = await answered(desk, "GET", "/api/strategies/tuned/status", 200)
        assert (status["signals_generated"], status["last_error"]) == (1, None)
        assert status["last_execution"] is not None
        done = await answered(desk, "POST", "/api/strategies/tuned/configure", 200, parameters={"period": 7},
                              signal_cooldown=1.5)  # fmt: skip
        assert done["parameters"] == {"period": 7}
        stopped = await answered(desk, "POST", "/api/strategies/tuned/stop", 200)
        assert stopped["execution_id"] == started["execution_id"]
        await answered(desk, "POST", "/api/strategies/tuned/stop", 400)
        assert await answered(desk, "GET", "/api/strategies/active/list", 200) == []
        assert (await answered(desk, "GET", "/api/strategies/tuned/status", 200))["status"] == "inactive"


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"strategy_id": "nobody", "source": "folder"}, 404, "strategy_id"),
    ({"symbols": []}, 400, "symbols"),
    ({"execution_interval": 5}, 400, "execution_interval"),
    ({"execution_mode": "live"}, 403, "execution_mode"),
    ({"execution_mode": "backtest"}, 409, "execution_mode"),
    ({"execution_mode": "now"}, 400, "execution_mode"),
    ({"parameters": {"period": 1000}}, 400, "parameters.period"),
    ({"parameters": {"perod": 10}}, 400, "parameters.perod"),
    ({"configuration": {"signal_cooldown": -1}}, 400, "configuration.signal_cooldown"),
    ({"timeframe": "soon"}, 400, "timeframe"),
    ({"symbl": "A"}, 400, "symbl"),
]


async def test_what_cannot_be_run_is_one_error_with_the_field(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path, edge=True) as desk:
        await desk.write("tuned", TUNED)
        for changes, status, field in WRONG:
            answer = await answered(desk, "POST", "/api/strategies/start", status, **asked("tuned", **changes))
            assert answer["error"]["field"] == field, answer
        assert await answered(desk, "GET", "/api/strategies/active/list", 200) == []


async def test_one_that_runs_is_not_started_again(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path, edge=True) as desk:
        await desk.write("up", UP)
        await answered(desk, "POST", "/api/strategies/start", 200, **asked("up"))
        error = (await answered(desk, "POST", "/api/strategies/start", 400, **asked("up")))["error"]
        assert (error["code"], error["field"]) == ("invalid", "strategy_id")


async def test_what_a_strategy_prints_can_be_read(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path, edge=True) as desk:
        await desk.write("talks", TALKS)
        await answered(desk, "POST", "/api/strategies/start", 200, **asked("talks"))
        desk.say(bar(0), bar(1))
        with trio.fail_after(LIMIT_S):
            while len((await answered(desk, "GET", "/api/strategies/talks/logs", 200))["lines"]) < 2:
                await trio.testing.wait_all_tasks_blocked(0.01)
        lines = (await answered(desk, "GET", "/api/strategies/talks/logs", 200))["lines"]
        assert [line["text"] for line in lines] == ["bars: 1", "bars: 2"]
        await answered(desk, "GET", "/api/strategies/nobody/logs", 404)
        await answered(desk, "POST", "/api/strategies/talks/lift", 409)
