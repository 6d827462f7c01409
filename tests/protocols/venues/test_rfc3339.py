from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.venues.rfc3339 import rfc3339_nanos, rfc3339_text


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-08-09T21:05:48.505350477Z", 1_786_309_548_505_350_477),
        ("2026-08-09T21:05:48.5Z", 1_786_309_548_500_000_000),
        ("2026-08-09T21:05:48.5053504771234Z", 1_786_309_548_505_350_477),
        ("2026-08-09T21:05:48", 1_786_309_548_000_000_000),
        ("2026-08-09T21:05:48.25", 1_786_309_548_250_000_000),
        ("2026-08-09T23:05:48.25+02:00", 1_786_309_548_250_000_000),
        ("2026-08-09T16:05:48-05:00", 1_786_309_548_000_000_000),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text: str, nanos: int) -> None:
    assert rfc3339_nanos(text) == nanos


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-08-09",
        "2026-08-09T21:05:48.Z",
        "2026-08-09T21:05:48.5x",
        "2026-13-09T21:05:48Z",
        "2026-08-09T21Z",
    ],
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whichever part
        rfc3339_nanos(text)


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_what_is_written_is_read(nanos: int) -> None:
    assert rfc3339_nanos(rfc3339_text(nanos)) == nanos
