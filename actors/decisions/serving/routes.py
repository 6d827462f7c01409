"""The routes of serving, in the paths of the RL service."""

from __future__ import annotations

from typing import Final

from actors.decisions.serving.managing import LOAD_S, models, restart, roll_back, update
from actors.decisions.serving.predicting import predict, result, submit
from actors.decisions.serving.reporting import (
    health,
    metrics,
    metrics_dashboard,
    metrics_performance,
    metrics_prometheus,
    models_comparison,
    models_performance,
    stats_performance,
    stats_users,
    status,
)
from actors.decisions.serving.socket import predictions
from actors.edge.routing import Route, get, post, websocket

TAGS: Final = ("decisions",)
MODEL_TAGS: Final = ("models",)
PREDICT_S: Final = 32.0
"""Beyond the longest `timeout_seconds`, so that the decision comes before the edge's own limit."""

routes: list[Route] = [
    post(
        "/api/v1/predict",
        predict,
        summary="A decision, in time",
        tags=TAGS,
        token=False,
        timeout_s=PREDICT_S,
        stores=False,
    ),
    post("/api/v1/predict/async", submit, summary="A decision, later", tags=TAGS, token=False, stores=False),
    get(
        "/api/v1/predict/{request_id}/result",
        result,
        summary="A decision that was asked for",
        tags=TAGS,
        timeout_s=PREDICT_S,
    ),
    websocket("/ws/predictions/{user_id}", predictions, summary="Decisions by message, and results as they come"),
    get("/api/v1/models", models, summary="What serves, and how it is", tags=MODEL_TAGS),
    post(
        "/api/v1/models/update",
        update,
        summary="Put another version in service, or the one before",
        tags=MODEL_TAGS,
        timeout_s=LOAD_S + 5,
    ),
    get(
        "/api/v1/models/performance",
        models_performance,
        summary="What models did, and what came of it",
        tags=MODEL_TAGS,
    ),
    get("/api/v1/models/comparison", models_comparison, summary="Models against the rule", tags=MODEL_TAGS),
    post("/api/v1/models/{name}/rollback", roll_back, summary="The version before serves again", tags=MODEL_TAGS),
    get("/api/v1/metrics", metrics, summary="Figures of decisions", tags=TAGS),
    get("/api/v1/metrics/performance", metrics_performance, summary="How long decisions take", tags=TAGS),
    get("/api/v1/metrics/dashboard", metrics_dashboard, summary="Decisions at a glance", tags=TAGS),
    get("/api/v1/metrics/prometheus", metrics_prometheus, summary="Prometheus metrics", tags=TAGS),
    get("/api/v1/stats/users", stats_users, summary="Figures of users", tags=TAGS),
    get("/api/v1/stats/performance", stats_performance, summary="Counters of the decision server", tags=TAGS),
    get("/status", status, summary="Whether decisions are ready", tags=TAGS),
    get("/api/v1/status", status, summary="Whether decisions are ready", tags=TAGS),
    get("/api/v1/health", health, summary="How the parts of decisions are", tags=TAGS),
    post("/api/v1/system/restart", restart, summary="Start decisions anew", tags=TAGS, stores=False),
]
