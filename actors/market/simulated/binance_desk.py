"""The venue's side of Binance's WebSocket protocol for one client: stream names in, frames out. No socket, no clock.

The combined endpoint wraps each event in `{"stream": ..., "data": ...}`, the raw one sends it bare. A stream of a
symbol that the venue does not have is accepted and stays silent, as at the venue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from protocols.venues import binance_orders
from protocols.venues.binance import ErrorReply, Reply
from protocols.venues.binance_commands import (
    LIST_SUBSCRIPTIONS,
    MAX_STREAMS,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Command,
    StreamError,
    decode_command,
    encode_reply,
)
from protocols.venues.binance_replies import Fault
from protocols.venues.errors import WireError

COMMANDS_PER_S: Final = 5
"""How many messages a second the venue takes on one connection; beyond, it closes it."""


class BinanceDesk:
    """One client: its streams, and whether they come wrapped."""

    def __init__(self, streams: Iterable[str], combined: bool) -> None:
        self.streams = dict.fromkeys(streams)
        self.combined = combined

    def frame(self, stream: str, payload: bytes) -> bytes:
        """The event as this client gets it."""
        return b'{"stream":"%b","data":%b}' % (stream.encode(), payload) if self.combined else payload

    def command(self, raw: bytes) -> list[bytes]:
        """Perform a client's command: the frame that answers it."""
        try:
            command = decode_command(raw)
        except msgspec.ValidationError as error:
            return [_refused(StreamError.INVALID_REQUEST, f"Invalid request: {error}")]
        except msgspec.DecodeError as error:
            return [_refused(StreamError.INVALID_JSON, f"Invalid JSON: {error}")]
        return [self._perform(command)]

    def _perform(self, command: Command) -> bytes:
        names = [name for name in command.params if isinstance(name, str)]
        if command.method == SUBSCRIBE and names:
            streams = {**self.streams, **dict.fromkeys(names)}
            if len(streams) > MAX_STREAMS:
                return _refused(StreamError.INVALID_REQUEST, f"Invalid request: over {MAX_STREAMS} streams", command.id)
            self.streams = streams
            return encode_reply(Reply(id=command.id))
        if command.method == UNSUBSCRIBE and names:
            for name in names:
                self.streams.pop(name, None)
            return encode_reply(Reply(id=command.id))
        if command.method == LIST_SUBSCRIPTIONS:
            return encode_reply(Reply(result=tuple(self.streams), id=command.id))
        if command.method == "SET_PROPERTY" and command.params[:1] == ("combined",) and len(command.params) == 2:
            self.combined = command.params[1] is True
            return encode_reply(Reply(id=command.id))
        if command.method == "SET_PROPERTY":
            return _refused(StreamError.UNKNOWN_PROPERTY, "Unknown property", command.id)
        return _refused(StreamError.INVALID_REQUEST, f"Invalid request: method {command.method!r}", command.id)


def _refused(code: StreamError, message: str, id: int | str | None = None) -> bytes:
    return encode_reply(ErrorReply(code=int(code), msg=message, id=id))


class UserDesk:
    """One client of the WebSocket API. `check(params)`: why the venue refuses them, None if it does not."""

    def __init__(self, check: Callable[[Mapping[str, Any]], Fault | None]) -> None:
        self.subscribed = False
        self._check = check

    def command(self, raw: bytes) -> list[bytes]:
        """Perform a request: the frame that answers it."""
        try:
            request = binance_orders.decode_request(raw)
        except WireError as error:
            return [_reply({"id": None, "status": 400, "error": {"code": -1000, "msg": str(error)}})]
        if request.method != binance_orders.SUBSCRIBE:
            return [_reply({"id": request.id, "status": 400, "error": {"code": -1000, "msg": "Unknown method."}})]
        fault = self._check(request.params)
        if fault is not None:
            return [_reply({"id": request.id, "status": 400, "error": {"code": fault.code, "msg": fault.msg}})]
        self.subscribed = True
        return [_reply({"id": request.id, "status": 200, "result": {"subscriptionId": 0}})]

    def event(self, event: dict[str, Any]) -> list[bytes]:
        """The frame of an event, if the client has subscribed."""
        return [_reply({"subscriptionId": 0, "event": event})] if self.subscribed else []


def _reply(value: dict[str, Any]) -> bytes:
    return binance_orders.encode(value)
