from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.edge import capability as edge
from actors.edge.edge import GetEdgeAddress
from actors.edge.limits import Limits
from actors.monitor.drift.actor import FILE, Examine
from actors.monitor.drift.part import body_of, spec
from actors.monitor.drift.settings import DriftSettings
from protocols.control import Probe, Refused
from protocols.decisions import Decision, DecisionMade, ObservationSeen, OutcomeSeen
from protocols.drift import DriftReport, FeatureHistogram, GetDrift, ModelDrift, UseReference
from protocols.paths import DRIFT, EDGE
from runtime import ChildSpec
from runtime.clock import SECOND, VirtualClock
from tests.actors.monitor.stage import LIMIT_S, Stage, ask, stage

NAMES = ("rsi", "macd", "volume")
SETTINGS = DriftSettings(interval_s=3600, reference=300, reference_h=0, minimum=200, thin_s=1.0, window_h=2)


class Desk:
    def __init__(self, at: Stage) -> None:
        self.at = at
        self.random = random.Random(5)
        self.number = 0

    async def observe(
        self, count: int, shift: float = 0.0, missing: float = 0.0, model: str = "bull", version: str = ""
    ) -> None:
        for _ in range(count):
            self.at.clock.advance(SECOND)
            values = tuple(
                math.nan if name == "volume" and self.random.random() < missing
                else self.random.gauss(shift if name == "rsi" else 0.0, 1.0)
                for name in NAMES
            )  # fmt: skip
            seen = ObservationSeen(
                feature_set="f", names=NAMES, values=values, model=model, version=version, symbol="BTC",
                ts=self.at.clock.now(),
            )  # fmt: skip
            self.at.node.publish(seen)
        await self.settle()

    async def decide(
        self, count: int, success: float, confidence: float = 0.7, buys: float = 0.5, version: str = "1"
    ) -> None:
        for _ in range(count):
            self.at.clock.advance(SECOND)
            self.number += 1
            name = f"d{self.number}"
            action: Any = "BUY" if self.random.random() < buys else "HOLD"
            decision = Decision(
                decision_id=name, user_id="u", symbol="BTC", action=action, should_trade=True, confidence=confidence,
                confidence_kind="probability", reasoning="", served_by="bull", model_version=version,
                ts=self.at.clock.now(),
            )  # fmt: skip
            self.at.node.publish(DecisionMade(decision))
            came = self.random.random() < success
            self.at.node.publish(
                OutcomeSeen(decision_id=name, success=came, outcome=0.0, ts=self.at.clock.now() + 60 * SECOND)
            )
        await self.settle()

    async def settle(self) -> None:
        """Wait until everything that was published has been handled, and what follows from it."""
        await self.at.node.ref(DRIFT).ask(GetDrift(), LIMIT_S)
        await self.at.settle()

    async def examine(self) -> ModelDrift:
        report = await self.at.node.ref(DRIFT).ask(Examine(), LIMIT_S)
        await self.settle()
        return report.models[0]

    async def alerts(self) -> dict[str, str]:
        return {each.key: each.severity for each in await self.at.active()}


@asynccontextmanager
async def desk(
    folder: Path, clock: VirtualClock | None = None, others: tuple[ChildSpec, ...] = (), **changes: Any
) -> AsyncIterator[Desk]:
    drift = spec(msgspec.structs.replace(SETTINGS, **changes))
    async with stage(folder, others=(drift, *others), clock=clock) as at:
        yield Desk(at)


def states(found: ModelDrift) -> dict[str, str]:
    return {each.name: each.state for each in found.features if each.kind == "input"}


async def test_the_first_observations_are_the_reference_and_the_next_are_compared_with_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.observe(299)
        found = await at.examine()
        assert (found.state, set(states(found).values())) == ("learning", {"learning"})
        await at.observe(1)
        assert states(await at.examine()) == dict.fromkeys(NAMES, "waiting")
        await at.observe(400)
        found = await at.examine()
        assert states(found) == dict.fromkeys(NAMES, "stable")
        assert found.reference_from == "observations"
        assert await at.alerts() == {}


async def test_a_feature_that_moves_is_a_warning_and_its_return_ends_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.observe(300)
        await at.observe(400, shift=1.0)
        found = await at.examine()
        assert states(found) == {"rsi": "drifted", "macd": "stable", "volume": "stable"}
        rsi = next(each for each in found.features if each.name == "rsi")
        assert rsi.psi is not None
        assert rsi.limit is not None
        assert rsi.p_value is not None
        assert rsi.psi > rsi.limit > 0.1
        assert rsi.p_value < 1e-6
        assert await at.alerts() == {"drift,model=bull": "warning"}
        [alert] = await at.at.active()
        assert alert.description.startswith("What it sees or says has changed: rsi (PSI ")
        assert 'drift_psi{feature="rsi",model="bull"}' in at.at.metrics.render().decode()
        at.at.clock.advance(3 * 3600 * SECOND)
        await at.observe(400)
        assert states(await at.examine())["rsi"] == "stable"
        assert await at.alerts() == {}


async def test_a_feature_that_goes_missing_has_drifted(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.observe(300)
        await at.observe(400, missing=0.3)
        assert states(await at.examine()) == {"rsi": "stable", "macd": "stable", "volume": "drifted"}


async def test_outcomes_that_become_worse_are_an_error_and_with_drift_they_are_critical(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.observe(300)
        await at.decide(400, success=0.7)
        assert await at.alerts() == {}
        await at.decide(150, success=0.1)
        assert await at.alerts() == {"loss,model=bull": "error"}
        await at.observe(400, shift=1.0)
        found = await at.examine()
        assert (found.state, found.loss, found.outcome.alarms) == ("drifted", True, 1)
        assert found.outcome.delay_s == 60.0
        assert await at.alerts() == {"drift_and_loss,model=bull": "critical"}
        at.at.clock.advance(30 * 3600 * SECOND)
        await at.observe(400)
        assert not (await at.examine()).loss
        assert await at.alerts() == {}


async def test_another_version_is_watched_anew_and_a_rollback_goes_on_with_the_one_before(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.observe(300, version="1")
        await at.observe(400, shift=1.0, version="1")
        await at.decide(150, success=0.9)
        await at.decide(100, success=0.0)
        await at.examine()
        assert await at.alerts() == {"drift_and_loss,model=bull": "critical"}
        await at.observe(300, shift=1.0, version="2")
        assert await at.alerts() == {}, "what is said of a version ends with it"
        await at.observe(400, shift=1.0, version="2")
        found = await at.examine()
        assert (found.version, found.loss, found.outcome.outcomes) == ("2", False, 0)
        assert set(states(found).values()) == {"stable"}
        text = at.at.metrics.render().decode()
        assert "rl_model_accuracy_ratio{" not in text
        await at.decide(40, success=1.0, version="2")
        assert 'rl_model_accuracy_ratio{model="bull"} 1.0' in at.at.metrics.render().decode()
        await at.observe(1, version="1")
        found = await at.examine()
        assert (found.version, found.loss, found.outcome.outcomes) == ("1", True, 250)
        assert await at.alerts() == {"drift_and_loss,model=bull": "critical"}


async def test_outcomes_that_come_late_count_for_the_version_that_decided(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.decide(50, success=1.0, version="1")
        decision = Decision(
            decision_id="late", user_id="u", symbol="BTC", action="BUY", should_trade=True, confidence=0.7,
            confidence_kind="probability", reasoning="", served_by="bull", model_version="1", ts=at.at.clock.now(),
        )  # fmt: skip
        at.at.node.publish(DecisionMade(decision))
        await at.decide(10, success=1.0, version="2")
        at.at.node.publish(OutcomeSeen(decision_id="late", success=False, outcome=-0.1, model="bull"))
        await at.settle()
        assert (await at.examine()).outcome.outcomes == 10
        await at.observe(1, version="1")
        assert (await at.examine()).outcome.outcomes == 51


async def test_an_outcome_of_a_decision_that_nobody_remembers_counts_for_accuracy_alone(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        for number in range(40):
            told = OutcomeSeen(decision_id=f"before {number}", success=number % 4 > 0, outcome=0.0, model="bull")
            at.at.node.publish(told)
        await at.settle()
        found = await at.examine()
        assert (found.outcome.outcomes, found.outcome.accuracy, found.outcome.error_evidence) == (0, 0.75, 0.0)
        assert (await at.at.node.ref(DRIFT).ask(GetDrift(), LIMIT_S)).unmatched == 40


async def test_another_mix_of_actions_is_a_drift_of_predictions(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.decide(300, success=0.7)
        await at.decide(300, success=0.7, buys=0.95)
        found = {each.name: each.state for each in (await at.examine()).features}
        assert found == {"prediction:action": "drifted", "prediction:confidence": "stable"}


async def test_without_change_nothing_is_raised_over_many_examinations(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        await at.observe(300)
        for _ in range(8):
            await at.observe(250)
            await at.decide(100, success=0.7)
            await at.examine()
        assert at.at.heard == []


async def test_neighbours_in_time_count_once(tmp_path: Path) -> None:
    async with desk(tmp_path, thin_s=10.0) as at:
        await at.observe(100)
        found = await at.examine()
        assert {each.reference for each in found.features if each.kind == "input"} == {10}


async def test_a_restart_takes_neither_the_reference_nor_the_evidence(tmp_path: Path) -> None:
    clock = VirtualClock(SECOND)
    async with desk(tmp_path, clock) as at:
        await at.observe(300)
        await at.decide(400, success=0.7)
        await at.decide(20, success=0.0)
        before = await at.examine()
        assert before.outcome.error_evidence > 0.3
        assert before.outcome.alarms == 0
        assert before.outcome.accuracy == pytest.approx(180 / 200 * 0.7, abs=0.1)
    async with desk(tmp_path, clock) as at:
        await at.observe(400, shift=1.0)
        found = await at.examine()
        assert states(found)["rsi"] == "drifted"
        assert found.outcome == before.outcome
        assert "rl_model_accuracy_ratio{" in at.at.metrics.render().decode()


async def test_a_reference_is_spread_over_its_hours_and_a_restart_goes_on_with_it(tmp_path: Path) -> None:
    clock = VirtualClock(SECOND)
    async with desk(tmp_path, clock, reference=100, reference_h=1) as at:
        await at.observe(1000, missing=0.2)
        assert {each.reference for each in (await at.examine()).features if each.kind == "input"} == {125}
    async with desk(tmp_path, clock, reference=100, reference_h=1) as at:
        await at.observe(2000)
        assert (await at.examine()).state == "learning"
        await at.observe(700)
        found = await at.examine()
        assert states(found) == dict.fromkeys(NAMES, "waiting")
        # One in thirty-two after five halvings, over the whole hour.
        assert {each.reference for each in found.features if each.kind == "input"} == {113}


async def test_a_file_that_cannot_be_read_is_told_and_the_reference_is_learned_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(msgspec.msgpack.encode([{"model": 1}]))
    async with desk(tmp_path) as at:
        report = await at.at.node.ref(DRIFT).ask(Probe(), LIMIT_S)
        assert report.status == "degraded"
        assert "learned anew" in report.detail
        await at.observe(10)
        assert (await at.examine()).state == "learning"


async def test_the_histograms_of_a_bundle_are_the_reference_where_they_are_given(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        ref = at.at.node.ref(DRIFT)
        rsi = FeatureHistogram("rsi", (-1.0, 0.0, 1.0), (160, 340, 340, 160, 0))
        await ref.ask(UseReference(model="bull", histograms=(rsi,)), LIMIT_S)
        await at.observe(250)
        found = await at.examine()
        assert found.reference_from == "bundle"
        assert states(found) == {"rsi": "stable", "macd": "learning", "volume": "learning"}
        with pytest.raises(Refused) as refused:
            await ref.ask(UseReference(model="bull", histograms=(FeatureHistogram("rsi", (0.0,), (1,)),)), LIMIT_S)
        assert (refused.value.code, refused.value.field) == ("invalid", "histograms")


async def test_a_change_that_is_accepted_over_http_is_the_reference_from_then_on(tmp_path: Path) -> None:
    arguments = {
        "settings": edge.Settings(port=0, limits=Limits()), "routes": ("actors.monitor.drift.part:routes",),
    }  # fmt: skip
    async with desk(tmp_path, others=(ChildSpec("edge", "actors.edge.edge:Edge", arguments),)) as at:
        port = (await at.at.node.ref(EDGE).ask(GetEdgeAddress())).port
        token = (tmp_path / "token").read_text().strip()
        path = "/api/v1/drift/bull/reference"
        assert (await ask(port, "POST", path))[0] == 401
        assert (await ask(port, "POST", path, token))[0] == 404
        await at.observe(300)
        await at.decide(40, success=1.0)
        await at.observe(400, shift=1.0)
        await at.examine()
        assert await at.alerts() == {"drift,model=bull": "warning"}
        status, [found] = await shown(port)
        assert (status, found["model"], found["state"], found["outcomes"]["accuracy"]) == (200, "bull", "drifted", 1.0)
        assert await ask(port, "POST", path, token) == (200, {"model": "bull", "reference": "learning"})
        await at.settle()
        assert await at.alerts() == {}
        assert "drift_psi{" not in at.at.metrics.render().decode()
        await at.observe(300, shift=1.0)
        await at.observe(400, shift=1.0)
        assert states(await at.examine())["rsi"] == "stable"
        assert (await shown(port))[1][0]["outcomes"]["count"] == 40, "outcomes are no part of the reference"
        rsi = {"name": "rsi", "edges": [0.0], "counts": [500, 500, 0]}
        assert await ask(port, "POST", path, token, {"histograms": [rsi]}) == (
            200, {"model": "bull", "reference": "given"},
        )  # fmt: skip
        await at.observe(250, shift=1.0)
        assert states(await at.examine())["rsi"] == "drifted"
        status, body = await ask(port, "POST", path, token, {"histograms": [{**rsi, "counts": [1, 2]}]})
        assert (status, body["error"]["field"], body["error"]["message"]) == (
            400, "histograms", "counts: expected 3, got 2",
        )  # fmt: skip


async def shown(port: int) -> tuple[int, list[dict[str, Any]]]:
    status, body = await ask(port, "GET", "/api/v1/drift")
    return status, body["models"]


async def test_models_are_bounded_and_what_is_not_watched_is_counted(tmp_path: Path) -> None:
    async with desk(tmp_path, models=1, features=2) as at:
        await at.observe(3)
        await at.observe(5, model="bear")
        await at.examine()
        report = await at.at.node.ref(DRIFT).ask(GetDrift(), LIMIT_S)
        assert [each.model for each in report.models] == ["bull"]
        assert report.not_watched == 5 + 3
        at.at.node.publish(OutcomeSeen(decision_id="nobody's", success=True, outcome=0.1))
        await at.settle()
        await at.examine()
        assert (await at.at.node.ref(DRIFT).ask(GetDrift(), LIMIT_S)).unmatched == 1


def test_before_the_first_examination_nothing_is_said() -> None:
    body = body_of(DriftReport(models=(), ts=0, unmatched=0, not_watched=0))
    assert (body.models, body.examined_at) == ((), None)
