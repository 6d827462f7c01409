"""`/research/backtests`: keeps the jobs, lets several run at once (`job_run`), keeps what they came to.

    <data folder>/backtests/<job id>/report.msgpack     orders.jsonl beside it

Every change of a job's state is a row, and so is every trial of a strategy's family. After a start the newest rows are
read back; what ran then waits for its turn again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec
import trio

from actors.research.backtest import archive
from actors.research.backtest.comparing import CompareBacktests, Compared, compared
from actors.research.backtest.family_ledger import Trial
from actors.research.backtest.job_lines import ORDERS, REPORT
from actors.research.backtest.job_queue import JobQueue
from actors.research.backtest.job_run import (
    FamilyTrials,
    GetFamilyTrials,
    JobEnded,
    JobLine,
    StorePiece,
    run_name,
    run_spec,
)
from actors.research.backtest.settings import BacktestSettings
from actors.research.backtest.spec import BacktestSpec, SpecError, read_spec
from actors.strategies.package import LIBRARY, SANDBOX, CheckCode, GetPackage, Package
from protocols.backtests import (
    JOBS,
    RUNS,
    TRIALS,
    BacktestChanged,
    BacktestJob,
    BacktestJobRow,
    BacktestList,
    BacktestReport,
    BacktestState,
    BacktestTrialRow,
    CancelBacktest,
    GetBacktest,
    GetBacktestReport,
    ListBacktests,
    StartBacktest,
    SubmitBacktest,
)
from protocols.control import Crashed, Message, Probe, ProbeReport, Refused, Request, Terminated, Unknown
from protocols.paths import QUERIES
from runtime import Actor, ChildSpec, Mailbox, StartChild, TerminateChild, WhichChildren, receive
from runtime.exits import describe

ASK_S: Final = 10.0
AGAIN_S: Final = 1.0
COMPARE_S: Final = 60.0
START_S: Final = 300.0
"""How long a worker may take to come up, and those that are started before it."""
_LOST: Final = frozenset({"HostLost", "ClusterLost"})
FOLDER: Final = "backtests"


class RowsRead(Message, frozen=True, gc=False, tag="backtest_rows_read"):
    """The newest rows are read back; None: they cannot be read. `problem`: why they are not all of them."""

    rows: tuple[BacktestJobRow, ...] | None
    problem: str


class StoreJob(Request[BacktestState], frozen=True, gc=False, tag="store_backtest"):
    """Keep a job whose strategy is known by now."""

    request: SubmitBacktest
    spec: msgspec.Raw


class NotStarted(Message, frozen=True, gc=False, tag="backtest_not_started"):
    """There was no place for a run. `lost`: where it was to be; another time there may be one."""

    job_id: str
    run: int
    reason: str
    lost: bool


class Backtests(Actor):
    """Keeps the backtests of a node."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=4096)
    later_capacity: ClassVar[int] = 64

    def __init__(self, settings: BacktestSettings | None = None, data_dir: str = "", patience_s: float = 30.0) -> None:
        self.settings = settings or BacktestSettings()
        self.data_dir = data_dir
        self.patience_s = patience_s
        self.queue = JobQueue(self.settings.processes)
        self.read = False
        self.problem = ""
        self.runs: dict[str, int] = {}
        """The number of the run of each job that runs."""
        self.done = self.failed = self.trials = 0

    def on_start(self) -> None:
        """Begin to read what survives."""
        self.folder = Path(self.data_dir or self.node.settings.data_dir) / FOLDER
        self.spawn(self._read, name="read")

    async def _read(self) -> None:
        await self._end_all()
        while True:
            try:
                rows, problem = await archive.read_newest(
                    self.lookup(QUERIES), self.log.last_seq(JOBS), self.patience_s
                )
            except Refused as refused:
                await self.ref.send(RowsRead(None, f"the table cannot be read: {refused.message}"))
                await trio.sleep(AGAIN_S)
            else:
                await self.ref.send(RowsRead(rows, problem))
                return

    @receive
    def rows_read(self, message: RowsRead) -> None:
        """From now on jobs can be taken; what ran goes on."""
        if message.problem and message.problem != self.problem:
            self.logger.error("backtests are missing", why=message.problem)
        self.problem = message.problem
        if message.rows is None:
            return
        for job in self.queue.remember(message.rows):
            self._store(job)
        self.read = True
        self._next()

    # What is asked.

    @receive
    def submit(self, request: SubmitBacktest) -> None:
        """Take a backtest, once its strategy is known."""
        self._ready()
        self.answer_later(self._submit, request)

    async def _submit(self, request: SubmitBacktest) -> BacktestState:
        fields: dict[str, Any] = msgspec.json.decode(request.spec)
        if request.strategy_id:
            try:
                package = await self.lookup(LIBRARY).ask(GetPackage(request.strategy_id, request.source), ASK_S)
            except Unknown as error:
                raise Refused("unavailable", f"the library does not answer: {error}") from None
            fields["strategy"] = with_package(fields.get("strategy", {}), package)
        spec = _spec(fields)
        if spec.strategy.sandboxed:
            await self._check(spec)
        else:
            for name, asked in (
                ("stop_loss_percentage", "stop_loss_pct"),
                ("take_profit_percentage", "take_profit_pct"),
            ):
                if spec.strategy.settings.get(name):
                    raise Refused("invalid", "a trusted strategy says its stops itself", asked)
        return await self.ref.ask(StoreJob(request, msgspec.Raw(msgspec.json.encode(fields))), ASK_S)

    async def _check(self, spec: BacktestSpec) -> None:
        """The code in a locked worker: what the sandbox of this machine does not hold is not run in a backtest."""
        try:
            checked = await self.lookup(SANDBOX).ask(CheckCode(spec.strategy.code, spec.strategy.filename), ASK_S)
        except Unknown as error:
            raise Refused("unavailable", f"the sandbox does not answer: {error}") from None
        wrong = [each for each in checked.problems if not each.rule.startswith(("unused", "undeclared"))]
        if wrong and not checked.contract:
            raise Refused("invalid", f"line {wrong[0].line}: {wrong[0].message}", "strategy.code")

    @receive
    def store(self, request: StoreJob) -> BacktestState:
        """Keep a job, and start it if it is to be."""
        self._ready()
        asked, spec = request.request, _spec(msgspec.json.decode(request.spec))
        now = self.clock.now()
        if self.queue.waiting >= self.settings.waiting and asked.start:
            raise Refused("overloaded", f"{self.queue.waiting} backtests wait, and there may be no more")
        count = self.log.last_seq(JOBS) + 1
        text = msgspec.json.encode([count, now, spec.fingerprint(())])
        job = BacktestJob(
            job_id=f"bt_{hashlib.sha256(text).hexdigest()[:16]}",
            name=asked.name or spec.name or spec.strategy.name,
            strategy=spec.strategy.name,
            family=spec.strategy.family_name,
            methodology=spec.method.methodology,
            state="queued" if asked.start else "pending",
            priority=asked.priority,
            spec=request.spec,
            request=asked.request,
            ts_created=now,
        )
        self._store(self.queue.add(job))
        self._next()
        return BacktestState(self.queue.get(job.job_id))

    @receive
    def get(self, request: GetBacktest) -> BacktestState:
        """Answer with a job."""
        self._ready()
        return BacktestState(self.queue.get(request.job_id))

    @receive
    def list_jobs(self, request: ListBacktests) -> BacktestList:
        """Answer with a page of them."""
        self._ready()
        return BacktestList(*self.queue.page(request.state, request.strategy, request.limit, request.offset))

    @receive
    def start(self, request: StartBacktest) -> BacktestState:
        """Let one that waits for it begin."""
        self._ready()
        self._store(self.queue.start(request.job_id))
        self._next()
        return BacktestState(self.queue.get(request.job_id))

    @receive
    def cancel(self, request: CancelBacktest) -> BacktestState:
        """End one."""
        self._ready()
        job = self.queue.cancel(request.job_id, self.clock.now())
        if (run := self.runs.pop(job.job_id, None)) is not None:
            self.spawn(self._end_run, run_name(job.job_id, run), name="end")
        self._store(job)
        self._next()
        return BacktestState(job)

    @receive
    def report(self, request: GetBacktestReport) -> None:
        """Answer with what one came to."""
        self._ready()
        job = self.queue.get(request.job_id)
        if job.state != "completed":
            raise Refused("conflict", f"{job.job_id} is {job.state}: there is no result", "job_id")
        self.answer_later(self._report, job)

    async def _report(self, job: BacktestJob) -> BacktestReport:
        path = self.folder / job.job_id / REPORT
        try:
            packed = await self.offload(path.read_bytes, timeout=ASK_S)
        except (OSError, trio.TooSlowError) as error:
            raise Refused("damaged", f"the result cannot be read: {error}") from None
        if hashlib.sha256(packed).hexdigest() != job.result_hash:
            raise Refused("damaged", "the result is not what was stored")
        return BacktestReport(job, packed)

    @receive
    def compare(self, request: CompareBacktests) -> None:
        """Compare some that have completed."""
        self._ready()
        if not 2 <= len(set(request.job_ids)) == len(request.job_ids) <= 10:
            raise Refused("invalid", f"expected 2 to 10 different backtests, got {len(request.job_ids)}", "job_ids")
        for job_id in request.job_ids:
            if (job := self.queue.get(job_id)).state != "completed":
                raise Refused("conflict", f"{job_id} is {job.state}: there is no result", "job_ids")
        self.answer_later(self._compare, request)

    async def _compare(self, request: CompareBacktests) -> Compared:
        paths = [self.folder / job_id / REPORT for job_id in request.job_ids]
        try:
            found = await self.offload(compared, paths, request.simulations, request.seed, timeout=COMPARE_S)
        except (OSError, trio.TooSlowError) as error:
            raise Refused("damaged", f"a result cannot be read: {error}") from None
        return Compared(found)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How many run and wait."""
        return ProbeReport(
            "degraded" if self.problem else "ok",
            self.problem,
            figures=(
                ("jobs", len(self.queue)),
                ("running", self.queue.running),
                ("waiting", self.queue.waiting),
                ("completed", self.done),
                ("failed", self.failed),
                ("trials", self.trials),
                ("read_back", self.read),
            ),
        )

    # What runs.

    def _next(self) -> None:
        while (job := self.queue.next(self.clock.now())) is not None:
            self._store(job)
            # No other run of any job has this number, in this life of the node or in another.
            run = self.runs[job.job_id] = self.log.last_seq(JOBS)
            spec = run_spec(job, run, self.folder / job.job_id, self.settings)
            self.watch(self.lookup(f"{RUNS}/{spec.name}"))
            self.spawn(self._start_run, job.job_id, run, spec, name=spec.name)

    async def _start_run(self, job_id: str, run: int, spec: ChildSpec) -> None:
        if self.runs.get(job_id) != run:
            return
        try:
            await self.lookup(RUNS).ask(StartChild(spec), START_S)
        except (Refused, Unknown) as error:
            lost = self.settings.placement != "local"
            if lost:
                await trio.sleep(AGAIN_S)
            await self.ref.send(NotStarted(job_id, run, str(error), lost))
        else:
            if self.runs.get(job_id) != run:
                await self._end_run(spec.name)

    async def _end_run(self, name: str) -> None:
        try:
            await self.lookup(RUNS).ask(TerminateChild(name), START_S)
        except (Refused, Unknown) as error:
            self.logger.info("a run had ended before", run=name, why=str(error))

    async def _end_all(self) -> None:
        """End what runs for an earlier life of this actor: it is begun anew."""
        try:
            running = await self.lookup(RUNS).ask(WhichChildren(), START_S)
        except (Refused, Unknown) as error:
            self.logger.warning("nothing can run", why=str(error))
            return
        for child in running:
            await self._end_run(child.name)

    @receive
    def not_started(self, message: NotStarted) -> None:
        """There was no place for a run."""
        if self.runs.get(message.job_id) == message.run:
            self._lost(message.job_id, message.reason, again=message.lost)

    @receive
    def run_ended(self, message: Terminated) -> None:
        """A run is over. One that has said how it went has been dealt with."""
        if message.incarnation.count == 0:
            return  # it has not begun
        self.unwatch(self.lookup(message.path))
        job_id, _, run = message.path.rpartition("/")[2].rpartition(".")
        if self.runs.get(job_id) == int(run):
            reason = message.reason
            again = isinstance(reason, Crashed) and reason.error in _LOST
            self._lost(job_id, reason.text if isinstance(reason, Crashed) else describe(reason), again=again)

    def _lost(self, job_id: str, reason: str, *, again: bool) -> None:
        """A job's run is gone without a word of how it went."""
        del self.runs[job_id]
        now = self.clock.now()
        if again:
            job = self.queue.again(job_id, reason, now)
            self.logger.warning("a backtest has lost what it ran on", job=job_id, why=reason, state=job.state)
        else:
            job = self.queue.change(job_id, "failed", reason=reason, ts_ended=now)
        self.failed += job.state == "failed"
        self._store(job)
        self._forget_files(job_id)
        self._next()

    @receive
    def family_trials(self, request: GetFamilyTrials) -> None:
        """All trials of a family, those of jobs that run beside it included."""
        self.answer_later(self._trials, request.family)

    async def _trials(self, family: str) -> FamilyTrials:
        known, problem = await archive.trials_of(
            self.lookup(QUERIES), family, self.log.last_seq(TRIALS), self.patience_s
        )
        if problem:
            self.logger.error("trials are missing", family=family, why=problem)
        return FamilyTrials(known)

    @receive
    def piece(self, request: StorePiece) -> None:
        """Keep a part of what a run far away has come to."""
        if self._running(request.job_id, request.run) is None or request.name not in (REPORT, ORDERS):
            raise Refused("conflict", f"nobody waits for {request.name[:100]!r} of {request.job_id[:100]!r}")
        self.answer_later(self._store_piece, request)

    async def _store_piece(self, request: StorePiece) -> None:
        try:
            await self.offload(_write_piece, self.folder / request.job_id, request, timeout=ASK_S)
        except (OSError, trio.TooSlowError) as error:
            raise Refused("unwritable", f"the result cannot be kept: {type(error).__name__}: {error}") from None

    @receive
    def job_line(self, message: JobLine) -> None:
        """Keep what a process says: progress, trials, its outcome."""
        job, line = self._running(message.job_id, message.run), message.line
        if line.trials:
            self._keep(message.job_id, line.trials)
        if job is None:
            return
        if line.progress is not None:
            job = self.queue.change(job.job_id, progress=line.progress, stage=line.stage)
            self.publish(BacktestChanged(job))
        if not line.outcome:
            return
        del self.runs[job.job_id]
        now = self.clock.now()
        if line.outcome == "completed":
            self.done += 1
            job = self.queue.change(
                job.job_id,
                "completed",
                progress=1.0,
                stage="",
                summary=msgspec.Raw(msgspec.json.encode(line.summary)),
                result_hash=line.result_hash,
                order_hash=line.order_hash,
                trials=line.family_trials,
                ts_ended=now,
            )
        else:
            self.failed += 1
            reason = f"{line.code}: {line.message}"
            job = self.queue.change(job.job_id, "failed", reason=reason, field=line.field, ts_ended=now)
        self._store(job)
        self._next()

    @receive
    def job_ended(self, message: JobEnded) -> None:
        """A run has had its time."""
        job = self._running(message.job_id, message.run)
        if job is None:
            return
        self.failed += 1
        del self.runs[job.job_id]
        now = self.clock.now()
        self._store(self.queue.change(job.job_id, "timeout", reason=message.reason, ts_ended=now))
        self._forget_files(job.job_id)
        self._next()

    def _running(self, job_id: str, run: int) -> BacktestJob | None:
        """The job, if this is still its run."""
        return self.queue.get(job_id) if self.runs.get(job_id) == run else None

    def _keep(self, job_id: str, trials: tuple[Trial, ...]) -> None:
        for trial in trials:
            self.trials += 1
            self.log.append(
                BacktestTrialRow(
                    seq=self.log.last_seq(TRIALS) + 1,
                    ts=trial.ts,
                    family=trial.family,
                    trial_id=trial.trial_id,
                    job_id=job_id,
                    sharpe=trial.sharpe,
                    trial=msgspec.Raw(msgspec.json.encode(trial)),
                )
            )

    def _forget_files(self, job_id: str) -> None:
        self.spawn(self._remove, self.folder / job_id, name="remove")

    async def _remove(self, folder: Path) -> None:
        await trio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))

    def _ready(self) -> None:
        if not self.read:
            why = f": {self.problem}" if self.problem else ""
            raise Refused("not_ready", f"the backtests are not read back yet{why}")

    def _store(self, job: BacktestJob) -> None:
        self.log.append(self.queue.row(job, self.log.last_seq(JOBS) + 1, self.clock.now()))
        self.publish(BacktestChanged(job))


def with_package(strategy: dict[str, Any], package: Package) -> dict[str, Any]:
    """A strategy's fields with what the library has of it: its code (a trusted one: where it is), its parameters."""
    own: dict[str, Any] = msgspec.json.decode(package.parameters)
    found = {
        **strategy,
        "name": package.path if package.trusted else package.strategy_id,
        "code": package.code,
        "filename": package.main_file,
        "version": package.version,
        "family": strategy.get("family") or package.strategy_id,
        "parameters": {**own, **strategy.get("parameters", {})},
    }
    if not strategy.get("timeframes") and not package.trusted:
        found["timeframes"] = list(package.timeframes) or ["1m"]
    return found


def _write_piece(folder: Path, piece: StorePiece) -> None:
    """Write a part of a file; with its last part it is there, complete or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{piece.name}.{piece.run}"
    with aside.open("r+b" if piece.offset else "wb") as file:
        file.seek(piece.offset)
        file.write(piece.content)
        if piece.last:
            file.flush()
            os.fsync(file.fileno())
    if piece.last:
        aside.replace(folder / piece.name)


def _spec(fields: dict[str, Any]) -> BacktestSpec:
    try:
        return read_spec(msgspec.json.encode(fields))
    except SpecError as error:
        raise Refused("invalid", error.message, error.field) from None
