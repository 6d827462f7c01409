from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.signals.fanout import FanOut, Full
from actors.signals.subscriber import Behind, CaughtUp, Frame, Subscriber, frame_of, joined
from protocols.signals import Span
from tests.actors.signals.samples import stored

SYMBOLS = ("A", "B", "C")


class Inbox:
    """A client's end: it takes what fits, and decodes it as a client would."""

    def __init__(self, room: int | None = None) -> None:
        self.room = room
        """How many more bytes it takes; None: any number."""
        self.closed = False
        self.backlog_bytes = 0
        self.pieces: list[bytes] = []

    def offer_bytes(self, wire: bytes, count: int) -> bool:
        if self.closed or (self.room is not None and len(wire) > self.room):
            return False
        if self.room is not None:
            self.room -= len(wire)
        self.pieces.append(wire)
        assert count == len(list(unframed(wire)))
        return True

    def offer_now(self, wire: bytes, count: int) -> bool:
        return self.backlog_bytes == 0 and self.offer_bytes(wire, count)

    def messages(self) -> list[dict[str, Any]]:
        return [message for piece in self.pieces for message in unframed(piece)]

    def seqs(self) -> list[int]:
        return [message["seq"] for message in self.messages() if message["type"] == "signal"]


def unframed(wire: bytes) -> Iterator[dict[str, Any]]:
    at = 0
    while at < len(wire):
        assert wire[at] == 0x81
        size, start = wire[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(wire[at + 2 : at + 4], "big"), at + 4
        elif size == 127:
            size, start = int.from_bytes(wire[at + 2 : at + 10], "big"), at + 10
        yield msgspec.json.decode(wire[start : start + size])
        at = start + size


@functools.cache
def frame(seq: int, symbol: str = "A") -> Frame:
    return frame_of(stored(seq, symbol))


def publish(fan: FanOut, *frames: Frame) -> None:
    for _ in fan.publish(frames):
        pass


def live(fan: FanOut, *symbols: str, room: int | None = None) -> tuple[Subscriber, Inbox]:
    inbox = Inbox(room)
    subscriber = Subscriber(f"s{len(fan)}", inbox)
    fan.attach(subscriber)
    fan.subscribe(subscriber, symbols, None)
    return subscriber, inbox


def test_subscribers_of_the_same_symbols_are_handed_the_very_same_bytes() -> None:
    fan = FanOut(0)
    everything = [live(fan, "*")[1] for _ in range(3)]
    some = [live(fan, "A", "C")[1] for _ in range(2)]
    publish(fan, frame(1, "A"), frame(2, "B"), frame(3, "C"))
    assert [len(inbox.pieces) for inbox in everything + some] == [1] * 5
    assert len({id(inbox.pieces[0]) for inbox in everything}) == 1
    assert len({id(inbox.pieces[0]) for inbox in some}) == 1
    assert everything[0].seqs() == [1, 2, 3]
    assert some[0].seqs() == [1, 3]


def test_a_single_signal_is_handed_over_as_the_one_frame_that_was_made_of_it() -> None:
    fan = FanOut(0)
    _, first = live(fan, "*")
    _, second = live(fan, "A")
    made = frame(1)
    publish(fan, made)
    assert first.pieces[0] is made.wire
    assert second.pieces[0] is made.wire


def test_a_subscriber_without_room_is_told_what_it_lost_before_the_next_signal() -> None:
    fan = FanOut(0)
    _, inbox = live(fan, "A", room=0)
    publish(fan, frame(1, "A"), frame(2, "B"))
    publish(fan, frame(3, "A"))
    inbox.room = None
    publish(fan, frame(4, "A"))
    assert inbox.messages()[0] == {"type": "lagged", "from": 1, "to": 3, "count": 2}
    assert inbox.seqs() == [4]
    assert fan.lost_frames == 2


def test_a_loss_is_told_though_nothing_new_comes() -> None:
    fan = FanOut(0)
    _, inbox = live(fan, "*", room=0)
    publish(fan, frame(1))
    fan.tell_losses()
    assert fan.lagging == 1
    inbox.room = None
    fan.tell_losses()
    assert inbox.messages() == [{"type": "lagged", "from": 1, "to": 1, "count": 1}]
    assert fan.lagging == 0


def test_the_backlog_of_one_subscriber_is_bounded_by_the_fan_out_too() -> None:
    fan = FanOut(0, backlog_bytes=2_000)
    _, inbox = live(fan, "*")
    inbox.backlog_bytes = 1_900
    publish(fan, frame(1))
    assert inbox.pieces == []
    inbox.backlog_bytes = 0
    publish(fan, frame(2))
    assert inbox.seqs() == [2]


def test_one_subscriber_too_many_is_refused_and_a_place_is_free_again_when_one_leaves() -> None:
    fan = FanOut(0, most_subscribers=1)
    first, _ = live(fan, "*")
    with pytest.raises(Full):
        fan.attach(Subscriber("late", Inbox()))
    fan.detach(first)
    assert not fan.attach(Subscriber("later", Inbox()))


def test_a_closed_subscriber_is_forgotten_when_something_is_sent_to_it() -> None:
    fan = FanOut(0)
    _, inbox = live(fan, "*")
    inbox.closed = True
    publish(fan, frame(1))
    assert len(fan) == 0
    assert fan.groups == 0


def test_unsubscribing_from_everything_needs_the_star() -> None:
    fan = FanOut(0)
    subscriber, inbox = live(fan, "*")
    with pytest.raises(ValueError, match="unsubscribe \\* first"):
        fan.unsubscribe(subscriber, ("A",))
    fan.unsubscribe(subscriber, ("*",))
    publish(fan, frame(1))
    assert inbox.pieces == []


@pytest.mark.parametrize(("place", "why"), [(7, "the next place is 6"), (3, "has got 3 already")])
def test_a_place_that_cannot_be_resumed_from_is_refused(place: int, why: str) -> None:
    fan = FanOut(0)
    subscriber, _ = live(fan, "A")
    publish(fan, frame(1), frame(2), frame(3), frame(4, "B"), frame(5, "B"))
    with pytest.raises(ValueError, match=why):
        fan.subscribe(subscriber, ("B",), place)


def test_a_replay_is_served_from_the_frames_that_are_kept() -> None:
    fan = FanOut(0)
    publish(fan, *(frame(seq) for seq in range(1, 6)))
    inbox = Inbox()
    subscriber = Subscriber("late", inbox)
    fan.attach(subscriber)
    assert fan.subscribe(subscriber, ("*",), 3)
    catch_up(fan, subscriber, [], 100)
    publish(fan, frame(6))
    assert inbox.seqs() == [3, 4, 5, 6]


def test_places_that_nobody_holds_any_more_are_told_to_everybody_who_is_live() -> None:
    fan = FanOut(0)
    _, inbox = live(fan, "*")
    fan.skip(Span(1, 3))
    publish(fan, frame(4))
    assert inbox.messages()[0] == {"type": "lagged", "from": 1, "to": 3, "count": 3}
    assert inbox.seqs() == [4]


def test_frames_are_joined_into_pieces_of_a_bounded_size_in_their_order() -> None:
    frames = [frame(seq) for seq in range(1, 301)]
    pieces = joined(frames)
    assert len(pieces) > 1
    assert b"".join(piece.wire for piece in pieces) == b"".join(each.wire for each in frames)
    assert max(len(piece.wire) for piece in pieces) <= 65_536
    assert [piece.first for piece in pieces[1:]] == [piece.last + 1 for piece in pieces[:-1]]


# Everything at once.


def catch_up(
    fan: FanOut, subscriber: Subscriber, storage: Sequence[Frame | None], page: int, steps: int = 10**6
) -> None:
    """Run a subscriber's replay for some steps, or until there is no room. `storage`: place 1 first; None: a hole."""
    while steps and subscriber.replay is not None:
        steps -= 1
        step = fan.ahead(subscriber)
        if isinstance(step, CaughtUp):
            fan.go_live(subscriber)
        elif isinstance(step, Behind):
            upto = min(step.from_seq + page - 1, len(storage))
            span = range(step.from_seq, upto + 1)
            held = [each for seq in span if (each := storage[seq - 1]) is not None]
            fan.hold(subscriber, held, upto, [Span(seq, seq) for seq in span if storage[seq - 1] is None])
        elif not fan.offer(subscriber, step):
            return


class Client:
    """A subscriber, and what it has to get in the end."""

    def __init__(self, number: int) -> None:
        self.inbox = Inbox()
        self.subscriber = Subscriber(f"client {number}", self.inbox)
        self.must: set[int] = set()
        self.may: set[int] = set()
        self.missing: set[int] = set()

    def wants(self, each: Frame) -> bool:
        return self.subscriber.wants(each.symbol)


class World:
    """A stream, its storage with holes, and a fan-out that may be replaced at any moment."""

    def __init__(self, holes: frozenset[int], kept: int, page: int) -> None:
        self.holes = holes
        self.kept = kept
        self.page = page
        self.stream: list[Frame] = []
        self.pending: list[Frame] = []
        """The end of the stream that the fan-out has not got yet; storage already has it."""
        self.clients = [Client(number) for number in range(4)]
        self.fan = self.new_fan()
        for client in self.clients:
            self.fan.attach(client.subscriber)

    def new_fan(self) -> FanOut:
        return FanOut(len(self.stream), kept=self.kept, turn=1)

    @property
    def storage(self) -> list[Frame | None]:
        return [None if each.seq in self.holes else each for each in self.stream]

    def store(self, symbols: Sequence[str]) -> None:
        frames = [frame(len(self.stream) + index, symbol) for index, symbol in enumerate(symbols, 1)]
        self.stream += frames
        self.pending += frames

    def take_pending(self) -> list[Frame]:
        frames, self.pending = self.pending, []
        for client in self.clients:
            client.must |= {each.seq for each in frames if client.wants(each)}
        return frames

    def publish(self, symbols: Sequence[str], interrupted: int | None, replaying: int) -> None:
        self.store(symbols)
        for turn, _ in enumerate(self.fan.publish(self.take_pending())):
            if turn == interrupted:
                self.restart(())
                return
            # Replays go on while a publish is under way.
            self.replay(replaying, 2)

    def restart(self, meanwhile: Sequence[str]) -> None:
        released = self.fan.release()
        self.store(meanwhile)
        self.take_pending()
        self.fan = self.new_fan()
        assert {subscriber.name for subscriber in released} == {client.subscriber.name for client in self.clients}
        for subscriber in released:
            self.fan.attach(subscriber)

    def replay(self, number: int, steps: int = 10**6) -> None:
        client = self.clients[number]
        replay = client.subscriber.replay
        if replay is None:
            return
        catch_up(self.fan, client.subscriber, self.storage, self.page, steps)
        if not replay.announced:
            return  # told as lost
        client.missing |= {seq for span in replay.missing for seq in range(span.first, span.last + 1)}

    def subscribe(self, number: int, symbols: Sequence[str], back: int | None) -> None:
        client = self.clients[number]
        subscriber = client.subscriber
        head = self.fan.head
        resume_from = None if back is None else max(0, head + 1 - back)
        replaying = subscriber.replay is not None
        try:
            self.fan.subscribe(subscriber, symbols, resume_from)
        except ValueError:
            return
        if resume_from is not None:
            client.must |= {each.seq for each in self.stream[subscriber.cursor : head] if client.wants(each)}
        elif replaying:
            client.may |= {each.seq for each in self.stream[subscriber.cursor : head] if client.wants(each)}

    def unsubscribe(self, number: int, symbols: Sequence[str]) -> None:
        client = self.clients[number]
        replaying = client.subscriber.replay is not None
        try:
            self.fan.unsubscribe(client.subscriber, symbols)
        except ValueError:
            return
        if replaying:
            ahead = self.stream[client.subscriber.cursor : self.fan.head]
            client.must -= {each.seq for each in ahead if not client.wants(each)}

    def check(self, client: Client) -> None:
        seqs = client.inbox.seqs()
        assert seqs == sorted(set(seqs)), "the places rise strictly"
        assert set(seqs) <= client.must | client.may, "nothing came that was not subscribed to"
        lost: set[int] = set()
        for message in client.inbox.messages():
            if message["type"] == "lagged":
                span = set(range(message["from"], message["to"] + 1))
                assert not span & set(seqs), "nothing is both sent and told as lost"
                assert 1 <= message["count"] <= len(span)
                lost |= span
        assert client.must <= set(seqs) | lost | client.missing, "what was not sent is told"


symbols = st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=6)
subscriptions = st.lists(st.sampled_from((*SYMBOLS, "*")), min_size=1, max_size=2)
client_numbers = st.integers(0, 3)
operations = st.one_of(
    st.tuples(st.just("store"), symbols),
    st.tuples(st.just("publish"), symbols, st.none() | st.integers(0, 2), client_numbers),
    st.tuples(st.just("subscribe"), client_numbers, subscriptions, st.none() | st.integers(0, 12)),
    st.tuples(st.just("unsubscribe"), client_numbers, subscriptions),
    st.tuples(st.just("replay"), client_numbers, st.integers(1, 3)),
    st.tuples(st.just("restart"), st.just([]) | symbols),
    st.tuples(st.just("room"), client_numbers, st.none() | st.integers(0, 3_000)),
    st.tuples(st.just("tell")),
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(operations, min_size=3, max_size=30),
    st.frozensets(st.integers(1, 40), max_size=4),
    st.integers(1, 8),
    st.integers(1, 5),
)
def test_whatever_happens_every_signal_is_sent_once_in_order_or_told_as_lost_or_missing(
    program: list[tuple[Any, ...]], holes: frozenset[int], kept: int, page: int
) -> None:
    world = World(holes, kept, page)
    for name, *arguments in program:
        if name == "room":
            world.clients[arguments[0]].inbox.room = arguments[1]
        elif name == "tell":
            world.fan.tell_losses()
        else:
            getattr(world, name)(*arguments)
    for number, client in enumerate(world.clients):
        client.inbox.room = None
        world.replay(number)
        assert client.subscriber.replay is None
    world.publish(SYMBOLS, None, 0)
    world.fan.tell_losses()
    for client in world.clients:
        world.check(client)


def test_a_client_that_reads_at_once_loses_nothing_over_restarts_in_the_middle_of_publishing() -> None:
    world = World(frozenset(), 2, 3)
    for number in range(4):
        world.subscribe(number, ("*",), None)
    for _ in range(5):
        world.publish(("A", "B"), 1, 0)
        for number in range(4):
            world.replay(number)
    for client in world.clients:
        assert client.inbox.seqs() == list(range(1, 11))
        assert {message["type"] for message in client.inbox.messages()} == {"signal"}
