"""What all benchmarks share: rows of figures with their targets, repeats in turns, and processes of their own.

A benchmark is a module with a `TITLE` and `run(scale) -> Findings`. Every side of a comparison (Troupe, a peer) is
measured `scale.repeats` times, in turns A B A B, so that whatever else the machine does falls on all of them alike;
the median counts, the lowest and the highest stand beside it. A ratio is the ratio of two medians of one run.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

import msgspec

from benchmarks.quiet import undisturbed

ROOT = Path(__file__).resolve().parent.parent
TROUPE = "Troupe"
CHILD_S = 600.0

T = TypeVar("T")


class Scale(msgspec.Struct, frozen=True):
    """How much is measured: `repeats` turns of about `seconds` each; `size` shrinks counts that are not times.

    A turn that others disturbed is measured again, up to `attempts` times in all.
    """

    repeats: int = 5
    seconds: float = 3.0
    size: float = 1.0
    attempts: int = 3
    progress: bool = True

    def count(self, full: int, least: int = 1) -> int:
        """A number of things, shrunk by `size`."""
        return max(least, round(full * self.size))


FULL = Scale()
QUICK = Scale(repeats=2, seconds=1.0, size=0.2, attempts=1)


class Target(msgspec.Struct, frozen=True):
    """What was promised: `figure` at least or at most `bound`, as it is or as a ratio to the peer's."""

    bound: float
    at_least: bool
    of: Literal["figure", "ratio"] = "figure"

    def shortfall(self, reached: float) -> float:
        """By which share of the bound it is missed; 0 if it is met."""
        short = self.bound - reached if self.at_least else reached - self.bound
        return max(0.0, short / self.bound)


def at_least(bound: float) -> Target:
    """The figure itself reaches `bound`."""
    return Target(bound, True)


def at_most(bound: float) -> Target:
    """The figure itself stays within `bound`."""
    return Target(bound, False)


def times_at_least(bound: float) -> Target:
    """The figure is at least `bound` times the peer's."""
    return Target(bound, True, "ratio")


def times_at_most(bound: float) -> Target:
    """The figure is at most `bound` times the peer's."""
    return Target(bound, False, "ratio")


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a table: a figure of ours from every repeat, and what it is held against."""

    figure: str
    unit: str
    values: tuple[float, ...]
    peer: str = ""
    peer_values: tuple[float, ...] = ()
    target: Target | None = None

    @property
    def median(self) -> float:
        """The figure."""
        return statistics.median(self.values)

    @property
    def peer_median(self) -> float | None:
        """The peer's figure."""
        return statistics.median(self.peer_values) if self.peer_values else None

    @property
    def ratio(self) -> float | None:
        """Ours in units of the peer's."""
        return self.median / self.peer_median if self.peer_median else None

    @property
    def shortfall(self) -> float | None:
        """By which share the target is missed; 0 if it is met, None without a target."""
        if self.target is None:
            return None
        reached = self.median if self.target.of == "figure" else self.ratio
        return None if reached is None else self.target.shortfall(reached)


class Findings(msgspec.Struct, frozen=True):
    """What a benchmark found, and what one has to know to read it."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


Sample = dict[str, float]
"""The figures of one turn of one side."""


disturbances: list[float] = []
"""Others' share of the machine in every turn since somebody looked; who looks clears it."""


def in_turns(sides: dict[str, Callable[[], Sample]], scale: Scale) -> dict[str, dict[str, tuple[float, ...]]]:
    """Measure every side once per repeat, in turns; returns side -> figure -> values.

    Every other turn goes backwards, so that no side is always the one that comes first.
    """
    gathered: dict[str, dict[str, list[float]]] = {side: {} for side in sides}
    for turn in range(scale.repeats):
        order = list(sides) if turn % 2 == 0 else list(reversed(sides))
        for side in order:
            sample, others = undisturbed(sides[side], scale.attempts)
            disturbances.append(others)
            if scale.progress:
                told = ", ".join(f"{figure} {value:,.4g}" for figure, value in sample.items())
                about = f"turn {turn + 1} of {scale.repeats} (others {others:.0%})"
                print(f"  {about}: {side}: {told}", file=sys.stderr, flush=True)
            for figure, value in sample.items():
                gathered[side].setdefault(figure, []).append(value)
    return {side: {name: tuple(values) for name, values in found.items()} for side, found in gathered.items()}


def quantiles(samples: Iterable[float], *shares: float) -> tuple[float, ...]:
    """The samples below which the given shares (0 to 1) of all lie. Raises ValueError without samples."""
    ordered = sorted(samples)
    if not ordered:
        raise ValueError("there are no samples")
    return tuple(ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in shares)


# Processes.


def cores() -> tuple[str, str]:
    """The core for what is measured, and the one for what makes its load; `any` where there are not two."""
    usable = sorted(os.sched_getaffinity(0))
    return (str(usable[0]), str(usable[1])) if len(usable) > 1 else ("any", "any")


class ChildFailed(Exception):
    """A process of a benchmark ended without a result."""


class Child:
    """A function of a benchmark in its own process, from entering the block to leaving it.

    `cpu` is the core it is pinned to. `announced()` waits for what it announces, `result()` for what it returns.
    """

    def __init__(self, function: str, cpu: str = "any", **parameters: Any) -> None:
        self._function = function
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", function, msgspec.json.encode(parameters).decode(), cpu],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def announced(self) -> dict[str, Any]:
        """The next line of the process. Raises ChildFailed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildFailed(f"{self._function} ended with status {self._process.wait()}")
        found: dict[str, Any] = msgspec.json.decode(line)
        return found

    def result(self) -> Any:
        """What the function returned. Raises ChildFailed."""
        while "result" not in (line := self.announced()):
            pass
        return line["result"]

    def signal(self, number: int) -> None:
        """Send a signal, if the process still runs."""
        if self._process.poll() is None:
            os.kill(self._process.pid, number)

    def stop(self, grace_s: float = 10.0) -> None:
        """End the process: asked first, then not."""
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def measured(function: str, cpu: str = "any", **parameters: Any) -> Sample:
    """Run a function of a benchmark in a process of its own and return what it returns."""
    with Child(function, cpu, **parameters) as child:
        found: Sample = child.result()
        return found


def under_load(serving: Child, load: str, **parameters: Any) -> Sample:
    """Run a load generator of `benchmarks.load`, on a core of its own, against a server that announces its port."""
    if load != "open_loop":  # the others look at the server's use of its core too
        parameters["server_pid"] = serving.pid
    return measured(f"benchmarks.load:{load}", cores()[1], port=serving.announced()["port"], **parameters)
