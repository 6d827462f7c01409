"""What HTTP says about markets, through the real edge."""

from __future__ import annotations

from pathlib import Path

from actors.edge.edge import GetEdgeAddress
from actors.market.feed_settings import FeedSettings
from protocols.market import GetBook
from runtime import ChildSpec
from tests.actors.market.kit import ALPHA, BETA, open_market
from tests.actors.market.test_sample import SAMPLE
from tests.http_client import http_client

EDGE = ChildSpec(
    name="edge",
    actor="actors.edge.edge:Edge",
    arguments={"settings": {"port": 0}, "routes": ("actors.market.capability:routes",)},
)


async def test_markets_and_books_over_http(tmp_path: Path) -> None:
    past = FeedSettings(name="past", venue="replay", file=str(SAMPLE), speed=0)
    async with open_market(tmp_path, past, beside=(EDGE,)) as market:
        await market.state("ended", "past")
        address = await market.node.ref("/edge").ask(GetEdgeAddress())
        async with http_client(base_url=address.url()) as client:
            listed = (await client.get("/api/v1/markets")).json()
            assert [each["market"] for each in listed["markets"]] == [ALPHA, BETA]
            assert listed["markets"][0]["marks"] == ["delayed", "synthetic"]
            assert [(each["feed"], each["state"]) for each in listed["feeds"]] == [("past", "ended")]

            book = (await client.get(f"/api/v1/markets/{ALPHA}/book", params={"depth": 2})).json()
            assert book["marks"] == ["delayed", "synthetic"]
            assert book["stale"] == ""
            assert len(book["bids"]) == len(book["asks"]) == 2
            kept = await market.node.ref(f"/market/past/books/{ALPHA}").ask(GetBook(depth=1))
            # Decimal strings with the venue's own places, exactly.
            assert book["bids"][0]["price"] == f"{kept.bids[0].price / 1e9:.4f}"
            assert round(float(book["bids"][0]["size"]) * 1e9) == kept.bids[0].size
            assert listed["markets"][0]["quote"]["bid"] == book["bids"][0]["price"]
            assert listed["markets"][0]["quote"]["seq"] <= book["seq"]

            missing = await client.get("/api/v1/markets/NOTHING/book")
            assert missing.status_code == 404
            assert missing.json()["error"]["code"] == "not_found"
            bad = await client.get(f"/api/v1/markets/{ALPHA}/book", params={"depth": -1})
            assert bad.status_code == 400
            assert bad.json()["error"]["field"] == "depth"


async def test_a_stale_book_says_so_over_http(tmp_path: Path) -> None:
    async with open_market(tmp_path, FeedSettings(name="sim"), beside=(EDGE,)) as market:
        await market.state("live")
        await market.node.ref("/market/sim/session").stop()
        address = await market.node.ref("/edge").ask(GetEdgeAddress())
        async with http_client(base_url=address.url()) as client:
            book = (await client.get(f"/api/v1/markets/{ALPHA}/book")).json()
            assert book["stale"] == "feed_down"
            assert book["marks"] == ["synthetic", "stale"]
