from __future__ import annotations

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from actors.market.rest_client import retry_after
from actors.market.venue_clock import SECOND, VenueClock


def date(nanos: int) -> str:
    return formatdate(nanos // SECOND, usegmt=True)


@given(
    st.integers(-30 * SECOND, 30 * SECOND),
    st.lists(st.tuples(st.integers(0, SECOND), st.integers(0, SECOND), st.integers(0, 100 * SECOND)), min_size=1),
)
def test_the_true_offset_is_never_missed_by_more_than_a_second_and_a_half(
    offset: int, answers: list[tuple[int, int, int]]
) -> None:
    clock = VenueClock()
    now = 1_800_000_000 * SECOND
    for there, back, pause in answers:
        now += pause
        clock.observe(date(now + there + offset), now, now + there + back)
        assert abs(clock.offset - offset) <= 3 * SECOND // 2 + SECOND // 2
        now += there + back


def test_a_clock_that_may_be_right_is_left_alone() -> None:
    clock = VenueClock()
    now = 1_800_000_000 * SECOND + SECOND // 2
    clock.observe(date(now), now, now + SECOND // 100)
    assert (clock.offset, clock.observed) == (0, 1)


def test_a_clock_that_was_set_counts_at_once() -> None:
    clock = VenueClock()
    now = 1_800_000_000 * SECOND
    clock.observe(date(now), now, now)
    clock.observe(date(now - 20 * SECOND), now, now)
    assert -20 * SECOND <= clock.offset <= -19 * SECOND
    clock.observe("yesterday", now, now)
    assert clock.observed == 2


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    now = 1_800_000_000 * SECOND
    assert retry_after("7", now) == 7.0
    assert retry_after(date(now + 90 * SECOND), now) == 90.0
    assert retry_after(date(now - 90 * SECOND), now) == 0.0
    assert retry_after("soon", now) is None
    assert retry_after(None, now) is None
