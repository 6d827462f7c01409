"""Bars and trades for whoever asks: from memory, and what is older from the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from actors.market.bars import merged
from actors.market.bars_intervals import Interval, parse_interval
from protocols.control import Refused, Unknown
from protocols.market import Bar, Trade
from protocols.market_data import BARS, BarList, BarSource, GetBars, GetTrades, TradeList
from protocols.nanos import INT64_MAX
from protocols.paths import QUERIES
from protocols.storage import PAGE, QueryResult, RunQuery
from runtime import ActorRef

Lookup = Callable[[str], ActorRef]
PARTS: Final = ("1h", "15m", "5m", "1m", "1s")
"""Of what longer bars that nobody builds are made, the longest first."""
MOST_PARTS: Final = 20_000
_COLUMNS: Final = (
    "market, bar_interval, ts_start, ts_end, open, high, low, close, coalesce(volume::text, ''), trades, vwap, source, "
    "ts_recv, empty, late, marks"
)
# A bar may be there more than once (a recording that was played twice): the one received last counts.
_BARS: Final = f"""
    SELECT DISTINCT ON (ts_start) {_COLUMNS} FROM market_bars
    WHERE market = $1 AND bar_interval = $2 AND ts_start >= $3 AND ts_start < $4 AND source = $5
    ORDER BY ts_start DESC, ts_recv DESC LIMIT $6
"""  # noqa: S608 - our own names of columns
_SOURCE: Final = """
    SELECT source FROM market_bars
    WHERE market = $1 AND bar_interval = $2 AND ts_start >= $3 AND ts_start < $4
    ORDER BY source <> 'venue', source <> 'trades' LIMIT 1
"""
_TRADES: Final = """
    SELECT market, price, size, taker, trade_id, session_id, seq, ts_event, ts_recv, block, marks FROM market_trades
    WHERE market = $1 AND ts_recv >= $2 AND (ts_recv, seq) < ($3, $4)
    ORDER BY ts_recv DESC, seq DESC LIMIT $5
"""


class FoundBars(msgspec.Struct, frozen=True):
    """Bars, the oldest first. `missing` says why older ones are not there, if that is known."""

    bars: tuple[Bar, ...]
    source: BarSource | None
    missing: str = ""


class FoundTrades(msgspec.Struct, frozen=True):
    """Trades, the oldest first. `missing` as in `FoundBars`."""

    trades: tuple[Trade, ...]
    missing: str = ""


async def find_bars(
    ref: Lookup,
    market: str,
    interval: Interval,
    start: int,
    end: int,
    limit: int,
    source: BarSource | None = None,
) -> FoundBars:
    """The newest `limit` bars with start in [start, end). Longer ones that nobody builds are made of shorter ones."""
    found = await _built(ref, market, interval.name, start, end, limit, source)
    if found.bars or interval.kind != "time":
        return found
    first = interval.bounds(start)[0] if start > 0 else start
    best = found
    for name in PARTS:
        part = parse_interval(name)
        if part.length < interval.length and interval.length % part.length == 0:
            wanted = min(limit * (interval.length // part.length), MOST_PARTS)
            parts = await _built(ref, market, name, first, end, wanted, source)
            longer = tuple(bar for bar in merged(parts.bars, interval) if bar.start >= start)[-limit:]
            # Of which length there are most is not known before all have been asked.
            if len(longer) > len(best.bars):
                best = FoundBars(longer, parts.source, parts.missing)
    return best


async def _built(
    ref: Lookup, market: str, interval: str, start: int, end: int, limit: int, source: BarSource | None
) -> FoundBars:
    try:
        kept = await ref(BARS).ask(GetBars(market, interval, start, min(end, INT64_MAX), limit, source))
    except (Refused, Unknown):
        kept = BarList(market, interval, source, (), None)
    if len(kept.bars) >= limit or (kept.kept_from is not None and kept.kept_from <= start):
        return FoundBars(kept.bars, kept.source)
    before = end if kept.kept_from is None else min(end, kept.kept_from)
    try:
        chosen = kept.source or source or await _stored_source(ref, market, interval, start, before)
        if chosen is None:
            return FoundBars(kept.bars, kept.source)
        older = await _stored_bars(ref, market, interval, start, before, limit - len(kept.bars), chosen)
    except (Refused, Unknown) as error:
        return FoundBars(kept.bars, kept.source, f"older ones are in the database, which does not answer: {error}")
    return FoundBars((*older, *kept.bars), chosen)


async def _stored_source(ref: Lookup, market: str, interval: str, start: int, end: int) -> BarSource | None:
    result = await _query(ref, _SOURCE, (market, interval, start, end), 1)
    return result.rows[0][0] if result.rows else None


async def _stored_bars(
    ref: Lookup, market: str, interval: str, start: int, end: int, limit: int, source: BarSource
) -> list[Bar]:
    found: list[Bar] = []
    while limit > 0 and start < end:
        size = min(limit, PAGE)
        result = await _query(ref, _BARS, (market, interval, start, end, source, size), size)
        page = [Bar(*fields) for fields in result.rows]
        found += page
        if len(page) < size:
            break
        end, limit = page[-1].start, limit - size
    return found[::-1]


async def find_trades(ref: Lookup, market: str, limit: int, since: int) -> FoundTrades:
    """The newest `limit` trades received at or after `since`."""
    try:
        kept = await ref(BARS).ask(GetTrades(market, limit, since))
    except (Refused, Unknown):
        kept = TradeList(market, (), None)
    if len(kept.trades) >= limit or (kept.kept_from is not None and kept.kept_from <= since):
        return FoundTrades(kept.trades)
    before = (INT64_MAX if kept.kept_from is None else kept.kept_from, -1)
    older: list[Trade] = []
    wanted = limit - len(kept.trades)
    try:
        while wanted > 0:
            size = min(wanted, PAGE)
            result = await _query(ref, _TRADES, (market, since, *before, size), size)
            page = [Trade(*fields) for fields in result.rows]
            older += page
            if len(page) < size:
                break
            before, wanted = (page[-1].ts_recv, page[-1].seq), wanted - size
    except (Refused, Unknown) as error:
        return FoundTrades(kept.trades, f"older ones are in the database, which does not answer: {error}")
    return FoundTrades((*older[::-1], *kept.trades))


async def _query(ref: Lookup, sql: str, arguments: tuple[Any, ...], limit: int) -> QueryResult:
    return await ref(QUERIES).ask(RunQuery(sql, arguments, limit=limit))
