"""What the text of a compiled workflow is written from: names, parameters, and how far back its values reach."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors.strategies.workflows.fields import Field, Value, seconds
from actors.strategies.workflows.graph import Graph, Step
from actors.strategies.workflows.model import WorkflowProblem
from actors.strategies.workflows.naming import Names, class_name, snake
from actors.strategies.workflows.settling import fields_of, problem

MOST_HISTORY: Final = 10_000
MOST_PARAMETERS: Final = 200
MOST_STEPS: Final = 100_000
"""Nodes times bars that a strategy goes through before its first bar: a part of the time that it has for one call."""


class CompiledParameter(msgspec.Struct, frozen=True, kw_only=True):
    """A number of a node that can be changed while the strategy runs."""

    name: str
    kind: str
    default: Value
    least: float | None
    most: float | None
    description: str
    node_id: str
    field: str


class Plan:
    """What the text is written from: names, parameters, and which steps belong to which data source."""

    def __init__(self, graph: Graph, title: str) -> None:
        self.graph = graph
        self.title = title
        self.class_name = class_name(title)
        self.warnings: list[WorkflowProblem] = []
        self.parameters: list[CompiledParameter] = []
        names = Names()
        self.variables = {each.id: names.variable(each.label, each.id) for each in graph.steps}
        self.outputs: dict[tuple[str, str], str] = {}
        """The variable of each output that is used."""
        for step in graph.steps:
            for wires in step.wires.values():
                for wire in wires:
                    source = graph.step(wire.source)
                    variable = self.variables[wire.source]
                    if source.kind is not None and len(source.kind.outputs) > 1:
                        key = (wire.source, wire.output)
                        if key not in self.outputs:
                            self.outputs[key] = names.variable(f"{variable}_{wire.output}", variable)
        self.references: dict[tuple[str, str], str] = {}
        """How the text refers to the value of a node's field."""
        self._parameters_of(graph)
        self.lookback = self._lookback(graph)

    @property
    def stepping(self) -> list[Step]:
        """The data sources whose bars make the steps of what is combined."""
        combining = [each for each in self.graph.sources if each.id in self.graph.combining]
        fastest = min((seconds(str(each.value("timeframe"))) for each in combining), default=0)
        return [each for each in combining if seconds(str(each.value("timeframe"))) == fastest]

    def of_source(self, source: str) -> list[Step]:
        """The steps that depend on this source alone, in their order."""
        return [each for each in self.graph.steps if each.sources == {source} and each.id != source]

    @property
    def combined(self) -> list[Step]:
        """The steps that depend on several sources."""
        return [each for each in self.graph.steps if len(each.sources) > 1]

    def reference(self, step: Step, field: str) -> str | None:
        """How the text refers to a field's value, None where it has none."""
        return self.references.get((step.id, field))

    def _parameters_of(self, graph: Graph) -> None:
        left_out = 0
        names = Names()
        for step in graph.steps:
            for name, field in fields_of(step).items():
                value = step.value(name)
                if field.kind not in ("int", "float", "bool") or value is None or not _varies(step, name, value):
                    continue
                if len(self.parameters) == MOST_PARAMETERS:
                    left_out += 1
                    self.references[step.id, name] = repr(value)
                    continue
                parameter = names.variable(f"{self.variables[step.id]}_{snake(name)}", step.id)
                self.references[step.id, name] = f'p["{parameter}"]'
                self.parameters.append(_declared(step, field, parameter, value))
        if left_out:
            message = f"{left_out} numbers cannot be changed while it runs: a strategy has {MOST_PARAMETERS} parameters"
            self.warnings.append(WorkflowProblem(code="too_many_parameters", message=message, severity="warning"))

    def _lookback(self, graph: Graph) -> int:
        needs: dict[str, int] = {}
        for step in graph.steps:
            before = max((needs[wire.source] for wires in step.wires.values() for wire in wires), default=1)
            needs[step.id] = before + self._own_need(step)
        most = max(needs.values()) + (2 if graph.combining else 0)
        seen = min(MOST_HISTORY, MOST_STEPS // len(graph.steps))
        if most > seen:
            far = max(graph.steps, key=lambda each: needs[each.id])
            message = f"its value depends on {most} bars (to nine digits); a strategy of this size sees {seen}"
            self.warnings.append(problem(far, "long_history", message, severity="warning"))
        return min(most, seen)

    def _own_need(self, step: Step) -> int:
        if step.kind is not None:
            return step.kind.warm_up(step.values) - 1 + step.kind.remembers(step.values)
        if step.operator is not None:
            own = step.operator.warm_up(step.values) - 1 + step.operator.memory(step.values)
            return own + int(step.values["confirmationBars"]) - 1
        return 1 if step.type == "action" else 0


def _varies(step: Step, name: str, value: Any) -> bool:
    """Whether a number says something in the strategy: a percentage of 0 in an action means that there is none."""
    if step.type == "logic" or (step.type == "action" and name != "confidence" and value == 0):
        return False
    if step.type == "action" and name == "price_offset":
        return bool(step.value("order_type") != "market")
    if "reference" in step.wires and name == "value":
        return not step.wires["reference"]
    if step.type == "riskManagement":
        used = {
            "stop_loss": "maxLoss", "take_profit": "target", "atr_stop": "multiple", "atr_target": "multiple",
            "position_size": "portfolioHeat", "max_drawdown": "maxLoss", "slippage": "slippage",
        }  # fmt: skip
        return bool(name == used[str(step.value("riskType"))])
    return True


def _declared(step: Step, field: Field, name: str, value: Value) -> CompiledParameter:
    return CompiledParameter(
        name=name,
        kind=field.kind,
        default=value,
        least=field.least,
        most=field.most,
        description=f"{step.label}: {field.name}, {field.description}",
        node_id=step.id,
        field=field.name,
    )
