"""The runner: one strategy in an actor. It hands inputs to the strategy and the strategy's signals to the hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import trio

from actors.strategies.catalogue import make, source_of
from actors.strategies.composing import Composer, Marks
from actors.strategies.outbox import GivenUp, Outbox
from actors.strategies.status import ROSTER, GetRunnerStatus, RunLoaded, RunnerStatus
from actors.strategies.strategy import Draft, Strategy, handles
from protocols.control import Lagged, Refused, Unknown
from protocols.market import Quote, Trade
from protocols.paths import HUB
from protocols.signals import SubmitSignal
from runtime import Actor, Mailbox, receive

ASK_S = 2.0
OUTBOX = 1_000


class StrategyRunner(Actor):
    """Runs a strategy of the catalogue, or one at an import path, on some markets (none named: all of the node).

    One inbox takes the inputs of all its markets, in their order; what is lost of them is told to the strategy at its
    place. Signals leave in the order in which they were made, each until the hub has stored it.
    """

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=8192)

    def __init__(
        self,
        name: str,
        strategy: str,
        markets: Sequence[str] = (),
        parameters: dict[str, Any] | None = None,
        exchange: str = "",
        exchanges: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.markets = tuple(markets)
        self.strategy: Strategy[Any] = make(strategy, parameters or {}, self.markets)
        self.composer = Composer(name, source_of(strategy), type(self.strategy).version, exchange, exchanges or {})
        self.marks = Marks()
        self.outbox = Outbox(OUTBOX)
        self.generated = self.errors = self.last_execution = 0
        self.last_error = ""

    def on_start(self) -> None:
        """Listen to the markets."""
        self.started = self.clock.now()
        kinds = [Quote] + ([Trade] if handles(type(self.strategy), "on_trade") else [])
        for kind in kinds:
            for market in self.markets or (None,):
                self.subscribe(kind, market, lossless=True)
        self.waiting = trio.Event()
        self.spawn(self._deliver, name="outbox")
        loaded = RunLoaded(name=self.name, version=self.composer.version, incarnation=str(self.incarnation))
        self.lookup(ROSTER).tell(loaded)

    @receive
    def quote(self, quote: Quote) -> None:
        """Hand a quote to the strategy."""
        marks = self.marks.of(quote.marks)
        if drafts := self.strategy.on_quote(quote):
            self._take(drafts, quote, marks)

    @receive
    def trade(self, trade: Trade) -> None:
        """Hand a trade to the strategy."""
        marks = self.marks.of(trade.marks)
        if drafts := self.strategy.on_trade(trade):
            self._take(drafts, trade, marks)

    @receive
    def lagged(self, message: Lagged) -> None:
        """Tell the strategy that inputs are missing here."""
        self._note_error(f"{message.count} of {message.topic} {message.key or '(all markets)'} were lost")
        for market in (message.key,) if message.key else self.markets:
            self.strategy.on_gap(market)

    @receive
    def status(self, request: GetRunnerStatus) -> RunnerStatus:
        """Say how this life is."""
        outbox = self.outbox
        return RunnerStatus(
            str(self.incarnation),
            self.started,
            self.last_execution,
            self.generated,
            len(outbox),
            self.errors,
            self.last_error,
            (
                ("signals_accepted", outbox.accepted),
                ("signals_given_up", outbox.given_up),
                ("submit_retries", outbox.retries),
                *self.strategy.figures(),
            ),
        )

    def _take(self, drafts: Sequence[Draft], cause: Quote | Trade, marks: tuple[str, ...]) -> None:
        now = self.last_execution = self.clock.now()
        for draft in drafts:
            lost = self.outbox.add(self.composer.signal(draft, cause, marks, now))
            self.generated += 1
            if lost is not None:
                self._note_loss(lost)
        self.waiting.set()

    async def _deliver(self) -> None:
        """Submit what waits, one signal after the other."""
        hub = self.lookup(HUB)
        outbox = self.outbox
        while True:
            if not outbox:
                self.waiting = trio.Event()
                await self.waiting.wait()
                continue
            signal = outbox.head
            try:
                await hub.ask(SubmitSignal(signal), ASK_S)
            except (Refused, Unknown) as outcome:
                step = outbox.reject(signal, outcome, self.clock.now())
                if isinstance(step, GivenUp):
                    self._note_loss(step)
                elif step:
                    await trio.sleep(step)
            else:
                outbox.accept(signal)

    def _note_loss(self, lost: GivenUp) -> None:
        self.logger.error("a signal is given up", signal_id=lost.signal.signal_id, why=lost.why)
        self._note_error(f"the signal {lost.signal.signal_id} was given up: {lost.why}")

    def _note_error(self, text: str) -> None:
        self.errors += 1
        self.last_error = text
