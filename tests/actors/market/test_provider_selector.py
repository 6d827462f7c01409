"""The actor of the providers: values out of what feeds publish, bars out of what was heard or over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
import trio.lowlevel

from actors.market.instrument_master import InstrumentSource
from actors.market.provider_settings import ProviderSettings, ProviderSource, specs
from protocols.control import ActorEvent, Refused
from protocols.market import Bar, BookStale, FeedStatus, Quote, Ticker
from protocols.providers import (
    PROVIDERS,
    GetProvidedBars,
    GetProvidedQuote,
    GetProviders,
    ProviderSwitched,
)
from runtime import KillChild, Node, NodeSettings, open_node, supervisor
from runtime.clock import VirtualClock
from tests.actors.market import history_stand_ins as venues
from tests.actors.market.history_stand_ins import NANO, Truth
from tests.actors.market.rest_stand_in import rest_stand_in
from tests.actors.market.test_history_download import MINUTES, START

A, B = "BTCUSDT.BINANCE", "BTC-USD.COINBASE"
NOW = (START + 2600 * 60) * NANO
SETTINGS = ProviderSettings(
    symbol="BTC", sources=(ProviderSource(market=A, max_age_s=10), ProviderSource(market=B)), trials=1, failures=1
)


@asynccontextmanager
async def desk(*feeds: InstrumentSource, settings: Sequence[ProviderSettings] = (SETTINGS,)) -> AsyncIterator[Node]:
    tree = supervisor("market", *specs(settings, feeds))
    async with open_node(NodeSettings(), children=(tree,), clock=VirtualClock(NOW)) as node:
        yield node


def say(node: Node, market: str, bid: int = 10) -> None:
    node.publish(Quote(market, bid, 1, bid + 1, 1, "s", 1, node.clock.now(), node.clock.now()))


def bar(start: int, market: str = A) -> Bar:
    return Bar(market, "1m", start, start + 60 * NANO, 1, 1, 1, 1, "1", 1, None, "trades", start)


async def test_a_symbol_has_the_quote_of_its_first_good_provider() -> None:
    async with desk(InstrumentSource(venue="binance", markets=(A,), feed="bin")) as node:
        selector = node.ref(PROVIDERS)
        with pytest.raises(Refused, match="said anything"):
            await selector.ask(GetProvidedQuote("BTC"))
        with pytest.raises(Refused, match="ETH"):
            await selector.ask(GetProvidedQuote("ETH"))
        say(node, B, 20)
        say(node, A, 10)
        found = await selector.ask(GetProvidedQuote("BTC"))
        assert (found.provider, found.feed, found.bid, found.freshness) == (A, "bin", 10, "live")
        with node.open_tap((ProviderSwitched, "BTC"), path="test") as tap:
            node.publish(FeedStatus("bin", "down", "", "closed", NOW))
            found = await selector.ask(GetProvidedQuote("BTC"))
            assert (found.provider, found.bid, found.passed_over) == (B, 20, ((A, "its feed is down"),))
            (switched,) = await tap.receive()
        assert isinstance(switched, ProviderSwitched)
        assert (switched.old, switched.new, switched.reason) == (A, B, "its feed is down")


async def test_a_stale_book_is_left_and_the_providers_say_how_they_are() -> None:
    async with desk() as node:
        selector = node.ref(PROVIDERS)
        say(node, A)
        node.publish(Ticker(B, None, None, None, None, 7, "s", 1, 0, NOW, ("delayed",)))
        node.publish(BookStale(A, "bin", "gap", NOW))
        found = await selector.ask(GetProvidedQuote("BTC"))
        assert (found.provider, found.last, found.freshness) == (B, 7, "delayed")
        (symbol,) = (await selector.ask(GetProviders())).symbols
        assert (symbol.symbol, symbol.chosen) == ("BTC", B)
        assert [(each.quotes, each.freshness) for each in symbol.providers] == [
            ("open", "stale"),
            ("closed", "delayed"),
        ]


async def test_bars_that_were_heard_are_given_without_asking_anybody() -> None:
    async with desk() as node:
        starts = [NOW - n * 60 * NANO for n in range(5, 0, -1)]
        for start in starts:
            node.publish(bar(start))
        found = await node.ref(PROVIDERS).ask(GetProvidedBars("BTC", "1m", starts[0], NOW + 60 * NANO))
        assert [each.start for each in found.bars] == starts
        assert (found.provider, found.freshness, found.age, found.more) == (A, "live", 0, False)


async def test_bars_come_over_rest_where_some_were_not_heard() -> None:
    with rest_stand_in(venues.binance(Truth(MINUTES))) as stand_in:
        feed = InstrumentSource(venue="binance", markets=(A,), rest_url=stand_in.url)
        async with desk(feed) as node:
            node.publish(bar(NOW - 180 * NANO))
            node.publish(bar(NOW - 60 * NANO))  # the one between them was lost
            found = await node.ref(PROVIDERS).ask(GetProvidedBars("BTC", "1m", NOW - 180 * NANO, NOW))
            assert [each.start for each in found.bars] == [NOW - n * 60 * NANO for n in (3, 2, 1)]
            assert (found.provider, found.freshness, found.bars[0].source) == (A, "live", "venue")


async def test_a_provider_that_fails_is_left_for_the_next_and_then_not_asked_for_a_while() -> None:
    with (
        rest_stand_in(lambda path, query: (503, {})) as broken,
        rest_stand_in(venues.coinbase(Truth(MINUTES))) as well,
    ):
        feeds = (
            InstrumentSource(venue="binance", markets=(A,), rest_url=broken.url),
            InstrumentSource(venue="coinbase", markets=(B,), rest_url=well.url),
        )
        async with desk(*feeds) as node:
            selector = node.ref(PROVIDERS)
            for _ in range(2):
                found = await selector.ask(GetProvidedBars("BTC", "1m", NOW - 300 * NANO, NOW))
                assert (found.provider, len(found.bars)) == (B, 5)
                assert found.passed_over[0][0] == A
            assert len(broken.asked) == 1
            (symbol,) = (await selector.ask(GetProviders("BTC"))).symbols
            assert [each.bars for each in symbol.providers] == ["open", "closed"]
            assert symbol.chosen == ""


async def test_a_symbol_with_a_simulated_provider_has_no_bars_but_those_that_were_heard() -> None:
    with rest_stand_in(venues.coinbase(Truth(MINUTES))) as real:
        feeds = (
            InstrumentSource(venue="binance", markets=(A,), feed="made-up", simulated=True),
            InstrumentSource(venue="coinbase", markets=(B,), rest_url=real.url),
        )
        async with desk(*feeds) as node:
            asked = GetProvidedBars("BTC", "1m", NOW - 300 * NANO, NOW)
            with pytest.raises(Refused, match="that were heard") as refused:
                await node.ref(PROVIDERS).ask(asked)
            assert refused.value.code == "unavailable"
            node.publish(bar(NOW - 120 * NANO))
            found = await node.ref(PROVIDERS).ask(asked)
            assert (found.provider, [each.start for each in found.bars]) == (A, [NOW - 120 * NANO])
            assert real.asked == []


async def test_where_no_provider_gives_bars_the_reasons_are_told() -> None:
    with rest_stand_in(lambda path, query: (503, {})) as broken:
        feeds = [
            InstrumentSource(venue=venue, markets=(market,), rest_url=broken.url)
            for venue, market in (("binance", A), ("coinbase", B))
        ]
        async with desk(*feeds) as node:
            with pytest.raises(Refused) as refused:
                await node.ref(PROVIDERS).ask(GetProvidedBars("BTC", "1m", NOW - 300 * NANO, NOW))
            assert refused.value.code == "unavailable"
            assert A in refused.value.message
            assert B in refused.value.message


async def test_bars_that_end_too_early_are_stale() -> None:
    with rest_stand_in(venues.binance(Truth(MINUTES[:-30]))) as stand_in:
        async with desk(InstrumentSource(venue="binance", markets=(A,), rest_url=stand_in.url)) as node:
            found = await node.ref(PROVIDERS).ask(GetProvidedBars("BTC", "1m", NOW - 3600 * NANO, NOW))
            assert (found.freshness, found.age) == ("stale", 1800 * NANO)


async def test_a_span_or_an_interval_that_is_none_is_refused() -> None:
    async with desk() as node:
        for request in (GetProvidedBars("BTC", "1m", 5, 5), GetProvidedBars("BTC", "soon", 1, 5)):
            with pytest.raises(Refused) as refused:
                await node.ref(PROVIDERS).ask(request)
            assert refused.value.code == "invalid"


async def test_after_a_restart_it_hears_again() -> None:
    async with desk() as node:
        say(node, A)
        with node.open_tap((ActorEvent, PROVIDERS), path="test") as tap, trio.fail_after(10):
            await node.ref("/market").ask(KillChild("providers"))
            while not any(isinstance(each, ActorEvent) and each.event == "started" for each in await tap.receive()):
                pass
        say(node, A, 33)
        assert (await node.ref(PROVIDERS).ask(GetProvidedQuote("BTC"))).bid == 33


def test_settings_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="needs sources"):
        ProviderSettings(symbol="X", sources=())
    with pytest.raises(ValueError, match="twice"):
        ProviderSettings(symbol="X", sources=(ProviderSource(market="A"), ProviderSource(market="A")))
    with pytest.raises(ValueError, match="expected a venue"):
        ProviderSettings(symbol="X", sources=(ProviderSource(market="A", venue="nasdaq"),))
    with pytest.raises(ValueError, match="same symbol"):
        specs([SETTINGS, SETTINGS])
    assert specs([]) == []
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"symbol": "X", "sources": [{"market": "A", "max_age_s": 0}]}, ProviderSettings)
