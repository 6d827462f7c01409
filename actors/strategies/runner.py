"""The runner: one strategy in an actor. It hands inputs to the strategy and the strategy's signals to the hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from actors.strategies.catalogue import make, source_of
from actors.strategies.composing import Composer, Marks
from actors.strategies.sending import SignalSender
from actors.strategies.status import ROSTER, GetRunnerStatus, RunLoaded, RunnerStatus
from actors.strategies.strategy import Draft, Strategy, handles
from protocols.control import Lagged
from protocols.market import Quote, Trade
from runtime import Mailbox, receive


class StrategyRunner(SignalSender):
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
        super().__init__()
        self.name = name
        self.markets = tuple(markets)
        self.strategy: Strategy[Any] = make(strategy, parameters or {}, self.markets)
        self.composer = Composer(name, source_of(strategy), type(self.strategy).version, exchange, exchanges or {})
        self.marks = Marks()
        self.generated = self.last_execution = 0

    def on_start(self) -> None:
        """Listen to the markets."""
        self.started = self.clock.now()
        kinds = [Quote] + ([Trade] if handles(type(self.strategy), "on_trade") else [])
        for kind in kinds:
            for market in self.markets or (None,):
                self.subscribe(kind, market, lossless=True)
        self.begin_sending()
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
        self.note_error(f"{message.count} of {message.topic} {message.key or '(all markets)'} were lost")
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
            self.send(self.composer.signal(draft, cause, marks, now))
            self.generated += 1
