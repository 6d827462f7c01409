"""The core of the drift actor: what is known of one model, and how it compares with its reference.

Inputs and predictions are compared by PSI, outcomes by Page-Hinkley; both separately, because the one may move without
the other. No event loop, no clock: times come in as arguments.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Literal

import msgspec

from actors.monitor.drift.histogram import Histogram, Hourly, histogram, quantile_edges
from actors.monitor.drift.page_hinkley import PageHinkley, PageHinkleyState
from actors.monitor.drift.psi import Compared, Judged, judge
from actors.monitor.drift.settings import DriftSettings
from protocols.drift import (
    ACTION,
    ACTION_CODES,
    ACTION_EDGES,
    CONFIDENCE,
    DriftState,
    FeatureDrift,
    FeatureHistogram,
    ModelDrift,
    OutcomeDrift,
)

HOUR_S = 3600
SECOND = 1_000_000_000


class OutcomeTotals(msgspec.Struct, frozen=True):
    """Sums over all outcomes; `delays`: from decision to outcome in seconds, over those of which it is known."""

    count: int = 0
    errors: float = 0.0
    briers: float = 0.0
    delays: float = 0.0
    delayed: int = 0
    ts_last: int = 0


class Learning(msgspec.Struct, frozen=True):
    """A reference that is being collected: observations (NaN: missing), every how many-th, and since when."""

    name: str
    first: tuple[float, ...]
    every: int
    ts_begin: int


class SavedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What a model's watch takes into the next life: its references, its detectors, and what outcomes came to."""

    model: str
    version: str = ""
    source: Literal["bundle", "observations", ""]
    references: tuple[FeatureHistogram, ...]
    error: PageHinkleyState
    brier: PageHinkleyState
    alarms: int
    ts_alarm: int
    totals: OutcomeTotals = OutcomeTotals()
    recent: tuple[bool, ...] = ()
    learning: tuple[Learning, ...] = ()


class FeatureWatch:
    """One feature: its first observations, then a reference, then hours to compare with it.

    The first observations are `reference` at least, and from `reference_h` hours at least. Where more come in that
    time, every second is dropped, then every second of those, and so on: what is left is spread over all of it.
    """

    __slots__ = ("current", "every", "first", "name", "reference", "settings", "skipped", "ts_begin")

    def __init__(self, name: str, settings: DriftSettings, edges: tuple[float, ...] | None = None) -> None:
        self.name = name
        self.settings = settings
        self.first: list[float] = []
        self.every = 1
        self.skipped = 0
        self.ts_begin = 0
        self.reference: Histogram | None = None
        self.current: Hourly | None = None
        if edges is not None:
            self.current = Hourly(edges, settings.window_h)

    def use(self, reference: Histogram) -> None:
        """Compare with this from now on."""
        self.reference = reference
        self.current = Hourly(reference.edges, self.settings.window_h)
        self.first = []

    def add(self, value: float, ts: int) -> None:
        """Take one observation in."""
        if self.reference is not None and self.current is not None:
            self.current.add(value, ts)
            return
        self.ts_begin = self.ts_begin or ts
        self.skipped += 1
        if self.skipped < self.every:
            return
        self.skipped = 0
        self.first.append(value)
        settings = self.settings
        if len(self.first) < settings.reference:
            return
        if ts - self.ts_begin < settings.reference_h * HOUR_S * SECOND:
            if len(self.first) >= 2 * settings.reference:
                self.first = self.first[1::2]
                self.every *= 2
            return
        edges = self.current.edges if self.current is not None else None
        if edges is None:
            # One that has never been there: a bin that stays empty, and the missing ones.
            edges = quantile_edges(self.first) if any(map(math.isfinite, self.first)) else (0.0,)
        self.use(histogram(self.first, edges))

    def window(self, ts: int) -> Histogram | None:
        """The observations of the last hours; None before there is a reference."""
        if self.reference is None or self.current is None:
            return None
        return self.current.last(self.settings.window_h, ts)


class OutcomeWatch:
    """What came of a model's decisions."""

    def __init__(self, settings: DriftSettings) -> None:
        self.error = PageHinkley(settings.page_hinkley)
        self.brier = PageHinkley(settings.page_hinkley)
        self.minimum = settings.outcome_minimum
        self.totals = OutcomeTotals()
        self.recent: deque[bool] = deque(maxlen=settings.accuracy_of)
        """Whether the newest came true, also of those whose expectation is not known."""
        self.alarms = self.ts_alarm = 0

    def add(self, expected: float, *, success: bool, ts: int, ts_decision: int) -> bool:
        """Take one in: the probability that was expected, and whether it came true. Whether that is an alarm."""
        error = expected - (1.0 if success else 0.0)
        before = self.totals
        self.totals = OutcomeTotals(
            count=before.count + 1,
            errors=before.errors + error,
            briers=before.briers + error**2,
            delays=before.delays + ((ts - ts_decision) / SECOND if ts_decision else 0.0),
            delayed=before.delayed + (ts_decision > 0),
            ts_last=max(before.ts_last, ts),
        )
        worse = self.error.update(error)
        less_sure = self.brier.update(error**2)
        if not (worse or less_sure):
            return False
        # One change is one alarm: the other detector has seen the same, and would tell it again.
        self.error.state = self.brier.state = PageHinkleyState()
        self.alarms += 1
        self.ts_alarm = max(ts, 1)
        return True

    @property
    def accuracy(self) -> float | None:
        """The share of the newest outcomes that were a success; None while they are too few."""
        recent = self.recent
        return sum(recent) / len(recent) if len(recent) >= min(self.minimum, recent.maxlen or 0) else None

    def view(self) -> OutcomeDrift:
        """How it stands."""
        totals = self.totals
        return OutcomeDrift(
            outcomes=totals.count,
            mean_error=totals.errors / totals.count if totals.count else None,
            mean_brier=totals.briers / totals.count if totals.count else None,
            error_evidence=self.error.evidence,
            brier_evidence=self.brier.evidence,
            alarms=self.alarms,
            ts_alarm=self.ts_alarm,
            ts_outcome=totals.ts_last,
            delay_s=totals.delays / totals.delayed if totals.delayed else None,
            accuracy=self.accuracy,
        )


class ModelWatch:
    """One version of a model: its inputs, its predictions, its outcomes."""

    def __init__(self, model: str, settings: DriftSettings, version: str = "") -> None:
        self.model = model
        self.version = version
        self.settings = settings
        self.source: Literal["bundle", "observations", ""] = ""
        self.inputs: dict[str, FeatureWatch] = {}
        self.predictions = {
            ACTION: FeatureWatch(ACTION, settings, ACTION_EDGES),
            CONFIDENCE: FeatureWatch(CONFIDENCE, settings),
        }
        self.outcomes = OutcomeWatch(settings)
        self.left_out = 0
        self._seen: dict[tuple[str, str], int] = {}

    def observe(self, names: tuple[str, ...], values: tuple[float, ...], symbol: str, ts: int) -> None:
        """Take one observation of the inputs in. What is too near to the one before, or too much, is left out."""
        if self._too_near("input", symbol, ts):
            return
        for name, value in zip(names, values, strict=True):
            watch = self.inputs.get(name)
            if watch is None:
                if len(self.inputs) >= self.settings.features:
                    self.left_out += 1
                    continue
                watch = self.inputs[name] = FeatureWatch(name, self.settings)
            watch.add(value, ts)
        self.source = self.source or "observations"

    def decide(self, action: str, confidence: float, symbol: str, ts: int) -> None:
        """Take one prediction in."""
        if not self._too_near("prediction", symbol, ts):
            self.predictions[ACTION].add(ACTION_CODES[action], ts)
            self.predictions[CONFIDENCE].add(confidence, ts)

    def use(self, histograms: Iterable[FeatureHistogram], source: Literal["bundle", "observations", ""]) -> None:
        """Compare with these from now on. Raises ValueError for histograms that are none."""
        made = [(each.name, Histogram(each.edges, each.counts)) for each in histograms]
        for name, reference in made:
            if not reference.size:
                raise ValueError(f"{name}: expected at least one observation")
        for name, reference in made:
            watches = self.predictions if name in self.predictions else self.inputs
            watch = watches.setdefault(name, FeatureWatch(name, self.settings))
            watch.use(reference)
        self.source = source

    def loss(self, now: int) -> bool:
        """Whether its outcomes have become worse lately."""
        alarm = self.outcomes.ts_alarm
        return bool(alarm) and now - alarm <= self.settings.loss_h * HOUR_S * SECOND

    def examine(self, now: int) -> ModelDrift:
        """Compare everything that can be compared with its reference."""
        settings = self.settings
        windows: dict[str, Histogram | None] = {}
        compared = []
        watches = [*self.inputs.values(), *self.predictions.values()]
        for watch in watches:
            window = windows[watch.name] = watch.window(now)
            if window is not None and watch.reference is not None and window.size >= settings.minimum:
                compared.append(Compared(watch.name, watch.reference.counts, window.counts))
        judged = {each.name: each for each in judge(compared, settings.level, settings.floor)}
        features = tuple(self._feature(watch, windows[watch.name], judged.get(watch.name)) for watch in watches)
        states = {each.state for each in features}
        order: tuple[DriftState, ...] = ("drifted", "stable", "waiting", "learning")
        return ModelDrift(
            model=self.model,
            version=self.version,
            state=next(state for state in order if state in states),
            loss=self.loss(now),
            reference_from=self.source,
            features=features,
            outcome=self.outcomes.view(),
        )

    def _feature(self, watch: FeatureWatch, window: Histogram | None, judged: Judged | None) -> FeatureDrift:
        state: DriftState = "learning" if window is None else "waiting"
        if judged is not None:
            state = "drifted" if judged.drifted else "stable"
        return FeatureDrift(
            name=watch.name,
            kind="prediction" if watch.name in self.predictions else "input",
            state=state,
            reference=len(watch.first) if watch.reference is None else watch.reference.size,
            current=0 if window is None else window.size,
            psi=judged.psi if judged else None,
            p_value=judged.p_value if judged else None,
            limit=judged.limit if judged else None,
        )

    def saved(self) -> SavedModel:
        """What the next life needs."""
        watches = [*self.inputs.values(), *self.predictions.values()]
        return SavedModel(
            model=self.model,
            version=self.version,
            source=self.source,
            references=tuple(
                FeatureHistogram(watch.name, watch.reference.edges, watch.reference.counts)
                for watch in watches
                if watch.reference is not None
            ),
            error=self.outcomes.error.state,
            brier=self.outcomes.brier.state,
            alarms=self.outcomes.alarms,
            ts_alarm=self.outcomes.ts_alarm,
            totals=self.outcomes.totals,
            recent=tuple(self.outcomes.recent),
            learning=tuple(
                Learning(watch.name, tuple(watch.first), watch.every, watch.ts_begin)
                for watch in watches
                if watch.reference is None and watch.first
            ),
        )

    def restore(self, saved: SavedModel) -> None:
        """Go on from an earlier life. Raises ValueError."""
        self.use(saved.references, saved.source)
        self.outcomes.error.state = saved.error
        self.outcomes.brier.state = saved.brier
        self.outcomes.alarms = saved.alarms
        self.outcomes.ts_alarm = saved.ts_alarm
        self.outcomes.totals = saved.totals
        self.outcomes.recent.extend(saved.recent)
        for each in saved.learning:
            watches = self.predictions if each.name in self.predictions else self.inputs
            watch = watches.setdefault(each.name, FeatureWatch(each.name, self.settings))
            watch.first, watch.every, watch.ts_begin = list(each.first), max(each.every, 1), each.ts_begin

    def _too_near(self, kind: str, symbol: str, ts: int) -> bool:
        before = self._seen.get((kind, symbol))
        if before is not None and ts - before < self.settings.thin_s * SECOND:
            return True
        if before is None and len(self._seen) >= 10_000:
            self._seen.clear()
        self._seen[kind, symbol] = ts
        return False
