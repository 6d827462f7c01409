"""Massive's session: the order of the handshake, who is evicted stays away, silence of a symbol is no fault."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.market.session_core import BARS, SECOND, TICKERS, TRADES, Credentials, Incident, SessionOptions
from actors.market.sessions.massive import EVICTED_MOST_S, EVICTED_S, MassiveSession
from actors.market.venues import session_class
from protocols.market import Bar, BookStale, Ticker, Trade
from protocols.venues.errors import WireError

MARKETS = ("AAPL.MASSIVE", "MSFT.MASSIVE")
MS = 1_000_000
TS = 1_704_205_800_000 * MS  # 2024-01-02T14:30:00Z
KEY = Credentials("", b"KEY\n")


def session(**options: Any) -> MassiveSession:
    core = MassiveSession("stocks", MARKETS, None, SessionOptions(**options), KEY)
    core.connected("s1", ("delayed",), TS, SECOND)
    return core


def say(core: MassiveSession, *events: dict[str, Any], now: int = 2 * SECOND, ts: int = TS) -> list[Any]:
    return core.receive(json.dumps(events).encode(), ts, now)


def status(word: str, message: str = "") -> dict[str, Any]:
    return {"ev": "status", "status": word, "message": message}


def subscribed(*params: str) -> list[dict[str, Any]]:
    return [status("success", f"subscribed to: {param}") for param in params]


def commands(core: MassiveSession) -> list[tuple[str, str]]:
    return [(each["action"], each["params"]) for each in map(msgspec.json.decode, core.take_commands())]


def live(core: MassiveSession) -> None:
    """Through the handshake and all confirmations."""
    say(core, status("connected"))
    say(core, status("auth_success"))
    params = [param for _, chunk in commands(core)[1:] for param in chunk.split(",")]
    say(core, *subscribed(*params))


def trade(q: int, symbol: str = "AAPL", price: float = 185.5) -> dict[str, Any]:
    return {"ev": "T", "sym": symbol, "x": 4, "i": str(q), "p": price, "s": 10, "t": TS // MS, "q": q}


def minute(at: int, symbol: str = "AAPL", close: int = 3) -> dict[str, Any]:
    start = TS // MS + at * 60_000
    return {"ev": "AM", "sym": symbol, "o": 1, "h": 3, "l": 1, "c": close, "v": 9, "s": start, "e": start + 60_000}


def test_it_is_the_session_that_a_feed_of_massive_gets() -> None:
    assert session_class("massive") is MassiveSession
    assert MassiveSession.market_of("BRK.B") == "BRK.B.MASSIVE"
    assert MassiveSession.symbol_of("BRK.B.MASSIVE") == "BRK.B"


def test_the_key_is_sent_after_connected_and_subscriptions_after_auth_success() -> None:
    core = session()
    assert commands(core) == []
    say(core, status("connected", "Connected Successfully"))
    assert commands(core) == [("auth", "KEY")]
    assert core.live_markets() == set()
    say(core, status("auth_success", "authenticated"))
    assert commands(core) == [("subscribe", "T.AAPL,Q.AAPL,AM.AAPL,T.MSFT,Q.MSFT,AM.MSFT")]
    assert core.state == "recovering"
    say(core, *subscribed("T.AAPL", "Q.AAPL", "AM.AAPL"))
    assert (core.live_markets(), core.stale_markets()) == ({"AAPL.MASSIVE"}, {"MSFT.MASSIVE"})
    say(core, *subscribed("T.MSFT", "Q.MSFT", "AM.MSFT"))
    assert core.state == "live"


def test_a_bad_key_breaks_the_connection_with_the_reason_and_holds_off_the_next() -> None:
    core = session()
    events = say(core, status("connected"), status("auth_failed", "authentication failed"))
    assert core.broken == "auth_failed: authentication failed"
    assert core.hold_s > 0
    assert [event.kind for event in events] == ["error"]


def test_a_recording_keeps_the_commands_without_the_key() -> None:
    core = session()
    say(core, status("connected"), status("auth_success"))
    kept = [core.recorded(command) for command in core.take_commands()]
    assert len(kept) == 2
    assert not any(b"KEY" in command for command in kept)
    assert b"T.AAPL" in kept[1]


def test_without_a_key_nothing_is_sent() -> None:
    core = MassiveSession("stocks", MARKETS)
    core.connected("s1", (), TS, SECOND)
    say(core, status("connected"))
    assert (core.take_commands(), core.broken) == ([], "Massive wants a key")


def test_who_is_evicted_stays_away_longer_each_time_until_a_connection_was_steady() -> None:
    core = session()
    holds = []
    for number in range(6):
        live(core)
        say(core, status("max_connections", "Maximum number of connections exceeded."))
        assert core.broken.startswith("max_connections")
        holds.append(core.hold_s)
        core.disconnected("broken", TS)
        core.connected(f"s{number + 2}", (), TS, (number + 2) * SECOND)
        assert (core.broken, core.hold_s) == ("", 0.0)
    assert holds[:3] == [EVICTED_S, 2 * EVICTED_S, 4 * EVICTED_S]
    assert holds[-1] == EVICTED_MOST_S
    live(core)
    core.tick(TS, 10_000 * SECOND)
    say(core, status("max_connections"))
    assert core.hold_s == EVICTED_S


def test_trades_prices_and_bars_come_with_the_marks_of_the_connection() -> None:
    core = session()
    live(core)
    quote = {"ev": "Q", "sym": "AAPL", "bp": 1.0, "bs": 2, "ap": 1.1, "as": 3, "t": TS // MS, "q": 4}
    events = say(core, trade(1), quote, minute(0))
    assert [type(event) for event in events] == [Trade, Ticker, Bar]
    assert {event.marks for event in events} == {("delayed",)}
    assert events[0].session == "s1/AAPL"


def test_the_delayed_host_marks_what_comes_from_it() -> None:
    assert MassiveSession.marks_at("wss://delayed.massive.com/stocks") == {"delayed"}
    assert MassiveSession.marks_at("wss://delayed.polygon.io:443/stocks") == {"delayed"}
    assert MassiveSession.marks_at("wss://socket.massive.com/stocks") == set()


def test_a_frame_that_comes_twice_counts_once() -> None:
    core = session()
    live(core)
    assert len(say(core, trade(5), minute(0))) == 2
    assert say(core, trade(5), minute(0)) == []
    assert core.tally.repeated == 2
    # Numbers rise with holes, and a late one is no loss.
    assert len(say(core, trade(9), trade(7))) == 2


def test_an_older_quote_does_not_replace_a_newer_one() -> None:
    core = session()
    live(core)
    newer = {"ev": "Q", "sym": "AAPL", "bp": 2, "bs": 1, "t": 2, "q": 20}
    assert len(say(core, newer)) == 1
    assert say(core, {**newer, "q": 19}) == []


def test_a_minute_without_a_bar_is_neither_staleness_nor_a_reason_to_reconnect() -> None:
    core = session()
    live(core)
    say(core, minute(0))
    core.tick(TS, 3600 * SECOND)
    assert (core.state, core.broken) == ("live", "")
    assert len(say(core, minute(59))) == 1


def test_silence_is_answered_by_a_subscription_that_changes_nothing() -> None:
    core = session()
    live(core)
    core.silent(9 * SECOND)
    assert commands(core) == [("subscribe", "AM.AAPL")]


def test_subscriptions_that_are_not_confirmed_are_asked_for_again_and_then_the_connection_is_left() -> None:
    core = session()
    say(core, status("connected"), status("auth_success"))
    core.take_commands()
    say(core, *subscribed("T.AAPL", "Q.AAPL", "AM.AAPL"))
    core.tick(TS, 60 * SECOND)
    assert commands(core) == [("subscribe", "AM.MSFT,Q.MSFT,T.MSFT")]
    core.tick(TS, 120 * SECOND)
    core.tick(TS, 180 * SECOND)
    assert core.broken == "subscriptions are not confirmed"


def test_a_venue_that_does_not_answer_the_handshake_is_left() -> None:
    core = session()
    core.tick(TS, 60 * SECOND)
    assert core.broken == "no answer while opening"


def test_a_refused_symbol_is_rejected_and_not_asked_for_again() -> None:
    core = session()
    say(core, status("connected"), status("auth_success"))
    core.take_commands()
    events = say(core, status("error", "not authorized to subscribe to Q.MSFT"))
    assert [type(event) for event in events] == [Incident]
    assert core.rejected == {"MSFT.MASSIVE"}
    say(core, *subscribed("T.AAPL", "Q.AAPL", "AM.AAPL"))
    assert core.state == "live"
    core.tick(TS, 60 * SECOND)
    assert commands(core) == []


def test_markets_can_be_followed_and_unfollowed_while_connected() -> None:
    core = session()
    live(core)
    core.follow(["NVDA.MASSIVE"], TS, 3 * SECOND)
    assert commands(core) == [("subscribe", "T.NVDA,Q.NVDA,AM.NVDA")]
    events = core.unfollow(["AAPL.MASSIVE"], TS, 4 * SECOND)
    assert commands(core) == [("unsubscribe", "T.AAPL,Q.AAPL,AM.AAPL")]
    assert events == [BookStale("AAPL.MASSIVE", "stocks", "unfollowed", TS)]
    assert say(core, trade(1)) == []  # was on its way


def test_a_new_connection_subscribes_to_the_full_current_set() -> None:
    core = session()
    live(core)
    core.follow(["NVDA.MASSIVE"], TS, 3 * SECOND)
    core.disconnected("gone", TS)
    core.connected("s2", (), TS, 9 * SECOND)
    say(core, status("connected"), status("auth_success"))
    assert ",".join(params for _, params in commands(core)[1:]).count(".") == 9


def test_bars_that_were_missed_are_fetched_and_come_once() -> None:
    core = session()
    live(core)
    say(core, minute(0))
    stale = core.disconnected("gone", TS)
    assert {event.market for event in stale} == set(MARKETS)
    later = TS + 6 * 60 * SECOND
    core.connected("s2", (), later, 9 * SECOND)
    say(core, status("connected"), status("auth_success"), ts=later)
    (call,) = core.take_calls()
    assert call.path == f"/v2/aggs/ticker/AAPL/range/1/minute/{TS // MS + 60_000}/{later // MS}"
    assert core.sign(call, TS) == (("authorization", "Bearer KEY"),)
    # Minute 4 comes with the feed before the answer does; the answer knows of it, too, and of minute 6, still open.
    assert len(say(core, minute(4), ts=later)) == 1
    rows = [{"t": TS // MS + at * 60_000, "o": 1, "h": 1, "l": 1, "c": 1, "v": 1, "n": 2} for at in (0, 1, 3, 4, 6)]
    body = json.dumps({"status": "OK", "results": rows}).encode()
    bars = core.answered(call, 200, body, later, 10 * SECOND)
    assert [(bar.start - TS) // (60 * SECOND) for bar in bars] == [1, 3]
    assert core.answered(call, 200, body, later, 11 * SECOND) == []


def test_bars_that_cannot_be_fetched_are_said_to_be_missing() -> None:
    core = session()
    live(core)
    say(core, minute(0))
    core.disconnected("gone", TS)
    core.connected("s2", (), TS, 9 * SECOND)
    say(core, status("connected"), status("auth_success"))
    (call,) = core.take_calls()
    (incident,) = core.answered(call, 403, b'{"status":"NOT_AUTHORIZED","message":"no"}', TS, 10 * SECOND)
    assert "AAPL.MASSIVE" in incident.detail
    (incident,) = core.failed(call, "no connection", TS, 10 * SECOND)
    assert "no connection" in incident.detail


def test_a_replay_learns_its_markets_from_the_frames_and_says_nothing() -> None:
    core = MassiveSession("replay", (), None, SessionOptions(listening=True))
    core.connected("s1", (), TS, SECOND)
    say(core, status("connected"), status("auth_success"), *subscribed("T.AAPL", "Q.AAPL", "AM.AAPL"))
    assert len(say(core, trade(1))) == 1
    assert (core.markets, core.take_commands()) == ({"AAPL.MASSIVE"}, [])
    core.tick(TS, 9_999 * SECOND)
    assert core.broken == ""


def test_a_channel_or_an_interval_that_there_is_not_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="book"):
        MassiveSession("stocks", MARKETS, ("book",))
    with pytest.raises(ValueError, match="5m"):
        MassiveSession("stocks", MARKETS, None, SessionOptions(bars=("5m",)))
    core = MassiveSession("stocks", ("A.MASSIVE",), (BARS,), SessionOptions(bars=("1s", "1m")), KEY)
    core.connected("s", (), TS, SECOND)
    say(core, status("connected"), status("auth_success"))
    assert commands(core)[1] == ("subscribe", "A.A,AM.A")
    assert {TRADES, TICKERS, BARS} == MassiveSession.OFFERED


def test_what_is_no_frame_breaks_the_connection_and_what_is_a_strange_number_does_not() -> None:
    core = session()
    live(core)
    with pytest.raises(WireError):
        core.receive(b"<html>", TS, SECOND)
    events = core.receive(
        b'[{"ev":"T","sym":"AAPL","p":"x","s":1,"t":1},' + json.dumps(trade(3)).encode() + b"]", TS, 1
    )
    assert [type(event) for event in events] == [Incident, Trade]
    assert core.tally.malformed == 1


@given(st.integers(0, 2**32), st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0, 0.4))
def test_whatever_is_dropped_doubled_or_reordered_no_trade_counts_twice_and_none_that_came_is_lost(
    seed: int, drop: float, double: float, swap: float
) -> None:
    chance = random.Random(seed)
    frames = [[trade(q), minute(q)] for q in range(1, 40)]
    sent: list[list[dict[str, Any]]] = []
    for frame in frames:
        if chance.random() >= drop:
            sent += [frame] * (2 if chance.random() < double else 1)
    for at in range(len(sent) - 1):
        if chance.random() < swap:
            sent[at], sent[at + 1] = sent[at + 1], sent[at]
    core = session()
    live(core)
    events = [event for frame in sent for event in say(core, *frame)]
    came = {frame[0]["q"] for frame in sent}
    told = [event.seq for event in events if isinstance(event, Trade)]
    assert sorted(told) == sorted(came)
    starts = [event.start for event in events if isinstance(event, Bar)]
    assert starts == sorted(set(starts))
