"""What an attack is: a strategy's source with its category, the layers it aims at and the breach it tries to make.

Sources carry placeholders, filled in by the range for each run: `@DIR@` (a folder anybody may write), `@SECRET_FILE@`,
`@TCP@`, `@UDP@`, `@TCP6@` (ports), `@UNIX@`, `@DATAGRAM@` (paths), `@ABSTRACT@` (name), `@VICTIM@`, `@NEIGHBOUR@`,
`@NODE@` (process ids), `@ADDRESS@` (of a secret in the victim's memory), `@MARK@` (in the name of whatever an attack creates),
`@PROOF@` (an expression whose value only success may report), `@LIMIT@` (the worker's memory in bytes), and
`@nr:openat@` (a system call's number).
"""

# ruff: noqa: E501 - a source is a line

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final, Literal, cast

Category = Literal[
    "files",
    "network",
    "processes",
    "signals",
    "memory",
    "cpu",
    "recursion",
    "floods",
    "forgery",
    "objects",
    "imports",
    "unicode",
    "parser",
    "state",
    "results",
    "syscalls",
    "clock",
]
Layer = Literal["language", "seccomp", "landlock", "rlimits", "user", "namespaces", "node"]
Aim = Literal[
    "secret",
    "files",
    "network",
    "process",
    "victim",
    "memory",
    "kernel",
    "proof",
    "deadline",
    "neighbour",
    "reply",
    "accepted",
    "node",
    "clock",
]
Step = Literal["run", "run_many", "save", "configure", "history", "restore"]


@dataclass(frozen=True)
class Attack:
    """One hostile strategy."""

    name: str
    category: Category
    aim: Aim
    """The breach it tries to make; one of those that `breach.breaches` can find."""
    layers: tuple[Layer, ...]
    """What stands in its way."""
    source: str
    bare: bool = True
    """Whether it does breach where every layer is off (so that the condition is proven)."""
    steps: tuple[Step, ...] = ("run",)
    """What the node asks after Load."""
    call_s: float = 1.0
    leaks: tuple[str, ...] = ()
    """Texts beside the range's secrets that the worker must not be able to report."""
    ends: tuple[str, ...] = ()
    """Where given: the causes one of which must have ended the worker when only the language layer is off."""
    root: bool = False
    """Whether it can breach only where the suite runs as root."""
    accepted: str = ""
    """Why it may breach where nothing is switched off; empty: it may not."""


TAIL: Final = """

def generate_signal(data, parameters):
    try:
        found = attack()
    except Exception as error:
        found = repr(error)
    text = str(found)[:9000]
    print(text[:900])
    return {"action": "BUY", "confidence": 0.5, "metadata": {"found": text}}
"""
"""Reports what `attack` returns through the log and through a signal's metadata."""

RAW: Final = """
import ctypes

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

def syscall(number, *arguments):
    ctypes.set_errno(0)
    packed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _libc.syscall(ctypes.c_long(number), *packed), ctypes.get_errno()
"""
"""System calls without a module of Python's in between: what code could do that has taken over its own process."""


def attack(
    name: str,
    category: Category,
    aim: Aim,
    layers: str,
    source: str,
    *,
    bare: bool = True,
    raw: bool = False,
    whole: bool = False,
    steps: tuple[Step, ...] = ("run",),
    call_s: float = 1.0,
    leaks: tuple[str, ...] = (),
    ends: tuple[str, ...] = (),
    root: bool = False,
    accepted: str = "",
) -> Attack:
    """An attack whose source defines `attack()`, or (`whole`) is a strategy of its own; `raw` adds `syscall`."""
    text = source if whole else (RAW if raw else "") + source + TAIL
    aims = cast("tuple[Layer, ...]", tuple(layers.split()))
    return Attack(name, category, aim, aims, text, bare, steps, call_s, leaks, ends, root, accepted)


_NUMBERS: Final[dict[str, tuple[int | None, int | None]]] = {
    # name: (x86_64, aarch64); None: the architecture has no such call. From the kernel's own tables
    # (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
    "read": (0, 63),
    "write": (1, 64),
    "open": (2, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    "open_by_handle_at": (304, 265),
    "creat": (85, None),
    "stat": (4, None),
    "statx": (332, 291),
    "readlinkat": (267, 78),
    "getdents64": (217, 61),
    "mkdirat": (258, 34),
    "unlinkat": (263, 35),
    "symlinkat": (266, 36),
    "linkat": (265, 37),
    "renameat2": (316, 276),
    "fchmodat": (268, 53),
    "utimensat": (280, 88),
    "truncate": (76, 45),
    "mknodat": (259, 33),
    "sendfile": (40, 71),
    "copy_file_range": (326, 285),
    "dup": (32, 23),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "pipe2": (293, 59),
    "eventfd2": (290, 19),
    "epoll_create1": (291, 20),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "signalfd4": (289, 74),
    "timerfd_create": (283, 85),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "sendto": (44, 206),
    "bind": (49, 200),
    "listen": (50, 201),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mlock": (149, 228),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "userfaultfd": (323, 282),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "io_uring_setup": (425, 425),
    "mount": (165, 40),
    "umount2": (166, 39),
    "fsopen": (430, 430),
    "open_tree": (428, 428),
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "chdir": (80, 49),
    "prctl": (157, 167),
    "arch_prctl": (158, None),
    "seccomp": (317, 277),
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "setresuid": (117, 147),
    "capset": (126, 91),
    "setpriority": (141, 140),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "personality": (135, 92),
    "sethostname": (170, 161),
    "clock_settime": (227, 112),
    "timer_create": (222, 107),
    "landlock_create_ruleset": (444, 444),
    "syslog": (103, 116),
    "name_to_handle_at": (303, 264),
    "remap_file_pages": (216, 234),
    "vmsplice": (278, 75),
    "getppid": (110, 173),
    "getcpu": (309, 168),
}
_NUMBER = re.compile(r"@nr:(\w+)@")


def machine() -> str:
    """The architecture, as the kernel names it."""
    return os.uname().machine


def number(name: str) -> int:
    """The number of a system call here; -1 (which no kernel knows) where the architecture has none."""
    column = 0 if machine() == "x86_64" else 1
    found = _NUMBERS[name][column]
    return -1 if found is None else found


def filled(source: str, values: dict[str, str]) -> str:
    """The source with its placeholders filled in."""
    for name, value in values.items():
        source = source.replace(f"@{name}@", value)
    return _NUMBER.sub(lambda match: str(number(match.group(1))), source)
