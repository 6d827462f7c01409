"""What the keeper of outcomes asks of others, beside its mailbox: the hub, the market, the database, the learners."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import trio

from actors.thresholds.intake import history
from actors.thresholds.intake.marking import NOTHING, Priced, Prices
from actors.thresholds.intake.messages import Found
from actors.thresholds.intake.settings import OutcomeSettings
from actors.thresholds.outcomes import Quoted, exit_side_return, resolves_at
from actors.thresholds.performance import DAY_NS, Performance, performance
from protocols.control import Refused, Unknown
from protocols.deployments import DEPLOYMENTS
from protocols.execution import DeploymentView, ListDeployments
from protocols.paths import HUB, QUERIES, THRESHOLD_ROSTER
from protocols.signals import ReadSignals, Signal, SignalPage
from protocols.threshold_outcomes import THRESHOLD_INTAKE, THRESHOLD_PROGRESS, IntakeRow
from protocols.thresholds import GatedSignal, OutcomeResolved, PoorPerformance, Verdict
from runtime import ActorRef

ASK_S: Final = 10.0
TELL_S: Final = 30.0
NS: Final = 1_000_000_000
AT_ONCE: Final = 64
FIELDS: Final = ("rsi", "macd", "change_percent", "volume")
Lookup = Callable[[str], ActorRef]


def said(metadata: msgspec.Raw, name: str) -> float | None:
    """A number of a signal's metadata; what is none is not known."""
    found = msgspec.json.decode(metadata)
    value = found.get(name) if isinstance(found, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def gated(action: str, confidence: float | None, metadata: msgspec.Raw) -> dict[str, Any]:
    """The columns of a row that say what the rules read."""
    return {"action": action, "confidence": confidence, **{name: said(metadata, name) for name in FIELDS}}


def signal_of(row: IntakeRow) -> GatedSignal:
    """What the rules read of a row."""
    return GatedSignal(
        action=row.action if row.action in ("BUY", "SELL") else None,  # type: ignore[arg-type]
        confidence=row.confidence,
        rsi=row.rsi,
        macd=row.macd,
        change_percent=row.change_percent,
        volume=row.volume,
    )


def verdict_of(row: IntakeRow) -> Verdict | None:
    """What was said of the signal when it came; None: that is not known."""
    return msgspec.json.decode(row.verdict, type=Verdict | None)


class Errands:
    """Asks; changes nothing."""

    def __init__(self, lookup: Lookup, settings: OutcomeSettings, now: Callable[[], int]) -> None:
        self.lookup = lookup
        self.settings = settings
        self.now = now
        self.prices = Prices(lookup, int(settings.stale_s * NS), settings.bar_spread)

    # Signals.

    async def read_signals(self, after: int) -> tuple[SignalPage, tuple[DeploymentView, ...]]:
        """The next page of signals, and the deployments that there are. Raises Refused, Unknown."""
        page = await self.lookup(HUB).ask(ReadSignals(after + 1), ASK_S)
        if not page.signals:
            return page, ()
        return page, (await self.lookup(DEPLOYMENTS).ask(ListDeployments(state="active"), ASK_S)).deployments

    async def followed(self, page: SignalPage, deployments: Sequence[DeploymentView]) -> tuple[IntakeRow, ...]:
        """A row without a place for each signal and deployment that takes it. Raises Refused `unavailable`."""
        rows: list[IntakeRow] = []
        prices: dict[tuple[str, int], Priced] = {}
        for stored in page.signals:
            signal = stored.signal
            takers = {each.user: each for each in deployments if _takes(each, signal)}
            if signal.action not in ("BUY", "SELL") or not takers:
                continue
            where = (signal.symbol, signal.ts_created)
            if where not in prices:
                prices[where] = await self.prices.at(*where, self.now())
            for user, deployment in takers.items():
                rows.append(self._row(signal, stored.seq, user, deployment.deployment_id, prices[where]))
        return tuple(rows)

    def _row(self, signal: Signal, seq: int, user: str, deployment: str, price: Priced) -> IntakeRow:
        return IntakeRow(
            stream=THRESHOLD_INTAKE,
            seq=0,
            ts=0,
            kind="watched",
            source="hub",
            user_id=user,
            symbol=signal.symbol,
            signal_id=signal.signal_id,
            deployment_id=deployment,
            **gated(signal.action, signal.confidence, signal.metadata),
            ts_signal=signal.ts_created,
            ts_due=self.due(signal.ts_created, signal.ts_expires),
            bid=price.quoted.bid,
            ask=price.quoted.ask,
            why=price.why,
            signal_seq=seq,
            marks=tuple(sorted({*signal.marks, *price.marks})),
        )

    def due(self, ts: int, expires: int | None) -> int:
        """When what a signal came to is looked up."""
        return resolves_at(ts, expires, int(self.settings.horizon_s * NS))

    # Outcomes.

    async def find_out(self, rows: Sequence[IntakeRow], stored: Callable[[], int]) -> tuple[Found, ...]:
        """What these have come to. `stored`: the place that the database has to have before it is asked.

        Prices are looked up first, while they are new.
        """
        prices: dict[tuple[str, int], Priced | None] = {}
        for row in rows:
            where = (row.symbol, row.ts_due)
            if where not in prices:
                prices[where] = await self._price(*where)
        own = tuple({row.signal_id for row in rows if row.source == "hub"})
        traded: dict[tuple[str, str], bool] | None = {}
        if own:
            traded = await self._traded(own, stored())
        return tuple(self._found(row, prices[row.symbol, row.ts_due], traded) for row in rows)

    async def _price(self, market: str, ts: int) -> Priced | None:
        try:
            return await self.prices.at(market, ts, self.now())
        except Refused:
            return None  # the database is away; it is asked again

    async def _traded(self, signals: tuple[str, ...], place: int) -> dict[tuple[str, str], bool] | None:
        """Which were traded; None: the database is away, or behind."""
        queries = self.lookup(QUERIES)
        try:
            with trio.move_on_after(ASK_S):
                while await self._noted() < place:  # noqa: ASYNC110 - nothing tells of it
                    await trio.sleep(0.05)
                return await history.traded(queries, signals)
        except Refused:
            return None
        return None

    async def _noted(self) -> int:
        return await history.stored_up_to(self.lookup(QUERIES), THRESHOLD_PROGRESS, THRESHOLD_PROGRESS)

    def _found(self, row: IntakeRow, price: Priced | None, traded: dict[tuple[str, str], bool] | None) -> Found:
        if traded is None or price is None:
            return Found(row=row, retry=True)
        if traded.get((row.signal_id, row.deployment_id), False):
            return Found(row=row, traded=True)
        opened = Quoted(row.bid, row.ask)
        action = "BUY" if row.action == "BUY" else "SELL"
        outcome = exit_side_return(action, opened, price.quoted, self.settings.fee_rate)  # type: ignore[arg-type]
        why = ""
        if outcome is None:
            why = (
                (row.why or "no price when it came") if opened == NOTHING else price.why or "no price on the exit side"
            )
        return Found(row=row, outcome=outcome, why=why, marks=tuple(sorted({*row.marks, *price.marks})))

    # Learners.

    async def tell(self, row: IntakeRow, check: bool) -> str:
        """Tell the learner; empty: it knows, or it is not to. `check`: the database has to say that it is the first."""
        try:
            if row.kind == "trade" and check and not await history.is_first(self.lookup(QUERIES), row):
                return ""
            await self.lookup(THRESHOLD_ROSTER).ask(_told(row), TELL_S)
        except Refused as refused:
            # What it takes for no outcome will not become one.
            return "" if refused.code == "invalid" else refused.message
        except Unknown:
            return "the learner did not answer"
        return ""

    # Performance.

    async def judge(self, users: Sequence[tuple[str, str, int]]) -> tuple[tuple[str, str, int, Performance], ...]:
        """How these users do on these symbols. Left out: those whose trades cannot be read, or whose newest one, the
        place behind the symbol, the database does not have yet."""
        found: list[tuple[str, str, int, Performance]] = []
        queries, now = self.lookup(QUERIES), self.now()
        since = now - self.settings.window_days * DAY_NS
        try:
            stored = await history.stored_up_to(queries, THRESHOLD_INTAKE, THRESHOLD_INTAKE)
            for user, symbol, place in users:
                if place <= stored:
                    most = self.settings.window_trades
                    trades = await history.closed_trades(queries, user, symbol, since, now + 1, most)
                    figures = performance(trades, since, now + 1, minimum=self.settings.min_trades)
                    found.append((user, symbol, place, figures))
        except Refused:
            return tuple(found)  # the others are judged when the database is back
        return tuple(found)


def _takes(deployment: DeploymentView, signal: Signal) -> bool:
    if deployment.strategy_id != signal.strategy_id:
        return False
    if signal.deployment_id is not None and signal.deployment_id != deployment.deployment_id:
        return False
    markets = msgspec.json.decode(deployment.settings).get("markets") or ()
    return not markets or signal.symbol in markets


def _told(row: IntakeRow) -> OutcomeResolved | PoorPerformance:
    if row.kind == "poor":
        return PoorPerformance(user_id=row.user_id, symbol=row.symbol, ts=row.ts, reason=row.why)
    return OutcomeResolved(
        user_id=row.user_id,
        symbol=row.symbol,
        seq=row.seq,
        signal_id=row.signal_id,
        signal=signal_of(row),
        outcome=row.outcome,
        ts=row.ts_resolved,
        acted=row.acted,
        verdict=verdict_of(row),
        source=row.source,
    )
