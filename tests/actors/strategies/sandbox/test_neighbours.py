"""Strategies that spin, eat memory, crash, fail or flood: they end as the kill table says, and no other feels it.

Beside each offender runs a strategy that counts its bars: it must have answered every one of them, in order.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio

from actors.strategies.status import StrategyStatus
from protocols.paths import HUB
from protocols.signals import ReadSignals
from tests.actors.strategies.sandbox.kit import needs_seccomp
from tests.actors.strategies.sandbox_desk import LIMIT_S, SandboxDesk, bar, sandbox_desk

pytestmark = needs_seccomp

STEADY = """
class Strategy:
    def __init__(self):
        self.count = 0

    def generate_signal(self, data, parameters):
        self.count += 1
        return {"action": "BUY", "confidence": 0.5, "metadata": {"count": self.count, "bars": len(data["A"])}}
"""

SPINS = """
def generate_signal(data, parameters):
    while True:
        pass
"""

EATS = """
kept = []

def generate_signal(data, parameters):
    kept.append(bytearray(24_000_000))
"""

CRASHES = """
def generate_signal(data, parameters):
    each = iter([1])
    for _ in range(300_000):
        each = filter(None, each)
    return next(each)
"""

FAILS = """
def generate_signal(data, parameters):
    raise ValueError("always")
"""

FLOODS = """
def generate_signal(data, parameters):
    for number in range(2_000):
        print("x" * 2_000)
    return [{"action": "BUY", "confidence": 0.5, "metadata": {"text": "y" * 16_000}}] * 64
"""

MOST_BARS = 5_000


async def _ended(desk: SandboxDesk, source: str) -> StrategyStatus:
    """Run the steady one and an offender on the same bars, one by one, until the offender has ended.

    Returns the offender's status. The next bar comes when the steady one has answered the one before.
    """
    await desk.write("steady", STEADY)
    await desk.write("offender", source)
    await desk.start("steady")
    await desk.start("offender")
    for number in range(MOST_BARS):
        desk.say(bar(number))
        assert await _next_count(desk, number + 1) == number + 1
        offender = await desk.status("offender")
        if offender.status == "error":
            break
    else:
        raise AssertionError(f"it still runs: {offender}")
    steady = await desk.status("steady")
    assert (steady.status, steady.error_count, steady.signals_generated) == ("active", 0, number + 1)
    assert dict(steady.figures)["executions"] == number + 1
    return offender


async def _next_count(desk: SandboxDesk, seq: int) -> int:
    """What the steady one has counted in the `seq`-th signal, from 1; no offender makes signals."""
    with trio.fail_after(LIMIT_S):
        while not (page := await desk.node.ref(HUB).ask(ReadSignals(seq))).signals:
            await desk.tap.receive()
    assert page.signals[0].signal.strategy_id == "steady"
    found: int = msgspec.json.decode(page.signals[0].signal.metadata)["count"]
    return found


async def test_one_that_spins_is_killed_at_its_deadline_and_barred_after_the_third_time(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path, call_s=0.2) as desk:
        ended = await _ended(desk, SPINS)
        assert "timeout" in ended.last_error
        assert "3 kills" in ended.last_error
        assert "timeout" in ended.barred


async def test_one_that_eats_memory_is_killed_at_its_limit_and_barred_after_the_third_time(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path) as desk:
        ended = await _ended(desk, EATS)
        assert "memory" in ended.last_error
        assert "3 kills" in ended.last_error
        assert "memory" in ended.barred


@pytest.mark.long
async def test_one_that_crashes_is_started_once_more_and_then_barred(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path) as desk:
        ended = await _ended(desk, CRASHES)
        assert "crashed" in ended.last_error
        assert "it had crashed before" in ended.last_error


@pytest.mark.long
async def test_one_that_fails_at_each_bar_ends_when_its_errors_are_used_up(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path) as desk:
        ended = await _ended(desk, FAILS)
        assert "ValueError" in ended.last_error
        assert "always" in ended.last_error


@pytest.mark.long
async def test_one_that_floods_is_cut_off_and_ends_when_its_errors_are_used_up(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path) as desk:
        ended = await _ended(desk, FLOODS)
        assert "too long" in ended.last_error
