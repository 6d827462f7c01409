"""The section `[store]`: what of market data is kept in the database, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from runtime import Mailbox, Overflow
from runtime.settings import LocalPath

Days = Annotated[int, msgspec.Meta(ge=0, le=36_500)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[store]`: books, trades, bars and instruments in the database. Days of 0: kept for ever.

    How many rows one transaction moves, and how long it waits for more, is in `[database]`: batch_rows, interval_s.
    """

    enabled: bool = True
    """Whether market data is stored at all."""
    queue: Annotated[int, msgspec.Meta(ge=16, le=10_000_000)] = 65_536
    """Messages that may wait for the store; beyond, some are dropped, and the stored sessions of their books end."""
    drop: Literal["newest", "oldest"] = "newest"
    """Which messages are dropped then."""
    books: bool = True
    """Whether every change of every book is stored."""
    trades: bool = True
    """Whether trades are stored."""
    bars: bool = True
    """Whether bars are stored."""
    signals: bool = True
    """Whether 10-second signals of every book are stored (`orderbook_signals`)."""
    sample_every: Count = 0
    """Of how many updates of a book one is sampled (`rl_orderbook_samples`); 0: none."""
    sample_depth: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10
    """Levels a side of a sample."""
    whole_after: Annotated[int, msgspec.Meta(ge=100)] = 10_000
    """Stored changes of a book, at least twice its levels, after which it is stored whole again: the most that is read
    to find a book."""
    book_days: Days = 30
    """How long snapshots, deltas and sessions are kept."""
    sample_days: Days = 30
    """How long samples and signals are kept."""
    trade_days: Days = 365
    """How long trades are kept."""
    bar_days: Days = 0
    """How long bars are kept."""
    instrument_days: Days = 0
    """How long definitions of instruments are kept."""
    archive: LocalPath = ""
    """A folder that gets what is no longer kept, as compressed Parquet; empty: it is deleted."""
    clean_up_s: Annotated[float, msgspec.Meta(gt=0)] = 3_600.0
    """How often partitions are made and old ones removed, in seconds."""
    days_ahead: Annotated[int, msgspec.Meta(ge=1, le=60)] = 7
    """For how many coming days there are partitions."""

    def mailbox(self) -> Mailbox:
        """The store's mailbox."""
        overflow = Overflow.DROP_OLDEST if self.drop == "oldest" else Overflow.DROP_NEWEST
        return Mailbox(capacity=self.queue, overflow=overflow)

    def days(self) -> dict[str, int]:
        """For how many days each table is kept."""
        return {
            "rl_orderbook_snapshots": self.book_days,
            "rl_orderbook_deltas": self.book_days,
            "rl_orderbook_session_events": self.book_days,
            "rl_orderbook_samples": self.sample_days,
            "orderbook_signals": self.sample_days,
            "market_trades": self.trade_days,
            "market_bars": self.bar_days,
            "instruments": self.instrument_days,
        }
