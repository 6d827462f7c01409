"""Passes over spans of opened data, for whatever methodology asks for them; trusted in process, others in a worker."""

from __future__ import annotations

import gc
import importlib
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Protocol

from actors.research.backtest.opening import Opened
from actors.research.backtest.sandboxed_run import load_of
from actors.research.backtest.sandboxed_steps import sandboxed_steps
from actors.research.backtest.single import OnProgress, Outcome, Stage, run_trusted
from actors.research.backtest.sources import Source
from actors.research.backtest.spec import BacktestSpec, SpecError
from actors.research.backtest.trading_run import RanAheadTooFar
from actors.strategies.sandbox.wire import MOST_BATCH
from protocols.backtests import SANDBOX_THREAD

YOUNG: Final = 200_000
"""Objects that a collection waits for."""


class Passes(Protocol):
    """Runs a specification over [since, until); what is before `trade_from` only warms up."""

    def run(
        self,
        spec: BacktestSpec,
        since: int | None,
        until: int | None,
        *,
        trade_from: int | None = None,
        progress: OnProgress | None = None,
        keep_log: bool = False,
    ) -> Outcome:
        """One pass. Raises SpecError, SourceError, SandboxFailed, and what a trusted strategy raises."""
        ...


class LocalPasses:
    """Passes in this process, one after the other. To be used in a `with` block."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self._stack = ExitStack()
        self._sandbox: Any = None

    def __enter__(self) -> LocalPasses:
        # What a run makes by the million is in no cycle: to look for one among it takes a seventh of the time.
        self._stack.callback(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(YOUNG)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(
        self,
        spec: BacktestSpec,
        since: int | None,
        until: int | None,
        *,
        trade_from: int | None = None,
        progress: OnProgress | None = None,
        keep_log: bool = False,
    ) -> Outcome:
        """As Passes."""
        sources = self.opened.sources(since, until)
        return self.over(spec, sources, trade_from=trade_from, progress=progress, keep_log=keep_log)

    def over(
        self,
        spec: BacktestSpec,
        sources: list[Source],
        *,
        trade_from: int | None = None,
        progress: OnProgress | None = None,
        keep_log: bool = False,
        most: int = MOST_BATCH,
    ) -> Outcome:
        """One pass over these sources. `most`: inputs of a batch to a worker."""
        if not spec.strategy.sandboxed:
            return run_trusted(spec, sources, trade_from=trade_from, progress=progress, keep_log=keep_log)
        try:
            return self._sandboxed(spec, sources, trade_from, progress, keep_log, most)
        except RanAheadTooFar:
            return self._sandboxed(spec, sources, trade_from, progress, keep_log, 1)

    def _sandboxed(
        self,
        spec: BacktestSpec,
        sources: list[Source],
        trade_from: int | None,
        progress: OnProgress | None,
        keep_log: bool,
        most: int,
    ) -> Outcome:
        stage = Stage(spec, sources, trade_from=trade_from, keep_log=keep_log)
        markets = stage.markets()
        if not markets:
            raise SpecError("markets", "a strategy in the sandbox names its markets")
        load = load_of(spec, markets, lookback=spec.strategy.lookback)
        outcome: Outcome = self._thread().drive(
            load, lambda ready: sandboxed_steps(stage, ready, progress=progress, most=most)
        )
        return outcome

    def _thread(self) -> Any:
        if self._sandbox is None:
            # A shell of another capability is nobody's import: it is found by its name, as an actor is.
            module, _, name = SANDBOX_THREAD.partition(":")
            self._sandbox = self._stack.enter_context(getattr(importlib.import_module(module), name)())
        return self._sandbox
