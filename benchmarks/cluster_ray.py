"""Ray's side of the cluster's benchmark: plain Ray actors on the same cluster, driven from a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.cluster_actors import Add, Plain
from benchmarks.cluster_troupe import ASKERS, BURST, memory_mb
from benchmarks.harness import Sample, quantiles
from runtime.cluster.gateway_messages import GatewaySettings
from runtime.cluster.local import resolve_address
from runtime.cluster.ray_environment import prepare_environment
from runtime.cluster.settings import ClusterSettings

LONG_S = 120.0
WINDOW = 1_000


@contextlib.contextmanager
def driver(data_dir: str) -> Iterator[Any]:
    """This process as a driver of the local cluster."""
    address, token = resolve_address(ClusterSettings(address="local"), Path(data_dir))
    prepare_environment(GatewaySettings(address=address, token=token))
    import ray

    ray.init(address=address, namespace="bench", log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield ray
    finally:
        ray.shutdown()


def placed(ray: Any, **options: Any) -> Any:
    """A plain actor that sets no processors aside, as our workers do not."""
    return ray.remote(Plain).options(num_cpus=0, **options).remote()


def calls(data_dir: str, messages: int, asks: int) -> Sample:
    """Calls a second without and with batches, and the times of calls."""
    with driver(data_dir) as ray:
        actor = placed(ray)
        ray.get(actor.total.remote())
        ray.get([actor.add.remote(1) for _ in range(messages // 10)])
        sample: Sample = {}

        began = time.perf_counter()
        ray.get([actor.add.remote(1) for _ in range(messages)])
        sample["all/s"] = messages / (time.perf_counter() - began)

        # Calls of one driver to one actor are done in order: the last one's end is the end of all.
        began = time.perf_counter()
        for _ in range(messages):
            last = actor.add.remote(1)
        ray.get(last)
        sample["last/s"] = messages / (time.perf_counter() - began)

        # Ray slows down when thousands of calls wait.
        began = time.perf_counter()
        for number in range(1, messages + 1):
            last = actor.add.remote(1)
            if number % WINDOW == 0:
                ray.get(last)
        ray.get(last)
        sample["window/s"] = messages / (time.perf_counter() - began)

        many = messages * 10 // BURST
        began = time.perf_counter()
        for _ in range(many):
            last = actor.add_numbers.remote([1] * BURST)
        ray.get(last)
        sample["numbers/s"] = many * BURST / (time.perf_counter() - began)

        encoder = msgspec.msgpack.Encoder()
        began = time.perf_counter()
        for _ in range(many):
            last = actor.add_messages.remote(encoder.encode([Add(1) for _ in range(BURST)]))
        ray.get(last)
        sample["packed/s"] = many * BURST / (time.perf_counter() - began)

        expected = messages // 10 + 3 * messages + 2 * many * BURST
        if ray.get(actor.total.remote()) != expected:
            raise RuntimeError("calls were lost")

        for value in range(asks // 10):
            ray.get(actor.echo.remote(value))
        taken = []
        for value in range(asks):
            before = time.perf_counter_ns()
            ray.get(actor.echo.remote(value))
            taken.append(time.perf_counter_ns() - before)
        p50, p99 = quantiles(taken, 0.5, 0.99)
        sample |= {"p50": p50 / 1e3, "p99": p99 / 1e3}

        waves = asks * 4 // ASKERS
        began = time.perf_counter()
        for _ in range(waves):
            ray.get([actor.echo.remote(value) for value in range(ASKERS)])
        sample["waves/s"] = waves * ASKERS / (time.perf_counter() - began)

        async def asker() -> None:
            for value in range(waves):
                await actor.echo.remote(value)

        async def askers() -> None:
            await asyncio.gather(*(asker() for _ in range(ASKERS)))

        began = time.perf_counter()
        asyncio.run(askers())
        sample["askers/s"] = waves * ASKERS / (time.perf_counter() - began)
        return sample


def kills(data_dir: str, count: int) -> Sample:
    """Milliseconds from the end of a worker to the next handled call, with Ray's own restart."""
    with driver(data_dir) as ray:
        actor = placed(ray, max_restarts=-1)
        taken = []
        for _ in range(count):
            process = _patiently(ray, actor)
            before = time.perf_counter_ns()
            os.kill(process, signal.SIGKILL)
            while _patiently(ray, actor) == process:
                pass
            taken.append((time.perf_counter_ns() - before) / 1e6)
            time.sleep(0.2)
        return {"median": quantiles(taken, 0.5)[0], "worst": max(taken)}


def _patiently(ray: Any, actor: Any) -> int:
    give_up = time.perf_counter() + LONG_S
    while time.perf_counter() < give_up:
        try:
            return int(ray.get(actor.process.remote(), timeout=LONG_S))
        except ray.exceptions.RayActorError:
            time.sleep(0.001)
    raise RuntimeError("the actor did not come back")


def workers(data_dir: str, count: int, messages: int, busy_us: int) -> Sample:
    """Start and memory of `count` actors, and the same load spread over them."""
    with driver(data_dir) as ray:
        began = time.perf_counter()
        actors = [placed(ray) for _ in range(count)]
        processes = ray.get([actor.process.remote() for actor in actors])
        sample: Sample = {"start": time.perf_counter() - began}
        sample["pss"] = sum(memory_mb(process, "Pss") for process in processes)
        sample["rss"] = sum(memory_mb(process, "Rss") for process in processes)

        def spread(method: str, argument: int, calls: int) -> float:
            before = time.perf_counter()
            for number in range(calls):
                last = getattr(actors[number % count], method).remote(argument)
                latest[number % count] = last
            ray.get(list(latest.values()))
            return calls / (time.perf_counter() - before)

        latest: dict[int, Any] = {}
        spread("add", 1, messages // 10)
        sample["light/s"] = spread("add", 1, messages)
        sample["heavy/s"] = spread("work", busy_us * 1000, messages)
        return sample
