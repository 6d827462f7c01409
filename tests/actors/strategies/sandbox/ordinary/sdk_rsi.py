"""The SDK: a relative strength index that turns."""

from actors.strategies.sdk import Bar, BaseStrategy, Parameter


class Reversion(BaseStrategy):
    period = Parameter.int(14, least=2, description="bars of the RSI")
    low = Parameter.float(40.0, least=0.0, most=100.0)

    def initialize(self) -> None:
        self.seen = 0
        self.set_variable("below", 0)

    def on_bar(self, bar: Bar) -> None:
        self.seen += 1
        rsi = self.data.rsi(bar.symbol, self.period, timeframe=bar.timeframe)
        if rsi is None:
            return
        if rsi < self.low:
            self.set_variable("below", self.get_variable("below") + 1)
            self.buy(bar.symbol, confidence=0.6, stop_loss=bar.low, metadata={"rsi": rsi})
        elif rsi > 100.0 - self.low:
            self.close_long(bar.symbol, confidence=0.55)
        self.record_metric("rsi", rsi)
