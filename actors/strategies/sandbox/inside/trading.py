"""The account of an SDK strategy in its worker: what the node says of it, and the commands that leave.

The strategy's session is deployed with an `Account` (sdk) that mirrors what the node has told. Callbacks come in this
order: the account stands as it does behind the event, then `on_order_filled` or `on_order_cancelled`, then
`on_position_closed`, `on_position_opened`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from actors.strategies.sandbox.inside.windows import Windows
from actors.strategies.sandbox.wire_orders import (
    AccountInput,
    CancelAllCommand,
    CancelCommand,
    DeployInput,
    ModifyCommand,
    OrderInput,
    PlaceCommand,
    RefusedInput,
    UndeployInput,
    WireAccount,
    WireCommand,
    WireFill,
    WireOrder,
)
from actors.strategies.sdk.account import Account, Change, Holding, Rule, Standing, Terms
from actors.strategies.sdk.base import BaseStrategy
from actors.strategies.sdk.orders import Cancel, CancelAll, Command, Place
from actors.strategies.sdk.session import Session
from actors.strategies.sdk.trading import FINAL, UNDEPLOYED, Fill, Order

NOT_SENT: Final = "not sent: handling the input has failed"


class Trading:
    """What a worker knows of the account. `account` None: the strategy is not deployed."""

    def __init__(self, session: Session, windows: Windows) -> None:
        self.account: Account | None = None
        self._session = session
        self._windows = windows

    def deploy(self, given: DeployInput) -> None:
        """The strategy has an account. One of the same deployment goes on with the history of its value."""
        before = self.account
        history = None if before is None or before.deployment_id != given.deployment_id else before.history
        if before is not None:
            before.close()
        terms = {each.symbol: Terms(lot=each.lot, multiplier=each.multiplier) for each in given.markets}
        account = Account(
            given.deployment_id, given.currency, terms, self._windows, _standing(given.account), now=given.now,
            history=history,
        )  # fmt: skip
        for order in given.orders:
            account.order_told(_order(order))
        account.at(given.now)
        account.observe()
        self.account = account
        self._session.deploy(account)

    def handle(self, given: object, strategy: BaseStrategy) -> None:
        """An input that is none of the markets; what is said of an account that is no more is left out."""
        if isinstance(given, DeployInput):
            self.deploy(given)
        elif (account := self.account) is None:
            return
        elif isinstance(given, OrderInput):
            self._order(given, account, strategy)
        elif isinstance(given, AccountInput):
            changes = account.stand(_standing(given.account))
            account.observe()
            _positions(changes, strategy)
        elif isinstance(given, RefusedInput):
            self._refused(given, account, strategy)
        elif isinstance(given, UndeployInput):
            account.close()
            self.account = None
            self._session.deploy(UNDEPLOYED)

    def take(self, index: int) -> tuple[list[WireCommand], int]:
        """The commands that the input at `index` has led to, and how many were too many."""
        orders = cast(Account, self.account).orders
        excess = orders.excess
        return [_command(each, index) for each in orders.take()], excess

    def discard(self) -> None:
        """The commands of the input at hand are not sent."""
        if self.account is not None:
            self.account.orders.discard(NOT_SENT)

    def unsent(self, commands: Sequence[WireCommand]) -> None:
        """These were taken, and could not be sent."""
        if self.account is None:
            return
        orders = self.account.orders
        for each in commands:
            if isinstance(each, PlaceCommand):
                orders.refused(f"{self.account.deployment_id}-{each.key}", NOT_SENT)
            elif isinstance(each, CancelCommand):
                orders.unsent(Cancel(each.order_id), NOT_SENT)
            elif isinstance(each, CancelAllCommand):
                orders.unsent(CancelAll(each.symbol), NOT_SENT)

    def _order(self, given: OrderInput, account: Account, strategy: BaseStrategy) -> None:
        changes = [] if given.account is None else account.stand(_standing(given.account))
        account.observe()
        order = _order(given.order)
        before = account.order_told(order)
        if given.event == "cancel_rejected":
            account.orders.not_cancelled(order.order_id)
            self._session.log(f"{order.order_id} is not cancelled: {order.reason}", "warning")
        if (fill := given.fill) is not None:
            strategy.on_order_filled(_fill(order, fill))
        elif order.state in FINAL and order.state != "filled" and (before is None or before.state not in FINAL):
            strategy.on_order_cancelled(order)
        _positions(changes, strategy)

    def _refused(self, given: RefusedInput, account: Account, strategy: BaseStrategy) -> None:
        orders = account.orders
        if given.what == "place":
            order = orders.refused(given.order_id, given.reason)
            if order is not None:
                strategy.on_order_cancelled(order)
            return
        if given.what == "cancel":
            orders.unsent(Cancel(given.order_id) if given.order_id else CancelAll(""), given.reason)
        self._session.log(f"{given.what} {given.order_id or 'all'}: {given.reason}", "warning")


def _positions(changes: Sequence[Change], strategy: BaseStrategy) -> None:
    for change in changes:
        if change.kind == "closed":
            strategy.on_position_closed(change.position)
        else:
            strategy.on_position_opened(change.position)


def _standing(account: WireAccount) -> Standing:
    return Standing(
        cash=account.cash,
        positions={
            each.symbol: Holding(
                quantity=each.quantity,
                average_price=each.average_price,
                invested=each.invested,
                realized=each.realized,
                price=each.price,
                opened=each.opened,
            )
            for each in account.positions
        },
        realized=account.realized,
        fees=account.fees,
        initial=account.initial,
        trades=account.trades,
        wins=account.wins,
        rules=tuple(
            Rule(
                name=each.name,
                limit=each.limit,
                used=each.used,
                measure=cast(Any, each.measure),
                severity=cast(Any, each.severity),
                enabled=each.enabled,
                symbol=each.symbol,
            )
            for each in account.rules
        ),
    )


def _fill(order: Order, fill: WireFill) -> Fill:
    return Fill(order=order, quantity=fill.quantity, price=fill.price, fee=fill.fee, timestamp=fill.ts)


def _order(order: WireOrder) -> Order:
    return Order(
        order_id=order.order_id,
        symbol=order.symbol,
        side=cast(Any, order.side),
        kind=cast(Any, order.kind),
        quantity=order.quantity,
        state=cast(Any, order.state),
        filled=order.filled,
        average_price=order.average_price,
        price=order.price,
        stop_price=order.stop_price,
        trail=order.trail,
        time_in_force=cast(Any, order.time_in_force),
        reason=order.reason,
        timestamp=order.ts,
    )


def _command(command: Command, index: int) -> WireCommand:
    if isinstance(command, Place):
        order = command.order
        return PlaceCommand(
            index, command.key, order.symbol, order.side, order.kind, order.quantity, order.time_in_force,
            order.price, order.stop_price, order.trail, command.trail_percent, command.post_only, command.reduce_only,
        )  # fmt: skip
    if isinstance(command, Cancel):
        return CancelCommand(index, command.order_id)
    if isinstance(command, CancelAll):
        return CancelAllCommand(index, command.symbol)
    return ModifyCommand(index, command.order_id, command.quantity, command.price, command.stop_price)
