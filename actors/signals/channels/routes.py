"""The HTTP routes of the channels."""

from __future__ import annotations

from typing import Final

import msgspec

from actors.edge.call import Call
from actors.edge.routing import Route, get, post
from actors.signals.channels.messages import INDEX, ChannelView, GetChannels, RetryChannel
from actors.signals.channels.outbox import Undelivered
from protocols.signal_stream import timestamp

TAGS: Final = ("signals",)


class LeftOut(msgspec.Struct, frozen=True):
    """A message that the target refuses for good."""

    stream: str
    seq: int
    signal_id: str
    symbol: str
    reason: str
    at: str


class ChannelAnswer(msgspec.Struct, frozen=True):
    """How a channel is.

    `state`: starting, idle, delivering, failing (it waits for its next attempt), stopped (the target wants nothing
    any more) or ended (it gave up). `position`: what is delivered of each stream; `behind`: what is still to come.
    Counts are those since the channel's actor started; `undelivered` are the newest messages that were left out.
    """

    name: str
    kind: str
    state: str
    position: dict[str, int]
    behind: int
    last_delivery: str | None
    delivered: int
    failures: int
    failures_in_a_row: int
    retry_in_s: float | None
    breaker: str
    left_out: int
    missing: int
    undelivered: tuple[LeftOut, ...]
    reason: str


class ChannelList(msgspec.Struct, frozen=True):
    """All channels, in the order of the configuration."""

    channels: tuple[ChannelAnswer, ...]


class WhichChannel(msgspec.Struct, frozen=True):
    """Which channel."""

    name: str


class Retried(msgspec.Struct, frozen=True):
    """The channel tries again."""

    name: str


async def list_channels(call: Call) -> ChannelList:
    """Answer how every channel is."""
    return ChannelList(tuple(map(_shown, (await call.ref(INDEX).ask(GetChannels())).channels)))


async def retry_channel(request: WhichChannel, call: Call) -> Retried:
    """Have a channel try at once, or go on after it stopped or gave up."""
    await call.ref(INDEX).ask(RetryChannel(request.name))
    return Retried(request.name)


def _shown(view: ChannelView) -> ChannelAnswer:
    return ChannelAnswer(
        name=view.name,
        kind=view.kind,
        state=view.state,
        position=msgspec.structs.asdict(view.position),
        behind=view.behind,
        last_delivery=None if view.ts_delivered is None else timestamp(view.ts_delivered),
        delivered=view.delivered,
        failures=view.failures,
        failures_in_a_row=view.failures_in_a_row,
        retry_in_s=view.retry_in_s,
        breaker=view.breaker,
        left_out=view.left_out,
        missing=view.missing,
        undelivered=tuple(map(_left_out, view.undelivered)),
        reason=view.reason,
    )


def _left_out(each: Undelivered) -> LeftOut:
    return LeftOut(each.stream, each.seq, each.signal_id, each.symbol, each.reason, timestamp(each.ts))


routes: list[Route] = [
    get("/api/signals/channels", list_channels, summary="Where signals go, and how far", tags=TAGS),
    post(
        "/api/signals/channels/{name}/retry",
        retry_channel,
        summary="Have a channel try again at once",
        tags=TAGS,
        stores=False,
    ),
]
