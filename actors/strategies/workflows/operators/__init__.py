"""All operators of conditions, by code and by their other names."""

from __future__ import annotations

from inspect import getdoc
from typing import Final

from actors.strategies.workflows.operators import comparison, crossover, pattern, timeframes, trend, volatility, volume
from actors.strategies.workflows.operators.base import Operator

FAMILIES: Final = ("comparison", "crossover", "trend", "volatility", "volume", "pattern", "multi_timeframe")

OPERATORS: Final[dict[str, type[Operator]]] = {
    each.CODE: each
    for module in (comparison, crossover, trend, volatility, volume, pattern, timeframes)
    for each in module.OPERATORS
}
"""The operators by code."""

_NAMES: Final = {name: code for code, each in OPERATORS.items() for name in each.ALIASES} | {
    code: code for code in OPERATORS
}


def find_operator(name: str) -> type[Operator] | None:
    """The operator with this code or another name of it, in any case."""
    return OPERATORS.get(_NAMES.get(name.strip().lower().replace("-", "_").replace(" ", "_"), ""))


def definition(operator: type[Operator]) -> str:
    """What exactly an operator says, in a sentence or two."""
    return " ".join((getdoc(operator) or "").split())
