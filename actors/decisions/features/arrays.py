"""Features over arrays of bars, for training and tables: the same builder, bar by bar. A core."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actors.decisions.features.checking import FeatureError
from actors.decisions.features.market import MarketFeatures

COLUMNS = ("open", "high", "low", "close", "volume", "ts_end")


def over(
    open: ArrayLike,
    high: ArrayLike,
    low: ArrayLike,
    close: ArrayLike,
    volume: ArrayLike,
    ts_end: ArrayLike,
    features: MarketFeatures | None = None,
) -> NDArray[np.float64]:
    """(n, 29): the features at the end of each of n bars, NaN where missing. A volume of NaN is not known.

    `ts_end` are integers (ns). `features`: go on from there, and leave it at the last bar. Raises FeatureError for
    columns of different lengths, and for a bar that cannot be.
    """
    builder = features or MarketFeatures()
    columns = [np.asarray(each) for each in (open, high, low, close, volume, ts_end)]
    for name, column in zip(COLUMNS, columns, strict=True):
        if column.ndim != 1 or len(column) != len(columns[0]):
            raise FeatureError(name, f"an array of {len(columns[0])} values", column.shape)
    if columns[5].dtype.kind not in "iu" and len(columns[5]):
        raise FeatureError("ts_end", "integers of nanoseconds", columns[5].dtype.name)
    found = np.empty((len(columns[0]), 29))
    for place, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        opened, highest, lowest, closed, traded, ended = row
        builder.bar(opened, highest, lowest, closed, None if traded != traded else traded, ended)
        found[place] = builder.observation(ended).values
    return found
