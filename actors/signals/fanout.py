"""The fan-out: which subscriber gets which frames, in which order, and what each of them has lost.

A signal is encoded and framed once. Subscribers with the same subscription form a group; what a group gets of one wake
is joined once, and every member is handed the same bytes. What holds for each subscriber, whatever the others do:

* the places of its signals rise strictly;
* every signal of its subscription is sent, or told as lost (`lagged`), or told as not held any more (`missing`);
* none is sent twice.

A subscriber is **live** (it gets what is published) or **replaying** (it gets, at its own pace, what was stored before,
and becomes live in the very step in which it has caught up). `cursor` is the place up to which all is settled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from actors.signals.subscriber import (
    EVERYTHING,
    NOTHING,
    Behind,
    CaughtUp,
    Chunk,
    Frame,
    Loss,
    Piece,
    Replay,
    Subscriber,
    chunk_of,
    joined,
    notices,
)
from protocols.signal_stream import ALL_SYMBOLS
from protocols.signals import Span

TURN: Final = 64
"""So many subscribers are served before the loop gets a turn; a send to a socket takes 5 to 10 µs."""


class Full(Exception):
    """There are as many subscribers as there may be."""


class FanOut:
    """Who is subscribed to what, and what of the stream's end is kept framed. `head`: the stream's place now.

    `backlog_bytes`: what may wait for one subscriber. `kept`: how many of the newest frames are kept for replays.
    `notices`: the frames that tell of losses.
    """

    def __init__(
        self,
        head: int,
        *,
        most_subscribers: int = 1000,
        backlog_bytes: int = 262_144,
        kept: int = 4096,
        turn: int = TURN,
        notices: Callable[[Iterable[Loss]], bytes] = notices,
    ) -> None:
        self.head = head
        self.most_subscribers = most_subscribers
        self.backlog_bytes = backlog_bytes
        self.turn = turn
        self._notices = notices
        self._settled = head
        """Everybody who is live has been served up to here, or has a cursor that is beyond."""
        self._frames: deque[Frame] = deque(maxlen=kept)
        self._subscribers: dict[Subscriber, None] = {}
        self._groups: dict[frozenset[str], dict[Subscriber, None]] = {}
        self._by_symbol: dict[str, set[frozenset[str]]] = {}
        self._lossy: dict[Subscriber, None] = {}
        self.sent_frames = self.sent_bytes = self.lost_frames = self.refused_subscribers = 0

    @property
    def first_kept(self) -> int:
        """The place of the oldest frame that is kept; the next place if none is."""
        return self._frames[0].seq if self._frames else self.head + 1

    # Who is here.

    def __len__(self) -> int:
        return len(self._subscribers)

    def __contains__(self, subscriber: Subscriber) -> bool:
        return subscriber in self._subscribers

    @property
    def groups(self) -> int:
        """How many different subscriptions are served."""
        return len(self._groups)

    @property
    def lagging(self) -> int:
        """How many subscribers have lost something and could not be told yet."""
        return len(self._lossy)

    def attach(self, subscriber: Subscriber) -> bool:
        """Serve a subscriber. True: it has missed something since it was last served, so a replay has begun.

        Raises Full.
        """
        if subscriber in self._subscribers:
            return False
        if len(self._subscribers) >= self.most_subscribers:
            self.refused_subscribers += 1
            raise Full(f"there are {self.most_subscribers} subscribers, and there may be no more")
        self._subscribers[subscriber] = None
        self._join_group(subscriber)
        if subscriber.losses:
            self._lossy[subscriber] = None
        if subscriber.replay is not None:  # go on with it, from the cursor
            subscriber.replay.held = None
            return True
        if not subscriber.symbols:
            subscriber.cursor = self.head
            return False
        if subscriber.cursor < self.head:
            subscriber.replay = Replay(subscriber.cursor + 1, announced=False)
            return True
        return False

    def detach(self, subscriber: Subscriber) -> None:
        """Forget a subscriber; nothing happens if it is not here."""
        if self._subscribers.pop(subscriber, self) is self:
            return
        if subscriber.replay is None:
            subscriber.cursor = max(subscriber.cursor, self._settled)
        self._leave_group(subscriber)
        self._lossy.pop(subscriber, None)

    def sweep(self) -> None:
        """Forget those that are closed, though nothing was to be sent to them."""
        for subscriber in [each for each in self._subscribers if each.sink.closed]:
            self.detach(subscriber)

    def release(self) -> list[Subscriber]:
        """Forget all subscribers, at the end; each knows from its cursor where it was."""
        released = list(self._subscribers)
        for subscriber in released:
            self.detach(subscriber)
        return released

    # Subscriptions.

    def subscribe(self, subscriber: Subscriber, symbols: Sequence[str], resume_from: int | None) -> bool:
        """Add symbols to a subscription. True: a replay has begun.

        Raises ValueError with the reason if it cannot be resumed from there.
        """
        if resume_from is not None:
            self._check_resume(subscriber, resume_from)
        self._leave_group(subscriber)
        wanted = subscriber.symbols | frozenset(symbols)
        subscriber.symbols = EVERYTHING if ALL_SYMBOLS in wanted else wanted
        if resume_from is not None:
            subscriber.cursor = max(resume_from, 1) - 1
            subscriber.replay = Replay(subscriber.cursor + 1, announced=True)
            self._forget_loss(subscriber, subscriber.cursor)
        elif subscriber.replay is None:
            subscriber.cursor = max(subscriber.cursor, self._settled)
        self._join_group(subscriber)
        return resume_from is not None

    def unsubscribe(self, subscriber: Subscriber, symbols: Sequence[str]) -> None:
        """Take symbols out of a subscription, `*` all of them.

        Raises ValueError for single symbols out of a subscription to all.
        """
        if ALL_SYMBOLS not in symbols and subscriber.symbols == EVERYTHING:
            raise ValueError("this connection is subscribed to *: unsubscribe * first")
        self._leave_group(subscriber)
        subscriber.symbols = NOTHING if ALL_SYMBOLS in symbols else subscriber.symbols - frozenset(symbols)
        if not subscriber.symbols and subscriber.replay is not None:
            self._count_missing(subscriber, subscriber.replay)
            subscriber.replay = None
        self._join_group(subscriber)

    def _check_resume(self, subscriber: Subscriber, resume_from: int) -> None:
        if subscriber.replay is not None:
            raise ValueError("a replay is under way on this connection")
        if resume_from > self.head + 1:
            raise ValueError(f"the stream is at {self.head}, so the next place is {self.head + 1}, not {resume_from}")
        if resume_from <= subscriber.last_sent:
            raise ValueError(f"this connection has got {subscriber.last_sent} already: resume on a new one")

    def _forget_loss(self, subscriber: Subscriber, cursor: int) -> None:
        # What was lost behind the cursor is about to be sent after all.
        subscriber.losses = [loss for loss in subscriber.losses if loss.first <= cursor]
        for loss in subscriber.losses:
            if loss.last > cursor:
                loss.last = cursor
                loss.count = min(loss.count, loss.last - loss.first + 1)
        if not subscriber.losses:
            self._told(subscriber)

    # Live.

    def publish(self, frames: Sequence[Frame]) -> Iterator[None]:
        """Hand the next frames to whom they concern. To be run to its end; it yields when the loop should turn.

        Between two steps subscribers may leave, replay and become live; subscriptions change between two publishes.
        """
        if not frames:
            return
        first, before = frames[0].seq, self.head
        if first != before + 1:
            raise ValueError(f"after place {before} comes {before + 1}, not {first}")
        self._frames.extend(frames)
        self.head = frames[-1].seq
        turn = self.turn
        for symbols, own in self._routed(frames):
            members = tuple(self._groups.get(symbols, ()))
            pieces = joined(own)
            only = pieces[0] if len(pieces) == 1 else None
            for subscriber in members:
                if subscriber in self._subscribers and subscriber.replay is None and subscriber.cursor < first:
                    if only is None or subscriber.losses or not subscriber.sink.offer_now(only.wire, only.count):
                        self._hand_over(subscriber, pieces)
                    else:  # the usual case, and all that it costs
                        self.sent_frames += only.count
                        self.sent_bytes += len(only.wire)
                        subscriber.last_sent = only.last
                        subscriber.cursor = self.head
                    turn -= 1
                    if not turn:
                        turn = self.turn
                        yield
        self._settled = self.head

    def skip(self, span: Span) -> None:
        """The next places are not held by anybody: everybody who is live is told so."""
        if span.first != self.head + 1:
            raise ValueError(f"after place {self.head} comes {self.head + 1}, not {span.first}")
        self._frames.clear()
        self.head = span.last
        for subscriber in self._subscribers:
            if subscriber.replay is None and subscriber.symbols:
                self._lose(subscriber, span.first, span.last, span.last - span.first + 1)
                subscriber.cursor = span.last
        self._settled = self.head

    def tell_losses(self) -> None:
        """Tell those who have lost something and have room again, though nothing new has come for them."""
        for subscriber in tuple(self._lossy):
            if subscriber.sink.closed:
                self.detach(subscriber)
            elif self._offer(subscriber, self._notices(subscriber.losses), len(subscriber.losses)):
                self._told(subscriber)

    def _routed(self, frames: Sequence[Frame]) -> Iterator[tuple[frozenset[str], Sequence[Frame]]]:
        if EVERYTHING in self._groups:
            yield EVERYTHING, frames
        own: dict[frozenset[str], list[Frame]] = {}
        for frame in frames:
            for symbols in self._by_symbol.get(frame.symbol, ()):
                own.setdefault(symbols, []).append(frame)
        yield from own.items()

    def _hand_over(self, subscriber: Subscriber, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            wire, count = piece.wire, piece.count
            if subscriber.losses:
                wire, count = self._notices(subscriber.losses) + wire, count + len(subscriber.losses)
            if self._offer(subscriber, wire, count):
                subscriber.last_sent = piece.last
                if subscriber.losses:
                    self._told(subscriber)
            elif subscriber.sink.closed:
                self.detach(subscriber)
                return
            else:
                self._lose(subscriber, piece.first, piece.last, piece.count)
            subscriber.cursor = piece.last
        subscriber.cursor = self.head

    def _offer(self, subscriber: Subscriber, wire: bytes, count: int) -> bool:
        sink, size = subscriber.sink, len(wire)
        waiting = sink.backlog_bytes
        if (waiting and waiting + size > self.backlog_bytes) or not sink.offer_bytes(wire, count):
            return False
        self.sent_frames += count
        self.sent_bytes += size
        return True

    def _lose(self, subscriber: Subscriber, first: int, last: int, count: int) -> None:
        losses = subscriber.losses
        if losses and losses[-1].first > subscriber.last_sent:  # nothing was sent in between
            losses[-1].last = last
            losses[-1].count += count
        else:
            losses.append(Loss(first, last, count))
            self._lossy[subscriber] = None
        self.lost_frames += count

    def _told(self, subscriber: Subscriber) -> None:
        subscriber.losses = []
        self._lossy.pop(subscriber, None)

    # Replay.

    def ahead(self, subscriber: Subscriber) -> Behind | Chunk | CaughtUp:
        """What comes next in a subscriber's replay."""
        replay = subscriber.replay
        assert replay is not None
        if replay.held:
            return chunk_of(subscriber, replay.held, replay.held_upto)
        replay.held = None
        if subscriber.cursor >= self.head:
            return CaughtUp()
        start = subscriber.cursor + 1 - self.first_kept
        if start < 0:
            return Behind(subscriber.cursor + 1)
        return chunk_of(subscriber, islice(self._frames, start, None), self.head)

    def hold(self, subscriber: Subscriber, frames: Sequence[Frame], upto: int, missing: Sequence[Span]) -> None:
        """Take what is stored behind a replay's cursor: these frames, and nothing else up to `upto`.

        Storage may be ahead of the fan-out; what is not published yet will come by itself, so it is left out.
        """
        replay = subscriber.replay
        assert replay is not None
        upto = min(upto, self.head)
        known = replay.missing[-1].last if replay.missing else 0  # a replay that was interrupted reads a page again
        cut = (Span(max(span.first, known + 1), min(span.last, upto)) for span in missing)
        replay.missing += [span for span in cut if span.first <= span.last]
        replay.held = deque(frame for frame in frames if subscriber.cursor < frame.seq <= upto)
        replay.held_upto = upto
        if not replay.held:
            replay.held = None
            subscriber.cursor = max(subscriber.cursor, upto)

    def offer(self, subscriber: Subscriber, chunk: Chunk) -> bool:
        """Hand over a chunk whole, if there is room for it."""
        if chunk.frames:
            wire = b"".join([self._notices(subscriber.losses), *(frame.wire for frame in chunk.frames)])
            if not self._offer(subscriber, wire, len(subscriber.losses) + len(chunk.frames)):
                return False
            self._told(subscriber)
            subscriber.last_sent = chunk.frames[-1].seq
        replay = subscriber.replay
        assert replay is not None
        replay.sent += len(chunk.frames)
        while replay.held and replay.held[0].seq <= chunk.upto:
            replay.held.popleft()
        subscriber.cursor = max(subscriber.cursor, chunk.upto)
        return True

    def go_live(self, subscriber: Subscriber) -> Replay:
        """End a replay that has caught up. What was missing in one that nobody asked for counts as lost."""
        replay = subscriber.replay
        if replay is None or subscriber.cursor < self.head:
            raise ValueError(f"{subscriber.name} has not caught up")
        subscriber.replay = None
        if not replay.announced:
            self._count_missing(subscriber, replay)
        return replay

    def renounce(self, subscriber: Subscriber) -> None:
        """End a replay before it has caught up: what is behind the head is lost, and the subscriber is live."""
        if subscriber.replay is None:
            return
        subscriber.replay = None
        if subscriber.cursor < self.head:
            self._lose(subscriber, subscriber.cursor + 1, self.head, self.head - subscriber.cursor)
            subscriber.cursor = self.head

    def jump(self, head: int) -> None:
        """Go on at another place of the stream, while nobody is served. Raises ValueError if somebody is."""
        if self._subscribers:
            raise ValueError(f"{len(self._subscribers)} subscribers are at {self.head}")
        self._frames.clear()
        self.head = self._settled = head

    def _count_missing(self, subscriber: Subscriber, replay: Replay) -> None:
        for span in replay.missing:
            self._lose(subscriber, span.first, span.last, span.last - span.first + 1)

    # Groups.

    def _join_group(self, subscriber: Subscriber) -> None:
        symbols = subscriber.symbols
        if not symbols or subscriber not in self._subscribers:
            return
        group = self._groups.get(symbols)
        if group is None:
            group = self._groups[symbols] = {}
            for symbol in symbols - EVERYTHING:
                self._by_symbol.setdefault(symbol, set()).add(symbols)
        group[subscriber] = None

    def _leave_group(self, subscriber: Subscriber) -> None:
        symbols = subscriber.symbols
        group = self._groups.get(symbols)
        if group is None or group.pop(subscriber, self) is self or group:
            return
        del self._groups[symbols]
        for symbol in symbols - EVERYTHING:
            self._by_symbol[symbol].discard(symbols)
            if not self._by_symbol[symbol]:
                del self._by_symbol[symbol]
