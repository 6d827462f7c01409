"""What can be told of a file of market data, where it is not found by itself. Loads no columnar library."""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec

from actors.market.tables.schema import Kind

TimeForm = Literal["iso", "dmy", "mdy", "compact", "s", "ms", "us", "ns"]
FORMS: Final[tuple[TimeForm, ...]] = get_args(TimeForm)


class ReadOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is told of a file, where it is not found by itself."""

    kind: Kind | None = None
    market: str = ""
    """Its only market's name, or the one of several that is wanted."""
    interval: str = ""
    """Of bars: 1m, 1h, 1d. Empty: as most steps tell."""
    zone: str = "UTC"
    """Of times that name none: UTC, America/New_York."""
    mapping: dict[str, str] = {}
    """Our name of a column (`time`, `open`, `bid_size` ...) and the file's."""
    columns: tuple[str, ...] = ()
    """The names of a CSV's columns, where its first line is data."""
    time_form: str = ""
    """iso, dmy, mdy, compact, s, ms, us or ns, where the times can be read in several ways."""
    decimal: str = "."
    """What parts digits: a point or a comma."""
    named_by: str = "start"
    """Whether the time of a bar is its start or its end."""

    def __post_init__(self) -> None:
        for field, choices in (
            ("time_form", ("", *FORMS)),
            ("decimal", (".", ",")),
            ("named_by", ("start", "end")),
        ):
            if getattr(self, field) not in choices:
                raise ValueError(f"{field}: expected one of {choices}, got {getattr(self, field)!r}")
