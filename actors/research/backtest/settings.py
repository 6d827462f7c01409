"""`[backtests]`: how many run at once, where, and for how long."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from protocols.backtests import BACKTESTS, RUNS
from runtime import Backoff, ChildSpec, HostOptions, dynamic_supervisor

SECTION: Final = "backtests"
Placement = Literal["local", "process", "ray"]
_BACKOFF: Final = Backoff(first_s=0.1, most_s=2.0)


class BacktestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[backtests]`."""

    processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """How many backtests run at a time, each in a process of its own."""
    waiting: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 1000
    """How many may wait for their turn; one more is refused."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=2_592_000)] = 86_400.0
    """How long one may take, in seconds; then it is ended."""
    placement: Placement | tuple[Placement, ...] = "local"
    """Whose child its process is: `local` (the node's), `process` (that of a worker of this machine), `ray` (that of a
    worker of the cluster: its data then have to be at the same path there); several of the last two: the first that
    can be had."""
    host: HostOptions = HostOptions()
    """What the worker of each needs, such as `cpus`, `memory_mb`, `spread`."""

    def __post_init__(self) -> None:
        if not self.placement or (not isinstance(self.placement, str) and "local" in self.placement):
            raise ValueError(
                f"placement: expected 'local', 'process', 'ray' or several of the last two, got {self.placement!r}"
            )


def specs(settings: BacktestSettings, data_dir: str) -> list[ChildSpec]:
    """The actor that keeps backtests (it answers the probe), and those that run."""
    return [
        dynamic_supervisor(RUNS.rpartition("/")[2], backoff=_BACKOFF),
        ChildSpec(
            name=BACKTESTS.rpartition("/")[2],
            actor="actors.research.backtest.jobs:Backtests",
            arguments={"settings": settings, "data_dir": data_dir},
            backoff=_BACKOFF,
        ),
    ]
