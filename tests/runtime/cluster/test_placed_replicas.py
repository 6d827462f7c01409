"""Replicas in workers: the set is where its node is, its replicas are wherever their placement says."""

from __future__ import annotations

import os
import signal

import trio

from protocols.control import Unknown
from runtime import ChildSpec, Done, ReplicaSettings, ResizeReplicas
from runtime.node import Node
from tests.runtime.cluster.cast import Counter, Job, Ledger, Pid, Relay, WhoAsks, Work
from tests.runtime.cluster.test_placed import placed, running, until


def counters(count: int, routing: str = "least_loaded", key: str = "") -> tuple[ChildSpec, ChildSpec]:
    replicas = ReplicaSettings(count=count, routing=routing, key=key)  # type: ignore[arg-type]
    return ChildSpec("ledger", Ledger), placed("counters", Counter, replicas=replicas)


def handled(node: Node) -> list[int]:
    return [entry.number for entry in node.cells["/ledger"].actor.entries]  # type: ignore[union-attr]


async def test_each_replica_has_a_worker_of_its_own_and_they_take_turns() -> None:
    async with running(*counters(2)) as node:
        pids = [await node.ref("/counters").ask(Pid()) for _ in range(4)]
        assert pids[:2] == pids[2:]
        assert len({*pids, os.getpid()}) == 3
        await node.ref("/counters").ask(ResizeReplicas(3), timeout=20)
        assert len({await node.ref("/counters").ask(Pid()) for _ in range(6)}) == 3


async def test_a_killed_worker_under_load_costs_only_what_it_had_begun() -> None:
    outcomes: dict[int, object] = {}
    async with running(*counters(2)) as node:
        victim = await node.ref("/counters/1").ask(Pid())

        async def ask(number: int) -> None:
            outcomes[number] = await node.ref("/counters").outcome(Job(number), timeout=20)

        async with trio.open_nursery() as nursery:
            for number in range(400):
                nursery.start_soon(ask, number)
                if number == 200:
                    await trio.lowlevel.checkpoint()
                    os.kill(victim, signal.SIGKILL)
        assert all(isinstance(outcome, Done | Unknown) for outcome in outcomes.values())
        done = {number for number, outcome in outcomes.items() if isinstance(outcome, Done)}
        assert len(done) >= 200  # at least the half of the one that lived
        await until(lambda: done <= set(handled(node)))
        assert len(handled(node)) == len(set(handled(node)))


async def test_a_resize_under_load_loses_nothing_and_doubles_nothing() -> None:
    async with running(*counters(2, "sticky", "number")) as node:
        ref = node.ref("/counters")

        async def work(numbers: range) -> None:
            for number in numbers:
                await ref.send(Work(number), timeout=20)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, range(500))
            nursery.start_soon(work, range(500, 1000))
            for count in (4, 1, 3):
                await ref.ask(ResizeReplicas(count), timeout=20)
        await until(lambda: len(handled(node)) >= 1000)
        assert sorted(handled(node)) == list(range(1000))


async def test_an_actor_in_a_worker_asks_a_set_as_any_other_actor() -> None:
    ledgers = ChildSpec("ledgers", Ledger, replicas=ReplicaSettings(count=2))
    async with running(ledgers, placed("relay", Counter)) as node:
        for _ in range(3):
            answer = await node.ref("/relay").ask(Relay(node.ref("/ledgers")))
            assert answer.startswith("/relay@")
        assert await node.ref("/ledgers").ask(WhoAsks()) == ""
        figures = node.tree("/ledgers").replicas  # type: ignore[union-attr]
        assert figures is not None
        assert sorted(each.done for each in figures.replicas) == [2, 2]
