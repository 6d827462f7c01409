"""The actor that knows all channels: lists them, has them tried again, and answers for them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import trio

from actors.signals.channels.messages import (
    CHANNELS,
    ChannelView,
    ChannelViews,
    Entry,
    GetChannel,
    GetChannels,
    RetryChannel,
    relay_of,
    target_of,
)
from protocols.control import Probe, ProbeReport, Refused, Shutdown, Terminated, Unknown
from runtime import Actor, RestartChild, receive
from runtime.breaker import State as BreakerState

ASK_S: Final = 1.0


class ChannelIndex(Actor):
    """Answers for the channels, whichever of them live."""

    def __init__(self, channels: Sequence[Entry] = ()) -> None:
        self.channels = tuple(channels)
        self.ended: dict[str, str] = {}
        """Why channels have ended for good, by name."""

    def on_start(self) -> None:
        """Watch the channels."""
        for each in self.channels:
            self.watch(self.lookup(f"{CHANNELS}/{each.name}"))

    @receive
    def channel_ended(self, message: Terminated) -> None:
        """A channel's supervisor has given up, or was stopped."""
        if message.final and message.incarnation.count > 0:
            detail = message.reason.detail if isinstance(message.reason, Shutdown) else ""
            self.ended[message.path.rpartition("/")[2]] = detail or "it was stopped"

    @receive
    def channels_now(self, request: GetChannels) -> None:
        """Ask all of them."""
        self.answer_later(self._all)

    @receive
    def retry(self, request: RetryChannel) -> None:
        """Pass it on, or start a channel again that had ended."""
        if request.name not in {each.name for each in self.channels}:
            raise Refused("not_found", f"there is no channel {request.name!r}", "name")
        self.answer_later(self._retry, request)

    @receive
    def probe(self, request: Probe) -> None:
        """Ask all of them, and sum up."""
        self.answer_later(self._report)

    async def _retry(self, request: RetryChannel) -> None:
        view = self.node.tree(f"{CHANNELS}/{request.name}", 0)
        if view is not None and view.state == "stopped":
            await self.lookup(CHANNELS).ask(RestartChild(request.name))
        else:
            await self.lookup(relay_of(request.name)).ask(request)

    async def _all(self) -> ChannelViews:
        found: dict[str, ChannelView] = {}

        async def ask(entry: Entry) -> None:
            found[entry.name] = await self._one(entry)

        async with trio.open_nursery() as nursery:
            for entry in self.channels:
                nursery.start_soon(ask, entry)
        return ChannelViews(tuple(found[each.name] for each in self.channels))

    async def _one(self, entry: Entry) -> ChannelView:
        name = entry.name
        supervisor = self.node.tree(f"{CHANNELS}/{name}", 0)
        if supervisor is None or supervisor.state == "stopped":
            reason = self.ended.get(name, "it has ended")
            return ChannelView(name=name, kind=entry.kind, state="ended", reason=reason)
        target = self.node.tree(target_of(name), 0)
        breaker = "" if target is None or target.breaker is None else target.breaker.state.value
        try:
            view = await self.lookup(relay_of(name)).ask(GetChannel(), ASK_S)
        except (Refused, Unknown) as error:
            relay = self.node.tree(relay_of(name), 0)
            reason = str(error) if relay is None or relay.restart_reason is None else relay.restart_reason
            return ChannelView(name=name, kind=entry.kind, state="starting", reason=reason, breaker=breaker)
        return msgspec.structs.replace(view, breaker=breaker)

    async def _report(self) -> ProbeReport:
        troubles = []
        figures: list[tuple[str, str | int | float | bool | None]] = [("channels", len(self.channels))]
        for view in (await self._all()).channels:
            figures += [
                (f"{view.name}_state", view.state),
                (f"{view.name}_behind", view.behind),
                (f"{view.name}_left_out", view.left_out),
            ]
            if trouble := _trouble(view):
                troubles.append(f"{view.name}: {trouble}")
        # Signals are accepted, kept and streamed whatever the channels do: the node is ready.
        return ProbeReport("degraded" if troubles else "ok", "; ".join(troubles), figures=tuple(figures))


def _trouble(view: ChannelView) -> str:
    if view.state in ("failing", "stopped", "ended"):
        return f"{view.state}, {view.reason}"
    if view.breaker in (BreakerState.OPEN.value, BreakerState.FORCED_OPEN.value, BreakerState.HALF_OPEN.value):
        return f"its breaker is {view.breaker}"
    if view.late:
        return f"{view.behind} signals and updates behind"
    return ""
