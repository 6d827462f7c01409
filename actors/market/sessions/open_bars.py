"""The venue's own bars, handed on once each, when they are closed.

Venues send the open bar again and again and do not say which word on it was the last one. A bar is closed when one of a
later interval comes, or when the venue's clock has passed its end by a grace.
"""

from __future__ import annotations

from typing import Final

from actors.market.session_core import SECOND
from protocols.market import Bar

# The last change of a bar is sent up to a second after its end, and is as late as any frame.
GRACE_NS: Final = 5 * SECOND


class OpenBars:
    """The newest bar of each market and interval."""

    def __init__(self) -> None:
        self._bars: dict[tuple[str, str], Bar] = {}
        # Where the newest one was handed on: its start. What still comes for it is too late.
        self._closed: dict[tuple[str, str], int] = {}

    def take(self, bar: Bar, *, past: bool = False) -> Bar | None:
        """Keep the newest word on a bar; returns the one that it closes.

        `past`: it is one of a series from before the subscription, which closes nothing that is new.
        """
        key = (bar.market, bar.interval)
        last = self._bars.get(key)
        if bar.start <= self._closed.get(key, -1) or (last is not None and bar.start < last.start):
            return None
        self._bars[key] = bar
        if last is None or past or bar.start == last.start:
            return None
        self._closed[key] = last.start
        return last

    def close(self, venue_time: int) -> list[Bar]:
        """Bars that ended a while before `venue_time` (nanoseconds)."""
        ended = [bar for bar in self._bars.values() if venue_time >= bar.end + GRACE_NS]
        for bar in ended:
            key = (bar.market, bar.interval)
            self._closed[key] = bar.start
            del self._bars[key]
        return ended

    def forget(self, markets: frozenset[str] | None = None) -> None:
        """Forget the bars of these markets, or all."""
        for known in (self._bars, self._closed):
            for key in [key for key in known if markets is None or key[0] in markets]:
                del known[key]
