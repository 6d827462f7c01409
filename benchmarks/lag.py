"""The loop's lag under load: 200 actors that always have something to do, each message 10 µs of work.

Lag is how much later than asked a task wakes that sleeps one millisecond: what a socket that has become readable, or a
deadline, would wait for its turn. Every handler tells its own actor the next message, so no mailbox is ever empty. The
peers are 200 plain trio tasks that do the same work and give the loop back after every piece, and after 64 pieces.
"""

from __future__ import annotations

from time import perf_counter, perf_counter_ns

import trio
import trio.testing

from benchmarks.harness import TROUPE, Findings, Row, Sample, Scale, at_most, cores, in_turns, measured, quantiles
from protocols.control import Message
from runtime import Actor, ChildSpec, NodeSettings, open_node, receive
from runtime.collector import GarbageCollector

TITLE = "The loop's lag under load"
ACTORS = 200
WORK_NS = 10_000
QUEUED = 64
SLEEP_S = 0.001
WARM_S = 0.3


class Work(Message, frozen=True, gc=False, tag="bench_work"):
    """A piece of work."""


def work() -> None:
    """Hold the loop for 10 µs."""
    end = perf_counter_ns() + WORK_NS
    while perf_counter_ns() < end:
        pass


class Worker(Actor):
    """Never has nothing to do."""

    done = 0
    resting = False

    def on_start(self) -> None:
        """Fill the mailbox."""
        for _ in range(QUEUED):
            self.ref.tell(Work())

    @receive
    def piece(self, message: Work) -> None:
        """Work, and have the next piece put behind the others."""
        work()
        Worker.done += 1
        if not Worker.resting:
            self.ref.tell(message)


async def lags(seconds: float) -> list[float]:
    """How late the loop is, in milliseconds, measured again and again for some seconds."""
    await trio.sleep(WARM_S)
    found = []
    end = perf_counter() + seconds
    while (began := perf_counter()) < end:
        await trio.sleep(SLEEP_S)
        found.append((perf_counter() - began - SLEEP_S) * 1e3)
    return found


def _sample(found: list[float], done: int, seconds: float) -> Sample:
    p50, p99, most = quantiles(found, 0.5, 0.99, 1.0)
    return {"p50": p50, "p99": p99, "longest": most, "busy": done * WORK_NS / 1e9 / seconds}


def actors(seconds: float, count: int = ACTORS) -> Sample:
    """The lag beside actors; `busy` is the share of the time that handlers had."""

    Worker.resting = False

    async def main() -> Sample:
        children = tuple(ChildSpec(name=f"w{number}", actor=Worker) for number in range(count))
        with GarbageCollector() as collector:
            async with open_node(NodeSettings(), children):
                collector.freeze()
                began, before = perf_counter(), Worker.done
                found = await lags(seconds)
                sample = _sample(found, Worker.done - before, perf_counter() - began)
                # Messages that nobody handles any more are dead letters, and each of them is a line in the log.
                Worker.resting = True
                await trio.testing.wait_all_tasks_blocked()
        return sample

    return trio.run(main)


def tasks(seconds: float, pieces: int, count: int = ACTORS) -> Sample:
    """The lag beside plain tasks that give the loop back after so many pieces of work."""

    async def main() -> Sample:
        done = 0

        async def toil() -> None:
            nonlocal done
            while True:
                for _ in range(pieces):
                    work()
                done += pieces
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(toil)
            began = perf_counter()
            found = await lags(seconds)
            sample = _sample(found, done, perf_counter() - began)
            nursery.cancel_scope.cancel()
        return sample

    return trio.run(main)


def run(scale: Scale) -> Findings:
    """Measure actors and tasks in turns."""
    core, _ = cores()
    every, batches = "plain tasks, a turn per piece", "plain tasks, 64 pieces per turn"
    found = in_turns(
        {
            TROUPE: lambda: measured("benchmarks.lag:actors", core, seconds=scale.seconds),
            every: lambda: measured("benchmarks.lag:tasks", core, seconds=scale.seconds, pieces=1),
            batches: lambda: measured("benchmarks.lag:tasks", core, seconds=scale.seconds, pieces=64),
        },
        scale,
    )
    ours = found[TROUPE]

    def share(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(100 * value for value in values)

    return Findings(
        (
            Row("lag, p50", "ms", ours["p50"], every, found[every]["p50"]),
            Row("lag, p99", "ms", ours["p99"], every, found[every]["p99"], at_most(5.0)),
            Row("lag, p99", "ms", ours["p99"], batches, found[batches]["p99"]),
            Row("lag, longest", "ms", ours["longest"], every, found[every]["longest"]),
            Row("share of the time that the work gets", "%", share(ours["busy"]), every, share(found[every]["busy"])),
        ),
        (f"{ACTORS} actors with {QUEUED} messages each, {scale.seconds:g} s a turn.",),
    )
