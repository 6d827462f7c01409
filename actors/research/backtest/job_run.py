"""One run of a job: the actor that owns its process, wherever that is.

In the node the process writes what came of it to the data folder by itself. In a worker it may be on another machine:
there it writes aside, and the files go to the keeper of the jobs in pieces before it is told that the run is complete.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path
from typing import Final

import msgspec
import trio

from actors.research.backtest.family_ledger import Trial
from actors.research.backtest.job_lines import ORDERS, REPORT, Line, Order
from actors.research.backtest.job_process import run_job
from actors.research.backtest.settings import BacktestSettings
from actors.research.backtest.spec import read_spec
from actors.research.datasets.folders import DatasetError, folder_of
from protocols.backtests import BACKTESTS, BacktestJob
from protocols.control import Message, Request
from runtime import Actor, ChildSpec, Restart

PIECE_BYTES: Final = 256 * 1024
"""Of a file in one message: a link has other things to carry, too."""
ASK_S: Final = 60.0
READ_S: Final = 60.0


class JobLine(Request[None], frozen=True, gc=False, tag="backtest_job_line"):
    """A job's process has said something."""

    job_id: str
    run: int
    line: Line


class JobEnded(Request[None], frozen=True, gc=False, tag="backtest_job_ended"):
    """A run has had its time, and was ended."""

    job_id: str
    run: int
    reason: str


class FamilyTrials(Message, frozen=True, gc=False, tag="backtest_family_trials"):
    """Trials of one family."""

    trials: tuple[Trial, ...]


class GetFamilyTrials(Request[FamilyTrials], frozen=True, gc=False, tag="get_backtest_family_trials"):
    """Asks for all trials of a family, as they are now."""

    family: str


class StorePiece(Request[None], frozen=True, gc=False, kw_only=True, tag="store_backtest_piece"):
    """Keep a part of a file of a run. Refused `conflict` where nobody waits for it, `unwritable`."""

    job_id: str
    run: int
    name: str
    offset: int
    content: bytes
    last: bool


def run_name(job_id: str, run: int) -> str:
    """The name of a run in the tree."""
    return f"{job_id}.{run}"


def run_spec(job: BacktestJob, run: int, folder: Path, settings: BacktestSettings) -> ChildSpec:
    """A run as a child. `folder`: where the node keeps what it comes to, below its data folder."""
    return ChildSpec(
        name=run_name(job.job_id, run),
        actor="actors.research.backtest.job_run:BacktestRun",
        arguments={
            "job_id": job.job_id,
            "run": run,
            "family": job.family,
            "spec": bytes(job.spec),
            "folder": str(folder.absolute()),
            "data_dir": str(folder.parent.parent.absolute()),
            "timeout_s": settings.timeout_s,
            "far": settings.placement != "local",
        },
        restart=Restart.TEMPORARY,
        placement=settings.placement,
        host=settings.host,
    )


class BacktestRun(Actor):
    """Runs a job once. It ends with its process: in order when that has told what came of it, else with a crash.

    `far`: it may be on another machine than the data folder.
    """

    def __init__(
        self,
        job_id: str,
        run: int,
        family: str,
        spec: bytes,
        folder: str,
        data_dir: str,
        timeout_s: float,
        far: bool = False,
    ) -> None:
        self.job_id = job_id
        self.run = run
        self.family = family
        self.spec = spec
        self.folder = Path(folder)
        self.data_dir = Path(data_dir)
        self.timeout_s = timeout_s
        self.far = far

    def on_start(self) -> None:
        """Begin."""
        self.spawn(self._run, name="process")

    async def _run(self) -> None:
        try:
            with trio.fail_after(self.timeout_s):
                await (self._run_far() if self.far else self._run_job(self.folder))
        except trio.TooSlowError:
            ended = JobEnded(self.job_id, self.run, f"it took more than {self.timeout_s:g} s")
            await self.lookup(BACKTESTS).ask(ended, ASK_S)
        self.stop()

    async def _run_far(self) -> None:
        missing = await self.offload(self._missing, timeout=READ_S)
        if missing is not None:
            await self._say(missing)
            return
        beside = Path(await self.offload(tempfile.mkdtemp, None, "troupe-backtest-", timeout=READ_S))
        try:
            await self._run_job(beside)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(lambda: shutil.rmtree(beside, ignore_errors=True))

    async def _run_job(self, folder: Path) -> None:
        order = Order(spec=msgspec.Raw(self.spec), folder=str(folder), data_dir=str(self.data_dir), run_id=self.job_id)

        async def say(line: Line) -> None:
            if line.outcome == "completed" and self.far:
                for name in (ORDERS, REPORT):
                    await self._send(folder, name)
            await self._say(line)

        await run_job(order, say, self._trials)

    async def _say(self, line: Line) -> None:
        if line.progress is not None:
            self.remark = f"{line.progress:.0%} {line.stage}".rstrip()
        await self.lookup(BACKTESTS).ask(JobLine(self.job_id, self.run, line), ASK_S)

    async def _trials(self) -> tuple[Trial, ...]:
        return (await self.lookup(BACKTESTS).ask(GetFamilyTrials(self.family), ASK_S)).trials

    async def _send(self, folder: Path, name: str) -> None:
        """Give a file to the keeper, in order."""
        size = (await self.offload((folder / name).stat, timeout=READ_S)).st_size
        offset, last = 0, False
        while not last:
            content = await self.offload(_read, folder / name, offset, timeout=READ_S)
            last = offset + len(content) >= size
            piece = StorePiece(job_id=self.job_id, run=self.run, name=name, offset=offset, content=content, last=last)
            await self.lookup(BACKTESTS).ask(piece, ASK_S)
            offset += len(content)

    def _missing(self) -> Line | None:
        """What is said if the data are not on this machine."""
        for place, data in enumerate(read_spec(self.spec).data):
            field, path = f"data[{place}].path", Path(data.path)
            if data.dataset:
                field = f"data[{place}].dataset"
                try:
                    path = folder_of(self.data_dir, data.dataset)
                except DatasetError:
                    continue  # its own reader says it better
            if not path.exists():
                text = f"expected {path} on every machine that backtests run on, got none on {socket.gethostname()}"
                return Line(outcome="failed", code="unreadable", message=text, field=field)
        return None


def _read(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(PIECE_BYTES)
