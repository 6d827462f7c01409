"""What all faces of the simulated venue have in common: markets, clients, a clock that may be wrong, faults.

A face speaks one venue's protocol over WebSocket and REST on one port. It does no I/O itself: `admits`, `greet`,
`rest`, `publish` and `pulse` are plain calls; links carry what comes of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Protocol

import msgspec

from actors.market.simulated.faults import FaceWord, Faults
from actors.market.simulated.http import Answer, Headers, Request
from actors.market.simulated.ledger import Told
from actors.market.simulated.link import Link
from actors.market.simulated.market import Happened, SimulatedMarket
from protocols.market import SYNTHETIC
from protocols.nanos import NANO
from protocols.venues.simulated import MARKS_HEADER, FaultOrder

KEY_ID: Final = "synthetic-demo-key"
"""The one key that gets in."""
MARKS: Final[Headers] = ((MARKS_HEADER, SYNTHETIC),)
_encoder = msgspec.json.Encoder()


class Desk(Protocol):
    """The venue's side of one client's conversation."""

    def command(self, raw: bytes) -> list[bytes]:
        """Perform a client's command: the frames that answer it."""


class Client:
    """A client of a face: its socket and its desk."""

    def __init__(self, link: Link, desk: Desk, told: Told) -> None:
        self.link = link
        self.desk = desk
        self.told = told

    def take(self, raw: bytes) -> None:
        """Perform a command of the client."""
        self.link.offer(self.desk.command(raw), answer=True)


class Clock:
    """The venue's clock: the true one, and what it is wrong by."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.wrong_ns = 0

    def now(self) -> int:
        """Nanoseconds since the epoch, as the venue believes."""
        return self._now() + self.wrong_ns


class Face(ABC):
    """One venue's protocol. `markets` have the venue's own symbols."""

    WORD: ClassVar[FaceWord]
    headers: Headers = MARKS
    """What every handshake is answered with: the marks of all that comes from here."""
    PING_S: ClassVar[float] = 20.0
    PING: ClassVar[bytes] = b""
    BEAT_NS: ClassVar[int] = NANO
    """How often `pulse` has to be called for what the venue sends by itself."""

    def __init__(self, markets: Sequence[SimulatedMarket], faults: Faults, clock: Clock) -> None:
        self.word: str = getattr(self, "WORD", "")
        self.markets = {market.name: market for market in markets}
        self.faults = faults
        self.clock = clock
        self.clients: dict[int, Client] = {}
        self.port = 0
        self.refused = 0
        self.gone: dict[int, Client] = {}
        """Clients that have left, the last ones: their logs and positions can still be asked for."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The WebSocket's address."""

    @property
    def rest_url(self) -> str:
        """What the paths of REST calls are put behind."""
        return f"http://127.0.0.1:{self.port}"

    @abstractmethod
    def admits(self, request: Request) -> Answer | None:
        """The refusal of a handshake, or None."""

    @abstractmethod
    def greet(self, link: Link, request: Request) -> Client:
        """A client of this face on a new connection."""

    @abstractmethod
    def rest(self, request: Request) -> Answer:
        """Answer a request."""

    @abstractmethod
    def publish(self, market: SimulatedMarket, events: list[Happened]) -> None:
        """Tell what has happened on a market to whoever subscribed."""

    def warm(self) -> None:  # noqa: B027 most have nothing to prepare
        """Prepare what takes long; called once, before the first client."""

    def pulse(self, now: int) -> None:  # noqa: B027 some send nothing by themselves
        """Send what is due at monotonic time `now`."""

    def lag(self, nanos: int) -> None:  # noqa: B027 most answer at once
        """Let the account's answers be so far behind."""

    def fail(self, client: Client, order: FaultOrder) -> bool:
        """Perform a fault that only this venue knows; False where it knows none such."""
        return False

    @abstractmethod
    def refusal(self, order: FaultOrder) -> Answer:
        """The venue's own way to say an HTTP error."""

    def find(self, number: int) -> Client | None:
        """A client, or one of those that left last."""
        return self.clients.get(number) or self.gone.get(number)

    def left(self, number: int) -> None:
        """A client's connection has ended."""
        self.gone[number] = self.clients.pop(number)
        while len(self.gone) > 64:
            del self.gone[next(iter(self.gone))]


def json_answer(value: object, status: int = 200, headers: Headers = ()) -> Answer:
    """An answer with this JSON and the venue's marks."""
    return Answer(status, _encoder.encode(value), (*MARKS, *headers))


def retry_header(order: FaultOrder) -> Headers:
    """Retry-After, where the order names one."""
    return () if order.retry_after is None else (("retry-after", f"{order.retry_after:g}"),)


def whole(text: str, default: int, least: int, most: int) -> int | None:
    """A whole number out of a query, None where it is none or out of range."""
    if not text:
        return default
    if not text.isdecimal() or len(text) > 18:
        return None
    value = int(text)
    return value if least <= value <= most else None
