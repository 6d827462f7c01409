"""What a gateway says to itself."""

from __future__ import annotations

from typing import Any

from actors.execution.gateways.findings import Call
from protocols.control import Message


class Tick(Message, frozen=True, gc=False, tag="gateway_tick"):
    """Time passes."""


class Survey(Message, frozen=True, gc=False, tag="gateway_survey"):
    """Compare everything with the venue."""


class Open(Message, frozen=True, gc=False, tag="gateway_open"):
    """Look again for the venue and the key."""


class Answered(Message, frozen=True, gc=False, tag="gateway_answered"):
    """An answer came to a call that left at `left`, venue's time."""

    call: Call
    status: int
    body: bytes
    left: int
    marks: frozenset[str]


class Failed(Message, frozen=True, gc=False, tag="gateway_failed"):
    """There is no answer; `left` None: the call did not leave."""

    call: Call
    reason: str
    left: int | None


class Surveyed(Message, frozen=True, gc=False, tag="gateway_surveyed"):
    """All open orders, or why the venue did not say."""

    gathering: Any
    reason: str


class Opened(Message, frozen=True, gc=False, tag="gateway_stream_opened"):
    """The private stream is open; `marks`: what the venue declares of itself."""

    connection: int
    marks: frozenset[str]


class Heard(Message, frozen=True, gc=False, tag="gateway_heard"):
    """A private message."""

    connection: int
    raw: bytes


class Ended(Message, frozen=True, gc=False, tag="gateway_stream_ended"):
    """The private stream has ended."""

    connection: int
    reason: str
