"""Signals as they leave a node for other systems: the JSON that Kafka, Redis and webhooks carry.

    {"type": "signal", "id": "...", "seq": 17, "signal": {...}, "timestamp": "...", "distributor": "troupe"}
    {"type": "update", "id": "...", "stream": "signal_updates", "seq": 4, "update": {...}, "signal": null,
     "timestamp": "...", "distributor": "troupe"}
    {"type": "strategy_status", "strategy_id": "...", "status": "active", ..., "distributor": "troupe"}

`signal`, `timestamp` and `distributor` are those of the inference service's message. A delivery may be repeated; `id`
says so, because it is the same then. Numbers that are nanos inside are JSON numbers with exactly their digits.

A signal that nobody may act on any more when its turn comes is told as an update (`expired` or `cancelled`) with the
signal beside it; that update's `stream` is `signals`, and `seq` the signal's place.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from protocols.nanos import decimal_text
from protocols.signal_stream import FreeObject, Number, timestamp, trading_signal
from protocols.signals import SIGNAL_UPDATES, SIGNALS, SignalStatus, StoredSignal, StoredUpdate
from protocols.strategies import StrategyChanged, StrategyState

Kind = Literal["signal", "update"]


class WireUpdate(msgspec.Struct, frozen=True):
    """What became of a signal. Quantities, prices and money are decimal numbers."""

    signal_id: str
    symbol: str
    strategy_id: str
    status: SignalStatus
    deployment_id: str | None = None
    decision_id: str | None = None
    client_order_id: str | None = None
    executed_quantity: Number | None = None
    execution_price: Number | None = None
    executed_at: str | None = None
    pnl: Number | None = None
    currency: str | None = None
    pnl_percentage: float | None = None
    slippage: float | None = None
    fill_rate: float | None = None


class SignalDelivery(msgspec.Struct, frozen=True, tag_field="type", tag="signal"):
    """A signal (a TradingSignal) with its place in the node's stream. `timestamp`: when it was stored."""

    id: str
    seq: int
    signal: FreeObject
    timestamp: str
    distributor: str


class UpdateDelivery(msgspec.Struct, frozen=True, tag_field="type", tag="update"):
    """What became of a signal, with its place in `stream`. `signal`: the whole of it, where it was never delivered."""

    id: str
    stream: str
    seq: int
    update: WireUpdate
    signal: FreeObject | None
    timestamp: str
    distributor: str


class StrategyDelivery(msgspec.Struct, frozen=True, tag_field="type", tag="strategy_status"):
    """How a strategy is now."""

    strategy_id: str
    strategy_source: str
    strategy_version: str
    execution_id: str
    status: StrategyState
    reason: str
    symbols: tuple[str, ...]
    timestamp: str
    distributor: str


class Delivery(msgspec.Struct, frozen=True):
    """One message that is ready to leave, and what one has to know of it to address it.

    `payload` is a SignalDelivery or an UpdateDelivery as JSON; `signal` the TradingSignal alone, where there is one.
    """

    kind: Kind
    stream: str
    seq: int
    id: str
    signal_id: str
    symbol: str
    status: SignalStatus
    payload: bytes
    signal: bytes | None


_encode = msgspec.json.Encoder().encode


def delivery(item: StoredSignal | StoredUpdate, now: int, distributor: str) -> Delivery:
    """What is to be sent of a stored signal or update at a wall time."""
    if isinstance(item, StoredUpdate):
        return _of_update(item, distributor)
    status = item.status_at(now)
    signal = item.signal
    text = _encode(trading_signal(item, status))
    stored = timestamp(item.ts_stored)
    if status in ("expired", "cancelled"):
        name = f"{signal.signal_id}:{status}"
        update = WireUpdate(signal.signal_id, signal.symbol, signal.strategy_id, status)
        late = UpdateDelivery(name, SIGNALS, item.seq, update, msgspec.Raw(text), stored, distributor)
        return Delivery("update", SIGNALS, item.seq, name, signal.signal_id, signal.symbol, status, _encode(late), text)
    made = SignalDelivery(signal.signal_id, item.seq, msgspec.Raw(text), stored, distributor)
    return Delivery(
        "signal", SIGNALS, item.seq, signal.signal_id, signal.signal_id, signal.symbol, status, _encode(made), text
    )


def wire_update(item: StoredUpdate) -> WireUpdate:
    """What became of a signal, as every way out shows it."""
    given = item.update
    return WireUpdate(
        given.signal_id,
        item.symbol,
        item.strategy_id,
        given.status,
        given.deployment_id,
        given.decision_id,
        given.client_order_id,
        _number(given.executed_quantity),
        _number(given.execution_price),
        None if given.ts_executed is None else timestamp(given.ts_executed),
        _number(given.pnl),
        given.currency,
        given.pnl_percentage,
        given.slippage,
        given.fill_rate,
    )


def _of_update(item: StoredUpdate, distributor: str) -> Delivery:
    given = item.update
    name = f"{given.signal_id}:{item.seq}"
    update = wire_update(item)
    made = UpdateDelivery(name, SIGNAL_UPDATES, item.seq, update, None, timestamp(item.ts_stored), distributor)
    return Delivery(
        "update", SIGNAL_UPDATES, item.seq, name, given.signal_id, item.symbol, given.status, _encode(made), None
    )


def strategy_delivery(changed: StrategyChanged, distributor: str) -> bytes:
    """A strategy's status as JSON."""
    return _encode(
        StrategyDelivery(
            changed.strategy_id,
            changed.strategy_source,
            changed.strategy_version,
            changed.execution_id,
            changed.status,
            changed.reason,
            changed.symbols,
            timestamp(changed.ts),
            distributor,
        )
    )


def _number(nanos: int | None) -> msgspec.Raw | None:
    return None if nanos is None else msgspec.Raw(decimal_text(nanos).encode())
