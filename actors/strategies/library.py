"""The library: the one place where strategies are found, whatever source they are from.

Strategies that are written over HTTP are its own: every change is a row, accepted when the node's log has it, and
`PackageChanged` says so to whoever runs the strategy. Files of a folder are looked at twice a second. Workflows are put
here by who compiles them. Two databases of other services are asked when somebody asks; what they answered is kept for
a while, and stands in for them when they are away.

No code is looked at in the node: the sandbox checks it, in a locked process.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

import msgspec
import trio

from actors.strategies.library_cache import PackageCache
from actors.strategies.library_listing import Part, check_question, meant, merged, ordered, summary
from actors.strategies.library_requests import (
    VERSIONS,
    ArchiveStrategy,
    Change,
    CreateStrategy,
    GetVersion,
    ListVersions,
    RestoreVersion,
    StrategyStored,
    StrategyVersionRow,
    UpdateStrategy,
    VersionFields,
    VersionList,
    fields_of,
)
from actors.strategies.library_settings import external_path
from actors.strategies.library_validation import checked_fields, checked_state, split_problems, told, undeclared
from actors.strategies.package import (
    MOST_CODE,
    SANDBOX,
    CheckCode,
    CodeChecked,
    GetPackage,
    LibraryStarted,
    ListPackages,
    Package,
    PackageChanged,
    PackageList,
    PackagePut,
    PackageState,
    PutPackage,
    RefusedPackage,
)
from actors.strategies.sandbox import wire
from actors.strategies.sources.builtin import catalogue_packages
from actors.strategies.sources.external import Compiled, ExternalReader, ExternalSource
from actors.strategies.sources.folder import NOTHING, SeenFolder, look
from actors.strategies.sources.own import OwnStrategies, read_newest, read_version, read_versions
from protocols.control import Message, Probe, ProbeReport, Refused, Request, Unknown
from protocols.paths import QUERIES
from protocols.storage import PAGE
from runtime import Actor, Mailbox, receive

LOOK_TIMEOUT_S: Final = 10.0
COMPILE_S: Final = 5.0
CHECK_S: Final = 10.0
"""How long the check of a source text may take, a wait for a free process included."""
FIRST_S: Final = 3.0
"""How long a question for an unknown strategy waits for sources that have not been read yet."""
AGAIN_S: Final = 2.0


class OwnRead(Message, frozen=True, gc=False, tag="own_strategies_read"):
    """The newest versions are read back; None: they cannot be read. `missing`: what the database has not got."""

    rows: tuple[StrategyVersionRow, ...] | None
    missing: str


class FolderSeen(Message, frozen=True, gc=False, tag="strategy_folder_seen"):
    """What a look at the folder has found."""

    seen: SeenFolder


class ExternalRead(Message, frozen=True, gc=False, kw_only=True, tag="external_strategies_read"):
    """A database has answered, or it has not (`away`: why). `package` None: it has none of the id that was `asked`."""

    source: ExternalSource
    asked: str = ""
    package: Package | None = None
    away: str = ""


class StoreVersion(Request[StrategyStored], frozen=True, gc=False, kw_only=True, tag="store_strategy_version"):
    """Stores a version, now that its code is checked. `strategy_id` empty: a new strategy; `state` None: as it is."""

    strategy_id: str
    change: Change
    fields: VersionFields
    state: PackageState | None = None
    expected_version: int = 0
    restored_from: int = 0
    warnings: tuple[wire.Problem, ...] = ()
    check_missing: str = ""


class Library(Actor):
    """Finds, lists and keeps strategies. `external`: the databases that there are (`ai_ml`, `no_code`).

    `look_s`: how often the folder is looked at. `patience_s`: after so long, rows that the database does not have will
    not come any more.
    """

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=4096)
    later_capacity: ClassVar[int] = 256

    def __init__(
        self,
        folder: str = "",
        external: Iterable[ExternalSource] = (),
        cache_s: float = 300.0,
        cache_entries: int = 100,
        look_s: float = 0.5,
        patience_s: float = 30.0,
    ) -> None:
        self.folder = folder
        self.external = tuple(external)
        self.look_s = look_s
        self.patience_s = patience_s
        self.own = OwnStrategies()
        self.seen: SeenFolder = NOTHING
        self.cache = PackageCache(cache_s, cache_entries)
        self.memory: dict[str, dict[str, Package]] = {"catalogue": {}, "folder": {}, "workflow": {}}
        self.away: dict[str, str] = {}
        self.missing = ""

    def on_start(self) -> None:
        """Begin to read what survives elsewhere."""
        self.memory["catalogue"] = catalogue_packages()
        self.own_read = trio.Event()
        self.own_tried = trio.Event()
        self.folder_read = trio.Event()
        self.readers = {
            source: ExternalReader(source, self.lookup(external_path(source)), self._compile)
            for source in self.external
        }
        metrics = self.node.metrics
        self.hits = metrics.counter("troupe_library_cache_hits", "Strategies that were kept", ("source",))
        self.misses = metrics.counter("troupe_library_cache_misses", "Strategies that were read", ("source",))
        self.spawn(self._read_own, name="own")
        if self.folder:
            self.spawn(self._watch_folder, name="folder")
        else:
            self.folder_read.set()
        self.publish(LibraryStarted())

    # What is read in the background.

    async def _read_own(self) -> None:
        while True:
            try:
                rows, missing = await read_newest(self.lookup(QUERIES), self.log.last_seq(VERSIONS), self.patience_s)
            except Refused as refused:
                # Somebody may still upgrade the schema.
                await self.ref.send(OwnRead(None, f"the versions cannot be read: {refused.message}"))
                await trio.sleep(AGAIN_S)
            else:
                await self.ref.send(OwnRead(rows, missing))
                return

    @receive
    def own_strategies_read(self, message: OwnRead) -> None:
        """From now on, versions can be stored."""
        if message.missing and message.missing != self.missing:
            self.logger.error("versions of strategies are missing", why=message.missing)
        self.missing = message.missing
        if message.rows is not None:
            for row in message.rows:
                self.own.add(row)
            self.own_read.set()
        self.own_tried.set()

    async def _watch_folder(self) -> None:
        seen, first = NOTHING, True
        while True:
            try:
                found = await self.offload(look, self.folder, seen, timeout=LOOK_TIMEOUT_S)
            except trio.TooSlowError:
                found = seen._replace(problem="the folder does not answer")
            if found != seen or first:
                await self.ref.send(FolderSeen(found))
            seen, first = found, False
            await trio.sleep(self.look_s)

    @receive
    def folder_seen(self, message: FolderSeen) -> None:
        """Take the files that are new, and tell what has changed."""
        seen = message.seen
        before, now = self.memory["folder"], seen.packages()
        self.memory["folder"] = now
        for name, why in sorted(set(seen.refusals()) - set(self.seen.refusals())):
            self.logger.warning("a file is not taken", file=name, why=why)
        self.seen = seen
        for strategy_id in before.keys() - now.keys():
            self.publish(PackageChanged(strategy_id, "folder", before[strategy_id].version, True))
        for strategy_id, package in now.items():
            if strategy_id not in before or before[strategy_id].version != package.version:
                self.publish(PackageChanged(strategy_id, "folder", package.version))
        if seen.settled:
            self.folder_read.set()

    @receive
    def external_read(self, message: ExternalRead) -> None:
        """Keep what a database has answered."""
        source = message.source
        if message.away:
            if source not in self.away:
                self.logger.warning("the database of a source is away", source=source, why=message.away)
            self.away[source] = message.away
            return
        self.away.pop(source, None)
        if not message.asked:
            return
        package = message.package
        known = self.cache.keep(source, message.asked, package, self.clock.monotonic())
        if known is not None and (package is None or known.version != package.version):
            version = known.version if package is None else package.version
            self.publish(PackageChanged(known.strategy_id, source, version, package is None))

    @receive
    def put(self, request: PutPackage) -> PackagePut:
        """Take a compiled workflow, or take it out."""
        package = request.package
        if package.source != "workflow" or package.trusted:
            raise Refused("invalid", "what is put here is a workflow's code", "source")
        if len(package.code.encode()) > MOST_CODE:
            raise Refused("invalid", f"expected at most {MOST_CODE} bytes", "code")
        workflows = self.memory["workflow"]
        known = workflows.get(package.strategy_id)
        if request.removed:
            workflows.pop(package.strategy_id, None)
            changed = known is not None
        else:
            workflows[package.strategy_id] = package
            changed = known != package
        if changed:
            self.publish(PackageChanged(package.strategy_id, "workflow", package.version, request.removed))
        return PackagePut(package.strategy_id, package.version, changed)

    # Finding.

    @receive
    def get(self, request: GetPackage) -> Package | None:
        """Answer with a package."""
        if request.source == "import":
            raise Refused("not_found", "what is named by an import path is not in the library", "source")
        found = self._in_memory(request)
        if found and not request.version and (request.source or not self.external):
            return self._only(request, found)
        self.answer_later(self._get, request)
        return None

    async def _get(self, request: GetPackage) -> Package:
        if request.source in ("", "own", "folder") and not self._in_memory(request):
            await self._first_reading(request.source)
        found = self._in_memory(request)
        away = []
        for source in self.external:
            if request.source in ("", source):
                try:
                    package = await self._read(source, request.strategy_id)
                    # A name of another kind (a project's number, a workflow's UUID) only where it is clear whose it is.
                    if request.source or package.strategy_id == request.strategy_id:
                        found.append(package)
                except Refused as refused:
                    if refused.code == "unavailable":
                        away.append(refused)
                    elif refused.code != "not_found" and not found:
                        raise
        if not found:
            if not self.own_read.is_set() and request.source in ("", "own"):
                away.append(Refused("unavailable", "the versions of strategies are not read back yet"))
            raise away[0] if away else self._nowhere(request)
        if away and all(package.source in self.external for package in found):
            message = f"{away[0].message}; it may have a strategy of this id, too: say which source is meant"
            raise Refused("unavailable", message, "source")
        package = self._only(request, found)
        if not request.version or request.version == package.version:
            return package
        if package.source == "own" and request.version.isascii() and request.version.isdecimal():
            newest = self.own.get(package.strategy_id)
            return (await read_version(self.lookup(QUERIES), newest, int(request.version[:18]))).package()
        message = f"{package.strategy_id} has version {package.version}, not {request.version[:100]!r}"
        raise Refused("not_found", message, "version")

    def _in_memory(self, request: GetPackage) -> list[Package]:
        strategy_id = request.strategy_id
        found = [
            packages[strategy_id]
            for source, packages in self.memory.items()
            if request.source in ("", source) and strategy_id in packages
        ]
        if request.source in ("", "own") and (row := self.own.newest.get(strategy_id)):
            found.append(row.package())
        return found

    def _only(self, request: GetPackage, found: list[Package]) -> Package:
        if len(found) > 1:
            found = [package for package in found if package.state != "archived"] or found
        if len(found) > 1:
            sources = ", ".join(sorted(package.source for package in found))
            message = f"several sources have a strategy {request.strategy_id!r}: {sources}; say which"
            raise Refused("ambiguous", message, "source")
        return found[0]

    def _nowhere(self, request: GetPackage) -> Refused:
        if request.source in ("ai_ml", "no_code") and request.source not in self.external:
            return Refused("not_found", f"no database of {request.source} is configured", "source")
        place = f"in {request.source[:100]}" if request.source else "in any source"
        return Refused("not_found", f"there is no strategy {request.strategy_id[:100]!r} {place}", "strategy_id")

    async def _first_reading(self, source: str) -> None:
        with trio.move_on_after(FIRST_S):
            if source in ("", "folder"):
                await self.folder_read.wait()
            if source in ("", "own"):
                await self.own_tried.wait()

    async def _read(self, source: ExternalSource, strategy_id: str) -> Package:
        fresh, known = self.cache.get(source, strategy_id, self.clock.monotonic())
        if fresh and known is not None:
            self.hits.labels(source).inc()
            return known
        self.misses.labels(source).inc()
        try:
            package = await self.readers[source].get(strategy_id)
        except Refused as refused:
            if refused.code == "unavailable":
                self.ref.tell(ExternalRead(source=source, away=refused.message))
                if known is not None:
                    return known
            elif refused.code == "not_found":
                self.ref.tell(ExternalRead(source=source, asked=strategy_id))
            raise
        self.ref.tell(ExternalRead(source=source, asked=strategy_id, package=package))
        return package

    async def _compile(self, workflow: bytes, name: str) -> Compiled:
        try:
            return await self.offload(_compiled, workflow, name, timeout=COMPILE_S)
        except trio.TooSlowError:
            raise ValueError(f"it is not compiled within {COMPILE_S:g} s") from None
        except ValueError:
            raise
        except Exception as error:
            # A row of somebody else's database is no reason for the library to end.
            self.logger.exception("a workflow brings the compiler down", name=name)
            raise ValueError(f"the compiler fails: {type(error).__name__}") from error

    # Listing.

    @receive
    def list_packages(self, request: ListPackages) -> PackageList | None:
        """Answer with a page of packages of one or all sources."""
        check_question(request)
        if self._meant(request) or not (self.own_tried.is_set() and self.folder_read.is_set()):
            self.answer_later(self._list, request)
            return None
        return self._page(request, [], {})

    async def _list(self, request: ListPackages) -> PackageList:
        parts: list[Part] = []
        away: dict[str, str] = {}
        alone = bool(request.source)
        await self._first_reading(request.source)
        for source in self._meant(request):
            try:
                first, offset = (request.limit, request.offset) if alone else (request.offset + request.limit, 0)
                parts.append(await self.readers[source].page(request, first, offset))
            except Refused as refused:
                away[source] = refused.message
                self.ref.tell(ExternalRead(source=source, away=refused.message))
            else:
                self.ref.tell(ExternalRead(source=source))
        return self._page(request, parts, away)

    def _meant(self, request: ListPackages) -> list[ExternalSource]:
        return [source for source in self.external if request.source in ("", source)]

    def _page(self, request: ListPackages, parts: list[Part], away: dict[str, str]) -> PackageList:
        known = [summary(package) for packages in self.memory.values() for package in packages.values()]
        known += [summary(row.package()) for row in self.own.newest.values()]
        here = ordered(each for each in known if meant(each, request))
        offset = 0 if request.source in self.external else request.offset
        packages, total = merged([Part(tuple(here), len(here)), *parts], request.limit, offset)
        if self.missing or not self.own_read.is_set():
            away["own"] = self.missing or "the versions are not read back yet"
        if self.seen.problem:
            away["folder"] = self.seen.problem
        refused = [RefusedPackage("folder", name, why) for name, why in self.seen.refusals()]
        return PackageList(
            packages,
            total,
            tuple(sorted((source, why) for source, why in away.items() if request.source in ("", source))),
            tuple(refused) if request.source in ("", "folder") else (),
        )

    # Writing.

    @receive
    def create(self, request: CreateStrategy) -> None:
        """Check a new strategy, and store it."""
        state = checked_state(request.state)
        fields = checked_fields(
            VersionFields(
                name=request.name,
                code=request.code,
                description=request.description,
                parameters=request.parameters,
                tags=request.tags,
                symbols=request.symbols,
                timeframes=request.timeframes,
                author=request.author,
            )
        )
        self.answer_later(self._create, fields, state)

    async def _create(self, fields: VersionFields, state: Any) -> StrategyStored:
        await self._own_is_read()
        warnings, missing = await self._check(fields.code or "", fields.parameters)
        return await self.ref.ask(
            StoreVersion(
                strategy_id="",
                change="created",
                fields=fields,
                state=state or ("draft" if missing else "active"),
                warnings=warnings,
                check_missing=missing,
            )
        )

    @receive
    def update(self, request: UpdateStrategy) -> None:
        """Check a new version, and store it."""
        state = checked_state(request.state)
        names = VersionFields.__struct_fields__
        fields = VersionFields(**{name: getattr(request, name, None) for name in names})
        self.answer_later(self._update, request, checked_fields(fields), state)

    async def _update(self, request: UpdateStrategy, fields: VersionFields, state: Any) -> StrategyStored:
        await self._own_is_read()
        known = self.own.get(request.strategy_id)
        warnings: tuple[wire.Problem, ...] = ()
        missing = ""
        if fields.code is not None or fields.parameters is not None:
            parameters = known.parameters if fields.parameters is None else fields.parameters
            warnings, missing = await self._check(known.code if fields.code is None else fields.code, parameters)
        return await self.ref.ask(
            StoreVersion(
                strategy_id=request.strategy_id,
                change="updated",
                fields=fields,
                state=state or None,
                expected_version=request.expected_version,
                warnings=warnings,
                check_missing=missing,
            )
        )

    @receive
    def restore(self, request: RestoreVersion) -> None:
        """Store an older version once more."""
        self.answer_later(self._restore, request)

    async def _restore(self, request: RestoreVersion) -> StrategyStored:
        await self._own_is_read()
        old = await read_version(self.lookup(QUERIES), self.own.get(request.strategy_id), request.version)
        return await self.ref.ask(
            StoreVersion(
                strategy_id=request.strategy_id,
                change="restored",
                fields=VersionFields(**fields_of(old)),
                state="active" if old.state == "archived" else old.state,
                restored_from=old.version,
            )
        )

    @receive
    def archive(self, request: ArchiveStrategy) -> None:
        """Archive a strategy."""
        self.answer_later(self._archive, request)

    async def _archive(self, request: ArchiveStrategy) -> StrategyStored:
        await self._own_is_read()
        package = await self._get(GetPackage(request.strategy_id, request.source))
        if package.source != "own":
            raise Refused("not_own", NOT_OWN[package.source], "source")
        return await self.ref.ask(
            StoreVersion(strategy_id=package.strategy_id, change="archived", fields=VersionFields(), state="archived")
        )

    @receive
    def store(self, request: StoreVersion) -> StrategyStored:
        """Store a version: one synchronous step."""
        now = self.clock.now()
        seq = max(self.own.last_seq, self.log.last_seq(VERSIONS)) + 1
        fields = request.fields.given()
        if request.change == "created":
            row = self.own.created(seq, now, request.state or "draft", fields)
        else:
            known = self.own.get(request.strategy_id)
            if known.state == "archived":
                if request.change == "archived":
                    return StrategyStored(
                        strategy_id=known.strategy_id, version=known.version, state="archived", ts=known.ts
                    )
                if request.change == "updated":
                    raise Refused("conflict", f"{known.strategy_id} is archived: restore a version first")
            if request.expected_version not in (0, known.version):
                message = f"it has version {known.version}, not {request.expected_version}"
                raise Refused("conflict", message, "expected_version")
            row = self.own.changed(
                seq, now, known.strategy_id, request.change, request.state or known.state, fields,
                request.restored_from,
            )  # fmt: skip
        self.log.append(row)
        self.own.add(row)
        self.publish(PackageChanged(row.strategy_id, "own", str(row.version), row.state == "archived"))
        return StrategyStored(
            strategy_id=row.strategy_id,
            version=row.version,
            state=row.state,
            ts=now,
            warnings=request.warnings,
            check_missing=request.check_missing,
        )

    async def _own_is_read(self) -> None:
        await self._first_reading("own")
        if not self.own_read.is_set():
            raise Refused("unavailable", "the versions of strategies are not read back yet")

    async def _check(self, code: str, parameters: msgspec.Raw | None) -> tuple[tuple[wire.Problem, ...], str]:
        """Warnings, and why there was no check. Raises Refused `invalid` with all problems."""
        try:
            checked: CodeChecked = await self.lookup(SANDBOX).ask(CheckCode(code), CHECK_S)
        except Refused as refused:
            nobody = refused.code in ("not_found", "stopped")
            why = "no sandbox runs on this node" if nobody else refused.message
            return (), f"the code was not checked: {why}"
        except Unknown:
            return (), f"the code was not checked: no answer of the sandbox within {CHECK_S:g} s"
        problems, warnings = split_problems(checked.problems)
        if problems:
            raise Refused("invalid", told(problems), "code")
        return (*warnings, *undeclared(parameters or msgspec.Raw(b"{}"), checked.parameters)), ""

    # Versions.

    @receive
    def versions(self, request: ListVersions) -> None:
        """Answer with the versions of a strategy."""
        if not 1 <= request.limit <= PAGE:
            raise Refused("invalid", f"expected 1 to {PAGE}, got {request.limit}", "limit")
        if not 0 <= request.offset < 1 << 62:
            raise Refused("invalid", f"expected 0 or more, got {request.offset}", "offset")
        self.answer_later(self._versions, request)

    async def _versions(self, request: ListVersions) -> VersionList:
        await self._own_is_read()
        return await read_versions(self.lookup(QUERIES), self.own.get(request.strategy_id), request)

    @receive
    def version(self, request: GetVersion) -> None:
        """Answer with one version."""
        self.answer_later(self._version, request)

    async def _version(self, request: GetVersion) -> StrategyVersionRow:
        await self._own_is_read()
        return await read_version(self.lookup(QUERIES), self.own.get(request.strategy_id), request.version)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Degraded while a source is away."""
        away = [f"{source}: {why}" for source, why in sorted(self.away.items())]
        if self.missing:
            away.append(f"own: {self.missing}")
        if self.seen.problem:
            away.append(f"folder: {self.seen.problem}")
        figures: list[tuple[str, str | int | float | bool | None]] = [
            (source, len(packages)) for source, packages in self.memory.items()
        ]
        figures += [
            ("own", len(self.own.newest) if self.own_read.is_set() else None),
            ("refused_files", len(self.seen.refusals())),
            ("cached", len(self.cache)),
        ]
        return ProbeReport("degraded" if away else "ok", "; ".join(away), figures=tuple(figures))


NOT_OWN: Final[dict[str, str]] = {
    "catalogue": "it comes with the runtime and cannot be deleted",
    "folder": "it is a file of the folder: delete the file",
    "workflow": "it is a compiled workflow: delete the workflow",
    "ai_ml": "it is in another service's database, which is only read here",
    "no_code": "it is in another service's database, which is only read here",
}


def _compiled(workflow: bytes, name: str) -> Compiled:
    # Not before there is a workflow to compile: it loads numpy.
    from actors.strategies.workflows.compiler import compile_workflow
    from actors.strategies.workflows.model import read_workflow

    compiled = compile_workflow(read_workflow(workflow), title=name)
    return Compiled(compiled.code, compiled.symbols, compiled.timeframes)
