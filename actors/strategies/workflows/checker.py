"""Is a workflow one that can be compiled? Every error names the node (id and label) and the field.

What does not lead to an action or an output is left out, with a warning.
"""

from __future__ import annotations

from typing import Final

import msgspec

from actors.strategies.workflows.components import CUSTOM_DATASET, Port, find_port
from actors.strategies.workflows.fields import seconds
from actors.strategies.workflows.graph import Graph, Step, Wire
from actors.strategies.workflows.model import Workflow, WorkflowEdge, WorkflowProblem
from actors.strategies.workflows.settling import problem, settle

SOURCES: Final = ("dataSource", "customDataset")
ENDS: Final = ("action", "output")


class Checked(msgspec.Struct, frozen=True):
    """What the check has found. `graph` is None where there are errors."""

    problems: tuple[WorkflowProblem, ...]
    graph: Graph | None

    @property
    def errors(self) -> tuple[WorkflowProblem, ...]:
        """The problems for which it does not compile."""
        return tuple(each for each in self.problems if each.severity == "error")

    @property
    def warnings(self) -> tuple[WorkflowProblem, ...]:
        """The other problems."""
        return tuple(each for each in self.problems if each.severity != "error")


def check(workflow: Workflow) -> Checked:
    """Check a workflow whole: all problems, not just the first. Never raises."""
    return _Check(workflow).run()


class _Check:
    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.problems: list[WorkflowProblem] = []
        self.steps: dict[str, Step] = {}
        self.known: set[str] = set()
        self.unfed: set[str] = set()
        """Nodes with an edge that could not be connected."""

    def run(self) -> Checked:
        self._settle()
        for edge in self._edges():
            self._connect(edge)
        # Whose node or edges are wrong already would only say the same in other words.
        excused = {each.node_id for each in self.problems} | self.unfed
        for step in self.steps.values():
            if step.id not in excused:
                self._inputs(step)
        order = self._order()
        if order is None or any(each.severity == "error" for each in self.problems):
            return Checked(tuple(self.problems), None)
        used = self._used(order)
        graph = self._bound(used)
        if any(each.severity == "error" for each in self.problems):
            return Checked(tuple(self.problems), None)
        return Checked(tuple(self.problems), graph)

    def _problem(self, step: Step, code: str, message: str, field: str = "", severity: str = "error") -> None:
        self.problems.append(problem(step, code, message, field, severity))

    def _settle(self) -> None:
        if not self.workflow.nodes:
            message = "there are no nodes: a workflow has a data source, conditions and an action"
            self.problems.append(WorkflowProblem(code="empty", message=message, field="nodes"))
        for node in self.workflow.nodes:
            if node.id in self.known:
                self.problems.append(problem(node, "duplicate_id", f"two nodes have the id {node.id}", "id"))
                continue
            self.known.add(node.id)
            step = settle(node, self.problems)
            if step is not None:
                step.wires = {port.name: [] for port in step.component.inputs}
                self.steps[node.id] = step

    # Edges.

    def _edges(self) -> list[WorkflowEdge]:
        found: list[WorkflowEdge] = []
        seen: set[tuple[str, str, str, str]] = set()
        for edge in self.workflow.edges:
            ends = (edge.source, edge.source_handle, edge.target, edge.target_handle)
            if ends in seen:
                continue  # drawn twice, it is still one wire
            seen.add(ends)
            missing = [
                (name, end) for name, end in (("source", edge.source), ("target", edge.target)) if end not in self.known
            ]
            if missing:
                self.unfed.add(edge.target)
            for name, end in missing:
                self._edge_problem(edge, "unknown_node", f"{name}: there is no node with the id {end}", name)
            if not missing:
                found.append(edge)
        return found

    def _edge_problem(self, edge: WorkflowEdge, code: str, message: str, field: str) -> None:
        # An edge is told of at the node where it does exist.
        end = edge.target if edge.target in self.known else edge.source
        node = self.workflow.node(end)
        self.problems.append(
            WorkflowProblem(
                code=code,
                message=f"edge {edge.id}: {message}",
                node_id="" if node is None else node.id,
                node_label="" if node is None else node.label,
                edge_id=edge.id,
                field=field,
            )
        )

    def _connect(self, edge: WorkflowEdge) -> None:
        source, target = self.steps.get(edge.source), self.steps.get(edge.target)
        if source is None or target is None:
            self.unfed.add(edge.target)
            return  # its type was told of already
        output = find_port(source.component.outputs, edge.source_handle)
        if output is None:
            names = ", ".join(each.name for each in source.component.outputs)
            expected = f"expected one of {names}" if names else f"a node of the type {source.type} has no outputs"
            handle = edge.source_handle or "(none)"
            message = f"edge {edge.id}: {source.label} has no output {handle}: {expected}"
            self._problem(source, "unknown_handle", message, "sourceHandle")
            self.unfed.add(edge.target)
            return
        port = self._port(target, edge, source, output)
        if port is None:
            return
        wire = Wire(source.id, output.name, output.type)
        if output.type not in port.types:
            expected = " or ".join(port.types)
            message = f"edge {edge.id}: {port.name} takes {expected}, and {source.label} gives {output.type} here"
            self._problem(target, "type_mismatch", message, port.name)
        elif target.wires[port.name] and not port.many:
            message = f"edge {edge.id}: {port.name} has an edge already"
            if port.type == "signal":
                message += "; join several conditions by a logic node"
            self._problem(target, "too_many_edges", message, port.name)
        elif wire not in target.wires[port.name]:
            target.wires[port.name].append(wire)

    def _port(self, target: Step, edge: WorkflowEdge, source: Step, output: Port) -> Port | None:
        ports = target.component.inputs
        found = find_port(ports, edge.target_handle)
        if found is None:
            names = ", ".join(each.name for each in ports)
            expected = f"expected one of {names}" if names else f"a node of the type {target.type} has no inputs"
            message = f"edge {edge.id}: {target.label} has no input {edge.target_handle or '(none)'}: {expected}"
            self._problem(target, "unknown_handle", message, "targetHandle")
            return None
        if source.type == "riskManagement" and target.type == "action" and not self._gates(source):
            return next(each for each in ports if each.type == "risk")
        free = found.many or not target.wires[found.name]
        if not edge.target_handle and not (free and output.type in found.types):
            # Without a handle, an edge goes where it fits.
            for each in ports:
                if output.type in each.types and (each.many or not target.wires[each.name]):
                    return each
        return found

    def _gates(self, risk: Step) -> bool:
        """Whether a signal goes through this risk node: then it triggers the action behind it."""
        for edge in self.workflow.edges:
            source = self.steps.get(edge.source)
            if edge.target == risk.id and source is not None:
                output = find_port(source.component.outputs, edge.source_handle)
                if output is not None and output.type == "signal":
                    return True
        return False

    # Inputs.

    def _inputs(self, step: Step) -> None:
        data, reference = step.wires.get("data"), step.wires.get("reference")
        if data == [] and reference and step.operator is not None and step.operator.FAMILY != "multi_timeframe":
            first = step.component.inputs[0]
            if all(wire.type in first.types for wire in reference):
                # An editor's `value` handle, used for the only input.
                step.wires["data"], step.wires["reference"] = reference, []
        for port in step.component.inputs:
            if port.required and not step.wires[port.name]:
                kinds = " or ".join(port.types)
                self._problem(step, "missing_input", f"{port.name}: nothing is connected, expected {kinds}", port.name)
        if "reference" in step.wires and not step.wires["reference"] and "value" not in step.values:
            reference_port = next(each for each in step.component.inputs if each.name == "reference")
            if not reference_port.required:
                message = "value: there is nothing to compare with: connect the input reference, or give a value"
                self._problem(step, "missing_parameter", message, "value")
        if step.type == "logic" and "operation" in step.values:
            self._logic(step)
        elif step.type == "riskManagement" and str(step.value("riskType")).startswith("atr_"):
            if not step.wires["value"]:
                message = f"value: {step.value('riskType')} needs a distance, such as an ATR"
                self._problem(step, "missing_input", message, "value")
        elif step.operator is not None and step.operator.FAMILY == "multi_timeframe":
            self._several(step)

    def _logic(self, step: Step) -> None:
        count = len(step.wires["input"])
        operation = str(step.values["operation"])
        if operation == "not":
            if count > 1:
                self._problem(step, "too_many_edges", f"input: NOT takes one signal, {count} are connected", "input")
        elif count == 1:
            message = f"input: {operation.upper()} takes at least two signals, one is connected"
            self._problem(step, "missing_input", message, "input")
        declared = step.value("inputs")
        if operation != "not" and declared is not None and 1 < count < int(declared):
            message = f"input: {declared} signals are announced (inputs), {count} are connected"
            self._problem(step, "missing_input", message, "input")

    def _several(self, step: Step) -> None:
        if "reference" not in step.wires and len(step.wires["data"]) == 1:
            message = "data: one value is connected, expected those of several timeframes"
            self._problem(step, "missing_input", message, "data")

    # The graph as a whole.

    def _order(self) -> list[Step] | None:
        """The steps, each behind what it depends on; None where there is a cycle."""
        order: list[Step] = []
        state: dict[str, int] = {}
        for first in self.steps:
            stack = [(first, iter(self._before(first)))] if first not in state else []
            if stack:
                state[first] = 1
            while stack:
                node, rest = stack[-1]
                following = next(rest, None)
                if following is None:
                    stack.pop()
                    state[node] = 2
                    order.append(self.steps[node])
                elif state.get(following) == 1:
                    names = [name for name, _ in stack]
                    self._cycle(names[names.index(following) :])
                    return None
                elif following not in state:
                    state[following] = 1
                    stack.append((following, iter(self._before(following))))
        return order

    def _before(self, node: str) -> list[str]:
        return [wire.source for wires in self.steps[node].wires.values() for wire in wires]

    def _cycle(self, nodes: list[str]) -> None:
        path = " <- ".join(self.steps[each].label for each in [*nodes, nodes[0]])
        for each in nodes:
            self._problem(self.steps[each], "cycle", f"it depends on itself: {path}", "edges")

    def _used(self, order: list[Step]) -> list[Step]:
        needed: set[str] = set()
        for step in reversed(order):
            if step.type in ENDS or step.id in needed:
                needed.add(step.id)
                needed.update(self._before(step.id))
        if not any(step.type == "action" for step in order):
            message = "there is no action: a workflow gives its signals by nodes of the type action"
            self.problems.append(WorkflowProblem(code="no_action", message=message, field="nodes"))
        for step in self.steps.values():
            if step.id not in needed:
                self._problem(
                    step, "unused", "it leads to no action and no output, and is left out", severity="warning"
                )
        return [step for step in order if step.id in needed]

    def _bound(self, steps: list[Step]) -> Graph | None:
        """The graph with the data sources that each step depends on, and the markets of the actions."""
        by_id = {step.id: step for step in steps}
        sources = [step for step in steps if step.type in SOURCES]
        for step in steps:
            if step.type in SOURCES:
                step.sources = frozenset((step.id,))
            else:
                before = (by_id[wire.source].sources for wires in step.wires.values() for wire in wires)
                step.sources = frozenset().union(*before)
        if not self._symbols(sources):
            return None
        combined = {each for step in steps if len(step.sources) > 1 for each in step.sources}
        combining = [each.id for each in sources if each.id in combined]
        fastest = min((_seconds(by_id[each]) for each in combining), default=0)
        for step in steps:
            if step.type == "action":
                self._risks(step, by_id)
                self._market(step, by_id, combining, fastest)
            elif step.operator is not None and step.operator.FAMILY == "multi_timeframe":
                frames = {str(by_id[each].value("timeframe")) for each in step.sources}
                if len(frames) < 2:
                    message = f"data: all of its inputs are of one timeframe ({', '.join(frames)}), expected several"
                    self._problem(step, "one_timeframe", message, "data")
        for step in sources:
            if step.component is CUSTOM_DATASET:
                message = "fileName: a file is read by backtests; a run takes the market's own bars"
                self._problem(step, "not_deployed", message, "fileName", "warning")
        return Graph(
            tuple(steps),
            tuple(dict.fromkeys(str(each.value("symbol")) for each in sources if each.value("symbol"))),
            tuple(sorted({str(each.value("timeframe")) for each in sources}, key=seconds)),
            tuple(combining),
        )

    def _symbols(self, sources: list[Step]) -> bool:
        """Whether all data sources name a market, or none does."""
        named = [each for each in sources if each.value("symbol")]
        for each in sources:
            if named and not each.value("symbol"):
                message = f"symbol: it is missing, while {named[0].label} has one ({named[0].value('symbol')})"
                self._problem(each, "missing_parameter", message, "symbol")
        return len(named) in (0, len(sources))

    def _risks(self, step: Step, by_id: dict[str, Step]) -> None:
        kinds: dict[str, Step] = {}
        for wire in (*step.wires["signal"], *step.wires["risk"]):
            risk = by_id[wire.source]
            sets = str(risk.value("riskType")).replace("atr_stop", "stop_loss").replace("atr_target", "take_profit")
            if risk.type == "riskManagement" and sets in kinds:
                message = f"risk: {kinds[sets].label} and {risk.label} both set the {sets.replace('_', ' ')}"
                self._problem(step, "too_many_edges", message, "risk")
            elif risk.type == "riskManagement":
                kinds[sets] = risk

    def _market(self, step: Step, by_id: dict[str, Step], combining: list[str], fastest: int) -> None:
        candidates = [by_id[each] for each in sorted(step.sources)]
        if len(candidates) > 1:
            # It steps with the fastest sources of all that are combined, and takes its price from one of them.
            own = {each.value("symbol") for each in candidates}
            stepping = [by_id[each] for each in combining if _seconds(by_id[each]) == fastest]
            candidates = (
                [each for each in candidates if each in stepping]
                or [each for each in stepping if each.value("symbol") in own]
                or stepping
            )
        symbols = list(dict.fromkeys(str(each.value("symbol") or "") for each in candidates))
        wanted = str(step.value("symbol") or "")
        if wanted and symbols != [""] and wanted not in symbols:
            message = f"symbol: it is fed by the fastest bars of {', '.join(symbols)}, not of {wanted}"
            self._problem(step, "unknown_symbol", message, "symbol")
        elif not wanted and len(symbols) > 1:
            message = f"symbol: it is fed by several markets ({', '.join(symbols)}): say which one its signals are for"
            self._problem(step, "missing_parameter", message, "symbol")
        elif wanted and symbols == [""]:
            message = "symbol: the data sources name none, so the signals are for the market of the bar"
            self._problem(step, "unknown_symbol", message, "symbol")
        else:
            step.symbol = wanted or symbols[0]
            step.priced_by = next(each.id for each in candidates if str(each.value("symbol") or "") == step.symbol)


def _seconds(step: Step) -> int:
    return seconds(str(step.value("timeframe")))
