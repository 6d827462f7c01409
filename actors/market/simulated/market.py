"""One simulated market behind a face: its traders, the truth about its book, its last trades and its bars."""

from __future__ import annotations

import math
import random
from collections import deque
from typing import NamedTuple, Protocol

import msgspec

from actors.market.simulated.flow import FlowEvent, OrderFlow, RegimeName, Traded
from actors.market.simulated.ledger import Ledger
from actors.market.simulated.wide_flow import WideFlow
from protocols.market import LevelChange, Side
from protocols.nanos import NANO

MINUTE: int = 60 * NANO
_MOST_TRADES = 5_000
_MOST_BARS = 2_000


class Happened(NamedTuple):
    """One event and the version of the book after it."""

    event: FlowEvent
    version: int


class PublicTrade(msgspec.Struct, frozen=True, gc=False):
    """A trade with its time in nanoseconds."""

    trade_id: int
    price: int
    size: int
    taker_side: Side
    ts: int


class MinuteBar(msgspec.Struct, gc=False):
    """Prices and volume of one interval that begins at `start`, all in nanos."""

    start: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    turnover: int
    trades: int


class _Flow(Protocol):
    @property
    def market(self) -> str: ...
    @property
    def regime(self) -> RegimeName: ...
    def step(self) -> list[FlowEvent]: ...
    def settle(self, value: int | None = None) -> list[FlowEvent]: ...
    def plant(self, name: RegimeName, steps: int) -> None: ...


class SimulatedMarket:
    """`flow` makes the events; `memory` versions of the book are kept."""

    def __init__(self, flow: OrderFlow | WideFlow, seed: int, memory: int = 20_000) -> None:
        self.flow = flow
        self.name = flow.market
        self.seed = seed
        self.ledger = Ledger(flow.market, memory)
        self.trades: deque[PublicTrade] = deque(maxlen=_MOST_TRADES)
        self.bars: deque[MinuteBar] = deque(maxlen=_MOST_BARS)
        self.volume = 0
        self.begun = 0
        if isinstance(flow, WideFlow):
            self.keep(flow.open(), 0)

    def step(self, ts: int) -> list[Happened]:
        """One trader's turn at `ts` nanoseconds."""
        return self.keep(self.flow.step(), ts)

    def settle(self, value: int | None, ts: int) -> list[Happened]:
        """End the market. Raises OrderRefused."""
        return self.keep(self.flow.settle(value), ts)

    def keep(self, events: list[FlowEvent], ts: int) -> list[Happened]:
        """Take what happened into the books: of the traders here, or of a client's orders."""
        ledger = self.ledger
        kept = []
        for event in events:
            if type(event) is LevelChange:
                ledger.apply(event)
            elif type(event) is Traded:
                self._traded(event, ts)
            kept.append(Happened(event, ledger.version))
        return kept

    def _traded(self, event: Traded, ts: int) -> None:
        self.begun = self.begun or ts
        self.volume += event.size
        self.trades.append(PublicTrade(event.trade_id, event.price, event.size, event.taker_side, ts))
        start = ts - ts % MINUTE
        turnover = event.price * event.size // NANO
        if not self.bars or self.bars[-1].start != start:
            self.bars.append(
                MinuteBar(start, event.price, event.price, event.price, event.price, event.size, turnover, 1)
            )
            return
        bar = self.bars[-1]
        bar.high = max(bar.high, event.price)
        bar.low = min(bar.low, event.price)
        bar.close = event.price
        bar.volume += event.size
        bar.turnover += turnover
        bar.trades += 1

    def middle(self) -> int:
        """The middle of the best prices, in nanos; the last trade where a side is empty."""
        best = self.ledger.best
        if best.bid is not None and best.ask is not None:
            return (best.bid + best.ask) // 2
        return self.trades[-1].price if self.trades else 0

    def history(self, start: int, end: int, interval: int, limit: int) -> list[MinuteBar]:
        """Bars of `interval` nanoseconds that begin in [start, end), oldest first: traded ones, and made up before.

        Before the venue began nothing was traded; the bars of then follow from the seed alone, so that a download
        has something to page through, and gets the same twice.
        """
        bars: list[MinuteBar] = []
        known = self.bars[0].start if self.bars else end
        tick = self.flow.engine.tick
        begin = start - start % -interval if start % interval else start
        while begin < end and len(bars) < limit:
            known_yet = begin + interval > known
            traded = [bar for bar in self.bars if begin <= bar.start < begin + interval] if known_yet else []
            bars.append(_joined(begin, traded) if traded else self._imagined(begin, interval, tick))
            begin += interval
        return bars

    def _imagined(self, start: int, interval: int, tick: int) -> MinuteBar:
        chance = random.Random(f"{self.seed}/{self.name}/{start}/{interval}")  # noqa: S311 - repeatable on purpose
        opened, closed = self._past_price(start, tick), self._past_price(start + interval, tick)
        swing = tick * (1 + int(chance.expovariate(0.3)))
        volume = self.flow.engine.lot * (1 + int(chance.expovariate(0.0005)))
        highest = self.flow.engine.highest - tick
        high, low = min(highest, max(opened, closed) + swing), max(tick, min(opened, closed) - swing)
        trades = 1 + int(chance.expovariate(0.05))
        return MinuteBar(start, opened, high, low, closed, volume, volume * opened // NANO, trades)

    def _past_price(self, ts: int, tick: int) -> int:
        """A smooth price of long ago, on a tick."""
        reference = self.flow.engine.highest / 4 if isinstance(self.flow, WideFlow) else NANO / 2
        days = ts / (86_400 * NANO)
        phase = random.Random(f"{self.seed}/{self.name}").random()  # noqa: S311 - repeatable on purpose
        wave = 0.02 * math.sin(2 * math.pi * (days + phase)) + 0.003 * math.sin(2 * math.pi * 61 * days)
        return int(reference * (1 + wave)) // tick * tick


def _joined(start: int, bars: list[MinuteBar]) -> MinuteBar:
    return MinuteBar(
        start,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        sum(bar.volume for bar in bars),
        sum(bar.turnover for bar in bars),
        sum(bar.trades for bar in bars),
    )
