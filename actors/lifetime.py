"""One node from start to stop: log, telemetry, garbage collector, watchdog, tree, and the signal that ends it.

Started with SIGINT and SIGTERM in its hands, so that Ctrl-C in the middle of the start is an orderly stop too. The
first signal stops the tree within the node's budget; a second one ends the process at once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import msgspec
import structlog
import trio

from actors.edge.edge import GetEdgeAddress
from actors.monitor.health import GetHealth
from actors.node import children
from actors.storage.capability import log_options
from protocols.control import Crashed, Refused, Unknown
from protocols.paths import EDGE, MONITOR
from runtime.clock import SystemClock
from runtime.collector import GarbageCollector
from runtime.figures import NodeFigures
from runtime.log import LogFull, NodeLog, open_log
from runtime.log_recovery import LogLocked
from runtime.metrics import Metrics
from runtime.node import Node, NodeFailed, NodeSettings, open_node
from runtime.segments import LogDamaged
from runtime.settings import Configuration
from runtime.spec import ChildSpec
from runtime.telemetry import open_telemetry
from runtime.variables import running_cell
from runtime.watchdog import LagMeter, Watchdog

READY_POLL_S = 0.02
RATE_SAMPLE_S = 2.0
CLOCK_S = 5.0
CLOCK_STEP_NS = 100_000_000
STACKS_S = 1.0
"""How long after its stop budget a node may take before its stacks are written and the process ends with 70."""
INTERRUPTED = 130
ENDING = (signal.SIGINT, signal.SIGTERM)
NODE_FILE = "node.json"


class NodeFile(msgspec.Struct, frozen=True):
    """`node.json` in the data folder: where the running node is."""

    url: str
    pid: int
    name: str
    version: str


def run(configuration: Configuration) -> int:
    """Run a node until SIGINT or SIGTERM; returns 0.

    Raises ConfigurationError for sections that do not fit together, NodeFailed if the tree cannot start or go on.
    """
    tree = children(configuration)
    settings: NodeSettings = configuration.section("node")
    clock = SystemClock()
    telemetry = open_telemetry(configuration.section("telemetry"), now=clock.now, running_actor=running_path)
    # Held back until there is somebody to take them: no signal ends the node between its log and its loop.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    # What the receiver of the loop puts back when it closes: a second signal ends the process, however late it comes.
    before = {number: signal.signal(number, _end_at_once) for number in ENDING}
    try:
        with telemetry, _node_log(configuration) as log:
            try:
                trio.run(_run, configuration, tree, settings, clock, log)
            except BaseExceptionGroup as group:
                raise _first_of(group) from group
            finally:
                (Path(settings.data_dir) / NODE_FILE).unlink(missing_ok=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    return 0


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure of the node that a group holds, else the whole group: a nursery wraps what passes through it."""
    failed: BaseException | None = group.subgroup(NodeFailed)
    while isinstance(failed, BaseExceptionGroup):
        failed = failed.exceptions[0]
    return failed or group


def running_path() -> str | None:
    """The path of the actor on whose behalf the caller runs."""
    cell = running_cell.get()
    return None if cell is None else cell.path


@contextmanager
def _node_log(configuration: Configuration) -> Iterator[NodeLog]:
    options = log_options(configuration.section("database"))
    folder = Path(configuration.section("node").data_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log = open_log(folder / "log", **options)
    except (LogLocked, LogFull, LogDamaged, OSError) as error:
        raise NodeFailed(Crashed(type(error).__name__, str(error))) from error
    with log:
        if log.torn_bytes:
            # Half of a row that was never accepted, or, after a power failure or a fault of the disk, rows that were.
            text = "the log ended in bytes that are no row; they were cut off"
            structlog.get_logger("troupe").warning(text, bytes=log.torn_bytes)
        yield log


async def _run(
    configuration: Configuration,
    tree: tuple[ChildSpec, ...],
    settings: NodeSettings,
    clock: SystemClock,
    log: NodeLog,
) -> None:
    metrics = Metrics()
    holder: list[Node] = []
    watchdog = Watchdog(who=lambda: _running(holder))
    meter = LagMeter(metrics.loop_lag.observe, who=lambda: _running(holder), held=metrics.hold, beat=watchdog.pet)
    collector = GarbageCollector(configuration.section("collector"), metrics.pause)
    with trio.open_signal_receiver(*ENDING) as signals, watchdog, collector:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        async with trio.open_nursery() as services:
            services.start_soon(_end_on_signal, signals, services.cancel_scope, watchdog, settings)
            services.start_soon(meter.run)
            services.start_soon(_follow_clock, clock)
            cluster = configuration.section("cluster")
            async with open_node(settings, tree, clock=clock, log=log, metrics=metrics, cluster=cluster) as node:
                holder.append(node)
                services.start_soon(_sample_rates, node)
                await _announce(node, Path(settings.data_dir))
                collector.freeze()
                await collector.run()


async def _follow_clock(clock: SystemClock) -> None:
    """A machine that was suspended, or whose clock was set forward, is noticed."""
    while True:
        await trio.sleep(CLOCK_S)
        skipped = clock.catch_up()
        if skipped > CLOCK_STEP_NS:
            structlog.get_logger("troupe").warning("the machine's clock went ahead", skipped_s=skipped / 1e9)


def _running(holder: list[Node]) -> str | None:
    """The path of the actor that was given the loop last."""
    if not holder or holder[0].running is None:
        return None
    return holder[0].running.path


async def _end_on_signal(
    signals: AsyncIterator[int], scope: trio.CancelScope, watchdog: Watchdog, settings: NodeSettings
) -> None:
    number = await anext(signals)
    structlog.get_logger("troupe").info("stopping", signal=signal.Signals(number).name, budget_s=settings.stop_s)
    watchdog.arm_exit(settings.stop_s + STACKS_S)
    signal.signal(signal.SIGINT, _end_at_once)
    signal.signal(signal.SIGTERM, _end_at_once)
    scope.cancel()


def _end_at_once(number: int, frame: object) -> None:
    os._exit(INTERRUPTED)


async def _announce(node: Node, folder: Path) -> None:
    """Write `node.json`, wait until everything is ready, and say where the node is."""
    address = await node.ref(EDGE).ask(GetEdgeAddress())
    file = NodeFile(address.url(), os.getpid(), node.settings.name, version("troupe"))
    temporary = folder / f"{NODE_FILE}.tmp"
    temporary.write_bytes(msgspec.json.encode(file))
    temporary.replace(folder / NODE_FILE)
    while not await _is_ready(node):  # noqa: ASYNC110 - asked for, as a client would
        await trio.sleep(READY_POLL_S)
    print(f"listening on {address.url()}", flush=True)


async def _sample_rates(node: Node) -> None:
    figures = NodeFigures(node)
    while True:
        await trio.sleep(RATE_SAMPLE_S)
        figures.sample_rates()


async def _is_ready(node: Node) -> bool:
    try:
        return (await node.ref(MONITOR).ask(GetHealth())).ready
    except (Refused, Unknown):
        return False
