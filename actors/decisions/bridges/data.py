"""The bridge to the data aggregator: windows of markets, and what is known beside prices.

Both are questions: they are made again, shared by everybody who asks at the same time, and kept. A failure is told as
one, with no empty window and no zeros, and is not kept.
"""

from __future__ import annotations

from typing import ClassVar, Final
from urllib.parse import urlencode

import msgspec

from actors.decisions.bridges import aggregator_answers as answers
from actors.decisions.bridges.bridge import Bridge, encoded
from actors.decisions.bridges.trading import segment
from actors.decisions.bridges.upstream import Call
from protocols.bridges import AggregateSymbols, GetMarketWindow
from protocols.control import Refused
from runtime import receive

MOST_SYMBOLS: Final = 200
MOST_HOURS: Final = 24 * 366


class _Options(msgspec.Struct, frozen=True, rename="camel"):
    include_onchain: bool
    include_funding: bool
    include_whales: bool
    include_smart_money: bool
    include_liquidations: bool


class _Aggregate(msgspec.Struct, frozen=True):
    symbols: tuple[str, ...]
    options: _Options


class DataBridge(Bridge):
    """Calls the data aggregator."""

    title: ClassVar[str] = "data aggregator"

    @receive
    def market(self, request: GetMarketWindow) -> None:
        """A window of a market."""
        if not 1 <= request.window_hours <= MOST_HOURS:
            raise Refused("invalid", f"expected 1 to {MOST_HOURS} hours, got {request.window_hours}", "window_hours")
        query = urlencode(
            {
                "window_hours": request.window_hours,
                "resolution": segment("resolution", request.resolution),
                "include_indicators": "true" if request.include_indicators else "false",
            }
        )
        call = Call(method="GET", target=f"/api/data/market/{segment('symbol', request.symbol)}?{query}")
        self.begin_shared(
            request,
            call,
            lambda body: answers.market_window(body, request, self.clock.now()),
            # A market of which nothing is known yet is asked for again.
            lambda window: self.settings.market_cache_s if window.bars else 0.0,
        )

    @receive
    def aggregate(self, request: AggregateSymbols) -> None:
        """What is known of some symbols beside their prices."""
        if not 1 <= len(request.symbols) <= MOST_SYMBOLS:
            raise Refused("invalid", f"expected 1 to {MOST_SYMBOLS} symbols, got {len(request.symbols)}", "symbols")
        for symbol in request.symbols:
            segment("symbols", symbol)
        options = _Options(request.onchain, request.funding, request.whales, request.smart_money, request.liquidations)
        call = Call(method="POST", target="/api/data/aggregate", body=encoded(_Aggregate(request.symbols, options)))
        self.begin_shared(
            request,
            call,
            lambda body: answers.aggregate(body, request, self.clock.now()),
            lambda found: self.settings.aggregate_cache_s,
        )
