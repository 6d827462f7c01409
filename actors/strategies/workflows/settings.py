"""The branch of workflows, for the capability."""

from __future__ import annotations

from actors.strategies.workflows.rows import WORKFLOWS
from runtime import Backoff, ChildSpec


def specs() -> list[ChildSpec]:
    """`/workflows`: the actor that keeps and compiles workflows. It answers the probe."""
    return [
        ChildSpec(
            name=WORKFLOWS.strip("/"),
            actor="actors.strategies.workflows.actor:Workflows",
            backoff=Backoff(first_s=0.1, most_s=2.0),
        )
    ]
