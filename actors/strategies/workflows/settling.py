"""Nodes one by one: their type, their indicator or condition, and each parameter in its own type and range."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

from actors.strategies.workflows.components import (
    ACTIONS,
    FIXED,
    NOT_DEPLOYED,
    RISK_NEEDS,
    TYPES,
    Component,
    canonical_type,
    condition_component,
    indicator_component,
    refusal,
)
from actors.strategies.workflows.fields import Field, shown
from actors.strategies.workflows.graph import Step
from actors.strategies.workflows.indicators import KINDS, find_indicator
from actors.strategies.workflows.model import WorkflowNode, WorkflowProblem
from actors.strategies.workflows.operators import OPERATORS, find_operator

Report = Callable[..., None]


def settle(node: WorkflowNode, problems: list[WorkflowProblem]) -> Step | None:
    """The step of a node. What is wrong is added to `problems`; None where nothing can be said about its ports."""

    def report(code: str, message: str, field: str = "", severity: str = "error") -> None:
        problems.append(problem(node, code, message, field, severity))

    kind = canonical_type(node.type)
    if kind is None:
        reason = refusal(node.type)
        if reason is not None:
            report("not_available", f"a node of the type {node.type} cannot be compiled: {reason}", "type")
        else:
            message = f"there is no type of node {shown(node.type)}: expected one of {', '.join(TYPES)}"
            report("unknown_type", message, "type")
        return None
    step = Step(id=node.id, label=node.label, component=Component(type=kind))
    if kind == "technicalIndicator":
        step.kind = _chosen(node, "indicator", find_indicator, KINDS, report)
        if step.kind is None:
            return None
        step.component = indicator_component(step.kind)
    elif kind == "condition":
        step.operator = _chosen(node, "condition", find_operator, OPERATORS, report, "operator")
        if step.operator is None:
            return None
        step.component = condition_component(step.operator)
    else:
        step.component = FIXED[kind]
    if kind == "action" and _not_deployed(node, report):
        return step
    before = len(problems)
    step.values = _values(node, step.component, report)
    if len(problems) == before:
        _check_whole(step, report)
    return step


def problem(
    node: WorkflowNode | Step, code: str, message: str, field: str = "", severity: str = "error"
) -> WorkflowProblem:
    """A problem of this node."""
    return WorkflowProblem(
        code=code, message=message, node_id=node.id, node_label=node.label, field=field, severity=severity
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the known word that is meant, or nothing."""
    found = get_close_matches(word.lower(), list(known), 1, 0.6)
    return f" (did you mean {found[0]}?)" if found else ""


def _chosen(
    node: WorkflowNode, field: str, find: Callable[[str], Any], known: Iterable[str], report: Report, *aliases: str
) -> Any:
    given = next((node.parameters[name] for name in (field, *aliases) if node.parameters.get(name)), None)
    if given is None:
        report("missing_parameter", f"{field}: it is missing; /api/components lists what it may be", field)
        return None
    found = find(given) if isinstance(given, str) else None
    if found is None:
        hint = nearest(given, known) if isinstance(given, str) else ""
        report(f"unknown_{field}", f"{field}: there is no {field} {shown(given)}{hint}", field)
    return found


def _not_deployed(node: WorkflowNode, report: Report) -> bool:
    for name in ("actionCategory", "action_category", "category"):
        reason = NOT_DEPLOYED.get(str(node.parameters.get(name, "")).lower())
        if reason is not None:
            report("not_deployed", f"{name}: {reason}, and no execution engine is deployed", name)
            return True
    return False


def _values(node: WorkflowNode, component: Component, report: Report) -> dict[str, Any]:
    given = {name: value for name, value in node.parameters.items() if value is not None and value != ""}
    taken: set[str] = set()
    values: dict[str, Any] = {}
    for field in component.fields:
        name = next((each for each in (field.name, *field.aliases) if each in given and each not in taken), None)
        if field.name in ("indicator", "condition"):
            values[field.name] = field.choices[0]
            taken |= {"indicator", "condition", "operator"}
        elif name is None:
            if field.required:
                report("missing_parameter", f"{field.name}: it is missing, expected {field.expected}", field.name)
            elif field.default is not None:
                values[field.name] = field.default
        else:
            taken.add(name)
            try:
                values[field.name] = field.settled(given[name])
            except ValueError as error:
                report("invalid_parameter", f"{name}: {error}", name)
    for name in given:
        if name not in taken and not _ignored(name, component):
            known = [each.name for each in component.fields]
            report("unknown_parameter", f"{name}: there is no such parameter here{nearest(name, known)}", name)
    return values


def _ignored(name: str, component: Component) -> bool:
    return name in component.ignored or any(name in (each.name, *each.aliases) for each in component.fields)


def _check_whole(step: Step, report: Report) -> None:
    """What several parameters of one node have to be together."""
    values = step.values
    if step.kind is not None:
        try:
            step.kind.warm_up(values)
        except ValueError as error:
            report("invalid_parameter", str(error), str(error).partition(":")[0])
    elif step.operator is not None and "lower" in values and "upper" in values:
        if float(values["lower"]) > float(values["upper"]):
            report(
                "invalid_parameter",
                f"upper: expected at least lower ({values['lower']}), got {values['upper']}",
                "upper",
            )
    elif step.type == "riskManagement":
        needed = RISK_NEEDS.get(str(values["riskType"]))
        if needed is not None and needed not in values:
            field = next(each for each in step.component.fields if each.name == needed)
            report(
                "missing_parameter",
                f"{needed}: it is missing for {values['riskType']}, expected {field.expected}",
                needed,
            )
    elif step.type == "action":
        word = str(values["action"])
        category = values.get("actionCategory")
        known = [each for each, name in ACTIONS if name == word]
        if category is not None and category not in known:
            report(
                "invalid_parameter", f"action: {word} is of the category {' or '.join(known)}, not {category}", "action"
            )


def action_of(step: Step) -> str:
    """What the signals of an action node say."""
    word = str(step.values["action"])
    category = step.values.get("actionCategory")
    if category is None:
        category = next(each for each, name in ACTIONS if name == word)
    return ACTIONS[str(category), word]


def fields_of(step: Step) -> dict[str, Field]:
    """The fields of a step's node by name."""
    return {each.name: each for each in step.component.fields}
