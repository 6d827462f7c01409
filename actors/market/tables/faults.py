"""What reading a table cannot keep or cannot understand."""

from __future__ import annotations

from collections import Counter
from typing import Final

CUT: Final = "truncated"
"""Digits past 10⁻⁹ (of volumes 10⁻¹²) were cut off."""
DROPPED: Final = "dropped"
"""A price is out of the range of int64 nanos: it is missing."""
CLAMPED: Final = "clamped"
"""A size is out of the range of int64 nanos: it is the largest there is."""
REPEATED_HOUR: Final = "repeated_hour"
"""A local time that the clocks showed twice; the earlier moment was taken."""

Faults = Counter[str]


class TableError(ValueError):
    """A table that cannot be read: `field`, what was expected, what came, and in which row (from 1) if in one."""

    def __init__(self, field: str, message: str, row: int | None = None) -> None:
        super().__init__(f"{field}: {message}" + ("" if row is None else f", in row {row}"))
        self.field = field
        self.message = message
        self.row = row
