"""A threshold: whose it is, how it learns, what is known of it; and the record of what happens to it. A core."""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import msgspec

from actors.monitor.drift.page_hinkley import TwoSided
from actors.thresholds.learner_state import LearnerState
from actors.thresholds.parameters import Parameter
from actors.thresholds.safeguards import travel_left
from actors.thresholds.settings import LearningSettings
from protocols.thresholds import AdaptationRecord, ReasonCode

MODEL_VERSION: Final = "cga-1"


class Threshold:
    """The threshold `parameter` of `user` on `symbol`; its candidate and its served value share this.

    `drift` watches its outcomes; None: they are not watched. `default_gate`: the default on the gate axis.
    """

    __slots__ = (
        "config_hash",
        "default_gate",
        "drift",
        "key",
        "limits",
        "parameter",
        "settings",
        "state",
        "symbol",
        "user",
    )

    def __init__(
        self, user: str, symbol: str, parameter: Parameter, settings: LearningSettings, state: LearnerState
    ) -> None:
        self.user, self.symbol, self.parameter, self.settings, self.state = user, symbol, parameter, settings, state
        self.key = f"{user}/{symbol}/{parameter.name}"
        self.config_hash = config_hash(parameter, settings)
        self.limits = settings.limits(parameter)
        self.default_gate = parameter.gate(parameter.default)
        watched = (state.drift_up, state.drift_down)
        self.drift = None if settings.drift is None else TwoSided(settings.drift, watched)

    def record(
        self,
        kind: Literal["block", "cycle", "reset"],
        old: float,
        proposed: float,
        applied: float,
        code: ReasonCode,
        clipped: tuple[str, ...],
        *,
        step: float = 0.0,
        n_block: int = 0,
        travel: float | None = None,
        until: int = 0,
        weights: tuple[float, float] = (0.0, 0.0),
        forced: bool = False,
    ) -> AdaptationRecord:
        """Put down what has just happened, with the state as it is now, under the next number."""
        state, settings, limits = self.state, self.settings, self.limits
        state.serial += 1
        known = state.evidence.variance > 0
        return AdaptationRecord(
            id=f"{self.key}#{state.serial}",
            ts=state.clock,
            user=self.user,
            symbol=self.symbol,
            parameter=self.parameter.name,
            kind=kind,
            version=state.version,
            old=old,
            proposed=proposed,
            applied=applied,
            clipped_by=clipped,
            reason_code=code,
            gradient=state.evidence.mean if known else None,
            se=state.evidence.se if known else None,
            t=state.evidence.t,
            step=step,
            n_block=n_block,
            n_total=state.n_total,
            value_default=self.parameter.default,
            value_candidate=state.candidate,
            gate_open=state.meta.open,
            t_candidate=state.meta.candidate.t,
            t_served=state.meta.served.t,
            drift=0.0 if self.drift is None else max(self.drift.up.evidence, self.drift.down.evidence),
            drift_threshold=0.0 if settings.drift is None else settings.drift.threshold,
            pooled_weight=weights[0],
            user_weight=weights[1],
            window_from=state.window_from,
            window_to=state.window_to,
            lower=limits.lower,
            upper=limits.upper,
            scale=limits.scale,
            comparison=self.parameter.comparison,
            score_sd=state.score_sd,
            max_change=limits.max_change,
            min_change=limits.min_change,
            travel_left=travel_left(state.travelled, state.clock, settings.safeguards) if travel is None else travel,
            frozen_by=state.frozen(settings.safeguards),
            until=until,
            forced=forced,
            model_version=MODEL_VERSION,
            config_hash=self.config_hash,
        )


def config_hash(parameter: Parameter, settings: LearningSettings) -> str:
    """The first 12 hex digits of the SHA-256 of what it was configured with."""
    return hashlib.sha256(msgspec.json.encode((parameter, settings))).hexdigest()[:12]
