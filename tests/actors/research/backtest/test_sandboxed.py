"""Strategies in locked workers: batches that run ahead give what single steps give."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.research.backtest.passes import LocalPasses
from actors.research.backtest.single import Outcome
from actors.research.backtest.spec import BacktestSpec
from actors.research.datasets.table import Table
from actors.strategies.sandbox.failures import SandboxFailed
from tests.actors.research.backtest.kit import Shelf, bars, quotes, spec

SIGNALS = """
def generate_signal(data, parameters):
    found = []
    for symbol, bars in data.items():
        if len(bars) < 9:
            continue
        now = bars.close[-3:].mean() - bars.close[-8:].mean()
        before = bars.close[-4:-1].mean() - bars.close[-9:-1].mean()
        if (now > 0) != (before > 0):
            found.append({"symbol": symbol, "action": "BUY" if now > 0 else "SELL", "confidence": 0.9})
    return found
"""
ORDERS = '''
from actors.strategies.sdk import BaseStrategy, Parameter


class Ladder(BaseStrategy):
    """Bids a cent below the market, and sells what it has got a cent above; what it sees decides what it does next."""

    distance = Parameter.float(0.02, least=0.01, most=1.0)

    def initialize(self):
        self.count = 0

    def on_bar(self, bar):
        held = self.portfolio.get_position(bar.symbol)
        self.count += 1
        if self.count % 7:
            return
        for order in self.orders.get_orders():
            self.orders.cancel_order(order.order_id)
        price = round(bar.close - self.distance, 2)
        size = 10 + int(self.portfolio.total_value) % 7
        if held is None or held.quantity == 0:
            self.orders.limit_order(bar.symbol, size, "buy", price)
        else:
            self.orders.market_order(bar.symbol, abs(held.quantity), "sell")

    def on_order_filled(self, fill):
        self.log(f"filled {fill.order.order_id}")
        held = self.portfolio.get_position(fill.order.symbol)
        if held is not None and held.quantity > 0 and self.count % 2:
            self.orders.stop_order(fill.order.symbol, held.quantity, "sell", round(fill.price - 0.5, 2))
'''
BROKEN = "def generate_signal(data, parameters):\n    return 1 / 0\n"


def sandboxed(code: str, **fields: object) -> BacktestSpec:
    strategy = {"code": code, "timeframes": ["1m"], "settings": {"signal_cooldown": 0, "max_risk_threshold": 1.0}}
    return spec("outside", strategy=strategy, **fields)


@pytest.fixture(scope="module")
def passes() -> Iterator[LocalPasses]:
    own = sandboxed(SIGNALS)
    with LocalPasses(Shelf(own, [])) as made:
        yield made


def run(passes: LocalPasses, own: BacktestSpec, *tables: Table, most: int = 256) -> Outcome:
    return passes.over(own, list(Shelf(own, tables)._tables), keep_log=True, most=most)


def test_signals_that_ran_ahead_are_put_in_at_their_places(passes: LocalPasses) -> None:
    own = sandboxed(SIGNALS)
    tables = (bars(160), bars(120, seed=9, market="B"))
    whole = run(passes, own, *tables)
    assert whole.result.fills > 5
    assert set(whole.result.markets) == {"A", "B"}
    for most in (1, random.Random(3).randrange(2, 90)):
        assert run(passes, own, *tables, most=most).log.bytes() == whole.log.bytes()


def test_a_strategy_that_trades_gets_its_news_between_its_inputs_in_batches_as_in_single_steps(
    passes: LocalPasses,
) -> None:
    latency = {"entry": {"model": "constant", "ns": 50_000_000}, "response": {"model": "constant", "ns": 70_000_000}}
    for fills in ({}, {"latency": latency}):
        own = sandboxed(ORDERS, fills=fills)
        table = bars(200)
        whole = run(passes, own, table)
        kinds = {json.loads(line)["kind"] for line in whole.log.lines}
        assert {"submitted", "accepted", "filled", "cancelled"} <= kinds
        sources = {json.loads(line)["order"]["order"]["source"] for line in whole.log.lines}
        assert sources == {"strategy"}
        for most in (1, random.Random(4).randrange(2, 90)):
            assert run(passes, own, table, most=most).log.bytes() == whole.log.bytes()


def test_quotes_and_orders_of_a_market_without_bars(passes: LocalPasses) -> None:
    own = sandboxed(ORDERS.replace("self.count % 7", "self.count % 2"))
    table = quotes(1200)
    whole = run(passes, own, table)
    assert whole.result.fills > 1
    assert run(passes, own, table, most=1).log.bytes() == whole.log.bytes()


def test_an_exception_of_its_code_ends_the_run_or_is_counted(passes: LocalPasses, tmp_path: Path) -> None:
    with pytest.raises(SandboxFailed, match="ZeroDivisionError"):
        run(passes, sandboxed(BROKEN), bars(20))
    strategy = {"code": BROKEN, "timeframes": ["1m"], "most_errors": 100}
    found = run(passes, spec("outside", strategy=strategy), bars(20)).result
    assert found.orders == 0
    assert "the strategy raised 20 exceptions" in found.warnings
    with pytest.raises(SandboxFailed) as error:
        run(passes, sandboxed("def generate_signal(data, parameters:\n"), bars(20))
    assert error.value.code == "invalid"
    assert error.value.problems
