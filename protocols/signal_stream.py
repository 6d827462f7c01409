"""Signals as JSON: the TradingSignal of the inference service, and the messages of `WS /api/signals/stream`.

Numbers that are nanos inside are JSON numbers with exactly their digits here, never by way of a float; times are ISO
8601, UTC, in microseconds. Beyond the inherited shapes: `seq` in every signal message, `resume_from` in a
subscription, `resumed` and `lagged`, `updates` for those who ask (`signal_update_stream.py`), and `deployment_id`,
`decision_id`, `marks` in a signal.

    client  {"type": "subscribe", "symbols": ["*"], "resume_from": 17}     {"type": "unsubscribe", "symbols": ["A"]}
            {"type": "ping"}
    server  {"type": "connection", "status": "connected", "connection_id": "...", "timestamp": "..."}
            {"type": "subscription", "status": "subscribed", "symbols": ["*"]}
            {"type": "signal", "seq": 17, "data": {...}, "timestamp": "..."}
            {"type": "resumed", "from": 17, "to": 40, "count": 23, "missing": [{"from": 18, "to": 18}]}
            {"type": "lagged", "from": 52, "to": 60, "count": 9}
            {"type": "pong"}
            {"type": "error", "code": "invalid", "message": "...", "field": "symbols"}
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from protocols.nanos import decimal_text
from protocols.signals import Action, OrderType, Signal, SignalStatus, Span, StoredSignal, TimeInForce

ALL_SYMBOLS: Final = "*"
MOST_SYMBOLS: Final = 1000
"""In one message, and in one subscription."""

_FROM_TO: Final = {"first": "from", "last": "to"}

Number = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "number"})]
FreeObject = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]
Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Symbols = Annotated[tuple[Symbol, ...], msgspec.Meta(min_length=1, max_length=MOST_SYMBOLS)]


class WireExecutionParams(msgspec.Struct, frozen=True):
    """`execution_params` of a TradingSignal."""

    quantity: Number | None
    price_target: Number | None
    stop_loss: Number | None
    take_profit: Number | None
    order_type: OrderType
    time_in_force: TimeInForce
    max_slippage: Number


class WireMarketConditions(msgspec.Struct, frozen=True):
    """`market_conditions` of a TradingSignal."""

    trend: str | None
    volatility: float | None
    volume_profile: str | None
    support_level: Number | None
    resistance_level: Number | None


class TradingSignal(msgspec.Struct, frozen=True):
    """A stored signal as clients see it."""

    signal_id: str
    timestamp: str
    strategy_id: str
    strategy_source: str
    strategy_version: str | None
    symbol: str
    exchange: str
    action: Action
    confidence: float
    execution_params: WireExecutionParams
    risk_score: float
    position_size: Number | None
    max_drawdown: float | None
    current_price: Number | None
    market_conditions: WireMarketConditions | None
    metadata: FreeObject
    status: SignalStatus
    expires_at: str | None
    seq: int
    deployment_id: str | None
    decision_id: str | None
    marks: tuple[str, ...]


class SignalMessage(msgspec.Struct, frozen=True, tag_field="type", tag="signal"):
    """One signal. `timestamp`: when it was stored."""

    seq: int
    data: TradingSignal
    timestamp: str


class ConnectionMessage(msgspec.Struct, frozen=True, tag_field="type", tag="connection"):
    """The greeting."""

    status: str
    connection_id: str
    timestamp: str


class SubscriptionMessage(msgspec.Struct, frozen=True, tag_field="type", tag="subscription"):
    """The answer to `subscribe` and `unsubscribe`: the symbols that were named."""

    status: str
    symbols: tuple[str, ...]


class PongMessage(msgspec.Struct, frozen=True, tag_field="type", tag="pong"):
    """The answer to `ping`."""


class ErrorMessage(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """What was not granted, and why. The connection goes on."""

    message: str
    code: str
    field: str | None = None


class WireSpan(msgspec.Struct, frozen=True, rename=_FROM_TO):
    """Places of the stream, both included."""

    first: int
    last: int


class ResumedMessage(msgspec.Struct, frozen=True, tag_field="type", tag="resumed", rename=_FROM_TO):
    """The replay is over: `from` to `to` was gone through, `count` signals of it were sent, `missing` is not held.

    What follows is live.
    """

    first: int
    last: int
    count: int
    missing: tuple[WireSpan, ...]


class LaggedMessage(msgspec.Struct, frozen=True, tag_field="type", tag="lagged", rename=_FROM_TO):
    """The client read too slowly: `count` of its signals with places `from` to `to` were not sent."""

    first: int
    last: int
    count: int


class Subscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="subscribe"):
    """From the client: send signals of these symbols (`*`: all) from now on.

    `resume_from`: first send what is stored from this place on. A client that has seen 41 says 42. `updates`: send
    what becomes of signals of these symbols, too, from now on.
    """

    symbols: Symbols
    resume_from: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    updates: bool = False


class Unsubscribe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="unsubscribe"):
    """From the client: no more signals of these symbols (`*`: of any)."""

    symbols: Symbols


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """From the client: are you there?"""


ClientMessage = Subscribe | Unsubscribe | Ping


class Malformed(ValueError):
    """What the client sent is no message of this protocol."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


_decode = msgspec.json.Decoder(ClientMessage).decode
_encode = msgspec.json.Encoder().encode
_PLACE = re.compile(r"^(.*?) - at `\$\.?([^`]*)`$", re.DOTALL)
_NAMED = re.compile(r"(?:missing required|contains unknown) field `([^`]+)`")


def decode_client(text: str | bytes) -> ClientMessage:
    """What a client said. Raises Malformed, naming the field where there is one."""
    if isinstance(text, bytes):
        raise Malformed("expected a text message, got a binary one")
    try:
        message: ClientMessage = _decode(text)
    except msgspec.ValidationError as error:
        found = _PLACE.match(str(error))
        named = _NAMED.search(str(error))
        field = named[1] if named else found[2] if found else None
        raise Malformed(found[1] if found else str(error), field or None) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from None
    for symbol in getattr(message, "symbols", ()):
        if not symbol.isprintable():
            raise Malformed("a symbol is printable text", "symbols")
    return message


def encode_server(message: msgspec.Struct) -> bytes:
    """The JSON of one of the server's messages."""
    return _encode(message)


def encode_signal(stored: StoredSignal) -> bytes:
    """The `signal` message of a stored signal: the same for all subscribers."""
    return _encode(SignalMessage(stored.seq, trading_signal(stored, stored.status), timestamp(stored.ts_stored)))


def trading_signal(stored: StoredSignal, status: SignalStatus) -> TradingSignal:
    """A stored signal as a TradingSignal with this status."""
    signal: Signal = stored.signal
    params = signal.execution_params
    seen = signal.market_conditions
    conditions = None
    if seen is not None:
        conditions = WireMarketConditions(
            seen.trend,
            seen.volatility,
            seen.volume_profile,
            _number(seen.support_level),
            _number(seen.resistance_level),
        )
    return TradingSignal(
        signal.signal_id,
        timestamp(signal.ts_created),
        signal.strategy_id,
        signal.strategy_source,
        signal.strategy_version,
        signal.symbol,
        signal.exchange,
        signal.action,
        signal.confidence,
        WireExecutionParams(
            _number(params.quantity),
            _number(params.price_target),
            _number(params.stop_loss),
            _number(params.take_profit),
            params.order_type,
            params.time_in_force,
            msgspec.Raw(decimal_text(params.max_slippage).encode()),
        ),
        signal.risk_score,
        _number(signal.position_size),
        signal.max_drawdown,
        _number(signal.current_price),
        conditions,
        signal.metadata,
        status,
        None if signal.ts_expires is None else timestamp(signal.ts_expires),
        stored.seq,
        signal.deployment_id,
        signal.decision_id,
        signal.marks,
    )


def wire_spans(spans: tuple[Span, ...]) -> tuple[WireSpan, ...]:
    """Spans as the stream's messages show them."""
    return tuple(WireSpan(span.first, span.last) for span in spans)


def timestamp(ns: int) -> str:
    """Nanoseconds since the epoch as ISO 8601 in UTC, cut to microseconds. Raises ValueError beyond year 9999."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06d}Z"


@functools.lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
    except (OverflowError, OSError) as error:
        raise ValueError(f"{seconds} s is no time that a calendar has") from error


def _number(nanos: int | None) -> msgspec.Raw | None:
    return None if nanos is None else msgspec.Raw(decimal_text(nanos).encode())
