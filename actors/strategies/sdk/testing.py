"""For tests of a strategy: hand it bars, and look at what it says. In this process, without a worker.

    from actors.strategies.sdk.testing import replay

    told = replay(Reversion, bars, period=5)
    assert [signal.action for _, signal in told.signals] == ["BUY"]

What the sandbox forbids is not noticed here; `troupe strategy check` says it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Generic

from actors.strategies.sdk.bars import Bar, Bars
from actors.strategies.sdk.base import S, build
from actors.strategies.sdk.parameters import ParameterProblem, ParametersError, declared, settle
from actors.strategies.sdk.session import Level, Session
from actors.strategies.sdk.signal import Signal


@dataclass
class Told(Generic[S]):
    """What a strategy has said."""

    strategy: S
    signals: list[tuple[Bar, Signal]] = field(default_factory=list)
    """Each with the bar that has led to it."""
    metrics: dict[str, float] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    log: list[tuple[Level, str]] = field(default_factory=list)


class KnownWindows:
    """Windows over bars that are all known, of which a strategy sees those up to where it is."""

    def __init__(self, tables: Iterable[Bars], lookback: int) -> None:
        self._tables = {(table.symbol, table.timeframe): table for table in tables}
        self._seen = dict.fromkeys(self._tables, 0)
        self._prices: dict[str, float] = {}
        self._lookback = lookback

    def take(self, bar: Bar) -> None:
        """This bar, the next of its table, is there now."""
        self._seen[bar.symbol, bar.timeframe] += 1
        self._prices[bar.symbol] = bar.close

    def symbols(self) -> tuple[str, ...]:
        """Of all tables."""
        return tuple(dict.fromkeys(symbol for symbol, _ in self._tables))

    def timeframes(self, symbol: str) -> tuple[str, ...]:
        """Of a symbol's tables. Raises KeyError."""
        found = tuple(timeframe for each, timeframe in self._tables if each == symbol)
        if not found:
            raise KeyError(f"{symbol!r}: expected one of {', '.join(self.symbols())}")
        return found

    def bars(self, symbol: str, timeframe: str) -> Bars:
        """The window. Raises KeyError."""
        seen = self._seen[symbol, timeframe]
        return self._tables[symbol, timeframe][max(seen - self._lookback, 0) : seen]

    def price(self, symbol: str) -> float | None:
        """The newest close."""
        return self._prices.get(symbol)


def replay(strategy: type[S], *tables: Bars, lookback: int = 200, **parameters: Any) -> Told[S]:
    """A life of a strategy over tables of bars, in the order of the bars' ends; of equal ones, of the tables.

    Raises ParametersError, and whatever the strategy raises.
    """
    windows = KnownWindows(tables, lookback)
    log: list[tuple[Level, str]] = []
    session = Session(windows, lambda level, text: log.append((level, text)), strategy_id=strategy.__name__)
    session.parameters.update(settle(declared(strategy), parameters))
    made = build(strategy, session)
    if wrong := made.validate_parameters():
        raise ParametersError([ParameterProblem(message=each) for each in wrong])
    made.initialize()
    told = Told(made, variables=session.variables, log=log)
    for bar in sorted((bar for table in tables for bar in table), key=lambda bar: bar.end):
        windows.take(bar)
        session.at(bar.end, bar)
        made.on_bar(bar)
        told.signals += [(bar, signal) for signal in session.take_signals()]
    made.finalize()
    told.metrics = dict(session.metrics)
    return told
