"""Kalshi's request signatures, for REST calls and the WebSocket upgrade alike.

Signed is `timestamp_ms + METHOD + path`, UTF-8, without separators, host, query or body. RSA keys sign with
PSS, SHA-256, MGF1-SHA-256 and a salt as long as the digest; Ed25519 keys (since 2026-09-24) sign the same
text. The signature travels in standard base64. Source: Kalshi's "API keys" pages.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

KEY_HEADER: Final = "KALSHI-ACCESS-KEY"
TIMESTAMP_HEADER: Final = "KALSHI-ACCESS-TIMESTAMP"
SIGNATURE_HEADER: Final = "KALSHI-ACCESS-SIGNATURE"
WEBSOCKET_PATH: Final = "/trade-api/ws/v2"

PublicKey = RSAPublicKey | Ed25519PublicKey


def signed_text(ts_ms: int, method: str, path: str) -> bytes:
    """What is signed: the time in milliseconds, the method in capitals, the path without its query."""
    return f"{ts_ms}{method.upper()}{path.partition('?')[0]}".encode()


def _pss() -> padding.PSS:
    return padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)


class Signer:
    """One API key. Raises ValueError for a PEM that is neither an RSA nor an Ed25519 private key."""

    def __init__(self, key_id: str, pem: bytes) -> None:
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The reason is not repeated: it could hold a piece of the key.
            raise ValueError(f"the private key of {key_id!r} is no unencrypted PEM key") from None
        if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
            raise ValueError(f"the private key of {key_id!r} is neither RSA nor Ed25519")  # noqa: TRY004
        self.key_id = key_id
        self._key = key

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies what this one signs."""
        return self._key.public_key()

    def sign(self, ts_ms: int, method: str, path: str) -> str:
        """The signature in base64."""
        text = signed_text(ts_ms, method, path)
        if isinstance(self._key, Ed25519PrivateKey):
            signature = self._key.sign(text)
        else:
            signature = self._key.sign(text, _pss(), hashes.SHA256())
        return base64.b64encode(signature).decode("ascii")

    def headers(self, ts_ms: int, method: str = "GET", path: str = WEBSOCKET_PATH) -> list[tuple[str, str]]:
        """The three headers of a request."""
        return [
            (KEY_HEADER, self.key_id),
            (TIMESTAMP_HEADER, str(ts_ms)),
            (SIGNATURE_HEADER, self.sign(ts_ms, method, path)),
        ]


def verify(key: PublicKey, signature: str, ts_ms: int, method: str, path: str) -> bool:
    """Whether `signature` (base64) is this key's over the request."""
    text = signed_text(ts_ms, method, path)
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, text)
        else:
            key.verify(raw, text, _pss(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def generate_ed25519_pem() -> bytes:
    """A new Ed25519 private key, PKCS#8 PEM, for a stand-in's own clients."""
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_key_of(pem: bytes) -> PublicKey:
    """The public key of a private key's PEM. Raises ValueError as Signer does."""
    return Signer("stand-in", pem).public_key
