"""A hundred thousand actors on one node: how fast they start, what they weigh, what the collector does with them.

They are children of one dynamic supervisor, each started by a `StartChild` ask whose answer says that it is up. The
weight is the growth of the process's resident memory, with everything that is kept for an actor (spec, path, mailbox,
task). Python's garbage collector is in the node's hands, as in a running node, and left alone for comparison.
"""

from __future__ import annotations

import gc
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import trio
import trio.testing

from benchmarks.harness import TROUPE, Findings, Row, Sample, Scale, at_least, at_most, cores, in_turns, measured
from protocols.control import Message
from runtime import Actor, ChildSpec, NodeSettings, StartChild, dynamic_supervisor, open_node, receive
from runtime.collector import GarbageCollector

TITLE = "A hundred thousand actors"
ACTORS = 100_000
TRAFFIC_TURNS = 3
PAGE = 4_096


class Poke(Message, frozen=True, gc=False, tag="bench_poke"):
    """What every actor is told."""

    number: int


class Idle(Actor):
    """Waits, with a little state of its own."""

    def __init__(self) -> None:
        self.last = 0

    @receive
    def poke(self, message: Poke) -> None:
        """Remember the number."""
        self.last = message.number


class Pauses:
    """Measures the collections that nobody asked for, of whatever settings."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.count = 0
        self._began = 0.0

    def observe(self, phase: str, info: dict[str, Any]) -> None:
        """For `gc.callbacks`."""
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.count += 1
            self.longest_s = max(self.longest_s, time.perf_counter() - self._began)

    def take(self) -> float:
        """The longest pause since the last call, in milliseconds."""
        longest, self.longest_s = self.longest_s, 0.0
        return longest * 1e3


def resident_bytes() -> int:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def actors(count: int, owned: bool) -> Sample:
    """Figures of `count` actors; `owned`: with the node's garbage collector instead of Python's."""

    async def main() -> Sample:
        pauses = Pauses()
        collector = GarbageCollector() if owned else None
        with collector or nullcontext():
            async with open_node(NodeSettings(), (dynamic_supervisor("crowd"),)) as node:
                crowd = node.ref("/crowd")
                if collector is not None:
                    collector.freeze()
                gc.callbacks.append(pauses.observe)
                before = resident_bytes()
                began = time.perf_counter()
                refs = [await crowd.ask(StartChild(ChildSpec(name=f"a{n}", actor=Idle))) for n in range(count)]
                seconds = time.perf_counter() - began
                starting = pauses.take()
                weight = resident_bytes() - before
                began = time.perf_counter()
                for turn in range(TRAFFIC_TURNS):
                    for number, ref in enumerate(refs):
                        ref.tell(Poke(turn))
                        if number % 100 == 0:
                            await trio.lowlevel.checkpoint()
                    await trio.testing.wait_all_tasks_blocked()
                poking = time.perf_counter() - began
                traffic = pauses.take()
                weight_used = resident_bytes() - before
                if collector is not None:
                    await collector.collect_at_rest()
                else:
                    gc.collect()
                full = pauses.take()
                gc.callbacks.remove(pauses.observe)
                began = time.perf_counter()
                await node.stop()
                stopping = time.perf_counter() - began
        return {
            "starts/s": count / seconds,
            "bytes each": weight / count,
            "bytes each, used": weight_used / count,
            "messages/s": TRAFFIC_TURNS * count / poking,
            "pause while starting": starting,
            "pause in traffic": traffic,
            "full collection": full,
            "stops/s": count / stopping,
        }

    return trio.run(main)


def run(scale: Scale) -> Findings:
    """Measure with the node's collector and with Python's."""
    core, _ = cores()
    count = scale.count(ACTORS)
    plain = "Python's own collector"
    found = in_turns(
        {
            TROUPE: lambda: measured("benchmarks.population:actors", core, count=count, owned=True),
            plain: lambda: measured("benchmarks.population:actors", core, count=count, owned=False),
        },
        scale,
    )
    ours, theirs = found[TROUPE], found[plain]

    def pause(figure: str, words: str) -> Row:
        return Row(words, "ms", ours[figure], plain, theirs[figure])

    return Findings(
        (
            Row("started, one ask after the other", "actors/s", ours["starts/s"], target=at_least(20_000)),
            Row("resident memory of an actor", "bytes", ours["bytes each"], target=at_most(4_000)),
            Row("the same after it has handled messages", "bytes", ours["bytes each, used"]),
            Row("stopped, with the node", "actors/s", ours["stops/s"]),
            Row("one message to each in turn", "messages/s", ours["messages/s"]),
            pause("pause while starting", "longest collector pause, while they start"),
            pause("pause in traffic", "longest collector pause, in traffic"),
            pause("full collection", "full collection, by the node at rest"),
        ),
        (f"{count:,} actors, then {TRAFFIC_TURNS} messages to each; full collections happen every 300 s in a node.",),
    )
