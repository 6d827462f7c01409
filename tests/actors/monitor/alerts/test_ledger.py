from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.monitor.alerts.evaluation import Finding
from actors.monitor.alerts.ledger import SECOND, Ledger, Watch, alert_of, row_of
from actors.monitor.alerts.rules import DEFAULTS, Rule, RuleError, RuleSettings, rules
from protocols.alerts import Alert

HOLDS, FAILS, UNKNOWN = Finding(True, 2.0), Finding(False, 0.5), Finding(None, None, "there is no x")


def alert(number: int, key: str = "k", **more: Any) -> Alert:
    fields: dict[str, Any] = {
        "title": "t", "description": "d", "severity": "warning", "source": "s", "ts": number, **more,
    }  # fmt: skip
    return Alert(alert_id=f"a{number}", key=key, **fields)


def watch(for_s: float = 0.0, cooldown_s: float = 0.0) -> Watch:
    [rule] = rules(
        [RuleSettings(name="r", expression="x > 1", for_s=for_s, cooldown_s=cooldown_s)], 15, 60, defaults=False
    )
    return Watch(rule, ())


def test_one_alert_is_active_about_one_thing_and_after_its_end_there_may_be_another() -> None:
    ledger = Ledger()
    assert ledger.fire(alert(1))
    assert not ledger.fire(alert(2))
    assert ledger.fire(alert(3, source="other"))
    ended = ledger.resolve("s", "k", 10, "rule")
    assert ended is not None
    assert (ended.alert_id, ended.ts_resolved, ended.resolved_by) == ("a1", 10, "rule")
    assert ledger.resolve("s", "k", 11, "rule") is None
    assert ledger.fire(alert(4))
    assert [each.alert_id for each in ledger.listed("", active_only=True)] == ["a4", "a3"]
    assert [each.alert_id for each in ledger.listed("", active_only=False)] == ["a4", "a3", "a1"]
    assert ledger.find("a1") == ended


def test_resolved_alerts_are_forgotten_after_their_time_and_active_ones_never() -> None:
    ledger = Ledger(keep_s=100, most_kept=2)
    ledger.fire(alert(1, "old"))
    for number in range(2, 6):
        ledger.fire(alert(number))
        ledger.resolve("s", "k", number * SECOND, "rule")
    ledger.forget(6 * SECOND)
    assert list(ledger.resolved) == ["a4", "a5"]
    ledger.forget(105 * SECOND)
    assert list(ledger.resolved) == ["a5"]
    ledger.forget(1000 * SECOND)
    assert not ledger.resolved
    assert [each.alert_id for each in ledger.listed("", active_only=False)] == ["a1"]


def test_there_is_a_bound_on_active_alerts() -> None:
    ledger = Ledger(most_active=2)
    assert [ledger.fire(alert(number, str(number))) for number in range(3)] == [True, True, False]


def test_what_an_earlier_life_left_goes_on_unless_it_has_fired_anew() -> None:
    ledger = Ledger()
    ledger.fire(alert(5, "twice"))
    gone = ledger.restore([alert(1, "once"), alert(2, "twice"), alert(3, "over", ts_resolved=9)], 50)
    assert [(each.alert_id, each.resolved_by) for each in gone] == [("a2", "fired again")]
    assert {each.alert_id for each in ledger.listed("", active_only=True)} == {"a1", "a5"}
    assert set(ledger.resolved) == {"a2", "a3"}
    assert ledger.fire(alert(6, "once")) is False


def test_a_row_holds_the_whole_alert() -> None:
    fired = alert(7, rule="r", value=1.5, labels=(("model", "a=b"), ("x", "")))
    assert alert_of(row_of(fired, 1, 7)) == fired
    ended = msgspec.structs.replace(fired, ts_resolved=9, resolved_by="operator")
    assert alert_of(row_of(ended, 2, 9)) == ended


def test_a_rule_fires_once_it_has_held_for_its_time() -> None:
    at = watch(for_s=30)
    assert at.step(HOLDS, 100 * SECOND, firing=False) == ""
    assert at.view(None).state == "pending"
    assert at.step(HOLDS, 129 * SECOND, firing=False) == ""
    assert at.step(HOLDS, 130 * SECOND, firing=False) == "fire"
    assert at.step(HOLDS, 145 * SECOND, firing=True) == ""
    assert at.step(FAILS, 160 * SECOND, firing=True) == "resolve"
    at.ended(160 * SECOND)
    assert at.view(None).state == "ok"


def test_one_good_sample_begins_the_time_anew() -> None:
    at = watch(for_s=30)
    at.step(HOLDS, 100 * SECOND, firing=False)
    at.step(FAILS, 115 * SECOND, firing=False)
    assert at.step(HOLDS, 130 * SECOND, firing=False) == ""
    assert at.step(HOLDS, 160 * SECOND, firing=False) == "fire"


def test_what_is_unknown_neither_fires_nor_resolves_and_is_seen_as_that() -> None:
    at = watch(for_s=10)
    assert at.step(UNKNOWN, 100 * SECOND, firing=False) == ""
    view = at.view(None)
    assert (view.state, view.value, view.why) == ("unknown", None, "there is no x")
    at.step(HOLDS, 110 * SECOND, firing=False)
    assert at.step(UNKNOWN, 130 * SECOND, firing=False) == ""
    assert at.step(HOLDS, 131 * SECOND, firing=False) == ""
    assert at.step(HOLDS, 141 * SECOND, firing=False) == "fire"
    assert at.step(UNKNOWN, 150 * SECOND, firing=True) == ""
    view = at.view(alert(1))
    assert (view.state, view.why) == ("firing", "there is no x")


def test_after_its_end_a_rule_is_quiet_for_the_cooldown_and_then_fires_again() -> None:
    at = watch(cooldown_s=60)
    assert at.step(HOLDS, 100 * SECOND, firing=False) == "fire"
    at.ended(110 * SECOND)
    assert at.step(HOLDS, 120 * SECOND, firing=False) == ""
    assert at.step(HOLDS, 169 * SECOND, firing=False) == ""
    assert at.step(HOLDS, 170 * SECOND, firing=False) == "fire"


def made(*given: RuleSettings, defaults: bool = True, retention_s: float = 7200) -> list[Rule]:
    return rules(given, 15, retention_s, defaults=defaults)


def test_a_rule_with_the_name_of_a_default_changes_what_it_says_and_leaves_the_rest() -> None:
    found = made(RuleSettings(name="high_queue_size", severity="critical", for_s=9))
    assert len(found) == len(DEFAULTS)
    changed = next(each for each in found if each.name == "high_queue_size")
    assert (changed.severity, changed.for_s) == ("critical", 9)
    assert changed.expression == "mean_of_last(sum(rl_queue_depth), 3) > 100"
    assert changed.cooldown_s == 300


def test_a_default_can_be_switched_off_and_all_of_them_can() -> None:
    assert "high_cpu_usage" not in {each.name for each in made(RuleSettings(name="high_cpu_usage", enabled=False))}
    assert made(defaults=False) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((RuleSettings(name="a"),), "alerts.0.expression: expected an expression for a, which is no default rule"),
        (
            (RuleSettings(name="a", expression="x > 1"), RuleSettings(name="b", expression="x >")),
            "alerts.1.expression: column 4: expected a number, a metric, a function or '(', got the end in 'x >'",
        ),
        (
            (RuleSettings(name="a", expression="x > 1"),) * 2,
            "alerts.1.name: expected a name of its own, got 'a' again",
        ),
        (
            (RuleSettings(name="a", expression="rate(x, 3h) > 1"),),
            "alerts.0.expression: expected a window of at most alerting.retention_s = 7200 s, got 10800",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_told_with_its_place(given: tuple[RuleSettings, ...], message: str) -> None:
    with pytest.raises(RuleError) as error:
        made(*given)
    assert str(error.value) == message
