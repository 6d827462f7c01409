"""Workflows as HTTP shows them, in the words of the no-code service."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors.strategies.workflows.model import WorkflowProblem
from actors.strategies.workflows.rows import Change, ExecutionMode, WorkflowVersion, WorkflowVersionRow
from protocols.signal_stream import FreeObject, timestamp

NOT_COMPILED: Final = "it has not compiled yet"


class WorkflowProblemBody(msgspec.Struct, frozen=True):
    """What is wrong, and where: a node (id and label), an edge, or neither; `field`: a parameter, a handle, a key."""

    code: str
    message: str
    node_id: str | None
    node_label: str | None
    edge_id: str | None
    field: str | None
    severity: str


class WorkflowSummary(msgspec.Struct, frozen=True):
    """A workflow of a list. `code_version`: the version that the generated code is of; null: it never compiled."""

    id: str
    workflow_id: str
    name: str
    description: str
    tags: tuple[str, ...]
    version: int
    parent_version: int | None
    compilation_status: str
    validation_status: str
    deployment_status: str
    execution_mode: ExecutionMode
    code_version: int | None
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    total_compilations: int
    successful_compilations: int
    total_executions: int
    created_at: str
    updated_at: str
    compiled_at: str | None
    last_executed_at: str | None


class WorkflowDetail(WorkflowSummary, frozen=True, kw_only=True):
    """A workflow with what is drawn, and what its last compilation has found."""

    workflow_data: FreeObject
    execution_config: FreeObject
    problems: tuple[WorkflowProblemBody, ...]


class WorkflowPage(msgspec.Struct, frozen=True):
    """A page of workflows, the last changed first."""

    workflows: tuple[WorkflowSummary, ...]
    total_count: int
    limit: int
    offset: int


class GeneratedCode(msgspec.Struct, frozen=True, kw_only=True):
    """The strategy that a workflow compiles to. `current`: whether it is of the workflow's newest version."""

    workflow_id: str
    version: int
    code_version: int
    current: bool
    generated_code: str
    generated_requirements: tuple[str, ...]
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    lookback: int
    compiled_at: str


class CompilationBody(msgspec.Struct, frozen=True, kw_only=True):
    """A compilation that went well. The strategy is in the library under the workflow's id, source `workflow`."""

    success: bool
    message: str
    workflow_id: str
    version: int
    compilation_status: str
    generated_code: str
    generated_requirements: tuple[str, ...]
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    lookback: int
    warnings: tuple[WorkflowProblemBody, ...]


class VersionBody(msgspec.Struct, frozen=True):
    """One version."""

    version: int
    change: Change
    restored_from: int | None
    name: str
    created_at: str


class VersionsBody(msgspec.Struct, frozen=True):
    """The versions of a workflow, the newest first."""

    workflow_id: str
    versions: tuple[VersionBody, ...]
    total_count: int


class ExecutionBody(msgspec.Struct, frozen=True, kw_only=True):
    """It runs."""

    success: bool
    message: str
    execution_id: str
    workflow_id: str
    strategy_id: str
    execution_type: str
    status: str
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    version: str


class ModeBody(msgspec.Struct, frozen=True):
    """The mode of execution that was set."""

    workflow_id: str
    execution_mode: ExecutionMode
    execution_config: FreeObject
    message: str


class DeletedBody(msgspec.Struct, frozen=True):
    """It is gone; its versions stay in the database."""

    message: str
    workflow_id: str
    deleted_at: str
    was_running: bool


class TemplateBody(msgspec.Struct, frozen=True):
    """A ready workflow. `workflow_data` is there where one template is asked for."""

    id: str
    name: str
    description: str
    category: str
    difficulty: str
    tags: tuple[str, ...]
    timeframes: tuple[str, ...]
    workflow_data: dict[str, Any] | None = None


def problem_body(found: WorkflowProblem) -> WorkflowProblemBody:
    """A problem; what it does not say is null."""
    return WorkflowProblemBody(
        found.code,
        found.message,
        found.node_id or None,
        found.node_label or None,
        found.edge_id or None,
        found.field or None,
        found.severity,
    )


def summary_body(row: WorkflowVersionRow) -> WorkflowSummary:
    """A workflow without what is drawn."""
    return WorkflowSummary(**_summary(row))


def detail_body(row: WorkflowVersionRow) -> WorkflowDetail:
    """A workflow whole."""
    return WorkflowDetail(
        **_summary(row),
        workflow_data=row.workflow,
        execution_config=row.execution_config,
        problems=tuple(map(problem_body, row.found())),
    )


def _summary(row: WorkflowVersionRow) -> dict[str, Any]:
    return {
        "id": row.workflow_id,
        "workflow_id": row.workflow_id,
        "name": row.name,
        "description": row.description,
        "tags": row.tags,
        "version": row.version,
        "parent_version": row.restored_from or (row.version - 1 or None),
        "compilation_status": row.compilation_status,
        "validation_status": row.validation_status,
        "deployment_status": row.deployment_status,
        "execution_mode": row.execution_mode,
        "code_version": row.code_version or None,
        "symbols": row.symbols,
        "timeframes": row.timeframes,
        "total_compilations": row.compilations,
        "successful_compilations": row.successful_compilations,
        "total_executions": row.executions,
        "created_at": timestamp(row.ts_created),
        "updated_at": timestamp(row.ts_changed),
        "compiled_at": timestamp(row.ts_compiled) if row.ts_compiled else None,
        "last_executed_at": timestamp(row.ts_executed) if row.ts_executed else None,
    }


def code_body(row: WorkflowVersionRow) -> GeneratedCode:
    """The generated code of a workflow that has compiled."""
    return GeneratedCode(
        workflow_id=row.workflow_id,
        version=row.version,
        code_version=row.code_version,
        current=row.current,
        generated_code=row.generated_code,
        generated_requirements=row.generated_requirements,
        symbols=row.symbols,
        timeframes=row.timeframes,
        lookback=row.lookback,
        compiled_at=timestamp(row.ts_compiled),
    )


def compilation_body(row: WorkflowVersionRow) -> CompilationBody:
    """What a compilation that went well has led to."""
    return CompilationBody(
        success=True,
        message=f"{row.workflow_id} compiles; it can be started as the strategy {row.workflow_id}",
        workflow_id=row.workflow_id,
        version=row.version,
        compilation_status=row.compilation_status,
        generated_code=row.generated_code,
        generated_requirements=row.generated_requirements,
        symbols=row.symbols,
        timeframes=row.timeframes,
        lookback=row.lookback,
        warnings=tuple(map(problem_body, row.found())),
    )


def version_body(found: WorkflowVersion) -> VersionBody:
    """One version."""
    return VersionBody(found.version, found.change, found.restored_from or None, found.name, timestamp(found.ts))
