"""The instrument master: it asks venues, hears sessions, tells of changes, and remembers over a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
import pytest
import trio

from actors.market.instrument_master import InstrumentSettings, InstrumentSource, specs
from protocols.control import Message, Probe, Refused
from protocols.instruments import GetInstrument, Instrument, ListInstruments, PriceRange
from protocols.nanos import NANO
from protocols.storage import DatabaseReady, QueryResult, RunQuery
from runtime import Actor, ChildSpec, Node, NodeSettings, StartChild, Tap, open_node, receive, supervisor
from runtime.clock import VirtualClock
from tests.actors.market.rest_stand_in import Query, rest_stand_in

MASTER = "/market/instruments"
NOW = 1_700_000_000 * NANO
M = TypeVar("M", bound=Message)


def market(ticker: str, step: str = "0.0100", status: str = "active") -> dict[str, Any]:
    ranges = [{"start": "0.0000", "end": "1.0000", "step": step}]
    return {"ticker": ticker, "title": "Will it?", "yes_sub_title": "Yes", "status": status, "price_ranges": ranges}


class Venue:
    """Kalshi's list of markets, in pages of two."""

    def __init__(self) -> None:
        self.markets = {ticker: market(ticker) for ticker in ("KX-A", "KX-B", "KX-C")}

    def __call__(self, path: str, query: Query) -> tuple[int, Any]:
        assert path == "/trade-api/v2/markets"
        wanted = query.get("tickers", "").split(",")
        found = [each for ticker, each in self.markets.items() if ticker in wanted or "tickers" not in query]
        at = int(query.get("cursor") or 0)
        return 200, {"markets": found[at : at + 2], "cursor": str(at + 2) if at + 2 < len(found) else ""}


class Table(Actor):
    """Answers the one query of the master as the database would, in pages."""

    def __init__(self, rows: list[dict[str, Any]], page: int = 500, away: bool = False) -> None:
        self.rows = rows
        self.page = page
        self.away = away

    @receive
    def run(self, request: RunQuery) -> QueryResult:
        if self.away:
            self.away = False
            raise Refused("unavailable", "no database")
        after = tuple(request.arguments)
        found = [each for each in self.rows if (each["market"], each["valid_from"]) > after]
        columns = tuple(Instrument.__struct_fields__)
        rows = tuple(tuple(each[name] for name in columns) for each in found[: self.page])
        return QueryResult(columns, rows, more=len(found) > self.page)


def row(instrument: Instrument) -> dict[str, Any]:
    """As the database gives it: JSON as it is written, arrays as tuples."""
    fields = {name: getattr(instrument, name) for name in Instrument.__struct_fields__}
    return fields | {"price_ranges": msgspec.Raw(msgspec.json.encode(instrument.price_ranges))}


def kept(name: str, tick: int, since: int) -> Instrument:
    ranges = (PriceRange(0, NANO, tick),)
    return Instrument(
        market=name,
        symbol=name,
        venue="kalshi",
        kind="prediction",
        currency="USD",
        price_ranges=ranges,
        lot=NANO,
        taker_fee="0.001",
        order_types=("limit",),
        valid_from=since,
        source="x",
        marks=("demo",),
    )


class Heard:
    """What is published, in order."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._waiting: list[Message] = []

    async def next(self, kind: type[M], fits: Callable[[M], bool] = lambda _: True) -> M:
        with trio.fail_after(20):
            while True:
                while self._waiting:
                    message = self._waiting.pop(0)
                    if isinstance(message, kind) and fits(message):
                        return message
                self._waiting += await self._tap.receive()


@asynccontextmanager
async def running(
    *sources: InstrumentSource, table: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[Node, Heard]]:
    arguments = {"rows": []} if table is None else table
    storage = supervisor("storage", ChildSpec(name="queries", actor=Table, arguments=arguments))
    children = (storage,) if table is not None else ()
    tree = supervisor("market", *specs(InstrumentSettings(**settings), sources))
    async with open_node(NodeSettings(), children=children, clock=VirtualClock(NOW)) as node:
        with node.open_tap((Instrument, None), path="test", capacity=1000) as tap:
            await node.ref("/").ask(StartChild(tree), timeout=10)
            yield node, Heard(tap)


async def test_definitions_come_from_the_venues_endpoint_page_by_page() -> None:
    with rest_stand_in(Venue()) as stand_in:
        source = InstrumentSource(
            venue="kalshi", markets=("KX-A", "KX-B", "KX-C"), rest_url=f"{stand_in.url}/trade-api/v2"
        )
        async with running(source) as (node, heard):
            for _ in range(3):
                await heard.next(Instrument)
            page = await node.ref(MASTER).ask(ListInstruments())
            assert [each.market for each in page.instruments] == ["KX-A", "KX-B", "KX-C"]
            found = await node.ref(MASTER).ask(GetInstrument("KX-B"))
            assert found.price_ranges == (PriceRange(0, NANO, NANO // 100),)
            assert (found.status, found.valid_from, found.title) == ("open", NOW, "Will it? Yes")
            with pytest.raises(Refused, match="KX-Z"):
                await node.ref(MASTER).ask(GetInstrument("KX-Z"))
            with pytest.raises(Refused, match="at that time"):
                await node.ref(MASTER).ask(GetInstrument("KX-B", at=NOW - 1))


async def test_a_change_is_published_once_and_what_was_before_can_still_be_asked_for() -> None:
    venue = Venue()
    with rest_stand_in(venue) as stand_in:
        source = InstrumentSource(venue="kalshi", markets=("KX-A",), rest_url=f"{stand_in.url}/trade-api/v2")
        async with running(source, refresh_s=0.01) as (node, heard):
            first = await heard.next(Instrument)
            venue.markets["KX-A"] = market("KX-A", "0.0010")
            node.clock.advance(5)  # type: ignore[attr-defined]
            second = await heard.next(Instrument)
            assert (first.price_ranges[0].step, second.price_ranges[0].step) == (NANO // 100, NANO // 1000)
            asked = len(stand_in.asked)
            while len(stand_in.asked) < asked + 3:
                await trio.lowlevel.checkpoint()
            was = await node.ref(MASTER).ask(GetInstrument("KX-A", at=second.valid_from - 1))
            assert was.price_ranges[0].step == NANO // 100
            report = await node.ref(MASTER).ask(Probe())
            assert dict(report.figures)["changes"] == 2


async def test_what_sessions_say_is_learnt_and_not_said_again() -> None:
    async with running() as (node, heard):
        node.publish(kept("KX-A", 5, NOW - 7))
        assert (await heard.next(Instrument)).valid_from == NOW - 7
        assert (await node.ref(MASTER).ask(GetInstrument("KX-A"))).price_ranges[0].step == 5
        # One without its time gets ours, and is then told.
        node.publish(kept("KX-B", 5, 0))
        assert (await heard.next(Instrument)).valid_from == 0
        assert (await heard.next(Instrument)).valid_from == NOW
        assert (await node.ref(MASTER).ask(GetInstrument("KX-B"))).valid_from == NOW


async def test_a_restart_remembers_what_the_database_has_and_tells_no_change_that_is_none() -> None:
    rows = [row(kept(name, tick, tick)) for name in ("KX-A", "KX-B") for tick in (1, 2, 3)]
    async with running(table={"rows": rows, "page": 2}) as (node, _heard):
        master = node.ref(MASTER)
        assert (await master.ask(GetInstrument("KX-B", at=2))).price_ranges[0].step == 2
        found = await master.ask(GetInstrument("KX-B"))
        assert found == kept("KX-B", 3, 3)
        node.publish(kept("KX-B", 3, NOW))
        report = await master.ask(Probe())
        assert dict(report.figures) == {"instruments": 2, "changes": 0, "lost": 0, "read from the database": True}


async def test_a_database_that_comes_later_is_read_then() -> None:
    table = {"rows": [row(kept("KX-A", 1, 1))], "away": True}
    async with running(table=table) as (node, _heard):
        master = node.ref(MASTER)
        with pytest.raises(Refused):
            await master.ask(GetInstrument("KX-A"))
        node.publish(DatabaseReady())
        assert (await master.ask(GetInstrument("KX-A"))).valid_from == 1


async def test_a_venue_that_cannot_be_asked_is_told_and_asked_again_soon() -> None:
    venue = Venue()
    with rest_stand_in(venue) as stand_in:
        stand_in.faults = [(403, {}, {"error": {"code": "forbidden", "message": "no"}})]
        source = InstrumentSource(venue="kalshi", markets=("KX-A",), rest_url=f"{stand_in.url}/trade-api/v2")
        async with running(source, retry_s=0.01) as (node, heard):
            assert (await heard.next(Instrument)).market == "KX-A"
            while (await node.ref(MASTER).ask(Probe())).status != "ok":
                await trio.lowlevel.checkpoint()
        assert len(stand_in.asked) >= 2


def test_venues_without_definitions_and_feeds_that_shall_not_be_asked_are_left_out() -> None:
    sources = [InstrumentSource(venue="alphavantage", markets=("IBM.ALPHAVANTAGE",)), InstrumentSource(venue="kalshi")]
    (spec,) = specs(InstrumentSettings(), sources)
    assert [each["venue"] for each in spec.arguments["sources"]] == ["kalshi"]
    (spec,) = specs(InstrumentSettings(refresh=False), sources)
    assert spec.arguments["sources"] == []
