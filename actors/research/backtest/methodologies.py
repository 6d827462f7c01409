"""What a methodology makes of a strategy and its data: one run, walk-forward, cross-validation, Monte Carlo.

* `standard`: one run over the span. With a grid the best combination of the whole span is run: chosen and judged on the
  same data, which the result says.
* `walk_forward`: in each window the parameters are searched in training alone, then run on the first step of the test,
  which they have not seen; these are stitched to the curve that is shown.
* `cross_validation`: k parts in time, each once the test of what was chosen on the others, purged and embargoed.
* `monte_carlo`: one run, and what else could have come of it.

Every run, those of the trainings included, is a trial in the ledger before the metrics are worked out.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from actors.research.backtest.family_ledger import FamilyLedger, Purpose, sharpes, trial_of
from actors.research.backtest.opening import Opened
from actors.research.backtest.optimise import Search, Tell, search
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.report import BracketResult, FamilyShown, FoldResult, Report
from actors.research.backtest.single import Outcome
from actors.research.backtest.sources import Source, TableSource
from actors.research.backtest.spec import BacktestSpec, SpecError
from actors.research.backtest.trying import Fleet, Span, direction, fleet, joined, over_spans
from actors.research.datasets.table import Table
from actors.research.metrics.registry import by_key, evaluate, return_count
from actors.research.metrics.sample import Sample
from actors.research.results import RunResult, Series
from actors.research.statistics import monte_carlo, walk_forward
from actors.research.statistics.splits import time_folds
from actors.research.statistics.synthetic import Candles
from actors.research.statistics.walk_forward import WindowOutcome
from protocols.nanos import NANO

FITTED_HERE = "the parameters were chosen on the same data: nothing here is out of sample"
NOTHING_FITTED = "nothing was fitted: no parameters to choose from were given"


class Found(msgspec.Struct, frozen=True):
    """What a backtest came to, with the order log of its run (of a walk-forward: of all tests, one behind another)."""

    report: Report
    log: bytes


class Study:
    """One backtest under way."""

    def __init__(
        self,
        spec: BacktestSpec,
        opened: Opened,
        passes: LocalPasses,
        ledger: FamilyLedger,
        *,
        now: Callable[[], int],
        tell: Tell | None = None,
    ) -> None:
        """`now`: wall time in ns, for the ledger."""
        self.spec = spec
        self.opened = opened
        self.passes = passes
        self.ledger = ledger
        self._now = now
        self._tell = tell
        self._logs: list[bytes] = []
        self._shown: list[tuple[BacktestSpec, int | None]] = []
        """The passes that the result is made of: each with its own parameters and span; where its warm-up begins."""
        direction(spec.method.objective)

    def run(self) -> Found:
        """To its end. Raises SpecError, SourceError, SandboxFailed, NothingFound, and what a strategy raises."""
        began = time.perf_counter()
        method = self.spec.method.methodology
        extra: dict[str, Any] = {}
        if method == "walk_forward":
            run, extra = self._walk_forward()
        elif method == "cross_validation":
            run, extra = self._cross_validation()
        else:
            run, extra = self._whole()
        run = msgspec.structs.replace(run, methodology=method, warnings=(*self.opened.doubts, *run.warnings))
        if self.spec.method.both_brackets:
            extra["brackets"] = self._brackets()
        trials = self.ledger.trials(run.family)
        log = b"".join(self._logs)
        run = msgspec.structs.replace(run, trials=max(1, len(trials)), order_hash=hashlib.sha256(log).hexdigest())
        known = sharpes(trials, return_count(run))
        metrics = evaluate(run, periods=self.spec.periods, trial_sharpes=known if len(known) > 1 else None)
        if method == "monte_carlo" or self.spec.method.simulate:
            extra["monte_carlo"] = self._monte_carlo(run)
        family = FamilyShown(
            family=run.family,
            trials=len(trials),
            with_sharpe=len(known),
            variance=float(np.var(known, ddof=1)) if len(known) > 1 else None,
        )
        report = Report(
            spec=msgspec.to_builtins(self.spec),
            run=run,
            metrics=metrics,
            family=family,
            elapsed_s=time.perf_counter() - began,
            **extra,
        )
        return Found(report, log)

    # -- methodologies -----------------------------------------------------------------------------------------

    def _whole(self) -> tuple[RunResult, dict[str, Any]]:
        spec, span = self.spec, (self.spec.since, self.spec.until)
        found: Search | None = None
        if spec.method.grid:
            with fleet(self.opened, self.passes, spec.method.processes, [span]) as ships:
                found = search(spec, [span], ships, self.ledger, purpose="run", ts=self._now(), tell=self._part(0, 0.9))
            spec = spec.with_parameters(found.best)
        run = self._pass(spec, *span, purpose="run", begin=0.9 if found is not None else 0.0, end=1.0).result
        if found is not None:
            run = _warned(run, FITTED_HERE)
        return run, {"search": found}

    def _walk_forward(self) -> tuple[RunResult, dict[str, Any]]:
        spec, method = self.spec, self.spec.method
        first, last = self.opened.span()
        try:
            months = walk_forward.parse(method.walk_forward)
            windows = walk_forward.windows(
                first, last, *months, purge=int(method.purge_s * NANO), embargo=int(method.embargo_s * NANO)
            )
        except ValueError as error:
            raise SpecError("method.walk_forward", str(error).removeprefix("walk_forward: ")) from None
        outcomes: list[WindowOutcome] = []
        tests: list[RunResult] = []
        with fleet(self.opened, self.passes, method.processes, []) as ships:
            for place, window in enumerate(windows):
                span: Span = (window.train_start, window.train_end)
                part = self._part(place / len(windows), (place + 1) / len(windows), f"window {window.number}: ")
                chosen, trained = self._fitted([span], ships, part)
                own = spec.with_parameters(chosen)
                # What is not stitched is not run; what ends with the stitched part is known at that moment.
                test = self._pass(own, window.test_start, window.stitch_end + 1, purpose="test").result
                outcomes.append(
                    WindowOutcome(
                        window=window,
                        parameters=chosen,
                        in_sample=trained[0],
                        out_of_sample=test.equity,
                        trials=trained[1],
                    )
                )
                tests.append(test)
        run = joined(tests)
        periods = spec.periods or Sample.of(run, None, 0.0, None).periods
        shown = walk_forward.assess(outcomes, capital=spec.capital / NANO, periods=periods)
        run = msgspec.structs.replace(run, equity=shown.stitched)
        return (run if method.grid else _warned(run, NOTHING_FITTED)), {"walk_forward": shown}

    def _cross_validation(self) -> tuple[RunResult, dict[str, Any]]:
        spec, method = self.spec, self.spec.method
        first, last = self.opened.span()
        try:
            folds = time_folds(
                first, last, method.folds, purge=int(method.purge_s * NANO), embargo=int(method.embargo_s * NANO)
            )
        except ValueError as error:
            raise SpecError("method.folds", str(error).removeprefix("folds: ")) from None
        found: list[FoldResult] = []
        tests: list[RunResult] = []
        with fleet(self.opened, self.passes, method.processes, []) as ships:
            for place, fold in enumerate(folds):
                part = self._part(place / len(folds), (place + 1) / len(folds), f"fold {fold.number}: ")
                chosen, (_, trials, value) = self._fitted(list(fold.train), ships, part)
                test = self._pass(spec.with_parameters(chosen), *fold.test, purpose="test").result
                metric = by_key(evaluate(test, periods=spec.periods))[method.objective]
                found.append(
                    FoldResult(
                        fold=fold,
                        parameters=chosen,
                        trials=trials,
                        in_sample=value,
                        out_of_sample=metric.value,
                        reason=metric.reason,
                    )
                )
                tests.append(test)
        run = joined(tests)
        return (run if method.grid else _warned(run, NOTHING_FITTED)), {"folds": tuple(found)}

    def _monte_carlo(self, run: RunResult) -> monte_carlo.MonteCarlo:
        method = self.spec.method
        contracts = {}
        for market in run.markets:
            instrument = self.spec.instrument(market)
            tick = min(span.step for span in instrument.price_ranges)
            contracts[market] = monte_carlo.Contract(tick / NANO, instrument.multiplier / NANO)
        # Windows have parameters of their own: there is no one strategy to run over a path that never was.
        candles = self._candles() if len(self._shown) == 1 else None
        return monte_carlo.run(
            run,
            simulations=method.simulations,
            seed=self.spec.seed,
            methods=method.stress_methods or monte_carlo.METHODS,
            periods=self.spec.periods,
            contracts=contracts,
            candles=None if candles is None else candles[0],
            rerun=None if candles is None else lambda made: self._rerun(candles[1], made, run.parameters),
        )

    # -- parts -------------------------------------------------------------------------------------------------

    def _fitted(
        self, spans: Sequence[Span], ships: Fleet, part: Tell | None
    ) -> tuple[dict[str, Any], tuple[Series, int, float | None]]:
        """The parameters chosen in training, its equity with them, how many were tried, and the objective there."""
        spec = self.spec
        chosen: dict[str, Any] = {}
        trials, value = 1, None
        if spec.method.grid:
            found = search(spec, spans, ships, self.ledger, purpose="train", ts=self._now(), tell=part)
            chosen, trials, value = found.best, found.trials, found.value
        warm_up = int(spec.method.warm_up_s * NANO)
        trained = over_spans(self.passes, spec.with_parameters(chosen), spans, warm_up)
        if not spec.method.grid:
            value = by_key(evaluate(trained, periods=spec.periods))[spec.method.objective].value
            self._note(trained, "train")
        return chosen, (trained.equity, trials, value)

    def _pass(
        self,
        spec: BacktestSpec,
        since: int | None,
        until: int | None,
        *,
        purpose: Purpose,
        begin: float = 0.0,
        end: float = 0.0,
    ) -> Outcome:
        """One run of a span, in the ledger and with its order log. Progress goes from `begin` to `end`."""
        own = msgspec.structs.replace(spec, since=since, until=until)
        before = None if since is None else since - int(spec.method.warm_up_s * NANO)
        told: Any = None
        if self._tell is not None and end > begin:
            told = _Progress(self._tell, self.opened, since, until, begin, end)
        found = self.passes.run(own, before, until, trade_from=since, progress=told, keep_log=True)
        self._note(found.result, purpose)
        self._logs.append(found.log.bytes())
        self._shown.append((own, before))
        return found

    def _note(self, result: RunResult, purpose: Purpose) -> None:
        self.ledger.add([trial_of(result, self._now(), purpose=purpose)])

    def _part(self, begin: float, end: float, prefix: str = "") -> Tell | None:
        tell = self._tell
        if tell is None:
            return None
        return lambda share, what: tell(begin + (end - begin) * share, prefix + what)

    def _brackets(self) -> tuple[BracketResult, ...]:
        """What is shown, with the optimistic and the pessimistic fills."""
        found = []
        for bracket in ("optimistic", "", "pessimistic"):
            outcomes = [
                self.passes.run(own.with_bracket(bracket), before, own.until, trade_from=own.since, keep_log=True)
                for own, before in self._shown
            ]
            results = [outcome.result for outcome in outcomes]
            result = results[0] if len(results) == 1 else joined(results)
            metrics = by_key(evaluate(result, periods=self.spec.periods))
            found.append(
                BracketResult(
                    bracket=bracket or "as set",
                    final_equity=result.final_equity,
                    total_return=metrics["total_return"].value,
                    sharpe=metrics["sharpe"].value,
                    max_drawdown=metrics["max_drawdown"].value,
                    fills=result.fills,
                    trades=len(result.round_trips),
                    order_hash=hashlib.sha256(b"".join(outcome.log.bytes() for outcome in outcomes)).hexdigest(),
                )
            )
            self._note(result, "bracket")
        return tuple(found)

    def _candles(self) -> tuple[Candles, Table] | None:
        """The bars of the only market, and their table; None where there are others."""
        sources = self.opened.sources(self.spec.since, self.spec.until, keep=False)
        if len(sources) != 1 or not isinstance(sources[0], TableSource):
            return None
        table = sources[0].table
        if table.kind != "bars" or len(table.markets) != 1:
            return None
        columns = table.columns
        prices = {name: columns[name] / NANO for name in ("open", "high", "low", "close")}
        volume = np.nan_to_num(columns["volume"]) if "volume" in columns else np.zeros(len(table))
        return Candles(ts=columns["start"], volume=volume, **prices), table

    def _rerun(self, table: Table, made: Candles, parameters: dict[str, Any]) -> float:
        """Final return on made-up candles: a share. Their prices are brought to the tick of the instrument."""
        instrument = self.spec.instrument(table.markets[0])
        step = min(span.step for span in instrument.price_ranges)
        columns = dict(table.columns)
        for name in ("open", "high", "low", "close"):
            columns[name] = np.maximum(np.rint(getattr(made, name) * NANO / step).astype(np.int64) * step, step)
        columns["volume"] = made.volume
        columns["vwap"] = np.full(len(table), -(2**63))
        marks = tuple(sorted({*table.marks, "synthetic"}))
        own = msgspec.structs.replace(table, columns=columns, source=None, rows_of_source=None, marks=marks)
        spec = msgspec.structs.replace(
            self.spec, strategy=msgspec.structs.replace(self.spec.strategy, parameters=parameters)
        )
        sources: list[Source] = [TableSource(own)]
        equity = self.passes.over(spec, sources).result.equity.array()
        return float(equity[-1] / equity[0] - 1)


class _Progress:
    """From the time of the data to a share of the whole."""

    def __init__(
        self, tell: Tell, opened: Opened, since: int | None, until: int | None, begin: float, end: float
    ) -> None:
        self._tell = tell
        self._begin, self._end = begin, end
        spans = [source.span() for source in opened.sources(since, until)]
        known = [span for span in spans if span is not None]
        self._first = min((span[0] for span in known), default=0)
        self._last = max((span[1] for span in known), default=0)

    def __call__(self, ts: int, events: int) -> None:
        share = (ts - self._first) / (self._last - self._first) if self._last > self._first else 0.0
        self._tell(self._begin + (self._end - self._begin) * min(1.0, max(0.0, share)), f"{events} events")


def _warned(run: RunResult, warning: str) -> RunResult:
    return msgspec.structs.replace(run, warnings=(*run.warnings, warning))
