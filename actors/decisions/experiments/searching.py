"""What only the database has of the tests: found there a little at a time, said to the keeper."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from actors.decisions.experiments import history
from actors.decisions.experiments.facts import PREDICTIONS, plan_stream
from actors.decisions.experiments.messages import HistoryEnded, HistoryFound, PlansFound
from protocols.control import Message, Refused
from protocols.experiments import (
    AbTestRow,
    AssignmentRow,
    DecisionOutcomeRow,
    ExperimentPlan,
    ExposureRow,
    ShadowPairRow,
)
from runtime import ActorRef


async def search(
    queries: ActorRef, plans: tuple[ExperimentPlan, ...], older: Mapping[str, int], *, provisional: bool
) -> AsyncIterator[Message]:
    """What was found, the end last. `older`: the streams of which the database has more, and up to where.

    Plans come first and alone: with them everything begins anew. `provisional`: there is one that must be there.
    """
    try:
        rows = await _plans(queries, plans, older, provisional)
        if rows:
            yield PlansFound(rows)
            return
        for plan in plans if older else ():
            yield await _of_plan(queries, plan, older)
        taken = 0
        if DecisionOutcomeRow.table in older:
            found = await history.ask(queries, history.TRADES_TAKEN, (DecisionOutcomeRow.table,))
            taken = found.rows[0][0]
    except Refused as refused:  # the database says when it is back
        yield HistoryEnded(None, refused.message)
    else:
        yield HistoryEnded(taken)


async def _plans(
    queries: ActorRef, plans: tuple[ExperimentPlan, ...], older: Mapping[str, int], provisional: bool
) -> tuple[AbTestRow, ...]:
    wanted = {plan.name: plan_stream(plan.name) for plan in plans if plan_stream(plan.name) in older}
    rows: list[AbTestRow] = []
    for stream in wanted.values():
        rows += await history.stored_rows(queries, AbTestRow, AbTestRow.table, stream, older[stream])
    missing = wanted.keys() - {row.test_name for row in rows}
    if provisional and missing:
        raise Refused("unavailable", f"the database has no plan of {', '.join(sorted(missing))} yet")
    return tuple(rows)


async def _of_plan(queries: ActorRef, plan: ExperimentPlan, older: Mapping[str, int]) -> HistoryFound:
    async def rows(sql: str, stream: str, *more: Any) -> tuple[Any, ...]:
        if stream not in older:
            return ()
        wanted = (queries, sql, plan.name, plan.version, stream, older[stream])
        return tuple([row async for row in history.pages(*wanted, more=more)])

    outcomes = DecisionOutcomeRow.table
    return HistoryFound(
        name=plan.name,
        version=plan.version,
        exposures=await rows(history.EXPOSURES, ExposureRow.table),
        assignments=await rows(history.ASSIGNMENTS, AssignmentRow.table),
        requests=await rows(history.REQUESTS, PREDICTIONS, int(plan.block_s * 1e9), plan.analysis.slow_ns),
        before=await rows(history.BEFORE, outcomes),
        outcomes=await rows(history.OUTCOMES, outcomes),
        pairs=await rows(history.PAIRS, ShadowPairRow.table),
    )
