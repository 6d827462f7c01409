"""A node with the sandbox, a library with a folder, strategies, a hub and the bar builder; no database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

import actors.edge.capability
import actors.signals.capability
from actors.edge.edge import GetEdgeAddress
from actors.market.bar_builder import BarSettings
from actors.market.bar_builder import specs as bar_specs
from actors.market.provider_settings import ProviderSettings
from actors.market.provider_settings import specs as provider_specs
from actors.strategies import capability
from actors.strategies.library_settings import LibrarySettings
from actors.strategies.library_settings import specs as library_specs
from actors.strategies.package import PackageChanged
from actors.strategies.records import Entry
from actors.strategies.sandbox.keeper import SandboxSettings
from actors.strategies.status import (
    ROSTER,
    ListStrategies,
    StartStrategy,
    StrategyStarted,
    StrategyStatus,
)
from protocols.control import ActorEvent
from protocols.market import Bar
from protocols.nanos import NANO
from protocols.paths import EDGE, HUB
from protocols.signals import ReadSignals, SignalStored, StoredSignal
from protocols.strategies import StrategyChanged
from runtime import ChildSpec, Node, NodeSettings, Tap, open_node, supervisor
from runtime.clock import Clock
from runtime.log import open_log

LIMIT_S = 20.0
MINUTE = 60 * NANO
T0 = 1_700_000_040 * NANO
OPEN = {"min_confidence_threshold": 0.0, "max_risk_threshold": 1.0, "signal_cooldown": 0.0,
        "max_concurrent_signals": 50}  # fmt: skip
"""A gate that lets everything through."""


def bar(number: int, close: float = 100.0, market: str = "A", marks: tuple[str, ...] = ()) -> Bar:
    """The `number`-th minute bar, from the venue."""
    start, price = T0 + number * MINUTE, round(close * NANO)
    return Bar(market, "1m", start, start + MINUTE, price, price, price, price, "1", 1, price, "venue",
               start + MINUTE, marks=marks)  # fmt: skip


class SandboxDesk:
    """What a test has of the node."""

    def __init__(self, node: Node, tap: Tap, folder: Path) -> None:
        self.node = node
        self.tap = tap
        self.folder = folder
        self.heard: list[Any] = []

    async def write(self, name: str, source: str) -> str:
        """Put a strategy into the folder, as an editor does; returns its version, once the library has it."""
        hidden = self.folder / f".{name}.new"
        hidden.write_text(source)
        hidden.rename(self.folder / f"{name}.py")
        with trio.fail_after(LIMIT_S):
            while True:
                for each in self.heard:
                    if isinstance(each, PackageChanged) and each.strategy_id == name:
                        self.heard.remove(each)
                        return each.version
                self.heard += await self.tap.receive()

    async def start(self, name: str, *symbols: str, settings: dict[str, Any] | None = None,
                    **parameters: Any) -> StrategyStarted:  # fmt: skip
        """Run a strategy of the folder on minute bars; wait until the library has it."""
        asked = StartStrategy(
            strategy_id=name,
            source="folder",
            symbols=symbols or ("A",),
            timeframe="1m",
            parameters=msgspec.Raw(msgspec.json.encode(parameters)),
            settings=msgspec.Raw(msgspec.json.encode(OPEN if settings is None else settings)),
        )
        return await self.node.ref(ROSTER).ask(asked, LIMIT_S)

    async def status(self, name: str) -> StrategyStatus:
        [found] = (await self.node.ref(ROSTER).ask(ListStrategies(name))).strategies
        return found

    async def until(self, name: str, status: str, version: str = "") -> StrategyChanged:
        """Wait until a strategy has this status (in this version)."""
        with trio.fail_after(LIMIT_S):
            while True:
                for each in self.heard:
                    if isinstance(each, StrategyChanged) and (each.strategy_id, each.status) == (name, status):
                        self.heard.remove(each)
                        return each
                self.heard += await self.tap.receive()

    def say(self, *messages: Any) -> None:
        for message in messages:
            self.node.publish(message)

    async def signals(self, count: int) -> list[StoredSignal]:
        """All stored signals, once there are `count`."""
        with trio.fail_after(LIMIT_S):
            while True:
                page = await self.node.ref(HUB).ask(ReadSignals(1))
                if page.last_seq >= count:
                    return list(page.signals)
                self.heard += await self.tap.receive()

    async def url(self) -> str:
        return f"http://127.0.0.1:{(await self.node.ref(EDGE).ask(GetEdgeAddress())).port}"


@asynccontextmanager
async def sandbox_desk(
    folder: Path,
    *strategies: Entry,
    edge: bool = False,
    most: int = 10,
    cooldown_s: float = 60.0,
    providers: tuple[ProviderSettings, ...] = (),
    children: tuple[ChildSpec, ...] = (),
    market: tuple[ChildSpec, ...] = (),
    clock: Clock | None = None,
    **limits: Any,
) -> AsyncIterator[SandboxDesk]:
    """A desk; `children` are there before the strategies, `market` beneath /market. `limits`: of SandboxSettings."""
    sources = folder / "strategies"
    sources.mkdir(exist_ok=True)
    sandbox = SandboxSettings(**({"memory_mb": 64} | limits))
    runs = capability.RunsSettings(max_concurrent=most, signal_cooldown_s=cooldown_s)
    specs = [
        actors.signals.capability.branch(actors.signals.capability.Settings()),
        supervisor("market", *bar_specs(BarSettings()), *provider_specs(providers), *market),
        *library_specs(LibrarySettings(folder=str(sources))),
        *children,
        *capability.branch(strategies, sandbox, runs),
    ]
    if edge:
        settings = actors.edge.capability.Settings(port=0)
        arguments = {"settings": settings, "routes": ("actors.strategies.capability:routes",)}
        specs.append(ChildSpec(name="edge", actor="actors.edge.edge:Edge", arguments=arguments))
    log = open_log(folder / "log", segment_bytes=1 << 20, max_bytes=1 << 26, reserve_bytes=0)
    try:
        async with open_node(NodeSettings(data_dir=str(folder)), tuple(specs), log=log, clock=clock) as node:
            with node.open_tap(
                (SignalStored, None),
                (StrategyChanged, None),
                (ActorEvent, None),
                (PackageChanged, None),
                capacity=50_000,
            ) as tap:
                yield SandboxDesk(node, tap, sources)
    finally:
        log.close()
