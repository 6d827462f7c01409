"""`[backtests]`: how many run at once, and for how long."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from protocols.backtests import BACKTESTS
from runtime import Backoff, ChildSpec

SECTION: Final = "backtests"


class BacktestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[backtests]`."""

    processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """How many backtests run at a time, each in a process of its own."""
    waiting: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 1000
    """How many may wait for their turn; one more is refused."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=2_592_000)] = 86_400.0
    """How long one may take, in seconds; then it is ended."""


def specs(settings: BacktestSettings, data_dir: str) -> list[ChildSpec]:
    """The actor that keeps backtests; it answers the probe."""
    return [
        ChildSpec(
            name=BACKTESTS.rpartition("/")[2],
            actor="actors.research.backtest.jobs:Backtests",
            arguments={"settings": settings, "data_dir": data_dir},
            backoff=Backoff(first_s=0.1, most_s=2.0),
        )
    ]
