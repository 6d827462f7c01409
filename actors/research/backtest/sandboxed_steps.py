"""One pass of a sandboxed strategy as steps, for whoever speaks with its worker."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import msgspec

from actors.research.backtest.merging import merged
from actors.research.backtest.sandboxed_run import Ask, SandboxedRun
from actors.research.backtest.single import OnProgress, Outcome, Stage
from actors.research.backtest.trading_run import TradingRun
from actors.strategies.sandbox.wire import MOST_BATCH, Ready


def sandboxed_steps(
    stage: Stage,
    ready: Ready,
    *,
    progress: OnProgress | None = None,
    most: int = MOST_BATCH,
    run_id: str = "",
) -> Generator[Ask, Any, Outcome]:
    """A sandboxed strategy over the stage's sources, once. `most`: inputs of a batch; 1: single steps.

    Raises SpecError, SourceError, SandboxFailed, RanAheadTooFar.
    """
    markets = stage.markets()
    kind = TradingRun if ready.contract == "sdk" else SandboxedRun
    run = kind(stage, ready, stage.maker(stage.spec.strategy.timeframes), markets, most)
    yield from run.steps(merged(stage.sources), progress)
    return stage.outcome(
        events=run.events,
        bars=run.bars,
        parameters=msgspec.json.decode(ready.values or "{}"),
        warnings=run.warnings(),
        run_id=run_id,
    )
