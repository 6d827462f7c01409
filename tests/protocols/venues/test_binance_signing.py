from __future__ import annotations

import base64
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols.venues.binance_signing import Signer, verify
from protocols.venues.rest import RestCall

# The keys and the order of `rest-api.md`, "SIGNED Endpoint Example for POST /api/v3/order - HMAC Keys".
KEY_ID = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
ORDER = (
    b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
)
SIGNATURE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()
PKCS8 = serialization.PrivateFormat.PKCS8


def test_the_vendors_own_example_has_the_vendors_signature() -> None:
    assert Signer(KEY_ID, SECRET).sign(ORDER) == SIGNATURE
    assert Signer(KEY_ID, SECRET + b"\n").sign(ORDER) == SIGNATURE
    assert verify(SECRET, SIGNATURE.upper(), ORDER)
    assert not verify(SECRET, SIGNATURE, ORDER + b"0")


def test_a_signed_call_ends_with_window_time_and_signature() -> None:
    query = tuple(parse_qsl(ORDER.decode()))[:-2]
    call = RestCall(purpose="order", path="/api/v3/order", query=query, method="POST", signed=True)
    signed = Signer(KEY_ID, SECRET).signed(call, 1499827319559)
    assert signed.target == f"/api/v3/order?{ORDER.decode()}&signature={SIGNATURE}"
    assert Signer(KEY_ID, SECRET).headers() == (("X-MBX-APIKEY", KEY_ID),)


def test_the_body_is_signed_behind_the_query_without_anything_between() -> None:
    call = RestCall(
        purpose="order", path="/api/v3/order", query=(("symbol", "LTCBTC"),), method="POST", body=b"side=BUY"
    )
    signed = Signer(KEY_ID, SECRET).signed(call, 1, 60_000)
    payload = b"symbol=LTCBTC&recvWindow=60000&timestamp=1side=BUY"
    assert dict(signed.query)["signature"] == Signer(KEY_ID, SECRET).sign(payload)
    assert signed.body == b"side=BUY"


def test_what_is_not_ascii_is_signed_as_it_travels() -> None:
    call = RestCall(purpose="order", path="/x", query=(("symbol", "１２３４５６"),))
    signed = Signer(KEY_ID, SECRET).signed(call, 1)
    sent, _, signature = signed.target.partition("?")[2].rpartition("&signature=")
    assert "%EF%BC%91" in sent
    assert signature == Signer(KEY_ID, SECRET).sign(sent.encode())


def test_an_ed25519_key_signs_in_base64_which_travels_percent_encoded() -> None:
    key = Ed25519PrivateKey.generate()
    signer = Signer("key", key.private_bytes(PEM, PKCS8, PLAIN))
    signature = signer.sign(ORDER)
    key.public_key().verify(base64.b64decode(signature), ORDER)
    assert signer.public_key is not None
    assert verify(signer.public_key, signature, ORDER)
    assert not verify(signer.public_key, signature, ORDER + b" ")
    assert not verify(signer.public_key, "no base64!", ORDER)
    target = signer.signed(RestCall(purpose="x", path="/x"), 1).target
    assert "=" not in target.partition("signature=")[2]


@pytest.mark.parametrize("form", [serialization.PrivateFormat.TraditionalOpenSSL, PKCS8])
def test_an_rsa_key_signs_with_pkcs1_v15(form: serialization.PrivateFormat) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signer = Signer("key", key.private_bytes(PEM, form, PLAIN))
    signature = signer.sign(ORDER)
    key.public_key().verify(base64.b64decode(signature), ORDER, padding.PKCS1v15(), hashes.SHA256())
    assert signer.public_key is not None
    assert verify(signer.public_key, signature, ORDER)


def test_other_keys_are_refused_and_not_repeated() -> None:
    curve = ec.generate_private_key(ec.SECP256R1()).private_bytes(PEM, PKCS8, PLAIN)
    with pytest.raises(ValueError, match="neither RSA nor Ed25519"):
        Signer("key", curve)
    with pytest.raises(ValueError, match="no unencrypted PEM key") as refused:
        Signer("key", b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n")
    assert "secret" not in str(refused.value)
