"""Server-to-client WebSocket frames (RFC 6455 section 5.2: FIN set, no mask, no extension).

A frame depends on nothing but its payload, so one frame serves all subscribers of a message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_TEXT = 0x81
_BINARY = 0x82
_CLOSE = 0x88
_PING = 0x89
_PONG = 0x8A

_CONTROL_BYTES = 125
_short = struct.Struct("!BB").pack
_medium = struct.Struct("!BBH").pack
_long = struct.Struct("!BBQ").pack

PING = _short(_PING, 0)
"""A ping without payload."""


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return _short(first, size) + payload
    if size < 65_536:
        return _medium(first, 126, size) + payload
    return _long(first, 127, size) + payload


def text_frame(payload: bytes) -> bytes:
    """One text frame around `payload`, which is UTF-8."""
    return _frame(_TEXT, payload)


def binary_frame(payload: bytes) -> bytes:
    """One binary frame around `payload`."""
    return _frame(_BINARY, payload)


def text_frames(payloads: Iterable[bytes]) -> bytes:
    """The text frames of several payloads joined, to be handed to `WebSocket.offer_bytes` in one piece."""
    return b"".join([_frame(_TEXT, payload) for payload in payloads])


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame; `reason` is cut to the 123 bytes of UTF-8 that a control frame has room for."""
    text = reason.encode()[: _CONTROL_BYTES - 2].decode(errors="ignore").encode()
    return _frame(_CLOSE, struct.pack("!H", code) + text)


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping with `payload`, at most 125 bytes."""
    return _frame(_PONG, payload)
