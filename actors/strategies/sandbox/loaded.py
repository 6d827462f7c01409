"""A strategy that has been loaded into a locked worker: what can be asked of it, one thing at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from actors.strategies.sandbox import wire
from actors.strategies.sandbox.worker import Worker
from protocols.control import Refused


class NotLoaded(Exception):
    """The source or its parameters are not accepted, or building the strategy failed."""

    def __init__(self, reason: str, problems: tuple[wire.Problem, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problems = problems

    @property
    def field(self) -> str:
        """The parameter that is wrong, if it is one."""
        return next((f"parameters.{problem.field}" for problem in self.problems if problem.field), "")


class Loaded:
    """One strategy in one worker. Every method may raise WorkerEnded, and then the worker is gone."""

    def __init__(self, worker: Worker, ready: wire.Ready, call_s: float) -> None:
        self.worker = worker
        self.ready = ready
        self.parameters = msgspec.Raw(ready.values.encode() or b"{}")
        self.call_s = call_s
        self._id = 1

    @classmethod
    async def load(cls, worker: Worker, load: wire.Load, load_s: float, call_s: float) -> Loaded:
        """Load a source into a fresh worker. Raises NotLoaded, WorkerEnded."""
        reply = await worker.call(load, load_s)
        if isinstance(reply, wire.Rejected):
            first = reply.problems[0]
            more = f" (and {len(reply.problems) - 1} more)" if len(reply.problems) > 1 else ""
            raise NotLoaded(f"{place(first, load.filename)}{first.message}{more}", reply.problems)
        if isinstance(reply, wire.Failed):
            at = f" in line {reply.line}" if reply.line else ""
            problem = wire.Problem("error", f"{reply.error}: {reply.message}", reply.line)
            raise NotLoaded(f"building it failed{at}: {reply.error}: {reply.message}", (problem,))
        if not isinstance(reply, wire.Ready):
            raise NotLoaded(f"expected Ready, got {type(reply).__name__}")
        return cls(worker, reply, call_s)

    async def history(self, bars: Sequence[wire.BarInput]) -> None:
        """Fill the windows with bars from before the start, oldest first."""
        for start in range(0, len(bars), 2_000):
            await self._call(wire.History(self._next(), tuple(bars[start : start + 2_000])), self.call_s)

    async def run(
        self, inputs: tuple[wire.Input, ...], *, until_command: bool = False, until_signal: bool = False
    ) -> wire.Done | wire.Failed:
        """Hand it inputs, at most MOST_BATCH; the deadline is for all of them. See `wire.Run` for where it stops."""
        self.begin(inputs, until_command=until_command, until_signal=until_signal)
        return await self.finish()

    def begin(self, inputs: tuple[wire.Input, ...], *, until_command: bool = False, until_signal: bool = False) -> None:
        """Hand it inputs and go on: it works beside us, on another processor where there is one."""
        self._id += 1
        self.worker.begin(wire.Run(self._id, inputs, until_command, until_signal), self.call_s)

    async def finish(self) -> wire.Done | wire.Failed:
        """What came of the inputs that were handed over."""
        reply = await self.worker.finish()
        if not isinstance(reply, wire.Done | wire.Failed):
            raise TypeError(f"expected Done or Failed, got {type(reply).__name__}")
        return reply

    async def configure(self, parameters: dict[str, Any], now: int) -> None:
        """Change parameters. Raises Refused `invalid` with the parameter; then nothing has changed."""
        packed = msgspec.Raw(msgspec.msgpack.encode(parameters))
        reply = await self._call(wire.Configure(self._next(), packed, now), self.call_s)
        if isinstance(reply, wire.Rejected):
            problem = reply.problems[0]
            raise Refused("invalid", problem.message, f"parameters.{problem.field}" if problem.field else "parameters")
        if isinstance(reply, wire.Failed):
            raise Refused("invalid", f"{reply.error}: {reply.message}", "parameters")
        known = msgspec.json.decode(self.parameters)
        self.parameters = msgspec.Raw(msgspec.json.encode(known | parameters))

    async def save(self, now: int) -> bytes | None:
        """Its state (`on_save`), None if it keeps none or failed to tell it."""
        if not self.ready.keeps_state:
            return None
        reply = await self._call(wire.Save(self._next(), now), self.call_s)
        return reply.state if isinstance(reply, wire.Saved) else None

    async def close(self) -> None:
        """End the worker."""
        await self.worker.close()

    def _next(self) -> int:
        self._id += 1
        return self._id

    async def _call(self, request: wire.Request, deadline_s: float) -> wire.Reply:
        return await self.worker.call(request, deadline_s)


def place(problem: wire.Problem, filename: str) -> str:
    """Where a problem is, as a prefix."""
    if not problem.line:
        return ""
    column = f":{problem.column}" if problem.column else ""
    return f"{filename}:{problem.line}{column}: "
