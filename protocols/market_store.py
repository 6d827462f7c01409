"""What is said to the store of market data, and where it lives.

The store takes books, trades, bars and instruments from their topics. Here it is asked how far it is, and told to
write what it holds.
"""

from __future__ import annotations

from typing import Final

import msgspec

from protocols.control import Message, Request
from protocols.paths import MARKET

STORE: Final = f"{MARKET}/store"


class TableStats(msgspec.Struct, frozen=True, gc=False):
    """One table: rows handed to the node's log, rows that wait for the next batch, rows that were dropped."""

    table: str
    written: int
    waiting: int
    dropped: int


class StoreStats(Message, frozen=True, gc=False, tag="store_stats"):
    """How the store is. `healthy`: nothing was dropped lately and batches go out in time.

    `flushed` is how many rows the flush that is answered has handed to the node's log (0 where none was asked for);
    what the log has accepted survives `kill -9`. `ts_flushed`: when the last batch went out, 0 before the first.
    """

    tables: tuple[TableStats, ...] = ()
    flushed: int = 0
    capacity: int = 0
    """How many rows may wait; beyond, they are dropped by the store's policy."""
    sessions_open: int = 0
    sessions_overflowed: int = 0
    ts_flushed: int = 0
    healthy: bool = True
    detail: str = ""


class GetStoreStats(Request[StoreStats], frozen=True, gc=False, tag="get_store_stats"):
    """Asks the store how it is."""


class FlushStore(Request[StoreStats], frozen=True, gc=False, tag="flush_store"):
    """Tells the store to hand everything that waits to the node's log now; answered when that has been done.

    Refused `log_full` where the log takes no more.
    """
