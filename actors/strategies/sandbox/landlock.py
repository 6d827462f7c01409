"""Landlock: a process that denies itself files, TCP, and signals to others.

A ruleset that handles every right of the kernel's ABI and grants none. It needs no privileges but no_new_privs, and
it is the layer behind the filter of system calls: it does not know UDP, nor `stat`. Numbers and layouts are from
linux/landlock.h; what an ABI brought is in the kernel's documentation (userspace-api/landlock).
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from actors.strategies.sandbox import linux

_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
"""The flag that asks for the ABI."""
_FS_BITS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""ABI: rights to files. 2 brought moving between folders, 3 truncate, 5 device ioctl."""
_NET_ABI: Final = 4
_NET: Final = 0b11
"""bind and connect of TCP."""
_SCOPE_ABI: Final = 6
_SCOPES: Final = 0b11
"""Abstract Unix sockets, and signals, of processes outside."""


def abi() -> int:
    """Return the kernel's ABI version. Raises OSError where Landlock is not built in or not enabled."""
    return linux.syscall(_CREATE_RULESET, 0, 0, _VERSION)


class Ruleset:
    """Deny everything that an ABI can. Built once, before the fork; `restrict` in the worker."""

    def __init__(self, version: int) -> None:
        attributes = struct.pack("<Q", (1 << _FS_BITS[min(version, max(_FS_BITS))]) - 1)
        if version >= _NET_ABI:
            attributes += struct.pack("<Q", _NET)
        if version >= _SCOPE_ABI:
            attributes += struct.pack("<Q", _SCOPES)
        self.attributes = attributes
        """`struct landlock_ruleset_attr`, as long as the ABI knows it."""
        self._buffer = ctypes.create_string_buffer(attributes, len(attributes))

    def restrict(self) -> None:
        """Deny all of it to this process, for good. Needs no_new_privs; raises OSError."""
        descriptor = linux.syscall(_CREATE_RULESET, ctypes.addressof(self._buffer), len(self._buffer), 0)
        try:
            linux.syscall(_RESTRICT_SELF, descriptor, 0)
        finally:
            os.close(descriptor)
