"""The writer process as an actor: starts it, reads its reports, tells how far the database is behind the log."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec
import trio

from actors.storage.writer_link import VARIABLE, WriterReport, WriterSettings
from protocols.control import ExitReason, Probe, ProbeReport
from protocols.storage import DatabaseReady
from runtime import Actor, receive
from runtime.process import BACKGROUND, PIPE, ChildProcess

ROOT = Path(__file__).parents[2]
BEHIND_BYTES = 64 << 20
"""A backlog from which on the database does not keep up: four segments, 10 s at the highest rate."""


class Writer(Actor):
    """Owns the process that moves the node's log into the database. Its start does not wait for the database."""

    def __init__(
        self,
        url: str,
        migrations: list[str],
        migrate: bool = True,
        batch_rows: int = 5_000,
        batch_bytes: int = 4 << 20,
        drain_s: float = 1.0,
        interval_s: float = 0.02,
    ) -> None:
        self._url = url
        self._migrations = migrations
        self._migrate = migrate
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes
        self._drain_s = drain_s
        self._interval_s = interval_s
        self._process: ChildProcess | None = None
        self._report = WriterReport()

    async def on_start(self) -> None:
        """Start the process."""
        settings = WriterSettings(
            url=self._url,
            log=str(self.log.directory.absolute()),
            migrations=tuple(self._migrations),
            migrate=self._migrate,
            batch_rows=self._batch_rows,
            batch_bytes=self._batch_bytes,
            drain_s=self._drain_s,
            interval_s=self._interval_s,
        )
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            VARIABLE: msgspec.json.encode(settings).decode(),
        }
        self._process = await ChildProcess.start(
            [sys.executable, "-m", "actors.storage.writer_main"],
            name="writer",
            nice=BACKGROUND,
            env=os.environ | environment,
            stdout=PIPE,
        )
        self.spawn(self._process.watch, name="process")
        self.spawn(self._read_reports, self._process, name="reports")

    async def on_stop(self, reason: ExitReason) -> None:
        """Let it move what is there; what is left is moved at the next start."""
        if self._process is not None:
            await self._process.stop(self._drain_s + 0.5)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Tell whether the database is there and how far it is behind the log."""
        assert self._process is not None
        report = self._report
        behind = self.log.backlog(report.position) if report.ready else None
        figures = (
            ("pid", self._process.pid),
            ("position", report.position),
            ("behind_bytes", behind),
            ("rows", report.rows),
            ("rejected_rows", report.rejected),
            ("connects", report.connects),
        )
        if not report.ready:
            return ProbeReport("degraded", report.error or "connecting to the database", False, figures)
        if behind is not None and behind > BEHIND_BYTES:
            return ProbeReport("degraded", f"the database is {behind >> 20} MiB behind the log", True, figures)
        if report.rejected:
            return ProbeReport("degraded", f"{report.rejected} rows are in rejected_rows", True, figures)
        return ProbeReport("ok", figures=figures)

    async def _read_reports(self, process: ChildProcess) -> None:
        while line := await process.read_line():
            self._take(msgspec.json.decode(line, type=WriterReport))
        # The pipe ends with the process, and `watch` says how that was.
        await trio.sleep_forever()

    def _take(self, report: WriterReport) -> None:
        was_ready, self._report = self._report.ready, report
        if report.migrated:
            self.logger.info("the database is migrated", revisions=report.migrated)
        for note in report.notes:
            self.logger.warning(note)
        if report.ready and not was_ready:
            self.logger.info("the database is ready", connects=report.connects)
            self.publish(DatabaseReady())
        elif was_ready and not report.ready:
            self.logger.warning("the database is away", error=report.error)
