"""What a venue session tells itself: its socket's and its calls' tasks speak to it by message alone."""

from __future__ import annotations

from actors.market.feed_events import FeedEvent
from actors.market.rest_client import RestAnswer
from protocols.control import Message
from protocols.venues.rest import RestCall


class Connected(Message, frozen=True, gc=False, tag="session_connected"):
    """The venue has let us in. `marks` are those of all that will come."""

    connection: int
    marks: tuple[str, ...]


class FrameCame(Message, frozen=True, gc=False, tag="session_frame"):
    """One frame, received at `ts`."""

    connection: int
    frame: bytes
    ts: int


class LargeFrameCame(FrameCame, frozen=True, gc=False, tag="session_large_frame"):
    """One that must not be decoded on the loop."""


class Answered(Message, frozen=True, gc=False, tag="session_answered"):
    """A REST call that `session` asked for has an answer."""

    session: str
    call: RestCall
    answer: RestAnswer


class NoAnswer(Message, frozen=True, gc=False, tag="session_call_failed"):
    """A REST call that `session` asked for has none."""

    session: str
    call: RestCall
    reason: str


class Silent(Message, frozen=True, gc=False, tag="session_silent"):
    """Nothing came for a while."""

    connection: int


class Ended(Message, frozen=True, gc=False, tag="session_ended"):
    """The connection is gone, or there was none."""

    connection: int
    reason: str


class Tick(Message, frozen=True, gc=False, tag="session_tick"):
    """Time to look at what is overdue."""


class Rebuild(Message, frozen=True, gc=False, tag="session_rebuild"):
    """Books, or claims to markets, may have been lost with whoever held them."""


class FeedHappened(Message, frozen=True, gc=False, tag="session_feed_happened"):
    """From a session without a log to one that has it: keep this row."""

    event: FeedEvent
