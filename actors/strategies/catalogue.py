"""The strategies that come with the runtime, and how a strategy is found: by its name here or by an import path."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from actors.strategies.strategy import Strategy

CATALOGUE: Final[Mapping[str, str]] = {
    "book_imbalance": "actors.strategies.book_imbalance:BookImbalance",
    "moving_average_cross": "actors.strategies.moving_average_cross:MovingAverageCross",
}

_PLACE: Final = re.compile(r"^(.*?) - at `\$\.?([^`]*)`$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"contains unknown field `([^`]+)`")
_MISSING: Final = re.compile(r"missing required field `([^`]+)`")


class StrategyError(ValueError):
    """There is no such strategy, or it cannot be had with these parameters. `field`: `strategy` or a parameter."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


def source_of(name: str) -> str:
    """What `strategy_source` of a strategy's signals says."""
    return "catalogue" if name in CATALOGUE else "import"


def find(name: str) -> type[Strategy[Any]]:
    """The class of a strategy, by its name in the catalogue or as `package.module:Class`. Raises StrategyError."""
    path = CATALOGUE.get(name, name)
    module, colon, attribute = path.partition(":")
    if not colon:
        close = difflib.get_close_matches(name, CATALOGUE, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(sorted(CATALOGUE))}"
        raise StrategyError(f"unknown strategy {name!r}; {hint}, or package.module:Class", "strategy")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise StrategyError(f"cannot import strategy {name!r}: {error}", "strategy") from error
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise StrategyError(f"{name!r} is not a Strategy", "strategy")
    for attribute in ("Parameters", "version"):
        if not hasattr(found, attribute):
            raise StrategyError(f"{name!r} has no {attribute}", "strategy")
    return found


def make(name: str, parameters: Mapping[str, Any], markets: tuple[str, ...]) -> Strategy[Any]:
    """A strategy, ready for its first input. Raises StrategyError."""
    kind = find(name)
    return kind(checked(kind, parameters), markets)


def checked(kind: type[Strategy[Any]], parameters: Mapping[str, Any]) -> msgspec.Struct:
    """The parameters as the struct that the strategy declares. Raises StrategyError that names the parameter."""
    try:
        return msgspec.convert(dict(parameters), kind.Parameters)
    except msgspec.ValidationError as error:
        raise _refusal(kind, str(error), parameters) from None


def _refusal(kind: type[Strategy[Any]], text: str, parameters: Mapping[str, Any]) -> StrategyError:
    place = _PLACE.match(text)
    message, field = (place[1], place[2]) if place else (text, "")
    names = [each.encode_name for each in msgspec.structs.fields(kind.Parameters)]
    if unknown := _UNKNOWN.search(text):
        close = difflib.get_close_matches(unknown[1], names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(sorted(names)) or 'none'}"
        return StrategyError(f"unknown parameter; {hint}", f"parameters.{unknown[1]}")
    if missing := _MISSING.search(text):
        return StrategyError("has no default, give it", f"parameters.{missing[1]}")
    if field in parameters:
        return StrategyError(f"{message[:1].lower()}{message[1:]} ({parameters[field]!r})", f"parameters.{field}")
    # What the struct says about several fields together begins with the name of one.
    named = message.partition(" ")[0]
    return StrategyError(message, f"parameters.{named}" if named in names else "parameters")
