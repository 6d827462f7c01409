"""The collector's routes: its shapes, in cents, over the edge."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actors.edge.edge import GetEdgeAddress
from actors.market.feed_settings import FeedSettings
from actors.market.rl_routes import yes_no
from protocols.control import Probe, ProbeReport
from protocols.market import BookStale, BookUpdate, BookView, Level, LevelChange
from protocols.market_store import FlushStore, GetStoreStats, StoreStats, TableStats
from protocols.nanos import NANO
from runtime import Actor, ChildSpec, receive, supervisor
from tests.actors.market.kit import ALPHA, open_market
from tests.actors.market.routes_kit import EDGE, FEED, MARKETS, SPOT, YES, open_api
from tests.http_client import http_client

CENT = 10_000_000


class Store(Actor):
    """What answers for a store: the routes' other side."""

    def __init__(self, healthy: bool = True) -> None:
        self.healthy = healthy
        self.waiting = 3

    @receive
    def stats(self, request: GetStoreStats) -> StoreStats:
        return self._stats(0)

    @receive
    def flush(self, request: FlushStore) -> StoreStats:
        flushed, self.waiting = self.waiting, 0
        return self._stats(flushed)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        return ProbeReport("ok" if self.healthy else "degraded", "" if self.healthy else "rows were dropped")

    def _stats(self, flushed: int) -> StoreStats:
        return StoreStats(tables=(TableStats("trades", 5, self.waiting, 1),), flushed=flushed, capacity=100)


def book(market: str, *levels: tuple[str, int, int]) -> BookUpdate:
    changes = tuple(LevelChange(side, price, size) for side, price, size in levels)  # type: ignore[arg-type]
    return BookUpdate(market, changes, "absolute", True, f"{FEED}-1.1-1/1.1", 7, 11, 12_000_000, ("synthetic",))


async def test_a_book_is_told_as_yes_and_no_in_cents_with_exact_digits() -> None:
    async with open_api() as api:
        await api.say(book(YES, ("bid", 45 * CENT, 12 * NANO), ("bid", 44 * CENT + CENT // 2, NANO // 4), ("ask", 48 * CENT, 3 * NANO)))  # fmt: skip  # noqa: E501
        answer = await api.client.get("/rl/orderbook/snapshot", params={"market": YES})
        assert '"44.5":0.25' in answer.text
        found = answer.json()
        snapshot = found["snapshot"]
        assert found["market_ticker"] == snapshot["market_ticker"] == YES
        assert snapshot["yes_bids"] == {"45": 12, "44.5": 0.25}
        assert snapshot["yes_asks"] == {"48": 3}
        assert snapshot["no_bids"] == {"52": 3}
        assert snapshot["no_asks"] == {"55": 12, "55.5": 0.25}
        assert (snapshot["yes_spread"], snapshot["no_spread"]) == (3, 3)
        assert (snapshot["yes_mid_price"], snapshot["no_mid_price"]) == (46.5, 53.5)
        assert snapshot["total_volume"] == 15.25
        assert (snapshot["last_sequence"], snapshot["last_update_time"]) == (7, 12)
        assert snapshot["origin"]["synthetic"]
        assert found["timestamp"] > 0


async def test_a_market_that_is_no_prediction_has_no_no_side() -> None:
    async with open_api() as api:
        await api.say(
            book(SPOT, ("bid", 60_000 * NANO, NANO), ("ask", 60_001 * NANO, NANO)), BookStale(SPOT, FEED, "gap", 1)
        )
        snapshot = (await api.get("/rl/orderbook/snapshot", market=SPOT))["snapshot"]
        assert snapshot["unit"] == "price"
        assert snapshot["yes_bids"] == {"60000": 1}
        assert snapshot["no_bids"] is None
        assert snapshot["no_mid_price"] is None
        assert snapshot["stale"] == "gap"
        assert snapshot["origin"]["freshness"] == "stale"


def test_a_mean_of_prices_keeps_half_a_nano() -> None:
    view = BookView("BTC.X", (Level(1, NANO),), (Level(2, NANO),), "s", 1, 0, 1)
    assert msgspec.json.encode(yes_no(view, "f", 2).yes_mid_price) == b"0.0000000015"
    empty = yes_no(BookView("KXA", (), (), "s", 1, 0, 1), "f", 2)
    assert (empty.yes_spread, empty.yes_mid_price, empty.yes_bids) == (None, None, {})


async def test_an_unknown_market_is_answered_with_the_ones_there_are() -> None:
    async with open_api() as api:
        for status, query in ((404, {"market": "NOTHING"}), (400, {})):
            found = await api.get("/rl/orderbook/snapshot", status, **query)
            assert found["available_markets"] == sorted(MARKETS)
            assert found["error"]["field"] == "market"


async def test_status_tells_what_is_followed_and_what_is_stored() -> None:
    async with open_api(within=[ChildSpec(name="store", actor=Store)]) as api:
        await api.say(book(YES, ("bid", 45 * CENT, NANO), ("ask", 48 * CENT, NANO)))
        found = await api.get("/rl/status")
        assert found["config"] == {
            "market_ticker": sorted(MARKETS)[0], "environment": "simulated", "debug": False, "markets": 3,
        }  # fmt: skip
        state = found["stats"]["orderbook_states"][YES]
        assert (state["best_bid"], state["best_ask"], state["last_sequence"]) == (45, 48, 7)
        assert found["stats"]["orderbook_states"][SPOT]["best_bid"] is None
        assert found["stats"]["write_queue"]["waiting"] == 3
        assert found["stats"]["missing"] == {}


async def test_what_does_not_answer_is_missing_and_the_service_degraded() -> None:
    async with open_api() as api:
        found = await api.get("/rl/status")
        assert found["stats"]["write_queue"] is None
        assert "does not answer" in found["stats"]["missing"]["write_queue"]
        health = await api.get("/rl/health", 503)
        assert health["status"] == "degraded"
        assert set(health["components"]) == {"database", "write_queue", "orderbook_client"}
        assert health["components"]["write_queue"]["status"] == "failed"


async def test_health_asks_the_parts_themselves() -> None:
    database = supervisor("storage", ChildSpec(name="queries", actor=Store))
    async with open_api(database, within=[ChildSpec(name="store", actor=Store)]) as api:
        health = await api.get("/rl/health", 503)
        assert health["components"]["database"]["status"] == "ok"
        assert health["components"]["orderbook_client"]["status"] == "failed"  # its session does not run
        assert health["service"] == "kalshiflow-rl"


async def test_a_flush_needs_the_token_and_tells_what_it_flushed() -> None:
    async with open_api(within=[ChildSpec(name="store", actor=Store)]) as api:
        refused = await api.post("/rl/admin/flush", {}, 401)
        assert refused["error"]["code"] == "unauthorized"
        assert (await api.get("/rl/status"))["stats"]["write_queue"]["waiting"] == 3
        found = await api.post("/rl/admin/flush", {}, authorization=f"Bearer {api.token}")
        assert (found["message"], found["stats"]["flushed"], found["stats"]["waiting"]) == ("flushed", 3, 0)


async def test_the_simulated_venues_books_are_there_too(tmp_path: Path) -> None:
    async with open_market(tmp_path, FeedSettings(name="sim"), beside=(EDGE,)) as market:
        await market.state("live")
        await market.run(50)
        address = await market.node.ref("/edge").ask(GetEdgeAddress())
        async with http_client(base_url=address.url()) as client:
            snapshot = (await client.get("/rl/orderbook/snapshot", params={"market": ALPHA})).json()["snapshot"]
            assert snapshot["yes_bids"]
            assert {100 - float(price) for price in snapshot["yes_bids"]} == set(map(float, snapshot["no_asks"]))
