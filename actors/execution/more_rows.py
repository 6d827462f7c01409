"""Rows of what deployments made of signals, and of round trips."""

from __future__ import annotations

from typing import ClassVar

from actors.execution.accounts.round_trips import ClosedTrade
from actors.execution.engine_signals import Verdict
from protocols.control import Row
from protocols.nanos import NANO, decimal_text


class ExecutionVerdictRow(Row, frozen=True, gc=False, kw_only=True, tag="execution_verdict_row"):
    """What a deployment made of a signal: orders, or a reason."""

    table: ClassVar[str] = "execution_verdicts"
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    ts: int
    account: str
    deployment_id: str
    signal_id: str
    signal_seq: int
    orders: tuple[str, ...]
    code: str
    reason: str

    @classmethod
    def of(cls, account: str, verdict: Verdict) -> ExecutionVerdictRow:
        """The row of a verdict."""
        return cls(
            stream=f"verdicts:{account}",
            seq=verdict.number,
            ts=verdict.ts,
            account=account,
            deployment_id=verdict.deployment_id,
            signal_id=verdict.signal_id,
            signal_seq=verdict.seq,
            orders=verdict.orders,
            code=verdict.code,
            reason=verdict.reason,
        )


class ExecutionTradeRow(Row, frozen=True, gc=False, kw_only=True, tag="execution_trade_row"):
    """A round trip of an account: from flat to flat. Prices in nanos, money as decimal text."""

    table: ClassVar[str] = "execution_trades"
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    account: str
    deployment_id: str
    signal_id: str
    market: str
    side: str
    size: int
    entry_ts: int
    entry_price: int
    exit_ts: int
    exit_price: int
    pnl: str
    fees: str
    funding: str
    currency: str
    return_share: float | None
    mae: str | None
    mfe: str | None
    exit_reason: str

    @classmethod
    def of(cls, account: str, trade: ClosedTrade) -> ExecutionTradeRow:
        """The row of a round trip."""
        return cls(
            stream=trade_stream(account),
            seq=trade.trade_id,
            account=account,
            deployment_id=trade.deployment_id,
            signal_id=trade.signal_id,
            market=trade.market,
            side=trade.side,
            size=trade.size,
            entry_ts=trade.entry_ts,
            entry_price=trade.entry_price,
            exit_ts=trade.exit_ts,
            exit_price=trade.exit_price,
            pnl=decimal_text(trade.pnl),
            fees=decimal_text(trade.fees),
            funding=decimal_text(trade.funding),
            currency=trade.currency,
            return_share=None if trade.return_ is None else trade.return_ / NANO,
            mae=None if trade.mae is None else decimal_text(trade.mae),
            mfe=None if trade.mfe is None else decimal_text(trade.mfe),
            exit_reason=trade.exit_reason,
        )


def trade_stream(account: str) -> str:
    """The stream of an account's round trips."""
    return f"trades:{account}"
