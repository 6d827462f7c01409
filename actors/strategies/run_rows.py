"""What happened to strategies that run, as rows: which run, with what, and why one ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final, Literal

import msgspec

from protocols.control import Row

STRATEGY_RUNS: Final = "strategy_runs"

Event = Literal["started", "stopped", "configured", "swapped", "failed", "barred", "lifted"]


class StrategyRunRow(Row, frozen=True, gc=False, kw_only=True, tag="strategy_run_row"):
    """One event. `entry` is what runs, a JSON object (`Entry`)."""

    table: ClassVar[str] = "strategy_runs"
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    ts: int
    strategy_id: str
    event: Event
    source: str
    version: str
    execution_id: str
    reason: str
    entry: msgspec.Raw


class Remembered(msgspec.Struct, frozen=True):
    """What the rows say of one strategy: what was to run, whether it was running, and why not."""

    entry: dict[str, Any]
    version: str
    running: bool
    reason: str
    barred: bool


def remembered(rows: Iterable[StrategyRunRow]) -> dict[str, Remembered]:
    """Fold rows, in the order of `seq`, into what they say of each strategy now."""
    found: dict[str, Remembered] = {}
    for row in rows:
        entry = msgspec.json.decode(row.entry)
        before = found.get(row.strategy_id)
        barred = before.barred if before is not None else False
        running = before.running if before is not None else False
        reason = ""
        if row.event in ("started", "swapped"):
            running, barred = True, False
        elif row.event == "stopped":
            running = False
        elif row.event in ("failed", "barred"):
            running, barred, reason = False, row.event == "barred", row.reason
        elif row.event == "lifted":
            barred = False
        found.pop(row.strategy_id, None)
        found[row.strategy_id] = Remembered(entry, row.version, running, reason, barred)
    return found
