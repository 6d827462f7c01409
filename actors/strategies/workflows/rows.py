"""What is asked of the actor that keeps workflows, and the row that each change of one is.

The newest row of a workflow is how it is. Its version rises with what is drawn, not with what becomes of it: a
compilation or a start is a row of the same version.
"""

from __future__ import annotations

from typing import ClassVar, Final, Literal

import msgspec

from actors.strategies.workflows.model import WorkflowProblem
from protocols.control import Message, Request, Row

WORKFLOWS: Final = "/workflows"
"""The path of the actor that keeps the workflows."""
VERSIONS: Final = "workflow_versions"
"""The stream of the rows."""

Change = Literal["created", "updated", "restored", "compiled", "executed", "mode", "deleted"]
DRAWN: Final = ("created", "updated", "restored", "deleted")
"""Changes that are a version of their own."""
Compilation = Literal["pending", "success", "failed"]
Validation = Literal["pending", "valid", "invalid"]
Deployment = Literal["draft", "published"]
ExecutionMode = Literal["strategy", "model", "hybrid", "backtesting", "paper_trading", "research"]

EMPTY: Final = msgspec.Raw(b"{}")
NOTHING: Final = msgspec.Raw(b"[]")


class WorkflowVersionRow(Row, frozen=True, gc=False, kw_only=True, tag="workflow_version"):
    """One change of a workflow. Times in ns, 0: never.

    `generated_code` and what stands beside it is of `code_version` (0: it never compiled), which may be an older one
    than `version`. `problems` is a JSON list of what its last compilation has found.
    """

    table: ClassVar[str] = "workflow_versions"
    sequenced: ClassVar[bool] = True

    stream: str = VERSIONS
    seq: int
    ts: int
    ts_created: int
    ts_changed: int
    ts_compiled: int = 0
    ts_executed: int = 0
    workflow_id: str
    version: int
    change: Change
    restored_from: int = 0
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    workflow: msgspec.Raw
    compilation_status: Compilation = "pending"
    validation_status: Validation = "pending"
    deployment_status: Deployment = "draft"
    execution_mode: ExecutionMode = "strategy"
    execution_config: msgspec.Raw = EMPTY
    problems: msgspec.Raw = NOTHING
    code_version: int = 0
    generated_code: str = ""
    generated_requirements: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    timeframes: tuple[str, ...] = ()
    lookback: int = 0
    compilations: int = 0
    successful_compilations: int = 0
    executions: int = 0

    @property
    def current(self) -> bool:
        """Whether the generated code is of this version."""
        return self.code_version == self.version

    def found(self) -> tuple[WorkflowProblem, ...]:
        """What the last compilation has found."""
        return msgspec.json.decode(self.problems, type=tuple[WorkflowProblem, ...])


class WorkflowState(Message, frozen=True, gc=False, tag="workflow_state"):
    """How a workflow is now."""

    row: WorkflowVersionRow


class PutWorkflow(Request[WorkflowState], frozen=True, gc=False, kw_only=True, tag="put_workflow"):
    """Stores a workflow: a new one, or the next version of the one that is named; what is None stays.

    `workflow` is its JSON. `create`: True where an unknown id makes a new workflow. Refused `invalid` (with the
    field), `not_found`, `conflict` (`expected_version` is not the newest), `too_many`, `not_ready`.
    """

    workflow_id: str = ""
    create: bool = True
    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    workflow: msgspec.Raw | None = None
    expected_version: int = 0


class GetWorkflow(Request[WorkflowState], frozen=True, gc=False, tag="get_workflow"):
    """Asks for a workflow. Refused `not_found`, `not_ready`."""

    workflow_id: str


class WorkflowList(Message, frozen=True, gc=False, tag="workflow_list"):
    """A page of workflows, the last changed first; `total` of all that the question means."""

    workflows: tuple[WorkflowVersionRow, ...]
    total: int


class ListWorkflows(Request[WorkflowList], frozen=True, gc=False, tag="list_workflows"):
    """Asks for workflows whose name, id or description holds `search`."""

    search: str = ""
    limit: int = 50
    offset: int = 0


class DeleteWorkflow(Request[WorkflowState], frozen=True, gc=False, tag="delete_workflow"):
    """Deletes a workflow and takes it out of the library; its versions stay in the database. Refused `not_found`."""

    workflow_id: str


class CompileWorkflow(Request[WorkflowState], frozen=True, gc=False, tag="compile_workflow"):
    """Compiles a workflow and puts it into the library.

    Answered with its state, also where it does not compile (`compilation_status` failed, the errors in `problems`).
    Refused `not_found`, `conflict` (it was changed meanwhile), `not_ready`.
    """

    workflow_id: str


class WorkflowVersion(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One version of a workflow without what is drawn. `ts` in ns."""

    version: int
    change: Change
    restored_from: int
    name: str
    ts: int


class WorkflowVersions(Message, frozen=True, gc=False, tag="workflow_versions"):
    """The versions of a workflow, the newest first."""

    workflow_id: str
    versions: tuple[WorkflowVersion, ...]
    total: int


class ListWorkflowVersions(Request[WorkflowVersions], frozen=True, gc=False, tag="list_workflow_versions"):
    """Asks for the versions of a workflow. Refused `not_found`, `unavailable` (the database is away)."""

    workflow_id: str
    limit: int = 50
    offset: int = 0


class RestoreWorkflow(Request[WorkflowState], frozen=True, gc=False, tag="restore_workflow"):
    """Stores an older version once more, as the newest one. Refused `not_found`, `unavailable`."""

    workflow_id: str
    version: int


class NoteExecution(Request[WorkflowState], frozen=True, gc=False, tag="note_workflow_execution"):
    """Notes that a workflow was started. Refused `not_found`."""

    workflow_id: str


class SetExecutionMode(Request[WorkflowState], frozen=True, gc=False, tag="set_execution_mode"):
    """Sets how a workflow is meant to be executed. Refused `not_found`, `not_deployed` (with the reason)."""

    workflow_id: str
    mode: ExecutionMode
    config: msgspec.Raw = EMPTY
