"""Runs attacks, each in a fresh worker of one zygote, and says what each has breached.

    outcomes = await run_attacks(ATTACKS, Layers(namespaces=False))

Beside the attacker stands a neighbour: another strategy of the same zygote, whose answers must stay the same. What has
been reached is undone after each attack, and a zygote or a neighbour that fell is replaced.
"""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

import math
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec
import trio

from actors.strategies.sandbox import wire
from actors.strategies.sandbox.zygote import Layers, Limits, Worker, WorkerEnded, Zygote, ZygoteFailed
from tests.actors.strategies.sandbox.corpus import breach
from tests.actors.strategies.sandbox.corpus.attack import Attack, Step, filled
from tests.actors.strategies.sandbox.corpus.scene import Scene

MEMORY_MB: Final = 40
LOAD_S: Final = 3.0
HANGS_S: Final = 20.0
"""A call that has not ended so long after its deadline never will."""
WAY_TOO_MUCH: Final = 512 * 1024 * 1024
"""Where even an attack without any layer in its way is ended by the suite."""
NODE_MEMORY: Final = 48 * 1024 * 1024
"""Bytes by which the node's memory may grow while an attack runs."""
_STARTING: Final = frozenset({"processes", "signals", "syscalls", "imports", "network"})
"""Categories after which all processes of the machine are looked through for what a worker has left behind."""
START: Final = 1_000_000_000_000_000_000
"""The time of the inputs: September 2001."""

NEIGHBOUR: Final = """
import math
import random
import numpy as np

SECRET = "@NEIGHBOUR_SECRET@"

def generate_signal(data, parameters):
    table = list(data.values())[0]
    values = np.arange(20.0)
    np.seterr(all="ignore")
    figures = [
        float(np.mean(values)), float(np.std(values)), float(np.median(values)), math.sqrt(2), math.pi, len("abc"), 7 + 1,
        float(table.close[-1]), str(np.array([1.23456789])), "%r" % (0.1 + 0.2), sorted([3, 1, 2]), int.__name__,
    ]
    random.seed(5)
    figures.append(random.random())
    return {"action": "BUY", "confidence": 0.5, "metadata": {"figures": str(figures), "chance": random.random()}}
"""


@dataclass
class Outcome:
    """What came of an attack."""

    attack: Attack
    breaches: dict[str, str] = field(default_factory=dict)
    """What was breached, with the evidence."""
    ended: str = ""
    """The cause with which the node ended the worker; empty: it lived."""
    detail: str = ""
    replies: list[wire.Reply] = field(default_factory=list)

    def __str__(self) -> str:
        said = ", ".join(f"{name}: {evidence}" for name, evidence in self.breaches.items())
        return f"[{self.attack.category}] {self.attack.name}: {said or 'nothing'} (ended: {self.ended or 'no'})"


def _bar(number: int) -> wire.BarInput:
    start = START + number * 60_000_000_000
    price = 100.0 + math.sin(number)
    return wire.BarInput(
        "AAA", "1m", start, start + 60_000_000_000, price, price + 1, price - 1, price, 5.0, 3.0, price, start
    )


def _load(source: str, number: int = 1, state: bytes | None = None) -> wire.Load:
    return wire.Load(
        id=number,
        strategy_id="attack",
        version="1",
        filename="strategy.py",
        source=source,
        markets=(("AAA", "1m"),),
        parameters=msgspec.Raw(msgspec.msgpack.encode({})),
        lookback=50,
        every_bar=True,
        state=state,
        now=START,
    )


def _request(step: Step, number: int) -> wire.Request:
    if step == "run":
        return wire.Run(number, (_bar(number),))
    if step == "run_many":
        return wire.Run(number, tuple(_bar(number * 1000 + each) for each in range(32)))
    if step == "history":
        return wire.History(number, tuple(_bar(each) for each in range(5)))
    if step == "configure":
        return wire.Configure(number, msgspec.Raw(msgspec.msgpack.encode({"a": 1})), START)
    return wire.Save(number, START)


def _told(replies: Sequence[wire.Reply]) -> bytes:
    return b"\n".join(msgspec.msgpack.encode(reply) for reply in replies)


def _repeatable(replies: Sequence[wire.Reply]) -> list[bytes]:
    """Replies without the processor time that they tell."""
    return [msgspec.msgpack.encode(msgspec.structs.replace(reply, cpu_us=0)) for reply in replies]


class _Range:
    def __init__(self, scene: Scene, layers: Layers, limits: Limits) -> None:
        self._scene = scene
        self._layers = layers
        self._limits = limits
        self._zygote: Zygote | None = None
        self._neighbour: Worker | None = None
        self._usual: list[bytes] = []
        self._harmless: dict[str, object] = {}
        self._usual_memory = 0
        self._asked = 10

    async def open(self) -> None:
        self._zygote = await Zygote.start(layers=self._layers)
        self._neighbour, self._usual = await self._new_neighbour()
        harmless = await self._zygote.create("harmless", self._limits)
        await harmless.call(_load("def generate_signal(data, parameters):\n    return None\n"), LOAD_S)
        await harmless.call(_request("run", 2), 5)
        self._harmless = breach.kernel_facts(harmless.pid)
        self._usual_memory = breach.peak_memory(harmless.pid)
        await harmless.close()

    async def close(self) -> None:
        if self._zygote is not None:
            self._revive(self._zygote.pid)
            with trio.CancelScope(shield=True):
                await self._zygote.close()
        self._zygote = self._neighbour = None

    async def _new_neighbour(self) -> tuple[Worker, list[bytes]]:
        assert self._zygote is not None
        source = filled(NEIGHBOUR, {"NEIGHBOUR_SECRET": self._scene.secrets["neighbour"]})
        worker = await self._zygote.create("neighbour", self._limits)
        replies = [await worker.call(_load(source), LOAD_S), await worker.call(_request("run", 10), 5)]
        assert isinstance(replies[0], wire.Ready), replies[0]
        assert isinstance(replies[1], wire.Done), replies[1]
        assert replies[1].signals, replies[1]
        return worker, _repeatable(replies[1:])

    async def _neighbour_changed(self, *, fresh: bool) -> str:
        """What is different with the neighbour (and with one that is started now); it and the zygote are renewed."""
        assert self._zygote is not None
        assert self._neighbour is not None
        self._asked += 1
        changed = ""
        try:
            with trio.fail_after(HANGS_S):
                # The same input under another number: only the number may differ.
                request = wire.Run(self._asked, (_bar(10),))
                reply = await self._neighbour.call(request, 2)
                if _repeatable([msgspec.structs.replace(reply, id=10)]) != self._usual:
                    changed = f"it answers {reply}"[:400]
                if fresh and not changed:
                    worker, usual = await self._new_neighbour()
                    await worker.close()
                    if usual != self._usual:
                        changed = "one that was started afterwards answers otherwise"
        except (WorkerEnded, ZygoteFailed, trio.TooSlowError) as error:
            changed = f"{type(error).__name__}: {error}"
        if changed:
            await self.close()
            await self.open()
        return changed

    def _revive(self, pid: int) -> None:
        """Let go on what an attack has stopped."""
        for process in (pid, *breach.children(pid)):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)

    async def attack(self, attack: Attack) -> Outcome:
        """Run one attack and look at what it did."""
        assert self._zygote is not None
        assert self._neighbour is not None
        outcome = Outcome(attack)
        limit = self._limits.memory_mb * 1024 * 1024
        values = self._scene.values(limit) | {"NEIGHBOUR": str(self._neighbour.pid)}
        source = filled(attack.source, values)
        node_memory = breach.own_memory()
        worker = await self._zygote.create(attack.name, self._limits)
        peak = await self._talk(worker, attack, source, outcome)
        pid = worker.pid
        self._look_at_worker(pid, attack, outcome, max(peak, breach.peak_memory(pid)))
        # A tracer's hold on the victim ends with it; as long as it lasts, nobody else can bury the victim.
        if harm := self._scene.victim.harm():
            outcome.breaches["victim"] = harm[:300]
        started = breach.children(pid)
        if attack.category in _STARTING:
            started += breach.descendants(frozenset((pid,)))
        try:
            if worker.ended is None:
                await worker.close()
        except trio.TooSlowError:
            outcome.breaches["neighbour"] = "the zygote does not reap"
            self._revive(self._zygote.pid)
        if attack.category in _STARTING:
            started += breach.descendants(frozenset((pid,)))
        if started:
            outcome.breaches["process"] = f"{len(set(started))} processes"
            for each in set(started):
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        self._look_at_replies(attack, outcome)
        if breach.own_memory() - node_memory > NODE_MEMORY:
            outcome.breaches["node"] = f"{breach.own_memory() - node_memory} bytes more in the node"
        if attack.category == "clock":
            await self._look_again(attack, source, outcome)
        if changed := await self._neighbour_changed(fresh=attack.category == "state"):
            outcome.breaches["neighbour"] = changed
        # Now, since a worker whose zygote is gone is buried with what is left of it.
        if breach.exists(pid):
            outcome.breaches["deadline"] = "the worker outlived its end"
        outcome.breaches |= self._scene.news()
        return outcome

    async def _talk(self, worker: Worker, attack: Attack, source: str, outcome: Outcome) -> int:
        """Load and run it; returns the most memory that was seen."""
        peak = 0
        done = trio.Event()

        async def watch() -> None:
            nonlocal peak
            while not done.is_set():
                peak = max(peak, breach.peak_memory(worker.pid))
                if peak > WAY_TOO_MUCH:
                    worker.kill("memory", "the suite spares the machine")
                with trio.move_on_after(0.01):
                    await done.wait()

        async def talk() -> None:
            number = 1
            request: wire.Request = _load(source)
            try:
                deadline = LOAD_S if attack.category != "cpu" else attack.call_s
                await self._call(worker, request, deadline, outcome)
                for step in attack.steps:
                    if step == "restore":
                        continue
                    number += 1
                    await self._call(worker, _request(step, number), attack.call_s, outcome)
            except WorkerEnded as error:
                outcome.ended, outcome.detail = error.cause, error.detail
            finally:
                done.set()

        async with trio.open_nursery() as nursery:
            if attack.category in ("memory", "parser"):
                nursery.start_soon(watch)
            await talk()
        if worker.ended is None and "restore" in attack.steps:
            await self._restore(attack, source, outcome)
        return peak

    async def _call(self, worker: Worker, request: wire.Request, deadline: float, outcome: Outcome) -> None:
        with trio.move_on_after(deadline + HANGS_S) as hanging:
            reply = await worker.call(request, deadline)
            if problem := breach.misshapen(request, reply):
                outcome.breaches["reply"] = problem
            outcome.replies.append(reply)
        if hanging.cancelled_caught:
            outcome.breaches["deadline"] = f"{type(request).__name__} did not end"

    async def _restore(self, attack: Attack, source: str, outcome: Outcome) -> None:
        """Start it again with the state it has saved."""
        assert self._zygote is not None
        saved = [reply for reply in outcome.replies if isinstance(reply, wire.Saved)]
        if not saved:
            return
        again = await self._zygote.create(attack.name, self._limits)
        try:
            await self._call(again, _load(source, state=saved[-1].state), LOAD_S, outcome)
        except WorkerEnded as error:
            outcome.detail += f"; restored: {error}"
        await again.close()

    async def _look_again(self, attack: Attack, source: str, outcome: Outcome) -> None:
        """Run it a second time, elsewhere: the same inputs must lead to the same replies."""
        assert self._zygote is not None
        if outcome.ended or "clock" in outcome.breaches:
            return
        if found := breach.tells_the_time(_told(outcome.replies)):
            outcome.breaches["clock"] = found
            return
        worker = await self._zygote.create(attack.name, self._limits)
        again = Outcome(attack)
        await self._talk(worker, attack, source, again)
        await worker.close()
        if _repeatable(again.replies) != _repeatable(outcome.replies):
            outcome.breaches["clock"] = f"{outcome.replies[-1]!s}, then {again.replies[-1]!s}"[:600]

    def _look_at_worker(self, pid: int, attack: Attack, outcome: Outcome, peak: int) -> None:
        loosened = breach.loosened(self._harmless, breach.kernel_facts(pid))
        threads = [each for each in loosened if each.startswith("Threads")]
        if threads:
            outcome.breaches["process"] = threads[0]
        if others := [each for each in loosened if each not in threads]:
            outcome.breaches["kernel"] = "; ".join(others)
        most = self._usual_memory + self._limits.memory_mb * 1024 * 1024 + breach.SLACK
        if peak > most:
            outcome.breaches["memory"] = f"{peak} bytes, where {most} are the most"

    def _look_at_replies(self, attack: Attack, outcome: Outcome) -> None:
        told = _told(outcome.replies) + outcome.detail.encode(errors="replace")
        if secrets := self._scene.told(told, attack.leaks):
            outcome.breaches["secret"] = ", ".join(secrets)
        if self._scene.proven(told):
            outcome.breaches["proof"] = "it reports success"
        if (self._scene.mark + "-next").encode() in told:
            outcome.breaches["reply"] = "a forged reply to a later request was taken"
        if attack.aim == "accepted":
            signals = [s for r in outcome.replies if isinstance(r, wire.Done) for s in r.signals]
            if signals:
                outcome.breaches["accepted"] = f"{signals[0]}"[:300]
        logged = sum(len(line.text) for r in outcome.replies for line in getattr(r, "logs", ()))
        # The allowance of a minute, twice: a minute may end between two calls.
        if logged > 2 * _load("").log_bytes:
            outcome.breaches["node"] = f"{logged} characters of log"


async def run_attacks(
    attacks: Sequence[Attack],
    layers: Layers,
    limits: Limits = Limits(memory_mb=MEMORY_MB),  # noqa: B008 - a constant
) -> list[Outcome]:
    """Run attacks one after the other under these layers, and return what came of each."""
    scene = Scene()
    try:
        firing_range = _Range(scene, layers, limits)
        await firing_range.open()
        try:
            return [await firing_range.attack(attack) for attack in attacks]
        finally:
            await firing_range.close()
    finally:
        scene.close()
