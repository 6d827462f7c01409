"""The SDK: quotes, trades, gaps, the interval, its own state."""

from collections import deque

from actors.strategies.sdk import Bar, BaseStrategy, Quote, Signal, Trade


class Flow(BaseStrategy):
    def initialize(self):
        self.flow = deque(maxlen=20)
        self.spreads = {}
        self.gaps = 0

    def on_bar(self, bar: Bar):
        if len(self.flow) > 5 and sum(self.flow) > 0 and self.spreads.get(bar.symbol, 1.0) < 0.5:
            self.signal(Signal(action="BUY", symbol=bar.symbol, confidence=0.6))

    def on_quote(self, quote: Quote):
        self.spreads[quote.symbol] = quote.spread
        if quote.mid != quote.mid:
            self.log("one side is empty", "warning")

    def on_trade(self, trade: Trade):
        self.flow.append(trade.size if trade.taker == "buy" else -trade.size)
        if trade.size > 2.5:
            self.sell(trade.symbol, confidence=0.5, metadata={"price": self.data.get_current_price(trade.symbol)})

    def on_gap(self, symbol: str):
        self.gaps += 1
        self.flow.clear()

    def on_timer(self):
        self.record_metric("gaps", self.gaps)

    def on_save(self):
        return {"flow": list(self.flow), "gaps": self.gaps}

    def on_load(self, state):
        self.flow = deque(state["flow"], maxlen=20)
        self.gaps = state["gaps"]
