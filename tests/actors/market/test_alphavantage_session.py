"""Alpha Vantage's session: what is asked when, and what a refusal with HTTP 200 does to it."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from actors.market.session_core import BARS, SECOND, TICKERS, Credentials, Incident, SessionOptions
from actors.market.sessions.alphavantage import CALLS_A_DAY, AlphaVantageSession
from actors.market.venues import session_class
from protocols.market import Bar, BookStale, Ticker
from protocols.venues.rest import RestCall

TS = 1_710_165_600 * SECOND  # 2024-03-11T14:00:00Z
IBM, AAPL = "IBM.ALPHAVANTAGE", "AAPL.ALPHAVANTAGE"
DAY = 86_400 * SECOND


def session(*markets: str, channels: tuple[str, ...] = (TICKERS,), **options: Any) -> AlphaVantageSession:
    key = Credentials("", b" KEY\n")
    core = AlphaVantageSession("av", markets or (IBM, AAPL), channels, SessionOptions(**options), key)
    core.connected("s1", (), TS, SECOND)
    return core


def quote(symbol: str, price: str = "100.10") -> bytes:
    return json.dumps({"Global Quote": {"01. symbol": symbol, "05. price": price}}).encode()


def problem(key: str, text: str) -> bytes:
    return json.dumps({key: text}).encode()


def run(core: AlphaVantageSession, until: int, start: int = SECOND, step: int = SECOND) -> list[tuple[int, RestCall]]:
    """Tick until `until`, answering every call with a price; what was asked, and when."""
    asked = []
    for now in range(start, until, step):
        core.tick(TS + now, now)
        for call in core.take_calls():
            asked.append((now, call))
            core.answered(call, 200, quote(core.symbol_of(call.market)), TS + now, now)
    return asked


def next_call(core: AlphaVantageSession, now: int) -> RestCall:
    core.tick(TS, now)
    (call,) = core.take_calls()
    return call


def test_it_is_polled_and_has_no_socket() -> None:
    assert session_class("alphavantage") is AlphaVantageSession
    assert (AlphaVantageSession.POLLED, AlphaVantageSession.URL) == (True, "")


def test_every_symbol_is_asked_at_once_and_then_each_in_turn_at_the_plans_pace() -> None:
    core = session()
    asked = run(core, 3 * 3600 * SECOND, step=10 * SECOND)
    assert [call.market for _, call in asked] == [AAPL, IBM, AAPL, IBM, AAPL]
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(asked)]
    assert gaps[0] <= 10 * SECOND
    assert all(gap >= core.pace_ns for gap in gaps[1:])


def test_a_day_has_no_more_calls_than_the_plan_and_none_is_within_a_second_of_the_last() -> None:
    core = session(*(f"S{number}.ALPHAVANTAGE" for number in range(40)))
    asked = run(core, DAY, step=SECOND // 2)
    times = [now for now, _ in asked]
    assert len(asked) <= 2 * CALLS_A_DAY  # what was saved up, and what the day gave
    assert all(later - earlier >= SECOND for earlier, later in pairwise(times))
    assert len({call.market for _, call in asked}) == 40
    more = run(core, 2 * DAY, start=DAY, step=SECOND)
    assert len(more) <= CALLS_A_DAY + 1


def test_a_price_is_a_ticker_that_is_marked_late() -> None:
    core = session(IBM)
    call = next_call(core, SECOND)
    assert "apikey" not in call.target
    assert core.keyed(call).target.endswith("apikey=KEY")
    (ticker,) = core.answered(call, 200, quote("IBM", "289.7000"), TS, 2 * SECOND)
    assert isinstance(ticker, Ticker)
    assert (ticker.market, ticker.last, ticker.marks) == (IBM, 289_700_000_000, ("delayed",))
    assert core.state == "live"


def test_one_call_is_on_its_way_at_a_time() -> None:
    core = session()
    next_call(core, SECOND)
    core.tick(TS, 5 * SECOND)
    assert core.take_calls() == []


def test_bars_are_told_once_and_only_when_they_are_over() -> None:
    core = session(IBM, channels=(BARS,), bars=("5m",))
    row = {"1. open": "1", "2. high": "2", "3. low": "1", "4. close": "2", "5. volume": "7"}
    rows = {f"2024-03-11 {time}:00": row for time in ("10:05", "10:00", "09:55", "09:50")}
    body = {"Meta Data": {"6. Time Zone": "US/Eastern"}, "Time Series (5min)": rows}
    call = next_call(core, SECOND)
    bars = core.answered(call, 200, json.dumps(body).encode(), TS + 60 * SECOND, 2 * SECOND)
    assert [(bar.start - TS) // SECOND for bar in bars if isinstance(bar, Bar)] == [-600, -300]
    again = core.answered(call, 200, json.dumps(body).encode(), TS + 600 * SECOND, 3 * SECOND)
    assert [(bar.start - TS) // SECOND for bar in again if isinstance(bar, Bar)] == [0, 300]


def test_the_days_calls_are_spent_when_the_venue_says_so_and_prices_are_stale() -> None:
    core = session()
    call = next_call(core, SECOND)
    core.answered(call, 200, quote("AAPL"), TS, 2 * SECOND)
    call = next_call(core, 4 * SECOND)
    told = problem("Information", "Our standard API rate limit is 25 requests per day.")
    events = core.answered(call, 200, told, TS, 5 * SECOND)
    assert [type(event) for event in events] == [Incident, BookStale]
    assert core.stale_markets() == {IBM, AAPL}
    for now in range(6, 3000, 100):
        core.tick(TS, now * SECOND)
        assert core.take_calls() == []
    assert next_call(core, 3 * 3600 * SECOND).market in (IBM, AAPL)


def test_too_many_calls_in_a_second_pass_soon() -> None:
    core = session(IBM)
    call = next_call(core, SECOND)
    told = problem("Information", "Please consider spreading out your free API requests (1 request per second).")
    core.answered(call, 200, told, TS, 2 * SECOND)
    core.tick(TS, 3 * SECOND)
    assert core.take_calls() == []
    assert next_call(core, 2 * core.pace_ns).market == IBM


@pytest.mark.parametrize("body", [b'{"Global Quote":{}}', problem("Error Message", "Invalid API call.")])
def test_an_unknown_symbol_is_rejected_and_costs_no_more_calls(body: bytes) -> None:
    core = session()
    call = next_call(core, SECOND)
    core.answered(call, 200, body, TS, 2 * SECOND)
    assert core.rejected == {call.market}
    asked = run(core, DAY, start=3 * SECOND, step=30 * SECOND)
    assert {each.market for _, each in asked} == {IBM, AAPL} - core.rejected


def test_a_bad_key_is_not_taken_for_a_bad_symbol() -> None:
    core = session(IBM)
    call = next_call(core, SECOND)
    core.answered(call, 200, problem("Error Message", "the parameter apikey is invalid or missing."), TS, 2 * SECOND)
    assert (core.rejected, core.state) == (set(), "recovering")


def test_what_the_plan_does_not_have_is_dropped_and_the_rest_goes_on() -> None:
    core = session(IBM, channels=(TICKERS, BARS), bars=("1m",))
    told = problem("Information", "This is a premium endpoint.")
    seen = set()
    for now in range(1, 4 * 3600, 5):
        core.tick(TS, now * SECOND)
        for call in core.take_calls():
            bars = "INTRADAY" in call.target
            seen.add(bars)
            core.answered(call, 200, told if bars else quote("IBM"), TS, now * SECOND)
    assert seen == {True, False}
    assert (core.rejected, core.state) == (set(), "live")


def test_no_answer_makes_prices_stale_and_is_tried_again_with_growing_waits() -> None:
    core = session(IBM)
    now, failed_at, waits = SECOND, 0, []
    while len(waits) < 6:
        core.tick(TS, now)
        for call in core.take_calls():
            waits.append(now - failed_at)
            failed_at = now
            core.failed(call, "no connection", TS, now)
            assert core.state == "recovering"
        now += SECOND
    assert waits == sorted(waits)
    assert waits[1] <= 10 * SECOND


def test_who_is_followed_is_asked_next() -> None:
    core = session(IBM)
    run(core, 100 * SECOND)
    core.follow([AAPL], TS, 100 * SECOND)
    asked = run(core, 110 * SECOND, start=100 * SECOND)
    assert [call.market for _, call in asked] == [AAPL]
    assert core.unfollow([AAPL], TS, 111 * SECOND) == [BookStale(AAPL, "av", "unfollowed", TS)]
    assert core.live_markets() == {IBM}


def test_a_replay_learns_from_the_answers() -> None:
    core = AlphaVantageSession("replay", (), (TICKERS,), SessionOptions(listening=True))
    core.connected("s1", (), TS, SECOND)
    core.tick(TS, 5 * SECOND)
    assert core.take_calls() == []
    (ticker,) = core.answered(
        RestCall(purpose="poll", path="/query", query=(("function", "GLOBAL_QUOTE"),), market=IBM),
        200,
        quote("IBM"),
        TS,
        6 * SECOND,
    )
    assert (ticker.market, core.live_markets()) == (IBM, {IBM})


def test_without_a_key_no_call_can_be_sent() -> None:
    core = AlphaVantageSession("av", (IBM,))
    with pytest.raises(ValueError, match="key"):
        core.keyed(RestCall(purpose="poll", path="/query"))
    with pytest.raises(ValueError, match="2m"):
        AlphaVantageSession("av", (IBM,), (BARS,), SessionOptions(bars=("2m",)))
