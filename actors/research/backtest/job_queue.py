"""The jobs of a node and their turns: a core, without processes and without a clock.

    pending ──start──> queued ──next──> running ──> completed | failed | cancelled | timeout

Of two that wait the one of higher priority goes first, of equal ones the one that waits longer. A job that ran when the
node ended waits again after a restart, and so does one whose worker was lost, until it has been begun `MOST_ATTEMPTS`
times.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from protocols.backtests import ENDED, BacktestJob, BacktestJobRow, JobState
from protocols.control import Refused

MOST_ATTEMPTS: Final = 3
_ROW: Final = tuple(name for name in BacktestJobRow.__struct_fields__ if name not in ("stream", "seq", "ts"))


class JobQueue:
    """All jobs that are known. `most`: how many may run at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._jobs: dict[str, BacktestJob] = {}
        self._waiting: dict[str, int] = {}
        """When each began to wait, as a number that rises."""
        self._turn = 0

    def __len__(self) -> int:
        return len(self._jobs)

    def remember(self, rows: Iterable[BacktestJobRow]) -> list[BacktestJob]:
        """The newest row of each job after a start. Returns the jobs that have changed by it: those that ran."""
        changed = []
        for row in sorted(rows, key=lambda each: (each.ts_created, each.job_id)):
            job = BacktestJob(**{name: getattr(row, name) for name in _ROW})
            if job.state == "running":
                if job.attempts >= MOST_ATTEMPTS:
                    why = f"the node ended {job.attempts} times while it ran"
                    job = msgspec.structs.replace(job, state="failed", reason=why, ts_ended=row.ts)
                else:
                    job = msgspec.structs.replace(job, state="queued")
                changed.append(job)
            self._jobs[job.job_id] = job
            if job.state == "queued":
                self._wait(job.job_id)
        return changed

    def add(self, job: BacktestJob) -> BacktestJob:
        """A new job, pending or queued."""
        self._jobs[job.job_id] = job
        if job.state == "queued":
            self._wait(job.job_id)
        return self.get(job.job_id)

    def get(self, job_id: str) -> BacktestJob:
        """A job with its place in the queue. Raises Refused `not_found`."""
        job = self._jobs.get(job_id)
        if job is None:
            raise Refused("not_found", f"there is no backtest {job_id[:100]!r}", "job_id")
        if job.state != "queued":
            return job
        return msgspec.structs.replace(job, place=self._order().index(job_id) + 1)

    def start(self, job_id: str) -> BacktestJob:
        """It waits for its turn from now on. Raises Refused `not_found`, `conflict`."""
        job = self.get(job_id)
        if job.state in ("queued", "running"):
            raise Refused("conflict", f"{job_id} is {job.state}", "job_id")
        if job.state == "completed":
            raise Refused("conflict", f"{job_id} is completed: the same again would give the same", "job_id")
        self._wait(job_id)
        return self.change(job_id, "queued", reason="", field="", ts_ended=0, progress=0.0, stage="", attempts=0)

    def next(self, now: int) -> BacktestJob | None:
        """The job whose turn it is, running from now on; None: none waits, or there is no room."""
        if not self._waiting or self.running >= self.most:
            return None
        job_id = self._order()[0]
        del self._waiting[job_id]
        attempts = self._jobs[job_id].attempts + 1
        return self.change(job_id, "running", ts_started=now, attempts=attempts, stage="starting", progress=0.0)

    def again(self, job_id: str, why: str, now: int) -> BacktestJob:
        """What it ran on is gone: it waits for another turn, or has failed if it has had its turns."""
        job = self._jobs[job_id]
        if job.attempts >= MOST_ATTEMPTS:
            reason = f"what it ran on was lost {job.attempts} times: {why}"
            return self.change(job_id, "failed", reason=reason, ts_ended=now)
        self._wait(job_id)
        return self.change(job_id, "queued", stage="", progress=0.0)

    def cancel(self, job_id: str, now: int) -> BacktestJob:
        """It is cancelled. Raises Refused `not_found`, `conflict` for one that has ended."""
        job = self.get(job_id)
        if job.state in ENDED:
            raise Refused("conflict", f"{job_id} is {job.state}", "job_id")
        self._waiting.pop(job_id, None)
        return self.change(job_id, "cancelled", ts_ended=now, reason="it was cancelled")

    def change(self, job_id: str, state: JobState | None = None, **fields: Any) -> BacktestJob:
        """Other fields of a job."""
        job = self._jobs[job_id]
        if state is not None:
            fields["state"] = state
        self._jobs[job_id] = msgspec.structs.replace(job, **fields)
        return self.get(job_id)

    @property
    def running(self) -> int:
        """How many run."""
        return sum(job.state == "running" for job in self._jobs.values())

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def page(self, state: str, strategy: str, limit: int, offset: int) -> tuple[tuple[BacktestJob, ...], int]:
        """Jobs, the newest first, and how many there are. Raises Refused `invalid`."""
        if not 1 <= limit <= 100:
            raise Refused("invalid", f"expected 1 to 100, got {limit}", "limit")
        if offset < 0:
            raise Refused("invalid", f"expected at least 0, got {offset}", "offset")
        found = [
            job
            for job in reversed(self._jobs.values())
            if (not state or job.state == state) and (not strategy or strategy in (job.strategy, job.family))
        ]
        return tuple(self.get(job.job_id) for job in found[offset : offset + limit]), len(found)

    def row(self, job: BacktestJob, seq: int, ts: int) -> BacktestJobRow:
        """How a job stands, for the log."""
        return BacktestJobRow(seq=seq, ts=ts, **{name: getattr(job, name) for name in _ROW})

    def _wait(self, job_id: str) -> None:
        self._turn += 1
        self._waiting[job_id] = self._turn

    def _order(self) -> list[str]:
        return sorted(self._waiting, key=lambda job_id: (-self._jobs[job_id].priority, self._waiting[job_id]))
