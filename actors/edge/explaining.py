"""What a validation error says to whoever sent the input: the field, what was expected, and what came.

msgspec names the place and the rule, but neither the values that an enumeration has nor the one that was given. Both
are found again by the place: the first in the type, the second in what was said.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import msgspec

_PLACE: Final = re.compile(r"^(.*?) - at `(?:key in )?\$\.?([^`]*)`$", re.DOTALL)
_FIELD: Final = re.compile(r"(?:missing required|contains unknown) field `([^`]+)`")
_OWN: Final = re.compile(r"^([a-z][a-z0-9_]*): (.*)$", re.DOTALL)
_STEP: Final = re.compile(r"\[[^\]]*\]|[^.\[]+")
_CHOICE: Final = ("Invalid enum value", "Invalid value")
_SHOWN: Final = 100
_MOST: Final = 65_536
_UNIONS: Final = (typing.Union, types.UnionType)


def decoded(content: bytes | str) -> Any:
    """What was said, for `explained`; UNSET where it is too large or too deep to be looked at again."""
    if len(content) > _MOST:
        return msgspec.UNSET
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return msgspec.UNSET


def explained(error: msgspec.ValidationError, kind: Any, said: Any = msgspec.UNSET) -> tuple[str, str]:
    """(message, field) of what is wrong with `said` (decoded JSON) as a `kind`; no field where it is the whole."""
    text = str(error)
    place = _PLACE.match(text)
    reason, field = (place[1], place[2]) if place else (text, "")
    named = _FIELD.search(reason)
    if named is not None:
        return reason, _joined(field, named[1])
    steps = _STEP.findall(field)
    own = _OWN.match(reason)
    if own is not None and any(own[1] in names for names in _structs(kind, steps)):
        return own[2], _joined(field, own[1])
    if reason.startswith(_CHOICE) and (choices := _choices(kind, steps)):
        reason = f"Expected one of {', '.join(choices)}"
    value = _value(said, steps)
    if value is msgspec.UNSET:
        return reason, field
    if ", got " not in reason:
        return f"{reason}, got {_shown(value)}", field
    return (f"{reason}, namely {_shown(value)}" if isinstance(value, str | int | float) else reason), field


def _joined(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _value(said: Any, steps: Sequence[str]) -> Any:
    """What stands at a place; UNSET where that cannot be told: msgspec does not name the keys of an object."""
    for step in steps:
        try:
            said = said[int(step[1:-1])] if step.startswith("[") else said[step]
        except (ValueError, LookupError, TypeError):
            return msgspec.UNSET
    return said


def _kinds(kind: Any, steps: Sequence[str]) -> list[Any]:
    """The types that a place may have, unions taken apart."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _kinds(arguments[0], steps)
    if origin in _UNIONS:
        return list(chain.from_iterable(_kinds(each, steps) for each in arguments))
    if not steps:
        return [kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        config = kind.__struct_config__
        if steps[0] == config.tag_field:
            return [typing.Literal[config.tag]]
        found = (each.type for each in msgspec.structs.fields(kind) if each.encode_name == steps[0])
        return list(chain.from_iterable(_kinds(each, steps[1:]) for each in found))
    if steps[0].startswith("[") and arguments:
        return _kinds(arguments[1] if origin is dict else arguments[0], steps[1:])
    return []


def _choices(kind: Any, steps: Sequence[str]) -> list[str]:
    found = (typing.get_args(each) for each in _kinds(kind, steps) if typing.get_origin(each) is typing.Literal)
    return [str(each) for each in chain.from_iterable(found) if each != ""]  # "" is to say nothing


def _structs(kind: Any, steps: Sequence[str]) -> list[set[str]]:
    """The names of the fields of the structs that a place may have."""
    found = (each for each in _kinds(kind, steps) if isinstance(each, type) and issubclass(each, msgspec.Struct))
    return [set(each.__struct_encode_fields__) for each in found]
