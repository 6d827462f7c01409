"""A run's middle: the engine, what waits to reach it, and the moments at which it is looked at.

Order of things at one moment: all market messages of the moment reach the engine; the strategy is told of them (after
the feed latency); what it says then acts, behind all of them. So a signal never meets a message of its own moment that
came later in the file, and a live node, where a signal takes at least one more step, gives the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from actors.execution.engine import Engine
from actors.execution.engine_signals import act_on
from actors.execution.engine_state import NEVER
from actors.execution.inputs import Deploy
from actors.research.backtest.recorder import Recorder
from actors.research.backtest.spec import DEPLOYMENT, BacktestSpec
from actors.strategies.composing import Composer
from actors.strategies.strategy import Draft
from protocols.instruments import Instrument
from protocols.nanos import NANO
from protocols.signals import Signal

AT_END: Final = "end_of_data"


class Session:
    """Engine and recorder under the time of a stream.

    `wake`: behind this moment `before` has something to do; whoever feeds compares each time with it. `trade_from`:
    signals before it are left out (a warm-up). `closing`: by market, when its position is closed for good.
    """

    def __init__(
        self,
        spec: BacktestSpec,
        engine: Engine,
        recorder: Recorder,
        *,
        by_bars: bool,
        trade_from: int | None = None,
        closing: Mapping[str, int] | None = None,
    ) -> None:
        self.spec = spec
        self.engine = engine
        self.recorder = recorder
        self.latency = spec.fills.latency.feed
        self.trade_from = -1 if trade_from is None else trade_from
        self.wake = -1
        self.first = self.last = 0
        self.begun = False
        self.signals = self.left_out = 0
        self.defined: set[str] = set()
        self.by_bars = by_bars
        self._pending: deque[tuple[int, Signal]] = deque()
        self._step = spec.sample_s * NANO
        self._sample_at = NEVER
        self._moment = 0
        self._closing = dict(closing or {})
        self._to_close = sorted((moment, market) for market, moment in self._closing.items())
        self._closer = Composer(spec.strategy.name, "backtest", "", "", {}, run=AT_END)

    def begin(self, ts: int, markets: Iterable[str]) -> None:
        """Time begins at `ts`: the account is opened, the strategy deployed, the markets that are known defined."""
        self.begun = True
        self.first = self.last = self._moment = max(ts, self.trade_from)
        self.engine.account.open(ts)
        self.engine.handle(Deploy(self.spec.deployment()), ts)
        for market in markets:
            self.define(market, ts)
        self._sample_at = self.first + 1 if self.by_bars else (self.first // self._step + 1) * self._step
        self.wake = self._wake()

    def define(self, market: str, ts: int) -> Instrument:
        """A market that was not seen before."""
        instrument = self.spec.instrument(market)
        self.defined.add(market)
        self.engine.handle(instrument, ts)
        return instrument

    def act(self, signal: Signal, ts: int) -> int:
        """A signal that the strategy has given at `ts`; returns the next moment to wake at."""
        self.signals += 1
        self.recorder.hear(signal, ts)
        if ts < self.trade_from or ts >= self._closing.get(signal.symbol, NEVER):
            self.left_out += 1
            return self.wake
        self._pending.append((ts, signal))
        if ts < self.wake:
            self.wake = ts
        return self.wake

    def act_now(self, signal: Signal, ts: int) -> None:
        """A signal that is not to wait: everything of `ts` is with the engine already."""
        self.signals += 1
        self.recorder.hear(signal, ts)
        if ts < self.trade_from or ts >= self._closing.get(signal.symbol, NEVER):
            self.left_out += 1
            return
        self.engine.advance(ts)
        act_on(self.engine, DEPLOYMENT, signal, ts)

    def before(self, ts: int) -> int:
        """Do everything that is due before `ts`; returns the next moment to wake at."""
        while True:
            acts = self._pending[0][0] if self._pending else NEVER
            closes = self._to_close[0][0] if self._to_close else NEVER
            own = min(acts, closes)
            if self._sample_at <= min(own, ts):
                self._sample(min(own, ts))
            elif acts < ts and acts <= closes:
                moment, signal = self._pending.popleft()
                self.engine.advance(moment)
                act_on(self.engine, DEPLOYMENT, signal, moment)
            elif closes < ts:
                self._close(*self._to_close.pop(0))
            else:
                break
        if self.by_bars and ts < NEVER:
            self._moment, self._sample_at = ts, max(ts, self.first) + 1
        self.wake = self._wake()
        return self.wake

    def rests_until(self) -> int | None:
        """The moment up to which nothing is to be done; None: something waits or works."""
        if self._pending or self.engine.blotter.open or self.engine.due() is not None:
            return None
        return self._to_close[0][0] if self._to_close else NEVER

    def coasted(self, ts: int) -> None:
        """The engine is at the bar of `ts`; those before it are sampled."""
        self._moment, self._sample_at = ts, max(ts, self.first) + 1
        self.wake = self._wake()

    def finish(self, ts: int) -> None:
        """The data ends at `ts`."""
        self.last = ts
        self.before(ts + 1)
        self.engine.advance(ts)
        self.recorder.drain()
        if not self.by_bars or self._sample_at <= ts:
            self.recorder.sample(ts)

    def _wake(self) -> int:
        acts = self._pending[0][0] if self._pending else NEVER
        closes = self._to_close[0][0] if self._to_close else NEVER
        return min(acts, closes, self._sample_at - 1)

    def _sample(self, ts: int) -> None:
        if self.by_bars:
            self._sample_at = NEVER
            if self._moment >= self.trade_from:
                self.recorder.sample(self._moment)
            return
        boundary = ts // self._step * self._step
        self._sample_at = boundary + self._step
        self.recorder.sample(boundary)

    def _close(self, moment: int, market: str) -> None:
        if not self.engine.account.deployment_position(DEPLOYMENT, market):
            return
        draft = Draft(market=market, action="CLOSE_ALL", confidence=1.0, validity_ns=NEVER - moment)
        signal = self._closer.signal(draft, None, (), moment)
        self.engine.advance(moment)
        act_on(self.engine, DEPLOYMENT, signal, moment)
