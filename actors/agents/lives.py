"""What an agent's actors and the roster say to each other."""

from __future__ import annotations

import msgspec

from protocols.control import Message, Request
from protocols.decisions import Decision


class AgentLife(Message, frozen=True, gc=False, kw_only=True, tag="agent_life"):
    """What a new life of an agent's actor goes on with. `last_bar`: the start of the last bar that was decided."""

    config: msgspec.Raw
    paused: bool
    last_bar: int


class BeginLife(Request[AgentLife], frozen=True, gc=False, tag="begin_agent_life"):
    """From an agent's actor to the roster: it has started. Refused `not_found` where nothing is known of it."""

    user_id: str
    symbol: str


class AgentReady(Message, frozen=True, gc=False, kw_only=True, tag="agent_ready"):
    """An actor has the bars of before. `missing`: why not all of them. `last_bar`: as in `AgentLife`."""

    user_id: str
    symbol: str
    bars: int
    missing: str
    last_bar: int = -1


class SayReady(Message, frozen=True, gc=False, tag="say_agent_ready"):
    """From a roster that was started again to an actor that went on without it: say `AgentReady` once more."""


class AgentDecided(Message, frozen=True, gc=False, kw_only=True, tag="agent_decided"):
    """An actor has decided about a bar. `signal_id`: what it gave to the hub; empty: nothing."""

    user_id: str
    symbol: str
    bar: int
    decision: Decision
    signal_id: str


class AgentTrouble(Message, frozen=True, gc=False, tag="agent_trouble"):
    """Something went wrong that is no crash."""

    user_id: str
    text: str


class DecisionsCounted(Message, frozen=True, gc=False, tag="decisions_counted"):
    """So many decisions were made for a user over HTTP; the last of them."""

    user_id: str
    count: int
    last: Decision


class PauseAgent(Request[None], frozen=True, gc=False, tag="pause_agent"):
    """From the roster to an agent's actor: decide no more, or again."""

    paused: bool
