"""Packages: a strategy's code with its name and version, and what is asked of the library that holds them.

The library (`/library`) knows strategies of several sources: those that come with the runtime (`catalogue`), those
made over HTTP (`own`), files of a folder (`folder`), workflows (`workflow`), and two databases (`ai_ml`, `no_code`).
A strategy is named by its id; where an id is ambiguous, by id and source.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from actors.strategies.sandbox import wire
from protocols.control import Message, Request

LIBRARY: Final = "/library"
SANDBOX: Final = "/sandbox"
"""The path of the actor that keeps the sandbox."""
MOST_CODE: Final = 64 * 1024
"""Bytes of a strategy's source text."""

Source = Literal["catalogue", "own", "folder", "workflow", "ai_ml", "no_code", "import"]
PackageState = Literal["draft", "active", "archived"]


class Package(Message, frozen=True, gc=False, kw_only=True, tag="strategy_package"):
    """One version of a strategy. Times in ns, 0: not known.

    `code` is the source text of a sandboxed strategy; of a trusted one (`catalogue`, `import`) it is empty and `path`
    is `package.module:Class`.
    """

    strategy_id: str
    source: Source
    name: str
    version: str
    """Rises with each change; where there is no number, the first 12 hex digits of the text's SHA-256."""
    description: str = ""
    code: str = ""
    path: str = ""
    main_file: str = "strategy.py"
    state: PackageState = "active"
    parameters: msgspec.Raw = msgspec.Raw(b"{}")
    """A JSON object: values that stand for this package, between the code's defaults and the run's own."""
    symbols: tuple[str, ...] = ()
    timeframes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    author: str = ""
    ts_created: int = 0
    ts_updated: int = 0

    @property
    def trusted(self) -> bool:
        """Whether it runs inside the node."""
        return bool(self.path)


class GetPackage(Request[Package], frozen=True, gc=False, tag="get_package"):
    """Asks for a package, by default its newest version.

    Refused `not_found`, `ambiguous` (several sources have the id: give one), `unavailable` (its database is away).
    """

    strategy_id: str
    source: str = ""
    version: str = ""


class PackageSummary(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A package without its code."""

    strategy_id: str
    source: Source
    name: str
    version: str
    description: str = ""
    state: PackageState = "active"
    tags: tuple[str, ...] = ()
    author: str = ""
    ts_created: int = 0
    ts_updated: int = 0


class RefusedPackage(msgspec.Struct, frozen=True, gc=False):
    """What a source holds and the library does not take: a file's name, and why."""

    source: Source
    name: str
    reason: str


class PackageList(Message, frozen=True, gc=False, tag="package_list"):
    """A page of packages, by name; `total` of all that the question means.

    `away`: sources that did not answer (name, why); `total` is without them.
    """

    packages: tuple[PackageSummary, ...]
    total: int
    away: tuple[tuple[str, str], ...] = ()
    refused: tuple[RefusedPackage, ...] = ()


class ListPackages(Request[PackageList], frozen=True, gc=False, tag="list_packages"):
    """Asks for packages, at most 500 (`limit`), ordered by name. `source` empty: of all.

    `search` is looked for in id, name and description, in any case. `state`: one of them, `all`, or empty: all that
    are not archived. Refused `invalid`.
    """

    source: str = ""
    search: str = ""
    state: str = ""
    limit: int = 50
    offset: int = 0


class PackageChanged(Message, frozen=True, gc=False, tag="package_changed"):
    """Topic: a strategy has a new version (`removed`: it is gone). Whoever runs it may take the new one."""

    strategy_id: str
    source: Source
    version: str
    removed: bool = False

    def topic_key(self) -> str:
        """The strategy's id."""
        return self.strategy_id


class PackagePut(Message, frozen=True, gc=False, tag="package_put"):
    """The package is in the library. `changed`: it is another one than before."""

    strategy_id: str
    version: str
    changed: bool


class PutPackage(Request[PackagePut], frozen=True, gc=False, tag="put_package"):
    """Puts a compiled workflow into the library, in place of an earlier one with its id; `removed`: takes it out.

    The library keeps it for one life only: who puts packages puts them again at `LibraryStarted`. Refused `invalid`:
    its source is not `workflow`, or it is too large.
    """

    package: Package
    removed: bool = False


class LibraryStarted(Message, frozen=True, gc=False, tag="library_started"):
    """Topic: the library begins a life, and holds no workflows yet."""


class CodeChecked(Message, frozen=True, gc=False, tag="code_checked"):
    """What the sandbox found in a source text. `contract` and `parameters` are empty where there are problems.

    Problems whose `rule` begins with `unused` or `undeclared` are warnings; any other means that it does not run.
    """

    problems: tuple[wire.Problem, ...]
    parameters: tuple[wire.ParameterInfo, ...] = ()
    contract: str = ""


class CheckCode(Request[CodeChecked], frozen=True, gc=False, tag="check_code"):
    """Asks the sandbox (`SANDBOX`) to check a source text, and to load it, in a locked process."""

    code: str
    filename: str = "strategy.py"
