"""What a node and the process of one backtest say to each other, and the names of what that writes.

Apart from `job_main`, so that a node that only listens loads none of what computes.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors.research.backtest.family_ledger import Trial

REPORT: Final = "report.msgpack"
ORDERS: Final = "orders.jsonl"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done. `data_dir`: of the node, for its data sets."""

    spec: msgspec.Raw
    folder: str
    data_dir: str = ""
    run_id: str = ""


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is said. `outcome` ends: `completed`, or `failed` with code, message and field.

    `asks_trials`: those of the family are wanted, as they are now.
    """

    progress: float | None = None
    stage: str = ""
    trials: tuple[Trial, ...] = ()
    asks_trials: bool = False
    outcome: str = ""
    code: str = ""
    message: str = ""
    field: str = ""
    summary: dict[str, Any] = {}
    result_hash: str = ""
    order_hash: str = ""
    family_trials: int = 0
