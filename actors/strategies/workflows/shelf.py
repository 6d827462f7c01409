"""The workflows of a node, and the rows that follow from a change of one. No I/O."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from actors.strategies.package import Package
from actors.strategies.workflows.compiler import Compiled
from actors.strategies.workflows.model import MOST_WORKFLOW, WorkflowInvalid, WorkflowProblem, read_workflow
from actors.strategies.workflows.naming import slug
from actors.strategies.workflows.rows import Change, ExecutionMode, PutWorkflow, WorkflowVersionRow
from protocols.control import Refused

MOST_WORKFLOWS: Final = 1000
MOST_NAME: Final = 255
MOST_DESCRIPTION: Final = 1000
MOST_TAGS: Final = 50
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
UNAVAILABLE: Final = {
    "model": "a workflow is not a model: training one out of it needs the research of a later version",
    "hybrid": "rules and a model together need a model that is served",
    "research": "notebooks are made by the research of a later version",
}
"""Modes of execution that are known and cannot be chosen, and why."""


class Shelf:
    """The newest row of every workflow, deleted ones included: their versions go on where they were."""

    def __init__(self) -> None:
        self._newest: dict[str, WorkflowVersionRow] = {}

    def add(self, row: WorkflowVersionRow) -> None:
        """Remember a row, if it is the newest of its workflow."""
        known = self._newest.get(row.workflow_id)
        if known is None or known.seq < row.seq:
            self._newest[row.workflow_id] = row

    def all(self) -> list[WorkflowVersionRow]:
        """The workflows that are not deleted."""
        return [each for each in self._newest.values() if each.change != "deleted"]

    def get(self, workflow_id: str) -> WorkflowVersionRow:
        """A workflow. Raises Refused `not_found`."""
        found = self._newest.get(workflow_id)
        if found is None or found.change == "deleted":
            raise Refused("not_found", f"there is no workflow {workflow_id[:100]!r}", "workflow_id")
        return found

    def page(self, search: str, limit: int, offset: int) -> tuple[tuple[WorkflowVersionRow, ...], int]:
        """Workflows whose name, id or description holds a text, the last changed first, and how many there are."""
        wanted = search.casefold()
        found = [
            each
            for each in self.all()
            if wanted in each.name.casefold()
            or wanted in each.workflow_id.casefold()
            or wanted in each.description.casefold()
        ]
        found.sort(key=lambda each: -each.seq)
        return tuple(found[offset : offset + limit]), len(found)

    def put(self, request: PutWorkflow, seq: int, now: int) -> WorkflowVersionRow:
        """The row of a new workflow or version; the known one where nothing changes. Raises Refused."""
        fields = _checked(request)
        known = self._newest.get(request.workflow_id) if request.workflow_id else None
        if known is not None and known.change != "deleted":
            self._expected(known, request.expected_version)
            if all(getattr(known, name) == value for name, value in fields.items()):
                return known
            return self.drawn(known, "updated", seq, now, fields)
        if request.workflow_id and not request.create:
            raise Refused("not_found", f"there is no workflow {request.workflow_id[:100]!r}", "workflow_id")
        if request.workflow_id and not _ID.fullmatch(request.workflow_id):
            raise Refused("invalid", "expected letters, digits, '.', '_' and '-', at most 100", "workflow_id")
        if len(self.all()) >= MOST_WORKFLOWS:
            raise Refused("too_many", f"there are {MOST_WORKFLOWS} workflows, the most that are kept")
        for name in ("name", "workflow"):
            if name not in fields:
                raise Refused("invalid", f"expected a {name}, got nothing", name)
        if known is not None:
            return self.drawn(known, "created", seq, now, {"description": "", "tags": (), **fields})
        workflow_id = request.workflow_id or self._new_id(str(fields["name"]), seq)
        return WorkflowVersionRow(
            seq=seq, ts=now, ts_created=now, ts_changed=now, workflow_id=workflow_id, version=1, change="created",
            **fields,
        )  # fmt: skip

    def drawn(
        self,
        known: WorkflowVersionRow,
        change: Change,
        seq: int,
        now: int,
        fields: dict[str, Any],
        restored_from: int = 0,
    ) -> WorkflowVersionRow:
        """The next version; its code stays that of the last version that compiled."""
        return msgspec.structs.replace(
            known, seq=seq, ts=now, ts_changed=now, version=known.version + 1, change=change,
            restored_from=restored_from, compilation_status="pending", validation_status="pending",
            problems=msgspec.Raw(b"[]"), **fields,
        )  # fmt: skip

    def deleted(self, workflow_id: str, seq: int, now: int) -> WorkflowVersionRow:
        """The row of a deletion. Raises Refused `not_found`."""
        known = self.get(workflow_id)
        return msgspec.structs.replace(
            known, seq=seq, ts=now, ts_changed=now, version=known.version + 1, change="deleted", restored_from=0,
            deployment_status="draft", compilation_status="pending", validation_status="pending", code_version=0,
            generated_code="", generated_requirements=(), symbols=(), timeframes=(), lookback=0,
            problems=msgspec.Raw(b"[]"),
        )  # fmt: skip

    def compiled(
        self, workflow_id: str, version: int, found: Compiled | tuple[WorkflowProblem, ...], seq: int, now: int
    ) -> WorkflowVersionRow:
        """The row of a compilation that has gone well, or has found errors. Raises Refused `not_found`, `conflict`."""
        known = self.get(workflow_id)
        if known.version != version:
            raise Refused("conflict", f"{workflow_id} has version {known.version} by now; compile it again", "version")
        row = msgspec.structs.replace(
            known, seq=seq, ts=now, ts_compiled=now, change="compiled", compilations=known.compilations + 1
        )
        if not isinstance(found, Compiled):
            return msgspec.structs.replace(
                row, compilation_status="failed", validation_status="invalid", problems=_raw(found)
            )
        return msgspec.structs.replace(
            row, compilation_status="success", validation_status="valid", deployment_status="published",
            problems=_raw(found.warnings), code_version=version, generated_code=found.code,
            generated_requirements=found.requirements, symbols=found.symbols, timeframes=found.timeframes,
            lookback=found.lookback, successful_compilations=known.successful_compilations + 1,
        )  # fmt: skip

    def executed(self, workflow_id: str, seq: int, now: int) -> WorkflowVersionRow:
        """The row of a start. Raises Refused `not_found`."""
        known = self.get(workflow_id)
        return msgspec.structs.replace(
            known, seq=seq, ts=now, ts_executed=now, change="executed", executions=known.executions + 1
        )

    def mode(
        self, workflow_id: str, mode: ExecutionMode, config: msgspec.Raw, seq: int, now: int
    ) -> WorkflowVersionRow:
        """The row of another mode of execution. Raises Refused `not_found`, `not_deployed`."""
        known = self.get(workflow_id)
        reason = UNAVAILABLE.get(mode)
        if reason is not None:
            raise Refused("not_deployed", f"mode {mode}: {reason}", "mode")
        return msgspec.structs.replace(
            known, seq=seq, ts=now, change="mode", execution_mode=mode, execution_config=config
        )

    def _new_id(self, name: str, seq: int) -> str:
        stem = slug(name)[:40].strip("_").replace("_", "-") or "workflow"
        found = f"{stem}-w{seq}"
        while found in self._newest:
            found += "x"  # somebody has put a workflow under exactly this id
        return found

    def _expected(self, known: WorkflowVersionRow, version: int) -> None:
        if version and version != known.version:
            message = f"{known.workflow_id} has version {known.version}, not {version}"
            raise Refused("conflict", message, "expected_version")


def package_of(row: WorkflowVersionRow) -> Package | None:
    """What the library gets of a workflow; None: it has never compiled."""
    if not row.generated_code or row.change == "deleted":
        return None
    return Package(
        strategy_id=row.workflow_id,
        source="workflow",
        name=row.name,
        version=str(row.code_version),
        description=row.description,
        code=row.generated_code,
        main_file="strategy.py",
        symbols=row.symbols,
        timeframes=row.timeframes,
        tags=row.tags,
        ts_created=row.ts_created,
        ts_updated=row.ts_changed,
    )


def _checked(request: PutWorkflow) -> dict[str, Any]:
    """The fields that are given. Raises Refused `invalid`."""
    found: dict[str, Any] = {}
    if request.name is not None:
        name = request.name.strip()
        if not 1 <= len(name) <= MOST_NAME or not name.isprintable():
            raise Refused("invalid", f"expected text of 1 to {MOST_NAME} characters, got {len(name)}", "name")
        found["name"] = name
    if request.description is not None:
        if len(request.description) > MOST_DESCRIPTION or "\0" in request.description:
            message = f"expected at most {MOST_DESCRIPTION} characters, got {len(request.description)}"
            raise Refused("invalid", message, "description")
        found["description"] = request.description
    if request.tags is not None:
        if len(request.tags) > MOST_TAGS or any(not 0 < len(each) <= 100 or "\0" in each for each in request.tags):
            raise Refused("invalid", f"expected at most {MOST_TAGS} texts of 1 to 100 characters", "tags")
        found["tags"] = request.tags
    if request.workflow is not None:
        content = bytes(request.workflow)
        if len(content) > MOST_WORKFLOW:
            raise Refused("invalid", f"expected at most {MOST_WORKFLOW} bytes, got {len(content)}", "workflow")
        if b"\\u0000" in content:
            raise Refused("invalid", "expected text without null characters", "workflow")
        try:
            read_workflow(content)
        except WorkflowInvalid as error:
            first = error.problems[0]
            raise Refused("invalid", str(error), f"workflow.{first.field}" if first.field else "workflow") from None
        found["workflow"] = request.workflow
    return found


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
