"""The HTTP routes of A/B tests: those of the RL service, and of reports and rollouts."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from actors.decisions.bridges.forwarding import forward
from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.edge.routing import Route, get, post
from protocols.experiment_reports import AbTestReport, GetReport
from protocols.experiments import DEFAULT_TEST, AbTestStatus, ArmPlan, ConfigureTest, Feedback, GetPlans, GetTest
from protocols.paths import EXPERIMENTS, ROLLOUTS
from protocols.rollouts import ListRollouts, RolloutPlan, RolloutView, StartRollout, SwitchRollout
from protocols.signal_stream import timestamp

TAGS: Final = ("experiments",)
REPORT_S: Final = 25.0
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_NS_IN_MS: Final = 10**6


class ConfigureAbTest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to change; null or left out: as it is. `traffic_percentage` is the same as `rl_traffic_percentage`.

    Another split is another phase: users are drawn anew, and the report begins anew. `coverage` can only be raised.
    `control`: what serves the control arm (a model's name, `rule`, `thresholds`); another one is another phase, too.
    """

    name: str = DEFAULT_TEST
    enabled: bool | None = None
    rl_traffic_percentage: Share | None = None
    traffic_percentage: Share | None = None
    coverage: Share | None = None
    control: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")] | None = None


class AbTestConfig(msgspec.Struct, frozen=True):
    """What is configured now."""

    name: str
    enabled: bool
    rl_traffic_percentage: float
    coverage: float
    phase: int


class AbTestConfigured(msgspec.Struct, frozen=True):
    """The test is configured."""

    status: Literal["configured"]
    config: AbTestConfig
    timestamp: str


class WhichTest(msgspec.Struct, frozen=True):
    """Which test."""

    name: str = DEFAULT_TEST


class AbTestStatistics(msgspec.Struct, frozen=True):
    """Requests since the phase began. `rl_requests`: a model answered; `fallback_requests`: the rule or the fallback.

    `actual_rl_percentage`: the share of the first, null without requests.
    """

    total_requests: int
    rl_requests: int
    fallback_requests: int
    actual_rl_percentage: float | None


class AbTestBody(msgspec.Struct, frozen=True, kw_only=True):
    """A test as it stands. While it is not enabled nobody is assigned, and everybody gets the default arm's service.

    `users`: units that were exposed, by arm. `since`, `until`: of the phase, ns (until null: it goes on).
    """

    name: str
    enabled: bool
    rl_traffic_percentage: float
    statistics: AbTestStatistics
    phase: int
    salt: str
    coverage: float
    default: str
    arms: tuple[ArmPlan, ...]
    released: str | None
    reverted: str | None
    users: dict[str, int]
    flagged: int
    since: int
    until: int | None
    staged: bool
    """A rollout sets the split and the coverage."""
    provisional: str | None
    incomplete: str | None


class AbTestsBody(msgspec.Struct, frozen=True):
    """All tests, in the order in which they take users."""

    tests: tuple[AbTestBody, ...]


class WhichReport(msgspec.Struct, frozen=True):
    """Of which test and phase (0: the newest)."""

    name: str = DEFAULT_TEST
    phase: Annotated[int, msgspec.Meta(ge=0)] = 0


class NewRollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which test, and how; left out: as it is configured."""

    name: str = DEFAULT_TEST
    plan: RolloutPlan | None = None


class ChangeRollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which test, and why."""

    name: str
    reason: str = ""


class RolloutsBody(msgspec.Struct, frozen=True):
    """All rollouts."""

    rollouts: tuple[RolloutView, ...]


class OutcomeGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An outcome. One of `return` and `pnl` is wanted: the return after costs as a share (0.01 is 1 %); `pnl` is taken
    as the same. `success`: whether it is one, where a gain is not the whole story."""

    success: bool | None = None
    pnl: float | None = None
    return_: float | None = msgspec.field(default=None, name="return")
    note: str = ""


class GiveFeedback(msgspec.Struct, frozen=True, rename="camel"):
    """What came of a decision. `outcome`: the return after costs as a share, or an object. `timestamp`: ns, ms or s
    since 1970, or ISO 8601; left out: now."""

    user_id: Annotated[str, msgspec.Meta(min_length=1)]
    prediction_id: Annotated[str, msgspec.Meta(min_length=1)]
    outcome: float | OutcomeGiven
    timestamp: int | float | str | None = None


class FeedbackBody(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The outcome is stored. `repeated`: it was known already. `forwarded`: the trading service is being told, too;
    left out where there is none, or it was told before."""

    status: Literal["recorded"]
    prediction_id: str
    repeated: bool
    forwarded: bool = False


async def configure(request: ConfigureAbTest, call: Call) -> AbTestConfigured:
    """Change a test."""
    shares = {each for each in (request.rl_traffic_percentage, request.traffic_percentage) if each is not None}
    if len(shares) > 1:
        raise HttpError(
            400,
            "invalid",
            f"traffic_percentage: expected the same as rl_traffic_percentage, got {request.traffic_percentage} and "
            f"{request.rl_traffic_percentage}",
            "traffic_percentage",
        )
    change = ConfigureTest(
        name=request.name,
        enabled=request.enabled,
        rl_traffic_percentage=next(iter(shares), None),
        coverage=request.coverage,
        control=request.control,
    )
    found = await call.ref(EXPERIMENTS).ask(change)
    plan = found.plan
    config = AbTestConfig(plan.name, plan.enabled, found.rl_traffic_percentage, plan.coverage, plan.version)
    return AbTestConfigured("configured", config, timestamp(call.node.clock.now()))


async def status(request: WhichTest, call: Call) -> AbTestBody:
    """Answer how a test stands."""
    return body_of(await call.ref(EXPERIMENTS).ask(GetTest(request.name)))


async def tests(call: Call) -> AbTestsBody:
    """Answer how all tests stand."""
    keeper = call.ref(EXPERIMENTS)
    plans = (await keeper.ask(GetPlans())).plans
    return AbTestsBody(tuple([body_of(await keeper.ask(GetTest(plan.name))) for plan in plans]))


def body_of(found: AbTestStatus) -> AbTestBody:
    """A status as it is shown."""
    plan = found.plan
    share = found.rl_requests / found.total_requests if found.total_requests else None
    return AbTestBody(
        name=plan.name,
        enabled=plan.enabled,
        rl_traffic_percentage=found.rl_traffic_percentage,
        statistics=AbTestStatistics(found.total_requests, found.rl_requests, found.fallback_requests, share),
        phase=plan.version,
        salt=plan.salt,
        coverage=plan.coverage,
        default=plan.default,
        arms=plan.arms,
        released=plan.released or None,
        reverted=plan.reverted or None,
        users=dict(found.users),
        flagged=found.flagged,
        since=found.since,
        until=found.until or None,
        staged=found.staged,
        provisional=found.provisional or None,
        incomplete=found.incomplete or None,
    )


async def report(request: WhichReport, call: Call) -> AbTestReport:
    """Answer what a test says so far."""
    return await call.ref(EXPERIMENTS).ask(GetReport(name=request.name, version=request.phase), REPORT_S)


async def start_rollout(request: NewRollout, call: Call) -> RolloutView:
    """Begin a rollout."""
    return await call.ref(ROLLOUTS).ask(StartRollout(name=request.name, plan=request.plan), REPORT_S)


async def rollouts(call: Call) -> RolloutsBody:
    """Answer all rollouts."""
    return RolloutsBody((await call.ref(ROLLOUTS).ask(ListRollouts())).rollouts)


async def pause(request: ChangeRollout, call: Call) -> RolloutView:
    """Stay at the step that it is at; guardrails go on."""
    return await _switch(request, "pause", call)


async def resume(request: ChangeRollout, call: Call) -> RolloutView:
    """Go on."""
    return await _switch(request, "resume", call)


async def abort(request: ChangeRollout, call: Call) -> RolloutView:
    """Roll back: everybody gets what the control arm serves."""
    return await _switch(request, "abort", call)


async def release(request: ChangeRollout, call: Call) -> RolloutView:
    """Give everybody the treatment; for a rollout that is ready."""
    return await _switch(request, "release", call)


async def _switch(
    request: ChangeRollout, to: Literal["pause", "resume", "abort", "release"], call: Call
) -> RolloutView:
    change = SwitchRollout(name=request.name, to=to, reason=request.reason)
    return await call.ref(ROLLOUTS).ask(change, REPORT_S)


async def feedback(request: GiveFeedback, call: Call) -> FeedbackBody:
    """Take the outcome of a decision."""
    value, success, note = _outcome(request.outcome)
    given = Feedback(
        user_id=request.user_id,
        decision_id=request.prediction_id,
        outcome=value,
        success=success,
        ts=_nanoseconds(request.timestamp),
        note=note,
    )
    taken = await call.ref(EXPERIMENTS).ask(given, REPORT_S)
    told = not taken.repeated and forward(call, given.user_id, given.decision_id, request.outcome, given.ts)
    return FeedbackBody("recorded", taken.decision_id, taken.repeated, told)


def _outcome(given: float | OutcomeGiven) -> tuple[float, bool | None, str]:
    if not isinstance(given, OutcomeGiven):
        return given, None, ""
    if given.return_ is not None and given.pnl is not None and given.return_ != given.pnl:
        message = f"outcome: expected one of return and pnl, got {given.return_:g} and {given.pnl:g}"
        raise HttpError(400, "invalid", message, "outcome")
    value = given.pnl if given.return_ is None else given.return_
    if value is None:
        message = "outcome: expected a number, or an object with return or pnl: how much, as a share; got neither"
        raise HttpError(400, "invalid", message, "outcome.return")
    return value, given.success, given.note


def _nanoseconds(given: float | str | None) -> int:
    """A time as clients write it, in ns; 0: not said."""
    if given is None:
        return 0
    if isinstance(given, str):
        from datetime import UTC, datetime

        try:
            when = datetime.fromisoformat(given)
        except ValueError:
            message = f"timestamp: expected ISO 8601, or a number, got {given!r}"
            raise HttpError(400, "invalid", message, "timestamp") from None
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        return int(when.timestamp() * 1000) * _NS_IN_MS
    if not 0 <= given < 2**63:
        raise HttpError(400, "invalid", f"timestamp: expected a time since 1970, got {given}", "timestamp")
    for limit, factor in ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3)):
        if given < limit:
            return int(given * factor)
    return int(given)


_PREFIX: Final = "/api/v1/ab-test"


def _post(path: str, handler: Any, summary: str, *, stores: bool = True) -> Route:
    return post(path, handler, summary=summary, tags=TAGS, stores=stores, timeout_s=REPORT_S)


routes: list[Route] = [
    get(_PREFIX, tests, summary="All A/B tests", tags=TAGS),
    _post(f"{_PREFIX}/configure", configure, "Configure an A/B test"),
    get(f"{_PREFIX}/status", status, summary="How an A/B test stands", tags=TAGS),
    get(f"{_PREFIX}/report", report, summary="Effects, intervals and guardrails of a phase", tags=TAGS, timeout_s=30.0),
    _post(f"{_PREFIX}/rollout", start_rollout, "Begin a staged rollout"),
    get(f"{_PREFIX}/rollout", rollouts, summary="All rollouts", tags=TAGS),
    _post(f"{_PREFIX}/rollout/{{name}}/pause", pause, "Stay at this step"),
    _post(f"{_PREFIX}/rollout/{{name}}/resume", resume, "Go on"),
    # What takes a treatment away has to work on a full disk, too, as far as the log lets it.
    _post(f"{_PREFIX}/rollout/{{name}}/abort", abort, "Roll back", stores=False),
    _post(f"{_PREFIX}/rollout/{{name}}/release", release, "Release to all"),
    _post("/api/rl/feedback", feedback, "The outcome of a decision"),
]
