"""What is asked about the recent past of markets: bars, trades, funding, liquidations, large trades.

Prices and sizes in nanos, times in nanoseconds since the Unix epoch, UTC. The actors that answer keep a bounded past in
memory; what is older is in the database.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.control import Message, Request
from protocols.market import Bar, Funding, Liquidation, Trade
from protocols.paths import MARKET

BARS: Final = f"{MARKET}/bars"
DERIVATIVES: Final = f"{MARKET}/derivatives"
ORDERBOOK_STREAM: Final = f"{MARKET}/stream"

BarSource = Literal["trades", "quotes", "venue"]


class BarList(Message, frozen=True, gc=False, tag="bar_list"):
    """Complete bars, the oldest first. `kept_from`: everything from this start on is in memory; None: nothing is."""

    market: str
    interval: str
    source: BarSource | None
    bars: tuple[Bar, ...]
    kept_from: int | None


class GetBars(Request[BarList], frozen=True, gc=False, tag="get_bars"):
    """Asks the bar builder for the newest `limit` bars with start in [start, end); `end` 0: up to now.

    `source` None: the venue's own where it sends them, else those built here. One that is not built has none.
    """

    market: str
    interval: str
    start: int = 0
    end: int = 0
    limit: int = 500
    source: BarSource | None = None


class BuildBars(Request[None], frozen=True, gc=False, tag="build_bars"):
    """Asks the bar builder for bars of one more interval of a market, from now on and for as long as it lives.

    What is built already is not built twice. Refused `invalid` for an interval that is none.
    """

    market: str
    interval: str


class TradeList(Message, frozen=True, gc=False, tag="trade_list"):
    """Trades in the order in which they came. `kept_from`: all received since are in memory; None: none is."""

    market: str
    trades: tuple[Trade, ...]
    kept_from: int | None


class GetTrades(Request[TradeList], frozen=True, gc=False, tag="get_trades"):
    """Asks the bar builder for trades received at or after `since`: the newest `limit` of them."""

    market: str
    limit: int = 100
    since: int = 0


class LargeTrades(msgspec.Struct, frozen=True, gc=False):
    """Trades of one market whose price times size reaches the threshold, in a window. Notionals are decimal text."""

    count: int
    bought: str
    sold: str
    unknown: str
    largest: Trade | None


class LiquidationSum(msgspec.Struct, frozen=True, gc=False):
    """Liquidations of one market in a window. A long position is closed by a sale. Notionals are decimal text."""

    count: int
    longs: str
    shorts: str
    last: Liquidation | None


class DerivativesView(Message, frozen=True, gc=False, tag="derivatives_view"):
    """What is known of one market. None: it is not known, for the reason in `missing` under the field's name.

    `watched_from`: since when the market's liquidations and trades are followed, so that a window that begins earlier
    is not taken for a quiet one.
    """

    market: str
    funding: Funding | None
    liquidations: LiquidationSum | None
    large_trades: LargeTrades | None
    large_notional: str
    watched_from: int
    missing: tuple[tuple[str, str], ...] = ()
    marks: tuple[str, ...] = ()


class GetDerivatives(Request[DerivativesView], frozen=True, gc=False, tag="get_derivatives"):
    """Asks for funding, liquidations in the last `liquidations_s` seconds, and large trades in the last `trades_s`."""

    market: str
    liquidations_s: int = 3600
    trades_s: int = 4 * 3600
