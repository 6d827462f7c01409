"""Figures of a data set: of every column, of returns, of time."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.market.tables.decimals import MISSING
from actors.market.tables.schema import COLUMNS
from actors.research.datasets.table import Table
from protocols.nanos import NANO, decimal_text

QUANTILES: Final = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MOST_MARKETS: Final = 1000


class ColumnStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """`minimum` and `maximum` are exact digits (times: RFC 3339); the others float64, None where there is no row."""

    name: str
    form: str
    count: int
    missing: int
    minimum: str | None = None
    maximum: str | None = None
    mean: float | None = None
    standard_deviation: float | None = None
    quantiles: dict[str, float] = {}


class ReturnStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Of log returns from one close (price, mid) of a market to its next one; kurtosis is raw (3: normal)."""

    count: int
    mean: float
    standard_deviation: float
    skewness: float
    kurtosis: float
    smallest: float
    largest: float
    unchanged: int


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `rows_per_day` is over the days from the first to the last row."""

    rows: int
    first: str | None
    last: str | None
    days: float
    rows_per_day: float | None
    columns: tuple[ColumnStatistics, ...]
    returns: ReturnStatistics | None
    rows_by_market: dict[str, int]
    """The thousand with the most."""


def statistics(table: Table) -> Statistics:
    """The figures of a table as it was read."""
    columns = []
    for name, form in COLUMNS[table.kind].items():
        if form in ("time", "price", "size", "volume", "integer") and name in table.columns:
            columns.append(_column(name, form, table.columns[name]))
    ts = table.columns["ts"][table.columns["ts"] != MISSING]
    days = float(ts[-1] - ts[0]) / (86_400 * NANO) if len(ts) else 0.0
    counts = np.bincount(table.columns["market"], minlength=len(table.markets))
    most = np.argsort(-counts, kind="stable")[:MOST_MARKETS]
    return Statistics(
        rows=len(table),
        first=_time(ts[0]) if len(ts) else None,
        last=_time(ts[-1]) if len(ts) else None,
        days=round(days, 6),
        rows_per_day=round(len(table) / days, 6) if days else None,
        columns=tuple(columns),
        returns=_returns(table),
        rows_by_market={table.markets[at]: int(counts[at]) for at in most},
    )


def _column(name: str, form: str, values: NDArray[Any]) -> ColumnStatistics:
    there = values[~np.isnan(values)] if form == "volume" else values[values != MISSING]
    missing = len(values) - len(there)
    if not len(there):
        return ColumnStatistics(name=name, form=form, count=0, missing=missing)
    low, high = there.min(), there.max()
    if form == "time":
        return ColumnStatistics(
            name=name, form=form, count=len(there), missing=missing, minimum=_time(low), maximum=_time(high)
        )
    figures = there / NANO if form in ("price", "size") else there.astype(float)
    quantiles = dict(zip(map(str, QUANTILES), map(float, np.quantile(figures, QUANTILES)), strict=True))

    def shown(value: Any) -> str:
        if form in ("price", "size"):
            return decimal_text(int(value))
        return repr(float(value)) if form == "volume" else str(int(value))

    return ColumnStatistics(
        name=name,
        form=form,
        count=len(there),
        missing=missing,
        minimum=shown(low),
        maximum=shown(high),
        mean=float(figures.mean()),
        standard_deviation=float(figures.std(ddof=1)) if len(figures) > 1 else None,
        quantiles=quantiles,
    )


def _returns(table: Table) -> ReturnStatistics | None:
    columns = table.columns
    if table.kind == "bars":
        prices = columns["close"].astype(float)
    elif table.kind == "trades":
        prices = columns["price"].astype(float)
    elif table.kind == "quotes":
        both = (columns["bid"] != MISSING) & (columns["ask"] != MISSING)
        prices = np.where(both, (columns["bid"].astype(float) + columns["ask"]) / 2, 0.0)
    else:
        return None
    order = np.argsort(columns["market"], kind="stable")
    usable = order[prices[order] > 0]
    same = columns["market"][usable][1:] == columns["market"][usable][:-1]
    returns = np.diff(np.log(prices[usable]))[same]
    deviation = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
    if len(returns) < 2 or deviation == 0.0:
        return None
    centred = (returns - returns.mean()) / returns.std()
    return ReturnStatistics(
        count=len(returns),
        mean=float(returns.mean()),
        standard_deviation=deviation,
        skewness=float((centred**3).mean()),
        kurtosis=float((centred**4).mean()),
        smallest=float(returns.min()),
        largest=float(returns.max()),
        unchanged=int((returns == 0).sum()),
    )


def _time(ts: Any) -> str:
    return f"{np.datetime64(int(ts), 'ns')}Z"
