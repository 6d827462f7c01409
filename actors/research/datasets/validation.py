"""What is wrong with a table of market data: each finding with its count, its first rows, and what to do.

    duplicates  two rows of one market and time     holes       bars that should be there
    ohlc        high or low inside open and close   steps       bars off the grid of their interval
    outliers    returns beyond 15 robust deviations splits      a night's jump near a simple fraction
    zone        times that look like local ones     price       zero or negative      missing  no value
    size        negative, or a trade of nothing     crossed     a bid above the ask

The robust deviation is 1.4826 times the median absolute deviation from the median (Rousseeuw and Croux, 1993).
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.market.bars_intervals import DAY, parse_interval
from actors.market.calendars import Calendar
from actors.market.tables.decimals import MISSING
from actors.market.tables.faults import CLAMPED, CUT, DROPPED, REPEATED_HOUR
from actors.research.datasets import holes as bar_holes
from actors.research.datasets.collected import OUT_OF_ORDER, REVERSED
from actors.research.datasets.columns import PRICES
from actors.research.datasets.findings import FIRST_ROWS, Finding, ValidationReport, scored
from actors.research.datasets.recorded import STALE
from actors.research.datasets.table import SIGNED, Table
from protocols.nanos import decimal_text

ROBUST: Final = 1.4826
BAR_DEVIATIONS: Final = 15.0
TICK_DEVIATIONS: Final = 40.0
LEAST_RETURNS: Final = 30
_NIGHT: Final = 4 * 3600 * 10**9
_LONGEST_NIGHT: Final = 10 * DAY
_SPLIT_WIDTH: Final = 0.03
_LEAST_SPLIT: Final = 1.3
_SPLITS: Final = tuple(
    sorted({Fraction(a, b) for a in range(2, 11) for b in (1, 2, 3)} | {Fraction(a) for a in (15, 20, 25, 30, 40, 50)})
)
_CHECKED: Final = {
    "bars": ("missing", "duplicates", "ohlc", "price", "size", "steps", "holes", "outliers", "splits", "zone"),
    "quotes": ("missing", "duplicates", "price", "size", "crossed", "outliers", "zone"),
    "trades": ("missing", "duplicates", "price", "size", "outliers", "zone"),
    "l2": ("missing", "price", "size", "zone"),
}
Mask = NDArray[np.bool_]


def validate(
    table: Table,
    *,
    zoned: bool | None = True,
    faults: Mapping[str, int] | None = None,
    calendar: Calendar | None = None,
    zone: str = "UTC",
) -> ValidationReport:
    """The findings of a table as it was read (before bars are cleaned).

    `zoned` False: its times named no zone. `faults`: what reading could not keep. `calendar`: when its markets are
    open; None: as the bars themselves tell. `zone`: the one that was told, or UTC.
    """
    found = _of_reading(faults or {})
    complete = 1.0
    shares: list[tuple[int, int]] = []
    found += _missing(table)
    found += _prices(table)
    for market in table.markets:
        one = table.of(market)
        rows = (
            np.arange(len(table))
            if len(table.markets) == 1
            else np.flatnonzero(table.columns["market"] == table.markets.index(market))
        )
        if table.kind == "bars":
            found += _bars(one, rows, market)
            holes = bar_holes.find(one, calendar, zone)
            found += holes.findings(market)
            shares.append((holes.present, holes.expected))
        else:
            found += _ticks(one, rows, market)
    found = _together(found)
    found += _zone(table, zoned or zone != "UTC", calendar)
    if table.kind == "bars":
        expected = sum(expected for _, expected in shares)
        complete = min(1.0, sum(present for present, _ in shares) / expected) if expected else 1.0
    elif len(table):
        complete = 1.0 - sum(each.count for each in found if each.kind == "missing") / len(table)
    return scored(len(table), max(0.0, complete), found, _CHECKED[table.kind])


def _together(findings: list[Finding]) -> list[Finding]:
    """What several markets have, as one finding that names them."""
    alike: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        alike.setdefault((finding.kind, finding.severity, finding.advice), []).append(finding)
    found: list[Finding] = []
    for group in alike.values():
        if len(group) == 1 or not all(finding.market for finding in group):
            found += group
            continue
        worst = sorted(group, key=lambda finding: -finding.count)
        count = sum(finding.count for finding in group)
        examples = tuple(f"{finding.market}: {finding.message}" for finding in worst[:FIRST_ROWS])
        rows = tuple(sorted(row for finding in group for row in finding.rows))[:FIRST_ROWS]
        message = f"{count} in {len(group)} markets"
        found.append(
            msgspec.structs.replace(worst[0], count=count, market="", message=message, rows=rows, examples=examples)
        )
    return found


# -- of reading ----------------------------------------------------------------------------------------------

_READING: Final[dict[str, tuple[str, Any, str, str]]] = {
    OUT_OF_ORDER: ("order", "warning", "{} rows were not in the order of time, and were put in it", "nothing"),
    REVERSED: ("order", "info", "the newest of {} rows was first; they were turned round", "nothing"),
    CUT: ("precision", "warning", "{} numbers have digits past 10^-9, which were cut off", "nothing, if that is noise"),
    DROPPED: ("range", "error", "{} prices are beyond 9.2 * 10^9 and are missing", "give prices in a larger unit"),
    CLAMPED: ("range", "error", "{} sizes are beyond 9.2 * 10^9 and were cut to that", "give sizes in a larger unit"),
    REPEATED_HOUR: ("zone", "warning", "{} local times are of an hour that the clocks showed twice; the earlier was "
                    "taken", "give times in UTC"),
    STALE: ("gap", "warning", "{} times a book was lost until its next snapshot", "leave those spans out"),
}  # fmt: skip


def _of_reading(faults: Mapping[str, int]) -> list[Finding]:
    found = []
    for name, count in faults.items():
        if count and name in _READING:
            kind, severity, message, advice = _READING[name]
            found.append(
                Finding(kind=kind, severity=severity, count=count, message=message.format(count), advice=advice)
            )
    return found


# -- every kind ----------------------------------------------------------------------------------------------


def _missing(table: Table) -> list[Finding]:
    columns, found = table.columns, []
    required = {
        "bars": ("start", *PRICES), "quotes": (), "trades": ("price", "size"), "l2": ("price",),
    }[table.kind]  # fmt: skip
    for name in required:
        found += _rows(
            columns[name] == MISSING, None, kind="missing", severity="error", market="",
            message=f"{{}} rows have no {name}", advice="they are left out of a backtest; fill them or drop them",
        )  # fmt: skip
    if table.kind == "bars":
        volume = np.isnan(columns["volume"])
        if volume.any() and not volume.all():
            found += _rows(
                volume, None, kind="missing_volume", severity="warning", market="",
                message="{} rows have no volume", advice="a volume of 0 is written as 0",
            )  # fmt: skip
    else:
        empty = columns["ts"] == MISSING
        found += _rows(
            empty, None, kind="missing", severity="error", market="",
            message="{} rows have no time", advice="drop them",
        )  # fmt: skip
    return found


def _prices(table: Table) -> list[Finding]:
    columns = table.columns
    prices = {"bars": PRICES, "quotes": ("bid", "ask"), "trades": ("price",), "l2": ("price",)}[table.kind]
    low = np.zeros(len(table), dtype=bool)
    for name in prices:
        low |= (columns[name] <= 0) & (columns[name] != MISSING)
    if table.kind == "l2":
        low &= columns["side"] != 0
    found = _rows(
        low, None, kind="price", severity="warning", market="", message="{} rows have a price of zero or less",
        advice="right for spreads and some futures; else drop the rows",
    )  # fmt: skip
    sizes = {"bars": ("volume",), "quotes": ("bid_size", "ask_size"), "trades": ("size",), "l2": ()}[table.kind]
    wrong = np.zeros(len(table), dtype=bool)
    for name in sizes:
        values = columns[name]
        wrong |= (values < 0) & (values != MISSING) if values.dtype != float else values < 0
    if table.kind == "trades":
        wrong |= columns["size"] == 0
    if table.kind == "l2":
        wrong |= (columns["size"] < 0) & ((columns["flags"] & SIGNED) == 0)
    found += _rows(
        wrong, None, kind="size", severity="error", market="", message="{} rows have a size that cannot be",
        advice="drop them",
    )  # fmt: skip
    return found


def _rows(mask: Mask, rows: NDArray[Any] | None, *, examples: tuple[str, ...] = (), **told: Any) -> list[Finding]:
    places = np.flatnonzero(mask)
    if not len(places):
        return []
    numbers = places[:FIRST_ROWS] if rows is None else rows[places[:FIRST_ROWS]]
    message = told.pop("message").format(len(places))
    first = tuple(int(number) + 1 for number in numbers)
    return [Finding(count=len(places), rows=first, message=message, examples=examples, **told)]


# -- bars ----------------------------------------------------------------------------------------------------


def _bars(table: Table, rows: NDArray[Any], market: str) -> list[Finding]:
    bars = table.columns
    start = bars["start"]
    there = np.ones(len(table), dtype=bool)
    for name in ("start", *PRICES):
        there &= bars[name] != MISSING
    found: list[Finding] = []
    repeats = np.r_[False, (start[1:] == start[:-1]) & (start[1:] != MISSING)]
    if repeats.any():
        equal = np.r_[False, np.ones(len(table) - 1, dtype=bool)]
        for name in PRICES:
            equal[1:] &= bars[name][1:] == bars[name][:-1]
        found += _rows(
            repeats & equal, rows, kind="duplicates", severity="warning", market=market,
            message="{} bars repeat the one before", advice="nothing: exact repeats are left out when read",
        )  # fmt: skip
        found += _rows(
            repeats & ~equal, rows, kind="duplicates", severity="error", market=market,
            message="{} bars begin when another one does, with other prices",
            advice="decide which is right; if the file holds several markets, name the column of the market",
        )  # fmt: skip
    high, low = bars["high"], bars["low"]
    outside = (high < np.maximum(bars["open"], bars["close"])) | (low > np.minimum(bars["open"], bars["close"]))
    found += _rows(
        (outside | (high < low)) & there, rows, kind="ohlc", severity="error", market=market,
        message="{} bars have a high or low inside of open and close",
        advice="look whether columns are mixed up; else drop these bars",
    )  # fmt: skip
    length = parse_interval(table.interval).length
    offsets = start[there] % min(length, DAY)
    if len(offsets):
        values, counts = np.unique(offsets, return_counts=True)
        usual = values[np.argmax(counts)]
        off = there & (start % min(length, DAY) != usual)
        # Bars of a day or longer follow the clocks of their market: there is no grid, but a day is never a half one.
        if length < DAY:
            found += _rows(
                off, rows, kind="steps", severity="warning", market=market,
                message=f"{{}} bars begin off the grid of {table.interval}", advice="say --interval, if that is not it",
            )  # fmt: skip
        else:
            places = np.flatnonzero(there)
            near = np.zeros(len(table), dtype=bool)
            gaps = np.diff(start[places])
            near[places[1:]] = (gaps > 0) & (gaps < length // 2)
            found += _rows(
                near, rows, kind="steps", severity="warning", market=market,
                message=f"{{}} bars are too near to the one before for {table.interval}",
                advice="say --interval, if that is not it; else drop the bars of another interval",
            )  # fmt: skip
    return found + _jumps(table, rows, market, there)


def _jumps(table: Table, rows: NDArray[Any], market: str, there: Mask) -> list[Finding]:
    """Outliers among the returns of closes, and splits."""
    bars = table.columns
    close, open_ = bars["close"].astype(float), bars["open"].astype(float)
    usable = there & (close > 0) & (open_ > 0)
    places = np.flatnonzero(usable)
    if len(places) <= LEAST_RETURNS:
        return []
    start, end = bars["start"][places], bars["end"][places]
    returns = _changes(close[places])
    splits = _splits(close[places], open_[places], start, end)
    wild = beyond(returns, BAR_DEVIATIONS)
    wild[list(splits)] = False
    mask = np.zeros(len(table), dtype=bool)
    mask[places[1:][wild]] = True
    examples = tuple(
        f"{_when(start[at + 1])}: {decimal_text(int(close[places[at]]))} to {decimal_text(int(close[places[at + 1]]))}"
        for at in np.flatnonzero(wild)[:3]
    )
    found = _rows(
        mask, rows, kind="outliers", severity="warning", market=market, examples=examples,
        message=f"{{}} closes are more than {BAR_DEVIATIONS:g} robust deviations from the one before",
        advice="compare them with another source; news does this, too",
    )  # fmt: skip
    if splits:
        mask = np.zeros(len(table), dtype=bool)
        mask[places[[at + 1 for at in splits]]] = True
        told = tuple(f"{_when(start[at + 1])}: {ratio}" for at, ratio in list(splits.items())[:FIRST_ROWS])
        found += _rows(
            mask, rows, kind="splits", severity="warning", market=market, examples=told,
            message="{} times a price jumped over night by nearly a simple fraction",
            advice="if these are splits, use adjusted prices",
        )  # fmt: skip
    return found


def _splits(close: NDArray[Any], open_: NDArray[Any], start: NDArray[Any], end: NDArray[Any]) -> dict[int, str]:
    """Places before a jump, and its ratio."""
    night = (start[1:] - end[:-1] >= _NIGHT) | (start[1:] // DAY != start[:-1] // DAY)
    night &= start[1:] - end[:-1] <= _LONGEST_NIGHT
    ratio = close[:-1] / open_[1:]
    found: dict[int, str] = {}
    for at in np.flatnonzero(night & (np.maximum(ratio, 1 / ratio) > _LEAST_SPLIT)):
        value = float(ratio[at])
        larger = max(value, 1 / value)
        nearest = min(_SPLITS, key=lambda split: abs(larger - split) / float(split))
        if abs(larger - nearest) / float(nearest) <= _SPLIT_WIDTH:
            a, b = nearest.numerator, nearest.denominator
            found[int(at)] = f"{a}:{b}" if value > 1 else f"{b}:{a}"
    return found


def _changes(prices: NDArray[Any]) -> NDArray[np.float64]:
    """Log returns; of prices that never leave 0 to 1 (probabilities) plain differences."""
    if len(prices) and prices.max() <= 1e9:
        return np.diff(prices)
    return np.diff(np.log(prices))


def beyond(changes: NDArray[np.float64], deviations: float) -> Mask:
    """Which changes are further from the median than so many robust deviations.

    Where most do not change at all the deviation is that of those that do.
    """
    if len(changes) < LEAST_RETURNS:
        return np.zeros(len(changes), dtype=bool)
    middle = float(np.median(changes))
    spread = float(np.median(np.abs(changes - middle)))
    if spread == 0:
        moved = np.abs(changes[changes != middle] - middle)
        spread = float(np.median(moved)) if len(moved) >= LEAST_RETURNS else 0.0
    if spread == 0:
        return np.zeros(len(changes), dtype=bool)
    return np.abs(changes - middle) > deviations * ROBUST * spread


# -- quotes, trades ------------------------------------------------------------------------------------------


def _ticks(table: Table, rows: NDArray[Any], market: str) -> list[Finding]:
    columns = table.columns
    found: list[Finding] = []
    if table.kind == "l2":
        return found
    same = np.ones(max(0, len(table) - 1), dtype=bool)
    for name, values in columns.items():
        if name != "ts":
            same &= values[1:] == values[:-1]
    numbered = "trade_id" in getattr(table.source, "column_names", ())
    if table.kind == "trades" and numbered:
        ids = np.array(table.source["trade_id"].take(np.arange(len(table)) if table.rows_of_source is None
                                                     else table.rows_of_source).to_pylist())  # fmt: skip
        _, first = np.unique(ids, return_index=True)
        repeated = np.ones(len(table), dtype=bool)
        repeated[first] = False
        repeated &= ids != ""
        severity, what = "error", "{} trades have the number of an earlier one"
    else:
        repeated = np.r_[False, same] if len(table) else same
        severity, what = "info", "{} rows are equal to the one before"
    found += _rows(
        repeated, rows, kind="duplicates", severity=severity, market=market, message=what,
        advice="drop them if the source cannot repeat itself",
    )  # fmt: skip
    if table.kind == "quotes":
        both = (columns["bid"] != MISSING) & (columns["ask"] != MISSING)
        found += _rows(
            both & (columns["bid"] > columns["ask"]), rows, kind="crossed", severity="error", market=market,
            message="{} quotes have a bid above the ask", advice="drop them; look whether bid and ask are mixed up",
        )  # fmt: skip
        prices = np.where(both, (columns["bid"].astype(float) + columns["ask"]) / 2, np.nan)
    else:
        prices = np.where(columns["price"] == MISSING, np.nan, columns["price"].astype(float))
    places = np.flatnonzero(np.nan_to_num(prices) > 0)
    if len(places) > LEAST_RETURNS:
        wild = beyond(_changes(prices[places]), TICK_DEVIATIONS)
        mask = np.zeros(len(table), dtype=bool)
        mask[places[1:][wild]] = True
        found += _rows(
            mask, rows, kind="outliers", severity="warning", market=market,
            message=f"{{}} prices are more than {TICK_DEVIATIONS:g} robust deviations from the one before",
            advice="compare them with another source",
        )  # fmt: skip
    return found


# -- time zone -----------------------------------------------------------------------------------------------


def _zone(table: Table, zoned: bool | None, calendar: Calendar | None) -> list[Finding]:
    """Times that name no zone; and whether they look like local ones."""
    if table.kind == "bars" and len(table):
        suspicion = bar_holes.zone_suspicion(table.of(table.markets[0]), calendar, zoned=zoned is not False)
        if suspicion:
            return [
                Finding(
                    kind="zone", severity="warning", count=1, message=suspicion,
                    advice="import it again with the zone that the times are in, such as --zone America/New_York",
                )
            ]  # fmt: skip
    if zoned is False:
        return [
            Finding(
                kind="zone", severity="info", count=1, message="the times name no zone; they were read as UTC",
                advice="say --zone, if that is not the right one",
            )
        ]  # fmt: skip
    return []


def _when(ts: Any) -> str:
    return f"{np.datetime64(int(ts), 'ns').astype('datetime64[s]')}Z"
