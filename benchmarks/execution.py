"""Execution: how soon an account trades again after `kill -9`, and how long an order takes.

*Recovery*: a node with embedded PostgreSQL gets its inputs (quotes, an order in 20 of them), is killed when they are
all in the database, and started again; there is no snapshot, so that every input is replayed. *Latency*: the whole way
of a signal through hub, account and engine with its journal. *Engine*: the same inputs without a node.
"""

from __future__ import annotations

import signal
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.harness import TROUPE, Child, Findings, Row, Sample, Scale, at_most, cores, in_turns, measured
from benchmarks.path import free_port

TITLE = "Execution: recovery, orders, latency of a paper account"
INPUTS: Final = 100_000
RATE: Final = 50.0


def recovery(inputs: int) -> Sample:
    """Fill a journal, kill the node, start it again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "node"
        folder.mkdir()
        folder.parent.chmod(0o755)
        with Child("benchmarks.execution_node:fill_journal", folder=str(folder), count=inputs) as child:
            before = child.announced()
            child.signal(signal.SIGKILL)
        found = measured("benchmarks.execution_node:recovered", folder=str(folder), began=time.time())
    if (found["recovered"], found["fills"]) != (before["inputs"], before["fills"]):
        raise RuntimeError(f"{before} before, {found} after")
    return found


def http(seconds: float) -> Sample:
    """Orders by HTTP at a whole node."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with Child("benchmarks.execution_node:served", folder=folder, port=port):
            return measured("benchmarks.execution_node:orders_over_http", folder=folder, port=port, seconds=seconds)


def run(scale: Scale) -> Findings:
    """Recovery, latency, and the engine alone."""
    core, _ = cores()
    inputs = scale.count(INPUTS, 1_000)
    turns = in_turns(
        {
            "recovery": lambda: recovery(inputs),
            "latency": lambda: measured("benchmarks.execution_node:latencies", seconds=2 * scale.seconds, rate=RATE),
            "http": lambda: http(2 * scale.seconds),
            TROUPE: lambda: measured("benchmarks.execution_node:engine_alone", core, count=inputs),
        },
        scale,
    )
    again, latency, alone = turns["recovery"], turns["latency"], turns[TROUPE]
    return Findings(
        (
            Row(f"database up to trading, {inputs:,} inputs replayed", "s", again["from database"], target=at_most(2)),
            Row("  from the start of the process", "s", again["from start"]),
            Row("signal stored to its fill told, p50", "ms", latency["signal p50"]),
            Row("signal stored to its fill told, p99", "ms", latency["signal p99"]),
            Row("an order by hand to its answer (filled, journaled), p50", "ms", latency["order p50"]),
            Row("an order by hand to its answer (filled, journaled), p99", "ms", latency["order p99"]),
            Row("the same over HTTP, one client, p50", "ms", turns["http"]["http p50"]),
            Row("the same over HTTP, one client, p99", "ms", turns["http"]["http p99"]),
            Row("engine alone, inputs of which one in 20 is an order", "inputs/s", alone["inputs/s"]),
            Row("  orders among them, each filled", "orders/s", alone["orders/s"]),
        ),
        (
            f"Signals at random moments (Poisson), {RATE:g} a second, among 200 quotes a second; node, writer and "
            "PostgreSQL share the machine. The account has the same orders, fills and inputs after the kill as before.",
        ),
    )
