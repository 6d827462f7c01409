from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.venues.kalshi_signing import Signer, generate_ed25519_pem, signed_text, verify

PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()
PATH = "/trade-api/ws/v2"


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_what_is_signed_is_time_method_and_path_without_query() -> None:
    assert (
        signed_text(1700000000123, "get", "/trade-api/v2/markets?limit=5") == b"1700000000123GET/trade-api/v2/markets"
    )


@pytest.mark.parametrize("form", [serialization.PrivateFormat.TraditionalOpenSSL, serialization.PrivateFormat.PKCS8])
def test_an_rsa_key_in_either_form_signs_with_pss_and_a_salt_of_digest_length(
    rsa_key: rsa.RSAPrivateKey, form: serialization.PrivateFormat
) -> None:
    signer = Signer("key", rsa_key.private_bytes(PEM, form, PLAIN))
    signature = signer.sign(1700000000123, "GET", PATH)
    rsa_key.public_key().verify(
        base64.b64decode(signature),
        b"1700000000123GET/trade-api/ws/v2",
        padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32),
        hashes.SHA256(),
    )
    assert verify(signer.public_key, signature, 1700000000123, "GET", PATH)


def test_an_ed25519_key_signs_the_same_text() -> None:
    key = Ed25519PrivateKey.generate()
    signer = Signer("key", key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, PLAIN))
    signature = signer.sign(17, "GET", PATH)
    key.public_key().verify(base64.b64decode(signature), b"17GET/trade-api/ws/v2")
    assert verify(signer.public_key, signature, 17, "GET", PATH)


def test_the_three_headers_carry_key_time_and_signature() -> None:
    signer = Signer("key-id", generate_ed25519_pem())
    headers = dict(signer.headers(17))
    assert headers["KALSHI-ACCESS-KEY"] == "key-id"
    assert headers["KALSHI-ACCESS-TIMESTAMP"] == "17"
    assert verify(signer.public_key, headers["KALSHI-ACCESS-SIGNATURE"], 17, "GET", PATH)


def test_a_signature_over_anything_else_or_by_anyone_else_is_not_verified(rsa_key: rsa.RSAPrivateKey) -> None:
    signer = Signer("key", generate_ed25519_pem())
    signature = signer.sign(17, "GET", PATH)
    assert not verify(signer.public_key, signature, 18, "GET", PATH)
    assert not verify(signer.public_key, signature, 17, "POST", PATH)
    assert not verify(signer.public_key, signature, 17, "GET", "/trade-api/v2/markets")
    assert not verify(Signer("x", generate_ed25519_pem()).public_key, signature, 17, "GET", PATH)
    assert not verify(rsa_key.public_key(), signature, 17, "GET", PATH)
    for junk in ("", "not base64!", "AAAA"):
        assert not verify(signer.public_key, junk, 17, "GET", PATH)


def test_a_key_of_another_kind_or_no_key_is_refused_without_repeating_it() -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, serialization.PrivateFormat.PKCS8, PLAIN)
    with pytest.raises(ValueError, match=r"^the private key of 'k' is neither RSA nor Ed25519$"):
        Signer("k", curve)
    with pytest.raises(ValueError, match=r"^the private key of 'k' is no unencrypted PEM key$") as caught:
        Signer("k", b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----")
    assert "secret" not in str(caught.value)
