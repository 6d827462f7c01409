"""What runners and the library tell the roster: a strategy runs, has failed, was killed, or has another version."""

from __future__ import annotations

from typing import Any, Final

from actors.strategies.package import LIBRARY, GetPackage, PackageChanged
from actors.strategies.records import RUNNER, Record
from actors.strategies.roster_listing import RunListing
from actors.strategies.sandbox.keeper import SandboxSettings
from actors.strategies.sandbox.policy import Sentence
from actors.strategies.status import (
    GetRun,
    KeepGate,
    KeepState,
    ReportKill,
    Run,
    RunFailed,
    RunLoaded,
    SwapFailed,
    SwapPackage,
)
from protocols.control import (
    Crashed,
    Killed,
    Message,
    Refused,
    Shutdown,
    Terminated,
    Unknown,
)
from protocols.paths import STRATEGIES
from runtime import TerminateChild, receive

START_S: Final = 15.0
RETRY_S: Final = 0.2
PACKAGE_S: Final = 10.0


class StartAll(Message, frozen=True, gc=False, tag="start_strategies"):
    """Start what does not run and should."""


class RunReports(RunListing):
    """Keeps account of what becomes of the strategies."""

    limits: SandboxSettings
    defaults: dict[str, Any]
    """Of the fields of `RunSettings`, for runs that do not say them."""

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
        if message.replica:
            self.watch(self.lookup(f"{STRATEGIES}/{message.name}/{RUNNER}/{message.replica}"))
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
        if runner == RUNNER:  # the others of its replicas go on without one of them
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

    async def _end_branch(self, name: str) -> None:
        try:
            await self.lookup(STRATEGIES).ask(TerminateChild(name), START_S)
        except Refused as refused:
            if refused.code not in ("not_found", "stopped", "not_started"):
                self.logger.warning("the branch was not ended", strategy=name, error=str(refused))
        except Unknown as error:
            self.logger.warning("the branch was not ended", strategy=name, error=str(error))
