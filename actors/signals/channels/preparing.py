"""Making a batch ready, in slices: the loop is not held for as long as a large one takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import trio

from actors.signals.channels.outbox import Item
from protocols.signal_deliveries import Delivery, delivery

SLICE: Final = 150
"""So many take about a millisecond."""


async def deliveries(items: Sequence[Item], now: int, distributor: str) -> list[Delivery]:
    """What is to be sent of these at a wall time."""
    ready: list[Delivery] = []
    for first in range(0, len(items), SLICE):
        if first:
            await trio.lowlevel.checkpoint()
        ready += [delivery(item, now, distributor) for item in items[first : first + SLICE]]
    return ready
