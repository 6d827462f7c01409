"""A checked workflow: its nodes with settled parameters and resolved wires, each behind what it depends on."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.strategies.workflows.components import Component, DataType
from actors.strategies.workflows.fields import Value
from actors.strategies.workflows.indicators import IndicatorKind
from actors.strategies.workflows.operators.base import Operator


class Wire(msgspec.Struct, frozen=True):
    """What comes in at a port: an output of another node."""

    source: str
    output: str
    type: DataType


class Step(msgspec.Struct, kw_only=True):
    """One node that can be compiled. `values`: each field that has a value; `wires`: by input port, in their order."""

    id: str
    label: str
    component: Component
    values: dict[str, Value] = {}
    wires: dict[str, list[Wire]] = {}
    kind: IndicatorKind | None = None
    operator: type[Operator] | None = None
    sources: frozenset[str] = frozenset()
    """The data sources that it depends on."""
    symbol: str = ""
    """Of an action: the market of its signals; empty: that of the bar."""
    priced_by: str = ""
    """Of an action: the data source whose close it takes."""

    @property
    def type(self) -> str:
        """The node's type."""
        return self.component.type

    def value(self, name: str) -> Any:
        """A field's value, None where it has none."""
        return self.values.get(name)

    def wire(self, port: str) -> Wire | None:
        """The only wire of a port."""
        found = self.wires.get(port)
        return found[0] if found else None


class Graph(msgspec.Struct, frozen=True):
    """The steps that lead to an action or an output, sources first. `combining`: the sources that are combined."""

    steps: tuple[Step, ...]
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    combining: tuple[str, ...] = ()

    def step(self, node_id: str) -> Step:
        """The step of a node."""
        return next(each for each in self.steps if each.id == node_id)

    @property
    def sources(self) -> tuple[Step, ...]:
        """The data sources."""
        return tuple(each for each in self.steps if each.type in ("dataSource", "customDataset"))
