"""What is said about backtests: jobs and their states, what they came to, and their rows.

A job's specification is a JSON object (`actors.research.backtest.spec.BacktestSpec`); whoever submits one need not know
more of it than what he fills in. Times in nanoseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Final, Literal

import msgspec

from protocols.control import Message, Request, Row

BACKTESTS: Final = "/research/backtests"
"""The path of the actor that keeps the jobs."""
RUNS: Final = "/research/runs"
"""The path of the supervisor of those that run, each `<job id>.<number>`."""
SANDBOX_THREAD: Final = "actors.strategies.sandbox.driving:SandboxThread"
"""Where a process without a node finds a locked worker for a strategy from outside."""
JOBS: Final = "backtest_jobs"
TRIALS: Final = "backtest_trials"
"""The streams of the rows."""

JobState = Literal["pending", "queued", "running", "completed", "failed", "cancelled", "timeout"]
ENDED: Final = frozenset({"completed", "failed", "cancelled", "timeout"})
EMPTY: Final = msgspec.Raw(b"{}")


class BacktestJob(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A job as it stands. `pending`: made, not started; `queued`: waits for its turn (`place` 1, 2, 3 … in the queue).

    `progress`: 0 to 1. `stage`: what it does, in words. `summary`: figures by the key of the metric, a JSON object,
    once it has completed. `reason`: why it failed. `trials`: how many runs its family had at its end.
    """

    job_id: str
    name: str
    strategy: str
    family: str
    methodology: str
    state: JobState
    priority: int = 0
    place: int = 0
    progress: float = 0.0
    stage: str = ""
    spec: msgspec.Raw = EMPTY
    request: msgspec.Raw = EMPTY
    """What was asked for over HTTP, as it came."""
    summary: msgspec.Raw = EMPTY
    reason: str = ""
    field: str = ""
    result_hash: str = ""
    order_hash: str = ""
    trials: int = 0
    attempts: int = 0
    ts_created: int = 0
    ts_started: int = 0
    ts_ended: int = 0


class BacktestChanged(Message, frozen=True, gc=False, tag="backtest_changed"):
    """Topic: a job stands like this now."""

    job: BacktestJob

    def topic_key(self) -> str:
        """The job's id."""
        return self.job.job_id

    def conflate_key(self) -> Hashable | None:
        """The job: only how it stands now matters."""
        return self.job.job_id


class BacktestState(Message, frozen=True, gc=False, tag="backtest_state"):
    """A job as it stands."""

    job: BacktestJob


class SubmitBacktest(Request[BacktestState], frozen=True, gc=False, kw_only=True, tag="submit_backtest"):
    """Asks for a backtest. `start`: at once (as soon as there is room), else it waits for StartBacktest.

    A strategy in the library is named by `strategy_id` (and `source`, where several have the id): its code is put in.
    `priority`: of two that wait the higher one goes first. Refused `invalid` (with the field), `not_found`,
    `ambiguous`, `sandbox_too_weak`, `unavailable`.
    """

    spec: msgspec.Raw
    name: str = ""
    strategy_id: str = ""
    source: str = ""
    priority: int = 0
    start: bool = True
    request: msgspec.Raw = EMPTY


class GetBacktest(Request[BacktestState], frozen=True, gc=False, tag="get_backtest"):
    """Asks for one job. Refused `not_found`, `unavailable`."""

    job_id: str


class BacktestList(Message, frozen=True, gc=False, tag="backtest_list"):
    """A page of jobs, the newest first; `total` of all that the question means."""

    jobs: tuple[BacktestJob, ...]
    total: int


class ListBacktests(Request[BacktestList], frozen=True, gc=False, kw_only=True, tag="list_backtests"):
    """Asks for jobs, at most 100. Empty: of any state, of any strategy. Refused `invalid`."""

    state: str = ""
    strategy: str = ""
    limit: int = 50
    offset: int = 0


class StartBacktest(Request[BacktestState], frozen=True, gc=False, tag="start_backtest"):
    """Puts a pending job, or one that has ended without a result, into the queue. Refused `not_found`, `conflict`."""

    job_id: str


class CancelBacktest(Request[BacktestState], frozen=True, gc=False, tag="cancel_backtest"):
    """Ends a job that has not ended. Refused `not_found`, `conflict`."""

    job_id: str


class BacktestReport(Message, frozen=True, gc=False, tag="backtest_report"):
    """What a job came to: `report` is msgpack of `actors.research.backtest.report.Report`."""

    job: BacktestJob
    report: bytes


class GetBacktestReport(Request[BacktestReport], frozen=True, gc=False, tag="get_backtest_report"):
    """Asks for a completed job's result. Refused `not_found`, `conflict` (it has none yet), `damaged`."""

    job_id: str


class BacktestJobRow(Row, frozen=True, gc=False, kw_only=True, tag="backtest_job_row"):
    """How a job stood after something had happened to it; the newest row of a job is how it is."""

    table: ClassVar[str] = "backtest_jobs"
    sequenced: ClassVar[bool] = True

    stream: str = JOBS
    seq: int
    ts: int
    job_id: str
    name: str
    strategy: str
    family: str
    methodology: str
    state: JobState
    priority: int
    spec: msgspec.Raw
    request: msgspec.Raw
    summary: msgspec.Raw
    reason: str
    field: str
    result_hash: str
    order_hash: str
    trials: int
    attempts: int
    ts_created: int
    ts_started: int
    ts_ended: int


class BacktestTrialRow(Row, frozen=True, gc=False, kw_only=True, tag="backtest_trial_row"):
    """One trial of a strategy's family. `trial` is a JSON object (`actors.research.backtest.family_ledger.Trial`)."""

    table: ClassVar[str] = "backtest_trials"
    sequenced: ClassVar[bool] = True

    stream: str = TRIALS
    seq: int
    ts: int
    family: str
    trial_id: str
    job_id: str
    sharpe: float | None
    trial: msgspec.Raw
