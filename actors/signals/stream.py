"""The signal stream as an actor: reads the hub's stream by position, and fans it out to WebSockets.

The topic only wakes it: what comes next is asked from the hub, behind the last place that was fanned out. Replays run
in tasks of their own, so that nobody waits for somebody else's past.

A client's connection belongs to the edge, not to this actor. When the actor ends, however it ends, each connection is
told (`detached`) and turns to the next incarnation, which goes on where the connection's cursor is: an actor that was
killed is not seen by its clients.

Clients that ask for updates are served by a fan-out of its own (`update_fan.py`), after signals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import trio

from actors.edge.frames import text_frame
from actors.edge.websocket import WebSocket
from actors.signals.fanout import FanOut, Full
from actors.signals.subscriber import Behind, CaughtUp, Chunk, Replay, Subscriber, frame_of
from actors.signals.update_fan import UpdateFan
from protocols.control import Lagged, Message, Probe, ProbeReport, Refused, Request, Unknown
from protocols.paths import HUB
from protocols.signal_stream import (
    ErrorMessage,
    ResumedMessage,
    SubscriptionMessage,
    encode_server,
    wire_spans,
)
from protocols.signals import (
    SIGNAL_UPDATES,
    SIGNALS,
    ReadSignals,
    ReadSignalUpdates,
    SignalPage,
    SignalStored,
    Span,
    StoredSignal,
)
from runtime import Actor, Mailbox, receive

BATCH = 256
"""Signals that are fanned out at a time, and read at a time for a replay."""
ASK_S = 2.0
RETRY_S = 0.1
ROOM_S = 0.05
"""How long a replay waits before it looks again whether its client has read."""
REPLAYS = 16
"""How many replays read stored signals at once; the others wait for their turn."""
TELL_EVERY_S = 0.5
"""How often those who lag are told of it though nothing new comes."""


class Connection(Subscriber):
    """A subscriber with its WebSocket, and the event that says that its stream actor has ended.

    `updates` is its subscription to updates, which has places of its own.
    """

    __slots__ = ("detached", "socket", "updates")

    def __init__(self, name: str, socket: WebSocket) -> None:
        super().__init__(name, socket)
        self.socket = socket
        self.updates = Subscriber(f"{name} updates", socket)
        self.detached = trio.Event()


class Attach(Request[None], frozen=True, gc=False, tag="attach_subscriber"):
    """Serve this connection (inside this node only). Refused `overloaded`: there are too many."""

    connection: Any


class Detach(Message, frozen=True, gc=False, tag="detach_subscriber"):
    """The connection is closed."""

    connection: Any


class ChangeSubscription(Request[None], frozen=True, gc=False, tag="change_subscription"):
    """Subscribe to symbols, or unsubscribe. The answer goes to the client itself, ahead of the first signal.

    Refused `invalid`, with the field, and `overloaded` if the client does not read what it is sent.
    """

    connection: Any
    subscribe: bool
    symbols: tuple[str, ...]
    resume_from: int | None = None
    updates: bool = False


class Advance(Message, frozen=True, gc=False, tag="advance_stream"):
    """Ask the hub again."""


class TellLosses(Message, frozen=True, gc=False, tag="tell_losses"):
    """Tell those who lag."""


class SignalStream(Actor):
    """Fans the stream of signals out.

    `max_subscribers`; `backlog_bytes` that may wait for one of them (the edge has a bound of its own); `kept`: how
    many of the newest signals are kept ready to be sent again; `patience_s`: how long a replay waits for a database.
    """

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=8192)

    def __init__(
        self, max_subscribers: int = 1000, backlog_bytes: int = 262_144, kept: int = 4096, patience_s: float = 10.0
    ) -> None:
        self.most_subscribers = max_subscribers
        self.backlog_bytes = backlog_bytes
        self.kept = kept
        self.patience_s = patience_s
        self.replays = 0

    def on_start(self) -> None:
        """Begin at the stream's end: who was served before has a cursor, and is brought up to it."""
        metrics = self.node.metrics
        self._subscribers = metrics.gauge("troupe_stream_subscribers", "WebSocket clients of the signal stream")
        self._frames_sent = metrics.counter("troupe_stream_frames_sent", "Signals sent to WebSocket clients")
        self._counted = 0
        self.subscribe(SignalStored, SIGNALS)
        self.hears_updates = False
        self.fan = FanOut(
            self.log.last_seq(SIGNALS),
            most_subscribers=self.most_subscribers,
            backlog_bytes=self.backlog_bytes,
            kept=self.kept,
        )
        self.updates = UpdateFan(self.log.last_seq(SIGNAL_UPDATES), self.most_subscribers, self.backlog_bytes)
        self.readers = trio.CapacityLimiter(REPLAYS)
        self.spawn(self._keep_connections, name="connections")
        self.every(TELL_EVERY_S, TellLosses())

    # The stream.

    @receive
    async def stored(self, message: SignalStored) -> None:
        """There is something to read."""
        await self._advance()

    @receive
    async def lagged(self, message: Lagged) -> None:
        """A wake was lost: read."""
        await self._advance()

    @receive
    async def advance(self, message: Advance) -> None:
        """The hub did not answer a moment ago."""
        await self._advance()

    async def _advance(self) -> None:
        fan = self.fan
        while fan.head < self.log.last_seq(SIGNALS):
            try:
                page = await self.lookup(HUB).ask(ReadSignals(fan.head + 1, BATCH), ASK_S)
            except (Refused, Unknown) as error:
                self.logger.warning("the hub does not answer", error=str(error), place=fan.head + 1)
                self.after(RETRY_S, Advance())
                return
            await self._fan_out(page)
        while len(self.updates) and self.updates.head < self.log.last_seq(SIGNAL_UPDATES):
            place = self.updates.head + 1
            try:
                found = await self.lookup(HUB).ask(ReadSignalUpdates(place, BATCH), ASK_S)
            except (Refused, Unknown) as error:
                self.logger.warning("the hub does not answer", error=str(error), update=place)
                self.after(RETRY_S, Advance())
                return
            for _ in self.updates.hand_out(found):
                await trio.lowlevel.checkpoint()

    async def _fan_out(self, page: SignalPage) -> None:
        signals = [stored for stored in page.signals if stored.seq > self.fan.head]
        for span in page.missing:
            await self._publish([stored for stored in signals if self.fan.head < stored.seq < span.first])
            self.fan.skip(span)
        await self._publish([stored for stored in signals if stored.seq > self.fan.head])

    async def _publish(self, signals: Sequence[StoredSignal]) -> None:
        for _ in self.fan.publish([frame_of(stored) for stored in signals]):
            await trio.lowlevel.checkpoint()

    # The connections.

    @receive
    def attach(self, request: Attach) -> None:
        """Take a connection on, or over from an earlier incarnation."""
        self._attach(request.connection)

    @receive
    def detach(self, message: Detach) -> None:
        """Forget a connection."""
        self.fan.detach(message.connection)
        self.updates.detach(message.connection.updates)

    @receive
    def change(self, request: ChangeSubscription) -> None:
        """Change a subscription, answer the client, and begin a replay if it asked for one."""
        connection: Connection = request.connection
        self._attach(connection)  # the client may be ahead of its connection's return
        if connection.socket.backlog_bytes > self.fan.backlog_bytes // 2:
            raise Refused("overloaded", "the client does not read what it is sent")
        replays = False
        try:
            if request.subscribe:
                replays = self.fan.subscribe(connection, request.symbols, request.resume_from)
                if request.updates:
                    self.updates.subscribe(connection.updates, request.symbols, self.log.last_seq(SIGNAL_UPDATES))
                    self._hear_updates()
            else:
                self.fan.unsubscribe(connection, request.symbols)
                self.updates.unsubscribe(connection.updates, request.symbols)
        except ValueError as error:
            raise Refused("invalid", str(error), "resume_from" if request.subscribe else "symbols") from None
        status = "subscribed" if request.subscribe else "unsubscribed"
        connection.socket.offer(text_frame(encode_server(SubscriptionMessage(status, request.symbols))))
        if replays:
            self._begin_replay(connection)

    def _attach(self, connection: Connection) -> None:
        if connection in self.fan:
            return
        try:
            missed = self.fan.attach(connection)
        except Full as full:
            raise Refused("overloaded", str(full)) from None
        connection.detached = trio.Event()
        if connection.updates.symbols:
            self.updates.attach(connection.updates)
            self._hear_updates()
        if missed:
            self._begin_replay(connection)

    def _hear_updates(self) -> None:
        """Be woken by updates while somebody wants them, and only then."""
        wanted = len(self.updates) > 0
        if wanted and not self.hears_updates:
            self.subscribe(SignalStored, SIGNAL_UPDATES)
            self.after(0.0, Advance())  # for what came since the place at which it goes on
        elif self.hears_updates and not wanted:
            self.unsubscribe(SignalStored, SIGNAL_UPDATES)
        self.hears_updates = wanted

    async def _keep_connections(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            # The actor ends, in whatever way.
            self.updates.release()
            for connection in self.fan.release():
                assert isinstance(connection, Connection)
                connection.detached.set()

    @receive
    def tell_losses(self, message: TellLosses) -> None:
        """Tell those who lag, if they have room now, and forget who has gone."""
        self.fan.sweep()
        self.fan.tell_losses()
        self._count()
        self.updates.tell_losses()
        self._hear_updates()

    def _count(self) -> None:
        self._subscribers.set(len(self.fan))
        self._frames_sent.inc(self.fan.sent_frames - self._counted)
        self._counted = self.fan.sent_frames

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Say how the stream and its clients are."""
        fan = self.fan
        waiting = self.log.last_seq(SIGNALS) - fan.head
        return ProbeReport(
            "degraded" if waiting > BATCH or len(fan) >= fan.most_subscribers else "ok",
            "" if waiting <= BATCH else f"{waiting} signals wait to be fanned out",
            figures=(
                ("head", fan.head),
                ("subscribers", len(fan)),
                ("subscriptions", fan.groups),
                ("replays", self.replays),
                ("lagging", fan.lagging),
                ("sent_frames", fan.sent_frames),
                ("sent_bytes", fan.sent_bytes),
                ("lost_frames", fan.lost_frames),
                ("refused_subscribers", fan.refused_subscribers),
                *self.updates.figures,
            ),
        )

    # Replays.

    def _begin_replay(self, connection: Connection) -> None:
        self.spawn(self._replay, connection, connection.replay, name="replay")

    async def _replay(self, connection: Connection, replay: Replay) -> None:
        # Each step is whole: what was handed over is settled before anything can interrupt it.
        self.replays += 1
        patience = trio.current_time() + self.patience_s
        try:
            while connection.replay is replay and connection in self.fan:
                match self.fan.ahead(connection):
                    case Behind(from_seq):
                        await self._read_back(connection, replay, from_seq, patience)
                    case Chunk() as chunk:
                        await self._pause(self.fan.offer(connection, chunk))
                    case CaughtUp():
                        await self._pause(self._finish(connection, replay))
                if connection.socket.closed:
                    self.fan.detach(connection)
        finally:
            self.replays -= 1

    async def _pause(self, sent: bool) -> None:
        """Give the loop a turn, or the client time to read."""
        if sent:
            await trio.lowlevel.checkpoint()
        else:
            await trio.sleep(ROOM_S)

    async def _read_back(self, connection: Connection, replay: Replay, from_seq: int, patience: float) -> None:
        try:
            async with self.readers:
                page = await self.lookup(HUB).ask(ReadSignals(from_seq, BATCH), ASK_S)
        except (Refused, Unknown) as error:
            if trio.current_time() < patience:
                await trio.sleep(RETRY_S)
                return
            page = self._give_up(connection, replay, from_seq, error)
        if connection.replay is replay and connection in self.fan:
            frames = [frame_of(stored) for stored in page.signals]
            self.fan.hold(connection, frames, page.next_seq - 1, page.missing)

    def _give_up(self, connection: Connection, replay: Replay, from_seq: int, error: Refused | Unknown) -> SignalPage:
        """What is stored cannot be read now: say so, and go on with what is at hand."""
        upto = self.fan.first_kept - 1
        self.logger.warning("a replay cannot be read", first=from_seq, last=upto, error=str(error))
        if replay.announced:
            text = f"the signals {from_seq} to {upto} cannot be read now ({error}): resume from {from_seq} later"
            connection.socket.offer(text_frame(encode_server(ErrorMessage(text, "unavailable", "resume_from"))))
        return SignalPage(SIGNALS, (), upto + 1, self.fan.head, (Span(from_seq, upto),))

    def _finish(self, connection: Connection, replay: Replay) -> bool:
        """Tell the client that its replay is over, and let it be live. False: it has no room for that yet."""
        if replay.announced:
            missing = wire_spans(tuple(replay.missing))
            message = ResumedMessage(replay.first, connection.cursor, replay.sent, missing)
            if not connection.socket.offer(text_frame(encode_server(message))):
                return False
        self.fan.go_live(connection)
        self.fan.tell_losses()
        return True
