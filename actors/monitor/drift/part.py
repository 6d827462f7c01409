"""Drift as a part of the monitor: one actor, and its routes."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from actors.edge.call import Call
from actors.edge.routing import Route, get, post
from actors.monitor.drift.settings import SECTION, DriftSettings
from protocols.control import Row
from protocols.drift import (
    DriftReport,
    DriftState,
    FeatureHistogram,
    GetDrift,
    ModelDrift,
    OutcomeDrift,
    UseReference,
)
from protocols.paths import DRIFT
from protocols.signal_stream import timestamp
from runtime import Backoff, ChildSpec
from runtime.settings import Configuration

BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)
ASK_S: Final = 5.0


class FeatureBody(msgspec.Struct, frozen=True):
    """A feature or a prediction. `psi`, `p_value`, `limit`: null where nothing can be said yet."""

    name: str
    kind: str
    state: DriftState
    psi: float | None
    limit: float | None
    p_value: float | None
    reference_count: int
    current_count: int


class OutcomeBody(msgspec.Struct, frozen=True):
    """What came of decisions. `*_evidence`: how much of what makes an alarm has been collected, of 1.

    `accuracy`: of the newest; null while they are too few.
    """

    count: int
    mean_error: float | None
    mean_brier: float | None
    error_evidence: float
    brier_evidence: float
    accuracy: float | None
    alarms: int
    last_alarm: str | None
    last_outcome: str | None
    mean_delay_s: float | None


class ModelBody(msgspec.Struct, frozen=True):
    """One model. `performance_loss`: its outcomes have become worse lately."""

    model: str
    version: str
    state: DriftState
    performance_loss: bool
    reference: str | None
    features: tuple[FeatureBody, ...]
    outcomes: OutcomeBody


class DriftBody(msgspec.Struct, frozen=True):
    """All models as they were last examined; `examined_at`: null before the first time."""

    models: tuple[ModelBody, ...]
    examined_at: str | None
    unmatched_outcomes: int
    not_watched: int


class HistogramBody(msgspec.Struct, frozen=True):
    """How a feature was distributed: counts up to each edge, above the last one, and, last, of missing values."""

    name: str
    edges: tuple[float, ...]
    counts: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]


class ReferenceBody(msgspec.Struct, frozen=True):
    """What a model is compared with from now on; without histograms: what it sees from now on."""

    model: str
    histograms: Annotated[tuple[HistogramBody, ...], msgspec.Meta(max_length=2000)] = ()


class ReferenceTaken(msgspec.Struct, frozen=True):
    """`reference`: `given`, or `learning` while it is collected."""

    model: str
    reference: Literal["given", "learning"]


async def use_reference(request: ReferenceBody, call: Call) -> ReferenceTaken:
    """Compare a model with another reference: the change that was found is accepted, or its training is known."""
    given = tuple(FeatureHistogram(each.name, each.edges, each.counts) for each in request.histograms)
    await call.ref(DRIFT).ask(UseReference(model=request.model, histograms=given), ASK_S)
    return ReferenceTaken(request.model, "given" if given else "learning")


async def drift(call: Call) -> DriftBody:
    """Answer how what models see, say and lead to compares with their references."""
    return body_of(await call.ref(DRIFT).ask(GetDrift(), ASK_S))


def body_of(report: DriftReport) -> DriftBody:
    """A report for the outside."""
    at = timestamp(report.ts) if report.ts else None
    return DriftBody(tuple(map(_model, report.models)), at, report.unmatched, report.not_watched)


def _model(found: ModelDrift) -> ModelBody:
    features = tuple(
        FeatureBody(each.name, each.kind, each.state, each.psi, each.limit, each.p_value, each.reference, each.current)
        for each in found.features
    )
    return ModelBody(
        found.model,
        found.version,
        found.state,
        found.loss,
        found.reference_from or None,
        features,
        _outcome(found.outcome),
    )


def _outcome(found: OutcomeDrift) -> OutcomeBody:
    return OutcomeBody(
        count=found.outcomes,
        mean_error=found.mean_error,
        mean_brier=found.mean_brier,
        error_evidence=found.error_evidence,
        brier_evidence=found.brier_evidence,
        accuracy=found.accuracy,
        alarms=found.alarms,
        last_alarm=timestamp(found.ts_alarm) if found.ts_alarm else None,
        last_outcome=timestamp(found.ts_outcome) if found.ts_outcome else None,
        mean_delay_s=found.delay_s,
    )


sections: dict[str, Any] = {SECTION: DriftSettings}
TAGS: Final = ("alerts",)
routes: list[Route] = [
    get("/api/v1/drift", drift, summary="Drift of models", tags=TAGS),
    post(
        "/api/v1/drift/{model}/reference",
        use_reference,
        summary="What a model is compared with",
        tags=TAGS,
        stores=False,
    ),
]
rows: tuple[type[Row], ...] = ()


def children(configuration: Configuration) -> list[ChildSpec]:
    """`/drift`, unless it is switched off."""
    settings: DriftSettings = configuration.section(SECTION)
    return [spec(settings)] if settings.enabled else []


def spec(settings: DriftSettings) -> ChildSpec:
    """The actor with these settings."""
    return ChildSpec(DRIFT.strip("/"), "actors.monitor.drift.actor:Drift", {"settings": settings}, backoff=BACKOFF)


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for drift."""
    return [("drift", DRIFT)] if configuration.section(SECTION).enabled else []
