"""What the actors of serving say to one another, and to their own routes."""

from __future__ import annotations

from typing import Any

from actors.decisions.serving.figures import ServedFigures, UserFigures
from protocols.control import Message, Request
from protocols.decisions import Decide, UseModel


class Drain(Message, frozen=True, gc=False, tag="drain_decisions"):
    """The server to itself: answer what waits."""


class Pause(Message, frozen=True, gc=False, tag="pause_decisions"):
    """The server to itself: let everybody else have a turn, then answer on."""


class Expire(Message, frozen=True, gc=False, tag="expire_decisions"):
    """The server to itself: the earliest deadline has come."""


class Judged(Message, frozen=True, gc=False, tag="decision_judged"):
    """The server to itself: thresholds have given their verdict on a request, or have not. Never leaves the actor."""

    request: Decide
    promise: Any
    arrived: int
    by: Any
    """The life that has asked: another one takes no verdict of it."""


class Thoughts(Message, frozen=True, gc=False, tag="decision_thoughts"):
    """The server to itself: the call of a slow model has ended, or was given up."""

    model: str


class ServedModels(Message, frozen=True, gc=False, tag="served_models"):
    """What serves each name now."""

    models: tuple[UseModel, ...]


class GetServed(Request[ServedModels], frozen=True, gc=False, tag="get_served"):
    """From a server that has started to the keeper of models: what it is to serve. Never leaves a process."""


class ModelFigures(Message, frozen=True, gc=False, kw_only=True, tag="model_figures"):
    """A model as the server has it."""

    name: str
    version: str
    breaker: str
    decisions: int
    waiting: int
    hanging_threads: int


class ServingFigures(Message, frozen=True, gc=False, kw_only=True, tag="serving_figures"):
    """The server since its start. `waiting`: by class."""

    uptime_s: float
    decisions: int
    by_served: tuple[tuple[str, int], ...]
    by_reason: tuple[tuple[str, int], ...]
    waiting: tuple[int, ...]
    cache_hits: int
    cache_misses: int
    cache_shared: int
    cache_entries: int
    swaps: int
    shadows: int
    shadows_dropped: int
    models: tuple[ModelFigures, ...]
    experiments: tuple[str, ...]


class GetServing(Request[ServingFigures], frozen=True, gc=False, tag="get_serving"):
    """Asks the server for its figures."""


class ModelAccuracy(Message, frozen=True, gc=False, kw_only=True, tag="model_accuracy"):
    """What came of a model's decisions (or the rule's, or the fallback's): the part that succeeded, the mean return."""

    served_by: str
    model_version: str
    arm: str
    outcomes: int
    accuracy: float
    mean_return: float


class DecisionFigures(Message, frozen=True, gc=False, kw_only=True, tag="decision_figures"):
    """What was recorded since the node started. `lost`: decisions that were given and not recorded.

    `accuracies` None: the database has not said, `remark` says why.
    """

    since: int
    decisions: int
    recorded: int
    lost: int
    reasons: tuple[tuple[str, int], ...]
    served: tuple[ServedFigures, ...]
    users: tuple[UserFigures, ...]
    accuracies: tuple[ModelAccuracy, ...] | None
    remark: str


class GetFigures(Request[DecisionFigures], frozen=True, gc=False, tag="get_decision_figures"):
    """Asks the recorder; `users`: of so many users, the most recent first."""

    users: int = 0


class RequestBounds(Message, frozen=True, gc=False, tag="request_bounds"):
    """Of predictions over HTTP: how many a second one client address may ask for, how many at once, and until when a
    request is answered that does not say it."""

    requests_per_s: float
    burst: int
    timeout_s: float


class GetRequestBounds(Request[RequestBounds], frozen=True, gc=False, tag="get_request_bounds"):
    """Asks the keeper of results, who knows the edge's side of `[decisions]`."""
