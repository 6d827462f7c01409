"""The sources `ai_ml` and `no_code`: strategies in databases of other services, which are only read.

`ai_ml` has `strategies` (the code is in the row) and `projects` with `project_files` (the code is in `main.py`, or
`strategy.py`, at the top of the project). `no_code` has `nocode_workflows` (`generated_code`, or `workflow_data` to be
compiled). Only `id`, `name` and the code have to be there; the other columns are read as far as they are. Ids are
integers or UUIDs there and text here; a project's is `project-<id>`, so that it cannot be taken for a strategy's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from actors.strategies.library_listing import Part
from actors.strategies.package import MOST_CODE, ListPackages, Package, PackageState, PackageSummary
from protocols.control import Refused, Unknown
from protocols.storage import PAGE, QueryResult, RunQuery
from runtime import ActorRef
from runtime.breaker import CircuitOpen
from runtime.redaction import without_passwords

ExternalSource = Literal["ai_ml", "no_code"]


class Compiled(NamedTuple):
    """What becomes of a workflow."""

    code: str
    symbols: tuple[str, ...] = ()
    timeframes: tuple[str, ...] = ()


Compile = Callable[[bytes, str], Awaitable[Compiled]]
"""Compiles a workflow's JSON, with its name. Raises ValueError that says what is wrong with it."""

QUERY_S: Final = 4.0
MOST_WORKFLOW: Final = 1 << 20
"""Characters of a workflow's JSON; a longer one is cut, and no JSON any more."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# A file's place in its project, without what means "here".
_PLACE: Final = r"""
    regexp_replace(coalesce(nullif(to_jsonb(f) ->> 'file_path', ''), to_jsonb(f) ->> 'file_name'), '^(\.?/)+', '')
"""
_MAIN: Final = f"f.project_id::text = p.id::text AND {_PLACE} IN ('main.py', 'strategy.py')"
_ROWS: Final = {
    "strategies": "SELECT s.id::text AS id, s.name::text AS name, to_jsonb(s) - 'code' AS rest FROM strategies s",
    "projects": f"""
        SELECT 'project-' || p.id::text AS id, p.name::text AS name, to_jsonb(p) AS rest FROM projects p
        WHERE EXISTS (SELECT 1 FROM project_files f WHERE {_MAIN})
    """,  # noqa: S608 - our own text
    "nocode_workflows": """
        SELECT w.id::text AS id, w.name::text AS name,
               to_jsonb(w) - '{generated_code,workflow_data}'::text[] AS rest
        FROM nocode_workflows w
    """,
}
_CODE: Final = {
    # One character more than may be is enough to know that there are too many.
    "strategies": f"""
        SELECT s.id::text AS id, s.name::text AS name, to_jsonb(s) - 'code' AS rest,
               left(s.code, {MOST_CODE + 1}) AS code, '' AS file, NULL AS workflow
        FROM strategies s WHERE s.id::text = $1
    """,  # noqa: S608
    "projects": f"""
        SELECT 'project-' || p.id::text AS id, p.name::text AS name, to_jsonb(p) AS rest,
               left(f.content, {MOST_CODE + 1}) AS code, {_PLACE} AS file, NULL AS workflow
        FROM projects p JOIN project_files f ON {_MAIN}
        WHERE p.id::text = $1 OR 'project-' || p.id::text = $1 ORDER BY 5
    """,  # noqa: S608
    "nocode_workflows": f"""
        SELECT w.id::text AS id, w.name::text AS name,
               to_jsonb(w) - '{{generated_code,workflow_data}}'::text[] AS rest,
               left(w.generated_code, {MOST_CODE + 1}) AS code, '' AS file,
               left(w.workflow_data::text, {MOST_WORKFLOW + 1}) AS workflow
        FROM nocode_workflows w WHERE w.id::text = $1 OR to_jsonb(w) ->> 'uuid' = lower($1)
    """,  # noqa: S608
}
_TABLES: Final[dict[ExternalSource, tuple[str, ...]]] = {
    "ai_ml": ("strategies", "projects"),
    "no_code": ("nocode_workflows",),
}
_STATE: Final = """
    CASE lower(coalesce(rest ->> 'status', rest ->> 'deployment_status', 'active'))
        WHEN 'archived' THEN 'archived' WHEN 'draft' THEN 'draft' WHEN 'testing' THEN 'draft' ELSE 'active'
    END
"""
_THERE: Final = "SELECT to_regclass('projects') IS NOT NULL AND to_regclass('project_files') IS NOT NULL"


class _Columns(msgspec.Struct, frozen=True):
    """What is read of a row beside its id, name and code."""

    description: str | None = None
    status: str | None = None
    deployment_status: str | None = None
    parameters: Any = None
    tags: Any = None
    user_id: str | int | None = None
    created_at: str | None = None
    updated_at: str | None = None

    def state(self) -> PackageState:
        """As `_STATE` has it."""
        said = (self.status or self.deployment_status or "active").lower()
        return "archived" if said == "archived" else "draft" if said in ("draft", "testing") else "active"


class ExternalReader:
    """Reads the strategies of one database through its `Queries` actor."""

    def __init__(self, source: ExternalSource, queries: ActorRef, compile_workflow: Compile) -> None:
        self.source: ExternalSource = source
        self._queries = queries
        self._compile = compile_workflow
        self._why = ""

    async def get(self, strategy_id: str) -> Package:
        """A strategy as it is in the database now.

        Raises Refused `not_found`, `unavailable`, or `invalid`: it has no code that could run.
        """
        for table in await self._tables():
            found = await self._ask(_CODE[table], (strategy_id,), 2)
            if found.rows:
                return await self._package(found)
        raise Refused("not_found", f"{self.source} has no strategy {strategy_id[:100]!r}", "strategy_id")

    async def page(self, request: ListPackages, first: int, offset: int) -> Part:
        """The `first` packages behind `offset` that a question means. Raises Refused `unavailable`."""
        rows = " UNION ALL ".join(_ROWS[table] for table in await self._tables())
        which = f"""
            FROM (SELECT id, name, rest, {_STATE} AS state FROM ({rows}) found) known
            WHERE ($1 = '' OR strpos(lower(id), lower($1)) > 0 OR strpos(lower(name), lower($1)) > 0
                   OR strpos(lower(rest ->> 'description'), lower($1)) > 0)
              AND ($2 = 'all' OR state = $2 OR ($2 = '' AND state <> 'archived'))
        """  # noqa: S608
        arguments = (request.search, request.state)
        total: int = (await self._ask(f"SELECT count(*) {which}", arguments, 1)).rows[0][0]
        wanted = f'SELECT id, name, rest {which} ORDER BY name COLLATE "C", id COLLATE "C" OFFSET $3'
        found: list[PackageSummary] = []
        while len(found) < first:
            size = min(PAGE, first - len(found))
            page = await self._ask(wanted, (*arguments, offset + len(found)), size)
            found += [self._summary(row) for row in page.rows]
            if len(page.rows) < size:
                break
        return Part(tuple(found), total)

    async def _tables(self) -> tuple[str, ...]:
        tables = _TABLES[self.source]
        if self.source == "ai_ml" and not (await self._ask(_THERE, (), 1)).rows[0][0]:
            return tables[:1]
        return tables

    async def _ask(self, sql: str, arguments: tuple[Any, ...], limit: int) -> QueryResult:
        try:
            return await self._queries.ask(RunQuery(sql, arguments, limit, QUERY_S), QUERY_S + 1.0)
        except Refused as refused:
            # An open breaker says nothing about the database: what opened it does.
            if not (isinstance(refused, CircuitOpen) and self._why):
                self._why = without_passwords(refused.message)
        except Unknown as unknown:
            self._why = str(unknown) or "no answer in time"
        raise Refused("unavailable", f"the database of {self.source} does not answer: {self._why}")

    def _summary(self, row: tuple[Any, ...]) -> PackageSummary:
        strategy_id, name, rest = row
        columns = _columns(rest)
        return PackageSummary(
            strategy_id=strategy_id,
            source=self.source,
            name=name,
            version="",
            description=columns.description or "",
            state=columns.state(),
            tags=_tags(columns.tags),
            author=str(columns.user_id or ""),
            ts_created=_nanoseconds(columns.created_at),
            ts_updated=_nanoseconds(columns.updated_at),
        )

    async def _package(self, found: QueryResult) -> Package:
        strategy_id, name, rest, code, file, workflow = found.rows[0]
        columns = _columns(rest)
        compiled = Compiled(code or "")
        if not compiled.code.strip():
            compiled = await self._compiled(strategy_id, name, workflow)
        code = compiled.code
        if len(code.encode()) > MOST_CODE:
            raise Refused("invalid", f"the code of {strategy_id} is longer than {MOST_CODE} bytes", "strategy_id")
        parameters = columns.parameters if isinstance(columns.parameters, dict) else {}
        return Package(
            strategy_id=strategy_id,
            source=self.source,
            name=name,
            version=hashlib.sha256(code.encode()).hexdigest()[:12],
            description=columns.description or "",
            code=code,
            main_file=file or "strategy.py",
            state=columns.state(),
            parameters=msgspec.Raw(msgspec.json.encode(parameters)),
            symbols=compiled.symbols,
            timeframes=compiled.timeframes,
            tags=_tags(columns.tags),
            author=str(columns.user_id or ""),
            ts_created=_nanoseconds(columns.created_at),
            ts_updated=_nanoseconds(columns.updated_at),
        )

    async def _compiled(self, strategy_id: str, name: str, workflow: str | None) -> Compiled:
        if not workflow:
            raise Refused("invalid", f"{self.source} has no code of strategy {strategy_id}", "strategy_id")
        try:
            return await self._compile(workflow.encode(), name)
        except ValueError as error:
            raise Refused("invalid", f"the workflow {strategy_id} does not compile: {error}", "strategy_id") from error


def _columns(row: msgspec.Raw) -> _Columns:
    # A column of an unforeseen type must not hide the strategy: it is left out.
    values = msgspec.json.decode(row, type=dict[str, Any])
    kept: dict[str, Any] = {}
    for field in msgspec.structs.fields(_Columns):
        try:
            kept[field.name] = msgspec.convert(values.get(field.name), field.type)
        except msgspec.ValidationError:
            continue
    return _Columns(**kept)


def _tags(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _nanoseconds(text: str | None) -> int:
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0
    span = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return ((span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds) * 1000
