"""Which column of a file is which: told by name, or found by the usual names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from actors.market.tables.faults import TableError
from actors.market.tables.schema import COLUMNS, KINDS, NAMES, REQUIRED, TIME_COLUMN, Kind
from actors.market.tables.sources import simple

_BOOK_SIDES = frozenset({"bid", "ask", "b", "a", "bids", "asks", "offer", "yes", "no"})
_TAKERS = frozenset({"buy", "sell", "yes", "no", "yestaker", "notaker", "buyer", "seller"})


class ColumnMap(NamedTuple):
    """The file's column of each of ours; `hour`: the time of day, where the date stands by itself."""

    kind: Kind
    columns: dict[str, str]
    hour: str = ""


def mapped(
    names: tuple[str, ...], kind: Kind | None, given: Mapping[str, str], sides: frozenset[str] = frozenset()
) -> ColumnMap:
    """The columns of a file by these names. `sides`: what its column `side` holds, to tell trades from l2.

    Raises TableError for what is missing, unknown or can be two things.
    """
    kind = kind or _kind_of(names, given, sides)
    known = {simple(name): name for name in reversed(names)}
    found: dict[str, str] = {}
    for field, name in given.items():
        if field not in COLUMNS[kind] and field != "time":
            raise TableError("mapping", f"expected one of {', '.join(COLUMNS[kind])} of {kind}, got {field!r}")
        if name not in names:
            raise TableError("mapping", f"expected a column of the file ({_shown(names)}), got {name!r}")
        found[TIME_COLUMN[kind] if field == "time" else field] = name
    taken = set(found.values())
    for field, usual in NAMES[kind].items():
        if field in found:
            continue
        for candidate in (simple(field), *usual):
            column = known.get(candidate)
            if column is not None and column not in taken:
                found[field] = column
                taken.add(column)
                break
    hour = ""
    time = TIME_COLUMN[kind]
    if time not in given and "time" not in given and "timestamp" not in known and {"date", "time"} <= set(known):
        found[time], hour = known["date"], known["time"]
    if kind != "bars" and time not in found and "ts_recv" not in found:
        raise TableError(time, f"expected a column of times, got: {_shown(names)}")
    for field in REQUIRED[kind]:
        if field not in found:
            what = "time" if field == "start" else field
            raise TableError(what, f"expected a first line that names the column {what}, got: {_shown(names)}")
    return ColumnMap(kind, found, hour)


def _kind_of(names: tuple[str, ...], given: Mapping[str, str], sides: frozenset[str]) -> Kind:
    known = {simple(name) for name in names}

    def has(kind: Kind, field: str) -> bool:
        return field in given or bool(known & {simple(field), *NAMES[kind][field]})

    possible: list[Kind] = [
        kind for kind in KINDS if all(has(kind, field) for field in REQUIRED[kind] if field != "start")
    ]
    if possible == ["trades", "l2"]:
        values = {simple(side) for side in sides} - {""}
        book, taker = bool(values) and values <= _BOOK_SIDES, bool(values) and values <= _TAKERS
        if book != taker:
            possible = ["l2"] if book else ["trades"]
        elif "trade" in " ".join(known) or "taker" in known:
            possible = ["trades"]
    if len(possible) == 1:
        return possible[0]
    if not possible:
        message = (
            "expected the columns of bars (open, high, low, close), quotes (bid, ask), trades (price, size) or l2 "
        )
        raise TableError("columns", f"{message}(side, price, size), got: {_shown(names)}")
    raise TableError(
        "kind", f"expected to be told which: {' or '.join(possible)}; got columns of each: {_shown(names)}"
    )


def _shown(names: tuple[str, ...]) -> str:
    return ", ".join(names)[:200] or "nothing"
