"""The value of a threshold that is served: it moves by whole cycles, as far as the safeguards let it. A core.

A cycle goes towards the candidate as far as the meta-gate trusts it (closed: to the default), and towards what others
have shown where there is a pool. Home, to the default, it goes at once: one cycle does not wait for the 24 hours but
keeps to all other limits, the cooldown begins, and the rest of the way follows after it.
"""

from __future__ import annotations

import math
from typing import Literal

from actors.thresholds.pooling import Pool, pooled
from actors.thresholds.safeguards import HOUR_NS, Travelled, limited, remembered, share, travel_left
from actors.thresholds.spsa import probe_of
from actors.thresholds.threshold import Threshold
from protocols.thresholds import AdaptationRecord, ReasonCode


class ServedValue:
    """What is served of a threshold. Whoever has made it move places the candidate anew."""

    __slots__ = ("_parameter", "_settings", "_state", "_threshold")

    def __init__(self, threshold: Threshold) -> None:
        self._threshold = threshold
        self._parameter, self._settings, self._state = threshold.parameter, threshold.settings, threshold.state

    # Now.

    def current(self) -> float:
        """The threshold by which the next signal is judged: in a switchback a little above or below the value."""
        settings, state = self._settings, self._state
        if settings.mode == "counterfactual" or not state.score_sd or self.held:
            return state.value
        return self.probed(state.switchback.side(self._threshold.key, settings.gate.block))

    def probed(self, side: int) -> float:
        """The value of one side of the pair, within the bounds."""
        state, parameter, settings = self._state, self._parameter, self._settings.switchback
        probe = side * probe_of(state.switchback.pair, state.score_sd, settings)
        wanted = parameter.value(parameter.gate(state.value) + probe)
        limits = self._threshold.limits._replace(max_change=settings.most, min_change=0.0)
        return limited(state.value, wanted, limits, math.inf).applied

    @property
    def held(self) -> bool:
        """Whether nothing may move, forced or not: frozen, or in a cooldown."""
        state = self._state
        return bool(state.frozen(self._settings.safeguards)) or state.clock < state.cooldown_until

    @property
    def away(self) -> bool:
        """Whether it is further from the default than the least move."""
        limits = self._threshold.limits
        off = share(self._parameter.default, self._state.value, limits)
        return off > 0 and off >= limits.min_change

    # Moves.

    def cycle(self, *, force: bool, pool: Pool | None) -> AdaptationRecord:
        """Move towards candidate and pool, if anything lets it; the record says how far, or why not."""
        state, parameter = self._state, self._parameter
        default, own = self._threshold.default_gate, parameter.gate(state.candidate)
        # Whoever was told that it harms does not lean on others until its own evidence is good again.
        pool = None if state.going_home else pool
        target = pooled(default, own, state.n_total, state.meta.trust(self._settings.meta_gate), pool)
        if target.theta == default:
            proposed = parameter.default
        elif target.theta == own:
            proposed = state.candidate
        else:
            proposed = parameter.value(target.theta)
        weights = (target.symbol_weight, target.user_weight)
        return self._towards(proposed, weights=weights, at_once=force, forced=force)

    def go_home(self, why: Literal["REVERT_HARM", "REVERT_DRIFT"]) -> AdaptationRecord:
        """Turn back to the default: one cycle at once, then the cooldown."""
        self._state.going_home = why
        record = self._towards(self._parameter.default, weights=(0.0, 0.0), at_once=True, forced=False)
        self.cool()
        return record

    def cool(self) -> None:
        """Begin the cooldown; one that runs already is not made longer."""
        state = self._state
        if state.clock >= state.cooldown_until:
            state.cooldown_until = state.clock + int(self._settings.safeguards.cooldown_h * HOUR_NS)

    def _towards(
        self, proposed: float, *, weights: tuple[float, float], at_once: bool, forced: bool
    ) -> AdaptationRecord:
        state = self._state
        state.travelled = remembered(state.travelled, state.clock)
        left = travel_left(state.travelled, state.clock, self._settings.safeguards)
        code, until = self._held_back(at_once)
        old = state.value
        clipped: tuple[str, ...] = ()
        if not code:
            move = limited(old, proposed, self._threshold.limits, left)
            clipped = move.clipped_by
            if move.held:
                code = "NO_EVIDENCE" if proposed == old else move.held
            else:
                code = state.going_home or ("APPLIED" if proposed != self._parameter.default else "REVERT_HARM")
                self._move(move.applied)
        return self._threshold.record(
            "cycle",
            old,
            proposed,
            state.value,
            code,
            clipped,
            travel=left,
            until=until,
            weights=weights,
            forced=forced,
        )

    def _held_back(self, at_once: bool) -> tuple[ReasonCode | Literal[""], int]:
        """What forbids any move now, and until when."""
        state, safeguards = self._state, self._settings.safeguards
        if state.frozen(safeguards):
            return "FROZEN", 0
        if state.clock < state.cooldown_until:
            return "COOLDOWN", state.cooldown_until
        next_cycle = 0 if state.last_move is None else state.last_move + int(safeguards.cycle_h * HOUR_NS)
        if not at_once and state.clock < next_cycle:
            return "TOO_SOON", next_cycle
        return "", 0

    def _move(self, applied: float) -> None:
        state = self._state
        state.travelled.append(Travelled(state.clock, share(state.value, applied, self._threshold.limits)))
        state.value = applied
        state.version += 1
        state.last_move = state.clock
        state.drop_pair()
