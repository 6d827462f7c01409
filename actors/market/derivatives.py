"""Funding, liquidations and large trades of each market: the last ones, and sums over a window.

`Derivatives` is the core, `DerivativesKeeper` the actor at `/market/derivatives`. What no feed tells is missing, with
the reason, and never 0; a quiet window is 0 only since the market is watched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Final, TypeVar

import msgspec

from actors.market.bars_intervals import SECOND
from protocols.control import Lagged, Probe, ProbeReport
from protocols.market import DELAYED, Funding, Liquidation, Trade
from protocols.market_data import (
    DERIVATIVES,
    DerivativesView,
    GetDerivatives,
    LargeTrades,
    LiquidationSum,
)
from protocols.nanos import NANO, decimal_text, exact_nanos
from runtime import Actor, ChildSpec, Mailbox, Overflow, receive

T = TypeVar("T", Trade, Liquidation)

NO_FUNDING: Final = "no feed has told a funding rate of this market: feeds of binance-usdm with the channel funding do"
NO_LIQUIDATIONS: Final = (
    "no feed tells liquidations of this market: feeds of binance-usdm with the channel liquidations do"
)
NO_TRADES: Final = "no feed has told a trade of this market"


class DerivativesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[derivatives]`: what is kept of funding, liquidations and large trades."""

    large_notional: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,9})?$")] = "100000"
    """Price times size from which on a trade is a large one, in the market's currency."""
    kept: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 2000
    """Liquidations and large trades kept in memory, of each market."""


def specs(settings: DerivativesSettings) -> list[ChildSpec]:
    """The keeper, to stand in `/market` before the feeds."""
    arguments = msgspec.structs.asdict(settings)
    name = DERIVATIVES.rpartition("/")[2]
    return [ChildSpec(name=name, actor="actors.market.derivatives:DerivativesKeeper", arguments=arguments)]


def notional_text(amount: int) -> str:
    """A sum of price times size, both in nanos, as exact decimal text to 10⁻⁹ (toward zero)."""
    return decimal_text(amount // NANO if amount >= 0 else -(-amount // NANO))


class Derivatives:
    """What is known. `large`: from which notional on a trade is large, in nanos. Times are wall nanoseconds."""

    def __init__(self, large: int, kept: int) -> None:
        self.large = large
        self.kept = kept
        self.funding: dict[str, Funding] = {}
        self._liquidations: dict[str, deque[Liquidation]] = {}
        self._large: dict[str, deque[Trade]] = {}
        self._watched: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._marks: dict[str, tuple[str, ...]] = {}

    def fund(self, funding: Funding, now: int) -> None:
        """The last one counts. A venue that tells a market's funding tells its liquidations, too."""
        self.funding[funding.market] = funding
        self._liquidations.setdefault(funding.market, deque(maxlen=self.kept))
        self._watch(funding, now)

    def liquidate(self, liquidation: Liquidation, now: int) -> None:
        """One more."""
        self._liquidations.setdefault(liquidation.market, deque(maxlen=self.kept)).append(liquidation)
        self._watch(liquidation, now)

    def trade(self, trade: Trade, now: int) -> None:
        """Keep it if it is large."""
        large = self._large.get(trade.market)
        if large is None:
            large = self._large[trade.market] = deque(maxlen=self.kept)
        self._watch(trade, now)
        if trade.price * trade.size >= self.large * NANO:
            large.append(trade)

    def lose(self, now: int) -> None:
        """Something was lost: whatever is summed begins now."""
        self._watched = dict.fromkeys(self._watched, now)
        for forced in self._liquidations.values():
            forced.clear()
        for large in self._large.values():
            large.clear()

    def view(self, market: str, liquidations: int, trades: int, now: int) -> DerivativesView:
        """What is known of a market in the last `liquidations` and `trades` nanoseconds before `now`."""
        missing: list[tuple[str, str]] = []
        marks = self._marks.get(market, ())
        if DELAYED in marks:
            now = self._latest[market]
        funding = self.funding.get(market)
        if funding is None:
            missing.append(("funding", NO_FUNDING))
        forced = self._liquidations.get(market)
        if forced is None:
            missing.append(("liquidations", NO_LIQUIDATIONS))
        large = self._large.get(market)
        if large is None:
            missing.append(("large_trades", NO_TRADES))
        return DerivativesView(
            market,
            funding,
            None if forced is None else _liquidation_sum(_since(forced, now - liquidations)),
            None if large is None else _large_trades(_since(large, now - trades)),
            decimal_text(self.large),
            self._watched.get(market, 0),
            tuple(missing),
            marks,
        )

    def __len__(self) -> int:
        return len(self._watched)

    def _watch(self, message: Funding | Liquidation | Trade, now: int) -> None:
        market = message.market
        self._marks[market] = message.marks
        self._latest[market] = message.ts_recv
        # What is played again makes its own time.
        self._watched.setdefault(market, message.ts_recv if DELAYED in message.marks else now)


def _since(kept: Iterable[T], start: int) -> list[T]:
    return [each for each in kept if each.ts_recv >= start]


def _liquidation_sum(found: Sequence[Liquidation]) -> LiquidationSum:
    longs = sum(each.price * each.size for each in found if each.side == "sell")
    shorts = sum(each.price * each.size for each in found if each.side == "buy")
    return LiquidationSum(len(found), notional_text(longs), notional_text(shorts), found[-1] if found else None)


def _large_trades(found: Sequence[Trade]) -> LargeTrades:
    sums = dict.fromkeys(("buy", "sell", None), 0)
    for each in found:
        sums[each.taker] += each.price * each.size
    largest = max(found, key=lambda each: each.price * each.size, default=None)
    bought, sold, unknown = (notional_text(sums[side]) for side in ("buy", "sell", None))
    return LargeTrades(len(found), bought, sold, unknown, largest)


class DerivativesKeeper(Actor):
    """Keeps the last funding, liquidations and large trades; the arguments are those of `DerivativesSettings`."""

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=16_384, overflow=Overflow.DROP_NEWEST)

    def __init__(self, large_notional: str = "100000", kept: int = 2000) -> None:
        self.known = Derivatives(exact_nanos(large_notional), kept)
        self.lost = 0

    def on_start(self) -> None:
        """Subscribe to what is kept."""
        for kind in (Funding, Liquidation, Trade):
            self.subscribe(kind, lossless=True)

    @receive
    def funding(self, message: Funding) -> None:
        """Keep the last one."""
        self.known.fund(message, self.clock.now())

    @receive
    def liquidation(self, message: Liquidation) -> None:
        """Keep it."""
        self.known.liquidate(message, self.clock.now())

    @receive
    def trade(self, message: Trade) -> None:
        """Keep it if it is large."""
        self.known.trade(message, self.clock.now())

    @receive
    def lagged(self, message: Lagged) -> None:
        """A sum with something missing is none: begin anew."""
        self.lost += max(message.count, 1)
        self.known.lose(self.clock.now())

    @receive
    def view(self, request: GetDerivatives) -> DerivativesView:
        """What is known of one market."""
        return self.known.view(
            request.market, request.liquidations_s * SECOND, request.trades_s * SECOND, self.clock.now()
        )

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """How many markets are watched."""
        return ProbeReport("ok", figures=(("markets", len(self.known)), ("lost", self.lost)))
