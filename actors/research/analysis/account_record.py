"""An account's history, from wherever it was read, and the result of a run that it makes.

From a replayed journal, or from the rows that the account wrote: both give the same record.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from actors.execution.accounts.rows import ExecutionEquityRow, ExecutionLedgerRow
from actors.execution.engine_state import EngineSettings
from actors.execution.more_rows import ExecutionTradeRow
from actors.research.analysis.journal_replay import Replayed
from actors.research.analysis.order_log import order_hash
from actors.research.backtest.recorder import round_trip
from actors.research.results import RoundTrip, RunResult, Series
from protocols.nanos import NANO, decimal_text, exact_nanos
from protocols.orders import OrderEvent

OPENING = "initial capital"
OPENED = "opening "
FLOWS = frozenset({"deposit", "withdrawal", "adjustment"})


class Flow(msgspec.Struct, frozen=True):
    """Money that came in (negative: went out) and was not earned; nanos of `currency`."""

    ts: int
    amount: int
    currency: str
    reference: str = ""

    @property
    def opens(self) -> bool:
        """Whether it is what an account at a venue began with."""
        return self.reference.startswith(OPENED)


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has done. `samples`: (ts, equity in nanos). `flows`: the initial capital is not among them.

    `open_trades`: None where nobody can tell (rows have only closed ones).
    """

    account: str
    settings: EngineSettings
    name: str = ""
    mode: str = "paper"
    events: tuple[OrderEvent, ...] = ()
    samples: tuple[tuple[int, int], ...] = ()
    trades: tuple[RoundTrip, ...] = ()
    open_trades: tuple[RoundTrip, ...] | None = None
    flows: tuple[Flow, ...] = ()
    fees: str = "0"
    funding: str = "0"
    inputs: int = 0
    signals: int = 0
    declined: dict[str, int] = {}


def of_replay(replayed: Replayed, *, name: str = "", mode: str = "paper") -> AccountRecord:
    """The record of a journal that was replayed."""
    engine = replayed.engine
    account = engine.account
    own = engine.settings.account.currency
    flows = [
        Flow(entry.ts, posting.amount, posting.currency, entry.reference)
        for entry in replayed.entries
        if entry.kind in FLOWS and entry.reference != OPENING
        for posting in entry.postings
        if posting.account == "cash"
    ]
    closed = {trade.trade_id: trade for trade in replayed.trades if not trade.open}
    for trade in replayed.trades:  # what a reversed settlement had closed is open again
        if trade.replaces:
            closed.pop(trade.replaces, None)
    return AccountRecord(
        account=engine.settings.account.account_id,
        settings=engine.settings,
        name=name,
        mode=mode,
        events=tuple(replayed.events),
        samples=tuple((sample.ts, sample.equity) for sample in replayed.samples),
        trades=tuple(round_trip(trade) for trade in closed.values()),
        open_trades=tuple(round_trip(trade) for trade in account.open_trades(replayed.ts)),
        flows=tuple(flows),
        fees=decimal_text(account.fees_paid(own)),
        funding=decimal_text(account.funding_paid(own)),
        inputs=replayed.number,
        signals=len(replayed.signals),
        declined=dict(Counter(verdict.code for verdict in replayed.verdicts if verdict.code)),
    )


def of_rows(
    settings: EngineSettings,
    *,
    events: Sequence[OrderEvent],
    equity: Iterable[ExecutionEquityRow],
    trades: Iterable[ExecutionTradeRow],
    ledger: Iterable[ExecutionLedgerRow],
    verdicts: Iterable[tuple[str, str]] = (),
    inputs: int = 0,
    name: str = "",
    mode: str = "paper",
) -> AccountRecord:
    """The record of rows. `verdicts`: signal and code of each. Raises ValueError for money that is none."""
    own = settings.account.currency
    flows: list[Flow] = []
    fees = funding = 0
    for row in ledger:
        amount = exact_nanos(row.amount)
        if row.kind in FLOWS and row.ledger_account == "cash" and row.reference != OPENING:
            flows.append(Flow(row.ts, amount, row.currency, row.reference))
        if row.currency == own and row.ledger_account == "fees":
            fees += amount
        if row.currency == own and row.ledger_account == "funding":
            funding += amount
    judged = list(verdicts)
    return AccountRecord(
        account=settings.account.account_id,
        settings=settings,
        name=name,
        mode=mode,
        events=tuple(events),
        samples=tuple((row.ts, exact_nanos(row.equity)) for row in equity),
        trades=tuple(_trade(row) for row in trades),
        flows=tuple(flows),
        fees=decimal_text(fees),
        funding=decimal_text(funding),
        inputs=inputs,
        signals=len({signal for signal, _ in judged}),
        declined=dict(Counter(code for _, code in judged if code)),
    )


def _trade(row: ExecutionTradeRow) -> RoundTrip:
    return RoundTrip(
        market=row.market,
        side="long" if row.side == "long" else "short",
        size=row.size / NANO,
        entry_ts=row.entry_ts,
        entry_price=row.entry_price / NANO,
        exit_ts=row.exit_ts,
        exit_price=row.exit_price / NANO,
        pnl=exact_nanos(row.pnl) / NANO,
        return_=float("nan") if row.return_share is None else row.return_share,
        fees=exact_nanos(row.fees) / NANO,
        mae=None if row.mae is None else exact_nanos(row.mae) / NANO,
        mfe=None if row.mfe is None else exact_nanos(row.mfe) / NANO,
        exit_reason=row.exit_reason,
        deployment_id=row.deployment_id,
    )


def result(record: AccountRecord) -> RunResult:
    """A record as the result of a run, for metrics and reports.

    Equity is that of the samples, without what was paid in or out since the opening. Raises ValueError for an account
    without a sample: there is nothing to report.
    """
    if not record.samples:
        raise ValueError(f"account {record.account}: expected samples of equity, got none: nothing was priced yet")
    own = record.settings.account.currency
    capital = exact_nanos(record.settings.account.initial_capital)
    capital += sum(flow.amount for flow in record.flows if flow.opens and flow.currency == own)
    times, values = _curve(record, own)
    kinds = Counter(event.kind for event in record.events)
    began = min(times[0], record.events[0].ts if record.events else times[0])
    run = f"account:{record.account}"
    return RunResult(
        run_id=f"{run}:{order_hash(record.events)[:16]}",
        strategy=record.name or record.account,
        family=run,
        methodology=record.mode,
        data=(f"{record.inputs} inputs of the account's journal",) if record.inputs else ("the account's rows",),
        data_hashes=(),
        markets=tuple(sorted({event.order.order.market for event in record.events})),
        settings=msgspec.to_builtins(record.settings),
        seed=record.settings.seed,
        currency=own,
        initial_capital=decimal_text(capital),
        final_equity=decimal_text(values[-1]),
        first=began,
        last=times[-1],
        events=record.inputs,
        signals=record.signals,
        orders=sum(event.order.version == 1 for event in record.events),
        fills=kinds["filled"],
        denied=kinds["denied"],
        rejected=kinds["rejected"],
        ambiguous=sum(event.fill is not None and event.fill.why.ambiguous for event in record.events),
        fees=record.fees,
        funding=record.funding,
        sampling=f"{record.settings.sample_s}s",
        equity=Series.of([began, *times], [capital / NANO, *(value / NANO for value in values)]),
        exposure=_exposure(record, times),
        round_trips=(*record.trades, *(record.open_trades or ())),
        order_hash=order_hash(record.events),
        marks=tuple(sorted({mark for event in record.events for mark in event.order.order.marks})),
        warnings=_warnings(record, own),
    )


def _later(record: AccountRecord) -> list[Flow]:
    return [flow for flow in record.flows if not flow.opens]


def _curve(record: AccountRecord, own: str) -> tuple[list[int], list[int]]:
    """Times and equity; what was paid in or out up to each of them is taken off."""
    flows = sorted((flow.ts, flow.amount) for flow in _later(record) if flow.currency == own)
    sums = np.cumsum([0, *(amount for _, amount in flows)], dtype=object)
    moments = [ts for ts, _ in flows]
    times = [ts for ts, _ in record.samples]
    return times, [int(value - sums[bisect_right(moments, ts)]) for ts, value in record.samples]


def _exposure(record: AccountRecord, times: Sequence[int]) -> float | None:
    """The share of the samples with an open position, by the positions behind fills and the ends of trades."""
    changes = [
        (event.fill.ts, event.seq, event.fill.market, event.fill.position)
        for event in record.events
        if event.fill is not None
    ]
    changes += [(trade.exit_ts, 2**62, trade.market, 0) for trade in record.trades if trade.exit_reason == "settlement"]
    changes.sort()
    held: dict[str, int] = {}
    place = exposed = 0
    for ts in times:
        while place < len(changes) and changes[place][0] <= ts:
            held[changes[place][2]] = changes[place][3]
            place += 1
        exposed += any(held.values())
    return exposed / len(times) if times else None


def _warnings(record: AccountRecord, own: str) -> tuple[str, ...]:
    found = []
    later = _later(record)
    paid = sum(flow.amount for flow in later if flow.currency == own)
    if any(flow.currency == own for flow in later):
        found.append(f"{decimal_text(paid)} {own} was paid in or out on the way: equity is shown without it")
    others = sorted({flow.currency for flow in later} - {own})
    if others:
        found.append(f"money in {', '.join(others)} was paid in or out on the way and is part of the equity")
    if record.open_trades is None:
        found.append("open positions are not among the trades: rows hold closed ones alone")
    for code, count in sorted(record.declined.items()):
        if code not in ("hold", "no_position", "entries"):
            found.append(f"{count} signals became no order: {code}")
    return tuple(found)
