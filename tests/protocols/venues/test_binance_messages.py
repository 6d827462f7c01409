from __future__ import annotations

import msgspec
import pytest

from protocols.market import LevelChange, level_changes
from protocols.nanos import INT64_MAX, NANO, NumberFaults
from protocols.venues.binance import (
    AggregateTrade,
    BookTicker,
    Candle,
    DepthSnapshot,
    DepthUpdate,
    Levels,
    TradeEvent,
)
from protocols.venues.binance_futures import ForcedOrder, ForceOrder, MarkPriceUpdate
from protocols.venues.binance_messages import PACKED_FROM, Codec, plain


def codec() -> Codec:
    return Codec(NumberFaults())


def depth(bids: Levels = (), asks: Levels = ()) -> DepthUpdate:
    return DepthUpdate(event_time=2000, symbol="X", first=5, last=7, bids=bids, asks=asks)


def test_a_change_of_a_book_is_one_update_with_the_last_id_and_absolute_sizes() -> None:
    event = depth(bids=(("0.10", "3"), ("0.09", "0.000")), asks=(("0.12", "1.5"),))
    update = codec().depth(event, "X.BINANCE", "s/X.1", 9, ("demo",))
    assert update.changes == (
        LevelChange("bid", 100_000_000, 3 * NANO),
        LevelChange("bid", 90_000_000, 0),
        LevelChange("ask", 120_000_000, 1_500_000_000),
    )
    assert (update.kind, update.snapshot, update.seq, update.session) == ("absolute", False, 7, "s/X.1")
    assert (update.ts_event, update.ts_recv, update.marks) == (2_000_000_000, 9, ("demo",))


def test_only_a_textual_zero_deletes_and_what_is_not_exact_is_counted_every_time() -> None:
    reader = codec()
    for count in (1, 2):
        (change,) = reader.depth(depth(bids=(("1", "0.0000000001"),)), "X", "s", 0).changes
        assert change.size == 1
        assert reader.faults.truncated == count


def test_a_level_with_a_price_out_of_range_is_dropped_and_the_others_stay() -> None:
    reader = codec()
    event = depth(asks=(("10000000000", "1"), ("9", "2")))
    for count in (1, 2):
        assert reader.depth(event, "X", "s", 0).changes == (LevelChange("ask", 9 * NANO, 2 * NANO),)
        assert reader.faults.dropped == count


def test_a_size_out_of_range_is_clamped() -> None:
    reader = codec()
    (change,) = reader.depth(depth(bids=(("1", "99999999999"),)), "X", "s", 0).changes
    assert change.size == INT64_MAX
    assert reader.faults.clamped == 1


@pytest.mark.parametrize("digits", ["", "x", "1.2.3", "NaN", "+1", "1e"])
def test_a_number_that_is_none_is_an_error(digits: str) -> None:
    with pytest.raises(ValueError, match="number"):
        codec().depth(depth(bids=((digits, "1"),)), "X", "s", 0)


def test_the_cache_forgets_and_stays_right() -> None:
    reader = codec()
    for price in range(1, 70_000, 1000):
        levels = tuple((str(price + step), "1") for step in range(1000))
        assert [each.price for each in reader.changes(levels, ())] == [(price + step) * NANO for step in range(1000)]


def test_a_large_snapshot_is_packed_best_first_and_says_the_same() -> None:
    many = PACKED_FROM // 2 + 1
    bids = tuple((str(many - at), "2") for at in range(many))
    asks = tuple((str(many + 1 + at), "3") for at in range(many))
    # One that is out of order, and one that deletes nothing.
    book = DepthSnapshot(last=4, bids=(bids[1], bids[0], *bids[2:]), asks=(*asks, ("99999", "0.0")))
    update = codec().snapshot(book, "X", "s", 1)
    assert update.changes == ()
    assert len(update.packed_bids) == len(update.packed_asks) == many * 16
    told = list(level_changes(update))
    assert told[:2] == [LevelChange("bid", many * NANO, 2 * NANO), LevelChange("bid", (many - 1) * NANO, 2 * NANO)]
    assert told[many] == LevelChange("ask", (many + 1) * NANO, 3 * NANO)
    assert (update.snapshot, update.seq) == (True, 4)


@pytest.mark.parametrize("odd", ["0.5", "0.0000000001", "99999999999.00", "7", "1e3", "0.00"])
def test_a_large_snapshot_says_the_same_whether_its_numbers_are_alike_or_not(odd: str) -> None:
    many = PACKED_FROM
    bids = tuple((f"{many - at}.00", f"{at % 7 + 1}.50") for at in range(many))
    asks = tuple((f"{many + 1 + at}.00", "3.00") for at in range(many))
    reader = codec()
    alike = list(level_changes(reader.snapshot(DepthSnapshot(last=4, bids=bids, asks=asks), "X", "s", 1)))
    assert alike == list(codec().changes(bids, asks))
    other = (*bids[:-1], (bids[-1][0], odd))
    small, large = codec(), codec()
    expected = [change for change in small.changes(other, asks) if change.size]
    assert list(level_changes(large.snapshot(DepthSnapshot(last=4, bids=other, asks=asks), "X", "s", 1))) == expected
    assert large.faults.total == small.faults.total


def test_a_large_snapshot_may_have_one_side() -> None:
    asks = tuple((f"{at + 1}.0", "3.0") for at in range(PACKED_FROM + 1))
    update = codec().snapshot(DepthSnapshot(last=4, bids=(), asks=asks), "X", "s", 1)
    assert update.packed_bids == b""
    assert len(list(level_changes(update))) == PACKED_FROM + 1


def test_a_trade_whose_buyer_was_the_maker_was_a_sale() -> None:
    event = TradeEvent(
        event_time=3, trade_time=2, symbol="X", trade_id=12, price="0.5", quantity="4", buyer_is_maker=True
    )
    trade = codec().trade(event, "X", "s", 9)
    assert trade is not None
    assert (trade.taker, trade.price, trade.size, trade.trade_id, trade.seq) == (
        "sell",
        NANO // 2,
        4 * NANO,
        "12",
        12,
    )
    assert trade.ts_event == 2_000_000


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "ADL", "NA"])
def test_what_was_no_trade_of_the_book_is_none(kind: str) -> None:
    event = TradeEvent(
        event_time=3, trade_time=2, symbol="X", trade_id=12, price="0.5", quantity="4", kind=kind, buyer_is_maker=True
    )
    assert codec().trade(event, "X", "s", 9) is None


def test_fills_together_are_a_trade_of_their_own_number() -> None:
    event = AggregateTrade(
        event_time=3, aggregate_id=5, symbol="X", price="2", quantity="1", trade_time=2, buyer_is_maker=False
    )
    trade = codec().aggregate_trade(event, "X", "s", 9)
    assert trade is not None
    assert (trade.taker, trade.trade_id, trade.seq) == ("buy", "5", 5)


def test_a_side_without_a_level_has_no_best_price() -> None:
    event = BookTicker(update_id=8, symbol="X", bid="0.00", bid_size="0.00", ask="3", ask_size="1")
    ticker = codec().ticker(event, "X", "s", 9)
    assert (ticker.bid, ticker.bid_size, ticker.ask, ticker.ask_size, ticker.seq) == (None, None, 3 * NANO, NANO, 8)


CANDLE = Candle(
    start=1672515780000,
    end=1672515839999,
    symbol="X",
    interval="1m",
    open="1.0",
    close="2.0",
    high="2.5",
    low="0.5",
    volume="1000.500",
    trades=7,
    final=True,
    quote_volume="1500.75",
)


def test_a_final_bar_ends_where_the_next_begins_and_keeps_its_volume_in_digits() -> None:
    bar = codec().bar(CANDLE, "X", 9)
    assert bar is not None
    assert (bar.start, bar.end) == (1672515780000_000_000, 1672515840000_000_000)
    assert (bar.open, bar.high, bar.low, bar.close) == (NANO, 2_500_000_000, 500_000_000, 2 * NANO)
    assert (bar.volume, bar.trades, bar.source, bar.empty) == ("1000.5", 7, "venue", False)
    assert bar.vwap == 1_500_000_000
    inverse = codec().bar(CANDLE, "X", 9, quoted=False)
    assert inverse is not None
    assert inverse.vwap is None


def test_a_bar_that_still_grows_is_none() -> None:
    assert codec().bar(msgspec.structs.replace(CANDLE, final=False), "X", 9) is None


def test_a_bar_without_trades_is_marked_empty() -> None:
    bar = codec().bar(msgspec.structs.replace(CANDLE, trades=0, volume="0.000", quote_volume="0"), "X", 9)
    assert bar is not None
    assert (bar.empty, bar.volume, bar.vwap) == (True, "0", None)


def forced(**changes: str) -> ForceOrder:
    order = ForcedOrder(symbol="X", side="SELL", quantity="0.014", price="9910", trade_time=5)
    return ForceOrder(event_time=6, order=msgspec.structs.replace(order, **changes))


def test_a_liquidation_is_at_the_price_and_size_that_were_done() -> None:
    done = codec().liquidation(forced(average_price="9905.5", filled="0.010"), "X", 9)
    assert done is not None
    assert (done.side, done.price, done.size, done.ts_event) == ("sell", 9905_500_000_000, 10_000_000, 5_000_000)
    asked = codec().liquidation(forced(), "X", 9)
    assert asked is not None
    assert (asked.price, asked.size) == (9910 * NANO, 14_000_000)


def test_funding_is_a_rate_in_digits_and_a_time() -> None:
    event = MarkPriceUpdate(
        event_time=1, symbol="X", mark_price="11794.15", index_price="11784.62", rate="0.00038000", next_funding=9
    )
    funding = codec().funding(event, "X", 5)
    assert funding is not None
    assert (funding.rate, funding.next_ts, funding.mark_price, funding.index_price) == (
        "0.00038",
        9_000_000,
        11_794_150_000_000,
        11_784_620_000_000,
    )


def test_a_contract_with_an_end_pays_no_funding() -> None:
    event = MarkPriceUpdate(event_time=1, symbol="X_200626", mark_price="1", rate="", next_funding=0)
    assert codec().funding(event, "X", 5) is None


def test_plain_digits() -> None:
    assert [plain(each) for each in ("0.0100", "10", "100.00", "0.0", "-0.00010")] == [
        "0.01",
        "10",
        "100",
        "0",
        "-0.0001",
    ]
