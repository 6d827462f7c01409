"""What the hub asks of a signal and of an update. Structs built in Python are not checked by their types: this is.

Text has to be printable: a zero byte or half a surrogate would be refused by the database, long after the signal was
accepted. Numbers have to fit int64, because they travel and are stored as such.
"""

from __future__ import annotations

import math
from typing import Final, get_args

import msgspec

from actors.signals.expiry import OPEN
from protocols.control import Refused
from protocols.market import MARKS
from protocols.nanos import INT64_MAX
from protocols.signals import (
    NO_METADATA,
    Action,
    OrderType,
    Signal,
    SignalStatus,
    StoredSignal,
    TimeInForce,
    UpdateSignal,
)

MOST_TEXT: Final = 200
MOST_METADATA: Final = 18_432
"""16 KiB of the strategy's own, and what the node adds."""

_ACTIONS: Final = frozenset(get_args(Action))
_ORDER_TYPES: Final = frozenset(get_args(OrderType))
_TIMES_IN_FORCE: Final = frozenset(get_args(TimeInForce))
_STATUSES: Final = frozenset(get_args(SignalStatus))
_NEXT: Final[dict[str, frozenset[str]]] = {
    "pending": frozenset({"active", "executed", "cancelled", "expired"}),
    "active": frozenset({"executed", "cancelled", "expired"}),
    "executed": frozenset({"executed"}),
    "cancelled": frozenset(),
    # A fill is a fact: an order that was begun in time may be executed after its signal has expired.
    "expired": frozenset({"executed"}),
}


def check_signal(signal: Signal, now: int) -> None:
    """Raise Refused `invalid` with the field, or `signal_expired`, if the signal cannot be accepted at `now`."""
    _text("signal_id", signal.signal_id)
    _text("strategy_id", signal.strategy_id)
    _text("strategy_source", signal.strategy_source)
    _text("symbol", signal.symbol)
    _text("exchange", signal.exchange, empty=True)
    _text("source_session", signal.source_session, empty=True)
    for name in ("strategy_version", "deployment_id", "decision_id"):
        value = getattr(signal, name)
        if value is not None:
            _text(name, value)
    _choice("action", signal.action, _ACTIONS)
    _share("confidence", signal.confidence)
    _share("risk_score", signal.risk_score)
    _moment("ts_created", signal.ts_created)
    _whole("source_seq", signal.source_seq)
    _whole("ts_event", signal.ts_event)
    _whole("ts_recv", signal.ts_recv)
    for name in ("position_size", "current_price"):
        _optional_whole(name, getattr(signal, name))
    _optional_number("max_drawdown", signal.max_drawdown)
    _check_execution(signal)
    _check_conditions(signal)
    if not MARKS.issuperset(signal.marks):
        raise Refused("invalid", f"marks are among {', '.join(sorted(MARKS))}, not {signal.marks}", "marks")
    _check_metadata(signal.metadata)
    if signal.ts_expires is not None:
        _moment("expires_at", signal.ts_expires)
        if signal.ts_expires <= now:
            late = (now - signal.ts_expires) / 1e9
            raise Refused("signal_expired", f"the signal expired {late:.3f} s ago", "expires_at")


def check_update(known: StoredSignal, update: UpdateSignal, now: int) -> None:
    """Raise Refused `invalid` or `conflict` if this cannot have become of the signal."""
    _choice("status", update.status, _STATUSES)
    status = known.status_at(now)
    expires = update.status == "expired" and known.status in OPEN
    if update.status not in _NEXT[status] and not expires:
        raise Refused("conflict", f"a signal that is {status} cannot become {update.status}", "status")
    for name in ("deployment_id", "decision_id", "client_order_id", "currency"):
        value = getattr(update, name)
        if value is not None:
            _text(name, value)
    for name in ("executed_quantity", "execution_price", "pnl"):
        _optional_whole(name, getattr(update, name))
    if update.executed_quantity is not None and update.executed_quantity <= 0:
        raise Refused("invalid", "a quantity is above 0", "executed_quantity")
    if update.pnl is not None and update.currency is None:
        raise Refused("invalid", "money has a currency", "currency")
    if update.ts_executed is not None:
        _moment("ts_executed", update.ts_executed)
    for name in ("pnl_percentage", "slippage"):
        _optional_number(name, getattr(update, name))
    if update.fill_rate is not None:
        _share("fill_rate", update.fill_rate)


def _check_execution(signal: Signal) -> None:
    params = signal.execution_params
    for name in ("quantity", "price_target", "stop_loss", "take_profit", "max_slippage"):
        _optional_whole(f"execution_params.{name}", getattr(params, name))
    if params.quantity is not None and params.quantity <= 0:
        raise Refused("invalid", "a quantity is above 0", "execution_params.quantity")
    if params.max_slippage < 0:
        raise Refused("invalid", "a slippage is not negative", "execution_params.max_slippage")
    _choice("execution_params.order_type", params.order_type, _ORDER_TYPES)
    _choice("execution_params.time_in_force", params.time_in_force, _TIMES_IN_FORCE)


def _check_conditions(signal: Signal) -> None:
    seen = signal.market_conditions
    if seen is None:
        return
    for name in ("trend", "volume_profile"):
        value = getattr(seen, name)
        if value is not None:
            _text(f"market_conditions.{name}", value)
    _optional_number("market_conditions.volatility", seen.volatility)
    _optional_whole("market_conditions.support_level", seen.support_level)
    _optional_whole("market_conditions.resistance_level", seen.resistance_level)


def _check_metadata(metadata: msgspec.Raw) -> None:
    if metadata is NO_METADATA:
        return
    raw = bytes(metadata)
    if len(raw) > MOST_METADATA:
        raise Refused("too_large", f"metadata has at most {MOST_METADATA} bytes, not {len(raw)}", "metadata")
    try:
        decoded = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("invalid", f"metadata is not JSON: {error}", "metadata") from None
    if not isinstance(decoded, dict):
        raise Refused("invalid", "metadata is a JSON object", "metadata")


def _text(field: str, value: str, *, empty: bool = False) -> None:
    if not isinstance(value, str) or not (value or empty) or len(value) > MOST_TEXT or not value.isprintable():
        raise Refused("invalid", f"{field} is printable text of 1 to {MOST_TEXT} characters", field)


def _choice(field: str, value: str, choices: frozenset[str]) -> None:
    if value not in choices:
        raise Refused("invalid", f"{field} is one of {', '.join(sorted(choices))}, not {value!r}", field)


def _share(field: str, value: float) -> None:
    if not isinstance(value, int | float) or not 0 <= value <= 1:  # NaN is in no range
        raise Refused("invalid", f"{field} is from 0 to 1, not {value}", field)


def _whole(field: str, value: int) -> None:
    if not isinstance(value, int) or not -INT64_MAX <= value <= INT64_MAX:
        raise Refused("invalid", f"{field} is an integer of 64 bits, not {value!r}", field)


def _optional_whole(field: str, value: int | None) -> None:
    if value is not None:
        _whole(field, value)


def _optional_number(field: str, value: float | None) -> None:
    if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
        raise Refused("invalid", f"{field} is a finite number, not {value!r}", field)


def _moment(field: str, value: int) -> None:
    if not isinstance(value, int) or not 0 < value <= INT64_MAX:
        raise Refused("invalid", f"{field} is a time after 1970 in nanoseconds of 64 bits, not {value!r}", field)
