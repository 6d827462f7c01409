"""Bars of a user's own file as tracks: the same files that backtests take. A core.

Prices are used as they stand. Where bars are missing the track ends and another begins, so that no episode spans the
gap. Instruments of a file have no definition: a tick and a lot of 10⁻⁹, and the fee that is given.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from actors.agents.environment.tracks import Track, unbroken
from actors.market.bars_intervals import parse_interval
from actors.market.tables.canonical import TableFile
from actors.market.tables.decimals import MISSING
from actors.market.tables.faults import TableError
from actors.market.tables.options import ReadOptions
from protocols.instruments import Instrument, PriceRange
from protocols.market import Bar
from protocols.nanos import NANO

HIGHEST = 2**63 - 1
PRICES = ("open", "high", "low", "close")


class BarFileError(ValueError):
    """The file has no bars to train on: what was expected, what came."""


def tracks_in(path: Path, *, market: str = "", interval: str = "", fee: str = "0.001") -> list[Track]:
    """The unbroken pieces of a CSV or parquet file of bars, the oldest first. `market`: which one of several.

    Raises BarFileError.
    """
    try:
        file = TableFile(path, ReadOptions(kind="bars", market=market, interval=interval))
        rows = [row for batch in file.batches() for row in batch.to_pylist()]
    except (TableError, OSError) as error:
        raise BarFileError(f"{path.name}: {error}") from error
    names = sorted({str(row.get("market") or "") for row in rows})
    if market and not rows and (others := _markets(path, interval)):
        raise BarFileError(f"market: expected one of {', '.join(others)[:200]}, got {market!r}")
    if len(names) > 1:
        raise BarFileError(f"market: the file has {len(names)}; expected one of {', '.join(names)[:200]}")
    name = market or (names[0] if names else "") or path.stem
    bars = _bars(rows, name, file.interval, file.source.marks, path.name)
    if not bars:
        raise BarFileError(f"{path.name}: expected bars, got none with all four prices")
    return [
        Track(name=f"{name}-{number}", instrument=_instrument(name, fee), bars=piece, marks=file.source.marks)
        for number, piece in enumerate(unbroken(bars), 1)
    ]


def _markets(path: Path, interval: str) -> list[str]:
    """The names in a file of several markets."""
    file = TableFile(path, ReadOptions(kind="bars", interval=interval))
    return sorted({str(row["market"]) for batch in file.batches() for row in batch.to_pylist() if row.get("market")})


def _bars(rows: list[dict[str, object]], market: str, interval: str, marks: tuple[str, ...], file: str) -> list[Bar]:
    length = parse_interval(interval).length
    found: dict[int, Bar] = {}
    for row in rows:
        start = row["start"]
        prices = [row[name] for name in PRICES]
        if not isinstance(start, int) or not all(isinstance(price, int) and price != MISSING for price in prices):
            continue
        volume = row.get("volume")
        bar = Bar(
            market=market,
            interval=interval,
            start=start,
            end=start + length,
            open=prices[0],  # type: ignore[arg-type]
            high=prices[1],  # type: ignore[arg-type]
            low=prices[2],  # type: ignore[arg-type]
            close=prices[3],  # type: ignore[arg-type]
            volume="" if volume is None else _plain(f"{volume:f}"),
            trades=None,
            vwap=None,
            source="venue",
            ts_recv=start + length,
            marks=marks,
        )
        if found.setdefault(start, bar) != bar:
            raise BarFileError(f"{file}: expected one bar at {start} ns, got two that differ")
        if bar.low <= 0:
            raise BarFileError(f"{file}: expected prices above 0, got {bar.low / NANO} at {start} ns")
        if not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
            raise BarFileError(f"{file}: expected low <= open, close <= high, got another order at {start} ns")
    return [found[start] for start in sorted(found)]


def _plain(decimal: str) -> str:
    """Without the zeros that a column's fixed scale adds."""
    return decimal.rstrip("0").rstrip(".") if "." in decimal else decimal


def _instrument(market: str, fee: str) -> Instrument:
    return Instrument(
        market=market,
        symbol=market,
        venue="file",
        kind="equity",
        currency="USD",
        price_ranges=(PriceRange(0, HIGHEST, 1),),
        lot=1,
        maker_fee=fee,
        taker_fee=fee,
        status="open",
        source="file",
    )


def split(track: Track, place: int) -> Track:
    """The part of a track before a bar: what may be trained on when the rest is held out."""
    return msgspec.structs.replace(track.until(place), name=f"{track.name}-before")
