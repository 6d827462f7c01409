"""The roster: starts strategies, keeps account of what becomes of them, and lists them.

Each strategy has a supervisor of its own, `/strategies/<name>`, with the runner beneath it: one that crashes again and
again ends alone, with status `error`, and no other notices. Those of the configuration run from the start; those that
were started over HTTP are rows of `strategy_runs`, and run again after a restart of the node.

No handler here waits for anybody: what takes time is done by tasks, which tell the roster what they found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec
import trio

from actors.storage.streams import StreamIncomplete, read_stream
from actors.strategies.package import LIBRARY, GetPackage, Package, PackageChanged
from actors.strategies.records import Entry, Record, StrategyPlace, entry_of
from actors.strategies.roster_reports import PACKAGE_S, RETRY_S, START_S, RunReports, StartAll
from actors.strategies.run_rows import STRATEGY_RUNS, StrategyRunRow, remembered
from actors.strategies.sandbox.keeper import SandboxSettings
from actors.strategies.status import (
    ConfigureRun,
    ConfigureStrategy,
    LiftBar,
    RunFailed,
    StartStrategy,
    StopStrategy,
    StrategyConfigured,
    StrategyStarted,
    StrategyStopped,
)
from protocols.control import (
    Message,
    Refused,
    Request,
    Unknown,
)
from protocols.paths import QUERIES, STRATEGIES
from runtime import Mailbox, StartChild, receive

LOAD_S: Final = 30.0


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


class Roster(RunReports):
    """Starts and lists strategies.

    `strategies`: those of the configuration, entries or dicts with their fields. `most`: how many may be started
    beyond them. `venues`: the venue of every market that a feed names; `only`: of all others. `limits`: the fields of
    SandboxSettings. `defaults`: fields of RunSettings, for runs that do not say them. `place`: the fields of
    StrategyPlace.
    """

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=4096)

    def __init__(
        self,
        strategies: Sequence[dict[str, Any] | Entry],
        most: int = 10,
        venues: dict[str, str] | None = None,
        only: str = "",
        limits: dict[str, Any] | None = None,
        defaults: dict[str, Any] | None = None,
        place: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        entries = (each if isinstance(each, Entry) else msgspec.convert(each, Entry) for each in strategies)
        self.records = {entry.name: Record(entry, configured=True) for entry in entries}
        self.most = most
        self.venues = venues or {}
        self.only = only
        self.limits = msgspec.convert(limits or {}, SandboxSettings)
        self.defaults = defaults or {}
        self.place = msgspec.convert(place or {}, StrategyPlace)

    def on_start(self) -> None:
        """Watch everything that may end."""
        self.begin_listing()
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
                self.spawn(self._start_record, record, False, name=f"start {record.entry.name}")

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
            await self._start_record(record, True)
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

    async def _start_record(self, record: Record, asked: bool) -> None:
        """Find the package if one is needed, and bring up the branch.

        Raises Refused if somebody has `asked` for it and waits; else it is tried again, or noted as failed.
        """
        entry = record.entry
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
            await self.lookup(STRATEGIES).ask(StartChild(record.spec(self.place, self.limits)), START_S)
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
        """Run again what ran; those of the configuration are as it says now."""
        for name, known in remembered(message.rows).items():
            record = self.records.get(name)
            if record is not None and record.configured:
                continue
            if record is None:
                record = self.records[name] = Record(msgspec.convert(known.entry, Entry), configured=False)
                record.restore(known)
                record.events.extend((row.ts, row.event) for row in message.rows if row.strategy_id == name)
                self._watch(name)
        self.ref.tell(StartAll())
