"""What is said about agents: one supervised actor for a user (and a symbol) that decides by a policy.

The agent of a user is a supervisor, `/agents/<key>`; below it one actor for each of its symbols, and one that counts
what is decided for the user over HTTP. The roster (`AGENT_ROSTER`) starts them, keeps their figures, and answers here.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.control import Message, Request, Row
from protocols.decisions import Decision

AGENT_CONFIGS: Final = "agent_configs"
"""The stream of `AgentRow`."""

AGENT_STRATEGY: Final = "agent:"
"""What the `strategy_id` of an agent's signals begins with; the rest is its `key`."""

AgentState = Literal["stopped", "starting", "running", "paused", "error"]


class AgentMarket(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One symbol of an agent. `ready`: its actor follows the market, with `bars_before` from before its start.

    `missing`: why not all of those. `last_bar`: the start of the last bar that was decided, ns; -1: none since the node
    was started.
    """

    symbol: str
    ready: bool
    bars_before: int = 0
    missing: str = ""
    last_bar: int = -1


class AgentView(Message, frozen=True, gc=False, kw_only=True, tag="agent_view"):
    """An agent. Times in ns (0: never). `config`: as it was given, with the defaults filled in, as JSON.

    `error_count`: crashes, signals that were given up, and decisions for which a model had no answer. `restarts`: of
    its actors. `key`: its name in the tree. `signals`: what it has given to the hub, as `strategy_id`.
    """

    agent_id: str
    user_id: str
    symbols: tuple[str, ...]
    state: AgentState
    created_at: int
    last_activity: int
    prediction_count: int
    error_count: int
    restarts: int
    last_error: str
    config: msgspec.Raw
    started_at: int
    key: str = ""
    signals: int = 0
    markets: tuple[AgentMarket, ...] = ()
    strategy_id: str = ""


class StartAgent(Request["AgentStarted"], frozen=True, gc=False, kw_only=True, tag="start_agent"):
    """Start or resume a user's agent; `config` as JSON, checked. Refused `invalid` with the field, `overloaded`.

    An empty `config`: the one that it was last started with, or the defaults. One that runs or is paused keeps its own.
    Refused `unavailable` for an empty one, too, as long as it is not known with what it was last started.
    """

    user_id: str
    config: msgspec.Raw = msgspec.Raw(b"{}")


class AgentStarted(Message, frozen=True, gc=False, tag="agent_started"):
    """What became of it."""

    status: Literal["started", "resumed", "already_running"]
    agent: AgentView


class ControlAgent(Request["AgentControlled"], frozen=True, gc=False, kw_only=True, tag="control_agent"):
    """Stop, pause or resume a user's agent."""

    user_id: str
    action: Literal["stop", "pause", "resume"]


class AgentControlled(Message, frozen=True, gc=False, tag="agent_controlled"):
    """What became of it; `agent` as it was at the end, None where there is none.

    `not_running`: it cannot be stopped or paused as it is; `not_paused`: not resumed.
    """

    status: Literal["stopped", "paused", "resumed", "not_found", "not_running", "not_paused"]
    agent: AgentView | None


class GetAgent(Request[AgentView], frozen=True, gc=False, tag="get_agent"):
    """Asks for a user's agent. Refused `not_found`."""

    user_id: str


class AgentList(Message, frozen=True, gc=False, tag="agent_list"):
    """All agents, by user."""

    agents: tuple[AgentView, ...]


class ListAgents(Request[AgentList], frozen=True, gc=False, tag="list_agents"):
    """Asks for all agents."""


class LastDecision(Message, frozen=True, gc=False, tag="last_decision"):
    """The newest decision for a user."""

    decision: Decision


class GetLastDecision(Request[LastDecision], frozen=True, gc=False, tag="get_last_decision"):
    """Asks for the newest decision of a user's agent (empty `symbol`: of any symbol). Refused `not_found`."""

    user_id: str
    symbol: str = ""


class RecentDecisions(Message, frozen=True, gc=False, tag="recent_decisions"):
    """Decisions at bars, the newest first; `signal_id` is the signal that one became, empty where it became none."""

    decisions: tuple[Decision, ...]


class ListRecentDecisions(Request[RecentDecisions], frozen=True, gc=False, kw_only=True, tag="list_recent_decisions"):
    """Asks for what a user's agent decided last, as far as it is kept in memory (empty `symbol`: of all symbols).

    Refused `not_found`.
    """

    user_id: str
    symbol: str = ""
    limit: int = 20


class FeatureKnown(Message, frozen=True, gc=False, kw_only=True, tag="feature_known"):
    """Topic, by symbol: a figure from outside has become known, under a name of `actors/decisions/features/names.py`.

    The agents of the symbol take it into their features. `ts`: since when it is known, ns.
    """

    symbol: str
    name: str
    value: float
    ts: int
    marks: tuple[str, ...] = ()

    def topic_key(self) -> str:
        """The symbol."""
        return self.symbol


class AgentRow(Row, frozen=True, gc=False, kw_only=True, tag="agent_row"):
    """One change of an agent (`agent_configs`), or its figures from time to time; the newest of a user counts.

    `event`: started, resumed, paused, stopped, failed, counted. `reason`: the last error.
    """

    table = "agent_configs"
    sequenced = True

    stream: str
    seq: int
    ts: int
    user_id: str
    event: str
    state: str
    reason: str
    prediction_count: int
    error_count: int
    created_at: int
    config: msgspec.Raw
    restarts: int
    signals: int
