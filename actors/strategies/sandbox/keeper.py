"""The keeper of the sandbox, `/sandbox`: the zygote that workers are forked from, and what this machine holds.

At its start it finds out what really holds here (`probe`); with the first worker that somebody asks for it warms a
zygote, and keeps it. Who asks gets a worker, or a refusal that says why: the sandbox is weaker than the configuration
allows, or the memory of all workers together is used up. When the zygote ends, every worker ends with it; the keeper is
then restarted, and so are they.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec
import trio

from actors.strategies.package import SANDBOX as SANDBOX
from actors.strategies.package import CheckCode, CodeChecked
from actors.strategies.sandbox.control import Limits
from actors.strategies.sandbox.probe import Level, ProbeResult, probe
from actors.strategies.sandbox.wire import Failed, Load, Problem, Ready, Rejected
from actors.strategies.sandbox.worker import Worker, WorkerEnded
from actors.strategies.sandbox.zygote import Zygote, ZygoteFailed
from protocols.control import Probe, ProbeReport, Refused, Request
from runtime import Actor, Mailbox, receive
from runtime.process import NotReady

LEVELS: Final[tuple[Level, ...]] = ("degraded", "standard", "full")
OVERHEAD_MB: Final = 12
"""What a worker may take beyond its strategy's limit."""
RECYCLE_FORKS: Final = 10_000
"""All children of a zygote share the layout of its memory and its hash secret; so it does not live for ever."""
START_S: Final = 20.0
NO_PARAMETERS: Final = msgspec.Raw(msgspec.msgpack.encode({}))


class SandboxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[sandbox]`: what strategies from outside may use, and how strong the walls have to be."""

    min_level: Literal["standard", "degraded"] = "standard"
    """Below it no code of others is run. With `degraded` the operator's own (source `folder`) is, with a warning."""
    memory_mb: Annotated[int, msgspec.Meta(ge=16, le=65_536)] = 256
    """What a strategy may allocate; exact. In MiB."""
    call_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 1.0
    """How long one call may take, in seconds of wall time. Then the worker is killed."""
    load_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 5.0
    """How long reading, checking and building a strategy may take, in seconds."""
    cpu_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.25
    """Of one processor, averaged over a minute. Who uses more is killed."""
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 5
    """Niceness of workers: the node goes first."""
    log_bytes: Annotated[int, msgspec.Meta(ge=0, le=16_777_216)] = 65_536
    """Of log text a minute and strategy; more is cut, and counted."""
    total_memory_mb: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Of all workers together, in MiB; 0: three quarters of the machine's."""
    error_budget: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 10
    """More exceptions than this within an hour end a strategy."""


class OpenWorker(Request[Any], frozen=True, gc=False, kw_only=True, tag="open_worker"):
    """Asks for a locked worker (inside this node only). The answer is a `Worker`; who asked closes it.

    `own`: the code is the operator's own. Refused `sandbox_too_weak`, `no_memory`, `unavailable`.
    """

    name: str
    own: bool = False


class SandboxKeeper(Actor):
    """Keeps the zygote. The arguments are those of `SandboxSettings`."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=1024)
    later_capacity: ClassVar[int] = 512
    known: ClassVar[ProbeResult | None] = None
    """What was found out; it stays so for as long as the process lives."""

    def __init__(self, **settings: Any) -> None:
        self.settings = msgspec.convert(settings, SandboxSettings)
        self.limits = Limits(memory_mb=self.settings.memory_mb)
        self.total_mb = self.settings.total_memory_mb or _machine_memory_mb() * 3 // 4
        self.found: ProbeResult | None = None
        self.zygote: Zygote | None = None
        self.workers: set[Worker] = set()
        self.forks = self.refused = 0
        self.turn = trio.Lock()

    async def on_continue(self) -> None:
        """Find out what holds; who asks for a worker waits."""
        self.found = SandboxKeeper.known
        if self.found is None:
            try:
                self.found = SandboxKeeper.known = await probe()
            except (ZygoteFailed, NotReady, OSError) as error:
                # The node does without: whoever wants a worker is told why there is none.
                self.found = ProbeResult("degraded", (), (f"no worker can be made: {error}",), (), 0)
        if self.found.level == "degraded":
            self.logger.warning("the sandbox is degraded", missing="; ".join(self.found.missing))

    async def on_stop(self, reason: object) -> None:
        """End the zygote, and every worker with it."""
        if self.zygote is not None:
            await self.zygote.close()

    @receive
    def open_worker(self, request: OpenWorker) -> None:
        """Fork a worker."""
        self.answer_later(self._open, request.name, request.own)

    @receive
    def check(self, request: CheckCode) -> None:
        """Check a source in a worker of its own; nothing of it runs in the node."""
        self.answer_later(self._check, request)

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """The level, and how many workers there are."""
        found = self.found
        if found is None:
            return ProbeReport("degraded", "the sandbox is being examined", ready=False)
        weak = LEVELS.index(found.level) < LEVELS.index("standard")
        self._forget_ended()
        return ProbeReport(
            "degraded" if weak else "ok",
            f"level {found.level}: {'; '.join(found.missing)}" if weak else "",
            figures=(
                ("level", found.level),
                ("missing", "; ".join(found.missing)),
                ("min_level", self.settings.min_level),
                ("workers", len(self.workers)),
                ("forks", self.forks),
                ("refused", self.refused),
                ("memory_mb", self._promised_mb()),
                ("memory_mb_most", self.total_mb),
            ),
        )

    async def _warm(self) -> Zygote:
        """A zygote with everything imported that a strategy may want; it takes about half a second."""
        try:
            zygote = await Zygote.start(nice=self.settings.nice)
        except (ZygoteFailed, NotReady, OSError) as error:
            raise Refused("unavailable", f"no zygote: {error}") from error
        self.zygote = zygote
        self.spawn(zygote.watch, name="zygote")
        return zygote

    async def _open(self, name: str, own: bool) -> Worker:
        found = self.found
        assert found is not None
        if LEVELS.index(found.level) < LEVELS.index("standard") and not (own and self.settings.min_level == "degraded"):
            self.refused += 1
            raise Refused(
                "sandbox_too_weak",
                f"the sandbox of this machine is {found.level} ({'; '.join(found.missing)}), and code of others needs "
                "standard",
            )
        self._forget_ended()
        if self._promised_mb() + self.settings.memory_mb + OVERHEAD_MB > self.total_mb:
            self.refused += 1
            raise Refused(
                "no_memory",
                f"{len(self.workers)} workers may use {self._promised_mb()} MiB, and all together {self.total_mb}",
            )
        async with self.turn:
            zygote = self.zygote or await self._warm()
            if zygote.forks >= RECYCLE_FORKS:
                self.spawn(self._retire, zygote, name="retire")
                zygote = await self._warm()
            try:
                worker = await zygote.create(name, self.limits)
            except ZygoteFailed as error:
                raise Refused("unavailable", f"no worker: {error}") from error
        self.forks += 1
        self.workers.add(worker)
        return worker

    async def _retire(self, old: Zygote) -> None:
        await old.drain()
        await old.close()

    async def _check(self, request: CheckCode) -> CodeChecked:
        try:
            worker = await self._open("check", own=True)
        except Refused as refused:
            if refused.code == "sandbox_too_weak":
                raise
            raise Refused("unavailable", refused.message) from refused
        try:
            load = Load(
                1, "check", "", request.filename, request.code, (("CHECK", "1m"),), NO_PARAMETERS, 200, True,
                now=self.clock.now(),
            )  # fmt: skip
            reply = await worker.call(load, self.settings.load_s)
        except WorkerEnded as ended:
            return CodeChecked((Problem(ended.cause, f"reading it ended the worker: {ended}"),), (), "")
        finally:
            await worker.close()
        if isinstance(reply, Rejected):
            return CodeChecked(reply.problems, (), "")
        if isinstance(reply, Failed):
            problem = Problem("error", f"building it failed: {reply.error}: {reply.message}", reply.line)
            return CodeChecked((problem,), (), "")
        assert isinstance(reply, Ready)
        return CodeChecked((), reply.parameters, reply.contract)

    def _forget_ended(self) -> None:
        self.workers = {worker for worker in self.workers if worker.ended is None}

    def _promised_mb(self) -> int:
        return len(self.workers) * (self.settings.memory_mb + OVERHEAD_MB)


def _machine_memory_mb() -> int:
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) >> 20
