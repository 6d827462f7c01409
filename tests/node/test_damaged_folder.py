"""Data folders that cannot be used, or not wholly: what is told, and what is kept."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from protocols.paths import STORAGE_POSTGRES
from runtime.segments import SEGMENT_HEADER, list_segments, records, segment_path
from tests.node.kit import BUSY, DEFAULT, RUNNER, NodeProcess, assert_stored, assert_unbroken, command, until, with_pid
from tests.node.subscriber import subscribed

SMALL_LOG = (
    "database.segment_bytes=65536",
    "database.max_log_bytes=131072",
    "strategies.every.parameters={signals=20}",
)


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self/uid_map").exists(), reason="needs Linux")
async def test_a_data_folder_that_cannot_be_written_is_one_clear_error(folder: Path) -> None:
    data = folder / "data"
    data.mkdir(mode=0o555)
    # Root may write anywhere; below a file nobody can make a folder.
    if os.geteuid() == 0:
        data.rmdir()
        data.touch()
    with NodeProcess(folder) as node:
        assert await node.ended() == 1
        assert node.out == ""
        assert str(data) in node.log
        assert "Traceback" not in node.log
        assert node.survivors() == []


async def killed_with_a_full_tail(node: NodeProcess) -> list[tuple[int, str]]:
    """Kill a node whose database has stood still for a while; returns what a subscriber got."""
    await node.ready()
    async with subscribed(node.port, resume_from=1) as subscriber:
        await subscriber.more(20)
        for pid in node.postgres_pids():
            with_pid(pid, signal.SIGSTOP)
        await subscriber.more(60)
        node.kill()
        await subscriber.until(lambda: subscriber.closed)
    for pid in node.postgres_pids():
        with_pid(pid, signal.SIGKILL)
    return subscriber.signals


def newest_segment(node: NodeProcess) -> tuple[Path, list[int]]:
    """The newest segment of the log, and where its records end."""
    directory = node.data / "log"
    path = segment_path(directory, list_segments(directory)[-1])
    return path, [record.end for record in records(path.read_bytes(), SEGMENT_HEADER.size)]


@pytest.mark.long
@pytest.mark.parametrize("place", ["behind the last row", "at the end of the file"])
async def test_garbage_at_the_end_of_the_log_costs_nothing(prepared: Path, chance: random.Random, place: str) -> None:
    with NodeProcess(prepared, BUSY) as node:
        received = await killed_with_a_full_tail(node)
        path, ends = newest_segment(node)
        with path.open("r+b") as file:
            file.seek(ends[-1] if place == "behind the last row" else path.stat().st_size)
            file.write(chance.randbytes(chance.randint(1, 3000)))
        await node.start().ready()
        assert "the log ended in bytes that are no row" in node.log
        async with subscribed(node.port, resume_from=1) as again:
            await again.reaches(received[-1][0] + 5)
            assert_unbroken(again.seqs)
            assert_stored(dict(again.signals), received)
        assert_stored(await node.stored_up_to(again.seqs[-1]), again.signals)
        assert await node.query("SELECT count(*) FROM rejected_rows") == [(0,)]


@pytest.mark.long
async def test_a_log_that_was_cut_short_keeps_what_is_before_the_cut(prepared: Path, chance: random.Random) -> None:
    with NodeProcess(prepared, BUSY) as node:
        received = await killed_with_a_full_tail(node)
        path, ends = newest_segment(node)
        # What the database has is before the middle: it stood still while the later half was written.
        cut = chance.randint(ends[len(ends) // 2], ends[-1] - 1)
        os.truncate(path, cut)
        await node.start().ready()
        async with subscribed(node.port, resume_from=1) as again:
            await again.more(len(received) // 2)
            await again.more(5)
            assert_unbroken(again.seqs)
        kept = dict(again.signals)
        common = [each for each in received if kept.get(each[0]) == each[1]]
        assert common == received[: len(common)]
        assert len(common) >= len(received) // 2 - 2
        assert_stored(await node.stored_up_to(again.seqs[-1]), again.signals)
        assert await node.query("SELECT count(*) FROM rejected_rows") == [(0,)]


@pytest.mark.long
@pytest.mark.xfail(reason="numbers that only the database knows are given again; rows with them are rejected")
async def test_what_comes_after_a_log_that_lost_rows_of_the_database_is_not_lost(prepared: Path) -> None:
    """A power failure may take the end of the log though the database has it."""
    with NodeProcess(prepared, BUSY) as node:
        await node.ready()
        async with subscribed(node.port, resume_from=1) as subscriber:
            await subscriber.more(40)
        await node.stored_up_to(40)
        await node.query("CHECKPOINT")  # else the database may lose them, too
        node.kill()
        path, ends = newest_segment(node)
        os.truncate(path, ends[20])
        await node.start().ready()
        async with subscribed(node.port) as again:
            await again.more(60)
        assert_stored(await node.stored_up_to(again.seqs[-1]), again.signals)
        assert await node.query("SELECT count(*) FROM rejected_rows") == [(0,)]


@pytest.mark.long
async def test_a_full_log_refuses_signals_and_loses_none_that_it_took(prepared: Path) -> None:
    with NodeProcess(prepared, DEFAULT, *SMALL_LOG) as node:
        await node.ready()
        async with subscribed(node.port, resume_from=1) as subscriber:
            await subscriber.more(3)
            await node.post(f"/api/v1/actors{STORAGE_POSTGRES}/stop")

            async def refuses() -> bool:
                return bool((await node.component("signals"))["figures"]["refused"])

            await until(refuses, "a refusal")
            assert (await node.client.get("/health/live")).status_code == 200
            await node.post(f"/api/v1/actors{STORAGE_POSTGRES}/start")
            full = subscriber.seqs[-1]
            await subscriber.reaches(full + 20)
            await node.ready_again()
            assert_unbroken(subscriber.seqs)
            assert subscriber.seqs[0] == 1
        assert_stored(await node.stored_up_to(subscriber.seqs[-1]), subscriber.signals)
        assert await node.query("SELECT count(*) FROM rejected_rows") == [(0,)]
        assert (await node.actor(RUNNER))["restarts"] == 0
        assert await node.stop() == 0


@pytest.mark.long
async def test_a_full_log_stays_full_over_a_restart_without_a_database(prepared: Path) -> None:
    with NodeProcess(prepared, DEFAULT, *SMALL_LOG) as node:
        await node.ready()
        async with subscribed(node.port, resume_from=1) as subscriber:
            await node.post(f"/api/v1/actors{STORAGE_POSTGRES}/stop")

            async def refuses() -> bool:
                return bool((await node.component("signals"))["figures"]["refused"])

            await until(refuses, "a refusal")
            node.kill()
            await subscriber.until(lambda: subscriber.closed)
        await node.start().ready()
        async with subscribed(node.port, resume_from=1) as again:
            await again.reaches(subscriber.seqs[-1] + 5)
            assert_unbroken(again.seqs)
            assert_stored(dict(again.signals), subscriber.signals)
        assert_stored(await node.stored_up_to(again.seqs[-1]), again.signals)


@pytest.mark.long
async def test_a_database_without_tables_is_told_until_somebody_makes_them(folder: Path) -> None:
    with NodeProcess(folder, DEFAULT, "database.migrate=false") as node:
        await until(lambda: (node.data / "node.json").exists(), "node.json")
        url = (node.data / "node.json").read_text().split('"url":"')[1].split('"')[0]
        node._out.write_text(f"listening on {url}\n")  # what it will say; until then the tests need its address

        async def reason() -> str:
            answer = await node.client.get("/health/ready")
            assert answer.status_code == 503
            return str(answer.json()["details"].get("database", ""))

        async def told() -> bool:
            return "bin/troupe db upgrade" in await reason()

        await until(told, "the reason")
        async with subscribed(node.port, resume_from=1) as subscriber:
            await subscriber.more(5)
        done = await command("db", "upgrade", "--data-dir", str(node.data), "--config", str(folder / "node.toml"))
        assert done.returncode == 0, done.stderr
        await node.ready_again()
        assert_stored(await node.stored_up_to(subscriber.seqs[-1]), subscriber.signals)
        assert await node.stop() == 0
