from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.market import capability
from actors.market.capability import branch
from actors.market.feed_settings import FeedSettings, VenueSettings
from actors.market.provider_settings import ProviderSettings, ProviderSource
from actors.storage.capability import Settings as DatabaseSettings
from protocols.control import Probe
from protocols.market import FeedStatus, ListMarkets
from protocols.paths import feed_book, feed_session
from runtime import KillChild, NodeSettings
from runtime.capability import Whole
from runtime.settings import ConfigurationError, load
from tests.actors.market.kit import ALPHA, BETA, open_market
from tests.actors.market.test_sample import SAMPLE


def names(spec: Any) -> list[str]:
    return [child.name for child in spec.supervisor.children]


def test_a_feed_of_the_simulated_venue_brings_the_venue_along(tmp_path: Path) -> None:
    fixed = ["decoder", "budgets"]
    assert names(branch((FeedSettings(name="sim"),), VenueSettings(), tmp_path)) == ["index", "venue", *fixed, "sim"]
    assert names(branch((), VenueSettings(), tmp_path)) == ["index"]
    assert names(branch((), VenueSettings(serve=True), tmp_path)) == ["index", "venue"]
    far = FeedSettings(name="far", url="ws://127.0.0.1:1/", markets=("M",))
    assert names(branch((far,), VenueSettings(), tmp_path)) == ["index", *fixed, "far"]


def test_a_choice_of_providers_knows_which_feeds_are_simulated_here_or_elsewhere(tmp_path: Path) -> None:
    feeds = (
        FeedSettings(name="here", speaks="binance", markets=("BTCUSDT",)),
        FeedSettings(name="far", speaks="coinbase", url="ws://127.0.0.1:1/", markets=("BTC-USD",)),
        FeedSettings(name="real", venue="kraken", markets=("BTC/USD",)),
    )
    symbol = ProviderSettings(symbol="BTC", sources=(ProviderSource(market="BTCUSDT.BINANCE"),))
    market = branch(feeds, VenueSettings(), tmp_path, providers=[symbol])
    [providers] = [each for each in market.supervisor.children if each.name == "providers"]  # type: ignore[union-attr]
    assert {each["feed"]: each["simulated"] for each in providers.arguments["feeds"]} == {
        "here": True,
        "far": True,
        "real": False,
    }


def test_the_tree_stands_where_the_well_known_paths_say(tmp_path: Path) -> None:
    market = branch((FeedSettings(name="sim"),), VenueSettings(), tmp_path)
    feed = market.supervisor.children[-1]  # type: ignore[union-attr]
    books, session = feed.supervisor.children  # type: ignore[union-attr]
    assert f"/market/{feed.name}/{session.name}" == feed_session("sim")
    assert [f"/market/sim/{books.name}/{name}" for name in names(books)] == [
        feed_book("sim", ALPHA),
        feed_book("sim", BETA),
    ]


def test_a_replay_has_the_books_of_its_recording(tmp_path: Path) -> None:
    market = branch((FeedSettings(name="past", venue="replay", file=str(SAMPLE)),), VenueSettings(), tmp_path)
    feed = market.supervisor.children[-1]  # type: ignore[union-attr]
    assert names(feed.supervisor.children[0]) == [ALPHA, BETA]  # type: ignore[union-attr]


def test_one_market_in_two_feeds_is_refused(tmp_path: Path) -> None:
    feeds = (FeedSettings(name="sim"), FeedSettings(name="past", venue="replay", file=str(SAMPLE)))
    with pytest.raises(ValueError, match=r"^the market 'SIM-ALPHA' is in the feeds 'sim' and 'past'$"):
        branch(feeds, VenueSettings(), tmp_path)
    with pytest.raises(ValueError, match=r"^two feeds have the same name$"):
        branch((FeedSettings(name="sim"), FeedSettings(name="sim")), VenueSettings(), tmp_path)


def test_a_replay_without_a_readable_recording_is_refused(tmp_path: Path) -> None:
    for content in (None, b"junk"):
        file = tmp_path / "absent.jsonl"
        if content is not None:
            file.write_bytes(content)
        feed = FeedSettings(name="past", venue="replay", file=str(file))
        with pytest.raises(ValueError, match=r"^the replay 'past' cannot read its file: "):
            branch((feed,), VenueSettings(), tmp_path)


@pytest.mark.parametrize(
    ("feed", "match"),
    [
        ({"name": "venue"}, "a feed cannot be named 'venue'"),
        ({"name": "Not/good"}, "regex"),
        ({"name": "a", "venue": "replay"}, "the replay 'a' needs a file"),
        ({"name": "a", "venue": "kalshi"}, "the feed 'a' needs markets"),
        ({"name": "a", "venue": "coinbase", "markets": ["BTC-USD"], "channels": ["funding"]}, "coinbase offers"),
        ({"name": "a", "venue": "binance", "discover": 5}, "only Kalshi's markets can be discovered"),
        ({"name": "a", "venue": "nasdaq", "markets": ["X"]}, "nasdaq"),
        ({"name": "store"}, "a feed cannot be named 'store'"),
        ({"name": "a", "marks": ["fresh"]}, "expected marks out of delayed, demo, stale, synthetic, got fresh"),
        ({"name": "a", "speed": -1}, "speed"),
        ({"name": "a", "colour": "red"}, "colour"),
    ],
)
def test_a_feed_that_cannot_be_is_refused_with_the_reason(feed: dict[str, Any], match: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=match):
        msgspec.convert(feed, FeedSettings)


def test_a_venue_that_lets_nobody_in_without_a_key_needs_one(tmp_path: Path) -> None:
    feed = FeedSettings(name="a", venue="kalshi", markets=("M",))
    with pytest.raises(ValueError, match="the feed 'a' needs key_id and key_file: kalshi lets nobody in without"):
        branch((feed,), VenueSettings(), tmp_path)


def test_a_market_may_be_named_in_the_venues_words_or_in_ours(tmp_path: Path) -> None:
    feed = FeedSettings(name="b", venue="binance", markets=("BTCUSDT", "ETHUSDT.BINANCE", "BTCUSDT.BINANCE"))
    market = branch((feed,), VenueSettings(), tmp_path)
    books, session = market.supervisor.children[-1].supervisor.children  # type: ignore[union-attr]
    assert names(books) == ["BTCUSDT.BINANCE", "ETHUSDT.BINANCE"]
    assert session.arguments["markets"] == ("BTCUSDT.BINANCE", "ETHUSDT.BINANCE")


def test_a_feed_without_books_may_follow_what_another_keeps_the_books_of(tmp_path: Path) -> None:
    books = FeedSettings(name="a", venue="binance-usdm", markets=("BTCUSDT",), channels=("book", "trades"))
    rates = FeedSettings(name="b", venue="binance-usdm", markets=("BTCUSDT",), channels=("funding", "liquidations"))
    market = branch((books, rates), VenueSettings(), tmp_path)
    first, second = market.supervisor.children[-2:]  # type: ignore[union-attr]
    assert names(first.supervisor.children[0]) == ["BTCUSDT.BINANCE-USDM"]  # type: ignore[union-attr]
    assert names(second.supervisor.children[0]) == []  # type: ignore[union-attr]
    with pytest.raises(msgspec.ValidationError, match="the feed 'c'"):
        msgspec.convert(
            {"name": "c", "venue": "binance-usdm", "markets": ["BTCUSDT"], "channels": ["book", "funding"]},
            FeedSettings,
        )


def test_each_venue_account_has_one_budget(tmp_path: Path) -> None:
    feeds = (
        FeedSettings(name="a", venue="binance", markets=("BTCUSDT",)),
        FeedSettings(name="b", venue="binance", markets=("ETHUSDT",)),
        FeedSettings(name="c", venue="coinbase", markets=("BTC-USD",)),
    )
    market = branch(feeds, VenueSettings(), tmp_path)
    (budgets,) = (each for each in market.supervisor.children if each.name == "budgets")  # type: ignore[union-attr]
    assert names(budgets) == ["binance", "coinbase"]


def test_the_sections_load_from_a_configuration_file(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[venue]\nrate = 10\n[[feeds]]\nname = "past"\nvenue = "replay"\nfile = "x.jsonl"\n')
    config = load(file, capability.sections, {}, ["feeds.past.speed=0"])
    (feed,) = config.section("feeds")
    assert (feed.file, feed.speed) == (str(tmp_path / "x.jsonl"), 0)
    assert config.section("venue").rate == 10
    file.write_text('[[feeds]]\nname = "past"\nspede = 1\n')
    with pytest.raises(ConfigurationError, match="spede"):
        load(file, capability.sections, {}, [])


def test_feeds_that_cannot_be_together_are_an_error_of_the_configuration(tmp_path: Path) -> None:
    known = {**capability.sections, "node": NodeSettings, "database": DatabaseSettings}
    file = tmp_path / "node.toml"
    file.write_text(f'[[feeds]]\nname = "a"\n[[feeds]]\nname = "past"\nvenue = "replay"\nfile = "{SAMPLE}"\n')
    with pytest.raises(ConfigurationError, match=r"^feeds: the market 'SIM-ALPHA' is in the feeds 'a' and 'past'$"):
        capability.children(load(file, known, {}, []), Whole())
    (spec,) = capability.children(load(None, known, {}, []), Whole())
    assert names(spec) == ["index", "store", "retention", "bars", "derivatives", "stream", "instruments"]


async def test_the_index_knows_every_market_of_every_feed(tmp_path: Path) -> None:
    past = FeedSettings(name="past", venue="replay", file=str(SAMPLE), speed=0)
    sim = FeedSettings(name="sim", markets=("SIM-C",))
    async with open_market(tmp_path, past, sim, venue=VenueSettings(rate=0, markets=("SIM-C",))) as market:
        await market.states(sim="live", past="ended")
        index = market.node.ref("/market/index")
        found = await index.ask(ListMarkets())
        assert [(each.market, each.feed, each.marks) for each in found.markets] == [
            (ALPHA, "past", ("delayed", "synthetic")),
            (BETA, "past", ("delayed", "synthetic")),
            ("SIM-C", "sim", ("synthetic",)),
        ]
        assert [(each.feed, each.state) for each in found.feeds] == [("past", "ended"), ("sim", "live")]
        report = await index.ask(Probe())
        assert (report.status, report.ready) == ("ok", True)
        figures = dict(report.figures)
        assert (figures["markets"], figures["sim: books current"], figures["past: gaps"]) == (3, 1, 0)


async def test_a_feed_that_gives_up_ends_alone_and_the_index_says_so(tmp_path: Path) -> None:
    past = FeedSettings(name="past", venue="replay", file=str(SAMPLE), speed=0)
    sim = FeedSettings(name="sim", markets=("SIM-C",))
    async with open_market(tmp_path, past, sim, venue=VenueSettings(rate=0, markets=("SIM-C",))) as market:
        await market.state("live", "sim")
        for _ in range(5):
            await market.killed("/market/sim/session")
        await market.node.ref("/market/sim").ask(KillChild("session"))
        index = market.node.ref("/market/index")
        await market.gone("/market/sim")
        report = await index.ask(Probe())
        assert report.status == "failed"
        states = {each.feed: each for each in (await index.ask(ListMarkets())).feeds}
        assert (states["sim"].state, states["sim"].detail) == ("down", "its supervisor gave up")
        assert isinstance(states["past"], FeedStatus)
        assert states["past"].state == "ended"
