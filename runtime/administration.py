"""What a supervisor can be asked at run time, with OTP's meanings and refusals.

Refusals: `already_started`, `already_present` (a stopped child of that name), `running`, `restarting`, `not_found`,
`max_children`, `invalid` (a spec that cannot be this supervisor's child), `start_failed`. Those who supervise replicas
refuse StartChild and DeleteChild (`invalid`): `ResizeReplicas` is for that.
"""

from __future__ import annotations

from protocols.control import Message, Request
from runtime.ref import ActorRef
from runtime.replicas import ReplicasSnapshot
from runtime.spec import ChildFigures, ChildSpec


class StartChild(Request[ActorRef], frozen=True, gc=False, tag="start_child"):
    """Add a child and start it; answered when it has started. A failed start leaves no spec behind."""

    spec: ChildSpec


class TerminateChild(Request[None], frozen=True, gc=False, tag="terminate_child"):
    """Stop a child in order and keep its spec; of a stopped child, nothing. Not counted as a restart."""

    name: str


class RestartChild(Request[ActorRef], frozen=True, gc=False, tag="restart_child"):
    """Start a child that is stopped."""

    name: str


class DeleteChild(Request[None], frozen=True, gc=False, tag="delete_child"):
    """Forget the spec of a stopped child."""

    name: str


class KillChild(Request[None], frozen=True, gc=False, tag="kill_child"):
    """End a child without asking it; what follows is decided by its restart type, as after a crash."""

    name: str


class PauseChild(Request[None], frozen=True, gc=False, tag="pause_child"):
    """Suspend the data lane of a child."""

    name: str


class ResumeChild(Request[None], frozen=True, gc=False, tag="resume_child"):
    """Let a paused child go on."""

    name: str


class ChildState(Message, frozen=True, gc=False, tag="child_state"):
    """One row of `WhichChildren`."""

    name: str
    path: str
    state: str
    kind: str


class WhichChildren(Request[tuple[ChildState, ...]], frozen=True, gc=False, tag="which_children"):
    """Ask for the children in start order."""


class ResizeReplicas(Request[ReplicasSnapshot], frozen=True, gc=False, tag="resize_replicas"):
    """Let a replicated actor have `count` replicas; answered when the new ones are up, or the last ones have ended.

    Asked of the path of the set. Growing starts those that are missing. Shrinking takes those with the highest numbers
    out of the routing, lets each go on for up to its `stop_s` with what it has, and stops them in order.
    Refusals: `invalid` (a count below 1 or above `most`), `start_failed` (nothing is changed) and, with sticky
    routing, `busy` (nothing is changed: one that gives up keys did not get through what it had within its `stop_s`).
    """

    count: int


class CountChildren(Request[ChildFigures], frozen=True, gc=False, tag="count_children"):
    """Ask how many children there are."""


ADMINISTRATIVE: frozenset[type] = frozenset(
    {
        StartChild,
        TerminateChild,
        RestartChild,
        DeleteChild,
        KillChild,
        PauseChild,
        ResumeChild,
        WhichChildren,
        CountChildren,
        ResizeReplicas,
    }
)
"""What is for a supervisor itself, and never for one of its replicas."""
