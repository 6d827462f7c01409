"""What is doubtful in bars that somebody is about to rely on, in short; `troupe data validate` says all of it."""

from __future__ import annotations

from typing import Final

import numpy as np

from actors.market.bars_intervals import DAY, parse_interval
from actors.research.datasets.columns import NO_PRICE, PRICES, REPEATED
from actors.research.datasets.table import Table

LEFT_OUT: Final = {NO_PRICE: "without a price or a time, left out", REPEATED: "repeated exactly, used once"}


def doubts(table: Table) -> tuple[str, ...]:
    """A sentence per kind of doubt, each with its count; none for other kinds than bars."""
    if table.kind != "bars":
        return ()
    columns = table.columns
    low, high = columns["low"], columns["high"]
    inside = [(low <= columns[name]) & (columns[name] <= high) for name in ("open", "close")]
    order = np.lexsort((columns["start"], columns["market"]))
    market, start = columns["market"][order], columns["start"][order]
    length = parse_interval(table.interval).length
    # Bars of a day or longer follow the clocks of their market: some days have 23 hours.
    nearest = length if length < DAY else length // 2
    counts = {
        **{text: table.dropped.get(reason, 0) for reason, text in LEFT_OUT.items()},
        "with a price of zero or less": int(np.any([columns[name] <= 0 for name in PRICES], axis=0).sum()),
        "whose open or close is not between low and high": int((~(inside[0] & inside[1])).sum()),
        "with a volume below zero": int((columns["volume"] < 0).sum()),
        f"too near to the one before for {table.interval}": int(
            ((np.diff(start) < nearest) & (np.diff(market) == 0)).sum()
        ),
    }
    return tuple(f"{count} bars of {table.name} {text}" for text, count in counts.items() if count)
