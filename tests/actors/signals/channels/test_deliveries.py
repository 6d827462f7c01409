from __future__ import annotations

from typing import Any

import msgspec
import pytest

from protocols.signal_deliveries import delivery, strategy_delivery
from protocols.signals import SignalStatus, StoredUpdate, UpdateSignal
from protocols.strategies import StrategyChanged
from tests.actors.signals.samples import NOW, SECOND, stored

MOMENT = "2025-06-15T15:06:40.000000Z"


def decoded(payload: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(payload)
    return found


def test_a_signal_has_the_shape_of_the_inference_service_and_its_place() -> None:
    made = delivery(stored(7, "BTCUSDT", current_price=123_456_789_012), NOW, "inference-service")
    value = decoded(made.payload)
    assert set(value) == {"type", "id", "seq", "signal", "timestamp", "distributor"}
    assert (value["type"], value["id"], value["seq"]) == ("signal", "sig_7", 7)
    assert (value["timestamp"], value["distributor"]) == (MOMENT, "inference-service")
    assert value["signal"]["symbol"] == "BTCUSDT"
    assert b'"current_price":123.456789012,' in made.payload
    assert (made.kind, made.symbol, made.signal_id, made.status) == ("signal", "BTCUSDT", "sig_7", "pending")
    assert made.signal is not None
    assert decoded(made.signal) == value["signal"]


@pytest.mark.parametrize("status", ["pending", "active"])
def test_a_signal_is_told_as_expired_from_its_expiry_on(status: SignalStatus) -> None:
    held = msgspec.structs.replace(stored(7, ts_expires=NOW + SECOND), status=status)
    assert delivery(held, NOW + SECOND - 1, "troupe").kind == "signal"
    late = delivery(held, NOW + SECOND, "troupe")
    value = decoded(late.payload)
    assert (late.kind, late.status, value["type"], value["id"]) == ("update", "expired", "update", "sig_7:expired")
    assert (value["stream"], value["seq"], value["update"]["status"]) == ("signals", 7, "expired")
    assert value["signal"]["status"] == "expired"


def test_an_executed_signal_stays_a_signal_and_a_cancelled_one_does_not() -> None:
    executed = msgspec.structs.replace(stored(7, ts_expires=NOW + 1), status="executed")
    assert delivery(executed, NOW + SECOND, "troupe").kind == "signal"
    cancelled = delivery(msgspec.structs.replace(stored(7), status="cancelled"), NOW, "troupe")
    assert (cancelled.kind, cancelled.id) == ("update", "sig_7:cancelled")


def test_an_update_tells_figures_with_exactly_their_digits() -> None:
    update = UpdateSignal(
        signal_id="sig_7", status="executed", executed_quantity=10**18 + 1, execution_price=-1, ts_executed=NOW,
        pnl=-1_500_000_000, currency="USD", pnl_percentage=-0.5,
    )  # fmt: skip
    made = delivery(StoredUpdate(3, NOW, update, "A", "s1"), NOW, "troupe")
    assert b'"executed_quantity":1000000000.000000001,"execution_price":-0.000000001,' in made.payload
    value = decoded(made.payload)
    assert (value["id"], value["stream"], value["seq"], value["signal"]) == ("sig_7:3", "signal_updates", 3, None)
    assert (value["update"]["pnl"], value["update"]["currency"], value["update"]["executed_at"]) == (
        -1.5,
        "USD",
        MOMENT,
    )
    assert (value["update"]["symbol"], value["update"]["strategy_id"]) == ("A", "s1")
    assert (made.symbol, made.signal) == ("A", None)


def test_a_strategy_tells_how_it_is() -> None:
    changed = StrategyChanged(
        strategy_id="s1", strategy_source="catalogue", strategy_version="2", execution_id="e", status="error",
        reason="too slow", symbols=("A",), ts=NOW,
    )  # fmt: skip
    value = decoded(strategy_delivery(changed, "troupe"))
    assert (value["type"], value["status"], value["reason"], value["timestamp"]) == (
        "strategy_status", "error", "too slow", MOMENT,
    )  # fmt: skip
