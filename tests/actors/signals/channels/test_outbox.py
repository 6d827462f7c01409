from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.signals.channels.outbox import REJECTIONS, Delays, Item, Outbox, Position, Read, Undelivered
from protocols.signals import (
    SIGNAL_UPDATES,
    SIGNALS,
    SignalPage,
    SignalUpdatePage,
    Span,
    StoredSignal,
    StoredUpdate,
    UpdateSignal,
)
from tests.actors.signals.samples import NOW, stored

DELAYS = Delays(first_s=1.0, most_s=8.0)


def update(seq: int, signal_id: str, symbol: str) -> StoredUpdate:
    return StoredUpdate(seq, NOW, UpdateSignal(signal_id=signal_id, status="active"), symbol, "test")


class Hub:
    """The two streams; places in `holes` are stored nowhere any more."""

    def __init__(self) -> None:
        self.signals: list[StoredSignal] = []
        self.updates: list[StoredUpdate] = []
        self.holes: set[tuple[str, int]] = set()

    @property
    def ends(self) -> Position:
        return Position(len(self.signals), len(self.updates))

    def add_signal(self, symbol: str = "A") -> None:
        self.signals.append(stored(len(self.signals) + 1, symbol))

    def add_update(self, of: int) -> None:
        signal = self.signals[of - 1].signal
        self.updates.append(update(len(self.updates) + 1, signal.signal_id, signal.symbol))

    def answer(self, read: Read) -> SignalPage | SignalUpdatePage:
        of_signals = read.stream == SIGNALS
        items: Sequence[Item] = self.signals if of_signals else self.updates
        asked = range(read.from_seq, min(read.from_seq + read.limit, len(items) + 1))
        missing = tuple(Span(seq, seq) for seq in asked if (read.stream, seq) in self.holes)
        there = tuple(items[seq - 1] for seq in asked if (read.stream, seq) not in self.holes)
        next_seq = asked[-1] + 1 if asked else read.from_seq
        if of_signals:
            return SignalPage(SIGNALS, there, next_seq, len(items), missing)  # type: ignore[arg-type]
        return SignalUpdatePage(there, next_seq, len(items), missing)  # type: ignore[arg-type]


def outbox(position: Position = Position(), batch: int = 4) -> Outbox:  # noqa: B008 - frozen
    return Outbox(position, batch=batch, delays=DELAYS, chance=lambda: 0.0)


def place_of(item: Item) -> tuple[str, int]:
    return (SIGNALS if isinstance(item, StoredSignal) else SIGNAL_UPDATES, item.seq)


def next_batch(box: Outbox, hub: Hub) -> tuple[Item, ...]:
    while isinstance(step := box.next(hub.ends), Read):
        assert box.take(hub.answer(step))
    return step or ()


def test_what_is_stored_comes_in_batches_and_the_position_follows_what_is_confirmed() -> None:
    hub, box = Hub(), outbox()
    for _ in range(6):
        hub.add_signal()
    first = next_batch(box, hub)
    assert [item.seq for item in first] == [1, 2, 3, 4]
    assert box.position == Position(0, 0)
    box.delivered(4)
    assert box.position == Position(4, 0)
    assert [item.seq for item in next_batch(box, hub)] == [5, 6]
    box.delivered(2)
    assert box.next(hub.ends) is None
    assert box.position == hub.ends


def test_an_update_comes_after_all_signals_that_were_stored_before_it() -> None:
    hub, box = Hub(), outbox()
    for _ in range(6):
        hub.add_signal()
    hub.add_update(6)
    hub.add_update(1)
    sent = []
    while batch := next_batch(box, hub):
        sent += [place_of(item) for item in batch]
        box.delivered(len(batch))
    assert sent == [*((SIGNALS, seq) for seq in range(1, 7)), (SIGNAL_UPDATES, 1), (SIGNAL_UPDATES, 2)]


def test_after_a_failure_the_same_comes_again_and_the_waits_grow_up_to_a_bound() -> None:
    hub, box = Hub(), outbox()
    hub.add_signal()
    batch = next_batch(box, hub)
    assert [box.failed() for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 8.0]
    assert next_batch(box, hub) == batch
    box.delivered(1)
    hub.add_signal()
    next_batch(box, hub)
    assert box.failed() == 1.0


def test_waits_are_shortened_at_random_by_half_at_most() -> None:
    waits = [DELAYS.after(3, random.Random(seed).random()) for seed in range(100)]
    assert all(2.0 < wait <= 4.0 for wait in waits)
    assert len(set(waits)) == 100


def test_what_is_refused_for_good_is_found_by_halving_and_left_out_after_some_attempts() -> None:
    hub, box = Hub(), outbox(batch=8)
    for _ in range(8):
        hub.add_signal()
    sent: list[int] = []
    left_out: list[Undelivered] = []
    attempts = 0
    while batch := next_batch(box, hub):
        if any(item.seq == 6 for item in batch):
            attempts += len(batch) == 1
            outcome = box.rejected(len(batch), "too large", NOW)
            if isinstance(outcome, Undelivered):
                left_out.append(outcome)
        else:
            sent += [item.seq for item in batch]
            box.delivered(len(batch))
    assert sent == [1, 2, 3, 4, 5, 7, 8]
    assert [(each.seq, each.signal_id, each.reason) for each in left_out] == [(6, "sig_6", "too large")]
    assert attempts == REJECTIONS
    assert box.position == hub.ends
    assert box.limit == 8 or box.limit > 1


def test_places_that_are_stored_nowhere_are_counted_and_passed() -> None:
    hub, box = Hub(), outbox()
    for _ in range(9):
        hub.add_signal()
    hub.holes = {(SIGNALS, seq) for seq in (1, 4, 5, 6, 7, 8, 9)}
    sent = []
    while batch := next_batch(box, hub):
        sent += [item.seq for item in batch]
        box.delivered(len(batch))
    assert sent == [2, 3]
    assert box.missing == 7
    assert box.position == Position(9, 0)


def test_a_page_that_says_nothing_is_not_progress() -> None:
    hub, box = Hub(), outbox()
    hub.add_signal()
    assert isinstance(box.next(hub.ends), Read)
    assert not box.take(SignalPage(SIGNALS, (), 1, 0))
    assert isinstance(box.next(hub.ends), Read)


def test_a_target_that_lost_what_it_had_is_sent_it_again() -> None:
    hub, box = Hub(), outbox()
    for _ in range(4):
        hub.add_signal()
    next_batch(box, hub)
    box.delivered(4)
    hub.add_signal()
    assert [item.seq for item in next_batch(box, hub)] == [5]
    box.rewind(Position(2, 7))
    assert box.position == Position(2, 0)
    assert [item.seq for item in next_batch(box, hub)] == [3, 4, 5]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("signal"), st.sampled_from("ABC")),
        st.tuples(st.just("update"), st.integers(0, 1_000)),
        st.tuples(st.just("step"), st.sampled_from(["confirmed", "failed", "unknown", "lost answer"])),
        st.tuples(st.just("crash"), st.just("")),
        st.tuples(st.just("hole"), st.integers(0, 1_000)),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, batch=st.integers(1, 7), poison=st.sets(st.integers(1, 40), max_size=3), torn=st.booleans())
@pytest.mark.filterwarnings("ignore")
def test_whatever_fails_everything_arrives_in_order_per_symbol_and_the_position_never_runs_ahead(
    steps: list[tuple[str, object]], batch: int, poison: set[int], torn: bool
) -> None:
    hub, box = Hub(), outbox(batch=batch)
    kept = Position()  # what is on disk
    arrived: list[Item] = []
    left_out: set[tuple[str, int]] = set()

    def refuses(items: tuple[Item, ...]) -> bool:
        return any(isinstance(item, StoredSignal) and item.seq in poison for item in items)

    def one(outcome: str) -> bool:
        nonlocal kept
        step = box.next(hub.ends)
        if step is None:
            return False
        if isinstance(step, Read):
            if outcome == "failed":
                return True  # the hub does not answer
            assert 1 <= step.limit <= batch
            assert box.take(hub.answer(step))
        elif outcome == "failed":
            assert box.failed() > 0
        elif refuses(step):
            if outcome != "unknown":
                outcome_of = box.rejected(len(step), "no", NOW)
                if isinstance(outcome_of, Undelivered):
                    left_out.add((outcome_of.stream, outcome_of.seq))
        elif outcome == "unknown":
            arrived.extend(step[: len(step) // 2])  # a part of it has arrived, and nobody knows
            box.failed()
        else:
            arrived.extend(step)
            if outcome == "confirmed":
                box.delivered(len(step))
            else:
                box.failed()
        assert len(box) <= batch
        # Never beyond what has arrived, is missing or was left out.
        done = {place_of(item) for item in arrived} | left_out | hub.holes
        position = box.position
        assert {(SIGNALS, seq) for seq in range(1, position.signals + 1)} <= done
        assert {(SIGNAL_UPDATES, seq) for seq in range(1, position.updates + 1)} <= done
        kept = position if not torn else kept
        return True

    for name, value in steps:
        if name == "signal":
            hub.add_signal(str(value))
        elif name == "update" and hub.signals:
            hub.add_update(int(str(value)) % len(hub.signals) + 1)
        elif name == "hole" and hub.signals:
            place = (SIGNALS, int(str(value)) % len(hub.signals) + 1)
            if place not in {place_of(item) for item in arrived}:
                hub.holes.add(place)
        elif name == "crash":
            box = outbox(kept, batch)
        elif name == "step":
            one(str(value))
        if torn and not len(box):
            kept = box.position
    guard = 0
    while one("confirmed"):
        guard += 1
        assert guard < 10_000
    assert box.position == hub.ends

    places = [place_of(item) for item in arrived]
    everything = {(SIGNALS, seq) for seq in range(1, len(hub.signals) + 1)}
    everything |= {(SIGNAL_UPDATES, seq) for seq in range(1, len(hub.updates) + 1)}
    assert everything - hub.holes - left_out <= set(places)
    assert not {(SIGNALS, seq) for seq in poison} & set(places)
    # In order per symbol once repeats are dropped, and no update before its signal.
    first = list(dict.fromkeys(places))
    for symbol in "ABC":
        signals = [seq for stream, seq in first if stream == SIGNALS and hub.signals[seq - 1].signal.symbol == symbol]
        assert signals == sorted(signals)
        updates = [seq for stream, seq in first if stream == SIGNAL_UPDATES and hub.updates[seq - 1].symbol == symbol]
        assert updates == sorted(updates)
    for stream, seq in first:
        if stream == SIGNAL_UPDATES:
            of = int(hub.updates[seq - 1].update.signal_id.removeprefix("sig_"))
            if (SIGNALS, of) in first:
                assert first.index((SIGNALS, of)) < first.index((stream, seq))
