"""The actor that stands for a strategy in the sandbox: it feeds the locked worker and sends its signals to the hub.

Its life is the worker's. When the worker ends, or has to be ended, it asks the roster what follows (`policy.py`): it
crashes, and its supervisor starts it again with a new worker, or the roster ends it for good. What goes in is one row
of inputs in the order of arrival; what comes out passes the gate (`gate.py`) and the outbox. A new life begins with the
windows full: bars that came while there was none are its history, and it is called at the next one.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import msgspec

from actors.strategies.meters import CallMeter
from actors.strategies.sandbox import wire
from actors.strategies.sandbox.drafts import SignalError
from actors.strategies.sandbox.inputs import bar_input, quote_input, trade_input
from actors.strategies.sandbox.loaded import Loaded, NotLoaded
from actors.strategies.sandbox.policy import Cause as EndCause
from actors.strategies.sandbox.policy import CpuBudget, ErrorBudget
from actors.strategies.sandbox.worker import WorkerEnded
from actors.strategies.sandboxed_loading import ORDER_S
from actors.strategies.sandboxed_trading import StrategyTrading
from actors.strategies.signal_path import SignalPath, settings_of
from actors.strategies.status import (
    ROSTER,
    Configured,
    ConfigureRun,
    GetRun,
    GetRunnerStatus,
    KeepGate,
    KeepState,
    ReportKill,
    RunFailed,
    RunLoaded,
    RunnerStatus,
    SwapFailed,
    SwapPackage,
)
from protocols.control import ExitReason, Lagged, Message, Refused, Unknown
from protocols.market import Bar, Quote, Trade
from protocols.providers import ProviderSwitched
from runtime import Mailbox, receive

SAVE_EVERY_S: Final = 60.0
EXAMINE_EVERY_S: Final = 5.0
FOR_GOOD: Final = frozenset({"invalid", "sandbox_too_weak", "no_memory"})
"""Refusals that the next attempt would meet again."""
MINUTE_NS: Final = 60_000_000_000


class StrategyKilled(Exception):
    """The worker has ended or was ended; the supervisor starts another one."""


class Tick(Message, frozen=True, gc=False, tag="strategy_tick"):
    """The execution interval has passed."""


class SaveState(Message, frozen=True, gc=False, tag="save_strategy_state"):
    """It is time to keep the strategy's state."""


class Examine(Message, frozen=True, gc=False, tag="examine_strategy"):
    """It is time to look after the worker."""


class SandboxedStrategy(StrategyTrading):
    """Runs what the roster says under `name` (`GetRun`), in a worker of the sandbox."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=8192)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.loaded: Loaded | None = None
        self.over = ""
        """Why nothing is handled any more; the roster is about to end this actor."""
        self.executions = self.last_execution = self.lost = 0
        self.memory_errors = 0

    def on_start(self) -> None:
        """Be there; the rest takes longer."""
        self.started = self.clock.now()
        self.meter = CallMeter(self.node.metrics, self.name)
        self.begin_trading()

    async def on_continue(self) -> None:
        """Load the strategy and fill its windows; inputs wait meanwhile."""
        roster = self.lookup(ROSTER)
        self.run = await roster.ask(GetRun(self.name), ORDER_S)
        self.way = SignalPath(self.name, self.run)
        self.errors_left = ErrorBudget(self.run.error_budget)
        self.cpu = CpuBudget(int(self.run.cpu_share * MINUTE_NS), self.clock.monotonic())
        await self._follow(self.run.markets)
        for symbol, interval in self.run.windows:
            self._hear(Bar, symbol)
            self.seen[symbol, interval] = 0
        await self._find_deployment(self.run)
        try:
            self.loaded = await self._load(self.run, self.run.state, self.desk)
        except NotLoaded as error:
            self._give_up("invalid", error.reason, error.field, error.problems)
            return
        except Refused as refused:
            if refused.code not in FOR_GOOD:
                raise StrategyKilled(f"there is no worker: {refused.message}") from None
            self._give_up(refused.code, refused.message, refused.field or "")
            return
        except WorkerEnded as ended:
            await self._ended(ended.cause, f"while it was loaded: {ended.detail}")
            return
        self._tell_loaded()
        self._look_again()
        self.every(EXAMINE_EVERY_S, Examine())
        if self.run.interval_s is not None:
            self.every(self.run.interval_s, Tick())
        if self.loaded.ready.keeps_state:
            self.every(SAVE_EVERY_S, SaveState())

    async def on_stop(self, reason: ExitReason) -> None:
        """Keep the state, and end the worker."""
        if self.loaded is not None:
            self._keep_gate()
            await self._save()
            await self.loaded.close()

    # What a strategy is given.

    @receive
    async def bar(self, bar: Bar) -> None:
        """Hand a bar of one of its windows to the strategy; one that it has had is left out."""
        symbol = self.followed.symbol(bar.market)
        seen = None if symbol is None else self.seen.get((symbol, bar.interval))
        if symbol is None or seen is None or bar.start <= seen:
            return
        if self.sources.setdefault((bar.market, bar.interval), bar.source) != bar.source:
            return
        self.seen[symbol, bar.interval] = bar.start
        if symbol != bar.market:
            bar = msgspec.structs.replace(bar, market=symbol)
        self.way.assessor.bar(bar)
        await self._feed(bar_input(bar, self.clock.now()), bar)

    @receive
    async def quote(self, quote: Quote) -> None:
        """Hand a quote to the strategy."""
        symbol = self.followed.symbol(quote.market)
        if symbol is None:
            return
        if symbol != quote.market:
            quote = msgspec.structs.replace(quote, market=symbol)
        self.way.assessor.quote(quote)
        await self._feed(quote_input(quote, self.clock.now()), quote)

    @receive
    async def trade(self, trade: Trade) -> None:
        """Hand a trade to the strategy."""
        symbol = self.followed.symbol(trade.market)
        if symbol is None:
            return
        if symbol != trade.market:
            trade = msgspec.structs.replace(trade, market=symbol)
        await self._feed(trade_input(trade, self.clock.now()), trade)

    @receive
    def switched(self, message: ProviderSwitched) -> None:
        """Another provider speaks for a symbol from now on."""
        self.followed.switch(message.symbol, message.new)

    @receive
    async def tick(self, message: Tick) -> None:
        """Call the strategy with what there is."""
        await self._feed(wire.TimerInput(self.clock.now()), None)

    @receive
    async def lagged(self, message: Lagged) -> None:
        """Tell the strategy that inputs are missing here."""
        self.lost += max(1, message.count)
        self.note_error(f"{message.count} of {message.topic} {message.key or '(all markets)'} were lost")
        symbol = self.followed.symbol(message.key) if message.key else None
        for each in (symbol,) if symbol is not None else () if message.key else self.run.markets:
            self.way.assessor.gap(each)
            await self._feed(wire.GapInput(each, self.clock.now()), None)
            await self._refill(each)

    async def _feed(self, given: wire.Input, cause: Quote | Trade | Bar | None) -> None:
        loaded = self.loaded
        if loaded is None or self.over:
            return
        marks = self.way.marks.of(cause.marks if cause is not None else ())
        begun = self.clock.monotonic()
        try:
            reply = await loaded.run((given,))
        except WorkerEnded as ended:
            self.meter.count(self.clock.monotonic() - begun, failed=True)
            await self._ended(ended.cause, ended.detail)
            return
        self.meter.count(self.clock.monotonic() - begun, failed=isinstance(reply, wire.Failed))
        self.executions += 1
        self.last_execution = self.clock.now()
        if reply.logs or reply.metrics or reply.cut:
            self._note_reply(reply)
        if reply.signals:
            self._take(reply.signals, cause, marks)
        if reply.orders or reply.excess:
            await self._trade(reply, marks)
        if self.loaded is not loaded or self.over:
            return
        if isinstance(reply, wire.Failed):
            await self._failed(reply)
        elif self.memory_errors:
            self.memory_errors = 0
        if self.loaded is loaded:
            await self._account(loaded)

    async def _refill(self, symbol: str) -> None:
        """A gap has emptied the windows of a symbol: what is stored by now fills them again."""
        loaded = self.loaded
        if loaded is None or self.over:
            return
        try:
            await self._warm_up(loaded, [window for window in self.run.windows if window[0] == symbol])
        except WorkerEnded as ended:
            await self._ended(ended.cause, ended.detail)

    @receive
    async def examine(self, message: Examine) -> None:
        """See what the worker does while it should do nothing."""
        if self.loaded is None or self.over:
            return
        worker = self.loaded.worker
        worker.check_idle()
        if worker.ended is not None:
            await self._ended(worker.ended.cause, worker.ended.detail)
        else:
            await self._account(self.loaded)

    async def _account(self, loaded: Loaded) -> None:
        """Take the processor time that the kernel has counted, not what the worker says, off its budget."""
        used = loaded.worker.cpu_ns()
        if self.cpu.spent(used - self.cpu_seen, self.clock.monotonic()):
            loaded.worker.kill()
            await self._ended("cpu_budget", f"more than {self.run.cpu_share:g} of a processor over a minute")
        self.cpu_seen = used

    def _take(
        self, signals: tuple[wire.WireSignal, ...], cause: Quote | Trade | Bar | None, marks: tuple[str, ...]
    ) -> None:
        now = self.clock.now()
        for each in signals:
            try:
                signal = self.way.signal(each, cause, marks, now)
            except SignalError as error:
                self.note_error(f"a signal is left out: {error}")
                continue
            if signal is not None:
                self.send(signal)

    async def _failed(self, reply: wire.Failed) -> None:
        at = f" (line {reply.line})" if reply.line else ""
        self.note_error(f"{reply.error}: {reply.message}{at}")
        if reply.memory:
            self.memory_errors += 1
            if self.memory_errors == 2:
                assert self.loaded is not None
                self.loaded.worker.kill()
                await self._ended("memory", f"twice in a row beyond its limit{at}")
                return
        else:
            self.memory_errors = 0
        self._spend_error()

    def _count_error(self, text: str) -> None:
        """Something that a strategy may do a few times an hour."""
        self.note_error(text)
        self._spend_error()

    def _spend_error(self) -> None:
        if self.errors_left.spent(self.clock.monotonic()):
            self._give_up("errors", f"more than {self.errors_left.most} errors, the last: {self.last_error}")

    # What becomes of it.

    async def _ended(self, cause: EndCause, detail: str) -> None:
        """The worker is gone: crash, or be ended, as the roster says."""
        if self.loaded is not None:
            self._keep_gate()
            await self.loaded.close()
        self.loaded = None
        try:
            sentence = await self.lookup(ROSTER).ask(
                ReportKill(self.name, self.run.package.version, cause, detail), ORDER_S
            )
        except (Refused, Unknown) as error:
            raise StrategyKilled(f"{cause}: {detail} (and the roster does not answer: {error})") from None
        if sentence.action == "restart":
            raise StrategyKilled(sentence.reason) from None
        self.over = sentence.reason

    def _give_up(self, code: str, reason: str, field: str = "", problems: tuple[wire.Problem, ...] = ()) -> None:
        self.over = reason
        version = self.run.package.version
        failed = RunFailed(
            name=self.name, version=version, code=code, reason=reason, field=field, problems=problems[:20]
        )
        self.lookup(ROSTER).tell(failed)

    # Loading and changing.

    @receive
    async def swap(self, message: SwapPackage) -> None:
        """Take another version: built beside this one, with its state, and put in its place between two inputs."""
        package = message.package
        if self.over or package.version == self.run.package.version:
            return
        run = msgspec.structs.replace(self.run, package=package)
        before = self.loaded
        try:
            state = None if before is None else await before.save(self.clock.now())
        except WorkerEnded as ended:
            await self._ended(ended.cause, f"while it saved its state: {ended.detail}")
            return
        try:
            loaded = await self._load(run, state, self.desk)
        except NotLoaded as error:
            self._not_swapped(package.version, error.reason)
        except (Refused, WorkerEnded) as error:
            self._not_swapped(package.version, str(error))
        else:
            self.run, self.loaded = run, loaded
            self.way.version(package.version)
            if before is not None:
                await before.close()
            self._tell_loaded()

    def _not_swapped(self, version: str, reason: str) -> None:
        self.note_error(f"version {version} is not taken: {reason}")
        self.lookup(ROSTER).tell(SwapFailed(self.name, version, reason))

    def _tell_loaded(self) -> None:
        assert self.loaded is not None
        self._keep_deployment()
        ready = self.loaded.ready
        self.remark = f"{self.run.package.version} in process {self.loaded.worker.pid}"
        self.lookup(ROSTER).tell(
            RunLoaded(
                name=self.name,
                version=self.run.package.version,
                incarnation=str(self.incarnation),
                contract=ready.contract,
                parameters=self.loaded.parameters,
                declared=ready.parameters,
            )
        )

    @receive
    async def configure(self, request: ConfigureRun) -> Configured:
        """Change settings and parameters, all or none."""
        if self.loaded is None or self.over:
            raise Refused("not_running", self.over or "the strategy is being loaded")
        settings = settings_of(msgspec.json.decode(request.settings))
        parameters: dict[str, Any] = msgspec.json.decode(request.parameters)
        if parameters:
            try:
                await self.loaded.configure(parameters, self.clock.now())
            except WorkerEnded as ended:
                await self._ended(ended.cause, f"while it took parameters: {ended.detail}")
        self.way.configure(settings)
        if self.loaded is None:
            raise Refused("not_running", self.over or "its worker has ended")
        return Configured(self.loaded.parameters)

    @receive
    async def save_state(self, message: SaveState) -> None:
        """Keep the strategy's state for its next life."""
        await self._save()

    def _keep_gate(self) -> None:
        self.lookup(ROSTER).tell(KeepGate(self.name, self.way.state(), self.way.composer.count))

    async def _save(self) -> None:
        if self.loaded is None or self.over:
            return
        try:
            state = await self.loaded.save(self.clock.now())
        except WorkerEnded as ended:
            self.logger.warning("the state was not saved", why=str(ended))
            return
        if state is not None:
            self.lookup(ROSTER).tell(KeepState(self.name, self.run.package.version, state))

    # What is told of it.

    @receive
    def status(self, request: GetRunnerStatus) -> RunnerStatus:
        """Say how this life is."""
        outbox = self.outbox
        figures: dict[str, str | int | float | bool | None] = {
            "executions": self.executions,
            "signals_accepted": outbox.accepted,
            "signals_given_up": outbox.given_up,
            "submit_retries": outbox.retries,
            "inputs_lost": self.lost,
            "log_bytes_cut": self.cut,
        }
        if self.loaded is not None:
            figures |= {"contract": self.loaded.ready.contract, "pid": self.loaded.worker.pid}
            figures |= self.way.figures()
            figures |= self._trading_figures()
        figures |= {f"metric.{name}": value for name, value in self.metrics.items()}
        generated = self.way.generated if self.loaded is not None else 0
        return RunnerStatus(
            str(self.incarnation),
            self.started,
            self.last_execution,
            generated,
            len(outbox),
            self.errors,
            self.over or self.last_error,
            tuple(figures.items()),
        )
