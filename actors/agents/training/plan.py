"""What a training is told: the algorithm, how long, on what, and the learner's own numbers."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from actors.agents.environment.account import TradingSettings
from actors.agents.environment.actions import ActionSet
from actors.agents.environment.observation import Masking
from actors.agents.environment.rewards import RewardName

Algorithm = Literal["ppo", "a2c", "dqn", "maskable_ppo"]
ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)
Count = Annotated[int, msgspec.Meta(ge=1)]

HYPERPARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "ppo": {
        "n_steps": 256,
        "batch_size": 256,
        "n_epochs": 6,
        "learning_rate": 1e-3,
        "gamma": 0.95,
        "gae_lambda": 0.9,
        "clip_range": 0.2,
        "ent_coef": 0.005,
    },
    "a2c": {"n_steps": 64, "learning_rate": 7e-4, "gamma": 0.95, "gae_lambda": 0.9, "ent_coef": 0.005},
    "dqn": {
        "learning_rate": 5e-4,
        "buffer_size": 50_000,
        "learning_starts": 2_000,
        "batch_size": 128,
        "train_freq": 4,
        "target_update_interval": 1_000,
        "gamma": 0.95,
        "exploration_fraction": 0.3,
        "exploration_final_eps": 0.05,
    },
}
"""By algorithm; those of stable-baselines3 where none is named. `maskable_ppo` has those of `ppo`.

A decision's consequences (the spread, then what the trend brings) are through within some twenty bars: hence the gamma.
"""


class TrainingPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training. `envs`: how many episodes are played side by side (DQN: one)."""

    algorithm: Algorithm = "ppo"
    timesteps: Count = 60_000
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    free_share: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.3
    """The first part of the steps, in which trading costs nothing: whoever acts at random and pays for it learns to do
    nothing long before it learns what pays. All the rest, and every figure, is with costs."""
    net: tuple[Count, ...] = (64, 64)
    envs: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    actions: ActionSet = "simple"
    reward: RewardName = "simple_return"
    masking: Masking = Masking()
    begin_long: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    """The share of episodes that begin with a position."""
    trading: TradingSettings = TradingSettings()
    hyperparameters: dict[str, Any] = {}

    def learner(self) -> dict[str, Any]:
        """The arguments of the algorithm's class, besides policy and environment."""
        algorithm = "ppo" if self.algorithm == "maskable_ppo" else self.algorithm
        return HYPERPARAMETERS[algorithm] | self.hyperparameters
