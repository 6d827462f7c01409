"""What a strategy's author imports.

    from actors.strategies.sdk import Bar, BaseStrategy, Parameter, indicators

`BaseStrategy` says what a strategy may define and what it has; `Parameter` declares what can be set from outside;
`Signal` is what it gives. A strategy that is a function, `generate_signal(data, parameters)`, gets `Frames`: `Bars` by
symbol.

Importing this loads numpy and the indicator core, and nothing else: no event loop, no files, no network.
"""

from __future__ import annotations

from actors.strategies.sdk import indicators
from actors.strategies.sdk.bars import Bar, Bars, Frames, Quote, Trade
from actors.strategies.sdk.base import BaseStrategy
from actors.strategies.sdk.data import Data
from actors.strategies.sdk.parameters import Parameter, ParametersError
from actors.strategies.sdk.session import Context
from actors.strategies.sdk.signal import Signal, SignalError
from actors.strategies.sdk.trading import (
    Fill,
    NotDeployed,
    Order,
    OrderError,
    Orders,
    Performance,
    Portfolio,
    Position,
    Risk,
    RiskCheck,
    RiskRule,
)

__all__ = [
    "Bar",
    "Bars",
    "BaseStrategy",
    "Context",
    "Data",
    "Fill",
    "Frames",
    "NotDeployed",
    "Order",
    "OrderError",
    "Orders",
    "Parameter",
    "ParametersError",
    "Performance",
    "Portfolio",
    "Position",
    "Quote",
    "Risk",
    "RiskCheck",
    "RiskRule",
    "Signal",
    "SignalError",
    "Trade",
    "indicators",
]
