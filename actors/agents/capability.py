"""Agents as a capability: learning environments, training, and the actors that decide by a policy.

/agents                 dynamic; an agent that gives up ends alone
└── <user>              transient; a supervisor of its own
    ├── _http           counts what is decided for the user over HTTP
    └── <symbol>        decides at the bars of one symbol
/agent_roster           starts them, keeps their figures, lists them, answers the probe
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from actors.agents.routes import routes as routes
from actors.agents.settings import SECTION, AgentsSettings
from protocols.agents import AgentRow
from protocols.control import Row
from protocols.paths import AGENT_ROSTER, AGENTS
from runtime import Backoff, ChildSpec, RestartLimit, dynamic_supervisor
from runtime.capability import Whole
from runtime.settings import Configuration

sections: dict[str, Any] = {SECTION: AgentsSettings}
migrations: str | None = str(Path(__file__).parent / "migrations")
rows: tuple[type[Row], ...] = (AgentRow,)
commands: dict[str, str] = {"train": "actors.agents.training.commands:train"}

LIMIT = RestartLimit(count=10, seconds=30.0)
BACKOFF = Backoff(first_s=0.05, most_s=2.0)


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """Its branch of the tree."""
    return branch(configuration.section(SECTION))


def branch(settings: AgentsSettings) -> list[ChildSpec]:
    """`/agents` and `/agent_roster`."""
    arguments = {"settings": msgspec.to_builtins(settings)}
    return [
        dynamic_supervisor(AGENTS.strip("/"), limit=LIMIT),
        ChildSpec(
            name=AGENT_ROSTER.strip("/"),
            actor="actors.agents.roster:AgentRoster",
            arguments=arguments,
            backoff=BACKOFF,
        ),
    ]


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for agents."""
    return [("agents", AGENT_ROSTER)]
