"""What is said about adaptive thresholds: asking whether a signal may be traded, the verdict, what moves a threshold.

A rule compares one field of a signal with one threshold. A field that is missing is said to be missing; it never counts
as zero. Texts are made from the fields when somebody reads them. Times are integer nanoseconds, UTC.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.control import Message, Request, Row

ThresholdAction = Literal["BUY", "SELL", "HOLD", "CLOSE_LONG", "CLOSE_SHORT", "CLOSE_ALL"]
EXITS: Final = ("CLOSE_LONG", "CLOSE_SHORT", "CLOSE_ALL")
RuleOutcome = Literal["passed", "failed", "not_applicable", "missing"]
Comparison = Literal["floor", "cap"]
"""`floor`: passed at or above the threshold. `cap`: at or below it."""

ReasonCode = Literal[
    "NO_EVIDENCE",
    "DEADBAND",
    "COOLDOWN",
    "TOO_SOON",
    "TRAVEL",
    "BOUND",
    "APPLIED",
    "REVERT_DRIFT",
    "REVERT_HARM",
    "FROZEN",
    "RESET",
]
"""Why a threshold moved or did not. APPLIED, REVERT_*, RESET: it moved."""
MOVES: Final = frozenset({"APPLIED", "REVERT_DRIFT", "REVERT_HARM", "RESET"})


class GatedSignal(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The fields of a signal that the rules read; None: missing. `volume` in the unit of its threshold."""

    action: ThresholdAction | None = None
    confidence: float | None = None
    rsi: float | None = None
    macd: float | None = None
    change_percent: float | None = None
    volume: float | None = None


class RuleVerdict(msgspec.Struct, frozen=True, gc=False):
    """What one rule says. `value` is what was compared: mirrored or absolute where the rule says so; None: missing.

    `required`: the signal may not be traded while the field is missing.
    """

    parameter: str
    outcome: RuleOutcome
    value: float | None
    threshold: float
    comparison: Comparison
    required: bool

    @property
    def text(self) -> str:
        """In words."""
        if self.outcome == "missing":
            return f"{self.parameter} is missing" + ("" if self.required else ", so its rule is left out")
        if self.outcome == "not_applicable":
            return f"{self.parameter}: does not apply to this action"
        above, below = ("at or above", "below") if self.comparison == "floor" else ("above", "at or below")
        first = self.comparison == "floor"
        words = above if (self.outcome == "passed") == first else below
        kind = "minimum" if first else "maximum"
        return f"{self.parameter} {self.value:.6g} is {words} the {kind} {self.threshold:.6g}"


class Verdict(Message, frozen=True, gc=False, kw_only=True, tag="threshold_verdict"):
    """Whether a signal may be traded, with what every rule says. `versions`: of each threshold, in the rules' order."""

    user_id: str
    symbol: str
    should_trade: bool
    action: ThresholdAction | None
    rules: tuple[RuleVerdict, ...]
    versions: tuple[int, ...] = ()
    signal_id: str = ""
    ts: int = 0
    provisional: bool = False
    """Judged by defaults, because what was stored could not be read in time."""

    @property
    def reasoning(self) -> str:
        """Why, in words: what forbids it, or that nothing does."""
        if self.action == "HOLD":
            return "not traded: a HOLD is no order"
        if self.action in EXITS:
            return "traded: thresholds do not hold back an exit"
        if not self.should_trade:
            refused = [
                rule.text
                for rule in self.rules
                if rule.outcome == "failed" or (rule.outcome == "missing" and rule.required)
            ]
            return "not traded: " + "; ".join(refused)
        said = [rule.text for rule in self.rules if rule.outcome in ("passed", "missing")]
        return "traded: " + "; ".join(said)

    @property
    def thresholds(self) -> tuple[tuple[str, float], ...]:
        """The thresholds that were used, by parameter."""
        return tuple((rule.parameter, rule.threshold) for rule in self.rules)


class EvaluateSignal(Request[Verdict], frozen=True, gc=False, kw_only=True, tag="evaluate_signal"):
    """Asks whether a signal may be traded. Refused `invalid` with the field."""

    user_id: str
    symbol: str
    signal: GatedSignal
    signal_id: str = ""
    ts_event: int = 0


class AdaptationRecord(Message, frozen=True, gc=False, kw_only=True, tag="adaptation_record"):
    """One step of learning, or one cycle of a threshold that is served: all that is needed to explain it and to
    compute it again.

    `kind` block: of the candidate, after a block of resolved decisions; cycle: of the served threshold; reset: by hand.
    `old`, `proposed`, `applied`: of the value of that kind, in the unit of the parameter. `gradient`, `se`, `t`: of the
    smoothed gradient; `t_candidate`: the candidate against the default (t_D), `t_served`: the served value against it.
    None: not known yet. `pooled_weight`: the part of `proposed` that others' decisions have; `user_weight`: the own.
    """

    id: str
    ts: int
    user: str
    symbol: str
    parameter: str
    kind: Literal["block", "cycle", "reset"]
    version: int
    old: float
    proposed: float
    applied: float
    clipped_by: tuple[str, ...]
    reason_code: ReasonCode
    gradient: float | None
    se: float | None
    t: float | None
    step: float
    """What the evidence asks for, in standard deviations of the score, before bounds; 0 for a cycle."""
    n_block: int
    n_total: int
    value_default: float
    value_candidate: float
    gate_open: bool
    t_candidate: float | None
    t_served: float | None
    drift: float
    """Evidence of a change in the outcomes, as a part of what an alarm needs."""
    drift_threshold: float
    pooled_weight: float
    user_weight: float
    window_from: int
    window_to: int
    lower: float
    upper: float
    scale: Literal["linear", "log"]
    comparison: Comparison
    score_sd: float
    max_change: float
    min_change: float
    travel_left: float
    frozen_by: tuple[str, ...]
    until: int
    """When what held it back ends: of COOLDOWN and TOO_SOON; otherwise 0."""
    forced: bool
    model_version: str
    config_hash: str


class EvaluateBatch(Request["Verdicts"], frozen=True, gc=False, kw_only=True, tag="evaluate_signals"):
    """Asks about several signals of one user, at most 1000. Refused `invalid` with the field."""

    user_id: str
    signals: tuple[EvaluateSignal, ...]


class Verdicts(Message, frozen=True, gc=False, tag="threshold_verdicts"):
    """One for each signal, in their order."""

    verdicts: tuple[Verdict, ...]


# Thresholds as they are.


class ThresholdView(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One threshold. `initial`: what it was when the user was first seen. `last_adaptation`: when what is served moved
    last (ns; None: never). `until`: the end of its cooldown (0: none runs). `received`: outcomes it was told;
    `decisions`: those that it could learn from."""

    name: str
    value: float
    default: float
    initial: float
    candidate: float
    lower: float
    upper: float
    version: int
    adaptation_count: int
    last_adaptation: int | None
    frozen_by: tuple[str, ...]
    until: int
    received: int
    decisions: int
    gate_open: bool
    t_candidate: float | None


class ThresholdsView(Message, frozen=True, gc=False, kw_only=True, tag="thresholds_view"):
    """The thresholds of a user on a symbol (empty: those of no symbol in particular), in the rules' order.

    `provisional`: the defaults, because what was stored could not be read yet; `remark` says why.
    """

    user_id: str
    symbol: str
    thresholds: tuple[ThresholdView, ...]
    last_adaptation: int | None
    provisional: bool = False
    remark: str = ""

    @property
    def values(self) -> dict[str, float]:
        """The values that are served, by parameter."""
        return {each.name: each.value for each in self.thresholds}


class GetThresholds(Request[ThresholdsView], frozen=True, gc=False, tag="get_thresholds"):
    """Asks for them; a user whom nobody has seen has the defaults. Refused `invalid`."""

    user_id: str
    symbol: str = ""


class Adapted(Message, frozen=True, gc=False, tag="thresholds_adapted"):
    """One record per parameter that has learned anything, in the rules' order; those whose reason is in MOVES moved."""

    records: tuple[AdaptationRecord, ...]
    at: int


class AdaptThresholds(Request[Adapted], frozen=True, gc=False, tag="adapt_thresholds"):
    """Asks for a cycle now. `force`: without waiting for the 24 hours; cooldowns and freezes hold all the same.

    Refused `invalid`, and `unavailable` while what was stored cannot be read.
    """

    user_id: str
    symbol: str = ""
    force: bool = False


class AdaptedAll(Message, frozen=True, gc=False, kw_only=True, tag="thresholds_adapted_all"):
    """What became of a cycle of everybody. `results`: by `user/symbol`, how many thresholds moved; only where one did.
    `failures`: how many could not be asked, and the first reasons."""

    total_users: int
    total_updates: int
    results: tuple[tuple[str, int], ...]
    failures: int
    reasons: tuple[str, ...]
    began: int
    at: int


class AdaptAll(Request[AdaptedAll], frozen=True, gc=False, tag="adapt_all_thresholds"):
    """Asks for a cycle of everybody who is known; who asks while one runs gets the result of that.

    It takes a while: ask with a long deadline. Refused `unavailable`.
    """

    force: bool = False


class ResetThresholds(Request[ThresholdsView], frozen=True, gc=False, tag="reset_thresholds"):
    """Asks for the defaults again, all evidence forgotten. Refused `invalid`, `unavailable`."""

    user_id: str
    symbol: str = ""


class FreezeThresholds(Request[ThresholdsView], frozen=True, gc=False, kw_only=True, tag="freeze_thresholds"):
    """Nothing of them is to move, for a reason that is named; `thaw`: that reason is gone."""

    user_id: str
    symbol: str = ""
    reason: str
    thaw: bool = False


class Records(Message, frozen=True, gc=False, tag="adaptation_records"):
    """Newest first. `remark`: why there may be more that could not be read; empty: these are all."""

    records: tuple[AdaptationRecord, ...]
    remark: str = ""


class GetRecords(Request[Records], frozen=True, gc=False, kw_only=True, tag="get_adaptation_records"):
    """Asks for what moved, and why. `symbol` None: of all symbols; `user_id` empty: of everybody. `since`: ns, 0: all.

    Refused `invalid`, `unavailable`.
    """

    user_id: str = ""
    symbol: str | None = None
    since: int = 0
    limit: int = 100


class ThresholdStats(Message, frozen=True, gc=False, kw_only=True, tag="threshold_stats"):
    """Since the node (or the roster) started. `users_active`: with an actor of their own now; `users_passive`: known,
    and without. `evaluations`: `answered_provisionally` of them by defaults. `adaptations`: cycles asked for, `moves`
    thresholds that moved in them. `cache_*`: of what evaluation needs. `redis`: `off`, `up`, or why it is down."""

    since: int
    users_active: int
    users_passive: int
    evaluations: int
    approved: int
    answered_provisionally: int
    outcomes: int
    adaptations: int
    moves: int
    failures: int
    started: int
    passivated: int
    cache_entries: int
    cache_hits: int
    cache_misses: int
    redis: str
    redis_hits: int
    redis_failures: int
    states_waiting: int
    """States that the log holds and the database does not yet."""
    adapting: bool
    last_adapt_all: int | None


class GetThresholdStats(Request[ThresholdStats], frozen=True, gc=False, tag="get_threshold_stats"):
    """Asks the roster."""


# What they learn from.


class Learned(Message, frozen=True, gc=False, tag="threshold_lesson_taken"):
    """The outcome is accepted: it survives a kill. `new` False: it had been before. `records`: what it has moved."""

    new: bool
    records: tuple[AdaptationRecord, ...] = ()


class OutcomeResolved(Request[Learned], frozen=True, gc=False, kw_only=True, tag="threshold_outcome_resolved"):
    """From the keeper of outcomes: what a signal that was evaluated has come to. To be asked again until answered.

    `seq`: above 0, and rising for each user in the order in which it is told; one that is not above the last is known
    already. `verdict`: what was said of the signal at the time; None: it is judged now. `outcome`: return after costs
    as a share, None: unknown. `acted`: whether it was traded. `ts`: when it was resolved.
    Refused `invalid`, and `unavailable` while what was stored cannot be read.
    """

    user_id: str
    symbol: str
    seq: int
    signal_id: str
    signal: GatedSignal
    outcome: float | None
    ts: int
    acted: bool
    verdict: Verdict | None = None
    source: str = ""


class PoorPerformance(Request[Learned], frozen=True, gc=False, kw_only=True, tag="threshold_poor_performance"):
    """From the keeper of outcomes: the user's performance is known to be poor (unknown is not): the cooldown begins.

    Refused as `OutcomeResolved`.
    """

    user_id: str
    symbol: str
    ts: int
    reason: str = ""


class ThresholdMoved(Message, frozen=True, gc=False, tag="threshold_moved"):
    """Topic, by user: a threshold that is served is another now; the record is in the log."""

    record: AdaptationRecord

    def topic_key(self) -> str:
        """The user."""
        return self.record.user


class SignalEvaluated(Message, frozen=True, gc=False, tag="threshold_signal_evaluated"):
    """Topic, by user: a verdict was given, and on what."""

    signal: GatedSignal
    verdict: Verdict
    ts_event: int = 0

    def topic_key(self) -> str:
        """The user."""
        return self.verdict.user_id


# What is stored.

CHANGES: Final = "thresholds"
"""The stream of both kinds of rows: one numbering of all that has become of thresholds."""


class ThresholdStateRow(Row, frozen=True, gc=False, kw_only=True, tag="threshold_state_row"):
    """The thresholds of a user on a symbol after a change: `state` whole, for the learners (`threshold_states`).

    What people read of it is in `thresholds` (JSON, by parameter), which becomes rows of `adaptive_thresholds`, and in
    `records` (JSON, the records of this change), which become rows of `adaptation_events`. `outcome_seq`: the last
    outcome that it has learned from.
    """

    table = "threshold_states"
    sequenced = True

    stream: str
    seq: int
    ts: int
    user_id: str
    symbol: str
    outcome_seq: int
    why: str
    state: bytes
    thresholds: msgspec.Raw
    records: msgspec.Raw


class ThresholdLessonRow(Row, frozen=True, gc=False, kw_only=True, tag="threshold_lesson_row"):
    """An outcome that was learned from and moved nothing (`threshold_lessons`). Learned again on top of the last state,
    it gives the same state. `lesson`: msgpack, with all that the learners were told."""

    table = "threshold_lessons"
    sequenced = True

    stream: str
    seq: int
    ts: int
    user_id: str
    symbol: str
    outcome_seq: int
    signal_id: str
    lesson: bytes
