"""Our side of the cluster's benchmark: each function is a node of its own, with actors placed in workers."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import trio

from benchmarks.cluster_actors import (
    Add,
    Echo,
    GetProcess,
    GetTaken,
    GetTotal,
    Placed,
    Publish,
    Tick,
    Timed,
    Tock,
    Work,
)
from benchmarks.harness import Sample, quantiles
from protocols.control import Message, Refused, Unknown
from runtime import (
    ActorRef,
    Backoff,
    ChildSpec,
    HostOptions,
    Mailbox,
    Node,
    NodeSettings,
    RestartLimit,
    open_node,
    supervisor,
)
from runtime.cluster.settings import ClusterSettings
from runtime.collector import GarbageCollector

LONG_S = 120.0
ASKERS = 64
BURST = 512
LOOKS = 8
LOOK_S = 0.8
"""How long the node is looked at, at rest and at every rate."""
SPREAD_S = 0.3
"""Before the node's costs are measured: workers tell of themselves at their start."""


def specs(placement: str, count: int, *, share: str = "", ticks: bool = False, capacity: int = 8192) -> list[ChildSpec]:
    """`count` actors named a0, a1 …, each in a worker of its own unless they share one."""
    return [
        ChildSpec(
            f"a{number}",
            Placed,
            {"ticks": ticks},
            placement=cast("Any", placement),
            host=HostOptions(share=share),
            mailbox=Mailbox(capacity),
            backoff=Backoff(0, 0),
            start_s=LONG_S,
        )
        for number in range(count)
    ]


def node_with(children: list[ChildSpec], data_dir: str) -> AbstractAsyncContextManager[Node]:
    """A node whose actors may crash as often as they like; an empty folder: without a cluster."""
    limit = RestartLimit(count=10_000, seconds=60.0)
    settings = ClusterSettings(address="local") if data_dir else None
    return open_node(
        NodeSettings(data_dir=data_dir or "."), (supervisor("desk", *children, limit=limit),), cluster=settings
    )


def on_a_node(
    children: list[ChildSpec], data_dir: str, work: Callable[[Node, list[ActorRef]], Awaitable[Sample]]
) -> Sample:
    """Run `work` once all the children are up."""

    async def main(folder: str) -> Sample:
        with GarbageCollector() as collector:
            async with node_with(children, folder) as node:
                refs = [node.ref(f"/desk/{child.name}") for child in children]
                await all_up(refs)
                collector.freeze()
                await trio.sleep(SPREAD_S)
                return await work(node, refs)

    if data_dir:
        return trio.run(main, data_dir)
    with tempfile.TemporaryDirectory() as folder:
        return trio.run(main, folder)


async def all_up(refs: list[ActorRef]) -> list[int]:
    """Wait until all answer; returns their processes."""
    return [await patiently(ref) for ref in refs]


async def patiently(ref: ActorRef) -> int:
    """The process of an actor, as soon as it answers."""
    with trio.fail_after(LONG_S):
        while True:
            try:
                process: int = await ref.ask(GetProcess(), LONG_S)
            except (Refused, Unknown):
                await trio.sleep(0.001)
            else:
                return process


async def handled(ref: ActorRef, number: int) -> None:
    """Wait until an actor has handled so many messages."""
    with trio.fail_after(LONG_S):
        while True:
            try:
                total = await ref.ask(GetTotal(), LONG_S)
            except Refused:  # its mailbox is full
                await trio.sleep(0.001)
                continue
            if total != number:
                raise RuntimeError(f"{ref.path} has handled {total} messages of {number}")
            return


async def flood(refs: list[ActorRef], message: Message, count: int) -> float:
    """Tell `count` messages in all to actors in turns, as fast as their mailboxes take them; returns the seconds."""
    made = type(message)
    (field,) = made.__struct_fields__
    argument = getattr(message, field)
    before = [await ref.ask(GetTotal(), LONG_S) for ref in refs]
    each = count // len(refs)
    began = time.perf_counter()

    async def to_one(ref: ActorRef) -> None:
        tell = ref.tell
        for first in range(0, each, BURST):
            for _ in range(min(BURST, each - first)):
                if not tell(made(argument)):
                    await ref.send(made(argument), LONG_S)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for ref in refs:
            nursery.start_soon(to_one, ref)
    for ref, already in zip(refs, before, strict=True):
        await handled(ref, already + each)
    return time.perf_counter() - began


async def paced(refs: list[ActorRef], rate: float, seconds: float, seed: int = 7) -> tuple[list[int], float]:
    """Timed messages at random moments, to each actor in turn; returns their nanoseconds, and the node's share of a
    processor meanwhile."""
    chance = random.Random(seed)
    due = trio.current_time() + 0.05
    end = due + seconds
    number = 0
    cpu, began = time.process_time(), time.perf_counter()
    while due < end:
        if due > trio.current_time():
            await trio.sleep_until(due)
        if not refs[number % len(refs)].tell(Timed(time.perf_counter_ns())):
            raise RuntimeError(f"a mailbox is full at {rate:g} messages/s")
        number += 1
        due += chance.expovariate(rate)
    busy = (time.process_time() - cpu) / (time.perf_counter() - began)
    taken: list[int] = []
    for ref in refs:
        found: tuple[int, ...] = await ref.ask(GetTaken(), LONG_S)
        taken += found
    if len(taken) != number:
        raise RuntimeError(f"{len(taken)} of {number} messages were handled")
    return taken, busy


# What is measured.


def calls(placement: str, data_dir: str, messages: int, asks: int) -> Sample:
    """Throughput of tell, times of asks, and what both cost the node."""

    async def work(node: Node, refs: list[ActorRef]) -> Sample:
        (ref,) = refs
        await flood(refs, Add(1), messages // 10)
        cpu = time.process_time()
        seconds = await flood(refs, Add(1), messages)
        node_us = (time.process_time() - cpu) / messages * 1e6
        taken = []
        for value in range(asks // 10):
            await ref.ask(Echo(value))
        cpu = time.process_time()
        for value in range(asks):
            began = time.perf_counter_ns()
            await ref.ask(Echo(value))
            taken.append(time.perf_counter_ns() - began)
        ask_us = (time.process_time() - cpu) / asks * 1e6
        p50, p99 = quantiles(taken, 0.5, 0.99)

        async def asker() -> None:
            for value in range(asks * 4 // ASKERS):
                await ref.ask(Echo(value))

        began_s = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(ASKERS):
                nursery.start_soon(asker)
        asked = asks * 4 // ASKERS * ASKERS / (time.perf_counter() - began_s)
        return {
            "messages/s": messages / seconds,
            "node µs/message": node_us,
            "p50": p50 / 1e3,
            "p99": p99 / 1e3,
            "node µs/ask": ask_us,
            "asks/s": asked,
        }

    return on_a_node(specs(placement, 1), data_dir, work)


def kills(placement: str, data_dir: str, count: int) -> Sample:
    """Milliseconds from the end of a worker to the next handled message."""

    async def work(node: Node, refs: list[ActorRef]) -> Sample:
        (ref,) = refs
        taken = []
        for _ in range(count):
            process = await patiently(ref)
            began = time.perf_counter_ns()
            os.kill(process, signal.SIGKILL)
            while await patiently(ref) == process:
                pass
            taken.append((time.perf_counter_ns() - began) / 1e6)
            await trio.sleep(0.2)
        return {"median": quantiles(taken, 0.5)[0], "worst": max(taken)}

    return on_a_node(specs(placement, 1), data_dir, work)


def unwanted(placement: str, data_dir: str, count: int) -> Sample:
    """Nanoseconds of a publish that nobody elsewhere wants.

    In a node alone, beside four workers that have subscribed to something else, and in a worker.
    """

    async def work(node: Node, refs: list[ActorRef]) -> Sample:
        found = []
        for _ in range(LOOKS):
            # Of this thread alone: what others take of the processor is no part of it.
            began = time.thread_time_ns()
            for number in range(count):
                node.publish(Tock(0, number))
            found.append((time.thread_time_ns() - began) / count)
            await trio.sleep(0.01)
        sample = {"node ns": min(found)}
        if refs:
            sent = []
            for _ in range(LOOKS):
                sent.append(await refs[0].ask(Publish(count), LONG_S) / count)
            # The first tells the node of the topic.
            sample["worker ns"] = min(sent[1:])
        return sample

    alone = on_a_node([], data_dir, work)
    beside = on_a_node(specs(placement, 4, ticks=True), data_dir, work)
    return {"alone": alone["node ns"], "beside": beside["node ns"], "worker": beside["worker ns"]}


def topic(placement: str, data_dir: str, published: int, rate: float, seconds: float) -> Sample:
    """What a topic costs with so many remote subscribers, in one worker or in one each."""
    cases: dict[str, list[ChildSpec]] = {
        "0": [],
        "1": specs(placement, 1, ticks=True),
        "4 in 1": specs(placement, 4, ticks=True, share="one"),
        "4 in 4": specs(placement, 4, ticks=True),
    }
    sample: Sample = {}
    for case, children in cases.items():

        async def work(node: Node, refs: list[ActorRef]) -> Sample:
            cpu, began = time.process_time(), time.perf_counter()
            for first in range(0, published, BURST):
                for number in range(first, first + BURST):
                    node.publish(Tick(0, number))
                await trio.lowlevel.checkpoint()
                # Nothing may be lost: the next burst waits for room for it in every mailbox.
                for ref in refs:
                    while not await has_room(ref, first + BURST):
                        await trio.lowlevel.checkpoint()
            for ref in refs:
                await handled(ref, published)
            took = time.perf_counter() - began
            found = {"published/s": published / took, "node µs": (time.process_time() - cpu) / published * 1e6}
            if refs:
                taken = await published_at(node, refs, rate, seconds)
                p50, p99 = quantiles(taken, 0.5, 0.99)
                found |= {"p50": p50 / 1e3, "p99": p99 / 1e3}
            return found

        sample |= {f"{case} {name}": value for name, value in on_a_node(children, data_dir, work).items()}
    return sample


async def has_room(ref: ActorRef, sent: int) -> bool:
    """Whether an actor is no more than a few bursts behind."""
    return await ref.ask(GetTotal(), LONG_S) >= sent - 4 * BURST


async def published_at(node: Node, refs: list[ActorRef], rate: float, seconds: float) -> list[int]:
    """Nanoseconds from a publish to each of its handlers, at random moments."""
    chance = random.Random(7)
    due = trio.current_time() + 0.05
    end = due + seconds
    while due < end:
        await trio.sleep_until(due)
        node.publish(Tick(time.perf_counter_ns(), 1))
        due += chance.expovariate(rate)
    return [each for ref in refs for each in await ref.ask(GetTaken(), LONG_S)]


def workers(placement: str, data_dir: str, count: int, messages: int, busy_us: int, rates: list[float]) -> Sample:
    """Start and memory of `count` workers, the same load spread over them, and what they cost the node."""

    async def main(folder: str) -> Sample:
        began = time.perf_counter()
        with GarbageCollector() as collector:
            async with node_with(specs(placement, count), folder) as node:
                refs = [node.ref(f"/desk/a{number}") for number in range(count)]
                processes = await all_up(refs)
                sample: Sample = {"start": time.perf_counter() - began}
                collector.freeze()
                await trio.sleep(SPREAD_S)
                sample["pss"] = sum(memory_mb(process, "Pss") for process in processes)
                sample["rss"] = sum(memory_mb(process, "Rss") for process in processes)
                sample["gateway"] = sum(memory_mb(process, "Pss") for process in gateways())
                await flood(refs, Add(1), messages // 10)
                cpu = time.process_time()
                sample["light/s"] = messages / await flood(refs, Add(1), messages)
                sample["node µs/message"] = (time.process_time() - cpu) / messages * 1e6
                worked = max(count, messages // 20 // count * count)
                sample["heavy/s"] = worked / await flood(refs, Work(busy_us * 1000), worked)
                cpu = time.process_time()
                await trio.sleep(LOOK_S)
                sample["idle ms/s"] = (time.process_time() - cpu) / LOOK_S * 1e3
                for rate in rates:
                    taken, busy = await paced(refs, rate, LOOK_S)
                    p50, p99 = quantiles(taken, 0.5, 0.99)
                    sample |= {f"{rate:g} busy": busy * 100, f"{rate:g} p50": p50 / 1e3, f"{rate:g} p99": p99 / 1e3}
                return sample

    if data_dir:
        return trio.run(main, data_dir)
    with tempfile.TemporaryDirectory() as folder:
        return trio.run(main, folder)


def gateways() -> list[int]:
    """The process of this node's gateway, if it has one."""
    found = Path("/proc/self/task").glob("*/children")
    children = [int(word) for each in found for word in each.read_text(encoding="ascii").split()]
    return [each for each in children if b"runtime.cluster.gateway" in Path(f"/proc/{each}/cmdline").read_bytes()]


def memory_mb(process: int, kind: str) -> float:
    """The resident memory of a process, in MB: `Pss` shares what is shared, `Rss` counts it in full."""
    for line in Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"no {kind} of process {process}")
