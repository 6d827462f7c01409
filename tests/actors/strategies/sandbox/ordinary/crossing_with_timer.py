"""The strategy's clock: time and datetime.now() stand at the input at hand, and the SDK's context says the same."""

from actors.strategies.sdk import BaseStrategy


class Clocked(BaseStrategy):
    def initialize(self):
        self.started = self.context.now

    def on_bar(self, bar):
        elapsed = (self.context.now - self.started) / 1e9
        at = self.context.current_time
        if at.minute % 10 == 0 and self.context.current_bar == bar:
            self.hold(bar.symbol, confidence=0.2, metadata={"elapsed": elapsed, "at": at.isoformat()})
