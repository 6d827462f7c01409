"""Reads what the trading service and the threshold service answer: bytes to messages.

Names are those of the services (camelCase; the threshold service has underscores). What is unknown is passed over, what
is missing stays missing, what has a wrong type is one error that says where. Answers may come in an envelope
{"success", "data", "error"}.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from protocols.bridges import (
    EvaluateUpstream,
    TradingState,
    UpstreamAccount,
    UpstreamSignal,
    UpstreamSignals,
    UpstreamVerdict,
)
from protocols.nanos import INT64_MAX

S = TypeVar("S")
Moment = str | int | float
SHOWN: Final = 200
_SECOND: Final = 1_000_000_000
_NULL: Final = msgspec.Raw(b"null")


class Malformed(ValueError):
    """What came is no answer; says where and why."""


class SaidNo(Exception):
    """The service has answered `success: false`; its own words."""


class _Envelope(msgspec.Struct, frozen=True):
    success: bool | None = None
    # Raw stands for anything, null included; a union with None would not.
    data: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    message: msgspec.Raw = _NULL


def words(body: bytes) -> str:
    """The beginning of a body as one line of printable text."""
    text = " ".join(body[: 4 * SHOWN].decode("utf-8", "replace").split())
    return "".join(each for each in text if each.isprintable())[:SHOWN]


def payload(body: bytes) -> bytes:
    """What is inside the envelope, or all of it. Raises Malformed, SaidNo."""
    if not body.lstrip().startswith(b"{"):
        return body
    found = decode(body, _Envelope)
    if found.success is False:
        told = found.message if found.error == _NULL else found.error
        raise SaidNo("no reason given" if told == _NULL else words(bytes(told)).strip('"'))
    if found.success is None or found.data == _NULL:
        return body
    return bytes(found.data)


def any_json(body: bytes) -> msgspec.Raw:
    """Whatever was answered, as JSON; an empty body is null. Raises Malformed, SaidNo."""
    if not body.strip():
        return msgspec.Raw(b"null")
    inside = payload(body)
    decode(inside, Any)
    return msgspec.Raw(inside)


class _Account(msgspec.Struct, frozen=True, rename="camel"):
    account_id: str
    mode: str | None = None
    trading: str | None = None
    currency: str | None = None
    balance: float | None = None
    equity: float | None = None
    total_pnl: float | None = None
    daily_pnl: float | None = None
    open_orders: int | None = None


class _State(msgspec.Struct, frozen=True, rename="camel"):
    user_id: str | None = None
    is_active: bool | None = None
    active: bool | None = None
    status: str | None = None
    watchlist: tuple[str, ...] | None = None
    accounts: tuple[_Account, ...] | None = None
    session_id: str | None = None
    active_trades: int | None = None
    total_pnl: float | None = None
    total_pn_l: float | None = None
    message: str | None = None


def trading_state(body: bytes, user_id: str, now: int) -> TradingState:
    """The answer to status, start and stop. Raises Malformed, SaidNo."""
    found = decode(payload(body) if body.strip() else b"{}", _State)
    accounts = found.accounts
    return TradingState(
        user_id=user_id if found.user_id is None else found.user_id,
        is_active=found.active if found.is_active is None else found.is_active,
        status=found.status,
        watchlist=found.watchlist,
        accounts=None
        if accounts is None
        else tuple(UpstreamAccount(**msgspec.structs.asdict(account)) for account in accounts),
        session_id=found.session_id,
        active_trades=found.active_trades,
        total_pnl=found.total_pn_l if found.total_pnl is None else found.total_pnl,
        message=found.message,
        ts_recv=now,
    )


class _Signal(msgspec.Struct, frozen=True, rename="camel"):
    id: str | None = None
    signal_id: str | None = None
    symbol: str | None = None
    action: str | None = None
    confidence: float | None = None
    strategy_id: str | None = None
    price: float | None = None
    status: str | None = None
    timestamp: Moment | None = None


class _Signals(msgspec.Struct, frozen=True):
    signals: tuple[_Signal, ...]


def trading_signals(body: bytes, user_id: str, now: int) -> UpstreamSignals:
    """A list of signals, or an object that has one. Raises Malformed, SaidNo."""
    inside = payload(body)
    listed = inside.lstrip().startswith(b"[")
    found = decode(inside, tuple[_Signal, ...]) if listed else decode(inside, _Signals).signals
    signals = tuple(
        UpstreamSignal(
            signal_id=each.id if each.signal_id is None else each.signal_id,
            symbol=each.symbol,
            action=each.action,
            confidence=each.confidence,
            strategy_id=each.strategy_id,
            price=each.price,
            status=each.status,
            ts=None if each.timestamp is None else moment(each.timestamp),
        )
        for each in found
    )
    return UpstreamSignals(user_id=user_id, signals=signals, ts_recv=now)


class _Verdict(msgspec.Struct, frozen=True):
    should_trade: bool
    reasoning: str | None = None
    current_thresholds: dict[str, float] | None = None
    threshold_adjustments: dict[str, float] | None = None
    thresholds: dict[str, float] | None = None


def verdict(body: bytes, asked: EvaluateUpstream, now: int) -> UpstreamVerdict:
    """The threshold service's answer; the action is the signal's own, because the service names none.

    Raises Malformed, SaidNo.
    """
    found = decode(payload(body), _Verdict)
    levels = next(
        (
            each
            for each in (found.current_thresholds, found.thresholds, found.threshold_adjustments)
            if each is not None
        ),
        None,
    )
    return UpstreamVerdict(
        user_id=asked.user_id,
        symbol=asked.symbol,
        should_trade=found.should_trade,
        action=asked.action if found.should_trade else "HOLD",
        confidence=asked.confidence,
        reasoning=found.reasoning,
        thresholds=None if levels is None else tuple(sorted(levels.items())),
        ts_recv=now,
    )


def moment(value: Moment) -> int:
    """A time as nanoseconds since the epoch: ISO 8601 (UTC where it does not say), or a number of seconds or (from
    1e11 on, which as seconds would be the year 5138) milliseconds. Raises Malformed."""
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            raise Malformed(f"expected a time in ISO 8601, got {value[:50]!r}") from None
        since = (found if found.tzinfo else found.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
        ts = (since.days * 86_400 + since.seconds) * _SECOND + since.microseconds * 1000
        if not 0 <= ts <= INT64_MAX:
            raise Malformed(f"expected a time from 1970 to 2262, got {value[:50]!r}")
        return ts
    if not 0 <= value <= INT64_MAX / 1e6:
        raise Malformed(f"expected a time in seconds or milliseconds, got {value!r}")
    if 9_223_372_036 < value < 1e11:
        raise Malformed(f"expected a time from 1970 to 2262, got {value!r}")
    scale = _SECOND if value < 1e11 else 1_000_000
    return value * scale if isinstance(value, int) else round(value * scale)


def decode(body: bytes, kind: type[S] | Any) -> S | Any:
    """JSON of a type. Raises Malformed, which says where."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Malformed(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"no JSON: {error}") from None
    except RecursionError:
        raise Malformed("no JSON that is meant seriously: it is nested too deeply") from None
