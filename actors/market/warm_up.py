"""The bars from before somebody's start: from the bar builder's memory and, further back, from the database.

A core: what it wants of its actor is said here, and it knows neither the loop nor the runtime.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, Protocol, TypeVar

import msgspec

from actors.market.bars_intervals import parse_interval
from protocols.control import Refused, Request, Unknown
from protocols.market import Bar
from protocols.market_data import BARS, BarSource, BuildBars, GetBars
from protocols.paths import QUERIES
from protocols.providers import PROVIDERS, GetProvidedBars
from protocols.storage import RunQuery

R = TypeVar("R")
ASK_S: Final = 5.0
PROVIDED_S: Final = 15.0
_PREFERRED: Final[tuple[BarSource, ...]] = ("venue", "trades", "quotes")
_SQL: Final = """
    SELECT DISTINCT ON (ts_start) market, bar_interval AS interval, ts_start AS start, ts_end AS "end", open, high, low,
           close, coalesce(volume::text, '') AS volume, trades, vwap, source, ts_recv, empty, late, marks
    FROM market_bars WHERE market = $1 AND bar_interval = $2 AND source = $3 AND ts_start < $4
    ORDER BY ts_start DESC LIMIT $5
"""


class Asked(Protocol):
    """A ref: `ActorRef` has this shape."""

    def ask(self, request: Request[R], timeout: float) -> Awaitable[R]:
        """Ask and wait."""


class Time(Protocol):
    """A clock: the node's has this shape."""

    def now(self) -> int:
        """Wall time, nanoseconds."""


class Asking(Protocol):
    """Who asks: `Actor` has this shape."""

    @property
    def clock(self) -> Time:
        """The node's clock."""

    def lookup(self, path: str) -> Asked:
        """The ref of a path."""


class WarmUp(msgspec.Struct, frozen=True):
    """Bars of one window, oldest first, and where they come from. `source` None: nothing is known of it yet.

    `missing`: why there are not as many as were asked for, where that may be more than their not having happened.
    """

    bars: tuple[Bar, ...]
    source: BarSource | None
    missing: str = ""


async def warm_up(actor: Asking, market: str, interval: str, count: int, providers: tuple[str, ...] = ()) -> WarmUp:
    """The last `count` bars of a window; from now on its bars are built if nobody else makes them.

    `providers`: the market is a symbol of these; the first of them that answers gives the bars.
    Raises Refused `invalid` for an interval that is none.
    """
    if providers not in ((), (market,)):
        return await _provided(actor, market, interval, count, providers)
    builder = actor.lookup(BARS)
    try:
        await builder.ask(BuildBars(market, interval), ASK_S)
        kept = await builder.ask(GetBars(market, interval, limit=count), ASK_S)
    except (Refused, Unknown) as error:
        if isinstance(error, Refused) and error.code == "invalid":
            raise Refused("invalid", error.message, "timeframe") from None
        return WarmUp((), None, f"no bars: {error}")
    if len(kept.bars) >= count:
        return WarmUp(kept.bars, kept.source)
    before = kept.bars[0].start if kept.bars else 2**63 - 1
    missing = ""
    for source in _PREFERRED if kept.source is None else (kept.source,):
        try:
            arguments = (market, interval, source, before, count - len(kept.bars))
            older = (await actor.lookup(QUERIES).ask(RunQuery(_SQL, arguments), ASK_S)).into(Bar)
        except (Refused, Unknown) as error:
            missing = f"no older bars: {error}"
            break
        if older:
            return WarmUp((*reversed(older), *kept.bars), source)
    return WarmUp(kept.bars, kept.source, missing)


async def _provided(actor: Asking, symbol: str, interval: str, count: int, providers: tuple[str, ...]) -> WarmUp:
    try:
        length = parse_interval(interval)
    except ValueError as error:
        raise Refused("invalid", str(error), "timeframe") from None
    try:
        for market in providers:
            await actor.lookup(BARS).ask(BuildBars(market, interval), ASK_S)
    except (Refused, Unknown) as error:
        return WarmUp((), None, f"no bars: {error}")
    if length.kind != "time":
        return WarmUp((), None, "bars of trades and of volume have no history at the providers")
    now = actor.clock.now()
    why = "the providers have none"
    try:
        ask = GetProvidedBars(symbol, interval, now - (count + 1) * length.length, now)
        bars = (await actor.lookup(PROVIDERS).ask(ask, PROVIDED_S)).bars[-count:]
    except (Refused, Unknown) as error:
        why, bars = f"no bars of the providers: {error}", ()
    for market in providers:
        if bars:
            break
        bars = (await warm_up(actor, market, interval, count)).bars  # what this node has stored of it
    renamed = tuple(msgspec.structs.replace(bar, market=symbol) for bar in bars)
    return WarmUp(renamed, None, "" if renamed else why)
