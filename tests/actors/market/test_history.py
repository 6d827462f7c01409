"""The plan of a history: what is missing, where parts end, and which absent bars are holes."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.market.history import (
    Hole,
    Manifest,
    Part,
    Span,
    bar_holes,
    closed_until,
    missing,
    parts_of,
    trade_holes,
)

NANO = 1_000_000_000
MINUTE = 60 * NANO
DAY = 86_400 * NANO


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NANO


def part(start: int, end: int, first: int | None = None, last: int | None = None, *holes: Hole) -> Part:
    return Part(file=f"{start}", start=start, end=end, rows=0, first=first, last=last, holes=holes)


def manifest(*parts: Part) -> Manifest:
    return Manifest(venue="binance", market="M", kind="bars", interval="1m", parts=parts)


spans = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: Span(min(pair), max(pair)))


@given(spans, st.lists(spans, max_size=6))
def test_what_is_missing_is_exactly_what_nothing_covers(wanted: Span, covered: list[Span]) -> None:
    found = {at for span in missing(wanted, covered) for at in range(*span)}
    assert found == set(range(*wanted)) - {at for span in covered for at in range(*span)}


@given(spans, st.sampled_from(["1m", "1h", "1d"]), st.sampled_from(["binance", "massive"]))
def test_the_parts_of_a_span_are_the_span(span: Span, interval: str, venue: str) -> None:
    scaled = Span(span.start * 9 * DAY + 1, span.end * 9 * DAY + 1)
    parts = parts_of(scaled, "bars", interval, venue)
    assert missing(scaled, parts) == []
    assert all(before.end == after.start for before, after in itertools.pairwise(parts))
    assert sum(end - start for start, end in parts) == scaled.end - scaled.start


def test_parts_end_with_months_years_and_days_and_those_of_an_exchange_are_local() -> None:
    span = Span(ns("2023-12-31T12:00"), ns("2024-03-15"))
    minutes = [start for start, _ in parts_of(span, "bars", "1m", "binance")]
    assert minutes == [span.start, ns("2024-01-01"), ns("2024-02-01"), ns("2024-03-01")]
    hours = [start for start, _ in parts_of(span, "bars", "1h", "binance")]
    assert hours == [span.start, ns("2024-01-01")]
    assert parts_of(span, "bars", "1d", "binance") == [span]
    trades = parts_of(Span(ns("2024-03-09"), ns("2024-03-12")), "trades", "", "binance")
    assert [start for start, _ in trades] == [ns("2024-03-09"), ns("2024-03-10"), ns("2024-03-11")]
    local = [start for start, _ in parts_of(span, "bars", "1m", "alphavantage")]
    assert local[1:3] == [ns("2024-01-01T05:00"), ns("2024-02-01T05:00")]


def test_a_bar_that_is_open_is_not_asked_for() -> None:
    now = ns("2024-01-02T02:30:30")
    assert closed_until("bars", "1m", "binance", now) == ns("2024-01-02T02:30")
    assert closed_until("bars", "1d", "binance", now) == ns("2024-01-02")
    # In New York it is still the evening of the first.
    assert closed_until("bars", "1d", "massive", now) == ns("2024-01-01T05:00")
    assert closed_until("trades", "", "binance", now) == now


def test_a_venue_that_sends_empty_bars_has_a_hole_where_one_is_absent() -> None:
    start = ns("2024-01-01")
    there = [start + at * MINUTE for at in (0, 1, 4, 5)]
    holes, quiet = bar_holes(there, Span(start, start + 8 * MINUTE), "binance", "1m")
    assert holes == (
        Hole(start + 2 * MINUTE, start + 4 * MINUTE, 2, "bars are missing"),
        Hole(start + 6 * MINUTE, start + 8 * MINUTE, 2, "bars are missing"),
    )
    assert quiet == 0


def test_a_span_that_begins_within_a_bar_wants_the_next_one() -> None:
    start = ns("2024-01-01")
    holes, _ = bar_holes([start + MINUTE], Span(start + 1, start + 2 * MINUTE), "binance", "1m")
    assert holes == ()


def test_a_venue_that_leaves_out_empty_bars_has_no_holes_but_quiet() -> None:
    start = ns("2024-01-01")
    assert bar_holes([start], Span(start, start + 10 * MINUTE), "kalshi", "1m") == ((), 9)


def test_a_session_without_any_bar_is_a_hole_and_a_quiet_minute_or_a_holiday_is_none() -> None:
    # Monday was a holiday, Tuesday has two bars, Wednesday none, Thursday one; then comes the weekend's eve.
    span = Span(ns("2024-01-01"), ns("2024-01-05"))
    there = [ns("2024-01-02T14:30"), ns("2024-01-02T15:00"), ns("2024-01-02T22:00"), ns("2024-01-04T20:59")]
    holes, quiet = bar_holes(there, span, "massive", "1m")
    assert holes == (Hole(ns("2024-01-03T14:30"), ns("2024-01-03T21:00"), 1, "a session without any bar"),)
    assert quiet == 3 * 390 - 3


def test_each_session_must_have_its_bar_of_a_day() -> None:
    span = Span(ns("2024-07-02"), ns("2024-07-09"))
    there = [ns(f"2024-07-{day}T04:00") for day in ("02", "03", "08")]
    holes, _ = bar_holes(there, span, "massive", "1d")
    # The fourth is a holiday and the sixth and seventh a weekend.
    assert [(hole.start, hole.missing) for hole in holes] == [(ns("2024-07-05T04:00"), 1)]


def test_where_numbered_trades_skip_a_number_there_is_a_hole() -> None:
    trades = [(10, "100"), (20, "101"), (30, "105")]
    assert trade_holes(trades, "binance") == (Hole(20, 30, 3, "trade numbers are missing"),)
    assert trade_holes(trades, "kalshi") == ()
    assert trade_holes([(1, "a"), (2, "c")], "binance") == ()


def test_before_the_first_row_of_all_there_is_no_hole() -> None:
    early, inner, late = Hole(0, 5, 5, "x"), Hole(12, 14, 2, "x"), Hole(30, 40, 10, "x")
    found = manifest(part(0, 20, 5, 19, early, inner), part(20, 40, 20, 29, late))
    assert found.holes() == (inner, late)
    assert manifest(part(0, 20, None, None, early)).holes() == ()


def test_a_part_that_overlaps_another_is_refused() -> None:
    found = manifest(part(0, 20))
    assert found.missing(Span(0, 30)) == [Span(20, 30)]
    assert [each.start for each in found.with_part(part(20, 30)).parts] == [0, 20]
    with pytest.raises(ValueError, match="overlaps"):
        found.with_part(part(19, 30))


def test_more_holes_than_can_be_listed_are_summed_up() -> None:
    start = ns("2024-01-01")
    there = [start + at * MINUTE for at in range(0, 4000, 2)]
    holes, _ = bar_holes(there, Span(start, start + 4000 * MINUTE), "binance", "1m")
    assert len(holes) == 1000
    assert sum(hole.missing for hole in holes) == 2000


def test_spans_of_several_days_begin_where_the_venue_begins_them() -> None:
    # Binance's three days do not fall on multiples since the epoch.
    first = ns("2017-08-17")
    there = [first, first + 3 * DAY, first + 9 * DAY]
    holes, _ = bar_holes(there, Span(ns("2017-08-16"), first + 12 * DAY), "binance", "3d")
    assert holes == (Hole(first + 6 * DAY, first + 9 * DAY, 1, "bars are missing"),)
    assert closed_until("bars", "3d", "binance", first + 3 * DAY) == first + DAY


def test_months_have_their_own_lengths() -> None:
    there = [ns("2024-01-01"), ns("2024-02-01"), ns("2024-05-01")]
    holes, _ = bar_holes(there, Span(ns("2024-01-01"), ns("2024-06-01")), "binance", "1M")
    assert holes == (Hole(ns("2024-03-01"), ns("2024-05-01"), 2, "bars are missing"),)
    assert parts_of(Span(0, 400 * DAY), "bars", "1M", "binance") == [Span(0, 400 * DAY)]


def test_bars_of_trades_or_volume_are_no_history() -> None:
    with pytest.raises(ValueError, match="trades"):
        parts_of(Span(0, DAY), "bars", "100t", "binance")
