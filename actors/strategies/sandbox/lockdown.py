"""How a freshly forked worker gives up everything that a strategy does not need, before any of its text arrives.

The order matters: what needs rights comes before they are given up, the limits before the filter that forbids to set
them, and the filter last. Nothing is opened, imported or allocated on purpose here that the zygote could not prepare:
`Preparation` is made once, `lock_down` runs in each worker.

RLIMIT_DATA counts all private writable memory of a process, so with shared, growing and huge mappings refused by the
filter it is an exact cap: what the process had at the fork, plus the limit. RLIMIT_AS is only a second, wider one.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from typing import Final

from actors.strategies.sandbox import linux
from actors.strategies.sandbox.control import MEBIBYTE, Layers, Limits
from actors.strategies.sandbox.landlock import Ruleset, abi
from actors.strategies.sandbox.seccomp import Filter

DATA: Final = 3
"""The worker's descriptor of its data socket; 0 to 2 are /dev/null."""
STATUS: Final = 4
"""Where it says that it is locked down, or why it is not; closed after that."""
_ADDRESS_SLACK: Final = 64 * MEBIBYTE
_STACK: Final = 8 * MEBIBYTE
_DESCRIPTORS: Final = 16
_CATCHABLE: Final = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


class Preparation:
    """What all lock-downs have in common, made in the zygote.

    `processes` is a descriptor of /proc, which stays good when the root is gone; `null` one of /dev/null. Raises
    OSError or ValueError for a layer that this kernel does not have; `unavailable` tells beforehand.
    """

    def __init__(self, layers: Layers, processes: int, null: int) -> None:
        self.layers = layers
        self.processes = processes
        self.null = null
        self.filter = Filter() if layers.seccomp else None
        self.ruleset = Ruleset(abi()) if layers.landlock else None


def lock_down(preparation: Preparation, limits: Limits, data: int, status: int, parent: int, uid: int | None) -> None:
    """Lock this process down, for good. `uid`: whose id it takes, as root; None: it keeps its own.

    Afterwards DATA and STATUS are open, and nothing else but /dev/null. Raises OSError if any step fails: the process
    must then end. Ends it at once if its parent is gone.
    """
    layers = preparation.layers
    memory = read_memory(preparation.processes)
    os.setsid()
    _die_with(parent)
    _keep_two(data, status, preparation.null)
    _reset_signals()
    if layers.user:
        _become(uid)
    # A change of user clears it (prctl(2)).
    _die_with(parent)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    os.nice(limits.nice)
    if layers.rlimits:
        _limit(limits, *memory)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    if preparation.ruleset is not None:
        preparation.ruleset.restrict()
    if preparation.filter is not None:
        preparation.filter.install()


def unavailable() -> dict[str, str]:
    """Return the layers that this kernel does not have, each with the reason; tried in a child of this process."""
    missing: dict[str, str] = {}
    for layer, attempt in (("seccomp", _try_seccomp), ("landlock", _try_landlock)):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            reason = b""
            try:
                linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
                attempt()
            except (OSError, ValueError) as error:
                reason = str(error).encode()
            os.write(theirs, reason)
            os._exit(1 if reason else 0)
        os.close(theirs)
        reason = os.read(ours, 4096)
        os.close(ours)
        _, status = os.waitpid(child, 0)
        if status:
            missing[layer] = reason.decode() or f"the attempt ended with status {status}"
    return missing


def read_memory(processes: int) -> tuple[int, int]:
    """Return the bytes of private writable memory and of address space that this process has (VmData, VmSize)."""
    descriptor = os.open("self/status", os.O_RDONLY | os.O_CLOEXEC, dir_fd=processes)
    try:
        text = os.read(descriptor, 16_384)
    finally:
        os.close(descriptor)
    sizes = dict(line.split(b":", 1) for line in text.splitlines() if line.startswith((b"VmData:", b"VmSize:")))
    data, size = (int(sizes[name].split()[0]) * 1024 for name in (b"VmData", b"VmSize"))
    return data, size


def _die_with(parent: int) -> None:
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _keep_two(data: int, status: int, null: int) -> None:
    # First out of the way of the numbers that they get, to ones that nothing has: a zygote of many workers has many.
    data, status = (fcntl.fcntl(descriptor, fcntl.F_DUPFD, STATUS + 1) for descriptor in (data, status))
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.dup2(data, DATA)
    os.dup2(status, STATUS)
    linux.close_from(STATUS + 1)


def _reset_signals() -> None:
    for number in _CATCHABLE:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _become(uid: int | None) -> None:
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    linux.drop_capabilities()


def _limit(limits: Limits, data: int, size: int) -> None:
    memory = limits.memory_mb * MEBIBYTE
    _lower(resource.RLIMIT_DATA, data + memory)
    _lower(resource.RLIMIT_AS, size + memory + _ADDRESS_SLACK)
    # SIGXCPU at the first; it can be ignored, SIGKILL a second later cannot.
    _lower(resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 1)
    _lower(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    _lower(resource.RLIMIT_STACK, _STACK)
    for number in (resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        _lower(number, 0)
    for number in (resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE):
        _lower(number, 0)


def _lower(number: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, or leave a stricter one that is already in force."""
    _, most = resource.getrlimit(number)
    hard = soft if hard is None else hard
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(number, (soft, hard))


def _try_seccomp() -> None:
    Filter().install()


def _try_landlock() -> None:
    Ruleset(abi()).restrict()
