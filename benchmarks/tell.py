"""Telling one actor: how many messages a second get through, made, told and handled.

A producer leaves messages in bursts of 1,000 and sleeps until they are handled, as a feed does with what one read from
its socket brought. The messages are made inside the measured time; the handler adds a number, and wakes the producer
with the last of a burst. All sides run on one core, and pykka on all of them, too.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

import trio

from benchmarks.harness import TROUPE, Findings, Row, Sample, Scale, at_least, cores, in_turns, measured, times_at_least
from protocols.control import Message
from runtime import Actor, ChildSpec, NodeSettings, open_node, receive
from runtime.collector import GarbageCollector

TITLE = "Telling one actor"
BURST = 1_000
MESSAGES = 2_000_000


class Add(Message, frozen=True, gc=False, tag="bench_add"):
    """What is told."""

    amount: int


class Total(Actor):
    """Adds."""

    handled: trio.Event

    def __init__(self) -> None:
        self.value = 0

    @receive
    def add(self, message: Add) -> None:
        """Add the amount."""
        self.value += message.amount
        if self.value % BURST == 0:
            Total.handled.set()


def troupe(messages: int) -> Sample:
    """Messages a second through `ActorRef.tell`, into a mailbox of the default size."""

    async def main() -> float:
        with GarbageCollector() as collector:
            async with open_node(NodeSettings(), (ChildSpec(name="total", actor=Total),)) as node:
                ref = node.ref("/total")
                collector.freeze()
                tell = ref.tell
                await trio.lowlevel.checkpoint()
                began = time.perf_counter()
                for _ in range(messages // BURST):
                    Total.handled = trio.Event()
                    for _ in range(BURST):
                        tell(Add(1))
                    await Total.handled.wait()
                return time.perf_counter() - began

    return {"messages/s": messages / trio.run(main)}


def channel(messages: int, waits: bool) -> Sample:
    """Messages a second through `trio.open_memory_channel`: `await send` where `waits`, else `send_nowait`."""
    handled = trio.Event()

    async def consume(receiver: trio.MemoryReceiveChannel[Add]) -> None:
        value = 0
        async for message in receiver:
            value += message.amount
            if value % BURST == 0:
                handled.set()

    async def main() -> float:
        nonlocal handled
        sender, receiver = trio.open_memory_channel[Add](1024)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(consume, receiver)
            await trio.lowlevel.checkpoint()
            began = time.perf_counter()
            for _ in range(messages // BURST):
                handled = trio.Event()
                if waits:
                    for _ in range(BURST):
                        await sender.send(Add(1))
                else:
                    for _ in range(BURST):
                        sender.send_nowait(Add(1))
                await handled.wait()
            seconds = time.perf_counter() - began
            nursery.cancel_scope.cancel()
        return seconds

    return {"messages/s": messages / trio.run(main)}


def pykka_actor(messages: int) -> Sample:
    """Messages a second through pykka's `ActorRef.tell` to a ThreadingActor."""
    import pykka

    done: queue.SimpleQueue[int] = queue.SimpleQueue()

    class PykkaTotal(pykka.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            self.value = 0

        def on_receive(self, message: Add) -> None:
            self.value += message.amount
            if self.value % BURST == 0:
                done.put(self.value)

    ref = PykkaTotal.start()
    try:
        tell: Callable[[Add], None] = ref.tell
        began = time.perf_counter()
        for _ in range(messages // BURST):
            for _ in range(BURST):
                tell(Add(1))
            done.get()
        return {"messages/s": messages / (time.perf_counter() - began)}
    finally:
        ref.stop()


def run(scale: Scale) -> Findings:
    """Measure all sides in turns."""
    messages = scale.count(MESSAGES // BURST) * BURST
    fewer = max(BURST, messages // 10 // BURST * BURST)
    core, _ = cores()
    found = in_turns(
        {
            TROUPE: lambda: measured("benchmarks.tell:troupe", core, messages=messages),
            "send": lambda: measured("benchmarks.tell:channel", core, messages=fewer, waits=True),
            "send_nowait": lambda: measured("benchmarks.tell:channel", core, messages=fewer, waits=False),
            "pykka": lambda: measured("benchmarks.tell:pykka_actor", core, messages=fewer),
            "pykka, free": lambda: measured("benchmarks.tell:pykka_actor", "any", messages=fewer),
        },
        scale,
    )
    rates = {side: figures["messages/s"] for side, figures in found.items()}
    ours = rates[TROUPE]
    best_pykka = max(("pykka", "pykka, free"), key=lambda side: sum(rates[side]))

    def against(peer: str, side: str, bound: float) -> Row:
        return Row("tell", "messages/s", ours, peer, rates[side], times_at_least(bound))

    return Findings(
        (
            Row("tell", "messages/s", ours, target=at_least(1_500_000)),
            against("trio.open_memory_channel, await send", "send", 10),
            against("trio.open_memory_channel, send_nowait", "send_nowait", 10),
            against("pykka", best_pykka, 8),
        ),
        (
            f"{messages:,} messages (peers {fewer:,}) in bursts of {BURST:,}; making the message is part of the time.",
            "pykka was measured on one core and on all of them; the faster of the two counts: "
            + ("one core." if best_pykka == "pykka" else "all of them."),
        ),
    )
