"""Signatures of webhooks as the Standard Webhooks specification has them (standardwebhooks.com, symmetric, `v1`).

    webhook-id: msg_…                       the same for every attempt
    webhook-timestamp: 1674087231           of the attempt, seconds since the epoch
    webhook-signature: v1,<base64>          HMAC-SHA256 of "{id}.{timestamp}.{body}"

A secret is `whsec_` and the base64 of 24 to 64 random bytes; those bytes are the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "whsec_"
_LEAST, _MOST = 24, 64


class SecretError(ValueError):
    """It is no secret of this form. The message does not show it."""


def secret_bytes(secret: str) -> bytes:
    """The key in a secret; the prefix may be missing. Raises SecretError."""
    if not secret:
        raise SecretError("give one: whsec_ and 24 to 64 random bytes in base64")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise SecretError("expected whsec_ and base64") from None
    if not _LEAST <= len(key) <= _MOST:
        raise SecretError(f"expected {_LEAST} to {_MOST} bytes, got {len(key)}")
    return key


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`; `timestamp` in seconds."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def request_id(ids: Iterable[str]) -> str:
    """The id of a request with the messages of these ids: the same for the same messages, and without a dot."""
    return "msg_" + hashlib.sha256("\n".join(ids).encode()).hexdigest()[:32]
