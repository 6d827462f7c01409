from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.signals.ids import next_id
from actors.strategies.composing import Composer, Marks
from actors.strategies.outbox import GivenUp, Outbox
from actors.strategies.strategy import Draft
from protocols.control import Refused, Unknown
from protocols.market import Bar, Quote
from protocols.signals import Signal
from tests.actors.strategies.quotes import NOW, SECOND, quote


def composer(run: str = "", count: int = 0) -> Composer:
    return Composer("imbalance", "catalogue", "1", "kalshi", {"B": "binance"}, run=run, count=count)


def draft(**changes: Any) -> Draft:
    return Draft(**{"market": "A", "action": "BUY", "confidence": 0.6, "validity_ns": 60 * SECOND, **changes})


def signal(index: int = 0, cause: Quote | None = None, now: int = NOW) -> Signal:
    return composer(count=index).signal(draft(), cause or quote(0), ("synthetic",), now)


def test_a_signal_has_identity_times_and_cause_beside_what_the_draft_says() -> None:
    made = signal(cause=quote(3, seq=17, session="feed-1"))
    assert re.fullmatch("sig_20250615_150640_[0-9a-f]{8}", made.signal_id)
    assert (made.strategy_id, made.exchange, made.symbol) == ("imbalance", "kalshi", "A")
    assert (made.source_session, made.source_seq) == ("feed-1", 17)
    assert (made.ts_event, made.ts_created, made.ts_expires) == (NOW + 3 * SECOND, NOW, NOW + 60 * SECOND)
    assert composer().signal(draft(market="B"), quote(0), (), NOW).exchange == "binance"


@given(st.text(max_size=20), st.integers(0, 2**33), st.integers(1, 30))
def test_ids_differ_within_a_run_and_a_replay_repeats_them(run: str, count: int, made: int) -> None:
    first, again = composer(run, count), composer(run, count)
    ids = [first.signal(draft(), quote(0), (), NOW).signal_id for _ in range(made)]
    assert len(set(ids)) == made
    assert ids == [again.signal(draft(), quote(0), (), NOW).signal_id for _ in range(made)]
    assert first.count == count + made


def test_two_runs_of_a_strategy_have_different_ids() -> None:
    assert composer("run 1").signal(draft(), None, (), NOW) != composer("run 2").signal(draft(), None, (), NOW)


def test_a_bar_gives_its_times_and_a_timer_nothing() -> None:
    bar = Bar("A", "1m", NOW - SECOND, NOW, 1, 1, 1, 1, "", None, None, "trades", NOW + 5)
    made = composer().signal(draft(), bar, (), NOW)
    assert (made.source_session, made.source_seq, made.ts_event, made.ts_recv) == ("", 0, NOW, NOW + 5)
    made = composer().signal(draft(), None, (), NOW)
    assert (made.source_session, made.source_seq, made.ts_event, made.ts_recv) == ("", 0, 0, 0)


def test_lasting_marks_stay_and_stale_is_of_one_input_alone() -> None:
    marks = Marks()
    assert marks.of(()) == ()
    assert marks.of(("stale", "synthetic")) == ("stale", "synthetic")
    assert marks.of(()) == ("synthetic",)
    assert marks.of(("delayed",)) == ("delayed", "synthetic")
    assert marks.of(("stale",)) == ("delayed", "stale", "synthetic")


def test_after_an_unknown_outcome_the_same_signal_goes_again() -> None:
    outbox = Outbox(10)
    outbox.add(signal())
    first = outbox.head
    assert outbox.reject(first, Unknown("the hub died"), NOW) == pytest.approx(0.05)
    assert outbox.head is first
    assert outbox.reject(first, Unknown("the hub died"), NOW) == pytest.approx(0.1)
    outbox.accept(first)
    assert (len(outbox), outbox.accepted, outbox.retries) == (0, 1, 2)


def test_an_id_that_is_taken_is_changed_at_once() -> None:
    outbox = Outbox(10)
    outbox.add(signal())
    first = outbox.head
    assert outbox.reject(first, Refused("id_taken", "", "signal_id"), NOW) == 0
    assert outbox.head.signal_id != first.signal_id
    assert outbox.head.signal_id[:20] == first.signal_id[:20]
    assert outbox.head.signal_id == next_id(first.signal_id, 1)
    assert outbox.head.ts_created == first.ts_created


@pytest.mark.parametrize("code", ["invalid", "too_large", "signal_expired"])
def test_a_refusal_for_good_gives_the_signal_up_with_the_reason(code: str) -> None:
    outbox = Outbox(10)
    outbox.add(signal())
    lost = outbox.reject(outbox.head, Refused(code, "too late", "expires_at"), NOW)
    assert isinstance(lost, GivenUp)
    assert lost.why == "expires_at: too late"
    assert len(outbox) == 0


def test_a_signal_is_not_submitted_beyond_its_expiry() -> None:
    outbox = Outbox(10)
    outbox.add(signal())
    assert isinstance(outbox.reject(outbox.head, Refused("stopped"), NOW + 60 * SECOND), GivenUp)


def test_a_full_outbox_gives_up_the_oldest() -> None:
    outbox = Outbox(2)
    signals = [signal(index) for index in range(3)]
    assert [outbox.add(each) for each in signals[:2]] == [None, None]
    lost = outbox.add(signals[2])
    assert lost is not None
    assert lost.signal is signals[0]
    # Its outcome was still on its way.
    outbox.accept(signals[0])
    assert outbox.head is signals[1]


outcomes = st.sampled_from([None, Unknown("?"), Refused("stopped"), Refused("log_full"), Refused("invalid")])


@given(st.lists(st.tuples(st.integers(0, 2), outcomes), max_size=60))
def test_every_signal_is_accepted_once_in_order_or_given_up(program: list[tuple[int, Any]]) -> None:
    outbox = Outbox(5)
    made = 0
    accepted: list[int] = []
    lost: list[int] = []
    for new, outcome in program:
        for _ in range(new):
            made += 1
            gone = outbox.add(signal(made))
            if gone is not None:
                lost.append(made - 5)
                assert gone.signal == signal(made - 5)
        if not outbox:
            continue
        head = outbox.head
        number = next(index for index in range(1, made + 1) if signal(index) == head)
        if outcome is None:
            outbox.accept(head)
            accepted.append(number)
        elif isinstance(outbox.reject(head, outcome, NOW), GivenUp):
            lost.append(number)
        else:
            assert outbox.head is head
    assert accepted == sorted(accepted)
    assert sorted(accepted + lost) == list(range(1, made - len(outbox) + 1))
    assert (outbox.accepted, outbox.given_up) == (len(accepted), len(lost))
