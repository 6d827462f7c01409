"""A book keeper by itself: what it publishes, what it asks for, when it is stale."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from actors.market.keeper import BookKeeper
from protocols.control import Request
from protocols.market import (
    BookPosition,
    BookStale,
    BookUpdate,
    GetBookPosition,
    LevelChange,
    MarketStatus,
    Quote,
    RequestSnapshot,
    SampledQuote,
    Side,
    pack_levels,
)
from runtime import Actor, ChildSpec, KillChild, Mailbox, Node, Overflow, Tap, open_node, receive


class GetAsked(Request[tuple[str, ...]], frozen=True, gc=False, tag="test_get_asked"):
    """Asks the stand-in for a session what it was asked for."""


class Session(Actor):
    """Where a keeper's requests for snapshots go."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @receive
    def request(self, message: RequestSnapshot) -> None:
        self.asked.append(message.reason)

    @receive
    def read(self, request: GetAsked) -> tuple[str, ...]:
        return tuple(self.asked)


class Bench:
    """A keeper of market M whose session is at /session."""

    def __init__(self, node: Node, tap: Tap) -> None:
        self.node = node
        self.tap = tap
        self.seq = 0

    def update(self, *changes: tuple[Side, int, int], snapshot: bool = False) -> None:
        self.seq += 1
        levels = tuple(LevelChange(*change) for change in changes)
        kind = "absolute" if snapshot else "signed"
        self.node.publish(BookUpdate("M", levels, kind, snapshot, "s", self.seq, 0, self.seq))  # type: ignore[arg-type]

    async def position(self) -> BookPosition:
        return await self.node.ref("/M").ask(GetBookPosition())

    async def asked(self) -> tuple[str, ...]:
        await self.position()
        return await self.node.ref("/session").ask(GetAsked())

    async def quotes(self) -> list[Quote]:
        await self.position()
        return [message for message in await self.tap.receive() if isinstance(message, Quote)]

    async def heard(self) -> tuple[list[int | None], list[int | None]]:
        """The bids of the quotes that came, and those of the sampled ones."""
        await self.position()
        messages = await self.tap.receive()
        return (
            [message.bid for message in messages if isinstance(message, Quote)],
            [message.quote.bid for message in messages if isinstance(message, SampledQuote)],
        )


@asynccontextmanager
async def open_bench(
    mailbox: Mailbox | None = None, ask_again_s: float = 60.0, sample_ms: float = 0.0
) -> AsyncIterator[Bench]:
    arguments = {
        "market": "M",
        "feed": "f",
        "session": "/session",
        "ask_again_s": ask_again_s,
        "sample_ms": sample_ms,
    }
    session = ChildSpec(name="session", actor=Session)
    keeper = ChildSpec(name="M", actor=BookKeeper, arguments=arguments, mailbox=mailbox)
    async with open_node(children=(session, keeper)) as node:
        with node.open_tap((Quote, None), (SampledQuote, None), capacity=10_000) as tap:
            yield Bench(node, tap)


BOOK: tuple[tuple[Side, int, int], ...] = (("bid", 40, 5), ("ask", 44, 5))


async def test_a_moved_best_price_is_published_as_a_quote() -> None:
    async with open_bench() as bench:
        bench.update(*BOOK, snapshot=True)
        bench.update(("bid", 39, 1))
        bench.update(("bid", 41, 2))
        quotes = await bench.quotes()
        assert [(quote.bid, quote.bid_size, quote.ask) for quote in quotes] == [(40, 5, 44), (41, 2, 44)]
        assert await bench.asked() == ()


async def test_a_gap_is_told_as_a_stale_quote_and_asks_the_feed_once() -> None:
    async with open_bench() as bench:
        bench.update(*BOOK, snapshot=True)
        bench.update(("bid", 45, 1))
        bench.update(("bid", 40, 1))
        quotes = await bench.quotes()
        assert [quote.marks for quote in quotes] == [(), ("stale",)]
        assert await bench.asked() == ("crossed",)
        position = await bench.position()
        assert (position.stale, position.gaps, position.dropped) == ("crossed", 1, 1)
        bench.update(*BOOK, snapshot=True)
        assert [quote.marks for quote in await bench.quotes()] == [()]
        assert (await bench.position()).stale == ""


async def test_an_update_that_found_no_room_is_a_gap() -> None:
    async with open_bench(Mailbox(capacity=4, overflow=Overflow.DROP_NEWEST)) as bench:
        bench.update(*BOOK, snapshot=True)
        await bench.position()
        for _ in range(10):
            bench.update(("bid", 40, 1))
        await trio.testing.wait_all_tasks_blocked()
        position = await bench.position()
        assert (position.stale, position.gaps) == ("lagged", 1)
        assert await bench.asked() == ("lagged",)
        bench.update(*BOOK, snapshot=True)
        assert (await bench.position()).stale == ""


async def test_a_book_still_stale_after_a_while_asks_again() -> None:
    async with open_bench(ask_again_s=0.01) as bench:
        bench.update(*BOOK, snapshot=True)
        bench.update(("bid", 45, 1))
        with trio.fail_after(20):
            # Each turn waits for two answers, so the node goes on meanwhile.
            while len(await bench.asked()) < 3:
                pass
        assert set(await bench.asked()) == {"crossed"}


async def test_what_the_feed_knows_to_be_lost_is_not_asked_for_twice() -> None:
    async with open_bench() as bench:
        bench.update(*BOOK, snapshot=True)
        bench.node.publish(BookStale("M", "another feed", "gap", 0))
        assert (await bench.position()).stale == ""
        bench.node.publish(BookStale("M", "f", "gap", 0))
        assert (await bench.position()).stale == "gap"
        assert await bench.asked() == ()


async def test_a_feed_that_dies_leaves_the_book_stale() -> None:
    async with open_bench() as bench:
        bench.update(*BOOK, snapshot=True)
        await bench.position()
        await bench.node.ref("/").ask(KillChild("session"))
        await trio.testing.wait_all_tasks_blocked()
        assert (await bench.position()).stale == "feed_down"


async def test_in_a_pause_nothing_is_quoted_and_afterwards_the_book_is() -> None:
    async with open_bench() as bench:
        bench.update(*BOOK, snapshot=True)
        bench.node.publish(MarketStatus("M", "paused", "s", 0, 0))
        bench.update(("bid", 41, 1))
        bench.node.publish(MarketStatus("M", "active", "s", 0, 0))
        assert [quote.bid for quote in await bench.quotes()] == [40, 41]


async def test_the_first_quote_is_sampled_at_once_and_the_last_of_an_interval_at_its_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_bench(sample_ms=100) as bench:
        bench.update(("bid", 40, 1), snapshot=True)
        assert await bench.heard() == ([40], [40])
        for _ in range(3):
            bench.update(("bid", 40, 1))
            bench.update(("bid", 41, 1))
            bench.update(("bid", 41, -1))
        bench.update(("bid", 43, 1))
        quotes, sampled = await bench.heard()
        assert (len(quotes), sampled) == (10, [])
        await trio.sleep(0.11)
        assert await bench.heard() == ([], [43])
        await trio.sleep(1)
        bench.update(("bid", 44, 1))
        assert await bench.heard() == ([44], [44])
        await trio.sleep(1)
        bench.update(("bid", 45, 1))
        assert await bench.heard() == ([45], [45])


async def test_that_a_book_is_stale_is_sampled_too(autojump_clock: trio.testing.MockClock) -> None:
    async with open_bench(sample_ms=100) as bench:
        bench.update(("bid", 40, 1), snapshot=True)
        await bench.heard()
        bench.node.publish(BookStale("M", "f", "gap", 0))
        await trio.sleep(0.2)
        sampled = [message.quote for message in await bench.tap.receive() if isinstance(message, SampledQuote)]
        assert [quote.marks for quote in sampled] == [("stale",)]


async def test_what_waits_to_be_sampled_goes_out_before_a_pause(autojump_clock: trio.testing.MockClock) -> None:
    async with open_bench(sample_ms=100) as bench:
        bench.update(("bid", 40, 1), snapshot=True)
        bench.update(("bid", 41, 1))
        bench.node.publish(MarketStatus("M", "auction", "s", 0, 0))
        assert await bench.heard() == ([40, 41], [40, 41])
        await trio.sleep(1)
        bench.node.publish(MarketStatus("M", "active", "s", 0, 0))
        assert await bench.heard() == ([41], [41])


async def test_a_packed_snapshot_is_kept_like_any_other() -> None:
    async with open_bench() as bench:
        bids, asks = pack_levels([(40, 5)]), pack_levels([(44, 5)])
        bench.node.publish(BookUpdate("M", (), "absolute", True, "s", 1, 0, 0, (), bids, asks))
        assert [(quote.bid, quote.ask) for quote in await bench.quotes()] == [(40, 44)]
