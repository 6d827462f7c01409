"""Models of Stable-Baselines3 on a small environment, and real running statistics of a VecNormalize."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

FEATURES = ("level", "slope", "volume_now", "gap", "age_now")
COUNT = len(FEATURES)
SCALE = np.array([100.0, 0.01, 5e4, 1.0, 3.0])
CENTRE = np.array([50.0, 0.0, 1e5, -1.0, 10.0])


class Levels(gymnasium.Env[NDArray[np.float32], Any]):
    """Five numbers of very different sizes; an action is rewarded by the sign of the first."""

    def __init__(self, action_space: spaces.Space[Any], episode: int = 32) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (COUNT,), np.float32)
        self.action_space = action_space
        self._episode = episode
        self._steps = 0
        self._now = np.zeros(COUNT, np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self._next(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self._steps += 1
        wants = float(np.sign(self._now[0] - CENTRE[0]))
        gets = float(np.asarray(action).reshape(-1)[0]) - 1.0
        return self._next(), wants * gets, False, self._steps >= self._episode, {}

    def action_masks(self) -> NDArray[np.bool_]:
        allowed = self.np_random.random(int(self.action_space.n)) < 0.7  # type: ignore[attr-defined]
        allowed[0] = True
        return allowed

    def _next(self) -> NDArray[np.float32]:
        self._now = (CENTRE + SCALE * self.np_random.normal(size=COUNT)).astype(np.float32)
        return self._now


def raw_observations(count: int, seed: int = 5) -> NDArray[np.float64]:
    """Raw values as they come from the environment, some far outside of what training has seen."""
    chance = np.random.default_rng(seed)
    return np.asarray(CENTRE + SCALE * chance.normal(0, 2, (count, COUNT)), np.float64)


def trained(name: str, normalises: bool, steps: int = 256, **options: Any) -> tuple[Any, Any]:
    """A model that has learned a few hundred steps, and its VecNormalize (None without)."""
    import torch
    from sb3_contrib import MaskablePPO
    from stable_baselines3 import A2C, DQN, PPO
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    torch.set_num_threads(1)
    kind: Any = {"PPO": PPO, "A2C": A2C, "DQN": DQN, "MaskablePPO": MaskablePPO, "Box": PPO}[name]
    space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (1,), np.float32) if name == "Box" else spaces.Discrete(4)
    envs: Any = DummyVecEnv([lambda: Levels(space)])
    if normalises:
        envs = VecNormalize(envs)
    own: dict[str, Any] = {
        "PPO": {"n_steps": 128, "n_epochs": 3},
        "Box": {"n_steps": 128, "n_epochs": 3},
        "MaskablePPO": {"n_steps": 128, "n_epochs": 3},
        "A2C": {},
        "DQN": {"learning_starts": 50, "buffer_size": 1000},
    }[name]
    model = kind("MlpPolicy", envs, seed=1, device="cpu", learning_rate=3e-3, **own, **options)
    model.learn(steps)
    with torch.no_grad():
        # A net of a few hundred steps is almost even-handed; larger weights make its answers differ.
        for parameter in model.policy.parameters():
            parameter.mul_(1.5)
    if normalises:
        envs.training = False
        envs.norm_reward = False
    return model, envs if normalises else None
