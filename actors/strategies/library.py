"""The library: the one place where strategies are found, whatever source they are from.

Strategies that are written over HTTP are its own: every change is a row, accepted when the node's log has it, and
`PackageChanged` says so to whoever runs the strategy. Files of a folder are looked at twice a second. Workflows are put
here by who compiles them. Two databases of other services are asked when somebody asks; what they answered is kept for
a while, and stands in for them when they are away.

No code is looked at in the node: the sandbox checks it, in a locked process.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import ClassVar, Final, TypeVar

import trio

from actors.strategies.library_cache import PackageCache
from actors.strategies.library_listing import Part, check_question, meant, merged, ordered, possible, summary
from actors.strategies.library_settings import external_path
from actors.strategies.library_writing import NOT_READ, StrategyWriting
from actors.strategies.package import (
    MOST_CODE,
    GetPackage,
    LibraryStarted,
    ListPackages,
    Package,
    PackageChanged,
    PackageList,
    PackagePut,
    PutPackage,
    RefusedPackage,
)
from actors.strategies.sources.builtin import catalogue_packages
from actors.strategies.sources.external import Compiled, ExternalReader, ExternalSource
from actors.strategies.sources.folder import NOTHING, SeenFolder, look
from actors.strategies.sources.own import read_version
from protocols.control import Message, Probe, ProbeReport, Refused
from protocols.paths import QUERIES
from runtime import Mailbox, receive

T = TypeVar("T")

LOOK_TIMEOUT_S: Final = 10.0
COMPILE_S: Final = 5.0


class FolderSeen(Message, frozen=True, gc=False, tag="strategy_folder_seen"):
    """What a look at the folder has found."""

    seen: SeenFolder


class ExternalRead(Message, frozen=True, gc=False, kw_only=True, tag="external_strategies_read"):
    """A database has answered, or it has not (`away`: why). `package` None: it has none of the id that was `asked`."""

    source: ExternalSource
    asked: str = ""
    package: Package | None = None
    away: str = ""


class Library(StrategyWriting):
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
        super().__init__(patience_s)
        self.folder = folder
        self.external = tuple(external)
        self.look_s = look_s
        self.seen: SeenFolder = NOTHING
        self.cache = PackageCache(cache_s, cache_entries)
        self.memory: dict[str, dict[str, Package]] = {"catalogue": {}, "folder": {}, "workflow": {}}
        self.away: dict[str, str] = {}

    def on_start(self) -> None:
        """Begin to read what survives elsewhere."""
        super().on_start()
        self.memory["catalogue"] = catalogue_packages()
        self.folder_read = trio.Event()
        self.readers = {
            source: ExternalReader(source, self.lookup(external_path(source)), self._compile)
            for source in self.external
        }
        metrics = self.node.metrics
        self.hits = metrics.counter("troupe_library_cache_hits", "Strategies that were kept", ("source",))
        self.misses = metrics.counter("troupe_library_cache_misses", "Strategies that were read", ("source",))
        if self.folder:
            self.spawn(self._watch_folder, name="folder")
        else:
            self.folder_read.set()
        self.publish(LibraryStarted())

    # What is read in the background.

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
        if not possible(request.strategy_id):
            raise self._nowhere(request)
        found = self._in_memory(request)
        if found and not request.version and (request.source or not self.external):
            return self._only(request, found)
        self.answer_later(self.find, request)
        return None

    async def find(self, request: GetPackage) -> Package:
        """A package of any source, or of one. Raises Refused as `GetPackage` has it."""
        if request.source in ("", "own", "folder") and not self._in_memory(request):
            await self._first_reading(request.source)
        found = self._in_memory(request)
        away = []
        answers = await _together(self._meant(request.source), lambda source: self._read(source, request.strategy_id))
        for answer in answers.values():
            if isinstance(answer, Package):
                # A name of another kind (a project's number, a workflow's UUID) only where it is clear whose it is.
                if request.source or answer.strategy_id == request.strategy_id:
                    found.append(answer)
            elif answer.code == "unavailable":
                away.append(answer)
            elif answer.code != "not_found" and not found:
                raise answer
        if not found and request.source in ("", "own"):
            await self._own_is_read()
            found = self._in_memory(request)
        if not found:
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
        if self._meant(request.source) or not (self.own_tried.is_set() and self.folder_read.is_set()):
            self.answer_later(self._list, request)
            return None
        return self._page(request, [], {})

    async def _list(self, request: ListPackages) -> PackageList:
        await self._first_reading(request.source)
        first, offset = (request.limit, request.offset) if request.source else (request.offset + request.limit, 0)
        answers = await _together(
            self._meant(request.source), lambda source: self.readers[source].page(request, first, offset)
        )
        away: dict[str, str] = {
            source: answer.message for source, answer in answers.items() if isinstance(answer, Refused)
        }
        for source in answers:
            self.ref.tell(ExternalRead(source=source, away=away.get(source, "")))
        return self._page(request, [answer for answer in answers.values() if isinstance(answer, Part)], away)

    def _meant(self, source: str) -> list[ExternalSource]:
        return [each for each in self.external if source in ("", each)]

    def _page(self, request: ListPackages, parts: list[Part], away: dict[str, str]) -> PackageList:
        known = [summary(package) for packages in self.memory.values() for package in packages.values()]
        known += self.own.summaries.values()
        here = ordered(each for each in known if meant(each, request))
        offset = 0 if request.source in self.external else request.offset
        packages, total = merged([Part(tuple(here), len(here)), *parts], request.limit, offset)
        if self.missing or not self.own_read.is_set():
            away["own"] = self.missing or NOT_READ
        if self.seen.problem:
            away["folder"] = self.seen.problem
        refused = [RefusedPackage("folder", name, why) for name, why in self.seen.refusals()]
        return PackageList(
            packages,
            total,
            tuple(sorted((source, why) for source, why in away.items() if request.source in ("", source))),
            tuple(refused) if request.source in ("", "folder") else (),
        )

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Degraded while a source is away; ready once what is to be read at the start was, or has taken long."""
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
        ready = self.own_tried.is_set() and self.folder_read.is_set()
        return ProbeReport("degraded" if away else "ok", "; ".join(away), ready, tuple(figures))


async def _together(
    sources: Iterable[ExternalSource], ask: Callable[[ExternalSource], Awaitable[T]]
) -> dict[ExternalSource, T | Refused]:
    """What each database answers, all asked at once: one that is slow is no reason to wait twice."""
    answers: dict[ExternalSource, T | Refused] = {}

    async def answer(source: ExternalSource) -> None:
        try:
            answers[source] = await ask(source)
        except Refused as refused:
            answers[source] = refused

    async with trio.open_nursery() as nursery:
        for source in sources:
            nursery.start_soon(answer, source)
    return {source: answers[source] for source in sorted(answers)}


def _compiled(workflow: bytes, name: str) -> Compiled:
    # Not before there is a workflow to compile: it loads numpy.
    from actors.strategies.workflows.compiler import compile_workflow
    from actors.strategies.workflows.model import read_workflow

    compiled = compile_workflow(read_workflow(workflow), title=name)
    return Compiled(compiled.code, compiled.symbols, compiled.timeframes)
