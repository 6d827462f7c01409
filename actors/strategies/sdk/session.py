"""What stands behind a strategy while it runs. For the worker's loop and for tests; authors see `Context`.

The loop makes a Session, builds the strategy with it (`base.build`), and before each input says what time it is and
which bar it is (`session.at`). What the strategy says meanwhile is taken from it after each input (`take_signals`,
`take_metrics`); log lines go to the sink at once.

An execution engine is attached by `deploy`; nothing else of the SDK changes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import numpy as np

from actors.strategies.sdk.bars import Bar, Bars, time_of
from actors.strategies.sdk.data import Data
from actors.strategies.sdk.signal import Signal, SignalError, number
from actors.strategies.sdk.trading import UNDEPLOYED, Execution, is_deployed

Level = Literal["debug", "info", "warning", "error"]
LEVELS: Final = ("debug", "info", "warning", "error")
MOST_SIGNALS: Final = 64
"""Of one input; as wire.MOST_SIGNALS."""
MOST_METRICS: Final = 200
"""Different names; as a reply's bound."""
MOST_NAME: Final = 200

LogSink = Callable[[Level, str], None]


class Windows(Protocol):
    """The bars that a strategy sees, kept by whoever feeds it."""

    def symbols(self) -> tuple[str, ...]:
        """In the order of the run."""
        ...

    def timeframes(self, symbol: str) -> tuple[str, ...]:
        """Of a symbol; the first is the one that counts where none is said. Raises KeyError for a strange symbol."""
        ...

    def bars(self, symbol: str, timeframe: str) -> Bars:
        """The window, the newest bar last. Raises KeyError for one that the run does not have."""
        ...

    def price(self, symbol: str) -> float | None:
        """What the newest input of any kind says that the symbol costs: a close, a trade, the middle of a quote."""
        ...


class Context:
    """Where and when the strategy runs, and what it has noted. `self.context` of a strategy."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def strategy_id(self) -> str:
        """The id that the strategy runs under."""
        return self._session.strategy_id

    @property
    def user_id(self) -> str | None:
        """Whose strategy it is; None where the run does not say."""
        return self._session.user_id

    @property
    def is_live(self) -> bool:
        """Whether inputs come as they happen; False in a replay, a backtest, and before the start."""
        return self._session.is_live

    @property
    def is_deployed(self) -> bool:
        """Whether the strategy has an account: `orders`, `portfolio` and `risk` answer."""
        return is_deployed(self._session.execution)

    @property
    def now(self) -> int:
        """The time of the input, ns since the epoch: the strategy's only clock."""
        return self._session.now

    @property
    def current_time(self) -> datetime:
        """The same as a datetime, UTC."""
        return time_of(self._session.now)

    @property
    def current_bar(self) -> Bar | None:
        """The bar that came last; None before the first."""
        return self._session.bar

    @property
    def bar_count(self) -> int:
        """How many bars `on_bar` was given so far, this one included; those of before the start do not count."""
        return self._session.bar_count

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of the run."""
        return self._session.windows.symbols()

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters in force, by name."""
        return dict(self._session.parameters)

    @property
    def variables(self) -> dict[str, Any]:
        """What `set_variable` has kept. It survives a restart and goes to the next version of the strategy."""
        return self._session.variables

    @property
    def metrics(self) -> Mapping[str, float]:
        """The last value of each figure that was recorded."""
        return dict(self._session.metrics)


class Session:
    """One life of a strategy in a worker."""

    def __init__(
        self,
        windows: Windows,
        log: LogSink,
        *,
        strategy_id: str = "",
        user_id: str | None = None,
        is_live: bool = False,
        now: int = 0,
    ) -> None:
        self.windows = windows
        self.strategy_id = strategy_id
        self.user_id = user_id
        self.is_live = is_live
        self.now = now
        self.bar: Bar | None = None
        self.bar_count = 0
        self.parameters: dict[str, Any] = {}
        """The values in force; the loop replaces what is in it, never the dictionary itself."""
        self.variables: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.execution: Execution = UNDEPLOYED
        self.context = Context(self)
        self.data = Data(windows)
        self._log = log
        self._signals: list[Signal] = []
        self._fresh: dict[str, float] = {}

    # -- what the loop does --------------------------------------------------------------------------------

    def at(self, now: int, bar: Bar | None = None) -> None:
        """The next input: its time, and the bar if it is one. The window has it already."""
        self.now = now
        if bar is not None:
            self.bar = bar
            self.bar_count += 1

    def deploy(self, execution: Execution) -> None:
        """From now on `orders`, `portfolio` and `risk` are those of an account."""
        self.execution = execution

    def take_signals(self) -> list[Signal]:
        """The signals since the last time, each with its symbol."""
        found, self._signals = self._signals, []
        return found

    def take_metrics(self) -> dict[str, float]:
        """The figures recorded since the last time, the last value of each."""
        found, self._fresh = self._fresh, {}
        return found

    # -- what the strategy does ----------------------------------------------------------------------------

    def signal(self, signal: Signal) -> None:
        """Add a signal. Raises SignalError for a symbol that is missing or strange, and for too many."""
        if not isinstance(signal, Signal):
            raise SignalError("signal", "a Signal", signal)
        symbols = self.windows.symbols()
        if signal.symbol is None:
            if len(symbols) != 1:
                raise SignalError("symbol", f"one of {', '.join(symbols)}", None)
            signal = replace(signal, symbol=symbols[0])
        elif signal.symbol not in symbols:
            raise SignalError("symbol", f"one of {', '.join(symbols)}", signal.symbol)
        if len(self._signals) >= MOST_SIGNALS:
            raise SignalError("signal", f"at most {MOST_SIGNALS} signals of one input", f"{MOST_SIGNALS + 1}")
        self._signals.append(signal)

    def log(self, message: object, level: Level = "info") -> None:
        """Add a log line. Raises ValueError for a level that is none."""
        if level not in LEVELS:
            raise ValueError(f"level: expected one of {', '.join(LEVELS)}, got {level!r}")
        self._log(level, str(message))

    def record_metric(self, name: str, value: float) -> None:
        """Record a figure. Raises ValueError for a name or a value that is none, and for too many names."""
        if not isinstance(name, str) or not 1 <= len(name) <= MOST_NAME:
            raise ValueError(f"name: expected text of 1 to {MOST_NAME} characters, got {name!r}")
        if name not in self.metrics and len(self.metrics) >= MOST_METRICS:
            raise ValueError(f"name: expected at most {MOST_METRICS} different figures, got {name!r} besides")
        figure = float(value) if isinstance(value, bool | np.bool_) else number(name, value, "a finite number")
        self.metrics[name] = self._fresh[name] = figure
