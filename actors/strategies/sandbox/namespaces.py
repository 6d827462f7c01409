"""The second wall: a zygote that is alone in a world of its own, with no files, no network and no other processes.

New namespaces for users, processes, network, mounts, IPC and host name, and an empty root. They are tried first in a
throw-away child, since what was half entered cannot be left. An outer sandbox may refuse them (the default profile of
Docker does); then the zygote runs without, and says why.

Started as root, the zygote becomes an id of a range that nobody uses, and its workers the ids after it; started by
anybody else, all keep their id.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from typing import Final, NamedTuple, NoReturn

from actors.strategies.sandbox import linux

SLOTS: Final = 4096
"""How many ids one zygote has: its own (0 of the range), and one for each of its workers."""
_FIRST_UNUSED: Final = 1_879_048_192
_LAST_UNUSED: Final = 2_147_483_647
"""Ids that no system hands out (systemd, "Users, Groups, UIDs and GIDs on systemd Systems")."""
_ALL: Final = (
    linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
)  # fmt: skip
_MOUNT_POINTS: Final = ("/tmp", "/var/tmp", "/run", "/mnt")  # noqa: S108 - covered by an empty file system


class World(NamedTuple):
    """What came of it."""

    namespaces: tuple[str, ...]
    reason: str
    """Why some or all of the namespaces are missing."""
    first_uid: int | None
    """The id of slot 0; None: there is one id for all."""


class _Plan(NamedTuple):
    user: bool
    """Whether a user namespace is entered too."""
    first_uid: int | None


def enter(processes: int, wanted: bool) -> World:
    """Enter what namespaces can be had. Returns in the new first process; the caller's process waits for its end.

    `processes` is a descriptor of /proc. Raises OSError if what could be entered in a trial cannot be entered.
    """
    root = os.geteuid() == 0
    first_uid = _unused_ids(processes) if root else None
    if not wanted:
        return World((), "switched off", first_uid)
    reasons = []
    for plan in [_Plan(True, first_uid), _Plan(False, first_uid)] if root else [_Plan(True, None)]:
        reason = _try(plan, processes)
        if reason:
            reasons.append(f"{'with' if plan.user else 'without'} a user namespace: {reason}")
            continue
        _enter(plan, processes)
        _become_first()
        socket.sethostname("sandbox")
        names = ("pid", "net", "mnt", "ipc", "uts")
        if plan.user:
            return World(("user", *names), "", None if first_uid is None else 0)
        return World(names, "; ".join(reasons), first_uid)
    return World((), "; ".join(reasons), first_uid)


def _try(plan: _Plan, processes: int) -> str:
    """Return why a plan fails; empty: it works."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _enter(plan, processes)
            inner = os.fork()
            if inner == 0:
                os._exit(0)
            os.waitpid(inner, 0)
        except OSError as error:
            os.write(theirs, str(error).encode()[:4000])
            os._exit(1)
        os._exit(0)
    os.close(theirs)
    reason = os.read(ours, 4096).decode()
    os.close(ours)
    _, status = os.waitpid(child, 0)
    return reason or (f"the attempt ended with status {status}" if status else "")


def _enter(plan: _Plan, processes: int) -> None:
    parent = os.getppid()
    if not plan.user:
        linux.unshare(_ALL)
    elif plan.first_uid is None:
        _enter_as_myself(processes)
    else:
        _enter_with_range(plan.first_uid, processes)
        # A change of user has cleared it (prctl(2)).
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    _empty_root()


def _enter_as_myself(processes: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    linux.unshare(_ALL | linux.CLONE_NEWUSER)
    # Without the right to set groups, an ordinary user may map its own (user_namespaces(7)).
    _write(processes, "self/setgroups", "deny")
    _write(processes, "self/uid_map", f"{uid} {uid} 1")
    _write(processes, "self/gid_map", f"{gid} {gid} 1")


def _enter_with_range(first_uid: int, processes: int) -> None:
    # The map of a range is written from outside, where root still is root.
    pid = os.getpid()
    entered, tell_entered = os.pipe()
    writer = os.fork()
    if writer == 0:
        os.close(tell_entered)
        try:
            if os.read(entered, 1):
                for name in ("uid_map", "gid_map"):
                    _write(processes, f"{pid}/{name}", f"0 {first_uid} {SLOTS}")
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    os.close(entered)
    try:
        linux.unshare(_ALL | linux.CLONE_NEWUSER)
        os.write(tell_entered, b".")
    finally:
        os.close(tell_entered)
        _, status = os.waitpid(writer, 0)
    if status:
        number = os.waitstatus_to_exitcode(status)
        raise OSError(number, f"the map of users: {os.strerror(abs(number))}")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _empty_root() -> None:
    linux.mount("none", "/", "none", linux.MS_REC | linux.MS_PRIVATE)
    place = next((place for place in _MOUNT_POINTS if os.path.isdir(place)), None)
    if place is None:
        raise FileNotFoundError(2, f"no folder to mount on: expected one of {', '.join(_MOUNT_POINTS)}")
    closed = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("none", place, "tmpfs", closed, "size=4k,nr_inodes=2,mode=0555")
    os.chdir(place)
    linux.pivot_to_here()
    linux.mount("none", "/", "none", linux.MS_REMOUNT | linux.MS_RDONLY | closed)


def _become_first() -> None:
    """Fork, so that the child is process 1 of its namespace; this process ends when the child does."""
    alive, keep_alive = os.pipe()
    child = os.fork()
    if child:
        os.closerange(0, keep_alive)
        linux.close_from(keep_alive + 1)
        _await_end(child)
    os.close(keep_alive)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent has no number in here, so it is its end of a pipe that tells whether it is gone already.
    if select.select([alive], [], [], 0)[0]:
        os._exit(1)
    os.close(alive)


def _await_end(child: int) -> NoReturn:
    _, status = os.waitpid(child, 0)
    os._exit(1 if os.waitstatus_to_exitcode(status) else 0)


def _unused_ids(processes: int) -> int:
    """Return the first of SLOTS ids that nobody uses: other ones for each zygote that runs, as far as there are any."""
    descriptor = os.open("self/uid_map", os.O_RDONLY | os.O_CLOEXEC, dir_fd=processes)
    try:
        rows = [[int(word) for word in row.split()] for row in os.read(descriptor, 16_384).splitlines()]
    finally:
        os.close(descriptor)
    first, _, length = rows[-1]
    end = first + length
    if end > _LAST_UNUSED:
        return _FIRST_UNUSED + os.getpid() % ((_LAST_UNUSED - _FIRST_UNUSED) // SLOTS) * SLOTS
    # Inside a container with a short map: away from its end, where nobody (65534) is.
    return max(1, end - 2 * SLOTS)


def _write(processes: int, name: str, text: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=processes)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
