"""Instruments of a running market over HTTP, as the simulated venue's own endpoints define them."""

from __future__ import annotations

from pathlib import Path

from actors.edge.edge import GetEdgeAddress
from actors.market.feed_settings import FeedSettings, VenueSettings
from actors.market.instrument_master import InstrumentSettings
from protocols.instruments import Instrument
from protocols.market import FollowMarkets
from protocols.paths import feed_session
from tests.actors.market.kit import ALPHA, BETA, open_market
from tests.actors.market.test_routes import EDGE
from tests.http_client import http_client


async def test_definitions_come_from_the_venues_and_follow_the_feeds(tmp_path: Path) -> None:
    feeds = (
        FeedSettings(name="k", markets=(ALPHA,)),
        FeedSettings(name="b", speaks="binance", markets=("BTCUSDT",)),
    )
    venue = VenueSettings(rate=0, levels=100)
    settings = InstrumentSettings(retry_s=0.2)
    async with open_market(tmp_path, *feeds, venue=venue, beside=(EDGE,), instruments=settings) as market:
        known: set[str] = set()
        while known != {ALPHA, "BTCUSDT.BINANCE"}:
            known.add((await market.next(Instrument)).market)
        await market.node.ref(feed_session("k")).ask(FollowMarkets((BETA,)))
        await market.next(Instrument, lambda found: found.market == BETA)
        address = await market.node.ref("/edge").ask(GetEdgeAddress())
        async with http_client(base_url=address.url()) as client:
            listed = (await client.get("/api/v1/instruments")).json()
            assert [each["market"] for each in listed["instruments"]] == ["BTCUSDT.BINANCE", ALPHA, BETA]
            assert {tuple(each["marks"]) for each in listed["instruments"]} == {("synthetic",)}
            alpha = (await client.get(f"/api/v1/instruments/{ALPHA}")).json()
            assert (alpha["venue"], alpha["kind"], alpha["currency"]) == ("kalshi", "prediction", "USD")
            assert alpha["price_ranges"] == [{"start": "0", "end": "1", "step": "0.01"}]
            assert alpha["lot"] == "0.01"
            coin = (await client.get("/api/v1/instruments/BTCUSDT.BINANCE")).json()
            assert (coin["symbol"], coin["base"], coin["kind"]) == ("BTCUSDT", "BTC", "spot")
            assert coin["price_ranges"][0]["step"] == "0.01"
            only = (await client.get("/api/v1/instruments", params={"venue": "binance"})).json()
            assert [each["market"] for each in only["instruments"]] == ["BTCUSDT.BINANCE"]
            missing = await client.get("/api/v1/instruments/NOTHING")
            assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
            early = await client.get(f"/api/v1/instruments/{ALPHA}", params={"at": 1})
            assert early.status_code == 404
            bad = await client.get("/api/v1/instruments", params={"limit": 0})
            assert (bad.status_code, bad.json()["error"]["field"]) == (400, "limit")
