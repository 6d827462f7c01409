"""What a market's two sides were at a moment: the last quote, or, for the past, what was stored of the book or in bars.

A price from farther away than `stale_s` is none: what a signal came to is then unknown.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

import msgspec

from actors.thresholds.intake.history import ask
from actors.thresholds.outcomes import Quoted
from protocols.control import Refused, Unknown
from protocols.market import ListMarkets
from protocols.nanos import NANO
from protocols.paths import MARKET_INDEX, QUERIES
from runtime import ActorRef

ASK_S: Final = 2.0
NOTHING: Final = Quoted(None, None)
_SAMPLE: Final = """
    SELECT substring(packed_bids FROM 1 FOR 16), substring(packed_asks FROM 1 FOR 16) FROM rl_orderbook_samples
    WHERE market_ticker = $1 AND ts_recv > $2 AND ts_recv <= $3 ORDER BY ts_recv DESC LIMIT 1
"""
_BAR: Final = """
    SELECT close FROM market_bars WHERE market = $1 AND ts_start > $2 AND ts_end > $2 AND ts_end <= $3
    ORDER BY ts_end DESC, ts_recv DESC LIMIT 1
"""


class Priced(msgspec.Struct, frozen=True):
    """Prices of a moment, the marks of where they come from, or why there are none."""

    quoted: Quoted
    why: str = ""
    marks: tuple[str, ...] = ()


class Prices:
    """Asks the market capability, and the database for what is past."""

    def __init__(self, lookup: Callable[[str], ActorRef], stale_ns: int, bar_spread: float) -> None:
        self.lookup = lookup
        self.stale_ns = stale_ns
        self.bar_spread = bar_spread

    async def at(self, market: str, ts: int, now: int) -> Priced:
        """The prices at `ts`. Raises Refused `unavailable` where only a database could tell, which is away."""
        why = ""
        if now - ts <= self.stale_ns:
            found = await self._last(market, now)
            if found.quoted != NOTHING:
                return found
            why = found.why
        found = await self._stored(market, ts)
        return Priced(NOTHING, why) if why and found.quoted == NOTHING else found

    async def _last(self, market: str, now: int) -> Priced:
        try:
            listed = await self.lookup(MARKET_INDEX).ask(ListMarkets(market), ASK_S)
        except Refused as refused:
            return Priced(NOTHING, refused.message)
        except Unknown:
            return Priced(NOTHING, "the market index does not answer")
        quote = listed.markets[0].quote if listed.markets else None
        if quote is None:
            return Priced(NOTHING, f"{market} has no quote yet")
        if now - quote.ts_recv > self.stale_ns:
            return Priced(NOTHING, f"the last quote of {market} is stale")
        return Priced(Quoted(_units(quote.bid), _units(quote.ask)), "", quote.marks)

    async def _stored(self, market: str, ts: int) -> Priced:
        queries = self.lookup(QUERIES)
        between = (market, ts - self.stale_ns, ts)
        for bids, asks in (await ask(queries, _SAMPLE, between)).rows:
            return Priced(Quoted(_best(bids), _best(asks)))
        for (close,) in (await ask(queries, _BAR, between)).rows:
            middle, half = close / NANO, self.bar_spread / 2
            return Priced(Quoted(middle * (1 - half), middle * (1 + half)), "", ("bars",))
        return Priced(NOTHING, f"no price of {market} is known within {self.stale_ns / 1e9:g} s of that moment")


def _units(price: int | None) -> float | None:
    return None if price is None else price / NANO


def _best(packed: bytes) -> float | None:
    """The price of the first level of a packed side (int64 pairs, little-endian)."""
    return struct.unpack_from("<q", packed)[0] / NANO if len(packed) >= 8 else None
