"""What authors test their strategies with."""

from __future__ import annotations

import pytest

from actors.strategies.sdk import Bar, BaseStrategy, Parameter, ParametersError
from actors.strategies.sdk.testing import replay
from tests.actors.strategies.sdk_kit import random_bars


class Watching(BaseStrategy):
    every = Parameter.int(10, least=1)

    def validate_parameters(self) -> list[str]:
        return ["13 is unlucky"] if self.every == 13 else []

    def on_bar(self, bar: Bar) -> None:
        window = self.data.get_bars(bar.symbol, timeframe=bar.timeframe)
        assert window.last == bar, "nothing later is in sight"
        assert self.context.now == bar.end
        self.set_variable("most", max(self.get_variable("most", 0), len(window)))
        if self.context.bar_count % self.every == 0:
            self.buy(bar.symbol)
        self.record_metric("price", self.data.get_current_price(bar.symbol) or 0.0)

    def finalize(self) -> None:
        self.log("done")


def test_a_strategy_sees_each_bar_in_its_turn_and_what_it_says_comes_with_the_bar() -> None:
    bars = random_bars(1, 300)
    told = replay(Watching, bars, every=100)
    assert [(bar, signal.action) for bar, signal in told.signals] == [
        (bars[99], "BUY"),
        (bars[199], "BUY"),
        (bars[299], "BUY"),
    ]
    assert told.variables == {"most": 200}
    assert told.metrics == {"price": bars.last.close}
    assert told.log == [("info", "done")]
    assert told.strategy.every == 100


def test_tables_of_several_symbols_come_in_the_order_of_time() -> None:
    told = replay(Watching, random_bars(1, 20), random_bars(2, 20, symbol="DEF"), every=1, lookback=5)
    assert [signal.symbol for _, signal in told.signals] == ["ABC", "DEF"] * 20
    assert told.variables == {"most": 5}


def test_parameters_are_checked_as_in_a_worker() -> None:
    with pytest.raises(ParametersError, match=r"^every: expected a whole number of at least 1, got 0$"):
        replay(Watching, random_bars(1, 20), every=0)
    with pytest.raises(ParametersError, match=r"^13 is unlucky$"):
        replay(Watching, random_bars(1, 20), every=13)
