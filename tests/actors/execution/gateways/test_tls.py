"""A gateway's clients trust whom the user trusts, and nobody else."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from actors.edge.clients import http_tls
from actors.execution.gateways.findings import Call
from actors.execution.gateways.http import GatewayHttp, NotSent
from actors.execution.gateways.stream import PrivateStream
from actors.market.venue_clock import VenueClock
from protocols.venues.rest import RestCall
from runtime import ActorRef, NodeSettings, open_node
from runtime.clock import SystemClock
from tests.actors.authority import Authority, greeting, leap, serving

CALL = Call(what="clock", rest=RestCall(purpose="time", path="/time"))


async def client_of(url: str, budget: ActorRef) -> GatewayHttp:
    return GatewayHttp(
        url,
        await http_tls(url),
        SystemClock(),
        VenueClock(),
        budget,
        lambda call, ts: (call.rest, ()),
        timeout_s=10.0,
        budget_s=1.0,
        limits=(),
    )


async def heard_from(url: str) -> tuple[list[bytes], str]:
    """What a private stream brought, and why it ended."""
    frames: list[bytes] = []

    async def opened(marks: frozenset[str]) -> None:
        pass

    async def heard(raw: bytes) -> None:
        frames.append(raw)

    return frames, await PrivateStream(url, 5.0).run((), lambda: (), opened, heard)


async def test_an_order_does_not_leave_for_a_venue_whose_authority_nobody_knows(
    authority: Authority, mock_clock: MockClock
) -> None:
    tls = authority.server()
    async with serving(tls) as url, open_node(NodeSettings(), ()) as node:
        client = await client_of(url, node.ref("/nobody"))
        with pytest.raises(NotSent, match=r"ConnectError: .*certificate verify failed"):
            await client.send(CALL)
        await client.aclose()
    await leap(mock_clock)
    async with greeting(tls) as server:
        assert await heard_from(server.url) == ([], "not connected: ConnectionTimeout: ")
        assert server.met == 0


async def test_a_venue_whose_authority_the_user_trusts_is_called(trusted_authority: Authority) -> None:
    tls = trusted_authority.server()
    async with serving(tls) as url, open_node(NodeSettings(), ()) as node:
        client = await client_of(url, node.ref("/nobody"))
        assert (await client.send(CALL)).body == b"hello"
        await client.aclose()
    async with greeting(tls) as server:
        frames, _ = await heard_from(server.url)
    assert frames == [b"hello"]
