"""The actor that holds one connection to Kalshi, or to the simulated venue, which speaks its protocol."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, open_websocket_url

from actors.market.recording import VERSION, Recorder, RecordingHeader, unused
from actors.market.reporting import FeedReporter
from actors.market.sessions.kalshi import Event, SessionCore
from protocols.control import ExitReason, Message, Probe, ProbeReport, Refused, Unknown
from protocols.market import DEMO, BookStale, RequestSnapshot
from protocols.paths import VENUE
from protocols.venues import kalshi
from protocols.venues.errors import WireError
from protocols.venues.kalshi_signing import Signer
from protocols.venues.simulated import MARKS_HEADER, GetVenueAddress
from runtime import Actor, Mailbox, OnCrash, receive

CHANNELS: Final = (kalshi.ORDERBOOK, kalshi.TRADE, kalshi.LIFECYCLE)
_MILLISECOND: Final = 1_000_000
_CONNECT_S: Final = 10.0
_MOST_TICK_S: Final = 1.0
# Commands that wait for the socket. The venue reads as fast as we write, or the connection is no good.
_MOST_COMMANDS: Final = 256
# A frame beyond this takes longer to decode than a handler may hold the loop.
_LARGE_BYTES: Final = 256 * 1024
_LARGE_FRAME_S: Final = 30.0


class _Connected(Message, frozen=True, gc=False, tag="session_connected"):
    connection: int
    marks: tuple[str, ...]


class _FrameCame(Message, frozen=True, gc=False, tag="session_frame"):
    connection: int
    frame: bytes
    ts: int


class _LargeFrameCame(_FrameCame, frozen=True, gc=False, tag="session_large_frame"):
    """One that must not be decoded on the loop."""


class _Silent(Message, frozen=True, gc=False, tag="session_silent"):
    connection: int


class _Ended(Message, frozen=True, gc=False, tag="session_ended"):
    connection: int
    reason: str


class _Tick(Message, frozen=True, gc=False, tag="session_tick"):
    """Time to look at what is overdue."""


class _NoVenue(Exception):
    """There is nothing to connect to now."""


def full_jitter(attempt: int, first_s: float, most_s: float, chance: float) -> float:
    """Seconds before the `attempt`-th try (from 1): uniform between 0 and the doubled, bounded wait.

    `chance` is random in [0, 1). Spreads the clients of a venue that went down better than any fixed share
    does.
    """
    return float(chance * min(most_s, first_s * 2.0 ** min(attempt - 1, 60)))


class KalshiSession(Actor):
    """Connects, subscribes, recovers and reconnects for as long as it lives; publishes what the venue says.

    `url` empty: ask the simulated venue of this node where it is. `key_file`: PEM of the API key `key_id`.
    `silence_s`: without a frame for so long it asks for one, and after as long again it reconnects.
    `record`: a file that takes every frame.
    """

    mailbox = Mailbox(capacity=4096)
    # Frames of a life that has ended belong to a connection that has, too.
    on_crash = OnCrash.CLEAR

    def __init__(
        self,
        feed: str,
        url: str = "",
        markets: Sequence[str] = (),
        channels: Sequence[str] = CHANNELS,
        key_id: str = "",
        key_file: str = "",
        use_yes_price: bool = True,
        marks: Sequence[str] = (),
        silence_s: float = 30.0,
        recovery_s: float = 5.0,
        backoff_s: float = 0.25,
        backoff_most_s: float = 30.0,
        record: str = "",
    ) -> None:
        self.url = url
        self.markets = tuple(markets)
        self.key_id = key_id
        self.key_file = key_file
        self.marks = frozenset(marks)
        self.silence_s = silence_s
        self.tick_s = min(_MOST_TICK_S, recovery_s / 4)
        self.backoff_s = backoff_s
        self.backoff_most_s = backoff_most_s
        self.record = record
        self.core = SessionCore(feed, markets, channels, use_yes_price=use_yes_price, recovery_s=recovery_s)
        self.report = FeedReporter(self, feed)
        self.connection = 0
        self.reconnects = 0
        self.tried = False
        self._heard = False
        self._scope: trio.CancelScope | None = None
        self._outgoing: trio.MemorySendChannel[bytes] | None = None
        self._reason = ""
        self._recorder: Recorder | None = None
        # Jitter has to differ between processes; nothing else here is random.
        self._random = random.SystemRandom()

    def on_start(self) -> None:
        """Say that no book is current, and begin to connect. The start waits for no network."""
        for market in self.markets:
            self.publish(BookStale(market, self.report.feed, "session_started", self.clock.now()))
        self.every(self.tick_s, _Tick())
        self.spawn(self._connect_for_ever, name="connection")

    def on_stop(self, reason: ExitReason) -> None:
        """Finish the recording."""
        if self._recorder is not None:
            self._recorder.close()

    # -- the socket ------------------------------------------------------------------------------------

    async def _connect_for_ever(self) -> None:
        attempt = 0
        while True:
            self.connection += 1
            self._heard = False
            try:
                reason = await self._connect(self.connection)
            except (HandshakeError, OSError, _NoVenue, ValueError) as error:
                reason = f"{type(error).__name__}: {error}"
            await self.ref.send(_Ended(self.connection, reason), timeout=60.0)
            attempt = 1 if self._heard else attempt + 1
            chance = self._random.random()
            await trio.sleep(full_jitter(attempt, self.backoff_s, self.backoff_most_s, chance))

    async def _connect(self, connection: int) -> str:
        """One connection from its begin to its end; why it ended."""
        url, signer, marks = await self._address()
        headers = [] if signer is None else signer.headers(self.clock.now() // _MILLISECOND)
        send, receive_commands = trio.open_memory_channel[bytes](_MOST_COMMANDS)
        self._reason = ""
        with trio.CancelScope() as self._scope:
            async with open_websocket_url(
                url,
                extra_headers=[(name.encode(), value.encode()) for name, value in headers],
                message_queue_size=512,
                max_message_size=kalshi.MAX_FRAME_BYTES,
                receive_buffer_size=64 * 1024,
                connect_timeout=_CONNECT_S,
                disconnect_timeout=1.0,
            ) as socket:
                self._outgoing = send
                await self.ref.send(_Connected(connection, tuple(sorted(marks | _marks_of(socket)))))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_write, socket, receive_commands)
                    self._reason = await self._read(socket, connection) or self._reason
                    nursery.cancel_scope.cancel()
        return self._reason or "closed"

    async def _read(self, socket: WebSocketConnection, connection: int) -> str:
        silent = False
        while True:
            message: str | bytes | None = None
            try:
                with trio.move_on_after(self.silence_s):
                    message = await socket.get_message()
            except ConnectionClosed as closed:
                return f"closed by the venue: {closed.reason}"
            if message is not None:
                silent = False
                frame = message.encode() if isinstance(message, str) else message
                came = _FrameCame if len(frame) <= _LARGE_BYTES else _LargeFrameCame
                # A mailbox that stays full stops the reading, and TCP tells the venue.
                await self.ref.send(came(connection, frame, self.clock.now()), timeout=60.0)
            elif silent:
                return f"silent for {2 * self.silence_s:g} s"
            else:
                silent = True
                await self.ref.send(_Silent(connection))

    async def _address(self) -> tuple[str, Signer | None, frozenset[str]]:
        if self.url:
            signer = None
            if self.key_file:
                pem = await self.offload(Path(self.key_file).read_bytes, timeout=5.0)
                signer = Signer(self.key_id, pem)
            demo = {DEMO} if "demo" in self.url.partition("://")[2].partition("/")[0] else set()
            return self.url, signer, self.marks | demo
        try:
            venue = await self.lookup(VENUE).ask(GetVenueAddress())
        except (Refused, Unknown) as error:
            raise _NoVenue(f"the simulated venue does not answer: {error}") from None
        pem = await self.offload(Path(venue.key_file).read_bytes, timeout=5.0)
        return venue.url, Signer(venue.key_id, pem), self.marks | frozenset(venue.marks)

    # -- what comes ------------------------------------------------------------------------------------

    @receive
    def connected(self, message: _Connected) -> None:
        """A new connection: subscribe."""
        self.tried = True
        session = f"{self.report.feed}-{self.incarnation}-{message.connection}"
        self.core.connected(session, message.marks, self.clock.monotonic())
        if self.record:
            self._record(session)
        self.report.keep("connected", session, ",".join(message.marks))
        self._after_call()

    @receive
    def frame(self, message: _FrameCame) -> None:
        """One frame of the venue."""
        if self._take(message):
            try:
                events = self.core.receive(message.frame, message.ts, self.clock.monotonic())
            except WireError as error:
                self._end(f"not a frame: {error}")
            else:
                self._tell(events)

    @receive
    async def large_frame(self, message: _LargeFrameCame) -> None:
        """A frame that takes milliseconds, on a thread; the frames behind it wait, and nothing else does."""
        if self._take(message):
            now = self.clock.monotonic()
            try:
                events = await self.offload(self.core.receive, message.frame, message.ts, now, timeout=_LARGE_FRAME_S)
            except WireError as error:
                self._end(f"not a frame: {error}")
            else:
                self._tell(events)

    def _take(self, message: _FrameCame) -> bool:
        """Whether the frame is of this connection. It is recorded then."""
        if message.connection != self.connection:
            return False
        self._heard = True
        if self._recorder is not None:
            self._recorder.frame(message.ts, message.frame)
        return True

    def _tell(self, events: list[Event]) -> None:
        more = self.report.publish(events)
        if more or self.core.needs_attention or self.report.state != "live":
            self._after_call()

    @receive
    def silent(self, message: _Silent) -> None:
        """Ask for a sign of life that proves the books, too."""
        if message.connection == self.connection:
            self.core.silent(self.clock.monotonic())
            self._after_call()

    @receive
    def ended(self, message: _Ended) -> None:
        """The connection is gone, or there was none."""
        if message.connection != self.connection:
            return
        self.tried = True
        self.reconnects += 1
        session = self.core.session
        self._outgoing = None
        self.report.publish(self.core.disconnected("disconnected", self.clock.now()))
        if session:
            self.report.keep("disconnected", session, message.reason)
        self.report.status("down", self.core, message.reason)

    @receive
    def tick(self, message: _Tick) -> None:
        """Look at what is overdue."""
        if self.core.session:
            self.report.publish(self.core.tick(self.clock.now(), self.clock.monotonic()))
            self._after_call()

    @receive
    def request_snapshot(self, message: RequestSnapshot) -> None:
        """A book keeper has lost its way."""
        if self.core.session:
            self.report.keep("book_gap", self.core.session, f"{message.market}: {message.reason}")
            self.core.request_snapshot(message.market, self.clock.monotonic())
            self._after_call()

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How the feed is. Not ready only until the first try to connect has ended, one way or the other."""
        return self.report.report(
            self.core,
            ready=self.tried and (self.report.state != "recovering" or self.reconnects > 0),
            more={"connections": self.connection, "reconnects": self.reconnects},
        )

    def _record(self, session: str) -> None:
        # Opened with the first connection: only then are all marks known, and a recording never lacks one.
        if self._recorder is None:
            header = RecordingHeader(
                troupe_recording=VERSION,
                feed=self.report.feed,
                use_yes_price=self.core.use_yes_price,
                marks=self.core.marks,
                markets=tuple(sorted(self.core.markets)),
            )
            self._recorder = Recorder(unused(Path(self.record)), header)
        self._recorder.session(self.clock.now(), session)

    def _after_call(self) -> None:
        for command in self.core.take_commands():
            try:
                if self._outgoing is not None:
                    self._outgoing.send_nowait(command)
            except trio.WouldBlock:
                self._end("the venue does not read our commands")
        if self.core.broken:
            self._end(self.core.broken)
        state = self.core.state
        stale = self.core.stale_markets() if state == "recovering" else ()
        self.report.status(state, self.core, ", ".join(sorted(stale)))

    def _end(self, reason: str) -> None:
        self._reason = reason
        if self._scope is not None:
            self._scope.cancel()


async def _write(socket: WebSocketConnection, commands: trio.MemoryReceiveChannel[bytes]) -> None:
    try:
        async for command in commands:
            await socket.send_message(command.decode())
    except ConnectionClosed:
        pass  # the reader finds out why


def _marks_of(socket: WebSocketConnection) -> frozenset[str]:
    """Marks that the venue's handshake declares.

    An unknown word is kept: it says at least that something is up.
    """
    marks: set[str] = set()
    for name, value in socket.handshake_headers:
        if name.decode().lower() == MARKS_HEADER:
            marks |= {word.strip() for word in value.decode().split(",") if word.strip()}
    return frozenset(marks)
