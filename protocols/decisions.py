"""What is said about decisions: asking for one, what was decided and by whom, the models behind them.

A decision is always answered before its deadline. Who answered is in `served_by`, and where that is not the user's
arm of the experiment, `reason` says why; the request counts for the arm that the user was assigned to all the same.
Features are floats; a missing one is NaN, never zero. Times are integer nanoseconds, UTC.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from protocols.control import Message, Request, Row

DecisionAction = Literal["BUY", "SELL", "HOLD"]
Reason = Literal[
    "",
    "TIMEOUT",
    "REJECTED",
    "CIRCUIT_OPEN",
    "MODEL_ERROR",
    "STALE_OBS",
    "LOW_CONFIDENCE",
    "MISSING_FEATURES",
]
"""Why the fallback answered; empty: it did not."""
ConfidenceKind = Literal["probability", "q_softmax", "density", "vote", "rule"]
"""What `confidence` is: a policy's probability of its action, a softmax over values (uncalibrated), exp(-entropy) of a
Gaussian, a weighted vote of an ensemble, the fixed rule's own number."""

RISK_EXIT: Final = 0
HIGH: Final = 1
NORMAL: Final = 2
LOW: Final = 3
PRIORITIES: Final = (RISK_EXIT, HIGH, NORMAL, LOW)
"""Classes of urgency. HTTP can ask for 1 to 3 only."""

FALLBACK: Final = "fallback"
"""`served_by` of an answer that the fallback gave."""
RULE: Final = "rule"
"""The name under which an arm is served by the fixed rule over the signal's own fields."""
THRESHOLDS: Final = "thresholds"
"""The name under which an arm is served by the node's adaptive thresholds."""
NO_MODELS: Final = frozenset({FALLBACK, RULE, THRESHOLDS})
"""Who may have answered that is no model."""


class Observation(msgspec.Struct, frozen=True, gc=False):
    """The features of one moment: `values` in the order of the feature set's names, NaN where missing.

    `ts_event`: the event time of the newest input (ns; 0: not known). `marks`: see `protocols.market`.
    """

    feature_set: str
    values: tuple[float, ...]
    ts_event: int = 0
    marks: tuple[str, ...] = ()


class Proposal(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The signal's own fields that the fixed rule reads; None: not said."""

    action: DecisionAction | None = None
    confidence: float | None = None
    rsi: float | None = None
    change_percent: float | None = None
    volume: float | None = None
    macd: float | None = None


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What thresholds say of a proposal. `approved` None: they have said nothing, and `reasoning` says why.

    `source`: empty, of a service outside; `thresholds`, of the node's own. `stands`: it is given in the place of the
    fixed rule's answer, and not only recorded.
    """

    approved: bool | None
    reasoning: str = ""
    source: str = ""
    stands: bool = True


class Factor(msgspec.Struct, frozen=True, gc=False):
    """One feature's part in a decision: by how much the chosen action's probability falls without it."""

    feature: str
    value: float
    effect: float
    text: str


class Decision(Message, frozen=True, gc=False, kw_only=True, tag="decision"):
    """What was decided. `probabilities` by the name of each action of the policy; empty for the rule.

    `experiment`, `version`, `arm`: what the user was assigned to (empty: to none). `served_by`: a model's name, `rule`
    or `fallback`. `cached`: the answer to an equal observation. `queue_ns`, `took_ns`: waiting, and all of it.
    """

    decision_id: str
    user_id: str
    symbol: str
    action: DecisionAction
    should_trade: bool
    confidence: float
    confidence_kind: ConfidenceKind
    reasoning: str
    served_by: str
    reason: Reason = ""
    probabilities: tuple[tuple[str, float], ...] = ()
    experiment: str = ""
    version: int = 0
    arm: str = ""
    model: str = ""
    model_version: str = ""
    priority: int = HIGH
    missing: tuple[str, ...] = ()
    regimes: tuple[tuple[str, float], ...] = ()
    factors: tuple[Factor, ...] = ()
    signal_id: str = ""
    agent_id: str = ""
    cached: bool = False
    queue_ns: int = 0
    took_ns: int = 0
    ts: int = 0
    marks: tuple[str, ...] = ()
    verdict: Verdict | None = None
    """What thresholds said of the proposal, whoever decided; None: nobody asked them."""


class Decide(Request[Decision], frozen=True, gc=False, kw_only=True, tag="decide"):
    """Asks for a decision. By `deadline` (the node's monotonic clock, ns) it is answered, by the fallback if need be.

    `model`: this one and no experiment (an agent's own); empty: what the user's arm serves. `mask`: which of the
    policy's actions are allowed; empty: all. `regimes`: probabilities of bull, bear, sideways and high volatility;
    empty: not known. Refused only for what cannot be asked: `invalid` with the field.
    """

    decision_id: str
    user_id: str
    symbol: str
    observation: Observation
    deadline: int
    proposal: Proposal = Proposal()
    priority: int = HIGH
    model: str = ""
    mask: tuple[bool, ...] = ()
    regimes: tuple[float, ...] = ()
    explain: bool = False
    signal_id: str = ""
    agent_id: str = ""
    min_confidence: float | None = None
    """Below it the fallback answers; None: the server's own."""
    verdict: Verdict | None = None
    """Where it stands, it is the fixed rule's answer, in a control arm and as fallback; None: nobody was asked."""


class DecisionMade(Message, frozen=True, gc=False, tag="decision_made"):
    """Topic, by user: a decision has been given. Shadows are not told here (`ShadowDecided`)."""

    decision: Decision

    def topic_key(self) -> str:
        """The user."""
        return self.decision.user_id


class ObservationSeen(Message, frozen=True, gc=False, kw_only=True, tag="observation_seen"):
    """Topic, by model: what a model was asked with. The server publishes a sample of them; drift is found in it.

    `values` in the order of `names`, NaN where missing. `version`: of the model. `ts`: the time of the decision.
    """

    feature_set: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    model: str
    version: str = ""
    arm: str = ""
    symbol: str = ""
    ts: int = 0

    def topic_key(self) -> str:
        """The model."""
        return self.model


class OutcomeSeen(Message, frozen=True, gc=False, kw_only=True, tag="outcome_seen"):
    """Topic, by model: what came of a decision, once it is in the log; a repeat is not told again.

    `confidence`: what the decision expected, None: whoever tells it does not know. `outcome`: return after costs.
    """

    decision_id: str
    success: bool
    outcome: float
    model: str = ""
    confidence: float | None = None
    ts_decision: int = 0
    ts: int = 0

    def topic_key(self) -> str:
        """The model."""
        return self.model


class ShadowDecided(Message, frozen=True, gc=False, tag="shadow_decided"):
    """Topic, by experiment: what a shadow arm would have said to a request that another arm answered."""

    experiment: str
    version: int
    arm: str
    live: Decision
    shadow: Decision

    def topic_key(self) -> str:
        """The experiment."""
        return self.experiment


class SubmittedDecision(Message, frozen=True, gc=False, tag="submitted_decision"):
    """The request was taken; its decision can be asked for by its id."""

    decision_id: str


class SubmitDecision(Request[SubmittedDecision], frozen=True, gc=False, tag="submit_decision"):
    """Asks for a decision that is fetched later, or pushed (`DecisionReady`).

    Refused `overloaded`, `invalid`, `already_present` for an id that was submitted before.
    """

    request: Decide


class DecisionReady(Message, frozen=True, gc=False, tag="decision_ready"):
    """Topic, by user: a submitted request has its decision."""

    decision: Decision

    def topic_key(self) -> str:
        """The user."""
        return self.decision.user_id


class GetDecision(Request[Decision], frozen=True, gc=False, tag="get_decision"):
    """Asks for a submitted decision, waiting `wait_s` for it. Refused `not_found` for one that nobody submitted or that
    is forgotten, `pending` when the wait is over, `overloaded` when too many wait."""

    decision_id: str
    wait_s: float = 0.0


# Models.


class ModelView(Message, frozen=True, gc=False, kw_only=True, tag="model_view"):
    """A model that the server knows. `version` is the first 12 hex digits of the bundle's SHA-256."""

    name: str
    version: str
    kind: str
    path: str
    feature_set: str
    features: tuple[str, ...]
    actions: tuple[str, ...]
    min_features: int
    ts_loaded: int
    state: Literal["serving", "failed", "standby"] = "serving"
    error: str = ""
    previous: str = ""
    """The version that a rollback brings back; empty: there is none."""
    breaker: str = "closed"
    """closed, open, half_open …; `unknown` while the server does not say."""
    decisions: int = 0
    swaps: int = 0
    trained: str = ""
    marks: tuple[str, ...] = ()
    members: tuple[str, ...] = ()


class ModelList(Message, frozen=True, gc=False, tag="model_list"):
    """All models, by name."""

    models: tuple[ModelView, ...]


class ListModels(Request[ModelList], frozen=True, gc=False, tag="list_models"):
    """Asks the keeper of models for all of them."""


class LoadModel(Request[ModelView], frozen=True, gc=False, kw_only=True, tag="load_model"):
    """Load a bundle under a name: it is read, checked against its golden pairs, warmed, and exchanged between two
    messages. Refused `invalid` (the bundle is wrong: the old version goes on), `not_found`.
    """

    name: str
    path: str


class RollBackModel(Request[ModelView], frozen=True, gc=False, tag="roll_back_model"):
    """Serve the version before again, at once. Refused `not_found`, `conflict` where there is none."""

    name: str


class UseModel(Request[None], frozen=True, gc=False, kw_only=True, tag="use_model"):
    """From the keeper to the server: from the next message on this policy serves the name. Never leaves a process."""

    name: str
    version: str
    policy: Any


class ModelSwapped(Message, frozen=True, gc=False, kw_only=True, tag="model_swapped"):
    """Topic: a name is served by another version."""

    name: str
    version: str
    before: str
    why: Literal["loaded", "rolled_back"]
    ts: int


class PredictionRow(Row, frozen=True, gc=False, kw_only=True, tag="prediction_row"):
    """One decision in the node's log and in the database (`prediction_history`)."""

    table = "prediction_history"
    sequenced = True

    stream: str
    seq: int
    ts: int
    decision_id: str
    user_id: str
    symbol: str
    action: str
    should_trade: bool
    confidence: float
    confidence_kind: str
    served_by: str
    reason: str
    experiment: str
    version: int
    arm: str
    model: str
    model_version: str
    priority: int
    fallback_used: bool
    cached: bool
    processing_ns: int
    signal_id: str
    agent_id: str
    missing: tuple[str, ...]
    marks: tuple[str, ...]
    threshold_verdict: bool | None = None
    """Whether thresholds would trade it; None: they were not asked, or did not say."""
    threshold_reasoning: str = ""


class ModelRow(Row, frozen=True, gc=False, kw_only=True, tag="model_row"):
    """One change of what serves a name (`model_versions`): loaded, rolled back, failed."""

    table = "model_versions"
    sequenced = True

    stream: str
    seq: int
    ts: int
    name: str
    model_version: str
    kind: str
    path: str
    change: str
    error: str


class PerformanceRow(Row, frozen=True, gc=False, kw_only=True, tag="performance_row"):
    """One figure of a model from outcomes (`model_performance`)."""

    table = "model_performance"
    sequenced = True

    stream: str
    seq: int
    ts: int
    model: str
    model_version: str
    metric: str
    value: float
    count: int
