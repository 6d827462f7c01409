"""The monitor: asks every capability how it is, and puts the answers together."""

from __future__ import annotations

import time
from typing import Literal

import msgspec
import trio

from protocols.control import Message, Probe, ProbeReport, Refused, Request, Unknown
from runtime import Actor, receive

PROBE_S = 2.0
"""A capability that has not answered by then has failed."""
FRESH_NS = 500_000_000
"""A good answer younger than this is given again: a crowd of health checks must not become a load."""


class Component(Message, frozen=True, gc=False, tag="component"):
    """One capability's answer, or that it gave none."""

    name: str
    path: str
    status: Literal["ok", "degraded", "failed"]
    ready: bool
    detail: str
    figures: tuple[tuple[str, str | int | float | bool | None], ...]
    took_ms: float = 0.0
    """How long the answer took."""
    failures: int = 0
    """How often in a row it has failed."""


class Health(Message, frozen=True, gc=False, tag="health"):
    """All components at one moment (`at`: wall time, ns)."""

    at: int
    status: Literal["healthy", "degraded", "unhealthy"]
    ready: bool
    components: tuple[Component, ...]


class GetHealth(Request[Health], frozen=True, gc=False, tag="get_health"):
    """Ask for the health of the node; probes are asked anew unless the last answers are fresh."""


class GetConfiguration(Request[bytes], frozen=True, gc=False, tag="get_configuration"):
    """Ask for the resolved configuration as JSON, secrets hidden."""


def overall(components: tuple[Component, ...]) -> Literal["healthy", "degraded", "unhealthy"]:
    """A failed component makes the node unhealthy, a degraded one degraded."""
    states = {component.status for component in components}
    return "unhealthy" if "failed" in states else "degraded" if "degraded" in states else "healthy"


class Monitor(Actor):
    """Asks the probes at `probes` (pairs of name and path), all at once, when somebody wants to know."""

    def __init__(self, probes: tuple[tuple[str, str], ...], configuration: bytes = b"{}") -> None:
        self.probes = tuple((name, path) for name, path in probes)
        self.configuration = configuration
        self.last: Health | None = None
        self.asked_ns = 0
        self.failures: dict[str, int] = {}

    @receive
    async def health(self, request: GetHealth) -> Health:
        """Probe, or repeat what was just found."""
        if self.last is not None and self.last.ready and time.monotonic_ns() - self.asked_ns < FRESH_NS:
            return self.last
        found: dict[str, Component] = {}
        async with trio.open_nursery() as nursery:
            for name, path in self.probes:
                nursery.start_soon(self._probe, name, path, found)
        components = tuple(found[name] for name, _ in self.probes)
        ready = all(component.ready for component in components)
        self.asked_ns = time.monotonic_ns()
        self.last = Health(self.clock.now(), overall(components), ready, components)
        return self.last

    async def _probe(self, name: str, path: str, found: dict[str, Component]) -> None:
        begun = time.perf_counter()
        try:
            report = await self.lookup(path).ask(Probe(), PROBE_S)
        except (Refused, Unknown) as error:
            report = ProbeReport("failed", f"no answer from {path}: {error}", ready=False)
        took_ms = 1000 * (time.perf_counter() - begun)
        failures = self.failures[name] = self.failures.get(name, 0) + 1 if report.status == "failed" else 0
        found[name] = Component(
            name, path, report.status, report.ready, report.detail, report.figures, took_ms, failures
        )

    @receive
    def resolved(self, request: GetConfiguration) -> bytes:
        """Answer what the node was started with."""
        return self.configuration


class Memory(msgspec.Struct, frozen=True):
    """What the process takes: resident set in MB and CPU since its start in seconds."""

    resident_mb: float
    cpu_s: float


def process_figures() -> Memory:
    """Read this process's own figures from the operating system (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        pages = int(statm.read().split()[1])
    times = time.process_time()
    return Memory(pages * 4096 / 1e6, times)
