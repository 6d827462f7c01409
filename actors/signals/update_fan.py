"""Updates of signals for the clients of the signal stream that ask for them: a fan-out of their own.

It shares nothing with the fan-out of signals but the sockets, so what holds there holds whatever happens here. There is
no replay: what was missed while the stream's actor was away is told as lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from actors.edge.frames import text_frame
from actors.signals.fanout import FanOut
from actors.signals.subscriber import Frame, Loss, Subscriber
from protocols.signal_update_stream import encode_update, encode_updates_lagged
from protocols.signals import SignalUpdatePage, Span, StoredUpdate


class UpdateFan:
    """Who wants updates of what. `head`: the place up to which they have been handed out."""

    def __init__(self, head: int, most_subscribers: int, backlog_bytes: int) -> None:
        self._fan = FanOut(
            head, most_subscribers=most_subscribers, backlog_bytes=backlog_bytes, kept=1, notices=update_notices
        )

    def __len__(self) -> int:
        return len(self._fan)

    @property
    def head(self) -> int:
        """The place up to which updates have been handed out."""
        return self._fan.head

    @property
    def figures(self) -> tuple[tuple[str, int], ...]:
        """What was done, for a probe."""
        fan = self._fan
        return (
            ("update_subscribers", len(fan)),
            ("sent_updates", fan.sent_frames),
            ("lost_updates", fan.lost_frames),
        )

    def attach(self, subscriber: Subscriber) -> None:
        """Serve a subscriber, from now on or, if it was served before, telling it what it has missed."""
        if subscriber not in self._fan and self._fan.attach(subscriber):
            self._fan.renounce(subscriber)

    def subscribe(self, subscriber: Subscriber, symbols: Sequence[str], now_at: int) -> None:
        """Add symbols. `now_at`: the end of the stream; where nobody has listened, it begins there."""
        if not len(self._fan):
            self._fan.jump(now_at)
        self.attach(subscriber)
        self._fan.subscribe(subscriber, symbols, None)

    def unsubscribe(self, subscriber: Subscriber, symbols: Sequence[str]) -> None:
        """Take symbols out. Raises ValueError for single symbols out of a subscription to all."""
        if subscriber in self._fan:
            self._fan.unsubscribe(subscriber, symbols)
            if not subscriber.symbols:
                self._fan.detach(subscriber)

    def detach(self, subscriber: Subscriber) -> None:
        """Forget a subscriber; nothing happens if it is not here."""
        self._fan.detach(subscriber)

    def release(self) -> None:
        """Forget all subscribers, at the end."""
        self._fan.release()

    def tell_losses(self) -> None:
        """Tell those who lag, if they have room now, and forget who has gone."""
        self._fan.sweep()
        self._fan.tell_losses()

    def hand_out(self, page: SignalUpdatePage) -> Iterator[None]:
        """Hand a page out. To be run to its end; it yields when the loop should turn."""
        for part in _in_order(page):
            if isinstance(part, Span):
                if part.last > self._fan.head:
                    self._fan.skip(Span(self._fan.head + 1, part.last))
            else:
                yield from self._fan.publish([update_frame(each) for each in part if each.seq > self._fan.head])


def _in_order(page: SignalUpdatePage) -> Iterator[Span | tuple[StoredUpdate, ...]]:
    """A page's updates and holes, in the order of the places."""
    rest = page.updates
    for span in page.missing:
        before = tuple(each for each in rest if each.seq < span.first)
        yield before
        yield span
        rest = rest[len(before) :]
    yield rest


def update_frame(stored: StoredUpdate) -> Frame:
    """The frame of a stored update."""
    text = encode_update(stored)
    return Frame(stored.seq, stored.symbol, text, text_frame(text))


def update_notices(losses: Iterable[Loss]) -> bytes:
    """The frames that tell of lost updates."""
    return b"".join([text_frame(encode_updates_lagged(loss.first, loss.last, loss.count)) for loss in losses])
