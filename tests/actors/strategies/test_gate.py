from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.strategies.gate import ENTRIES, Gate, RunSettings, Verdict, changed
from protocols.signals import Action

NOW = 1_750_000_000_000_000_000
SECOND = 1_000_000_000


def judge(gate: Gate, action: Action = "BUY", at: float = 0.0, **changes: Any) -> str:
    """Why a signal at so many seconds is held back, `passed` if it is not."""
    now = NOW + round(at * SECOND)
    fields: dict[str, Any] = {"symbol": "A", "confidence": 0.9, "risk": 0.1, "ts_expires": now + 300 * SECOND}
    verdict = gate.judge(action=action, now=now, **{**fields, **changes})
    assert verdict.passed == (not verdict.reason)
    return verdict.reason or "passed"


def test_the_defaults_are_those_of_the_inference_service_but_for_the_cooldown_of_its_engine() -> None:
    settings = RunSettings()
    assert (settings.max_concurrent_signals, settings.signal_cooldown, settings.lookback_periods) == (5, 60.0, 100)
    assert (settings.min_confidence_threshold, settings.max_risk_threshold) == (0.6, 0.5)
    assert (settings.timeframes, settings.mode, settings.enabled) == (("1h",), "paper", True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"max_concurrent_signals": 0}, "max_concurrent_signals"),
        ({"max_concurrent_signals": 51}, "max_concurrent_signals"),
        ({"signal_cooldown": -1}, "signal_cooldown"),
        ({"lookback_periods": 9}, "lookback_periods"),
        ({"lookback_periods": 1001}, "lookback_periods"),
        ({"max_position_size": 0}, "max_position_size"),
        ({"min_confidence_threshold": 1.1}, "min_confidence_threshold"),
        ({"stop_loss_percentage": 1}, "stop_loss_percentage"),
        ({"mode": "dream"}, "mode"),
        ({"symbols": ["A", "A"]}, "symbols"),
        ({"timeframes": []}, "timeframes"),
        ({"environment_variables": {"PATH": "/"}}, "environment_variables"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_settings_out_of_their_bounds_are_an_error_that_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        changed(RunSettings(), change)


def test_what_is_not_named_in_a_change_stays() -> None:
    settings = changed(RunSettings(symbols=("A", "B")), {"signal_cooldown": 5, "custom_parameters": {"period": 7}})
    assert settings == RunSettings(symbols=("A", "B"), signal_cooldown=5.0, custom_parameters={"period": 7})


def test_the_first_rule_that_fails_is_the_reason_and_is_counted() -> None:
    gate = Gate(RunSettings(max_concurrent_signals=1))
    assert judge(gate, confidence=0.59, risk=0.9) == "confidence"
    assert judge(gate, confidence=float("nan")) == "confidence"
    assert judge(gate, risk=0.51) == "risk"
    assert judge(gate, confidence=0.6, risk=0.5) == "passed"
    assert judge(gate, at=59.9) == "cooldown"
    assert judge(gate, symbol="B", at=59.9) == "concurrent"
    gate.configure(RunSettings(enabled=False))
    assert judge(gate, at=1000) == "disabled"
    assert dict(gate.figures()) == {
        "gate_judged": 7,
        "gate_passed": 1,
        "gate_disabled": 1,
        "gate_confidence": 2,
        "gate_risk": 1,
        "gate_cooldown": 1,
        "gate_concurrent": 1,
    }


def test_a_verdict_gives_the_numbers() -> None:
    gate = Gate(RunSettings())
    assert gate.judge("A", "BUY", 0.5, None, NOW) == Verdict(False, "confidence", "0.5 is below 0.6")
    gate.judge("A", "BUY", 0.7, None, NOW)
    assert gate.judge("A", "SELL", 0.7, None, NOW + 20 * SECOND).detail == "40.0 s are left in A"


def test_a_risk_that_nobody_knows_holds_nothing_back() -> None:
    assert judge(Gate(RunSettings()), risk=None) == "passed"


def test_no_cooldown_or_risk_of_an_entry_holds_back_an_exit() -> None:
    gate = Gate(RunSettings())
    assert judge(gate, "BUY") == "passed"
    assert judge(gate, "CLOSE_LONG", at=1, risk=1.0) == "passed"
    assert judge(gate, "CLOSE_LONG", at=2) == "cooldown"
    assert judge(gate, "CLOSE_ALL", at=2) == "passed"
    assert judge(gate, "BUY", at=60) == "passed"
    # An entry came in between: this is no repetition.
    assert judge(gate, "CLOSE_LONG", at=60.5) == "passed"


def test_an_entry_is_open_until_it_expires_or_an_exit_of_its_kind_follows() -> None:
    gate = Gate(RunSettings(max_concurrent_signals=2, signal_cooldown=0))
    assert judge(gate, symbol="A", ts_expires=NOW + 10 * SECOND) == "passed"
    assert judge(gate, "SELL", symbol="B", ts_expires=NOW + 100 * SECOND) == "passed"
    assert judge(gate, symbol="C", at=9.9) == "concurrent"
    assert judge(gate, symbol="C", at=10) == "passed"
    assert judge(gate, "CLOSE_LONG", symbol="B", at=11) == "passed"
    assert judge(gate, symbol="D", at=11) == "concurrent"
    assert judge(gate, "CLOSE_SHORT", symbol="B", at=12) == "passed"
    assert judge(gate, symbol="D", at=12) == "passed"
    assert judge(gate, "HOLD", symbol="E", at=12) == "passed"
    assert gate.open_entries(NOW + 13 * SECOND) == 2


def test_a_clock_that_is_set_back_does_not_make_a_cooldown_longer() -> None:
    gate = Gate(RunSettings())
    judge(gate, at=10_000)
    assert judge(gate, at=0) == "cooldown"
    assert judge(gate, at=60) == "passed"


actions: st.SearchStrategy[Action] = st.sampled_from(["BUY", "SELL", "HOLD", "CLOSE_LONG", "CLOSE_SHORT", "CLOSE_ALL"])
steps = st.lists(
    st.tuples(st.floats(0, 90), st.sampled_from("ABC"), actions, st.floats(0, 1), st.floats(0, 1), st.integers(1, 200)),
    max_size=60,
)


@given(steps, st.integers(1, 3), st.sampled_from([0.0, 7.5, 60.0]), st.integers(0, 60))
def test_whatever_is_asked_the_rules_hold_and_a_restart_changes_nothing(
    program: list[tuple[float, str, Action, float, float, int]], most: int, cooldown: float, restart_at: int
) -> None:
    settings = RunSettings(max_concurrent_signals=most, signal_cooldown=cooldown)
    gate, twin = Gate(settings), Gate(settings)
    now = NOW
    entries: dict[str, int] = {}
    open_until: list[tuple[str, Action, int]] = []
    for index, (wait, symbol, action, confidence, risk, validity) in enumerate(program):
        now += round(wait * SECOND)
        if index == restart_at:
            gate = Gate(settings)
            gate.restore(msgspec.json.decode(msgspec.json.encode(twin.state())))
        expires = now + validity * SECOND
        verdict = gate.judge(symbol, action, confidence, risk, now, expires)
        assert verdict == twin.judge(symbol, action, confidence, risk, now, expires)
        open_until = [each for each in open_until if each[2] > now]
        if not verdict.passed:
            assert verdict.detail
            continue
        assert confidence >= 0.6
        if action in ENTRIES:
            assert risk <= 0.5
            assert now - entries.get(symbol, 0) >= cooldown * SECOND
            entries[symbol] = now
            open_until.append((symbol, action, expires))
            assert len(open_until) <= most
        elif action != "HOLD":
            ends = {"CLOSE_LONG": "BUY", "CLOSE_SHORT": "SELL"}.get(action)
            open_until = [each for each in open_until if each[0] != symbol or ends not in (None, each[1])]
    assert gate.counts == twin.counts
    assert gate.counts["judged"] == len(program)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_only_an_exit_passes_with_a_risk_above_the_threshold(confidence: float, risk: float, most: float) -> None:
    for action in ("BUY", "CLOSE_ALL"):
        gate = Gate(RunSettings(max_risk_threshold=most, min_confidence_threshold=0.5))
        passed = gate.judge("A", action, confidence, risk, NOW).passed
        assert passed == (confidence >= 0.5 and (risk <= most or action == "CLOSE_ALL"))


def test_what_is_no_state_of_a_gate_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        Gate(RunSettings()).restore({"version": 2})
