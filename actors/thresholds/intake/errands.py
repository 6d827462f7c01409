"""What the keeper of outcomes asks of others, beside its mailbox: the hub, the market, the database, the learners.

Each finds a message for the keeper. What could not be read or told is in it, and is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import trio

from actors.thresholds.intake import history
from actors.thresholds.intake.marking import NOTHING, Priced, Prices
from actors.thresholds.intake.messages import (
    FollowPriced,
    Found,
    Judged,
    OutcomesFound,
    SignalsFound,
    Told,
    TradesFound,
)
from actors.thresholds.intake.rows import of_hub
from actors.thresholds.intake.settings import OutcomeSettings
from actors.thresholds.outcomes import Quoted, exit_side_return, resolves_at
from actors.thresholds.performance import DAY_NS, Performance, performance
from protocols.control import Refused, Unknown
from protocols.deployments import DEPLOYMENTS
from protocols.execution import OUTCOMES, DeploymentView, ListDeployments
from protocols.paths import HUB, QUERIES, THRESHOLD_ROSTER
from protocols.signals import ReadSignals, Signal, SignalPage
from protocols.threshold_outcomes import THRESHOLD_INTAKE, THRESHOLD_PROGRESS, FollowSignal, IntakeRow
from protocols.thresholds import GatedSignal, OutcomeResolved, PoorPerformance, Verdict
from runtime import ActorRef

ASK_S: Final = 10.0
TELL_S: Final = 30.0
NS: Final = 1_000_000_000
Lookup = Callable[[str], ActorRef]


class Errands:
    """Asks; changes nothing."""

    def __init__(self, lookup: Lookup, settings: OutcomeSettings, now: Callable[[], int], logger: Any) -> None:
        self.lookup = lookup
        self.logger = logger
        self.settings = settings
        self.now = now
        self.prices = Prices(lookup, int(settings.stale_s * NS), settings.bar_spread)

    # Signals.

    async def signals(self, after: int) -> SignalsFound:
        """A row for each signal of the next page and each deployment that takes it."""
        try:
            page = await self.lookup(HUB).ask(ReadSignals(after + 1), ASK_S)
            rows = await self._followed(page) if page.signals else ()
        except (Refused, Unknown) as error:
            self.logger.info("signals cannot be read", why=str(error))
            return SignalsFound((), None)
        return SignalsFound(rows, page.next_seq - 1, page.next_seq <= page.last_seq)

    async def _followed(self, page: SignalPage) -> tuple[IntakeRow, ...]:
        deployments = (await self.lookup(DEPLOYMENTS).ask(ListDeployments(state="active"), ASK_S)).deployments
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
            due = self.due(signal.ts_created, signal.ts_expires)
            for user, deployment in takers.items():
                rows.append(of_hub(signal, stored.seq, user, deployment.deployment_id, prices[where], due))
        return tuple(rows)

    async def priced(self, request: FollowSignal) -> FollowPriced:
        """The prices when a signal was evaluated. Raises Refused `unavailable`."""
        return FollowPriced(request, await self.prices.at(request.symbol, request.ts, self.now()))

    def due(self, ts: int, expires: int | None) -> int:
        """When what a signal came to is looked up."""
        return resolves_at(ts, expires, int(self.settings.horizon_s * NS))

    # Outcomes.

    async def trades(self, after: int) -> TradesFound:
        """The next trades of the runtime that have ended."""
        try:
            return TradesFound(await history.executed(self.lookup(QUERIES), OUTCOMES, after))
        except Refused as refused:
            self.logger.info("executed trades cannot be read", why=refused.message)
            return TradesFound(None)

    async def find_out(self, rows: Sequence[IntakeRow], place: int) -> OutcomesFound:
        """What these have come to. `place`: of the note that the database has to have before it is asked.

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
            traded = await self._traded(own, place)
        return OutcomesFound(tuple(self._found(row, prices[row.symbol, row.ts_due], traded) for row in rows))

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

    async def tell(self, rows: Sequence[IntakeRow], check: bool) -> Told:
        """Tell the learners. `check`: the database has to say of a trade that it is the first of its kind."""
        told: list[IntakeRow] = []
        failures: list[str] = []

        async def tell(row: IntakeRow) -> None:
            failed = await self._tell(row, check)
            if failed:
                failures.append(failed)
            else:
                told.append(row)

        async with trio.open_nursery() as nursery:
            for row in rows:
                nursery.start_soon(tell, row)
        return Told(tuple(told), failures[0] if failures else "")

    async def _tell(self, row: IntakeRow, check: bool) -> str:
        """Why the learner could not be told; empty: it knows, or it is not to."""
        try:
            if row.kind == "trade" and check and not await history.is_first(self.lookup(QUERIES), row):
                return ""
            await self.lookup(THRESHOLD_ROSTER).ask(_news(row), TELL_S)
        except Refused as refused:
            # What it takes for no outcome will not become one.
            return "" if refused.code == "invalid" else refused.message
        except Unknown:
            return "the learner did not answer"
        return ""

    # Performance.

    async def judge(self, users: Sequence[tuple[str, str, int]]) -> Judged:
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
            pass  # the others are judged when the database is back
        return Judged(tuple(found))


def _takes(deployment: DeploymentView, signal: Signal) -> bool:
    if deployment.strategy_id != signal.strategy_id:
        return False
    if signal.deployment_id is not None and signal.deployment_id != deployment.deployment_id:
        return False
    markets = msgspec.json.decode(deployment.settings).get("markets") or ()
    return not markets or signal.symbol in markets


def _news(row: IntakeRow) -> OutcomeResolved | PoorPerformance:
    if row.kind == "poor":
        return PoorPerformance(user_id=row.user_id, symbol=row.symbol, ts=row.ts, reason=row.why)
    return OutcomeResolved(
        user_id=row.user_id,
        symbol=row.symbol,
        seq=row.seq,
        signal_id=row.signal_id,
        signal=GatedSignal(
            action=row.action if row.action in ("BUY", "SELL") else None,  # type: ignore[arg-type]
            confidence=row.confidence,
            rsi=row.rsi,
            macd=row.macd,
            change_percent=row.change_percent,
            volume=row.volume,
        ),
        outcome=row.outcome,
        ts=row.ts_resolved,
        acted=row.acted,
        verdict=msgspec.json.decode(row.verdict, type=Verdict | None),
        source=row.source,
    )
