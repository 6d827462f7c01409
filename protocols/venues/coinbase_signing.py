"""Coinbase's JSON Web Tokens (RFC 7519), for subscriptions and REST calls alike.

A key of the Coinbase Developer Platform is an EC key on P-256 (PEM; tokens are signed ES256) or an Ed25519 key (64
bytes in base64, the private half first; EdDSA). A token is valid for 120 seconds, so every message gets its own. That
of a REST call names method, host and path in `uri`; that of a subscription does not. Source: docs.cdp.coinbase.com,
"Coinbase App authentication" and "Advanced Trade WebSocket authentication".
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

VALID_S: Final = 120
ISSUER: Final = "cdp"
_NANO: Final = 1_000_000_000
_HALF: Final = 32

PublicKey = EllipticCurvePublicKey | Ed25519PublicKey


class TokenHeader(msgspec.Struct):
    """The first part of a token. `kid` names the key; `nonce` makes every token another one."""

    alg: str
    kid: str
    nonce: str = ""
    typ: str = ""


class TokenClaims(msgspec.Struct, omit_defaults=True):
    """The second part. Times in seconds since the Unix epoch."""

    sub: str
    iss: str
    nbf: int
    exp: int
    uri: str = ""


class Signer:
    """One API key. Raises ValueError for a secret that is neither a P-256 nor an Ed25519 private key."""

    def __init__(self, key_id: str, secret: bytes) -> None:
        self.key_id = key_id
        self._key = _private_key(key_id, secret)

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies what this one signs."""
        return self._key.public_key()

    def token(self, ts: int, uri: str = "", nonce: str = "") -> str:
        """A token that is valid for 120 s from `ts` (nanoseconds, the venue's clock) on.

        `uri` is "GET api.coinbase.com/api/v3/…", without a query, for a REST call. `nonce` empty: a random one.
        """
        seconds = ts // _NANO
        algorithm = "EdDSA" if isinstance(self._key, Ed25519PrivateKey) else "ES256"
        header = TokenHeader(algorithm, self.key_id, nonce or secrets.token_hex(16), "JWT")
        claims = TokenClaims(self.key_id, ISSUER, seconds, seconds + VALID_S, uri)
        text = f"{_encoded(msgspec.json.encode(header))}.{_encoded(msgspec.json.encode(claims))}"
        return f"{text}.{_encoded(self._sign(text.encode()))}"

    def _sign(self, text: bytes) -> bytes:
        if isinstance(self._key, Ed25519PrivateKey):
            return self._key.sign(text)
        # JOSE wants the two numbers of the signature side by side, not in DER (RFC 7518, section 3.4).
        r, s = decode_dss_signature(self._key.sign(text, ECDSA(hashes.SHA256())))
        return r.to_bytes(_HALF, "big") + s.to_bytes(_HALF, "big")


def verify(key: PublicKey, token: str, ts: int) -> TokenClaims:
    """The claims of a token. Raises ValueError where it is not this key's, or not valid at `ts` (nanoseconds)."""
    text, _, signature = token.rpartition(".")
    try:
        header = msgspec.json.decode(_decoded(text.partition(".")[0]), type=TokenHeader)
        claims = msgspec.json.decode(_decoded(text.partition(".")[2]), type=TokenClaims)
        raw = _decoded(signature)
        if isinstance(key, Ed25519PublicKey):
            key.verify(raw, text.encode())
            expected = "EdDSA"
        else:
            if len(raw) != 2 * _HALF:
                raise ValueError("the signature has a wrong length")
            der = encode_dss_signature(int.from_bytes(raw[:_HALF], "big"), int.from_bytes(raw[_HALF:], "big"))
            key.verify(der, text.encode(), ECDSA(hashes.SHA256()))
            expected = "ES256"
    except InvalidSignature:
        raise ValueError("the signature is not this key's") from None
    except (msgspec.DecodeError, UnicodeError, binascii.Error) as error:
        raise ValueError(f"not a token: {error}") from None
    if header.alg != expected:
        raise ValueError(f"signed with {header.alg}, the key is for {expected}")
    if not claims.nbf <= ts // _NANO < claims.exp:
        raise ValueError(f"valid from {claims.nbf} to {claims.exp}, and it is {ts // _NANO}")
    return claims


def generate_secret(algorithm: str = "ES256") -> bytes:
    """A new private key as the venue hands it out: PEM for ES256, base64 for EdDSA. For a stand-in's own clients."""
    if algorithm == "EdDSA":
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return base64.b64encode(key.private_bytes_raw() + public)
    return generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _private_key(key_id: str, secret: bytes) -> EllipticCurvePrivateKey | Ed25519PrivateKey:
    # Whoever copies the key out of the downloaded JSON has its line ends as two characters.
    secret = secret.strip().replace(b"\\n", b"\n")
    try:
        if secret.startswith(b"-----BEGIN"):
            key = serialization.load_pem_private_key(secret, password=None)
        else:
            raw = base64.b64decode(secret, validate=True)
            # Cut to the private half; of any other length it stays as it is and is refused.
            key = Ed25519PrivateKey.from_private_bytes(raw[:_HALF] if len(raw) == 2 * _HALF else raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The reason is not repeated: it could hold a piece of the key.
        raise ValueError(f"the private key of {key_id!r} is neither an unencrypted PEM key nor base64") from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise ValueError(f"the private key of {key_id!r} is neither P-256 nor Ed25519")


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
