"""Figures of decisions over HTTP, in the shapes of the RL service. What nobody knows is null, never 0."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any, Final

import msgspec

from actors.decisions.serving.messages import DecisionFigures, GetFigures, GetServing, ModelAccuracy, ServingFigures
from actors.decisions.serving.recorder import RECORDER
from actors.decisions.serving.socket import connections
from actors.edge.call import Call
from actors.edge.responses import Response
from actors.monitor.alerts.bodies import body_of
from protocols.agents import ListAgents
from protocols.alerts import Alert, ListAlerts
from protocols.control import Probe, Refused, Unknown
from protocols.decisions import FALLBACK, NO_MODELS, ListModels, ModelList
from protocols.paths import AGENT_ROSTER, ALERTS, DATA_BRIDGE, DECISIONS, MODELS, THRESHOLD_BRIDGE, TRADING_BRIDGE
from protocols.signal_stream import timestamp
from runtime.metrics import CONTENT_TYPE

SERVICE: Final = "rl_service"
ASK_S: Final = 2.0
FAILURES: Final = ("TIMEOUT", "REJECTED", "CIRCUIT_OPEN", "MODEL_ERROR")
Answer = dict[str, Any]
SERVICES: Final = (
    ("ensemble_agent", MODELS),
    ("trading_bridge", TRADING_BRIDGE),
    ("data_connector", DATA_BRIDGE),
    ("threshold_bridge", THRESHOLD_BRIDGE),
    ("decision_server", DECISIONS),
)


class UsersQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many users, the most recent first."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000


class Gathered(msgspec.Struct, frozen=True):
    """What the actors say; None: one of them did not."""

    serving: ServingFigures | None
    recorded: DecisionFigures | None
    models: ModelList | None


async def _asked(call: Call, path: str, request: Any) -> Any:
    try:
        return await call.ref(path).ask(request, ASK_S)
    except (Refused, Unknown):
        return None  # shown as null


async def gather(call: Call, users: int = 0) -> Gathered:
    """Ask everybody."""
    return Gathered(
        await _asked(call, DECISIONS, GetServing()),
        await _asked(call, RECORDER, GetFigures(users)),
        await _asked(call, MODELS, ListModels()),
    )


def _now(call: Call) -> str:
    return timestamp(call.node.clock.now())


# Models.


def side(found: Gathered, *, model: bool) -> Answer:
    """Figures of all models together, or of the rule and the fallback together."""
    recorded = found.recorded
    if recorded is None:
        return {"total_predictions": None, "accuracy": None, "mean_return": None, "avg_response_time_ms": None}

    def ours(served_by: str) -> bool:
        return (served_by not in NO_MODELS) == model

    rows = [row for row in recorded.served if ours(row.served_by)]
    total = sum(row.decisions for row in rows)
    timed = [(row.mean_ms, row.decisions) for row in rows if row.mean_ms is not None]
    weight = sum(count for _, count in timed)
    return {
        "total_predictions": total,
        **outcomes([one for one in recorded.accuracies or () if ours(one.served_by)]),
        "avg_response_time_ms": sum(ms * count for ms, count in timed) / weight if weight else None,
    }


def outcomes(known: list[ModelAccuracy]) -> Answer:
    """What came of decisions, over several rows."""
    count = sum(one.outcomes for one in known)
    return {
        "outcomes": count,
        "accuracy": sum(one.accuracy * one.outcomes for one in known) / count if count else None,
        "mean_return": sum(one.mean_return * one.outcomes for one in known) / count if count else None,
    }


def compared(found: Gathered) -> Answer:
    """The models against the rule and the fallback."""
    ours, theirs = side(found, model=True), side(found, model=False)

    def difference(name: str) -> float | None:
        return None if ours[name] is None or theirs[name] is None else ours[name] - theirs[name]

    advantage = {
        "accuracy_diff": difference("accuracy"),
        "return_diff": difference("mean_return"),
        "response_time_diff": difference("avg_response_time_ms"),
    }
    return {"rl_model": ours, "fallback_model": theirs, "rl_advantage": advantage}


def overall(found: Gathered) -> Answer:
    """Everything that was decided since the node started."""
    serving, recorded = found.serving, found.recorded
    fallbacks = None if serving is None else dict(serving.by_served).get(FALLBACK, 0)
    return {
        "total_predictions": None if recorded is None else recorded.decisions,
        "recorded": None if recorded is None else recorded.recorded,
        "lost": None if recorded is None else recorded.lost,
        "since": None if recorded is None else timestamp(recorded.since),
        "fallback_ratio": fallbacks / serving.decisions
        if serving and serving.decisions and fallbacks is not None
        else None,
        **(outcomes([]) if recorded is None else outcomes(list(recorded.accuracies or ()))),
        "remark": "" if recorded is None else recorded.remark,
    }


async def models_performance(call: Call) -> Answer:
    """Answer figures of models from what they did and what came of it."""
    found = await gather(call)
    recorded = found.recorded
    served = [] if recorded is None else [msgspec.structs.asdict(row) for row in recorded.served]
    accuracies = {(o.served_by, o.model_version, o.arm): o for o in (recorded.accuracies or () if recorded else ())}
    for row in served:
        known = accuracies.get((row["served_by"], row["model_version"], row["arm"]))
        row |= outcomes([] if known is None else [known])
    ensembles = [m for m in (found.models.models if found.models else ()) if m.kind == "ensemble" and m.version]
    return {
        "overall_performance": overall(found),
        "models": served,
        # Weights are of a decision (its regimes decide), not of the ensemble: there is no current one.
        "ensemble_metrics": {
            "members": {model.name: model.members for model in ensembles},
            "agent_weights": None,
            "current_regime": None,
            "regime_confidence": None,
            "steps_since_rebalance": None,
        },
        "fallback_metrics": {
            **side(found, model=False),
            "reasons": None if recorded is None else dict(recorded.reasons),
        },
        "comparison": compared(found),
        "timestamp": _now(call),
    }


async def models_comparison(call: Call) -> Answer:
    """Answer the models against the rule and the fallback."""
    return {**compared(await gather(call)), "timestamp": _now(call)}


# Metrics.


def service_metrics(call: Call, found: Gathered) -> Answer:
    """The server's own."""
    serving = found.serving
    if serving is None:
        return {"is_ready": False}
    failed = sum(count for reason, count in serving.by_reason if reason in FAILURES)
    return {
        "is_ready": True,
        "uptime_seconds": serving.uptime_s,
        "total_predictions": serving.decisions,
        "successful_predictions": serving.decisions - failed,
        "failed_predictions": failed,
        "by_served": dict(serving.by_served),
        "by_reason": dict(serving.by_reason),
        "current_queue_size": sum(serving.waiting),
        "queue_by_class": dict(zip(("risk_exit", "high", "normal", "low"), serving.waiting, strict=True)),
        "cache": {
            "hits": serving.cache_hits,
            "misses": serving.cache_misses,
            "shared": serving.cache_shared,
            "entries": serving.cache_entries,
        },
        "model_swaps": serving.swaps,
        "shadows": serving.shadows,
        "shadows_dropped": serving.shadows_dropped,
        "active_websockets": connections(call).total(),
    }


def model_metrics(found: Gathered) -> Answer:
    """Each model's state."""
    return {
        model.name: {
            "version": model.version,
            "state": model.state,
            "breaker": model.breaker,
            "decisions": model.decisions,
            "swaps": model.swaps,
            "error": model.error,
        }
        for model in (found.models.models if found.models else ())
    }


def performance_metrics(found: Gathered) -> Answer:
    """How long answers took, by who gave them."""
    recorded = found.recorded
    rows = [] if recorded is None else [msgspec.structs.asdict(row) for row in recorded.served]
    return {"overall": overall(found), "by_server": rows}


async def metrics(call: Call) -> Answer:
    """Answer everything that is counted."""
    found = await gather(call)
    return {
        "service_metrics": service_metrics(call, found),
        "performance_metrics": performance_metrics(found),
        "model_metrics": model_metrics(found),
        "timestamp": _now(call),
    }


async def metrics_performance(call: Call) -> Answer:
    """Answer how long answers took, and what came of them."""
    return {**performance_metrics(await gather(call)), "timestamp": _now(call)}


async def metrics_dashboard(call: Call) -> Answer:
    """Answer what a dashboard shows at a glance."""
    found = await gather(call)
    active = await alerts(call)
    return {
        "overview": service_metrics(call, found),
        "performance": performance_metrics(found),
        "alerts": None if active is None else [msgspec.to_builtins(body_of(alert)) for alert in active],
        "metrics_available": sorted(family.name for family in call.node.metrics.registered()),
        "timestamp": _now(call),
    }


async def metrics_prometheus(call: Call) -> Response:
    """Answer Prometheus' text."""
    return Response(200, await call.node.metrics.scrape(), CONTENT_TYPE)


# Statistics.


async def stats_users(request: UsersQuery, call: Call) -> Answer:
    """Answer figures of users since the node started. `state`: of the user's agent, null where there is none."""
    recorded = (await gather(call, request.limit)).recorded
    listed = await _asked(call, AGENT_ROSTER, ListAgents())
    states = {} if listed is None else {agent.user_id: agent.state for agent in listed.agents}
    sockets = connections(call)
    now = call.node.clock.now()
    users = {
        user.user_id: {
            "state": states.get(user.user_id),
            "total_predictions": user.predictions,
            "total_errors": user.errors,
            "recent_predictions_1h": user.predictions_1h,
            "recent_success_rate": user.success_rate_1h,
            "uptime_seconds": (now - user.ts_first) / 1e9,
            "last_activity": timestamp(user.ts_last),
            "agents": user.agents,
            "websocket_connections": sockets[user.user_id],
        }
        for user in (recorded.users if recorded else ())
    }
    return {"users": None if recorded is None else users, "total_users": len(users), "timestamp": _now(call)}


async def stats_performance(call: Call) -> Answer:
    """Answer the decision server's counters."""
    found = await gather(call)
    recorded = found.recorded
    rows = [row for row in (recorded.served if recorded else ()) if row.mean_ms is not None]
    total = sum(row.decisions for row in rows)
    mean = sum((row.mean_ms or 0.0) * row.decisions for row in rows) / total if total else None
    return {**service_metrics(call, found), "avg_processing_time_ms": mean, "timestamp": _now(call)}


# Health.


async def alerts(call: Call) -> tuple[Alert, ...] | None:
    """The active ones; None: nobody says."""
    found = await _asked(call, ALERTS, ListAlerts(limit=100))
    return None if found is None else tuple(found.alerts)


async def status(call: Call) -> Answer:
    """Answer whether it is ready, and since when."""
    found = await gather(call)
    models = found.models.models if found.models else ()
    return {
        "service": SERVICE,
        "version": version("troupe"),
        "is_ready": found.serving is not None,
        "uptime_seconds": (call.node.clock.now() - call.node.started_at) / 1e9,
        "ensemble_loaded": any(model.state == "serving" and model.version for model in models),
        "active_connections": connections(call).total(),
        "timestamp": _now(call),
    }


async def health(call: Call) -> Response:
    """Answer how each part is; what is not configured is not counted. 503 when at most half of them are well."""
    services = {SERVICE: "healthy"}
    for name, path in SERVICES:
        services[name] = await _health_of(call, path)
    counted = [state for state in services.values() if state != "not_configured"]
    well = counted.count("healthy")
    verdict = "healthy" if well == len(counted) else "degraded" if well > len(counted) / 2 else "unhealthy"
    found = await gather(call)
    active = await alerts(call)
    known = side(found, model=True)
    whole = overall(found)
    # Of what can be asked just now: how long each was up, nobody has kept.
    uptime = [model.breaker in ("closed", "half_open") for model in (found.models.models if found.models else ())]
    body: Answer = {
        "status": verdict,
        "services": services,
        "metrics": {
            "total_predictions": whole["total_predictions"],
            "accuracy": known["accuracy"],
            "sharpe_ratio": None,
            "total_return": None,
            "win_rate": whole["accuracy"],
            "avg_response_time_ms": known["avg_response_time_ms"],
            "model_uptime_percent": 100 * sum(uptime) / len(uptime) if uptime else None,
            "last_updated": _now(call),
        },
        "alerts": None if active is None else [alert.title for alert in active],
        "timestamp": _now(call),
    }
    return Response(503 if verdict == "unhealthy" else 200, msgspec.json.encode(body))


async def _health_of(call: Call, path: str) -> str:
    if call.node.find(path) is None:
        return "not_configured"
    report = await _asked(call, path, Probe())
    if report is None or report.status == "failed":
        return "unhealthy"
    return "healthy" if report.status == "ok" else "degraded"
