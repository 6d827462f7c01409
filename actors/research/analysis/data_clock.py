"""The time of the data beside the time of an account: a replay at ten times its pace has a wall's clock and old data.

A market message has both: when the account was given it, and when it was received at first (`ts_recv`). Between two
messages time goes on evenly.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from actors.execution.engine import Engine
from actors.execution.inputs import Numbered
from actors.research.analysis.market_track import Gap
from protocols.market import Bar, BookUpdate, Quote, Trade
from protocols.nanos import NANO
from protocols.orders import OrderEvent

FAR: Final = 3_600 * NANO
"""Clocks that are further apart than this are not one clock with an error."""


class DataClock:
    """Notes both times while a journal is replayed (`journal_replay.Observer`), and tells one from the other."""

    def __init__(self) -> None:
        self._own = array("q")
        self._data = array("q")

    def __call__(self, item: Numbered, engine: Engine) -> None:
        """Take note of an input."""
        message = item.item
        if isinstance(message, Quote | Trade | BookUpdate | Bar) and message.ts_recv > 0:
            self.add(item.ts, message.ts_recv)

    def add(self, own: int, data: int) -> None:
        """A message of this time reached the account at that one; neither clock goes back."""
        if self._own and own <= self._own[-1]:
            self._data[-1] = max(self._data[-1], data)
            return
        self._own.append(own)
        self._data.append(max(data, self._data[-1]) if self._data else data)

    @property
    def apart(self) -> bool:
        """Whether the data are of another time than the account."""
        if not self._own:
            return False
        middle = len(self._own) // 2
        return abs(self._own[middle] - self._data[middle]) > FAR

    def data(self, own: int) -> int:
        """The time of the data at a time of the account."""
        return _between(self._own, self._data, own)

    def events(self, events: Iterable[OrderEvent]) -> list[OrderEvent]:
        """The same events at the times of the data."""
        return [self._event(event) for event in events]

    def gaps(self, gaps: Iterable[Gap]) -> list[Gap]:
        """The same gaps at the times of the data."""
        return [
            Gap(gap.market, self.data(gap.start), None if gap.end is None else self.data(gap.end), gap.reason)
            for gap in gaps
        ]

    def _event(self, event: OrderEvent) -> OrderEvent:
        order = msgspec.structs.replace(
            event.order, ts_created=self.data(event.order.ts_created), ts_updated=self.data(event.order.ts_updated)
        )
        fill = event.fill
        if fill is not None:
            fill = msgspec.structs.replace(fill, ts=self.data(fill.ts), ts_event=self.data(fill.ts_event))
        return msgspec.structs.replace(event, ts=self.data(event.ts), order=order, fill=fill)


def _between(times: Sequence[int], others: Sequence[int], moment: int) -> int:
    if not times:
        return moment
    place = bisect_right(times, moment) - 1
    if place < 0:
        return others[0] + moment - times[0]
    if place + 1 == len(times):
        return others[-1] + moment - times[-1]
    span = times[place + 1] - times[place]
    return others[place] + (moment - times[place]) * (others[place + 1] - others[place]) // span
