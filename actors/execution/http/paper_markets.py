"""Markets, in the words of paper trading."""

from __future__ import annotations

from typing import Final

from actors.edge.call import Call
from actors.execution.http.numbers import (
    known_number,
    moment,
    number,
    plain,
)
from actors.execution.http.paper_requests import (
    OneSymbol,
    PaperBar,
    PaperBars,
    PaperBarsQuery,
    PaperMarket,
)
from protocols.market import ListMarkets
from protocols.market_data import BARS, GetBars
from protocols.paths import MARKET_INDEX
from protocols.signal_stream import timestamp

ASK_S: Final = 15.0


async def market_data(request: OneSymbol, call: Call) -> PaperMarket:
    """Answer a market's best prices."""
    [found] = (await call.ref(MARKET_INDEX).ask(ListMarkets(request.symbol), ASK_S)).markets
    quote = found.quote
    bid, ask = (None, None) if quote is None else (quote.bid, quote.ask)
    return PaperMarket(
        symbol=found.market,
        bid=number(bid),
        bid_size=None if quote is None or bid is None else number(quote.bid_size),
        ask=number(ask),
        ask_size=None if quote is None or ask is None else number(quote.ask_size),
        price=number((bid + ask) // 2) if bid is not None and ask is not None else None,
        status=found.phase,
        timestamp=None if quote is None else moment(quote.ts_recv),
        source=found.feed,
        marks=found.marks,
    )


async def market_history(request: PaperBarsQuery, call: Call) -> PaperBars:
    """Answer a market's newest bars."""
    await call.ref(MARKET_INDEX).ask(ListMarkets(request.symbol), ASK_S)
    found = await call.ref(BARS).ask(GetBars(request.symbol, request.timeframe, limit=request.limit), ASK_S)
    shown = tuple(
        PaperBar(
            timestamp(bar.start),
            known_number(bar.open),
            known_number(bar.high),
            known_number(bar.low),
            known_number(bar.close),
            plain(bar.volume or None),
        )
        for bar in found.bars
    )
    return PaperBars(request.symbol, request.timeframe, shown)
