"""The actor that keeps the tables of market data tidy: it has `retention_job` run now and then, in its own process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from actors.market.retention_job import VARIABLE, CleanUpReport, RetentionPlan
from protocols.control import ExitReason, Message, Probe, ProbeReport, Refused, Unknown
from protocols.paths import QUERIES
from protocols.storage import DatabaseReady, RunQuery
from runtime import Actor, receive
from runtime.process import BACKGROUND, PIPE, ChildProcess

ROOT = Path(__file__).parents[2]
AGAIN_S = 60.0
"""After the start, and after a fault, it runs so soon."""
_TODAY = "SELECT to_regclass('rl_orderbook_deltas_p' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')) IS NOT NULL"


class _Due(Message, frozen=True, gc=False, tag="retention_due"):
    """Time to clean up."""


class _Done(Message, frozen=True, gc=False, tag="retention_done"):
    report: bytes


class Retention(Actor):
    """Makes partitions for the coming days, and archives and removes what is no longer kept.

    It runs a minute after the start, at once where today has no partition, and then every `every_s` seconds. `days`:
    for how many days each table is kept, 0 for ever.
    """

    def __init__(
        self, url: str, days: Mapping[str, int], every_s: float = 3_600.0, days_ahead: int = 7, archive: str = ""
    ) -> None:
        self._plan = RetentionPlan(url=url, days=dict(days), days_ahead=days_ahead, archive=archive)
        self._every_s = every_s
        self._process: ChildProcess | None = None
        self._running = False
        self._report: CleanUpReport | None = None
        self._ts = 0

    def on_start(self) -> None:
        """Wait for the database."""
        self.subscribe(DatabaseReady)
        # A database that is ready already says nothing.
        self.after(AGAIN_S, _Due())

    async def on_stop(self, reason: ExitReason) -> None:
        """A run that is cut off leaves whole files and whole partitions."""
        if self._process is not None:
            await self._process.stop(0.5)

    @receive
    def ready(self, message: DatabaseReady) -> None:
        """The first moment at which there may be something to do at once."""
        self.spawn(self._look, name="look")

    async def _look(self) -> None:
        """A node that was off for days has no partition for today, and rows are coming."""
        try:
            found = await self.lookup(QUERIES).ask(RunQuery(_TODAY))
        except (Refused, Unknown):
            return
        if not found.rows[0][0]:
            self.ref.tell(_Due())

    @receive
    def due(self, message: _Due) -> None:
        """Time has passed."""
        self._run()

    def _run(self) -> None:
        if not self._running:
            self._running = True
            self.spawn(self._clean_up, name="clean-up")

    async def _clean_up(self) -> None:
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            VARIABLE: msgspec.json.encode(self._plan).decode(),
        }
        self._process = await ChildProcess.start(
            [sys.executable, "-m", "actors.market.retention_job"],
            name="retention",
            nice=BACKGROUND,
            env=os.environ | environment,
            stdout=PIPE,
        )
        try:
            line = await self._process.read_line()
            status = await self._process.wait()
        finally:
            await self._process.stop(0)
        fault = CleanUpReport(faults=[f"the clean-up ended with status {status}"])
        await self.ref.send(_Done(line or msgspec.json.encode(fault)))

    @receive
    def done(self, message: _Done) -> None:
        """Tell what was done, and when to go on."""
        report = self._report = msgspec.json.decode(message.report, type=CleanUpReport)
        self._running = False
        self._process = None
        self._ts = self.clock.now()
        if report.removed or report.deleted_rows:
            self.logger.info(
                "market data was removed",
                partitions=report.removed,
                rows=report.deleted_rows,
                archived_rows=report.archived_rows,
                archived_bytes=report.archived_bytes,
            )
        for fault in report.faults:
            self.logger.warning("clean-up", fault=fault)
        self.remark = f"{report.made} partitions made, {len(report.removed)} removed" + "".join(
            f" · {fault}" for fault in report.faults[:1]
        )
        self.after(min(AGAIN_S, self._every_s) if report.faults else self._every_s, _Due())

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How the last run was."""
        report = self._report
        if report is None:
            return ProbeReport("ok", "not run yet")
        figures = (
            ("ts", self._ts),
            ("partitions made", report.made),
            ("partitions removed", len(report.removed)),
            ("rows archived", report.archived_rows),
            ("rows deleted", report.deleted_rows),
        )
        return ProbeReport("degraded" if report.faults else "ok", "; ".join(report.faults), True, figures)
