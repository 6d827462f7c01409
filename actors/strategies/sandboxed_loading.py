"""How a strategy comes into a worker: its source, its markets, and the bars from before its start."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec
import trio

from actors.market.warm_up import warm_up
from actors.strategies.followed import Followed
from actors.strategies.sandbox import wire
from actors.strategies.sandbox.inputs import bar_input
from actors.strategies.sandbox.keeper import SANDBOX, OpenWorker
from actors.strategies.sandbox.loaded import Loaded
from actors.strategies.sandbox.orders import Desk
from actors.strategies.sending import SignalSender
from actors.strategies.signal_path import SignalPath
from actors.strategies.status import GetRunLogs, Run, RunLogs
from protocols.control import Message, Refused, Unknown
from protocols.market import Quote, Trade
from protocols.providers import PROVIDERS, GetProviders, ProviderSwitched
from runtime import receive

ASK_S: Final = 2.0
ORDER_S: Final = 10.0
LOG_LINES: Final = 500


class StrategyLoading(SignalSender):
    """Loads the strategy of a run, and knows which markets it hears."""

    run: Run
    way: SignalPath

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.cpu_seen = 0
        self.cut = 0
        self.metrics: dict[str, float] = {}
        self.logs: deque[tuple[int, wire.LogLine]] = deque(maxlen=LOG_LINES)
        self.seen: dict[tuple[str, str], int] = {}
        """The start of the last bar of each window."""
        self.sources: dict[tuple[str, str], str] = {}
        self.heard: set[tuple[type[Message], str]] = set()
        self.followed = Followed()
        self.markets_of: dict[str, tuple[str, ...]] = {}
        """The markets that speak for a symbol, by turns."""

    async def _load(self, run: Run, state: bytes | None, desk: Desk | None = None) -> Loaded:
        """A worker with the strategy, its account and its windows filled. Raises NotLoaded, Refused, WorkerEnded."""
        package = run.package
        worker = await self.lookup(SANDBOX).ask(OpenWorker(name=self.name, own=run.own), ORDER_S)
        try:
            given = msgspec.json.decode(package.parameters) | msgspec.json.decode(run.parameters)
            lookback = self.way.settings.lookback_periods
            load = wire.Load(
                1,
                package.strategy_id,
                package.version,
                package.main_file,
                package.code,
                run.windows,
                msgspec.Raw(msgspec.msgpack.encode(given)),
                lookback,
                run.interval_s is None,
                state,
                run.log_bytes,
                self.clock.now(),
                deployment=None if desk is None else desk.deploy_input(self.clock.now()),
            )
            loaded = await Loaded.load(worker, load, run.load_s, run.call_s)
            await self._warm_up(loaded, run.windows)
        except BaseException:
            with trio.CancelScope(shield=True):
                await worker.close()
            raise
        self.cpu_seen = worker.cpu_ns()  # what loading took is not counted
        self._add_logs(loaded.ready.logs)
        for kind in (Quote, Trade):
            if kind.__name__.lower() in loaded.ready.handles:
                for market in run.markets:
                    self._hear(kind, market)
        return loaded

    async def _follow(self, symbols: tuple[str, ...]) -> None:
        """Find out which markets speak for the symbols."""
        self.subscribe(ProviderSwitched, lossless=True)
        for symbol in symbols:
            try:
                [known] = (await self.lookup(PROVIDERS).ask(GetProviders(symbol), ASK_S)).symbols
            except (Refused, Unknown):
                self.markets_of[symbol] = self.followed.add(symbol)
            else:
                providers = tuple(each.provider for each in known.providers)
                self.markets_of[symbol] = self.followed.add(symbol, providers, known.chosen)

    async def _warm_up(self, loaded: Loaded, windows: Sequence[tuple[str, str]]) -> None:
        count = max(self.way.settings.lookback_periods, loaded.ready.lookback)
        for market, interval in windows:
            found = await warm_up(self, market, interval, count, self.markets_of[market])
            if found.missing:
                self.logger.warning("a window begins short", market=market, interval=interval, why=found.missing)
            if found.source is not None and self.markets_of[market] == (market,):
                self.sources[market, interval] = found.source
            now = self.clock.now()
            await loaded.history([bar_input(bar, now) for bar in found.bars])
            for bar in found.bars:
                self.way.marks.of(bar.marks)
                self.way.assessor.bar(bar)
            if found.bars:
                self.seen[market, interval] = max(self.seen[market, interval], found.bars[-1].start)

    def _hear(self, kind: type[Message], symbol: str) -> None:
        for market in self.markets_of[symbol]:
            if (kind, market) not in self.heard:
                self.heard.add((kind, market))
                self.subscribe(kind, market, lossless=True)

    def _add_logs(self, lines: tuple[wire.LogLine, ...]) -> None:
        now = self.clock.now()
        self.logs.extend((now, line) for line in lines)

    @receive
    def tell_logs(self, request: GetRunLogs) -> RunLogs:
        """The last lines that the strategy has logged."""
        return RunLogs(tuple(self.logs)[-request.limit :], self.cut)

    def _note_reply(self, reply: wire.Done | wire.Failed) -> None:
        self.cut += reply.cut
        self._add_logs(reply.logs)
        for metric in reply.metrics:
            if metric.name in self.metrics or len(self.metrics) < 100:
                self.metrics[metric.name] = metric.value
