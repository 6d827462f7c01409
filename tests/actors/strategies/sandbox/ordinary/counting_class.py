"""A class with a state, kept over a restart."""


class Strategy:
    def __init__(self):
        self.calls = 0
        self.last_prices = {}

    def generate_signals(self, data, parameters):
        self.calls += 1
        signals = []
        for symbol in data:
            price = data[symbol].close[-1]
            before = self.last_prices.get(symbol, price)
            self.last_prices[symbol] = price
            if self.calls % 10 == 0:
                action = "BUY" if price > before else "SELL"
                signals.append({"symbol": symbol, "action": action, "confidence": 0.5, "price_target": price * 1.01})
        return signals

    def on_save(self):
        return {"calls": self.calls, "last_prices": self.last_prices}

    def on_load(self, state):
        self.calls = state["calls"]
        self.last_prices = state["last_prices"]
