"""A signal as a strategy gives it: what it would do, and how sure it is. It is no order.

One place says what a signal may hold: a `Signal` that exists is valid, whether it was made by its author, by
`self.buy(...)`, or out of the dictionary that `generate_signal` has returned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from math import isfinite
from typing import Any, Final, Literal, TypedDict

import numpy as np

Action = Literal["BUY", "SELL", "HOLD", "CLOSE_LONG", "CLOSE_SHORT", "CLOSE_ALL"]
OrderType = Literal["MARKET", "LIMIT", "STOP", "STOP_LIMIT"]
TimeInForce = Literal["GTC", "IOC", "FOK", "DAY"]

ACTIONS: Final = ("BUY", "SELL", "HOLD", "CLOSE_LONG", "CLOSE_SHORT", "CLOSE_ALL")
ORDER_TYPES: Final = ("MARKET", "LIMIT", "STOP", "STOP_LIMIT")
TIMES_IN_FORCE: Final = ("GTC", "IOC", "FOK", "DAY")
MOST_TEXT: Final = 200
MOST_METADATA: Final = 16_384
MOST_VALUE: Final = 1e18
YEAR_S: Final = 31_536_000

NESTED: Final = ("execution_params", "market_conditions")
"""Objects that a dictionary may have its fields in, as signals have them on the wire."""


class SignalError(ValueError):
    """A signal that cannot be one: the field, what was expected, what came."""

    def __init__(self, field: str, expected: str, got: object) -> None:
        super().__init__(field, expected, got)
        self.field = field
        self.expected = expected
        self.got = got

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, got {shown(self.got)}"


class SignalFields(TypedDict, total=False):
    """The optional fields of a signal, as `self.buy(symbol, confidence, stop_loss=95.0)` takes them."""

    quantity: float
    price_target: float
    stop_loss: float
    take_profit: float
    order_type: OrderType
    time_in_force: TimeInForce
    max_slippage: float
    position_size: float
    max_drawdown: float
    risk_score: float
    validity_s: float
    trend: str
    volatility: float
    volume_profile: str
    support_level: float
    resistance_level: float
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Signal:
    """One signal. None: the strategy does not say.

    Only `action` is required; `symbol` is where the strategy has several, and a missing `confidence` counts as 0.5 and
    is named as missing. Raises SignalError for a value that its field cannot have.
    """

    action: Action
    """BUY, SELL, HOLD, CLOSE_LONG, CLOSE_SHORT, CLOSE_ALL."""
    symbol: str | None = None
    confidence: float | None = None
    """How likely the strategy is right, 0 to 1."""
    quantity: float | None = None
    """In units of the instrument, above 0."""
    price_target: float | None = None
    stop_loss: float | None = None
    """A price."""
    take_profit: float | None = None
    """A price."""
    order_type: OrderType | None = None
    """MARKET, LIMIT, STOP, STOP_LIMIT; MARKET where it is not said."""
    time_in_force: TimeInForce | None = None
    """GTC, IOC, FOK, DAY; GTC where it is not said."""
    max_slippage: float | None = None
    """As a share of the price, 0 to 1."""
    position_size: float | None = None
    max_drawdown: float | None = None
    """As a share, 0 to 1."""
    risk_score: float | None = None
    """0 to 1."""
    validity_s: float | None = None
    """For how many seconds somebody may act on it; at most a year."""
    trend: str | None = None
    volatility: float | None = None
    volume_profile: str | None = None
    support_level: float | None = None
    resistance_level: float | None = None
    metadata: Mapping[str, Any] | None = None
    """Anything that JSON can say, at most 16 KiB of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "action", _one_of("action", self.action, ACTIONS))
        for name, check in _CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(name, value))

    @classmethod
    def from_mapping(cls, found: Mapping[str, Any]) -> Signal:
        """A signal out of a dictionary: the fields by name, flat or inside `execution_params`, `market_conditions`.

        Raises SignalError for a field that no signal has, a value that it cannot have, and a missing action.
        """
        flat: dict[str, Any] = {}
        for key, value in found.items():
            inside = value.items() if key in NESTED and isinstance(value, Mapping) else ((key, value),)
            for name, each in inside:
                if name not in FIELDS:
                    raise SignalError(str(name)[:MOST_TEXT], f"a field of a signal: {', '.join(FIELDS)}", each)
                if name in flat:
                    raise SignalError(name, "it once", "it twice")
                flat[name] = each
        if "action" not in flat:
            raise SignalError("action", f"one of {', '.join(ACTIONS)}", None)
        return cls(**flat)

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name in FIELDS if (value := getattr(self, name)) is not None)
        return f"Signal({said})"

    def metadata_text(self) -> str:
        """The metadata as JSON text; empty: none."""
        return "" if self.metadata is None else _json(self.metadata)


FIELDS: Final = tuple(each.name for each in fields(Signal))


def number(field: str, value: object, expected: str) -> float:
    """`value` as a float. Raises SignalError for what is none, or is not finite. A bool is no number."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating | Decimal):
        raise SignalError(field, expected, value)
    try:
        found = float(value)
    except OverflowError:
        raise SignalError(field, expected, value) from None
    if not isfinite(found):
        raise SignalError(field, expected, value)
    return found


def shown(value: object) -> str:
    """A value as an error names it: short, with its type where that is the mistake."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        return text if len(text) <= 100 else f"{text[:97]}..."
    return type(value).__name__


def _within(least: float, most: float, expected: str, *, above: bool = False) -> Any:
    def check(field: str, value: object) -> float:
        found = number(field, value, expected)
        if not least <= found <= most or (above and found == least):
            raise SignalError(field, expected, value)
        return found

    return check


def _one_of(field: str, value: object, known: tuple[str, ...]) -> Any:
    # What comes back is our own text: an enumeration's member is as good as the text that it equals.
    if isinstance(value, str):
        for each in known:
            if value == each:
                return each
    raise SignalError(field, f"one of {', '.join(known)}", value)


def _text(field: str, value: object) -> str:
    expected = f"text of 1 to {MOST_TEXT} characters"
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_TEXT:
        raise SignalError(field, expected, value)
    return str.__str__(value)


def _metadata(field: str, value: object) -> Mapping[str, Any]:
    expected = f"a dictionary of what JSON can say, at most {MOST_METADATA} characters of it"
    if not isinstance(value, Mapping):
        raise SignalError(field, expected, value)
    try:
        text = _json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise SignalError(field, f"{expected} ({error})", value) from None
    if len(text) > MOST_METADATA:
        raise SignalError(field, expected, f"{len(text)} characters")
    found: dict[str, Any] = json.loads(text)
    return found


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), default=_number_of_numpy, allow_nan=False, separators=(",", ":"))


def _number_of_numpy(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is nothing that JSON can say")


_share: Final = _within(0.0, 1.0, "a number from 0 to 1")
_price: Final = _within(-MOST_VALUE, MOST_VALUE, "a finite number")

_CHECKS: Final[dict[str, Any]] = {
    "symbol": _text,
    "confidence": _share,
    "quantity": _within(0.0, MOST_VALUE, "a number above 0", above=True),
    "price_target": _price,
    "stop_loss": _price,
    "take_profit": _price,
    "order_type": lambda field, value: _one_of(field, value, ORDER_TYPES),
    "time_in_force": lambda field, value: _one_of(field, value, TIMES_IN_FORCE),
    "max_slippage": _share,
    "position_size": _price,
    "max_drawdown": _share,
    "risk_score": _share,
    "validity_s": _within(0.0, YEAR_S, f"a number of seconds above 0, at most {YEAR_S}", above=True),
    "trend": _text,
    "volatility": _price,
    "volume_profile": _text,
    "support_level": _price,
    "resistance_level": _price,
    "metadata": _metadata,
}
