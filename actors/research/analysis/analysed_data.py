"""Data that an order log is held against: named as for a backtest, or the backtest's own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from actors.research.backtest.opening import Opened
from actors.research.backtest.report import Report
from actors.research.backtest.sources import Source
from actors.research.backtest.spec import BacktestSpec, SpecError, spec_of
from protocols.control import Refused

_DATASET: Final = re.compile(r"[0-9a-f]{8,64}")


def data_spec(data: Sequence[str], markets: Sequence[str], **fields: Any) -> BacktestSpec:
    """What names data: files, folders and data sets, each with its market. Raises Refused."""
    if len(markets) > len(data):
        raise Refused("invalid", f"{len(markets)} markets for {len(data)} pieces of data", "market")
    pieces = []
    for place, text in enumerate(data):
        path = Path(text).exists() or not _DATASET.fullmatch(text)
        pieces.append({"path" if path else "dataset": text, "market": markets[place] if place < len(markets) else ""})
    try:
        return spec_of({"strategy": {"name": "analysis"}, "data": pieces, **fields})
    except SpecError as error:
        raise Refused("invalid", error.message, error.field) from None


def spec_of_report(report: Report, data_dir: Path) -> BacktestSpec | None:
    """The data that a backtest ran over; None: they are not there any more."""
    kept = report.spec
    try:
        spec = spec_of(
            {"strategy": {"name": "analysis"}, "data": kept.get("data"), "markets": kept.get("markets") or []}
        )
        Opened(spec, data_dir=data_dir)
    except SpecError:
        return None
    return spec


def sources_of(spec: BacktestSpec, data_dir: Path, *, until: int | None = None) -> list[Source]:
    """The data, from the beginning up to `until` (ns, exclusive). Raises Refused."""
    try:
        return Opened(spec, data_dir=data_dir).sources(None, until, keep=False)
    except SpecError as error:
        raise Refused("invalid", error.message, error.field) from None
