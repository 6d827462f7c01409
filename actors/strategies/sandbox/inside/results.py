"""From what user code returns to signals of the wire: every value is checked and becomes a plain scalar here.

A result is None, one signal, or a list, tuple or generator of them. A signal is the SDK's `Signal`, a dictionary, or an
object with a signal's fields as attributes (a dataclass, a named tuple).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from enum import Enum
from types import GeneratorType
from typing import Any, Final

import msgspec

from actors.strategies.sandbox.wire import MOST_SIGNALS, WireSignal
from actors.strategies.sdk.signal import ACTIONS, FIELDS, Signal, SignalError

DEFAULT_CONFIDENCE: Final = 0.5
OF_THE_NODE: Final = frozenset(
    {
        "signal_id", "timestamp", "strategy_id", "strategy_source", "strategy_version", "exchange", "current_price",
        "status", "expires_at",
    }
)  # fmt: skip
"""Fields of a stored signal that the node fills in by itself."""


def signals_of(result: object, index: int, symbols: tuple[str, ...]) -> list[WireSignal]:
    """The signals of a result for the input at `index`, in a run on these symbols. Raises SignalError."""
    if result is None:
        return []
    if isinstance(result, list | tuple | GeneratorType) and not hasattr(result, "_fields"):
        return _each(result, index, symbols)
    return [wire_signal(as_signal(result), index, symbols)]


def _each(results: Iterable[object], index: int, symbols: tuple[str, ...]) -> list[WireSignal]:
    found: list[WireSignal] = []
    for each in results:
        if len(found) == MOST_SIGNALS:
            raise SignalError("result", f"at most {MOST_SIGNALS} signals at a time", "more")
        found.append(wire_signal(as_signal(each), index, symbols))
    return found


def as_signal(result: object) -> Signal:
    """One signal out of an object. Raises SignalError."""
    if type(result) is Signal:
        return result
    if isinstance(result, Mapping):
        given = dict(result)
    elif is_dataclass(result) and not isinstance(result, type):
        given = {each.name: getattr(result, each.name) for each in dataclass_fields(result)}
        given = {name: value for name, value in given.items() if value is not None}
    elif isinstance(result, tuple) and hasattr(result, "_asdict"):
        given = {name: value for name, value in result._asdict().items() if value is not None}
    elif hasattr(result, "action") and not isinstance(result, type):
        given = {name: value for name in FIELDS if (value := getattr(result, name, None)) is not None}
    else:
        raise SignalError("result", "None, a signal, a dictionary with an action, or a list of these", _named(result))
    if ours := [name for name in given if isinstance(name, str) and name in OF_THE_NODE]:
        raise SignalError(ours[0], "it to be left out, because the runtime fills it in", given[ours[0]])
    for name in ("action", "order_type", "time_in_force"):
        if isinstance(given.get(name), Enum):
            given[name] = given[name].value
    return Signal.from_mapping(given)


def wire_signal(signal: Signal, index: int, symbols: tuple[str, ...]) -> WireSignal:
    """A signal for the wire. Raises SignalError for a symbol that is missing or not of this run."""
    symbol = signal.symbol
    if symbol is None:
        if len(symbols) != 1:
            raise SignalError("symbol", f"one of {', '.join(symbols)}", None)
        symbol = symbols[0]
    elif symbol not in symbols:
        raise SignalError("symbol", f"one of {', '.join(symbols)}", symbol)
    if signal.action not in ACTIONS:
        raise SignalError("action", f"one of {', '.join(ACTIONS)}", signal.action)
    confidence = signal.confidence
    values: dict[str, Any] = {name: value for name in _OPTIONAL if (value := getattr(signal, name)) is not None}
    for name in _TEXTS:
        if name in values and not values[name].isascii():
            _sendable(name, values[name])
    if signal.metadata is not None:
        values["metadata"] = _sendable_json(signal.metadata_text())
    if confidence is None:
        return WireSignal(index, symbol, signal.action, DEFAULT_CONFIDENCE, defaulted=("confidence",), **values)
    return WireSignal(index, symbol, signal.action, confidence, **values)


_TEXTS: Final = ("trend", "volume_profile")
_OPTIONAL: Final = tuple(name for name in FIELDS if name not in ("action", "symbol", "confidence", "metadata"))


def _sendable(field: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SignalError(field, "text", "half of a character") from None


def _sendable_json(text: str) -> str:
    # JSON may name halves of characters as escapes, and who reads it then may not take them.
    if "\\ud" in text:
        try:
            msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise SignalError("metadata", "text", "half of a character") from None
    return text


def _named(result: object) -> str:
    return result[:80] if type(result) is str else type(result).__name__
