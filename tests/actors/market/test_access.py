"""Where a venue is: its own addresses, or those of a configuration, and never a mixture."""

from __future__ import annotations

import pytest
import trio

from actors.market.access import Access, Account, find
from actors.market.connection import Polling
from actors.market.rest_client import CallFailed, RestClient
from actors.market.venue_clock import VenueClock
from protocols.control import Request
from protocols.venues.rest import RestCall
from runtime import Actor, ChildSpec, NodeSettings, open_node, receive
from runtime.clock import SystemClock


class Where(Request[str], frozen=True, tag="test_where"):
    url: str = ""
    rest_url: str = ""


class Finder(Actor):
    @receive
    async def where(self, request: Where) -> str:
        found: Access = await find(self, Account("binance", request.url, request.rest_url))
        return f"{found.url}|{found.rest_url}|{','.join(sorted(found.marks))}"


async def test_somebody_elses_stream_is_never_joined_with_the_real_venues_answers() -> None:
    async with open_node(NodeSettings(), (ChildSpec("finder", Finder),)) as node:
        finder = node.ref("/finder")
        assert await finder.ask(Where()) == "|https://api.binance.com|"
        assert await finder.ask(Where("ws://127.0.0.1:1/stream")) == "ws://127.0.0.1:1/stream||"
        practice = Where("wss://demo.example/stream", "https://demo.example")
        assert await finder.ask(practice) == "wss://demo.example/stream|https://demo.example|demo"
        assert await finder.ask(Where("", "https://demo.example")) == "|https://demo.example|demo"


async def test_a_call_without_an_address_says_what_to_set() -> None:
    client = RestClient("", SystemClock(), VenueClock(), None)
    with pytest.raises(CallFailed, match="set `rest_url`, too"):
        await client.perform(RestCall(purpose="depth", path="/depth"))


async def test_polling_lasts_until_it_is_ended_and_the_first_reason_counts() -> None:
    polling = Polling()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            assert await polling.ended() == "the key is refused"

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        polling.end("the key is refused")
        polling.end("later")
    assert not polling.send(b"x")
