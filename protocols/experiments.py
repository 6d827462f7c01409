"""What is said about A/B tests: their plans, exposures, outcomes, reports, staged rollouts.

The unit of assignment is the user (or, in a switchback, a symbol and a block of time); the unit of analysis is the
user-day. A plan has a `version` (its phase): another split or salt is a new phase, and nothing is added up over phases.
A rollback changes what serves, never who was assigned.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from protocols.control import Message, Request, Row

CONTROL: Final = "control"
TREATMENT: Final = "treatment"
DEFAULT_TEST: Final = "default_rl_test"

UNIT_SEPARATOR: Final = "@"
"""Between the symbol and the number of the block in the unit of a switchback."""


class ArmPlan(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One arm. `serves`: a model's name or `rule`. `shadow`: it scores every request of the test and answers none."""

    name: str
    serves: str
    weight: float = 1.0
    shadow: bool = False


class AnalysisPlan(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What is registered before the first unit, and is the same for all of a phase.

    `metric`: what of a user-day is compared: `outcomes`, the returns of decisions, or `equity`, the change of the
    equity of the user's accounts on this node. `winsor_low`, `winsor_high`: a user-day beyond them counts as if it
    were there. `tuned_for`: N* of the confidence sequence, the units of both arms at which it is tightest. `alpha`: of
    every claim. `min_units`: of each arm, before which nothing is claimed. `slow_ns`: a decision that takes longer is
    a slow one.
    """

    metric: Literal["outcomes", "equity"] = "outcomes"
    winsor_low: float = -0.2
    winsor_high: float = 0.2
    tuned_for: float = 5000.0
    alpha: float = 0.05
    min_units: int = 100
    slow_ns: int = 100_000_000

    def __post_init__(self) -> None:
        if not self.winsor_low < self.winsor_high:
            raise ValueError(
                f"winsor_low: expected a number below winsor_high ({self.winsor_high}), got {self.winsor_low}"
            )
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha: expected a number within 0 to 0.5, got {self.alpha}")
        if self.tuned_for < 10 or self.min_units < 2:
            raise ValueError(
                f"tuned_for, min_units: expected 10 and 2 or more, got {self.tuned_for} and {self.min_units}"
            )


class ExperimentPlan(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An experiment as the decision server assigns by it.

    `namespace`: experiments with the same one exclude each other, each enrolling the users whose point in it is in
    [`from_point`, `to_point`). `released`: everybody gets this arm's service. `reverted`: what serves instead of every
    arm (a rollback); assignments go on. `block_s` above 0: a switchback, whose unit is the symbol and the block of
    time, with the first `burn_in_s` of each block not counted.
    """

    name: str
    version: int
    salt: str
    arms: tuple[ArmPlan, ...]
    coverage: float = 1.0
    enabled: bool = True
    default: str = CONTROL
    namespace: str = ""
    from_point: float = 0.0
    to_point: float = 1.0
    block_s: float = 0.0
    burn_in_s: float = 0.0
    released: str = ""
    reverted: str = ""
    analysis: AnalysisPlan = AnalysisPlan()


class UsePlans(Request[None], frozen=True, gc=False, tag="use_plans"):
    """From the keeper of experiments to the server: assign by these from the next message on. `sticky`: (experiment,
    version, unit, arm) of those who were assigned before and would not be so by the plan alone."""

    plans: tuple[ExperimentPlan, ...]
    sticky: tuple[tuple[str, int, str, str], ...] = ()


class Assignment(msgspec.Struct, frozen=True, gc=False):
    """What a unit gets. `serves` is what serves now; `enrolled`: it takes part, and an exposure is to be logged."""

    experiment: str
    version: int
    unit: str
    arm: str
    serves: str
    enrolled: bool
    shadows: tuple[ArmPlan, ...] = ()


class GetPlans(Request[UsePlans], frozen=True, gc=False, tag="get_plans"):
    """Asks the keeper of experiments for the plans; the server does after its own start."""


class ConfigureTest(Request["AbTestStatus"], frozen=True, gc=False, kw_only=True, tag="configure_test"):
    """Change a test. Another `rl_traffic_percentage` is another split, another `control` another comparison: a new
    salt and a new phase."""

    name: str = DEFAULT_TEST
    enabled: bool | None = None
    rl_traffic_percentage: float | None = None
    coverage: float | None = None
    control: str | None = None
    """What serves the control arm from now on: a model's name, `rule` or `thresholds`. Another one is a new phase."""


class AbTestStatus(Message, frozen=True, gc=False, kw_only=True, tag="ab_test_status"):
    """A test and what it has really served since its phase began (requests, not users)."""

    plan: ExperimentPlan
    rl_traffic_percentage: float
    total_requests: int
    rl_requests: int
    """Those that a model answered."""
    fallback_requests: int
    """Those that the rule or the fallback answered."""
    users: tuple[tuple[str, int], ...]
    """How many units were exposed, by arm."""
    since: int
    until: int = 0
    """When the phase ended for the analysis, by a release, a rollback or a switch off (ns); 0: it goes on."""
    flagged: int = 0
    """Units that were seen in two arms, and count in none."""
    staged: bool = False
    """A rollout sets the split and the coverage."""
    provisional: str = ""
    """Why the plan is not certain yet; empty: it is."""
    incomplete: str = ""
    """Why the figures may lack something; empty: they do not."""


class GetTest(Request[AbTestStatus], frozen=True, gc=False, tag="get_test"):
    """Asks for one test. Refused `not_found`."""

    name: str = DEFAULT_TEST


class Feedback(Request["FeedbackTaken"], frozen=True, gc=False, kw_only=True, tag="feedback"):
    """The outcome of a decision, from outside. Refused `not_found` for a decision that nobody knows, `conflict` for
    another outcome of the same one (a repeat is taken as it is)."""

    user_id: str
    decision_id: str
    outcome: float
    """The return after costs as a share (0.01 is 1 %)."""
    success: bool | None = None
    ts: int = 0
    note: str = ""


class FeedbackTaken(Message, frozen=True, gc=False, tag="feedback_taken"):
    """The outcome is in the node's log."""

    decision_id: str
    repeated: bool = False


class ExposureRow(Row, frozen=True, gc=False, kw_only=True, tag="exposure_row"):
    """The first moment at which an arm could change what a unit got (`ab_exposures`)."""

    table = "ab_exposures"
    sequenced = True

    stream: str
    seq: int
    ts: int
    experiment: str
    version: int
    unit: str
    arm: str
    decision_id: str


class ShadowPairRow(Row, frozen=True, gc=False, kw_only=True, tag="shadow_pair_row"):
    """What a shadow said to a request that an arm answered (`ab_shadow_pairs`)."""

    table = "ab_shadow_pairs"
    sequenced = True

    stream: str
    seq: int
    ts: int
    experiment: str
    version: int
    arm: str
    decision_id: str
    user_id: str
    live_action: str
    live_trades: bool
    shadow_action: str
    shadow_trades: bool


class AssignmentRow(Row, frozen=True, gc=False, kw_only=True, tag="assignment_row"):
    """Who was assigned to what (`ab_test_assignments`)."""

    table = "ab_test_assignments"
    sequenced = True

    stream: str
    seq: int
    ts: int
    test_name: str
    version: int
    user_id: str
    assignment: str


class AbTestRow(Row, frozen=True, gc=False, kw_only=True, tag="ab_test_row"):
    """One state of a test's plan (`ab_test_configs`); the newest of a name counts. `plan`: the plan as JSON.

    `configured`: the plan that the configuration alone would have made then.
    """

    table = "ab_test_configs"
    sequenced = True

    stream: str
    seq: int
    ts: int
    test_name: str
    version: int
    enabled: bool
    rl_traffic_percentage: float
    plan: msgspec.Raw
    configured: msgspec.Raw
    why: str
    staged: bool
    """Whether a rollout sets the split and the coverage."""


class DecisionOutcomeRow(Row, frozen=True, gc=False, kw_only=True, tag="decision_outcome_row"):
    """What came of a decision (`decision_outcomes`): from feedback or from an executed trade."""

    table = "decision_outcomes"
    sequenced = True

    stream: str
    seq: int
    ts: int
    decision_id: str
    user_id: str
    experiment: str
    version: int
    arm: str
    served_by: str
    source: str
    outcome: float
    success: bool
    note: str
    unit: str
    """Of the experiment; empty: none."""
    counted: bool
    """False: another source had told the outcome of this decision before."""
    ts_decision: int
    """When it was decided (ns): the user-day that it counts for."""
    outcome_seq: int
    """Its place in the stream `outcomes`; 0: it came as feedback."""
