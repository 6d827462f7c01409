"""Nothing that the hub has accepted is missing anywhere, whatever was killed on the way."""

from __future__ import annotations

import random
import signal as signals
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import confluent_kafka
import httpx
import msgspec
import pytest
import trio
from coredis import Redis

from tests.actors.signals.channels.kit import (
    SECRET,
    KafkaCluster,
    Receiver,
    RedisServer,
    assert_in_order,
    kafka_cluster,
    redis_server,
    value_of,
)
from tests.node.kit import DEFAULT, NodeProcess, until, with_pid

LIMIT_S = 120.0
CONFIGURATION = (
    DEFAULT.replace("rate = 100.0", "rate = 300.0")
    + """\
parameters = {{ signals = 8 }}

[[channels]]
name = "kafka"
kind = "kafka"
url = "{kafka}"
from = "beginning"
timeout_s = 3.0
breaker_open_s = 1.0
retry_most_s = 2.0

[[channels]]
name = "redis"
kind = "redis"
url = "{redis}"
from = "beginning"
log_length = 1000000
timeout_s = 3.0
breaker_open_s = 1.0
retry_most_s = 2.0

[[channels]]
name = "hook"
kind = "webhook"
url = "{hook}"
from = "beginning"
secret = "{secret}"
timeout_s = 3.0
breaker_open_s = 1.0
retry_most_s = 2.0
"""
)


class Scene:
    """The node, and the three systems that its signals go to."""

    def __init__(self, nursery: trio.Nursery, node: NodeProcess, redis: RedisServer, kafka: KafkaCluster) -> None:
        self.nursery = nursery
        self.node = node
        self.redis = redis
        self.kafka = kafka
        self.hook = Receiver()
        self.in_kafka: list[dict[str, Any]] = []

    async def consume(self) -> None:
        """Read Kafka's topic from its beginning, as it grows: the cluster keeps some megabytes of it alone."""
        options = {"bootstrap.servers": self.kafka.url, "group.id": "chaos", "log_level": 0}
        consumer = confluent_kafka.Consumer(options)
        try:
            consumer.assign([confluent_kafka.TopicPartition("trading_signals", part, 0) for part in range(4)])
            while True:
                found = await trio.to_thread.run_sync(consumer.consume, 1_000, 0.2)
                self.in_kafka += [value_of(each) for each in found if each.error() is None]
        finally:
            consumer.close()

    async def open_hook(self) -> None:
        """Serve the webhook, at the port that it had."""
        [listener] = await trio.open_tcp_listeners(self.hook.port, host="127.0.0.1")
        self.hook.port = listener.socket.getsockname()[1]
        self.hook_scope = trio.CancelScope()

        async def serve() -> None:
            with self.hook_scope:
                await trio.serve_listeners(self.hook.serve, [listener])

        self.nursery.start_soon(serve)

    # What is done to it.

    async def kill_node(self) -> None:
        self.node.kill()
        self.node.start()
        await self.node.ready()

    async def kill_database(self) -> None:
        with_pid(self.node.postmaster_pid(), signals.SIGKILL)

    async def kill_redis(self) -> None:
        self.redis.kill()
        await self.more(1_000)
        self.redis.start()

    async def kafka_outage(self) -> None:
        self.kafka.down()
        await self.more(5_000)
        self.kafka.up()

    async def hook_outage(self) -> None:
        self.hook_scope.cancel()
        await self.more(1_000)
        await self.open_hook()

    async def kill_channels(self) -> None:
        for path in ("kafka/target", "redis/relay", "hook/relay"):
            await self.node.client.post(f"/api/v1/actors/signals/channels/{path}/kill", json={})

    # What is seen of it.

    async def last(self) -> int:
        return await self.node.last_seq()

    async def more(self, count: int) -> None:
        """Let so many more signals be made."""
        wanted = await self.last() + count

        async def made() -> bool:
            return await self.last() >= wanted

        await until(made, f"{count} more signals", LIMIT_S)

    async def all_delivered(self) -> None:
        async def nothing_left() -> bool:
            try:
                found = (await self.node.get("/api/signals/channels"))["channels"]
            except httpx.TransportError:
                return False
            return all(each["behind"] == 0 and each["state"] in ("idle", "delivering") for each in found)

        await until(nothing_left, "the end of all channels", LIMIT_S)

    async def at_rest(self) -> tuple[int, dict[int, str]]:
        """Hold the strategy, and wait until everybody has everything: the last signal, and all that are stored."""
        while True:
            last = await self.node.still()
            stored = await self.node.stored_up_to(last)
            await self.all_delivered()
            # What the strategy had still in its outbox may have come meanwhile.
            if await self.last() == last == max(stored):
                return last, stored

    async def check(self) -> None:
        """Let it come to rest, and compare what everybody has."""
        try:
            last, stored = await self.at_rest()
            seen: set[int] = set()

            def consumed() -> bool:
                seen.update(each["seq"] for each in self.in_kafka)
                return len(seen) >= last

            await until(consumed, "the end of Kafka's topic")
            everywhere = {
                "kafka": self.in_kafka,
                "redis": [each async for each in self._in_redis()],
                "hook": self.hook.messages,
            }
            for name, messages in everywhere.items():
                given = [each for each in messages if each["type"] == "signal"]
                assert {each["seq"]: each["signal"]["signal_id"] for each in given} == stored, name
                assert_in_order(given, range(1, last + 1))
            # Redis finds repeats out by itself.
            assert len(everywhere["redis"]) == last
            channels = (await self.node.get("/api/signals/channels"))["channels"]
            assert [each["left_out"] for each in channels] == [0, 0, 0]
        finally:
            await self.node.flowing()

    async def _in_redis(self) -> AsyncIterator[dict[str, Any]]:
        async with Redis.from_url(self.redis.url, decode_responses=True) as client:
            start = "-"
            while entries := await client.xrange("signals:log", start, count=5_000):
                for entry in entries:
                    yield msgspec.json.decode(entry.field_values["payload"])
                start = f"({entries[-1].identifier}"


@asynccontextmanager
async def opened(folder: Path, *overrides: str) -> AsyncIterator[Scene]:
    with kafka_cluster() as kafka, redis_server(folder / "redis") as redis:
        await redis.ready()
        async with trio.open_nursery() as nursery:
            scene = Scene(nursery, NodeProcess(folder), redis, kafka)
            await scene.open_hook()
            nursery.start_soon(scene.consume)
            text = CONFIGURATION.format(kafka=kafka.url, redis=redis.url, hook=scene.hook.url, secret=SECRET)
            scene.node = NodeProcess(folder, text, *overrides)
            with scene.node as node:
                await node.ready()
                yield scene
            nursery.cancel_scope.cancel()


@pytest.mark.long
async def test_nothing_is_missing_anywhere_whatever_is_killed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    async with opened(tmp_path_factory.mktemp("c")) as scene:
        await scene.more(1_000)
        faults = [
            scene.kill_node,
            scene.kill_database,
            scene.kill_redis,
            scene.kafka_outage,
            scene.hook_outage,
            scene.kill_channels,
            scene.kill_node,
        ]
        chance.shuffle(faults)
        for fault in faults:
            print(fault.__name__)
            await fault()
            await scene.more(chance.randint(100, 2_000))
        await scene.check()


@pytest.mark.long
async def test_nothing_is_missing_when_the_node_dies_while_everybody_else_is_away(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # The hub remembers little, so most of what was missed comes from the database.
    async with opened(tmp_path_factory.mktemp("c"), "signals.history=500") as scene:
        await scene.more(1_000)
        scene.redis.kill()
        scene.kafka.down()
        await scene.more(3_000)
        await scene.kill_database()
        await scene.more(3_000)
        await scene.kill_node()
        await scene.more(1_000)
        scene.kafka.up()
        scene.redis.start()
        await scene.check()
