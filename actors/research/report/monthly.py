"""Returns by calendar month, from the equity at the end of each UTC day."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from actors.research.metrics.sample import daily
from actors.research.results import Series

EPOCH_YEAR: Final = 1970
MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Year(msgspec.Struct, frozen=True):
    """Returns of twelve months, shares; None where there was no equity, or none that was positive before it."""

    year: int
    months: tuple[float | None, ...]
    total: float | None


def by_month(equity: Series) -> tuple[Year, ...]:
    """Years in order. The first month counts from the first sample, the last to the last: they may not be whole."""
    days, values = daily(equity.times(), equity.array())
    if days.size < 2:
        return ()
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    # The base stands before its month; what ends a month is the base of the next.
    ends = np.append(np.flatnonzero(np.diff(months[1:])), months.size - 2) + 1
    bases = np.concatenate(([0], ends[:-1]))
    returns: dict[int, float | None] = {}
    for end, base in zip(ends.tolist(), bases.tolist(), strict=True):
        known = values[base] > 0 and np.isfinite(values[end])
        returns[int(months[end])] = float(values[end] / values[base] - 1) if known else None
    found = []
    for year in range(min(returns) // 12, max(returns) // 12 + 1):
        cells = tuple(returns.get(year * 12 + month) for month in range(12))
        known_cells = [cell for cell in cells if cell is not None]
        total = float(np.prod([1 + cell for cell in known_cells]) - 1) if known_cells else None
        found.append(Year(EPOCH_YEAR + year, cells, total))
    return tuple(found)
