"""Rows of accounts: what happened to orders, fills, the ledger, equity; and the input journal with its snapshots.

Prices, sizes and fees in nanos; times in nanoseconds since the Unix epoch, UTC. What may outgrow 64 bits (notionals,
profits, balances) is decimal text, and NUMERIC in the database, which may give it back in another way ("1.0E+4":
`exact_nanos` reads both). Each account has a stream of each kind, with its own numbers, so that a row that an earlier
life has written is known by them. All but the journal and its snapshots is a copy: it can be made again from those.
"""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec

from actors.execution.accounts.equity_curve import EquitySample
from actors.execution.accounts.ledger import AccountName, Entry, EntryKind
from protocols.control import Row
from protocols.nanos import decimal_text
from protocols.orders import (
    Fill,
    Leg,
    Liquidity,
    Order,
    OrderEvent,
    OrderEventKind,
    OrderKind,
    OrderSource,
    OrderState,
    Side,
    TimeInForce,
)


class ExecutionOrderRow(Row, frozen=True, gc=False, kw_only=True, tag="execution_order_row"):
    """Something happened to an order. `detail`: the whole order behind it, JSON of `Order`.

    `fill_id` where a fill was what happened.
    """

    table: ClassVar[str] = "execution_orders_log"
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    ts: int
    account: str
    kind: OrderEventKind
    client_order_id: str
    venue_order_id: str
    deployment_id: str
    signal_id: str
    decision_id: str
    market: str
    side: Side
    order_kind: OrderKind
    time_in_force: TimeInForce
    source: OrderSource
    state: OrderState
    size: int
    price: int | None
    stop_price: int | None
    filled: int
    average_price: int | None
    fees: int
    fee_currency: str
    fill_id: str
    reason_code: str
    reason: str
    ts_created: int
    version: int
    marks: tuple[str, ...]
    detail: msgspec.Raw

    @classmethod
    def of(cls, event: OrderEvent) -> ExecutionOrderRow:
        """The row of an event."""
        state = event.order
        order = state.order
        return cls(
            stream=orders_stream(event.account),
            seq=event.seq,
            ts=event.ts,
            account=event.account,
            kind=event.kind,
            client_order_id=order.client_order_id,
            venue_order_id=state.venue_order_id,
            deployment_id=order.deployment_id,
            signal_id=order.signal_id,
            decision_id=order.decision_id,
            market=order.market,
            side=order.side,
            order_kind=order.kind,
            time_in_force=order.time_in_force,
            source=order.source,
            state=state.state,
            size=order.size,
            price=order.price,
            stop_price=order.stop_price,
            filled=state.filled,
            average_price=state.average_price,
            fees=state.fees,
            fee_currency=state.fee_currency,
            fill_id="" if event.fill is None else event.fill.fill_id,
            reason_code=state.reason_code,
            reason=state.reason,
            ts_created=state.ts_created,
            version=state.version,
            marks=order.marks,
            detail=msgspec.Raw(msgspec.json.encode(state)),
        )

    def order(self) -> Order:
        """The order as it stood behind the event, equal to the one that was stored."""
        return msgspec.json.decode(self.detail, type=Order)


class ExecutionFillRow(Row, frozen=True, gc=False, kw_only=True, tag="execution_fill_row"):
    """A fill; `notional` and `realized` in `currency`. `why`: JSON of `Why`."""

    table: ClassVar[str] = "execution_fills"
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    ts: int
    ts_event: int
    account: str
    fill_id: str
    client_order_id: str
    deployment_id: str
    signal_id: str
    decision_id: str
    market: str
    side: Side
    leg: Leg
    price: int
    size: int
    notional: str
    currency: str
    fee: int
    fee_currency: str
    liquidity: Liquidity
    realized: str
    position: int
    """Of the account in this market, after it."""
    why: msgspec.Raw
    marks: tuple[str, ...]

    @classmethod
    def of(cls, fill: Fill) -> ExecutionFillRow:
        """The row of a fill."""
        fields = msgspec.structs.asdict(fill)
        fields["why"] = msgspec.Raw(msgspec.json.encode(fill.why))
        return cls(stream=fills_stream(fill.account), **fields)

    def fill(self) -> Fill:
        """The fill of this row, equal to the one that was stored."""
        fields = {name: getattr(self, name) for name in Fill.__struct_fields__}
        return msgspec.convert({**fields, "why": msgspec.json.decode(self.why)}, Fill)


class ExecutionLedgerRow(Row, frozen=True, gc=False, kw_only=True, tag="execution_ledger_row"):
    """One posting. The postings of an `entry` add up to nothing in each currency.

    `ledger_account`: cash, position, fees … (`AccountName`); `amount` in units of the currency.
    """

    table: ClassVar[str] = "execution_ledger"
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    ts: int
    account: str
    entry: int
    kind: EntryKind
    reference: str
    ledger_account: AccountName
    currency: str
    amount: str
    market: str
    deployment_id: str

    @classmethod
    def of(cls, account: str, entry: Entry) -> tuple[ExecutionLedgerRow, ...]:
        """The rows of an entry."""
        stream = ledger_stream(account)
        return tuple(
            cls(
                stream=stream,
                seq=number,
                ts=entry.ts,
                account=account,
                entry=entry.seq,
                kind=entry.kind,
                reference=entry.reference,
                ledger_account=posting.account,
                currency=posting.currency,
                amount=decimal_text(posting.amount),
                market=entry.market,
                deployment_id=entry.deployment_id,
            )
            for number, posting in enumerate(entry.postings, entry.before + 1)
        )


class ExecutionEquityRow(Row, frozen=True, gc=False, kw_only=True, tag="execution_equity_row"):
    """A sample of equity, in units of the account's currency."""

    table: ClassVar[str] = "execution_equity"
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    ts: int
    account: str
    equity: str
    cash: str
    unrealized: str
    peak: str
    day_start: str

    @classmethod
    def of(cls, account: str, number: int, sample: EquitySample) -> ExecutionEquityRow:
        """The row of the account's sample of this number."""
        return cls(
            stream=equity_stream(account),
            seq=number,
            ts=sample.ts,
            account=account,
            equity=decimal_text(sample.equity),
            cash=decimal_text(sample.cash),
            unrealized=decimal_text(sample.unrealized),
            peak=decimal_text(sample.peak),
            day_start=decimal_text(sample.day_start),
        )


class ExecutionJournalRow(Row, frozen=True, gc=False, tag="execution_journal_row"):
    """Inputs of an account, `count` of them, packed; `ts` is that of the last."""

    table: ClassVar[str] = "execution_journal"
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    ts: int
    count: int
    payload: bytes


class ExecutionSnapshotRow(Row, frozen=True, gc=False, tag="execution_snapshot_row"):
    """The state of an account's engine behind row `journal_seq` of its journal."""

    table: ClassVar[str] = "execution_snapshots"
    sequenced: ClassVar[bool] = True

    stream: str
    seq: int
    ts: int
    journal_seq: int
    payload: bytes


ROWS: Final[tuple[type[Row], ...]] = (
    ExecutionOrderRow,
    ExecutionFillRow,
    ExecutionLedgerRow,
    ExecutionEquityRow,
    ExecutionJournalRow,
    ExecutionSnapshotRow,
)
"""Every kind of row that stands here."""


def orders_stream(account: str) -> str:
    """The stream of what happened to an account's orders."""
    return f"orders:{account}"


def fills_stream(account: str) -> str:
    """The stream of an account's fills."""
    return f"fills:{account}"


def ledger_stream(account: str) -> str:
    """The stream of an account's postings."""
    return f"ledger:{account}"


def equity_stream(account: str) -> str:
    """The stream of an account's samples of equity."""
    return f"equity:{account}"
