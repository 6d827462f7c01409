"""From a strategy's draft to a signal: identity, times, marks."""

from __future__ import annotations

from actors.signals.ids import signal_id
from actors.strategies.strategy import Draft
from protocols.market import STALE, Bar, Quote, Trade
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
    """Makes the signals of one run of a strategy. `exchanges`: by market; of the others it is `exchange`.

    `run` names the run (default: the strategy's id) and `count` is how many signals it has made: the id of a signal
    follows from the two and the time, so a replay of the run makes the same ids. Whoever takes up a run where another
    life of it ended gives the count along.
    """

    def __init__(
        self,
        strategy_id: str,
        source: str,
        version: str,
        exchange: str,
        exchanges: dict[str, str],
        *,
        run: str = "",
        count: int = 0,
    ) -> None:
        self.strategy_id = strategy_id
        self.source = source
        self.version = version
        self.exchange = exchange
        self.exchanges = exchanges
        self.run = run or strategy_id
        self.count = count

    def signal(self, draft: Draft, cause: Quote | Trade | Bar | None, marks: tuple[str, ...], now: int) -> Signal:
        """The next signal: of a draft that `cause` (None: a timer) led to, made at `now` (wall time, ns)."""
        self.count += 1
        session, seq, ts_event, ts_recv = _address(cause)
        return Signal(
            signal_id=signal_id(self.run, self.count, now),
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
            position_size=draft.position_size,
            max_drawdown=draft.max_drawdown,
            current_price=draft.current_price,
            market_conditions=draft.market_conditions,
            metadata=draft.metadata,
            marks=marks,
            source_session=session,
            source_seq=seq,
            ts_event=ts_event,
            ts_recv=ts_recv,
        )


def _address(cause: Quote | Trade | Bar | None) -> tuple[str, int, int, int]:
    """Session, seq, the venue's time and ours, of what led to a signal; a bar has only times, a timer has nothing."""
    if cause is None:
        return "", 0, 0, 0
    if isinstance(cause, Bar):
        return "", 0, cause.end, cause.ts_recv
    return cause.session, cause.seq, cause.ts_event, cause.ts_recv
