"""What the server works with: requests on their way, models in service, threads of slow ones."""

from __future__ import annotations

from typing import Final

import trio

from actors.decisions.features.names import FEATURE_SETS
from actors.decisions.policy import Policy, PolicyAnswer, PolicyInfo
from actors.decisions.serving.cache import Key
from actors.decisions.serving.explanations import explain
from actors.decisions.serving.inference import Answers, Inputs, run
from actors.decisions.serving.queue import RequestQueue, Waiting
from protocols.decisions import Decide, Decision, Factor
from protocols.experiments import Assignment
from runtime.breaker import BreakerSettings, CircuitBreaker, Permit
from runtime.promise import Promise

SHORT_OF_NS: Final = 2_000_000
"""So long before a request's deadline it is answered; a quarter of its time, where that is less."""


class Pending(Waiting):
    """A request that is not answered yet. `live`: of a shadow, the decision that was given."""

    __slots__ = (
        "answer", "arrived", "assignment", "cached", "factors", "given", "key", "leader", "live", "missing", "model",
        "permit", "promise", "queue", "request", "taken", "ts_event", "unexplained",
    )  # fmt: skip

    def __init__(self, request: Decide, model: str, assignment: Assignment | None, arrived: int, deadline: int) -> None:
        super().__init__(request.priority, deadline)
        self.request = request
        self.model = model
        self.assignment = assignment
        self.arrived = arrived
        self.taken = arrived
        """When it left the queue."""
        self.promise: Promise | None = None
        self.queue: RequestQueue[Pending] | None = None
        """The last one that gave it a place."""
        self.permit: Permit | None = None
        self.key: Key | None = None
        self.ts_event = 0
        self.leader: Pending | None = None
        """An equal one of the same batch, whose answer is this one's, too."""
        self.answer: PolicyAnswer | Exception | None = None
        self.cached = False
        """Whether it is the answer to an equal observation."""
        self.missing: tuple[str, ...] = ()
        self.live: Decision | None = None
        self.given: Decision | None = None
        """Its answer, where the handler that took it gives that itself."""
        self.factors: tuple[Factor, ...] = ()
        self.unexplained = ""
        """Why there are no factors, where they were asked for."""


def answer_by(deadline: int, now: int) -> int:
    """When a request is answered at the latest, so that the answer arrives before its deadline."""
    return deadline - min(SHORT_OF_NS, max(0, deadline - now) // 4)


class Served:
    """One version of a model in service, with the breaker of this version."""

    __slots__ = ("actions", "breaker", "columns", "decisions", "feature_set", "info", "name", "policy", "version")

    def __init__(self, name: str, version: str, policy: Policy, breaker: BreakerSettings, now: int) -> None:
        self.name = name
        self.version = version
        self.policy = policy
        self.info: PolicyInfo = policy.info
        self.feature_set = self.info.feature_set
        self.columns = columns(self.info)
        self.breaker = CircuitBreaker(f"{name} {version}", breaker, now)
        self.actions = tuple(action.name for action in self.info.actions)
        self.decisions = 0

    def missing(self, values: tuple[float, ...]) -> tuple[str, ...]:
        """The features of this model that an observation does not have as finite numbers."""
        total = sum(values)
        if total - total == 0:  # of finite numbers alone, and then nothing is missing
            return ()
        names = self.info.features
        if self.columns is None:
            return tuple([name for name, value in zip(names, values, strict=True) if value - value != 0])
        return tuple([n for n, at in zip(names, self.columns, strict=True) if values[at] - values[at] != 0])


def columns(info: PolicyInfo) -> list[int] | None:
    """Where a model's features stand in its feature set; None: it takes the set as it is, or one of its own.

    Raises ValueError naming a feature that the set does not have.
    """
    names = FEATURE_SETS.get(info.feature_set)
    if names is None or names == info.features:
        return None
    unknown = [name for name in info.features if name not in names]
    if unknown:
        raise ValueError(f"expected features of the set {info.feature_set}, got {unknown[0]!r}")
    return [names.index(name) for name in info.features]


class Batch:
    """Requests that one model answers together, in their order; `asked` of them by a call, the others know already."""

    __slots__ = ("asked", "inputs", "leaders", "pending", "served")

    def __init__(self, served: Served) -> None:
        self.served = served
        self.pending: list[Pending] = []
        self.asked: list[Pending] = []
        self.leaders: dict[Key, Pending] = {}
        self.inputs: Inputs | None = None

    def prepare(self) -> Inputs:
        """The observations to ask about, as the model takes them."""
        served = self.served
        self.inputs = Inputs([each.request for each in self.asked], served.columns, len(served.info.actions))
        return self.inputs

    def think(self) -> Answers:
        """Call the model with what was prepared, and once more for each that asks why. Never raises."""
        inputs, policy = self.inputs, self.served.policy
        if inputs is None:
            return []
        answers = run(policy, inputs)
        for row, (pending, answer) in enumerate(zip(self.asked, answers, strict=True)):
            if pending.request.explain and isinstance(answer, PolicyAnswer):
                pending.factors, pending.unexplained = explain(policy, inputs, row)
        return answers


class Thought:
    """One call of a slow model on a thread, and, once `finished`, its answers."""

    __slots__ = ("answers", "batch", "finished")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        batch.prepare()
        self.answers: Answers = []
        self.finished = False

    def think(self) -> None:
        """Run on the thread; never raises."""
        self.answers = self.batch.think()
        self.finished = True


class Lane:
    """The way to one slow model: its queue, the call under way, and threads that hang."""

    __slots__ = ("abandoned", "limiter", "most", "queue", "thought")

    def __init__(self, queue: RequestQueue[Pending], threads: int) -> None:
        self.queue = queue
        self.most = threads
        self.limiter = trio.CapacityLimiter(threads)
        self.thought: Thought | None = None
        self.abandoned: list[Thought] = []

    def hanging(self) -> int:
        """How many threads were left to themselves and have not come back."""
        self.abandoned = [each for each in self.abandoned if not each.finished]
        return len(self.abandoned)

    @property
    def exhausted(self) -> bool:
        """Whether all of its threads hang."""
        return self.hanging() >= self.most
