"""The filter of system calls: an allow list for code that has all it needs in memory, written as BPF by ourselves.

A call on ALLOWED goes through, some only with harmless arguments; a call on KILLED, which no strategy makes by
accident, ends the process with SIGSYS; every other call fails with EPERM, which Python shows as PermissionError.
A foreign architecture (32-bit calls) and the x32 calls of x86_64 end the process too, because their numbers mean
something else.

There is no open, socket, clone, kill, dup, fcntl, ioctl, or stat by name: `os.read` and `os.write` on the one
descriptor are what a worker has. io_uring would do input and output past any filter (lwn.net/Articles/1054225).

The program runs on `struct seccomp_data` (linux/seccomp.h): the number at 0, the architecture at 4, six arguments of
64 bit from 16. Numbers are from the kernel's unistd tables for x86_64 and of asm-generic for aarch64.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final, NamedTuple

from actors.strategies.sandbox import linux

# linux/audit.h
ARCHITECTURES: Final = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
X32_BIT: Final = 0x4000_0000

# name: (x86_64, aarch64); -1: the architecture has no such call.
ALLOWED: Final[dict[str, tuple[int, int]]] = {
    "read": (0, 63), "write": (1, 64), "futex": (202, 98), "brk": (12, 214), "munmap": (11, 215),
    "madvise": (28, 233), "mremap": (25, 216), "readv": (19, 65), "writev": (20, 66), "close": (3, 57),
    "fstat": (5, 80), "lseek": (8, 62), "sched_yield": (24, 124), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133), "sigaltstack": (131, 132), "getpid": (39, 172),
    "gettid": (186, 178), "nanosleep": (35, 101), "gettimeofday": (96, 169), "time": (201, -1), "times": (100, 153),
    "getrusage": (98, 165), "getrandom": (318, 278), "membarrier": (324, 283), "rseq": (334, 293),
    "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
"""With any argument."""
EXAMINED: Final[dict[str, tuple[int, int]]] = {
    "mmap": (9, 222), "mprotect": (10, 226), "tgkill": (234, 131), "clock_gettime": (228, 113),
    "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
}  # fmt: skip
"""With the arguments that `_examine` lets through."""
KILLED: Final[dict[str, tuple[int, int]]] = {
    "execve": (59, 221), "execveat": (322, 281), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "move_mount": (429, 429), "open_tree": (428, 428), "open_tree_attr": (467, 467), "mount_setattr": (442, 442),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "unshare": (272, 97),
    "setns": (308, 268), "bpf": (321, 280), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "userfaultfd": (323, 282), "perf_event_open": (298, 241), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
}  # fmt: skip

# linux/seccomp.h, linux/errno.h
KILL_PROCESS: Final = 0x8000_0000
ALLOW: Final = 0x7FFF_0000
REFUSE: Final = 0x0005_0000 | 1
"""The call fails with EPERM."""
_MODE_FILTER: Final = 2

# sys/mman.h; no other bit of `prot` is asked for by anything that is already loaded.
_READ: Final = 0x1
_READ_WRITE: Final = 0x3
_MAP_REFUSED: Final = 0x01 | 0x0100 | 0x4_0000
"""MAP_SHARED, MAP_GROWSDOWN and MAP_HUGETLB: pages that RLIMIT_DATA does not count."""

# linux/bpf_common.h
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST: Final = 0x35
_ANY_BIT: Final = 0x45  # BPF_JSET
_RETURN: Final = 0x06
_INSTRUCTION: Final = struct.Struct("<HBBI")
_PID_MARK: Final = "pid"


class _Step(NamedTuple):
    code: int
    value: int
    then: str = ""
    """Where to go if the test holds; empty: to the next step."""
    otherwise: str = ""
    label: str = ""


class Filter:
    """The program for one architecture, built once; only the process id in it differs between workers.

    Raises ValueError for an architecture that has no table here.
    """

    def __init__(self, machine: str | None = None) -> None:
        machine = machine or os.uname().machine
        if machine not in ARCHITECTURES or struct.calcsize("P") != 8:
            raise ValueError(f"there is no table of system calls for {machine}: expected {' or '.join(ARCHITECTURES)}")
        steps = _program(machine)
        self._pid_offset = next(i for i, s in enumerate(steps) if s.label == _PID_MARK) * _INSTRUCTION.size + 4
        code = _assemble(steps)
        self._code = ctypes.create_string_buffer(code, len(code))
        # struct sock_fprog: the number of instructions, and where they are.
        self._header = ctypes.create_string_buffer(
            struct.pack("<H6xQ", len(code) // _INSTRUCTION.size, ctypes.addressof(self._code)), 16
        )

    def program(self, pid: int) -> bytes:
        """Return the instructions for a process of this id (`struct sock_filter`, 8 bytes each)."""
        struct.pack_into("<I", self._code, self._pid_offset, pid)
        return self._code.raw

    def install(self) -> None:
        """Filter this process from here on, for good. Needs no_new_privs; raises OSError."""
        struct.pack_into("<I", self._code, self._pid_offset, os.getpid())
        linux.prctl(linux.PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(self._header))


def _program(machine: str) -> list[_Step]:
    column = list(ARCHITECTURES).index(machine)
    steps = [_Step(_LOAD, 4), _Step(_EQUAL, ARCHITECTURES[machine], otherwise="kill"), _Step(_LOAD, 0)]
    if machine == "x86_64":
        steps.append(_Step(_AT_LEAST, X32_BIT, then="kill"))
    for table, target in ((ALLOWED, "allow"), (KILLED, "kill")):
        steps += [_Step(_EQUAL, row[column], then=target) for row in table.values() if row[column] >= 0]
    for name, row in EXAMINED.items():
        steps.append(_Step(_EQUAL, row[column], then="clock" if name.startswith("clock_") else name))
    return [*steps, _Step(_RETURN, REFUSE), *_examine(), *_verdicts()]


def _examine() -> list[_Step]:
    return [
        # Memory that is neither executable, nor shared, nor past RLIMIT_DATA.
        _Step(_LOAD, _argument(2), label="mmap"),
        _Step(_ANY_BIT, 0xFFFF_FFFF ^ _READ_WRITE, then="refuse"),
        _Step(_LOAD, _argument(3)),
        _Step(_ANY_BIT, _MAP_REFUSED, then="refuse", otherwise="allow"),
        # Memory that becomes writable later passes RLIMIT_DATA where RLIMIT_AS is reached (mm/mprotect.c asks whether
        # the old kind of mapping could still grow), and nothing that is already loaded needs it.
        _Step(_LOAD, _argument(2), label="mprotect"),
        _Step(_ANY_BIT, 0xFFFF_FFFF ^ _READ, then="refuse", otherwise="allow"),
        # A signal to itself is how abort() ends a process.
        _Step(_LOAD, _argument(0), label="tgkill"),
        _Step(_EQUAL, 0, then="allow", otherwise="refuse", label=_PID_MARK),
        # A negative clock is the processor time of a process or thread, of which others are none of its business.
        _Step(_LOAD, _argument(0), label="clock"),
        _Step(_ANY_BIT, X32_BIT << 1, then="refuse", otherwise="allow"),
    ]


def _verdicts() -> list[_Step]:
    return [
        _Step(_RETURN, ALLOW, label="allow"),
        _Step(_RETURN, REFUSE, label="refuse"),
        _Step(_RETURN, KILL_PROCESS, label="kill"),
    ]


def _argument(index: int) -> int:
    """Where the low half of an argument lies."""
    return 16 + 8 * index


def _assemble(steps: list[_Step]) -> bytes:
    places = {step.label: place for place, step in enumerate(steps) if step.label}

    def distance(place: int, label: str) -> int:
        return places[label] - place - 1 if label else 0

    return b"".join(
        _INSTRUCTION.pack(step.code, distance(place, step.then), distance(place, step.otherwise), step.value)
        for place, step in enumerate(steps)
    )
