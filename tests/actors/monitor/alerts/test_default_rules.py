"""Every rule that comes with Troupe fires and clears when its metric really moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.monitor.alerts.rules import DEFAULTS, RuleSettings
from actors.monitor.health import process_figures
from runtime.metrics import Metrics
from tests.actors.monitor.stage import stage

BUCKETS = (0.00001, 0.001, 0.01, 0.05, 0.1, 0.25)
Move = Callable[[Metrics], None]


def took(metrics: Metrics, seconds: float, model: str = "bull") -> None:
    times = metrics.histogram("rl_predict_duration_seconds", "Time", ("model", "arm", "priority"), buckets=BUCKETS)
    for _ in range(200):
        times.labels(model, "treatment", "2").observe(seconds)


def decided(metrics: Metrics, good: int, bad: int, reason: str = "TIMEOUT") -> None:
    count = metrics.counter("rl_predictions", "Decisions", ("arm", "served_by", "reason"))
    count.labels("control", "rule", "").inc(900)  # nine of ten users are in no model's arm
    count.labels("treatment", "bull", "").inc(good)
    if bad:
        count.labels("treatment", "fallback", reason).inc(bad)


def waiting(metrics: Metrics, number: float) -> None:
    metrics.gauge("rl_queue_depth", "Waiting").set(number)


def accuracy(metrics: Metrics, share: float) -> None:
    models = metrics.gauge("rl_model_accuracy_ratio", "Accuracy", ("model",))
    models.labels("bull").set(share)
    models.labels("bear").set(0.9)


def shares(metrics: Metrics, p: float) -> None:
    metrics.gauge("ab_srm_p_value", "P", ("experiment",)).labels("default_rl_test").set(p)


MOVES: dict[str, tuple[Move, Move, dict[str, str]]] = {
    "high_response_time": (lambda m: took(m, 1.5), lambda m: took(m, 0.01), {}),
    "low_success_rate": (lambda m: decided(m, 80, 20), lambda m: decided(m, 95, 5), {}),
    "high_queue_size": (lambda m: waiting(m, 150), lambda m: waiting(m, 3), {}),
    "low_rl_accuracy": (lambda m: accuracy(m, 0.55), lambda m: accuracy(m, 0.7), {"model": "bull"}),
    "slow_predictions": (lambda m: took(m, 0.2), lambda m: took(m, 0.01), {"model": "bull"}),
    "high_fallback_ratio": (
        lambda m: decided(m, 90, 10, "LOW_CONFIDENCE"), lambda m: decided(m, 99, 1, "LOW_CONFIDENCE"), {},
    ),
    "sample_ratio_mismatch": (lambda m: shares(m, 0.0001), lambda m: shares(m, 0.4), {"experiment": "default_rl_test"}),
}  # fmt: skip
PROCESS = {"high_cpu_usage", "high_memory_usage"}


def test_every_default_rule_is_moved_here() -> None:
    assert {each.name for each in DEFAULTS} == {*MOVES, *PROCESS}


@pytest.mark.parametrize("name", MOVES)
async def test_a_default_rule_fires_when_its_metric_goes_bad_and_clears_when_it_is_good_again(
    tmp_path: Path, name: str
) -> None:
    bad, good, labels = MOVES[name]
    async with stage(tmp_path, default_rules=True) as at:
        assert (await at.rule(name)).state == "unknown"
        for _ in range(12):
            good(at.metrics)
            await at.evaluate(120)
        assert (await at.rule(name, **labels)).state == "ok"
        for _ in range(25):
            bad(at.metrics)
            await at.evaluate(120)
        view = await at.rule(name, **labels)
        assert view.state == "firing", view
        [fired] = [alert for alert in at.heard if alert.rule == name]
        assert dict(fired.labels) == labels
        assert fired.value is not None
        assert fired.severity == view.severity
        for _ in range(25):
            good(at.metrics)
            await at.evaluate(120)
        assert (await at.rule(name, **labels)).state == "ok"
        assert [alert.ts_resolved > 0 for alert in at.heard if alert.rule == name] == [False, True]


async def test_the_processor_rule_fires_when_this_process_computes_and_clears_when_it_rests(tmp_path: Path) -> None:
    async with stage(tmp_path, default_rules=True) as at:
        await at.evaluate(0)
        before = time.process_time()
        while time.process_time() < before + 0.2:
            pass
        # The node's clock is the test's: for it less time has passed than was computed.
        await at.evaluate(0.1)
        assert (await at.rule("high_cpu_usage")).state == "firing"
        await at.evaluate(130)
        assert (await at.rule("high_cpu_usage")).state == "ok"
        assert [alert.ts_resolved > 0 for alert in at.heard if alert.rule == "high_cpu_usage"] == [False, True]


async def test_the_memory_rule_fires_when_this_process_grows_and_clears_when_it_gives_back(tmp_path: Path) -> None:
    limit = process_figures().resident_mb + 60
    rule = RuleSettings(name="high_memory_usage", expression=f"process_resident_memory_bytes / 1e6 > {limit:.0f}")
    async with stage(tmp_path, rule, default_rules=True) as at:
        await at.evaluate()
        assert (await at.rule("high_memory_usage")).state == "ok"
        held = bytearray(b"x" * 1) * (130 << 20)
        await at.evaluate()
        view = await at.rule("high_memory_usage")
        assert (view.state, view.severity) == ("firing", "warning")
        assert view.description == rule.expression
        del held
        await at.evaluate()
        assert (await at.rule("high_memory_usage")).state == "ok"
