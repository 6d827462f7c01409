"""One training as a job of its own process: tracks, normaliser, learning, bundle. The parent hears how far it is."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from actors.agents.environment.actions import ACTIONS
from actors.agents.environment.market import Scenario, SimulatedBars, simulated_track
from actors.agents.environment.observation import CLIP, EPSILON, FEATURES, Prepared, ever_known, fitted, prepared
from actors.agents.training.learning import Cancelled, Progress, disconnect, learn
from actors.agents.training.plan import TrainingPlan
from actors.decisions.bundles.manifest import Training
from actors.decisions.features.names import MARKET_29
from protocols.market import SYNTHETIC

MIN_FEATURES: Final = 2
"""With fewer the fallback answers. Two is what the smallest signal has that a rule could be applied to, rsi and
change_percent; training shows no more than these in many of its episodes (`Masking`). One figure alone is no signal."""
APART: Final = 1000
"""Seeds of tracks for one training; the training with the next seed has others."""
FIRST_TRAINED: Final = 10_000
"""Tracks below it are never trained on: they are for evaluation."""


class Part(msgspec.Struct, frozen=True):
    """So many tracks of a scenario."""

    scenario: Scenario
    tracks: int
    bars: int = 256


class Job(msgspec.Struct, frozen=True):
    """One policy to make: trained over simulated tracks, written to `path`."""

    name: str
    plan: TrainingPlan
    parts: tuple[Part, ...]
    path: str
    checkpoints: str = ""


class Made(msgspec.Struct, frozen=True):
    """A policy that is on disk."""

    name: str
    sha256: str
    bytes: int
    steps: int
    trained: str


class Word(msgspec.Struct, frozen=True):
    """From a job to its parent."""

    name: str
    progress: Progress


def seeds_of(seed: int, count: int) -> range:
    """Of the tracks that a training with this seed uses. Raises ValueError for more than there are."""
    if not 0 < count <= APART:
        raise ValueError(f"tracks: expected 1 to {APART} of a scenario, got {count}")
    first = FIRST_TRAINED + seed * APART
    return range(first, first + count)


def tracks_of(parts: Sequence[Part], seed: int, stop: Callable[[], bool] | None = None) -> list[Prepared]:
    """Raises Cancelled."""
    found = []
    for part in parts:
        settings = SimulatedBars(scenario=part.scenario, bars=part.bars)
        for each in seeds_of(seed, part.tracks):
            if stop is not None and stop():
                raise Cancelled
            found.append(prepared(simulated_track(settings, each)))
    return found


def make(job: Job, tell: Callable[[Word], None], stop: Callable[[], bool]) -> Made:
    """Train and export. Raises Cancelled, BundleError."""
    tracks = tracks_of(job.parts, job.plan.seed, stop)
    shown = ", ".join(f"{part.tracks} {part.scenario}" for part in job.parts)
    seeds = seeds_of(job.plan.seed, max(part.tracks for part in job.parts))
    trained = f"simulated venue, tracks of {job.parts[0].bars} bars: {shown}, seeds from {seeds.start}"
    return train(job.name, job.plan, tracks, Path(job.path), trained, (SYNTHETIC,), tell, stop, job.checkpoints)


def train(
    name: str,
    plan: TrainingPlan,
    tracks: Sequence[Prepared],
    path: Path,
    trained: str,
    marks: tuple[str, ...],
    tell: Callable[[Word], None],
    stop: Callable[[], bool],
    checkpoints: str = "",
) -> Made:
    """Learn over these tracks and write the bundle. Raises Cancelled, BundleError, OSError."""
    from actors.agents.environment.trading import WARM_UP
    from actors.agents.export import Statistics, export

    normaliser = fitted(tracks)
    model = learn(
        plan,
        tracks,
        normaliser,
        on_progress=lambda progress: tell(Word(name, progress)),
        cancelled=stop,
        checkpoints=Path(checkpoints) if checkpoints else None,
    )
    disconnect(model, ever_known(tracks).tolist())
    # A learner plays whole rounds: a few steps more than were asked for.
    steps = int(model.num_timesteps)
    path.parent.mkdir(parents=True, exist_ok=True)
    sha256 = export(
        model,
        path,
        feature_set=MARKET_29,
        features=FEATURES,
        actions=ACTIONS[plan.actions],
        normalise=Statistics(normaliser.mean, normaliser.var, EPSILON, CLIP),
        trained=Training(trained, tracks[0].track.bars[0].start, tracks[-1].track.bars[-1].end, steps),
        marks=marks,
        min_features=MIN_FEATURES,
        layout="values+mask",
        observations=np.concatenate([each.features[WARM_UP:] for each in tracks]),
    )
    return Made(name, sha256, path.stat().st_size, steps, trained)


def work(job: Job, words: Any, stopping: Any) -> Made | None:
    """The body of a child process; None: it was asked to stop. Ctrl-C is the parent's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return make(job, words.put, stopping.is_set)
    except Cancelled:
        return None
