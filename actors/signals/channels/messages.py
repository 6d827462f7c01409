"""What the actors of the channels say to one another."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from actors.signals.channels.outbox import Position, Undelivered
from protocols.control import Message, Request
from protocols.signals import StoredSignal, StoredUpdate

CHANNELS: Final = "/signals/channels"
INDEX: Final = f"{CHANNELS}/index"

State = Literal["starting", "delivering", "idle", "failing", "stopped", "ended"]
UNREACHABLE: Final = "unreachable"
"""The code of a target's refusal that counts as a failure for its breaker."""


def relay_of(name: str) -> str:
    """The path of the actor that reads the streams for a channel."""
    return f"{CHANNELS}/{name}/relay"


def target_of(name: str) -> str:
    """The path of the actor that speaks to a channel's target, behind its breaker."""
    return f"{CHANNELS}/{name}/target"


class Delivered(Message, frozen=True, gc=False, tag="channel_delivered"):
    """The target has confirmed all of them."""


class Rejected(Message, frozen=True, gc=False, tag="channel_rejected"):
    """The target refuses them as they are, and would again."""

    reason: str


class Postponed(Message, frozen=True, gc=False, tag="channel_postponed"):
    """The target wants them later, after so many seconds."""

    seconds: float
    reason: str


class Gone(Message, frozen=True, gc=False, tag="channel_gone"):
    """The target wants nothing any more."""

    reason: str


class Lost(Message, frozen=True, gc=False, tag="channel_lost"):
    """The target has only what is up to `position`: what was confirmed after it is not there any more."""

    position: Position
    reason: str


Answer = Delivered | Rejected | Postponed | Gone | Lost


class Deliver(Request[Answer], frozen=True, gc=False, tag="channel_deliver"):
    """Asks a target to take these, in this order.

    `after`: what it has confirmed so far; `floor`: where the channel began; `identity`: whose places these are;
    `again`: they are sent because the target had lost them.

    Refused `unreachable`: it is not known whether the target has them.
    """

    items: tuple[StoredSignal | StoredUpdate, ...]
    after: Position
    floor: Position
    identity: str
    again: bool = False


class ChannelView(Message, frozen=True, gc=False, kw_only=True, tag="channel_view"):
    """How a channel is. `behind`: places of both streams that are still to come; times in ns."""

    name: str
    kind: str
    state: State
    position: Position = Position()
    behind: int = 0
    ts_delivered: int | None = None
    delivered: int = 0
    failures: int = 0
    failures_in_a_row: int = 0
    retry_in_s: float | None = None
    left_out: int = 0
    missing: int = 0
    undelivered: tuple[Undelivered, ...] = ()
    reason: str = ""
    breaker: str = ""
    late: bool = False
    """It is further behind than its setting allows."""


class GetChannel(Request[ChannelView], frozen=True, gc=False, tag="get_channel"):
    """Asks a relay how it is."""


class ChannelViews(Message, frozen=True, gc=False, tag="channel_views"):
    """All channels, in the order of the configuration."""

    channels: tuple[ChannelView, ...]


class GetChannels(Request[ChannelViews], frozen=True, gc=False, tag="get_channels"):
    """Asks the index how all channels are."""


class RetryChannel(Request[None], frozen=True, gc=False, tag="retry_channel"):
    """Try at once what waits for its next attempt, and go on after a stop. Through the index: the channel's `name`.

    Refused `not_found`, or what the channel's relay refuses.
    """

    name: str


class Look(Message, frozen=True, gc=False, tag="channel_look"):
    """Look whether the streams have grown: a wake may be lost."""


class Entry(msgspec.Struct, frozen=True):
    """A channel as the index knows it."""

    name: str
    kind: str
