"""The library's strategies as HTTP shows them: the shapes of the inference service and of the strategy service."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from actors.strategies.library_requests import StrategyStored, StrategyVersionRow, VersionSummary
from actors.strategies.package import CodeChecked, Package, PackageState, PackageSummary, Source
from actors.strategies.sandbox import wire
from protocols.signal_stream import FreeObject, timestamp

NO_FIGURES: Final = "figures need fills, and no execution has filled anything for this strategy"


class Performance(msgspec.Struct, frozen=True):
    """Figures of fills; `reason` says why they are null."""

    total_return: float | None = None
    sharpe_ratio: float | None = None
    reason: str = NO_FIGURES


class ProblemBody(msgspec.Struct, frozen=True):
    """What is wrong with a source text, or worth a warning. Line and column are from 1; null: the whole."""

    rule: str
    message: str
    line: int | None
    column: int | None
    field: str | None


class ParameterBody(msgspec.Struct, frozen=True):
    """A parameter that the code declares. `default`, `least` and `most` are JSON values; null: none."""

    name: str
    kind: str
    default: Any
    least: Any
    most: Any
    choices: tuple[str, ...]
    description: str


class StrategySummary(msgspec.Struct, frozen=True):
    """A strategy of a list. `version` is null where it is only known with the code."""

    strategy_id: str
    source: Source
    name: str
    description: str
    version: str | None
    status: PackageState
    tags: tuple[str, ...]
    author: str | None
    created_at: str | None
    updated_at: str | None
    performance: Performance


class SourceAway(msgspec.Struct, frozen=True):
    """A source that did not answer; `total_count` is without it."""

    source: str
    reason: str


class RefusedFile(msgspec.Struct, frozen=True):
    """A file that is not taken, or whose newest text is not."""

    source: str
    name: str
    reason: str


class StrategyPage(msgspec.Struct, frozen=True):
    """A page of strategies, by name. `total_count`: how many there are in all."""

    strategies: tuple[StrategySummary, ...]
    total_count: int
    limit: int
    offset: int
    away: tuple[SourceAway, ...]
    refused: tuple[RefusedFile, ...]


class FileBody(msgspec.Struct, frozen=True):
    """One file of a strategy."""

    filename: str
    content: str
    file_type: str


class StrategyDetail(msgspec.Struct, frozen=True):
    """A strategy whole.

    `parameters`: the values that stand for it, between the code's defaults and a run's own. `declared_parameters`,
    `contract` and `problems` are what the sandbox finds in the code; `check_missing` says why it was not asked.
    `path`: where the class of a trusted strategy is, which has no files here.
    """

    strategy_id: str
    source: Source
    name: str
    description: str
    version: str
    status: PackageState
    files: dict[str, FileBody]
    main_file: str | None
    path: str | None
    parameters: FreeObject
    declared_parameters: tuple[ParameterBody, ...]
    contract: str | None
    problems: tuple[ProblemBody, ...]
    check_missing: str | None
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    tags: tuple[str, ...]
    author: str | None
    created_at: str | None
    updated_at: str | None
    performance: Performance


class StrategyWritten(msgspec.Struct, frozen=True):
    """A version is stored. `validated` false: `check_missing` says why the code was not checked."""

    message: str
    strategy_id: str
    version: int
    status: PackageState
    stored_at: str
    validation_warnings: tuple[ProblemBody, ...]
    validated: bool
    check_missing: str | None


class StrategyDeleted(msgspec.Struct, frozen=True):
    """The strategy is archived. `stopped`: it was running."""

    message: str
    strategy_id: str
    deleted_at: str
    stopped: bool


class VersionBody(msgspec.Struct, frozen=True):
    """A version of a list. `change`: created, updated, restored (`restored_from`: which) or archived."""

    version: int
    change: str
    restored_from: int | None
    status: PackageState
    name: str
    author: str | None
    code_bytes: int
    code_sha: str
    created_at: str


class VersionPage(msgspec.Struct, frozen=True):
    """Versions of a strategy, the newest first."""

    strategy_id: str
    versions: tuple[VersionBody, ...]
    total_count: int
    limit: int
    offset: int


class VersionDetail(msgspec.Struct, frozen=True):
    """One version whole."""

    strategy_id: str
    version: int
    change: str
    restored_from: int | None
    status: PackageState
    name: str
    description: str
    code: str
    parameters: FreeObject
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    tags: tuple[str, ...]
    author: str | None
    created_at: str


class CodeValidation(msgspec.Struct, frozen=True):
    """What the sandbox finds in a source text. `valid`: it has no problems, though perhaps warnings."""

    valid: bool
    problems: tuple[ProblemBody, ...]
    warnings: tuple[ProblemBody, ...]
    parameters: tuple[ParameterBody, ...]
    contract: str | None


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Description = Annotated[str, msgspec.Meta(max_length=1000)]


def problem_body(problem: wire.Problem) -> ProblemBody:
    """A problem for people."""
    return ProblemBody(
        problem.rule, problem.message, problem.line or None, problem.column or None, problem.field or None
    )


def parameter_body(parameter: wire.ParameterInfo) -> ParameterBody:
    """A declared parameter for people."""
    default, least, most = (_json(text) for text in (parameter.default, parameter.least, parameter.most))
    return ParameterBody(parameter.name, parameter.kind, default, least, most, parameter.choices, parameter.description)


def summary_body(package: PackageSummary) -> StrategySummary:
    """A package of a list."""
    return StrategySummary(
        package.strategy_id,
        package.source,
        package.name,
        package.description,
        package.version or None,
        package.state,
        package.tags,
        package.author or None,
        _time(package.ts_created),
        _time(package.ts_updated),
        Performance(),
    )


def detail_body(package: Package, checked: CodeChecked | None, check_missing: str) -> StrategyDetail:
    """A package whole, with what the sandbox has found in it."""
    files = {} if package.trusted else {package.main_file: FileBody(package.main_file, package.code, "python")}
    return StrategyDetail(
        strategy_id=package.strategy_id,
        source=package.source,
        name=package.name,
        description=package.description,
        version=package.version,
        status=package.state,
        files=files,
        main_file=None if package.trusted else package.main_file,
        path=package.path or None,
        parameters=package.parameters,
        declared_parameters=() if checked is None else tuple(map(parameter_body, checked.parameters)),
        contract=checked.contract or None if checked is not None else None,
        problems=() if checked is None else tuple(map(problem_body, checked.problems)),
        check_missing=check_missing or None,
        symbols=package.symbols,
        timeframes=package.timeframes,
        tags=package.tags,
        author=package.author or None,
        created_at=_time(package.ts_created),
        updated_at=_time(package.ts_updated),
        performance=Performance(),
    )


def written_body(stored: StrategyStored, message: str) -> StrategyWritten:
    """The answer to a change."""
    return StrategyWritten(
        message,
        stored.strategy_id,
        stored.version,
        stored.state,
        timestamp(stored.ts),
        tuple(map(problem_body, stored.warnings)),
        not stored.check_missing,
        stored.check_missing or None,
    )


def version_body(version: VersionSummary) -> VersionBody:
    """A version of a list."""
    return VersionBody(
        version.version,
        version.change,
        version.restored_from or None,
        version.state,
        version.name,
        version.author or None,
        version.code_bytes,
        version.code_sha,
        timestamp(version.ts),
    )


def version_detail(row: StrategyVersionRow) -> VersionDetail:
    """A version whole."""
    return VersionDetail(
        row.strategy_id,
        row.version,
        row.change,
        row.restored_from or None,
        row.state,
        row.name,
        row.description,
        row.code,
        row.parameters,
        row.symbols,
        row.timeframes,
        row.tags,
        row.author or None,
        timestamp(row.ts),
    )


def _time(ts: int) -> str | None:
    return timestamp(ts) if ts else None


def _json(text: str) -> Any:
    """A value that the sandbox has sent as JSON text; text that is none is shown as it is."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
