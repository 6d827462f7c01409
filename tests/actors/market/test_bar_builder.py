"""The bar builder on a node: what it publishes, what it keeps, and what it says after a loss."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from actors.market.bar_builder import BarSettings, specs
from actors.market.bars_intervals import parse_interval
from actors.market.capability import branch
from actors.market.feed_settings import FeedSettings, VenueSettings
from protocols.control import Probe, Refused
from protocols.instruments import Instrument, PriceRange
from protocols.market import Bar, BookStale, FeedMarkets, FeedStatus, MarketStatus, Trade
from protocols.market_data import BARS, BuildBars, GetBars, GetTrades
from protocols.nanos import NANO
from runtime import Node, NodeSettings, StartChild, Tap, open_node, supervisor
from tests.actors.market.test_bars import astuple, binance_trades, numpy_bars

SECOND = NANO
MINUTE = 60 * SECOND
T0 = 1_699_999_980 * SECOND


def trade(second: float, price: int = 50, *, market: str = "M", id_: str = "", session: str = "f-1") -> Trade:
    ts = T0 + round(second * SECOND)
    return Trade(market, price, NANO, "buy", id_, session, 1, ts, ts + 1)


class Builder:
    def __init__(self, node: Node, tap: Tap) -> None:
        self.node = node
        self._tap = tap
        self._heard: list[Bar] = []

    async def say(
        self, *messages: Trade | BookStale | FeedStatus | FeedMarkets | MarketStatus | Instrument | Bar
    ) -> None:
        for message in messages:
            self.node.publish(message)
        await self.node.ref(BARS).ask(Probe())  # all of it has been handled

    async def bars(self, count: int) -> list[Bar]:
        with trio.fail_after(20):
            while len(self._heard) < count:
                self._heard += [each for each in await self._tap.receive() if isinstance(each, Bar)]
        found, self._heard = self._heard[:count], self._heard[count:]
        return found

    async def figures(self) -> dict[str, object]:
        return dict((await self.node.ref(BARS).ask(Probe())).figures)


@asynccontextmanager
async def building(**settings: object) -> AsyncIterator[Builder]:
    given = {"intervals": ("1m",), "grace_ms": 0} | settings
    tree = supervisor("market", *specs(BarSettings(**given)))  # type: ignore[arg-type]
    async with open_node(NodeSettings(), (tree,)) as node:
        with node.open_tap((Bar, None), path="test", capacity=10_000) as tap:
            yield Builder(node, tap)


async def test_bars_are_published_when_they_are_over_and_kept() -> None:
    async with building(intervals=("1m", "2t")) as builder:
        await builder.say(trade(1, 50), trade(2, 60), trade(61, 70), trade(130, 80))
        counted, first, second, pair = await builder.bars(4)
        assert (counted.interval, counted.open, counted.close) == ("2t", 50, 60)
        assert (first.start, first.open, first.close, first.volume) == (T0, 50, 60, "2")
        assert (second.start, second.close) == (T0 + MINUTE, 70)
        assert (pair.interval, pair.close) == ("2t", 80)
        found = await builder.node.ref(BARS).ask(GetBars("M", "1m"))
        assert found.bars == (first, second)
        assert found.source == "trades"
        assert (await builder.node.ref(BARS).ask(GetBars("M", "1m", start=T0 + 1))).bars == (second,)
        assert (await builder.node.ref(BARS).ask(GetBars("M", "9m"))).kept_from is None
        trades = await builder.node.ref(BARS).ask(GetTrades("M", limit=2))
        assert [each.price for each in trades.trades] == [70, 80]
        assert (await builder.node.ref(BARS).ask(GetTrades("X"))).trades == ()


async def test_a_trade_that_comes_again_is_left_out() -> None:
    async with building() as builder:
        await builder.say(trade(1, id_="a"), trade(2, id_="b"), trade(1, id_="a", session="f-2"), trade(70, id_="c"))
        (bar,) = await builder.bars(1)
        assert bar.trades == 2
        assert (await builder.figures())["repeated"] == 1


async def test_a_bar_that_was_open_when_frames_were_lost_is_marked_and_the_next_ones_are_not() -> None:
    async with building() as builder:
        await builder.say(trade(1), trade(61), trade(121), BookStale("M", "f", "sequence", T0))
        await builder.say(trade(190), trade(250))
        marks = [bar.marks for bar in await builder.bars(4)]
        assert marks == [("stale",), (), ("stale",), ()]


async def test_bars_that_were_open_when_the_mailbox_was_full_are_marked() -> None:
    async with building() as builder:
        await builder.say(trade(1), trade(61), trade(121))
        # The actor has no turn meanwhile.
        for number in range(66_000):
            builder.node.publish(trade(122, market="FLOOD" if number else "M"))
        await trio.testing.wait_all_tasks_blocked()
        await builder.say(trade(181), trade(241), trade(301))
        found = await builder.bars(5)
        assert [bar.marks for bar in found if bar.market == "M"][:5] == [("stale",), (), ("stale",), (), ()]
        assert int(str((await builder.figures())["lost"])) > 0


async def test_while_its_feed_is_down_the_bars_of_a_market_are_marked() -> None:
    async with building() as builder:
        up = FeedStatus("f", "live", "f-1", "", T0)
        await builder.say(up, trade(1), trade(61), trade(1, market="N", session="g-1"))
        await builder.say(FeedStatus("f", "down", "", "closed", T0))
        await builder.say(FeedStatus("f", "live", "f-2", "", T0))
        await builder.say(trade(130, session="f-2"), trade(190, session="f-2"))
        await builder.say(trade(61, market="N", session="g-1"), trade(121, market="N", session="g-1"))
        found = await builder.bars(5)
        assert [bar.marks for bar in found if bar.market == "M"] == [("stale",), ("stale",), ()]
        assert [bar.marks for bar in found if bar.market == "N"] == [("stale",), ()]


async def test_a_quiet_market_of_a_replay_closes_its_bars_by_the_time_of_the_others() -> None:
    async with building() as builder:
        await builder.say(trade(1, market="QUIET"), trade(1, market="BUSY"), trade(200, market="BUSY"))
        found = await builder.bars(6)
        assert [bar.start for bar in found if bar.market == "QUIET"] == [T0, T0 + MINUTE, T0 + 2 * MINUTE]


async def test_without_any_event_a_bar_of_now_is_closed_by_the_timer() -> None:
    async with building(intervals=("100ms",)) as builder:
        now = builder.node.clock.now()
        await builder.say(Trade("M", 50, NANO, "buy", "", "f-1", 1, now, now))
        first, second = await builder.bars(2)
        assert first.start <= now < first.end
        assert second.empty
        assert second.start == first.end


async def test_a_market_that_is_over_is_forgotten_when_its_last_bar_is_closed() -> None:
    async with building() as builder:
        await builder.say(trade(1), trade(1, market="N"), MarketStatus("M", "settled", "f-1", T0, T0))
        await builder.say(trade(300, market="N"))
        found = await builder.bars(6)
        assert [bar.start for bar in found if bar.market == "M"] == [T0]
        with trio.fail_after(20):
            while (await builder.figures())["markets"] != 1:
                await builder.bars(0)


async def test_a_market_that_its_feed_has_left_has_no_empty_bars() -> None:
    async with building() as builder:
        await builder.say(FeedStatus("f", "live", "f-1", "", T0), trade(1, session="f-1/2.2"))
        await builder.say(trade(1, market="N", session="f-1/2.2"))
        await builder.say(FeedMarkets("f", ("N",)), trade(200, market="N", session="f-1/2.2"))
        found = await builder.bars(4)
        assert [bar.start for bar in found if bar.market == "M"] == [T0]


async def test_the_venues_own_bars_are_kept_beside() -> None:
    async with building() as builder:
        own = Bar("M", "1m", T0, T0 + MINUTE, 1, 3, 1, 2, "5", None, None, "venue", T0)
        await builder.say(trade(1), trade(61), own)
        assert (await builder.node.ref(BARS).ask(GetBars("M", "1m"))).bars == (own,)
        built = (await builder.node.ref(BARS).ask(GetBars("M", "1m", source="trades"))).bars
        assert [bar.source for bar in built] == ["trades"]


async def test_daily_bars_follow_the_calendar_of_the_instrument() -> None:
    opens = 1_699_626_600 * SECOND
    later = opens + 7 * 3600 * SECOND
    async with building(intervals=("1d",)) as builder:
        steps = (PriceRange(0, 10**15, 10_000_000),)
        await builder.say(Instrument(market="SPY", symbol="SPY", venue="x", kind="equity", currency="USD", price_ranges=steps, lot=NANO, calendar="XNYS"))  # fmt: skip  # noqa: E501
        with trio.fail_after(60):
            while not (await builder.figures())["calendars"]:  # noqa: ASYNC110 - its only sign is this figure
                await trio.sleep(0.01)
        for ts in (opens, later):
            await builder.say(Trade("SPY", 5, NANO, None, "", "f-1", 1, ts, ts))
        found = (await builder.node.ref(BARS).ask(GetBars("SPY", "1d"))).bars
        assert (found[0].start, found[0].end) == (opens, opens + 23_400 * SECOND)


@pytest.mark.parametrize("intervals", [("1y",), ("1m", "1m")])
def test_intervals_that_make_no_sense_are_refused_in_the_configuration(intervals: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="interval"):
        BarSettings(intervals=intervals)


@pytest.mark.recordings
async def test_a_replayed_recording_makes_the_bars_that_a_plain_aggregation_of_its_trades_makes(
    recordings: Path, tmp_path: Path
) -> None:
    file = recordings / "binance-spot-btcusdt-20240808.txt.gz"
    feed = FeedSettings(name="past", venue="replay", file=str(file), speed=0)
    market = branch((feed,), VenueSettings(), tmp_path, bars=BarSettings(intervals=("1s", "10s")))
    found: list[Bar] = []
    async with open_node(NodeSettings(data_dir=str(tmp_path)), ()) as node:
        with node.open_tap((Bar, None), (FeedStatus, None), path="test", capacity=100_000) as tap, trio.fail_after(60):
            await node.ref("/").ask(StartChild(market), timeout=20.0)
            ended = False
            while not ended:
                for message in await tap.receive():
                    if isinstance(message, Bar):
                        found.append(message)
                    ended = ended or (isinstance(message, FeedStatus) and message.state == "ended")
            figures = dict((await node.ref(BARS).ask(Probe())).figures)
    assert (figures["late"], figures["lost"], figures["repeated"]) == (0, 0, 0)
    ts, prices, sizes = binance_trades(file)
    for interval in ("1s", "10s"):
        own = [bar for bar in found if bar.interval == interval]
        expected = numpy_bars(ts, prices, sizes, parse_interval(interval).length)
        # What is open at the end of the recording is not complete.
        filled = [astuple(bar) for bar in own if not bar.empty]
        assert filled == expected[: len(filled)]
        assert len(filled) >= len(expected) - 3
        assert {mark for bar in own for mark in bar.marks} == {"delayed", "stale"}
        assert ["stale" in bar.marks for bar in own] == [True] + [False] * (len(own) - 1)


async def test_bars_of_another_interval_are_built_of_one_market_once_somebody_asks() -> None:
    async with building() as builder:
        await builder.say(trade(1, 50))
        bars = builder.node.ref(BARS)
        await bars.ask(BuildBars("M", "10s"))
        await bars.ask(BuildBars("M", "10s"))
        await bars.ask(BuildBars("M", "1m"))  # is built already
        await builder.say(trade(11, 60), trade(21, 70), trade(11, 5, market="N"), trade(21, 5, market="N"))
        found = await builder.bars(1)
        assert [(bar.market, bar.interval, bar.open) for bar in found] == [("M", "10s", 60)]
        await builder.say(trade(61, 80))
        assert sorted((bar.interval, bar.market) for bar in await builder.bars(5)) == [
            ("10s", "M"), ("10s", "M"), ("10s", "M"), ("10s", "M"), ("1m", "M"),
        ]  # fmt: skip
        with pytest.raises(Refused, match="interval"):
            await bars.ask(BuildBars("M", "soon"))
