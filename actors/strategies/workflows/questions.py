"""What is asked of workflows over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from actors.strategies.workflows.rows import ExecutionMode

FreeJson = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"description": "any JSON"})]
ABSENT: Final = msgspec.Raw()
"""What a field holds that is not given."""
Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=100_000)]


def _absent() -> msgspec.Raw:
    """What is not given. (A schema cannot show a default that is raw.)"""
    return ABSENT


class WorkflowQuery(msgspec.Struct, frozen=True):
    """Which workflows."""

    search: str = ""
    limit: Limit = 50
    offset: Offset = 0


class OneWorkflow(msgspec.Struct, frozen=True):
    """Which workflow."""

    workflow_id: str


class OneVersion(msgspec.Struct, frozen=True):
    """Which version of which workflow."""

    workflow_id: str
    version: int


class VersionsQuery(msgspec.Struct, frozen=True):
    """The versions of which workflow."""

    workflow_id: str
    limit: Limit = 50
    offset: Offset = 0


class NewWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """A workflow to be stored: `workflow_data` (or `workflow`) is {nodes, edges, config}, or these are given here."""

    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    workflow_data: FreeJson = msgspec.field(default_factory=_absent)
    workflow: FreeJson = msgspec.field(default_factory=_absent)
    nodes: FreeJson = msgspec.field(default_factory=_absent)
    edges: FreeJson = msgspec.field(default_factory=_absent)
    config: FreeJson = msgspec.field(default_factory=_absent)


class ChangedWorkflow(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be another in a workflow; absent: as it is. An unknown id makes a new workflow.

    `expected_version`: the version that the change was made from; with another one it is refused.
    """

    workflow_id: str
    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    workflow_data: FreeJson = msgspec.field(default_factory=_absent)
    workflow: FreeJson = msgspec.field(default_factory=_absent)
    nodes: FreeJson = msgspec.field(default_factory=_absent)
    edges: FreeJson = msgspec.field(default_factory=_absent)
    config: FreeJson = msgspec.field(default_factory=_absent)
    expected_version: int = 0


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """How a workflow is to be executed. `symbols` and `timeframe`: those of its data sources, where not given.

    Dates, capital and the data set are a backtest's.
    """

    workflow_id: str
    execution_type: str = "paper_trade"
    symbols: tuple[str, ...] = ()
    timeframe: str = ""
    parameters: dict[str, Any] = {}
    configuration: dict[str, Any] = {}
    execution_interval: float | None = None
    start_date: str = ""
    end_date: str = ""
    initial_capital: Annotated[float, msgspec.Meta(gt=0, le=1e9)] = 10_000.0
    dataset_id: str = ""


class ModeChange(msgspec.Struct, frozen=True):
    """A mode of execution, and its settings."""

    workflow_id: str
    mode: ExecutionMode
    config: dict[str, Any] = {}


class OneTemplate(msgspec.Struct, frozen=True):
    """Which template."""

    template_id: str


class UseTemplate(msgspec.Struct, frozen=True):
    """Which template, and what is to be another in its workflow: its name, and the market of its data sources."""

    template_id: str
    name: str = ""
    description: str | None = None
    symbol: str = ""
