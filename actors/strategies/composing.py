"""From a strategy's draft to a signal: identity, times, marks."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from actors.strategies.strategy import Draft
from protocols.market import STALE, Quote, Trade
from protocols.signals import Signal


class Marks:
    """The marks of what a strategy was given.

    What is synthetic, delayed or from a practice environment has shaped the strategy's state for good, so its mark
    stays; that a book was stale is true of one input alone.
    """

    def __init__(self) -> None:
        self._lasting: frozenset[str] = frozenset()
        self._known: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, marks: tuple[str, ...]) -> tuple[str, ...]:
        """Take note of an input's marks; return those of a signal that it leads to, sorted."""
        found = self._known.get(marks)
        if found is None:
            lasting = self._lasting | (frozenset(marks) - {STALE})
            if lasting != self._lasting:
                self._lasting = lasting
                self._known.clear()
            found = self._known[marks] = tuple(sorted(lasting | frozenset(marks)))
        return found


class Composer:
    """Makes signals of one strategy. `exchanges`: by market; of the others it is `exchange`."""

    def __init__(self, strategy_id: str, source: str, version: str, exchange: str, exchanges: dict[str, str]) -> None:
        self.strategy_id = strategy_id
        self.source = source
        self.version = version
        self.exchange = exchange
        self.exchanges = exchanges

    def signal(self, draft: Draft, index: int, cause: Quote | Trade, marks: tuple[str, ...], now: int) -> Signal:
        """The signal of the `index`-th draft that `cause` led to, made at `now` (wall time, ns)."""
        key = f"{self.strategy_id}\0{cause.market}\0{cause.session}\0{cause.seq}\0{index}"
        return Signal(
            signal_id=signal_id(key, now),
            ts_created=now,
            ts_expires=now + draft.validity_ns,
            strategy_id=self.strategy_id,
            strategy_source=self.source,
            strategy_version=self.version,
            symbol=draft.market,
            exchange=self.exchanges.get(draft.market, self.exchange),
            action=draft.action,
            confidence=draft.confidence,
            execution_params=draft.execution_params,
            risk_score=draft.risk_score,
            current_price=draft.current_price,
            market_conditions=draft.market_conditions,
            metadata=draft.metadata,
            marks=marks,
            source_session=cause.session,
            source_seq=cause.seq,
            ts_event=cause.ts_event,
            ts_recv=cause.ts_recv,
        )


def signal_id(key: str, ts: int) -> str:
    """`sig_YYYYMMDD_HHMMSS_8hex`: the time (UTC) and 32 bits of a hash of `key` and time.

    32 bits may meet by chance; then the hub says `id_taken`, and the id of a longer key is tried.
    """
    digest = hashlib.blake2b(f"{key}\0{ts}".encode(), digest_size=4).hexdigest()
    return f"sig_{datetime.fromtimestamp(ts // 1_000_000_000, UTC):%Y%m%d_%H%M%S}_{digest}"
