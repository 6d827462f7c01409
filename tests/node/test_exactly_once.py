"""What a subscriber was told is in the database exactly once, in order, whatever is killed or stands still."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
import trio

from protocols.paths import STORAGE_POSTGRES, STORAGE_WRITER
from tests.node.kit import BUSY, NodeProcess, assert_stored, assert_unbroken, until, with_pid
from tests.node.subscriber import Subscriber, subscribed, subscriber_in

BUSIER = BUSY + "parameters = { signals = 3 }\n"
MOST_BETWEEN = 150
"""Signals from one fault to the next, at most."""


async def check(node: NodeProcess, *subscribers: Subscriber) -> None:
    """Let the node come to rest, and compare the database with what was received."""
    last = await node.still()
    try:
        received = [subscriber.signals for subscriber in subscribers if subscriber.signals]
        assert last >= max(signals[-1][0] for signals in received)
        stored = await node.stored_up_to(last)
        for signals in received:
            assert_stored(stored, signals)
        assert await node.query("SELECT count(*) FROM rejected_rows") == [(0,)]
        assert not [notice for subscriber in subscribers for notice in subscriber.said("lagged")]
    finally:
        await node.flowing()


async def killed_again_and_again(folder: Path, chance: random.Random, lives: int) -> None:
    received: list[Subscriber] = []
    with NodeProcess(folder, BUSIER) as node:
        for life in range(lives + 1):
            await node.ready()
            async with trio.open_nursery() as nursery:
                everything = await subscriber_in(nursery, node.port)
                alpha = await subscriber_in(nursery, node.port, "SIM-ALPHA")
                received += [everything, alpha]
                await everything.more(chance.randint(1, MOST_BETWEEN))
                if life < lives:
                    node.kill()
                    # What was on its way to them is theirs, too.
                    await everything.until(lambda: everything.closed)  # noqa: B023
                    await alpha.until(lambda: alpha.closed)  # noqa: B023
                    node.start()
                nursery.cancel_scope.cancel()
            assert_unbroken(everything.seqs)
        await check(node, *received)
        for before, after in zip(received[::2], received[2::2], strict=False):
            assert after.seqs[0] > before.seqs[-1]
        last = await node.last_seq()
        async with subscribed(node.port, resume_from=1) as again:
            await again.reaches(last)
            assert_unbroken(again.seqs)
            assert again.seqs[0] == 1
            assert_stored(dict(again.signals), [each for subscriber in received for each in subscriber.signals])
        assert await node.stop() == 0


@pytest.mark.long
async def test_no_signal_is_lost_or_doubled_when_the_node_is_killed(prepared: Path, chance: random.Random) -> None:
    await killed_again_and_again(prepared, chance, 1)


@pytest.mark.long
async def test_no_signal_is_lost_or_doubled_when_the_node_is_killed_many_times(
    prepared: Path, chance: random.Random
) -> None:
    await killed_again_and_again(prepared, chance, 25)


async def test_no_signal_is_lost_or_doubled_when_the_writer_is_killed(node: NodeProcess, chance: random.Random) -> None:
    async with subscribed(node.port) as subscriber:
        for _ in range(2):
            await subscriber.more(chance.randint(1, 30))
            lives = await node.lives(STORAGE_WRITER)
            with_pid(node.writer_pid(), signal.SIGKILL)
            found = await node.restarted(STORAGE_WRITER, lives)
            assert "SIGKILL" in found["restart_reason"]
        await check(node, subscriber)
        assert_unbroken(subscriber.seqs)


async def test_no_signal_is_lost_or_doubled_when_the_database_is_killed(
    node: NodeProcess, chance: random.Random
) -> None:
    async with subscribed(node.port) as subscriber:
        await subscriber.more(chance.randint(1, 30))
        [(backend,)] = await node.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'troupe writer'")
        with_pid(backend, signal.SIGKILL)
        await subscriber.more(chance.randint(1, 30))
        await node.ready_again()
        lives = await node.lives(STORAGE_POSTGRES)
        with_pid(node.postmaster_pid(), signal.SIGKILL)
        await subscriber.more(chance.randint(1, 30))
        found = await node.restarted(STORAGE_POSTGRES, lives)
        assert "SIGKILL" in found["restart_reason"]
        await check(node, subscriber)
        assert_unbroken(subscriber.seqs)


@pytest.mark.long
async def test_a_database_that_stands_still_is_told_and_made_up_for(node: NodeProcess) -> None:
    async with subscribed(node.port) as subscriber:
        await subscriber.more(3)
        stopped = node.postgres_pids()
        for pid in stopped:
            with_pid(pid, signal.SIGSTOP)

        async def not_ready() -> bool:
            answer = await node.client.get("/health/ready")
            return answer.status_code == 503 and not answer.json()["checks"]["database"]

        await until(not_ready, "503")
        assert (await node.client.get("/health/live")).status_code == 200
        assert (await node.client.get("/health")).json()["status"] != "healthy"
        await subscriber.more(30)
        for pid in stopped:
            with_pid(pid, signal.SIGCONT)
        await node.ready_again()
        await check(node, subscriber)
        assert_unbroken(subscriber.seqs)


@pytest.mark.long
async def test_what_only_the_database_remembers_is_replayed_though_the_database_is_killed(prepared: Path) -> None:
    forgetful = ("signals.history=50", "signals.frames=20", "signals.patience_s=60")
    with NodeProcess(prepared, BUSIER, *forgetful) as node:
        await node.ready()
        async with subscribed(node.port) as subscriber, trio.open_nursery() as nursery:
            await subscriber.more(1_000)
            with_pid(node.postmaster_pid(), signal.SIGKILL)
            again = [await subscriber_in(nursery, node.port, resume_from=place) for place in (1, 1, 200, 999)]
            await again[0].more(300)
            with_pid(node.postmaster_pid(), signal.SIGKILL)
            for each, place in zip(again, (1, 1, 200, 999), strict=True):
                await each.until(lambda each=each: each.said("resumed"), "the end of a replay")
                [told] = each.said("resumed")
                assert (told["from"], told["count"], told["missing"]) == (place, told["to"] - place + 1, [])
                await each.more(10)
                assert_unbroken(each.seqs)
                assert each.seqs[0] == place
            known = dict(again[0].signals)
            assert_stored(known, [signal for signal in subscriber.signals if signal[0] <= max(known)])
            nursery.cancel_scope.cancel()


@pytest.mark.long
async def test_no_signal_is_lost_or_doubled_whatever_of_storage_is_killed(
    prepared: Path, chance: random.Random
) -> None:
    with NodeProcess(prepared, BUSIER) as node:
        await node.ready()
        async with subscribed(node.port) as subscriber:
            for _ in range(40):
                await subscriber.more(chance.randint(1, 10 * MOST_BETWEEN))
                pids = [node.writer_pid, node.postmaster_pid, lambda: chance.choice(node.postgres_pids())]
                try:
                    pid = chance.choice(pids)()
                except (ValueError, OSError, IndexError):
                    continue  # it is just being started
                with_pid(pid, signal.SIGKILL)
            await node.ready_again()
            await check(node, subscriber)
            assert_unbroken(subscriber.seqs)
        assert await node.stop() == 0
