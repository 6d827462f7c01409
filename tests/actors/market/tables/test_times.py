"""Columns of times: their usual forms, zones, and what can be read in two ways."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.market.tables.decimals import MISSING
from actors.market.tables.faults import REPEATED_HOUR, TableError
from actors.market.tables.times import Ambiguous, form_of, nanoseconds

NEW_YEAR = 1_704_067_200_000_000_000
HOUR = 3600 * 10**9


def read(*texts: str | None, zone: str = "UTC") -> list[int]:
    column = pa.array(texts, pa.string())
    return nanoseconds(column, form_of(column), zone, "time", Counter()).tolist()


@pytest.mark.parametrize(
    ("text", "behind"),
    [
        ("2024-01-01", 0), ("2024-01-01 00:00", 0), ("2024-01-01T00:00:00Z", 0), ("2024-1-1 9:30", 34_200 * 10**9),
        ("2024-01-01 01:00:00+01:00", 0), ("2024-01-01T01:00:00 +0100", 0), ("2024-01-01 00:00:00 UTC", 0),
        ("2024/01/01 00:00:00", 0), ("2024-01-01T00:00:00.123456789Z", 123_456_789),
        ("2024-01-01 00:00:00.1234567891", 123_456_789), ("2024-01-01 00:00:00,5", 500_000_000),
        ("01.01.2024 00:00:00.000", 0), ("20240101", 0), ("20240101 093000", 34_200 * 10**9),
        ("20240101T0930", 34_200 * 10**9),
        ("1704067200", 0), ("1704067200.000000001", 1), ("1704067200000", 0), ("1704067200000.25", 250_000),
        ("1704067200000000", 0), ("1704067200000000007", 7),
    ],
)  # fmt: skip
def test_usual_forms_of_times_are_read(text: str, behind: int) -> None:
    assert read(text, None) == [NEW_YEAR + behind, MISSING]


def test_days_and_months_are_told_apart_by_a_day_above_twelve() -> None:
    assert read("13/02/2024", "01/02/2024") == read("2024-02-13", "2024-02-01")
    assert read("02/13/2024", "02/01/2024") == read("2024-02-13", "2024-02-01")


@pytest.mark.parametrize(
    ("texts", "choices"), [(("01/02/2024 09:30",), ("dmy", "mdy")), (("202401010930",), ("compact", "ms"))]
)
def test_what_can_be_read_in_two_ways_is_refused_with_both(texts: tuple[str, ...], choices: tuple[str, str]) -> None:
    with pytest.raises(Ambiguous, match=rf"or to be told the form \({' or '.join(choices)}\)") as caught:
        form_of(pa.array(texts))
    assert caught.value.choices == choices


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("31/01/2024", "01/31/2024"), "got both"),
        (("2024-01-01", "soon"), "got 'soon', in row 2"),
        (("2024-13-01",), "got '2024-13-01', in row 1"),
        (("2024-01-01 00:00", "2024-01-01 00:00Z"), "a zone in all times or in none, got both, in row 1"),
        (("1704067200", "1704067200000"), "numbers of one unit .* got ms and s"),
        (("12",), "numbers of one unit"),
        ((None,), "got nothing"),
        (("1704067200", "99999999999"), "expected a time from 1678 to 2261, got '99999999999', in row 2"),
        (("1704067200.5", "1704067200.123456789123", "99999999999"), "expected a time from 1678 to 2261, .* in row 3"),
    ],
)
def test_times_that_cannot_be_are_told(texts: tuple[str | None, ...], message: str) -> None:
    with pytest.raises(TableError, match=message):
        read(*texts)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2 * 366 * 24), min_size=1, max_size=20), st.sampled_from(["America/New_York", "Asia/Tokyo"])
)
def test_local_times_are_what_the_zone_says(hours: list[int], zone: str) -> None:
    local = [datetime(2023, 1, 1) + timedelta(hours=hour) for hour in hours]
    exact = [each.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) for each in local]
    # Those that the clocks left out come back as another time.
    if any(utc.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != each for each, utc in zip(local, exact, strict=True)):
        with pytest.raises(TableError, match="clocks of America/New_York showed"):
            read(*map(str, local), zone=zone)
    else:
        assert read(*map(str, local), zone=zone) == [int(each.timestamp()) * 10**9 for each in exact]


def test_an_hour_that_the_clocks_showed_twice_is_counted_and_is_the_earlier_one() -> None:
    faults: Counter[str] = Counter()
    column = pa.array(["2024-11-03 01:30:00", "2024-11-03 03:30:00"])
    found = nanoseconds(column, "iso", "America/New_York", "time", faults).tolist()
    assert found[1] - found[0] == 3 * HOUR
    assert faults == {REPEATED_HOUR: 1}
    with pytest.raises(TableError, match="zone: expected a zone such as America/New_York, got 'Mars'"):
        nanoseconds(column, "iso", "Mars", "time", faults)


def test_columns_that_are_times_already_keep_their_zone() -> None:
    stamps = pa.array([datetime(2024, 1, 1, 1)], pa.timestamp("us"))
    assert nanoseconds(stamps, "iso", "UTC", "time", Counter()).tolist() == [NEW_YEAR + HOUR]
    assert nanoseconds(stamps, "iso", "Europe/Paris", "time", Counter()).tolist() == [NEW_YEAR]
    zoned = pa.array([datetime(2024, 1, 1, tzinfo=UTC)], pa.timestamp("ms", "UTC"))
    assert nanoseconds(zoned, "iso", "Europe/Paris", "time", Counter()).tolist() == [NEW_YEAR]
