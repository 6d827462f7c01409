"""What the routes of agents take and answer: the shapes of the RL service that this replaces, and what is new."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from actors.agents.settings import MOST_TEXT, AgentConfig
from protocols.agents import AgentControlled, AgentMarket, AgentStarted, AgentState, AgentView
from protocols.decisions import Decision
from protocols.nanos import NANO
from protocols.signal_stream import timestamp

_SCHEMA = msgspec.json.schema(AgentConfig)["$defs"][AgentConfig.__name__]
GivenConfig = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema=_SCHEMA)]
"""As it came: the roster fills in the defaults of its settings, and says what is wrong."""
UserId = Annotated[str, msgspec.Meta(min_length=1, max_length=MOST_TEXT)]
Action = Literal["start", "stop", "pause", "resume"]


def _nothing() -> msgspec.Raw:
    return msgspec.Raw(b"{}")


class StartBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose agent, and what it is to be: fields of `AgentConfig`; none: as it was last started, or the defaults."""

    user_id: UserId
    config: GivenConfig = msgspec.field(default_factory=_nothing)


class ControlBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to become of whose agent. `config`: for `start`."""

    user_id: UserId
    action: Action
    config: GivenConfig = msgspec.field(default_factory=_nothing)


class UserPath(msgspec.Struct, frozen=True):
    """Whose agent."""

    user_id: UserId


class LastQuery(msgspec.Struct, frozen=True):
    """Whose agent, and about what; no symbol: the newest about any."""

    user_id: UserId
    symbol: str = ""


class RecentQuery(msgspec.Struct, frozen=True):
    """Whose agent, about what (no symbol: about all), and how many at most."""

    user_id: UserId
    symbol: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20


class StartedAgent(msgspec.Struct, frozen=True):
    """The agent is there. `config`: what it goes by, the defaults filled in."""

    status: Literal["started", "resumed", "already_running"]
    user_id: str
    config: GivenConfig
    created_at: str
    state: AgentState


class FinalStats(msgspec.Struct, frozen=True):
    """What a stopped agent has done."""

    prediction_count: int
    error_count: int
    uptime_seconds: float


class ControlResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of it. `final_stats` of one that was stopped; `current_state` of one that could not be changed."""

    status: str
    final_stats: FinalStats | None = None
    current_state: AgentState | None = None


class Controlled(msgspec.Struct, frozen=True, omit_defaults=True):
    """`result`, and its fields once more beside it. `success`: whether anything was changed, or was so already."""

    success: bool
    action: Action
    user_id: str
    result: ControlResult
    status: str
    final_stats: FinalStats | None = None
    current_state: AgentState | None = None


class AgentListed(msgspec.Struct, frozen=True):
    """One agent of the list."""

    user_id: str
    state: AgentState
    created_at: str
    last_activity: str | None
    prediction_count: int
    error_count: int
    symbols: tuple[str, ...]


class AgentsListed(msgspec.Struct, frozen=True):
    """All agents, by user."""

    total_agents: int
    agents: tuple[AgentListed, ...]
    timestamp: str


class MarketShown(msgspec.Struct, frozen=True):
    """One symbol. `ready`: it is followed. `missing`: why bars of before are not known. `last_bar`: decided last."""

    symbol: str
    ready: bool
    bars_before: int
    missing: str | None
    last_bar: str | None


class AgentStatus(msgspec.Struct, frozen=True):
    """An agent. `is_active`: it decides. `restarts`: of its actors. `path`: its supervisor.

    `strategy_id`: of its signals, for a deployment that is to trade them.
    """

    user_id: str
    state: AgentState
    created_at: str
    last_activity: str | None
    prediction_count: int
    error_count: int
    last_error: str | None
    config: GivenConfig
    uptime_seconds: float
    is_active: bool
    restarts: int
    signals: int
    symbols: tuple[str, ...]
    markets: tuple[MarketShown, ...]
    path: str
    strategy_id: str


class FactorShown(msgspec.Struct, frozen=True):
    """One feature's part in a decision: by how much the chosen action's probability falls without it."""

    feature: str
    value: float
    effect: float
    text: str


class DecisionShown(msgspec.Struct, frozen=True):
    """A decision. `factors`: of an agent with `explain`. `signal_id`: the signal that it became; empty: none."""

    decision_id: str
    user_id: str
    symbol: str
    timestamp: str
    action: str
    should_trade: bool
    confidence: float
    confidence_kind: str
    reasoning: str
    served_by: str
    reason: str
    model: str
    model_version: str
    experiment: str
    arm: str
    probabilities: dict[str, float]
    regimes: dict[str, float]
    missing: tuple[str, ...]
    factors: tuple[FactorShown, ...]
    marks: tuple[str, ...]
    signal_id: str


class DecisionsShown(msgspec.Struct, frozen=True):
    """What an agent decided at its bars, the newest first."""

    user_id: str
    decisions: tuple[DecisionShown, ...]
    timestamp: str


def started(outcome: AgentStarted) -> StartedAgent:
    """What became of a start."""
    view = outcome.agent
    return StartedAgent(outcome.status, view.user_id, view.config, timestamp(view.created_at), view.state)


def uptime_s(view: AgentView, now: int) -> float:
    """Seconds since it was started; 0 for one that does not run."""
    return max(0, now - view.started_at) / NANO if view.started_at else 0.0


def controlled(user_id: str, action: Action, outcome: AgentControlled, now: int) -> Controlled:
    """What became of an order to an agent."""
    view = outcome.agent
    final = None
    if outcome.status == "stopped" and view is not None:
        final = FinalStats(view.prediction_count, view.error_count, uptime_s(view, now))
    illegal = outcome.status in ("not_running", "not_paused")
    state = view.state if illegal and view is not None else None
    result = ControlResult(outcome.status, final, state)
    return Controlled(not illegal, action, user_id, result, outcome.status, final, state)


def status(view: AgentView, now: int) -> AgentStatus:
    """An agent."""
    return AgentStatus(
        user_id=view.user_id,
        state=view.state,
        created_at=timestamp(view.created_at),
        last_activity=timestamp(view.last_activity) if view.last_activity else None,
        prediction_count=view.prediction_count,
        error_count=view.error_count,
        last_error=view.last_error or None,
        config=view.config,
        uptime_seconds=uptime_s(view, now),
        is_active=view.state == "running",
        restarts=view.restarts,
        signals=view.signals,
        symbols=view.symbols,
        markets=tuple(map(market_shown, view.markets)),
        path=view.agent_id,
        strategy_id=view.strategy_id,
    )


def market_shown(market: AgentMarket) -> MarketShown:
    """One symbol of an agent."""
    last = timestamp(market.last_bar) if market.last_bar >= 0 else None
    return MarketShown(market.symbol, market.ready, market.bars_before, market.missing or None, last)


def listed(view: AgentView) -> AgentListed:
    """An agent in the list."""
    return AgentListed(
        user_id=view.user_id,
        state=view.state,
        created_at=timestamp(view.created_at),
        last_activity=timestamp(view.last_activity) if view.last_activity else None,
        prediction_count=view.prediction_count,
        error_count=view.error_count,
        symbols=view.symbols,
    )


def shown(decision: Decision) -> DecisionShown:
    """A decision."""
    return DecisionShown(
        decision_id=decision.decision_id,
        user_id=decision.user_id,
        symbol=decision.symbol,
        timestamp=timestamp(decision.ts),
        action=decision.action,
        should_trade=decision.should_trade,
        confidence=decision.confidence,
        confidence_kind=decision.confidence_kind,
        reasoning=decision.reasoning,
        served_by=decision.served_by,
        reason=decision.reason,
        model=decision.model,
        model_version=decision.model_version,
        experiment=decision.experiment,
        arm=decision.arm,
        probabilities=dict(decision.probabilities),
        regimes=dict(decision.regimes),
        missing=decision.missing,
        factors=tuple([FactorShown(each.feature, each.value, each.effect, each.text) for each in decision.factors]),
        marks=decision.marks,
        signal_id=decision.signal_id,
    )
