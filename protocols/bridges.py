"""What is said to the bridges: the trading service, the data aggregator and the threshold service that stand outside.

Every figure is as the upstream has said it; None: it has not. Nothing is put in the place of what is missing. These
figures are shown and learned from, never booked, so they are floats. Times are integer nanoseconds, UTC.

A bridge refuses with one of the codes below. A refusal means that nothing was performed upstream; where a change may
have arrived all the same, the answer is `Unknown`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.control import Message, Request

UPSTREAM_UNAVAILABLE: Final = "upstream_unavailable"
"""It cannot be reached, or says of itself that it cannot serve (429, 502, 503, 504), after all retries."""
UPSTREAM_ERROR: Final = "upstream_error"
"""It has answered what is no answer: a fault of its own, malformed JSON, a wrong type, a redirect, 401 or 403."""
UPSTREAM_REFUSED: Final = "upstream_refused"
"""It works, and does not grant this request (400, 409, 422 and the like); its own words are in the message."""
UPSTREAM_NOT_FOUND: Final = "upstream_not_found"
"""It does not know the user or the symbol (404)."""
TIMED_OUT: Final = "timed_out"
"""No answer within the deadline, which covers all retries."""
CIRCUIT_OPEN: Final = "circuit_open"
"""It was not asked: its breaker is open."""

EMPTY: Final = msgspec.Raw(b"{}")
Side = Literal["BUY", "SELL", "HOLD"]


# The trading service.


class UpstreamAccount(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One account of a user at the trading service."""

    account_id: str
    mode: str | None = None
    trading: str | None = None
    currency: str | None = None
    balance: float | None = None
    equity: float | None = None
    total_pnl: float | None = None
    daily_pnl: float | None = None
    open_orders: int | None = None


class TradingState(Message, frozen=True, gc=False, kw_only=True, tag="trading_state"):
    """How a user trades there. `active_trades`, `total_pnl`: of services that say them of the user as a whole."""

    user_id: str
    is_active: bool | None = None
    status: str | None = None
    watchlist: tuple[str, ...] | None = None
    accounts: tuple[UpstreamAccount, ...] | None = None
    session_id: str | None = None
    active_trades: int | None = None
    total_pnl: float | None = None
    message: str | None = None
    ts_recv: int = 0


class GetTradingState(Request[TradingState], frozen=True, gc=False, tag="get_trading_state"):
    """GET `/api/trading/status/{user}`. Refused `upstream_not_found` for a user it does not know."""

    user_id: str


class StartUpstreamTrading(Request[TradingState], frozen=True, gc=False, kw_only=True, tag="start_upstream_trading"):
    """POST `/api/trading/start`. `settings`: a JSON object, passed on as it is.

    `idempotency_key` goes into the header of that name; without one a start that may have arrived is not repeated.
    """

    user_id: str
    watchlist: tuple[str, ...] = ()
    settings: msgspec.Raw = EMPTY
    idempotency_key: str = ""


class StopUpstreamTrading(Request[TradingState], frozen=True, gc=False, tag="stop_upstream_trading"):
    """POST `/api/trading/stop`."""

    user_id: str


class UpstreamSignal(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One signal of the trading service. `ts`: None where it gives no readable time."""

    signal_id: str | None = None
    symbol: str | None = None
    action: str | None = None
    confidence: float | None = None
    strategy_id: str | None = None
    price: float | None = None
    status: str | None = None
    ts: int | None = None


class UpstreamSignals(Message, frozen=True, gc=False, kw_only=True, tag="upstream_signals"):
    """Signals of a user in the order of the upstream."""

    user_id: str
    signals: tuple[UpstreamSignal, ...]
    ts_recv: int = 0


class GetUpstreamSignals(Request[UpstreamSignals], frozen=True, gc=False, kw_only=True, tag="get_upstream_signals"):
    """GET `/api/trading/signals/{user}?limit&symbol`; `symbol` empty: in any market."""

    user_id: str
    limit: int = 10
    symbol: str = ""


class SettingsTaken(Message, frozen=True, gc=False, kw_only=True, tag="settings_taken"):
    """The trading service has taken the settings. `answer`: what it said, JSON."""

    user_id: str
    answer: msgspec.Raw
    ts_recv: int = 0


class ChangeUpstreamSettings(Request[SettingsTaken], frozen=True, gc=False, tag="change_upstream_settings"):
    """PUT `/api/trading/settings/{user}`. `settings`: a JSON object, passed on as it is."""

    user_id: str
    settings: msgspec.Raw


class FeedbackSent(Message, frozen=True, gc=False, kw_only=True, tag="feedback_sent"):
    """The trading service has taken the outcome. `answer`: what it said, JSON."""

    prediction_id: str
    answer: msgspec.Raw
    ts_recv: int = 0


class SendFeedback(Request[FeedbackSent], frozen=True, gc=False, kw_only=True, tag="send_feedback"):
    """POST `/api/rl/feedback` {userId, predictionId, outcome, timestamp}.

    `outcome`: JSON, passed on as it is: a number is the return after costs as a share. `ts`: when it was known; 0: now.
    """

    user_id: str
    prediction_id: str
    outcome: msgspec.Raw
    ts: int = 0


# The threshold service.


class UpstreamVerdict(Message, frozen=True, gc=False, kw_only=True, tag="upstream_verdict"):
    """What the threshold service makes of a signal. `action`: that of the signal if it may be traded, else HOLD.

    The service itself names no action and no confidence: the confidence is the signal's own.
    """

    user_id: str
    symbol: str
    should_trade: bool
    action: Side
    confidence: float | None = None
    reasoning: str | None = None
    thresholds: tuple[tuple[str, float], ...] | None = None
    ts_recv: int = 0


class EvaluateUpstream(Request[UpstreamVerdict], frozen=True, gc=False, kw_only=True, tag="evaluate_upstream"):
    """POST `/api/v1/evaluate/{user}` {signal}. What is None is left out of the signal, not sent as a zero."""

    user_id: str
    symbol: str
    action: Side
    confidence: float | None = None
    rsi: float | None = None
    change_percent: float | None = None
    volume: float | None = None


# The data aggregator.


class WindowBar(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One bar of the aggregator. `ts`: its time as the aggregator gives it."""

    ts: int
    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    volume: float | None = None
    indicators: tuple[tuple[str, float | None], ...] | None = None


class MarketWindow(Message, frozen=True, gc=False, kw_only=True, tag="market_window"):
    """A window of a market, the oldest bar first. `bars` None: it said nothing of bars; empty: it has none.

    `indicators`: at the end of the window. `marks`: what the upstream says of its data, such as `synthetic` or `stale`.
    `ts_recv`: when the aggregator answered, also where that is kept from an earlier call.
    """

    symbol: str
    bars: tuple[WindowBar, ...] | None = None
    indicators: tuple[tuple[str, float | None], ...] | None = None
    marks: tuple[str, ...] = ()
    ts_recv: int = 0


class GetMarketWindow(Request[MarketWindow], frozen=True, gc=False, kw_only=True, tag="get_market_window"):
    """GET `/api/data/market/{symbol}`. Kept for `market_cache_s` if it has bars. Askers of the same share one call."""

    symbol: str
    window_hours: int = 24
    resolution: str = "1h"
    include_indicators: bool = True


class OnChainActivity(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Activity of an address on a chain."""

    symbol: str | None = None
    address: str | None = None
    chain: str | None = None
    balance_usd: float | None = None
    transaction_count: int | None = None
    ts: int | None = None


class LargeFlow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A large transfer, trade or liquidation: `kind` is its `type`, `action` or `side`."""

    symbol: str | None = None
    kind: str | None = None
    amount_usd: float | None = None
    price: float | None = None
    ts: int | None = None


class FlowTotals(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Large trades, or positions closed by force, of one symbol within the upstream's window, as notionals.

    A long position that is closed by force is sold, a short one bought.
    """

    symbol: str
    count: int | None = None
    bought: float | None = None
    sold: float | None = None
    window_hours: float | None = None


class FundingRate(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The funding rate of a perpetual at an exchange, as a share of one period."""

    symbol: str | None = None
    exchange: str | None = None
    rate: float | None = None
    ts: int | None = None


class SymbolFigure(msgspec.Struct, frozen=True, gc=False):
    """One number that an aggregator has by symbol: `section` and `name` as it calls them."""

    section: str
    symbol: str
    name: str
    value: int | float


class Aggregate(Message, frozen=True, gc=False, kw_only=True, tag="aggregate"):
    """What the aggregator has of some symbols.

    A section that is None was not asked for or not answered; an empty one was answered, with nothing in it. Some
    aggregators (a node of ours, too) give totals by symbol instead of single flows; whatever numbers they give are in
    `figures`, too. `missing` names what was asked for
    and is not there: `section`, or `section:symbol`. `reliability`: the aggregator's own word. `marks`: see
    `MarketWindow`.
    """

    symbols: tuple[str, ...]
    onchain: tuple[OnChainActivity, ...] | None = None
    whales: tuple[LargeFlow, ...] | None = None
    funding: tuple[FundingRate, ...] | None = None
    smart_money: tuple[LargeFlow, ...] | None = None
    liquidations: tuple[LargeFlow, ...] | None = None
    whale_totals: tuple[FlowTotals, ...] | None = None
    liquidation_totals: tuple[FlowTotals, ...] | None = None
    figures: tuple[SymbolFigure, ...] = ()
    marks: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    sources: tuple[str, ...] | None = None
    reliability: float | None = None
    ts_recv: int = 0


class AggregateSymbols(Request[Aggregate], frozen=True, gc=False, kw_only=True, tag="aggregate_symbols"):
    """POST `/api/data/aggregate`. Kept for `aggregate_cache_s`; askers of the same share one call."""

    symbols: tuple[str, ...]
    onchain: bool = True
    whales: bool = True
    funding: bool = True
    smart_money: bool = True
    liquidations: bool = True


# A bridge itself.


class CallStatistics(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The last 1,000 requests within the last hour, each attempt by itself. Null: nothing to tell it from.

    `succeeded`: it gave a usable answer, a refusal of its own included. Times in milliseconds, of those that succeeded.
    """

    requests: int
    succeeded: int
    failed: int
    success_rate: float | None
    mean_ms: float | None
    p95_ms: float | None
    by_outcome: tuple[tuple[str, int], ...]


class BridgeState(Message, frozen=True, gc=False, kw_only=True, tag="bridge_state"):
    """How a bridge is. `refused`: calls that were not made because the breaker was open, since its start.

    `kept`: answers in its cache; `cache_hits`: calls that they saved. `last_error`: of the newest failure.
    """

    url: str
    breaker: str
    retry_after_s: float | None
    consecutive_failures: int
    opened: int
    refused: int
    retries: int
    in_flight: int
    kept: int
    cache_hits: int
    statistics: CallStatistics
    last_error: str
    ts_last_success: int | None


class GetBridge(Request[BridgeState], frozen=True, gc=False, tag="get_bridge"):
    """Asks a bridge how it is."""
