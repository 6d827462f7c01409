"""What is said about drift: of what a model sees, of what it says, and of what comes of it.

References are what the present is compared with: a bundle's training histograms, or the first observations of a node.
"""

from __future__ import annotations

from typing import Final, Literal

from protocols.control import Message, Request

ACTION: Final = "prediction:action"
CONFIDENCE: Final = "prediction:confidence"
"""Names under which predictions are watched, beside the features of a model."""
ACTION_CODES: Final = {"HOLD": 0.0, "BUY": 1.0, "SELL": 2.0}
ACTION_EDGES: Final = (0.5, 1.5)

DriftState = Literal["learning", "waiting", "stable", "drifted"]
"""`learning`: the reference is not complete. `waiting`: not enough observations to compare with it."""


class FeatureHistogram(Message, frozen=True, gc=False, tag="feature_histogram"):
    """How a feature was distributed: counts up to each edge, above the last one, and, last, of missing values."""

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]


class UseReference(Request[None], frozen=True, gc=False, kw_only=True, tag="use_drift_reference"):
    """Compare a model with these (its training) from now on; with none: with what it sees from now on.

    Refused `invalid` for histograms that are none, `not_found` for a model that nobody has seen and none are given of.
    """

    model: str
    histograms: tuple[FeatureHistogram, ...]


class FeatureDrift(Message, frozen=True, gc=False, kw_only=True, tag="feature_drift"):
    """A feature of a model, or its predictions. `psi`, `p_value`, `limit` None: not known yet."""

    name: str
    kind: Literal["input", "prediction"]
    state: DriftState
    reference: int
    current: int
    psi: float | None = None
    p_value: float | None = None
    limit: float | None = None


class OutcomeDrift(Message, frozen=True, gc=False, kw_only=True, tag="outcome_drift"):
    """What comes of a model's decisions. `error`: expected less realised success; `brier`: its square.

    `evidence`: how much of what an alarm needs has been collected, of 1. `ts_alarm` 0: there was none.
    """

    outcomes: int
    mean_error: float | None
    mean_brier: float | None
    error_evidence: float
    brier_evidence: float
    alarms: int
    ts_alarm: int
    ts_outcome: int
    delay_s: float | None
    """From decision to outcome, the mean; None: not known."""
    accuracy: float | None = None
    """The share of successes among the newest; None: too few are known."""


class ModelDrift(Message, frozen=True, gc=False, kw_only=True, tag="model_drift"):
    """The version of a model that decides. `loss`: its outcomes have become worse lately."""

    model: str
    version: str = ""
    state: DriftState
    loss: bool
    reference_from: Literal["bundle", "observations", ""]
    features: tuple[FeatureDrift, ...]
    outcome: OutcomeDrift


class DriftReport(Message, frozen=True, gc=False, kw_only=True, tag="drift_report"):
    """All models. `unmatched`: outcomes of decisions that nobody remembers."""

    models: tuple[ModelDrift, ...]
    ts: int
    unmatched: int
    not_watched: int
    """Observations of models or features beyond what is watched."""


class GetDrift(Request[DriftReport], frozen=True, gc=False, tag="get_drift"):
    """Asks for the drift of all models as it was last examined."""
