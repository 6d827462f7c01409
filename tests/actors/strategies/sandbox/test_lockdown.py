"""The lock-down: what a worker has left, seen from the node, and what its limits do."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio

from actors.strategies.sandbox.control import MEBIBYTE
from actors.strategies.sandbox.zygote import ZygoteFailed
from tests.actors.strategies.sandbox.kit import (
    SMALL,
    Layers,
    Limits,
    end_of,
    needs_root,
    needs_seccomp,
    only,
    tell,
    without,
    worker_of,
    zygote_of,
)

LAYERS = [Layers(), without("namespaces")]


def status(pid: int) -> dict[str, str]:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (row.partition(":") for row in rows)}


def limits(pid: int) -> dict[str, tuple[str, str]]:
    rows = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {row[:26].strip(): (row[26:47].strip(), row[47:68].strip()) for row in rows}


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


@needs_seccomp
@pytest.mark.parametrize("layers", LAYERS)
async def test_a_worker_has_a_filter_no_privileges_no_capabilities_and_no_signal_handlers(layers: Layers) -> None:
    async with worker_of(layers) as worker:
        seen = status(worker.pid)
        assert seen["Seccomp"] == "2"
        assert seen["NoNewPrivs"] == "1"
        assert {seen[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
        assert {int(seen[name], 16) for name in ("SigBlk", "SigIgn", "SigCgt")} == {0}
        assert seen["Threads"] == "1"


@needs_root
@pytest.mark.parametrize("layers", LAYERS)
async def test_each_worker_of_roots_has_an_id_of_its_own_that_is_nobodys(layers: Layers) -> None:
    async with zygote_of(layers) as zygote:
        workers = [await zygote.create(str(number), SMALL) for number in range(3)]
        ids = [status(worker.pid)["Uid"].split() for worker in workers]
        assert all(len(set(row)) == 1 for row in ids)
        assert len({row[0] for row in ids} | {str(os.getuid())}) == 4
        assert all(int(row[0]) > 1000 for row in ids)
        assert all(status(worker.pid)["Groups"] == "" for worker in workers)
        assert all(status(worker.pid)["CapBnd"] == "0" * 16 for worker in workers)
        # A slot that is free again is used again.
        await workers[1].close()
        again = await zygote.create("again", SMALL)
        assert status(again.pid)["Uid"].split() == ids[1]


@needs_root
@pytest.mark.parametrize("layers", LAYERS)
async def test_a_worker_has_the_null_device_and_its_socket_open_and_nothing_else(layers: Layers) -> None:
    async with zygote_of(layers) as zygote:
        await zygote.create("sibling", SMALL)
        worker = await zygote.create("one", SMALL)
        folder = f"/proc/{worker.pid}/fd"
        opened = {int(name): os.readlink(f"{folder}/{name}") for name in os.listdir(folder)}
        assert sorted(opened) == [0, 1, 2, 3]
        assert {opened[number].rpartition("/")[2] for number in range(3)} == {"null"}
        assert opened[3].startswith("socket:")


async def test_a_worker_leads_a_session_is_as_nice_as_it_was_told_and_goes_first_when_memory_runs_out() -> None:
    async with worker_of(limits=Limits(memory_mb=64, nice=3)) as worker:
        assert os.getsid(worker.pid) == worker.pid
        assert oom_score(worker.pid) >= max(500, oom_score(os.getpid()))
        assert os.getpriority(os.PRIO_PROCESS, worker.pid) == os.getpriority(os.PRIO_PROCESS, 0) + 3


async def test_the_limits_of_the_kernel_are_set_soft_and_hard() -> None:
    async with worker_of(limits=Limits(memory_mb=64, cpu_s=77)) as worker:
        seen = limits(worker.pid)
        assert seen["Max cpu time"] == ("77", "78")
        assert seen["Max open files"] == ("16", "16")
        for name in ("processes", "file size", "core file size", "locked memory", "msgqueue size"):
            assert seen[f"Max {name}"] == ("0", "0"), name
        assert int(seen["Max stack size"][1]) <= 8 * MEBIBYTE
        space, data = (int(seen[f"Max {name}"][1]) for name in ("address space", "data size"))
        assert space > data > 64 * MEBIBYTE


@pytest.mark.parametrize("memory_mb", [32, 200])
async def test_the_memory_limit_is_exact_and_reaching_it_is_an_error_and_not_the_end(memory_mb: int) -> None:
    async with worker_of(limits=Limits(memory_mb=memory_mb)) as worker:
        # What malloc gives back of what was there at the fork comes on top: less than a MiB. Python takes memory in
        # steps of one MiB.
        most = (memory_mb - 2) * MEBIBYTE
        for _ in range(3):
            assert await tell(worker, "allocate", size=(memory_mb + 1) * MEBIBYTE) == "MemoryError: "
            assert await tell(worker, "allocate", size=most) == str(most)
            assert await tell(worker, "allocate", size=3 * MEBIBYTE) == "MemoryError: "
            assert await tell(worker, "release") == "None"


async def test_the_limit_holds_for_the_sum_of_small_pieces_too() -> None:
    async with worker_of(limits=Limits(memory_mb=32)) as worker:
        pieces = 0
        while (said := await tell(worker, "allocate", size=MEBIBYTE)) == str(MEBIBYTE):
            pieces += 1
        assert said == "MemoryError: "
        assert 29 <= pieces <= 32


async def test_processor_time_is_limited_for_the_whole_life() -> None:
    async with worker_of(limits=Limits(memory_mb=64, cpu_s=1)) as worker:
        end = await end_of(worker, "spin")
        assert end.cause == "oom_or_cpu"
        assert "SIGXCPU" in end.detail


@pytest.mark.long
async def test_who_ignores_the_signal_for_processor_time_is_killed_a_second_later() -> None:
    async with worker_of(limits=Limits(memory_mb=64, cpu_s=1)) as worker:
        end = await end_of(worker, "ignore_and_spin")
        assert end.cause == "oom_or_cpu"
        assert "SIGKILL" in end.detail


@needs_root
async def test_with_a_user_of_its_own_alone_a_worker_may_signal_nobody() -> None:
    async with worker_of(only("user")) as worker:
        for pid in (os.getpid(), 0):
            assert (await tell(worker, "send_signal", pid=pid)).startswith("PermissionError")
        assert await tell(worker, "ids") != str(((0, 0, 0), (0, 0, 0), []))


async def test_with_limits_alone_memory_still_ends_at_the_cap() -> None:
    async with worker_of(only("rlimits")) as worker:
        assert await tell(worker, "allocate", size=65 * MEBIBYTE) == "MemoryError: "


async def test_a_worker_that_cannot_lock_itself_down_is_refused_with_the_reason() -> None:
    async with zygote_of() as zygote:
        with pytest.raises(ZygoteFailed, match=r"^no worker for odd: .*(int too large|rlimit|Overflow)"):
            await zygote.create("odd", Limits(memory_mb=1 << 50))
        assert zygote.live == 0
        assert await tell(await zygote.create("next", SMALL), "nothing") == "nothing"


async def test_signals_that_a_strategy_ignores_do_not_keep_it_alive() -> None:
    async with worker_of() as worker:
        assert (await end_of(worker, "ignore_and_spin", within=0.1)).cause == "timeout"


async def test_a_worker_ends_when_it_is_signalled_from_outside() -> None:
    async with worker_of() as worker:
        os.kill(worker.pid, signal.SIGTERM)
        with trio.fail_after(10):
            end = await worker.wait()
        assert (end.cause, end.detail) == ("crashed", "it was ended by SIGTERM")
