"""The text of a compiled workflow."""

from __future__ import annotations

from typing import Any, Final

from actors.strategies.workflows.graph import Step, Wire
from actors.strategies.workflows.model import WorkflowProblem
from actors.strategies.workflows.naming import WIDTH, call, comment, literal, prose
from actors.strategies.workflows.operators import definition
from actors.strategies.workflows.plan import CompiledParameter, Plan
from actors.strategies.workflows.settling import action_of, problem

INNER: Final = 8
JOINS: Final = {"and": "all_of", "or": "any_of", "xor": "odd_of", "nand": "all_of", "nor": "any_of", "xnor": "odd_of"}


def write(plan: Plan) -> str:
    """The whole text; what an action cannot say is added to `plan.warnings`."""
    return _Text(plan).whole()


class _Text:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.used: set[str] = {"Source", "WorkflowStrategy"}
        self.published: dict[str, dict[str, str]] = {each.id: {} for each in plan.graph.sources}
        """By data source: what it hands to combined steps, name -> expression."""

    def whole(self) -> str:
        combined = self._combined()
        nodes = ["class Nodes:", '    """What the nodes remember, of one market or of all."""', "", *self._begin()]
        for source in self.plan.graph.sources:
            nodes += ["", *self._of_source(source)]
        nodes += combined
        strategy = self._strategy()
        imports = [
            *(["from actors.strategies.sdk import Parameter"] if self.plan.parameters else []),
            *_imports(sorted(self.used, key=lambda name: (name.islower(), name))),
        ]
        return "\n".join([*self._head(), "", *imports, "", "", *nodes, "", "", *strategy, ""])

    # The frame.

    def _head(self) -> list[str]:
        graph = self.plan.graph
        markets = ", ".join(graph.symbols) or "those of the run"
        title = prose(f"{self.plan.title}: a compiled workflow.", 0)
        return [
            f'"""{title[0]}',
            *title[1:],
            "",
            "Its nodes say what it does: what is changed here is lost when they are compiled again.",
            "",
            *prose(f"Markets: {markets}. Bars: {', '.join(graph.timeframes)}.", 0),
            '"""',
        ]

    def _begin(self) -> list[str]:
        lines = ["    def __init__(self, p):"]
        for step in self.plan.graph.steps:
            made = self._made(step)
            if made:
                lines += [*comment(f"{step.label} ({step.id})", INNER), *made]
        return lines if len(lines) > 1 else [*lines, f"{' ' * INNER}pass"]

    def _made(self, step: Step) -> list[str]:
        """What a node is built from."""
        name = f"self.{self.plan.variables[step.id]}"
        if step.kind is not None:
            self.used.add("Indicator")
            arguments = [literal(step.kind.code)]
            for field in step.kind.fields:
                arguments.append(
                    f"{field.name}={self.plan.reference(step, field.name) or literal(step.value(field.name))}"
                )
            if step.kind.inputs == ("close",) and step.values["source"] != "close" and not self._fed(step):
                arguments.append(f"source={literal(step.values['source'])}")
            return call(f"{name} = Indicator", arguments, INNER)
        if step.operator is not None:
            self.used.add("Condition")
            arguments = [literal(step.operator.CODE), f"confirm={self.plan.reference(step, 'confirmationBars')}"]
            for field in step.operator.FIELDS:
                if not field.live:
                    given = self.plan.reference(step, field.name) or literal(step.value(field.name))
                    arguments.append(f"{field.name}={given}")
            return call(f"{name} = Condition", arguments, INNER)
        if step.type == "action":
            self.used.add("Trigger")
            every = ["every_bar=True"] if step.value("repeat") == "every_bar" else []
            return call(f"{name} = Trigger", every, INNER)
        return []

    def _fed(self, step: Step) -> bool:
        wire = step.wire("data")
        return wire is not None and wire.type == "numeric"

    def _of_source(self, source: Step) -> list[str]:
        what = f"{source.value('symbol') or 'each market of the run'}, {source.value('timeframe')}"
        lines = [
            f"    def on_{self.plan.variables[source.id]}(self, bar, p, out):",
            f'{" " * INNER}"""At each bar of {prose(source.label, 0)[0] if prose(source.label, 0) else source.type}: '
            f'{literal(what)[1:-1]}."""',
        ]
        for step in self.plan.of_source(source.id):
            lines += self._step(step, combined=False)
        published = self.published[source.id]
        if published:
            pairs = [f"{literal(name)}: {expression}" for name, expression in published.items()]
            lines += [f"{' ' * INNER}return {{", *(f"{' ' * INNER}    {each}," for each in pairs), f"{' ' * INNER}}}"]
        return lines

    def _combined(self) -> list[str]:
        steps = self.plan.combined
        if not steps:
            return []
        names = ", ".join(each.label for each in self.plan.stepping)
        lines = ["", "    def on_step(self, bars, values, p, out):"]
        text = prose(f"Once the bars of one end are there of: {names}.", INNER)
        lines += [f'{" " * INNER}"""{text[0].strip()}', *text[1:]]
        lines[-1] += '"""'
        for step in steps:
            lines += self._step(step, combined=True)
        return lines

    def _strategy(self) -> list[str]:
        plan = self.plan
        stepping = {each.id for each in plan.stepping}
        sources = []
        for each in plan.graph.sources:
            arguments = [literal(plan.variables[each.id])]
            if each.value("symbol"):
                arguments.append(f"symbol={literal(each.value('symbol'))}")
            arguments.append(f"timeframe={literal(each.value('timeframe'))}")
            if each.id in plan.graph.combining:
                arguments.append("combined=True")
            if each.id in stepping:
                arguments.append("steps=True")
            sources.append(f"        Source({', '.join(arguments)}),")
        title = prose(plan.title, 4)
        lines = [
            f"class {plan.class_name}(WorkflowStrategy):",
            f'    """{title[0].strip() if title else "A workflow"}."""',
            "",
            "    NODES = Nodes",
            f"    HISTORY = {plan.lookback}",
            "    SOURCES = (",
            *sources,
            "    )",
        ]
        if plan.parameters:
            lines += ["    PARAMETERS = {"]
            for parameter in plan.parameters:
                lines += call(f'"{parameter.name}": Parameter.{parameter.kind}', _bounds(parameter), 8, "),")
            lines += ["    }"]
        return lines

    # The steps.

    def _step(self, step: Step, *, combined: bool) -> list[str]:
        name = self.plan.variables[step.id]
        if step.kind is not None:
            lines = comment(f"{step.label} ({step.id}): {step.kind.title}.", INNER)
            wire = step.wire("data")
            assert wire is not None
            argument = self._value(step, wire, combined=combined) if wire.type == "numeric" else "bar"
            method = "feed" if wire.type == "numeric" else "update"
            return [*lines, *call(f"{self._targets(step)} = self.{name}.{method}", [argument], INNER)]
        if step.operator is not None:
            operator = step.operator
            lines = comment(f"{step.label} ({step.id}), {operator.CODE}: {definition(operator)}", INNER)
            arguments = [
                self._value(step, wire, combined=combined)
                for port in step.component.inputs
                for wire in step.wires[port.name]
            ]
            if "reference" in step.wires and not step.wires["reference"]:
                arguments.append(self._field(step, "value"))
            arguments += [self._field(step, each.name) for each in operator.FIELDS if each.live]
            return [*lines, *call(f"{name} = self.{name}.update", arguments, INNER)]
        if step.type == "logic":
            return self._logic(step, combined=combined)
        if step.type == "action":
            return self._action(step, combined=combined)
        if step.type == "output":
            wire = step.wire("value")
            assert wire is not None
            arguments = [
                literal(str(step.value("name") or step.label)[:200]), self._value(step, wire, combined=combined),
            ]  # fmt: skip
            return [*comment(f"{step.label} ({step.id})", INNER), *call("out.figure", arguments, INNER)]
        return []  # what a risk node adds is written where its action is

    def _targets(self, step: Step) -> str:
        assert step.kind is not None
        if len(step.kind.outputs) == 1:
            return self.plan.variables[step.id]
        return ", ".join(self.plan.outputs.get((step.id, output), "_") for output in step.kind.outputs)

    def _logic(self, step: Step, *, combined: bool) -> list[str]:
        name = self.plan.variables[step.id]
        operation = str(step.values["operation"])
        inputs = [self._value(step, wire, combined=combined) for wire in step.wires["input"]]
        lines = comment(f"{step.label} ({step.id}): {operation.upper()}", INNER)
        if operation == "not":
            self.used.add("negated")
            return [*lines, *call(f"{name} = negated", inputs, INNER)]
        join = JOINS[operation]
        self.used.add(join)
        lines += call(f"{name} = {join}", inputs, INNER)
        if operation in ("nand", "nor", "xnor"):
            self.used.add("negated")
            lines.append(f"{' ' * INNER}{name} = negated({name})")
        return lines

    def _action(self, step: Step, *, combined: bool) -> list[str]:
        name = self.plan.variables[step.id]
        wire = step.wire("signal")
        assert wire is not None
        risks = [self.plan.graph.step(each.source) for each in step.wires["risk"]]
        source = self.plan.graph.step(wire.source)
        owner = step
        if source.type == "riskManagement":
            risks.insert(0, source)
            owner = source
            through = source.wire("signal")
            assert through is not None
            wire = through
        bar = f'bars["{self.plan.variables[step.priced_by]}"]' if combined else "bar"
        trigger = self._value(owner, wire, combined=combined)
        lines = comment(f"{step.label} ({step.id})", INNER)
        lines.append(f"{' ' * INNER}if self.{name}.fires({trigger}):")
        fields = self._fields(step, risks, bar, combined=combined)
        return [*lines, *call("out.signal", [f"{key}={value}" for key, value in fields.items()], INNER + 4)]

    def _fields(self, step: Step, risks: list[Step], bar: str, *, combined: bool) -> dict[str, str]:
        action = action_of(step)
        opens = action in ("BUY", "SELL")
        down, up = ("below", "above") if action == "BUY" else ("above", "below")
        close = f"{bar}.close"
        found = {"action": literal(action), "symbol": f"{bar}.symbol"}
        for key, field, form in (
            ("confidence", "confidence", "{}"), ("quantity", "quantity", "{}"),
            ("position_size", "positionSizing", "{} / 100"), ("max_slippage", "max_slippage", "{} / 100"),
            ("validity_s", "validity", "{}"),
        ):  # fmt: skip
            reference = self.plan.reference(step, field)
            if reference is not None:
                found[key] = form.format(reference)
        order = str(step.value("order_type"))
        if order != "market":
            side = {"limit": down, "stop": up}[order]
            offset = self.plan.reference(step, "price_offset")
            found["order_type"] = literal(order.upper())
            found["price_target"] = close if offset is None else self._away(side, close, offset)
        if step.value("time_in_force") != "gtc":
            found["time_in_force"] = literal(str(step.value("time_in_force")).upper())
        for key, side in (("stop_loss", down), ("take_profit", up)):
            reference = self.plan.reference(step, key)
            if reference is not None and opens:
                found[key] = self._away(side, close, reference)
            elif reference is not None:
                self._warn(step, key, f"{key}: a signal that closes a position has none; it is left out")
        for risk in risks:
            self._risk(risk, step, found, close, down, up, opens=opens, combined=combined)
        found["metadata"] = f'{{"node": {literal(step.id)}}}'
        return found

    def _risk(
        self, risk: Step, action: Step, found: dict[str, str], close: str, down: str, up: str, *,
        opens: bool, combined: bool,
    ) -> None:  # fmt: skip
        kind = str(risk.values["riskType"])
        if kind in ("stop_loss", "take_profit", "atr_stop", "atr_target"):
            key = "stop_loss" if "stop" in kind else "take_profit"
            side = down if key == "stop_loss" else up
            if not opens:
                self._warn(
                    action, key, f"{key}: a signal that closes a position has none; that of {risk.label} is left out"
                )
            elif kind.startswith("atr_"):
                self.used.add("shifted")
                wire = risk.wire("value")
                assert wire is not None
                sign = "-" if side == "below" else ""
                distance = self._value(risk, wire, combined=combined)
                found[key] = f"shifted({close}, {distance}, {sign}{self._field(risk, 'multiple')})"
            else:
                field = "maxLoss" if key == "stop_loss" else "target"
                found[key] = self._away(side, close, self._field(risk, field))
            return
        key, field = {
            "position_size": ("position_size", "portfolioHeat"),
            "max_drawdown": ("max_drawdown", "maxLoss"),
            "slippage": ("max_slippage", "slippage"),
        }[kind]
        found[key] = f"{self._field(risk, field)} / 100"

    def _away(self, side: str, price: str, percent: str) -> str:
        self.used.add(side)
        return f"{side}({price}, {percent})"

    def _field(self, step: Step, name: str) -> str:
        return self.plan.reference(step, name) or literal(step.value(name))

    def _value(self, step: Step, wire: Wire, *, combined: bool) -> str:
        """The expression of what comes in by a wire, where this step stands."""
        source = self.plan.graph.step(wire.source)
        name, expression = self._expression(step, source, wire)
        if not combined or len(source.sources) > 1:
            return expression
        [owner] = source.sources
        self.published[owner][name] = expression
        return f"values.get({literal(name)})"

    def _expression(self, step: Step, source: Step, wire: Wire) -> tuple[str, str]:
        variable = self.plan.variables[source.id]
        if source.type in ("dataSource", "customDataset"):
            column = wire.output
            if column == "data":
                if _wants_bars(step, wire):
                    return f"{variable}_bar", "bar"
                column = str(step.value("source") or "close")
            self.used.add("price")
            return f"{variable}_{column}", f"price(bar, {literal(column)})"
        variable = self.plan.outputs.get((wire.source, wire.output), variable)
        return variable, variable

    def _warn(self, step: Step, field: str, message: str) -> None:
        found = problem(step, "left_out", message, field, "warning")
        if isinstance(found, WorkflowProblem) and found not in self.plan.warnings:
            self.plan.warnings.append(found)


def _wants_bars(step: Step, wire: Wire) -> bool:
    return any(wire in step.wires[port.name] and port.type == "ohlcv" for port in step.component.inputs)


def _imports(names: list[str]) -> list[str]:
    head = "from actors.strategies.workflows.blocks import "
    line = f"{head}{', '.join(names)}"
    return [line] if len(line) <= WIDTH else [f"{head}(", *(f"    {name}," for name in names), ")"]


def _bounds(parameter: CompiledParameter) -> list[str]:
    found = [literal(parameter.default)]
    for name, bound in (("least", parameter.least), ("most", parameter.most)):
        if bound is not None:
            value: Any = int(bound) if parameter.kind == "int" else float(bound)
            found.append(f"{name}={literal(value)}")
    return [*found, f"description={literal(parameter.description)}"]
