"""Alerts read back from the database: those that are active, and those that were resolved lately."""

from __future__ import annotations

from typing import Final

from actors.monitor.alerts.ledger import alert_of
from actors.storage.streams import QUERY_S, read_settled
from protocols.alerts import ALERTS_STREAM, Alert, AlertRow
from protocols.storage import PAGE, RunQuery
from runtime import ActorRef

PATIENCE_S: Final = 30.0
MOST_PAGES: Final = 10
_COLUMNS: Final = ", ".join(AlertRow.__struct_fields__)
_NEWEST: Final = (
    f"SELECT {_COLUMNS} FROM (SELECT DISTINCT ON (alert_id) * FROM alerts WHERE stream = $1 AND seq <= $2 "  # noqa: S608
    "ORDER BY alert_id, seq DESC) newest WHERE (NOT resolved OR ts > $3) AND seq < $4 ORDER BY seq DESC"
)


async def read_alerts(queries: ActorRef, last_seq: int, after: int) -> tuple[tuple[Alert, ...], str]:
    """Active alerts and those resolved after a time (ns), once the database has all rows up to `last_seq`.

    Also what is missing, if the database does not get the last rows. Waits for as long as there is no database. Raises
    Refused `query_failed`, msgspec.ValidationError.
    """
    if last_seq == 0:
        return (), ""

    async def read() -> tuple[Alert, ...]:
        found: list[AlertRow] = []
        before = last_seq + 1
        for _ in range(MOST_PAGES):
            answer = await queries.ask(RunQuery(_NEWEST, (ALERTS_STREAM, last_seq, after, before), PAGE), QUERY_S)
            page = answer.into(AlertRow)
            found += page
            if len(page) < PAGE:
                break
            before = page[-1].seq
        return tuple(map(alert_of, found))

    return await read_settled(queries, AlertRow, ALERTS_STREAM, last_seq, read, PATIENCE_S)
