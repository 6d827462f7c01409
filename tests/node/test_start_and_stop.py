"""A node from its start to its end, seen from outside."""

from __future__ import annotations

import os
import random
import signal
import socket
from pathlib import Path

import msgspec
import pytest

from tests.http_client import http_client
from tests.node.kit import DEFAULT, NodeProcess, command, until, with_pid
from tests.node.subscriber import subscribed

STOP_S = 4.0
"""The default budget of a stop."""


async def test_a_first_start_prints_one_line_when_it_is_ready_and_says_503_before(folder: Path) -> None:
    with NodeProcess(folder) as node:
        await until(lambda: (node.data / "node.json").exists(), "node.json")
        url = msgspec.json.decode((node.data / "node.json").read_bytes())["url"]
        async with http_client(base_url=url) as client:
            before = []
            while (answer := await client.get("/health/ready")).status_code != 200:
                before.append(answer)
            assert before
            assert {answer.status_code for answer in before} == {503}
            assert not any(answer.json()["ready"] for answer in before)
            assert (await client.get("/health/live")).status_code == 200
        await node.ready()
        async with subscribed(node.port) as subscriber:
            await subscriber.more(5)
        assert await node.stop(signal.SIGINT) == 0
        assert node.out == f"listening on {url}\n"
        assert node.survivors() == []
        assert not (node.data / "node.json").exists()


@pytest.mark.long
async def test_a_second_start_goes_on_where_the_first_one_ended(prepared: Path) -> None:
    with NodeProcess(prepared) as node:
        await node.ready()
        async with subscribed(node.port, resume_from=1) as subscriber:
            await subscriber.more(5)
        epoch = (await node.get("/health/status"))["epoch"]
        assert await node.stop() == 0
        assert node.survivors() == []
        await node.start().ready()
        assert (await node.get("/health/status"))["epoch"] == epoch + 1
        async with subscribed(node.port, resume_from=1) as again:
            await again.reaches(subscriber.signals[-1][0] + 5)
            assert again.signals[: len(subscriber.signals)] == subscriber.signals
            assert again.seqs == list(range(1, len(again.seqs) + 1))
        assert await node.stop() == 0
        assert "error" not in {event.get("level") for event in node.events()}, node.log


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        pytest.param("log/lock", signal.SIGTERM, marks=pytest.mark.long),
        ("log/lock", signal.SIGINT),
        ("postgres/cluster.new", signal.SIGTERM),
        pytest.param("node.json", signal.SIGINT, marks=pytest.mark.long),
    ],
)
async def test_a_signal_during_the_start_stops_in_order(folder: Path, moment: str, number: int) -> None:
    with NodeProcess(folder) as node:
        await until(lambda: (node.data / moment).exists() or node.process.poll() is not None, moment)
        assert await node.stop(number) == 0
        assert node.out == ""
        assert node.survivors() == []
        assert "Traceback" not in node.log


@pytest.mark.long
async def test_a_start_that_was_interrupted_anywhere_can_be_repeated(folder: Path) -> None:
    moments = ["postgres/cluster.new", "postgres/cluster/postmaster.pid", "node.json"]
    with NodeProcess(folder) as node:
        for moment in moments:
            await until(lambda moment=moment: (node.data / moment).exists(), moment)
            node.kill()
            node.start()
        await node.ready()
        async with subscribed(node.port) as subscriber:
            await subscriber.more(3)
        assert await node.stop() == 0
        assert node.survivors() == []


async def test_a_second_signal_ends_a_stop_at_once_and_leaves_nothing(prepared: Path) -> None:
    with NodeProcess(prepared) as node:
        await node.ready()
        with_pid(node.writer_pid(), signal.SIGSTOP)  # so that the stop takes its time
        node.process.send_signal(signal.SIGTERM)
        await until(lambda: '"stopping"' in node.log, "the begin of the stop")
        node.process.send_signal(signal.SIGTERM)
        assert await node.ended() == 130
        await node.gone()


@pytest.mark.long
async def test_a_stop_keeps_its_budget_though_the_database_and_the_writer_stand_still(prepared: Path) -> None:
    with NodeProcess(prepared) as node:
        await node.ready()
        async with subscribed(node.port) as subscriber:
            await subscriber.more(3)
        for pid in [*node.postgres_pids(), node.writer_pid()]:
            with_pid(pid, signal.SIGSTOP)
        node.process.send_signal(signal.SIGTERM)
        assert await node.ended(STOP_S + 2.0) == 0
        assert node.survivors() == []
        await node.start().ready()
        stored = await node.stored_up_to(subscriber.signals[-1][0])
        assert [(seq, stored[seq]) for seq in subscriber.seqs] == subscriber.signals


async def test_a_second_node_on_the_same_folder_is_refused_and_does_no_harm(node: NodeProcess, folder: Path) -> None:
    (folder / "node.toml").write_text(DEFAULT)
    found = await command("run", str(folder / "node.toml"), "--data-dir", str(node.data))
    assert found.returncode == 1
    assert found.stdout == ""
    assert str(node.process.pid) in found.stderr
    assert "Traceback" not in found.stderr
    assert (node.data / "node.json").exists()
    assert await node.is_ready()


async def test_a_taken_port_is_one_clear_error(prepared: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with NodeProcess(prepared, DEFAULT, f"edge.port={port}") as node:
            assert await node.ended() == 1
            assert node.out == ""
            assert f"port {port}" in "".join(node.log.splitlines()[-2:])
            assert "Traceback" not in node.log
            assert node.survivors() == []


async def test_nothing_survives_a_node_that_was_killed_and_the_next_start_is_not_held_up(prepared: Path) -> None:
    with NodeProcess(prepared) as node:
        await node.ready()
        family = {entry.name for entry in node.descendants()}
        assert "postgres" in family
        node.kill()
        await node.gone()
        await node.start().ready()
        assert await node.stop() == 0


@pytest.mark.long
async def test_a_database_that_survived_its_node_is_stopped_by_the_next_one(prepared: Path) -> None:
    with NodeProcess(prepared) as node:
        await node.ready()
        left = node.postgres_pids()
        for pid in left:
            with_pid(pid, signal.SIGSTOP)  # it can neither see nor follow the end of its parent
        node.kill()
        await node.start().ready()
        assert not set(left) & set(node.postgres_pids())
        async with subscribed(node.port) as subscriber:
            await subscriber.more(3)
        assert await node.stop() == 0
        assert node.survivors() == []


@pytest.mark.long
async def test_a_start_can_be_stopped_at_any_moment(template: Path, folder: Path) -> None:
    chance = random.Random(os.environ.get("TROUPE_SEED", "1"))
    with NodeProcess(folder) as node:
        for _ in range(25):
            # Progress of the start, in pages that it has touched, instead of a time.
            wanted = chance.randrange(2_000, 30_000)
            await until(lambda wanted=wanted: _faults(node.process.pid) > wanted or node.out, "progress")
            status = await node.stop(chance.choice([signal.SIGTERM, signal.SIGINT]))
            assert status in (0, -signal.SIGTERM, -signal.SIGINT, 130), node.log[-2000:]
            assert node.survivors() == []
            node.start()
        await node.ready()
        assert await node.stop() == 0


def _faults(pid: int) -> int:
    """Minor page faults of a process (proc_pid_stat(5), field 10)."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])
    except FileNotFoundError:
        return 0
