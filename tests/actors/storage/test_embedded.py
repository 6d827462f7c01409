"""The embedded PostgreSQL: started as our own child, repaired after any death, left nowhere."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from actors.storage import binaries
from actors.storage.binaries import NoServer, account, installations, may_read, programs_for
from actors.storage.embedded import SOCKET, ClusterLocked, EmbeddedServer, socket_folder
from runtime.orphans import processes_in
from runtime.process import ProcessExited
from tests.actors.storage.kit import afetch, copy_cluster

ROOT = Path(__file__).parents[3]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the rights of others")


def backends(folder: Path) -> list[int]:
    return [entry.pid for entry in processes_in(folder / "cluster", "postgres") if not entry.dead]


async def test_the_first_start_makes_a_cluster_and_a_later_one_finds_it(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "postgres")
    async with server.running():
        await afetch(server.url, "CREATE TABLE kept AS SELECT 1 AS a")
    assert backends(server.folder) == []
    async with server.running():
        assert await afetch(server.url, "SELECT a FROM kept") == [(1,)]


async def test_it_is_ready_when_it_says_so_and_takes_no_connections_after_its_end(data: Path) -> None:
    server = EmbeddedServer(data / "postgres")
    async with server.running() as process:
        assert await afetch(server.url, "SELECT 1") == [(1,)]
        assert await afetch(server.url, "SHOW listen_addresses") == [("",)]
        assert process.pid in backends(server.folder)
    with pytest.raises(OSError, match=r"No such file|Connection refused"):
        await afetch(server.url, "SELECT 1")
    assert process.status == 0


async def test_nobody_else_can_reach_its_files_or_its_socket(data: Path) -> None:
    server = EmbeddedServer(data / "postgres")
    async with server.running():
        assert stat.S_IMODE((data / "postgres" / "cluster").stat().st_mode) == 0o700
        assert stat.S_IMODE((data / "postgres" / "cluster" / SOCKET).stat().st_mode) == 0o700


async def test_its_backends_end_with_a_server_that_is_killed_and_a_new_one_starts_at_once(data: Path) -> None:
    server = EmbeddedServer(data / "postgres")
    async with server.running() as process:
        connection = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", BUSY, server.url], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert connection.stdout is not None
        backend = int(await trio.to_thread.run_sync(connection.stdout.readline))
        assert backend in backends(server.folder)
        # A stopped backend does not notice that its postmaster is gone: the worst case of an orphan.
        os.kill(backend, signal.SIGSTOP)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(ProcessExited, match="SIGKILL"):
            await process.watch()
        assert backends(server.folder) == []
        connection.kill()
        connection.wait()
    async with server.running():
        assert await afetch(server.url, "SELECT 1") == [(1,)]


BUSY = """
import asyncio, asyncpg, sys
async def main():
    connection = await asyncpg.connect(sys.argv[1])
    print(await connection.fetchval("SELECT pg_backend_pid()"), flush=True)
    await connection.execute("SELECT pg_sleep(600)")
asyncio.run(main())
"""

NODE = """
import sys, trio
from pathlib import Path
from actors.storage.embedded import EmbeddedServer
async def main():
    async with EmbeddedServer(Path(sys.argv[1])).running() as process:
        print(process.pid, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


async def start_node(folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    node = subprocess.Popen([sys.executable, "-c", NODE, str(folder)], stdout=subprocess.PIPE, cwd=ROOT)  # noqa: ASYNC220
    assert node.stdout is not None
    return node, int(await trio.to_thread.run_sync(node.stdout.readline))


async def test_it_does_not_survive_kill_9_of_its_node(data: Path) -> None:
    node, postmaster = await start_node(data / "postgres")
    descriptor = os.pidfd_open(postmaster)
    with node:
        node.kill()
    with trio.fail_after(10):
        await trio.lowlevel.wait_readable(descriptor)
    os.close(descriptor)
    server = EmbeddedServer(data / "postgres")
    async with server.running():
        assert await afetch(server.url, "SELECT 1") == [(1,)]
    assert backends(server.folder) == []


async def test_a_server_that_a_dead_node_left_is_stopped_first(data: Path) -> None:
    node, postmaster = await start_node(data / "postgres")
    with node:
        # It cannot act on the signal that its node's death sends before the new node is there.
        os.kill(postmaster, signal.SIGSTOP)
        node.kill()
    server = EmbeddedServer(data / "postgres")
    async with server.running() as process:
        assert process.pid != postmaster
        assert postmaster not in backends(server.folder)
        assert await afetch(server.url, "SELECT 1") == [(1,)]


async def test_one_process_runs_it_at_a_time(data: Path) -> None:
    async with EmbeddedServer(data / "postgres").running():
        with pytest.raises(ClusterLocked):
            async with EmbeddedServer(data / "postgres").running():
                pass


async def test_a_folder_whose_path_is_too_long_for_a_socket_gets_one_elsewhere(
    clusters: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = copy_cluster(clusters[1], tmp_path / ("x" * 120) / "postgres")
    server = EmbeddedServer(folder)
    sockets = socket_folder(folder)
    assert not sockets.is_relative_to(tmp_path)
    try:
        async with server.running():
            assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
            assert await afetch(server.url, "SELECT 1") == [(1,)]
        sockets.chmod(0o755)
        with pytest.raises(NoServer, match="should be a private folder"):
            async with server.running():
                pass
    finally:
        sockets.rmdir()


async def test_a_cluster_of_a_version_that_is_not_installed_is_refused_with_what_to_do(data: Path) -> None:
    (data / "postgres" / "cluster" / "PG_VERSION").write_text("9\n")
    with pytest.raises(NoServer, match=r"is of PostgreSQL 9, installed are \[.*dump it"):
        async with EmbeddedServer(data / "postgres").running():
            pass


async def test_a_server_that_cannot_start_says_why(data: Path) -> None:
    (data / "postgres" / "cluster" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(NoServer, match="no_such_setting"):
        async with EmbeddedServer(data / "postgres").running():
            pass


async def test_half_a_cluster_that_a_killed_initdb_left_is_made_anew(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "cluster.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedServer(tmp_path / "postgres")
    async with server.running():
        assert await afetch(server.url, "SELECT 1") == [(1,)]
    assert not half.exists()


@as_root
async def test_as_root_it_runs_without_rights_in_a_folder_that_only_root_may_enter(
    clusters: tuple[Path, Path], tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    server = EmbeddedServer(copy_cluster(clusters[1], hidden / "postgres"))
    user = account()
    assert user is not None
    assert not may_read(hidden / "postgres" / "cluster", user)
    async with server.running() as process:
        assert os.stat(f"/proc/{process.pid}").st_uid != 0
        [(path,)] = await afetch(server.url, "SELECT pg_relation_filepath('ticks')")
        assert (hidden / "postgres" / "cluster" / path).exists()


@as_root
def test_programs_that_the_account_cannot_reach_are_copied_once_to_where_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, installed = max(installations().items())
    package = tmp_path / "hidden" / "site-packages" / binaries.PACKAGE
    package.mkdir(parents=True)
    (tmp_path / "hidden").chmod(0o700)
    subprocess.run(["cp", "-a", str(installed), str(package)], check=True)
    libraries = f"{binaries.PACKAGE}.libs"
    subprocess.run(["cp", "-a", str(installed.parents[1] / libraries), str(package.parent)], check=True)
    shared = Path("/var/tmp") / f"troupe-test-{os.getpid()}"
    monkeypatch.setattr(binaries, "SHARED", shared)
    try:
        programs = programs_for(package / installed.name, "nobody")
        assert programs.is_relative_to(shared)
        assert programs_for(package / installed.name, "nobody") == programs
        for program in ("postgres", "initdb"):
            command = ["setpriv", "--reuid", "nobody", "--clear-groups", str(programs / program), "--version"]
            answer = subprocess.run(command, capture_output=True, text=True, check=True)
            assert f"(PostgreSQL) {version}" in answer.stdout
    finally:
        subprocess.run(["rm", "-rf", str(shared)], check=True)


@as_root
def test_root_is_told_when_there_is_no_account_to_run_it() -> None:
    with pytest.raises(NoServer, match=r"no account no-such-account; see database\.user"):
        account("no-such-account")
    with pytest.raises(NoServer, match="no account root"):
        account("root")


@as_root
def test_an_ordinary_user_needs_no_other_account(data: Path) -> None:
    """Run as a user without rights, in a namespace where the files are theirs."""
    subprocess.run(["chown", "-R", "0:0", str(data)], check=True)
    program = NODE.replace("await trio.sleep_forever()", "import os; print(os.geteuid(), flush=True)")
    command = ["unshare", "--user", "--map-user=65534", "--map-group=65534", sys.executable, "-c", program]
    answer = subprocess.run([*command, str(data / "postgres")], cwd=ROOT, capture_output=True, text=True, check=False)
    if "unshare failed" in answer.stderr:
        pytest.skip("no user namespaces here")
    assert answer.stdout.split()[-1] == "65534", answer.stderr


async def test_a_start_that_is_cancelled_leaves_no_process(data: Path) -> None:
    folder = data / "postgres"
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def cancel_when_it_runs() -> None:
                while not await trio.to_thread.run_sync(backends, folder):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

            nursery.start_soon(cancel_when_it_runs)
            async with EmbeddedServer(folder).running():
                await trio.sleep_forever()
    assert backends(folder) == []
