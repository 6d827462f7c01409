"""Feeds whose markets are divided, in the node and in workers."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from actors.market import capability
from actors.market.capability import branch
from actors.market.feed_branch import divided, shard_names
from actors.market.feed_events import FeedEvent
from actors.market.feed_settings import FeedSettings, VenueSettings
from actors.storage.capability import Settings as DatabaseSettings
from protocols.control import Refused, Unknown
from protocols.market import (
    STALE,
    BookStale,
    BookView,
    FeedMarkets,
    FeedStatus,
    FollowMarkets,
    GetBook,
    GetFeedMarkets,
    ListMarkets,
    MarketSummary,
    Quote,
    SampledQuote,
    Trade,
    UnfollowMarkets,
)
from protocols.paths import MARKET_INDEX, feed_book, feed_session
from protocols.venues.simulated import GetEngineBook, RunSteps
from runtime import HostOptions, NodeSettings, StartChild, open_node
from runtime.capability import Whole
from runtime.cluster.settings import ClusterSettings
from runtime.log import NodeLog, open_log
from runtime.log_reader import LogReader
from runtime.settings import ConfigurationError, load
from tests.actors.market.kit import M, Market
from tests.runtime.cluster.conftest import cluster as cluster

MARKETS = tuple(f"SIM-{number}" for number in range(8))
CONFIGURED, FOLLOWED = MARKETS[:4], MARKETS[4:]
SHARDS = shard_names("sim", 2)
KEYED = 'venue = "coinbase"\nmarkets = ["BTC-USD"]\nkey_id = "me"\nkey_file = "key"\n'
PATIENCE_S = 90.0
TOPICS = (Quote, Trade, BookStale, FeedStatus, SampledQuote, FeedMarkets)


class Divided(Market):
    """A running market whose only feed is divided."""

    async def next(self, kind: type[M], fits: Callable[[M], bool] = lambda _: True) -> M:
        """As Market, with the patience that starting processes needs."""
        with trio.fail_after(PATIENCE_S):
            while True:
                while self._heard:
                    message = self._heard.pop(0)
                    self.past.append(message)
                    if isinstance(message, kind) and fits(message):
                        return message
                self._heard += await self._tap.receive()

    async def list(self) -> dict[str, MarketSummary]:
        """All markets by name."""
        return {each.market: each for each in (await self.node.ref(MARKET_INDEX).ask(ListMarkets())).markets}

    async def view(self, market: str) -> BookView:
        """A market's book, found where the list of markets says it is."""
        return await self.node.ref((await self.list())[market].book).ask(GetBook())

    async def current(self, *markets: str) -> None:
        """Wait until the books are the engine's own, which stands still."""
        with trio.fail_after(PATIENCE_S):
            for market in markets or MARKETS:
                engine = await self.node.ref("/market/venue").ask(GetEngineBook(market))
                while True:
                    try:
                        kept = await self.view(market)
                    except (Refused, Unknown):
                        kept = None
                    if kept is not None and (kept.bids, kept.asks, kept.stale) == (engine.bids, engine.asks, ""):
                        break
                    self._heard += await self._tap.receive()

    def process_of(self, shard: str) -> int:
        """The process in which a shard lives."""
        view = self.node.tree(f"/market/{shard}")
        assert view is not None
        found = re.search(r"process (\d+)", view.worker)
        assert found is not None, view
        return int(found[1])


@asynccontextmanager
async def open_divided(
    tmp_path: Path,
    *,
    cluster: ClusterSettings | None = None,
    data_dir: Path | None = None,
    log: NodeLog | None = None,
    **settings: object,
) -> AsyncIterator[Divided]:
    feed = FeedSettings(name="sim", backoff_s=0.05, **settings)  # type: ignore[arg-type]
    spec = branch([feed], VenueSettings(rate=0, markets=MARKETS), tmp_path)
    node_settings = NodeSettings(data_dir=str(data_dir or tmp_path))
    async with open_node(node_settings, cluster=cluster, log=log) as node:
        with node.open_tap(*((kind, None) for kind in TOPICS), path="test", capacity=1_000_000) as tap:
            await node.ref("/").ask(StartChild(spec), timeout=PATIENCE_S)
            yield Divided(node, tap)


# -- the division ------------------------------------------------------------------------------------------------


def test_with_a_shard_more_a_market_moves_only_to_the_new_one() -> None:
    names = [f"M{number}" for number in range(2000)]
    five, six = (divided(shard_names("f", count), names) for count in (5, 6))
    assert sorted(market for owned in six.values() for market in owned) == sorted(names)
    for shard, owned in five.items():
        assert set(six[shard]) <= set(owned)
    assert 0.5 / 6 < len(six["f/5"]) / len(names) < 2 / 6


def test_one_shard_in_the_node_is_the_same_tree_as_ever(tmp_path: Path) -> None:
    [feed] = [
        child
        for child in branch([FeedSettings(name="sim")], VenueSettings(), tmp_path).supervisor.children  # type: ignore[union-attr]
        if child.name == "sim"
    ]
    assert feed.supervisor is not None
    assert [child.name for child in feed.supervisor.children] == ["books", "session"]
    assert feed.supervisor.children[1].arguments["feed"] == "sim"


def test_a_venue_that_sends_large_frames_has_a_decoder_in_each_worker(tmp_path: Path) -> None:
    feed = FeedSettings(name="c", venue="coinbase", markets=("BTC-USD",), placement="process")
    spec = branch([feed], VenueSettings(), tmp_path)
    assert spec.supervisor is not None
    sharded = next(child for child in spec.supervisor.children if child.name == "c")
    assert sharded.supervisor is not None
    [shard] = [child for child in sharded.supervisor.children if child.supervisor is not None]
    assert shard.placement == "process"
    assert shard.supervisor is not None
    assert [child.name for child in shard.supervisor.children] == ["decoder", "books", "session"]
    assert shard.supervisor.children[-1].arguments["decoder"] == "/market/c/0/decoder"


# -- in the node -------------------------------------------------------------------------------------------------


async def test_divided_in_the_node_every_book_is_the_engines_and_is_found_by_its_market(tmp_path: Path) -> None:
    async with open_divided(tmp_path, shards=2) as market:
        await market.state("live")
        await market.node.ref("/market/venue").ask(RunSteps(300))
        await market.current()
        listed = await market.list()
        wanted = {each: shard for shard, owned in divided(SHARDS, MARKETS).items() for each in owned}
        assert {name: each.feed for name, each in listed.items()} == wanted
        assert all(each.book == feed_book(wanted[name], name) for name, each in listed.items())
        assert len(set(wanted.values())) == 2


async def test_a_divided_feed_follows_and_leaves_markets_in_their_shards(tmp_path: Path) -> None:
    async with open_divided(tmp_path, shards=2, markets=MARKETS[:4]) as market:
        await market.state("live")
        session = market.node.ref(feed_session("sim"))
        assert await session.ask(FollowMarkets(MARKETS[4:6]), 10.0) == FeedMarkets("sim", MARKETS[:6])
        await market.current(*MARKETS[:6])
        assert await session.ask(UnfollowMarkets(MARKETS[:1]), 10.0) == FeedMarkets("sim", MARKETS[1:6])
        with pytest.raises(Refused, match="does not follow"):
            await session.ask(UnfollowMarkets(MARKETS[:1]))


# -- in workers --------------------------------------------------------------------------------------------------


async def a_shard_is_lost_and_comes_back(market: Divided) -> None:
    """What must be seen when a worker is killed."""
    await market.state("live")
    session = market.node.ref(feed_session("sim"))
    await session.ask(FollowMarkets(FOLLOWED), 10.0)
    await market.node.ref("/market/venue").ask(RunSteps(300))
    await market.current()
    await market.next(Trade)
    gone, other = SHARDS
    ours = divided(SHARDS, MARKETS)
    assert set(ours[gone]) & set(FOLLOWED)
    sessions = {name: each.quote.session for name, each in (await market.list()).items() if each.quote is not None}
    market.past.clear()
    os.kill(market.process_of(gone), signal.SIGKILL)
    await market.next(FeedStatus, lambda status: (status.feed, status.state) == (gone, "down"))
    # Nobody can be shown a quote of it as fresh: every market is told stale, by its book and by its quote.
    stale: set[str] = {message.market for message in market.past if isinstance(message, BookStale)}
    assert stale == set(ours[gone])
    quoted: set[str] = set()
    while quoted < set(ours[gone]) & sessions.keys():
        quote = await market.next(Quote, lambda message: message.market in ours[gone])
        assert STALE in quote.marks
        quoted.add(quote.market)
    listed = await market.list()
    assert all(STALE in listed[name].quote.marks for name in ours[gone] if listed[name].quote is not None)  # type: ignore[union-attr]
    for name in ours[gone]:
        try:
            assert (await market.view(name)).stale
        except Refused as refused:
            assert refused.code == "stopped"  # noqa: PT017
    # The others have not noticed.
    for name in ours[other]:
        assert not (await market.view(name)).stale
    # It comes back by itself, with another session, and is current again.
    await market.next(FeedStatus, lambda status: (status.feed, status.state) == (gone, "live"))
    await market.node.ref("/market/venue").ask(RunSteps(100))
    await market.current()
    after = {name: each.quote.session for name, each in (await market.list()).items() if each.quote is not None}
    for name in ours[other]:
        assert after[name] == sessions[name]
    for name in ours[gone]:
        assert after[name] != sessions[name]
    found = await market.node.ref(MARKET_INDEX).ask(GetFeedMarkets("sim"))
    assert found.markets == MARKETS
    assert not [message for message in market.past if isinstance(message, BookStale) and message.market in ours[other]]


async def test_a_shard_whose_worker_is_killed_is_stale_at_once_and_comes_back_alone(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_divided(tmp_path, shards=2, markets=CONFIGURED, placement="process", log=log) as market:
            await a_shard_is_lost_and_comes_back(market)
        rows = LogReader(tmp_path / "log").read(1000, 1 << 20)
    finally:
        log.close()
    # What happened in the workers is in the node's log.
    kept = [(row.fields[0], row.fields[1]) for row in rows if row.table.name == FeedEvent.table]
    assert [kind for feed, kind in kept if feed == "sim/0" and kind in ("connected", "shard_lost")] == [
        "connected",
        "shard_lost",
        "connected",
    ]
    assert [kind for feed, kind in kept if feed == "sim/1" and kind in ("connected", "shard_lost")] == ["connected"]


@pytest.mark.long
async def test_a_shard_whose_worker_of_a_cluster_is_killed_comes_back_alone(tmp_path: Path, cluster: Path) -> None:
    address = ClusterSettings(address="local", place_s=60.0)
    spread = HostOptions(spread=True)
    async with open_divided(
        tmp_path, shards=2, markets=CONFIGURED, placement="ray", host=spread, cluster=address, data_dir=cluster
    ) as market:
        assert len({market.node.tree(f"/market/{shard}").node for shard in SHARDS}) == 2  # type: ignore[union-attr]
        await a_shard_is_lost_and_comes_back(market)


# -- what cannot be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "field", "match"),
    [
        ('venue = "replay"\nfile = "x"\nshards = 2', "feeds.0.shards", "expected 1 of a replay, got 2"),
        (
            'venue = "replay"\nfile = "x"\nplacement = "ray"',
            "feeds.0.placement",
            "expected 'local' of a replay, got 'ray'",
        ),
        ('shards = 2\nrecord = "tapes"', "feeds.0.record", "got '.*tapes'"),
        (f'{KEYED}placement = ["ray", "process"]', "feeds.0.key_file", "a key does not leave this machine"),
        ('placement = "ray"', "feeds.0.placement", "'ray' needs a cluster"),
        ('placement = ["local", "ray"]', "feeds.0.placement", "expected 'local', 'process', 'ray' or several"),
    ],
)
def test_what_a_divided_feed_cannot_have_is_one_error_of_the_configuration(
    settings: str, field: str, match: str, tmp_path: Path
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(f'[[feeds]]\nname = "f"\n{settings}\n')
    known = {**capability.sections, "node": NodeSettings, "database": DatabaseSettings, "cluster": ClusterSettings}
    with pytest.raises(ConfigurationError) as caught:
        capability.children(load(file, known, {}, []), Whole())
    [issue] = caught.value.issues
    assert issue.field == field
    assert re.search(match, issue.message)
