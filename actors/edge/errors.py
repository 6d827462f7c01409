"""What a client is told when its request is not granted: one shape, `{"error": {"code", "message", "field"}}`."""

from __future__ import annotations

import msgspec

from protocols.control import Refused, Unknown

_encode = msgspec.json.Encoder().encode


class ErrorDetail(msgspec.Struct, frozen=True):
    """Why: a stable machine-readable code, a sentence, and the field of the request that is to blame."""

    code: str
    message: str
    field: str | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer with a status of 400 or more."""

    error: ErrorDetail


class HttpError(Exception):
    """Ends a request with `status`. Raised by handlers and by the edge itself.

    `headers` are sent along, names in lower case. `close`: the connection ends after this answer, because what
    the client sends next could not be told from the rest of this request.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        field: str | None = None,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        close: bool = False,
    ) -> None:
        super().__init__(status, code, message, field)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = headers
        self.close = close
        self.flagged = False
        """Whether the body says `"success": false`, too: on the paths of a service whose clients look for it."""

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    def body(self) -> bytes:
        """The answer's JSON body."""
        body = _encode(ErrorBody(ErrorDetail(self.code, self.message, self.field)))
        return b'{"success":false,' + body[1:] if self.flagged else body


RETRY_AFTER = ("retry-after", "1")

REFUSED_STATUS = {
    "invalid": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "already_started": 409,
    "already_present": 409,
    "running": 409,
    "restarting": 409,
    "cycle": 409,
    "too_large": 413,
    "mailbox_full": 503,
    "stopped": 503,
    "expired": 503,
    "circuit_open": 503,
    "log_full": 503,
    "max_children": 503,
    "not_ready": 503,
    "unavailable": 503,
    "overloaded": 503,
    "quarantined": 409,
}
"""The status of a refusal by its code; a code that is not listed is a conflict with the current state, 409."""


def from_refused(refused: Refused) -> HttpError:
    """The answer to a request that an actor refused."""
    status = REFUSED_STATUS.get(refused.code, 409)
    headers = (RETRY_AFTER,) if status == 503 else ()
    return HttpError(status, refused.code, refused.message, refused.field, headers=headers)


def from_unknown(unknown: Unknown) -> HttpError:
    """The answer when nobody knows whether the request was performed."""
    message = str(unknown) or "no answer in time: the request may or may not have been performed"
    return HttpError(504, "unknown", message)


def unavailable(code: str, message: str, *, close: bool = False) -> HttpError:
    """503 with a `Retry-After`: the same request may succeed a little later."""
    return HttpError(503, code, message, headers=(RETRY_AFTER,), close=close)


def malformed(message: str) -> HttpError:
    """400 for bytes that are not HTTP/1.1; the connection cannot be used any further."""
    return HttpError(400, "malformed_request", message, close=True)
