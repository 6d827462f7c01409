"""What is said to and by the roster about strategies that run, in the words of the inference service."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from actors.strategies.package import Package
from actors.strategies.sandbox.policy import Cause, Sentence
from actors.strategies.sandbox.wire import LogLine, ParameterInfo, Problem
from protocols.control import Message, Request
from protocols.strategies import STRATEGY_ROSTER, StrategyState

ROSTER: Final = STRATEGY_ROSTER
"""The path of the actor that starts and lists the strategies."""

ExecutionMode = Literal["paper", "live", "backtest"]
EMPTY: Final = msgspec.Raw(b"{}")
MOST_EVENTS: Final = 1000


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
    source: str = ""
    version: str = ""
    parameters: msgspec.Raw = EMPTY
    """The parameters in force, a JSON object."""
    barred: str = ""
    """Why this version is not started again, if it is not."""


class StrategyList(Message, frozen=True, gc=False, tag="strategy_list"):
    """All strategies of the node, in the order in which they were first started."""

    strategies: tuple[StrategyStatus, ...]


class ListStrategies(Request[StrategyList], frozen=True, gc=False, tag="list_strategies"):
    """Asks the roster for its strategies; `strategy_id` for one alone. Refused `not_found`."""

    strategy_id: str = ""


# What people ask of the roster.


class StrategyStarted(Message, frozen=True, gc=False, tag="strategy_started"):
    """The strategy runs."""

    strategy_id: str
    execution_id: str
    name: str
    version: str


class StartStrategy(Request[StrategyStarted], frozen=True, gc=False, kw_only=True, tag="start_strategy"):
    """Asks the roster to run a strategy of the library; answered when it is built and runs.

    Refused `invalid` (with the field: it runs already, the limit is reached, a parameter is wrong, its source has
    problems), `not_found`, `ambiguous`, `barred`, `sandbox_too_weak`, `no_memory`, `unavailable`.
    """

    strategy_id: str
    source: str = ""
    symbols: tuple[str, ...]
    timeframe: str = "1h"
    timeframes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Other timeframes for some symbols: (symbol, timeframes)."""
    parameters: msgspec.Raw = EMPTY
    execution_mode: ExecutionMode = "paper"
    execution_interval_s: float | None = None
    """None: at every bar; else that often, with the bars there are."""
    settings: msgspec.Raw = EMPTY
    """A JSON object: filters, cooldown and the like (`RunSettings`)."""


class StrategyStopped(Message, frozen=True, gc=False, tag="strategy_stopped"):
    """The strategy does not run any more. Times in ns."""

    strategy_id: str
    execution_id: str
    ts_stopped: int


class StopStrategy(Request[StrategyStopped], frozen=True, gc=False, tag="stop_strategy"):
    """Asks the roster to end a strategy. Refused `not_found`, `not_running`."""

    strategy_id: str


class StrategyConfigured(Message, frozen=True, gc=False, tag="strategy_configured"):
    """The strategy runs on with these. `parameters`: those in force, a JSON object."""

    strategy_id: str
    ts_updated: int
    parameters: msgspec.Raw


class ConfigureStrategy(Request[StrategyConfigured], frozen=True, gc=False, tag="configure_strategy"):
    """Asks the roster to change a running strategy's settings and parameters, all or none.

    What is not named stays. Refused `invalid` (with the field), `not_found`, `not_running`.
    """

    strategy_id: str
    settings: msgspec.Raw = EMPTY
    parameters: msgspec.Raw = EMPTY


class LiftBar(Request[None], frozen=True, gc=False, tag="lift_bar"):
    """A person allows a barred strategy to be started again. Refused `not_found`, `not_barred`."""

    strategy_id: str


class RunHistory(Message, frozen=True, gc=False, tag="run_history"):
    """What happened to a strategy, (ns, event) in order: the newest MOST_EVENTS."""

    events: tuple[tuple[int, str], ...]


class GetRunHistory(Request[RunHistory], frozen=True, gc=False, tag="get_run_history"):
    """Asks the roster what happened to a strategy. Refused `not_found`."""

    strategy_id: str


# Between the roster and its runners.


class Run(Message, frozen=True, gc=False, kw_only=True, tag="strategy_run"):
    """What a runner is to run now."""

    package: Package
    markets: tuple[str, ...]
    windows: tuple[tuple[str, str], ...]
    """(symbol, timeframe)."""
    parameters: msgspec.Raw
    """A JSON object."""
    settings: msgspec.Raw
    """A JSON object, `RunSettings`."""
    interval_s: float | None
    exchange: str
    exchanges: tuple[tuple[str, str], ...]
    """(symbol, exchange) where it is not `exchange`."""
    own: bool
    """Whether the code is the operator's own."""
    state: bytes | None
    gate: msgspec.Raw
    """What an earlier life's gate has let through, a JSON object; empty: nothing."""
    count: int
    """How many signals earlier lives have made."""
    error_budget: int
    call_s: float
    load_s: float
    cpu_share: float
    log_bytes: int


class GetRun(Request[Run], frozen=True, gc=False, tag="get_run"):
    """A runner asks what it is to run. Refused `not_found`, `unavailable`."""

    name: str


class RunLoaded(Message, frozen=True, gc=False, kw_only=True, tag="run_loaded"):
    """A runner runs this version."""

    name: str
    version: str
    incarnation: str
    replica: str = ""
    """Its name among the replicas of the run; empty: it runs the whole."""
    contract: str = ""
    parameters: msgspec.Raw = EMPTY
    declared: tuple[ParameterInfo, ...] = ()


class RunFailed(Message, frozen=True, gc=False, kw_only=True, tag="run_failed"):
    """A runner cannot go on, and is to be ended. `field` where something that was asked for is wrong."""

    name: str
    version: str
    code: str
    reason: str
    field: str = ""
    problems: tuple[Problem, ...] = ()


class ReportKill(Request[Sentence], frozen=True, gc=False, tag="report_kill"):
    """A runner's worker has ended; what follows?"""

    name: str
    version: str
    cause: Cause
    detail: str


class KeepGate(Message, frozen=True, gc=False, tag="keep_gate"):
    """What left a runner's gate, and how many signals it has made, for the next life of the run."""

    name: str
    gate: msgspec.Raw
    count: int


class KeepState(Message, frozen=True, gc=False, tag="keep_state"):
    """What `on_save` returned, for the next life."""

    name: str
    version: str
    state: bytes


class SwapPackage(Message, frozen=True, gc=False, tag="swap_package"):
    """The roster tells a runner to take another version between two inputs."""

    package: Package


class SwapFailed(Message, frozen=True, gc=False, tag="swap_failed"):
    """A runner goes on with the version it had, and says why."""

    name: str
    version: str
    reason: str


class Configured(Message, frozen=True, gc=False, tag="run_configured"):
    """A runner has taken new settings and parameters. `parameters`: those in force, a JSON object."""

    parameters: msgspec.Raw


class ConfigureRun(Request[Configured], frozen=True, gc=False, tag="configure_run"):
    """The roster tells a runner to change. Refused `invalid` with the field."""

    settings: msgspec.Raw
    parameters: msgspec.Raw


class RunLogs(Message, frozen=True, gc=False, tag="run_logs"):
    """The last lines that a strategy has logged, oldest first: (ns, line). `cut`: bytes that were not kept."""

    lines: tuple[tuple[int, LogLine], ...]
    cut: int


class GetRunLogs(Request[RunLogs], frozen=True, gc=False, tag="get_run_logs"):
    """Asks a runner for what its strategy has logged."""

    limit: int = 100
