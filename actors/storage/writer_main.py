"""The writer process: tails the node's log and moves it into the database, until it is told to end.

Run as `python -m actors.storage.writer_main` by the actor in `writer.py`, with `WriterSettings` in its environment and
a pipe for its reports as standard output. A process and not a thread, because a thread would share the interpreter's
lock with the node's loop: 7 ms of latency at 20,000 rows/s instead of 0.1 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
import types
from pathlib import Path

# `import runtime.log_reader` would run the package's __init__ and bring the whole kernel with trio and structlog:
# 0.2 s of every start of this process, for one module that needs none of it.
if __name__ == "__main__" and "runtime" not in sys.modules:
    _package = types.ModuleType("runtime")
    _package.__path__ = [str(Path(__file__).parents[2] / "runtime")]
    sys.modules["runtime"] = _package

import asyncpg
import msgspec

from actors.storage import schema
from actors.storage.mover import Mover, PositionMoved, connect
from actors.storage.writer_link import VARIABLE, WriterReport, WriterSettings
from runtime.log_reader import LogReader
from runtime.segments import LogDamaged

CHECK_S = 5.0
"""How long an idle connection is believed in: a host that vanished closes nothing."""
REPORT_S = 0.2
FIRST_BACKOFF_S = 0.05
MOST_BACKOFF_S = 0.5
MOST_NOTES = 20

EXPECTED = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, PositionMoved, LogDamaged)
"""What ends a connection but not the process: it tries again."""


class Writer:
    """The life of the process: connections, one after the other, each of which moves what it can."""

    def __init__(self, settings: WriterSettings) -> None:
        self._settings = settings
        self._reader = LogReader(settings.log)
        self._stop = asyncio.Event()
        self._stop_by = float("inf")
        self._ready = False
        self._position = 0
        self._rows = 0
        self._rejected = 0
        self._connects = 0
        self._migrated: tuple[str, ...] = ()
        self._notes: list[str] = []
        self._error = ""
        self._reported = 0.0
        self._last: WriterReport | None = None

    def stop(self) -> None:
        """End when the log is moved, or after `drain_s` seconds."""
        if not self._stop.is_set():
            self._stop_by = time.monotonic() + self._settings.drain_s
            self._stop.set()

    async def run(self) -> None:
        """Connect, move, and begin again after an error, until `stop`."""
        backoff = FIRST_BACKOFF_S
        while not self._stop.is_set():
            try:
                await self._connect_and_serve()
            except EXPECTED as error:
                if self._ready:
                    backoff = FIRST_BACKOFF_S
                self._ready = False
                self._error = f"{type(error).__name__}: {error}"
            except schema.SchemaError as error:
                self._ready = False
                self._error = str(error)
            else:
                return
            self._report(now=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), backoff * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            backoff = min(MOST_BACKOFF_S, backoff * 2)

    async def _connect_and_serve(self) -> None:
        connection = await connect(self._settings.url)
        try:
            self._connects += 1
            await self._serve(connection)
        finally:
            connection.terminate()

    async def _serve(self, connection: asyncpg.Connection) -> None:
        await self._prepare(connection)
        while (log_id := self._reader.log_id) is None:
            if await self._idle():
                return
        mover = Mover(connection, log_id)
        self._reader.seek(await mover.begin())
        self._position = mover.position
        self._ready = True
        self._error = ""
        self._report(now=True)
        checked = time.monotonic()
        while True:
            rows = self._reader.read(self._settings.batch_rows, self._settings.batch_bytes)
            end = self._reader.position
            finished = self._reader.finished_segments(end)
            if rows or finished or end != mover.position:
                # A segment goes only after a commit that is on the disk; the others may be taken back, and are
                # then read from the log again.
                await mover.move(rows, end, durable=finished)
                if finished:
                    self._reader.drop_segments(end)
                self._moved(mover, len(rows))
                if time.monotonic() > self._stop_by:
                    break
                checked = time.monotonic()
            elif await self._idle():
                break
            elif connection.is_closed() or time.monotonic() > checked + CHECK_S:
                # A server that was killed may have taken back its last commits, though nothing new is to be moved.
                await mover.check()
                checked = time.monotonic()
        self._report(now=True)

    async def _prepare(self, connection: asyncpg.Connection) -> None:
        """Bring the schema up to date, or check that it is."""
        folders = [Path(folder) for folder in self._settings.migrations]
        wanted = schema.heads(schema.read_revisions(folders))
        present = await schema.current(connection)
        if present == wanted:
            return
        if not self._settings.migrate:
            raise schema.SchemaError(
                f"the database is at {_names(present)}, this version wants {_names(wanted)}: bin/troupe db upgrade"
            )
        self._migrated = tuple(await schema.upgrade(connection, folders))

    async def _idle(self) -> bool:
        """Wait for more. Returns whether to end instead."""
        self._report()
        if self._stop.is_set():
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._settings.interval_s)
        # Once more after the signal: what was appended before it is to be moved.
        return False

    def _moved(self, mover: Mover, rows: int) -> None:
        self._position = mover.position
        self._rows += rows
        self._rejected += len(mover.rejected)
        for row, refusal in mover.rejected:
            self._note(f"rejected a row of {row.table.name}: {refusal.code} {refusal.text}")
        mover.rejected.clear()
        for gap in self._reader.gaps:
            self._note(f"the log cannot be read from {gap.start} to {gap.end}: {gap.reason}")
        self._reader.gaps.clear()
        self._report()

    def _note(self, text: str) -> None:
        if len(self._notes) < MOST_NOTES:
            self._notes.append(text)

    def _report(self, *, now: bool = False) -> None:
        """Write a report if there is something new and the last one is old enough."""
        time_is = time.monotonic()
        if not now and time_is < self._reported + REPORT_S:
            return
        report = WriterReport(
            ready=self._ready,
            position=self._position,
            rows=self._rows,
            rejected=self._rejected,
            connects=self._connects,
            migrated=self._migrated,
            notes=tuple(self._notes),
            error=self._error,
        )
        if report == self._last:
            return
        self._reported = time_is
        self._last = report
        self._notes.clear()
        self._migrated = ()
        os.write(1, msgspec.json.encode(report) + b"\n")


def _names(revisions: frozenset[str]) -> str:
    return ", ".join(sorted(revisions)) or "no revision"


async def main() -> None:
    """Run until SIGTERM."""
    writer = Writer(msgspec.json.decode(os.environ[VARIABLE], type=WriterSettings))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, writer.stop)
    await writer.run()


if __name__ == "__main__":
    asyncio.run(main())
