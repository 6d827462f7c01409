"""What is said to the simulated venue beside its WebSocket: where it is, what it shall do, what its books
are.

It speaks Kalshi's protocol (`protocols.venues.kalshi`), which has no word for "this is not real". So it says
so three times over: every upgrade is answered with the header `Troupe-Marks: synthetic`, every market id
begins with `synthetic`, and its address carries the mark. Any one of them is enough for a feed to mark all
that it publishes.
"""

from __future__ import annotations

from typing import Final, Literal

from protocols.control import Message, Request
from protocols.market import BookView

MARKS_HEADER: Final = "troupe-marks"
"""Response header of the upgrade:

the marks of everything that the connection will carry, separated by commas.
"""


class VenueAddress(Message, frozen=True, gc=False, tag="venue_address"):
    """Where the venue serves, and the demo key that it lets in. `key_file` is a PEM on this machine."""

    url: str
    key_id: str
    key_file: str
    markets: tuple[str, ...]
    marks: tuple[str, ...]
    rest_url: str = ""


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


Fault = Literal["drop", "silence", "speak", "close", "slow", "channel_error", "overflow"]


class InjectFault(Request[int], frozen=True, gc=False, tag="inject_fault"):
    """Do something that venues do. Applies to every open connection; answers how many those were.

    `drop`: the next `count` frames of events take their sequence numbers and are not sent. `silence`: nothing
    is sent any more, until `speak`. `close`: end the connection. `slow`: wait `seconds` before each frame.
    `channel_error`, `overflow`: end every subscription with error 10 or 25.
    """

    fault: Fault
    count: int = 1
    seconds: float = 0.0
