"""What stable-baselines3 calls while it learns: progress, checkpoints, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

if TYPE_CHECKING:
    from actors.agents.training.learning import Progress

CHECKPOINT = "last.zip"


class Watch(BaseCallback):
    """Tells how far it is every so many steps, keeps a checkpoint, and stops when it is asked to."""

    def __init__(
        self,
        total: int,
        on_progress: Callable[[Progress], None] | None,
        cancelled: Callable[[], bool] | None,
        checkpoints: Path | None,
        every: int,
    ) -> None:
        super().__init__()
        self.stopped = False
        self._total = total
        self._on_progress = on_progress
        self._cancelled = cancelled
        self._checkpoints = checkpoints
        self._every = every
        self._next = every

    def _on_step(self) -> bool:
        if self._cancelled is not None and self._cancelled():
            self.stopped = True
            self._keep()
            return False
        if self.num_timesteps >= self._next:
            self._next += self._every
            self._tell()
            self._keep()
        return True

    def _on_training_end(self) -> None:
        if not self.stopped:
            self._tell()

    def _tell(self) -> None:
        from actors.agents.training.learning import Progress

        if self._on_progress is None:
            return
        episodes = [each["r"] for each in self.model.ep_info_buffer or ()]
        reward = float(np.mean(episodes)) if episodes else None
        self._on_progress(Progress(min(self.num_timesteps, self._total), self._total, reward))

    def _keep(self) -> None:
        if self._checkpoints is None:
            return
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        # Written aside first: a checkpoint that was cut off in the middle is worth nothing.
        aside = self._checkpoints / f"{CHECKPOINT}.part"
        with aside.open("wb") as file:
            self.model.save(file)
        aside.replace(self._checkpoints / CHECKPOINT)
