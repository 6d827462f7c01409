"""The roster: starts the strategies of the configuration, keeps account of their ends, and lists them.

Each strategy has a supervisor of its own, `/strategies/<name>`, with the runner beneath it: one that crashes again and
again ends alone, with status `error`, and no other notices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from actors.strategies.status import (
    GetRunnerStatus,
    ListStrategies,
    RunnerStatus,
    StrategyList,
    StrategyState,
    StrategyStatus,
)
from protocols.control import Crashed, Killed, Message, Probe, ProbeReport, Refused, Shutdown, Terminated, Unknown
from protocols.paths import STRATEGIES
from runtime import Actor, Backoff, ChildSpec, Restart, RestartLimit, StartChild, WhichChildren, receive, supervisor

RUNNER: Final = "runner"
LIMIT: Final = RestartLimit(count=5, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.1, most_s=1.0)
START_S: Final = 15.0
ASK_S: Final = 1.0
RETRY_S: Final = 0.2


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One strategy as it is to be run; the fields are the arguments of `StrategyRunner`."""

    name: str
    strategy: str
    markets: tuple[str, ...] = ()
    parameters: dict[str, Any] = {}
    exchange: str = ""
    exchanges: dict[str, str] = {}

    def spec(self) -> ChildSpec:
        """Its branch of the tree."""
        runner = ChildSpec(
            name=RUNNER, actor="actors.strategies.runner:StrategyRunner", arguments=msgspec.structs.asdict(self)
        )
        return supervisor(self.name, runner, restart=Restart.TRANSIENT, limit=LIMIT, backoff=BACKOFF)


class _Record:
    """What is known of a strategy beside what its runner says."""

    __slots__ = ("crashes", "entry", "given_up", "last_error")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.crashes = 0
        self.last_error = ""
        self.given_up = False


class StartAll(Message, frozen=True, gc=False, tag="start_strategies"):
    """Start what does not run."""


class Roster(Actor):
    """Starts and lists strategies. `strategies`: entries, or dicts with their fields."""

    def __init__(self, strategies: Sequence[dict[str, Any] | Entry]) -> None:
        entries = (each if isinstance(each, Entry) else msgspec.convert(each, Entry) for each in strategies)
        self.records = {entry.name: _Record(entry) for entry in entries}

    def on_start(self) -> None:
        """Watch everything that may end."""
        self.watch(self.lookup(STRATEGIES))
        for name in self.records:
            self.watch(self.lookup(f"{STRATEGIES}/{name}"))
            self.watch(self.lookup(f"{STRATEGIES}/{name}/{RUNNER}"))

    async def on_continue(self) -> None:
        """Start all strategies; who asks meanwhile waits."""
        await self._start()

    @receive
    async def start(self, message: StartAll) -> None:
        """Start what does not run."""
        await self._start()

    @receive
    def terminated(self, message: Terminated) -> None:
        """Note the end of a runner, of its supervisor, or of the parent of all."""
        if message.incarnation.count == 0:
            return  # so far, nobody has lived there
        if message.path == STRATEGIES:
            self.after(RETRY_S, StartAll())
            return
        name, _, runner = message.path.removeprefix(f"{STRATEGIES}/").partition("/")
        record = self.records[name]
        reason = message.reason
        if isinstance(reason, Crashed) and runner:
            record.crashes += 1
            record.last_error = f"{reason.error}: {reason.text}"
        elif isinstance(reason, Killed) and runner:
            record.crashes += 1
            record.last_error = f"killed {reason.detail}".rstrip()
        elif message.final and not runner and isinstance(reason, Shutdown) and reason.detail:
            record.given_up = True  # an orderly stop has no detail
            self.logger.error("the strategy has ended", strategy=name, why=reason.detail)

    @receive
    async def list_all(self, request: ListStrategies) -> StrategyList:
        """Say how the strategies are."""
        if request.strategy_id and request.strategy_id not in self.records:
            raise Refused("not_found", f"there is no strategy {request.strategy_id!r}", "strategy_id")
        wanted = [request.strategy_id] if request.strategy_id else list(self.records)
        return StrategyList(tuple([await self._status(self.records[name]) for name in wanted]))

    @receive
    async def probe(self, request: Probe) -> ProbeReport:
        """Degraded when a strategy has ended by failing."""
        found = (await self.list_all(ListStrategies())).strategies
        failed = [each.strategy_id for each in found if each.status == "error"]
        return ProbeReport(
            "degraded" if failed else "ok",
            f"ended by failing: {', '.join(failed)}" if failed else "",
            figures=(
                ("strategies", len(found)),
                ("active", sum(each.status == "active" for each in found)),
                ("signals_generated", sum(each.signals_generated for each in found)),
                ("errors", sum(each.error_count for each in found)),
            ),
        )

    async def _start(self) -> None:
        parent = self.lookup(STRATEGIES)
        again = False
        for name, record in self.records.items():
            if record.given_up:
                continue
            try:
                await parent.ask(StartChild(record.entry.spec()), START_S)
            except Refused as refused:
                if refused.code in ("start_failed", "invalid"):
                    record.given_up = True
                    record.last_error = refused.message
                    self.logger.warning("the strategy does not start", strategy=name, error=refused.message)
                elif refused.code not in ("already_started", "restarting"):
                    again = True
            except Unknown:
                again = True
        if again:
            self.after(RETRY_S, StartAll())

    async def _status(self, record: _Record) -> StrategyStatus:
        path = f"{STRATEGIES}/{record.entry.name}"
        status: StrategyState = "error" if record.given_up else "inactive"
        runner: RunnerStatus | None = None
        try:
            [child] = await self.lookup(path).ask(WhichChildren(), ASK_S)
            status = "paused" if child.state == "paused" else "loading"
            if child.state == "up":
                runner = await self.lookup(f"{path}/{RUNNER}").ask(GetRunnerStatus(), ASK_S)
                status = "active"
        except (Refused, Unknown):
            pass  # it does not run, or is so busy that the answer is left out
        entry = record.entry
        last_error = runner.last_error if runner is not None else ""
        return StrategyStatus(
            entry.name,
            entry.strategy,
            entry.markets,
            status,
            f"{entry.name}@{runner.incarnation}" if runner is not None else "",
            runner.ts_started if runner is not None else 0,
            runner.ts_last_execution if runner is not None else 0,
            runner.signals_generated if runner is not None else 0,
            record.crashes + (runner.errors if runner is not None else 0),
            last_error or record.last_error,
            runner.figures if runner is not None else (),
        )
