from __future__ import annotations

import ssl
from pathlib import Path

import certifi
import httpx
import pytest
import trio
from trio.testing import MockClock
from trio_websocket import ConnectionTimeout, open_websocket_url

from actors.edge import clients
from actors.edge.clients import TRUSTS_NOBODY, body_of, http_tls, websocket_tls
from tests.actors.authority import Authority, greeting, leap, serving


async def fetched(url: str) -> str:
    async with httpx.AsyncClient(verify=await http_tls(url)) as client:
        return (await client.get(url)).text


async def heard(url: str) -> str:
    async with open_websocket_url(url, ssl_context=await websocket_tls(url)) as socket:
        return str(await socket.get_message())


def refusal_of(error: BaseException | None) -> str:
    """What the client says of the certificate."""
    while not isinstance(error, ssl.SSLCertVerificationError):
        assert error is not None
        error = error.__cause__ or error.__context__
    return error.verify_message


async def test_a_server_whose_authority_nobody_knows_is_refused(authority: Authority, mock_clock: MockClock) -> None:
    tls = authority.server()
    async with serving(tls) as url:
        with pytest.raises(httpx.ConnectError) as refused:
            await fetched(url)
        assert refusal_of(refused.value) == "unable to get local issuer certificate"
    await leap(mock_clock)
    async with greeting(tls) as server:
        with pytest.raises(ConnectionTimeout):
            await heard(server.url)
        assert server.met == 0


async def test_a_server_whose_authority_the_user_trusts_is_called(trusted_authority: Authority) -> None:
    tls = trusted_authority.server()
    async with serving(tls) as url:
        assert await fetched(url) == "hello"
    async with greeting(tls) as server:
        assert await heard(server.url) == "hello"


async def test_a_certificate_for_another_address_is_refused(
    trusted_authority: Authority, mock_clock: MockClock
) -> None:
    tls = trusted_authority.server("192.0.2.1")
    async with serving(tls) as url:
        with pytest.raises(httpx.ConnectError) as refused:
            await fetched(url)
        assert "IP address mismatch" in refusal_of(refused.value)
    await leap(mock_clock)
    async with greeting(tls) as server:
        with pytest.raises(ConnectionTimeout):
            await heard(server.url)
        assert server.met == 0


async def test_an_authority_in_the_folder_of_the_environment_is_trusted(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    (tmp_path / authority.file_name).write_bytes(authority.file.read_bytes())
    tls = authority.server()
    async with serving(tls) as url:
        assert await fetched(url) == "hello"
    async with greeting(tls) as server:
        assert await heard(server.url) == "hello"


async def test_without_a_word_of_the_user_http_trusts_the_authorities_that_come_with_httpx(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    expected = ssl.create_default_context(cafile=certifi.where()).get_ca_certs(binary_form=True)
    assert (await http_tls("https://example.com")).get_ca_certs(binary_form=True) == expected


async def test_all_clients_of_a_kind_share_one_context_however_many_begin_at_once(authority: Authority) -> None:
    found: dict[str, list[ssl.SSLContext | None]] = {"http": [], "websocket": []}

    async def http(number: int) -> None:
        found["http"].append(await http_tls(f"https://host-{number}"))

    async def websocket(number: int) -> None:
        found["websocket"].append(await websocket_tls(f"wss://host-{number}"))

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(http, number)
            nursery.start_soon(websocket, number)
    assert [len(each) for each in found.values()] == [10, 10]
    assert [len(set(map(id, each))) for each in found.values()] == [1, 1]
    # A library sets what is negotiated on the context that it is given, so the two kinds do not share theirs.
    assert found["http"][0] is not found["websocket"][0]


async def test_what_is_never_encrypted_reads_no_authorities_and_would_trust_none(authority: Authority) -> None:
    for url in ("http://host", "HTTP://host:1/path", "http://"):
        assert await http_tls(url) is TRUSTS_NOBODY
    for url in ("ws://host", "WS://host:1/path"):
        assert await websocket_tls(url) is None
    assert clients._made == {}
    async with serving(authority.server()) as url, httpx.AsyncClient(verify=TRUSTS_NOBODY) as client:
        with pytest.raises(httpx.ConnectError) as refused:
            await client.get(url)
        assert refusal_of(refused.value) == "unable to get local issuer certificate"


async def test_authorities_that_cannot_be_read_are_an_error_that_is_not_remembered(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.folder / "absent.pem"))
    with pytest.raises(FileNotFoundError):
        await http_tls("https://host")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    assert len((await http_tls("https://host")).get_ca_certs()) == 1


@pytest.mark.parametrize(("size", "whole"), [(100_000, True), (100_001, False)])
async def test_an_answer_is_read_up_to_its_size_and_no_longer_one(
    trusted_authority: Authority, size: int, whole: bool
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + bytes(size)
    async with (
        serving(trusted_authority.server(), answer) as url,
        httpx.AsyncClient(verify=await http_tls(url)) as client,
        client.stream("GET", url) as response,
    ):
        if whole:
            assert await body_of(response, 100_000) == bytes(size)
        else:
            with pytest.raises(ValueError, match=r"^an answer of more than 100000 bytes$"):
                await body_of(response, 100_000)
