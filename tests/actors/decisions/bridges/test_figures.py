"""The figures of a bridge, times of upstreams, and headers that say when to come back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.decisions.bridges import aggregator_answers, answers
from actors.decisions.bridges.answers import Malformed, SaidNo, moment, words
from actors.decisions.bridges.call_record import MOST, OK, REFUSED, WINDOW_NS, CallRecord
from actors.decisions.bridges.kept import Kept
from actors.decisions.bridges.retrying import Backoff, retry_after
from protocols.bridges import AggregateSymbols, EvaluateUpstream, GetMarketWindow, SettingsTaken
from tests.actors.decisions.bridges.kit.service import AGGREGATE, SIGNALS, STATUS, VERDICT
from tests.actors.decisions.bridges.kit.service import WINDOW as WINDOW_ANSWER

MS = 1_000_000
WINDOW = GetMarketWindow(symbol="BTC")
SIGNAL = EvaluateUpstream(user_id="ann", symbol="BTC", action="BUY")
READERS: list[Callable[[bytes], object]] = [
    lambda body: answers.trading_state(body, "ann", 0),
    lambda body: answers.trading_signals(body, "ann", 0),
    lambda body: answers.verdict(body, SIGNAL, 0),
    lambda body: SettingsTaken(user_id="ann", answer=answers.any_json(body)),
    lambda body: aggregator_answers.market_window(body, WINDOW, 0),
    lambda body: aggregator_answers.aggregate(body, AggregateSymbols(symbols=("BTC",)), 0),
]
NAMES = sorted(
    {
        name
        for each in (
            STATUS,
            SIGNALS,
            SIGNALS["signals"][0],
            WINDOW_ANSWER,
            WINDOW_ANSWER["data"][0],
            AGGREGATE,
            VERDICT,
        )
        for name in each
    }
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)
)
SECOND = 1000 * MS


def test_without_requests_there_are_no_rates_and_no_times() -> None:
    found = CallRecord().statistics(0)
    assert (found.requests, found.success_rate, found.mean_ms, found.p95_ms) == (0, None, None, None)


def test_only_the_last_thousand_requests_of_the_last_hour_count() -> None:
    record = CallRecord()
    for number in range(MOST + 500):
        record.add(number * SECOND, 10 * MS, OK)
    end = (MOST + 499) * SECOND
    assert record.statistics(end).requests == MOST
    assert record.statistics(end + WINDOW_NS - 9 * SECOND).requests == 10
    assert record.statistics(end + WINDOW_NS + 1).requests == 0


def test_times_are_of_those_that_succeeded_and_a_refusal_of_its_own_is_a_success() -> None:
    record = CallRecord()
    for took in range(1, 21):
        record.add(0, took * MS, OK)
    record.add(0, 9000 * MS, "timed_out")
    record.add(0, 21 * MS, REFUSED)
    found = record.statistics(0)
    assert (found.requests, found.succeeded, found.failed) == (22, 21, 1)
    assert (found.success_rate, found.mean_ms, found.p95_ms) == (21 / 22, 11.0, 20.0)
    assert found.by_outcome == (("ok", 20), ("refused", 1), ("timed_out", 1))


@given(st.lists(st.sampled_from([OK, REFUSED, "status_500", "timed_out"]), max_size=50))
def test_failures_in_a_row_are_those_since_the_last_success(outcomes: list[str]) -> None:
    record = CallRecord()
    for outcome in outcomes:
        record.add(0, 0, outcome)
    row = 0
    for outcome in reversed(outcomes):
        if outcome in (OK, REFUSED):
            break
        row += 1
    assert record.consecutive_failures == row


@given(st.integers(0, 12), st.floats(0, 1))
def test_a_wait_is_never_longer_than_its_limit(number: int, part: float) -> None:
    backoff = Backoff(retries=12, first_s=0.2, most_s=2.0)
    wait = backoff.wait(number, lambda low, high: low + (high - low) * part)
    assert 0.0 <= wait <= min(2.0, 0.2 * 2**number)


def test_the_oldest_answer_goes_where_there_is_no_room_and_none_outlives_its_time() -> None:
    kept: Kept[str] = Kept(2)
    for key in ("a", "b", "c"):
        kept.keep(key, key.upper(), 100)
    assert [kept.find(key, 99) for key in ("a", "b", "c")] == [None, "B", "C"]
    assert kept.find("b", 100) is None
    assert (len(kept), kept.hits) == (1, 2)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1970-01-01T00:00:01Z", SECOND),
        ("1970-01-01T01:00:01+01:00", SECOND),
        ("1970-01-01T00:00:01.000001", SECOND + 1000),
        (1_767_225_600, 1_767_225_600 * SECOND),
        (1_767_225_600_123, 1_767_225_600_123 * MS),
        (0.5, SECOND // 2),
    ],
)
def test_a_time_is_read_as_text_seconds_or_milliseconds(value: str | float, expected: int) -> None:
    assert moment(value) == expected


@pytest.mark.parametrize(
    "value", ["", "soon", -1, 1e15, float("inf"), 5e10, "9999-01-01T00:00:00Z", "1969-12-31T23:59:59Z"]
)
def test_a_time_that_cannot_be_one_is_an_error(value: str | float) -> None:
    with pytest.raises(Malformed):
        moment(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("120", 120.0),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("-1", None),
        ("9" * 50, None),
        ("soon", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, expected: float | None) -> None:
    assert retry_after(text, 10 * SECOND) == expected


@given(st.binary(max_size=2000))
def test_what_a_service_says_is_shown_as_one_short_printable_line(body: bytes) -> None:
    shown = words(body)
    assert len(shown) <= 200
    assert shown.isprintable()


def shown(read: Callable[[bytes], object], body: bytes) -> str:
    """What a client would see. Anything but the two errors ends the test."""
    try:
        said = msgspec.json.encode(read(body)).decode()
    except (Malformed, SaidNo) as error:
        said = str(error)
    assert said
    return said


@settings(max_examples=60)
@given(st.sampled_from(READERS), JSON)
def test_whatever_json_comes_is_read_or_is_one_error_and_what_is_read_can_be_shown(
    read: Callable[[bytes], object], value: Any
) -> None:
    shown(read, json.dumps(value).encode())


@given(st.sampled_from(READERS), st.binary(max_size=200))
def test_whatever_bytes_come_are_read_or_are_one_error(read: Callable[[bytes], object], body: bytes) -> None:
    shown(read, body)


@pytest.mark.parametrize("read", READERS)
def test_json_that_is_nested_without_end_is_an_error(read: Callable[[bytes], object]) -> None:
    with pytest.raises(Malformed, match=r"nested too deeply|Expected"):
        read(b'{"data":' * 50_000)
