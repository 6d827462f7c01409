"""Signals to test with."""

from __future__ import annotations

from typing import Any

from protocols.signals import Signal, SignalStatus, StoredSignal, StoredUpdate, UpdateSignal

NOW = 1_750_000_000_000_000_000
SECOND = 1_000_000_000


def signal(number: int = 1, symbol: str = "A", **changes: Any) -> Signal:
    fields: dict[str, Any] = {
        "signal_id": f"sig_{number}",
        "ts_created": NOW,
        "ts_expires": NOW + 1_000_000 * 365 * SECOND,
        "strategy_id": "test",
        "strategy_source": "catalogue",
        "symbol": symbol,
        "exchange": "kalshi",
        "action": "BUY",
        "confidence": 0.75,
    }
    return Signal(**{**fields, **changes})


def stored(seq: int, symbol: str = "A", **changes: Any) -> StoredSignal:
    return StoredSignal(seq, NOW, signal(seq, symbol, **changes))


def update(seq: int, signal_id: str, status: SignalStatus, **changes: Any) -> StoredUpdate:
    return StoredUpdate(seq, NOW, UpdateSignal(signal_id=signal_id, status=status, **changes), "A", "test")
