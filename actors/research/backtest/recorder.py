"""What is kept of a run while it goes: the order log and its hash, equity samples, counts, closed trades."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from typing import Final

import msgspec
import numpy as np

from actors.execution.accounts.round_trips import ClosedTrade
from actors.execution.engine import Engine
from actors.research.results import RoundTrip, Series
from protocols.nanos import NANO
from protocols.orders import OrderEvent
from protocols.signals import Signal

_JSON: Final = msgspec.json.Encoder()
UNDONE: Final = ("denied", "rejected", "cancelled", "expired")
WANTED: Final = ("", "user", "oco", "parent", "reduce_only")
"""Codes of orders that ended because somebody wanted it, or because another one did their work."""


class OrderLog:
    """Every order event with its fill, one line of JSON each, in order; the hash is that of all lines so far."""

    def __init__(self, *, keep: bool = True) -> None:
        self.lines: list[bytes] = []
        self.count = 0
        self.keep = keep
        self._hash = hashlib.sha256()

    def add(self, event: OrderEvent) -> None:
        """The next event."""
        line = _JSON.encode(event) + b"\n"
        self._hash.update(line)
        self.count += 1
        if self.keep:
            self.lines.append(line)

    @property
    def sha256(self) -> str:
        """Of all lines, in hex."""
        return self._hash.hexdigest()

    def bytes(self) -> bytes:
        """The log."""
        return b"".join(self.lines)


class Recorder:
    """Takes out of an engine what a result consists of."""

    def __init__(self, engine: Engine, market: str = "", *, keep_log: bool = True) -> None:
        """`market`: whose price is kept beside equity; empty: the first that has one."""
        self.engine = engine
        self.log = OrderLog(keep=keep_log)
        self.market = market
        self.counts: Counter[str] = Counter()
        self.declined: Counter[str] = Counter()
        self.undone: Counter[tuple[str, str]] = Counter()
        """Orders that did not come to what they were sent for: (denied, rejected, cancelled or expired, code)."""
        self.trades: list[RoundTrip] = []
        self.said: list[bytes] = []
        """What the strategy has said, one line of JSON for each signal; kept where the log is."""
        self.unpriced = 0
        """Samples without a price of a position: they are left out."""
        self._ts = array("q")
        self._equity = array("d")
        self._price = array("d")
        self._exposed = array("b")

    def hear(self, signal: Signal, ts: int) -> None:
        """The strategy has given a signal at `ts`."""
        if self.log.keep:
            self.said.append(
                _JSON.encode(
                    {
                        "ts": ts,
                        "market": signal.symbol,
                        "action": signal.action,
                        "confidence": signal.confidence,
                        "params": signal.execution_params,
                    }
                )
            )

    def drain(self) -> list[OrderEvent]:
        """Take what has happened; returns the order events."""
        engine = self.engine
        events = engine.take_events()
        for event in events:
            self._event(event)
        for trade in engine.take_trades():
            self.trades.append(round_trip(trade))
        engine.take_entries()
        for verdict in engine.take_verdicts():
            if verdict.code:
                self.declined[verdict.code] += 1
        engine.take_updates()
        engine.take_samples()
        return events

    def sample(self, ts: int) -> None:
        """Note how the account stands at `ts`."""
        account = self.engine.account
        equity = account.equity()
        if equity is None:
            self.unpriced += 1
            return
        if self._ts and self._ts[-1] == ts:  # looked at again, behind what happened at this moment
            for column in (self._ts, self._equity, self._price, self._exposed):
                column.pop()
        self._ts.append(ts)
        self._equity.append(equity / NANO)
        price = self._benchmark()
        self._price.append(float("nan") if price is None else price / NANO)
        self._exposed.append(1 if account.net_positions() else 0)

    def sample_closes(self, ts: list[int], equity: list[int], closes: list[int], *, exposed: bool) -> None:
        """Samples at closes of bars that were worked out elsewhere; money and prices in nanos."""
        self._ts.extend(ts)
        self._equity.extend([value / NANO for value in equity])
        self._price.extend([close / NANO for close in closes])
        self._exposed.extend([exposed] * len(ts))

    def equity(self, first: int, capital: int) -> Series:
        """The samples, the starting capital first, at `first`."""
        return Series.of(
            np.concatenate(([first], np.frombuffer(self._ts, dtype=np.int64) if self._ts else [])),
            np.concatenate(([capital / NANO], np.frombuffer(self._equity, dtype=np.float64) if self._equity else [])),
        )

    def price(self) -> Series | None:
        """The benchmark's price at the samples that have one; None: there is none."""
        prices = np.frombuffer(self._price, dtype=np.float64) if self._price else np.empty(0)
        known = ~np.isnan(prices)
        if not known.any():
            return None
        return Series.of(np.frombuffer(self._ts, dtype=np.int64)[known], prices[known])

    @property
    def exposure(self) -> float | None:
        """The share of the samples with an open position."""
        return sum(self._exposed) / len(self._ts) if self._ts else None

    def _benchmark(self) -> int | None:
        marks = self.engine.marks
        if not self.market:
            for name in marks:
                self.market = name
                break
        mark = marks.get(self.market)
        return None if mark is None else mark.mid()

    def _event(self, event: OrderEvent) -> None:
        self.log.add(event)
        counts, kind = self.counts, event.kind
        counts[kind] += 1
        if kind in UNDONE and event.order.reason_code not in WANTED:
            self.undone[kind, event.order.reason_code] += 1
        if event.order.version == 1:
            counts["orders"] += 1
        if event.fill is not None and event.fill.why.ambiguous:
            counts["ambiguous"] += 1


def round_trip(trade: ClosedTrade) -> RoundTrip:
    """A closed trade in floats, for statistics."""
    return RoundTrip(
        market=trade.market,
        side=trade.side,
        size=trade.size / NANO,
        entry_ts=trade.entry_ts,
        entry_price=trade.entry_price / NANO,
        exit_ts=trade.exit_ts,
        exit_price=trade.exit_price / NANO,
        pnl=trade.pnl / NANO,
        return_=float("nan") if trade.return_ is None else trade.return_ / NANO,
        fees=trade.fees / NANO,
        mae=None if trade.mae is None else trade.mae / NANO,
        mfe=None if trade.mfe is None else trade.mfe / NANO,
        exit_reason=trade.exit_reason,
        deployment_id=trade.deployment_id,
        open=trade.open,
    )
