"""The filter of system calls: what its program says for each architecture, and what the kernel makes of it."""

from __future__ import annotations

import mmap
import os
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from actors.strategies.sandbox.seccomp import (
    ALLOW,
    ALLOWED,
    ARCHITECTURES,
    EXAMINED,
    KILL_PROCESS,
    KILLED,
    REFUSE,
    Filter,
)
from tests.actors.strategies.sandbox.kit import end_of, needs_root, needs_seccomp, only, tell, worker_of, zygote_of

PID = 4321
MACHINES = tuple(ARCHITECTURES)
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
# Calls that are on no list: (x86_64, aarch64).
UNLISTED = {
    "openat": (257, 56), "openat2": (437, 437), "open": (2, -1), "socket": (41, 198), "socketpair": (53, 199),
    "connect": (42, 203), "sendto": (44, 206), "sendmsg": (46, 211), "recvmsg": (47, 212), "clone": (56, 220),
    "clone3": (435, 435), "fork": (57, -1), "vfork": (58, -1), "kill": (62, 129), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "dup": (32, 23), "dup3": (292, 24), "fcntl": (72, 25), "ioctl": (16, 29),
    "memfd_create": (319, 279), "newfstatat": (262, 79), "statx": (332, 291), "readlinkat": (267, 78),
    "prctl": (157, 167), "prlimit64": (302, 261), "seccomp": (317, 277), "shmget": (29, 194), "msgget": (68, 186),
    "setuid": (105, 146), "setitimer": (38, 103), "timer_create": (222, 107), "sched_setaffinity": (203, 122),
    "uname": (63, 160), "sysinfo": (99, 179), "getppid": (110, 173), "pkey_mprotect": (329, 288),
    "remap_file_pages": (216, 234), "process_madvise": (440, 440), "landlock_create_ruleset": (444, 444),
    "clock_settime": (227, 112), "eventfd2": (290, 19), "epoll_create1": (291, 20), "pipe2": (293, 59),
}  # fmt: skip


def verdict(
    machine: str, number: int, arguments: tuple[int, ...] = (), architecture: int | None = None, pid: int = PID
) -> int:
    """Run the program on one call, as the kernel does (Documentation/networking/filter.rst)."""
    code = [struct.unpack("<HBBI", step) for step in chunks(Filter(machine).program(pid))]
    architecture = ARCHITECTURES[machine] if architecture is None else architecture
    given = [*arguments, *[0] * (6 - len(arguments))]
    call = struct.pack("<iIQ6Q", number if number < 1 << 31 else number - (1 << 32), architecture, 0, *given)
    accumulator = place = 0
    while True:
        operation, then, otherwise, value = code[place]
        place += 1
        match operation:
            case 0x20:
                accumulator = struct.unpack_from("<I", call, value)[0]
            case 0x15:
                place += then if accumulator == value else otherwise
            case 0x35:
                place += then if accumulator >= value else otherwise
            case 0x45:
                place += then if accumulator & value else otherwise
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(f"instruction {operation:#x}")


def chunks(code: bytes) -> list[bytes]:
    return [code[place : place + 8] for place in range(0, len(code), 8)]


@pytest.mark.parametrize("machine", MACHINES)
def test_each_call_gets_the_verdict_of_its_list(machine: str) -> None:
    column = MACHINES.index(machine)
    for table, expected in ((ALLOWED, ALLOW), (KILLED, KILL_PROCESS), (UNLISTED, REFUSE)):
        for name, numbers in table.items():
            if numbers[column] >= 0:
                assert verdict(machine, numbers[column]) == expected, name


@pytest.mark.parametrize("machine", MACHINES)
def test_every_number_that_is_on_no_list_is_refused(machine: str) -> None:
    column = MACHINES.index(machine)
    listed = {numbers[column] for table in (ALLOWED, KILLED, EXAMINED) for numbers in table.values()}
    assert all(verdict(machine, number) == REFUSE for number in range(600) if number not in listed)


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_may_be_neither_executable_nor_shared_nor_uncounted(machine: str) -> None:
    mmap_, mprotect = (EXAMINED[name][MACHINES.index(machine)] for name in ("mmap", "mprotect"))
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    read_write = mmap.PROT_READ | mmap.PROT_WRITE
    assert verdict(machine, mmap_, (0, 4096, read_write, private)) == ALLOW
    assert verdict(machine, mmap_, (0, 4096, 0, private | 0x4000)) == ALLOW, "MAP_NORESERVE, as an arena is made"
    assert verdict(machine, mmap_, (0, 4096, read_write | mmap.PROT_EXEC, private)) == REFUSE
    for name, flag in (("SHARED", 1), ("SHARED_VALIDATE", 3), ("GROWSDOWN", 0x100), ("HUGETLB", 0x40000)):
        assert verdict(machine, mmap_, (0, 4096, read_write, private | flag)) == REFUSE, name
    assert verdict(machine, mprotect, (0, 4096, mmap.PROT_READ)) == ALLOW
    assert verdict(machine, mprotect, (0, 4096, read_write)) == REFUSE, "it passes RLIMIT_DATA"
    assert verdict(machine, mprotect, (0, 4096, mmap.PROT_READ | mmap.PROT_EXEC)) == REFUSE
    assert verdict(machine, mprotect, (0, 4096, 0x0100_0000 | read_write)) == REFUSE, "PROT_GROWSDOWN"


@pytest.mark.parametrize("machine", MACHINES)
def test_a_process_may_signal_itself_alone_and_read_its_own_clocks_alone(machine: str) -> None:
    column = MACHINES.index(machine)
    assert verdict(machine, EXAMINED["tgkill"][column], (PID, PID, 6)) == ALLOW
    assert verdict(machine, EXAMINED["tgkill"][column], (PID + 1, PID + 1, 6)) == REFUSE
    assert verdict(machine, EXAMINED["tgkill"][column], (PID, PID, 6), pid=PID + 1) == REFUSE
    for name in ("clock_gettime", "clock_getres", "clock_nanosleep"):
        for clock in (0, 1, 2, 3, 7):
            assert verdict(machine, EXAMINED[name][column], (clock,)) == ALLOW
        other = ((~PID << 3) | 2) & 0xFFFF_FFFF
        assert verdict(machine, EXAMINED[name][column], (other,)) == REFUSE


@pytest.mark.parametrize("machine", MACHINES)
def test_a_call_of_another_architecture_ends_the_process(machine: str) -> None:
    for architecture in (0x4000_0003, 0x4000_0028, 0, *ARCHITECTURES.values()):
        expected = ALLOW if architecture == ARCHITECTURES[machine] else KILL_PROCESS
        assert verdict(machine, ALLOWED["read"][MACHINES.index(machine)], architecture=architecture) == expected


def test_the_x32_calls_of_x86_64_end_the_process() -> None:
    for number in (0, 1, 59, 520, 547):
        assert verdict("x86_64", 0x4000_0000 | number) == KILL_PROCESS
    assert verdict("x86_64", 0xFFFF_FFFF) == KILL_PROCESS


def test_a_machine_without_a_table_is_refused_with_the_ones_that_have_one() -> None:
    with pytest.raises(ValueError, match=r"for riscv64: expected x86_64 or aarch64$"):
        Filter("riscv64")


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip(f"no kernel headers at {HEADERS[machine]}")
    rows = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text())
    known = {name: int(number) for name, number in rows}
    for table in (ALLOWED, EXAMINED, KILLED, UNLISTED):
        for name, numbers in table.items():
            # Headers may be older than the newest calls.
            if name in known or numbers[MACHINES.index(machine)] < 0:
                assert numbers[MACHINES.index(machine)] == known.get(name, -1), name


@needs_seccomp
async def test_alone_it_refuses_files_network_processes_threads_and_signals() -> None:
    refused = "PermissionError: [Errno 1] Operation not permitted"
    async with worker_of(only("seccomp")) as worker:
        deeds: tuple[tuple[str, dict[str, Any]], ...] = (
            ("read_file", {"path": "/etc/passwd"}),
            ("write_file", {"path": "/dev/null"}),
            ("look_at", {"path": "/"}),
            ("open_socket", {"kind": "tcp"}),
            ("open_socket", {"kind": "udp"}),
            ("open_socket", {"kind": "unix"}),
            ("fork", {}),
            ("send_signal", {"pid": os.getpid()}),
            ("clock_of", {"pid": os.getpid()}),
            ("map_memory", {"size": 4096, "protection": 7, "flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS}),
            ("map_memory", {"size": 4096, "protection": 3, "flags": mmap.MAP_SHARED | mmap.MAP_ANONYMOUS}),
            ("protect_memory", {"protection": mmap.PROT_READ | mmap.PROT_EXEC}),
        )
        for do, arguments in deeds:
            said = await tell(worker, do, **arguments)
            assert said.startswith((refused, "OSError: [Errno 1]", "PermissionError: [Errno 1]")), (do, said)
        assert await tell(worker, "start_thread") == "RuntimeError: can't start new thread"
        assert await tell(worker, "nothing") == "nothing"


@needs_seccomp
async def test_a_call_on_the_kill_list_ends_the_process_as_forbidden() -> None:
    column = MACHINES.index(os.uname().machine)
    async with zygote_of(only("seccomp")) as zygote:
        for name, numbers in KILLED.items():
            end = await end_of(await zygote.create(name), "system_call", number=numbers[column])
            assert end.cause == "forbidden_syscall", (name, end)
        assert (await end_of(await zygote.create("exec"), "execute")).cause == "forbidden_syscall"


@needs_seccomp
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 is of x86_64 alone")
async def test_an_x32_call_ends_the_process_as_forbidden() -> None:
    async with worker_of(only("seccomp")) as worker:
        assert (await end_of(worker, "system_call", number=0x4000_0000 | 39)).cause == "forbidden_syscall"


@needs_seccomp
async def test_abort_ends_the_process_by_the_signal_it_sends_itself() -> None:
    async with worker_of(only("seccomp")) as worker:
        end = await end_of(worker, "abort")
        assert (end.cause, end.detail) == ("crashed", "it was ended by SIGABRT")


@needs_root
async def test_without_any_layer_all_of_it_goes_through() -> None:
    async with worker_of(only()) as worker:
        assert await tell(worker, "read_file", path="/etc/passwd") == "10"
        assert await tell(worker, "open_socket", kind="udp") == "None"
        for do in ("fork", "start_thread"):
            assert await tell(worker, do) == "None", do
