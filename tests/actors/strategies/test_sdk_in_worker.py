"""All of the SDK inside a locked worker: whatever it loaded late could not be loaded there."""

from __future__ import annotations

import json
from pathlib import Path

from actors.strategies import sdk
from tests.actors.strategies.test_sdk_indicators import REFERENCES
from tests.actors.strategies.test_strategy_commands import SAMPLE, answer

EVERYTHING = """
import numpy as np

from actors.strategies.sdk import NAMES

FUNCTIONS = FUNCTION_NAMES


class Every(BaseStrategy):
    period = Parameter.int(14, least=2)
    rate = Parameter.float(0.5, least=0, most=1)
    on = Parameter.bool(True)
    word = Parameter.str("x")
    mode = Parameter.choice("a", choices=["a", "b"])

    def initialize(self):
        self.stream = indicators.make("rsi", period=self.period)

    def on_bar(self, bar):
        self.stream.update(bar.close)
        if self.context.bar_count < 150:
            return
        bars = self.data.get_bars(bar.symbol)
        for name in FUNCTIONS:
            value = getattr(self.data, name)(bar.symbol)
            column = getattr(indicators, name)(bars)
            newest = column[-1] if isinstance(column, np.ndarray) else tuple(each[-1] for each in column)
            assert value == newest, (name, value, newest)
        for name in indicators.talib_names():
            indicators.talib(name, bars)
        self.data.talib("LINEARREG", bar.symbol, timeperiod=5)
        assert indicators.names() and indicators.crossed_above([1, 2], 1.5)
        for each in (self.orders, self.portfolio, self.risk):
            try:
                each.anything()
            except NotDeployed as error:
                str(error)
        try:
            self.buy(confidence=2)
        except SignalError as error:
            self.log(error, "warning")
        state = self.stream.save()
        other = indicators.make("rsi", period=self.period)
        other.restore(state)
        self.record_metric("time", self.context.current_time.timestamp() + bar.at.hour + len(repr(bars)))
        self.set_variable("array", np.arange(3))
        self.on_save()
        Bars.from_columns("A", "1m", {name: bars[name] for name in bars.columns})
        for each in bars.tail(3):
            assert each.close
        self.signal(Signal(action="BUY", metadata={"a": np.float64(1), "b": [1, None]}, quantity=np.int64(2)))
        self.sell(bar.symbol, 0.5, stop_loss=1.0)
        self.set_variable("array", [1, 2])
        print(self.context.parameters, self.context.variables, self.context.metrics, bars.last, Signal(action="HOLD"))
"""


def test_everything_can_be_used_in_a_locked_worker_and_gives_what_it_gives_outside(tmp_path: Path) -> None:
    source = EVERYTHING.replace("FUNCTION_NAMES", repr(tuple(REFERENCES))).replace("NAMES", ", ".join(sdk.__all__))
    (tmp_path / "everything.py").write_text(source)
    _, data, status = answer("run", tmp_path / "everything.py", "--data", SAMPLE, "--limit", 152, "--quiet")
    assert (status, data["summary"]["errors"]) == (0, [])
    assert data["summary"]["signals"] == 6
    assert data["summary"]["defaulted"] == {"confidence": 3}
    (values,) = {json.dumps(each["metadata"]) for each in data["signals"] if "metadata" in each}
    assert json.loads(values) == {"a": 1.0, "b": [1, None]}
    assert data["signals"][-1]["stop_loss"] == 1.0
