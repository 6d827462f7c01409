"""What is said about signals: the signal itself, submitting, updating and reading it, and its rows.

Prices, sizes and money are integers of 10⁻⁹ ("nanos"), and so is `max_slippage`, a share; confidence, risk score,
volatility and the like are statistics and therefore floats. Times are integer nanoseconds since the Unix epoch, UTC.
The fields are those of the inference service's TradingSignal; how it looks in JSON is in `signal_stream.py`.

A stored signal has a place: `seq` (1, 2, 3 ...) in the stream `SIGNALS` of the node's log. Whoever must not miss one
reads that stream by position (`ReadSignals`); the topic `SignalStored` only says that there is something to read.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final, Literal

import msgspec

from protocols.control import Message, Request, Row

SIGNALS: Final = "signals"
"""The stream of accepted signals."""
SIGNAL_UPDATES: Final = "signal_updates"
"""The stream of what became of them."""
MOST_PER_PAGE: Final = 500

Action = Literal["BUY", "SELL", "HOLD", "CLOSE_LONG", "CLOSE_SHORT", "CLOSE_ALL"]
OrderType = Literal["MARKET", "LIMIT", "STOP", "STOP_LIMIT"]
TimeInForce = Literal["GTC", "IOC", "FOK", "DAY"]
SignalStatus = Literal["pending", "active", "executed", "cancelled", "expired"]

NO_METADATA: Final = msgspec.Raw(b"{}")


class ExecutionParams(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How the signal should become an order. No quantity: the deployment's sizing decides."""

    quantity: int | None = None
    price_target: int | None = None
    stop_loss: int | None = None
    take_profit: int | None = None
    order_type: OrderType = "MARKET"
    time_in_force: TimeInForce = "GTC"
    max_slippage: int = 1_000_000
    """The share of the price that may be lost to slippage; 1_000_000 nanos are 0.001."""


class MarketConditions(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the strategy saw of the market. `volatility` is in the unit that the strategy documents."""

    trend: str | None = None
    volatility: float | None = None
    volume_profile: str | None = None
    support_level: int | None = None
    resistance_level: int | None = None


class Signal(Message, frozen=True, gc=False, kw_only=True, tag="signal"):
    """One advice to trade. A repeat with the same `signal_id` and content is the same signal."""

    signal_id: str
    ts_created: int
    strategy_id: str
    strategy_source: str
    strategy_version: str | None = None
    symbol: str
    exchange: str
    action: Action
    confidence: float
    """0 to 1."""
    execution_params: ExecutionParams = ExecutionParams()
    risk_score: float = 0.0
    """0 to 1."""
    position_size: int | None = None
    """As the strategy means it; where the node has derived it (`metadata.derived`), a share of the capital."""
    max_drawdown: float | None = None
    current_price: int | None = None
    market_conditions: MarketConditions | None = None
    metadata: msgspec.Raw = NO_METADATA
    """A JSON object, free in content."""
    ts_expires: int | None = None
    """From then on nobody may act on it. None: the hub's default validity."""

    deployment_id: str | None = None
    decision_id: str | None = None
    marks: tuple[str, ...] = ()
    """See `protocols.market`: the marks of everything that led to the signal, sorted."""

    source_session: str = ""
    source_seq: int = 0
    ts_event: int = 0
    ts_recv: int = 0
    """The market message that triggered it: its address (session, seq), the venue's time, ours. 0: none."""


class StoredSignal(msgspec.Struct, frozen=True, gc=False):
    """A signal with its place, when it was stored, and what has become of it so far."""

    seq: int
    ts_stored: int
    signal: Signal
    status: SignalStatus = "pending"

    def status_at(self, now: int) -> SignalStatus:
        """The status at a wall time: what waited beyond its expiry is expired."""
        expires = self.signal.ts_expires
        if self.status in ("pending", "active") and expires is not None and expires <= now:
            return "expired"
        return self.status


class SignalAccepted(Message, frozen=True, gc=False, tag="signal_accepted"):
    """The signal is in the node's log. `repeated`: it already was; nothing was stored again."""

    signal_id: str
    stream: str
    seq: int
    repeated: bool = False


class SubmitSignal(Request[SignalAccepted], frozen=True, gc=False, tag="submit_signal"):
    """Asks the hub to store a signal and tell everybody.

    Refused `invalid` (with the field), `signal_expired`, `id_taken` (another signal has this id; take a new one),
    `log_full`. After Unknown the same signal is to be submitted again: a repeat is recognised.
    """

    signal: Signal


class SignalStored(Message, frozen=True, gc=False, tag="signal_stored"):
    """Topic: a stream has grown to `seq`. It may be merged or lost; what counts is read by position."""

    stream: str
    seq: int

    def topic_key(self) -> str:
        """The stream."""
        return self.stream

    def conflate_key(self) -> Hashable | None:
        """The stream: the highest position says all."""
        return self.stream


class Span(msgspec.Struct, frozen=True, gc=False):
    """Places `first` to `last` of a stream, both included."""

    first: int
    last: int


class SignalPage(Message, frozen=True, gc=False, tag="signal_page"):
    """A part of the stream of signals, in order.

    Every place from the one that was asked for up to `next_seq` (excluded) is either in `signals` or in `missing`,
    which means that it is stored nowhere any more. `last_seq` is the end of the stream now; a reader goes on at
    `next_seq` until that is past it.
    """

    stream: str
    signals: tuple[StoredSignal, ...]
    next_seq: int
    last_seq: int
    missing: tuple[Span, ...] = ()


class ReadSignals(Request[SignalPage], frozen=True, gc=False, tag="read_signals"):
    """Asks the hub for the stored signals from `from_seq` on, at most `limit` (and `MOST_PER_PAGE`).

    Refused `not_found` for another stream than `SIGNALS`; `unavailable` where they are too old for the memory and
    the database does not answer or has not got them yet: the same question may be answered later.
    """

    from_seq: int
    limit: int = MOST_PER_PAGE
    stream: str = SIGNALS


class StoredUpdate(msgspec.Struct, frozen=True, gc=False):
    """What became of a signal, with its place in `SIGNAL_UPDATES` and whose signal it is."""

    seq: int
    ts_stored: int
    update: UpdateSignal
    symbol: str
    strategy_id: str


class SignalUpdatePage(Message, frozen=True, gc=False, tag="signal_update_page"):
    """A part of the stream of updates, in order; `next_seq`, `last_seq` and `missing` as in SignalPage."""

    updates: tuple[StoredUpdate, ...]
    next_seq: int
    last_seq: int
    missing: tuple[Span, ...] = ()


class ReadSignalUpdates(Request[SignalUpdatePage], frozen=True, gc=False, tag="read_signal_updates"):
    """Asks the hub for the stored updates from `from_seq` on, at most `limit` (and `MOST_PER_PAGE`).

    Refused `unavailable` as ReadSignals is.
    """

    from_seq: int
    limit: int = MOST_PER_PAGE


class GetSignal(Request[StoredSignal], frozen=True, gc=False, tag="get_signal"):
    """Asks the hub for one signal. Refused `not_found`, `unavailable`."""

    signal_id: str


class LatestSignals(Message, frozen=True, gc=False, tag="latest_signals"):
    """Signals of one symbol, the newest first."""

    signals: tuple[StoredSignal, ...]


class GetLatestSignals(Request[LatestSignals], frozen=True, gc=False, tag="get_latest_signals"):
    """Asks the hub for the newest signals of a symbol, from memory and, further back, from the database."""

    symbol: str
    limit: int = 10


class SignalTally(msgspec.Struct, frozen=True, gc=False):
    """How many signals have this action, status and currency (empty: no outcome). `confidence` and `risk` are sums.

    `outcomes`: how many of them were executed and have a profit or loss, `won`: how many of those made a profit;
    `pnl`: their sum, in nanos, as decimal text, since it may outgrow 64 bits.
    """

    action: Action
    status: SignalStatus
    currency: str
    signals: int
    confidence: float
    risk: float
    outcomes: int
    won: int
    pnl: str


class SignalTallies(Message, frozen=True, gc=False, tag="signal_tallies"):
    """The chosen signals, each counted in one tally with its newest state.

    `behind`: so many rows were accepted but not in the database in time, and are not counted.
    """

    tallies: tuple[SignalTally, ...]
    behind: int


class TallySignals(Request[SignalTallies], frozen=True, gc=False, kw_only=True, tag="tally_signals"):
    """Asks the hub to count the signals that were created from `from_ts` (ns) to now. None: of any.

    Everything that was accepted before the question counts, unless the database does not get it within a second.
    Counting a million takes about 3 s: the question wants a deadline of its own.
    Refused `unavailable`.
    """

    from_ts: int
    symbols: tuple[str, ...] | None = None
    strategy_ids: tuple[str, ...] | None = None


class SignalUpdated(Message, frozen=True, gc=False, tag="signal_updated"):
    """The update is in the node's log at `seq` of `SIGNAL_UPDATES`. `repeated`: it already was."""

    signal_id: str
    seq: int
    repeated: bool = False


class UpdateSignal(Request[SignalUpdated], frozen=True, gc=False, kw_only=True, tag="update_signal"):
    """Tells the hub what became of a signal.

    A signal goes from pending to active and from either to executed, cancelled or expired; an executed one may be
    reported again with further fills. Refused `invalid`, `not_found`, `conflict` for any other way, `unavailable`.
    """

    signal_id: str
    status: SignalStatus
    deployment_id: str | None = None
    decision_id: str | None = None
    client_order_id: str | None = None
    executed_quantity: int | None = None
    execution_price: int | None = None
    ts_executed: int | None = None
    pnl: int | None = None
    currency: str | None = None
    pnl_percentage: float | None = None
    slippage: float | None = None
    fill_rate: float | None = None


class SignalRow(Row, frozen=True, gc=False, kw_only=True, tag="signal_row"):
    """One stored signal in the node's log and in the database."""

    table = "signals"
    sequenced = True

    stream: str
    seq: int
    ts_stored: int
    signal_id: str
    ts_created: int
    strategy_id: str
    strategy_source: str
    strategy_version: str | None
    deployment_id: str | None
    decision_id: str | None
    symbol: str
    exchange: str
    action: Action
    confidence: float
    quantity: int | None
    price_target: int | None
    stop_loss: int | None
    take_profit: int | None
    order_type: OrderType
    time_in_force: TimeInForce
    max_slippage: int
    risk_score: float
    position_size: int | None
    max_drawdown: float | None
    current_price: int | None
    has_conditions: bool
    trend: str | None
    volatility: float | None
    volume_profile: str | None
    support_level: int | None
    resistance_level: int | None
    metadata: msgspec.Raw
    ts_expires: int | None
    marks: tuple[str, ...]
    source_session: str
    source_seq: int
    ts_event: int
    ts_recv: int

    @classmethod
    def of(cls, seq: int, ts_stored: int, signal: Signal) -> SignalRow:
        """The row of a signal that is about to be stored."""
        params = signal.execution_params
        seen = signal.market_conditions or MarketConditions()
        return cls(
            stream=SIGNALS,
            seq=seq,
            ts_stored=ts_stored,
            signal_id=signal.signal_id,
            ts_created=signal.ts_created,
            strategy_id=signal.strategy_id,
            strategy_source=signal.strategy_source,
            strategy_version=signal.strategy_version,
            deployment_id=signal.deployment_id,
            decision_id=signal.decision_id,
            symbol=signal.symbol,
            exchange=signal.exchange,
            action=signal.action,
            confidence=signal.confidence,
            quantity=params.quantity,
            price_target=params.price_target,
            stop_loss=params.stop_loss,
            take_profit=params.take_profit,
            order_type=params.order_type,
            time_in_force=params.time_in_force,
            max_slippage=params.max_slippage,
            risk_score=signal.risk_score,
            position_size=signal.position_size,
            max_drawdown=signal.max_drawdown,
            current_price=signal.current_price,
            has_conditions=signal.market_conditions is not None,
            trend=seen.trend,
            volatility=seen.volatility,
            volume_profile=seen.volume_profile,
            support_level=seen.support_level,
            resistance_level=seen.resistance_level,
            metadata=signal.metadata,
            ts_expires=signal.ts_expires,
            marks=signal.marks,
            source_session=signal.source_session,
            source_seq=signal.source_seq,
            ts_event=signal.ts_event,
            ts_recv=signal.ts_recv,
        )

    def stored(self, status: SignalStatus = "pending") -> StoredSignal:
        """The signal of this row, equal to the one that was stored."""
        conditions = None
        if self.has_conditions:
            conditions = MarketConditions(
                trend=self.trend,
                volatility=self.volatility,
                volume_profile=self.volume_profile,
                support_level=self.support_level,
                resistance_level=self.resistance_level,
            )
        signal = Signal(
            signal_id=self.signal_id,
            ts_created=self.ts_created,
            strategy_id=self.strategy_id,
            strategy_source=self.strategy_source,
            strategy_version=self.strategy_version,
            symbol=self.symbol,
            exchange=self.exchange,
            action=self.action,
            confidence=self.confidence,
            execution_params=ExecutionParams(
                quantity=self.quantity,
                price_target=self.price_target,
                stop_loss=self.stop_loss,
                take_profit=self.take_profit,
                order_type=self.order_type,
                time_in_force=self.time_in_force,
                max_slippage=self.max_slippage,
            ),
            risk_score=self.risk_score,
            position_size=self.position_size,
            max_drawdown=self.max_drawdown,
            current_price=self.current_price,
            market_conditions=conditions,
            metadata=self.metadata,
            ts_expires=self.ts_expires,
            deployment_id=self.deployment_id,
            decision_id=self.decision_id,
            marks=self.marks,
            source_session=self.source_session,
            source_seq=self.source_seq,
            ts_event=self.ts_event,
            ts_recv=self.ts_recv,
        )
        return StoredSignal(self.seq, self.ts_stored, signal, status)


class SignalUpdateRow(Row, frozen=True, gc=False, kw_only=True, tag="signal_update_row"):
    """One update of a signal in the node's log and in the database; the last one of a signal is its state."""

    table = "signal_updates"
    sequenced = True

    stream: str
    seq: int
    ts_stored: int
    signal_id: str
    status: SignalStatus
    deployment_id: str | None
    decision_id: str | None
    client_order_id: str | None
    executed_quantity: int | None
    execution_price: int | None
    ts_executed: int | None
    pnl: int | None
    currency: str | None
    pnl_percentage: float | None
    slippage: float | None
    fill_rate: float | None
    symbol: str = ""
    strategy_id: str = ""
    """Those of the signal."""

    @classmethod
    def of(cls, stored: StoredUpdate) -> SignalUpdateRow:
        """The row of an update that is about to be stored."""
        return cls(
            stream=SIGNAL_UPDATES,
            seq=stored.seq,
            ts_stored=stored.ts_stored,
            symbol=stored.symbol,
            strategy_id=stored.strategy_id,
            **msgspec.structs.asdict(stored.update),
        )

    def stored(self) -> StoredUpdate:
        """The update with its place, equal to what was stored."""
        return StoredUpdate(self.seq, self.ts_stored, self.update(), self.symbol, self.strategy_id)

    def update(self) -> UpdateSignal:
        """The update of this row, equal to the one that was stored."""
        return UpdateSignal(**{name: getattr(self, name) for name in UpdateSignal.__struct_fields__})


def row_from_log(columns: tuple[str, ...], fields: list[object]) -> dict[str, object]:
    """A logged or queried row of one of these tables as what `msgspec.convert(..., SignalRow)` takes."""
    row = dict(zip(columns, fields, strict=True))
    metadata = row.get("metadata")
    if isinstance(metadata, str):
        row["metadata"] = msgspec.Raw(metadata.encode())
    return row
