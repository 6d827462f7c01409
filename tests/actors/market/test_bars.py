"""The core of bars: borders, late trades, empty bars, exact sums; and recorded trades against a plain aggregation."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.market.bars import MOST_EMPTY, CountBars, TimeBars, merged, volume_nanos
from actors.market.bars_intervals import DAY, SECOND, parse_interval
from actors.market.bars_kept import KeptBars, KeptTrades
from actors.market.bars_market import EventClock, MarketBars, event_time
from actors.market.calendars import Calendar
from protocols.market import Bar, Quote, Trade
from protocols.nanos import NANO, exact_nanos

MINUTE = 60 * SECOND
T0 = 1_700_000_040 * SECOND  # a full minute
PRICE = 500_000_000


def trade(ts: int, price: int = PRICE, size: int = NANO, marks: tuple[str, ...] = ()) -> Trade:
    return Trade("M", price, size, "buy", "", "s", 1, ts, ts + 1, marks=marks)


def one(interval: str = "1m", grace: int = 0) -> TimeBars:
    return TimeBars("M", parse_interval(interval), "trades", grace)


def test_a_bar_holds_its_start_and_not_its_end() -> None:
    bars = one()
    bars.take(1, NANO, T0)
    bars.take(2, NANO, T0 + MINUTE - 1)
    bars.take(3, NANO, T0 + MINUTE)
    assert bars.advance(T0 + MINUTE - 1, 0) == []
    first, second = bars.advance(T0 + 2 * MINUTE, 7)
    assert (first.start, first.end, first.open, first.high, first.low, first.close) == (T0, T0 + MINUTE, 1, 2, 1, 2)
    assert (first.volume, first.trades, first.vwap, first.ts_recv) == ("2", 2, 2, 7)
    assert (second.start, second.close, second.volume) == (T0 + MINUTE, 3, "1")


def test_open_and_close_are_by_event_time_and_by_arrival_where_that_is_equal() -> None:
    bars = one()
    for price, second in ((5, 10), (7, 2), (6, 2), (8, 30), (9, 30), (4, 20)):
        bars.take(price, NANO, T0 + second * SECOND)
    (bar,) = bars.advance(T0 + MINUTE, 0)
    assert (bar.open, bar.close, bar.high, bar.low) == (7, 9, 9, 4)


def test_a_trade_behind_its_bars_end_is_counted_and_changes_nothing() -> None:
    bars = one(grace=SECOND)
    bars.take(5, NANO, T0)
    bars.take(6, NANO, T0 + MINUTE)
    assert bars.advance(T0 + MINUTE, 0) == []
    bars.take(4, NANO, T0 + MINUTE - 1)  # within the grace
    (first,) = bars.advance(T0 + MINUTE + SECOND, 0)
    assert (first.low, first.volume, first.late) == (4, "2", 0)
    bars.take(1, NANO, T0 + 1)
    bars.take(1, NANO, T0 + 2)
    (second,) = bars.advance(T0 + 2 * MINUTE + SECOND, 0)
    assert (second.low, second.volume, second.late, bars.late) == (6, "1", 2, 2)


def test_a_bar_without_a_trade_repeats_the_close_and_says_so() -> None:
    bars = one()
    bars.take(5, NANO, T0, ("synthetic",))
    bars.take(6, NANO, T0 + 3 * MINUTE)
    first, *empty, last = bars.advance(T0 + 4 * MINUTE, 0)
    assert [bar.start for bar in empty] == [T0 + MINUTE, T0 + 2 * MINUTE]
    for bar in empty:
        assert (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades, bar.vwap) == (5, 5, 5, 5, "0", 0, None)
        assert bar.empty
        assert "synthetic" in bar.marks
    assert not first.empty
    assert not last.empty


def test_a_silence_of_years_is_a_hole_and_no_flood_of_bars() -> None:
    bars = one("1s")
    bars.take(5, NANO, T0)
    assert len(bars.advance(T0 + SECOND, 0)) == 1
    bars.take(6, NANO, T0 + 1000 * DAY)
    found = bars.advance(T0 + 1000 * DAY + SECOND, 0)
    assert [bar.close for bar in found] == [6]
    assert bars.holes == 1
    bars.take(7, NANO, T0 + 1000 * DAY + MOST_EMPTY * SECOND)
    assert len(bars.advance(T0 + 1000 * DAY + (MOST_EMPTY + 1) * SECOND, 0)) == MOST_EMPTY


def test_a_bar_whose_beginning_nobody_saw_and_one_with_a_loss_in_it_are_marked() -> None:
    bars = one()
    bars.take(1, NANO, T0 + 1)
    for minute in range(1, 6):
        bars.take(1, NANO, T0 + minute * MINUTE + 1)
        if minute == 3:
            bars.doubt(T0 + 3 * MINUTE + 5)
    found = bars.advance(T0 + 6 * MINUTE, 0)
    # What was not closed when something was lost is in doubt, its predecessors included.
    assert [("stale" in bar.marks) for bar in found] == [True, True, True, True, False, False]
    bars.take(1, NANO, T0 + 6 * MINUTE)
    bars.advance(T0 + 7 * MINUTE, 0)
    bars.doubt(T0 + 7 * MINUTE + 1)
    assert [bar.marks for bar in bars.advance(T0 + 9 * MINUTE, 0)] == [("stale",), ()]


def test_volumes_beyond_int64_are_exact() -> None:
    bars = one()
    size = 9_000_000_000 * NANO + 1
    for _ in range(3):
        bars.take(PRICE, size, T0)
    (bar,) = bars.advance(T0 + MINUTE, 0)
    assert bar.volume == "27000000000.000000003"
    assert bar.vwap == PRICE


trades = st.lists(
    st.tuples(st.integers(0, 900), st.integers(1, 99), st.integers(1, 10**12)), min_size=1, max_size=60
)  # fmt: skip


@given(trades=trades, grace=st.sampled_from([0, 1, 30, 1000]), interval=st.sampled_from(["1s", "1m", "3m", "1h"]))
def test_in_any_order_of_trades_each_is_in_one_bar_or_counted_as_late(
    trades: list[tuple[int, int, int]], grace: int, interval: str
) -> None:
    market = MarketBars("M", [parse_interval(interval)], grace=grace * SECOND)
    found: list[Bar] = []
    for second, price, size in trades:
        found += market.trade(trade(T0 + second * SECOND, price, size))
    found += market.tick(T0 + 10_000 * SECOND, 0)
    assert sum(bar.trades or 0 for bar in found) + market.late == len(trades)
    assert sum(bar.late for bar in found) == market.late
    lost = sum(size for _, _, size in trades) - sum(map(volume_nanos, found))
    assert (lost == 0) == (market.late == 0)
    length = parse_interval(interval).length
    for earlier, later in pairwise(found):
        assert earlier.end == later.start
    for bar in found:
        assert bar.start % length == 0
        assert bar.end - bar.start == length
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.vwap is None or bar.low <= bar.vwap <= bar.high
    if grace == 1000:
        assert market.late == 0
        assert [astuple(bar) for bar in found if not bar.empty] == plain(
            np.array(sorted(trades, key=lambda each: each[0]), dtype=object), length
        )


def astuple(bar: Bar) -> tuple[int, int, int, int, int, int, int]:
    return bar.start, bar.open, bar.high, bar.low, bar.close, volume_nanos(bar), bar.trades or 0


def plain(rows: np.ndarray, length: int) -> list[tuple[int, int, int, int, int, int, int]]:
    """(second after T0, price, size) in time order, aggregated without any thought."""
    found = []
    starts = np.array([(T0 + int(second) * SECOND) // length * length for second in rows[:, 0]])
    for start in sorted(set(starts.tolist())):
        part = rows[starts == start]
        prices = part[:, 1]
        found.append(
            (start, prices[0], max(prices), min(prices), prices[-1], sum(int(size) for size in part[:, 2]), len(part))
        )
    return found


@given(trades=trades, interval=st.sampled_from(["1t", "3t", "7t", "0.5v", "250v"]))
def test_bars_of_trades_and_of_volume_take_every_trade_whole_and_once(
    trades: list[tuple[int, int, int]], interval: str
) -> None:
    parsed = parse_interval(interval)
    bars = CountBars("M", parsed)
    found: list[Bar] = []
    for second, price, size in trades:
        bar = bars.take(price, size, T0 + second, 0)
        if bar is not None:
            found.append(bar)
    for earlier, later in pairwise(found):
        assert earlier.start < earlier.end <= later.start
    counts = [bar.trades or 0 for bar in found]
    sizes = iter(size for _, _, size in trades)
    for bar, count in zip(found, counts, strict=True):
        own = [next(sizes) for _ in range(count)]
        assert sum(own) == volume_nanos(bar)
        if parsed.kind == "trades":
            assert count == parsed.length
        else:
            assert sum(own) >= parsed.length > sum(own[:-1])
    assert len(list(sizes)) == len(trades) - sum(counts)


def test_daily_bars_are_the_sessions_of_the_calendar_and_no_bar_is_empty_while_it_is_closed() -> None:
    friday_opens = 1_699_626_600 * SECOND  # 2023-11-10 09:30 in New York, when 16:00 is six and a half hours later
    session = 6 * 3600 * SECOND + 1800 * SECOND
    day = Calendar("XNYS").day_of
    daily = TimeBars("SPY", parse_interval("1d"), day=day)
    hourly = TimeBars("SPY", parse_interval("1h"), day=day)
    monday = friday_opens + 3 * DAY
    for bars in (daily, hourly):
        bars.take(5, NANO, friday_opens)
        bars.take(6, NANO, friday_opens + session - 1)
        bars.take(7, NANO, monday + session - 1)
    found = daily.advance(monday + session, 0)
    assert [(bar.start, bar.end) for bar in found] == [
        (friday_opens, friday_opens + session),
        (monday, monday + session),
    ]
    hours = hourly.advance(monday + session, 0)
    assert [bar.start for bar in hours] == [
        *(friday_opens - 1800 * SECOND + hour * 3600 * SECOND for hour in range(7)),
        *(monday - 1800 * SECOND + hour * 3600 * SECOND for hour in range(7)),
    ]


@pytest.mark.parametrize(
    "name", ["", "m", "0m", "01m", "1.5m", "1y", "0v", "-1v", "1e3v", "400d", "1M", "t", "0.0000000001v"]
)
def test_what_is_no_interval_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected an interval"):
        parse_interval(name)


def test_weeks_begin_on_monday_and_days_at_midnight_utc() -> None:
    monday = 1_699_833_600 * SECOND
    assert parse_interval("1w").bounds(monday + 6 * DAY + 5) == (monday, monday + 7 * DAY)
    assert parse_interval("1d").bounds(monday + 5) == (monday, monday + DAY)
    assert parse_interval("100ms").bounds(monday + 5) == (monday, monday + SECOND // 10)


def test_quotes_make_bars_of_their_middle_without_a_volume() -> None:
    market = MarketBars("M", [parse_interval("1m"), parse_interval("5t")], "quotes")

    def quote(bid: int | None, ask: int, second: int, marks: tuple[str, ...] = ()) -> list[Bar]:
        ts = T0 + second * SECOND
        return market.quote(Quote("M", bid, NANO, ask, NANO, "s", 1, ts, ts, marks))

    assert quote(40, 60, 0) == quote(50, 70, 10) == quote(None, 1, 20) == []
    found = quote(10, 20, 61)
    assert quote(10, 20, 119, ("stale",)) == []
    found += quote(30, 40, 200)
    assert [(bar.open, bar.high, bar.low, bar.close) for bar in found[:2]] == [(50, 60, 50, 60), (15, 15, 15, 15)]
    assert {(bar.source, bar.volume, bar.trades, bar.vwap) for bar in found} == {("quotes", "", None, None)}
    assert "stale" in found[1].marks
    assert market.trade(trade(T0)) == []


def test_while_a_feed_is_down_no_bar_is_complete() -> None:
    market = MarketBars("M", [parse_interval("1m")])
    market.trade(trade(T0))
    market.tick(T0 + MINUTE, 0)
    market.down(T0 + MINUTE + 1)
    found = market.tick(T0 + 4 * MINUTE, 0)
    market.up(T0 + 4 * MINUTE + 1)
    found += market.tick(T0 + 6 * MINUTE, 0)
    assert [("stale" in bar.marks) for bar in found] == [True, True, True, True, False]


def test_a_market_that_is_over_has_no_empty_bars_until_it_trades_again() -> None:
    market = MarketBars("M", [parse_interval("1m")])
    market.trade(trade(T0))
    market.ended = True
    assert not market.idle
    assert len(market.tick(T0 + 10 * MINUTE, 0)) == 1
    assert market.idle
    market.trade(trade(T0 + 20 * MINUTE))
    assert not market.idle
    assert market.tick(T0 + 21 * MINUTE, 0)[-1].trades == 1


def test_time_goes_on_without_events_but_not_in_a_replay() -> None:
    live, past = EventClock(), EventClock()
    live.hear(T0, T0 + 5, wall=T0 + 5, mono=100)
    past.hear(T0, T0 + 5, wall=T0 + DAY, mono=100)
    assert (live.now(160), past.now(160)) == (T0 + 60, T0)
    live.hear(T0 - 5, T0 + 70, wall=T0 + 70, mono=160)
    assert live.now(200) == T0 + 100


def test_a_time_of_the_venue_that_cannot_be_is_not_believed() -> None:
    assert event_time(T0, T0 - 2 * SECOND) == T0
    assert event_time(T0 + DAY, T0) == T0
    assert event_time(0, T0) == T0
    assert event_time(T0, 0) == T0


def test_longer_bars_are_made_of_shorter_ones_exactly() -> None:
    short, long_ = one("1m"), one("5m")
    random = np.random.default_rng(1)
    for second in sorted(random.integers(0, 40 * 60, 400).tolist()):
        ts = T0 // (5 * MINUTE) * 5 * MINUTE + second * SECOND
        price, size = int(random.integers(1, 100)), int(random.integers(1, 10**10))
        short.take(price, size, ts)
        long_.take(price, size, ts)
    start = T0 // (5 * MINUTE) * 5 * MINUTE
    minutes = short.advance(start + 40 * MINUTE, 0)
    expected = long_.advance(start + 40 * MINUTE, 0)
    found = merged(minutes, parse_interval("5m"))
    assert [astuple(bar) for bar in found] == [astuple(bar) for bar in expected]
    assert all(abs((ours.vwap or 0) - (theirs.vwap or 0)) <= 1 for ours, theirs in zip(found, expected, strict=True))
    assert len(merged(minutes[:-1], parse_interval("5m"))) == len(expected) - 1
    assert "stale" in merged(minutes[2:], parse_interval("5m"))[0].marks


def test_kept_bars_are_bounded_and_the_venues_own_come_first() -> None:
    kept = KeptBars(3)
    bars = one()
    for minute in range(6):
        bars.take(minute, NANO, T0 + minute * MINUTE)
    for bar in bars.advance(T0 + 6 * MINUTE, 0):
        kept.keep(bar)
    found = kept.find("M", "1m", 0, 0, 10, None)
    assert [bar.close for bar in found.bars] == [3, 4, 5]
    assert found.kept_from == T0 + 3 * MINUTE
    assert [bar.close for bar in kept.find("M", "1m", 0, T0 + 5 * MINUTE, 1, None).bars] == [4]
    venue = msgspec.structs.replace(found.bars[0], source="venue", close=33)
    kept.keep(venue)
    kept.keep(msgspec.structs.replace(venue, close=34))
    assert [bar.close for bar in kept.find("M", "1m", 0, 0, 10, None).bars] == [34]
    assert len(kept.find("M", "1m", 0, 0, 10, "trades").bars) == 3
    assert kept.find("M", "2m", 0, 0, 10, None).kept_from is None


def test_a_trade_that_a_new_connection_repeats_is_known() -> None:
    kept = KeptTrades(3)
    first = [msgspec.structs.replace(trade(T0 + n), trade_id=f"t{n}") for n in range(5)]
    assert all(kept.keep(each) for each in first)
    assert not kept.keep(first[4])
    assert kept.keep(first[0])  # too long ago to be known
    assert kept.keep(trade(T0))
    assert kept.keep(trade(T0))
    assert [each.trade_id for each in kept.find("M", 10, 0).trades] == ["t0", "", ""]


# Recorded trades.


def numpy_bars(
    ts: Sequence[int], prices: Sequence[int], sizes: Sequence[int], length: int
) -> list[tuple[int, int, int, int, int, int, int]]:
    found: list[Any] = []
    order = np.argsort(np.array(ts, dtype=np.int64), kind="stable")
    starts = np.array(ts, dtype=np.int64)[order] // length * length
    price, size = np.array(prices, dtype=np.int64)[order], np.array(sizes, dtype=object)[order]
    for start in np.unique(starts):
        part = starts == start
        inside = price[part]
        border = (int(each) for each in (inside[0], inside.max(), inside.min(), inside[-1]))
        found.append((int(start), *border, sum(size[part]), int(part.sum())))
    return found


def built(ts: Sequence[int], prices: Sequence[int], sizes: Sequence[int], interval: str) -> tuple[list[Bar], int]:
    market = MarketBars("M", [parse_interval(interval)], grace=2 * SECOND)
    found: list[Bar] = []
    for each, price, size in zip(ts, prices, sizes, strict=True):
        found += market.trade(trade(each, price, size))
    return found + market.tick(max(ts) + 3605 * SECOND, 0), market.late


def binance_trades(path: Path) -> tuple[list[int], list[int], list[int]]:
    """Event times, prices and sizes of the trades in a recording."""
    ts: list[int] = []
    prices: list[int] = []
    sizes: list[int] = []
    with gzip.open(path, "rb") as file:
        for line in file:
            if b'"e":"trade"' in line:
                said = msgspec.json.decode(line.partition(b" ")[2])["data"]
                ts.append(said["T"] * 1_000_000)
                prices.append(exact_nanos(said["p"]))
                sizes.append(exact_nanos(said["q"]))
    return ts, prices, sizes


@pytest.mark.recordings
@pytest.mark.parametrize(
    "name", ["spot-btcusdt-20240808", "spot-btcusdt-20240809", "usdm-btcusdt-20240808", "coinm-btcusd-perp-20240808"]
)
def test_bars_of_recorded_trades_are_a_plain_aggregation_of_them(name: str, recordings: Path) -> None:
    ts, prices, sizes = binance_trades(recordings / f"binance-{name}.txt.gz")
    for interval in ("1s", "10s", "1m"):
        found, late = built(ts, prices, sizes, interval)
        assert late == 0
        expected = numpy_bars(ts, prices, sizes, parse_interval(interval).length)
        assert [astuple(bar) for bar in found if not bar.empty] == expected
        assert sum(map(volume_nanos, found)) == sum(sizes)


@pytest.mark.recordings
def test_bars_of_a_month_of_recorded_kalshi_trades_are_a_plain_aggregation_of_them(recordings: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(
        recordings / "kalshi-trades-spx-2026-01.parquet", columns=["ticker", "ts", "price", "quantity"]
    )
    by_market: dict[str, list[tuple[int, int, int]]] = {}
    columns = (table["ticker"], table["ts"].cast("int64"), table["price"], table["quantity"])
    for ticker, us, price, size in zip(*(column.to_pylist() for column in columns), strict=True):
        row = (us * 1000, exact_nanos(str(price)), exact_nanos(str(size)))
        by_market.setdefault(ticker, []).append(row)
    assert len(by_market) == 225
    counted = 0
    for rows in by_market.values():
        ts, prices, sizes = zip(*rows, strict=True)
        found, late = built(ts, prices, sizes, "1h")
        assert late == 0
        counted += sum(bar.trades or 0 for bar in found)
        assert [astuple(bar) for bar in found if not bar.empty] == numpy_bars(ts, prices, sizes, 3600 * SECOND)
    assert counted == 25_540
