"""A certificate authority of a test's own, and servers with its certificates: real TLS on this machine."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from trio.testing import MockClock
from trio_websocket import wrap_server_stream

from actors.edge.clients import websocket_tls

HOST = "127.0.0.1"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
_DAY = datetime.timedelta(days=1)


class Authority:
    """Its certificate is in `file` (PEM); `server` is what a server at an address shows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of the tests")])
        made = (
            self._certificate(self.name, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        ).sign(self.key, hashes.SHA256())
        self.file = folder / "authority.pem"
        self.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    @property
    def file_name(self) -> str:
        """What OpenSSL looks for in a folder, by X509_NAME_hash: a name in lower case without its outermost head."""
        digest = hashlib.sha1(self.name.public_bytes()[2:], usedforsecurity=False).digest()
        return f"{int.from_bytes(digest[:4], 'little'):08x}.0"

    def server(self, address: str = HOST) -> ssl.SSLContext:
        """For a server, with a certificate for this IP address."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = (
            self._certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server of the tests")]), key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        ).sign(self.key, hashes.SHA256())
        file = self.folder / f"server-{address}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + made.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file)
        return context

    def _certificate(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(issuer, critical=False)
        )


def _usage(**allowed: bool) -> x509.KeyUsage:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**(dict.fromkeys(every, False) | allowed))


@asynccontextmanager
async def serving(tls: ssl.SSLContext, answer: bytes = ANSWER) -> AsyncIterator[str]:
    """The URL of a server that gives every request this answer."""

    async def handle(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # who does not trust us leaves
            async with stream:
                await stream.receive_some()
                await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_ssl_over_tcp, handle, 0, tls, host=HOST))
        yield f"https://{HOST}:{listener.transport_listener.socket.getsockname()[1]}/"
        nursery.cancel_scope.cancel()


class GreetingServer:
    """A WebSocket server that says `hello`. `met`: how many have finished the TLS handshake."""

    def __init__(self) -> None:
        self.url = ""
        self.met = 0

    async def serve(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        with contextlib.suppress(trio.BrokenResourceError):  # who does not trust us leaves
            await stream.do_handshake()
            self.met += 1
            async with trio.open_nursery() as nursery:
                request = await wrap_server_stream(nursery, stream)
                socket = await request.accept()
                await socket.send_message("hello")
                await socket.aclose()


@asynccontextmanager
async def greeting(tls: ssl.SSLContext) -> AsyncIterator[GreetingServer]:
    """Such a server, while the block lasts."""
    made = GreetingServer()
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_ssl_over_tcp, made.serve, 0, tls, host=HOST))
        made.url = f"wss://{HOST}:{listener.transport_listener.socket.getsockname()[1]}/"
        yield made
        nursery.cancel_scope.cancel()


async def leap(clock: MockClock) -> None:
    """From now on leap to the next deadline where nothing has happened for a little.

    A WebSocket client says nothing of a certificate that it refuses: it only never connects.
    """
    await websocket_tls("wss://anybody")  # reading whom one trusts is work of a thread, which a leap would cut short
    clock.autojump_threshold = 0.05
