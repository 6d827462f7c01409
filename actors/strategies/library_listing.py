"""Pages of packages over several sources: what a question means, and the order in which packages are told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, get_args

import msgspec

from actors.strategies.package import ListPackages, Package, PackageState, PackageSummary, Source
from protocols.control import Refused
from protocols.storage import PAGE

SOURCES: Final = tuple(source for source in get_args(Source) if source != "import")
STATES: Final = get_args(PackageState)
MOST_OFFSET: Final = 100_000
MOST_SEARCH: Final = 200
MOST_ID: Final = 255

_SHARED: Final = tuple(PackageSummary.__struct_fields__)


def check_question(request: ListPackages) -> None:
    """Raises Refused `invalid`."""
    if request.source and request.source not in SOURCES:
        raise Refused("invalid", f"expected one of {', '.join(SOURCES)}, got {request.source[:100]!r}", "source")
    if request.state not in ("", "all", *STATES):
        raise Refused("invalid", f"expected one of {', '.join(STATES)}, all, got {request.state[:100]!r}", "state")
    if len(request.search) > MOST_SEARCH or not storable(request.search):
        raise Refused("invalid", f"expected at most {MOST_SEARCH} characters of text", "search")
    if not 1 <= request.limit <= PAGE:
        raise Refused("invalid", f"expected 1 to {PAGE}, got {request.limit}", "limit")
    if not 0 <= request.offset <= MOST_OFFSET:
        raise Refused("invalid", f"expected 0 to {MOST_OFFSET}, got {request.offset}", "offset")


def storable(text: str) -> bool:
    """Whether a text can be a value in a database: neither NUL nor half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def possible(strategy_id: str) -> bool:
    """Whether a text can be an id of any source."""
    return 0 < len(strategy_id) <= MOST_ID and storable(strategy_id)


def summary(package: Package) -> PackageSummary:
    """The package without its code."""
    return PackageSummary(**{name: getattr(package, name) for name in _SHARED})


def meant(package: Package | PackageSummary, request: ListPackages) -> bool:
    """Whether a question means this package."""
    if request.source and package.source != request.source:
        return False
    if request.state in ("", "all"):
        if not request.state and package.state == "archived":
            return False
    elif package.state != request.state:
        return False
    words = request.search.casefold()
    return not words or any(
        words in text.casefold() for text in (package.strategy_id, package.name, package.description)
    )


def ordered(packages: Iterable[PackageSummary]) -> list[PackageSummary]:
    """By name, then id, then source: code points, as PostgreSQL's collation "C" has them."""
    return sorted(packages, key=lambda each: (each.name, each.strategy_id, each.source))


class Part(msgspec.Struct, frozen=True):
    """The first packages of one source that a question means, in order, and how many there are in all."""

    packages: tuple[PackageSummary, ...]
    total: int


def merged(parts: Iterable[Part], limit: int, offset: int) -> tuple[tuple[PackageSummary, ...], int]:
    """One page of all parts together; each part holds its first `offset + limit`, or all that it has."""
    parts = tuple(parts)
    packages = ordered(package for part in parts for package in part.packages)
    return tuple(packages[offset : offset + limit]), sum(part.total for part in parts)
