"""What the roster knows, and what is told of it: lists, states, history, the probe, and the rows that outlive it."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Final, get_args

import msgspec
import trio

from actors.strategies.records import RUNNER, Record, source_name
from actors.strategies.replica_statuses import together
from actors.strategies.run_rows import STRATEGY_RUNS, Event, StrategyRunRow
from actors.strategies.status import (
    EMPTY,
    GetRunHistory,
    GetRunnerStatus,
    ListStrategies,
    RunHistory,
    RunnerStatus,
    StrategyList,
    StrategyStatus,
)
from protocols.control import (
    Probe,
    ProbeReport,
    Refused,
    Unknown,
)
from protocols.paths import STRATEGIES
from protocols.strategies import GetStrategyStates, StrategyState, StrategyStates
from runtime import Actor, ActorRef, WhichChildren, receive

ASK_S: Final = 1.0


class RunListing(Actor):
    """Knows the strategies of the node, and answers who asks for them."""

    later_capacity: ClassVar[int] = 256

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}

    def begin_listing(self) -> None:
        """Count from now on."""
        self.gauge = self.node.metrics.gauge("troupe_strategies", "Strategies by status", ("status",))

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
        runners: dict[str, dict[str, RunnerStatus]] = {}

        async def ask(name: str, path: str) -> None:
            try:
                runners.setdefault(name, {})[path] = await self.lookup(path).ask(GetRunnerStatus(), ASK_S)
            except (Refused, Unknown):
                return  # it does not run, or is so busy that the answer is left out

        async def ask_replicas(name: str) -> None:
            try:
                children = await self._runner(name).ask(WhichChildren(), ASK_S)
            except (Refused, Unknown):
                return
            async with trio.open_nursery() as replicas:
                for child in children:
                    replicas.start_soon(ask, name, child.path)

        async with trio.open_nursery() as nursery:
            for record in wanted:
                name = record.entry.name
                if record.wanted and record.entry.divided:
                    nursery.start_soon(ask_replicas, name)
                elif record.wanted:
                    nursery.start_soon(ask, name, self._runner(name).path)
        return StrategyList(tuple(_status(record, runners.get(record.entry.name, {})) for record in wanted))

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


def _status(record: Record, runners: dict[str, RunnerStatus]) -> StrategyStatus:
    entry = record.entry
    runner = together(runners) if runners else None
    return StrategyStatus(
        entry.name,
        entry.strategy,
        entry.markets,
        record.status,
        record.execution_id if runner is None or entry.divided else f"{entry.name}@{runner.incarnation}",
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
