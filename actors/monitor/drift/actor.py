"""The drift actor: listens to what models see, say and lead to, and raises alerts.

    drift alone              a warning: somebody should look
    a loss of performance    an error
    both                     critical: the model no longer fits what it sees, and it costs

Another version of a model is watched anew: what its predecessor said and came to is nothing to compare it with. The
predecessor's watch is kept, for a rollback brings it back.

References and detectors are in a file of the data folder (also what is being learned: a reference takes a day), so that
a restart does not take the drifted present for the reference. What the window has counted is not: it is collected anew.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import ClassVar, Final

import msgspec
import trio

from actors.monitor import files
from actors.monitor.drift.settings import DriftSettings
from actors.monitor.drift.watch import ModelWatch, SavedModel
from protocols.alerts import RaiseAlert, Severity
from protocols.control import ExitReason, Lagged, Probe, ProbeReport, Refused, Request
from protocols.decisions import NO_MODELS, DecisionMade, ObservationSeen, OutcomeSeen
from protocols.drift import DriftReport, GetDrift, ModelDrift, UseReference
from protocols.paths import ALERTS
from runtime import Actor, Mailbox, receive

FILE: Final = "drift.msgpack"
SOURCE: Final = "drift"
REMEMBERED: Final = 50_000
"""Decisions whose outcome may still come."""
EXAMINE_S: Final = 30.0
FILE_S: Final = 10.0
NAMED: Final = 5


class Examine(Request[DriftReport], frozen=True, gc=False, tag="examine_drift"):
    """Compare all models with their references now."""


class _Remembered(msgspec.Struct, frozen=True, gc=False):
    model: str
    version: str
    confidence: float
    ts: int


class Drift(Actor):
    """Watches every model that decides."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=16_384)

    def __init__(self, settings: DriftSettings = DriftSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self.models: dict[str, ModelWatch] = {}
        self.former: dict[str, ModelWatch] = {}
        """Of each model the version before."""
        self.shown: set[tuple[str, str]] = set()
        """Models and features of which there is an index to be seen."""
        self.accurate: set[str] = set()
        """Models of which there is an accuracy to be seen."""
        self.decisions: OrderedDict[str, _Remembered] = OrderedDict()
        self.report = DriftReport(models=(), ts=0, unmatched=0, not_watched=0)
        self.unmatched = self.not_watched = self.lagged_by = 0
        self.written = b""
        self.problem = ""

    def on_start(self) -> None:
        """Listen."""
        metrics = self.node.metrics
        self._psi = metrics.gauge("drift_psi", "Population stability index by feature", ("model", "feature"))
        self._limit = metrics.gauge("drift_psi_limit", "Above it a feature has drifted", ("model", "feature"))
        self._drifted = metrics.gauge("drift_features", "Features and predictions that have drifted", ("model",))
        self._evidence = metrics.gauge(
            "drift_evidence_ratio", "Evidence for a loss of performance, of what makes an alarm", ("model", "of")
        )
        self._losses = metrics.counter("drift_losses", "Alarms of a loss of performance", ("model",))
        self._accuracy = metrics.gauge(
            "rl_model_accuracy_ratio", "Decisions that were right, of the newest that have an outcome", ("model",)
        )
        self._seen = metrics.counter("drift_observations", "What was told of models", ("kind",))
        for each in (self._psi, self._limit, self._drifted, self._accuracy):
            each.clear()  # of an earlier life
        self.file = Path(self.node.settings.data_dir).absolute() / FILE
        self.subscribe(DecisionMade)
        self.subscribe(ObservationSeen)
        self.subscribe(OutcomeSeen)
        self.every(self.settings.interval_s, Examine())

    async def on_continue(self) -> None:
        """Take up references and detectors of an earlier life."""
        try:
            content = await self.offload(files.read, self.file, timeout=FILE_S)
            saved = msgspec.msgpack.decode(content, type=tuple[SavedModel, ...]) if content else ()
            for each in saved[: self.settings.models]:
                watch = ModelWatch(each.model, self.settings, each.version)
                watch.restore(each)
                self.models[each.model] = watch
                self._losses.labels(each.model)
                self._show_accuracy(watch)
        except (OSError, trio.TooSlowError, msgspec.MsgspecError, ValueError) as error:
            self.problem = f"the references of an earlier life cannot be read and are learned anew: {error}"
            self.logger.warning(self.problem)

    async def on_stop(self, reason: ExitReason) -> None:
        """Save."""
        await self._save()

    @receive
    def observation(self, message: ObservationSeen) -> None:
        """Take the inputs of a decision in."""
        self._seen.labels("observation").inc()
        watch = self._model(message.model, message.version)
        if watch is None or len(message.names) != len(message.values):
            self.not_watched += 1
            return
        watch.observe(message.names, message.values, message.symbol, message.ts or self.clock.now())

    @receive
    def decision(self, message: DecisionMade) -> None:
        """Take a prediction in, and remember what it expected."""
        decision = message.decision
        model = decision.served_by
        if model in NO_MODELS or not model:
            return
        self._seen.labels("decision").inc()
        watch = self._model(model, decision.model_version)
        if watch is None:
            self.not_watched += 1
            return
        ts = decision.ts or self.clock.now()
        watch.decide(decision.action, decision.confidence, decision.symbol, ts)
        self.decisions[decision.decision_id] = _Remembered(model, watch.version, decision.confidence, ts)
        if len(self.decisions) > REMEMBERED:
            self.decisions.popitem(last=False)

    @receive
    def outcome(self, message: OutcomeSeen) -> None:
        """Take what came of a decision in; for accuracy alone where nobody knows any more what it expected."""
        self._seen.labels("outcome").inc()
        known = self.decisions.pop(message.decision_id, None)
        model = message.model or (known.model if known else "")
        expected = message.confidence if message.confidence is not None else known.confidence if known else None
        if model in NO_MODELS:
            return
        judged = expected is not None and math.isfinite(expected)
        self.unmatched += not judged
        if not model:
            return
        watch = self._watch_of(model, known.version if known else "")
        if watch is None:
            self.not_watched += 1
            return
        ts = message.ts or self.clock.now()
        ts_decision = message.ts_decision or (known.ts if known else 0)
        watch.outcomes.recent.append(message.success)
        alarm = (
            expected is not None
            and judged
            and watch.outcomes.add(expected, success=message.success, ts=ts, ts_decision=ts_decision)
        )
        if watch is not self.models[model]:
            return  # the version that decided serves no more
        self._show_accuracy(watch)
        if alarm:
            self._losses.labels(model).inc()
            self.logger.warning("a model's outcomes have become worse", model=model)
            self._tell(model, loss=True, drifted=None)

    @receive
    def lagged(self, message: Lagged) -> None:
        """Count what there was no room for."""
        self.lagged_by += max(message.count, 1)

    @receive
    def use(self, request: UseReference) -> None:
        """Compare a model with the histograms of its training, or with what it sees from now on."""
        if not request.histograms:
            return self._learn_anew(request.model)
        watch = self._model(request.model)
        if watch is None:
            raise Refused("overloaded", f"{self.settings.models} models are watched already", "model")
        try:
            watch.use(request.histograms, "bundle")
        except ValueError as error:
            raise Refused("invalid", str(error), "histograms") from None

    def _learn_anew(self, model: str) -> None:
        before = self.models.get(model)
        if before is None:
            raise Refused("not_found", f"no model {model!r} has been seen", "model")
        watch = self.models[model] = ModelWatch(model, self.settings, before.version)
        watch.outcomes = before.outcomes
        self._forget(model)

    @receive
    def answer(self, request: GetDrift) -> DriftReport:
        """Answer what was found last."""
        return self.report

    @receive
    async def examine(self, request: Examine) -> DriftReport:
        """Compare, tell and save. The comparison is made in a thread; nothing changes meanwhile."""
        now = self.clock.now()
        watches = tuple(self.models.values())
        found = await self.offload(_examined, watches, now, timeout=EXAMINE_S)
        left_out = sum(watch.left_out for watch in watches)
        self.report = DriftReport(
            models=found, ts=now, unmatched=self.unmatched, not_watched=self.not_watched + left_out
        )
        for each in found:
            self._show(each)
            known = each.state in ("drifted", "stable")
            self._tell(each.model, loss=each.loss, drifted=each if known else None)
        await self._save()
        return self.report

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Tell how many models are watched. A drifted model is no illness of the monitor."""
        figures = (
            ("models", len(self.models)),
            ("drifted", sum(each.state == "drifted" for each in self.report.models)),
            ("losses", sum(each.loss for each in self.report.models)),
            ("unmatched_outcomes", self.unmatched),
            ("not_watched", self.not_watched),
            ("lagged", self.lagged_by),
        )
        return ProbeReport("degraded" if self.problem else "ok", self.problem, figures=figures)

    def _model(self, name: str, version: str = "") -> ModelWatch | None:
        """The watch of a model; of the version that serves now, where that is said."""
        watch = self.models.get(name)
        if watch is None:
            if len(self.models) >= self.settings.models:
                return None
            watch = self.models[name] = ModelWatch(name, self.settings, version)
            self._losses.labels(name)  # a first alarm is to be seen as an increase
        elif version and not watch.version:
            watch.version = version
        elif version and watch.version != version:
            watch = self._changed(name, version)
        return watch

    def _watch_of(self, name: str, version: str) -> ModelWatch | None:
        """The watch of the version that has decided. None: nobody watches it any more."""
        former = self.former.get(name)
        if former is not None and version == former.version:
            return former
        watch = self._model(name)
        return watch if watch is None or version in ("", watch.version) else None

    def _changed(self, name: str, version: str) -> ModelWatch:
        """Another version serves: it begins anew, unless it is the one before. What was said of the last one ends."""
        before, former = self.models[name], self.former.get(name)
        back = former is not None and former.version == version
        watch = former if former is not None and back else ModelWatch(name, self.settings, version)
        self.models[name], self.former[name] = watch, before
        self.logger.info("a model has changed", model=name, before=before.version, now=version, known=back)
        self._forget(name)
        self._show_accuracy(watch)
        return watch

    def _forget(self, model: str) -> None:
        """What was said of a model holds no more."""
        for what in ("drift", "loss", "drift_and_loss"):
            self._alert(what, model, "warning", "", active=False)
        others = tuple(each for each in self.report.models if each.model != model)
        self.report = msgspec.structs.replace(self.report, models=others)
        self._hide(model)

    def _tell(self, model: str, *, loss: bool, drifted: ModelDrift | None) -> None:
        """Raise and resolve. `drifted` None: nothing new is known of drift, so nothing is said of it alone."""
        if drifted is None:
            drifted = next((each for each in self.report.models if each.model == model), None)
            if drifted is None or drifted.state not in ("drifted", "stable"):
                self._alert("loss", model, "error", "Its outcomes have become worse", active=loss)
                return
        drift = drifted.state == "drifted"
        text = _named(drifted) if drift else ""
        self._alert("drift", model, "warning", f"What it sees or says has changed: {text}", active=drift and not loss)
        self._alert("loss", model, "error", "Its outcomes have become worse", active=loss and not drift)
        both = f"What it sees or says has changed ({text}), and its outcomes have become worse"
        self._alert("drift_and_loss", model, "critical", both, active=drift and loss)

    def _alert(self, what: str, model: str, severity: Severity, description: str, *, active: bool) -> None:
        self.lookup(ALERTS).tell(
            RaiseAlert(
                key=f"{what},model={model}",
                source=SOURCE,
                title=f"{what.replace('_', ' ')} ({model})",
                description=description,
                severity=severity,
                labels=(("model", model),),
                resolve=not active,
            )
        )

    def _show(self, found: ModelDrift) -> None:
        model = found.model
        known = {
            each.name: (each.psi, each.limit)
            for each in found.features
            if each.psi is not None and each.limit is not None
        }
        self._hide(model, frozenset(known))
        for name, (psi, limit) in known.items():
            self.shown.add((model, name))
            self._psi.labels(model, name).set(psi)
            self._limit.labels(model, name).set(limit)
        if known:
            self._drifted.labels(model).set(sum(each.state == "drifted" for each in found.features))
        self._evidence.labels(model, "error").set(found.outcome.error_evidence)
        self._evidence.labels(model, "brier").set(found.outcome.brier_evidence)

    def _hide(self, model: str, keep: frozenset[str] = frozenset()) -> None:
        """Show no index that is not known any more: an old value would pass for the present."""
        for name in [name for of, name in self.shown if of == model and name not in keep]:
            self.shown.discard((model, name))
            self._psi.remove(model, name)
            self._limit.remove(model, name)
            if not any(of == model for of, _ in self.shown):
                self._drifted.remove(model)

    def _show_accuracy(self, watch: ModelWatch) -> None:
        accuracy = watch.outcomes.accuracy
        if accuracy is not None:
            self.accurate.add(watch.model)
            self._accuracy.labels(watch.model).set(accuracy)
        elif watch.model in self.accurate:
            self.accurate.discard(watch.model)
            self._accuracy.remove(watch.model)

    async def _save(self) -> None:
        saved = tuple(watch.saved() for watch in self.models.values())
        try:
            self.written = await self.offload(_written, self.file, saved, self.written, timeout=FILE_S)
        except (OSError, trio.TooSlowError) as error:
            self.problem = f"the references cannot be saved: {error}"
            self.logger.warning(self.problem)
        else:
            self.problem = ""


def _named(found: ModelDrift) -> str:
    worst = sorted((each for each in found.features if each.state == "drifted"), key=lambda each: -(each.psi or 0.0))
    names = ", ".join(f"{each.name} (PSI {each.psi:.3g}, limit {each.limit:.3g})" for each in worst[:NAMED])
    return names + (f" and {len(worst) - NAMED} more" if len(worst) > NAMED else "")


def _examined(watches: tuple[ModelWatch, ...], now: int) -> tuple[ModelDrift, ...]:
    return tuple(watch.examine(now) for watch in watches)


def _written(file: Path, saved: tuple[SavedModel, ...], before: bytes) -> bytes:
    """Write what has changed since `before`; returns what is in the file."""
    content = msgspec.msgpack.encode(saved)
    if content != before:
        files.write(file, content)
    return content
