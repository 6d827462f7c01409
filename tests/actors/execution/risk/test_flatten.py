from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.execution.risk.flatten import Close, Flatten, FlattenSettings, Standing, Step, WorkingOrder, outcome
from protocols.nanos import NANO
from tests.actors.execution.risk.desk import NOW, n

SECOND = NANO
SETTINGS = FlattenSettings(
    stop_new_seconds=5, cancel_seconds=15, close_seconds=60, stop_actors_seconds=10, retry_seconds=5
)


def standing(**changes: Any) -> Standing:
    """Stopped, two orders, two positions, two actors."""
    fields: dict[str, Any] = {
        "stopped": True,
        "orders": (WorkingOrder("1", "BTC"), WorkingOrder("2", "ETH")),
        "positions": (("BTC", "", n(2)), ("ETH", "", -n(3))),
        "actors": ("a", "b"),
    }
    return Standing(**{**fields, **changes})


def pulled(**changes: Any) -> Flatten:
    return Flatten(msgspec.structs.replace(SETTINGS, **changes), "by hand", NOW)


def outcomes(flatten: Flatten) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {each.phase: (each.outcome, each.left) for each in flatten.reports}


def test_the_switch_does_one_thing_after_the_other() -> None:
    flatten = pulled()
    first = flatten.step(standing(stopped=False), NOW)
    assert first == Step(phase="stop_new", stop_new=True, due=NOW + 5 * SECOND)
    second = flatten.step(standing(), NOW + SECOND)
    assert second == Step(phase="cancel", cancel=("1", "2"), due=NOW + 6 * SECOND)
    third = flatten.step(standing(orders=()), NOW + 2 * SECOND)
    assert third.close == (Close("BTC", "sell", n(2), "", 1), Close("ETH", "buy", n(3), "", 1))
    assert (third.phase, third.cancel, third.stop_actors) == ("close", (), ())
    fourth = flatten.step(standing(orders=(), positions=()), NOW + 3 * SECOND)
    assert (fourth.phase, fourth.stop_actors) == ("stop_actors", ("a", "b"))
    last = flatten.step(standing(orders=(), positions=(), actors=()), NOW + 4 * SECOND)
    assert last == Step(phase="done")
    assert flatten.done
    assert flatten.deadline() is None
    assert {phase: done for phase, (done, _) in outcomes(flatten).items()} == dict.fromkeys(
        ("stop_new", "cancel", "close", "stop_actors"), "done"
    )
    assert outcome(flatten.reports) == ()


def test_nothing_is_asked_for_twice_until_it_is_time_to_retry() -> None:
    flatten = pulled()
    assert flatten.step(standing(), NOW).cancel == ("1", "2")
    assert flatten.step(standing(), NOW + 5 * SECOND - 1).cancel == ()
    assert flatten.step(standing(), NOW + 5 * SECOND).cancel == ("1", "2")


def test_an_order_that_was_on_its_way_is_cancelled_when_it_appears() -> None:
    flatten = pulled()
    flatten.step(standing(), NOW)
    late = standing(orders=(WorkingOrder("3", "BTC"),))
    assert flatten.step(late, NOW + SECOND).cancel == ("3",)
    flatten.step(standing(orders=()), NOW + 2 * SECOND)
    even_later = flatten.step(standing(orders=(WorkingOrder("4", "BTC"),)), NOW + 3 * SECOND)
    assert (even_later.phase, even_later.cancel) == ("close", ("4",))


@pytest.mark.parametrize(
    ("phase", "at", "left"),
    [
        ("stop_new", 5, ("new orders",)),
        ("cancel", 20, ("1", "2")),
        ("close", 80, ("BTC", "ETH")),
        ("stop_actors", 90, ("a", "b")),
    ],
)
def test_a_phase_that_is_not_over_by_its_deadline_is_left_and_what_is_left_reported(
    phase: Any, at: int, left: tuple[str, ...]
) -> None:
    flatten = pulled()
    stuck = standing(stopped=False)
    for moment in range(at):
        flatten.step(stuck, NOW + moment * SECOND)
    assert flatten.phase == phase
    assert flatten.deadline() == NOW + at * SECOND
    flatten.step(stuck, NOW + at * SECOND - 1)
    assert flatten.phase == phase
    flatten.step(stuck, NOW + at * SECOND)
    assert flatten.phase != phase
    assert outcomes(flatten)[phase] == ("deadline", left)


def test_everything_that_was_left_is_named_at_the_end() -> None:
    flatten = pulled()
    stuck = standing(stopped=False)
    for moment in range(91):
        flatten.step(stuck, NOW + moment * SECOND)
    assert flatten.done
    assert outcome(flatten.reports) == (
        *("stop_new: new orders", "cancel: 1", "cancel: 2", "close: BTC", "close: ETH"),
        *("stop_actors: a", "stop_actors: b"),
    )
    # And orders that are still there are cancelled on.
    assert flatten.step(stuck, NOW + 200 * SECOND).cancel == ("1", "2")


def test_what_was_not_stopped_or_cancelled_in_time_is_worked_at_further() -> None:
    flatten = pulled()
    flatten.step(standing(stopped=False), NOW)
    later = flatten.step(standing(stopped=False), NOW + 5 * SECOND)
    assert (later.phase, later.stop_new, later.cancel) == ("cancel", True, ("1", "2"))
    closing = flatten.step(standing(), NOW + 20 * SECOND)
    assert (closing.phase, closing.cancel) == ("close", ("1", "2"))


def test_a_closing_order_is_waited_for_and_what_it_leaves_is_closed_again() -> None:
    flatten = pulled()
    flatten.step(standing(orders=()), NOW)
    working = standing(orders=(WorkingOrder("c1", "BTC", closing=True), WorkingOrder("c2", "ETH", closing=True)))
    waiting = flatten.step(working, NOW + 10 * SECOND)
    assert (waiting.close, waiting.cancel) == ((), ())
    partly = standing(orders=(), positions=(("BTC", "", n(1)),))
    assert flatten.step(partly, NOW + 11 * SECOND).close == (Close("BTC", "sell", n(1), "", 2),)


def test_both_legs_of_a_hedged_market_are_closed() -> None:
    flatten = pulled()
    found = flatten.step(standing(orders=(), positions=(("BTC", "long", n(1)), ("BTC", "short", -n(2)))), NOW)
    assert found.close == (Close("BTC", "sell", n(1), "long", 1), Close("BTC", "buy", n(2), "short", 2))


def test_positions_stay_where_they_are_unless_asked_for() -> None:
    flatten = pulled(close=False)
    found = flatten.step(standing(orders=()), NOW)
    assert (found.phase, found.close, found.stop_actors) == ("stop_actors", (), ("a", "b"))
    assert outcomes(flatten)["close"] == ("skipped", ())


def test_with_nothing_to_do_the_switch_is_done_at_once() -> None:
    flatten = pulled()
    assert flatten.step(Standing(stopped=True), NOW) == Step(phase="done")
    assert all(each.ended == NOW for each in flatten.reports)


def test_a_switch_goes_on_from_its_snapshot_in_any_phase() -> None:
    before = pulled()
    cancelled = standing(orders=())
    states = [standing(stopped=False), standing(), cancelled, cancelled, standing(orders=(), positions=())]
    for moment, state in enumerate(states):
        after = Flatten.restore(before.snapshot())
        assert after.step(state, NOW + moment * SECOND) == before.step(state, NOW + moment * SECOND)
        assert after.snapshot() == before.snapshot()
        assert (after.reason, after.reports) == (before.reason, before.reports)


def test_a_deadline_is_at_least_a_second() -> None:
    with pytest.raises(msgspec.ValidationError, match="cancel_seconds: expected at least 1, got 0"):
        msgspec.convert({"cancel_seconds": 0}, FlattenSettings)
