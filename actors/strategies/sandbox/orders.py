"""Between a worker's commands and an account: floats become nanos, or the command goes back with the reason.

A `Desk` is the node's side of one deployed run, live as in a backtest: it knows the deployment, its markets and its
open orders. What a worker says is checked here once more: where it may order, which orders are its own, and that every
price and quantity is a multiple of the instrument's step; nothing is rounded.

    desk = Desk(deployment, run.markets, sender)
    reply = await loaded.run(inputs, until_command=True)
    taken = desk.commands(reply.orders, marks, now)     # taken.commands for the account, taken.refused are inputs
    inputs = [desk.order_input(event, shown, now)]      # what became of it
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from actors.strategies.sandbox.wire_orders import (
    AccountInput,
    CancelAllCommand,
    CancelCommand,
    DeployInput,
    ModifyCommand,
    OrderInput,
    PlaceCommand,
    RefusedInput,
    WireAccount,
    WireCommand,
    WireFill,
    WireOrder,
    WirePosition,
    WireRule,
    WireTerms,
)
from protocols.deployments import AccountShown, DeployRun
from protocols.instruments import Instrument
from protocols.nanos import INT64_MAX, NANO
from protocols.orders import (
    FINAL,
    AmendOrder,
    CancelOrder,
    CancelOrders,
    Fill,
    NewOrder,
    Order,
    OrderCommand,
    OrderEvent,
    OrderState,
    SubmitOrders,
)

_STATES: Final[dict[OrderState, str]] = {
    "held": "submitted",
    "submitted": "submitted",
    "accepted": "submitted",
    "partially_filled": "partially_filled",
    "filled": "filled",
    "cancelled": "cancelled",
    "expired": "expired",
    "denied": "rejected",
    "rejected": "rejected",
    "unknown": "submitted",
}
_PRICES: Final = {
    "market": (),
    "limit": ("price",),
    "stop": ("stop_price",),
    "stop_limit": ("price", "stop_price"),
    "trailing_stop": ("trail",),
}
_PERCENT: Final = NANO // 100


class Unfit(ValueError):
    """A command that cannot be one for this account, and why."""


class Taken(NamedTuple):
    """What comes of a worker's commands: those for the account, in their order, and inputs that say what is refused."""

    commands: tuple[OrderCommand, ...]
    refused: tuple[RefusedInput, ...]


class Desk:
    """The node's side of one deployed run. `markets`: those of the run; `sender`: path@incarnation of who asks."""

    def __init__(self, deployment: DeployRun, markets: Iterable[str], sender: str = "") -> None:
        self.deployment_id = deployment.deployment_id
        self.account = deployment.account
        self.currency = deployment.currency
        self.markets = tuple(deployment.markets or markets)
        self.sender = sender
        self.instruments = {each.market: each for each in deployment.instruments}
        self.shown = deployment.shown
        self.since = deployment.shown.ts
        """What has happened before is in the deployment already."""
        self.said = self.refused = 0
        self._open = {each.order.client_order_id: each for each in deployment.open_orders}

    def define(self, instrument: Instrument) -> None:
        """A market's definition, or its next version."""
        self.instruments[instrument.market] = instrument

    # From the worker.

    def commands(self, said: Sequence[WireCommand], marks: tuple[str, ...], now: int) -> Taken:
        """Commands for the account. `marks`: of what the strategy was given so far."""
        self.said += len(said)
        found: list[OrderCommand] = []
        refused: list[RefusedInput] = []
        for each in said:
            try:
                found.append(
                    SubmitOrders((self._new(each, marks, now),))
                    if isinstance(each, PlaceCommand)
                    else self._other(each)
                )
            except ValueError as error:
                refused.append(self._refused(each, str(error), now))
        return Taken(tuple(found), tuple(refused))

    def refuse(self, command: OrderCommand, reason: str, now: int) -> tuple[RefusedInput, ...]:
        """What the worker is told where the account has not taken a command."""
        if isinstance(command, SubmitOrders):
            return tuple(
                RefusedInput(each.client_order_id, "place", reason, now)
                for each in command.orders
                if self._open.pop(each.client_order_id, None) is not None
            )
        if isinstance(command, CancelOrders):
            return (RefusedInput("", "cancel", reason, now),)
        what = "cancel" if isinstance(command, CancelOrder) else "modify"
        return (RefusedInput(command.client_order_id, what, reason, now),)

    def _new(self, said: PlaceCommand, marks: tuple[str, ...], now: int) -> NewOrder:
        instrument = self._instrument(said.symbol)
        _expect_prices(said)
        order = NewOrder(
            client_order_id=f"{self.deployment_id}-{said.key}",
            market=said.symbol,
            side=said.side,
            kind=said.kind,
            size=_size(instrument, said.quantity),
            price=None if said.price is None else _price(instrument, said.price, "price"),
            stop_price=None if said.stop_price is None else _price(instrument, said.stop_price, "stop_price"),
            trail=None if said.trail is None else _distance(instrument, said.trail),
            trail_share=None if said.trail_percent is None else max(1, round(said.trail_percent * _PERCENT)),
            time_in_force=said.time_in_force,
            post_only=said.post_only,
            reduce_only=said.reduce_only,
            deployment_id=self.deployment_id,
            source="strategy",
            sender=self.sender,
            marks=marks,
        )
        self._open.setdefault(
            order.client_order_id,
            Order(account=self.account, order=order, state="submitted", ts_created=now, ts_updated=now),
        )
        return order

    def _other(self, said: CancelCommand | CancelAllCommand | ModifyCommand) -> CancelOrder | CancelOrders | AmendOrder:
        if isinstance(said, CancelAllCommand):
            if said.symbol and said.symbol not in self.markets:
                raise Unfit(f"symbol: expected one of {', '.join(self.markets)}, got {said.symbol!r}")
            return CancelOrders(said.symbol, self.deployment_id)
        known = self._open.get(said.order_id)
        if known is None:
            raise Unfit(f"order_id: there is no open order {said.order_id!r} of this deployment")
        if isinstance(said, CancelCommand):
            return CancelOrder(said.order_id)
        instrument = self._instrument(known.order.market)
        return AmendOrder(
            said.order_id,
            None if said.quantity is None else _size(instrument, said.quantity),
            None if said.price is None else _price(instrument, said.price, "price"),
            None if said.stop_price is None else _price(instrument, said.stop_price, "stop_price"),
            self.sender,
        )

    def _refused(self, said: WireCommand, reason: str, now: int) -> RefusedInput:
        self.refused += 1
        if isinstance(said, PlaceCommand):
            return RefusedInput(f"{self.deployment_id}-{said.key}", "place", reason, now)
        if isinstance(said, CancelAllCommand):
            return RefusedInput("", "cancel", reason, now)
        return RefusedInput(said.order_id, "cancel" if isinstance(said, CancelCommand) else "modify", reason, now)

    def _instrument(self, symbol: str) -> Instrument:
        if symbol not in self.markets:
            raise Unfit(f"symbol: expected one of {', '.join(self.markets)}, got {symbol!r}")
        instrument = self.instruments.get(symbol)
        if instrument is None:
            raise Unfit(f"symbol: the steps of {symbol} are not known")
        if instrument.data_only:
            raise Unfit(f"symbol: the steps of {symbol} are finer than an order can say")
        return instrument

    # To the worker.

    def deploy_input(self, now: int) -> DeployInput:
        """The deployment as it stands."""
        terms = []
        for market in self.markets:
            instrument = self.instruments.get(market)
            if instrument is None:
                terms.append(WireTerms(market))
            else:
                terms.append(WireTerms(market, instrument.lot / NANO, instrument.multiplier / NANO))
        orders = tuple(wire_order(each) for each in self._open.values())
        return DeployInput(self.deployment_id, self.currency, tuple(terms), wire_account(self.shown), orders, now)

    def order_input(self, event: OrderEvent, shown: AccountShown | None, now: int) -> OrderInput:
        """What happened to an order, with the account behind it."""
        order = event.order
        if order.state in FINAL:
            self._open.pop(order.order.client_order_id, None)
        else:
            self._open[order.order.client_order_id] = order
        if shown is not None:
            self.shown = shown
        return OrderInput(
            wire_order(order),
            event.kind,
            None if event.fill is None else wire_fill(event.fill),
            None if shown is None else wire_account(shown),
            now,
        )

    def account_input(self, shown: AccountShown, now: int) -> AccountInput:
        """How the account stands."""
        self.shown = shown
        return AccountInput(wire_account(shown), now)


def wire_order(order: Order) -> WireOrder:
    """An order in the words of the SDK; a denied one is rejected for a strategy."""
    new = order.order
    return WireOrder(
        new.client_order_id,
        new.market,
        new.side,
        new.kind,
        new.size / NANO,
        _STATES[order.state],
        order.filled / NANO,
        _units(order.average_price),
        _units(new.price),
        _units(new.stop_price),
        _units(new.trail),
        new.time_in_force,
        order.reason or order.reason_code,
        order.ts_updated,
    )


def wire_fill(fill: Fill) -> WireFill:
    """A part of an order that was traded."""
    return WireFill(fill.size / NANO, fill.price / NANO, fill.fee / NANO, fill.ts)


def wire_account(shown: AccountShown) -> WireAccount:
    """How the account stands, in floats."""
    positions = tuple(
        WirePosition(
            each.market,
            each.quantity / NANO,
            float("nan") if each.average_price is None else each.average_price / NANO,
            float(each.invested),
            float(each.realized),
            _units(each.price),
            each.opened,
        )
        for each in shown.positions
    )
    rules = tuple(
        WireRule(
            each.name,
            float(each.limit),
            None if each.used is None else float(each.used),
            each.measure,
            each.severity,
            each.enabled,
            each.market,
        )
        for each in shown.rules
    )
    return WireAccount(
        shown.cash / NANO, float(shown.realized), shown.fees / NANO, _units(shown.initial), shown.trades, shown.wins,
        positions, rules,
    )  # fmt: skip


def _units(nanos: int | None) -> float | None:
    return None if nanos is None else nanos / NANO


def _expect_prices(said: PlaceCommand) -> None:
    """An order has the prices of its kind, and no others."""
    given = {name for name in ("price", "stop_price", "trail") if getattr(said, name) is not None}
    if said.trail_percent is not None:
        if "trail" in given:
            raise Unfit("trail_percent: expected it or a trail, got both")
        given.add("trail")
    expected = set(_PRICES[said.kind])
    if given != expected:
        wanted, got = (", ".join(sorted(each)) or "no price" for each in (expected, given))
        raise Unfit(f"{said.kind}: expected {wanted}, got {got}")
    if said.post_only and said.kind != "limit":
        raise Unfit(f"post_only: expected a limit order, got {said.kind}")


def _size(instrument: Instrument, quantity: float) -> int:
    size = instrument.size(quantity)
    if size <= 0:
        raise Unfit(f"{quantity} is less than a lot of {instrument.market}")
    return _bounded(size, "quantity")


def _price(instrument: Instrument, price: float, field: str) -> int:
    return _bounded(instrument.price(price), field)


def _distance(instrument: Instrument, trail: float) -> int:
    """A distance of prices: a multiple of the finest tick, under the rule of `Instrument.price`."""
    step = min((each.step for each in instrument.price_ranges), default=0)
    amount = Fraction(trail) * NANO
    ticks = round(amount / step) if step else 0
    if not ticks or abs(amount - ticks * step) * 1_000_000 > step:
        raise Unfit(f"trail: {trail} is no multiple of the tick of {instrument.market}")
    return _bounded(ticks * step, "trail")


def _bounded(nanos: int, field: str) -> int:
    if abs(nanos) > INT64_MAX:
        raise Unfit(f"{field}: expected at most {INT64_MAX // NANO}, got {nanos // NANO}")
    return nanos
