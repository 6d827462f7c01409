"""What the node's own HTTP and WebSocket clients share: TLS contexts, what was never sent, answers up to a size.

Making a TLS context reads all authorities that are trusted, which takes tens of milliseconds: it happens once in a
process for each kind of client, on a thread.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from typing import Final

import httpx
import trio

READ_S: Final = 30.0
"""How long reading the authorities may take."""
NOT_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.ProxyError,
    httpx.InvalidURL,
)
"""Raised before the first byte of a request can have left."""
TRUSTS_NOBODY: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For what is never encrypted: it costs nothing, and refuses every certificate."""

_made: Final[dict[Callable[[], ssl.SSLContext], ssl.SSLContext]] = {}
_making: Final = threading.Lock()


async def http_tls(url: str) -> ssl.SSLContext:
    """For `httpx.AsyncClient(verify=...)` that calls `url`: httpx's own authorities, or those of `SSL_CERT_FILE` or
    `SSL_CERT_DIR`. Raises OSError for authorities that cannot be read, or not in time."""
    return TRUSTS_NOBODY if _scheme(url) == "http" else await _shared(httpx.create_ssl_context)


async def websocket_tls(url: str) -> ssl.SSLContext | None:
    """For a WebSocket to `url`: OpenSSL's authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`; None for ws://.

    Raises OSError for authorities that cannot be read in time.
    """
    return None if _scheme(url) == "ws" else await _shared(ssl.create_default_context)


async def body_of(response: httpx.Response, most_bytes: int) -> bytes:
    """The body of a response that is being received. Raises ValueError for a longer one, and httpx.HTTPError."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes(64 * 1024):
        size += len(part)
        if size > most_bytes:
            raise ValueError(f"an answer of more than {most_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


def described(error: BaseException) -> str:
    """An error's class, with its own words or those of what caused it: httpx says nothing itself of a TLS handshake."""
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            break
        # What a cause has for words may be another error without any, shown as its class.
        if cause.args and not isinstance(cause.args[0], BaseException) and str(cause):
            return f"{type(error).__name__}: {cause}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _scheme(url: str) -> str:
    return url.partition(":")[0].strip().lower()


async def _shared(make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    if make in _made:
        return _made[make]
    with trio.move_on_after(READ_S):
        return await trio.to_thread.run_sync(_make_once, make, abandon_on_cancel=True)
    raise TimeoutError(f"the authorities that are trusted could not be read within {READ_S:g} s")


def _make_once(make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    with _making:
        if make not in _made:
            _made[make] = make()
        return _made[make]
