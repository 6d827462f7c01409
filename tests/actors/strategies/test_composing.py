from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.strategies.composing import Composer, Marks
from actors.strategies.strategy import Draft
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
