"""Learning itself: stable-baselines3 over environments, told how far it is, stopped when it is asked to.

The heavy libraries are imported inside: whoever only names a training does not pay for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from actors.agents.environment.account import TradingSettings
from actors.agents.environment.observation import Normaliser, Prepared
from actors.agents.training.plan import TrainingPlan
from actors.execution.matching.settings import FeeSettings, FillSettings

PROGRESS_EVERY = 4096
"""Steps between two words of progress."""


class Progress(msgspec.Struct, frozen=True):
    """How far a training is. `reward`: the mean of the last episodes' sums; None: none has ended yet."""

    steps: int
    total: int
    reward: float | None


class Cancelled(Exception):
    """The training was asked to stop; what it had learned is in its last checkpoint, if it was told where."""


def learn(
    plan: TrainingPlan,
    tracks: Sequence[Prepared],
    normaliser: Normaliser,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    checkpoints: Path | None = None,
) -> Any:
    """A trained stable-baselines3 model. One thread; equal arguments give equal weights on one machine.

    `checkpoints`: a folder for `last.zip`, written with every word of progress and when it is cancelled. Raises
    Cancelled; ValueError for hyperparameters that the algorithm does not know.
    """
    import torch
    from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

    from actors.agents.environment.trading import TradingEnv
    from actors.agents.training.callbacks import Watch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:

        def side_by_side(tracks: Sequence[Prepared], trading: TradingSettings) -> Any:
            def one() -> TradingEnv:
                return TradingEnv(
                    tracks,
                    actions=plan.actions,
                    reward=plan.reward,
                    normaliser=normaliser,
                    masking=plan.masking,
                    trading=trading,
                    begin_long=plan.begin_long,
                )

            envs = VecMonitor(DummyVecEnv([one for _ in range(1 if plan.algorithm == "dqn" else plan.envs)]))
            envs.seed(plan.seed)
            return envs

        watch = Watch(plan.timesteps, on_progress, cancelled, checkpoints, PROGRESS_EVERY)
        free = round(plan.timesteps * plan.free_share)
        first = side_by_side(*without_costs(tracks, plan.trading)) if free else side_by_side(tracks, plan.trading)
        try:
            model = _algorithm(plan)("MlpPolicy", first, seed=plan.seed, device="cpu", **_arguments(plan))
        except TypeError as error:
            raise ValueError(f"hyperparameters: {error}") from None
        if free:
            model.learn(free, callback=watch)
            model.set_env(side_by_side(tracks, plan.trading))
        if not watch.stopped:
            model.learn(plan.timesteps - free, callback=watch, reset_num_timesteps=not free)
        if watch.stopped:
            raise Cancelled
        return model
    finally:
        torch.set_num_threads(threads)


def without_costs(tracks: Sequence[Prepared], trading: TradingSettings) -> tuple[list[Prepared], TradingSettings]:
    """The same tracks with prices that everybody trades at, half way between the best ones, and without fees."""
    free = [
        msgspec.structs.replace(each, track=msgspec.structs.replace(each.track, quotes=()))
        if each.track.quotes
        else each
        for each in tracks
    ]
    return free, msgspec.structs.replace(trading, fills=FillSettings(fees=FeeSettings(model="none")))


def _arguments(plan: TrainingPlan) -> dict[str, Any]:
    import torch

    net: Any = list(plan.net)
    if plan.algorithm != "dqn":
        net = {"pi": list(plan.net), "vf": list(plan.net)}
    return {**plan.learner(), "policy_kwargs": {"net_arch": net, "activation_fn": torch.nn.Tanh}, "verbose": 0}


def _algorithm(plan: TrainingPlan) -> Any:
    if plan.algorithm == "maskable_ppo":
        from sb3_contrib import MaskablePPO

        return MaskablePPO
    import stable_baselines3

    return {"ppo": stable_baselines3.PPO, "a2c": stable_baselines3.A2C, "dqn": stable_baselines3.DQN}[plan.algorithm]


def disconnect(model: Any, known: Sequence[bool]) -> None:
    """Cut the inputs that no training step ever saw: their weights are still the dice's, and a caller who gives such a
    feature would be answered at random. `known`: of the features, in order; both value and mask bit are cut."""
    import torch

    unseen = [place for place, is_known in enumerate(known) if not is_known]
    columns = [*unseen, *(len(known) + place for place in unseen)]
    with torch.no_grad():
        for module in _first_layers(model):
            module.weight[:, columns] = 0.0


def _first_layers(model: Any) -> list[Any]:
    """The layers that take observations. Raises ValueError where there are none of that size."""
    import torch

    size = model.observation_space.shape[0]
    found = [
        module
        for module in model.policy.modules()
        if isinstance(module, torch.nn.Linear) and module.in_features == size
    ]
    if not found:
        raise ValueError(f"model: expected a first layer with {size} inputs")
    return found
