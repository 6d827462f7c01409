"""A track: an unbroken piece of one market's past that episodes are played over. A core.

Bars are what features are made of. Where the best prices are known as well (`quotes`), orders meet those; else they
meet the bars, as in a backtest. Nothing of a track depends on what an agent does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from protocols.instruments import Instrument
from protocols.market import Bar, Quote
from protocols.nanos import NANO

Floats = NDArray[np.float64]
UNKNOWN: Final = -1
"""The regime of a bar of which nobody knows it."""
DAY: Final = 86_400 * NANO
LONG_WEEKEND: Final = 4 * DAY
"""Between two daily bars; more is a gap."""


class Track(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Bars of one market without a gap, the oldest first.

    `quotes`: by bar, the best prices in it as they changed, the last one at its end; empty: not known. `regimes`: by
    bar, the place in `REGIMES` of the one that was planted, or `UNKNOWN`. `settlement`: what the market pays behind
    the last bar, nanos a unit; None: it goes on. `marks`: see `protocols.market`.
    """

    name: str
    instrument: Instrument
    bars: tuple[Bar, ...]
    quotes: tuple[tuple[Quote, ...], ...] = ()
    regimes: tuple[int, ...] = ()
    settlement: int | None = None
    marks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.quotes and len(self.quotes) != len(self.bars):
            raise ValueError(f"quotes: expected those of {len(self.bars)} bars, got {len(self.quotes)}")
        if self.regimes and len(self.regimes) != len(self.bars):
            raise ValueError(f"regimes: expected those of {len(self.bars)} bars, got {len(self.regimes)}")

    def __len__(self) -> int:
        return len(self.bars)

    def regime(self, place: int) -> int:
        """The planted regime of a bar, or `UNKNOWN`."""
        return self.regimes[place] if self.regimes else UNKNOWN

    def until(self, stop: int) -> Track:
        """Its first `stop` bars; a settlement that comes later is not known yet."""
        return msgspec.structs.replace(
            self,
            bars=self.bars[:stop],
            quotes=self.quotes[:stop],
            regimes=self.regimes[:stop],
            settlement=self.settlement if stop >= len(self.bars) else None,
        )


def longest_step(interval: int) -> int:
    """How far apart the starts of two bars of this length (ns) may be without a gap between them.

    One bar may be missing where nothing was traded; daily bars may have a long weekend between them.
    """
    return max(interval * 2, LONG_WEEKEND) if interval >= DAY else interval * 2


def unbroken(bars: Sequence[Bar]) -> list[tuple[Bar, ...]]:
    """The bars in pieces between which nothing is known, so that no episode spans a gap. Bars in order of time."""
    pieces: list[list[Bar]] = []
    for bar in bars:
        if not pieces or bar.start - pieces[-1][-1].start > longest_step(bar.end - bar.start):
            pieces.append([])
        pieces[-1].append(bar)
    return [tuple(piece) for piece in pieces]
