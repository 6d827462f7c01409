"""One threshold of one user and symbol: what it serves, what it has learned, and how the one follows the other.

    observe()   a resolved decision -> a block when there are enough -> the candidate moves (gate.py), the meta-gate
                judges it against the default (meta_gate.py), the outcomes are watched for a change (Page-Hinkley)
    adapt()     a cycle: what is served goes towards the candidate as far as the meta-gate trusts it (closed: to the
                default), as far as the safeguards let it (safeguards.py)

The candidate moves as the evidence says, in steps however small: it is where they add up. What is served follows it
only by whole cycles. When the meta-gate closes, or the outcomes become worse, one cycle back towards the default is
made at once (it does not wait for the 24 hours, it keeps to all other limits) and the cooldown begins; the rest of the
way follows after it.

All state is in `LearnerState`, which msgspec writes and reads; the same events give the same state and the same
records. Times are event times, ns; `now` never goes back here, whatever comes.
"""

from __future__ import annotations

import hashlib
import math
from typing import Final, Literal

import msgspec

from actors.monitor.drift.page_hinkley import PageHinkleySettings, PageHinkleyState, TwoSided
from actors.thresholds.gate import Evidence, GateSettings, Moments, bandwidth_of, slope, step_of
from actors.thresholds.meta_gate import MetaGate, MetaGateSettings, advantage
from actors.thresholds.outcomes import usable
from actors.thresholds.parameters import Parameter
from actors.thresholds.pooling import Pool, pooled
from actors.thresholds.records import stepped
from actors.thresholds.safeguards import (
    HOUR_NS,
    Limits,
    SafeguardSettings,
    Travelled,
    limited,
    remembered,
    share,
    travel_left,
)
from actors.thresholds.spsa import Slope, Switchback, SwitchbackSettings, probe_of
from protocols.thresholds import MOVES, AdaptationRecord, ReasonCode

MODEL_VERSION: Final = "cga-1"
STALE: Final = "stale_outcomes"
"""The reason under which it freezes itself."""


class LearningSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. `mode` switchback: outcomes of declined signals cannot be observed (paired SPSA instead).

    `drift` None: the outcomes are not watched. Its `delta` and `threshold` are in standard deviations of the outcome:
    with 0.1 and 50 a stream that does not change alarms about once in a million (exp(2 delta threshold) / (2 delta^2)),
    one that falls by half a standard deviation after about 125.
    """

    mode: Literal["counterfactual", "switchback"] = "counterfactual"
    gate: GateSettings = GateSettings()
    meta_gate: MetaGateSettings = MetaGateSettings()
    safeguards: SafeguardSettings = SafeguardSettings()
    switchback: SwitchbackSettings = SwitchbackSettings()
    drift: PageHinkleySettings | None = PageHinkleySettings(delta=0.1, threshold=50.0)

    def __post_init__(self) -> None:
        if (
            self.mode == "switchback"
            and 3 * self.switchback.most + self.safeguards.min_change >= self.safeguards.max_change
        ):
            raise ValueError(
                "switchback.most: expected so little that a cycle may still move: three times it is taken off"
            )


class LearnerState(msgspec.Struct):
    """Everything that survives. `value`, `candidate` in the parameter's unit; scores on the gate axis.

    No decision is lost: `received` = `left_out` (unknown or impossible outcomes) + `n_total`, and `n_total` = `learned`
    (in blocks that are complete) + those in `warming` + those in the block that is open + `set_aside` (what was thrown
    away when the evidence was: another value or another market; and what told nothing).
    """

    value: float
    candidate: float
    initial: float
    version: int = 0
    serial: int = 0
    received: int = 0
    left_out: int = 0
    n_total: int = 0
    learned: int = 0
    set_aside: int = 0
    blocks: int = 0
    warming: list[tuple[float, float]] = []
    score_sd: float = 0.0
    outcome_sd: float = 0.0
    clip_low: float = 0.0
    clip_high: float = 0.0
    slopes: Moments = msgspec.field(default_factory=Moments)
    won: Moments = msgspec.field(default_factory=Moments)
    won_served: Moments = msgspec.field(default_factory=Moments)
    evidence: Evidence = msgspec.field(default_factory=Evidence)
    meta: MetaGate = msgspec.field(default_factory=MetaGate)
    switchback: Switchback = msgspec.field(default_factory=Switchback)
    drift_up: PageHinkleyState = PageHinkleyState()
    drift_down: PageHinkleyState = PageHinkleyState()
    going_home: Literal["", "REVERT_HARM", "REVERT_DRIFT"] = ""
    """Why it goes back to the default; until its own meta-gate opens again, others' evidence does not count."""
    clock: int = 0
    last_outcome: int = 0
    last_move: int | None = None
    cooldown_until: int = 0
    travelled: list[Travelled] = []
    frozen_by: tuple[str, ...] = ()
    window_from: int = 0
    window_to: int = 0


class Learner:
    """The threshold `parameter` of `user` on `symbol`. With a state it goes on from there."""

    __slots__ = (
        "_bandwidth",
        "_default_gate",
        "_drift",
        "_farthest",
        "_score_gate",
        "_served_gate",
        "config_hash",
        "key",
        "parameter",
        "settings",
        "state",
        "symbol",
        "user",
    )

    def __init__(
        self,
        user: str,
        symbol: str,
        parameter: Parameter,
        settings: LearningSettings = LearningSettings(),  # noqa: B008 - frozen
        state: LearnerState | None = None,
    ) -> None:
        self.user, self.symbol, self.parameter, self.settings = user, symbol, parameter, settings
        self.key = f"{user}/{symbol}/{parameter.name}"
        self.config_hash = config_hash(parameter, settings)
        default = parameter.default
        self.state = state if state is not None else LearnerState(default, default, default)
        watched = (self.state.drift_up, self.state.drift_down)
        self._drift = None if settings.drift is None else TwoSided(settings.drift, watched)
        self._default_gate = parameter.gate(default)
        low, high = sorted((parameter.gate(parameter.lower), parameter.gate(parameter.upper)))
        # A score a whole range outside of the bounds is judged alike by every threshold within them: nearer or farther
        # makes no difference, but a few of 10^300 would make all others look alike.
        self._farthest = (low - (high - low), high + (high - low))
        self._place()

    # What is served.

    @property
    def value(self) -> float:
        """The threshold that is served between probes."""
        return self.state.value

    def served(self) -> float:
        """The threshold by which the next signal is judged: in a switchback a little above or below the value."""
        state = self.state
        if self.settings.mode == "counterfactual" or not state.score_sd or self._held():
            return state.value
        return self._probed(state.switchback.side(self.key, self.settings.gate.block))

    def opened(self, now: int) -> AdaptationRecord | None:
        """To be called after a start: a value outside of bounds that the configuration has changed comes within."""
        state, parameter = self.state, self.parameter
        state.clock = max(state.clock, now)
        inside = min(max(state.value, parameter.lower), parameter.upper)
        if inside == state.value and parameter.lower <= state.candidate <= parameter.upper:
            return None
        old, state.value, state.candidate = state.value, inside, inside
        state.version += 1
        self._forget()
        self._place()
        return self._record("reset", old, old, inside, "BOUND", ("bound",))

    # What is learned.

    def observe(
        self, score: float, outcome: float | None, ts: int, now: int, *, acted: bool = True
    ) -> tuple[AdaptationRecord, ...]:
        """Take in one resolved decision, a lesson of `evaluation.lessons`: its score on the gate axis, its return after
        costs (None: unknown, it is left out), when it was resolved. `acted`: whether it was traded; counts in a
        switchback, where the others' outcome is not known. Returns what it made happen.
        """
        state = self.state
        state.clock = max(state.clock, now)
        state.received += 1
        blind = self.settings.mode == "switchback" and not acted
        if not math.isfinite(score) or not (blind or usable(outcome)):
            state.left_out += 1
            return ()
        y = 0.0 if blind or outcome is None else outcome
        score = min(max(score, self._farthest[0]), self._farthest[1])
        state.n_total += 1
        # A time from the future must not make stale data look fresh.
        state.last_outcome = max(state.last_outcome, min(ts, state.clock))
        if not state.window_from or ts < state.window_from:
            state.window_from = ts
        state.window_to = max(state.window_to, ts)
        if not state.score_sd:
            if blind:
                state.set_aside += 1
                return ()
            return self._warm(score, y)
        return self._learn(score, y, blind)

    def adapt(self, now: int, *, force: bool = False, pool: Pool | None = None) -> AdaptationRecord:
        """A cycle: move what is served, if evidence and safeguards let it; the record says which, and why not."""
        self.state.clock = max(self.state.clock, now)
        return self._cycle(force=force, pool=pool, urgent=False)

    def poor(self, now: int) -> int:
        """The performance is poor (known to be: unknown is not poor): the cooldown begins. Returns when it ends."""
        state = self.state
        state.clock = max(state.clock, now)
        self._cool()
        return state.cooldown_until

    def reset(self, now: int) -> AdaptationRecord:
        """By hand: back to the default at once, all evidence forgotten. Cooldown, travel and freezes stay."""
        state = self.state
        state.clock = max(state.clock, now)
        old, default = state.value, self.parameter.default
        state.value = state.candidate = default
        state.version += 1
        state.last_move = state.clock
        state.going_home = ""
        self._forget()
        self._place()
        return self._record("reset", old, default, default, "RESET", ())

    def freeze(self, reason: str) -> None:
        """Nothing is to move until `thaw` of the same reason: a kill switch, an open breaker, a broken experiment."""
        if reason not in self.state.frozen_by:
            self.state.frozen_by = (*self.state.frozen_by, reason)

    def thaw(self, reason: str) -> None:
        """That reason is gone."""
        self.state.frozen_by = tuple(each for each in self.state.frozen_by if each != reason)

    @property
    def frozen_by(self) -> tuple[str, ...]:
        """Why nothing moves now, if anything freezes it."""
        state = self.state
        stale = state.last_outcome and state.clock - state.last_outcome > self.settings.safeguards.stale_h * HOUR_NS
        return (*state.frozen_by, STALE) if stale else state.frozen_by

    # Blocks.

    def _warm(self, score: float, outcome: float) -> tuple[AdaptationRecord, ...]:
        """Collect until the spread of scores and outcomes is known, then learn from all that was collected."""
        state, gate = self.state, self.settings.gate
        state.warming.append((score, outcome))
        if len(state.warming) < gate.warmup:
            return ()
        scores, outcomes = Moments(), Moments()
        for each, came in state.warming:
            scores.add(each)
            outcomes.add(came)
        if not (scores.sd > 0 and outcomes.sd > 0):
            # Nothing varies yet, so there is nothing to measure with: go on with the newer half.
            state.set_aside += gate.warmup // 2
            state.warming = state.warming[gate.warmup // 2 :]
            return ()
        state.score_sd, state.outcome_sd = scores.sd, outcomes.sd
        state.clip_low = outcomes.mean - gate.winsor * outcomes.sd
        state.clip_high = outcomes.mean + gate.winsor * outcomes.sd
        collected, state.warming = state.warming, []
        self._place()
        if self.settings.mode == "switchback":
            # Nothing was probed while these came; they have told the spreads.
            state.set_aside += len(collected)
            return ()
        return tuple(record for each, came in collected for record in self._learn(each, came, False))

    def _learn(self, score: float, outcome: float, blind: bool) -> tuple[AdaptationRecord, ...]:
        state, gate = self.state, self.settings.gate
        if not blind:
            outcome = min(max(outcome, state.clip_low), state.clip_high)
        if self.settings.mode == "switchback":
            found = self._in_pair(outcome, blind)
            done = () if found is None else self._end_block(found, 2 * gate.block)
        else:
            tried, served, default = self._score_gate, self._served_gate, self._default_gate
            state.slopes.add(slope(score, outcome, tried, self._bandwidth))
            state.won.add(advantage(score, outcome, tried, default))
            state.won_served.add(advantage(score, outcome, served, default))
            if state.slopes.n < gate.block:
                done = ()
            else:
                slopes = state.slopes
                done = self._end_block(Slope(slopes.mean, slopes.variance / slopes.n), slopes.n)
        if self._drift is not None and not blind and (score >= self._served_gate or self.settings.mode == "switchback"):
            done += self._watch(outcome)
        return done

    def _in_pair(self, outcome: float, blind: bool) -> Slope | None:
        state, block = self.state, self.settings.gate.block
        if self._held():
            self._drop_pair()
            state.set_aside += 1
            return None
        side = state.switchback.side(self.key, block)
        above, below = (self.parameter.gate(self._probed(each)) for each in (1, -1))
        state.switchback.probe = abs(above - below) / 2
        if not state.switchback.probe:
            state.set_aside += 1
            return None
        return state.switchback.add(0.0 if blind else outcome, side, block)

    def _end_block(self, found: Slope, n: int) -> tuple[AdaptationRecord, ...]:
        """First the meta-gate, by what was fixed before the block; then the step."""
        state, settings = self.state, self.settings
        closed = self._judge(found)
        state.blocks += 1
        state.learned += n
        state.evidence.add(found.mean, found.variance, settings.gate.memory)
        step = step_of(state.evidence.t, settings.gate)
        old = state.candidate
        proposed, applied = stepped(old, step, state.score_sd, self.parameter)
        clipped: tuple[str, ...] = () if proposed == applied else ("bound",)
        if settings.mode == "switchback":
            # The slope is that of what is served: the candidate may not run away from where it was measured.
            near = limited(state.value, applied, self._limits(), math.inf)
            if "max_change" in near.clipped_by:
                applied, clipped = near.applied, (*clipped, "lead")
        code: ReasonCode = "APPLIED" if applied != old else "BOUND" if clipped else "NO_EVIDENCE"
        state.candidate = applied
        records = [self._record("block", old, proposed, applied, code, clipped, step=step, n_block=n)]
        state.slopes, state.won, state.won_served = Moments(), Moments(), Moments()
        self._place()
        if closed and self._away(state.value) and not state.going_home:
            records.append(self._go_home("REVERT_HARM"))
        elif state.meta.open:
            state.going_home = ""
        return tuple(records)

    def _judge(self, found: Slope) -> bool:
        """The meta-gate over the block that ends; whether it has closed for harm."""
        state, settings = self.state, self.settings
        away = self._away(state.value)
        if settings.mode == "counterfactual":
            tried = state.won if self._score_gate != self._default_gate else None
            return state.meta.judge(tried, state.won_served if away else None, settings.meta_gate)
        # What the way from the default has won, to first order; none of it was seen on its own.
        way = (self._score_gate if not away else self._served_gate) - self._default_gate
        if not way:
            return state.meta.judge(None, None, settings.meta_gate)
        moments = Moments(2, found.mean * way, 2 * found.variance * way * way)
        return state.meta.judge(moments, moments if away else None, settings.meta_gate)

    def _watch(self, outcome: float) -> tuple[AdaptationRecord, ...]:
        """Look for a change in the outcomes of what was traded."""
        state = self.state
        assert self._drift is not None
        went = self._drift.update(outcome / state.outcome_sd)
        state.drift_up, state.drift_down = self._drift.states
        if went is None:
            return ()
        if went == "up":
            # Better than before: the slope has to be measured anew, what is served does no harm.
            state.evidence = Evidence()
            return ()
        n, old = state.slopes.n, state.candidate
        self._forget()
        state.candidate = self.parameter.default
        self._place()
        block = self._record("block", old, state.candidate, state.candidate, "REVERT_DRIFT", (), n_block=n)
        return block, self._go_home("REVERT_DRIFT")

    # Cycles.

    def _go_home(self, why: Literal["REVERT_HARM", "REVERT_DRIFT"]) -> AdaptationRecord:
        self.state.going_home = why
        record = self._cycle(force=True, pool=None, urgent=True)
        self._cool()
        return record

    def _cycle(self, *, force: bool, pool: Pool | None, urgent: bool) -> AdaptationRecord:
        state, parameter, safeguards = self.state, self.parameter, self.settings.safeguards
        default = self._default_gate
        own = parameter.gate(state.candidate)
        # Whoever was told that it harms does not lean on others until its own evidence is good again.
        pool = None if state.going_home else pool
        target = pooled(default, own, state.n_total, 0.0 if urgent else state.meta.trust(self.settings.meta_gate), pool)
        if target.theta == default:
            proposed = parameter.default
        elif target.theta == own:
            proposed = state.candidate
        else:
            proposed = parameter.value(target.theta)
        state.travelled = remembered(state.travelled, state.clock)
        left = travel_left(state.travelled, state.clock, safeguards)
        code, until = self._held_back(force)
        old = state.value
        clipped: tuple[str, ...] = ()
        if not code:
            move = limited(old, proposed, self._limits(), left)
            clipped = move.clipped_by
            if move.held:
                nothing = proposed == old
                code = "NO_EVIDENCE" if nothing else move.held
            else:
                code = state.going_home or ("APPLIED" if proposed != parameter.default else "REVERT_HARM")
                self._move(move.applied)
        return self._record(
            "cycle",
            old,
            proposed,
            state.value,
            code,
            clipped,
            travel=left,
            until=until,
            weights=(target.symbol_weight, target.user_weight),
            forced=force and not urgent,
        )

    def _held_back(self, force: bool) -> tuple[ReasonCode | Literal[""], int]:
        """What forbids any move now, and until when."""
        state, safeguards = self.state, self.settings.safeguards
        if self.frozen_by:
            return "FROZEN", 0
        if state.clock < state.cooldown_until:
            return "COOLDOWN", state.cooldown_until
        next_cycle = 0 if state.last_move is None else state.last_move + int(safeguards.cycle_h * HOUR_NS)
        if not force and state.clock < next_cycle:
            return "TOO_SOON", next_cycle
        return "", 0

    def _held(self) -> bool:
        return bool(self.frozen_by) or self.state.clock < self.state.cooldown_until

    def _move(self, applied: float) -> None:
        state = self.state
        state.travelled.append(Travelled(state.clock, share(state.value, applied, self._limits())))
        state.value = applied
        state.version += 1
        state.last_move = state.clock
        self._drop_pair()
        self._place()

    def _cool(self) -> None:
        """Begin the cooldown; one that runs already is not made longer."""
        state = self.state
        if state.clock >= state.cooldown_until:
            state.cooldown_until = state.clock + int(self.settings.safeguards.cooldown_h * HOUR_NS)

    # Small things.

    def _limits(self) -> Limits:
        parameter, safeguards = self.parameter, self.settings.safeguards
        most = safeguards.max_change
        if self.settings.mode == "switchback":
            most -= 3 * self.settings.switchback.most
        return Limits(parameter.lower, parameter.upper, parameter.scale, most, safeguards.min_change)

    def _away(self, value: float) -> bool:
        """Whether a value is further from the default than the least move."""
        off = share(self.parameter.default, value, self._limits())
        return off > 0 and off >= self.settings.safeguards.min_change

    def _probed(self, side: int) -> float:
        """The value of one side of the pair, within the bounds."""
        state, parameter, settings = self.state, self.parameter, self.settings.switchback
        probe = side * probe_of(state.switchback.pair, state.score_sd, settings)
        wanted = parameter.value(parameter.gate(state.value) + probe)
        limits = self._limits()._replace(max_change=settings.most, min_change=0.0)
        return limited(state.value, wanted, limits, math.inf).applied

    def _place(self) -> None:
        """Work out what every decision of the next block needs."""
        state, parameter = self.state, self.parameter
        self._score_gate = parameter.gate(state.candidate)
        self._served_gate = parameter.gate(state.value)
        self._bandwidth = bandwidth_of(state.n_total, self.settings.gate) * state.score_sd

    def _forget(self) -> None:
        """Drop the evidence: all that was said about another value or another market."""
        state = self.state
        state.set_aside += state.slopes.n
        state.slopes, state.won, state.won_served = Moments(), Moments(), Moments()
        state.evidence, state.meta = Evidence(), MetaGate()
        self._drop_pair()

    def _drop_pair(self) -> None:
        """What it was centred on has moved, or nothing may be probed: half a pair tells nothing."""
        pair = self.state.switchback
        self.state.set_aside += pair.above.n + pair.below.n
        pair.begin_anew(pair.pair)

    def _record(
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
        state, settings = self.state, self.settings
        state.serial += 1
        limits = self._limits()
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
            drift=0.0 if self._drift is None else max(self._drift.up.evidence, self._drift.down.evidence),
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
            frozen_by=self.frozen_by,
            until=until,
            forced=forced,
            model_version=MODEL_VERSION,
            config_hash=self.config_hash,
        )


def moved(record: AdaptationRecord) -> bool:
    """Whether the record is of a threshold that is served and now is another."""
    return record.kind != "block" and record.applied != record.old and (record.reason_code in MOVES | {"BOUND"})


def config_hash(parameter: Parameter, settings: LearningSettings) -> str:
    """The first 12 hex digits of the SHA-256 of what it was configured with."""
    return hashlib.sha256(msgspec.json.encode((parameter, settings))).hexdigest()[:12]


def encode(state: LearnerState) -> bytes:
    """The state for storage, exactly: msgpack holds every bit of a float."""
    return msgspec.msgpack.encode(state)


def decode(stored: bytes) -> LearnerState:
    """The state from storage. Raises msgspec.ValidationError for what is none."""
    return msgspec.msgpack.decode(stored, type=LearnerState)
