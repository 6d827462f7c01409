"""The contract of a class with `generate_signals` or `generate_signal`: a function that has a state.

What it may have besides: PARAMETERS and attributes that are `Parameter`s, LOOKBACK, `on_gap(symbol)`,
`on_parameters_changed()`, `on_save()` and `on_load(state)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from actors.strategies.sandbox.inside.contract import ContractError, Kind, arguments_of, lookback_of, method_of
from actors.strategies.sandbox.inside.contract_function import FunctionContract
from actors.strategies.sandbox.wire import Load
from actors.strategies.sdk.parameters import VALUES, declared


class ClassContract(FunctionContract):
    """Builds the class without arguments, or with the parameters where its `__init__` takes one argument."""

    kind: ClassVar[Kind] = "class"
    strategy: Any

    @classmethod
    def of(cls, load: Load, strategy: type) -> ClassContract:
        """The contract of a class. Raises ContractError, ParametersError, and what its methods raise."""
        lookback = lookback_of(getattr(strategy, "LOOKBACK", None), "LOOKBACK")
        made = cls(load, strategy.__name__, declared(strategy), lookback)
        kind: Any = strategy
        made.strategy = instance = kind.__new__(kind)
        if made.declared and hasattr(instance, "__dict__"):
            setattr(instance, VALUES, made.values)
        initialize: Callable[..., None] = kind.__init__
        wanted = arguments_of(initialize, 1)
        defaults = len(getattr(initialize, "__defaults__", None) or ())
        required = 0 if wanted is None else wanted - defaults
        if required > 1:
            raise ContractError(f"{strategy.__name__}.__init__: expected at most one argument, the parameters")
        if required == 1:
            initialize(instance, dict(made.values))
        else:
            initialize(instance)
        name = method_of(strategy)
        assert name is not None
        method = getattr(instance, name)
        made.calls(method, 1 if hasattr(method, "__self__") else 0)
        return made

    @property
    def keeps_state(self) -> bool:
        """Whether it has `on_save`."""
        return callable(getattr(self.strategy, "on_save", None))

    def state(self) -> object:
        """What `on_save` returns."""
        return self.strategy.on_save()

    def restore(self, state: object) -> None:
        """Give a state to `on_load`. Raises ContractError where it has none."""
        on_load = getattr(self.strategy, "on_load", None)
        if not callable(on_load):
            raise ContractError(f"{self.name}: there is a state to go on from, and it has no on_load(state)", "on_load")
        on_load(state)

    def gap(self, symbol: str) -> None:
        """Tell the strategy, where it wants to know."""
        if callable(on_gap := getattr(self.strategy, "on_gap", None)):
            on_gap(symbol)

    def changed(self) -> None:
        """Tell the strategy, where it wants to know."""
        if callable(on_parameters_changed := getattr(self.strategy, "on_parameters_changed", None)):
            on_parameters_changed()
