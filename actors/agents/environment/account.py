"""The account of one episode: the execution core over a track. A core.

Orders take the one way that all orders take here: judged by risk, delayed, matched, booked. What is known at a moment
is what the bars and best prices until then have said; an order meets what comes behind it. Nothing is short: what is
sold is held.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from actors.agents.environment.tracks import Track
from actors.decisions.policy import ActionMeaning
from actors.execution.accounts.settings import AccountSettings
from actors.execution.deployments import DeploymentSettings
from actors.execution.engine import Engine
from actors.execution.engine_state import EngineSettings
from actors.execution.inputs import Deploy
from actors.execution.matching.settings import (
    FeeSettings,
    FillSettings,
    LatencySettings,
    LogNormal,
    SlippageSettings,
)
from protocols.market import MarketStatus
from protocols.nanos import NANO, exact_nanos
from protocols.orders import NewOrder, OrderEvent, Side, SubmitOrders

ACCOUNT: Final = "agent"
DEPLOYMENT: Final = "agent"
RESERVE: Final = 100
"""One part in so many of the cash is kept back by "all of it": for fees, and for a price that moves away meanwhile."""
SELDOM_S: Final = 86_400
"""The equity is asked for at each bar; the engine need not sample it besides."""

QUOTED: Final = FillSettings(
    latency=LatencySettings(entry=LogNormal(median=40_000_000, sigma=0.5, minimum=10_000_000)),
    beyond_quote="slip",
)
"""Where the best prices are known: orders are tens of milliseconds late, and pay the spread; what is more than the
best price's size is filled one tick worse."""
BARRED: Final = FillSettings(slippage=SlippageSettings(model="share", share="0.0005"), fees=FeeSettings(taker="0.001"))
"""Where bars are all there is: an order fills at the next open, 0.05 % worse, for a fee of 0.1 %."""


class TradingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The money of an episode and when it is lost.

    `fills`: None: as the track is known (`QUOTED`, `BARRED`). `minimum`: less money than this is not traded.
    `ruin`: the share of the capital at which the episode ends; `most_drawdown`: the same, from the highest equity.
    """

    capital: str = "10000"
    minimum: str = "10"
    fills: FillSettings | None = None
    ruin: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    most_drawdown: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.3

    def __post_init__(self) -> None:
        for name in ("capital", "minimum"):
            if exact_nanos(getattr(self, name)) <= 0:
                raise ValueError(f"{name}: expected above 0, got {getattr(self, name)!r}")


class EpisodeAccount:
    """Money and orders while an episode is played. Equity in units of the currency, marked at the exit side."""

    def __init__(self, settings: TradingSettings, track: Track, start: int, seed: int) -> None:
        """At the end of bar `start`; everything before it is the market's past, in which nothing was ordered."""
        self.track = track
        self.place = start
        self.settled = False
        self.orders = self.fills = 0
        self.fees = 0.0
        """What fees took so far, in units of the currency."""
        self._minimum = exact_nanos(settings.minimum)
        self._market = track.instrument.market
        fills = settings.fills or (QUOTED if track.quotes else BARRED)
        free = fills.fees.model == "none"
        self._fee = 0 if free else exact_nanos(fills.fees.taker or track.instrument.taker_fee or "0")
        self.engine = Engine(
            EngineSettings(
                account=AccountSettings(account_id=ACCOUNT, user="local", initial_capital=settings.capital),
                fills=fills,
                seed=seed,
                sample_s=SELDOM_S,
            )
        )
        now = track.bars[start].end
        self.engine.handle(track.instrument, now)
        self.engine.account.open(now)
        deployment = DeploymentSettings(
            deployment_id=DEPLOYMENT, strategy_id="agent", account=ACCOUNT, allow_short=False, mode="backtest"
        )
        self.engine.handle(Deploy(deployment), now)
        self._show(start, now)
        self._equity = exact_nanos(settings.capital)

    # -- what an agent does ------------------------------------------------------------------------------------

    def act(self, action: ActionMeaning) -> OrderEvent | None:
        """Order what the action means, now. What became of the order at once, or None where there was none to give."""
        size = self._size(action)
        if not size:
            return None
        self.orders += 1
        side: Side = "buy" if action.side == "BUY" else "sell"
        order = NewOrder(
            client_order_id=f"{DEPLOYMENT}-{self.orders}",
            market=self._market,
            side=side,
            kind="market",
            size=size,
            reduce_only=side == "sell",
            deployment_id=DEPLOYMENT,
            marks=self.track.marks,
        )
        self.engine.handle(SubmitOrders((order,)), self.now)
        told = self._told()
        return told[-1] if told else None

    def advance(self) -> None:
        """Play the next bar: what was ordered meets it. Raises IndexError behind the last one."""
        self.place += 1
        bar = self.track.bars[self.place]
        self._show(self.place, bar.end)
        last = self.place == len(self.track) - 1
        if last and self.track.settlement is not None:
            status = MarketStatus(self._market, "settled", "", bar.end, bar.end, self.track.settlement)
            self.engine.handle(status, bar.end)
            self.settled = True
        self.engine.advance(bar.end)
        self._told()

    def possible(self, action: ActionMeaning) -> bool:
        """Whether the action would do what it says now: HOLD always; others where they become an order."""
        return action.side == "HOLD" or self._size(action) > 0

    # -- how it stands -----------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The end of the bar that was played last, ns."""
        return self.track.bars[self.place].end

    @property
    def equity(self) -> float:
        """What is there when everything is left at the exit side, before the fee of leaving. Where nobody bids, the
        last value that was known."""
        known = self.engine.account.equity()
        if known is not None:
            self._equity = known
        return self._equity / NANO

    @property
    def exposure(self) -> float:
        """The share of the equity that is in the market: 0 for flat."""
        equity = self.equity
        return 0.0 if equity <= 0 else 1.0 - self.engine.account.cash() / NANO / equity

    @property
    def open_orders(self) -> int:
        """Orders that work."""
        return len(self.engine.blotter.open)

    @property
    def data_age_s(self) -> float:
        """How old the last price is, seconds."""
        return (self.now - self.engine.marks[self._market].ts) / NANO

    # -- small parts -------------------------------------------------------------------------------------------

    def _show(self, place: int, end: int) -> None:
        if not self.track.quotes:
            self.engine.bar(self.track.bars[place], end)
            return
        for quote in self.track.quotes[place]:
            self.engine.quote(quote, quote.ts_recv)

    def _told(self) -> list[OrderEvent]:
        events = self.engine.take_events()
        for event in events:
            if event.fill is not None:
                self.fills += 1
                self.fees += event.fill.fee / NANO
        self.engine.take_entries()
        self.engine.take_trades()
        return events

    def _size(self, action: ActionMeaning) -> int:
        """In nanos, whole lots; 0: nothing to trade, or so little that it is not worth an order."""
        if action.side == "HOLD" or self.open_orders or self.settled:
            return 0
        lot = self.track.instrument.lot
        held = self.engine.account.net_position(self._market)
        price = self.engine.reference_price(self._market, "buy" if action.side == "BUY" else "sell")
        if price is None or price <= 0:
            return 0
        share = round(action.share * NANO)
        if action.side == "SELL":
            size = held * share // NANO // lot * lot
            return size if action.share == 1.0 or size * price // NANO >= self._minimum else 0
        cash = self.engine.account.cash() * (RESERVE - 1) // RESERVE
        money = cash * share // NANO
        if money < self._minimum:
            return 0
        return money * NANO // (price + price * self._fee // NANO) // lot * lot
