from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from coredis import Redis

from actors.signals.channels.redis import after_update
from protocols.signal_deliveries import delivery
from protocols.signals import StoredUpdate, UpdateSignal
from tests.actors.signals.channels.kit import RedisServer, assert_in_order, desk, redis_server, settings, until
from tests.actors.signals.samples import NOW, SECOND, signal, stored


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as running:
        yield running


@asynccontextmanager
async def client(server: RedisServer) -> AsyncIterator[Redis[str]]:
    await server.ready()
    async with Redis.from_url(server.url, decode_responses=True) as connected:
        yield connected


async def entries(server: RedisServer, key: str = "signals:log") -> dict[str, dict[str, Any]]:
    """What a stream holds, by the ids of the entries."""
    async with client(server) as to:
        return {
            entry.identifier: msgspec.json.decode(entry.field_values["payload"]) for entry in await to.xrange(key) or ()
        }


async def test_a_signal_is_published_kept_and_logged(tmp_path: Path, server: RedisServer) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    async with (
        client(server) as to,
        desk(tmp_path, settings("redis", "redis", server.url, keep_s=77)) as at,
        trio.open_nursery() as nursery,
    ):
        async with to.pubsub(patterns=["signals:*"]) as subscription:

            async def listen() -> None:
                async for message in subscription:
                    if message["type"] == "pmessage":
                        heard.append((message["channel"], msgspec.json.decode(message["data"])))

            nursery.start_soon(listen)
            await at.delivered("redis")
            await at.submit(signal(1, "BTCUSDT", current_price=10**18 + 1))
            await until(lambda: len(heard) == 2, "the signal")
            await at.update("sig_1", "active")
            await at.delivered("redis")
            await until(lambda: len(heard) == 3, "three messages")
            nursery.cancel_scope.cancel()
        assert [channel for channel, _ in heard] == ["signals:BTCUSDT", "signals:all", "signals:updates"]
        assert heard[0][1] == heard[1][1]
        text = await to.get("signal:sig_1")
        assert text is not None
        assert '"current_price":1000000000.000000001,' in text
        assert msgspec.json.decode(text)["status"] == "active"
        assert 0 < await to.ttl("signal:sig_1") <= 77
        assert heard[0][1]["signal"] == {**msgspec.json.decode(text), "status": "pending"}
    assert await entries(server) == {"1-0": heard[0][1]}
    assert await entries(server, "signals:updates:log") == {"1-0": heard[2][1]}


async def test_what_is_sent_again_is_neither_logged_nor_published_twice(tmp_path: Path, server: RedisServer) -> None:
    position = tmp_path / "channels" / "redis.position"
    async with desk(tmp_path, settings("redis", "redis", server.url)) as at:
        await at.delivered("redis")
        before = position.read_bytes()
        await at.submit(*map(signal, range(1, 11)))
        await at.delivered("redis")
    position.write_bytes(before)  # as after an end between Redis's answer and the position's write
    heard = []
    async with (
        client(server) as to,
        trio.open_nursery() as nursery,
        to.pubsub(channels=["signals:all"]) as subscription,
    ):

        async def listen() -> None:
            async for message in subscription:
                if message["type"] == "message":
                    heard.append(msgspec.json.decode(message["data"])["seq"])

        nursery.start_soon(listen)
        async with desk(tmp_path, settings("redis", "redis", server.url)) as at:
            await at.submit(signal(11))
            assert (await at.delivered("redis")).delivered == 11
        await until(lambda: 11 in heard, "the new signal")
        nursery.cancel_scope.cancel()
    assert heard == [11]
    assert list(await entries(server)) == [f"{seq}-0" for seq in range(1, 12)]


async def test_a_killed_server_gets_what_it_missed(tmp_path: Path, server: RedisServer) -> None:
    async with desk(tmp_path, settings("redis", "redis", server.url, breaker_failures=2, batch=7)) as at:
        await at.delivered("redis")
        await at.submit(*(signal(number, "AB"[number % 2]) for number in range(1, 31)))
        server.kill()
        await at.submit(*(signal(number, "AB"[number % 2]) for number in range(31, 61)))
        await at.update("sig_40", "cancelled")
        view = await at.viewed("redis", lambda view: view.breaker == "open", "an open breaker")
        assert "ConnectionError" in view.reason
        server.start()
        await at.delivered("redis")
    assert_in_order((await entries(server)).values(), range(1, 61))
    assert len(await entries(server, "signals:updates:log")) == 1


async def test_a_server_that_came_back_without_its_data_is_sent_it_again(tmp_path: Path, server: RedisServer) -> None:
    async with desk(tmp_path, settings("redis", "redis", server.url)) as at:
        await at.delivered("redis")
        await at.submit(*map(signal, range(1, 31)))
        await at.delivered("redis")
        server.kill()
        server.forget()
        server.start()
        await at.submit(signal(31))
        await at.viewed("redis", lambda view: view.behind == 0, "the end")
    assert_in_order((await entries(server)).values(), range(1, 32))


async def test_a_server_that_stands_still_is_waited_for(tmp_path: Path, server: RedisServer) -> None:
    async with desk(tmp_path, settings("redis", "redis", server.url, timeout_s=0.3)) as at:
        await at.delivered("redis")
        server.suspend()
        await at.submit(*map(signal, range(1, 6)))
        await at.viewed("redis", lambda view: view.failures >= 2, "failures")
        server.resume()
        await at.delivered("redis")
    assert_in_order((await entries(server)).values(), range(1, 6))


async def test_two_nodes_cannot_write_to_the_same_keys(tmp_path: Path, server: RedisServer) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    async with desk(tmp_path / "one", settings("redis", "redis", server.url)) as at:
        await at.delivered("redis")
        await at.submit(*map(signal, range(1, 6)))
        await at.delivered("redis")
    async with desk(tmp_path / "two", settings("redis", "redis", server.url)) as at:
        await at.delivered("redis")
        await at.submit(signal(1))
        view = await at.viewed("redis", lambda view: view.state == "failing", "a refusal")
        assert "give this one a prefix of its own" in view.reason
        assert view.behind == 1
    async with desk(tmp_path / "two", settings("redis", "redis", server.url, prefix="two:")) as at:
        await at.delivered("redis")
    assert list(await entries(server, "two:signals:log")) == ["1-0"]


async def test_the_log_is_cut_to_about_its_length(tmp_path: Path, server: RedisServer) -> None:
    async with desk(tmp_path, settings("redis", "redis", server.url, log_length=100, batch=500)) as at:
        await at.delivered("redis")
        await at.submit(*map(signal, range(1, 1001)))
        await at.delivered("redis")
    found = list(await entries(server))
    assert found[-1] == "1000-0"
    assert 100 <= len(found) <= 300


async def test_what_expired_is_in_the_log_as_an_update(tmp_path: Path, server: RedisServer) -> None:
    async with desk(tmp_path) as at:
        now = at.node.clock.now()
        await at.submit(signal(1, ts_created=now, ts_expires=now + SECOND // 10), signal(2))
        await until(lambda: at.node.clock.now() > now + SECOND // 10, "the expiry")
    async with desk(tmp_path, settings("redis", "redis", server.url, start="beginning")) as at:
        await at.delivered("redis")
    found = await entries(server)
    assert [found[name]["type"] for name in ("1-0", "2-0")] == ["update", "signal"]


def test_a_status_goes_forward_only_and_digits_stay_as_they_are() -> None:
    first = delivery(stored(1, current_price=10**18 + 1), NOW, "troupe")
    executed = delivery(
        StoredUpdate(1, NOW, UpdateSignal(signal_id="sig_1", status="executed"), "A", "test"), NOW, "troupe"
    )
    active = delivery(
        StoredUpdate(2, NOW, UpdateSignal(signal_id="sig_1", status="active"), "A", "test"), NOW, "troupe"
    )
    assert first.signal is not None
    text = after_update(first.signal, executed)
    assert text == first.signal.replace(b'"status":"pending"', b'"status":"executed"')
    assert after_update(text, active) is None
    assert after_update(None, active) is None
    assert after_update(b"not ours", active) is None
