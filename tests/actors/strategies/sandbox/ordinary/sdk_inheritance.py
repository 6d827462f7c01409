"""Inheritance: a base class of the author's own under the SDK's."""

from abc import abstractmethod

from actors.strategies.sdk import Bar, BaseStrategy


class Levels(BaseStrategy):
    def initialize(self):
        super().initialize()
        self._levels = {}

    def on_bar(self, bar: Bar):
        level = self.level_of(bar)
        before = self._levels.get(bar.symbol)
        self._levels[bar.symbol] = level
        if before is not None and level != before:
            self.act(bar, level > before)

    @abstractmethod
    def level_of(self, bar): ...

    def act(self, bar, up):
        (self.buy if up else self.sell)(bar.symbol, confidence=0.51)


class Rounded(Levels):
    def level_of(self, bar):
        return round(bar.close / 2.0)

    def act(self, bar, up):
        if self.context.bar_count > 5:
            super().act(bar, up)
