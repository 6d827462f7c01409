"""What is said about staged rollouts: how a treatment is let in step by step, its guardrails, where it stands.

A rollout is a phase of its test at a 50/50 split. A rollback changes what serves, never who was assigned.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from protocols.control import Message, Request, Row
from protocols.experiments import DEFAULT_TEST, AbTestStatus

RolloutState = Literal[
    "running", "unhealthy", "guardrails_failing", "ready", "no_data", "reverted", "released", "paused", "held"
]


class GuardPlan(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """What may not get worse, and by how much (`…_margin`: treatment minus control, per request or per user-day).

    Statistics: one-sided and valid at every look, the alpha shared by Holm. `hard_…`: acts at once, without statistics,
    on what the treatment does alone. Ratios are shares; losses and drawdowns are of a user's summed outcomes, the
    returns of the decisions.
    """

    alpha: float = 0.05
    tuned_for: float = 500.0
    min_units: int = 10
    timeout_margin: float = 0.02
    fallback_margin: float = 0.05
    reject_margin: float = 0.02
    slow_margin: float = 0.02
    drawdown_margin: float = 0.01
    loss_margin: float = 0.002
    hard_requests: int = 50
    """So many requests of the treatment, before which a ratio or a p99 is no hard limit."""
    hard_timeout_ratio: float = 0.5
    hard_fallback_ratio: float = 0.8
    hard_p99_ms: float = 5_000.0
    hard_user_loss: float = 0.2
    hard_day_loss: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha: expected a number within 0 to 0.5, got {self.alpha}")
        if self.tuned_for < 10 or self.min_units < 2:
            raise ValueError(
                f"tuned_for, min_units: expected 10 and 2 or more, got {self.tuned_for} and {self.min_units}"
            )
        for name in self.__struct_fields__:
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)}")


class GuardReport(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One guardrail. `bound`: the lower end of how much worse the treatment is; above `margin` it is failing.

    None: too few units, or nothing measured.
    """

    name: str
    control: float | None
    treatment: float | None
    margin: float
    bound: float | None
    p: float | None
    failing: bool


class RolloutLook(Message, frozen=True, gc=False, kw_only=True, tag="rollout_look"):
    """What a rollout goes by. `hard`: which hard limit was passed, in words; empty: none."""

    name: str
    version: int
    coverage: float
    enabled: bool
    reverted: bool
    released: bool
    control_units: int
    treatment_units: int
    flagged: int
    srm_p: float | None
    guards: tuple[GuardReport, ...]
    hard: str
    ts: int


class LookAtTest(Request[RolloutLook], frozen=True, gc=False, kw_only=True, tag="look_at_test"):
    """Asks the keeper of experiments how the newest phase does by these guardrails."""

    name: str
    guards: GuardPlan


class StageTest(Request[AbTestStatus], frozen=True, gc=False, kw_only=True, tag="stage_test"):
    """From a rollout to the keeper: begin a phase at a 50/50 split, or change what serves in `version`.

    None: as it is. `begin`: a new phase with a new salt. `reverted`: what serves instead of every arm. Refused
    `conflict` when the plan is of another version, `invalid` for less coverage.
    """

    name: str
    why: str
    version: int = 0
    begin: bool = False
    coverage: float | None = None
    reverted: str | None = None
    released: str | None = None
    over: bool = False
    """The rollout has ended: people may configure the test again."""


class RolloutPlan(msgspec.Struct, frozen=True, gc=False, kw_only=True, forbid_unknown_fields=True):
    """How a treatment is let in. `steps`: shares of the users that take part, half of them in each arm.

    A step takes at least `step_s` and `step_units` new units of each arm, and as many in all as guardrails need
    (`guards.min_units`): nothing is raised before harm could be seen. `no_data_s` without new units: `no_data`.
    `release`: after the last step everybody gets the treatment; False: it waits in `ready` for somebody to say so.
    `revert`: a failing guardrail rolls back by itself; False: it stays in `guardrails_failing`.
    """

    steps: tuple[float, ...] = (0.01, 0.05, 0.10, 0.25, 0.50, 1.0)
    step_s: float = 86_400.0
    step_units: int = 50
    look_s: float = 10.0
    no_data_s: float = 86_400.0
    flagged_share: float = 0.01
    """More units than this share in two arms: the rollout is held."""
    release: bool = True
    revert: bool = True
    guards: GuardPlan = GuardPlan()

    def __post_init__(self) -> None:
        if (
            not self.steps
            or any(not 0 < each <= 1 for each in self.steps)
            or list(self.steps) != sorted(set(self.steps))
        ):
            raise ValueError(f"steps: expected rising shares above 0 up to 1, got {list(self.steps)}")
        if self.step_s < 0 or self.step_units < 0 or self.no_data_s <= 0 or not 0 <= self.flagged_share <= 1:
            raise ValueError(
                "step_s, step_units, no_data_s, flagged_share: expected 0 or more, no_data_s above 0, the share up "
                f"to 1, got {self.step_s}, {self.step_units}, {self.no_data_s}, {self.flagged_share}"
            )
        if not 0.01 <= self.look_s <= 3600:
            raise ValueError(f"look_s: expected 0.01 to 3600, got {self.look_s}")


class RolloutView(Message, frozen=True, gc=False, kw_only=True, tag="rollout_view"):
    """A rollout as it stands. `units`: of the arm that has fewer, when the step began. Times in ns, 0: not yet."""

    name: str
    state: RolloutState
    why: str
    step: int
    coverage: float
    version: int
    plan: RolloutPlan
    ts_started: int
    ts_step: int
    ts_growth: int
    """When a unit was last seen for the first time."""
    ts_ended: int
    units: int
    seen: int
    """Units of both arms at the last look."""
    ts_look: int = 0
    """When it was last looked at."""
    guards: tuple[GuardReport, ...] = ()
    aborting: str = ""
    """Why somebody wants it rolled back, while that is not done; empty: nobody does."""
    history: tuple[tuple[int, str, str], ...] = ()
    """(when, state, why), the oldest first."""


class StartRollout(Request[RolloutView], frozen=True, gc=False, kw_only=True, tag="start_rollout"):
    """Begin a rollout of a test's treatment. `plan` None: the configured one. Refused `conflict` while one runs."""

    name: str = DEFAULT_TEST
    plan: RolloutPlan | None = None


class SwitchRollout(Request[RolloutView], frozen=True, gc=False, kw_only=True, tag="switch_rollout"):
    """Pause, resume or abort a rollout; `release` the treatment to all from `ready`. Aborting rolls back.

    Refused `not_found`, `conflict` with what it is doing.
    """

    name: str
    to: Literal["pause", "resume", "abort", "release"]
    reason: str = ""


class RolloutChanged(Message, frozen=True, gc=False, tag="rollout_changed"):
    """Topic, by test: a rollout is in another state or at another step; it is in the log."""

    rollout: RolloutView

    def topic_key(self) -> str:
        """The test."""
        return self.rollout.name


class RolloutList(Message, frozen=True, gc=False, tag="rollout_list"):
    """All rollouts, by name."""

    rollouts: tuple[RolloutView, ...]


class ListRollouts(Request[RolloutList], frozen=True, gc=False, tag="list_rollouts"):
    """Asks for all rollouts."""


class RolloutRow(Row, frozen=True, gc=False, kw_only=True, tag="rollout_row"):
    """One state of a rollout (`ab_rollouts`); the newest of a name counts. `view`: RolloutView as JSON."""

    table = "ab_rollouts"
    sequenced = True

    stream: str
    seq: int
    ts: int
    test_name: str
    version: int
    state: str
    step: int
    coverage: float
    why: str
    view: msgspec.Raw
