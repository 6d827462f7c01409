"""One pass of a strategy over a span of data: from a specification and opened sources to a RunResult.

result, log = run_trusted(spec, sources)
result, log = drive(run_sandboxed(...))        # where the strategy is in a worker; see `sandboxed_run`
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from actors.execution.engine import Engine
from actors.market.bars_intervals import parse_interval
from actors.research.backtest.bar_making import BarMaker
from actors.research.backtest.merging import merged
from actors.research.backtest.recorder import OrderLog, Recorder, round_trip
from actors.research.backtest.recording_source import RecordingSource
from actors.research.backtest.session import Session
from actors.research.backtest.sources import Source
from actors.research.backtest.spec import BacktestSpec, SpecError
from actors.research.backtest.stream_view import StreamView, benchmark_of
from actors.research.backtest.trusted_run import TrustedRun
from actors.research.results import RoundTrip, RunResult
from actors.strategies.catalogue import StrategyError, make, source_of
from actors.strategies.composing import Composer
from protocols.nanos import decimal_text

OnProgress = Callable[[int, int], None]
"""Told after every batch: the time of the data, and how many messages there were."""

MINUTE: Final = "1m"


class Outcome(msgspec.Struct, frozen=True):
    """A finished pass: the result, its order log, and what the strategy has said (where the log was kept)."""

    result: RunResult
    log: OrderLog
    said: list[bytes]


class Stage:
    """What one pass stands on, for either kind of strategy."""

    def __init__(
        self,
        spec: BacktestSpec,
        sources: Sequence[Source],
        *,
        trade_from: int | None = None,
        keep_log: bool = True,
    ) -> None:
        self.spec = spec
        self.sources = sources
        self.view = StreamView(sources, spec.markets)
        self.engine = Engine(spec.engine())
        benchmark = benchmark_of(spec.markets or self.view.markets, spec.benchmark, self.view.intervals)
        self.recorder = Recorder(self.engine, benchmark, keep_log=keep_log)
        self.session = Session(
            spec,
            self.engine,
            self.recorder,
            by_bars=self.view.of_bars_alone,
            trade_from=trade_from,
            closing=self._closing() if spec.close_at_end else None,
        )
        self._began = time.perf_counter()

    def markets(self) -> tuple[str, ...]:
        """Those of the specification, or of all data."""
        if self.spec.markets:
            return self.spec.markets
        recorded = [source for source in self.sources if isinstance(source, RecordingSource)]
        return tuple(dict.fromkeys((*self.view.markets, *(each for source in recorded for each in source.markets()))))

    def maker(self, intervals: Sequence[str]) -> BarMaker:
        """Bars of these intervals out of the data. Raises SpecError for one that cannot be made."""
        try:
            maker = BarMaker(intervals, self.view.intervals, quotes_only=self.view.quotes_only)
        except ValueError as error:
            raise SpecError("interval", str(error)) from None
        for market, given in self.view.intervals.items():
            finest = min(parse_interval(name).length for name in given)
            for wanted in maker.wanted:
                if wanted.name not in given and (wanted.kind != "time" or wanted.length % finest):
                    names = ", ".join(sorted(given))
                    raise SpecError("interval", f"expected a multiple of {names} of {market}, got {wanted.name}")
        return maker

    def outcome(
        self, *, events: int, bars: int, parameters: dict[str, Any], warnings: Sequence[str] = (), run_id: str = ""
    ) -> Outcome:
        """The result, once the stream has ended."""
        session, recorder, spec = self.session, self.recorder, self.spec
        if not session.begun:
            raise SpecError("data", "expected at least one message in the span, got none")
        session.finish(session.last)
        account, counts = self.engine.account, recorder.counts
        hashes = tuple(source.content_hash for source in self.sources)
        equity = account.equity()
        series = recorder.equity(session.first, spec.capital)
        open_trades = [round_trip(trade) for trade in account.open_trades(session.last)]
        result = RunResult(
            run_id=run_id or spec.with_parameters(parameters).fingerprint(hashes),
            strategy=spec.strategy.name,
            family=spec.strategy.family_name,
            methodology="standard",
            data=tuple(source.name for source in self.sources),
            data_hashes=hashes,
            markets=tuple(sorted(session.defined)),
            parameters=parameters,
            settings=self._settings(),
            seed=spec.seed,
            currency=spec.currency,
            initial_capital=spec.initial_capital,
            final_equity="" if equity is None else decimal_text(equity),
            first=session.first,
            last=session.last,
            events=events,
            bars=bars,
            signals=session.signals,
            orders=counts["orders"],
            fills=counts["filled"],
            denied=counts["denied"],
            rejected=counts["rejected"],
            ambiguous=counts["ambiguous"],
            fees=decimal_text(account.fees_paid(spec.currency)),
            funding=decimal_text(account.funding_paid(spec.currency)),
            sampling="bar" if self.view.of_bars_alone else f"{spec.sample_s}s" if spec.sample_s != 60 else MINUTE,
            equity=series,
            benchmark=recorder.price(),
            price=recorder.price(),
            exposure=recorder.exposure,
            round_trips=self._placed([*recorder.trades, *open_trades], series.times().tolist()),
            order_hash=recorder.log.sha256,
            marks=tuple(sorted({mark for source in self.sources for mark in source.marks})),
            warnings=(*warnings, *self._warnings(equity)),
            elapsed_s=time.perf_counter() - self._began,
        )
        return Outcome(result, recorder.log, recorder.said)

    def _placed(self, trades: Sequence[RoundTrip], times: Sequence[int]) -> tuple[RoundTrip, ...]:
        """Trades with the numbers of the bars of their entry and exit, where samples are bars."""
        if not self.view.of_bars_alone:
            return tuple(trades)

        def place(ts: int) -> int | None:
            at = bisect_right(times, ts) - 1
            return at - 1 if at >= 0 and times[at] == ts else None

        return tuple(
            msgspec.structs.replace(trade, entry_bar=place(trade.entry_ts), exit_bar=place(trade.exit_ts))
            for trade in trades
        )

    def _closing(self) -> dict[str, int]:
        return {market: moment for source in self.sources for market, moment in source.closing.items()}

    def _settings(self) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.to_builtins(self.spec)
        for name in ("strategy", "data", "method", "name"):
            shown.pop(name, None)
        return shown

    def _warnings(self, equity: int | None) -> list[str]:
        found = []
        spec, recorder = self.spec, self.recorder
        if equity is None:
            found.append("the equity at the end is not known: a position has no price")
        if recorder.unpriced:
            found.append(f"{recorder.unpriced} samples of equity are left out: a position had no price")
        for code, count in sorted(recorder.declined.items()):
            if code not in ("hold", "no_position", "entries"):
                found.append(f"{count} signals became no order: {code}")
        found += [f"{count} orders were {kind}: {code}" for (kind, code), count in sorted(recorder.undone.items())]
        if spec.fills.fees.model == "instrument" and spec.market.taker_fee is None and not spec.instruments:
            found.append("no fees: none were given")
        unclosed = set(self.session.defined) - set(self._closing()) if spec.close_at_end else set()
        if unclosed:
            found.append(f"not closed at the end, which nobody knew beforehand: {', '.join(sorted(unclosed))}")
        return found


def run_trusted(
    spec: BacktestSpec,
    sources: Sequence[Source],
    *,
    trade_from: int | None = None,
    progress: OnProgress | None = None,
    keep_log: bool = True,
    run_id: str = "",
) -> Outcome:
    """A trusted strategy over the sources, once. Raises SpecError, SourceError, and whatever the strategy raises."""
    stage = Stage(spec, sources, trade_from=trade_from, keep_log=keep_log)
    markets = spec.markets or stage.view.markets  # of a recording none: it takes all
    name = spec.strategy.name
    try:
        strategy = make(name, spec.strategy.parameters, markets)
    except StrategyError as error:
        raise SpecError(f"strategy.{error.field}", error.message) from None
    composer = Composer(name, source_of(name), type(strategy).version, "backtest", {})
    run = TrustedRun(stage.session, stage.view, strategy, composer, stage.maker(strategy.intervals))
    for batch in merged(sources):
        run.feed(batch)
        if progress is not None:
            progress(stage.session.last, run.events)
    parameters: dict[str, Any] = msgspec.to_builtins(strategy.parameters)
    return stage.outcome(events=run.events, bars=run.bars, parameters=parameters, run_id=run_id)
