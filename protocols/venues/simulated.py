"""What is said to the simulated venue beside its WebSocket: where it is, what it shall do, what its books are.

It speaks the protocols of real venues, which have no word for "this is not real". So it says so more than once: every
answer and every upgrade carries the header `Troupe-Marks: synthetic`, every market id of Kalshi's and every client id
of Coinbase's begins with `synthetic`, and its address carries the mark. Any one of them is enough for a feed to mark
all that it publishes.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.control import Message, Request
from protocols.market import BookView

MARKS_HEADER: Final = "troupe-marks"
"""Response header of the upgrade:

the marks of everything that the connection will carry, separated by commas.
"""


class VenueFace(Message, frozen=True, gc=False, tag="venue_face"):
    """Where the simulated venue speaks as another one: `venue` is that one's word in a feed's settings.

    `url`: its WebSocket; `rest_url`: what REST paths are put behind. `markets`: the venue's own symbols.
    """

    venue: str
    url: str
    rest_url: str
    markets: tuple[str, ...]


class VenueAddress(Message, frozen=True, gc=False, tag="venue_address"):
    """Where the venue serves, and the demo key that it lets in. `key_file` is a PEM on this machine.

    `url` and `markets` are Kalshi's. `faces`: all that it speaks. `control`: where faults are ordered, empty: nowhere.
    """

    url: str
    key_id: str
    key_file: str
    markets: tuple[str, ...]
    marks: tuple[str, ...]
    faces: tuple[VenueFace, ...] = ()
    control: str = ""


class GetVenueAddress(Request[VenueAddress], frozen=True, gc=False, tag="get_venue_address"):
    """Asks the simulated venue where it speaks as `venue` (a word of the venues). Refused `not_found`."""

    venue: str = "kalshi"


class GetEngineBook(Request[BookView], frozen=True, gc=False, tag="get_engine_book"):
    """Asks for the matching engine's own book of a market. Refused `not_found`.

    `seq` of the answer is the last number that any client's book subscription has used, 0 without one.
    """

    market: str


RegimeWord = Literal["calm", "trend_up", "trend_down", "volatile", "pause"]


class PlantRegime(Request[None], frozen=True, gc=False, tag="plant_regime"):
    """Let a regime hold for `steps` steps of a market's traders, beginning with the next.

    Refused `not_found`.
    """

    market: str
    regime: RegimeWord
    steps: int


class SettleMarket(Request[None], frozen=True, gc=False, tag="settle_market"):
    """End a market at `value` nanos a YES contract (None: by the hidden probability).

    Refused `not_found`, or `invalid` where it has ended or the value is out of range.
    """

    market: str
    value: int | None = None


class SetRate(Request[None], frozen=True, gc=False, tag="set_rate"):
    """How many events a second the venue makes over all markets; 0 stops the traders. Refused `invalid`."""

    rate: float


class RunSteps(Request[int], frozen=True, gc=False, tag="run_steps"):
    """Let the traders of every market take `steps` turns at once. Answers how many events came of it."""

    steps: int


Fault = Literal[
    "drop",
    "duplicate",
    "reorder",
    "garble",
    "checksum",
    "silence",
    "speak",
    "slow",
    "close",
    "http",
    "late",
    "old_snapshot",
    "clock",
    "burst",
    "channel_error",
    "overflow",
    "shutdown",
    "lost_request",
    "late_request",
    "lost_answer",
    "failed_answer",
    "lag",
]


class FaultOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something to do that venues do. Which options a kind takes: `actors.market.simulated.faults.KINDS`.

    `venue` empty: all faces; `connection` 0: all connections. `count`: of frames on each connection, of answers, or of
    events; 0: until it is cleared. `of`: which frames, `events`, `answers` to commands, or `all`. `on`: which HTTP
    requests; `writes` are those that are no GET. `rate`: bytes a second.
    """

    kind: Fault
    venue: str = ""
    connection: int = 0
    count: int = 1
    probability: float = 1.0
    of: Literal["events", "answers", "all"] = "events"
    seconds: float = 0.0
    rate: int = 0
    code: int = 1001
    status: int = 503
    retry_after: float | None = None
    on: Literal["requests", "reads", "writes", "handshakes", "all"] = "all"


class InjectFault(Request[int], frozen=True, gc=False, tag="inject_fault"):
    """Order a fault (`FaultOrder`) for every open connection; answers how many those are. Refused `invalid`."""

    fault: Fault
    count: int = 1
    seconds: float = 0.0
    venue: str = ""
    code: int = 1001
    status: int = 503
