"""Strategies in the sandbox, on a node: what they are given, what becomes of what they say, and of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tests.actors.strategies.sandbox_desk import bar, sandbox_desk

UP = """
def generate_signal(data, parameters):
    bars = data["A"]
    if len(bars) < 2 or bars.close[-1] <= bars.close[-2]:
        return None
    return {"action": "BUY", "confidence": 0.75, "metadata": {"bars": len(bars)}}
"""


async def test_a_strategy_of_ten_lines_makes_signals_of_bars(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path) as desk:
        await desk.write("up", UP)
        started = await desk.start("up")
        assert started.execution_id == "up@1.1" or started.execution_id.startswith("up@")
        desk.say(bar(0, 100), bar(1, 101), bar(2, 100.5), bar(3, 102, marks=("synthetic",)))
        first, second = await desk.signals(2)
        assert (first.signal.symbol, first.signal.action, first.signal.confidence) == ("A", "BUY", 0.75)
        assert msgspec.json.decode(first.signal.metadata)["bars"] == 2
        assert first.signal.strategy_source == "folder"
        assert first.signal.marks == ()
        assert second.signal.marks == ("synthetic",)
        status = await desk.status("up")
        assert (status.status, status.signals_generated, status.error_count) == ("active", 2, 0)
        assert dict(status.figures)["executions"] == 4
