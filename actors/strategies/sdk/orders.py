"""The orders of a deployed strategy: commands that wait for the end of the input, and orders as they were told.

A mirror, not the account: it keeps what was said and what was heard. Whoever runs the strategy takes the commands
behind each input (`take`), and tells it what became of them (`told`, `refused`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

from actors.strategies.sdk.signal import TIMES_IN_FORCE, SignalError, TimeInForce, number
from actors.strategies.sdk.trading import FINAL, Kind, NotDeployed, Order, OrderError, OrderState, Side

MOST_COMMANDS: Final = 64
"""Of one input; as wire.MOST_ORDERS."""
MOST_FINAL: Final = 1000
"""Orders that are not open any more; older ones are forgotten."""
MOST_VALUE: Final = 1e18
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOO_MANY: Final = f"not sent: more than {MOST_COMMANDS} commands of one input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An order is given. `key`: its id without the deployment's."""

    key: str
    order: Order
    trail_percent: float | None = None
    post_only: bool = False
    reduce_only: bool = False


@dataclass(frozen=True, slots=True)
class Cancel:
    """An order is to be cancelled."""

    order_id: str


@dataclass(frozen=True, slots=True)
class CancelAll:
    """All open orders are to be cancelled; `symbol` empty: of all."""

    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Modify:
    """An open order is to be changed; None: stays."""

    order_id: str
    quantity: float | None
    price: float | None
    stop_price: float | None


Command = Place | Cancel | CancelAll | Modify


class StrategyOrders:
    """`self.orders` of a deployed strategy. `symbols`: where it may order."""

    def __init__(self, deployment_id: str, symbols: Sequence[str], now: int = 0) -> None:
        self.deployment_id = deployment_id
        self.now = now
        self.excess = 0
        """Commands that were too many since the last `take`."""
        self.closed = False
        self._symbols = tuple(symbols)
        self._orders: dict[str, Order] = {}
        self._final: deque[str] = deque()
        self._cancelling: set[str] = set()
        self._said: list[Command] = []
        self._numbered = (0, 0)

    # -- what a strategy says ------------------------------------------------------------------------------

    def market_order(
        self,
        symbol: str,
        quantity: float,
        side: Side,
        *,
        time_in_force: TimeInForce = "DAY",
        reduce_only: bool = False,
        client_order_id: str = "",
    ) -> Order:
        """Trade at once, at the best prices there are."""
        return self._place("market", symbol, quantity, side, time_in_force, client_order_id, reduce_only)

    def limit_order(
        self,
        symbol: str,
        quantity: float,
        side: Side,
        price: float,
        *,
        time_in_force: TimeInForce = "DAY",
        post_only: bool = False,
        reduce_only: bool = False,
        client_order_id: str = "",
    ) -> Order:
        """Trade at `price` or better."""
        return self._place(
            "limit", symbol, quantity, side, time_in_force, client_order_id, reduce_only, price=price,
            post_only=bool(post_only),
        )  # fmt: skip

    def stop_order(
        self,
        symbol: str,
        quantity: float,
        side: Side,
        stop_price: float,
        *,
        time_in_force: TimeInForce = "DAY",
        reduce_only: bool = False,
        client_order_id: str = "",
    ) -> Order:
        """Become a market order when the price reaches `stop_price`."""
        return self._place(
            "stop", symbol, quantity, side, time_in_force, client_order_id, reduce_only, stop_price=stop_price
        )

    def stop_limit_order(
        self,
        symbol: str,
        quantity: float,
        side: Side,
        stop_price: float,
        price: float,
        *,
        time_in_force: TimeInForce = "DAY",
        reduce_only: bool = False,
        client_order_id: str = "",
    ) -> Order:
        """Become a limit order at `price` when the price reaches `stop_price`."""
        return self._place(
            "stop_limit", symbol, quantity, side, time_in_force, client_order_id, reduce_only, price=price,
            stop_price=stop_price,
        )  # fmt: skip

    def trailing_stop_order(
        self,
        symbol: str,
        quantity: float,
        side: Side,
        *,
        trail_amount: float | None = None,
        trail_percent: float | None = None,
        time_in_force: TimeInForce = "DAY",
        reduce_only: bool = False,
        client_order_id: str = "",
    ) -> Order:
        """A stop that follows the price at a distance: an amount, or percent of the price; one of the two."""
        if (trail_amount is None) == (trail_percent is None):
            raise OrderError("trail_amount", "one of trail_amount and trail_percent", trail_amount)
        if trail_percent is not None:
            trail_percent = positive("trail_percent", trail_percent)
            if trail_percent >= 100:
                raise OrderError("trail_percent", "a number above 0 and below 100", trail_percent)
        return self._place(
            "trailing_stop", symbol, quantity, side, time_in_force, client_order_id, reduce_only, trail=trail_amount,
            trail_percent=trail_percent,
        )  # fmt: skip

    def modify_order(
        self,
        order_id: str,
        *,
        quantity: float | None = None,
        price: float | None = None,
        stop_price: float | None = None,
    ) -> Order:
        """Change an order that is still open."""
        order = self._known(order_id, "modify_order")
        if quantity is None and price is None and stop_price is None:
            raise OrderError("modify_order", "a quantity, a price or a stop_price", None)
        command = Modify(
            order_id=order_id,
            quantity=None if quantity is None else positive("quantity", quantity),
            price=None if price is None else price_of("price", price),
            stop_price=None if stop_price is None else price_of("stop_price", stop_price),
        )
        if order.state in FINAL:
            return order
        return order if self._say(command) else replace(order, reason=_TOO_MANY)

    def cancel_order(self, order_id: str) -> Order:
        """Cancel an order that is still open."""
        order = self._known(order_id, "cancel_order")
        if order.state in FINAL or order_id in self._cancelling:
            return order
        if not self._say(Cancel(order_id)):
            return replace(order, reason=_TOO_MANY)
        self._cancelling.add(order_id)
        return order

    def cancel_all_orders(self, symbol: str | None = None) -> Sequence[Order]:
        """Cancel all open orders, of one symbol or of all."""
        self._expect_account("cancel_all_orders")
        found = [each for each in self.get_orders(symbol) if each.state not in FINAL]
        if any(each.order_id not in self._cancelling for each in found) and self._say(CancelAll(symbol or "")):
            self._cancelling.update(each.order_id for each in found)
        return found

    def get_order(self, order_id: str) -> Order | None:
        """One order; None: there is none of this id."""
        return self._orders.get(order_id)

    def get_orders(self, symbol: str | None = None, state: OrderState | None = None) -> Sequence[Order]:
        """Orders of the deployment, the newest first."""
        return [
            each
            for each in reversed(self._orders.values())
            if (symbol is None or each.symbol == symbol) and (state is None or each.state == state)
        ]

    # -- what its runner does ------------------------------------------------------------------------------

    @property
    def commanded(self) -> bool:
        """Whether there are commands to take."""
        return bool(self._said)

    def take(self) -> list[Command]:
        """The commands since the last time, in their order."""
        found, self._said = self._said, []
        self.excess = 0
        return found

    def discard(self, reason: str) -> None:
        """The commands at hand are not sent."""
        for each in self.take():
            self.unsent(each, reason)

    def unsent(self, command: Command, reason: str) -> None:
        """A command was not sent: as if it had been refused."""
        if isinstance(command, Place):
            self.refused(command.order.order_id, reason)
        elif isinstance(command, Cancel):
            self._cancelling.discard(command.order_id)
        elif isinstance(command, CancelAll):
            self._cancelling.clear()

    def told(self, order: Order) -> Order | None:
        """An order is like this now; returns how it was before."""
        before = self._orders.get(order.order_id)
        self._orders[order.order_id] = order
        if order.state in FINAL and (before is None or before.state not in FINAL):
            self._cancelling.discard(order.order_id)
            self._final.append(order.order_id)
            if len(self._final) > MOST_FINAL:
                del self._orders[self._final.popleft()]
        return before

    def refused(self, order_id: str, reason: str) -> Order | None:
        """An order was not taken; returns it, None where it has had its end already."""
        order = self._orders.get(order_id)
        if order is None or order.state in FINAL:
            return None
        order = replace(order, state="rejected", reason=reason, timestamp=self.now)
        self.told(order)
        return order

    def not_cancelled(self, order_id: str) -> None:
        """A cancel was not done: it can be said again."""
        self._cancelling.discard(order_id)

    # -- inside --------------------------------------------------------------------------------------------

    def _place(
        self,
        kind: Kind,
        symbol: str,
        quantity: float,
        side: Side,
        time_in_force: TimeInForce,
        name: str,
        reduce_only: bool,
        *,
        price: float | None = None,
        stop_price: float | None = None,
        trail: float | None = None,
        trail_percent: float | None = None,
        post_only: bool = False,
    ) -> Order:
        self._expect_account(f"{kind}_order")
        key = self._key(name)
        order = Order(
            order_id=f"{self.deployment_id}-{key}",
            symbol=one_of("symbol", symbol, self._symbols),
            side=one_of("side", side, get_args(Side)),
            kind=kind,
            quantity=positive("quantity", quantity),
            state="pending",
            price=None if kind not in ("limit", "stop_limit") else price_of("price", price),
            stop_price=None if kind not in ("stop", "stop_limit") else price_of("stop_price", stop_price),
            trail=None if trail is None else positive("trail_amount", trail),
            time_in_force=one_of("time_in_force", time_in_force, TIMES_IN_FORCE),
            timestamp=self.now,
        )
        if (known := self._orders.get(order.order_id)) is not None:
            if _terms(known) != _terms(order):
                raise OrderError("client_order_id", "another one: there is an order of this name", name)
            return known
        command = Place(
            key=key, order=order, trail_percent=trail_percent, post_only=post_only, reduce_only=bool(reduce_only)
        )
        if not self._say(command):
            return replace(order, state="rejected", reason=_TOO_MANY)
        self._orders[order.order_id] = order
        return order

    def _key(self, name: str) -> str:
        if name != "":
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise OrderError("client_order_id", "1 to 64 letters, digits, '.', '_' and '-'", name)
            return str.__str__(name)
        # Inputs may have the same time: the number goes on within it.
        at, count = self._numbered
        count = count + 1 if at == self.now else 1
        while f"{self.deployment_id}-{self.now:x}-{count}" in self._orders:
            count += 1
        self._numbered = (self.now, count)
        return f"{self.now:x}-{count}"

    def _say(self, command: Command) -> bool:
        if len(self._said) >= MOST_COMMANDS:
            self.excess += 1
            return False
        self._said.append(command)
        return True

    def _known(self, order_id: str, what: str) -> Order:
        self._expect_account(what)
        order = self._orders.get(order_id) if isinstance(order_id, str) else None
        if order is None:
            raise OrderError("order_id", "the id of an order of this strategy", order_id)
        return order

    def _expect_account(self, what: str) -> None:
        if self.closed:
            raise NotDeployed(f"orders.{what}")


def _terms(order: Order) -> tuple[object, ...]:
    return (order.symbol, order.side, order.kind)


def one_of(field: str, value: object, known: Sequence[str]) -> Any:
    """`value` as one of the known texts. Raises OrderError."""
    # What comes back is our own text: one of a subclass of str would bring its methods along.
    if isinstance(value, str):
        for each in known:
            if value == each:
                return each
    raise OrderError(field, f"one of {', '.join(known)}", value)


def positive(field: str, value: object) -> float:
    """`value` as a number above 0. Raises OrderError."""
    found = _number(field, value, "a number above 0")
    if not 0 < found <= MOST_VALUE:
        raise OrderError(field, f"a number above 0, at most {MOST_VALUE:g}", value)
    return found


def price_of(field: str, value: object) -> float:
    """`value` as a price. Raises OrderError."""
    found = _number(field, value, "a price")
    if not -MOST_VALUE <= found <= MOST_VALUE:
        raise OrderError(field, f"a price of at most {MOST_VALUE:g}", value)
    return found


def _number(field: str, value: object, expected: str) -> float:
    try:
        return number(field, value, expected)
    except SignalError:
        raise OrderError(field, expected, value) from None
