from __future__ import annotations

import gc

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from protocols.control import Refused, Unknown
from runtime.breaker import (
    TRANSITIONS,
    BreakerSettings,
    CircuitBreaker,
    CircuitOpen,
    Count,
    Event,
    Permit,
    Seconds,
    State,
    Transition,
    Verdict,
    judge,
)

S = 1_000_000_000


def breaker(listener: list[Transition] | None = None, **settings: object) -> CircuitBreaker:
    chosen: dict[str, object] = {"window": Count(4), "minimum_calls": 4, "open_s": 10.0, "half_open_calls": 2}
    chosen.update(settings)
    return CircuitBreaker(
        "/venue",
        msgspec.convert(chosen, BreakerSettings),
        0,
        listener=None if listener is None else listener.append,
    )


def calls(subject: CircuitBreaker, pattern: str, now: int = 0) -> None:
    """One call per letter: s succeeds, f fails, S and F do so after 61 seconds (slow by default)."""
    for letter in pattern:
        permit = subject.acquire(now)
        end = now + (61 * S if letter.isupper() else 0)
        permit.failure(end) if letter in "fF" else permit.success(end)


def opened(now: int = 0, **settings: object) -> CircuitBreaker:
    subject = breaker(**settings)
    calls(subject, "ffff", now)
    assert subject.state is State.OPEN
    return subject


# The windows


@pytest.mark.parametrize(
    ("pattern", "state"),
    [
        ("fff", State.CLOSED),  # too few to judge
        ("sssf", State.CLOSED),
        ("ssff", State.OPEN),  # the threshold itself opens
        ("ffss", State.OPEN),
        ("sfsssf", State.CLOSED),  # the first failure has left the window
        ("sfssf", State.OPEN),
        ("SSSs", State.CLOSED),
        ("SSSS", State.OPEN),  # slow successes open it, too
        ("SFSF", State.OPEN),
    ],
)
def test_a_count_window_opens_at_the_threshold_once_it_holds_the_minimum(pattern: str, state: State) -> None:
    subject = breaker()
    calls(subject, pattern)
    assert subject.state is state


def test_a_window_smaller_than_the_minimum_is_judged_when_it_is_full() -> None:
    subject = breaker(minimum_calls=100)
    calls(subject, "fff")
    assert subject.state is State.CLOSED
    calls(subject, "f")
    assert subject.state is State.OPEN


def test_a_call_is_slow_only_when_it_took_strictly_longer() -> None:
    subject = breaker(slow_call_s=2.0)
    subject.acquire(0).success(2 * S)
    subject.acquire(0).success(2 * S + 1)
    assert subject.snapshot(2 * S).slow_calls == 1


def test_outcomes_leave_a_time_window_as_time_passes() -> None:
    subject = breaker(window={"type": "seconds", "seconds": 10.0}, minimum_calls=3)
    calls(subject, "ff", now=0)
    calls(subject, "s", now=9 * S)
    assert subject.state is State.OPEN  # 2 of 3

    subject = breaker(window={"type": "seconds", "seconds": 10.0}, minimum_calls=3)
    calls(subject, "ff", now=0)
    assert subject.snapshot(9 * S + S - 1).failures == 2
    assert subject.snapshot(10 * S).failures == 0
    calls(subject, "sssf", now=11 * S)
    assert subject.state is State.CLOSED
    assert subject.snapshot(11 * S).calls == 4
    assert subject.snapshot(1000 * S).calls == 0


@given(st.lists(st.tuples(st.integers(0, 3 * S), st.booleans(), st.booleans()), max_size=60), st.integers(1, 20))
def test_window_sums_equal_a_recount_of_what_is_in_them(steps: list[tuple[int, bool, bool]], seconds: int) -> None:
    by_count = breaker(window={"type": "count", "calls": 7}, minimum_calls=7)
    by_time = breaker(window={"type": "seconds", "seconds": float(seconds)}, minimum_calls=7)
    by_count.observe(0)
    by_time.observe(0)
    width = seconds * S // max(10, seconds)
    slices = max(10, seconds)
    now, past = 0, []
    for wait, failed, slow in steps:
        now += wait
        for subject in (by_count, by_time):
            permit = subject.acquire(now - 61 * S if slow else now)
            permit.failure(now) if failed else permit.success(now)
        past.append((now, failed, slow))
        last, young = past[-7:], [each for each in past if each[0] // width > now // width - slices]
        for subject, inside in ((by_count, last), (by_time, young)):
            seen = subject.snapshot(now)
            assert (seen.calls, seen.failures, seen.slow_calls) == (
                len(inside),
                sum(each[1] for each in inside),
                sum(each[2] for each in inside),
            )


# The states


def test_an_open_breaker_refuses_and_says_when_to_come_back() -> None:
    subject = opened()
    with pytest.raises(CircuitOpen, match=r"^circuit_open: the breaker of /venue is open, retry after 7 s$") as info:
        subject.acquire(3 * S)
    assert info.value.retry_after == 7.0
    assert isinstance(info.value, Refused)
    assert info.value.code == "circuit_open"
    assert subject.snapshot(3 * S).refused == 1


def test_a_breaker_becomes_half_open_only_when_a_call_comes() -> None:
    subject = opened()
    assert subject.snapshot(10 * S).state is State.OPEN
    assert subject.snapshot(10 * S).retry_after == 0.0
    with subject.acquire(10 * S):
        assert subject.state is State.HALF_OPEN
        assert subject.snapshot(10 * S).free_permits == 1


def test_the_trials_that_pass_close_it_with_an_empty_window() -> None:
    subject = opened()
    calls(subject, "s", now=10 * S)
    assert subject.state is State.HALF_OPEN
    calls(subject, "s", now=10 * S)
    assert subject.state is State.CLOSED
    assert subject.snapshot(10 * S).calls == 0
    calls(subject, "fff", now=10 * S)
    assert subject.state is State.CLOSED


def test_the_trials_that_fail_open_it_for_another_whole_wait() -> None:
    subject = opened()
    calls(subject, "sf", now=12 * S)  # one of two is the threshold
    assert subject.state is State.OPEN
    with pytest.raises(CircuitOpen):
        subject.acquire(22 * S - 1)
    subject.acquire(22 * S).release()
    assert subject.state is State.HALF_OPEN


def test_slow_trials_open_it_again() -> None:
    subject = opened()
    calls(subject, "SS", now=10 * S)
    assert subject.state is State.OPEN


def test_no_more_calls_are_tried_than_there_are_permits() -> None:
    subject = opened()
    held = [subject.acquire(10 * S), subject.acquire(10 * S)]
    with pytest.raises(CircuitOpen) as info:
        subject.acquire(10 * S)
    assert info.value.retry_after is None
    assert info.value.state is State.HALF_OPEN
    for permit in held:
        permit.success(10 * S)
    assert subject.state is State.CLOSED


def test_half_open_decides_once_the_smaller_minimum_is_in() -> None:
    subject = opened(half_open_calls=10)  # the minimum is 4
    calls(subject, "sss", now=10 * S)
    assert subject.state is State.HALF_OPEN
    calls(subject, "s", now=10 * S)
    assert subject.state is State.CLOSED


def test_a_half_open_period_that_takes_too_long_ends_at_its_own_deadline() -> None:
    subject = opened(half_open_timeout_s=5.0)
    held = [subject.acquire(10 * S), subject.acquire(10 * S)]
    with pytest.raises(CircuitOpen) as info:
        subject.acquire(11 * S)
    assert info.value.retry_after == 4.0
    with pytest.raises(CircuitOpen) as info:
        subject.acquire(17 * S)
    assert info.value.state is State.OPEN
    assert info.value.retry_after == 8.0  # open since 15 s, though noticed at 17 s
    held[0].success(18 * S)
    held[1].success(18 * S)
    assert subject.state is State.OPEN  # they belonged to the period that expired


def test_a_half_open_period_nobody_looked_at_can_expire_and_begin_again_in_one_step() -> None:
    subject = opened(half_open_timeout_s=5.0)
    held = subject.acquire(10 * S)
    subject.acquire(25 * S).release()
    assert subject.state is State.HALF_OPEN
    assert subject.snapshot(25 * S).since == 25 * S
    held.release()
    assert subject.snapshot(25 * S).free_permits == 2


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize(
    ("word", "then"),
    [
        ("close", State.CLOSED),
        ("trip", State.OPEN),
        ("force_open", State.FORCED_OPEN),
        ("disable", State.DISABLED),
        ("observe", State.OBSERVE),
    ],
)
def test_an_operator_may_put_it_from_any_state_into_any(state: State, word: str, then: State) -> None:
    subject = in_state(state)
    getattr(subject, word)(20 * S)
    assert subject.state is then
    assert subject.snapshot(20 * S).calls == 0


def in_state(state: State) -> CircuitBreaker:
    subject = breaker() if state is not State.HALF_OPEN else opened()
    if state is State.OPEN:
        subject.trip(0)
    elif state is State.FORCED_OPEN:
        subject.force_open(0)
    elif state is State.DISABLED:
        subject.disable(0)
    elif state is State.OBSERVE:
        subject.observe(0)
    elif state is State.HALF_OPEN:
        subject.acquire(10 * S).release()
    assert subject.state is state
    return subject


def test_every_state_has_a_row_and_every_row_obeys_the_operator() -> None:
    assert set(TRANSITIONS) == set(State)
    for row in TRANSITIONS.values():
        assert {Event.CLOSE, Event.TRIP, Event.FORCE_OPEN, Event.DISABLE, Event.OBSERVE} <= set(row)


def test_forced_open_refuses_for_ever_and_nobody_knows_until_when() -> None:
    subject = in_state(State.FORCED_OPEN)
    with pytest.raises(CircuitOpen, match=r"^circuit_open: the breaker of /venue is forced_open$") as info:
        subject.acquire(10**6 * S)
    assert info.value.retry_after is None


def test_disabled_passes_everything_and_records_nothing() -> None:
    subject = in_state(State.DISABLED)
    calls(subject, "ffffffff")
    assert subject.state is State.DISABLED
    assert subject.snapshot(0).calls == 0


def test_observe_reports_when_it_would_have_opened_and_passes_on() -> None:
    told: list[Transition] = []
    subject = breaker(told)
    subject.observe(0)
    told.clear()
    calls(subject, "ffff", now=S)
    calls(subject, "ff", now=2 * S)
    assert subject.state is State.OBSERVE
    assert [(each.old, each.new, each.event, each.at) for each in told] == [
        (State.OBSERVE, State.OBSERVE, Event.EXCEEDED, S)
    ]
    calls(subject, "ssssff", now=3 * S)
    assert [each.at for each in told] == [S, 3 * S]  # it had recovered in between


# Permits


def test_a_result_that_arrives_after_the_state_changed_belongs_to_the_old_window() -> None:
    subject = breaker()
    late = [subject.acquire(0) for _ in range(8)]
    calls(subject, "ffff")
    late[0].success(S)
    late[1].failure(S)
    assert subject.state is State.OPEN
    subject.acquire(10 * S).success(10 * S)
    late[2].failure(10 * S)
    assert subject.snapshot(10 * S).calls == 1
    subject.acquire(10 * S).success(10 * S)
    assert subject.state is State.CLOSED
    for permit in late[3:]:
        permit.failure(11 * S)
    assert subject.state is State.CLOSED
    assert subject.snapshot(11 * S).calls == 0


def test_a_released_permit_can_be_had_again() -> None:
    subject = opened()
    for _ in range(100):
        subject.acquire(10 * S).release()
    assert subject.snapshot(10 * S).free_permits == 2
    assert subject.snapshot(10 * S).calls == 0


def test_a_permit_ends_once() -> None:
    subject = opened()
    permit = subject.acquire(10 * S)
    permit.success(10 * S)
    permit.success(10 * S)
    permit.failure(10 * S)
    permit.release()
    assert subject.state is State.HALF_OPEN
    assert subject.snapshot(10 * S).free_permits == 1
    assert subject.snapshot(10 * S).calls == 1


def test_a_permit_that_is_forgotten_releases_itself() -> None:
    subject = opened()
    held: list[Permit] = [subject.acquire(10 * S), subject.acquire(10 * S)]
    assert subject.snapshot(10 * S).free_permits == 0
    held.clear()
    gc.collect()
    assert subject.snapshot(10 * S).free_permits == 2


async def test_a_cancelled_call_releases_and_records_nothing() -> None:
    subject = opened()
    with trio.CancelScope() as scope:
        permit = subject.acquire(10 * S)
        try:
            scope.cancel()
            await trio.sleep_forever()
        except BaseException as error:
            permit.settle(11 * S, error)
            raise
    assert scope.cancelled_caught
    assert subject.snapshot(11 * S).free_permits == 2
    assert subject.snapshot(11 * S).calls == 0


def test_leaving_the_block_of_a_permit_without_an_outcome_releases_it() -> None:
    subject = opened()
    with pytest.raises(KeyError), subject.acquire(10 * S):
        raise KeyError
    with subject.acquire(10 * S) as permit:
        permit.success(10 * S)
    seen = subject.snapshot(10 * S)
    assert (seen.free_permits, seen.calls) == (1, 1)


def test_an_exempt_call_passes_in_every_state_and_is_no_trial() -> None:
    for state in State:
        subject = in_state(state)
        before = subject.snapshot(10 * S)
        subject.acquire(10 * S, exempt=True).failure(10 * S)
        after = subject.snapshot(10 * S)
        assert after.state is state
        assert after.free_permits == before.free_permits
        assert after.calls == before.calls + (state in {State.CLOSED, State.OBSERVE})
        assert after.failed == before.failed + 1


# What counts


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (None, Verdict.SUCCESS),
        (Refused("invalid"), Verdict.SUCCESS),
        (Refused("mailbox_full"), Verdict.FAILURE),
        (Refused("market_closed"), Verdict.IGNORED),
        (Unknown(), Verdict.FAILURE),
        (RuntimeError(), Verdict.FAILURE),
        (LookupError(), Verdict.IGNORED),
        (KeyboardInterrupt(), Verdict.IGNORED),
    ],
)
def test_an_outcome_is_judged_by_the_settings(error: BaseException | None, verdict: Verdict) -> None:
    settings = BreakerSettings(record=("mailbox_full",), ignore=("market_closed", "LookupError"))
    assert judge(settings, error) is verdict


def test_an_ignored_outcome_gives_its_permit_back() -> None:
    subject = opened(ignore=("market_closed",))
    subject.acquire(10 * S).settle(10 * S, Refused("market_closed"))
    assert subject.snapshot(10 * S).free_permits == 2
    subject.acquire(10 * S).settle(10 * S, Unknown())
    subject.acquire(10 * S).settle(10 * S, None)
    assert subject.state is State.OPEN


# What is seen


def test_the_listener_is_told_each_transition_with_its_cause() -> None:
    told: list[Transition] = []
    subject = breaker(told)
    calls(subject, "ssff", now=S)
    calls(subject, "ss", now=11 * S)
    subject.force_open(12 * S)
    assert [(each.old.value, each.new.value, each.event.value, each.at // S) for each in told] == [
        ("closed", "open", "exceeded", 1),
        ("open", "half_open", "waited", 11),
        ("half_open", "closed", "trial_passed", 11),
        ("closed", "forced_open", "force_open", 12),
    ]
    assert (told[0].calls, told[0].failure_rate, told[0].slow_call_rate) == (4, 0.5, 0.0)


def test_a_snapshot_is_data() -> None:
    subject = opened()
    with pytest.raises(CircuitOpen):
        subject.acquire(S)
    assert msgspec.to_builtins(subject.snapshot(S)) == {
        "name": "/venue",
        "state": "open",
        "since": 0,
        "retry_after": 9.0,
        "calls": 0,
        "failures": 0,
        "slow_calls": 0,
        "failure_rate": None,
        "slow_call_rate": None,
        "free_permits": None,
        "succeeded": 0,
        "failed": 4,
        "slow": 0,
        "refused": 1,
        "opened": 1,
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"failure_rate": 0}, "failure_rate must be above 0 and at most 1, not 0"),
        ({"failure_rate": 50}, "failure_rate must be above 0 and at most 1, not 50"),
        ({"slow_call_rate": 1.5}, "slow_call_rate must be above 0 and at most 1, not 1.5"),
        ({"slow_call_s": -1}, "slow_call_s must be above 0 seconds, not -1"),
        ({"open_s": 0}, "open_s must be above 0 seconds, not 0"),
        ({"half_open_timeout_s": 0}, "half_open_timeout_s must be above 0 seconds, not 0"),
        ({"half_open_calls": 0}, "half_open_calls must be at least 1, not 0"),
        ({"minimum_calls": 0}, "minimum_calls must be at least 1, not 0"),
        ({"record": ("a", "b"), "ignore": ("b",)}, "record and ignore both name b"),
        ({"fallback": "spare"}, "fallback must be a path that begins with '/', not 'spare'"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as info:  # noqa: PT011 - the whole message is compared
        BreakerSettings(**settings)  # type: ignore[arg-type]
    assert str(info.value) == message
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(settings, BreakerSettings)


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Count(0)
    with pytest.raises(ValueError, match="above 0"):
        Seconds(0)


class AnyUse(RuleBasedStateMachine):
    """Whatever is called in whatever order, no permit is lost or made."""

    def __init__(self) -> None:
        super().__init__()
        self.subject = breaker(half_open_timeout_s=7.0)
        self.now = 0
        self.held: list[Permit] = []

    @rule(seconds=st.integers(0, 12))
    def wait(self, seconds: int) -> None:
        self.now += seconds * S

    @rule(exempt=st.booleans())
    def acquire(self, exempt: bool) -> None:
        try:
            self.held.append(self.subject.acquire(self.now, exempt=exempt))
        except CircuitOpen as refusal:
            assert not exempt
            assert self.subject.state in {State.OPEN, State.HALF_OPEN, State.FORCED_OPEN}
            wait = refusal.retry_after
            assert wait is None or wait > 0

    @precondition(lambda self: self.held)
    @rule(error=st.sampled_from([None, Unknown(), Refused("no"), KeyboardInterrupt()]), which=st.integers(0, 9))
    def end(self, error: BaseException | None, which: int) -> None:
        self.held.pop(which % len(self.held)).settle(self.now, error)

    @precondition(lambda self: self.held)
    @rule()
    def forget(self) -> None:
        self.held.pop()

    @rule(word=st.sampled_from(["close", "trip", "force_open", "disable", "observe"]))
    def operator(self, word: str) -> None:
        getattr(self.subject, word)(self.now)

    @invariant()
    def permits_add_up(self) -> None:
        seen = self.subject.snapshot(self.now)
        if seen.free_permits is not None:
            out = sum(permit._period is self.subject._period for permit in self.held)
            assert seen.free_permits + out + seen.calls == 2


TestAnyUse = AnyUse.TestCase
