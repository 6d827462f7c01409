"""The embedded PostgreSQL as an actor: its end is this actor's crash, and a restart starts it again."""

from __future__ import annotations

from pathlib import Path

import trio

from actors.storage.embedded import EmbeddedServer
from protocols.control import ExitReason, Probe, ProbeReport
from runtime import Actor, receive
from runtime.process import ChildProcess


class Postgres(Actor):
    """Runs the server in `folder`. Up at once; the server is made and started behind the recovery gate."""

    def __init__(self, folder: str, user: str | None = None, stop_s: float = 3.0) -> None:
        self._server = EmbeddedServer(Path(folder), user)
        self._stop_s = stop_s
        self._process: ChildProcess | None = None

    async def on_continue(self) -> None:
        """Wait until the server takes connections."""
        started = trio.Event()
        self.spawn(self._run, started, name="server")
        await started.wait()

    async def on_stop(self, reason: ExitReason) -> None:
        """Fast shutdown: open transactions are rolled back, and the next start needs no recovery."""
        if self._process is not None:
            await self._process.stop(self._stop_s)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Tell which process it is."""
        assert self._process is not None
        return ProbeReport("ok", figures=(("pid", self._process.pid),))

    async def _run(self, started: trio.Event) -> None:
        async with self._server.running(self._stop_s) as process:
            self._process = process
            started.set()
            await process.watch()
