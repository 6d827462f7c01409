"""Serving: the decision server, the models behind it, what was decided.

/decisions
├── server              answers `Decide` before its deadline
├── models              loads what serves, and goes back
├── results             requests whose decision is fetched later
└── recorder            rows and figures of what was decided
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from actors.decisions.serving.recorder import RECORDER
from actors.decisions.serving.routes import routes as serving_routes
from actors.decisions.serving.settings import SECTION, ModelSettings, Settings
from actors.edge.routing import Route
from protocols.control import Row
from protocols.decisions import ModelRow, PerformanceRow, PredictionRow
from protocols.experiments import ExperimentPlan
from protocols.paths import DECISION_RESULTS, DECISIONS, MODELS
from runtime import Backoff, ChildSpec
from runtime.settings import Configuration, ConfigurationError, Issue

BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)

sections: dict[str, Any] = {SECTION: Settings}
routes: list[Route] = serving_routes
rows: tuple[type[Row], ...] = (PredictionRow, ModelRow, PerformanceRow)


def children(configuration: Configuration) -> list[ChildSpec]:
    """Its actors below `/decisions`."""
    folder = Path(configuration.section("node").data_dir) / "models"
    settings: Settings = configuration.section(SECTION)
    return specs(msgspec.structs.replace(settings, models=models_of(settings)), str(folder))


def models_of(settings: Settings) -> tuple[ModelSettings, ...]:
    """The models that are named, then those of the folder. Raises ConfigurationError for a name that stands twice, and
    for a folder that is none or has a file whose name cannot be a model's."""
    named = settings.models
    twice = [model.name for index, model in enumerate(named) if model.name in {m.name for m in named[:index]}]
    if twice:
        raise ConfigurationError([Issue("invalid", f"{twice[0]} stands there twice", f"{SECTION}.models")])
    if not settings.models_dir:
        return named
    folder = Path(settings.models_dir)
    if not folder.is_dir():
        raise ConfigurationError([Issue("invalid", f"{folder} is no folder", f"{SECTION}.models_dir")])
    taken = {model.name for model in named}
    try:
        found = [
            msgspec.convert({"name": file.stem, "path": str(file)}, ModelSettings)
            for file in sorted(folder.glob("*.bundle"))
            if file.stem not in taken
        ]
    except msgspec.ValidationError as error:
        raise ConfigurationError([Issue("invalid", f"{folder}: {error}", f"{SECTION}.models_dir")]) from None
    return (*named, *found)


def specs(settings: Settings, folder: str, plans: tuple[ExperimentPlan, ...] = ()) -> list[ChildSpec]:
    """The actors with these settings; models are kept in `folder` (empty: nowhere)."""
    return [
        _child(DECISIONS, "server:DecisionServer", {"settings": settings, "plans": plans}),
        _child(MODELS, "models:ModelKeeper", {"models": settings.models, "folder": folder}),
        _child(
            DECISION_RESULTS,
            "results:DecisionResults",
            {
                "capacity": settings.results,
                "keep_s": settings.results_s,
                "requests_per_s": settings.requests_per_s,
                "burst": settings.burst,
                "timeout_s": settings.timeout_s,
            },
        ),
        _child(RECORDER, "recorder:DecisionRecorder", {}),
    ]


def _child(path: str, actor: str, arguments: dict[str, Any]) -> ChildSpec:
    return ChildSpec(path.rpartition("/")[2], f"actors.decisions.serving.{actor}", arguments, backoff=BACKOFF)


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for it."""
    return [
        ("decision_server", DECISIONS),
        ("decision_models", MODELS),
        ("decision_results", DECISION_RESULTS),
        ("decision_recorder", RECORDER),
    ]
