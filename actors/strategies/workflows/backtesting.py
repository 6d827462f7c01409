"""From a workflow to a backtest of it: what the jobs of backtests are asked."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors.strategies.bar_files import BarFileError, nanos_of
from actors.strategies.workflows.questions import Execution
from actors.strategies.workflows.rows import WorkflowVersionRow
from protocols.backtests import SubmitBacktest
from protocols.control import Refused

DAY_NS: Final = 86_400 * 10**9


def backtest_of(request: Execution, row: WorkflowVersionRow) -> SubmitBacktest:
    """The backtest of a compiled workflow over a data set. Raises Refused `invalid` with the field."""
    if not request.dataset_id:
        raise Refused("invalid", "expected the id of a data set", "dataset_id")
    since, until = _time(request.start_date, "start_date"), _time(request.end_date, "end_date")
    if since is not None and until is not None and until < since:
        raise Refused("invalid", "expected a date that is not before start_date", "end_date")
    timeframes = row.timeframes if len(row.timeframes) > 1 else (request.timeframe or row.timeframes[0],)
    spec: dict[str, Any] = {
        "strategy": {
            "name": row.workflow_id,
            "parameters": request.parameters,
            "timeframes": list(timeframes),
            "lookback": max(1, row.lookback),
            "settings": {"signal_cooldown": 0.0, **request.configuration},
        },
        "data": [{"dataset": request.dataset_id, "market": request.symbols[0] if len(request.symbols) == 1 else ""}],
        "since": since,
        "until": None if until is None else until + DAY_NS,
        "initial_capital": f"{request.initial_capital:.9f}".rstrip("0").rstrip("."),
    }
    return SubmitBacktest(
        spec=msgspec.Raw(msgspec.json.encode(spec)),
        name=row.name,
        strategy_id=row.workflow_id,
        source="workflow",
        request=msgspec.Raw(msgspec.json.encode({"strategy_id": row.workflow_id, "source": "workflow"})),
    )


def _time(text: str, field: str) -> int | None:
    if not text:
        return None
    try:
        return nanos_of(text)
    except BarFileError as error:
        raise Refused("invalid", str(error), field) from None
