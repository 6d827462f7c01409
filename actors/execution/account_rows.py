"""From what came of inputs to rows: each one once, whichever life of the account wrote it."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.execution.accounts.round_trips import ClosedTrade
from actors.execution.accounts.rows import (
    ExecutionEquityRow,
    ExecutionFillRow,
    ExecutionLedgerRow,
    ExecutionOrderRow,
    fills_stream,
    ledger_stream,
    orders_stream,
)
from actors.execution.engine import Engine
from actors.execution.more_rows import ExecutionTradeRow, ExecutionVerdictRow, trade_stream
from protocols.execution import OUTCOMES, OutcomeRow
from protocols.nanos import NANO, decimal_text
from protocols.orders import OrderEvent


class Said(msgspec.Struct):
    """What there is to tell: order events, the last place in the stream of outcomes (0: none), whether money moved."""

    events: list[OrderEvent]
    outcome: int
    money: bool


class RowMaker:
    """Appends rows to the node's log. What has a number that the log has reached is there already."""

    def __init__(self, account: str, log: Any) -> None:
        self.account = account
        self._log = log
        self.told = ""
        """The outcome that a life before has written without its round trip: a kill came between the two."""

    def next_outcome(self) -> str:
        """The id of the first outcome whose round trip is not written."""
        return f"{self.account}-{self._log.last_seq(trade_stream(self.account)) + 1}"

    def keep(self, engine: Engine) -> Said:
        """Take everything from the engine, and write what is new."""
        # A replay makes all of it again: what is there already is not made a row of.
        known = self._log.last_seq
        orders, fills = known(orders_stream(self.account)), known(fills_stream(self.account))
        postings = known(ledger_stream(self.account))
        events = engine.take_events()
        for event in events:
            if event.seq > orders:
                self._log.append(ExecutionOrderRow.of(event))
            if event.fill is not None and event.fill.seq > fills:
                self._log.append(ExecutionFillRow.of(event.fill))
        entries = engine.take_entries()
        for entry in entries:
            if entry.before + len(entry.postings) <= postings:
                continue
            for posting in ExecutionLedgerRow.of(self.account, entry):
                if self._new(posting):
                    self._log.append(posting)
        for number, sample in engine.take_samples():
            if self._new(equity := ExecutionEquityRow.of(self.account, number, sample)):
                self._log.append(equity)
        for verdict in engine.take_verdicts():
            if self._new(judged := ExecutionVerdictRow.of(self.account, verdict)):
                self._log.append(judged)
        outcome = 0
        for trade in engine.take_trades():
            if trade.open:
                continue  # a settlement was reversed: what closes it again has a row of its own
            outcome = self._outcome(engine, trade) or outcome
        return Said(events, outcome, bool(entries))

    def _new(self, row: Any) -> bool:
        return bool(row.seq > self._log.last_seq(row.stream))

    def _outcome(self, engine: Engine, trade: ClosedTrade) -> int:
        """The stream of outcomes is one for all accounts: the account's own round trips say which ones were written."""
        if trade.trade_id <= self._log.last_seq(trade_stream(self.account)):
            return 0
        if self.told == f"{self.account}-{trade.trade_id}":
            self._log.append(ExecutionTradeRow.of(self.account, trade))
            return 0
        seq: int = self._log.last_seq(OUTCOMES) + 1
        deployment = engine.deployments.get(trade.deployment_id)
        self._log.append(
            OutcomeRow(
                stream=OUTCOMES,
                seq=seq,
                outcome_id=f"{self.account}-{trade.trade_id}",
                account=self.account,
                deployment_id=trade.deployment_id,
                strategy_id="" if deployment is None else deployment.settings.strategy_id,
                signal_id=trade.signal_id,
                decision_id=trade.decision_id,
                client_order_id=trade.client_order_id,
                market=trade.market,
                side=trade.side,
                size=trade.size,
                entry_ts=trade.entry_ts,
                entry_price=trade.entry_price,
                exit_ts=trade.exit_ts,
                exit_price=trade.exit_price,
                pnl=decimal_text(trade.pnl),
                fees=decimal_text(trade.fees),
                return_share=0.0 if trade.return_ is None else trade.return_ / NANO,
                currency=trade.currency,
                exit_reason=trade.exit_reason,
                marks=tuple(sorted(engine.seen_marks)),
            )
        )
        self._log.append(ExecutionTradeRow.of(self.account, trade))
        return seq
