"""`Troupe/Trading-v0`: an agent trades one market, over the same execution core as backtests and paper accounts.

    env = gymnasium.make("actors.agents.environment.registration:Troupe/Trading-v0", scenario="bull")

One step is one bar: the action becomes an order that is judged, delayed and matched as any other; then the market plays
the next bar, and the agent sees the features at its end. The reward is the change of the equity, costs paid and marked
at the exit side (other rewards: `rewards`). Ruin and settlement terminate an episode, the end of its data truncates it.
Features are made from the track's first bar on, so an episode that begins later is warmed by earlier data alone; an
episode stays in one track, and a track has no gap.

The same seed and the same actions give the same episode to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import gymnasium
import numpy as np
from numpy.typing import NDArray

from actors.agents.environment.account import EpisodeAccount, TradingSettings
from actors.agents.environment.actions import ACTIONS, SIMPLE, ActionSet
from actors.agents.environment.market import Scenario, SimulatedBars, simulated_tracks
from actors.agents.environment.observation import (
    CLIP,
    FEATURES,
    OWN,
    Masking,
    Normaliser,
    Prepared,
    ever_known,
    fitted,
    hidden,
    observed,
    own_state,
    prepared,
)
from actors.agents.environment.rewards import Outcome, Reward, RewardName, clipped, reward_of

WARM_UP: Final = 64
"""Bars before the first decision: more than the slowest feature of bars wants, 34."""
SHORTEST: Final = 16
"""Steps that an episode has at least before it."""
MOST_STEPS: Final = 1000
ALL_IN: Final = SIMPLE[2]
DEFAULT_SEEDS: Final = (1, 2, 3, 4)

Obs = NDArray[np.float32]


class TradingEnv(gymnasium.Env[Obs, np.int64]):
    """The environment. `metadata` is gymnasium's; there is nothing to draw."""

    metadata = {"render_modes": []}  # noqa: RUF012 - gymnasium declares it so

    def __init__(
        self,
        tracks: Sequence[Prepared] = (),
        *,
        scenario: Scenario = "mixed",
        actions: ActionSet = "simple",
        reward: RewardName = "simple_return",
        normaliser: Normaliser | None = None,
        masking: Masking | None = None,
        with_position: bool = False,
        begin_long: float = 0.0,
        trading: TradingSettings | None = None,
        warm_up: int = WARM_UP,
        most_steps: int = MOST_STEPS,
        render_mode: str | None = None,
    ) -> None:
        """`tracks`: to play over; none: four simulated ones of `scenario`. `normaliser`: None: of these tracks.
        `begin_long`: the chance that an episode begins with all the money in the market, bought one bar before: whoever
        always begins flat never learns that SELL is not HOLD.

        Raises ValueError for a track that is too short for one episode, and for unknown names.
        """
        if render_mode is not None:
            raise ValueError(f"render_mode: there is nothing to draw, got {render_mode!r}")
        if actions not in ACTIONS:
            raise ValueError(f"actions: expected one of {', '.join(ACTIONS)}, got {actions!r}")
        if warm_up < 1 or most_steps < 1:
            raise ValueError(f"warm_up, most_steps: expected 1 or more, got {warm_up}, {most_steps}")
        if not 0 <= begin_long <= 1:
            raise ValueError(f"begin_long: expected a share from 0 to 1, got {begin_long}")
        reward_of(reward)
        self.render_mode = render_mode
        self.tracks = tuple(tracks) or _simulated(scenario)
        for each in self.tracks:
            if len(each.track) < warm_up + SHORTEST + 1:
                least, got = warm_up + SHORTEST + 1, f"{len(each.track)} of {each.track.name}"
                raise ValueError(f"tracks: expected {least} bars or more, got {got}")
        self.meanings = ACTIONS[actions]
        self.normaliser = normaliser or fitted(self.tracks)
        self._scaled = [self.normaliser(each.features) for each in self.tracks]
        self._known = [ever_known([each]) for each in self.tracks]
        self._reward_name: RewardName = reward
        self._masking = masking or Masking()
        self._with_position = with_position
        self._begin_long = begin_long
        self._trading = trading or TradingSettings()
        self._warm_up = warm_up
        self._most_steps = most_steps
        self.action_space = gymnasium.spaces.Discrete(len(self.meanings))
        size = 2 * len(FEATURES) + (len(OWN) if with_position else 0)
        self.observation_space = gymnasium.spaces.Box(-CLIP, CLIP, (size,), np.float32)
        self.account: EpisodeAccount | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        """Begin an episode somewhere in a track. `options`: `track` and `start` (a bar) choose it.

        Raises ValueError for a place that is none.
        """
        super().reset(seed=seed)
        chosen = dict(options or {})
        number = chosen.pop("track", None)
        start = chosen.pop("start", None)
        if chosen:
            raise ValueError(f"options: expected track and start, got {', '.join(map(str, chosen))}")
        number = int(self.np_random.integers(len(self.tracks))) if number is None else number
        if number not in range(len(self.tracks)):
            raise ValueError(f"track: expected 0 to {len(self.tracks) - 1}, got {number}")
        track = self.tracks[number].track
        last = len(track) - 1 - SHORTEST
        start = int(self.np_random.integers(self._warm_up, last + 1)) if start is None else start
        if not self._warm_up <= start < len(track) - 1:
            raise ValueError(f"start: expected {self._warm_up} to {len(track) - 2}, got {start}")
        self._number = number
        self._hides = hidden(self._masking, self._known[number], self.np_random)
        begins_long = self.np_random.random() < self._begin_long
        own_seed = int(self.np_random.integers(2**31))
        self.account = EpisodeAccount(self._trading, track, start - begins_long, own_seed)
        if begins_long:
            self.account.act(ALL_IN)
            self.account.advance()
        self._reward: Reward = reward_of(self._reward_name)
        self._equity = self._peak = self._begun = self.account.equity
        self._steps = 0
        return self._observe(), self._told(self.account)

    def step(self, action: Any) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        """Order what the action means, and play the next bar. Raises RuntimeError before the first `reset`."""
        account = self.account
        if account is None:
            raise RuntimeError("step: reset comes first")
        if not self.action_space.contains(np.int64(action)):
            raise ValueError(f"action: expected 0 to {len(self.meanings) - 1}, got {action!r}")
        orders, fees = account.orders, account.fees
        account.act(self.meanings[int(action)])
        account.advance()
        self._steps += 1
        before, self._equity = self._equity, account.equity
        self._peak = max(self._peak, self._equity)
        outcome = Outcome(before, self._equity, account.fees - fees, account.orders > orders)
        reward = clipped(self._reward(outcome))
        ruined = self._equity <= self._begun * (1 - self._trading.ruin) or self._equity <= self._peak * (
            1 - self._trading.most_drawdown
        )
        terminated = account.settled or ruined
        ended = account.place >= len(account.track) - 1 or self._steps >= self._most_steps
        return self._observe(), reward, terminated, ended and not terminated, self._told(account)

    def action_masks(self) -> NDArray[np.bool_]:
        """Which actions would do what they say now: for learners that take masks (MaskablePPO)."""
        if self.account is None:
            raise RuntimeError("action_masks: reset comes first")
        return np.array([self.account.possible(each) for each in self.meanings], dtype=np.bool_)

    def _observe(self) -> Obs:
        account = self.account
        assert account is not None
        seen = observed(self._scaled[self._number][account.place], self._hides)
        return np.concatenate([seen, own_state(account)]) if self._with_position else seen

    def _told(self, account: EpisodeAccount) -> dict[str, Any]:
        return {
            "equity": self._equity,
            "exposure": account.exposure,
            "fees": account.fees,
            "orders": account.orders,
            "fills": account.fills,
            "track": self._number,
            "place": account.place,
            "ts": account.now,
            "regime": account.track.regime(account.place),
        }


def _simulated(scenario: Scenario) -> tuple[Prepared, ...]:
    return tuple(prepared(track) for track in simulated_tracks(SimulatedBars(scenario=scenario), DEFAULT_SEEDS))
