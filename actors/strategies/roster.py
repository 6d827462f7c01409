"""The roster: starts strategies, keeps account of what becomes of them, and lists them.

Each strategy has a supervisor of its own, `/strategies/<name>`, with the runner beneath it: one that crashes again and
again ends alone, with status `error`, and no other notices. Those of the configuration run from the start; those that
were started over HTTP are rows of `strategy_runs`, and run again after a restart of the node.

No handler here waits for anybody: what takes time is done by tasks, which tell the roster what they found out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Final, get_args

import msgspec
import trio

from actors.storage.streams import StreamIncomplete, read_stream
from actors.strategies.package import LIBRARY, GetPackage, Package, PackageChanged
from actors.strategies.records import Entry, Record, entry_of, source_name
from actors.strategies.run_rows import STRATEGY_RUNS, Event, StrategyRunRow, remembered
from actors.strategies.sandbox.keeper import SandboxSettings
from actors.strategies.sandbox.policy import Sentence
from actors.strategies.status import (
    EMPTY,
    ConfigureRun,
    ConfigureStrategy,
    GetRun,
    GetRunHistory,
    GetRunnerStatus,
    KeepGate,
    KeepState,
    LiftBar,
    ListStrategies,
    ReportKill,
    Run,
    RunFailed,
    RunHistory,
    RunLoaded,
    RunnerStatus,
    StartStrategy,
    StopStrategy,
    StrategyConfigured,
    StrategyList,
    StrategyStarted,
    StrategyStatus,
    StrategyStopped,
    SwapFailed,
    SwapPackage,
)
from protocols.control import (
    Crashed,
    Killed,
    Message,
    Probe,
    ProbeReport,
    Refused,
    Request,
    Shutdown,
    Terminated,
    Unknown,
)
from protocols.paths import QUERIES, STRATEGIES
from protocols.strategies import GetStrategyStates, StrategyState, StrategyStates
from runtime import Actor, ActorRef, Mailbox, StartChild, TerminateChild, receive

START_S: Final = 15.0
ASK_S: Final = 1.0
RETRY_S: Final = 0.2
PACKAGE_S: Final = 10.0
LOAD_S: Final = 30.0
RUNNER: Final = "runner"


class StartAll(Message, frozen=True, gc=False, tag="start_strategies"):
    """Start what does not run and should."""


class _Accept(Request[None], frozen=True, gc=False, tag="accept_run"):
    """A package was found for a run that was asked for."""

    name: str
    package: Package


class _Withdraw(Message, frozen=True, gc=False, tag="withdraw_run"):
    """A run that was asked for did not come to be."""

    name: str
    reason: str


class _Stopped(Request[StrategyStopped], frozen=True, gc=False, tag="run_stopped"):
    """A run's branch has been ended because somebody asked for it."""

    name: str


class _Changed(Request[None], frozen=True, gc=False, tag="run_changed"):
    """A runner has taken other settings."""

    name: str
    settings: msgspec.Raw
    parameters: msgspec.Raw
    in_force: msgspec.Raw


class _Restore(Message, frozen=True, gc=False, tag="restore_runs"):
    """What ran before this node was started, from the database."""

    rows: tuple[StrategyRunRow, ...]


class Roster(Actor):
    """Starts and lists strategies.

    `strategies`: those of the configuration, entries or dicts with their fields. `most`: how many may be started
    beyond them. `venues`: the venue of every market that a feed names; `only`: of all others. `limits`: the fields of
    SandboxSettings. `defaults`: fields of RunSettings, for runs that do not say them.
    """

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=4096)
    later_capacity: ClassVar[int] = 256

    def __init__(
        self,
        strategies: Sequence[dict[str, Any] | Entry],
        most: int = 10,
        venues: dict[str, str] | None = None,
        only: str = "",
        limits: dict[str, Any] | None = None,
        defaults: dict[str, Any] | None = None,
    ) -> None:
        entries = (each if isinstance(each, Entry) else msgspec.convert(each, Entry) for each in strategies)
        self.records = {entry.name: Record(entry, configured=True) for entry in entries}
        self.most = most
        self.venues = venues or {}
        self.only = only
        self.limits = msgspec.convert(limits or {}, SandboxSettings)
        self.defaults = defaults or {}
        self.restored = False

    def on_start(self) -> None:
        """Watch everything that may end."""
        self.gauge = self.node.metrics.gauge("troupe_strategies", "Strategies by status", ("status",))
        self.watch(self.lookup(STRATEGIES))
        self.subscribe(PackageChanged, lossless=True)
        for name in self.records:
            self._watch(name)
        self.spawn(self._remember, name="remember")

    async def on_continue(self) -> None:
        """Start the strategies of the configuration that run in the node; who asks meanwhile waits."""
        for record in self.records.values():
            if not record.entry.source:
                await self._bring_up(record)
        self.ref.tell(StartAll())

    # Starting and stopping.

    @receive
    def start(self, message: StartAll) -> None:
        """Start what does not run and should."""
        for record in self.records.values():
            if record.wanted and not record.failure and not record.starting:
                record.starting = True
                self.spawn(self._start_record, record, name=f"start {record.entry.name}")

    @receive
    def start_one(self, request: StartStrategy) -> None:
        """Run a strategy of the library."""
        entry = entry_of(request, self.venues, self.only)
        record = self.records.get(entry.name)
        if record is not None and (record.wanted or record.starting):
            raise Refused("invalid", f"expected a strategy that does not run, {entry.name!r} does", "strategy_id")
        running = sum(1 for each in self.records.values() if each.wanted and not each.configured)
        if running >= self.most:
            raise Refused("invalid", f"{running} strategies run, and there may be {self.most}", "strategy_id")
        if record is not None and record.barred and record.entry.source == entry.source:
            raise Refused("barred", f"{entry.name} is barred until a person lifts it or it has another version: "
                          f"{record.failure}", "strategy_id")  # fmt: skip
        fresh = Record(entry, configured=False)
        if record is not None:
            fresh.take_over(record)
        fresh.wanted = fresh.starting = True
        self.records[entry.name] = fresh
        self._watch(entry.name)
        self.answer_later(self._start_asked, fresh)

    async def _start_asked(self, record: Record) -> StrategyStarted:
        name = record.entry.name
        try:
            await self._start_record(record)
            with trio.fail_after(LOAD_S):
                await record.settled.wait()
        except trio.TooSlowError:
            self.ref.tell(_Withdraw(name, f"it was not built after {LOAD_S:g} s"))
            raise Refused("unavailable", f"{name} was not built after {LOAD_S:g} s") from None
        except Refused as refused:
            self.ref.tell(_Withdraw(name, refused.message))
            raise
        if record.failure:
            raise Refused(record.failure_code, record.failure, record.failure_field or None)
        package = record.package
        assert package is not None
        return StrategyStarted(name, record.execution_id, package.name, record.version)

    async def _start_record(self, record: Record) -> None:
        """Find the package if one is needed, and bring up the branch. Raises Refused."""
        entry = record.entry
        asked = not record.configured and not record.restored
        while True:
            try:
                if entry.source or asked:
                    package = await self.lookup(LIBRARY).ask(GetPackage(entry.strategy, entry.source), PACKAGE_S)
                    await self.ref.ask(_Accept(entry.name, package))
                await self._bring_up(record)
            except Unknown as error:
                if asked:
                    raise Refused("unavailable", f"the library does not answer: {error}") from error
            except Refused as refused:
                if asked:
                    raise
                if refused.code not in ("unavailable", "mailbox_full", "stopped", "not_started"):
                    self.ref.tell(RunFailed(name=entry.name, version="", code=refused.code, reason=refused.message))
                    return
            else:
                return
            await trio.sleep(RETRY_S)

    @receive
    def accept(self, request: _Accept) -> None:
        """A run that was asked for has a package."""
        record = self._record(request.name)
        package = request.package
        if package.state == "archived":
            raise Refused("invalid", f"{package.strategy_id} is archived", "strategy_id")
        record.accept(package)

    async def _bring_up(self, record: Record) -> None:
        """Start the branch of a record. Raises Refused, except that a trusted strategy's failure is noted."""
        try:
            await self.lookup(STRATEGIES).ask(StartChild(record.spec()), START_S)
        except Refused as refused:
            if refused.code in ("already_started", "restarting"):
                return
            if refused.code in ("start_failed", "invalid"):
                failed = RunFailed(name=record.entry.name, version="", code="invalid", reason=refused.message)
                self._fail(record, failed)
                return
            if record.configured:
                self.after(RETRY_S, StartAll())
                return
            raise
        except Unknown:
            self.after(RETRY_S, StartAll())
        finally:
            record.starting = False

    @receive
    def withdraw(self, message: _Withdraw) -> None:
        """A run that was asked for did not come to be: as if nobody had asked, but for the reason."""
        record = self.records.get(message.name)
        if record is None:
            return
        self._fail(record, RunFailed(name=message.name, version="", code="unavailable", reason=message.reason))

    @receive
    def stop_one(self, request: StopStrategy) -> None:
        """End a strategy."""
        record = self._record(request.strategy_id)
        if not record.wanted:
            raise Refused("not_running", f"{request.strategy_id} does not run", "strategy_id")
        record.wanted = False
        self.answer_later(self._stop_asked, request.strategy_id)

    async def _stop_asked(self, name: str) -> StrategyStopped:
        await self._end_branch(name)
        return await self.ref.ask(_Stopped(name))

    @receive
    def stopped(self, request: _Stopped) -> StrategyStopped:
        """Note that a strategy was stopped."""
        record = self._record(request.name)
        record.up = False
        self._note(record, "stopped")
        self._announce(record)
        return StrategyStopped(request.name, record.execution_id, self.clock.now())

    async def _end_branch(self, name: str) -> None:
        try:
            await self.lookup(STRATEGIES).ask(TerminateChild(name), START_S)
        except Refused as refused:
            if refused.code not in ("not_found", "stopped", "not_started"):
                self.logger.warning("the branch was not ended", strategy=name, error=str(refused))
        except Unknown as error:
            self.logger.warning("the branch was not ended", strategy=name, error=str(error))

    @receive
    def configure(self, request: ConfigureStrategy) -> None:
        """Change a running strategy."""
        record = self._record(request.strategy_id)
        if not record.up:
            raise Refused("not_running", f"{request.strategy_id} does not run", "strategy_id")
        if not record.sandboxed:
            raise Refused("not_supported", "a strategy that runs in the node is changed in its configuration")
        self.answer_later(self._configure, record, request)

    async def _configure(self, record: Record, request: ConfigureStrategy) -> StrategyConfigured:
        name = record.entry.name
        settings = record.settings(self.defaults, msgspec.json.decode(request.settings))
        done = await self._runner(name).ask(ConfigureRun(settings, request.parameters), START_S)
        await self.ref.ask(_Changed(name, request.settings, request.parameters, done.parameters))
        return StrategyConfigured(name, self.clock.now(), done.parameters)

    @receive
    def changed(self, request: _Changed) -> None:
        """Keep what a runner has taken, for its next life and the node's."""
        record = self._record(request.name)
        record.configure(request.settings, request.parameters)
        record.parameters = request.in_force
        self._note(record, "configured")

    @receive
    def lift(self, request: LiftBar) -> None:
        """Let a barred strategy be started again."""
        record = self._record(request.strategy_id)
        if not record.barred:
            raise Refused("not_barred", f"{request.strategy_id} is not barred", "strategy_id")
        record.lift()
        self._note(record, "lifted")
        self._announce(record)

    # What runners say.

    @receive
    def tell_run(self, request: GetRun) -> Run:
        """What a runner is to run."""
        record = self._record(request.name)
        if record.package is None or not record.wanted:
            raise Refused("unavailable", f"{request.name} is not to run")
        return record.run(self.limits, self.defaults)

    @receive
    def loaded(self, message: RunLoaded) -> None:
        """A runner runs."""
        record = self.records.get(message.name)
        if record is None or not record.wanted:
            return
        swapped = bool(record.version) and record.version != message.version and record.up
        record.loaded(message)
        if swapped:
            self._note(record, "swapped")
        elif not record.begun or (record.configured and not record.events):
            record.begun = True
            self._note(record, "started")  # from here on it is to run, also after a restart
        record.settled.set()
        self._announce(record)

    @receive
    def failed(self, message: RunFailed) -> None:
        """A runner cannot go on."""
        record = self.records.get(message.name)
        if record is not None and record.wanted:
            self._fail(record, message)

    def _fail(self, record: Record, message: RunFailed, *, barred: bool = False) -> None:
        record.fail(message.code, message.reason, message.field, barred=barred)
        name = record.entry.name
        self.spawn(self._end_branch, name, name=f"end {name}")
        if not record.begun and not record.known:
            del self.records[name]
            return
        self.logger.error("the strategy has ended", strategy=name, why=message.reason)
        self._note(record, "barred" if barred else "failed", message.reason)
        self._announce(record)

    @receive
    def killed(self, request: ReportKill) -> Sentence:
        """A worker has ended: say what follows."""
        record = self._record(request.name)
        sentence = record.kills.ended(request.cause, request.detail, self.clock.monotonic())
        record.last_error = sentence.reason
        if sentence.action == "bar" and record.wanted:
            failed = RunFailed(name=request.name, version=request.version, code="barred", reason=sentence.reason)
            self._fail(record, failed, barred=True)
        return sentence

    @receive
    def keep_state(self, message: KeepState) -> None:
        """Keep a strategy's state for its next life."""
        record = self.records.get(message.name)
        if record is not None:
            record.state = message.state

    @receive
    def keep_gate(self, message: KeepGate) -> None:
        """Keep what has left a strategy: its cooldowns go on."""
        record = self.records.get(message.name)
        if record is not None:
            record.gate, record.count = message.gate, message.count

    @receive
    def swap_failed(self, message: SwapFailed) -> None:
        """A runner goes on with the version it had."""
        record = self.records.get(message.name)
        if record is not None:
            record.last_error = f"version {message.version} is not taken: {message.reason}"
            self.logger.warning("a version is not taken", strategy=message.name, version=message.version,
                                why=message.reason)  # fmt: skip

    @receive
    def package_changed(self, message: PackageChanged) -> None:
        """There is a new version of a strategy that runs, or that was barred."""
        if message.removed:
            return  # who runs it goes on
        for record in self.records.values():
            entry = record.entry
            if entry.strategy != message.strategy_id or entry.source != message.source:
                continue
            if record.barred and record.version != message.version:
                record.lift()
                record.wanted = True
                self._note(record, "lifted")
                self.ref.tell(StartAll())
            elif record.wanted and record.up:
                self.spawn(self._swap, record, message.version, name=f"swap {entry.name}")

    async def _swap(self, record: Record, version: str) -> None:
        entry = record.entry
        try:
            package = await self.lookup(LIBRARY).ask(GetPackage(entry.strategy, entry.source, version), PACKAGE_S)
        except (Refused, Unknown) as error:
            self.ref.tell(SwapFailed(entry.name, version, str(error)))
            return
        record.next_package = package
        self._runner(entry.name).tell(SwapPackage(package))

    @receive
    def terminated(self, message: Terminated) -> None:
        """Note the end of a runner, of its supervisor, or of the parent of all."""
        if message.incarnation.count == 0:
            return  # so far, nobody has lived there
        if message.path == STRATEGIES:
            self.after(RETRY_S, StartAll())
            return
        name, _, runner = message.path.removeprefix(f"{STRATEGIES}/").partition("/")
        record = self.records.get(name)
        if record is None:
            return
        reason = message.reason
        if runner:
            record.up = False
        if isinstance(reason, Crashed) and runner:
            record.crashed(f"{reason.error}: {reason.text}")
        elif isinstance(reason, Killed) and runner:
            record.crashed(f"killed {reason.detail}".rstrip())
        elif message.final and not runner and isinstance(reason, Shutdown) and reason.detail and record.wanted:
            # An orderly stop has no detail.
            why = record.last_error or reason.detail
            self._fail(record, RunFailed(name=name, version=record.version, code="gave_up", reason=why))
            return
        self._announce(record)

    # After a restart of the node.

    async def _remember(self) -> None:
        """What ran before, as soon as the database has it."""
        last = self.log.last_seq(STRATEGY_RUNS)
        try:
            rows = await read_stream(self.lookup(QUERIES), StrategyRunRow, STRATEGY_RUNS, last)
        except (StreamIncomplete, Refused) as error:
            self.logger.warning("what ran before is not known in full", error=str(error))
            rows = ()
        self.ref.tell(_Restore(rows))

    @receive
    def restore(self, message: _Restore) -> None:
        """Run again what ran; those of the configuration are as they say now, but stay barred."""
        for name, known in remembered(message.rows).items():
            record = self.records.get(name)
            if record is not None and record.configured:
                continue
            if record is None:
                record = self.records[name] = Record(msgspec.convert(known.entry, Entry), configured=False)
                record.restore(known)
                record.events.extend((row.ts, row.event) for row in message.rows if row.strategy_id == name)
                self._watch(name)
        self.restored = True
        self.ref.tell(StartAll())

    # What is told of it.

    @receive
    def list_all(self, request: ListStrategies) -> None:
        """Say how the strategies are."""
        if request.strategy_id:
            self._record(request.strategy_id)
        self.answer_later(self._list, request.strategy_id)

    @receive
    def history(self, request: GetRunHistory) -> RunHistory:
        """Say what happened to a strategy."""
        return RunHistory(tuple(self._record(request.strategy_id).events))

    @receive
    def states(self, request: GetStrategyStates) -> StrategyStates:
        """Say which status each strategy has."""
        wanted = [self._record(request.strategy_id)] if request.strategy_id else self.records.values()
        return StrategyStates(tuple(record.change(self.clock.now()) for record in wanted))

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Degraded when a strategy has ended by failing."""
        records = self.records.values()
        failed = [record.entry.name for record in records if record.failure]
        return ProbeReport(
            "degraded" if failed else "ok",
            f"ended by failing: {', '.join(failed)}" if failed else "",
            figures=(
                ("strategies", len(records)),
                ("active", sum(record.status == "active" for record in records)),
                ("barred", sum(record.barred for record in records)),
                ("kills", sum(record.kills.kills for record in records)),
                ("crashes", sum(record.crashes for record in records)),
            ),
        )

    async def _list(self, strategy_id: str) -> StrategyList:
        wanted = [self.records[strategy_id]] if strategy_id else list(self.records.values())
        runners: dict[str, RunnerStatus] = {}

        async def ask(name: str) -> None:
            try:
                runners[name] = await self._runner(name).ask(GetRunnerStatus(), ASK_S)
            except (Refused, Unknown):
                return  # it does not run, or is so busy that the answer is left out

        async with trio.open_nursery() as nursery:
            for record in wanted:
                if record.wanted:
                    nursery.start_soon(ask, record.entry.name)
        return StrategyList(tuple(_status(record, runners.get(record.entry.name)) for record in wanted))

    # Details.

    def _record(self, name: str) -> Record:
        record = self.records.get(name)
        if record is None:
            raise Refused("not_found", f"there is no strategy {name!r}", "strategy_id")
        return record

    def _runner(self, name: str) -> ActorRef:
        return self.lookup(f"{STRATEGIES}/{name}/{RUNNER}")

    def _watch(self, name: str) -> None:
        self.watch(self.lookup(f"{STRATEGIES}/{name}"))
        self.watch(self._runner(name))

    def _note(self, record: Record, event: Event, reason: str = "") -> None:
        """Put what has happened into the log: it survives this process."""
        record.events.append((self.clock.now(), event))
        if record.configured:
            return
        row = StrategyRunRow(
            stream=STRATEGY_RUNS,
            seq=self.log.last_seq(STRATEGY_RUNS) + 1,
            ts=self.clock.now(),
            strategy_id=record.entry.name,
            event=event,
            source=source_name(record),
            version=record.version,
            execution_id=record.execution_id,
            reason=reason[:2000],
            entry=msgspec.Raw(msgspec.json.encode(record.entry)),
        )
        self.log.append(row)

    def _announce(self, record: Record) -> None:
        """Tell everybody when a strategy has another status than before."""
        status: StrategyState = record.status
        if status != record.told:
            record.told = status
            self.publish(record.change(self.clock.now()))
        counts = Counter(each.status for each in self.records.values())
        for state in get_args(StrategyState):
            self.gauge.labels(state).set(counts[state])


def _status(record: Record, runner: RunnerStatus | None) -> StrategyStatus:
    entry = record.entry
    return StrategyStatus(
        entry.name,
        entry.strategy,
        entry.markets,
        record.status,
        record.execution_id if runner is None else f"{entry.name}@{runner.incarnation}",
        runner.ts_started if runner is not None else 0,
        runner.ts_last_execution if runner is not None else 0,
        runner.signals_generated if runner is not None else 0,
        record.crashes + (runner.errors if runner is not None else 0),
        (runner.last_error if runner is not None else "") or record.failure or record.last_error,
        runner.figures if runner is not None else (),
        source_name(record),
        record.version,
        record.parameters or EMPTY,
        record.failure if record.barred else "",
    )
