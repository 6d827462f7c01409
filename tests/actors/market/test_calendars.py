"""Exchange calendars against what is known of the New York Stock Exchange."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest

from actors.market.calendars import DAY, Bounds, Calendar, calendar_of

NANO = 1_000_000_000
HOUR = 3600 * NANO


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NANO


@pytest.fixture(scope="module")
def nyse() -> Calendar:
    return calendar_of("XNYS")


def test_an_early_close_ends_the_session_at_one_in_new_york(nyse: Calendar) -> None:
    (session,) = nyse.sessions(ns("2024-07-03"), ns("2024-07-04"))
    assert session == ("2024-07-03", ns("2024-07-03T13:30"), ns("2024-07-03T17:00"))
    assert nyse.is_open(ns("2024-07-03T16:59:59"))
    assert not nyse.is_open(ns("2024-07-03T17:00"))


def test_a_holiday_has_no_session_and_the_next_opening_is_a_day_later(nyse: Calendar) -> None:
    assert nyse.sessions(ns("2024-01-01"), ns("2024-01-02")) == ()
    assert nyse.session_at(ns("2024-01-01T15:00")) is None
    assert nyse.next_open(ns("2024-01-01T15:00")) == ns("2024-01-02T14:30")


def test_the_opening_moves_by_an_hour_of_utc_when_the_clocks_change(nyse: Calendar) -> None:
    friday, monday = nyse.sessions(ns("2024-03-08"), ns("2024-03-12"))[:2]
    assert (friday.opens, monday.opens) == (ns("2024-03-08T14:30"), ns("2024-03-11T13:30"))


def test_a_session_includes_its_opening_and_not_its_close(nyse: Calendar) -> None:
    opens, closes = ns("2024-01-02T14:30"), ns("2024-01-02T21:00")
    assert nyse.session_at(opens) == ("2024-01-02", opens, closes)
    assert nyse.session_at(opens - 1) is None
    assert nyse.session_at(closes) is None
    assert (nyse.next_open(opens), nyse.next_close(opens)) == (opens, closes)
    assert nyse.next_close(closes) == ns("2024-01-03T21:00")


def test_a_day_is_its_session_and_what_is_outside_belongs_to_the_next(nyse: Calendar) -> None:
    tuesday = Bounds(ns("2024-01-02T14:30"), ns("2024-01-02T21:00"))
    assert nyse.day_of(tuesday.start) == tuesday
    assert nyse.day_of(ns("2023-12-30T12:00")) == tuesday
    assert nyse.day_of(tuesday.end).start == ns("2024-01-03T14:30")


def test_sessions_that_overlap_a_span_are_found_at_both_ends(nyse: Calendar) -> None:
    days = [each.day for each in nyse.sessions(ns("2024-01-02T20:59"), ns("2024-01-04T14:31"))]
    assert days == ["2024-01-02", "2024-01-03", "2024-01-04"]
    assert [each.day for each in nyse.sessions(ns("2024-01-02T21:00"), ns("2024-01-04T14:30"))] == ["2024-01-03"]


def test_a_market_that_never_closes_has_the_days_of_utc() -> None:
    always = Calendar()
    noon = ns("2024-01-01T12:00")
    assert (always.is_open(noon), always.next_open(noon), always.next_close(noon)) == (True, noon, None)
    assert always.day_of(noon) == (ns("2024-01-01"), ns("2024-01-02"))
    days = always.sessions(noon, noon + DAY)
    assert [each.day for each in days] == ["2024-01-01", "2024-01-02"]


def test_another_exchange_keeps_other_hours() -> None:
    (session,) = calendar_of("XLON").sessions(ns("2024-07-04"), ns("2024-07-05"))
    assert (session.opens, session.closes) == (ns("2024-07-04T07:00"), ns("2024-07-04T15:30"))


def test_an_unknown_name_and_a_time_that_nobody_knows_are_said(nyse: Calendar) -> None:
    with pytest.raises(ValueError, match="NOWHERE"):
        Calendar("NOWHERE")
    for moment in (ns("1901-01-01"), ns("2090-01-01")):
        with pytest.raises(ValueError, match="known from"):
            nyse.session_at(moment)
    assert nyse.known is not None
    assert nyse.known.end - ns("2026-01-01") > 300 * DAY


def test_importing_the_calendars_loads_no_library() -> None:
    program = "import sys, actors.market.calendars, actors.market.history; print('pandas' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
