"""Feed and books against the simulated venue, over a real socket."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from trio_websocket import ConnectionRejected, open_websocket_url

from actors.market.feed_settings import FeedSettings, VenueSettings
from actors.market.session import full_jitter
from protocols.control import Probe, ProbeReport
from protocols.market import BookStale, BookUpdate, GetBookPosition, MarketStatus, Quote, Trade
from protocols.nanos import NANO
from protocols.venues.kalshi_signing import Signer, generate_ed25519_pem
from protocols.venues.simulated import GetVenueAddress, InjectFault, PlantRegime, RunSteps, SetRate, SettleMarket
from runtime.log import open_log
from runtime.log_reader import LogReader
from tests.actors.market.kit import ALPHA, BETA, Market, open_market

SIM = FeedSettings(name="sim", backoff_s=0.01, recovery_s=1.0)


async def fault(market: Market, name: str, **arguments: float) -> int:
    return await market.node.ref("/market/venue").ask(InjectFault(name, **arguments))  # type: ignore[arg-type]


async def figures(market: Market) -> dict[str, object]:
    report: ProbeReport = await market.node.ref("/market/sim/session").ask(Probe())
    return dict(report.figures)


async def test_the_keepers_final_book_is_the_engines_own(tmp_path: Path) -> None:
    async with open_market(tmp_path, SIM) as market:
        await market.state("live")
        await market.run(600)
        assert await market.same_as_engine()
        for path in market.books():
            position = await market.node.ref(path).ask(GetBookPosition())
            assert position.applied > 100
            assert (position.gaps, position.dropped) == (0, 0)
        tally = await figures(market)
        assert (tally["gaps"], tally["malformed"], tally["reconnects"]) == (0, 0, 0)


async def test_levels_in_no_prices_end_in_the_same_book(tmp_path: Path) -> None:
    feed = FeedSettings(name="sim", use_yes_price=False)
    async with open_market(tmp_path, feed) as market:
        await market.state("live")
        await market.run(300)
        assert await market.same_as_engine()


async def test_everything_that_comes_of_it_is_marked_synthetic(tmp_path: Path) -> None:
    async with open_market(tmp_path, SIM) as market:
        status = await market.state("live")
        while not any(isinstance(message, Trade) for message in market.past):
            await market.run(300)  # the trades' subscription may be answered after the books'
        await market.node.ref("/market/venue").ask(SettleMarket(ALPHA, NANO))
        await market.next(MarketStatus, lambda message: message.phase == "settled")
        heard = [m for m in market.past if isinstance(m, BookUpdate | Quote | Trade | MarketStatus)]
        assert {type(message) for message in heard} == {BookUpdate, Quote, Trade, MarketStatus}
        assert {message.marks for message in heard} == {("synthetic",)}
        assert status.marks == (await market.book(BETA)).marks == ("synthetic",)


async def test_a_lost_frame_makes_the_books_stale_and_a_snapshot_repairs_them(tmp_path: Path) -> None:
    async with open_market(tmp_path, SIM) as market:
        await market.state("live")
        await market.run(50)
        assert await fault(market, "drop", count=3) == 1
        await market.node.ref("/market/venue").ask(RunSteps(50))
        stale = await market.next(BookStale, lambda message: message.reason == "gap")
        await market.next(Quote, lambda quote: quote.market == stale.market and "stale" in quote.marks)
        await market.state("live")
        await market.run(50)
        assert await market.same_as_engine()
        tally = await figures(market)
        assert (tally["gaps"], tally["frames lost"], tally["reconnects"]) in {(1, 3, 0), (2, 3, 0)}


@pytest.mark.parametrize("name", ["channel_error", "overflow"])
async def test_a_dead_subscription_is_made_again_on_the_same_connection(tmp_path: Path, name: str) -> None:
    async with open_market(tmp_path, SIM) as market:
        await market.state("live")
        await market.run(50)
        await fault(market, name)
        await market.next(BookStale, lambda message: message.reason.startswith("error"))
        await market.state("live")
        await market.run(100)
        assert await market.same_as_engine()
        tally = await figures(market)
        assert (tally["resubscribed"], tally["connections"]) == (3, 1)


async def test_a_closed_connection_is_opened_again_with_fresh_books(tmp_path: Path) -> None:
    async with open_market(tmp_path, SIM) as market:
        await market.state("live")
        await market.run(50)
        await fault(market, "close")
        down = await market.state("down")
        assert "closed by the venue" in down.detail
        assert (await market.book(ALPHA)).stale == "disconnected"
        await market.state("live")
        await market.run(100)
        assert await market.same_as_engine()
        assert (await figures(market))["connections"] == 2


async def test_a_silent_venue_is_asked_and_then_left(tmp_path: Path) -> None:
    feed = FeedSettings(name="sim", silence_s=0.3, recovery_s=30.0, backoff_s=0.01)
    async with open_market(tmp_path, feed) as market:
        await market.state("live")
        await fault(market, "silence")
        down = await market.state("down")
        assert down.detail == "silent for 0.6 s"
        await market.state("live")
        await market.run(50)
        assert await market.same_as_engine()


async def test_a_quiet_market_is_no_silence(tmp_path: Path) -> None:
    feed = FeedSettings(name="sim", silence_s=0.05)
    async with open_market(tmp_path, feed) as market:
        await market.state("live")
        # The answers to three questions, each asked after silence_s without a frame.
        for _ in range(3):
            await market.next(BookUpdate, lambda update: update.snapshot)
        tally = await figures(market)
        assert (tally["state"], tally["connections"], tally["gaps"]) == ("live", 1, 0)


async def test_a_market_that_the_venue_does_not_know_keeps_no_other_from_trading(tmp_path: Path) -> None:
    feed = FeedSettings(name="sim", markets=(ALPHA, "SIM-NOWHERE"))
    async with open_market(tmp_path, feed) as market:
        await market.state("live")
        assert (await market.book(ALPHA)).stale == ""
        assert (await market.book("SIM-NOWHERE")).stale == "session_started"
        assert (await figures(market))["markets rejected"] == "SIM-NOWHERE"


async def test_a_killed_session_is_back_and_its_books_are_right(tmp_path: Path) -> None:
    async with open_market(tmp_path, SIM) as market:
        await market.state("live")
        await market.run(50)
        await market.killed("/market/sim/session")
        assert {(await market.book(name)).stale for name in (ALPHA, BETA)} <= {"feed_down", "session_started"}
        await market.state("live")
        await market.run(100)
        assert await market.same_as_engine()
        # The books are older than the session: they were not restarted with it.
        assert [market.node.cells[path].count for path in market.books()] == [1, 1]
        assert market.node.cells["/market/sim/session"].count == 2


async def test_a_killed_book_is_back_with_a_snapshot_and_no_other_book_notices(tmp_path: Path) -> None:
    async with open_market(tmp_path, SIM) as market:
        await market.state("live")
        await market.run(50)
        await market.killed(f"/market/sim/books/{ALPHA}")
        await market.next(BookUpdate, lambda update: update.snapshot and update.market == ALPHA)
        await market.run(100)
        assert await market.same_as_engine()
        other = await market.node.ref(f"/market/sim/books/{BETA}").ask(GetBookPosition())
        assert (other.gaps, other.dropped) == (0, 0)
        assert (await figures(market))["connections"] == 1


async def test_a_killed_venue_is_found_again_at_its_new_address(tmp_path: Path) -> None:
    async with open_market(tmp_path, SIM) as market:
        await market.state("live")
        await market.killed("/market/venue")
        await market.state("live")
        await market.run(50)
        assert await market.same_as_engine()


async def test_a_pause_reaches_the_book_and_settlement_ends_it(tmp_path: Path) -> None:
    async with open_market(tmp_path, SIM) as market:
        await market.state("live")
        venue = market.node.ref("/market/venue")
        await venue.ask(PlantRegime(ALPHA, "pause", 10))
        await venue.ask(RunSteps(5))
        await market.next(MarketStatus, lambda message: (message.market, message.phase) == (ALPHA, "paused"))
        await venue.ask(RunSteps(10))
        await market.next(MarketStatus, lambda message: (message.market, message.phase) == (ALPHA, "active"))
        await market.settled()
        assert await market.same_as_engine()
        await venue.ask(SettleMarket(ALPHA, NANO // 4))
        settled = await market.next(MarketStatus, lambda message: message.phase == "settled")
        assert settled.settlement == NANO // 4
        assert (await market.book(ALPHA)).bids == (await market.book(ALPHA)).asks == ()


async def test_a_venue_that_runs_by_itself_is_followed(tmp_path: Path) -> None:
    async with open_market(tmp_path, SIM, venue=VenueSettings(rate=2_000)) as market:
        await market.state("live")
        await market.next(BookUpdate, lambda update: update.seq > 500)
        await market.node.ref("/market/venue").ask(SetRate(0))
        await market.settled()
        assert await market.same_as_engine()
        assert (await figures(market))["gaps"] == 0


async def test_an_rsa_key_of_ones_own_and_an_explicit_address_work_too(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    (tmp_path / "rsa.pem").write_bytes(pem)
    serving = VenueSettings(rate=0, serve=True, key_file=str(tmp_path / "rsa.pem"))
    async with open_market(tmp_path, venue=serving) as first:
        address = await first.node.ref("/market/venue").ask(GetVenueAddress())
        feed = FeedSettings(
            name="far",
            venue="kalshi",
            url=address.url,
            markets=(ALPHA,),
            key_id=address.key_id,
            key_file=address.key_file,
        )
        async with open_market(tmp_path, feed) as second:
            status = await second.state("live", "far")
            assert status.marks == ("synthetic",)


async def test_a_client_with_another_key_or_no_key_is_not_let_in(tmp_path: Path) -> None:
    (tmp_path / "other.pem").write_bytes(generate_ed25519_pem())
    async with open_market(tmp_path, venue=VenueSettings(rate=0, serve=True)) as first:
        address = await first.node.ref("/market/venue").ask(GetVenueAddress())
        feed = FeedSettings(
            name="far",
            venue="kalshi",
            url=address.url,
            markets=(ALPHA,),
            key_id=address.key_id,
            key_file=str(tmp_path / "other.pem"),
        )
        async with open_market(tmp_path, feed) as second:
            down = await second.state("down", "far")
            assert "401" in down.detail
        right = Signer(address.key_id, await trio.Path(address.key_file).read_bytes())
        now_ms = first.node.clock.now() // 1_000_000
        for headers in ([], right.headers(now_ms - 60_000), right.headers(now_ms, path="/trade-api/ws/v1")):
            with pytest.raises(ConnectionRejected):
                async with open_websocket_url(
                    address.url, extra_headers=[(name.encode(), value.encode()) for name, value in headers]
                ):
                    pass


async def test_the_venue_pings_and_leaves_a_client_that_does_not_answer(tmp_path: Path) -> None:
    serving = VenueSettings(rate=0, serve=True, ping_s=0.05)
    async with open_market(tmp_path, venue=serving) as market:
        address = await market.node.ref("/market/venue").ask(GetVenueAddress())
        signer = Signer(address.key_id, await trio.Path(address.key_file).read_bytes())
        host, _, port = address.url.removeprefix("ws://").partition("/")[0].partition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        headers = signer.headers(market.node.clock.now() // 1_000_000)
        lines = [
            "GET /trade-api/ws/v2 HTTP/1.1",
            f"Host: {host}:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *(f"{name}: {value}" for name, value in headers),
        ]
        await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode())
        got = b""
        with trio.fail_after(10):
            # Everything up to the end of the connection, which only the venue ends.
            async for chunk in stream:
                got += chunk
                if b"\x88" in got.partition(b"\r\n\r\n")[2]:
                    break
        head, _, rest = got.partition(b"\r\n\r\n")
        assert b"troupe-marks: synthetic" in head.lower()
        assert rest.startswith(b"\x89\x09heartbeat")
        await stream.aclose()


async def test_what_happens_to_a_feed_is_kept_in_the_log(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    async with open_market(tmp_path, SIM, log=log) as market:
        await market.state("live")
        await fault(market, "drop", count=1)
        await market.run(20)
        await market.state("live")
        await fault(market, "close")
        await market.state("down")
    log.close()
    reader = LogReader(tmp_path / "log")
    rows = [row for row in reader.read(1_000, 1 << 20) if row.table.name == "feed_events"]
    reader.close()
    kinds = [row.fields[1] for row in rows]
    assert kinds[:2] == ["connected", "recovered"]
    assert "gap" in kinds
    assert kinds[-1] == "disconnected"


def test_the_wait_before_a_reconnect_is_random_between_nothing_and_a_doubled_bound() -> None:
    assert full_jitter(1, 0.25, 30.0, 0.0) == 0
    assert [full_jitter(attempt, 0.25, 30.0, 1.0) for attempt in (1, 2, 3, 8, 500)] == [0.25, 0.5, 1.0, 30.0, 30.0]
    assert full_jitter(3, 0.25, 30.0, 0.5) == 0.5
