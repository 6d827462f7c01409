"""From a workflow to the text of a strategy that says the same.

    compiled = compile_workflow(read_workflow(content), title="RSI reversion")
    print(compiled.code)

Equal workflows give equal text. What the nodes compute is in `blocks`; the text says which nodes there are, what goes
into them, and when they act. Numbers become parameters, which can be changed while the strategy runs.
"""

from __future__ import annotations

from typing import Final

import msgspec

from actors.strategies.workflows.checker import check
from actors.strategies.workflows.model import Workflow, WorkflowInvalid, WorkflowProblem
from actors.strategies.workflows.plan import CompiledParameter, Plan
from actors.strategies.workflows.writing import write

MOST_CODE: Final = 64 * 1024


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy out of a workflow. `lookback`: the bars of each window that its values depend on.

    `symbols` empty: it runs on those of the run. `requirements`: the libraries that it uses.
    """

    code: str
    class_name: str
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    lookback: int
    parameters: tuple[CompiledParameter, ...]
    requirements: tuple[str, ...]
    warnings: tuple[WorkflowProblem, ...] = ()


def compile_workflow(workflow: Workflow, *, title: str = "Workflow") -> Compiled:
    """The strategy of a workflow. Raises WorkflowInvalid with every error that the check has found."""
    checked = check(workflow)
    if checked.graph is None:
        raise WorkflowInvalid(checked.errors)
    plan = Plan(checked.graph, title)
    code = write(plan)
    if len(code.encode()) > MOST_CODE:
        message = f"its strategy would be {len(code.encode())} bytes long, expected at most {MOST_CODE}"
        raise WorkflowInvalid((WorkflowProblem(code="too_large", message=message, field="nodes"),))
    talib = any(
        (each.kind is not None and each.kind.engine == "talib")
        or (each.operator is not None and hasattr(each.operator, "FUNCTION"))
        for each in plan.graph.steps
    )
    return Compiled(
        code=code,
        class_name=plan.class_name,
        symbols=plan.graph.symbols,
        timeframes=plan.graph.timeframes,
        lookback=plan.lookback,
        parameters=tuple(plan.parameters),
        requirements=("numpy", "ta-lib") if talib else ("numpy",),
        warnings=(*checked.warnings, *plan.warnings),
    )
