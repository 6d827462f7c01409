"""What strategies say of themselves, in the words of the inference service."""

from __future__ import annotations

from typing import Literal

from protocols.control import Message, Request

ROSTER = "/roster"
"""The path of the actor that starts and lists the strategies."""

StrategyState = Literal["inactive", "loading", "active", "paused", "error"]


class RunnerStatus(Message, frozen=True, gc=False, tag="runner_status"):
    """How one life of a runner is. Times in ns, 0: never."""

    incarnation: str
    ts_started: int
    ts_last_execution: int
    signals_generated: int
    signals_waiting: int
    errors: int
    last_error: str
    figures: tuple[tuple[str, str | int | float | bool | None], ...]


class GetRunnerStatus(Request[RunnerStatus], frozen=True, gc=False, tag="get_runner_status"):
    """Asks a strategy's runner how it is."""


class StrategyStatus(Message, frozen=True, gc=False, tag="strategy_status"):
    """A strategy over all its lives. Times in ns, 0: never."""

    strategy_id: str
    strategy: str
    markets: tuple[str, ...]
    status: StrategyState
    execution_id: str
    ts_started: int
    ts_last_execution: int
    signals_generated: int
    error_count: int
    last_error: str
    figures: tuple[tuple[str, str | int | float | bool | None], ...] = ()


class StrategyList(Message, frozen=True, gc=False, tag="strategy_list"):
    """All strategies of the node, in the order of its configuration."""

    strategies: tuple[StrategyStatus, ...]


class ListStrategies(Request[StrategyList], frozen=True, gc=False, tag="list_strategies"):
    """Asks the roster for its strategies; `strategy_id` for one alone. Refused `not_found`."""

    strategy_id: str = ""
