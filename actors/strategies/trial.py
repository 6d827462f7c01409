"""Trying a strategy without a node: a locked worker of its own, bars handed to it as fast as it takes them.

The worker, the checks and the limits are those of a node. What is different: nothing is waited for, an exception of
the strategy's code ends the trial (or is counted, up to `most_errors`), and its signals pass no filter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
import trio

from actors.strategies.sandbox.control import Limits
from actors.strategies.sandbox.loaded import Loaded
from actors.strategies.sandbox.wire import MOST_BATCH, BarInput, Done, Failed, Level, Load, Ready, WireSignal
from actors.strategies.sandbox.worker import Worker
from actors.strategies.sandbox.zygote import Zygote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME: Final = "trial"
LOG_BYTES: Final = 16 * 1024 * 1024
"""Nobody else's memory is at stake: an author sees all that is printed."""

OnSignal = Callable[[WireSignal, BarInput], None]
OnLog = Callable[[Level, str], None]


@dataclass
class Failure:
    """An exception of the strategy's code, and the bar at which it was raised."""

    error: str
    message: str
    line: int
    bar: BarInput

    def __str__(self) -> str:
        return f"{self.error}: {self.message}"


@dataclass
class Figures:
    """What has come of a trial so far. Times in seconds but where a name says otherwise."""

    bars: int = 0
    signals: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    defaulted: Counter[str] = field(default_factory=Counter)
    metrics: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    logs: int = 0
    cut: int = 0
    code_us: int = 0
    """Processor time in the strategy's code, as the worker has measured it."""
    cpu_ns: int = 0
    """Processor time of the whole worker, as the kernel counts it."""
    memory: int = 0
    """Bytes that the worker has for itself."""
    elapsed: float = 0.0
    handed: tuple[BarInput, BarInput] | None = None
    """First and last of the bars that the worker has and has not answered yet."""

    def as_data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "bars": self.bars,
            "signals": self.signals,
            "actions": dict(self.actions),
            "defaulted": dict(self.defaulted),
            "metrics": self.metrics,
            "errors": [
                {"error": each.error, "message": each.message, "line": each.line, "bar": each.bar.start}
                for each in self.failures
            ],
            "log_lines": self.logs,
            "log_cut": self.cut,
            "us_per_bar": round(self.code_us / self.bars, 3) if self.bars else None,
            "cpu_s": round(self.cpu_ns / 1e9, 6),
            "memory_bytes": self.memory,
            "elapsed_s": round(self.elapsed, 6),
        }


@asynccontextmanager
async def a_worker(limits: Limits) -> AsyncIterator[Worker]:
    """A locked worker of a zygote of its own; both are gone behind the block."""
    zygote = await Zygote.start()
    try:
        worker = await zygote.create(NAME, limits)
        try:
            yield worker
        finally:
            with trio.CancelScope(shield=True):
                await worker.close()
    finally:
        with trio.CancelScope(shield=True):
            await zygote.close()


def load_of(
    filename: str,
    source: str,
    markets: tuple[tuple[str, str], ...],
    parameters: Mapping[str, Any],
    lookback: int,
) -> Load:
    """The request that loads a source for a trial."""
    return Load(
        id=1,
        strategy_id=filename.removesuffix(".py"),
        version="trial",
        filename=filename,
        source=source,
        markets=markets,
        parameters=msgspec.Raw(msgspec.msgpack.encode(dict(parameters))),
        lookback=lookback,
        every_bar=True,
        log_bytes=LOG_BYTES,
        live=False,
    )


async def check(load: Load, limits: Limits) -> Ready:
    """Load it and end. Raises NotLoaded with the problems, WorkerEnded."""
    async with a_worker(limits) as worker:
        loaded = await Loaded.load(worker, load, limits.load_s, limits.call_s)
        return loaded.ready


class Trial:
    """One strategy over many bars. `figures` are good at any time, also where the trial is cancelled."""

    def __init__(self, limits: Limits, on_signal: OnSignal, on_log: OnLog, most_errors: int = 0) -> None:
        self.limits = limits
        self.figures = Figures()
        self.ready: Ready | None = None
        self._on_signal = on_signal
        self._on_log = on_log
        self._most_errors = most_errors

    async def run(self, load: Load, bars: Iterator[BarInput], progress: Callable[[], None]) -> None:
        """Load the strategy and hand it all bars. Raises NotLoaded, WorkerEnded, and whatever reading bars raises."""
        figures = self.figures
        async with a_worker(self.limits) as worker:
            limits = self.limits
            batch_s = max(limits.call_s, limits.batch_s_per_input * MOST_BATCH)
            loaded = await Loaded.load(worker, load, limits.load_s, batch_s)
            self.ready = loaded.ready
            self._logged(loaded.ready)
            began = perf_counter()
            try:
                while batch := tuple(islice(bars, MOST_BATCH)):
                    if not await self._batch(loaded, batch):
                        return
                    figures.elapsed = perf_counter() - began
                    progress()
            finally:
                figures.elapsed = perf_counter() - began
                figures.cpu_ns = worker.cpu_ns()
                figures.memory = worker.memory()

    async def _batch(self, loaded: Loaded, batch: tuple[BarInput, ...]) -> bool:
        """Whether the trial goes on. After an exception it does so behind the bar that has led to it."""
        while batch:
            self.figures.handed = batch[0], batch[-1]
            reply = await loaded.run(batch)
            self.figures.handed = None
            self._took(reply, batch)
            if isinstance(reply, Done):
                return True
            self.figures.failures.append(Failure(reply.error, reply.message, reply.line, batch[reply.count]))
            if len(self.figures.failures) > self._most_errors:
                return False
            batch = batch[reply.count + 1 :]
        return True

    def _took(self, reply: Done | Failed, batch: tuple[BarInput, ...]) -> None:
        figures = self.figures
        figures.bars += reply.count
        figures.code_us += reply.cpu_us
        figures.cut += reply.cut
        figures.metrics |= {metric.name: metric.value for metric in reply.metrics}
        self._logged(reply)
        for signal in reply.signals:
            figures.signals += 1
            figures.actions[signal.action] += 1
            figures.defaulted.update(signal.defaulted)
            self._on_signal(signal, batch[signal.index])

    def _logged(self, reply: Ready | Done | Failed) -> None:
        self.figures.logs += len(reply.logs)
        for line in reply.logs:
            self._on_log(line.level, line.text)
