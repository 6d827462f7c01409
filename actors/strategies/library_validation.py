"""What a strategy that is written over HTTP may consist of. Everything here raises Refused `invalid` with the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from actors.strategies.library_listing import storable
from actors.strategies.library_requests import VersionFields
from actors.strategies.package import MOST_CODE
from actors.strategies.sandbox import wire
from protocols.control import Refused

MOST_NAME: Final = 255
MOST_DESCRIPTION: Final = 1000
MOST_AUTHOR: Final = 255
MOST_TAGS: Final = 20
MOST_TAG: Final = 50
MOST_SYMBOLS: Final = 100
MOST_SYMBOL: Final = 200
MOST_TIMEFRAMES: Final = 10
MOST_TIMEFRAME: Final = 10
MOST_PARAMETERS: Final = 200
MOST_PARAMETERS_BYTES: Final = 32 * 1024
MOST_DEPTH: Final = 8
MOST_TOLD: Final = 20
"""Problems that one message tells."""

WARNINGS: Final = ("unused", "undeclared")
"""How the rules of problems begin that do not keep a strategy from running."""


def checked_name(name: str) -> str:
    """The name without blanks around it."""
    name = checked_text(name.strip(), "name", MOST_NAME)
    if not name:
        raise Refused("invalid", "expected 1 to 255 characters, got none", "name")
    if not name.isprintable():
        raise Refused("invalid", f"expected one line of printable characters, got {name!r}", "name")
    return name


def checked_text(text: str, field: str, most: int) -> str:
    """A text of at most `most` characters that a database can hold."""
    if len(text) > most:
        raise Refused("invalid", f"expected at most {most} characters, got {len(text)}", field)
    _storable(text, field)
    return text


def checked_code(code: str, field: str = "code") -> str:
    """A source text."""
    size = len(_storable(code, field))
    if size > MOST_CODE:
        raise Refused("invalid", f"expected at most {MOST_CODE} bytes, got {size}", field)
    if not code.strip():
        raise Refused("invalid", "expected a source text, got none", field)
    return code


def checked_list(values: Sequence[str], field: str, most: int, length: int) -> tuple[str, ...]:
    """Short texts, each once, in their order."""
    if len(values) > most:
        raise Refused("invalid", f"expected at most {most}, got {len(values)}", field)
    for index, value in enumerate(values):
        checked_text(value, f"{field}.{index}", length)
        if not value.strip():
            raise Refused("invalid", f"expected 1 to {length} characters, got none", f"{field}.{index}")
    return tuple(dict.fromkeys(values))


def checked_state(state: str) -> str:
    """`draft`, `active`, or empty where the library decides."""
    if state not in ("", "draft", "active"):
        raise Refused("invalid", f"expected draft or active, got {state[:100]!r}", "state")
    return state


def checked_parameters(parameters: msgspec.Raw) -> msgspec.Raw:
    """A JSON object of bounded size and depth, in one spelling."""
    field = "parameters"
    size = len(bytes(parameters))
    if size > MOST_PARAMETERS_BYTES:
        raise Refused("invalid", f"expected at most {MOST_PARAMETERS_BYTES} bytes, got {size}", field)
    try:
        values = msgspec.json.decode(parameters, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Refused("invalid", f"expected a JSON object: {error}", field) from error
    if len(values) > MOST_PARAMETERS:
        raise Refused("invalid", f"expected at most {MOST_PARAMETERS} names, got {len(values)}", field)
    for name, value in values.items():
        checked_text(name, field, 100)
        if _depth(value) > MOST_DEPTH:
            raise Refused("invalid", f"expected at most {MOST_DEPTH} levels", f"{field}.{name}")
    return msgspec.Raw(msgspec.json.encode(values))


def checked_fields(fields: VersionFields) -> VersionFields:
    """What is given of a version; the name and the lists may come back in another spelling."""
    kept = fields.given()
    for name, check in _CHECKS.items():
        if name in kept:
            kept[name] = check(kept[name])
    return VersionFields(**kept)


def split_problems(
    problems: Sequence[wire.Problem],
) -> tuple[tuple[wire.Problem, ...], tuple[wire.Problem, ...]]:
    """Problems that keep a strategy from running, and warnings."""
    warnings = tuple(each for each in problems if each.rule.startswith(WARNINGS))
    return tuple(each for each in problems if each not in warnings), warnings


def undeclared(parameters: msgspec.Raw, declared: Sequence[wire.ParameterInfo]) -> tuple[wire.Problem, ...]:
    """Warnings for values that the code does not declare; code that declares nothing takes any."""
    if not declared:
        return ()
    names = [each.name for each in declared]
    given = msgspec.json.decode(parameters, type=dict[str, Any])
    expected = ", ".join(names)
    return tuple(
        wire.Problem("undeclared", f"the code declares no parameter {name!r}, it has {expected}"[:1024], field=name)
        for name in given
        if name not in names
    )


def told(problems: Sequence[wire.Problem]) -> str:
    """Problems as one text."""
    parts = [
        f"line {each.line}: {each.message} ({each.rule})" if each.line else f"{each.message} ({each.rule})"
        for each in problems[:MOST_TOLD]
    ]
    if len(problems) > MOST_TOLD:
        parts.append(f"and {len(problems) - MOST_TOLD} more")
    return "; ".join(parts)


def _storable(text: str, field: str) -> bytes:
    if not storable(text):
        raise Refused("invalid", "expected Unicode text without NUL characters", field)
    return text.encode()


def _depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    # What msgspec has decoded is bounded by its own limit of recursion.
    return 1 + max(map(_depth, inside), default=0) if isinstance(value, dict | list) else 0


_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "name": checked_name,
    "code": checked_code,
    "description": lambda text: checked_text(text, "description", MOST_DESCRIPTION),
    "parameters": checked_parameters,
    "tags": lambda values: checked_list(values, "tags", MOST_TAGS, MOST_TAG),
    "symbols": lambda values: checked_list(values, "symbols", MOST_SYMBOLS, MOST_SYMBOL),
    "timeframes": lambda values: checked_list(values, "timeframes", MOST_TIMEFRAMES, MOST_TIMEFRAME),
    "author": lambda text: checked_text(text, "author", MOST_AUTHOR),
}
