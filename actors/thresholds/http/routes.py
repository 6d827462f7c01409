"""The HTTP routes of the threshold service. Errors on their paths say `"success": false`, too."""

from __future__ import annotations

import uuid
from typing import Any, Final

import msgspec

from actors.edge.call import OPERATOR, Call
from actors.edge.routing import Route, get, post
from actors.thresholds.http.bodies import Success, when
from actors.thresholds.http.desk import DESK
from actors.thresholds.http.entrance import administrator, admit
from actors.thresholds.http.evaluation_bodies import (
    UNKNOWN_SYMBOL,
    Evaluate,
    EvaluateMany,
    Evaluation,
    Evaluations,
    Following,
    SignalBody,
    evaluation,
)
from actors.thresholds.http.exporting import export, stats
from actors.thresholds.http.messages import Reload
from actors.thresholds.http.performing import (
    HOUR_NS,
    get_analytics,
    get_performance,
    records_since,
)
from actors.thresholds.http.telling import update_performance, update_performances
from actors.thresholds.http.threshold_bodies import (
    Adapt,
    AdaptedAllBody,
    AdaptedBody,
    AdaptEverybody,
    RecordBody,
    RecordsBody,
    Reset,
    ResetBody,
    ThresholdsBody,
    WhichRecords,
    WhichThresholds,
    adapted_body,
    thresholds_body,
    values_of,
)
from actors.thresholds.records import text_of
from protocols.control import Refused, Unknown
from protocols.paths import THRESHOLD_OUTCOMES, THRESHOLD_ROSTER
from protocols.signal_stream import timestamp
from protocols.threshold_outcomes import FollowSignal
from protocols.thresholds import (
    AdaptAll,
    AdaptThresholds,
    EvaluateBatch,
    EvaluateSignal,
    GatedSignal,
    GetThresholds,
    ResetThresholds,
    Verdict,
)

TAGS: Final = ("thresholds",)
ASK_S: Final = 10.0
FOLLOW_S: Final = 5.0
ADAPT_ALL_S: Final = 600.0


class ReloadedBody(msgspec.Struct, frozen=True):
    """The file was read. `applied`: keys that hold from now on; `restart_needed`: those that hold after a restart."""

    path: str
    applied: tuple[str, ...]
    restart_needed: tuple[str, ...]
    unchanged: int


async def thresholds(request: WhichThresholds, call: Call) -> Success[ThresholdsBody]:
    """Answer the thresholds of a user."""
    await admit(call)
    view = await call.ref(THRESHOLD_ROSTER).ask(GetThresholds(request.user_id, request.symbol), ASK_S)
    return Success(data=thresholds_body(view))


async def adapt(request: Adapt, call: Call) -> Success[AdaptedBody]:
    """Move what the evidence moves."""
    await admit(call)
    symbol = request.symbol or ""
    done = await call.ref(THRESHOLD_ROSTER).ask(AdaptThresholds(request.user_id, symbol, request.force), ASK_S)
    return Success(data=adapted_body(request.user_id, symbol, done.records, done.at))


async def reset(request: Reset, call: Call) -> Success[ResetBody]:
    """Go back to the defaults."""
    await admit(call)
    symbol = request.symbol or ""
    view = await call.ref(THRESHOLD_ROSTER).ask(ResetThresholds(request.user_id, symbol), ASK_S)
    return Success(
        data=ResetBody("the thresholds are their defaults again", request.user_id, symbol or None, values_of(view))
    )


async def records(request: WhichRecords, call: Call) -> Success[RecordsBody]:
    """Answer what moved thresholds, and why."""
    await admit(call)
    since = call.node.clock.now() - int(request.hours_back * HOUR_NS)
    found = await records_since(call, request.user_id, request.symbol, since, request.limit)
    bodies = tuple(RecordBody(timestamp(each.ts), text_of(each), each) for each in found.records)
    return Success(data=RecordsBody(request.user_id, bodies, found.remark or None))


# Evaluation.


async def evaluate(request: Evaluate, call: Call) -> Success[Evaluation]:
    """Judge a signal."""
    await admit(call)
    clock = call.node.clock
    begun = clock.monotonic()
    asked, gated = _question(request.user_id, request.signal)
    verdict = await call.ref(THRESHOLD_ROSTER).ask(asked, ASK_S)
    took = clock.monotonic() - begun
    following = None
    if request.follow or (request.follow is None and call.principal == OPERATOR):
        following = await _follow(request.signal, gated, verdict, call)
    return Success(data=evaluation(verdict, took, clock.now(), following))


async def evaluate_batch(request: EvaluateMany, call: Call) -> Success[Evaluations]:
    """Judge several signals."""
    await admit(call)
    clock = call.node.clock
    begun = clock.monotonic()
    signals = tuple(_question(request.user_id, each)[0] for each in request.signals)
    found = await call.ref(THRESHOLD_ROSTER).ask(EvaluateBatch(user_id=request.user_id, signals=signals), ASK_S)
    took = (clock.monotonic() - begun) // len(signals)
    results = tuple(evaluation(each, took, clock.now(), None) for each in found.verdicts)
    approved = sum(each.should_trade for each in found.verdicts)
    return Success(data=Evaluations(request.user_id, results, len(results), approved))


def _question(user: str, signal: SignalBody) -> tuple[EvaluateSignal, GatedSignal]:
    gated = signal.gated()
    name = signal.signal_id or f"eval_{uuid.uuid4().hex}"
    return EvaluateSignal(user_id=user, symbol=signal.symbol or UNKNOWN_SYMBOL, signal=gated, signal_id=name), gated


async def _follow(signal: SignalBody, gated: GatedSignal, verdict: Verdict, call: Call) -> Following:
    """Have the outcome found out; only for who has the bearer token: it is what thresholds learn from."""
    if call.principal != OPERATOR:
        return Following(False, None, "only for callers with the bearer token")
    asked = FollowSignal(
        user_id=verdict.user_id,
        symbol=verdict.symbol,
        signal_id=verdict.signal_id,
        signal=gated,
        verdict=verdict,
        ts=call.node.clock.now(),
    )
    try:
        found = await call.ref(THRESHOLD_OUTCOMES).ask(asked, FOLLOW_S)
    except (Refused, Unknown) as error:
        return Following(False, None, str(error))
    return Following(not found.why, when(found.due), found.why or None)


# Everybody.


async def adapt_all(request: AdaptEverybody, call: Call) -> Success[AdaptedAllBody]:
    """Move everybody's."""
    await admit(call)
    await administrator(call)
    done = await call.ref(THRESHOLD_ROSTER).ask(AdaptAll(request.force), ADAPT_ALL_S)
    return Success(
        data=AdaptedAllBody(
            done.total_users,
            done.total_updates,
            dict(done.results),
            done.failures,
            done.reasons,
            timestamp(done.at),
        )
    )


async def reload(call: Call) -> Success[ReloadedBody]:
    """Read the configuration file of the old service again."""
    await admit(call)
    await administrator(call)
    found = await call.ref(DESK).ask(Reload(), ASK_S)
    return Success(data=ReloadedBody(found.path, found.applied, found.restart, found.unchanged))


def _flagged(route: Route) -> Route:
    route.flagged = True
    return route


def _post(path: str, handler: Any, summary: str, **options: Any) -> Route:
    return post(path, handler, summary=summary, tags=TAGS, **options)


routes: list[Route] = [
    _flagged(each)
    for each in (
        get("/api/v1/thresholds/{user_id}", thresholds, summary="Thresholds of a user", tags=TAGS),
        get("/api/v1/thresholds/{user_id}/records", records, summary="What moved thresholds, and why", tags=TAGS),
        _post("/api/v1/thresholds/{user_id}/adapt", adapt, "Adapt thresholds to the evidence"),
        _post("/api/v1/thresholds/{user_id}/reset", reset, "Back to the defaults"),
        _post("/api/v1/evaluate/{user_id}", evaluate, "Whether a signal may be traded", token=False, stores=False),
        _post("/api/v1/evaluate/{user_id}/batch", evaluate_batch, "The same of several", token=False, stores=False),
        get("/api/v1/performance/{user_id}", get_performance, summary="Performance of a user", tags=TAGS),
        _post("/api/v1/performance/{user_id}", update_performance, "A closed trade of a user"),
        _post("/api/v1/performance/{user_id}/batch", update_performances, "Closed trades of a user"),
        _post("/api/v1/adapt-all", adapt_all, "Adapt everybody's thresholds", timeout_s=ADAPT_ALL_S + 5),
        _post("/api/v1/config/reload", reload, "Read the configuration file again", stores=False),
        get("/api/v1/stats", stats, summary="The threshold service at a glance", tags=TAGS),
        get("/api/v1/analytics/{user_id}", get_analytics, summary="What moved, and how performance changes", tags=TAGS),
        get("/api/v1/metrics/export", export, summary="Figures as JSON, CSV or for Prometheus", tags=TAGS),
    )
]
