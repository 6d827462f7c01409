"""Packages: a strategy's code with its name and version, and what is asked of the library that holds them.

The library (`/library`) knows strategies of several sources: those that come with the runtime (`catalogue`), those
made over HTTP (`own`), files of a folder (`folder`), workflows (`workflow`), and two databases (`ai_ml`, `no_code`).
A strategy is named by its id; where an id is ambiguous, by id and source.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.control import Message, Request

LIBRARY: Final = "/library"

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


class PackageList(Message, frozen=True, gc=False, tag="package_list"):
    """A page of packages, by name; `total` of all that the question means. `away`: sources that did not answer."""

    packages: tuple[PackageSummary, ...]
    total: int
    away: tuple[tuple[str, str], ...] = ()


class ListPackages(Request[PackageList], frozen=True, gc=False, tag="list_packages"):
    """Asks for packages. `source` empty: of all."""

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
