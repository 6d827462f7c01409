"""The node's log, and from there into PostgreSQL.

*Append*: what accepting a row costs the loop. *Sustained*: a node with embedded PostgreSQL and the writer process; rows
are appended as fast as the database takes them, the log is kept at a few segments, and at the end the database is asked
whether every row is there, once. Nothing is pinned in the second run: node, writer and PostgreSQL share the machine as
they would in service.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg
import trio

from actors.storage.embedded import server_url
from benchmarks.database import KINDS, LOOK_S, BareQuote, figures_of, row, storage, until_ready
from benchmarks.harness import Findings, Row, Sample, Scale, at_least, at_most, cores, in_turns, measured
from runtime import Node, NodeSettings, open_node
from runtime.collector import GarbageCollector
from runtime.log import NodeLog, open_log

TITLE = "The log, and from there into PostgreSQL"
ROWS = 1_000_000
BEHIND_BYTES = 32 << 20
"""How far the writer may be behind before the producer waits: two segments of the log."""
AT_ONCE = 200
DRAIN_S = 60.0


def append(rows: int) -> Sample:
    """Microseconds per row, made and appended, with what rolling the segments costs."""
    with tempfile.TemporaryDirectory() as folder, open_log(Path(folder), max_bytes=4 << 30) as log:
        log.append(row(BareQuote, 0))
        made = time.perf_counter()
        for number in range(rows):
            row(BareQuote, number)
        began = time.perf_counter()
        for number in range(rows):
            log.append(row(BareQuote, number))
        ended = time.perf_counter()
    return {"append µs": (ended - began - (began - made)) / rows * 1e6, "with making µs": (ended - began) / rows * 1e6}


def resident_mb(pid: int) -> float:
    """What a process has in memory, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4_096 / 1e6


def count_rows(url: str, table: str) -> int:
    """How many rows there are, and that none is there twice."""

    async def count() -> int:
        connection = await asyncpg.connect(url)
        try:
            found = await connection.fetchval(f"SELECT count(*) FROM {table}")
            different = await connection.fetchval(f"SELECT count(DISTINCT seq) FROM {table}")
        finally:
            await connection.close()
        if found != different:
            raise RuntimeError(f"{found} rows, {different} different ones")
        return int(found)

    return asyncio.run(count())


def sustained(seconds: float, kind: str) -> Sample:
    """Rows a second into the database over `seconds`, and what memory grows meanwhile."""
    looks: list[tuple[float, int, float, float]] = []
    kept = 0

    async def look(node: Node, log: NodeLog) -> dict[str, Any]:
        nonlocal kept
        figures = await figures_of(node)
        kept = max(kept, log.backlog(0))
        looks.append((time.perf_counter(), figures["rows"], resident_mb(os.getpid()), resident_mb(figures["pid"])))
        return figures

    async def main(folder: Path, log: NodeLog) -> int:
        number, make = 0, KINDS[kind]
        with GarbageCollector() as collector:
            async with open_node(NodeSettings(data_dir=str(folder)), (storage(folder),), log=log) as node:
                collector.freeze()
                position = (await until_ready(node))["position"]
                end = trio.current_time() + seconds
                looked = 0.0
                while (now := trio.current_time()) < end:
                    if now > looked + LOOK_S:
                        looked = now
                        position = (await look(node, log))["position"]
                    if log.position - position > BEHIND_BYTES:
                        await trio.sleep(0.005)
                        continue
                    for added in range(AT_ONCE):
                        log.append(row(make, number + added))
                    number += AT_ONCE
                    await trio.lowlevel.checkpoint()
                with trio.fail_after(DRAIN_S):
                    while (await figures_of(node))["position"] < log.position:  # noqa: ASYNC110
                        await trio.sleep(0.05)
                stored = await trio.to_thread.run_sync(count_rows, server_url(folder / "postgres"), make.table)
        if stored != number:
            raise RuntimeError(f"{number} rows were accepted, {stored} are in the database")
        return number

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with open_log(folder / "log") as log:
            total = trio.run(main, folder, log)
    settled = [each for each in looks if each[0] >= looks[0][0] + 0.2 * seconds]
    (began, first, node_mb, writer_mb), (ended, last, node_end, writer_end) = settled[0], settled[-1]
    return {
        "rows/s": (last - first) / (ended - began),
        "rows": total,
        "growth MB": max(0.0, node_end - node_mb) + max(0.0, writer_end - writer_mb),
        "node MB": node_end,
        "writer MB": writer_end,
        "log MB": kept / 1e6,
    }


def run(scale: Scale) -> Findings:
    """All three runs."""
    core, _ = cores()
    rows = scale.count(ROWS)
    long = 5 * scale.seconds
    costs = in_turns({"append": lambda: measured("benchmarks.log:append", core, rows=rows)}, scale)["append"]
    rates = in_turns(
        {
            "bare": lambda: measured("benchmarks.log:sustained", seconds=long, kind="bare"),
            "keyed": lambda: measured("benchmarks.log:sustained", seconds=long, kind="keyed"),
        },
        scale,
    )
    return Findings(
        (
            Row("append", "µs/row", costs["append µs"]),
            Row("append, with making the row", "µs/row", costs["with making µs"]),
            Row("sustained, into a table without index", "rows/s", rates["bare"]["rows/s"], target=at_least(100_000)),
            Row("sustained, into a table with a primary key", "rows/s", rates["keyed"]["rows/s"]),
            Row("growth of node and writer in the last 80 %", "MB", rates["bare"]["growth MB"], target=at_most(20)),
            Row("node, resident at the end", "MB", rates["bare"]["node MB"]),
            Row("writer, resident at the end", "MB", rates["bare"]["writer MB"]),
            Row("log on the disk, most", "MB", rates["bare"]["log MB"]),
        ),
        (
            f"Sustained for {long:g} s a turn; afterwards every row was in the database once. The producer waits while "
            f"the writer is {BEHIND_BYTES >> 20} MiB behind.",
        ),
    )
