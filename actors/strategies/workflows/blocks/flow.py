"""What every compiled workflow is: a strategy that feeds the bars of its data sources to its nodes.

The nodes of one data source step at each of its bars. Nodes that combine several sources step with the fastest ones
among them: at the last bar of one end, when all of those have theirs. A slower source then counts with its newest bar
that ended at or before the beginning of the step's bar. So nothing depends on which of two bars of one moment came
first, and no step sees a bar that was not complete when its own began.

What the nodes remember follows from the window of bars that the strategy sees: at the first bar, after a change of
parameters, and after a gap they are built anew and fed with it, in silence.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Final, NamedTuple

from actors.strategies.sdk import Bar, BaseStrategy, Signal
from actors.strategies.workflows.operators.base import Number, known

KEPT: Final = 64
"""Bars of a slow source that wait for a step, at most."""


class Source(NamedTuple):
    """A data source. `symbol` empty: each symbol of the run. `timeframe` empty: that of the run."""

    name: str
    symbol: str = ""
    timeframe: str = ""
    combined: bool = False
    """Whether its values are combined with those of other sources."""
    steps: bool = False
    """Whether its bars make the steps of what is combined: it is one of the fastest."""


class Outcome:
    """Where the nodes leave their signals and figures; `silent` while they are fed with bars from before."""

    def __init__(self, strategy: BaseStrategy) -> None:
        self._strategy = strategy
        self.silent = False

    def signal(self, **fields: Any) -> None:
        """Give a signal; a field that is None is left out."""
        if not self.silent:
            self._strategy.signal(Signal(**{name: value for name, value in fields.items() if value is not None}))

    def figure(self, name: str, value: Any) -> None:
        """Record a figure (a verdict as 1 or 0), if it is known."""
        if not self.silent and known(value):
            self._strategy.record_metric(name, float(value))


class WorkflowStrategy(BaseStrategy):
    """The base of compiled workflows. A subclass sets `SOURCES`, `NODES`, `HISTORY` and `PARAMETERS`.

    `NODES(p)` has a method `on_<source>(bar, p, out)` for each source, which returns what is combined by name, and
    `on_step(bars, values, p, out)` where anything is.
    """

    SOURCES: ClassVar[tuple[Source, ...]]
    NODES: ClassVar[Any]
    HISTORY: ClassVar[int] = 1

    def get_required_data(self) -> dict[str, Any]:
        """The bars that the nodes need until their values do not depend on the beginning."""
        return {"history_bars": self.HISTORY}

    def validate_parameters(self) -> list[str]:
        """Parameters that do not go together, such as a fast average that is slower than the slow one."""
        try:
            self.NODES(self.context.parameters)
        except ValueError as error:
            return [str(error)]
        return []

    def initialize(self) -> None:
        """Bind the sources to the run's bars. Raises ValueError where the run has not got them."""
        self.p = self.context.parameters
        self.out = Outcome(self)
        self.lanes = self._lanes()

    def on_parameters_changed(self) -> None:
        """Build the nodes anew, at the next bar."""
        self.p = self.context.parameters
        for lane in self.lanes:
            lane.nodes = None

    def on_gap(self, symbol: str) -> None:
        """Forget what was known of this symbol."""
        for lane in self.lanes:
            if any(market == symbol for market, _ in lane.markets):
                lane.nodes = None

    def on_bar(self, bar: Bar) -> None:
        """Let the nodes step."""
        market = (bar.symbol, bar.timeframe)
        for lane in self.lanes:
            if market in lane.markets:
                if lane.nodes is None:
                    self._begin(lane, bar)
                lane.feed(bar, self.p, self.out)

    def _begin(self, lane: Lane, bar: Bar) -> None:
        lane.clear(self.NODES(self.p))
        self.out.silent = True
        try:
            for each in self._before(lane, bar):
                lane.feed(each, self.p, self.out)
        finally:
            self.out.silent = False

    def _before(self, lane: Lane, bar: Bar) -> list[Bar]:
        found: list[Bar] = []
        for symbol, timeframe in lane.markets:
            found += self.data.get_bars(symbol, timeframe=timeframe)
        now = (bar.symbol, bar.timeframe, bar.timestamp)
        return sorted(
            (each for each in found if (each.symbol, each.timeframe, each.timestamp) != now), key=lambda each: each.end
        )

    def _lanes(self) -> list[Lane]:
        if any(source.symbol for source in self.SOURCES) and len({source.symbol for source in self.SOURCES}) > 1:
            return [self._lane("")]
        return [self._lane(symbol) for symbol in self.context.symbols]

    def _lane(self, symbol: str) -> Lane:
        one_timeframe = len({source.timeframe for source in self.SOURCES}) == 1
        markets: dict[tuple[str, str], list[Source]] = {}
        for source in self.SOURCES:
            market = symbol or source.symbol
            if market not in self.context.symbols:
                raise ValueError(
                    f"symbols: this workflow needs {market}, the run has {', '.join(self.context.symbols)}"
                )
            has = self.data.timeframes(market)
            timeframe = source.timeframe
            if timeframe not in has:
                if not one_timeframe:
                    raise ValueError(
                        f"timeframes: this workflow needs bars of {timeframe} of {market}, the run has {', '.join(has)}"
                    )
                timeframe = has[0]
            markets.setdefault((market, timeframe), []).append(source)
        return Lane(markets)


class Lane:
    """The nodes of one symbol, or of all where the workflow names several. `markets`: whose bars are whose."""

    def __init__(self, markets: dict[tuple[str, str], list[Source]]) -> None:
        self.markets = markets
        self.nodes: Any = None
        sources = [source for each in markets.values() for source in each if source.combined]
        self._stepping = [source.name for source in sources if source.steps]
        self._slow = [source.name for source in sources if not source.steps]
        self.clear(None)

    def clear(self, nodes: Any) -> None:
        """Begin anew with these nodes."""
        self.nodes = nodes
        names = [source.name for each in self.markets.values() for source in each]
        self._handlers: dict[str, Any] = {} if nodes is None else {name: getattr(nodes, f"on_{name}") for name in names}
        self._now: dict[str, tuple[Bar, dict[str, Any]]] = {}
        self._late: dict[str, deque[tuple[int, dict[str, Any]]]] = {name: deque(maxlen=KEPT) for name in self._slow}

    def feed(self, bar: Bar, p: Any, out: Outcome) -> None:
        """One bar, of one of the markets."""
        for source in self.markets[bar.symbol, bar.timeframe]:
            values = self._handlers[source.name](bar, p, out)
            if not source.combined:
                continue
            if source.steps:
                self._now[source.name] = (bar, values)
            else:
                self._late[source.name].append((bar.end, values))
        if self._stepping and self._complete(bar):
            self._step(bar, p, out)

    def _complete(self, bar: Bar) -> bool:
        if len(self._now) < len(self._stepping):
            return False
        return all(each.end == bar.end for each, _ in self._now.values())

    def _step(self, bar: Bar, p: Any, out: Outcome) -> None:
        bars = {name: each for name, (each, _) in self._now.items()}
        begin = max(each.timestamp for each in bars.values())
        values: dict[str, Any] = {}
        for _, found in self._now.values():
            values |= found
        for waiting in self._late.values():
            while len(waiting) > 1 and waiting[1][0] <= begin:
                waiting.popleft()
            if waiting and waiting[0][0] <= begin:
                values |= waiting[0][1]
        self._now = {}
        self.nodes.on_step(bars, values, p, out)


def below(price: Number, percent: Number) -> Number:
    """The price that is so many percent of its size below; None without one of both."""
    return None if price is None or percent is None else price - abs(price) * percent / 100.0


def above(price: Number, percent: Number) -> Number:
    """The price that is so many percent of its size above; None without one of both."""
    return None if price is None or percent is None else price + abs(price) * percent / 100.0


def shifted(price: Number, distance: Number, times: float) -> Number:
    """The price so many times the distance away, down where `times` is negative; None without one of both."""
    return None if price is None or distance is None else price + distance * times
