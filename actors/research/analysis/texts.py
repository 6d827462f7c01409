"""Figures and tables as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from actors.strategies.bar_files import time_text
from protocols.nanos import decimal_text

UNKNOWN: Final = "unknown"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, most: int | None = None) -> str:
    """Columns, two spaces apart; of more than `most` rows the last ones, and how many were left out."""
    lines = [list(row) for row in rows]
    left = 0 if most is None else max(0, len(lines) - most)
    lines = [list(head), *lines[left:]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
    return text + (f"\n({left} earlier ones are left out)" if left else "")


def nanos_text(value: int | None) -> str:
    """A price, a size or money; "-" where there is none."""
    return "-" if value is None else decimal_text(value)


def number_text(value: float | None, digits: int = 2) -> str:
    """A figure; what is not known says so."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def share_text(value: float | None) -> str:
    """A share as per cent."""
    return UNKNOWN if value is None else f"{value:.1%}"


def span_text(ns: int | float | None) -> str:
    """A duration."""
    if ns is None:
        return UNKNOWN
    sign = "-" if ns < 0 else ""
    size = abs(ns)
    for unit, length in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if size >= length:
            return f"{sign}{size / length:.6g} {unit}"
    return f"{sign}{size:.0f} ns"


def moment_text(ts: int | None) -> str:
    """A time, UTC."""
    return "-" if ts is None else time_text(ts)
