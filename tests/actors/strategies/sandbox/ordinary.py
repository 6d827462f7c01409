"""Run a Python program in other circumstances: `python ordinary.py USER PLACE PROGRAM ARGUMENT ...`, started as root.

USER is `nobody` or `root`. PLACE is `here`, or `chroot`: the same files, but in a changed root, where the kernel gives
nobody a new user namespace (user_namespaces(7)), as the profiles of containers do.

Where the interpreter is installed below a folder that only root may enter (a pyenv of root's), a private mount shows
that part of it to everybody; the machine itself is left as it is.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from actors.strategies.sandbox import linux

NOBODY = 65_534
MS_BIND = 4096
NOT_HERE = 77
"""The exit status where even root may not do this."""


def main() -> None:
    try:
        linux.unshare(linux.CLONE_NEWNS)
    except PermissionError as error:
        print(f"no private mounts here: {error}", file=sys.stderr)
        sys.exit(NOT_HERE)
    linux.mount("none", "/", "none", linux.MS_REC | linux.MS_PRIVATE)
    for place in {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), Path(__file__).resolve().parents[4]}:
        show(place)
    user, where, *command = sys.argv[1:]
    if where == "chroot":
        # Over a folder that there always is, in this private namespace: nothing to be cleaned up.
        linux.mount("/", "/mnt", "none", MS_BIND | linux.MS_REC)
        os.chroot("/mnt")
        os.chdir("/")
    run(user, command)


def run(user: str, command: list[str]) -> NoReturn:
    if user == "nobody":
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    os.execv(sys.executable, [sys.executable, *command])


def show(place: Path) -> None:
    """Make a folder reachable for everybody, if one above it is closed."""
    closed = next((folder for folder in reversed(place.parents) if not folder.stat().st_mode & 0o001), None)
    if closed is None:
        return
    held = os.open(place, os.O_PATH)
    linux.mount("none", str(closed), "tmpfs", 0, "mode=0755")
    place.mkdir(parents=True)
    linux.mount(f"/proc/self/fd/{held}", str(place), "none", MS_BIND)


if __name__ == "__main__":
    main()
