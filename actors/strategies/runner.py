"""The runner: one strategy in an actor. It hands inputs to the strategy and the strategy's signals to the hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import trio

from actors.strategies.catalogue import make, source_of
from actors.strategies.composing import Composer, Marks
from actors.strategies.sending import SignalSender
from actors.strategies.status import ROSTER, GetRunnerStatus, RunLoaded, RunnerStatus
from actors.strategies.strategy import Draft, Strategy, handles
from protocols.control import Lagged, Message, Refused, Unknown
from protocols.market import Bar, Quote, Trade
from protocols.market_data import BARS, BuildBars
from runtime import Mailbox, receive

BUILD_S: Final = 5.0
AGAIN_S: Final = 1.0


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
        self.bars: dict[tuple[str, str], tuple[str, int]] = {}
        """By market and interval: the source whose bars are taken, and the start of the last one."""

    def on_start(self) -> None:
        """Listen to the markets."""
        self.started = self.clock.now()
        kinds: list[type[Message]] = [Quote]
        if handles(type(self.strategy), "on_trade"):
            kinds.append(Trade)
        if self.strategy.intervals:
            kinds.append(Bar)
            self.spawn(self._ask_for_bars, name="bars")
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
    def bar(self, bar: Bar) -> None:
        """Hand a bar of one of its intervals to the strategy; of several sources the first one that comes is taken."""
        if bar.interval not in self.strategy.intervals:
            return
        key = (bar.market, bar.interval)
        source, start = self.bars.get(key, (bar.source, -1))
        if bar.source != source or bar.start <= start:
            return
        self.bars[key] = source, bar.start
        marks = self.marks.of(bar.marks)
        if drafts := self.strategy.on_bar(bar):
            self._take(drafts, bar, marks)

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

    async def _ask_for_bars(self) -> None:
        """Have the bars built that nobody else has asked for."""
        wanted = [(market, interval) for market in self.markets for interval in self.strategy.intervals]
        while wanted:
            try:
                await self.lookup(BARS).ask(BuildBars(*wanted[0]), BUILD_S)
            except (Refused, Unknown) as error:
                if not (isinstance(error, Refused) and error.code == "invalid"):
                    await trio.sleep(AGAIN_S)
                    continue
                self.note_error(f"there are no bars of {wanted[0][1]}: {error.message}")
            wanted.pop(0)

    def _take(self, drafts: Sequence[Draft], cause: Quote | Trade | Bar, marks: tuple[str, ...]) -> None:
        now = self.last_execution = self.clock.now()
        for draft in drafts:
            self.send(self.composer.signal(draft, cause, marks, now))
            self.generated += 1
