"""What a signal may hold."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.strategies.sandbox import wire
from actors.strategies.sdk import Signal, SignalError
from actors.strategies.sdk.signal import ACTIONS, FIELDS, ORDER_TYPES, TIMES_IN_FORCE

WHOLE = {
    "action": "BUY", "symbol": "ABC", "confidence": 0.7, "quantity": 2, "price_target": 10, "stop_loss": 9.5,
    "take_profit": 11, "order_type": "LIMIT", "time_in_force": "IOC", "max_slippage": 0.001, "position_size": 0.1,
    "max_drawdown": 0.05, "risk_score": 0.3, "validity_s": 60, "trend": "up", "volatility": 0.2,
    "volume_profile": "high", "support_level": 9, "resistance_level": 12, "metadata": {"why": "because"},
}  # fmt: skip


def test_a_signal_has_the_fields_of_the_wire_and_no_others() -> None:
    own = {name for name in wire.WireSignal.__struct_fields__ if name not in ("index", "defaulted")}
    assert set(FIELDS) == own
    assert set(WHOLE) == own


def test_a_signal_holds_what_it_was_given_as_plain_numbers() -> None:
    signal = Signal.from_mapping(WHOLE)
    assert (signal.quantity, type(signal.quantity)) == (2.0, float)
    assert json.loads(signal.metadata_text()) == {"why": "because"}
    exact = Signal(action="BUY", confidence=np.float32(0.5), quantity=np.int64(3), stop_loss=Decimal("9.5"))  # type: ignore[arg-type]
    assert (exact.confidence, exact.quantity, exact.stop_loss) == (0.5, 3.0, 9.5)
    assert {type(exact.confidence), type(exact.quantity), type(exact.stop_loss)} == {float}


def test_fields_may_stand_inside_the_objects_that_signals_have_on_the_wire() -> None:
    nested = Signal.from_mapping(
        {"action": "SELL", "execution_params": {"quantity": 2}, "market_conditions": {"trend": "down"}}
    )
    assert nested == Signal(action="SELL", quantity=2, trend="down")
    with pytest.raises(SignalError, match=r"^quantity: expected it once, got 'it twice'$"):
        Signal.from_mapping({"action": "SELL", "quantity": 1, "execution_params": {"quantity": 2}})


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({}, "action: expected one of BUY, SELL, HOLD, CLOSE_LONG, CLOSE_SHORT, CLOSE_ALL, got None"),
        ({"action": "buy"}, "action: expected one of BUY, .*, got 'buy'"),
        ({"action": 1}, "action: expected one of BUY, .*, got 1"),
        ({"action": "BUY", "confidence": float("nan")}, "confidence: expected a number from 0 to 1, got nan"),
        ({"action": "BUY", "confidence": 1.01}, "confidence: expected a number from 0 to 1, got 1.01"),
        ({"action": "BUY", "confidence": True}, "confidence: expected a number from 0 to 1, got True"),
        ({"action": "BUY", "confidence": "0.5"}, "confidence: expected a number from 0 to 1, got '0.5'"),
        ({"action": "BUY", "confidence": np.array([0.5])}, "confidence: expected a number from 0 to 1, got ndarray"),
        ({"action": "BUY", "quantity": 0}, "quantity: expected a number above 0, got 0"),
        ({"action": "BUY", "quantity": 10**400}, "quantity: expected a number above 0, got 1000.*"),
        ({"action": "BUY", "stop_loss": float("inf")}, "stop_loss: expected a finite number, got inf"),
        ({"action": "BUY", "symbol": ""}, "symbol: expected text of 1 to 200 characters, got ''"),
        ({"action": "BUY", "order_type": "ICEBERG"}, "order_type: expected one of MARKET, .*, got 'ICEBERG'"),
        ({"action": "BUY", "validity_s": -1}, "validity_s: expected a number of seconds above 0, .*, got -1"),
        ({"action": "BUY", "stop": 1}, "stop: expected a field of a signal: action, symbol, .*, got 1"),
        ({"action": "BUY", "metadata": {"a": float("nan")}}, "metadata: expected a dictionary of what JSON can say.*"),
        ({"action": "BUY", "metadata": {"a": object()}}, "metadata: .*object is nothing that JSON can say.*"),
        ({"action": "BUY", "metadata": "text"}, "metadata: expected a dictionary .*, got 'text'"),
        ({"action": "BUY", "metadata": {"a": "x" * 20_000}}, "metadata: .*got '20008 characters'"),
    ],
)
def test_a_value_that_a_field_cannot_have_is_refused_by_name(given_: dict[str, Any], message: str) -> None:
    with pytest.raises(SignalError, match=f"^{message}$"):
        Signal.from_mapping(given_)


def test_a_signal_shows_what_it_says_and_not_what_it_leaves_open() -> None:
    assert repr(Signal(action="BUY", stop_loss=9)) == "Signal(action='BUY', stop_loss=9.0)"


def test_metadata_is_a_copy_that_later_changes_do_not_reach() -> None:
    metadata: dict[str, Any] = {"values": [1, np.float64(2.5)], "array": np.arange(2)}
    signal = Signal(action="BUY", metadata=metadata)
    metadata["values"].append(3)
    assert signal.metadata == {"values": [1, 2.5], "array": [0, 1]}


NUMBERS = st.one_of(st.integers(), st.floats(), st.none(), st.booleans(), st.text(max_size=3))


@given(
    st.sampled_from(ACTIONS),
    st.dictionaries(st.sampled_from([name for name in FIELDS if name not in ("action", "metadata")]), NUMBERS),
    st.sampled_from((None, *ORDER_TYPES)),
    st.sampled_from((None, *TIMES_IN_FORCE)),
)
def test_whatever_a_signal_accepts_the_wire_accepts_too(
    action: str, fields: dict[str, Any], order_type: str | None, time_in_force: str | None
) -> None:
    fields = {**fields, "action": action, "order_type": order_type, "time_in_force": time_in_force}
    try:
        signal = Signal.from_mapping(fields)
    except SignalError:
        return
    values: dict[str, Any] = {
        name: value for name in FIELDS if name != "metadata" and (value := getattr(signal, name)) is not None
    }
    sent = wire.WireSignal(0, **{"symbol": "ABC", "confidence": 0.5, **values})
    encoded = msgspec.msgpack.encode(wire.Done(1, 1, (sent,)))
    try:
        assert wire.REPLY.decode(encoded) == wire.Done(1, 1, (sent,))
    except msgspec.ValidationError as error:
        raise AssertionError(f"{fields}: {error}") from error
