"""Calls of the kernel that Python has no function for. Linux, 64 bit, little endian; errors are OSError.

Constants are from the kernel's public headers (linux/prctl.h, linux/sched.h, linux/mount.h, linux/capability.h).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_GET_DUMPABLE: Final = 3
PR_SET_NAME: Final = 15
PR_SET_SECCOMP: Final = 22
PR_CAPBSET_READ: Final = 23
PR_CAPBSET_DROP: Final = 24
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

CLONE_NEWNS: Final = 0x0002_0000
CLONE_NEWUTS: Final = 0x0400_0000
CLONE_NEWIPC: Final = 0x0800_0000
CLONE_NEWUSER: Final = 0x1000_0000
CLONE_NEWPID: Final = 0x2000_0000
CLONE_NEWNET: Final = 0x4000_0000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MNT_DETACH: Final = 2

CLOSE_RANGE: Final = 436
"""A system call number; those above 423 are the same on all architectures."""
PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}
CAPSET: Final = {"x86_64": 126, "aarch64": 91}
LINUX_CAPABILITY_VERSION_3: Final = 0x2008_0522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]


def prctl(option: int, second: int = 0, third: int = 0, fourth: int = 0, fifth: int = 0) -> int:
    """Operate on this process (prctl(2))."""
    return _checked(_libc.prctl(option, second, third, fourth, fifth), "prctl")


def set_name(name: str) -> None:
    """Name this process as `top` shows it; the kernel keeps 15 bytes."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    prctl(PR_SET_NAME, ctypes.addressof(buffer))


def syscall(number: int, *arguments: int) -> int:
    """Make a system call by its number; pointers are given as addresses."""
    return _checked(_libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)), f"system call {number}")


def close_from(lowest: int) -> None:
    """Close every descriptor from `lowest` on."""
    syscall(CLOSE_RANGE, lowest, 0xFFFF_FFFF, 0)


def unshare(flags: int) -> None:
    """Enter new namespaces (unshare(2))."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount a file system (mount(2))."""
    _checked(_libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()), f"mount {target}")


def detach(target: str) -> None:
    """Unmount, lazily."""
    _checked(_libc.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def pivot_to_here() -> None:
    """Make the working directory, a mount point, the root, and take the old root away."""
    here = ctypes.create_string_buffer(b".")
    address = ctypes.addressof(here)
    # The old root is stacked on the new one and unmounted from there (pivot_root(2), "pivot_root(".", ".")").
    syscall(PIVOT_ROOT[os.uname().machine], address, address)
    detach(".")
    os.chdir("/")


def drop_bounding_set() -> None:
    """Drop all capabilities from what an exec could give back. Raises PermissionError without CAP_SETPCAP."""
    number = 0
    while True:
        try:
            if prctl(PR_CAPBSET_READ, number):
                prctl(PR_CAPBSET_DROP, number)
        except OSError as error:
            # EINVAL: there is no capability of this number, those below are all.
            if number == 0 or error.errno != errno.EINVAL:
                raise
            return
        number += 1


def drop_capabilities() -> None:
    """Give up all effective, permitted, inheritable and ambient capabilities; always allowed."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = ctypes.create_string_buffer(struct.pack("=Ii", LINUX_CAPABILITY_VERSION_3, 0), 8)
    sets = ctypes.create_string_buffer(24)
    syscall(CAPSET[os.uname().machine], ctypes.addressof(header), ctypes.addressof(sets))


def _checked(result: int, what: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
