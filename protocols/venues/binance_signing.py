"""Binance's request signatures: HMAC-SHA256, Ed25519 and RSA.

Signed is the query string followed by the body, percent-encoded as they travel and with nothing between them. HMAC
signatures travel as hex; RSA (PKCS#1 v1.5, SHA-256) and Ed25519 ones as base64, percent-encoded again. `signature` is
the last parameter; the key's id goes into the header `X-MBX-APIKEY`. The venue accepts a `timestamp` (milliseconds)
up to a second ahead of its own clock and `recvWindow` behind. Source: binance-spot-api-docs `rest-api.md`, "SIGNED
request security".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final
from urllib.parse import urlencode

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from protocols.venues.rest import RestCall

KEY_HEADER: Final = "X-MBX-APIKEY"
RECEIVE_WINDOW_MS: Final = 5_000
"""How old a request may be when it arrives, where it does not say (the venue's default; it takes up to 60,000)."""

PublicKey = RSAPublicKey | Ed25519PublicKey


class Signer:
    """One API key. `secret` is the venue's secret text (HMAC) or a private key as PEM (RSA, Ed25519).

    Raises ValueError for a PEM of neither kind.
    """

    def __init__(self, key_id: str, secret: bytes) -> None:
        self.key_id = key_id
        self._secret = secret.strip()
        self._key: RSAPrivateKey | Ed25519PrivateKey | None = None
        if not self._secret.startswith(b"-----BEGIN"):
            return
        try:
            key = serialization.load_pem_private_key(secret, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The reason is not repeated: it could hold a piece of the key.
            raise ValueError(f"the private key of {key_id!r} is no unencrypted PEM key") from None
        if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
            raise ValueError(f"the private key of {key_id!r} is neither RSA nor Ed25519")  # noqa: TRY004
        self._key = key

    @property
    def public_key(self) -> PublicKey | None:
        """The key that verifies what this one signs; None for HMAC."""
        return None if self._key is None else self._key.public_key()

    def sign(self, payload: bytes) -> str:
        """The signature: hex of an HMAC, else base64, before percent-encoding."""
        key = self._key
        if key is None:
            return hmac.new(self._secret, payload, hashlib.sha256).hexdigest()
        if isinstance(key, Ed25519PrivateKey):
            signature = key.sign(payload)
        else:
            signature = key.sign(payload, padding.PKCS1v15(), hashes.SHA256())
        return base64.b64encode(signature).decode("ascii")

    def headers(self) -> tuple[tuple[str, str], ...]:
        """What names the key. Enough for calls that are read-only and public."""
        return ((KEY_HEADER, self.key_id),)

    def signed(self, call: RestCall, ts_ms: int, window_ms: int = RECEIVE_WINDOW_MS) -> RestCall:
        """The call with `recvWindow`, `timestamp` and `signature` at the end of its query."""
        query = (*call.query, ("recvWindow", str(window_ms)), ("timestamp", str(ts_ms)))
        signature = self.sign(urlencode(query).encode() + call.body)
        return msgspec.structs.replace(call, query=(*query, ("signature", signature)))


def verify(key: PublicKey | bytes, signature: str, payload: bytes) -> bool:
    """Whether `signature` (percent-decoded) is this key's over the payload; bytes are an HMAC secret."""
    if isinstance(key, bytes):
        expected = hmac.new(key, payload, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, payload)
        else:
            key.verify(raw, payload, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
