"""Models over HTTP: what serves, putting another version in service, going back; and starting the branch anew."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from actors.edge.call import Call
from actors.edge.errors import HttpError
from protocols.control import Refused
from protocols.decisions import ListModels, LoadModel, ModelView, RollBackModel
from protocols.paths import DECISIONS, MODELS
from protocols.signal_stream import timestamp
from runtime import RestartChild, TerminateChild

ENSEMBLE: Final = "rl_ensemble"
LOAD_S: Final = 65.0
RESTART_S: Final = 15.0
BRANCH: Final = "decisions"


class ModelBody(msgspec.Struct, frozen=True, kw_only=True):
    """One model. `loaded_at` empty: it never was."""

    name: str
    version: str
    state: str
    error: str
    kind: str
    path: str
    previous: str
    breaker: str
    decisions: int
    swaps: int
    feature_set: str
    features: tuple[str, ...]
    actions: tuple[str, ...]
    min_features: int
    members: tuple[str, ...]
    trained: str
    loaded_at: str
    marks: tuple[str, ...]


class ModelsBody(msgspec.Struct, frozen=True):
    """All models."""

    models: tuple[ModelBody, ...]
    total: int
    timestamp: str


class UpdateParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`path`: of a bundle to serve from now on. `rollback`: serve the version before."""

    path: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    rollback: bool = False


class UpdateModel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model, and what is to become of it. `agent_name`: the model's name; needed but for the ensemble."""

    model_type: Literal["ensemble", "individual", "regime_detector"]
    agent_name: str | None = None
    training_data: dict[str, Any] | None = None
    parameters: UpdateParameters | None = None


class UpdatedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What serves the name now."""

    status: str
    message: str
    model_type: str
    agent_name: str
    request_timestamp: str
    model: ModelBody


class RollBack(msgspec.Struct, frozen=True):
    """Which model."""

    name: str


class Restarted(msgspec.Struct, frozen=True):
    """What was started again."""

    status: str
    message: str
    restarted: str
    timestamp: str


def model_body(view: ModelView) -> ModelBody:
    """A model in the words of HTTP."""
    return ModelBody(
        name=view.name,
        version=view.version,
        state=view.state,
        error=view.error,
        kind=view.kind,
        path=view.path,
        previous=view.previous,
        breaker=view.breaker,
        decisions=view.decisions,
        swaps=view.swaps,
        feature_set=view.feature_set,
        features=view.features,
        actions=view.actions,
        min_features=view.min_features,
        members=view.members,
        trained=view.trained,
        loaded_at=timestamp(view.ts_loaded) if view.ts_loaded else "",
        marks=view.marks,
    )


async def models(call: Call) -> ModelsBody:
    """Answer all models."""
    found = (await call.ref(MODELS).ask(ListModels())).models
    return ModelsBody(tuple(map(model_body, found)), len(found), timestamp(call.node.clock.now()))


async def update(request: UpdateModel, call: Call) -> UpdatedModel:
    """Put a bundle in service, or the version before; answered when it serves. Training is done elsewhere."""
    if request.training_data is not None:
        text = "models are trained outside the server: `bin/troupe train` makes a bundle, parameters.path serves it"
        raise HttpError(501, "not_trained_here", text, "training_data")
    name = request.agent_name or (ENSEMBLE if request.model_type == "ensemble" else "")
    if not name:
        raise HttpError(400, "invalid", f"expected the name of the {request.model_type} model, got none", "agent_name")
    parameters = request.parameters or UpdateParameters()
    if (parameters.path is None) == (not parameters.rollback):
        text = "expected parameters.path (a bundle) or parameters.rollback (true), and not both; see `bin/troupe train`"
        raise HttpError(409, "nothing_to_do", text, "parameters")
    try:
        if parameters.path is not None:
            view = await call.ref(MODELS).ask(LoadModel(name=name, path=parameters.path), LOAD_S)
            message = f"{name} serves {view.version} from now on"
        else:
            view = await call.ref(MODELS).ask(RollBackModel(name))
            message = f"{name} serves {view.version} again"
    except Refused as refused:
        field = {"name": "agent_name", "path": "parameters.path"}.get(refused.field or "", refused.field)
        raise Refused(refused.code, refused.message, field) from None
    return UpdatedModel(
        status="updated",
        message=message,
        model_type=request.model_type,
        agent_name=name,
        request_timestamp=timestamp(call.node.clock.now()),
        model=model_body(view),
    )


async def roll_back(request: RollBack, call: Call) -> ModelBody:
    """Serve the version before again."""
    return model_body(await call.ref(MODELS).ask(RollBackModel(request.name)))


async def restart(call: Call) -> Restarted:
    """Stop the branch of decisions in order and start it again; requests meanwhile get the fallback's answer."""
    cell = call.node.cells.get(f"/{BRANCH}")
    if cell is None or cell.parent is None:
        raise HttpError(404, "not_found", f"there is no branch /{BRANCH} here")
    await cell.parent.ref.ask(TerminateChild(BRANCH), RESTART_S)
    await cell.parent.ref.ask(RestartChild(BRANCH), RESTART_S)
    text = f"/{BRANCH} was stopped in order and started again; {DECISIONS} answers"
    return Restarted("restart_initiated", text, f"/{BRANCH}", timestamp(call.node.clock.now()))
