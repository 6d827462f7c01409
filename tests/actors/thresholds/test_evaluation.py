from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.thresholds.evaluation import evaluate, lessons
from actors.thresholds.parameters import DEFAULTS, Parameter, Registry
from protocols.thresholds import GatedSignal, RuleVerdict, Verdict

PARAMETERS = DEFAULTS
THRESHOLDS = tuple(each.default for each in DEFAULTS)
GOOD = {"action": "BUY", "confidence": 0.8, "rsi": 55.0, "macd": 0.01, "change_percent": 3.0, "volume": 2e9}


def judged(**fields: object) -> Verdict:
    return evaluate(PARAMETERS, THRESHOLDS, GatedSignal(**{**GOOD, **fields}))  # type: ignore[arg-type]


def rule(verdict: Verdict, name: str) -> RuleVerdict:
    return next(each for each in verdict.rules if each.parameter == name)


def outcomes(verdict: Verdict) -> dict[str, str]:
    return {each.parameter: each.outcome for each in verdict.rules}


def test_a_signal_on_the_right_side_of_all_thresholds_is_traded_and_every_rule_says_so() -> None:
    verdict = judged()
    assert verdict.should_trade
    assert set(outcomes(verdict).values()) == {"passed"}
    assert "rsi 55 is at or below the maximum 70" in verdict.reasoning
    assert dict(verdict.thresholds) == {
        "rsi": 70.0,
        "confidence": 0.65,
        "macd": 0.0,
        "volume": 1e9,
        "momentum": 2.0,
    }


@pytest.mark.parametrize(
    ("fields", "name", "text"),
    [
        ({"rsi": 71.0}, "rsi", "rsi 71 is above the maximum 70"),
        ({"confidence": 0.64}, "confidence", "confidence 0.64 is below the minimum 0.65"),
        ({"macd": -0.01}, "macd", "macd -0.01 is below the minimum 0"),
        ({"volume": 9e8}, "volume", "volume 9e+08 is below the minimum 1e+09"),
        ({"change_percent": -1.5}, "momentum", "momentum 1.5 is below the minimum 2"),
    ],
)
def test_each_rule_refuses_by_itself_and_says_why(fields: dict[str, float], name: str, text: str) -> None:
    verdict = judged(**fields)
    assert not verdict.should_trade
    assert rule(verdict, name).outcome == "failed"
    assert verdict.reasoning == f"not traded: {text}"
    assert [each.outcome for each in verdict.rules].count("passed") == 4


def test_a_value_on_the_threshold_passes_on_both_kinds_of_rule() -> None:
    verdict = judged(rsi=70.0, confidence=0.65, macd=0.0, volume=1e9, change_percent=-2.0)
    assert set(outcomes(verdict).values()) == {"passed"}


def test_rsi_does_not_judge_a_sell_and_macd_judges_it_mirrored() -> None:
    assert outcomes(judged(action="SELL", rsi=95.0, macd=-0.02))["rsi"] == "not_applicable"
    assert judged(action="SELL", rsi=95.0, macd=-0.02).should_trade
    assert rule(judged(action="SELL", macd=0.02), "macd").outcome == "failed"


@pytest.mark.parametrize("field", ["confidence", "volume", "change_percent"])
@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_a_required_field_that_is_missing_refuses_and_is_called_missing_and_not_zero(
    field: str, nothing: float | None
) -> None:
    verdict = judged(**{field: nothing})
    missing = [each for each in verdict.rules if each.outcome == "missing"]
    assert not verdict.should_trade
    assert [each.value for each in missing] == [None]
    assert "is missing" in verdict.reasoning


@pytest.mark.parametrize("field", ["rsi", "macd"])
def test_an_optional_field_that_is_missing_is_left_out_and_the_verdict_says_so(field: str) -> None:
    verdict = judged(**{field: None})
    assert verdict.should_trade
    assert outcomes(verdict)[field] == "missing"
    assert f"{field} is missing, so its rule is left out" in verdict.reasoning


def test_a_hold_is_never_traded_and_an_exit_is_never_held_back() -> None:
    assert not judged(action="HOLD").should_trade
    assert judged(action="HOLD").reasoning == "not traded: a HOLD is no order"
    assert judged(action="CLOSE_LONG", confidence=0.0, volume=None).should_trade


def test_without_an_action_the_rules_that_need_one_say_that_it_is_missing() -> None:
    found = outcomes(judged(action=None))
    assert found == {
        "rsi": "missing",
        "confidence": "passed",
        "macd": "missing",
        "volume": "passed",
        "momentum": "passed",
    }


def test_a_parameter_learns_only_from_signals_that_pass_every_other_rule() -> None:
    def taught(**fields: object) -> dict[str, float]:
        return {each.parameter: each.score for each in lessons(PARAMETERS, judged(**fields))}

    everything = taught()
    assert set(everything) == {"rsi", "confidence", "macd", "volume", "momentum"}
    assert everything["rsi"] == -55.0  # a cap is turned round
    assert everything["volume"] == pytest.approx(math.log(2e9))
    assert set(taught(confidence=0.3)) == {"confidence"}
    assert taught(confidence=0.3, volume=1.0) == {}
    assert set(taught(action="SELL", macd=-0.01)) == {"confidence", "macd", "volume", "momentum"}
    assert set(taught(rsi=None)) == {"confidence", "macd", "volume", "momentum"}
    assert taught(volume=None) == {}
    assert taught(action="HOLD") == {}
    assert taught(action="CLOSE_ALL") == {}


def test_no_volume_at_all_is_refused_and_teaches_nothing_on_a_log_scale() -> None:
    verdict = judged(volume=0.0)
    assert not verdict.should_trade
    assert lessons(PARAMETERS, verdict) == ()


numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([None, "BUY", "SELL", "HOLD", "CLOSE_ALL"]),
    st.fixed_dictionaries(dict.fromkeys(("confidence", "rsi", "macd", "change_percent", "volume"), numbers)),
)
def test_whatever_a_signal_holds_the_verdict_is_what_its_rules_say(
    action: str | None, fields: dict[str, float | None]
) -> None:
    verdict = judged(action=action, **fields)
    refused = [
        each for each in verdict.rules if each.outcome == "failed" or (each.outcome == "missing" and each.required)
    ]
    if action == "CLOSE_ALL":
        assert verdict.should_trade
    else:
        assert verdict.should_trade == (not refused and action != "HOLD")
    assert len(lessons(PARAMETERS, verdict)) <= (5 if not refused else 1)
    assert all(each.text in verdict.reasoning for each in refused)
    assert all(each.text for each in verdict.rules)


def test_more_parameters_can_be_registered_and_a_known_name_is_replaced_in_its_place() -> None:
    wide = Parameter(name="confidence", field="confidence", default=0.75, lower=0.2, upper=1.0)
    calm = Parameter(
        name="calm", field="change_percent", default=8.0, lower=1, upper=20, comparison="cap", absolute=True
    )
    registry = Registry().with_(wide, calm)
    assert [each.name for each in registry] == ["rsi", "confidence", "macd", "volume", "momentum", "calm"]
    assert registry["confidence"].default == 0.75
    assert len(registry) == 6
    assert "calm" in registry


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"lower": 2.0, "upper": 1.0}, r"p\.upper: expected above lower \(2\), got 1"),
        ({"default": 5.0}, r"p\.default: expected 0 to 1, got 5"),
        ({"scale": "log"}, r"p\.lower: expected above 0 on a log scale, got 0"),
        ({"upper": math.inf}, "finite"),
        ({"name": ""}, "name"),
        ({"absolute": True, "mirrored": True}, "mirrored"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_with_its_field(wrong: dict[str, object], says: str) -> None:
    fields: dict[str, object] = {"name": "p", "field": "rsi", "default": 0.5, "lower": 0.0, "upper": 1.0, **wrong}
    with pytest.raises(ValueError, match=says):
        Parameter(**fields)  # type: ignore[arg-type]


def test_a_name_that_comes_twice_is_named() -> None:
    with pytest.raises(ValueError, match="'rsi' twice"):
        Registry([DEFAULTS[0], DEFAULTS[0]])


@given(st.sampled_from(DEFAULTS), st.floats(0, 1))
def test_the_gate_axis_and_the_value_are_one_another_back(parameter: Parameter, part: float) -> None:
    value = parameter.lower + part * (parameter.upper - parameter.lower)
    assert parameter.value(parameter.gate(value)) == pytest.approx(value, rel=1e-12, abs=1e-15)
    assert parameter.lower <= parameter.value(1e308) <= parameter.upper
    assert parameter.lower <= parameter.value(-1e308) <= parameter.upper
