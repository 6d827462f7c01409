"""After a start: what lives before have left is read, and made a ledger of."""

from __future__ import annotations

from typing import Any, Final

import trio

from actors.storage.streams import read_settled
from actors.thresholds.intake import history
from actors.thresholds.intake.history import Recalled
from actors.thresholds.intake.ledger import Ledger
from actors.thresholds.intake.messages import Recovered
from protocols.control import Refused
from protocols.execution import OUTCOMES
from protocols.signals import SIGNALS
from protocols.threshold_outcomes import THRESHOLD_INTAKE, THRESHOLD_PROGRESS, IntakeRow
from runtime import ActorRef
from runtime.log import NodeLog

PATIENCE_S: Final = 30.0
RETRY_S: Final = 0.5


async def recover(log: NodeLog, queries: ActorRef, logger: Any) -> Recovered:
    """What there is, once the database has all that the log had; it is waited for."""
    last, fresh = log.last_seq(THRESHOLD_INTAKE), not log.last_seq(THRESHOLD_PROGRESS)
    if not last and fresh:
        # Nothing was ever learned here: what came before is no evidence that thresholds have let through.
        return Recovered(Recalled(0, log.last_seq(OUTCOMES), log.last_seq(SIGNALS), 0, True, (), (), (), ()))

    async def read() -> Recalled:
        while True:
            try:
                return await history.recall(queries)
            except Refused as refused:
                logger.info("outcomes wait for the database", why=refused.message)
                await trio.sleep(RETRY_S)

    recalled, remark = await read_settled(queries, IntakeRow, THRESHOLD_INTAKE, last, read, PATIENCE_S)
    return Recovered(recalled, remark)


def ledger_of(recalled: Recalled) -> Ledger:
    """The ledger as it was."""
    ledger = Ledger()
    ledger.told, ledger.last = recalled.told, recalled.last
    ledger.done.all = ledger.trades.all = recalled.whole
    ledger.poor = {(user, symbol): poor for user, symbol, poor in recalled.poor}
    for seq, kind, user, signal, trade in recalled.done:
        if kind == "trade":
            ledger.trades.add((user, trade), seq)
        if signal:
            ledger.done.add((user, signal), seq)
    for row in sorted((*recalled.open, *recalled.untold), key=lambda each: each.seq):
        ledger.take(row)
    return ledger
