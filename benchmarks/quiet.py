"""How much of the machine others take while something is measured.

A turn during which others took much is measured again, and the one with the least of them counts: turns are chosen by
what else the machine did, never by their result.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")
MUCH = 0.35
"""Of the whole machine, all cores."""
LOOK_S = 0.25
PATIENCE_S = 3.0
_BUSY = (0, 1, 2, 5, 6, 7)
"""user, nice, system, irq, softirq and steal of the first line of `/proc/stat`."""


class Meter(Protocol):
    """Says how much others took since it was made."""

    def share(self) -> float:
        """0 to 1."""


class Others:
    """Measures the share of the machine that others take, from its making on."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def share(self) -> float:
        """0 to 1. What our processes did counts once they have ended."""
        elapsed = time.perf_counter() - self._began
        others = (_busy_seconds() - self._busy) - (_own_seconds() - self._own)
        # The system counts in hundredths of a second, so that a short look may go beyond either end.
        return min(1.0, max(0.0, others / (elapsed * (os.cpu_count() or 1))))


def undisturbed(
    measure: Callable[[], T], attempts: int, *, meter: Callable[[], Meter] = Others, patience_s: float = PATIENCE_S
) -> tuple[T, float]:
    """The result of the attempt that others disturbed least, and their share of it; stops at one that is good.

    Unless there is only one attempt, each waits up to `patience_s` seconds for others to be quiet.
    """
    found: list[tuple[float, int, T]] = []
    for attempt in range(attempts):
        if attempts > 1:
            wait_for_quiet(patience_s)
        others = meter()
        result = measure()
        share = others.share()
        found.append((share, attempt, result))
        if share <= MUCH:
            break
    share, _, result = min(found, key=lambda each: each[:2])
    return result, share


def wait_for_quiet(patience_s: float) -> bool:
    """Wait until others leave most of the machine alone, but not longer. Returns whether they do."""
    give_up = time.perf_counter() + patience_s
    while time.perf_counter() < give_up:
        others = Others()
        time.sleep(LOOK_S)
        if others.share() <= MUCH:
            return True
    return False


def _busy_seconds() -> float:
    with Path("/proc/stat").open(encoding="ascii") as file:
        fields = file.readline().split()[1:]
    return sum(int(fields[index]) for index in _BUSY) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
