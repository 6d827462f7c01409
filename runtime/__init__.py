"""How actors live: actors, refs, mailboxes, supervisors, topics, timers, the node. Knows nothing of trading."""

from runtime.actor import Actor, receive
from runtime.actor_cell import StashOverflow, UnhandledTermination
from runtime.administration import (
    ChildState,
    CountChildren,
    DeleteChild,
    KillChild,
    PauseChild,
    ResizeReplicas,
    RestartChild,
    ResumeChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from runtime.breaker import BreakerSettings, CircuitBreaker, CircuitOpen
from runtime.errors import CannotStart, Declined
from runtime.guard import Junction, ShadowAnswer
from runtime.journal import JournalEntry
from runtime.mailbox import Mailbox, OnCrash, Overflow, Sender
from runtime.node import Node, NodeFailed, NodeSettings, open_node
from runtime.ref import ActorRef, Done
from runtime.replicas import ReplicaMembers, ReplicaSettings, ReplicaSnapshot, ReplicasSnapshot
from runtime.router import RouterSettings, VariantSettings
from runtime.spec import (
    AutoShutdown,
    Backoff,
    ChildFigures,
    ChildSpec,
    HostOptions,
    Restart,
    RestartLimit,
    Strategy,
    SupervisorOptions,
    dynamic_supervisor,
    supervisor,
)
from runtime.timers import Timer
from runtime.topics import Tap

__all__ = [
    "Actor",
    "ActorRef",
    "AutoShutdown",
    "Backoff",
    "BreakerSettings",
    "CannotStart",
    "ChildFigures",
    "ChildSpec",
    "ChildState",
    "CircuitBreaker",
    "CircuitOpen",
    "CountChildren",
    "Declined",
    "DeleteChild",
    "Done",
    "HostOptions",
    "JournalEntry",
    "Junction",
    "KillChild",
    "Mailbox",
    "Node",
    "NodeFailed",
    "NodeSettings",
    "OnCrash",
    "Overflow",
    "PauseChild",
    "ReplicaMembers",
    "ReplicaSettings",
    "ReplicaSnapshot",
    "ReplicasSnapshot",
    "ResizeReplicas",
    "Restart",
    "RestartChild",
    "RestartLimit",
    "ResumeChild",
    "RouterSettings",
    "Sender",
    "ShadowAnswer",
    "StartChild",
    "StashOverflow",
    "Strategy",
    "SupervisorOptions",
    "Tap",
    "TerminateChild",
    "Timer",
    "UnhandledTermination",
    "VariantSettings",
    "WhichChildren",
    "dynamic_supervisor",
    "open_node",
    "receive",
    "supervisor",
]
