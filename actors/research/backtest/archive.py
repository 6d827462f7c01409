"""Backtests in the database: the newest row of each job after a start, and the trials of a family.

A row that was accepted is in the node's log, and the writer moves it to the database a moment later: who reads there
what was just written waits for it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from actors.research.backtest.family_ledger import Trial, distinct
from actors.storage.streams import read_settled
from protocols.backtests import JOBS, TRIALS, BacktestJobRow, BacktestTrialRow
from protocols.storage import PAGE, RunQuery
from runtime import ActorRef

QUERY_S: Final = 10.0
JOBS_PAGE: Final = 50
"""Of rows with a strategy's code in each."""
_COLUMNS: Final = ", ".join(BacktestJobRow.__struct_fields__)
_NEWEST: Final = f"""
    SELECT DISTINCT ON (job_id) {_COLUMNS} FROM backtest_jobs
    WHERE stream = $1 AND job_id > $2 ORDER BY job_id, seq DESC
"""  # noqa: S608 - names of columns from our own struct
_TRIALS: Final = """
    SELECT seq, trial FROM backtest_trials WHERE stream = $1 AND family = $2 AND seq > $3 ORDER BY seq
"""


class _Found(msgspec.Struct):
    seq: int
    trial: Trial


async def read_newest(queries: ActorRef, last_seq: int, patience_s: float) -> tuple[tuple[BacktestJobRow, ...], str]:
    """The newest row of every job, once the database has all rows up to `last_seq`; and what is missing, if any is.

    As `read_settled`.
    """
    if last_seq == 0:
        return (), ""
    return await read_settled(queries, BacktestJobRow, JOBS, last_seq, lambda: _newest(queries), patience_s)


async def trials_of(queries: ActorRef, family: str, last_seq: int, patience_s: float) -> tuple[tuple[Trial, ...], str]:
    """The trials of a family, each once, all that the log has accepted up to `last_seq`. As `read_settled`."""
    if last_seq == 0:
        return (), ""
    return await read_settled(queries, BacktestTrialRow, TRIALS, last_seq, lambda: _trials(queries, family), patience_s)


async def _newest(queries: ActorRef) -> tuple[BacktestJobRow, ...]:
    found: list[BacktestJobRow] = []
    while True:
        behind = found[-1].job_id if found else ""
        asked = RunQuery(_NEWEST, (JOBS, behind), JOBS_PAGE)
        page = (await queries.ask(asked, QUERY_S)).into(BacktestJobRow)
        found += page
        if len(page) < JOBS_PAGE:
            return tuple(found)


async def _trials(queries: ActorRef, family: str) -> tuple[Trial, ...]:
    found: list[Trial] = []
    place = 0
    while True:
        page = (await queries.ask(RunQuery(_TRIALS, (TRIALS, family, place), PAGE), QUERY_S)).into(_Found)
        found += [each.trial for each in page]
        if len(page) < PAGE:
            return tuple(distinct(found))
        place = page[-1].seq
