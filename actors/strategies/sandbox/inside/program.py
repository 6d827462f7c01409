"""From a source to a built strategy: checked, compiled, run once as a module, and its contract found."""

from __future__ import annotations

import builtins
import sys
from types import ModuleType
from typing import Any, Final

import msgspec

from actors.strategies.sandbox.inside import facades, language
from actors.strategies.sandbox.inside.clock import CLOCK
from actors.strategies.sandbox.inside.contract import Contract, find
from actors.strategies.sandbox.inside.contract_class import ClassContract
from actors.strategies.sandbox.inside.contract_function import FunctionContract
from actors.strategies.sandbox.inside.contract_sdk import SdkContract
from actors.strategies.sandbox.inside.journal import Journal
from actors.strategies.sandbox.wire import Load, Problem

MODULE: Final = "strategy"
"""What the strategy's `__name__` is."""


class NotAccepted(Exception):
    """The source is not accepted, for these reasons."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


def built(load: Load, journal: Journal, *, language_rules: bool) -> Contract:
    """The strategy of a source. Raises NotAccepted, ContractError, ParametersError, and what user code raises."""
    CLOCK.now = load.now
    facades.seed(load.strategy_id)
    names = executed(load.source, load.filename, language_rules=language_rules)
    kind, found = find(names, MODULE)
    state = None if load.state is None else msgspec.msgpack.decode(load.state)
    if kind == "function":
        return FunctionContract.built(load, found, names)
    if kind == "class":
        made = ClassContract.of(load, found)
        if load.state is not None:
            made.restore(state)
        return made
    strategy = SdkContract(load, found, journal)
    strategy.start(state, restored=load.state is not None)
    return strategy


def executed(source: str, filename: str, *, language_rules: bool) -> dict[str, Any]:
    """The names of a source that was run as a module. Raises NotAccepted, and what it raises."""
    if language_rules:
        if problems := language.check(source, filename):
            raise NotAccepted(problems)
        available: object = facades.builtins_of_strategies()
    else:
        available = builtins
    # A real module, registered: `dataclasses` and `typing` look up the module of a class there.
    module = ModuleType(MODULE)
    names = module.__dict__
    names["__builtins__"] = available
    sys.modules[MODULE] = module
    try:
        code = compile(source, filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise NotAccepted([language.syntax_problem(error)]) from None
    exec(code, names)  # noqa: S102 - this is the place that it is all about
    return names


def forget() -> None:
    """Nothing of a strategy stays that was built to prepare."""
    sys.modules.pop(MODULE, None)
    CLOCK.now = 0
