"""A strategy in a locked worker over a stream: the worker runs ahead in batches, the engine follows.

A strategy that only gives signals knows nothing of the account, so what it says depends on the inputs alone: it is
handed up to 256 of them at once, and its signals are put in at their places when the engine gets there. One of the SDK
that trades is handed as many while none of its orders works, up to its first command; from there on one input at a
time, between what becomes of its orders, until nothing works any more. Both give what single steps give.

`steps` is a generator, since whoever speaks with the worker is an event loop and this is not: it yields inputs and is
sent the reply.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from actors.market.book import Book
from actors.research.backtest.bar_making import BarMaker
from actors.research.backtest.single import OnProgress, Stage
from actors.research.backtest.sources import Batch, expanded
from actors.research.backtest.spec import BacktestSpec, SpecError
from actors.strategies.package import Package
from actors.strategies.sandbox.drafts import SignalError
from actors.strategies.sandbox.failures import SandboxFailed
from actors.strategies.sandbox.inputs import bar_input, quote_input, trade_input
from actors.strategies.sandbox.wire import MOST_BATCH, Done, Failed, Input, Load, Ready, WireSignal
from actors.strategies.signal_path import SignalPath
from actors.strategies.status import EMPTY, Run
from protocols.control import Refused
from protocols.market import Bar, BookUpdate, Quote, Trade
from protocols.signals import Signal

LOG_BYTES: Final = 1_048_576
MOST_AHEAD: Final = 20_000
"""Market messages that wait for the worker, however few of them it is told."""


class Ask(NamedTuple):
    """What the worker is handed next."""

    inputs: tuple[Input, ...]
    until_command: bool = False
    until_signal: bool = False
    begin: bool = False
    """Hand them over and go on; COLLECT then gets the reply."""


COLLECT: Final = Ask(())
Reply = Done | Failed
Steps = Generator[Ask, Any, None]
"""What is handed over; sent in is the reply, None behind a `begin`."""


class Told(NamedTuple):
    """A market message, and what the strategy is told because of it."""

    ts: int
    message: Any
    causes: tuple[Quote | Trade | Bar, ...]


def load_of(spec: BacktestSpec, markets: Sequence[str], *, lookback: int) -> Load:
    """The request that loads the strategy of a specification."""
    strategy = spec.strategy
    return Load(
        id=1,
        strategy_id=strategy.name,
        version=strategy.version or "backtest",
        filename=strategy.filename,
        source=strategy.code,
        markets=windows_of(spec, markets),
        parameters=msgspec.Raw(msgspec.msgpack.encode(strategy.parameters)),
        lookback=lookback,
        every_bar=True,
        log_bytes=LOG_BYTES,
        live=False,
    )


def windows_of(spec: BacktestSpec, markets: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(market, timeframe) of each window that the strategy sees."""
    # Without a timeframe it has no bars, and is told of quotes and trades all the same.
    return tuple((market, timeframe) for market in markets for timeframe in spec.strategy.timeframes or ("",))


class SandboxedRun:
    """Feeds engine and worker. `most`: inputs of a batch; 1: single steps."""

    def __init__(self, stage: Stage, ready: Ready, maker: BarMaker, markets: Sequence[str], most: int) -> None:
        self.stage = stage
        self.session = stage.session
        self.view = stage.view
        self.maker = maker
        self.way = _path(stage.spec, markets)
        self.events = self.bars = self.errors = 0
        self.metrics: dict[str, float] = {}
        self.logs: list[str] = []
        self._quote: dict[str, Quote] = {}
        self._seen: tuple[str, ...] | None = None
        self._known: tuple[str, ...] = ()
        self._last: tuple[list[Told], dict[int, list[WireSignal]]] = [], {}
        """What the engine has not followed yet, and what was said of it."""
        self._most = most
        self._most_errors = stage.spec.strategy.most_errors
        self._quotes = "quote" in ready.handles
        self._trades = "trade" in ready.handles
        self._bars = bool(stage.spec.strategy.timeframes)
        self._intervals = frozenset(stage.spec.strategy.timeframes)

    def steps(self, batches: Iterator[Batch], progress: OnProgress | None) -> Steps:
        """The whole stream."""
        session = self.session
        ahead: list[Told] = []
        inputs: list[Input] = []
        books: dict[str, Book] = {}
        for each in batches:
            batch = expanded(each, books)
            if not batch.ts:
                continue
            if not session.begun:
                session.begin(batch.ts[0], self.view.markets)
            for ts, message in zip(batch.ts, batch.messages, strict=True):
                causes = self._causes(message)
                ahead.append(Told(ts, message, causes))
                if causes:
                    now = ts + session.latency
                    inputs += [input_of(cause, now) for cause in causes]
                if len(inputs) >= self._most or len(ahead) >= MOST_AHEAD:
                    yield from self._round(ahead, inputs)
                    ahead, inputs = [], []
            self.events += len(batch.ts)
            session.last = batch.ts[-1]
            session.recorder.drain()
            if progress is not None:
                progress(session.last, self.events)
        yield from self._round(ahead, inputs)
        self._follow_last()
        session.recorder.drain()

    def _round(self, ahead: list[Told], inputs: list[Input]) -> Steps:
        """Hand the inputs over; the engine follows the batch before meanwhile."""
        said: dict[int, list[WireSignal]] = {}
        base = 0
        if inputs:
            yield Ask(tuple(inputs[:MOST_BATCH]), begin=True)
        self._follow_last()
        while base < len(inputs):
            part = tuple(inputs[base : base + MOST_BATCH])
            reply: Reply = yield (Ask(part) if base else COLLECT)
            for signal in reply.signals:
                said.setdefault(base + signal.index, []).append(signal)
            self._note(reply)
            base += reply.count
            if isinstance(reply, Failed):
                self._failed(reply)
                base += 1
        self._last = ahead, said

    def _follow_last(self) -> None:
        ahead, said = self._last
        self._last = [], {}
        place = 0
        for told in ahead:
            place = self._follow(told, place, said)

    def _follow(self, told: Told, place: int, said: dict[int, list[WireSignal]]) -> int:
        """The engine gets a message; then what the strategy said of it is put in."""
        session, message, ts = self.session, told.message, told.ts
        if ts > session.wake:
            session.before(ts)
        market = message.market
        if not self.view.takes(market):
            return place
        if market not in session.defined:
            session.define(market, ts)
        self._match(message, ts)
        for cause in told.causes:
            self._assess(cause)
            marks = self._marked(cause.marks)
            for signal in said.get(place, ()):
                self._act(signal, cause, marks, ts + session.latency)
            place += 1
        return place

    def _match(self, message: Any, ts: int) -> None:
        engine, kind = self.session.engine, type(message)
        if kind is BookUpdate:
            engine.book(message, ts)
        elif kind is Quote:
            if message.market not in self.view.books:
                engine.quote(message, ts)
        elif kind is Trade:
            engine.trade(message, ts)
        elif kind is Bar:
            self.bars += 1
            if self.view.matches_bar(message):
                engine.bar(message, ts)
        else:
            engine.handle(message, ts)

    def _causes(self, message: Any) -> tuple[Quote | Trade | Bar, ...]:
        """What the strategy is told because of a message, in order."""
        kind = type(message)
        if kind is BookUpdate:
            self.view.books.add(message.market)
            return ()
        if kind not in (Quote, Trade, Bar) or not self.view.takes(message.market):
            return ()
        if kind is Quote and not self._bars:
            return (message,) if self._quotes else ()
        if kind is Bar:
            return tuple(self.maker.bar(message)) if self._bars else ()
        found: list[Quote | Trade | Bar] = []
        if (kind is Quote and self._quotes) or (kind is Trade and self._trades):
            found.append(message)
        if self._bars:
            if kind is Trade and message.market not in self.maker.given:
                found += self.maker.trade(message)
            elif kind is Quote and self.maker.takes_quotes(message.market):
                found += self.maker.quote(message)
        return tuple(found)

    def _assess(self, cause: Quote | Trade | Bar) -> None:
        """Tell the assessor; of quotes only the last before a bar or a signal counts, so the others are left out."""
        if type(cause) is Quote:
            self._quote[cause.market] = cause
        elif isinstance(cause, Bar):
            if (quote := self._quote.pop(cause.market, None)) is not None:
                self.way.assessor.quote(quote)
            self.way.assessor.bar(cause)

    def _marked(self, marks: tuple[str, ...]) -> tuple[str, ...]:
        """The marks of what these lead to."""
        if marks is not self._seen:
            self._seen = marks
            self._known = self.way.marks.of(marks)
        return self._known

    def _act(self, said: WireSignal, cause: Quote | Trade | Bar, marks: tuple[str, ...], now: int) -> None:
        signal = self._signal(said, cause, marks, now)
        if signal is not None:
            self.session.act(signal, now)

    def _signal(
        self, said: WireSignal, cause: Quote | Trade | Bar | None, marks: tuple[str, ...], now: int
    ) -> Signal | None:
        for quote in self._quote.values():
            self.way.assessor.quote(quote)
        self._quote.clear()
        try:
            return self.way.signal(said, cause, marks, now)
        except SignalError as error:
            self.session.recorder.declined[f"invalid_{error.field}"] += 1
            return None

    def _note(self, reply: Reply) -> None:
        self.logs += [line.text for line in reply.logs][: max(0, 100 - len(self.logs))]
        self.metrics |= {metric.name: metric.value for metric in reply.metrics}

    def _failed(self, reply: Failed) -> None:
        self.errors += 1
        if self.errors > self._most_errors:
            at = f" (line {reply.line})" if reply.line else ""
            raise SandboxFailed("failed", f"{reply.error}: {reply.message}{at}")

    def warnings(self) -> list[str]:
        """What the result has to say of it."""
        found = [f"the strategy raised {self.errors} exceptions"] if self.errors else []
        for name, count in self.way.gate.figures():
            if count and name not in ("gate_judged", "gate_passed"):
                found.append(f"{count} signals were held back by the gate: {name.removeprefix('gate_')}")
        return found


def input_of(cause: Quote | Trade | Bar, now: int) -> Input:
    """What a worker is told of a message."""
    if isinstance(cause, Quote):
        return quote_input(cause, now)
    return bar_input(cause, now) if isinstance(cause, Bar) else trade_input(cause, now)


def _path(spec: BacktestSpec, markets: Sequence[str]) -> SignalPath:
    strategy = spec.strategy
    package = Package(
        strategy_id=strategy.name,
        source="own",
        name=strategy.name,
        version=strategy.version or "backtest",
        code=strategy.code,
        main_file=strategy.filename,
    )
    run = Run(
        package=package,
        markets=tuple(markets),
        windows=windows_of(spec, markets),
        parameters=msgspec.Raw(msgspec.json.encode(strategy.parameters)),
        settings=msgspec.Raw(msgspec.json.encode(strategy.settings)),
        interval_s=None,
        exchange="backtest",
        exchanges=(),
        own=True,
        state=None,
        gate=EMPTY,
        count=0,
        error_budget=0,
        call_s=0.0,
        load_s=0.0,
        cpu_share=1.0,
        log_bytes=LOG_BYTES,
    )
    try:
        return SignalPath(strategy.name, run)
    except Refused as refused:
        raise SpecError(f"strategy.settings.{refused.field or ''}".rstrip("."), refused.message) from None
