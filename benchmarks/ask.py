"""Asking: a round trip with its deadline, against the two task switches that it cannot do without.

The peer is the least that trio lets two tasks do: one reschedules the other and waits, and the other way round
(`trio.lowlevel.wait_task_rescheduled`, `reschedule`), with no message, no answer and no deadline. Both run in blocks,
in turns, on the same loop. The asker is a plain task, and an actor in one of its handlers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter_ns

import trio
import trio.testing
from trio.lowlevel import Abort, Task, current_task, reschedule, wait_task_rescheduled

from benchmarks.harness import TROUPE, Findings, Row, Sample, Scale, cores, in_turns, measured, quantiles, times_at_most
from protocols.control import Request
from runtime import Actor, ActorRef, ChildSpec, NodeSettings, open_node, receive
from runtime.collector import GarbageCollector

TITLE = "Asking one actor"
BLOCK = 2_000
DEADLINE_S = 5.0
BLOCKS = 40


class Echo(Request[int], frozen=True, gc=False, tag="bench_echo"):
    """What is asked."""

    value: int


class Measure(Request[tuple[int, ...]], frozen=True, gc=False, tag="bench_measure"):
    """Has an actor ask another one, so many times; the answer is the nanoseconds of each."""

    count: int


class Answering(Actor):
    """Answers."""

    @receive
    def echo(self, request: Echo) -> int:
        """Give the value back."""
        return request.value


class Asking(Actor):
    """Asks from inside a handler."""

    def on_start(self) -> None:
        """Find whom to ask."""
        self.other = self.lookup("/answering")

    @receive
    async def measure(self, request: Measure) -> tuple[int, ...]:
        """Ask and measure."""
        return tuple(await asks(self.other, request.count))


async def asks(ref: ActorRef, count: int) -> list[int]:
    """Nanoseconds of `count` asks, one after the other."""
    taken = []
    for value in range(count):
        began = perf_counter_ns()
        await ref.ask(Echo(value), DEADLINE_S)
        taken.append(perf_counter_ns() - began)
    return taken


class Switches:
    """Two tasks that do nothing but wake one another."""

    def __init__(self) -> None:
        self._asker: Task | None = None
        self._other: Task

    async def answer(self) -> None:
        """Wake whoever has woken this, for ever."""
        self._other = current_task()
        while True:
            await wait_task_rescheduled(_succeed)
            assert self._asker is not None
            reschedule(self._asker)

    async def measure(self, count: int) -> list[int]:
        """Nanoseconds of `count` pairs of switches."""
        self._asker = current_task()
        taken = []
        for _ in range(count):
            began = perf_counter_ns()
            reschedule(self._other)
            await wait_task_rescheduled(_succeed)
            taken.append(perf_counter_ns() - began)
        return taken


def _succeed(_: object) -> Abort:
    return Abort.SUCCEEDED


def round_trips(blocks: int, block: int = BLOCK) -> Sample:
    """Quantiles of all three, in microseconds."""

    async def main() -> dict[str, list[int]]:
        children = (ChildSpec(name="answering", actor=Answering), ChildSpec(name="asking", actor=Asking))
        switches = Switches()
        taken: dict[str, list[int]] = {"task": [], "actor": [], "switches": []}
        with GarbageCollector() as collector:
            async with open_node(NodeSettings(), children) as node, trio.open_nursery() as nursery:
                answering, asking = node.ref("/answering"), node.ref("/asking")
                nursery.start_soon(switches.answer)
                await trio.testing.wait_all_tasks_blocked()
                collector.freeze()

                async def by_actor(count: int) -> list[int]:
                    found: tuple[int, ...] = await asking.ask(Measure(count), 60.0)
                    return list(found)

                ways: dict[str, Callable[[int], Awaitable[list[int]]]] = {
                    "task": lambda count: asks(answering, count),
                    "switches": switches.measure,
                    "actor": by_actor,
                }
                for number in range(blocks + 1):
                    for way, measure in ways.items():
                        found = await measure(block)
                        if number:  # the first block warms up
                            taken[way] += found
                nursery.cancel_scope.cancel()
        return taken

    sample: Sample = {}
    for way, nanoseconds in trio.run(main).items():
        p50, p99 = quantiles(nanoseconds, 0.5, 0.99)
        sample |= {f"{way} p50": p50 / 1e3, f"{way} p99": p99 / 1e3}
    return sample


def run(scale: Scale) -> Findings:
    """Measure asks and switches on one loop."""
    core, _ = cores()
    blocks = scale.count(BLOCKS, 4)
    found = in_turns({TROUPE: lambda: measured("benchmarks.ask:round_trips", core, blocks=blocks)}, scale)[TROUPE]

    def against(way: str, share: str, bound: float | None) -> Row:
        return Row(
            f"ask from {'a task' if way == 'task' else 'an actor'}, {share}",
            "µs",
            found[f"{way} {share}"],
            f"two task switches, {share}",
            found[f"switches {share}"],
            None if bound is None else times_at_most(bound),
        )

    return Findings(
        (
            against("task", "p50", 1.5),
            against("task", "p99", None),
            against("actor", "p50", 1.5),
            against("actor", "p99", None),
        ),
        (f"{blocks * BLOCK:,} round trips a turn, each with a deadline of {DEADLINE_S:g} s, in blocks of {BLOCK:,}.",),
    )
