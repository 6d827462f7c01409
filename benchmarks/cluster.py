"""Actors in other processes: messages, asks, deaths, topics, memory and start, against plain Ray actors.

Workers are child processes of the node (`process`) or are placed by Ray (`ray`), on a local cluster of two nodes that
is started for the run and ended with it. Ray's side is a driver of its own on the same cluster, with a plain actor that
does the same. Nothing is pinned: a worker inherits its node's cores.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.harness import (
    ChildFailed,
    Findings,
    Row,
    Sample,
    Scale,
    Target,
    at_most,
    in_turns,
    measured,
    times_at_least,
    times_at_most,
)
from benchmarks.quiet import wait_for_quiet
from runtime.cluster import local

TITLE = "Actors in other processes, against plain Ray actors"
TURNS: Final = 3
"""At most: one takes minutes."""
PLACEMENTS: Final = ("process", "ray")
RAY: Final = "Ray actor"
COUNTS: Final = (1, 2, 4)
CASES: Final = {"1": "1 elsewhere", "4 in 1": "4 in one worker", "4 in 4": "4 in a worker each"}
RATES: Final = (1_000.0, 4_000.0, 16_000.0)
BUSY_US: Final = 100
MESSAGES: Final = 200_000
CALLS: Final = 6_000
ASKS: Final = 2_000
PUBLISHED: Final = 100
"""In bursts of 512."""
UNWANTED: Final = 50_000
KILLS: Final = {"process": 4, "ray": 3, RAY: 2}
"""A turn."""
PATIENCE_S: Final = 15.0
Found = dict[str, dict[str, tuple[float, ...]]]


def ours(placement: str, data_dir: str, scale: Scale) -> Sample:
    """A turn of ours."""
    where = {"placement": placement, "data_dir": data_dir if placement == "ray" else ""}
    module = "benchmarks.cluster_troupe"
    messages, asks = scale.count(MESSAGES), scale.count(ASKS)
    sample = named("calls", measured(f"{module}:calls", messages=messages, asks=asks, **where))
    sample |= named("kills", measured(f"{module}:kills", count=KILLS[placement], **where))
    sample |= named("unwanted", measured(f"{module}:unwanted", count=scale.count(UNWANTED), **where))
    published = scale.count(PUBLISHED) * 512
    sample |= named(
        "topic", measured(f"{module}:topic", published=published, rate=500.0, seconds=scale.seconds / 3, **where)
    )
    for count in COUNTS:
        load: dict[str, Any] = {"count": count, "messages": messages // 2, "busy_us": BUSY_US, "rates": RATES}
        sample |= named(f"{count}", measured(f"{module}:workers", **load, **where))
    return sample


def theirs(data_dir: str, scale: Scale) -> Sample:
    """A turn of plain Ray actors."""
    module = "benchmarks.cluster_ray"
    calls = scale.count(CALLS)
    sample = named("calls", measured(f"{module}:calls", data_dir=data_dir, messages=calls, asks=scale.count(ASKS)))
    sample |= named("kills", measured(f"{module}:kills", data_dir=data_dir, count=KILLS[RAY]))
    for count in COUNTS:
        load: dict[str, Any] = {"count": count, "messages": calls // 2, "busy_us": BUSY_US}
        sample |= named(f"{count}", measured(f"{module}:workers", data_dir=data_dir, **load))
    return sample


def named(prefix: str, sample: Sample) -> Sample:
    """The figures of a part of a turn."""
    return {f"{prefix} {figure}": value for figure, value in sample.items()}


def run(scale: Scale) -> Findings:
    """Measure all three in turns, on a cluster of our own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        try:
            local.up(Path(folder), local.ClusterSize(nodes=2), lambda line: print(f"  {line}", file=sys.stderr))
        except local.StartFailed as error:
            raise ChildFailed(str(error)) from error
        try:
            # The cluster's own processes count as others: that is no reason to measure a turn again.
            return found_in(in_turns(sides(folder, scale), msgspec.structs.replace(scale, attempts=1)), scale)
        finally:
            local.down(Path(folder))


def sides(folder: str, scale: Scale) -> dict[str, Callable[[], Sample]]:
    """Who is measured; before a full turn the machine has to be quiet."""

    def quietly(measure: Callable[[], Sample]) -> Callable[[], Sample]:
        def turn() -> Sample:
            if scale.attempts > 1:
                wait_for_quiet(PATIENCE_S)
            return measure()

        return turn

    return {
        "process": quietly(lambda: ours("process", folder, scale)),
        "ray": quietly(lambda: ours("ray", folder, scale)),
        RAY: quietly(lambda: theirs(folder, scale)),
    }


# The rows.


def found_in(found: Found, scale: Scale) -> Findings:
    """The rows of what was measured."""
    rows: list[Row] = []
    for placement in PLACEMENTS:
        rows += _calls(placement, found[placement], found[RAY])
    for placement in PLACEMENTS:
        rows += _kills(placement, found[placement], found[RAY])
    for placement in PLACEMENTS:
        rows += _topics(placement, found[placement])
    for placement in PLACEMENTS:
        for count in COUNTS:
            rows += _workers(placement, count, found[placement], found[RAY])
    return Findings(tuple(rows), _notes(found[RAY], scale))


def fastest(peer: dict[str, tuple[float, ...]], prefix: str, *figures: str) -> str:
    """The way of the peer that is the fastest in the middle."""
    return max((f"{prefix} {figure}" for figure in figures), key=lambda name: sorted(peer[name])[len(peer[name]) // 2])


def unbatched(peer: dict[str, tuple[float, ...]]) -> str:
    """The peer's fastest way to wait for calls."""
    return fastest(peer, "calls", "all/s", "last/s", "window/s")


def _calls(where: str, own: dict[str, tuple[float, ...]], peer: dict[str, tuple[float, ...]]) -> list[Row]:
    told = own["calls messages/s"]
    half = times_at_most(0.5) if where == "ray" else None
    asked = fastest(peer, "calls", "waves/s", "askers/s")

    def rate(name: str, figure: str, target: Target | None = None) -> Row:
        return Row(f"{where}: tell", "messages/s", told, name, peer[figure], target)

    rows = [
        rate("Ray, a call each", unbatched(peer), times_at_least(50)),
        rate("Ray, calls of 512 packed messages", "calls packed/s"),
        rate("Ray, calls of 512 plain numbers", "calls numbers/s"),
        Row(f"{where}: the node's part of it", "µs/message", own["calls node µs/message"]),
    ]
    p50 = own["calls p50"]
    if where == "process":
        rows.append(Row(f"{where}: ask, p50", "µs", p50, target=at_most(200)))
    rows += [
        Row(f"{where}: ask, p50", "µs", p50, "Ray, a call", peer["calls p50"], half),
        Row(f"{where}: ask, p99", "µs", own["calls p99"], "Ray, a call", peer["calls p99"]),
        Row(f"{where}: the node's part of an ask", "µs", own["calls node µs/ask"]),
        Row(f"{where}: asks of 64 askers", "asks/s", own["calls asks/s"], "Ray, 64 calls at once", peer[asked]),
    ]
    return rows


def _kills(where: str, own: dict[str, tuple[float, ...]], peer: dict[str, tuple[float, ...]]) -> list[Row]:
    number = KILLS[where] * len(own["kills worst"])
    name = "Ray, max_restarts=-1"
    worst = (max(own["kills worst"]),), (max(peer["kills worst"]),)
    return [
        Row(f"{where}: kill -9 to next message, median", "ms", own["kills median"], name, peer["kills median"]),
        Row(f"{where}: kill -9 to next message, worst of {number}", "ms", worst[0], name, worst[1]),
    ]


def _topics(where: str, own: dict[str, tuple[float, ...]]) -> list[Row]:
    rows = [
        Row(f"{where}: publish that no worker wants", "ns", own["unwanted beside"], "without workers",
            own["unwanted alone"], times_at_most(1.1)),
        Row(f"{where}: publish in a worker that the node does not want", "ns", own["unwanted worker"]),
        Row(f"{where}: topic, no subscriber elsewhere", "published/s", own["topic 0 published/s"]),
    ]  # fmt: skip
    for case, words in CASES.items():
        figure = f"{where}: topic, subscribers: {words}"
        rows += [
            Row(figure, "published/s", own[f"topic {case} published/s"]),
            Row(f"{figure}, the node's part", "µs/publish", own[f"topic {case} node µs"]),
            Row(f"{figure}, publish to handler, p50", "µs", own[f"topic {case} p50"]),
            Row(f"{figure}, publish to handler, p99", "µs", own[f"topic {case} p99"]),
        ]
    return rows


def of_workers(where: str, count: int) -> str:
    """How the rows about so many workers begin."""
    return f"{where}, {count} {'worker' if count == 1 else 'workers'}"


def at_rate(where: str, count: int, rate: float) -> str:
    """How the rows about a rate begin."""
    return f"{of_workers(where, count)}: {rate:,.0f} messages/s at random moments"


def _workers(
    where: str, count: int, own: dict[str, tuple[float, ...]], peer: dict[str, tuple[float, ...]]
) -> list[Row]:
    about = of_workers(where, count)

    def against(figure: str, unit: str, name: str) -> Row:
        return Row(f"{about}: {figure}", unit, own[f"{count} {name}"], RAY, peer[f"{count} {name}"])

    rows = [
        against("start of all, with their node", "s", "start"),
        against("memory (PSS) of all", "MB", "pss"),
        against("memory (RSS) of all", "MB", "rss"),
        against("messages of no work", "messages/s", "light/s"),
        against(f"messages of {BUSY_US} µs of work", "messages/s", "heavy/s"),
        Row(f"{about}: the node's part of a message", "µs/message", own[f"{count} node µs/message"]),
        Row(f"{about}: the node's part at rest", "ms/s", own[f"{count} idle ms/s"]),
    ]
    if where == "ray" and count == 1:
        rows.append(Row("ray: memory (PSS) of the gateway", "MB", own["1 gateway"]))
    for rate in RATES:
        figure = at_rate(where, count, rate)
        rows += [
            Row(f"{figure}, the node's share of a core", "%", own[f"{count} {rate:g} busy"]),
            Row(f"{figure}, tell to handler, p50", "µs", own[f"{count} {rate:g} p50"]),
            Row(f"{figure}, tell to handler, p99", "µs", own[f"{count} {rate:g} p99"]),
        ]
    return rows


WAYS: Final = {
    "calls all/s": "ray.get of all",
    "calls last/s": "ray.get of the last",
    "calls window/s": "ray.get of every thousandth",
}


def _notes(peer: dict[str, tuple[float, ...]], scale: Scale) -> tuple[str, ...]:
    return (
        f"Ray {metadata.version('ray')}, two nodes on this machine. Its processes, and the workers placed by it, count "
        "as others. Nothing is pinned to a core.",
        f"{scale.count(MESSAGES):,} messages (Ray: {scale.count(CALLS):,} calls, {scale.count(CALLS) * 10:,} in "
        "batches) to an actor with a mailbox of 8,192; a full one is waited for; the time ends when all are handled. "
        f"Of Ray's ways to wait for its calls the fastest counts: {WAYS[unbatched(peer)]}.",
        f"Asks: {scale.count(ASKS):,}, one after the other; then four times as many by 64 askers.",
        "After a kill the actor is asked until it answers from another process; no backoff.",
        "The start of our workers includes the node's own and, on ray, the gateway's; Ray's is of its actors alone.",
        f"With {BUSY_US} µs of processor time for each message, two cores can do {2e6 / BUSY_US:,.0f} messages/s.",
    )
