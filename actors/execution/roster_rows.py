"""Accounts and deployments as rows: what there is, and in which state it was last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final, Literal

import msgspec

from protocols.control import Row

EXECUTION_ROSTER: Final = "execution_roster"

Kind = Literal["account", "deployment"]
Event = Literal["opened", "closed", "active", "paused", "stopped", "error", "changed"]


class ExecutionRosterRow(Row, frozen=True, gc=False, kw_only=True, tag="execution_roster_row"):
    """One event. `settings`: AccountSpec or DeploymentSettings as JSON."""

    table: ClassVar[str] = "execution_roster"
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    ts: int
    kind: Kind
    id: str
    event: Event
    reason: str
    settings: msgspec.Raw


class Known(msgspec.Struct, frozen=True):
    """What the rows say of an account or a deployment: the last settings and event, and when it was opened."""

    settings: bytes
    event: Event
    reason: str
    created: int


def known(rows: Iterable[ExecutionRosterRow]) -> dict[tuple[Kind, str], Known]:
    """Fold rows, in the order of `seq`."""
    found: dict[tuple[Kind, str], Known] = {}
    for row in rows:
        before = found.get((row.kind, row.id))
        created = row.ts if before is None or before.event == "closed" else before.created
        event = before.event if row.event == "changed" and before is not None else row.event
        found[row.kind, row.id] = Known(bytes(row.settings), event, row.reason, created)
    return found
