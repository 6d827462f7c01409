"""Decisions: inference alone, a decision inside the node, a decision over HTTP.

The model is the same everywhere: an untrained PPO policy of Stable-Baselines3 (two layers of 64, tanh) over the 29
named features and their mask; ours is the bundle that was exported from it. The peers call `predict` of
Stable-Baselines3: alone, behind FastAPI on uvicorn (one process, uvloop, httptools), behind Ray Serve with its HTTP
proxy. Every server makes the observation out of the same JSON body by the same function. The cache of predictions is
off, as all requests are equal.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Any, Final

import msgspec
import numpy as np
import trio

from benchmarks.harness import (
    TROUPE,
    Child,
    Findings,
    Row,
    Sample,
    Scale,
    at_least,
    at_most,
    cores,
    in_turns,
    measured,
    quantiles,
    times_at_least,
    times_at_most,
    under_load,
)
from protocols.decisions import Decide
from protocols.paths import DECISIONS, EDGE

TITLE = "Decisions of a policy"
TURNS = 3
CONNECTIONS = 16
RATE = 1_000.0
ASKERS = 16
PATH = "/api/v1/predict"
SB3: Final = "Stable-Baselines3 predict"
FASTAPI: Final = "FastAPI + uvicorn + predict"
SERVE: Final = "Ray Serve + predict"
FEATURES = 29

SIGNAL = {
    "confidence": 0.72,
    "rsi": 31.5,
    "change_percent": -1.2,
    "volume": 1.5e6,
    "sma_ratio": 1.01,
    "bollinger_position": 0.2,
    "action": "BUY",
}
BODY = msgspec.json.encode({"user_id": "bench", "symbol": "BTC", "signal_data": SIGNAL}).decode()


def make(folder: Path) -> tuple[Path, Path]:
    """The model as Stable-Baselines3 keeps it, and as a bundle."""
    import gymnasium
    import torch
    from stable_baselines3 import PPO

    from actors.agents.export import export
    from actors.decisions.features.names import FEATURE_SETS, MARKET_29
    from actors.decisions.policy import ActionMeaning

    class Nothing(gymnasium.Env[Any, Any]):
        observation_space = gymnasium.spaces.Box(-10.0, 10.0, (2 * FEATURES,), np.float32)
        action_space = gymnasium.spaces.Discrete(3)

    torch.set_num_threads(1)
    model = PPO("MlpPolicy", Nothing(), seed=7, policy_kwargs={"net_arch": [64, 64]}, device="cpu")
    kept, bundle = folder / "model.zip", folder / "model.bundle"
    model.save(kept)
    export(
        model,
        bundle,
        feature_set=MARKET_29,
        features=FEATURE_SETS[MARKET_29],
        actions=(ActionMeaning("SELL", "SELL", 1.0), ActionMeaning("HOLD", "HOLD"), ActionMeaning("BUY", "BUY", 1.0)),
        trained="not trained: for measuring only",
        marks=("synthetic",),
        layout="values+mask",
    )
    return kept, bundle


def load_sb3(path: str) -> Any:
    """The peer's model, with one thread as its makers advise."""
    import torch
    from stable_baselines3 import PPO

    torch.set_num_threads(1)
    return PPO.load(path, device="cpu")


def observed(signal: dict[str, Any], market: dict[str, Any] | None) -> np.ndarray[Any, Any]:
    """What the peers' model is given for a body."""
    from actors.decisions.features.request import from_request

    values = np.array(from_request(signal, market, 0, ()).observation.values)
    known = ~np.isnan(values)
    return np.concatenate([np.where(known, values, 0.0), known]).astype(np.float32)


# Inference alone.


def inference(seconds: float, kept: str, bundle: str) -> Sample:
    """Microseconds of one inference, ours and the peer's, in blocks in turns in one process."""
    from actors.decisions.bundles.loading import load_policy

    policy, model = load_policy(Path(bundle)), load_sb3(kept)
    random = np.random.default_rng(3)
    values = random.uniform(-1.0, 1.0, (256, FEATURES))
    values[random.uniform(size=values.shape) < 0.5] = np.nan
    known = ~np.isnan(values)
    vectors = np.concatenate([np.where(known, values, 0.0), known], axis=1).astype(np.float32)
    taken: dict[str, list[int]] = {"ours": [], "theirs": []}
    end = perf_counter() + seconds
    while perf_counter() < end:
        for row in values:
            began = perf_counter_ns()
            policy.act(row[None])
            taken["ours"].append(perf_counter_ns() - began)
        for vector in vectors[:32]:
            began = perf_counter_ns()
            model.predict(vector, deterministic=True)
            taken["theirs"].append(perf_counter_ns() - began)
    ours, theirs = ([each / 1e3 for each in taken[side]] for side in ("ours", "theirs"))
    return {
        "p50": quantiles(ours, 0.5)[0],
        "p99": quantiles(ours, 0.99)[0],
        "peer p50": quantiles(theirs, 0.5)[0],
        "peer p99": quantiles(theirs, 0.99)[0],
    }


# Inside the node.


def in_process(seconds: float, rate: float, bundle: str) -> Sample:
    """Microseconds from the moment a request was due to its answer, open loop.

    Askers take turns: the next one does not wait for the answers of the others, and a request that is asked late is
    counted from when it was due. It looks at the time in each turn of the loop rather than sleep: a timer of the kernel
    is up to a millisecond late, which would be ours. `server p50`: from the request's arrival at the server to its
    answer; the rest is the asker's way there and back, two turns of the loop.
    """
    taken: list[float] = []
    inside: list[float] = []
    wrong: list[str] = []

    async def main() -> None:
        async with serving(bundle, edge=False) as node:
            ref = node.ref(DECISIONS)

            total = int(seconds * rate)
            warm = int(rate * 0.5)
            numbers = iter(range(warm + total))
            in_turn = trio.Lock()
            began = perf_counter() + 0.1

            async def ask_in_turn() -> None:
                while True:
                    # The next asker waits for its moment; the others wait for their answers, or for their turn.
                    async with in_turn:
                        number = next(numbers, None)
                        if number is None:
                            return
                        due = began + number / rate
                        while perf_counter() < due:
                            await trio.lowlevel.checkpoint()
                    decision = await ref.ask(question(node, number, 0.1), 0.2)
                    if number < warm:
                        continue
                    taken.append((perf_counter() - due) * 1e6)
                    inside.append(decision.took_ns / 1e3)
                    if decision.served_by != "bench":
                        wrong.append(decision.reason)

            async with trio.open_nursery() as nursery:
                for _ in range(ASKERS):
                    nursery.start_soon(ask_in_turn)

    trio.run(main)
    p50, p99, p999 = quantiles(taken, 0.5, 0.99, 0.999)
    by_model = 100.0 * (1 - len(wrong) / len(taken))
    return {"p50": p50, "p99": p99, "p99.9": p999, "server p50": quantiles(inside, 0.5)[0], "by the model": by_model}


@cache
def signal() -> Any:
    """The features of the request, made once: HTTP is measured with making them."""
    from actors.decisions.features.request import from_request

    return from_request(SIGNAL, None, 0, ())


def question(node: Any, number: int, timeout_s: float) -> Decide:
    """One of many requests, of which every user has several."""
    found = signal()
    return Decide(
        decision_id=f"d{number}",
        user_id=f"u{number % 97}",
        symbol="BTC",
        observation=found.observation,
        proposal=found.proposal,
        deadline=node.clock.monotonic() + round(timeout_s * 1e9),
    )


@asynccontextmanager
async def serving(bundle: str, *, edge: bool) -> AsyncIterator[Any]:
    """A node that decides, and its log; no garbage of its start is looked at again."""
    from runtime import open_node
    from runtime.collector import GarbageCollector
    from runtime.log import open_log

    with tempfile.TemporaryDirectory() as folder, open_log(Path(folder) / "log") as log:
        settings, children = tree(Path(folder), bundle, edge=edge)
        with GarbageCollector() as collector:
            async with open_node(settings, children, log=log) as node:
                await ready(node)
                collector.freeze()
                yield node


async def ready(node: Any) -> None:
    """Wait until the model serves the experiment's arm."""
    ref = node.ref(DECISIONS)
    while (await ref.ask(question(node, 0, 1.0), 2.0)).served_by != "bench":  # noqa: ASYNC110 - nobody tells
        await trio.sleep(0.02)


def tree(folder: Path, bundle: str, *, edge: bool) -> tuple[Any, tuple[Any, ...]]:
    """A node with decisions alone (and HTTP): settings and specs, out of a configuration as a user writes it."""
    from actors import node as composition
    from runtime.settings import load

    text = f"""
        [node]
        name = "bench"
        data_dir = "{folder}/data"
        [edge]
        port = 0
        [decisions]
        cache_ttl_s = 0
        requests_per_s = 1e9
        burst = 1000000
        [[decisions.models]]
        name = "bench"
        path = "{bundle}"
        [[experiments]]
        name = "bench"
        treatment = "bench"
        rl_traffic_percentage = 1.0
    """
    path = folder / "bench.toml"
    path.write_text(text, encoding="utf-8")
    configuration = load(path, composition.sections(), {})
    wanted = {"decisions", "edge"} if edge else {"decisions"}
    return configuration.section("node"), tuple(
        spec for spec in composition.children(configuration) if spec.name in wanted
    )


def train_beside() -> None:
    """Learn until the process is ended, at the lowest priority, as training jobs do."""
    os.nice(19)
    import gymnasium
    import torch
    from stable_baselines3 import PPO

    torch.set_num_threads(1)
    PPO("MlpPolicy", gymnasium.make("CartPole-v1"), device="cpu", seed=1).learn(10**9)


def with_training(seconds: float, bundle: str) -> Sample:
    """The decisions inside the node, on a core of their own, with a training on the other."""
    server_core, other_core = cores()
    command = [sys.executable, "-c", "from benchmarks.decisions import train_beside; train_beside()"]
    training = subprocess.Popen(["taskset", "-c", other_core, *command] if other_core != "any" else command)
    try:
        return measured("benchmarks.decisions:in_process", server_core, seconds=seconds, rate=RATE, bundle=bundle)
    finally:
        training.kill()
        training.wait()


# Over HTTP.


def serve_troupe(announce: Callable[[dict[str, Any]], None], model: str, bundle: str) -> None:
    """Decisions and the edge on a node, until the process is ended."""
    from actors.edge.edge import GetEdgeAddress

    async def main() -> None:
        async with serving(bundle, edge=True) as node:
            announce({"port": (await node.ref(EDGE).ask(GetEdgeAddress())).port})
            await trio.sleep_forever()

    trio.run(main)


def application(model: str) -> Any:
    """The peer: FastAPI with pydantic models, the observation, `predict`, an answer of the same fields."""
    import uuid

    from fastapi import FastAPI
    from pydantic import BaseModel

    policy = load_sb3(model)
    app = FastAPI()

    class Question(BaseModel):
        user_id: str
        symbol: str
        signal_data: dict[str, Any]
        market_data: dict[str, Any] | None = None
        priority: int = 1
        timeout_seconds: float = 5.0

    class Answer(BaseModel):
        should_trade: bool
        confidence: float | None
        action: str
        reasoning: str
        model_used: str
        fallback_used: bool
        request_id: str
        processing_time_ms: float

    async def predict(question: Question) -> Answer:
        began = perf_counter()
        action, _ = policy.predict(observed(question.signal_data, question.market_data), deterministic=True)
        name = ("SELL", "HOLD", "BUY")[int(action)]
        return Answer(
            should_trade=name != "HOLD",
            confidence=None,
            action=name,
            reasoning=f"the policy says {name}",
            model_used="rl_ensemble",
            fallback_used=False,
            request_id=str(uuid.uuid4()),
            processing_time_ms=(perf_counter() - began) * 1e3,
        )

    # The annotations are local classes: FastAPI is given the types themselves.
    predict.__annotations__ = {"question": Question, "return": Answer}
    app.post(PATH)(predict)
    return app


def serve_fastapi(announce: Callable[[dict[str, Any]], None], model: str, bundle: str) -> None:
    """FastAPI on uvicorn, until the process is ended."""
    import socket

    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application(model), loop="uvloop", http="httptools", access_log=False, log_level="warning")
    announce({"port": listener.getsockname()[1]})
    uvicorn.Server(config).run(sockets=[listener])


def serve_ray(announce: Callable[[dict[str, Any]], None], model: str, bundle: str) -> None:
    """The same application as a deployment of Ray Serve with one replica, until the process is ended."""
    import logging
    import socket
    import time

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray import serve

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    serve.start(http_options={"host": "127.0.0.1", "port": port, "location": "HeadOnly"})

    @serve.deployment(max_ongoing_requests=100, logging_config={"enable_access_log": False})
    @serve.ingress(lambda: application(model))
    class Predictor:
        pass

    serve.run(Predictor.bind(), name="bench", route_prefix="/")
    announce({"port": port})
    try:
        while True:
            time.sleep(1)
    finally:
        ray.shutdown()


SERVERS = {TROUPE: "serve_troupe", FASTAPI: "serve_fastapi", SERVE: "serve_ray"}


def loaded(server: str, load: str, model: str, bundle: str, **parameters: Any) -> Sample:
    """One run of the load generator against one server. Ray Serve, which is many processes, may use both cores."""
    core = "any" if server == "serve_ray" else cores()[0]
    with Child(f"benchmarks.decisions:{server}", core, model=model, bundle=bundle) as serving:
        return under_load(serving, load, path=PATH, body=BODY, connections=CONNECTIONS, **parameters)


def run(scale: Scale) -> Findings:
    """Inference, then inside the node, then over HTTP."""
    with tempfile.TemporaryDirectory() as folder:
        kept, bundle = map(str, make(Path(folder)))
        about = {"model": kept, "bundle": bundle}
        alone = in_turns(
            {
                TROUPE: partial(
                    measured,
                    "benchmarks.decisions:inference",
                    cores()[0],
                    seconds=scale.seconds,
                    kept=kept,
                    bundle=bundle,
                )
            },
            scale,
        )[TROUPE]
        inside = in_turns({TROUPE: partial(with_training, scale.seconds * 3, bundle)}, scale)[TROUPE]
        full = in_turns(
            {
                side: partial(loaded, server, "closed_loop", seconds=scale.seconds, **about)
                for side, server in SERVERS.items()
            },
            scale,
        )

    def against(figure: str, unit: str, name: str, peer: str, target: Any = None) -> Row:
        return Row(figure, unit, full[TROUPE][name], peer, full[peer][name], target)

    return Findings(
        (
            Row("one inference, p50", "µs", alone["p50"], SB3, alone["peer p50"], times_at_most(0.1)),
            Row("one inference, p99", "µs", alone["p99"], SB3, alone["peer p99"]),
            Row("inside the node, 1,000/s beside a training, p50", "µs", inside["p50"], target=at_most(50)),
            Row("of that the server's own, p50", "µs", inside["server p50"]),
            Row("the same, p99", "µs", inside["p99"], target=at_most(1_000)),
            Row("the same, p99.9", "µs", inside["p99.9"]),
            Row("the same, answered by the model", "%", inside["by the model"], target=at_least(100)),
            against("HTTP, 16 connections", "requests/s", "requests/s", FASTAPI, times_at_least(5)),
            against("answer time in that run, p99", "ms", "p99", FASTAPI, times_at_most(1)),
            against("HTTP, 16 connections", "requests/s", "requests/s", SERVE),
            against("answer time in that run, p99", "ms", "p99", SERVE),
        ),
        (
            f"Of {FEATURES} features the request over HTTP has {len(SIGNAL) - 2} that the policy takes; the rest is "
            "masked. Every decision is also counted, published and assigned to its arm of an experiment.",
            "Inside the node a request's time runs from when it was due. The training runs at the lowest priority on "
            "the other core.",
            "Ray Serve may use both cores, the others one; the client has the other.",
        ),
    )
