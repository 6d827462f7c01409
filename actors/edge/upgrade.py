"""How a connection becomes a WebSocket (RFC 6455 section 4), and with which code it ends."""

from __future__ import annotations

import base64
import hashlib
import re

from actors.edge.errors import HttpError
from actors.edge.parser import HttpRequest
from actors.edge.websocket import FAILED, NORMAL, POLICY, SocketClosed
from protocols.control import Refused, Unknown

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")  # 16 bytes
SUBPROTOCOL = b"troupe"


def handshake(request: HttpRequest) -> bytes:
    """The answer that makes a connection a WebSocket (RFC 6455 4.2). Raises HttpError 400 or 426."""
    headers = request.headers
    wanted = [token.strip().lower() for token in headers.get(b"upgrade", b"").split(b",")]
    if not request.upgrade or b"websocket" not in wanted or request.http_1_0:
        raise HttpError(
            426,
            "upgrade_required",
            "this is a WebSocket",
            headers=(("upgrade", "websocket"), ("connection", "upgrade, close")),
            close=True,
        )
    if headers.get(b"sec-websocket-version", b"").strip() != b"13":
        message = "WebSocket version 13 is spoken here"
        raise HttpError(426, "websocket_version", message, headers=(("sec-websocket-version", "13"),), close=True)
    key = headers.get(b"sec-websocket-key", b"").strip()
    if not _KEY.fullmatch(key):
        raise HttpError(400, "websocket_key", "Sec-WebSocket-Key is not 16 bytes in base64", close=True)
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    offers = [offer.strip() for offer in headers.get(b"sec-websocket-protocol", b"").split(b",")]
    chosen = b"sec-websocket-protocol: " + SUBPROTOCOL + b"\r\n" if SUBPROTOCOL in offers else b""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-accept: " + accept + b"\r\n" + chosen + b"\r\n"
    )


def ending_of(error: Exception) -> tuple[int, str]:
    """The close code and reason for what a WebSocket's handler raised, alone or out of a nursery."""
    if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, SocketClosed):
        return NORMAL, ""
    if isinstance(error, HttpError):
        return POLICY, f"{error.code}: {error.message}"
    if isinstance(error, Refused):
        return POLICY, str(error)
    if isinstance(error, Unknown):
        return FAILED, str(error)
    return FAILED, "the server failed; its log says why"
