"""What the benchmarks with a database share: rows, their migration, and the storage branch of a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from actors.market import capability as market
from actors.signals import capability as signals
from actors.storage.capability import OWN_MIGRATIONS
from actors.storage.embedded import server_url
from benchmarks.venue import MARKETS
from protocols import control
from runtime import ChildSpec, Node, supervisor

MIGRATIONS = (
    OWN_MIGRATIONS,
    str(market.migrations),
    str(signals.migrations),
    str(Path(__file__).parent / "migrations"),
)
READY_S = 60.0
LOOK_S = 0.2


class QuoteRow(control.Row, frozen=True, gc=False):
    """A quote: a text and seven 64-bit integers."""

    market: str
    seq: int
    ts_event: int
    ts_recv: int
    bid: int
    bid_size: int
    ask: int
    ask_size: int


class BareQuote(QuoteRow, frozen=True, gc=False, tag="bench_bare"):
    """A row of the table without an index."""

    table = "bench_bare"


class KeyedQuote(QuoteRow, frozen=True, gc=False, tag="bench_keyed"):
    """A row of the table with a primary key."""

    table = "bench_keyed"


KINDS: dict[str, type[QuoteRow]] = {"bare": BareQuote, "keyed": KeyedQuote}


def row(kind: type[QuoteRow], number: int) -> QuoteRow:
    """The row with this number."""
    now = 1_780_000_000_000_000_000 + number * 10_000
    return kind(MARKETS[number % 10], number, now, now + 250_000, 450_000_000, 100_000_000_000, 550_000_000, number)


def storage(folder: Path) -> ChildSpec:
    """The branch that the benchmark needs of storage: server and writer."""
    postgres, url = str(folder / "postgres"), server_url(folder / "postgres")
    return supervisor(
        "storage",
        ChildSpec(name="postgres", actor="actors.storage.postgres:Postgres", arguments={"folder": postgres}),
        ChildSpec(
            name="writer",
            actor="actors.storage.writer:Writer",
            arguments={"url": url, "migrations": list(MIGRATIONS)},
        ),
    )


async def figures_of(node: Node) -> dict[str, Any]:
    """What the writer says of itself."""
    report = await node.ref("/storage/writer").ask(control.Probe())
    return {"ready": report.ready, **dict(report.figures)}


async def until_ready(node: Node) -> dict[str, Any]:
    """Wait for the database; returns what the writer says then."""
    with trio.fail_after(READY_S):
        while not (figures := await figures_of(node))["ready"]:  # noqa: ASYNC110 - the writer reports when it likes
            await trio.sleep(LOOK_S)
    return figures
