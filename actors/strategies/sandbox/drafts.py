"""From a worker's signals to drafts: floats become nanos, and what a strategy may not say is an error that names it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import msgspec

from actors.strategies.sandbox.wire import WireSignal
from actors.strategies.strategy import Draft
from protocols.nanos import INT64_MAX, NANO
from protocols.signals import ExecutionParams, MarketConditions

DEFAULT_SLIPPAGE: Final = 1_000_000
_NINE: Final = Decimal(NANO)


class SignalError(ValueError):
    """A signal that cannot be one. `field`: which of its fields."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


def nanos(value: float, field: str) -> int:
    """The nearest number of 10⁻⁹ to the shortest decimal that names this float. Raises SignalError beyond int64."""
    found = int((Decimal(repr(value)) * _NINE).to_integral_value())
    if abs(found) > INT64_MAX:
        raise SignalError(field, f"expected at most {INT64_MAX // NANO}, got {value}")
    return found


def draft_of(signal: WireSignal, symbols: frozenset[str], validity_ns: int) -> tuple[Draft, dict[str, Any]]:
    """The draft of a signal, and its metadata apart (the draft has none yet).

    `symbols` are those of the run, `validity_ns` holds where the strategy does not say how long it is valid.
    Raises SignalError.
    """
    if signal.symbol not in symbols:
        raise SignalError("symbol", f"expected one of {', '.join(sorted(symbols))}, got {signal.symbol!r}")
    params = ExecutionParams(
        quantity=_positive(signal.quantity, "quantity"),
        price_target=_optional(signal.price_target, "price_target"),
        stop_loss=_optional(signal.stop_loss, "stop_loss"),
        take_profit=_optional(signal.take_profit, "take_profit"),
        order_type=signal.order_type,
        time_in_force=signal.time_in_force,
        max_slippage=DEFAULT_SLIPPAGE if signal.max_slippage is None else nanos(signal.max_slippage, "max_slippage"),
    )
    draft = Draft(
        market=signal.symbol,
        action=signal.action,
        confidence=signal.confidence,
        validity_ns=validity_ns if signal.validity_s is None else max(1, int(signal.validity_s * NANO)),
        execution_params=params,
        position_size=_optional(signal.position_size, "position_size"),
        max_drawdown=signal.max_drawdown,
        market_conditions=_conditions(signal),
    )
    return draft, _metadata(signal)


def _conditions(signal: WireSignal) -> MarketConditions | None:
    conditions = MarketConditions(
        trend=signal.trend,
        volatility=signal.volatility,
        volume_profile=signal.volume_profile,
        support_level=_optional(signal.support_level, "support_level"),
        resistance_level=_optional(signal.resistance_level, "resistance_level"),
    )
    return None if conditions == MarketConditions() else conditions


def _metadata(signal: WireSignal) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    if signal.metadata:
        try:
            metadata = msgspec.json.decode(signal.metadata, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError) as error:
            raise SignalError("metadata", f"expected a JSON object, got {error}") from None
    if signal.defaulted:
        metadata["defaulted"] = list(signal.defaulted)
    return metadata


def _positive(value: float | None, field: str) -> int | None:
    if value is None:
        return None
    found = nanos(value, field)
    if found <= 0:
        raise SignalError(field, f"expected at least 0.000000001, got {value}")
    return found


def _optional(value: float | None, field: str) -> int | None:
    return None if value is None else nanos(value, field)
