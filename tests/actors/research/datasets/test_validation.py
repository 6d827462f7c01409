"""What a validation finds: each fault that is put into good data is found, in its rows, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.market.calendars import Calendar
from actors.market.tables.options import ReadOptions
from actors.research.datasets import holes
from actors.research.datasets.collected import Collected, collect
from actors.research.datasets.findings import Finding, ValidationReport
from actors.research.datasets.importing import as_table
from actors.research.datasets.reading import collected_of
from actors.research.datasets.table import MISSING, Table
from actors.research.datasets.validation import beyond, validate

NANO = 10**9
MINUTE = 60 * NANO
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MONDAY = 1_704_067_200 * NANO
"""2024-01-01."""


def bars(starts: Any, closes: Any, interval: str = "1m", **changed: Any) -> Table:
    start = np.asarray(starts, dtype=np.int64)
    close = np.asarray(closes, dtype=np.int64)
    length = {"1m": MINUTE, "1h": HOUR, "1d": DAY}[interval]
    columns = {
        "ts": start + length, "market": np.zeros(len(start), np.int32), "start": start, "end": start + length,
        "open": close.copy(), "high": close.copy(), "low": close.copy(), "close": close.copy(),
        "volume": np.ones(len(start)), "trades": np.full(len(start), MISSING), "vwap": np.full(len(start), MISSING),
    } | changed  # fmt: skip
    return Table(kind="bars", market="A", markets=("A",), interval=interval, columns=columns, content_hash="", name="a")


def walk(count: int, interval: str = "1m") -> Table:
    """Good bars: a seeded walk, from a Monday on."""
    length = {"1m": MINUTE, "1h": HOUR, "1d": DAY}[interval]
    close = np.round(100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 1e-3, count))), 4) * NANO
    return bars(MONDAY + np.arange(count) * length, close, interval)


def found(report: ValidationReport, kind: str) -> Finding:
    (finding,) = [each for each in report.findings if each.kind == kind]
    return finding


def test_good_bars_are_complete_and_valid_and_nothing_is_found() -> None:
    report = validate(walk(2000))
    assert (report.valid, report.completeness_score, report.quality_score, report.findings) == (True, 1.0, 1.0, ())
    assert {"duplicates", "holes", "ohlc", "steps", "outliers", "splits", "zone"} <= set(report.checked)


def damage_high(columns: dict[str, Any]) -> None:
    columns["high"][7] = columns["close"][7] - 1


def damage_low(columns: dict[str, Any]) -> None:
    columns["low"][[7, 9]] = columns["close"][[7, 9]] + 1


def no_price(columns: dict[str, Any]) -> None:
    columns["open"][7] = MISSING


def free(columns: dict[str, Any]) -> None:
    for name in ("open", "high", "low", "close"):
        columns[name][7] = 0


def negative_volume(columns: dict[str, Any]) -> None:
    columns["volume"][7] = -1.0


def no_volume(columns: dict[str, Any]) -> None:
    columns["volume"][7] = np.nan


def shifted(columns: dict[str, Any]) -> None:
    columns["start"][7] += 10 * NANO


def spike(columns: dict[str, Any]) -> None:
    for name in ("open", "high", "low", "close"):
        columns[name][7] *= 2


def repeated(columns: dict[str, Any]) -> None:
    for name in ("start", "open", "high", "low", "close"):
        columns[name][7] = columns[name][6]


def contradicted(columns: dict[str, Any]) -> None:
    columns["start"][7] = columns["start"][6]


@pytest.mark.parametrize(
    ("damage", "kind", "severity", "rows"),
    [
        (damage_high, "ohlc", "error", (8,)),
        (damage_low, "ohlc", "error", (8, 10)),
        (no_price, "missing", "error", (8,)),
        (free, "price", "warning", (8,)),
        (negative_volume, "size", "error", (8,)),
        (no_volume, "missing_volume", "warning", (8,)),
        (shifted, "steps", "warning", (8,)),
        (spike, "outliers", "warning", (8, 9)),
        (repeated, "duplicates", "warning", (8,)),
        (contradicted, "duplicates", "error", (8,)),
    ],
)
def test_each_fault_is_found_in_its_rows(
    damage: Callable[[dict[str, Any]], None], kind: str, severity: str, rows: tuple[int, ...]
) -> None:
    table = walk(500)
    damage(table.columns)
    report = validate(table)
    finding = found(report, kind)
    assert (finding.severity, finding.rows, finding.count) == (severity, rows, len(rows))
    assert finding.advice
    assert report.valid == (severity != "error")
    assert report.quality_score < 1.0


def test_the_quality_is_the_formula_that_is_written_down() -> None:
    table = walk(1000)
    table.columns["high"][:10] = table.columns["close"][:10] - 1
    table.columns["volume"][20:40] = np.nan
    report = validate(table)
    assert report.quality_score == pytest.approx(1.0 * (1 - 10 / 1000) * (1 - 0.5 * 20 / 1000), abs=1e-6)


def test_missing_bars_are_holes_and_lower_completeness() -> None:
    table = walk(1000)
    report = validate(table.take(np.r_[0:100, 130:500, 501:1000]))
    finding = found(report, "holes")
    assert finding.count == 31
    assert finding.examples == (
        "2024-01-01T01:40:00Z to 2024-01-01T02:10:00Z: 30", "2024-01-01T08:20:00Z to 2024-01-01T08:21:00Z: 1",
    )  # fmt: skip
    assert report.completeness_score == pytest.approx(0.969)


def test_nights_and_weekends_that_are_always_empty_are_no_holes_but_a_missing_day_is() -> None:
    hours = np.arange(0, 28 * 24)
    open_ = (hours // 24 % 7 < 5) & (hours % 24 >= 9) & (hours % 24 < 17)
    close = np.round(100 + np.sin(hours / 50), 4) * NANO
    table = bars(MONDAY + hours[open_] * HOUR, close[open_], "1h")
    assert holes.find(table).spans == []
    gone = table.take(np.flatnonzero(table.columns["start"] // DAY != (MONDAY + 8 * DAY) // DAY))
    assert holes.find(gone).missing == 8


def test_a_calendar_tells_holidays_and_half_days() -> None:
    new_york = Calendar("XNYS")
    sessions = new_york.sessions(1_732_492_800 * NANO, 1_733_184_000 * NANO)
    starts = np.concatenate([np.arange(each.opens, each.closes, MINUTE) for each in sessions])
    table = bars(starts, np.full(len(starts), 100 * NANO))
    assert [each.day for each in sessions] == ["2024-11-25", "2024-11-26", "2024-11-27", "2024-11-29", "2024-12-02"]
    assert holes.find(table, new_york).spans == []
    assert holes.find(table.take(np.r_[0:5, 9 : len(starts)]), new_york).missing == 4
    days = bars([each.opens // DAY * DAY for each in sessions], [1] * 5, "1d")
    assert holes.find(days, new_york).missing == 0
    assert holes.find(days.take(np.array([0, 1, 3, 4])), new_york).missing == 1


@pytest.mark.parametrize(("ratio", "told"), [(2.0, "2:1"), (0.1, "1:10"), (1.5, "3:2")])
def test_a_jump_over_night_near_a_simple_fraction_may_be_a_split(ratio: float, told: str) -> None:
    table = walk(200, "1d")
    for name in ("open", "high", "low", "close"):
        table.columns[name][100:] = table.columns[name][100:] / ratio
    finding = found(validate(table), "splits")
    assert (finding.rows, finding.examples) == ((101,), (f"2024-04-10T00:00:00Z: {told}",))
    assert not [each for each in validate(table).findings if each.kind == "outliers"]


def test_local_times_that_name_no_zone_are_suspected() -> None:
    hours = np.arange(0, 400 * 24)
    open_ = (hours // 24 % 7 < 5) & (hours % 24 >= 9) & (hours % 24 < 16)
    table = bars(MONDAY + hours[open_] * HOUR, np.full(int(open_.sum()), 100 * NANO), "1h")
    assert "opens at 09:00 in summer and winter" in found(validate(table, zoned=False), "zone").message
    assert not validate(table, zoned=True).findings
    told = validate(table, zoned=False, zone="Europe/Paris")
    assert not [each for each in told.findings if each.kind == "zone"]
    assert found(validate(walk(10), zoned=False), "zone").severity == "info"


def test_times_beside_the_sessions_of_a_calendar_are_suspected() -> None:
    new_york = Calendar("XNYS")
    sessions = new_york.sessions(MONDAY, MONDAY + 40 * DAY)
    starts = np.concatenate([np.arange(each.opens, each.closes, MINUTE) for each in sessions])
    good, local = (bars(starts - shift, np.full(len(starts), 100 * NANO)) for shift in (0, 5 * HOUR))
    assert not [each for each in validate(good, calendar=new_york).findings if each.kind == "zone"]
    assert "100% if +5 h were added" in found(validate(local, calendar=new_york), "zone").message


def test_robust_deviations_are_those_of_the_median() -> None:
    changes = np.r_[np.tile([-1.0, 1.0], 50), 100.0, -9.0]
    assert np.flatnonzero(beyond(changes, 6.0)).tolist() == [100, 101]
    assert np.flatnonzero(beyond(changes, 7.0)).tolist() == [100]
    mostly_still = np.r_[np.zeros(200), np.tile([-1.0, 1.0], 20), 100.0]
    assert np.flatnonzero(beyond(mostly_still, 15.0)).tolist() == [240]
    assert not beyond(np.zeros(100), 1.0).any()


def read(path: Path, *rows: str, **options: Any) -> Collected:
    path.write_text("\n".join(rows) + "\n")
    return collect(path, ReadOptions(**options))


def test_faults_of_quotes_and_trades_are_found(tmp_path: Path) -> None:
    quotes = read(tmp_path / "q.csv", "ts,bid,bid_size,ask,ask_size", "1704067200,2,1,1,1", "1704067201,1,-1,2,1")
    report = validate(as_table(quotes))
    assert {(each.kind, each.rows) for each in report.findings} == {("crossed", (1,)), ("size", (2,))}
    trades = read(tmp_path / "t.csv", "ts,price,size,id", "1704067200,1,1,a", "1704067201,1,0,b", "1704067202,,1,b")
    report = validate(as_table(trades))
    assert {(each.kind, each.rows) for each in report.findings} == {
        ("duplicates", (3,)), ("size", (2,)), ("missing", (3,)),
    }  # fmt: skip
    assert report.completeness_score == pytest.approx(2 / 3, abs=1e-6)


def test_what_reading_could_not_keep_is_found(tmp_path: Path) -> None:
    rows = ("ts,price,size", "1704067202,1.0000000001,1e11", "1704067200,99999999999,1")
    collected = read(tmp_path / "t.csv", *rows)
    report = validate(as_table(collected), faults=collected.faults)
    kinds = {each.kind: each.severity for each in report.findings}
    assert kinds == {"order": "info", "precision": "warning", "range": "error", "missing": "error"}


def test_findings_of_several_markets_are_told_together(tmp_path: Path) -> None:
    rows = [f"{1704067200 + at},{market},2,1" for at in range(3) for market in "AB"]
    report = validate(as_table(read(tmp_path / "q.csv", "ts,symbol,bid,ask", *rows)))
    finding = found(report, "crossed")
    assert (finding.count, finding.market, len(finding.examples)) == (6, "", 2)
    assert finding.rows == (1, 2, 3, 4, 5, 6)


# -- real files ----------------------------------------------------------------------------------------------


@pytest.mark.recordings
@pytest.mark.parametrize(
    ("name", "interval", "rows", "missing", "complete"),
    [
        ("bars-btcperp-1m-202201.csv.gz", "1m", 45_031, 0, 1.0),
        ("bars-gbpusd-1m-bid-201202.csv.gz", "1m", 30_117, 124, 0.9959),
        ("bars-eurusd-1h-2017.csv.gz", "1h", 6_225, 66, 0.9895),
        ("bars-btcusd-coinbase-1m.csv.gz", "1m", 12_423, 626_043, 0.0195),
    ],
)
def test_real_bars_are_read_and_their_holes_are_found(
    recordings: Path, name: str, interval: str, rows: int, missing: int, complete: float
) -> None:
    collected = collect(recordings / name)
    assert (collected.interval, collected.table.num_rows) == (interval, rows)
    report = validate(as_table(collected), zoned=collected.zoned, faults=collected.faults)
    assert report.valid
    assert report.completeness_score == pytest.approx(complete, abs=1e-4)
    assert sum(each.count for each in report.findings if each.kind == "holes") == missing
    assert not {"duplicates", "ohlc", "steps", "missing"} & {each.kind for each in report.findings}


@pytest.mark.recordings
def test_the_spy_bars_are_of_new_york_and_say_so_when_they_are_read_as_utc(recordings: Path) -> None:
    new_york = Calendar("XNYS")
    path = recordings / "bars-spy-1h-1998-2021.csv.gz"
    wrong = collect(path)
    report = validate(as_table(wrong), zoned=wrong.zoned, calendar=new_york)
    assert "if +4 h were added" in found(report, "zone").message
    assert "at 09:00 in summer and winter" in found(validate(as_table(wrong), zoned=wrong.zoned), "zone").message
    right = collect(path, ReadOptions(zone="America/New_York"))
    report = validate(as_table(right), zoned=right.zoned, zone=right.zone, calendar=new_york)
    assert found(report, "holes").examples == ("2002-09-11T13:00:00Z to 2002-09-11T15:00:00Z: 2",)
    assert report.completeness_score > 0.9999


@pytest.mark.recordings
def test_recordings_and_real_trades_are_valid(recordings: Path) -> None:
    for name, kind, rows in (
        ("kalshi-btcmaxy-20251104-0252.jsonl.gz", "l2", 1_107),
        ("kalshi-demo-session-20260701.jsonl.gz", "quotes", 414),
        ("cryptofeed-binance-futures.jsonl.zst", "trades", 91),
        ("kalshi-trades-spx-2026-01.parquet", "trades", 25_540),
    ):
        collected = collected_of(recordings / name, msgspec.convert({"kind": kind}, ReadOptions))
        assert (collected.kind, collected.table.num_rows) == (kind, rows)
        assert validate(as_table(collected), zoned=collected.zoned, faults=collected.faults).valid
