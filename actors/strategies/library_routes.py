"""The HTTP routes of definitions: what strategies there are, how they are written, and what they were before."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, delete, get, post, put
from actors.strategies.library_bodies import (
    CodeValidation,
    Description,
    Name,
    RefusedFile,
    SourceAway,
    StrategyDeleted,
    StrategyDetail,
    StrategyPage,
    StrategyWritten,
    VersionDetail,
    VersionPage,
    detail_body,
    parameter_body,
    problem_body,
    summary_body,
    version_body,
    version_detail,
    written_body,
)
from actors.strategies.library_requests import (
    ArchiveStrategy,
    CreateStrategy,
    GetVersion,
    ListVersions,
    RestoreVersion,
    UpdateStrategy,
)
from actors.strategies.library_sdk import SdkDocumentation, sdk_documentation
from actors.strategies.library_validation import checked_code, split_problems
from actors.strategies.package import (
    LIBRARY,
    SANDBOX,
    CheckCode,
    CodeChecked,
    GetPackage,
    ListPackages,
    Package,
)
from actors.strategies.status import ROSTER, ListStrategies, StopStrategy
from protocols.control import Refused, Unknown
from protocols.signal_stream import timestamp

TAGS: Final = ("strategies",)
WRITE_S: Final = 20.0
"""How long a change may take, the check of its code included."""
STOP_S: Final = 20.0
CHECK_S: Final = 10.0
SDK_S: Final = 20.0

Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]
Offset = Annotated[int, msgspec.Meta(ge=0, le=100_000)]


class StrategyQuery(msgspec.Struct, frozen=True):
    """Which strategies. `source` empty: of all sources; `status` empty: all that are not archived."""

    source: str = ""
    search: str = ""
    status: str = ""
    limit: Limit = 50
    offset: Offset = 0


class OwnQuery(msgspec.Struct, frozen=True):
    """Which strategies, in the words of the strategy service."""

    search: str = ""
    status_filter: str = ""
    source: str = ""
    limit: Limit = 50
    offset: Offset = 0


class OneStrategy(msgspec.Struct, frozen=True):
    """Which strategy. `source` is needed where several sources have its id; `version` empty: the newest."""

    strategy_id: str
    source: str = ""
    version: str = ""


class NewStrategy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A strategy to be stored. `status`: draft or active; empty: active if its code was checked, else draft."""

    name: Name
    code: str
    description: Description = ""
    parameters: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    timeframes: tuple[str, ...] = ()
    author: str = ""
    status: str = ""


class StrategyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be another in a strategy's next version; null or absent: as it is.

    `expected_version`: the version that the change was made from; with another one it is refused.
    """

    strategy_id: str
    name: Name | None = None
    code: str | None = None
    description: Description | None = None
    parameters: dict[str, Any] | None = None
    tags: tuple[str, ...] | None = None
    symbols: tuple[str, ...] | None = None
    timeframes: tuple[str, ...] | None = None
    author: str | None = None
    status: str = ""
    expected_version: int = 0


class VersionsQuery(msgspec.Struct, frozen=True):
    """The versions of which strategy."""

    strategy_id: str
    limit: Limit = 50
    offset: Offset = 0


class OneVersion(msgspec.Struct, frozen=True):
    """Which version of which strategy."""

    strategy_id: str
    version: int


class Code(msgspec.Struct, frozen=True):
    """A source text."""

    code: str


async def list_strategies(request: StrategyQuery, call: Call) -> StrategyPage:
    """Answer a page of the strategies of one or all sources."""
    return await _page(call, request.source, request.search, request.status, request.limit, request.offset)


async def list_own(request: OwnQuery, call: Call) -> StrategyPage:
    """Answer a page of strategies; the strategy service's words for the same question."""
    return await _page(call, request.source, request.search, request.status_filter, request.limit, request.offset)


async def one_strategy(request: OneStrategy, call: Call) -> StrategyDetail:
    """Answer one strategy with its code, and what the sandbox finds in it."""
    package = await _package(request, call)
    if package.trusted:
        return detail_body(package, None, "it is trusted and runs in the node")
    try:
        checked = await _checked(call, package.code, package.main_file)
    except (Refused, Unknown) as error:
        return detail_body(package, None, f"the sandbox does not answer: {error}")
    return detail_body(package, checked, "")


async def create(request: NewStrategy, call: Call) -> StrategyWritten:
    """Check a strategy and store its first version."""
    stored = await call.ref(LIBRARY).ask(
        CreateStrategy(
            name=request.name,
            code=request.code,
            description=request.description,
            parameters=_raw(request.parameters),
            tags=request.tags,
            symbols=request.symbols,
            timeframes=request.timeframes,
            author=request.author,
            state=request.status,
        ),
        WRITE_S,
    )
    return written_body(stored, f"{stored.strategy_id} is stored")


async def update(request: StrategyChange, call: Call) -> StrategyWritten:
    """Check a change and store it as the next version."""
    stored = await call.ref(LIBRARY).ask(
        UpdateStrategy(
            strategy_id=request.strategy_id,
            name=request.name,
            code=request.code,
            description=request.description,
            parameters=None if request.parameters is None else _raw(request.parameters),
            tags=request.tags,
            symbols=request.symbols,
            timeframes=request.timeframes,
            author=request.author,
            state=request.status,
            expected_version=request.expected_version,
        ),
        WRITE_S,
    )
    return written_body(stored, f"{stored.strategy_id} has version {stored.version}")


async def remove(request: OneStrategy, call: Call) -> StrategyDeleted:
    """Stop a strategy, if it runs, and archive it. Its versions are kept and can be restored."""
    package = await _package(request, call)
    stopped = package.source == "own" and await _stop(package, call)
    archived = await call.ref(LIBRARY).ask(ArchiveStrategy(package.strategy_id, package.source), WRITE_S)
    message = f"{package.strategy_id} is archived; its versions are kept"
    return StrategyDeleted(message, package.strategy_id, timestamp(archived.ts), stopped)


async def versions(request: VersionsQuery, call: Call) -> VersionPage:
    """Answer the versions of a strategy, the newest first."""
    question = ListVersions(request.strategy_id, request.limit, request.offset)
    found = await call.ref(LIBRARY).ask(question, WRITE_S)
    shown = tuple(map(version_body, found.versions))
    return VersionPage(request.strategy_id, shown, found.total, request.limit, request.offset)


async def one_version(request: OneVersion, call: Call) -> VersionDetail:
    """Answer one version with its code."""
    return version_detail(await call.ref(LIBRARY).ask(GetVersion(request.strategy_id, request.version), WRITE_S))


async def restore(request: OneVersion, call: Call) -> StrategyWritten:
    """Store an older version once more, as the newest one."""
    stored = await call.ref(LIBRARY).ask(RestoreVersion(request.strategy_id, request.version), WRITE_S)
    return written_body(stored, f"{stored.strategy_id} has version {stored.version}, which is {request.version} again")


async def validate(request: Code, call: Call) -> CodeValidation:
    """Check a source text in the sandbox; nothing is stored."""
    checked = await _checked(call, checked_code(request.code), "strategy.py")
    problems, warnings = split_problems(checked.problems)
    return CodeValidation(
        not problems,
        tuple(map(problem_body, problems)),
        tuple(map(problem_body, warnings)),
        tuple(map(parameter_body, checked.parameters)),
        checked.contract or None,
    )


async def documentation(call: Call) -> SdkDocumentation:
    """Answer what the SDK offers, as its docstrings have it."""
    return await call.node.offload(sdk_documentation, (), SDK_S)


async def _page(call: Call, source: str, search: str, state: str, limit: int, offset: int) -> StrategyPage:
    found = await call.ref(LIBRARY).ask(ListPackages(source, search, state, limit, offset), WRITE_S)
    return StrategyPage(
        tuple(map(summary_body, found.packages)),
        found.total,
        limit,
        offset,
        tuple(SourceAway(source, why) for source, why in found.away),
        tuple(RefusedFile(each.source, each.name, each.reason) for each in found.refused),
    )


async def _package(request: OneStrategy, call: Call) -> Package:
    try:
        return await call.ref(LIBRARY).ask(GetPackage(request.strategy_id, request.source, request.version), WRITE_S)
    except Refused as refused:
        if refused.code == "ambiguous":
            raise HttpError(400, refused.code, refused.message, refused.field) from refused
        raise


async def _checked(call: Call, code: str, filename: str) -> CodeChecked:
    try:
        return await call.ref(SANDBOX).ask(CheckCode(code, filename), CHECK_S)
    except Refused as refused:
        if refused.code in ("not_found", "stopped"):
            raise Refused("unavailable", "no sandbox runs on this node") from refused
        raise


async def _stop(package: Package, call: Call) -> bool:
    """Whether it ran."""
    roster = call.ref(ROSTER)
    try:
        [found] = (await roster.ask(ListStrategies(package.strategy_id))).strategies
        if found.source != package.source:
            return False  # another source's strategy of this id
        await roster.ask(StopStrategy(package.strategy_id), STOP_S)
    except Refused as refused:
        if refused.code in ("not_found", "not_running"):
            return False
        raise
    return True


def _raw(value: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


VERSION: Final = "/api/strategies/{strategy_id}/versions/{version}"

routes: list[Route] = [
    get("/api/strategies/list", list_strategies, summary="Strategies of all sources", tags=TAGS),
    get("/api/strategies", list_own, summary="Strategies of all sources", tags=TAGS),
    post("/api/strategies", create, summary="Write a strategy", tags=TAGS, status=201),
    post("/api/strategies/code/create", create, summary="Write a strategy", tags=TAGS, status=201),
    get("/api/strategies/{strategy_id}", one_strategy, summary="A strategy with its code", tags=TAGS),
    put("/api/strategies/{strategy_id}", update, summary="Change a strategy: a new version", tags=TAGS),
    put("/api/strategies/code/{strategy_id}", update, summary="Change a strategy: a new version", tags=TAGS),
    delete("/api/strategies/{strategy_id}", remove, summary="Stop and archive a strategy", tags=TAGS),
    get("/api/strategies/{strategy_id}/versions", versions, summary="What a strategy was before", tags=TAGS),
    get(VERSION, one_version, summary="One version of a strategy", tags=TAGS),
    post(f"{VERSION}/restore", restore, summary="Make an older version the newest", tags=TAGS),
    post("/api/code/validate", validate, summary="Check a source text", tags=TAGS, stores=False),
    get("/api/sdk/documentation", documentation, summary="What a strategy's author has", tags=TAGS),
]
