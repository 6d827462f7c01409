"""A strategy of the SDK that trades: between its inputs it is told what became of its orders and of its account.

Order of things at one moment: all market messages of the moment reach the engine, then the strategy is told of them one
by one (what it commands is done at once), then of what happened to its orders. That is what a node does, where the news
of an account takes one more step than the market's message.

While nothing of it works and the account stands still, its inputs depend on nothing that it does: the worker runs ahead
until its first command or signal. Should the account move all the same (a margin call), the pass is made again in
single steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Final

from actors.execution.account_views import account_shown, deploy_run
from actors.execution.engine_state import NEVER
from actors.market.book import Book
from actors.research.backtest.bar_making import BarMaker
from actors.research.backtest.sandboxed_run import COLLECT, Ask, Reply, SandboxedRun, Steps, Told, input_of
from actors.research.backtest.single import OnProgress, Stage
from actors.research.backtest.sources import Batch, expanded
from actors.research.backtest.spec import ACCOUNT, DEPLOYMENT
from actors.strategies.sandbox.orders import Desk
from actors.strategies.sandbox.wire import Failed, Input, Ready
from protocols.market import Bar, BookUpdate, Quote, Trade
from protocols.orders import OrderEvent

QUIET: Final = frozenset({BookUpdate, Quote, Trade, Bar})
"""Messages that move an account only through an order."""
MOST_WAITING: Final = 4096
"""Inputs that are read before the worker gets the first of them."""
MOST_AHEAD: Final = 16_384
Cause = Quote | Trade | Bar
_TOLD: Final = partial(tuple.__new__, Told)
"""A `Told` of three values: thousands of them at a time, without a call of Python for each."""
_MARKET: Final = attrgetter("market")


class RanAheadTooFar(Exception):
    """The account has moved while the worker ran ahead: what it said then is worth nothing."""


class TradingRun(SandboxedRun):
    """Feeds engine and worker, and the worker with news. `most` 1: single steps from the beginning to the end."""

    def __init__(self, stage: Stage, ready: Ready, maker: BarMaker, markets: Sequence[str], most: int) -> None:
        super().__init__(stage, ready, maker, markets, most)
        self.engine = stage.engine
        self._markets = tuple(markets)
        handled = ((Quote, self._quotes), (Trade, self._trades))
        self._kinds = frozenset(kind for kind, wanted in handled if wanted)
        """What it is told of as it comes; bars are made."""
        self._ahead: deque[Told] = deque()
        """Market messages that the engine has not got yet."""
        self._later: deque[tuple[int, Cause]] = deque()
        """What the strategy is to be told, and when."""
        self._news: deque[OrderEvent] = deque()
        self._desk: Desk | None = None

    def steps(self, batches: Iterator[Batch], progress: OnProgress | None) -> Steps:
        """As SandboxedRun."""
        session = self.session
        waiting = 0
        books: dict[str, Book] = {}
        for each in batches:
            batch = expanded(each, books)
            if not batch.ts:
                continue
            if not session.begun:
                session.begin(batch.ts[0], dict.fromkeys((*self._markets, *self.view.markets)))
                yield from self._deploy(batch.ts[0])
            if self._told_as_they_are(batch):
                told = self._kinds
                causes_of = [(each,) if type(each) in told else () for each in batch.messages]
                self._ahead.extend(map(_TOLD, zip(batch.ts, batch.messages, causes_of, strict=True)))
                waiting += sum(map(len, causes_of))
                if waiting >= MOST_WAITING or len(self._ahead) >= MOST_AHEAD:
                    yield from self._work()
                    waiting = 0
                rows: Iterable[tuple[int, Any]] = ()
            else:
                rows = zip(batch.ts, batch.messages, strict=True)
            for ts, message in rows:
                causes = self._causes(message)
                self._ahead.append(Told(ts, message, causes))
                waiting += len(causes)
                if waiting >= MOST_WAITING or len(self._ahead) >= MOST_AHEAD:
                    yield from self._work()
                    waiting = 0
            self.events += len(batch.ts)
            session.last = batch.ts[-1]
            if progress is not None:
                progress(session.last, self.events)
        yield from self._work()
        yield from self._until(session.last + session.latency + 1)

    def _told_as_they_are(self, batch: Batch) -> bool:
        """Whether the strategy is told of the quotes and trades of a batch alone: no bars, only markets that it has."""
        if self._bars or (self.view.wanted and not self.view.wanted.issuperset(map(_MARKET, batch.messages))):
            return False
        if batch.kind != "quotes":
            self.view.books.update({each.market for each in batch.messages if type(each) is BookUpdate})
        return True

    def _deploy(self, ts: int) -> Steps:
        deployment = self.engine.deployments[DEPLOYMENT]
        desk = self._desk = Desk(deploy_run(self.engine, deployment, ACCOUNT), self._markets)
        for instrument in self.engine.instruments.values():
            desk.define(instrument)
        yield from self._tell(desk.deploy_input(ts), None, ts)

    # -- running ahead -----------------------------------------------------------------------------------------

    def _work(self) -> Steps:
        """Everything that waits."""
        while self._ahead:
            yield from self._until(self._ahead[0].ts)
            count = self._quiet() if self._most > 1 else 0
            if count:
                yield from self._run_ahead(count)
            else:
                self._take(self._ahead.popleft())

    def _quiet(self) -> int:
        """How many of the messages that wait cannot move the account; 0 while something works."""
        if self.engine.blotter.open or self._later or self._news:
            return 0
        due = self.engine.due()
        until = NEVER if due is None else due
        inputs = count = 0
        for ts, message, causes in self._ahead:
            if type(message) not in QUIET or ts > until:
                break
            inputs += len(causes)
            if inputs > self._most:
                break
            count += 1
        return count

    def _run_ahead(self, count: int) -> Steps:
        """Batch after batch, as long as nothing is commanded.

        While the worker has one, the engine follows the one before and the next is made, to be handed over at once.
        """
        done: list[Told] = []
        ready, given = self._taken(count)
        while given:
            yield Ask(given, until_signal=True, begin=True)
            self._follow_heard(done)
            coming = self._taken(self._quiet())
            reply: Reply = yield COLLECT
            self._note(reply)
            handled = reply.count + isinstance(reply, Failed)
            if isinstance(reply, Failed):
                self._failed(reply)
            if handled < len(given) or reply.orders or reply.signals:
                self._ahead.extendleft(reversed(coming[0]))
                yield from self._stop_at(ready, handled, reply)
                return
            done = ready
            ready, given = coming
        self._follow_heard(done)
        self._follow_quietly(ready)

    def _taken(self, count: int) -> tuple[list[Told], tuple[Input, ...]]:
        """The next messages, and what the strategy is told because of them."""
        ready = [self._ahead.popleft() for _ in range(count)]
        latency = self.session.latency
        return ready, tuple([input_of(cause, told.ts + latency) for told in ready for cause in told.causes])

    def _stop_at(self, ready: list[Told], handled: int, reply: Reply) -> Steps:
        """The worker has stopped behind input `handled`; the engine gets there, and what it commanded is done."""
        place = stop = 0
        while place + len(ready[stop].causes) < handled:
            place += len(ready[stop].causes)
            stop += 1
        self._follow_quietly(ready[:stop])
        at = ready[stop]
        marks: tuple[str, ...] = ()
        for told in ready[:stop]:
            for cause in told.causes:
                self._heard(cause)
        self._enter(at)
        for cause in at.causes[: handled - place]:
            marks = self._heard(cause)
        moment = at.ts + self.session.latency
        self._later.extend((moment, cause) for cause in at.causes[handled - place :])
        self._ahead.extendleft(reversed(ready[stop + 1 :]))
        # Whatever else reaches the engine until then comes first.
        while self._ahead and self._ahead[0].ts <= moment:
            self._take(self._ahead.popleft())
        self.engine.advance(moment)
        self._collect()
        if self._news:
            raise RanAheadTooFar
        yield from self._done(reply, at.causes[handled - place - 1], marks, moment)

    def _follow_heard(self, done: Sequence[Told]) -> None:
        """The engine follows a batch that the strategy was told of, and said nothing to."""
        for _, _, causes in done:
            for cause in causes:
                if type(cause) is Quote and cause.marks is self._seen:
                    self._quote[cause.market] = cause
                else:
                    self._heard(cause)
        self._follow_quietly(done)

    def _follow_quietly(self, ready: Sequence[Told]) -> None:
        session = self.session
        market = self._markets[0] if len(self.view.markets) == 1 == len(self._markets) else ""
        alone: dict[type, Any] = {}
        quiet = False
        for told in ready:
            ts, message, _ = told
            if quiet and ts <= session.wake and (take := alone.get(type(message))) is not None:
                take(message, ts)
                continue
            self._enter(told)
            # While nothing works the market alone needs to know (see `trusted_run`).
            quiet = bool(market) and message.market == market and session.rests_until() is not None
            if quiet and not alone:
                known = session.engine.venue.market_of(market)
                # A quote that a book has made is the strategy's alone.
                alone = {BookUpdate: known.book, Quote: _nothing if market in self.view.books else known.quote}
        self._collect()
        if self._news:
            raise RanAheadTooFar

    # -- single steps ------------------------------------------------------------------------------------------

    def _take(self, told: Told) -> None:
        """The engine gets a message; the strategy is told of it later."""
        self._enter(told)
        moment = told.ts + self.session.latency
        self._later.extend((moment, cause) for cause in told.causes)
        self._collect()

    def _enter(self, told: Told) -> None:
        session, message, ts = self.session, told.message, told.ts
        if ts > session.wake:
            session.before(ts)
        if not self.view.takes(message.market):
            return
        if message.market not in session.defined:
            instrument = session.define(message.market, ts)
            if self._desk is not None:
                self._desk.define(instrument)
        self._match(message, ts)

    def _until(self, ts: int) -> Steps:
        """Everything before `ts`: what the engine has to do, what the strategy is told, what it says."""
        while True:
            due = self.engine.due()
            told = self._later[0][0] if self._later else None
            news = self._news[0].ts if self._news else None
            moment = min((each for each in (due, told, news) if each is not None), default=None)
            if moment is None or moment >= ts:
                return
            if due is not None and due <= moment:
                self.engine.advance(moment)
                self._collect()
            elif self._later and self._later[0][0] <= moment:
                _, cause = self._later.popleft()
                marks = self._heard(cause)
                yield from self._tell(input_of(cause, moment), cause, moment, marks)
            else:
                yield from self._tell_news(self._news.popleft())

    def _tell_news(self, event: OrderEvent) -> Steps:
        assert self._desk is not None
        shown = None
        if event.fill is not None:
            shown = account_shown(self.engine, self.engine.deployments[DEPLOYMENT])
        moment = max(event.ts, self.engine.now)
        yield from self._tell(self._desk.order_input(event, shown, moment), None, moment)

    def _tell(self, given: Input, cause: Cause | None, moment: int, marks: tuple[str, ...] = ()) -> Steps:
        reply = yield Ask((given,))
        self._note(reply)
        if isinstance(reply, Failed):
            self._failed(reply)
        yield from self._done(reply, cause, marks, moment)

    def _done(self, reply: Reply, cause: Cause | None, marks: tuple[str, ...], moment: int) -> Steps:
        """Do what the strategy said at `moment`."""
        for signal in reply.signals:
            self._act_now(signal, cause, marks, moment)
        if reply.orders:
            assert self._desk is not None
            taken = self._desk.commands(reply.orders, marks or self._known, moment)
            for command in taken.commands:
                if moment >= self.session.trade_from:
                    self.engine.handle(command, moment)
            self._collect()
            for refused in taken.refused:
                yield from self._tell(refused, None, moment)
        self._collect()

    def _act_now(self, said: Any, cause: Cause | None, marks: tuple[str, ...], moment: int) -> None:
        if (signal := self._signal(said, cause, marks, moment)) is not None:
            self.session.act_now(signal, moment)

    def _heard(self, cause: Cause) -> tuple[str, ...]:
        self._assess(cause)
        return self._marked(cause.marks)

    def _collect(self) -> None:
        """News of orders since the last time."""
        self._news.extend(
            event for event in self.session.recorder.drain() if event.order.order.deployment_id == DEPLOYMENT
        )


def _nothing(message: Quote, ts: int) -> None:
    """Not for the market."""
