"""Order flow of a simulated spot or perpetual market: a wide book of small ticks, as a coin has one.

The traders are those of `actors.market.simulated.flow`, around a hidden value that walks in ticks: noise traders,
informed ones who see the value, a market maker who follows it late, and a depth of resting orders far from the best
prices, thousands of levels wide, that thin out with distance. Everything comes from one seeded generator.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Final

from actors.execution.matching.exchange import Execution, MatchingEngine
from actors.market.simulated.flow import FlowEvent, Regime, RegimeName, Traded
from protocols.market import Side

MARKET_MAKER: Final = "market_maker"
INFORMED: Final = "informed"
DEPTH: Final = "depth"
_NOISE_TRADERS: Final = 12
_RUNGS: Final = 8
_MOST_NOISE_ORDERS: Final = 400
# Drift and deviation of the value a step, in ticks; the shares of the turns: noise, informed, depth, and the rest.
_TEMPERS: Final[dict[str, tuple[float, float, float, float, float]]] = {
    "calm": (0.0, 0.6, 0.40, 0.05, 0.20),
    "trend_up": (0.4, 0.8, 0.35, 0.15, 0.20),
    "trend_down": (-0.4, 0.8, 0.35, 0.15, 0.20),
    "volatile": (0.0, 4.0, 0.30, 0.20, 0.20),
}
_SCHEDULE: Final = (
    Regime("calm", 3_000),
    Regime("trend_up", 1_500),
    Regime("volatile", 600),
    Regime("calm", 2_000),
    Regime("trend_down", 1_500),
)


class WideFlow:
    """One market's traders and its engine. `value`, `tick`, `lot` in nanos; `levels`: both sides together, about."""

    def __init__(self, market: str, seed: int, *, value: int, tick: int, lot: int, levels: int = 4_000) -> None:
        self.engine = MatchingEngine(market, tick, lot, highest=4 * value)
        self._random = random.Random(f"{seed}/{market}")  # noqa: S311 - repeatable on purpose
        self._value = value / tick
        self._belief = self._value
        self._anchor = self._value
        self._unit = max(1, 1_000_000_000 // lot // 1_000)
        self._schedule = deque(_SCHEDULE)
        self._planted: deque[Regime] = deque()
        self._regime = Regime("calm", 0)
        self._left = 0
        self._noise_orders: list[int] = []
        self._depth_orders: list[int] = []
        self._maker_orders: dict[tuple[Side, int], int] = {}
        self._maker_turn = 0
        self._levels = levels
        self.steps = 0

    @property
    def market(self) -> str:
        """The market's name."""
        return self.engine.market

    @property
    def regime(self) -> RegimeName:
        """The regime that holds."""
        return self._regime.name

    def open(self) -> list[FlowEvent]:
        """Fill the book's depth; to be called once, before the first step. What the public sees of it."""
        events: list[FlowEvent] = []
        for side in ("bid", "ask"):
            away = 0
            prices = []
            for _ in range(self._levels // 2):
                away += 1 + int(self._random.expovariate(0.7))
                prices.append(self._legal(int(self._value) + (-20 - away if side == "bid" else 20 + away)))
            # The farthest first, so that each is the best of its side when it comes.
            for price in reversed(prices):
                self._rest(side, price, events)
        return events

    def plant(self, name: RegimeName, steps: int) -> None:
        """Let this regime hold from the next step on, for `steps` steps; then the schedule goes on."""
        self._planted.append(Regime(name, steps))
        self._left = 0

    def settle(self, value: int | None = None) -> list[FlowEvent]:
        """A coin has no end: nothing happens."""
        return []

    def step(self) -> list[FlowEvent]:
        """One trader's turn: what the public sees of it."""
        self.steps += 1
        if self._left <= 0:
            self._next_regime()
        self._left -= 1
        drift, deviation, noise, informed, depth = _TEMPERS.get(self._regime.name, _TEMPERS["calm"])
        # A weak pull back keeps the value inside the depth.
        self._value += drift + deviation * self._random.gauss(0.0, 1.0) - 0.0002 * (self._value - self._anchor)
        self._belief += 0.05 * (self._value - self._belief)
        events: list[FlowEvent] = []
        chance = self._random.random()
        if chance < noise:
            self._noise(events)
        elif chance < noise + informed:
            self._informed(events)
        elif chance < noise + informed + depth:
            self._deepen(events)
        else:
            self._make_market(events)
        return events

    def _next_regime(self) -> None:
        if self._planted:
            self._regime = self._planted.popleft()
        else:
            self._regime = self._schedule[0]
            self._schedule.rotate(-1)
        self._left = self._regime.steps

    # -- traders -------------------------------------------------------------------------------------------

    def _noise(self, events: list[FlowEvent]) -> None:
        trader = f"noise_{self._random.randrange(_NOISE_TRADERS)}"
        side: Side = "bid" if self._random.random() < 0.5 else "ask"
        chance = self._random.random()
        if self._noise_orders and (len(self._noise_orders) > _MOST_NOISE_ORDERS or chance < 0.35):
            self._withdraw(self._noise_orders, events)
            return
        best_bid, best_ask = self.engine.best()
        if chance < 0.50:
            price = best_ask if side == "bid" else best_bid
            if price is not None:
                size = self._size(20)
                self._report(self.engine.submit(trader, side, price, size, "immediate_or_cancel"), events)
            return
        away = int(self._random.expovariate(0.05))
        middle = self._middle(best_bid, best_ask)
        price = self._legal(middle - away if side == "bid" else middle + 1 + away)
        execution = self.engine.submit(trader, side, price, self._size(50))
        if execution.resting:
            self._noise_orders.append(execution.order_id)
        self._report(execution, events)

    def _informed(self, events: list[FlowEvent]) -> None:
        best_bid, best_ask = self.engine.best()
        value = int(self._value) * self.engine.tick
        edge = 4 * self.engine.tick
        if best_ask is not None and best_ask + edge <= value:
            limit = self._legal((value - edge) // self.engine.tick)
            self._report(self.engine.submit(INFORMED, "bid", limit, self._size(200), "immediate_or_cancel"), events)
        elif best_bid is not None and best_bid - edge >= value:
            limit = self._legal((value + edge) // self.engine.tick)
            self._report(self.engine.submit(INFORMED, "ask", limit, self._size(200), "immediate_or_cancel"), events)

    def _deepen(self, events: list[FlowEvent]) -> None:
        """Far orders come and go, so that their number stays."""
        if len(self._depth_orders) >= self._levels and self._random.random() < 0.5:
            self._withdraw(self._depth_orders, events)
            return
        side: Side = "bid" if self._random.random() < 0.5 else "ask"
        away = 20 + int(self._random.expovariate(4 / (self._levels + 1)))
        middle = self._middle(*self.engine.best())
        self._rest(side, self._legal(middle - away if side == "bid" else middle + away), events)

    def _make_market(self, events: list[FlowEvent]) -> None:
        # One rung a turn: its old order goes if it stands wrong, and a new one comes.
        self._maker_turn = (self._maker_turn + 1) % (2 * _RUNGS)
        rung, odd = divmod(self._maker_turn, 2)
        side: Side = "ask" if odd else "bid"
        away = 2 + 3 * rung
        price = self._legal(int(self._belief) - away if side == "bid" else int(self._belief) + 1 + away)
        standing = self._maker_orders.get((side, rung))
        order = None if standing is None else self.engine.order(standing)
        if order is not None:
            if abs(order.price - price) <= self.engine.tick:
                return
            events.extend(self.engine.cancel(order.id))
        execution = self.engine.submit(MARKET_MAKER, side, price, self._size(300))
        self._maker_orders[(side, rung)] = execution.order_id
        self._report(execution, events)

    # -- small parts ---------------------------------------------------------------------------------------

    def _rest(self, side: Side, price: int, events: list[FlowEvent]) -> None:
        execution = self.engine.submit(DEPTH, side, price, self._size(1_000))
        if execution.resting:
            self._depth_orders.append(execution.order_id)
        self._report(execution, events)

    def _withdraw(self, orders: list[int], events: list[FlowEvent]) -> None:
        index = self._random.randrange(len(orders))
        order_id = orders[index]
        orders[index] = orders[-1]
        orders.pop()
        events.extend(self.engine.cancel(order_id))

    def _report(self, execution: Execution, events: list[FlowEvent]) -> None:
        events.extend(Traded(fill.trade_id, fill.price, fill.size, fill.taker_side) for fill in execution.fills)
        events.extend(execution.changes)

    def _size(self, most: int) -> int:
        """In thousandths of a coin at most `most`; small ones are common."""
        share = min(1.0, self._random.expovariate(4.0))
        return max(1, int(share * most * self._unit)) * self.engine.lot

    def _middle(self, best_bid: int | None, best_ask: int | None) -> int:
        if best_bid is None or best_ask is None:
            return int(self._value)
        return (best_bid + best_ask) // 2 // self.engine.tick

    def _legal(self, ticks: int) -> int:
        return max(1, min(self.engine.highest // self.engine.tick - 1, ticks)) * self.engine.tick
