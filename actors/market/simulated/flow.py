"""Order flow of one simulated market: noise, informed and market-making traders around a hidden value.

The value is a probability that walks in log-odds, so it stays between 0 and 1 and moves less near the ends.
Who knows what: informed traders see it, the market maker follows it late, noise traders do not know it. That
makes trends that can be followed, spreads that pay for being picked off, and books that empty and fill.
Regimes change the walk and the mix for a number of steps; a test plants them, and a default schedule goes
round through all of them.

One step is one trader's turn. Everything comes from one seeded generator: the same seed gives the same
market.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from actors.execution.matching.exchange import Execution, MatchingEngine
from protocols.market import LevelChange, MarketPhase, Side
from protocols.nanos import NANO

RegimeName = Literal["calm", "trend_up", "trend_down", "volatile", "pause"]

MARKET_MAKER: Final = "market_maker"
INFORMED: Final = "informed"
_NOISE_TRADERS: Final = 12
_MAKER_LEVELS: Final = 6
_MOST_NOISE_ORDERS: Final = 160


class _Temper(msgspec.Struct, frozen=True):
    """What a regime does:

    drift and deviation of the log-odds a step, and the shares of the traders' turns.
    """

    drift: float
    deviation: float
    noise: float
    informed: float
    maker: float
    half_spread: int


_TEMPERS: Final[dict[str, _Temper]] = {
    "calm": _Temper(0.0, 0.002, 0.50, 0.05, 0.45, 1),
    "trend_up": _Temper(0.003, 0.003, 0.40, 0.20, 0.40, 1),
    "trend_down": _Temper(-0.003, 0.003, 0.40, 0.20, 0.40, 1),
    "volatile": _Temper(0.0, 0.020, 0.35, 0.25, 0.40, 2),
    "pause": _Temper(0.0, 0.002, 0.0, 0.0, 0.0, 1),
}


class Regime(msgspec.Struct, frozen=True):
    """A temper that holds for `steps` steps."""

    name: RegimeName
    steps: int


DEFAULT_SCHEDULE: Final = (
    Regime("calm", 800),
    Regime("trend_up", 500),
    Regime("volatile", 300),
    Regime("calm", 600),
    Regime("trend_down", 500),
    Regime("pause", 40),
    Regime("volatile", 200),
)


class Traded(msgspec.Struct, frozen=True, gc=False):
    """A public trade. `taker_side` bid: the taker bought YES."""

    trade_id: int
    price: int
    size: int
    taker_side: Side


class PhaseChanged(msgspec.Struct, frozen=True, gc=False):
    """The market paused, went on, or was settled at `settlement` nanos a YES contract."""

    phase: MarketPhase
    settlement: int | None = None


FlowEvent = LevelChange | Traded | PhaseChanged
"""What the public sees. A LevelChange is signed."""


class OrderFlow:
    """The traders of one market and its engine. `schedule` goes round; an empty one is calm for ever."""

    def __init__(
        self,
        market: str,
        seed: int,
        *,
        value: float = 0.5,
        tick: int = NANO // 100,
        schedule: Sequence[Regime] = DEFAULT_SCHEDULE,
    ) -> None:
        self.engine = MatchingEngine(market, tick)
        self._random = random.Random(f"{seed}/{market}")  # noqa: S311 - repeatable on purpose
        self._log_odds = _logit(value)
        self._maker_belief = self._log_odds
        self._schedule = deque(schedule)
        self._planted: deque[Regime] = deque()
        self._regime: Regime = Regime("calm", 0)
        self._left = 0
        self._noise_orders: list[int] = []
        self._maker_orders: dict[tuple[Side, int], int] = {}
        self._maker_turn = 0
        self.steps = 0

    @property
    def market(self) -> str:
        """The market's name."""
        return self.engine.market

    @property
    def regime(self) -> RegimeName:
        """The regime that holds."""
        return self._regime.name

    @property
    def value(self) -> float:
        """The hidden probability of YES."""
        return 1 / (1 + math.exp(-self._log_odds))

    def plant(self, name: RegimeName, steps: int) -> None:
        """Let this regime hold from the next step on, for `steps` steps; then the schedule goes on."""
        self._planted.append(Regime(name, steps))
        self._left = 0

    def settle(self, value: int | None = None) -> list[FlowEvent]:
        """End the market: at `value` nanos, or at 0 or 1 dollar by the hidden probability.

        Raises OrderRefused where it has ended.
        """
        if value is None:
            value = NANO if self._random.random() < self.value else 0
        changes = self.engine.settle(value)
        return [*changes, PhaseChanged("determined", value), PhaseChanged("settled", value)]

    def step(self) -> list[FlowEvent]:
        """One trader's turn: what the public sees of it. Nothing any more once the market is settled."""
        if self.engine.phase == "settled":
            return []
        self.steps += 1
        events = self._next_regime()
        temper = _TEMPERS[self._regime.name]
        self._left -= 1
        # A weak pull to even odds keeps a long simulation away from the ends, where nobody can trade.
        self._log_odds += temper.drift - 0.0005 * self._log_odds
        self._log_odds += temper.deviation * self._random.gauss(0.0, 1.0)
        self._log_odds = max(-3.0, min(3.0, self._log_odds))
        self._maker_belief += 0.02 * (self._log_odds - self._maker_belief)
        if self.engine.phase == "active":
            chance = self._random.random()
            if chance < temper.noise:
                self._noise(events)
            elif chance < temper.noise + temper.informed:
                self._informed(events)
            else:
                self._make_market(temper.half_spread, events)
        return events

    def _next_regime(self) -> list[FlowEvent]:
        if self._left > 0:
            return []
        before = self.engine.phase
        if self._planted:
            self._regime = self._planted.popleft()
        elif self._schedule:
            self._regime = self._schedule[0]
            self._schedule.rotate(-1)
        else:
            self._regime = Regime("calm", 1000)
        self._left = self._regime.steps
        if self._regime.name == "pause" and before == "active":
            self.engine.pause()
            return [PhaseChanged("paused")]
        if self._regime.name != "pause" and before == "paused":
            self.engine.resume()
            return [PhaseChanged("active")]
        return []

    # -- traders ---------------------------------------------------------------------------------------

    def _noise(self, events: list[FlowEvent]) -> None:
        trader = f"noise_{self._random.randrange(_NOISE_TRADERS)}"
        side: Side = "bid" if self._random.random() < 0.5 else "ask"
        size = self._size(2_000)
        crowded = len(self._noise_orders) > _MOST_NOISE_ORDERS
        chance = self._random.random()
        if self._noise_orders and (crowded or chance < 0.30):
            self._withdraw(events)
        elif chance < 0.45:
            best_bid, best_ask = self.engine.best()
            price = best_ask if side == "bid" else best_bid
            if price is not None:
                self._report(self.engine.submit(trader, side, price, size, "immediate_or_cancel"), events)
        else:
            away = min(int(self._random.expovariate(0.35)), 12)
            reference = self._reference()
            price = self._legal(reference - away if side == "bid" else reference + 1 + away)
            execution = self.engine.submit(trader, side, price, size)
            if execution.resting:
                self._noise_orders.append(execution.order_id)
            self._report(execution, events)

    def _withdraw(self, events: list[FlowEvent]) -> None:
        index = self._random.randrange(len(self._noise_orders))
        order_id = self._noise_orders[index]
        order = self.engine.order(order_id)
        if order is not None and order.remaining > 2 * self.engine.lot and self._random.random() < 0.25:
            half = order.remaining // (2 * self.engine.lot) * self.engine.lot
            events.extend(self.engine.reduce(order_id, half))
            return
        self._noise_orders[index] = self._noise_orders[-1]
        self._noise_orders.pop()
        events.extend(self.engine.cancel(order_id))

    def _informed(self, events: list[FlowEvent]) -> None:
        best_bid, best_ask = self.engine.best()
        value = round(self.value * NANO)
        edge = self.engine.tick
        size = self._size(4_000)
        if best_ask is not None and best_ask + edge <= value:
            limit = self._legal((value - edge) // self.engine.tick)
            self._report(self.engine.submit(INFORMED, "bid", limit, size, "immediate_or_cancel"), events)
        elif best_bid is not None and best_bid - edge >= value:
            limit = self._legal(-(-(value + edge) // self.engine.tick))
            self._report(self.engine.submit(INFORMED, "ask", limit, size, "immediate_or_cancel"), events)

    def _make_market(self, half_spread: int, events: list[FlowEvent]) -> None:
        # One rung a turn: its old order goes if it stands wrong, and a new one comes.
        self._maker_turn = (self._maker_turn + 1) % (2 * _MAKER_LEVELS)
        rung, odd = divmod(self._maker_turn, 2)
        side: Side = "ask" if odd else "bid"
        lean = self.engine.positions.get(MARKET_MAKER, 0) / (2_000 * NANO)
        fair = 1 / (1 + math.exp(-(self._maker_belief - 0.3 * max(-1.0, min(1.0, lean)))))
        middle = fair * (NANO // self.engine.tick)
        away = half_spread + rung
        price = self._legal(math.floor(middle - away + 0.5) if side == "bid" else math.ceil(middle + away - 0.5))
        standing = self._maker_orders.get((side, rung))
        order = None if standing is None else self.engine.order(standing)
        if order is not None:
            if order.price == price:
                return
            events.extend(self.engine.cancel(order.id))
        execution = self.engine.submit(MARKET_MAKER, side, price, self._size(10_000) + 5_000 * self.engine.lot)
        self._maker_orders[(side, rung)] = execution.order_id
        self._report(execution, events)

    # -- small parts -----------------------------------------------------------------------------------

    def _report(self, execution: Execution, events: list[FlowEvent]) -> None:
        events.extend(Traded(fill.trade_id, fill.price, fill.size, fill.taker_side) for fill in execution.fills)
        events.extend(execution.changes)

    def _size(self, most_lots: int) -> int:
        """Mostly whole contracts, some fractions; small ones are common."""
        lots = max(1, min(most_lots, int(self._random.expovariate(4 / most_lots))))
        if self._random.random() < 0.7:
            lots = max(100, lots - lots % 100)
        return lots * self.engine.lot

    def _reference(self) -> int:
        """The tick just below the middle of the book, or of the value where a side is empty."""
        best_bid, best_ask = self.engine.best()
        if best_bid is None or best_ask is None:
            return int(self.value * (NANO // self.engine.tick))
        return (best_bid + best_ask) // 2 // self.engine.tick

    def _legal(self, ticks: int) -> int:
        return max(1, min(NANO // self.engine.tick - 1, ticks)) * self.engine.tick


def _logit(probability: float) -> float:
    if not 0 < probability < 1:
        raise ValueError(f"a probability lies between 0 and 1, got {probability}")
    return math.log(probability / (1 - probability))
