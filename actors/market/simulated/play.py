"""Plays a recording as a venue: the frames as they came, over a real socket, and the recorded answers to REST calls.

Each client gets the recording from its beginning, once it has said its first word (or at once, where the address names
the streams), at the recorded pace times `speed`. Nothing is made up: what was recorded is what comes, acknowledgements
and sequence numbers too, and commands change nothing. It carries the recording's own marks, and `delayed`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import urlencode

from actors.market.importers.opening import open_recording
from actors.market.recordings.entries import READ_FAULTS, Begin, Entry, Received, Recording
from actors.market.recordings.entries import Answer as RecordedAnswer
from actors.market.simulated.face import Client, Clock, Desk, Face, json_answer, retry_header
from actors.market.simulated.faults import Faults
from actors.market.simulated.http import Answer, Request
from actors.market.simulated.ledger import Told
from actors.market.simulated.link import Link
from actors.market.simulated.market import Happened, SimulatedMarket
from protocols.market import DELAYED
from protocols.nanos import NANO
from protocols.venues.simulated import MARKS_HEADER, FaultOrder

_BATCH: Final = 256
_MOST_WAITING: Final = 2_000


class _Listener:
    """A client's part: its first word begins the recording."""

    def __init__(self, begun: bool, open: Callable[[], Recording]) -> None:
        self.begun = begun
        self.recording = open()
        self.begin: tuple[int, int] | None = None
        """Monotonic time of the beginning for this client, and the first frame's own time."""
        self.ahead: list[Entry] = []
        self.ended = False

    def command(self, raw: bytes) -> list[bytes]:
        self.begun = True
        return []


class Player(Face):
    """Serves one recording on every path. Raises what opening a recording raises."""

    BEAT_NS: ClassVar[int] = NANO // 500

    def __init__(self, file: Path, speed: float, faults: Faults, clock: Clock) -> None:
        super().__init__((), faults, clock)
        self.file = file
        self.speed = speed
        recording = open_recording(file)
        self.header = recording.header
        self.word = self.header.venue
        # What was answered, by path and query, in order; the last one again and again.
        self._answers: dict[str, list[RecordedAnswer]] = defaultdict(list)
        self._given: dict[str, int] = defaultdict(int)
        marks = {*self.header.marks, DELAYED}
        for entry in recording:
            if isinstance(entry, RecordedAnswer):
                self._answers[entry.call.target].append(entry)
            elif isinstance(entry, Begin):
                marks |= set(entry.marks)
        recording.close()
        self.marks = tuple(sorted(marks))
        self.headers = ((MARKS_HEADER, ",".join(self.marks)),)

    @property
    def url(self) -> str:
        """Where its WebSocket is; every path is the same."""
        return f"ws://127.0.0.1:{self.port}"

    def admits(self, request: Request) -> Answer | None:
        """Anybody."""
        return None

    def greet(self, link: Link, request: Request) -> Client:
        """A client, for whom the recording begins when it asks for anything."""
        named = bool(request.query) or request.path.startswith("/ws/")
        desk: Desk = _Listener(named, lambda: open_recording(self.file))
        return Client(link, desk, Told(1))

    def rest(self, request: Request) -> Answer:
        """What was answered to the same call."""
        pairs = [(name, value) for name, values in request.query.items() for value in values]
        target = f"{request.path}?{urlencode(pairs)}" if pairs else request.path
        recorded = self._answers.get(target)
        if not recorded:
            return Answer(404, b'{"error":"not in the recording"}', self.headers)
        number = min(self._given[target], len(recorded) - 1)
        self._given[target] += 1
        return Answer(recorded[number].status, recorded[number].body, self.headers)

    def refusal(self, order: FaultOrder) -> Answer:
        """No venue's own words."""
        return json_answer({"error": "refused"}, order.status, retry_header(order))

    def publish(self, market: SimulatedMarket, events: list[Happened]) -> None:
        """There are no markets."""

    def left(self, number: int) -> None:
        """A client's connection has ended."""
        desk = self.clients[number].desk
        if isinstance(desk, _Listener):
            desk.recording.close()
        super().left(number)

    def pulse(self, now: int) -> None:
        """Send what is due."""
        for client in self.clients.values():
            if isinstance(client.desk, _Listener) and client.desk.begun:
                self._play(client.link, client.desk, now)

    def _play(self, link: Link, listener: _Listener, now: int) -> None:
        while link.waiting < _MOST_WAITING and not listener.ended:
            if not listener.ahead:
                try:
                    listener.ahead = listener.recording.take(_BATCH)[::-1]
                except READ_FAULTS:
                    listener.ahead = []
                if not listener.ahead:
                    listener.ended = True
                    return
            entry = listener.ahead[-1]
            if isinstance(entry, Received) and not entry.connection:
                begun, first = listener.begin = listener.begin or (now, entry.ts)
                if self.speed and entry.ts - first > (now - begun) * self.speed:
                    return
                link.offer((entry.raw,))
            listener.ahead.pop()
