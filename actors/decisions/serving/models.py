"""The keeper of models: loads them, puts them in service, and keeps the version before for a rollback.

A model is read, checked against its golden pairs, warmed and copied on a thread; then the server is told, and serves by
it from its next message on. What cannot be loaded changes nothing: the old version goes on, and the error is shown. A
server that starts again asks for everything; a node that starts again serves what it served.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import trio

from actors.decisions.policy import Policy
from actors.decisions.serving.messages import GetServed, GetServing, ServedModels
from actors.decisions.serving.settings import ModelSettings
from actors.decisions.serving.shelf import LoadFailed, ModelSource, Shelf, ShelfEntry
from protocols.control import Message, Probe, ProbeReport, Refused, Unknown
from protocols.decisions import (
    ListModels,
    LoadModel,
    ModelList,
    ModelRow,
    ModelSwapped,
    ModelView,
    RollBackModel,
    UseModel,
)
from protocols.paths import DECISIONS
from runtime import Actor, receive
from runtime.log import LogFull
from runtime.promise import Promise

STREAM: Final = "models"
LOAD_S: Final = 60.0
WAITING: Final = 32
"""Loads that may wait for the one under way."""
SERVER_S: Final = 1.0
Role = Literal["serve", "standby"]


class Job(msgspec.Struct, frozen=True):
    """One load. `role` standby: of the version before, for a rollback."""

    name: str
    source: ModelSource
    role: Role
    configured: str
    promise: Promise | None


class Loaded(Message, frozen=True, gc=False, tag="decision_model_loaded"):
    """To itself: how a load ended."""

    job: Any
    policy: Any
    source: ModelSource | None
    error: str
    field: str


class Version:
    """One version of a model in memory."""

    __slots__ = ("policy", "source", "ts")

    def __init__(self, policy: Policy, source: ModelSource, ts: int) -> None:
        self.policy = policy
        self.source = source
        self.ts = ts


class Name:
    """What a name is served by, what it was before, and what went wrong last."""

    __slots__ = ("before", "configured", "error", "now", "swaps", "wanted")

    def __init__(self, wanted: ModelSource, configured: str) -> None:
        self.wanted = wanted
        self.configured = configured
        self.now: Version | None = None
        self.before: Version | None = None
        self.error = ""
        self.swaps = 0


class ModelKeeper(Actor):
    """Keeps the models of `models`, and what was loaded since; `folder`: where copies are (empty: nowhere)."""

    def __init__(self, models: tuple[ModelSettings, ...] = (), folder: str = "") -> None:
        self.configured = {model.name: ModelSource(model.path, model.policy) for model in models}
        self.shelf = Shelf(Path(folder) if folder else None)
        self.names: dict[str, Name] = {}
        self.jobs: deque[Job] = deque()
        self.loading = False

    def on_start(self) -> None:
        """Begin to load what served before, and what the configuration says anew."""
        trouble = ""
        try:
            kept = self.shelf.read()
        except LoadFailed as error:
            kept, trouble = {}, str(error)
            self.logger.exception("what served before is not known; the configuration does")
        for name in sorted({*self.configured, *kept}):
            entry = kept.get(name)
            source = self.configured.get(name)
            said = "" if source is None else source.path or source.policy
            # A configuration that was edited since is the newer word.
            if entry is not None and (source is None or entry.configured == said):
                source = entry.now
                before = entry.before
            else:
                before = None if entry is None else entry.now
            assert source is not None
            self.names[name] = Name(source, said)
            self.names[name].error = trouble
            self.jobs.append(Job(name, source, "serve", said, None))
            if before is not None:
                self.jobs.append(Job(name, before, "standby", said, None))
        # What is served comes first.
        self.jobs = deque(sorted(self.jobs, key=lambda job: job.role == "standby"))
        self._next()

    # Loading.

    @receive
    def load(self, request: LoadModel) -> None:
        """Load a bundle under a name; answered when it serves, or when it is known why it cannot."""
        if not _named(request.name):
            raise Refused("invalid", f"expected a name like rl_ensemble, got {request.name!r}", "name")
        if not Path(request.path).exists():
            raise Refused("not_found", f"there is nothing at {request.path}", "path")
        if len(self.jobs) >= WAITING:
            raise Refused("overloaded", f"{len(self.jobs)} models wait to be loaded")
        source = ModelSource(str(Path(request.path).absolute()))
        said = self.configured.get(request.name)
        name = self.names.setdefault(request.name, Name(source, ""))
        name.configured = "" if said is None else said.path or said.policy
        self.jobs.append(Job(request.name, source, "serve", name.configured, self.promise()))
        self._next()

    def _next(self) -> None:
        if self.jobs and not self.loading:
            self.loading = True
            self.spawn(self._run, self.jobs.popleft(), name="load")

    async def _run(self, job: Job) -> None:
        policy, source, error, field = None, None, "", ""
        with trio.move_on_after(LOAD_S) as limit:
            try:
                policy, source = await trio.to_thread.run_sync(
                    partial(self.shelf.take, job.name, job.source), abandon_on_cancel=True
                )
            except LoadFailed as failed:
                error, field = failed.message, failed.field
            except OSError as failed:
                error, field = f"it cannot be kept: {failed}", "path"
        if limit.cancelled_caught:
            error, field = f"it was not loaded within {LOAD_S:.0f} s", "path"
        await self.ref.send(Loaded(job, policy, source, error, field), LOAD_S)

    @receive
    def loaded(self, message: Loaded) -> None:
        """Put a model in service, or keep the error; go on with the next one."""
        job: Job = message.job
        self.loading = False
        if message.source is None:
            self._failed(job, message.error, message.field)
        else:
            version = Version(message.policy, message.source, self.clock.now())
            if job.role == "standby":
                self.names[job.name].before = version
            else:
                self._serve(job.name, version, "loaded")
            if job.promise is not None:
                self._answer(job.promise, job.name)
        self._next()

    def _failed(self, job: Job, error: str, field: str) -> None:
        text = f"{field}: {error}"
        self.logger.error("a model cannot be loaded", model=job.name, role=job.role, path=job.source.path, why=text)
        self._note(job.name, job.source.version, "", job.source.path or job.source.policy, "failed", text)
        name = self.names[job.name]
        if job.role == "serve":
            name.error = text
        if job.promise is not None:
            if name.now is None and job.name not in self.configured:
                del self.names[job.name]  # a name that nothing ever served; who asked is told, and the rows have it
            job.promise.refuse(Refused("invalid", error, field))

    def _serve(self, name: str, version: Version, why: Literal["loaded", "rolled_back"]) -> None:
        """From now on this version serves the name."""
        entry = self.names[name]
        entry.error = ""
        before = entry.now
        if before is not None and before.source == version.source and before.source.path:
            return  # the same bundle again
        if before is not None:
            entry.before = before
            entry.swaps += 1
        entry.now = version
        entry.wanted = version.source
        info, source = version.policy.info, version.source
        self.lookup(DECISIONS).tell(UseModel(name=name, version=source.version, policy=version.policy))
        self._note(name, source.version, info.kind, source.path or source.policy, why, "")
        self._keep()
        was = "" if before is None else before.source.version
        self.publish(ModelSwapped(name=name, version=source.version, before=was, why=why, ts=self.clock.now()))
        self.logger.info("a model serves", model=name, version=source.version, before=was, why=why)

    def _keep(self) -> None:
        entries = {
            name: ShelfEntry(
                now=entry.wanted,
                before=None if entry.before is None else entry.before.source,
                configured=entry.configured,
            )
            for name, entry in self.names.items()
        }
        try:
            self.shelf.write(entries)
        except OSError:
            self.logger.exception("what serves cannot be kept for a restart")

    def _note(self, name: str, version: str, kind: str, path: str, change: str, error: str) -> None:
        row = ModelRow(
            stream=STREAM,
            seq=self.log.last_seq(STREAM) + 1,
            ts=self.clock.now(),
            name=name,
            model_version=version,
            kind=kind,
            path=path,
            change=change,
            error=error,
        )
        try:
            self.log.append(row)
        except LogFull as full:  # serving does not wait for a database
            self.logger.exception("a change of a model is not recorded", model=name, change=change, why=str(full))

    # Rolling back.

    @receive
    def roll_back(self, request: RollBackModel) -> None:
        """Serve the version before again, at once; another rollback brings this one back."""
        entry = self.names.get(request.name)
        if entry is None:
            raise Refused("not_found", f"there is no model {request.name}", "name")
        if entry.before is None:
            raise Refused("conflict", f"there is no version of {request.name} before this one", "name")
        self._serve(request.name, entry.before, "rolled_back")
        self._answer(self.promise(), request.name)

    # Telling.

    @receive
    def served(self, _: GetServed) -> ServedModels:
        """What serves each name now, for a server that has started."""
        return ServedModels(
            tuple(
                UseModel(name=name, version=entry.now.source.version, policy=entry.now.policy)
                for name, entry in self.names.items()
                if entry.now is not None
            )
        )

    @receive
    def list_models(self, _: ListModels) -> None:
        """All models, with what the server says of them."""
        views = [self._view(name) for name in sorted(self.names)]
        self.answer_later(self._completed, views)

    def _answer(self, promise: Promise, name: str) -> None:
        view = self._view(name)

        async def answer() -> None:
            promise.answer((await self._completed([view])).models[0])

        self.spawn(answer, name="answer")

    async def _completed(self, views: list[ModelView]) -> ModelList:
        """The views with breaker and number of decisions, which are the server's to say."""
        try:
            figures = await self.lookup(DECISIONS).ask(GetServing(), SERVER_S)
        except (Refused, Unknown) as error:
            self.logger.warning("the server does not say how its models are", why=str(error))
            return ModelList(tuple(msgspec.structs.replace(view, breaker="unknown") for view in views))
        known = {model.name: model for model in figures.models}
        return ModelList(
            tuple(
                msgspec.structs.replace(view, breaker=known[view.name].breaker, decisions=known[view.name].decisions)
                if view.name in known
                else view
                for view in views
            )
        )

    def _view(self, name: str) -> ModelView:
        entry = self.names[name]
        now, before = entry.now, entry.before
        info = None if now is None else now.policy.info
        return ModelView(
            name=name,
            version="" if now is None else now.source.version,
            kind="" if info is None else info.kind,
            path=entry.wanted.path or entry.wanted.policy,
            feature_set="" if info is None else info.feature_set,
            features=() if info is None else info.features,
            actions=() if info is None else tuple(action.name for action in info.actions),
            min_features=0 if info is None else info.min_features,
            ts_loaded=0 if now is None else now.ts,
            state="serving" if now is not None else "failed" if entry.error else "standby",
            error=entry.error,
            previous="" if before is None else before.source.version,
            swaps=entry.swaps,
            trained="" if info is None else info.trained,
            marks=() if info is None else info.marks,
            members=() if info is None else info.members,
        )

    @receive
    def probe(self, _: Probe) -> ProbeReport:
        """Degraded while a name is served by nothing; a failed load beside one that serves is in the list only."""
        failed = [f"{name} ({entry.error})" for name, entry in self.names.items() if entry.error and entry.now is None]
        serving = sum(entry.now is not None for entry in self.names.values())
        waiting = len(self.jobs) + self.loading
        return ProbeReport(
            "degraded" if failed else "ok",
            f"cannot be served: {'; '.join(failed)}"[:1000] if failed else "",
            figures=(("serving", serving), ("failed", len(failed)), ("loading", waiting)),
        )


def _named(name: str) -> bool:
    return (
        0 < len(name) <= 64 and name.replace("_", "").replace("-", "").replace(".", "").isalnum() and name[0].isalpha()
    )
