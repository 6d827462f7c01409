"""The source `folder`: `*.py` files of one folder, looked at again and again. No event loop: `look` runs on a thread.

A file counts once two looks in a row have found it the same (device, inode, size, times of change of content and of
inode), so one that is half-written is never taken; and it is gone once two looks in a row have missed it, because some
editors move the old file away before they put the new one there. What is read is what the open file is, wherever its
name has led: a symbolic link out of the folder is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

from actors.strategies.package import MOST_CODE, Package

MOST_FILES: Final = 1000
STEM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")

Signature = tuple[int, int, int, int, int]
UNSETTLED: Final[Signature] = (0, 0, 0, 0, 0)
"""Of no file: whatever the next look finds is new."""


class SeenFile(NamedTuple):
    """What is known of a file. `package`: the last good version of it, `refusal`: why the present one is not taken.

    `signature` None: the last look has missed it.
    """

    signature: Signature | None
    settled: bool = False
    package: Package | None = None
    refusal: str = ""


class SeenFolder(NamedTuple):
    """What a look has found. `problem`: why the folder itself cannot be read; then its files are as they were."""

    files: Mapping[str, SeenFile]
    problem: str = ""

    @property
    def settled(self) -> bool:
        """Whether every file has been judged."""
        return all(each.settled or each.refusal for each in self.files.values())

    def packages(self) -> dict[str, Package]:
        """The packages by id."""
        found = (each.package for each in self.files.values())
        return {package.strategy_id: package for package in found if package is not None}

    def refusals(self) -> list[tuple[str, str]]:
        """(file, reason), by file."""
        return sorted((name, each.refusal) for name, each in self.files.items() if each.refusal)


NOTHING: Final = SeenFolder({})


class _Refused(Exception):
    """The file is not taken; says why."""


class _Unsettled(Exception):
    """The file is being written."""


def look(folder: str, before: SeenFolder) -> SeenFolder:
    """What the folder holds now, `before` being what the last look has found."""
    try:
        names = sorted(
            entry.name for entry in os.scandir(folder) if entry.name.endswith(".py") and not entry.name.startswith(".")
        )
        root = os.path.realpath(folder)
    except OSError as error:
        return SeenFolder(before.files, f"the folder cannot be read: {error.strerror}")
    files: dict[str, SeenFile] = {}
    for index, name in enumerate(names):
        known = before.files.get(name, SeenFile(None))
        if index >= MOST_FILES:
            files[name] = known._replace(refusal=f"the folder holds more than {MOST_FILES} files")
        else:
            files[name] = _look_at(root, name, known)
    for name, known in before.files.items():
        if name not in files and known.signature is not None:
            files[name] = SeenFile(None, package=known.package, refusal=known.refusal)
    return SeenFolder(files)


def _look_at(root: str, name: str, known: SeenFile) -> SeenFile:
    path = os.path.join(root, name)
    try:
        signature = _signature(os.stat(path))
        if signature != known.signature:
            return SeenFile(signature, package=known.package, refusal=known.refusal)
        if known.settled:
            return known
        return SeenFile(signature, True, _read(root, name, signature))
    except _Unsettled:
        return SeenFile(UNSETTLED, package=known.package, refusal=known.refusal)
    except _Refused as refused:
        return SeenFile(signature, True, known.package, str(refused))
    except OSError as error:
        # A link that leads nowhere, a file without the right to read it; the next look tries again.
        return SeenFile(UNSETTLED, package=known.package, refusal=f"cannot be read: {error.strerror}")


def _read(root: str, name: str, expected: Signature) -> Package:
    stem = name.removesuffix(".py")
    if not STEM.fullmatch(stem):
        raise _Refused("the name of a strategy is 1 to 100 letters, digits, _ and -, the first a letter or a digit")
    inside = root.rstrip("/") + "/"
    path = os.path.realpath(os.path.join(root, name))
    if not path.startswith(inside):
        raise _Refused("a link that leads out of the folder")
    with _opened(path) as file:
        # A link that was put there meanwhile: where the name has really led is known only now.
        if not os.readlink(f"/proc/self/fd/{file}").startswith(inside):
            raise _Refused("a link that leads out of the folder")
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise _Refused("not a regular file")
        if _signature(status) != expected:
            raise _Unsettled
        if status.st_size > MOST_CODE:
            raise _Refused(f"expected at most {MOST_CODE} bytes, got {status.st_size}")
        content = os.read(file, MOST_CODE + 1)
        if _signature(os.fstat(file)) != expected or len(content) != status.st_size:
            raise _Unsettled
    try:
        code = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Refused(f"not UTF-8: {error.reason} at byte {error.start}") from None
    if "\0" in code:
        raise _Refused("holds NUL characters")
    if not code.strip():
        raise _Refused("is empty")
    return Package(
        strategy_id=stem,
        source="folder",
        name=stem,
        version=hashlib.sha256(content).hexdigest()[:12],
        code=code,
        main_file=name,
        ts_updated=status.st_mtime_ns,
    )


@contextmanager
def _opened(path: str) -> Iterator[int]:
    # Without waiting for the other end, should it be a named pipe.
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_NOFOLLOW)
    try:
        yield file
    finally:
        os.close(file)


def _signature(status: os.stat_result) -> Signature:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
