"""The machine that a figure was measured on, as far as it can change the figure."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

PACKAGES = (
    "trio",
    "msgspec",
    "httptools",
    "wsproto",
    "trio-websocket",
    "asyncpg",
    "pykka",
    "uvicorn",
    "uvloop",
    "fastapi",
    "pydantic",
    "websockets",
)


class Machine(msgspec.Struct, frozen=True):
    """What stays the same for all benchmarks of one run."""

    cpu: str
    cores: int
    memory_gb: float
    system: str
    python: str
    packages: tuple[tuple[str, str], ...]


def describe() -> Machine:
    """Describe this machine and what is installed."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(pages / 1e9, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {'.'.join(map(str, sys.version_info[:3]))}",
        packages=tuple((name, version) for name in PACKAGES if (version := _version(name))),
    )


def load_average() -> float:
    """Runnable tasks of the last minute, everybody's."""
    return os.getloadavg()[0]


def now() -> str:
    """The time in UTC, to the minute."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
