"""The zygote: what it starts with, the workers it makes, and that nothing is left when it or the node ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.strategies.sandbox import linux
from actors.strategies.sandbox.worker import Worker, WorkerEnded
from actors.strategies.sandbox.zygote import Zygote, ZygoteFailed
from runtime.orphans import processes, read_process
from runtime.process import PIPE, ChildProcess
from tests.actors.strategies.sandbox.kit import (
    REPOSITORY,
    SMALL,
    Layers,
    end_of,
    gone,
    need_namespaces,
    needs_root,
    tell,
    wish,
    without,
    zygote_of,
)
from tests.actors.strategies.sandbox.ordinary import NOT_HERE

HERE = "tests.actors.strategies.sandbox"
LAYERS = [Layers(), without("namespaces")]
NODE = Path(__file__).with_name("node.py")
MANY = 150
"""More than the zygote's descriptors have numbers of two digits."""
ORDINARY = Path(__file__).with_name("ordinary.py")


def children() -> set[int]:
    return {entry.pid for entry in processes() if entry.parent == os.getpid()}


async def test_it_says_what_holds_its_workers_and_how_many_there_are() -> None:
    async with zygote_of() as zygote:
        assert set(zygote.held) | set(zygote.missing) == set(Layers.__struct_fields__)
        assert (zygote.forks, zygote.live) == (0, 0)
        worker = await zygote.create("one", SMALL)
        assert (zygote.forks, zygote.live) == (1, 1)
        await worker.close()
        assert (zygote.forks, zygote.live) == (1, 0)


async def test_it_is_alone_in_namespaces_of_its_own_where_they_can_be_had() -> None:
    async with zygote_of() as zygote:
        need_namespaces(zygote)
        assert zygote.namespaces == ("user", "pid", "net", "mnt", "ipc", "uts")
        worker = await zygote.create("one", SMALL)
        for name in zygote.namespaces:
            assert os.readlink(f"/proc/{worker.pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")


@pytest.mark.parametrize("off", ["seccomp", "landlock", "rlimits", "user", "namespaces"])
async def test_a_layer_that_is_switched_off_is_missing_and_said_so(off: str) -> None:
    async with zygote_of(without(off)) as zygote:
        assert zygote.missing[off] == "switched off"
        assert off not in zygote.held
        assert await tell(await zygote.create("one", SMALL), "nothing") == "nothing"


async def test_with_namespaces_alone_there_are_no_files_no_network_and_no_other_processes() -> None:
    async with zygote_of(without("seccomp", "landlock", "rlimits", "user")) as zygote:
        need_namespaces(zygote)
        worker = await zygote.create("one", SMALL)
        assert await tell(worker, "look_at", path="/") == "None"
        for path in ("/etc/passwd", "/proc/self/status", "/dev/null", str(REPOSITORY)):
            assert (await tell(worker, "read_file", path=path)).startswith("FileNotFoundError"), path
        assert (await tell(worker, "write_file", path="/x")).startswith("OSError: [Errno 30]")
        assert (await tell(worker, "connect", port=9)).startswith("OSError: [Errno 101]")
        assert (await tell(worker, "send_datagram", port=9)).startswith("OSError: [Errno 101]")
        assert (await tell(worker, "send_signal", pid=os.getpid())).startswith("ProcessLookupError")
        # Process 1 of a namespace cannot be killed from inside.
        assert await tell(worker, "send_signal", pid=0, number=int(signal.SIGKILL)) == "None"
        assert await tell(await zygote.create("two", SMALL), "nothing") == "nothing"


async def test_its_environment_is_clean_and_it_has_no_event_loop() -> None:
    async with zygote_of() as zygote:
        worker = await zygote.create("one", SMALL)
        said = await tell(worker, "loaded", names=("trio", "runtime", "asyncio", "multiprocessing"))
        assert said == "[]"
        variables = json.loads(await tell(worker, "environment"))
        assert sorted(variables) == [
            "LC_ALL", "MALLOC_ARENA_MAX", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED", "TROUPE_CHILD",
        ]  # fmt: skip


async def test_the_node_cannot_be_looked_into_from_then_on() -> None:
    async with zygote_of():
        assert linux.prctl(linux.PR_GET_DUMPABLE) == 0


async def test_what_goes_wrong_in_its_start_is_told_with_the_traceback() -> None:
    for inside, said in (
        (f"{HERE}.no_such_module", "No module named"),
        (f"{HERE}.stillborn", "a zygote must have one thread to fork: expected 1, got 2"),
    ):
        before = children()
        with pytest.raises(ZygoteFailed, match=said):
            await Zygote.start(inside=inside)
        assert children() == before


@pytest.mark.parametrize("layers", LAYERS)
async def test_workers_are_made_for_several_tasks_at_once(layers: Layers) -> None:
    async with zygote_of(layers) as zygote:
        workers: list[Worker] = []

        async def make(number: int) -> None:
            workers.append(await zygote.create(str(number), SMALL))

        async with trio.open_nursery() as nursery:
            for number in range(MANY):
                nursery.start_soon(make, number)
        assert len({worker.pid for worker in workers}) == zygote.live == MANY
        for worker in workers:
            assert await tell(worker, "nothing") == "nothing"
        async with trio.open_nursery() as nursery:
            for worker in workers:
                nursery.start_soon(worker.close)
        with trio.fail_after(10):
            await zygote.drain()
        assert zygote.live == 0


async def test_a_worker_whose_creation_was_cancelled_does_not_stay() -> None:
    async with zygote_of() as zygote:
        with trio.CancelScope() as scope:
            scope.cancel()
            await zygote.create("unwanted", SMALL)
        assert scope.cancelled_caught
        await zygote.create("wanted", SMALL)
        with trio.fail_after(10):
            await zygote._until(lambda: zygote.live == 1)


async def test_a_zygote_that_does_not_answer_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.strategies.sandbox.zygote._CREATE_S", 0.1)
    async with zygote_of(without("namespaces")) as zygote:
        os.kill(zygote.pid, signal.SIGSTOP)
        with pytest.raises(ZygoteFailed, match=r"did not answer for 0\.1 s, and was killed$"):
            await zygote.create("one", SMALL)
        with trio.fail_after(10), pytest.raises(ZygoteFailed, match="was ended by SIGKILL"):
            await zygote.watch()


@pytest.mark.parametrize("layers", LAYERS)
async def test_closing_it_ends_everything_and_leaves_no_process(layers: Layers) -> None:
    before = children()
    async with zygote_of(layers) as zygote:
        idle, spinning = await zygote.create("idle", SMALL), await zygote.create("spinning", SMALL)
        async with trio.open_nursery() as nursery:
            ends: list[WorkerEnded] = []

            async def hear_its_end() -> None:
                with pytest.raises(WorkerEnded) as caught:
                    await spinning.call(wish("spin"), 60)
                ends.append(caught.value)

            nursery.start_soon(hear_its_end)
            await trio.testing.wait_all_tasks_blocked()
            await zygote.close()
    assert idle.ended is not None
    assert idle.ended.cause == ends[0].cause == "closed"
    for pid in (zygote.pid, idle.pid, spinning.pid):
        assert read_process(pid) is None
    assert children() == before
    with pytest.raises(ZygoteFailed):
        await zygote.create("late", SMALL)


@pytest.mark.parametrize("layers", LAYERS)
async def test_when_it_is_killed_every_worker_ends_and_none_is_left(layers: Layers) -> None:
    before = children()
    async with zygote_of(layers) as zygote:
        idle, spinning = await zygote.create("idle", SMALL), await zygote.create("spinning", SMALL)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_the_zygotes_end, spinning)
            await trio.testing.wait_all_tasks_blocked()
            os.kill(zygote.pid, signal.SIGKILL)
            with trio.fail_after(10), pytest.raises(ZygoteFailed, match="was ended by SIGKILL"):
                await zygote.watch()
        assert idle.ended is not None
        assert idle.ended.cause == "zygote"
        for pid in (zygote.pid, idle.pid, spinning.pid):
            await gone(pid)
        assert children() == before
        with pytest.raises(ZygoteFailed):
            await zygote.create("late", SMALL)


async def expect_the_zygotes_end(worker: Worker) -> None:
    end = await end_of_call(worker)
    assert (end.cause, end.detail) == ("zygote", "its zygote has ended")


async def end_of_call(worker: Worker) -> WorkerEnded:
    with pytest.raises(WorkerEnded) as caught:
        await worker.call(wish("spin"), 60)
    return caught.value


async def test_when_the_process_that_forks_is_killed_it_all_ends_too() -> None:
    async with zygote_of() as zygote:
        need_namespaces(zygote)
        worker = await zygote.create("one", SMALL)
        forker = read_process(worker.pid)
        assert forker is not None
        assert forker.parent != zygote.pid
        os.kill(forker.parent, signal.SIGKILL)
        with trio.fail_after(10):
            assert "exited with status 1" in await zygote.wait()
        await gone(worker.pid)


@pytest.mark.parametrize("kind", ["namespaces", "plain"])
async def test_when_the_node_is_killed_nothing_is_left(kind: str) -> None:
    node = await ChildProcess.start([sys.executable, NODE, kind], env=environment(), stdout=PIPE)
    pids = json.loads(await node.read_line())
    # The signal goes to it alone, as a kill -9 does.
    node.signal(signal.SIGKILL)
    for pid in pids:
        await gone(pid)
    await node.wait()


@needs_root
@pytest.mark.parametrize("kind", ["namespaces", "plain"])
async def test_an_ordinary_user_has_the_same_sandbox(kind: str) -> None:
    facts = await facts_of("nobody", "here", kind)
    assert facts["ends"] == ["timeout", "timeout"]
    assert facts["memory"] == 0
    if "seccomp" in facts["held"]:
        assert all(said.startswith("PermissionError") for said in facts["said"])
    if kind == "namespaces" and "namespaces" not in facts["held"]:
        pytest.skip(f"no namespaces for an ordinary user here: {facts['missing']['namespaces']}")
    assert facts["namespaces"] == (["user", "pid", "net", "mnt", "ipc", "uts"] if kind == "namespaces" else [])


@needs_root
@pytest.mark.parametrize("user", ["root", "nobody"])
async def test_where_user_namespaces_are_refused_it_does_without_and_says_why(user: str) -> None:
    facts = await facts_of(user, "chroot", "namespaces")
    assert "user" not in facts["namespaces"]
    assert facts["missing"]["namespaces"].startswith("with a user namespace: ")
    assert facts["ends"] == ["timeout", "timeout"]


async def facts_of(user: str, place: str, kind: str) -> dict[str, Any]:
    """What a node says of its sandbox in these circumstances."""
    command = [sys.executable, str(ORDINARY), user, place, str(NODE), kind, "calls"]
    answer = await trio.run_process(
        command, env=environment(), capture_stdout=True, capture_stderr=True, check=False
    )  # fmt: skip
    if answer.returncode == NOT_HERE:
        pytest.skip(answer.stderr.decode())
    assert answer.returncode == 0, answer.stderr.decode()
    facts: dict[str, Any] = json.loads(answer.stdout)
    return facts


def environment() -> dict[str, str]:
    return {"PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]}


async def test_an_end_of_a_worker_that_nobody_waits_for_is_heard_by_who_watches() -> None:
    async with zygote_of() as zygote, trio.open_nursery() as nursery:
        nursery.start_soon(zygote.watch)
        worker = await zygote.create("one", SMALL)
        await trio.testing.wait_all_tasks_blocked()
        os.kill(worker.pid, signal.SIGKILL)
        with trio.fail_after(10):
            await worker.wait()
        assert zygote.live == 0
        assert (await end_of(await zygote.create("two", SMALL), "leave", status=1)).cause == "crashed"
        nursery.cancel_scope.cancel()


def test_the_zygotes_program_can_be_started_by_nobody_else() -> None:
    """Without a control socket it ends at once, and says nothing on the standard output."""
    program = REPOSITORY / "actors/strategies/sandbox/zygote_main.py"
    settings = json.dumps({"path": sys.path, "inside": f"{HERE}.echo"})
    answer = subprocess.run(
        [sys.executable, "-I", "-B", program, settings], stdin=subprocess.DEVNULL, capture_output=True, timeout=30
    )
    assert answer.returncode == 1
    assert answer.stdout == b""
