"""The benchmarks of backtests and of execution at a tiny size: what they make, what they run, what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import backtest, backtest_data, backtest_troupe, execution_node, peers
from benchmarks.harness import ChildFailed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("arrays")


def test_every_stream_is_the_same_again_and_has_what_it_promises() -> None:
    for kind, make in backtest_data.MAKERS.items():
        once, again = make(3_000), make(3_000)
        assert {name: column.tolist() for name, column in once.items()} == {
            name: column.tolist() for name, column in again.items()
        }, kind
        assert {len(column) for column in once.values()} == {3_000}
    levels = backtest_data.levels(3_000)
    book: dict[int, set[int]] = {1: set(), -1: set()}
    for side, price, size in zip(*(levels[name].tolist() for name in ("side", "price", "size")), strict=True):
        if size:
            book[side].add(price)
        else:
            book[side].remove(price)  # only a level that is there goes
        assert not book[-1] or max(book[1]) < min(book[-1])


def test_the_rule_orders_once_in_a_thousand_events_and_the_sandboxed_one_does_the_same(folder: Path) -> None:
    data = str(backtest_data.write("quotes", 4_500, folder))
    own = backtest_troupe.stream(data, "quotes", 10, 50, 200)
    assert (own["told"], own["orders"], own["fills"]) == (4_500, 3, 3)
    assert own["rate"] > own["whole"] > 0
    sandboxed = backtest_troupe.stream(data, "quotes", 10, 50, 200, sandboxed=True)
    assert backtest.differing(own, sandboxed) == ""


def test_books_and_bars_trade_as_well(folder: Path) -> None:
    levels = backtest_troupe.stream(str(backtest_data.write("l2", 4_500, folder)), "l2", 10, 20, 60)
    assert levels["orders"] == levels["fills"] >= 3
    bars = str(backtest_data.write("bars", 3_300, folder))
    assert backtest_troupe.bars(bars, 10, 50, 200)["trades"] == 3
    swept = backtest_troupe.sweep(bars, 10, backtest.pairs_of(4), processes=1)
    assert swept["runs"] == 4


def test_another_outcome_is_no_speed() -> None:
    expected = {"orders": 4.0, "equity": 1_000.0}
    assert backtest.rate_of("peer", {"rate": 5, "whole": 3, "orders": 4, "equity": 1_000.001}, expected) == {
        "rate": 5.0,
        "whole": 3.0,
    }
    with pytest.raises(ChildFailed, match="orders: 4 here, 5 there"):
        backtest.rate_of("peer", {"rate": 5, "orders": 5, "equity": 1_000.0}, expected)
    with pytest.raises(ChildFailed, match=r"equity: 1000\.00 here, 1000\.01 there"):
        backtest.rate_of("peer", {"rate": 5, "orders": 4, "equity": 1_000.01}, expected)


def test_peers_without_an_environment_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TROUPE_PEERS", str(tmp_path / "python"))
    assert peers.ensure() == ""
    with pytest.raises(ChildFailed, match=r"nautilus_quotes: .*No such file"):
        backtest.ask_peer("nautilus_quotes", tmp_path / "data.npz", "any")


def test_the_engine_alone_fills_every_order() -> None:
    assert all(value > 0 for value in execution_node.engine_alone(400).values())
