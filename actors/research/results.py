"""What a run of a strategy over data came to: the shape that runners make, and metrics, reports and comparisons read.

Money is exact decimal text where it was booked; series for statistics are float64. Times are nanoseconds since the
Unix epoch, UTC.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

SCHEMA = 1


class RoundTrip(msgspec.Struct, frozen=True, kw_only=True):
    """A closed trade: from flat to flat (a flip ends one and begins the next).

    `size` is the largest quantity held (units), prices are means weighted by size, `pnl` is after fees. `mae`, `mfe`:
    the worst and best unrealised profit on the way, in money; None where no price was seen between. `open`: it was not
    closed, the end of the data was taken for its exit.
    """

    market: str
    side: Literal["long", "short"]
    size: float
    entry_ts: int
    entry_price: float
    exit_ts: int
    exit_price: float
    pnl: float
    return_: float
    """`pnl` over what the entry cost."""
    fees: float
    mae: float | None = None
    mfe: float | None = None
    entry_bar: int | None = None
    exit_bar: int | None = None
    exit_reason: str = ""
    deployment_id: str = ""
    open: bool = False


class Series(msgspec.Struct, frozen=True):
    """A time series, packed: int64 nanoseconds and float64 values, little-endian, of equal count."""

    ts: bytes
    values: bytes

    @classmethod
    def of(cls, ts: Any, values: Any) -> Series:
        """From anything that numpy makes arrays of. Raises ValueError where the lengths differ."""
        times = np.ascontiguousarray(ts, dtype="<i8")
        figures = np.ascontiguousarray(values, dtype="<f8")
        if times.shape != figures.shape or times.ndim != 1:
            raise ValueError(f"series: expected two rows of one length, got {times.shape} and {figures.shape}")
        return cls(times.tobytes(), figures.tobytes())

    def times(self) -> NDArray[np.int64]:
        """Nanoseconds."""
        return np.frombuffer(self.ts, dtype="<i8")

    def array(self) -> NDArray[np.float64]:
        """The values."""
        return np.frombuffer(self.values, dtype="<f8")


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """One run, whole. Equal inputs and seed give equal `order_hash`, in any process.

    `equity` is sampled at `sampling` ("bar", "1m", "1d" …), the starting capital first. `exposure`: the share of the
    samples with an open position. `order_hash`: SHA-256 of the order log (`order_log`: JSON lines of every order event
    and fill, in order). `trials`: how many runs its family had when it began, itself included.
    """

    run_id: str
    strategy: str
    family: str
    methodology: str
    data: tuple[str, ...]
    """Names of the data sets or recordings."""
    data_hashes: tuple[str, ...]
    markets: tuple[str, ...]
    parameters: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    seed: int = 0
    currency: str = "USD"
    initial_capital: str = "0"
    final_equity: str = "0"
    first: int = 0
    last: int = 0
    events: int = 0
    bars: int = 0
    signals: int = 0
    orders: int = 0
    fills: int = 0
    denied: int = 0
    rejected: int = 0
    ambiguous: int = 0
    fees: str = "0"
    funding: str = "0"
    sampling: str = "bar"
    equity: Series
    benchmark: Series | None = None
    """The benchmark's price (buy and hold of the first market unless one was named), at the samples of equity."""
    price: Series | None = None
    exposure: float | None = None
    round_trips: tuple[RoundTrip, ...] = ()
    order_hash: str = ""
    marks: tuple[str, ...] = ()
    """`synthetic`, `delayed` … of the data."""
    warnings: tuple[str, ...] = ()
    trials: int = 1
    elapsed_s: float = 0.0
    schema: int = SCHEMA
