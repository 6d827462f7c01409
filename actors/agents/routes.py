"""The HTTP routes of agents, in the shapes of the RL service that this replaces."""

from __future__ import annotations

from typing import Final

import msgspec

from actors.agents.bodies import (
    AgentsListed,
    AgentStatus,
    ControlBody,
    Controlled,
    ControlResult,
    DecisionShown,
    DecisionsShown,
    LastQuery,
    RecentQuery,
    StartBody,
    StartedAgent,
    UserPath,
    controlled,
    listed,
    shown,
    started,
    status,
)
from actors.edge.call import Call
from actors.edge.routing import Route, get, post
from protocols.agents import (
    AgentStarted,
    ControlAgent,
    GetAgent,
    GetLastDecision,
    ListAgents,
    ListRecentDecisions,
    StartAgent,
)
from protocols.control import Refused, Unknown
from protocols.decisions import RULE, ListModels
from protocols.paths import AGENT_ROSTER, MODELS
from protocols.signal_stream import timestamp

TAGS: Final = ("agents",)
BASE: Final = "/api/v1/agents"
ASK_S: Final = 10.0
START_S: Final = 30.0
MODELS_S: Final = 2.0


class _Named(msgspec.Struct, frozen=True):
    """What of a configuration is looked at before the roster is asked."""

    model: str = ""


async def start(request: StartBody, call: Call) -> StartedAgent:
    """Start a user's agent, or resume it; one that runs stays as it is."""
    return started(await _start(request, call))


async def _start(request: StartBody | ControlBody, call: Call) -> AgentStarted:
    await _check_model(request.config, call)
    return await call.ref(AGENT_ROSTER).ask(StartAgent(user_id=request.user_id, config=request.config), START_S)


async def _check_model(config: msgspec.Raw, call: Call) -> None:
    """Refuse a model that nobody has loaded, while whoever knows says so; an agent without it has the fallback."""
    try:
        name = msgspec.json.decode(config, type=_Named).model
    except msgspec.DecodeError:
        return  # the roster says what is wrong
    if name in ("", RULE):
        return
    try:
        known = [each.name for each in (await call.ref(MODELS).ask(ListModels(), MODELS_S)).models]
    except (Refused, Unknown) as error:
        call.node.logger.info("whether there is this model is not known", model=name, why=str(error))
        return
    if name not in known:
        expected = ", ".join((RULE, *known))
        raise Refused("invalid", f"expected one of the models that are loaded ({expected}), got {name}", "config.model")


async def control(request: ControlBody, call: Call) -> Controlled:
    """Start, stop, pause or resume a user's agent. What it cannot do as it is, it says in `status`, with 200."""
    roster = call.ref(AGENT_ROSTER)
    if request.action == "start":
        begun = await _start(request, call)
        return Controlled(True, "start", request.user_id, ControlResult(begun.status), begun.status)
    outcome = await roster.ask(ControlAgent(user_id=request.user_id, action=request.action), START_S)
    if outcome.status == "not_found":
        raise Refused("not_found", f"there is no agent of {request.user_id!r}", "user_id")
    return controlled(request.user_id, request.action, outcome, call.node.clock.now())


async def one(request: UserPath, call: Call) -> AgentStatus:
    """A user's agent."""
    return status(await call.ref(AGENT_ROSTER).ask(GetAgent(request.user_id), ASK_S), call.node.clock.now())


async def every(call: Call) -> AgentsListed:
    """All agents."""
    found = (await call.ref(AGENT_ROSTER).ask(ListAgents(), ASK_S)).agents
    return AgentsListed(len(found), tuple(map(listed, found)), timestamp(call.node.clock.now()))


async def last(request: LastQuery, call: Call) -> DecisionShown:
    """The newest decision for a user; with `explain` in the agent's configuration, which features it hangs on."""
    found = await call.ref(AGENT_ROSTER).ask(GetLastDecision(request.user_id, request.symbol), ASK_S)
    return shown(found.decision)


async def recent(request: RecentQuery, call: Call) -> DecisionsShown:
    """What a user's agent decided last at its bars, the newest first, as far as it is kept in memory."""
    ask = ListRecentDecisions(user_id=request.user_id, symbol=request.symbol, limit=request.limit)
    found = (await call.ref(AGENT_ROSTER).ask(ask, ASK_S)).decisions
    return DecisionsShown(request.user_id, tuple(map(shown, found)), timestamp(call.node.clock.now()))


routes: list[Route] = [
    post(f"{BASE}/start", start, summary="Start or resume an agent", tags=TAGS, timeout_s=START_S),
    post(f"{BASE}/control", control, summary="Start, stop, pause or resume an agent", tags=TAGS, timeout_s=START_S,
         stores=False),
    get(BASE, every, summary="All agents", tags=TAGS),
    get(f"{BASE}/{{user_id}}/status", one, summary="One agent", tags=TAGS),
    get(f"{BASE}/status/{{user_id}}", one, summary="One agent", tags=TAGS),
    get(f"{BASE}/{{user_id}}/decisions", recent, summary="What an agent decided last", tags=TAGS),
    get(f"{BASE}/{{user_id}}/decisions/last", last, summary="The newest decision for a user", tags=TAGS),
]  # fmt: skip
