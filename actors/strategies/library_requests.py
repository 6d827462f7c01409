"""What is asked of the library about the strategies that are written over HTTP, and the row that keeps them.

Every change of such a strategy is a version: created, updated, restored, archived. Versions are numbered from 1 and are
never changed or deleted; the newest one is the strategy.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import msgspec

from actors.strategies.package import Package, PackageState
from actors.strategies.sandbox import wire
from protocols.control import Message, Request, Row

VERSIONS: Final = "strategy_versions"
"""The stream of the rows."""

Change = Literal["created", "updated", "restored", "archived"]


class StrategyVersionRow(Row, frozen=True, gc=False, kw_only=True, tag="strategy_version"):
    """One version of a strategy. Times in ns; `restored_from` is 0 unless `change` is `restored`."""

    table: ClassVar[str] = "strategy_versions"
    sequenced: ClassVar[bool] = True

    stream: str = VERSIONS
    seq: int
    ts: int
    ts_created: int
    """When the strategy's first version was stored."""
    strategy_id: str
    version: int
    change: Change
    restored_from: int = 0
    state: PackageState
    name: str
    description: str = ""
    code: str
    main_file: str = "strategy.py"
    parameters: msgspec.Raw = msgspec.Raw(b"{}")
    tags: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    timeframes: tuple[str, ...] = ()
    author: str = ""

    def package(self) -> Package:
        """This version as a package."""
        return Package(
            strategy_id=self.strategy_id,
            source="own",
            name=self.name,
            version=str(self.version),
            description=self.description,
            code=self.code,
            main_file=self.main_file,
            state=self.state,
            parameters=self.parameters,
            symbols=self.symbols,
            timeframes=self.timeframes,
            tags=self.tags,
            author=self.author,
            ts_created=self.ts_created,
            ts_updated=self.ts,
        )


class StrategyStored(Message, frozen=True, gc=False, kw_only=True, tag="strategy_stored"):
    """A version is stored. `ts` in ns. `check_missing`: why the code was not checked; empty: it was."""

    strategy_id: str
    version: int
    state: PackageState
    ts: int
    warnings: tuple[wire.Problem, ...] = ()
    check_missing: str = ""


class CreateStrategy(Request[StrategyStored], frozen=True, gc=False, kw_only=True, tag="create_strategy"):
    """Stores a new strategy. `state` empty: `active` if its code was checked and found good, else `draft`.

    `parameters` is a JSON object. Refused `invalid` (with the field; `code`: the message holds every problem),
    `unavailable` (the versions are not read back yet), `too_many`.
    """

    name: str
    code: str
    description: str = ""
    parameters: msgspec.Raw = msgspec.Raw(b"{}")
    tags: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    timeframes: tuple[str, ...] = ()
    author: str = ""
    state: str = ""


class UpdateStrategy(Request[StrategyStored], frozen=True, gc=False, kw_only=True, tag="update_strategy"):
    """Stores a new version of a strategy; what is None stays as it is.

    `expected_version` (0: any) is the version that this change was made from. Refused as `CreateStrategy`, and with
    `not_found`, `conflict` (it has another version, or is archived: restore it first).
    """

    strategy_id: str
    name: str | None = None
    code: str | None = None
    description: str | None = None
    parameters: msgspec.Raw | None = None
    tags: tuple[str, ...] | None = None
    symbols: tuple[str, ...] | None = None
    timeframes: tuple[str, ...] | None = None
    author: str | None = None
    state: str = ""
    expected_version: int = 0


class RestoreVersion(Request[StrategyStored], frozen=True, gc=False, tag="restore_version"):
    """Stores an older version once more, as the newest one; an archived strategy is back then.

    Refused `not_found`, `unavailable` (the database is away).
    """

    strategy_id: str
    version: int


class ArchiveStrategy(Request[StrategyStored], frozen=True, gc=False, tag="archive_strategy"):
    """Archives a strategy; repeated, it answers the same. Its versions are kept.

    Refused `not_found`, and `not_own` for what the library only reads.
    """

    strategy_id: str
    source: str = ""


class VersionSummary(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A version without its code. `ts` in ns; `code_sha` is the first 12 hex digits of the text's SHA-256."""

    version: int
    change: Change
    restored_from: int
    state: PackageState
    name: str
    ts: int
    author: str
    code_bytes: int
    code_sha: str


class VersionList(Message, frozen=True, gc=False, tag="version_list"):
    """The versions of a strategy, the newest first; `total` of them there are."""

    strategy_id: str
    versions: tuple[VersionSummary, ...]
    total: int


class ListVersions(Request[VersionList], frozen=True, gc=False, tag="list_versions"):
    """Asks for the versions of a strategy, at most 500. Refused `not_found`, `unavailable` (the database is away)."""

    strategy_id: str
    limit: int = 50
    offset: int = 0


class GetVersion(Request[StrategyVersionRow], frozen=True, gc=False, tag="get_version"):
    """Asks for one version with its code. Refused `not_found`, `unavailable` (the database is away)."""

    strategy_id: str
    version: int


class VersionFields(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a version holds; None: as in the version before."""

    name: str | None = None
    code: str | None = None
    description: str | None = None
    main_file: str | None = None
    parameters: msgspec.Raw | None = None
    tags: tuple[str, ...] | None = None
    symbols: tuple[str, ...] | None = None
    timeframes: tuple[str, ...] | None = None
    author: str | None = None

    def given(self) -> dict[str, Any]:
        """The fields that are not None."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in values.items() if value is not None}


def fields_of(row: StrategyVersionRow) -> dict[str, Any]:
    """The fields of a row that a new version takes over unless it changes them."""
    return {name: getattr(row, name) for name in VersionFields.__struct_fields__}
