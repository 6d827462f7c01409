"""What runs between the fork and the program of a `ChildProcess`: drop privileges, die with the parent, exec.

Started as `python -I -S launch.py PARENT DEATH_SIGNAL UID GID NICE PROGRAM ARGUMENT ...`. A program of its own,
because `preexec_fn` runs Python between fork and exec of a process with threads, which can deadlock.
Standard library only.
"""

import ctypes
import os
import signal
import sys

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


def main(arguments: list[str]) -> None:
    """Become the program. Exits with 126 if that is impossible, 127 if there is no such program."""
    parent, death_signal, uid, gid, nice = (int(argument) for argument in arguments[:5])
    command = arguments[5:]
    prctl = ctypes.CDLL(None).prctl
    if uid >= 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Only now: a change of user clears it (prctl(2)).
    prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        sys.exit(f"{command[0]}: the parent is gone")
    os.nice(nice)
    # Python ignores these two for itself, and exec would pass that on.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execv(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


if __name__ == "__main__":
    main(sys.argv[1:])
