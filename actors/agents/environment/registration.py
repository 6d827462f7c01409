"""Importing this module makes `Troupe/Trading-v0` known to gymnasium.

    gymnasium.make("actors.agents.environment.registration:Troupe/Trading-v0")

A change of what it means (observation, actions, reward, when it ends) is a new version.
"""

from __future__ import annotations

from typing import Final

import gymnasium

TRADING: Final = "Troupe/Trading-v0"

if TRADING not in gymnasium.registry:
    gymnasium.register(id=TRADING, entry_point="actors.agents.environment.trading:TradingEnv")
