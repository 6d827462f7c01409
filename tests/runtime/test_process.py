"""Owned child processes: started, watched, ended, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from runtime.orphans import ProcessEntry, end_processes, processes, processes_in, read_process
from runtime.process import DEVNULL, PIPE, ChildProcess, NotReady, ProcessExited

ROOT = Path(__file__).parents[2]
PYTHON = sys.executable
WAITS = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True)\nwhile True: signal.pause()"
)


async def is_up(child: ChildProcess) -> None:
    assert await child.read_line() == b"up"


async def start(program: str, **options: object) -> ChildProcess:
    return await ChildProcess.start(
        [PYTHON, "-c", program],
        name="child",
        stdout=PIPE,
        **({"ready": is_up} | options),  # type: ignore[arg-type]
    )


async def forever(child: ChildProcess) -> None:
    await trio.sleep_forever()


def alive(pid: int) -> bool:
    entry = read_process(pid)
    return entry is not None and not entry.dead


async def gone(pid: int) -> None:
    """Wait until a process that may not be ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with trio.fail_after(10):
        await trio.lowlevel.wait_readable(descriptor)
    os.close(descriptor)


async def test_a_child_is_started_when_it_says_that_it_is_ready() -> None:
    child = await start(WAITS)
    assert child.status is None
    assert alive(child.pid)
    assert await child.stop() == -signal.SIGTERM
    assert not alive(child.pid)
    assert child.pid not in ChildProcess.running


async def test_it_gets_its_arguments_environment_and_directory(tmp_path: Path) -> None:
    program = "import os, sys; print(os.getcwd(), os.environ['X'], 'HOME' in os.environ, *sys.argv[1:])"
    child = await ChildProcess.start([PYTHON, "-c", program, "a b", "c"], env={"X": "1"}, cwd=tmp_path, stdout=PIPE)
    assert await child.read_line() == f"{tmp_path} 1 False a b c".encode()
    assert await child.wait() == 0


async def test_what_is_written_to_it_reaches_it() -> None:
    child = await ChildProcess.start(["cat"], stdin=PIPE, stdout=PIPE)
    assert child.stdin is not None
    await child.stdin.send_all(b"one\ntwo\n")
    assert [await child.read_line(), await child.read_line()] == [b"one", b"two"]
    await child.stdin.aclose()
    assert await child.read_line() == b""
    assert await child.wait() == 0


async def test_its_exit_status_is_told_to_everybody_who_waits() -> None:
    child = await start("print('up', flush=True); raise SystemExit(3)", ready=None)
    found = []

    async def wait() -> None:
        found.append(await child.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
    assert found == [3, 3]
    assert await child.wait() == 3


async def test_one_that_ends_before_it_is_ready_is_an_error_with_its_status() -> None:
    with pytest.raises(ProcessExited, match=r"^child \(process \d+\) exited with status 7$"):
        await start("raise SystemExit(7)", ready=forever)


async def test_one_that_is_not_ready_in_time_is_ended() -> None:
    pids = []

    async def never(child: ChildProcess) -> None:
        pids.append(child.pid)
        await trio.sleep_forever()

    with pytest.raises(NotReady, match=r"was not ready after 0\.2 s$"):
        await start(WAITS, ready=never, ready_s=0.2)
    assert not alive(pids[0])


async def test_an_error_of_the_readiness_check_ends_it() -> None:
    pids = []

    async def broken(child: ChildProcess) -> None:
        pids.append(child.pid)
        raise ValueError("wrong answer")

    with pytest.raises(ValueError, match="wrong answer"):
        await start(WAITS, ready=broken)
    assert not alive(pids[0])


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    pids = []

    async def never(child: ChildProcess) -> None:
        pids.append(child.pid)
        scope.cancel()
        await trio.sleep_forever()

    with trio.CancelScope() as scope:
        await start(WAITS, ready=never)
    assert not alive(pids[0])


async def test_a_program_that_does_not_exist_is_an_error_at_once() -> None:
    with pytest.raises(FileNotFoundError, match="no program no-such-program"):
        await ChildProcess.start(["no-such-program"])


async def test_one_that_ignores_its_stop_signal_is_killed() -> None:
    child = await start(STUBBORN)
    assert await child.stop(grace_s=0.1) == -signal.SIGKILL


async def test_a_stop_that_is_cancelled_kills_all_the_same() -> None:
    child = await start(STUBBORN)
    with trio.move_on_after(0.1) as scope:
        await child.stop(grace_s=60)
    assert scope.cancelled_caught
    assert child.status == -signal.SIGKILL


async def test_its_whole_group_ends_with_it() -> None:
    program = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {WAITS!r}]).pid, flush=True); input()"
    )
    child = await ChildProcess.start([PYTHON, "-c", program], stdin=PIPE, stdout=PIPE)
    inner = int(await child.read_line())
    assert await child.read_line() == b"up"
    child.kill()
    assert await child.wait() == -signal.SIGKILL
    await gone(inner)


async def test_an_orphan_in_a_session_of_its_own_is_ended_and_reaped() -> None:
    program = (
        "import subprocess, sys; "
        f"print(subprocess.Popen([sys.executable, '-c', {WAITS!r}], start_new_session=True).pid, flush=True)"
    )
    child = await ChildProcess.start([PYTHON, "-c", program], stdout=PIPE)
    inner = int(await child.read_line())
    assert await child.wait() == 0
    assert read_process(inner) is None


async def test_an_orphan_without_its_environment_is_known_by_its_folder_and_name(tmp_path: Path) -> None:
    program = (
        f"import subprocess, sys; command = [sys.executable, '-c', {WAITS!r}]; "
        "print(subprocess.Popen(command, env={}, start_new_session=True).pid, flush=True); "
        "input()"
    )
    child = await ChildProcess.start([PYTHON, "-c", program], cwd=tmp_path, home=tmp_path, stdin=PIPE, stdout=PIPE)
    inner = int(await child.read_line())
    assert await child.read_line() == b"up"
    entry = read_process(inner)
    assert entry is not None
    assert inner in [found.pid for found in processes_in(tmp_path, entry.name)]
    os.kill(child.pid, signal.SIGKILL)
    assert await child.wait() == -signal.SIGKILL
    assert read_process(inner) is None


async def test_processes_that_are_not_its_own_are_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path, start_new_session=True) as bystander:  # noqa: ASYNC220
        child = await start(WAITS, cwd=tmp_path, home=tmp_path)
        await child.stop()
        assert bystander.poll() is None
        bystander.kill()


async def test_watch_raises_when_it_ends_by_itself() -> None:
    child = await start(WAITS)
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ProcessExited, match=r"^child \(process \d+\) was ended by SIGKILL$"):
        await child.watch()


async def test_watch_is_silent_about_an_end_that_was_asked_for() -> None:
    child = await start(WAITS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(child.watch)
        await child.stop()


async def test_watch_that_is_cancelled_ends_the_process() -> None:
    child = await start(STUBBORN)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(child.watch)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert child.status == -signal.SIGKILL


async def test_ctrl_c_at_the_terminal_does_not_reach_it() -> None:
    child = await start(WAITS)
    assert os.getsid(child.pid) == child.pid
    assert os.getpgid(child.pid) == child.pid
    await child.stop()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up its rights")
async def test_as_root_it_can_have_the_rights_of_another_user() -> None:
    child = await ChildProcess.start(["id"], user="nobody", stdout=PIPE)
    assert (await child.read_line()).startswith(b"uid=65534(nobody) gid=65534")
    assert await child.wait() == 0


NODE = """
import signal, sys, trio
from runtime.process import PIPE, ChildProcess

async def main():
    user = sys.argv[1] or None
    child = await ChildProcess.start(["sleep", "1000"], user=user)
    # A worker thread that ends must not take the child along.
    await trio.to_thread.run_sync(lambda: None)
    print(child.pid, flush=True)
    await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.parametrize("user", ["", "nobody"])
async def test_no_child_survives_kill_9_of_its_node(user: str) -> None:
    if user and os.getuid() != 0:
        pytest.skip("only root can give up its rights")
    node = subprocess.Popen(  # noqa: ASYNC220
        [PYTHON, "-c", NODE, user], stdout=subprocess.PIPE, stdin=DEVNULL, cwd=ROOT
    )
    with node:
        assert node.stdout is not None
        pid = int(await trio.to_thread.run_sync(node.stdout.readline))
        assert alive(pid)
        node.kill()
    await gone(pid)


async def test_ending_processes_repeats_until_nothing_is_found(tmp_path: Path) -> None:
    started = {subprocess.Popen(["sleep", "60"], cwd=tmp_path).pid for _ in range(3)}  # noqa: ASYNC220

    def find() -> list[ProcessEntry]:
        return [entry for entry in processes_in(tmp_path, "sleep") if not entry.dead]

    assert await end_processes(find) == 3
    assert not started & {entry.pid for entry in processes()}, "they were not reaped"


async def test_background_work_is_nicer_than_who_started_it() -> None:
    program = (sys.executable, "-c", "import os; print(os.nice(0), flush=True)")
    child = await ChildProcess.start(program, stdout=PIPE, nice=7)
    assert int(await child.read_line()) == min(os.nice(0) + 7, 19)
    await child.wait()
