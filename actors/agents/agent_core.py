"""What an agent makes of bars: features, regimes, the question that follows, and the signal that the answer becomes.

A core: no loop, no clock. It is fed every bar, whether or not it decides about it.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from actors.agents.settings import AgentConfig, key
from actors.decisions.features.market import MarketFeatures
from actors.decisions.regimes.filter import RegimeFilter
from actors.market.bars_intervals import parse_interval
from actors.signals.ids import signal_id
from actors.strategies.composing import Marks
from protocols.agents import AGENT_STRATEGY, FeatureKnown
from protocols.decisions import Decide, Decision, Proposal
from protocols.market import Bar, Funding
from protocols.nanos import NANO
from protocols.signals import ExecutionParams, Signal

MS: Final = 1_000_000
MINUTE: Final = 60 * NANO
MOST_WARM: Final = 2_000
"""Bars from before the start that are asked for, at most."""


class AgentCore:
    """One agent's actor: one user, one symbol. `last_bar`: the start of the last bar that was decided, in any life."""

    def __init__(self, user_id: str, symbol: str, config: AgentConfig, last_bar: int = -1) -> None:
        self.user_id = user_id
        self.symbol = symbol
        self.config = config
        self.agent_id = f"{key(user_id)}/{key(symbol)}"
        self.strategy_id = f"{AGENT_STRATEGY}{key(user_id)}"
        self.interval = parse_interval(config.timeframe)
        self.last_bar = last_bar
        self.source: str | None = None
        self.newest = -1
        """The start of the newest bar that was fed."""
        self._counted = 0
        self._funding: tuple[float, int] | None = None
        self._marks = Marks()
        self.marks: tuple[str, ...] = ()
        """Of everything that it was given, sorted."""
        self.begin_anew()

    @property
    def warm_bars(self) -> int:
        """How many bars from before the start make every feature known."""
        if self.interval.kind != "time":
            return MarketFeatures.warm_up
        return min(MOST_WARM, MarketFeatures.warm_up_of(self.interval.length))

    def begin_anew(self) -> None:
        """Bars are missing: what was made of them does not count any more."""
        self.features = MarketFeatures()
        self.regimes = RegimeFilter() if self.config.enable_regime_detection else None
        self._close = 0
        self.newest = -1

    def feed(self, bar: Bar) -> bool:
        """Take a bar; whether it was new. Raises FeatureError, ValueError for one that cannot be."""
        if bar.interval != self.config.timeframe or bar.market != self.symbol:
            return False
        if bar.source != (self.source or bar.source) or bar.start <= self.newest:
            return False
        volume = float(bar.volume) if bar.volume else None
        self.features.bar(bar.open / NANO, bar.high / NANO, bar.low / NANO, bar.close / NANO, volume, bar.end)
        if self.regimes is not None:
            known = bar.close > 0 and self._close > 0
            self.regimes.update(math.log(bar.close / self._close) if known else None)
        self._close = bar.close
        self.source, self.newest = bar.source, bar.start
        self._counted += 1
        self.marks = self._marks.of(bar.marks)
        return True

    def funding(self, funding: Funding) -> None:
        """A funding rate; its change is known from the second period on."""
        rate = float(funding.rate)
        self.features.external("funding_rate", rate, funding.ts_recv)
        before = self._funding
        if before is not None and before[1] != funding.next_ts:
            self.features.external("funding_rate_change", rate - before[0], funding.ts_recv)
        self._funding = (rate, funding.next_ts)
        self._marks.of(funding.marks)

    def known(self, message: FeatureKnown) -> None:
        """A figure from outside. Raises FeatureError for one that there is not, or that cannot be."""
        self.features.external(message.name, message.value, message.ts)
        self._marks.of(message.marks)

    def due(self, bar: Bar) -> bool:
        """Whether this bar is decided: each once, and of those one in `decide_every`."""
        if bar.start <= self.last_bar:
            return False
        every = self.config.decide_every
        if self.interval.kind == "time":
            return bar.start // self.interval.length % every == 0
        return self._counted % every == 0

    def question(self, bar: Bar, monotonic: int) -> Decide:
        """What is asked about a bar, at `monotonic` (ns). Equal bars of an agent have equal ids."""
        self.last_bar = bar.start
        raw = self.features.raw(bar.end)
        return Decide(
            decision_id=f"{self.agent_id}@{bar.interval}@{bar.start}",
            user_id=self.user_id,
            symbol=self.symbol,
            observation=self.features.observation(bar.end, self.marks),
            deadline=monotonic + self.config.deadline_ms * MS,
            proposal=Proposal(
                rsi=raw.get("rsi"),
                macd=raw.get("macd"),
                change_percent=raw.get("change_percent"),
                volume=float(bar.volume) if bar.volume else None,
            ),
            priority=self.config.priority,
            model=self.config.model,
            regimes=self.probabilities(),
            explain=self.config.explain,
            agent_id=self.agent_id,
        )

    def probabilities(self) -> tuple[float, ...]:
        """Of the regimes, for an ensemble, which weighs its members by them; empty: not known, or not asked for."""
        return self.regimes.probabilities if self.regimes is not None and self.config.model_type == "ensemble" else ()

    def signal(self, decision: Decision, bar: Bar) -> Signal | None:
        """What the hub is given; None: nothing. It follows from bar and decision alone, so a repeat is recognised."""
        config = self.config
        if not decision.should_trade or decision.action == "HOLD" or not config.submit_signals:
            return None
        if not decision.confidence >= config.confidence_threshold:  # so that NaN is below it, too
            return None
        created = max(bar.end, bar.ts_recv)
        validity = max(bar.end - bar.start, MINUTE) if config.validity_s is None else int(config.validity_s * NANO)
        metadata = {
            "bar_start": bar.start,
            "timeframe": bar.interval,
            "served_by": decision.served_by,
            "reason": decision.reason,
            "reasoning": decision.reasoning,
        }
        if self.regimes is not None and self.regimes.regime:
            metadata["regime"] = self.regimes.regime
        return Signal(
            signal_id=signal_id(f"{self.agent_id}@{bar.interval}", bar.start // MS, bar.end),
            ts_created=created,
            strategy_id=self.strategy_id,
            strategy_source="agent",
            strategy_version=decision.model_version or None,
            symbol=self.symbol,
            exchange=config.exchange,
            action=decision.action,
            confidence=min(1.0, max(0.0, decision.confidence)),
            execution_params=ExecutionParams(),
            current_price=bar.close,
            metadata=msgspec.Raw(msgspec.json.encode(metadata)),
            ts_expires=created + validity,
            decision_id=decision.decision_id,
            marks=tuple(sorted({*self.marks, *decision.marks})),
            ts_event=bar.end,
            ts_recv=bar.ts_recv,
        )
