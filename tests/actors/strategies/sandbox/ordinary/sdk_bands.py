"""The SDK: bands, streams of indicators, metrics, and a log."""

from actors.strategies.sdk import Bar, BaseStrategy, Parameter, indicators


class Bands(BaseStrategy):
    period = Parameter.int(12, least=2)
    width = Parameter.float(1.0, least=0.1)

    def initialize(self):
        self.averages = {symbol: indicators.make("ema", period=5) for symbol in self.context.symbols}

    def on_bar(self, bar: Bar):
        if bar.timeframe != "1m":
            return
        average = self.averages[bar.symbol].update(bar.close)
        bands = self.data.bollinger_bands(bar.symbol, self.period, self.width, self.width)
        if bands is None or average is None:
            self.log("warming up")
            return
        if bar.close > bands.upper and average > bands.middle:
            self.sell(bar.symbol, confidence=0.6, take_profit=bands.middle)
        elif bar.close < bands.lower:
            self.buy(bar.symbol, confidence=0.6, take_profit=bands.middle, trend="down")
