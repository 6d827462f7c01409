"""What a node's parameter may be: its name, type, range and default, and the check of what was given."""

from __future__ import annotations

import re
from math import isfinite
from typing import Final, Literal

import msgspec

Kind = Literal["int", "float", "bool", "text", "choice", "timeframe"]
Value = int | float | bool | str

MOST_TEXT: Final = 200
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TIMEFRAME: Final = re.compile(r"([1-9][0-9]{0,4}) ?(s|sec|m|min|h|H|hour|d|D|day|w|W|week)")
"""As editors write them; a capital M would be a month, which is no interval of bars."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a node.

    `default` None: it may be missing (`required` False) or has to be given. `live`: a strategy reads its value at each
    step; another value of any other field means that the node forgets what it knows.
    """

    name: str
    kind: Kind
    default: Value | None = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    description: str = ""
    aliases: tuple[str, ...] = ()
    required: bool = False
    live: bool = False

    @property
    def expected(self) -> str:
        """What a value has to be, in words."""
        if self.kind == "choice":
            return f"one of {', '.join(self.choices)}"
        if self.kind == "text":
            return f"text of at most {MOST_TEXT} characters"
        if self.kind == "bool":
            return "true or false"
        if self.kind == "timeframe":
            return 'an interval such as "1m", "4h" or "1d"'
        noun = "a whole number" if self.kind == "int" else "a number"
        if self.least is not None and self.most is not None:
            return f"{noun} from {self.least:g} to {self.most:g}"
        if self.least is not None:
            return f"{noun} of at least {self.least:g}"
        return f"{noun} of at most {self.most:g}" if self.most is not None else noun

    def settled(self, value: object) -> Value:
        """`value` in the field's own type: "14" and 14.0 are 14. Raises ValueError that says what was expected."""
        found = self._read(value)
        if found is None:
            raise ValueError(f"expected {self.expected}, got {shown(value)}")
        return found

    def _read(self, value: object) -> Value | None:
        if self.kind == "bool":
            return value if isinstance(value, bool) else {"true": True, "false": False}.get(str(value).lower())
        if self.kind == "text":
            return value.strip() if isinstance(value, str) and len(value) <= MOST_TEXT else None
        if self.kind == "choice":
            return self._choice(value)
        if self.kind == "timeframe":
            return _timeframe(value)
        number = _number(value)
        if number is None or (self.least is not None and number < self.least):
            return None
        if self.most is not None and number > self.most:
            return None
        if self.kind == "int":
            return int(number) if number == int(number) else None
        return number

    def _choice(self, value: object) -> str | None:
        if not isinstance(value, str):
            return None
        text = value.strip().lower().replace("-", "_").replace(" ", "_")
        return next((each for each in self.choices if each.lower() == text), None)


def seconds(timeframe: str) -> int:
    """The length of a timeframe: 3600 for "1h"."""
    return int(timeframe[:-1]) * UNITS[timeframe[-1]]


def integer(
    name: str, default: int | None, least: int, most: int, description: str, *aliases: str, live: bool = False
) -> Field:
    """A whole number."""
    return Field(
        name=name,
        kind="int",
        default=default,
        least=least,
        most=most,
        description=description,
        aliases=aliases,
        live=live,
        required=default is None,
    )


def number(
    name: str,
    default: float | None,
    least: float | None,
    most: float | None,
    description: str,
    *aliases: str,
    live: bool = False,
    required: bool = False,
) -> Field:
    """A number. Without a default and not `required` it may be missing."""
    return Field(
        name=name,
        kind="float",
        default=default,
        least=least,
        most=most,
        description=description,
        aliases=aliases,
        live=live,
        required=required,
    )


def choice(name: str, default: str | None, choices: tuple[str, ...], description: str, *aliases: str) -> Field:
    """One of several words, in any case."""
    return Field(
        name=name,
        kind="choice",
        default=default,
        choices=choices,
        description=description,
        aliases=aliases,
        required=default is None,
    )


def shown(value: object) -> str:
    """A value as an error names it: short."""
    text = msgspec.json.encode(value).decode() if _is_json(value) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _timeframe(value: object) -> str | None:
    found = _TIMEFRAME.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    name = f"{found[1]}{found[2][0].lower()}"
    return name if seconds(name) <= 366 * UNITS["d"] else None


def _is_json(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) and abs(found) <= 1e15 else None
