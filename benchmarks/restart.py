"""Let it crash: from the exception in a handler to the next message handled by the new incarnation.

One actor after the other is told a message that crashes it and one that waits behind it. The clock runs from the line
that raises to the handler of the waiting message, which survives the crash in the mailbox. Between them: the traceback
into the log (JSON lines to a file, as a node writes them), the exit, the supervisor's decision, the new instance and
its start. Every actor crashes once: a first restart has no backoff.
"""

from __future__ import annotations

import tempfile
from time import perf_counter_ns

import trio

from benchmarks.harness import TROUPE, Findings, Row, Sample, Scale, at_most, cores, in_turns, measured, quantiles
from protocols.control import Message
from runtime import Actor, Backoff, ChildSpec, NodeSettings, RestartLimit, open_node, receive, supervisor
from runtime.collector import GarbageCollector
from runtime.telemetry import TelemetrySettings, open_telemetry

TITLE = "Restarting a crashed actor"
CRASHES = 2_000
CROWDED = 10_000


class Break(Message, frozen=True, gc=False, tag="bench_break"):
    """Crashes its actor."""


class Next(Message, frozen=True, gc=False, tag="bench_next"):
    """Waits behind it."""


class Stopwatch:
    """What both incarnations write to."""

    crashed_at = 0
    taken: list[int]
    handled: trio.Event


class Fragile(Actor):
    """Crashes when told to."""

    @receive
    def crash(self, message: Break) -> None:
        """Raise."""
        Stopwatch.crashed_at = perf_counter_ns()
        raise RuntimeError("told to")

    @receive
    def following(self, message: Next) -> None:
        """Take the time."""
        Stopwatch.taken.append(perf_counter_ns() - Stopwatch.crashed_at)
        Stopwatch.handled.set()


def restarts(crashes: int, others: int = 0) -> Sample:
    """Quantiles in milliseconds over `crashes` actors, with `others` that do nothing beside them."""
    limit = RestartLimit(count=10 * crashes, seconds=3600.0)
    children = [
        ChildSpec(name=f"f{number}", actor=Fragile, backoff=Backoff(0, 0)) for number in range(crashes + others)
    ]

    async def main() -> None:
        with GarbageCollector() as collector:
            async with open_node(NodeSettings(), (supervisor("desk", *children, limit=limit),)) as node:
                collector.freeze()
                for number in range(crashes):
                    ref = node.ref(f"/desk/f{number}")
                    Stopwatch.handled = trio.Event()
                    ref.tell(Break())
                    ref.tell(Next())
                    await Stopwatch.handled.wait()

    Stopwatch.taken = []
    with tempfile.TemporaryFile("w") as stream, open_telemetry(TelemetrySettings(format="json"), stream=stream):
        trio.run(main)
    p50, p99, p999 = quantiles((taken / 1e6 for taken in Stopwatch.taken), 0.5, 0.99, 0.999)
    return {"p50": p50, "p99": p99, "p99.9": p999}


def run(scale: Scale) -> Findings:
    """Measure alone and in a crowd."""
    core, _ = cores()
    crashes, crowd = scale.count(CRASHES, 200), scale.count(CROWDED)
    beside = f"beside {crowd:,} others"
    found = in_turns(
        {
            TROUPE: lambda: measured("benchmarks.restart:restarts", core, crashes=crashes),
            beside: lambda: measured("benchmarks.restart:restarts", core, crashes=crashes, others=crowd),
        },
        scale,
    )
    rows = [Row(f"crash to next message, {share}", "ms", values) for share, values in found[TROUPE].items()]
    rows[1] = Row(rows[1].figure, "ms", rows[1].values, target=at_most(1.0))
    rows.append(Row(f"the same, {beside}, p99", "ms", found[beside]["p99"], target=at_most(1.0)))
    return Findings(tuple(rows), (f"{crashes:,} crashes a turn, one after the other, each of another actor.",))
