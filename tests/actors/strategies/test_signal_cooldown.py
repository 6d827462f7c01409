"""The node's cooldown, and the one that a run says itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import trio
import trio.testing

from actors.strategies.status import ROSTER, ConfigureStrategy
from tests.actors.strategies.sandbox_desk import LIMIT_S, OPEN, SandboxDesk, bar, sandbox_desk

BUYS = """
def generate_signal(data, parameters):
    return {"action": "BUY", "confidence": 0.9}
"""
SILENT = {name: value for name, value in OPEN.items() if name != "signal_cooldown"}


async def gate(desk: SandboxDesk, name: str, executions: int) -> tuple[Any, Any]:
    """How many signals have passed and were held back by the cooldown, after so many bars."""
    with trio.fail_after(LIMIT_S):
        while True:
            figures = dict((await desk.status(name)).figures)
            if figures.get("executions") == executions:
                return figures["gate_passed"], figures["gate_cooldown"]
            await trio.testing.wait_all_tasks_blocked(0.01)


async def configure(desk: SandboxDesk, name: str, **settings: Any) -> None:
    empty = msgspec.Raw(b"{}")
    asked = ConfigureStrategy(name, msgspec.Raw(msgspec.json.encode(settings)), empty)
    await desk.node.ref(ROSTER).ask(asked, LIMIT_S)


async def test_a_run_that_says_no_cooldown_has_the_nodes_and_one_that_does_its_own(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path, cooldown_s=3600.0) as desk:
        for name, settings in (("node", SILENT), ("own", OPEN)):
            await desk.write(name, BUYS)
            await desk.start(name, settings=settings)
        desk.say(bar(0), bar(1), bar(2))
        assert await gate(desk, "node", 3) == (1, 2)
        assert await gate(desk, "own", 3) == (3, 0)


async def test_the_nodes_cooldown_stays_until_a_run_is_configured_with_another(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path, cooldown_s=3600.0) as desk:
        await desk.write("tuned", BUYS)
        await desk.start("tuned", settings=SILENT)
        desk.say(bar(0))
        assert await gate(desk, "tuned", 1) == (1, 0)
        await configure(desk, "tuned", min_confidence_threshold=0.5)
        desk.say(bar(1))
        assert await gate(desk, "tuned", 2) == (1, 1)
        await configure(desk, "tuned", signal_cooldown=0)
        desk.say(bar(2))
        assert await gate(desk, "tuned", 3) == (2, 1)
