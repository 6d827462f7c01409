"""How far one node goes, and how many are needed: a simulation of the node's loop with the costs that were measured.

    python -m benchmarks.scale [--placement process|ray] [--seed N] [--folder FOLDER]

The loop is a server that takes, in every turn, all that has come since the last one:

    time of a turn = turn + cold · (1 - exp(-slept / 500 µs))
                   + frame · (links written + links read) + message · (messages × their receivers)

A message that comes (at random moments) goes to `fanout` workers. A worker, too, takes all that has come, says at its
begin what it has begun and at its end what it has handled: two frames back, each of which wakes the loop unless it is
awake. So what comes fast is taken in larger portions at both ends, as in the real ones. Beside them every worker tells
of itself.

`cold` is what a turn costs more when the loop has slept before it: a core that has rested has cold caches. `message`,
`rest` and `worker_message` are measured; `turn`, `frame`, `cold` and `worker_turn` are fitted to the points of FITTED,
`way` to one.
All other points that were measured are computed and shown beside the measured ones. The result of a seed is always the
same.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import math
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from benchmarks import report
from benchmarks.cluster import COUNTS, RATES, at_rate, of_workers
from benchmarks.harness import Row, quantiles

REPORTS: Final = 2.0
"""How often a worker tells of itself, a second."""
WARM: Final = 0.25
"""The share of a run that does not count."""
FITTED: Final = (*((COUNTS[0], rate) for rate in RATES), (COUNTS[-1], RATES[-1]))
"""The points to which all but `way` is fitted: workers, messages/s."""
WORKER_TURNS: Final = (5.0, 10.0, 20.0, 35.0, 50.0, 70.0, 100.0)
"""What is tried for `worker_turn`."""
ROUNDS: Final = 6
LEAST: Final = 100.0
COLD_US: Final = 500.0
MOST_LATE_US: Final = 5_000.0
"""A node is used up when its loop is later than this for one of a hundred messages: what `bench lag` promises."""
SEED: Final = 2026
Array = npt.NDArray[np.float64]
NODES: Final = (1, 4, 16, 64)
TOTAL_WORKERS: Final = (16, 128, 1024)
TOTAL_RATES: Final = (10_000.0, 100_000.0, 1_000_000.0)


class Costs(msgspec.Struct, frozen=True):
    """What a node's loop spends, in microseconds."""

    turn: float
    """A turn in which there was something to do."""
    frame: float
    """A link that is written to or read from in a turn."""
    message: float
    """A message to one worker."""
    rest: float
    """A worker at rest, each second."""
    cold: float = 0.0
    """What a turn costs more after a long sleep."""
    way: float = 100.0
    """From the end of the turn to the worker's loop."""
    worker_turn: float = 40.0
    """A turn of a worker."""
    worker_message: float = 1.0
    """A message in its worker."""


class Outcome(msgspec.Struct, frozen=True):
    """What a simulated node did. Times in microseconds, `busy` a share of its core."""

    busy: float
    loop_p50: float
    loop_p99: float
    """From the moment at which a message comes to the end of the turn that sent it."""
    handler_p50: float
    handler_p99: float
    """From that moment to its handler in the worker."""
    counts: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Turns, links written and read, and turns after a long sleep (those after a short one in part), for each
    microsecond."""

    @property
    def used_up(self) -> bool:
        """Whether the node should carry no more than this, or cannot."""
        return self.loop_p99 > MOST_LATE_US


class Portion:
    """What a worker takes at once. It can grow until it is begun."""

    __slots__ = ("begin", "moments")

    def __init__(self, begin: float) -> None:
        self.begin = begin
        self.moments: list[float] = []
        """When its messages had come to the node."""

    def end(self, costs: Costs) -> float:
        """When the worker has handled it."""
        return self.begin + costs.worker_turn + costs.worker_message * len(self.moments)


class NotMeasured(Exception):
    """The measured costs are not there; the text says what to do."""


def simulate(costs: Costs, workers: int, rate: float, messages: int, seed: int = SEED, fanout: int = 1) -> Outcome:
    """Let `rate` messages a second come at random moments until so many have come; each goes to `fanout` workers.

    Raises ValueError if there are fewer workers than receivers of a message.
    """
    if not 0 < fanout <= workers:
        raise ValueError(f"a message has 1 to {workers} receivers, got {fanout}")
    chance = random.Random(seed)
    every, reports_every = 1e6 / rate, 1e6 / (REPORTS * workers)
    report_cost = costs.rest / REPORTS
    arrival, reported = chance.expovariate(1.0) * every, chance.expovariate(1.0) * reports_every
    replies: list[tuple[float, int, int, Portion | None]] = []
    numbers = itertools.count()
    latest = [Portion(-math.inf) for _ in range(workers)]
    loop_times: list[float] = []
    handler_times: list[float] = []
    free = came = 0.0
    busy = turns = linked = chilled = 0.0
    since = (0.0, 0.0, 0.0, 0.0, 0.0)
    warm = messages * WARM
    while came < messages:
        start = max(free, min(arrival, reported, replies[0][0] if replies else math.inf))
        taken = []
        while arrival <= start:
            taken.append(arrival)
            arrival += chance.expovariate(1.0) * every
        chill = 1.0 - math.exp((free - start) / COLD_US)
        cost = costs.turn + costs.cold * chill
        while reported <= start:
            cost += report_cost
            reported += chance.expovariate(1.0) * reports_every
        read = set()
        while replies and replies[0][0] <= start:
            _, _, worker, begun = heapq.heappop(replies)
            read.add(worker)
            if begun is not None:
                heapq.heappush(replies, (begun.end(costs), next(numbers), worker, None))
                if came >= warm:
                    handled_at = begun.begin + costs.worker_turn
                    handler_times += [
                        handled_at + costs.worker_message * (n + 1) - m for n, m in enumerate(begun.moments)
                    ]
        written: dict[int, list[float]] = {}
        for moment in taken:
            first = chance.randrange(workers)
            for number in range(first, first + fanout):
                written.setdefault(number % workers, []).append(moment)
        links = len(read) + len(written)
        cost += costs.frame * links + costs.message * len(taken) * fanout
        free = start + cost
        busy, turns, linked, chilled = busy + cost, turns + 1, linked + links, chilled + chill
        counts = came >= warm
        if not counts:
            since = (free, busy, turns, linked, chilled)
        came += len(taken)
        there = free + costs.way
        for worker, moments in written.items():
            portion = latest[worker]
            if portion.begin < there:
                portion = latest[worker] = Portion(max(there, portion.end(costs)))
                heapq.heappush(replies, (portion.begin, next(numbers), worker, portion))
            portion.moments += moments
        if counts:
            loop_times += [free - moment for moment in taken]
    loop_p50, loop_p99 = quantiles(loop_times or [free], 0.5, 0.99)
    handler_p50, handler_p99 = quantiles(handler_times or [free], 0.5, 0.99)
    passed = free - since[0]
    shares = [
        (now - then) / passed if passed else 1.0
        for now, then in zip((busy, turns, linked, chilled), since[1:], strict=True)
    ]
    return Outcome(shares[0], loop_p50, loop_p99, handler_p50, handler_p99, (shares[1], shares[2], shares[3]))


def steady(costs: Costs, workers: int, rate: float, seed: int = SEED, fanout: int = 1) -> Outcome:
    """`simulate`, long enough for that rate."""
    return simulate(costs, workers, rate, max(500, min(6_000, int(rate)), min(200_000, int(rate * 0.2))), seed, fanout)


def partition(costs: Costs, nodes: int, workers: int, rate: float, seed: int = SEED) -> Outcome:
    """One of `nodes` nodes that share workers and messages evenly."""
    return steady(costs, workers // nodes, rate / nodes, seed)


def capacity(costs: Costs, workers: int, fanout: int = 1, seed: int = SEED) -> float:
    """The messages a second at which one node with so many workers is used up; 0: it is before the first."""
    low, high = LEAST, 4e6
    while high / low > 1.1:
        middle = math.sqrt(low * high)
        if steady(costs, workers, middle, seed, fanout).used_up:
            high = middle
        else:
            low = middle
    return low if low > LEAST else 0.0


# The measured costs.


class Measured(msgspec.Struct, frozen=True):
    """What the benchmark found: medians of its rows."""

    placement: str
    message: float
    rest: float
    worker_message: float
    busy: dict[tuple[int, float], float]
    """Workers and messages/s to the node's share of a core."""
    p50: dict[tuple[int, float], float]
    p99: dict[tuple[int, float], float]
    date: str = ""


def measured_costs(rows: Sequence[Row], placement: str, date: str = "") -> Measured:
    """Pick what the simulation needs from the rows of the benchmark. Raises NotMeasured."""
    medians = {row.figure: row.median for row in rows}

    def figure(name: str) -> float:
        try:
            return medians[name]
        except KeyError:
            raise NotMeasured(f"the results have no figure {name!r}: bin/troupe bench cluster") from None

    points = [(count, rate) for count in COUNTS for rate in RATES]
    few, many = COUNTS[0], COUNTS[-1]
    rest = [figure(f"{of_workers(placement, count)}: the node's part at rest") for count in (few, many)]
    return Measured(
        placement=placement,
        message=figure(f"{of_workers(placement, few)}: the node's part of a message"),
        rest=max(0.0, (rest[1] - rest[0]) / (many - few) * 1e3),
        worker_message=1e6 / figure(f"{of_workers(placement, few)}: messages of no work"),
        busy={at: figure(f"{at_rate(placement, *at)}, the node's share of a core") / 100 for at in points},
        p50={at: figure(f"{at_rate(placement, *at)}, tell to handler, p50") for at in points},
        p99={at: figure(f"{at_rate(placement, *at)}, tell to handler, p99") for at in points},
        date=date,
    )


def load(placement: str, folder: Path = report.FOLDER) -> Measured:
    """The last full measurement, or a quick one. Raises NotMeasured."""
    kept = report.load(folder)
    section = kept.full.get("cluster") or kept.quick.get("cluster")
    if section is None:
        raise NotMeasured(f"{folder / report.DATA} has no section of it: bin/troupe bench cluster")
    return measured_costs(section.findings.rows, placement, section.date)


def fitted(found: Measured, seed: int = SEED) -> Costs:
    """Costs with which the points of FITTED come out as they were measured, as nearly as this model can.

    How often a node turns depends on what a turn costs, so it is counted and solved in rounds.
    """
    tried = [_fitted(found, worker_turn, seed) for worker_turn in WORKER_TURNS]
    return min(tried, key=lambda each: each[0])[1]


def _fitted(found: Measured, worker_turn: float, seed: int) -> tuple[float, Costs]:
    """The best costs with this `worker_turn`, and how wrong they are."""
    costs = Costs(
        20.0, 10.0, found.message, found.rest, 20.0, worker_turn=worker_turn, worker_message=found.worker_message
    )
    alone = (COUNTS[0], RATES[0])
    best = math.inf, costs
    for _ in range(ROUNDS):
        outcomes = {at: simulate(costs, *at, 4_000, seed) for at in FITTED}
        wrong = sum((outcome.busy / found.busy[at] - 1) ** 2 for at, outcome in outcomes.items())
        if wrong < best[0]:
            best = wrong, costs
        way = max(0.0, costs.way + found.p50[alone] - outcomes[alone].handler_p50)
        wanted = [found.busy[at] - (costs.message * at[1] + costs.rest * at[0]) / 1e6 for at in FITTED]
        rows = np.array([outcomes[at].counts for at in FITTED])
        turn, frame, cold = not_negative(rows, np.maximum(0.0, np.array(wanted)))
        costs = msgspec.structs.replace(costs, turn=turn, frame=frame, cold=cold, way=way)
    return best


def not_negative(rows: Array, wanted: Array) -> tuple[float, float, float]:
    """Three factors, none below 0, with which the columns of `rows` come nearest to `wanted`, relatively (least
    squares; tries which of the factors are 0)."""
    weights = 1.0 / np.maximum(wanted, 1e-9)
    best: tuple[float, tuple[float, float, float]] = (math.inf, (0.0, 0.0, 0.0))
    for used in itertools.chain.from_iterable(itertools.combinations(range(3), size) for size in (1, 2, 3)):
        columns = rows[:, used] * weights[:, None]
        factors, *_ = np.linalg.lstsq(columns, wanted * weights, rcond=None)
        if (factors < 0).any():
            continue
        wrong = float(((columns @ factors - wanted * weights) ** 2).sum())
        if wrong < best[0]:
            all_three = np.zeros(3)
            all_three[list(used)] = factors
            best = wrong, (float(all_three[0]), float(all_three[1]), float(all_three[2]))
    return best[1]


# What is printed.


def page(found: Measured, seed: int = SEED) -> Iterator[str]:
    """All tables, line by line."""
    costs = fitted(found, seed)
    yield f"Costs of the node's loop, placement {found.placement}, measured {found.date}, seed {seed}:"
    yield ""
    yield from _table(
        ("cost", "µs", "where from"),
        [
            ("a message to one worker", f"{costs.message:.2f}", "measured"),
            ("a worker at rest, each second", f"{costs.rest:.0f}", "measured"),
            ("a message in its worker", f"{costs.worker_message:.2f}", "measured"),
            ("a turn with something to do", f"{costs.turn:.1f}", "fitted"),
            ("the same after a long sleep, more", f"{costs.cold:.1f}", "fitted"),
            ("a link written or read in a turn", f"{costs.frame:.1f}", "fitted"),
            ("from the turn's end to the worker", f"{costs.way:.0f}", "fitted"),
            ("a turn of a worker", f"{costs.worker_turn:.0f}", "fitted"),
        ],
    )
    yield ""
    yield "Measured and computed:"
    yield ""
    yield from _table(
        ("workers", "messages/s", "busy", "computed", "off by", "p50 µs", "computed", "p99 µs", "computed", "role"),
        [_checked(found, costs, at, seed) for at in found.busy],
    )
    yield ""
    yield f"One node is used up (p99 of its loop above {MOST_LATE_US / 1e3:g} ms) at:"
    yield ""
    yield from _table(
        ("workers", "messages/s, each to one", "published/s, each to ten", "busy at rest"),
        [_used_up(costs, workers, seed) for workers in (1, 4, 16, 64, 256, 1024)],
    )
    yield ""
    yield "Busy share and p99 of each node's loop, messages and workers shared evenly by so many nodes:"
    yield ""
    yield from _table(
        ("messages/s", "workers", *(f"{nodes} {'node' if nodes == 1 else 'nodes'}" for nodes in NODES)),
        [
            (f"{rate:,.0f}", f"{workers:,}", *(_cell(costs, nodes, workers, rate, seed) for nodes in NODES))
            for rate in TOTAL_RATES
            for workers in TOTAL_WORKERS
        ],
    )


def _checked(found: Measured, costs: Costs, at: tuple[int, float], seed: int) -> tuple[str, ...]:
    outcome = steady(costs, *at, seed)
    return (
        f"{at[0]}",
        f"{at[1]:,.0f}",
        f"{found.busy[at]:.1%}",
        f"{outcome.busy:.1%}",
        f"{outcome.busy / found.busy[at] - 1:+.0%}",
        f"{found.p50[at]:.0f}",
        f"{outcome.handler_p50:.0f}",
        f"{found.p99[at]:.0f}",
        f"{outcome.handler_p99:.0f}",
        "fitted" if at in FITTED else "checked",
    )


def _used_up(costs: Costs, workers: int, seed: int) -> tuple[str, ...]:
    ten = f"{capacity(costs, workers, 10, seed):,.0f}" if workers >= 10 else ""
    rest = costs.rest * workers / 1e6
    return f"{workers:,}", f"{capacity(costs, workers, 1, seed):,.0f}", ten, f"{rest:.1%}"


def _cell(costs: Costs, nodes: int, workers: int, rate: float, seed: int) -> str:
    if workers < nodes:
        return ""
    outcome = partition(costs, nodes, workers, rate, seed)
    mark = " over" if outcome.used_up else ""
    return f"{min(1.0, outcome.busy):.0%}, {outcome.loop_p99 / 1e3:,.2f} ms{mark}"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        yield "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def main(arguments: list[str]) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description="Compute how far a node goes.")
    parser.add_argument("--placement", choices=("process", "ray"), default="ray")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--folder", type=Path, default=report.FOLDER, help="where results.json is kept")
    options = parser.parse_args(arguments)
    try:
        found = load(options.placement, options.folder)
    except NotMeasured as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for line in page(found, options.seed):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
