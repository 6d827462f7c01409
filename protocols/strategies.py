"""What is said about running strategies beyond their own capability."""

from __future__ import annotations

from typing import Final, Literal

from protocols.control import Message, Request

STRATEGY_ROSTER: Final = "/roster"
"""The path of the actor that starts and lists the strategies."""

StrategyState = Literal["inactive", "loading", "active", "paused", "error"]


class StrategyChanged(Message, frozen=True, gc=False, kw_only=True, tag="strategy_changed"):
    """Topic: a strategy has another status than before. `reason`: why, where it ended by failing. `ts` in ns."""

    strategy_id: str
    strategy_source: str
    strategy_version: str
    execution_id: str
    status: StrategyState
    reason: str = ""
    symbols: tuple[str, ...] = ()
    ts: int

    def topic_key(self) -> str:
        """The strategy's id."""
        return self.strategy_id


class StrategyStates(Message, frozen=True, gc=False, tag="strategy_states"):
    """How all strategies of the node are now."""

    strategies: tuple[StrategyChanged, ...]


class GetStrategyStates(Request[StrategyStates], frozen=True, gc=False, tag="get_strategy_states"):
    """Asks the roster how all strategies are; `strategy_id` for one alone. Refused `not_found`."""

    strategy_id: str = ""
