"""Trainings that are over in a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from actors.agents.environment.observation import Masking
from actors.agents.training.job import Job, Part, Word
from actors.agents.training.plan import TrainingPlan

TINY = TrainingPlan(
    timesteps=256,
    net=(8,),
    envs=2,
    masking=Masking(singles=0.2),
    hyperparameters={"n_steps": 64, "batch_size": 64, "n_epochs": 1},
)


def tiny(folder: Path, name: str = "tiny", plan: TrainingPlan = TINY, checkpoints: str = "") -> Job:
    return Job(name, plan, (Part("mixed", 2, 100),), str(folder / f"{name}.bundle"), checkpoints)


def silent(word: Word) -> None:
    """Who does not listen."""


def never() -> bool:
    return False


def bars_csv(path: Path, closes: Sequence[float], start: int = 0) -> Path:
    """A file of hourly bars, each opening where the one before closed."""
    rows = ["timestamp,open,high,low,close,volume"]
    before = closes[0]
    for place, close in enumerate(closes):
        at = 1_700_006_400 + 3600 * (start + place)
        rows.append(f"{at},{before:.2f},{max(before, close):.2f},{min(before, close):.2f},{close:.2f},{5 + place % 3}")
        before = close
    path.write_text("\n".join(rows) + "\n")
    return path
