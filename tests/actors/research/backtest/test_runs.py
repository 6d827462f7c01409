from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.research.backtest.look_ahead import look_ahead
from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.spec import SpecError
from protocols.nanos import NANO
from tests.actors.research.backtest.kit import (
    BEGIN,
    CENT,
    MINUTE,
    SECOND,
    Shelf,
    bars,
    levels,
    on_bars,
    on_quotes,
    quotes,
    run,
    spec,
    trades,
)
from tests.actors.research.backtest.strategies import Told

HERE = "tests.actors.research.backtest.strategies"


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), batch=st.integers(1, 500))
def test_how_the_data_are_cut_into_batches_changes_nothing(seed: int, batch: int) -> None:
    own = spec(strategy=on_quotes(), seed=seed)
    table = quotes(400, seed=seed)
    whole, parts = run(own, table).result, run(own, table, batch=batch).result
    assert whole.order_hash == parts.order_hash
    assert whole.equity == parts.equity
    assert whole.orders > 0


def test_orders_that_came_to_nothing_are_told_with_the_reason() -> None:
    table = bars(500)
    missed = run(spec(strategy=on_bars(max_slippage=0.000001)), table).result
    [told] = [each for each in missed.warnings if each.endswith("orders were cancelled: protection")]
    # Of a flip the second order waits for the first.
    assert 0 < int(told.split()[0]) <= missed.orders - missed.fills
    denied = run(spec(strategy=on_bars(), limits={"max_order_size": "1"}), table).result
    assert f"{denied.denied} orders were denied: order_size" in denied.warnings
    assert denied.denied > 0
    assert not [each for each in run(spec(strategy=on_bars()), table).result.warnings if " orders were " in each]


def test_the_lean_loops_do_what_the_general_one_does() -> None:
    for table, strategy in (
        (quotes(2000), on_quotes()),
        (bars(500), on_bars()),
        (levels(2000, gap_at=900), on_quotes()),
    ):
        own = spec(strategy=strategy)
        lean = run(own, table).result
        # To name the markets takes the general loop.
        general = run(msgspec.structs.replace(own, markets=("A",)), table).result
        assert lean.order_hash == general.order_hash
        assert (lean.fills, lean.final_equity, lean.equity) == (general.fills, general.final_equity, general.equity)
        assert lean.fills > 10


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), quantity=st.sampled_from([None, 100, 15_000, 19_000]), batch=st.integers(5, 300))
def test_an_engine_that_is_not_told_of_each_bar_comes_to_the_same_up_to_a_margin_call(
    seed: int, quantity: int | None, batch: int
) -> None:
    strategy = on_bars(fast=4, slow=30, quantity=quantity)
    own = spec(strategy=strategy, leverage="10", market={"tick": "0.01", "lot": "1", "taker_fee": "0.0001"})
    # A limit that is never reached: every bar is looked at.
    watched = msgspec.structs.replace(own, limits=msgspec.structs.replace(own.limits, max_drawdown="1"))
    table = bars(260, seed=seed, move=50)
    coasted, each = run(own, table, batch=batch), run(watched, table)
    assert coasted.log.bytes() == each.log.bytes()
    assert coasted.result.equity == each.result.equity
    assert coasted.result.price == each.result.price
    assert coasted.result.exposure == each.result.exposure
    assert coasted.result.round_trips == each.result.round_trips


def test_a_margin_call_comes_at_the_same_bar_while_it_coasts() -> None:
    own = spec(f"{HERE}:BuyMuch", leverage="10")
    watched = msgspec.structs.replace(own, limits=msgspec.structs.replace(own.limits, max_drawdown="1"))
    called = 0
    for seed in range(8):
        table = bars(200, seed=seed, move=120)
        coasted, each = run(own, table), run(watched, table)
        assert coasted.log.bytes() == each.log.bytes()
        assert coasted.result.equity == each.result.equity
        called += any(json.loads(line)["order"]["order"]["source"] == "liquidation" for line in each.log.lines)
    assert 2 <= called < 8


def test_a_book_that_is_lost_is_told_as_stale_by_either_loop() -> None:
    notes = []
    for markets in ((), ("A",)):
        run(spec(f"{HERE}:Heard", markets=markets), levels(60, gap_at=30))
        notes.append(Told.notes)
    assert notes[0] == notes[1]
    assert [text for text, _ in notes[0]].count("stale A") == 1


def test_equal_specifications_give_equal_logs_in_any_process(tmp_path: Path) -> None:
    own = spec(
        strategy=on_quotes(),
        seed=7,
        fills={
            "latency": {"entry": {"model": "log_normal", "median": 50_000_000, "sigma": 0.5}},
            "partial_fill": 0.3,
            "rejection": 0.1,
        },
    )
    outcome = run(own, quotes(1500))
    assert {json.loads(line)["kind"] for line in outcome.log.lines} >= {"rejected", "filled"}
    program = (
        "from tests.actors.research.backtest.kit import *; import sys\n"
        f"own = spec(**{{}}); own = spec_of({msgspec.to_builtins(own)!r})\n"
        "sys.stdout.buffer.write(run(own, quotes(1500)).log.bytes())"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=Path.cwd())
    assert found.stdout == outcome.log.bytes()
    other = run(msgspec.structs.replace(own, seed=8), quotes(1500))
    assert other.result.order_hash != outcome.result.order_hash


def test_an_order_of_a_bar_is_filled_at_the_next_open_and_what_is_open_at_the_end_is_valued_or_closed() -> None:
    table = bars(20)
    own = spec(f"{HERE}:BuyOnce")
    opened = run(own, table)
    [trade] = opened.result.round_trips
    opens = table.columns["open"]
    assert trade.open
    assert round(trade.entry_price * NANO) == int(opens[1])
    assert trade.entry_bar == 1
    closed = run(msgspec.structs.replace(own, close_at_end=True), table)
    [trade] = closed.result.round_trips
    assert not trade.open
    assert round(trade.exit_price * NANO) == int(opens[-1])
    size = Decimal(str(trade.size))
    fees = Decimal("0.001") * size * (int(opens[1]) + int(opens[-1])) / NANO
    profit = size * (int(opens[-1]) - int(opens[1])) / NANO - fees
    assert Decimal(closed.result.final_equity) == Decimal(100_000) + profit
    assert Decimal(closed.result.fees) == fees


def test_equity_begins_with_the_capital_and_is_sampled_by_bars_or_by_minutes() -> None:
    by_bars = run(spec(strategy=on_bars()), bars(30)).result
    times = by_bars.equity.times()
    assert by_bars.sampling == "bar"
    assert (len(times), by_bars.equity.array()[0]) == (31, 100_000.0)
    assert list(times[1:]) == list(bars(30).columns["ts"])
    by_minutes = run(spec(strategy=on_quotes()), quotes(200)).result
    times = by_minutes.equity.times()
    assert by_minutes.sampling == "1m"
    assert [int(ts - BEGIN) // SECOND for ts in times] == [0, 60, 120, 180, 199]
    assert by_minutes.equity.array()[-1] == float(by_minutes.final_equity)


def test_a_strategy_is_told_in_the_order_of_time_and_longer_bars_are_put_together() -> None:
    run(spec(f"{HERE}:Told"), bars(5), quotes(2, market="B"), trades(2, market="C"))
    told = [text.split(" ")[:3] for text, _ in Told.notes]
    assert told[:4] == [["quote", "B"], ["trade", "C"], ["quote", "B"], ["trade", "C"]]
    closes = bars(5).columns["close"]
    assert (
        Told.notes[4:]
        == [
            (f"bar A 1m {closes[0]}", BEGIN + MINUTE),
            *[
                entry
                for place in (1, 3)
                for entry in (
                    (f"bar A 2m {closes[place]}", BEGIN + (place + 1) * MINUTE),
                    (f"bar A 1m {closes[place]}", BEGIN + (place + 1) * MINUTE),
                    (f"bar A 1m {closes[place + 1]}", BEGIN + (place + 2) * MINUTE),
                )
            ],
        ]
        or (BEGIN // MINUTE) % 2
    )  # where two minutes begin elsewhere


def test_bars_are_built_out_of_trades_as_a_node_builds_them() -> None:
    run(spec(f"{HERE}:Told"), trades(400))
    built = [text for text, _ in Told.notes if text.startswith("bar A 1m")]
    column = trades(400)
    minute = (column.columns["ts"] - BEGIN) // MINUTE
    closes = [int(column.columns["price"][minute == each][-1]) for each in range(int(minute[-1]))]
    assert [int(text.split(" ")[3]) for text in built] == closes


def test_an_interval_that_the_bars_cannot_make_is_refused() -> None:
    with pytest.raises(SpecError, match="multiple of 5m"):
        run(spec(strategy=on_bars()), bars(10, interval="5m", length=5 * MINUTE))


def test_a_warm_up_is_seen_and_not_traded() -> None:
    table = bars(300)
    middle = int(table.columns["ts"][100])
    own = spec(strategy=on_bars())
    shelf = Shelf(own, [table])
    with LocalPasses(shelf) as passes:
        cold = passes.run(own, middle, None).result
        warm = passes.run(own, None, None, trade_from=middle).result
    assert warm.first == middle
    assert warm.equity.times()[0] == middle
    assert min(trade.entry_ts for trade in warm.round_trips) >= middle
    assert warm.fills >= cold.fills


def test_feed_latency_lets_the_strategy_act_later() -> None:
    base = spec(strategy=on_quotes())
    slow = spec(strategy=on_quotes(), fills={"latency": {"feed": 2 * SECOND}})
    table = quotes(600)
    now, then = run(base, table), run(slow, table)
    first = [json.loads(each.log.lines[0])["ts"] for each in (now, then)]
    assert first[1] - first[0] == 2 * SECOND


def test_a_strategy_that_peeks_is_caught_and_one_that_does_not_is_not() -> None:
    table = bars(120)
    for name, strategy, caught in ((f"{HERE}:Peeker", {}, True), ("moving_average_cross", on_bars(), False)):
        for sized_at in ("signal", "open"):
            own = spec(name, strategy=strategy, sized_at=sized_at, seed=5)
            shelf = Shelf(own, [table])
            with LocalPasses(shelf) as passes:
                found = look_ahead(own, shelf, passes, moments=2)
            assert found.caught is caught
            assert not found.empty
            assert {check.variant for check in found.checks} == {"cut", "shuffled"}


def test_quotes_of_a_market_with_a_book_are_not_matched() -> None:
    """Orders in a market of bars alone are matched against its bars even where the strategy hears other markets."""
    own = spec(f"{HERE}:BuyOnce")
    found = run(own, quotes(120), bars(4, market="B"))
    models = {json.loads(line)["fill"]["why"]["model"] for line in found.log.lines if json.loads(line)["fill"]}
    assert any(model.startswith("bar") for model in models)
    assert any(not model.startswith("bar") for model in models)
    assert sorted(found.result.markets) == ["A", "B"]
    assert np.all(np.diff(found.result.equity.times()) > 0)
    assert CENT
