"""`pandas` of strategies, where the operator has it prepared: tables and series, without files and evaluated text."""

from __future__ import annotations

import importlib
from typing import Any, Final

from actors.strategies.sandbox.inside.facade import Facade

NAMES: Final = (
    "DataFrame", "Series", "Index", "MultiIndex", "DatetimeIndex", "Timestamp", "Timedelta", "NaT", "NA", "concat",
    "merge", "to_datetime", "to_timedelta", "to_numeric", "isna", "isnull", "notna", "notnull", "date_range", "cut",
    "qcut", "unique", "Categorical", "Interval", "Period", "Grouper", "NamedAgg",
)  # fmt: skip
FORBIDDEN_ATTRIBUTES: Final[dict[str, str]] = {
    "eval": "it evaluates text: write the expression itself",
    "query": "it evaluates text: write frame[frame.column > value]",
}
"""Methods of tables that evaluate text with the names around it."""


def pandas_facade() -> Facade:
    """The facade, after pandas was used once. Raises ImportError where it is not installed."""
    pandas: Any = importlib.import_module("pandas")
    _use(pandas)
    return Facade("pandas", {name: getattr(pandas, name) for name in NAMES})


def _use(pandas: Any) -> None:
    index = pandas.date_range("2024-01-01", periods=30, freq="1min", tz="UTC")
    frame = pandas.DataFrame({"close": [float(n) for n in range(30)], "side": ["a", "b", "a"] * 10}, index=index)
    close = frame["close"]
    (
        close.rolling(5).mean(),
        close.ewm(span=5).mean(),
        close.pct_change(),
        close.shift(1),
        close.diff(),
        close.describe(),
    )
    close.rolling(5).std(), close.rolling(5).apply(lambda part: part[-1], raw=True), close.expanding().max()
    (
        frame.groupby("side")["close"].agg(["mean", "max"]),
        frame.resample("5min")["close"].last(),
        frame.sort_values("close"),
    )
    frame.iloc[-1], frame.loc[index[3]], frame.tail(3), frame.dropna(), frame.fillna(0), frame.corr(numeric_only=True)
    frame.merge(frame, on="side"), pandas.concat([frame, frame]), frame.to_dict(), frame.copy(), str(frame), repr(close)
    frame.apply(lambda row: row["close"], axis=1), close.quantile(0.5), close.rank(), close.cumsum(), close.clip(1, 2)
    (
        pandas.to_datetime(["2024-01-01"]),
        pandas.to_datetime([0], unit="ns", utc=True),
        pandas.Timestamp("2024-01-01").isoformat(),
    )
    (
        frame.pivot_table(index="side", values="close"),
        close.astype(int),
        close.to_numpy(),
        frame.reset_index(),
        close.map(str),
    )
    close.value_counts(), frame["side"].str.upper(), pandas.cut(close, 3), pandas.qcut(close, 3), close.interpolate()
