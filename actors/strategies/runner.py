"""The runner: one strategy in an actor. It hands inputs to the strategy and the strategy's signals to the hub."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from runtime import Mailbox, ReplicaMembers, receive
from runtime.hashing import assign

BUILD_S: Final = 5.0
AGAIN_S: Final = 1.0


class StrategyRunner(SignalSender):
    """Runs a strategy of the catalogue, or one at an import path, on some markets (none named: all of the node).

    One inbox takes the inputs of all its markets, in their order; what is lost of them is told to the strategy at its
    place. Signals leave in the order in which they were made, each until the hub has stored it.

    `shared`: it is one of several replicas, which divide the markets among themselves by rendezvous hashing; it listens
    to nothing before it is told its share, and a replica that crashes gets its own again. When the replicas become more
    or fewer, a market that moves is given up by its old owner before the new one listens to it: no input is handled by
    two, and what comes in between is handled by none. What the old owner's strategy knew of the market does not move;
    the new owner's is told of a gap (`on_gap`) at the beginning, also where it had the market before. Each replica's
    signals have ids of their own row.
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
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.name = name
        self.shared = shared
        self.share: dict[str, None] | None = None
        """The markets that it has of all; None: it was not told, or has them all."""
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
        self.kinds: list[type[Message]] = [Quote]
        if handles(type(self.strategy), "on_trade"):
            self.kinds.append(Trade)
        if self.strategy.intervals:
            self.kinds.append(Bar)
        replica = ""
        if self.shared:
            replica = self.path.rpartition("/")[2]
            self.composer.run = f"{self.name}/{replica}"
        else:
            self._listen(self.markets)
        incarnation = str(self.incarnation)
        version = self.composer.version
        self.lookup(ROSTER).tell(RunLoaded(name=self.name, version=version, incarnation=incarnation, replica=replica))

    @receive
    def members(self, request: ReplicaMembers) -> None:
        """Take the share of the markets that falls to this replica, and leave what falls to others."""
        if not self.shared:
            return
        owned = assign(self.markets, request.names).get(request.own, ()) if request.names else ()
        before, self.share = self.share or {}, dict.fromkeys(owned)
        for market in before:
            if market not in self.share:
                self._leave(market)
        taken = [market for market in owned if market not in before]
        for market in taken:
            self.strategy.on_gap(market)
        if taken:
            self._listen(taken)
        elif not owned:
            left = self.promise()  # whoever leaves is stopped after its answer
            self.submitter.when_empty(lambda: left.answer(None))

    @receive
    def quote(self, quote: Quote) -> None:
        """Hand a quote to the strategy."""
        if self.share is not None and quote.market not in self.share:
            return  # it came before the market was given up
        marks = self.marks.of(quote.marks)
        if drafts := self.strategy.on_quote(quote):
            self._take(drafts, quote, marks)

    @receive
    def trade(self, trade: Trade) -> None:
        """Hand a trade to the strategy."""
        if self.share is not None and trade.market not in self.share:
            return  # it came before the market was given up
        marks = self.marks.of(trade.marks)
        if drafts := self.strategy.on_trade(trade):
            self._take(drafts, trade, marks)

    @receive
    def bar(self, bar: Bar) -> None:
        """Hand a bar of one of its intervals to the strategy; of several sources the first one that comes is taken."""
        if bar.interval not in self.strategy.intervals or (self.share is not None and bar.market not in self.share):
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

    def _listen(self, markets: Sequence[str]) -> None:
        for kind in self.kinds:
            for market in markets or (None,):
                self.subscribe(kind, market, lossless=True)
        if self.strategy.intervals:
            self.spawn(self._ask_for_bars, markets, name="bars")

    def _leave(self, market: str) -> None:
        for kind in self.kinds:
            self.unsubscribe(kind, market)
        for key in [key for key in self.bars if key[0] == market]:
            del self.bars[key]

    async def _ask_for_bars(self, markets: Iterable[str]) -> None:
        """Have the bars built that nobody else has asked for."""
        wanted = [(market, interval) for market in markets for interval in self.strategy.intervals]
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
