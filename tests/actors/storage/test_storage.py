"""The whole branch in a node: what is accepted reaches the database once and in order, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from actors.storage.embedded import server_url
from protocols.control import Probe, ProbeReport, Refused, Unknown
from protocols.paths import QUERIES, STORAGE_POSTGRES, STORAGE_WRITER
from protocols.storage import DatabaseReady, RunQuery
from runtime import Node, NodeSettings, open_node
from runtime.log_reader import LogReader
from runtime.orphans import processes_in
from runtime.process import ChildProcess
from runtime.segments import list_segments
from tests.actors.storage.kit import Tick, afetch, small_log, storage_children

ROOT = Path(__file__).parents[3]
PATIENCE_S = 30


@asynccontextmanager
async def storage_node(data: Path, **settings: Any) -> AsyncIterator[Node]:
    with small_log(data / "log") as log:
        children = tuple(storage_children(data, **settings))
        async with open_node(NodeSettings(data_dir=str(data)), children=children, log=log) as node:
            yield node


async def report(node: Node, path: str = QUERIES) -> ProbeReport:
    try:
        return await node.ref(path).ask(Probe())
    except (Refused, Unknown) as error:
        return ProbeReport("failed", str(error), False)


async def reported(node: Node, condition: Callable[[ProbeReport], object], path: str = QUERIES) -> ProbeReport:
    """Ask until the report is as it should be; returns it."""
    with trio.fail_after(PATIENCE_S):
        while not condition(found := await report(node, path)):  # noqa: ASYNC110 - asked for, as the monitor does
            await trio.sleep(0.01)
    return found


async def ready(node: Node) -> ProbeReport:
    """Wait until storage is ready; returns its report."""
    return await reported(node, lambda found: found.ready)


async def moved(node: Node) -> None:
    """Wait until the database has everything that was accepted."""
    log = node.require_log()
    await reported(node, lambda found: found.ready and dict(found.figures)["position"] == log.position, STORAGE_WRITER)


async def pid_of(node: Node, path: str, but: int | None = None) -> int:
    """Wait until `path` has a process, another one than `but`; returns its pid."""
    found = await reported(node, lambda found: dict(found.figures).get("pid", but) != but, path)
    pid = dict(found.figures)["pid"]
    assert isinstance(pid, int)
    return pid


async def stored(data: Path) -> list[int]:
    rows = await afetch(server_url(data / "postgres"), "SELECT n FROM ticks ORDER BY id")
    return [n for (n,) in rows]


async def test_rows_can_be_asked_for_after_they_were_moved(data: Path) -> None:
    async with storage_node(data) as node:
        for n in range(1000):
            node.require_log().append(Tick(n))
        await moved(node)
        answer = await node.ref(QUERIES).ask(RunQuery("SELECT count(*), max(n) FROM ticks"))
        assert answer.rows == ((1000, 999),)
        assert await stored(data) == list(range(1000))


async def test_the_start_waits_for_no_database_and_readiness_does(tmp_path: Path) -> None:
    async with storage_node(tmp_path / "data") as node:
        with node.open_tap((DatabaseReady, None)) as tap:
            node.require_log().append(Tick(1))
            assert not (await report(node)).ready
            with trio.fail_after(PATIENCE_S):
                await tap.receive()
        found = await ready(node)
        assert found.status == "ok"
        assert dict(found.figures)["rejected_rows"] == 0
        await moved(node)
        assert await stored(tmp_path / "data") == [1]


async def test_a_stop_leaves_no_process_and_the_next_start_goes_on(data: Path) -> None:
    others = set(ChildProcess.running)
    for life in range(2):
        async with storage_node(data) as node:
            node.require_log().append(Tick(life))
            await moved(node)
        assert set(ChildProcess.running) == others
        assert processes_in(data / "postgres" / "cluster", "postgres") == []
    async with storage_node(data) as node:
        await ready(node)
        assert await stored(data) == [0, 1]


async def test_finished_segments_are_deleted_when_the_database_has_them(data: Path) -> None:
    async with storage_node(data) as node:
        log = node.require_log()
        while len(list_segments(log.directory)) < 5:
            log.append(Tick(log.position, raw=b"x" * 500))
        await moved(node)
        await reported(node, lambda _: len(list_segments(log.directory)) == 1)


async def test_a_rejected_row_is_counted_and_shown_in_the_probe(data: Path) -> None:
    async with storage_node(data) as node:
        node.require_log().append(Tick(1))
        node.require_log().append(Tick(1))
        node.require_log().append(Tick(2))
        await moved(node)
        found = await reported(node, lambda found: found.status == "degraded")
        assert (found.ready, found.detail) == (True, "1 rows are in rejected_rows")
        assert await stored(data) == [1, 2]


async def test_with_a_url_no_server_is_started(database: str, tmp_path: Path) -> None:
    async with storage_node(tmp_path, url=database) as node:
        node.require_log().append(Tick(1))
        await moved(node)
        assert STORAGE_POSTGRES not in node.cells
        assert await afetch(database, "SELECT n FROM ticks") == [(1,)]
    assert not (tmp_path / "postgres").exists()


async def test_without_migrations_an_old_schema_is_not_ready_and_says_what_to_do(
    new_database: Any, tmp_path: Path
) -> None:
    url = await trio.to_thread.run_sync(new_database, False)
    async with storage_node(tmp_path, url=url, migrate=False) as node:
        found = await reported(node, lambda found: "bin/troupe db upgrade" in found.detail)
        assert not found.ready
        assert "at no revision, this version wants storage_0001, tests_0001" in found.detail


async def test_a_database_that_comes_later_gets_what_was_accepted_before(new_database: Any, tmp_path: Path) -> None:
    url = await trio.to_thread.run_sync(new_database)
    missing = url.replace("/test_", "/later_test_")
    async with storage_node(tmp_path, url=missing) as node:
        for n in range(10):
            node.require_log().append(Tick(n))
        await reported(node, lambda found: "does not exist" in found.detail)
        name = missing.partition("@/")[2].partition("?")[0]
        await afetch(url.replace(f"/{name.removeprefix('later_')}?", "/postgres?"), f"CREATE DATABASE {name}")
        await moved(node)
        assert await afetch(missing, "SELECT count(*) FROM ticks") == [(10,)]


def test_the_writer_process_loads_neither_the_kernel_nor_what_migrations_need() -> None:
    program = (
        "import runpy, sys\n"
        "try: runpy.run_module('actors.storage.writer_main', run_name='__main__')\n"
        "except KeyError as missing: print(missing)\n"
        "print({'trio', 'structlog', 'sqlalchemy', 'alembic'} & set(sys.modules), 'asyncpg' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "'TROUPE_WRITER'\nset() True\n"


async def kill_while_appending(data: Path, paths: list[str], kills: int, seed: int) -> None:
    """Append without a pause and kill -9 the processes of `paths` in turn; then everything is there, in order."""
    random = Random(seed)
    async with storage_node(data) as node:
        log = node.require_log()
        await ready(node)
        accepted = 0
        for kill in range(kills):
            pid = await pid_of(node, paths[kill % len(paths)])
            for _ in range(random.randrange(2, 10)):
                for _ in range(random.randrange(1, 2000)):
                    log.append(Tick(accepted))
                    accepted += 1
                await trio.sleep(random.random() * 0.03)
            os.kill(pid, signal.SIGKILL)
            await pid_of(node, paths[kill % len(paths)], but=pid)
        await moved(node)
        await ready(node)
        assert await stored(data) == list(range(accepted))
        rejected = await afetch(server_url(data / "postgres"), "SELECT count(*) FROM rejected_rows")
        assert rejected == [(0,)]


async def test_every_row_arrives_once_and_in_order_through_kill_9_of_the_writer(data: Path) -> None:
    await kill_while_appending(data, [STORAGE_WRITER], 3, seed=1)


async def test_every_row_arrives_once_and_in_order_through_kill_9_of_the_database(data: Path) -> None:
    await kill_while_appending(data, [STORAGE_POSTGRES], 2, seed=2)


NODE = """
import sys, trio
from pathlib import Path
from tests.actors.storage.kit import Tick
from tests.actors.storage.test_storage import ready, storage_node

async def main():
    async with storage_node(Path(sys.argv[1])) as node:
        log = node.require_log()
        n = int(sys.argv[2])
        await ready(node)
        while True:
            for _ in range(500):
                log.append(Tick(n))
                n += 1
            print('accepted', n, flush=True)
            await trio.sleep(0.005)

trio.run(main)
"""


async def kill_nodes(data: Path, kills: int, seed: int) -> None:
    """Kill -9 one node after the other while it accepts; then everything that was accepted is there, in order."""
    random = Random(seed)
    accepted = 0
    for _ in range(kills):
        command = [sys.executable, "-c", NODE, str(data), str(accepted)]
        lines = random.randrange(5, 60)
        said = await trio.to_thread.run_sync(lambda: run_and_kill(command, lines))  # noqa: B023
        # What it accepted after its last word counts too.
        accepted = max(said, accepted_in(data / "log"))
    async with storage_node(data) as node:
        await moved(node)
        assert await stored(data) == list(range(accepted))


def run_and_kill(command: list[str], lines: int) -> int:
    """Kill a node after so many of its lines; returns how many rows it has said that it accepted."""
    said = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as node:
        assert node.stdout is not None
        for line in node.stdout:
            if line.startswith(b"accepted "):
                said = int(line.split()[1])
                lines -= 1
                if lines == 0:
                    break
        node.kill()
    return said


def accepted_in(directory: Path) -> int:
    """Return how many ticks were accepted, by the last one that the log holds."""
    last = -1
    reader = LogReader(directory)
    while rows := reader.read(10_000, 1 << 24):
        last = rows[-1].fields[0]
    reader.close()
    return last + 1


async def test_every_row_arrives_once_and_in_order_through_kill_9_of_the_node(data: Path) -> None:
    await kill_nodes(data, 2, seed=3)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
async def test_every_row_arrives_once_and_in_order_through_many_kills(data: Path, seed: int) -> None:
    await kill_while_appending(data, [STORAGE_WRITER, STORAGE_POSTGRES, STORAGE_WRITER], 15, seed)


@pytest.mark.long
async def test_every_row_arrives_once_and_in_order_through_many_nodes(data: Path) -> None:
    await kill_nodes(data, 15, seed=9)
