"""`talib` of strategies: its functions over arrays."""

from __future__ import annotations

import importlib
from typing import Any

from actors.strategies.sandbox.inside.facade import Facade


def talib_facade() -> Facade:
    """The functions by their names, `MA_Type`, and the lists of names. TA-Lib has to be installed."""
    talib: Any = importlib.import_module("talib")
    names = (*talib.get_functions(), "MA_Type", "get_functions", "get_function_groups")
    return Facade("talib", {name: getattr(talib, name) for name in names})
