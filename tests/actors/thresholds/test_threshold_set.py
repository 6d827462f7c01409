from __future__ import annotations

import msgspec
import numpy as np

from actors.thresholds.parameters import Parameter, Registry
from actors.thresholds.pooling import Pool
from actors.thresholds.records import changes, moved, replay
from actors.thresholds.safeguards import HOUR_NS
from actors.thresholds.settings import LearningSettings
from actors.thresholds.threshold_set import ThresholdSet
from protocols.thresholds import AdaptationRecord, GatedSignal
from tests.actors.thresholds.streams import START


def made(registry: Registry | None = None) -> ThresholdSet:
    return ThresholdSet("u1", "BTC", registry or Registry(), LearningSettings(drift=None))


def signal(rng: np.random.Generator) -> GatedSignal:
    return GatedSignal(
        action="BUY" if rng.random() < 0.7 else "SELL",
        confidence=float(np.clip(rng.normal(0.75, 0.12), 0, 1)),
        rsi=float(np.clip(rng.normal(58, 10), 0, 100)),
        macd=float(rng.normal(0.02, 0.03)),
        change_percent=float(rng.normal(0, 1) + 3),
        volume=float(np.exp(rng.normal(21.5, 0.6))) if rng.random() > 0.02 else None,
    )


def lived(count: int, seed: int = 4) -> tuple[ThresholdSet, list[AdaptationRecord]]:
    """Signals of which the more confident pay, whatever else they are; each resolved at once."""
    subject, records, rng = made(), [], np.random.default_rng(seed)
    for number in range(count):
        now = START + number * HOUR_NS // 4
        given = signal(rng)
        verdict, taught = subject.evaluate(given, ts=now)
        outcome = 0.05 * ((given.confidence or 0) - 0.8) + 0.004 * float(rng.standard_t(4))
        records += subject.resolve(taught, outcome, now, now, acted=verdict.should_trade)
        if number % 96 == 95:
            records += subject.adapt(now)
    return subject, records


def test_thresholds_of_a_user_to_whom_nothing_happened_are_the_defaults_and_keep_nothing() -> None:
    subject = made()
    verdict, _ = subject.evaluate(GatedSignal(action="BUY", confidence=0.9))
    assert subject.values == {"rsi": 70.0, "confidence": 0.65, "macd": 0.0, "volume": 1e9, "momentum": 2.0}
    assert verdict.versions == (0, 0, 0, 0, 0)
    assert subject.idle
    assert subject.adapt(START) == []
    assert subject.last_move is None


def test_the_threshold_that_matters_moves_and_signals_are_judged_by_it() -> None:
    subject, records = lived(12_000)
    values = subject.values
    assert 0.72 < values["confidence"] < 0.88
    assert subject.last_move is not None
    verdict, taught = subject.evaluate(
        GatedSignal(action="BUY", confidence=0.7, rsi=50.0, macd=0.05, change_percent=4.0, volume=3e9)
    )
    assert not verdict.should_trade
    assert [each.parameter for each in taught] == ["confidence"]
    assert dict(verdict.thresholds) == values
    assert verdict.versions[1] == sum(moved(each) for each in records if each.parameter == "confidence")
    for name in values:
        own = [each for each in records if each.parameter == name]
        parameter = subject.registry[name]
        assert replay(own, parameter.default, parameter.default).value == values[name]


def test_after_a_restart_it_goes_on_where_it_was() -> None:
    subject, _ = lived(3_000)
    again = made()
    assert again.restore(subject.encode(), START) == []
    assert again.values == subject.values
    assert again.encode() == subject.encode()
    now = START + 10_000 * HOUR_NS
    assert again.adapt(now) == subject.adapt(now)


def test_a_parameter_that_is_gone_is_left_out_and_narrower_bounds_leave_a_record() -> None:
    subject, records = lived(12_000)
    narrow = Parameter(name="confidence", field="confidence", default=0.65, lower=0.2, upper=0.7)
    fewer = made(Registry([narrow]))
    (record,) = fewer.restore(subject.encode(), START)
    assert (record.parameter, record.reason_code, record.applied) == ("confidence", "BOUND", 0.7)
    assert fewer.values == {"confidence": 0.7}
    own = [each for each in records if each.parameter == "confidence" and changes(each)]
    assert replay([*own, record], 0.65, 0.65).value == 0.7


def test_poor_performance_holds_all_and_a_freeze_too() -> None:
    subject, _ = lived(3_000)
    now = START + 751 * HOUR_NS
    until = subject.poor(now)
    assert until == now + 48 * HOUR_NS
    assert {each.reason_code for each in subject.adapt(now, force=True)} == {"COOLDOWN"}
    subject.freeze("kill_switch")
    assert {each.reason_code for each in subject.adapt(now, force=True)} == {"FROZEN"}
    subject.thaw("kill_switch")
    assert {each.reason_code for each in subject.adapt(until - 1, force=True)} == {"COOLDOWN"}


def test_a_freeze_holds_what_is_only_learned_later_and_makes_nothing_to_keep() -> None:
    subject = made()
    subject.freeze("kill_switch")
    assert subject.idle
    pools = {"confidence": Pool(theta=0.85, n=50_000, trust=1.0)}
    assert [each.reason_code for each in subject.adapt(START, pools=pools)] == ["FROZEN"]
    subject.thaw("kill_switch")
    assert [each.reason_code for each in subject.adapt(START, pools=pools)] == ["APPLIED"]


def test_a_new_user_follows_the_symbol_one_cycle_at_a_time() -> None:
    subject = made()
    pools = {"confidence": Pool(theta=0.85, n=50_000, trust=1.0)}
    first = subject.adapt(START, pools=pools)
    assert [(each.parameter, each.reason_code) for each in first] == [("confidence", "APPLIED")]
    assert subject.values["confidence"] == first[0].applied
    assert 0.65 < first[0].applied <= 0.65 * 1.1
    assert subject.reset(START + 1)[0].reason_code == "RESET"
    assert subject.values["confidence"] == 0.65


def test_a_record_travels_as_json_without_losing_a_bit() -> None:
    _, records = lived(2_000)
    assert msgspec.json.decode(msgspec.json.encode(records), type=list[AdaptationRecord]) == records
