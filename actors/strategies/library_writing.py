"""Strategies that are written over HTTP, as the part of the library that keeps them.

A version is accepted when its row is in the node's log. What is stored waits for one thing only: the check of its code
in the sandbox. After a start the newest versions are read back from the database; until that is done nothing can be
written, and afterwards nothing depends on the database but to read older versions.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import trio

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
from actors.strategies.library_validation import checked_fields, checked_state, split_problems, told, undeclared
from actors.strategies.package import (
    SANDBOX,
    CheckCode,
    CodeChecked,
    GetPackage,
    Package,
    PackageChanged,
    PackageState,
)
from actors.strategies.sandbox import wire
from actors.strategies.sources.own import OwnStrategies, read_newest, read_version, read_versions
from protocols.control import Message, Refused, Request, Unknown
from protocols.paths import QUERIES
from protocols.storage import PAGE
from runtime import Actor, receive
from runtime.log import RowTooLarge

CHECK_S: Final = 10.0
"""How long the check of a source text may take, a wait for a free process included."""
FIRST_S: Final = 3.0
"""How long after its start the library lets questions wait for sources that have not been read yet."""
AGAIN_S: Final = 2.0
NOT_READ: Final = "the versions are not read back yet"


class OwnRead(Message, frozen=True, gc=False, tag="own_strategies_read"):
    """The newest versions are read back; None: they cannot be read. `missing`: what the database has not got."""

    rows: tuple[StrategyVersionRow, ...] | None
    missing: str


class FirstOver(Message, frozen=True, gc=False, tag="library_first_over"):
    """Whoever asks now does not wait any more for what has not been read yet."""


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


NOT_OWN: Final[dict[str, str]] = {
    "catalogue": "it comes with the runtime and cannot be deleted",
    "folder": "it is a file of the folder: delete the file",
    "workflow": "it is a compiled workflow: delete the workflow",
    "ai_ml": "it is in another service's database, which is only read here",
    "no_code": "it is in another service's database, which is only read here",
}


class StrategyWriting(Actor):
    """Stores, reads back and restores versions. `patience_s`: as in `Library`."""

    def __init__(self, patience_s: float) -> None:
        self.patience_s = patience_s
        self.own = OwnStrategies()
        self.missing = ""
        """What the database has not got of them."""

    def on_start(self) -> None:
        """Begin to read the versions back."""
        self.own_read = trio.Event()
        self.own_tried = trio.Event()
        self.spawn(self._read_own, name="own")
        self.after(FIRST_S, FirstOver())

    async def find(self, request: GetPackage) -> Package:
        """A package of any source. Raises Refused."""
        raise NotImplementedError

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

    @receive
    def first_over(self, message: FirstOver) -> None:
        """The database takes long: questions are answered with what there is."""
        self.own_tried.set()

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
        package = await self.find(GetPackage(request.strategy_id, request.source))
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
        try:
            self.log.append(row)
        except RowTooLarge as error:
            # Only where the log's segments are set to a few dozen KB.
            raise Refused("too_large", str(error)) from error
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
        if not self.missing:
            with trio.move_on_after(FIRST_S):
                await self.own_read.wait()
        if not self.own_read.is_set():
            raise Refused("unavailable", self.missing or NOT_READ)

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
