"""Strategies in the sandbox, on a node: what they are given, what becomes of what they say, and of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from actors.market.provider_settings import ProviderSettings, ProviderSource
from actors.strategies.package import SANDBOX
from actors.strategies.sandbox.keeper import SandboxKeeper
from actors.strategies.status import ROSTER, ConfigureStrategy, GetRunHistory, LiftBar, StartStrategy, StopStrategy
from protocols.control import Probe, Refused
from protocols.market import BookStale, Quote
from protocols.paths import STRATEGIES
from protocols.providers import ProviderSwitched
from protocols.signals import StoredSignal
from protocols.strategies import StrategyChanged
from runtime import KillChild
from tests.actors.strategies.sandbox_desk import LIMIT_S, SandboxDesk, bar, sandbox_desk

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


COUNTS = """
count = 0

PARAMETERS = {}

class Strategy:
    def __init__(self):
        self.count = 0

    def generate_signal(self, data, parameters):
        self.count += 1
        return {"action": "BUY", "confidence": 0.5, "metadata": {"count": self.count, "of": VERSION}}

    def on_save(self):
        return {"count": self.count}

    def on_load(self, saved):
        self.count = saved["count"]

VERSION = "one"
"""


def metadata(stored: StoredSignal) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(stored.signal.metadata)
    return found


async def refusal(of: Awaitable[object]) -> Refused:
    with pytest.raises(Refused) as refused:
        await of
    return refused.value


async def test_a_bar_that_comes_again_and_bars_of_other_windows_are_left_out(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path) as desk:
        await desk.write("counts", COUNTS)
        await desk.start("counts")
        five = msgspec.structs.replace(bar(3), interval="5m")
        desk.say(bar(0), bar(0), five, bar(1, market="B"), msgspec.structs.replace(bar(1), source="trades"), bar(1))
        assert [metadata(each)["count"] for each in await desk.signals(2)] == [1, 2]


async def test_what_cannot_be_started_is_refused_with_the_field(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path, most=1) as desk:
        await desk.write("up", UP)
        await desk.write("other", UP)
        await desk.write("wrong", "import os\ndef generate_signal(data, parameters): return None\n")
        await desk.write("fails", "1 / 0\ndef generate_signal(data, parameters): return None\n")
        wrong = await refusal(desk.start("wrong"))
        assert wrong.code == "invalid"
        assert "wrong.py:1" in wrong.message
        assert "os" in wrong.message
        fails = await refusal(desk.start("fails"))
        assert "ZeroDivisionError" in fails.message
        assert "line 1" in fails.message
        assert (await refusal(desk.start("nobody"))).code == "not_found"
        await desk.start("up")
        again = await refusal(desk.start("up"))
        assert (again.code, again.field) == ("invalid", "strategy_id")
        assert "up" in again.message
        limit = await refusal(desk.start("other"))
        assert "1 strategies run, and there may be 1" in limit.message
        roster = desk.node.ref(ROSTER)
        live = await refusal(roster.ask(StartStrategy(strategy_id="up", symbols=("A",), execution_mode="live")))
        assert (live.code, live.field) == ("forbidden", "execution_mode")
        backtest = await refusal(roster.ask(StartStrategy(strategy_id="up", symbols=("A",), execution_mode="backtest")))
        assert backtest.code == "not_deployed"
        often = await refusal(roster.ask(StartStrategy(strategy_id="up", symbols=("A",), execution_interval_s=59.0)))
        assert often.field == "execution_interval"
        soon = StartStrategy(strategy_id="other", source="folder", symbols=("A",), timeframe="soon")
        await roster.ask(StopStrategy("up"))
        assert (await refusal(roster.ask(soon))).field == "timeframe"
        # What never ran leaves nothing behind.
        assert (await refusal(desk.status("wrong"))).code == "not_found"


async def test_a_strategy_is_stopped_and_started_again(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path) as desk:
        await desk.write("counts", COUNTS)
        first = await desk.start("counts")
        stopped = await desk.node.ref(ROSTER).ask(StopStrategy("counts"))
        assert stopped.execution_id == first.execution_id
        assert (await desk.status("counts")).status == "inactive"
        assert (await refusal(desk.node.ref(ROSTER).ask(StopStrategy("counts")))).code == "not_running"
        desk.say(bar(0))
        second = await desk.start("counts")
        assert second.execution_id != first.execution_id
        desk.say(bar(1))
        [only] = await desk.signals(1)
        assert metadata(only)["count"] == 1


async def test_another_version_takes_over_between_two_bars_with_the_state_of_the_one_before(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path) as desk:
        await desk.write("counts", COUNTS)
        await desk.start("counts")
        desk.say(bar(0), bar(1))
        await desk.signals(2)
        before = (await desk.status("counts")).version
        version = await desk.write("counts", COUNTS.replace('"one"', '"two"'))
        with trio.fail_after(LIMIT_S):
            while (await desk.status("counts")).version != version:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert version != before
        desk.say(bar(2))
        last = (await desk.signals(3))[-1]
        assert (metadata(last)["count"], metadata(last)["of"]) == (3, "two")
        assert last.signal.strategy_version == version
        # One that cannot be built leaves the old one where it is, and the reason in its status.
        await desk.write("counts", "import socket\n")
        with trio.fail_after(LIMIT_S):
            while "is not taken" not in (await desk.status("counts")).last_error:
                await trio.testing.wait_all_tasks_blocked(0.01)
        desk.say(bar(3))
        assert metadata((await desk.signals(4))[-1])["count"] == 4


TUNED = """
PARAMETERS = {"period": Parameter.int(14, least=2, most=50, description="of the average")}

def generate_signal(data, parameters):
    return {"action": "BUY", "confidence": 0.5, "metadata": {"period": parameters["period"]}}
"""
TUNED = "from actors.strategies.sdk import Parameter\n" + TUNED


async def test_parameters_are_checked_at_the_start_and_changed_while_it_runs(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path) as desk:
        await desk.write("tuned", TUNED)
        for value in (1, "much"):
            wrong = await refusal(desk.start("tuned", period=value))
            assert (wrong.code, wrong.field) == ("invalid", "parameters.period")
        await desk.start("tuned", period=20)
        desk.say(bar(0))
        await desk.signals(1)
        roster = desk.node.ref(ROSTER)
        ask = ConfigureStrategy("tuned", parameters=msgspec.Raw(b'{"period": 60}'))
        assert (await refusal(roster.ask(ask))).field == "parameters.period"
        done = await roster.ask(ConfigureStrategy("tuned", parameters=msgspec.Raw(b'{"period": 30}')))
        assert msgspec.json.decode(done.parameters) == {"period": 30}
        desk.say(bar(1))
        assert [metadata(each)["period"] for each in await desk.signals(2)] == [20, 30]
        # The settings of the gate act from the next bar on.
        await roster.ask(ConfigureStrategy("tuned", settings=msgspec.Raw(b'{"min_confidence_threshold": 0.9}')))
        desk.say(bar(2))
        with trio.fail_after(LIMIT_S):
            while dict((await desk.status("tuned")).figures)["gate_confidence"] != 1:
                await trio.testing.wait_all_tasks_blocked(0.01)
        wrong_field = ConfigureStrategy("tuned", settings=msgspec.Raw(b'{"max_risk_threshold": 2}'))
        assert (await refusal(roster.ask(wrong_field))).field == "configuration.max_risk_threshold"
        await desk.node.ref(f"{STRATEGIES}/tuned").ask(KillChild("runner"))
        await desk.until("tuned", "loading")
        await desk.until("tuned", "active")
        assert msgspec.json.decode((await desk.status("tuned")).parameters) == {"period": 30}


@pytest.mark.long
async def test_a_symbol_with_several_providers_is_fed_by_the_one_that_is_well(tmp_path: Path) -> None:
    sources = (ProviderSource(market="A.ONE", venue="binance"), ProviderSource(market="A.TWO", venue="binance"))
    async with sandbox_desk(tmp_path, providers=(ProviderSettings(symbol="A", sources=sources),)) as desk:
        await desk.write("counts", COUNTS)
        now = desk.node.clock.now()
        with desk.node.open_tap((ProviderSwitched, None)) as tap:
            for market in ("A.ONE", "A.TWO"):
                desk.say(Quote(market, 100, 1, 101, 1, "s", 1, now, now))
            await tap.receive()
            await desk.start("counts")
            desk.say(bar(0, market="A.ONE"), bar(0, market="A.TWO"), bar(1, market="A.ONE"), bar(2, market="A.TWO"))
            assert [metadata(each)["count"] for each in await desk.signals(2)] == [1, 2]
            desk.say(BookStale("A.ONE", "f", "sequence", now))
            with trio.fail_after(LIMIT_S):
                await tap.receive()
            desk.say(bar(3, market="A.ONE"), bar(1, market="A.TWO"), bar(3, market="A.TWO"), bar(4, market="A.TWO"))
            stored = await desk.signals(4)
        assert [(each.signal.symbol, metadata(each)["count"]) for each in stored[2:]] == [("A", 3), ("A", 4)]
        assert stored[-1].signal.ts_event == bar(4).end


async def test_a_cooldown_goes_on_in_the_next_life_of_a_strategy(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path) as desk:
        await desk.write("counts", COUNTS)
        await desk.start("counts", settings={"min_confidence_threshold": 0, "max_risk_threshold": 1,
                                             "signal_cooldown": 3600})  # fmt: skip
        await desk.until("counts", "active")
        desk.say(bar(0))
        [first] = await desk.signals(1)
        pid = int(str(dict((await desk.status("counts")).figures)["pid"]))
        os.kill(pid, signal.SIGKILL)
        desk.say(bar(1))
        await desk.until("counts", "loading")
        await desk.until("counts", "active")
        desk.say(bar(2))
        with trio.fail_after(LIMIT_S):
            while (figures := dict((await desk.status("counts")).figures))["executions"] != 1:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert (figures["gate_passed"], figures["gate_cooldown"]) == (1, 1)
        assert await desk.signals(1) == [first]


SPINS = """
class Strategy:
    def generate_signal(self, data, parameters):
        total = 0
        for number in range(3_000_000):
            total += number
        return {"action": "BUY", "confidence": 0.5}
"""


async def fed(desk: SandboxDesk, name: str, number: int) -> StrategyChanged:
    """Publish bars until a strategy has ended by failing. Bars of a time in which it is down are its history."""
    with trio.fail_after(LIMIT_S):
        while (await desk.status(name)).status != "error":
            desk.say(bar(number))
            number += 1
            await trio.testing.wait_all_tasks_blocked(0.01)
    return await desk.until(name, "error")


@pytest.mark.long
async def test_a_strategy_that_lives_at_its_deadline_runs_out_of_processor_time(tmp_path: Path) -> None:
    async with sandbox_desk(tmp_path, cpu_share=0.005, call_s=20.0) as desk:
        await desk.write("spins", SPINS)
        await desk.start("spins")
        ended = await fed(desk, "spins", 0)
        assert "cpu_budget: more than 0.005 of a processor over a minute" in ended.reason
        assert "3 kills" in ended.reason
        barred = await refusal(desk.start("spins"))
        assert barred.code == "barred"
        await desk.node.ref(ROSTER).ask(LiftBar("spins"))
        assert (await desk.status("spins")).barred == ""
        await desk.start("spins")
        # Another version lifts a bar, too, and is run.
        await fed(desk, "spins", 1_000)
        version = await desk.write("spins", UP)
        with trio.fail_after(LIMIT_S):
            while (status := await desk.status("spins")).status != "active" or status.version != version:
                await trio.testing.wait_all_tasks_blocked(0.01)
        # So the rows say that it is to run, also after a restart of the node.
        history = await desk.node.ref(ROSTER).ask(GetRunHistory("spins"))
        assert [event for _, event in history.events][-3:] == ["barred", "lifted", "started"]


async def test_where_no_worker_can_be_made_the_node_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.strategies.sandbox.zygote._PROGRAM", tmp_path / "missing.py")
    monkeypatch.setattr(SandboxKeeper, "known", None)
    async with sandbox_desk(tmp_path) as desk:
        await desk.write("up", UP)
        refused = await refusal(desk.start("up"))
        assert refused.code == "sandbox_too_weak"
        assert "no worker can be made" in refused.message
        report = await desk.node.ref(SANDBOX).ask(Probe())
        assert (report.status, report.ready) == ("degraded", True)
        assert "no worker can be made" in report.detail
        assert desk.node.tree("/sandbox").restarts == 0
