"""Orders of people: from a request to what an account is told, and back.

What does not fit together, lies between two steps or is of no market is an error of the request (400, 404), and no
order. What breaks a limit is an order: `denied`, with its code, and stored.
"""

from __future__ import annotations

import secrets
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
import trio

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.execution.http.numbers import Amount, maybe_nanos, nanos, nanoseconds
from actors.execution.risk.form import fields, price_steps, size_steps
from protocols.control import Refused
from protocols.execution import GetMarket, GetOrders, MarketShown, OrderByHand, account_actor
from protocols.nanos import NANO, decimal_text
from protocols.orders import (
    AmendOrder,
    CancelOrder,
    Leg,
    NewOrder,
    Order,
    OrderCommand,
    OrderKind,
    PositionSide,
    Side,
    SubmitOrders,
    TimeInForce,
)

ASK_S: Final = 10.0
MOMENT_S: Final = 0.5
"""How long an answer waits for what the venue says to a cancel or a change; latencies may be longer."""
POLL_S: Final = 0.005
REFUSALS: Final = {"not_found": 404, "conflict": 409, "id_taken": 409}
FIELDS: Final = {
    "size": "quantity",
    "display": "display_quantity",
    "trail": "trail_amount",
    "trail_share": "trail_percent",
    "protection": "max_slippage",
    "expires": "expires_at",
}
"""What the fields of an order are called in a request, where that is something else."""

ClientOrderId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{0,64}$")]


class OrderRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An order of a person.

    `trail_amount` or `trail_percent` (a share: 0.01 is 1 %) of a trailing stop. `stop_loss` and `take_profit` make a
    bracket: they wait for this order's fill, and one of them ends the other. `oco_group`: orders with the same text end
    one another. `parent`: an order that has to be filled first. `display_quantity`: the shown part of an iceberg.
    `max_slippage`: a market order takes no price that is worse by more than this share. `leg` NO of a prediction
    market: side and prices are those of NO. `position_side`: of an account with hedging. `metadata` is answered as it
    came, and not kept.
    """

    symbol: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    side: Side
    order_type: OrderKind = "market"
    quantity: Amount
    price: Amount | None = None
    stop_price: Amount | None = None
    trail_amount: Amount | None = None
    trail_percent: Amount | None = None
    time_in_force: TimeInForce = "DAY"
    expires_at: str = ""
    client_order_id: ClientOrderId = ""
    post_only: bool = False
    reduce_only: bool = False
    display_quantity: Amount | None = None
    max_slippage: Amount | None = None
    stop_loss: Amount | None = None
    take_profit: Amount | None = None
    oco_group: ClientOrderId = ""
    parent: ClientOrderId = ""
    position_side: PositionSide = ""
    leg: Leg = ""
    metadata: dict[str, Any] = {}


class AmendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be another; what is left out stays. `quantity`: the new total, what is filled included."""

    order_id: str
    quantity: Amount | None = None
    price: Amount | None = None
    stop_price: Amount | None = None


async def market_of(call: Call, account: str, symbol: str) -> MarketShown:
    """A market as the account sees it. Raises HttpError 404 for one that no feed has or nobody defines."""
    try:
        return await call.ref(account_actor(account)).ask(GetMarket(symbol), ASK_S)
    except Refused as refused:
        if refused.code not in ("not_found", "instrument_unknown"):
            raise
        raise HttpError(404, refused.code, refused.message, "symbol") from None


def orders_of(request: OrderRequest, market: MarketShown) -> tuple[NewOrder, ...]:
    """The order and the two of its bracket. Raises HttpError 400 with the field."""
    instrument = market.instrument
    if request.leg and instrument.kind != "prediction":
        raise HttpError(400, "invalid", f"expected none: {request.symbol} has no legs, got {request.leg}", "leg")
    name = request.client_order_id or f"m-{secrets.token_hex(8)}"
    no = request.leg == "NO"
    side: Side = _other(request.side) if no else request.side
    size = nanos(request.quantity, "quantity", positive=True)
    expires = nanoseconds(request.expires_at, "expires_at", 0) or None
    common: dict[str, Any] = {
        "market": request.symbol,
        "position_side": request.position_side,
        "leg": request.leg,
        "marks": instrument.marks,
    }
    entry = NewOrder(
        client_order_id=name,
        side=side,
        kind=request.order_type,
        size=size,
        price=_price(request.price, "price", no),
        stop_price=_price(request.stop_price, "stop_price", no),
        trail=maybe_nanos(request.trail_amount, "trail_amount"),
        trail_share=maybe_nanos(request.trail_percent, "trail_percent"),
        time_in_force=request.time_in_force,
        expires=expires,
        post_only=request.post_only,
        reduce_only=request.reduce_only,
        display=maybe_nanos(request.display_quantity, "display_quantity"),
        protection=maybe_nanos(request.max_slippage, "max_slippage"),
        parent=request.parent,
        oco=request.oco_group,
        source="manual",
        **common,
    )
    orders = [entry]
    both = request.stop_loss is not None and request.take_profit is not None
    exits: dict[str, Any] = {
        "side": _other(side),
        "size": size,
        "reduce_only": True,
        "parent": name,
        "oco": name if both else "",
        "source": "bracket",
        **common,
    }
    if (stop := _price(request.stop_loss, "stop_loss", no)) is not None:
        orders.append(NewOrder(client_order_id=f"{name}-s", kind="stop", stop_price=stop, **exits))
    if (target := _price(request.take_profit, "take_profit", no)) is not None:
        orders.append(NewOrder(client_order_id=f"{name}-t", kind="limit", price=target, **exits))
    for order in orders:
        _check(order, market)
    return tuple(orders)


def _price(value: Decimal | None, field: str, no: bool) -> int | None:
    """A price in the YES book: NO at q is YES at 1 - q."""
    found = maybe_nanos(value, field)
    return NANO - found if no and found is not None else found


def _wrong_bracket(request: OrderRequest, market: MarketShown) -> HttpError | None:
    """The error of a stop_loss or a take_profit on the wrong side: it would end what it is to protect at once.

    Compared in the request's own leg, with the price of the entry if it has one, else with that of the market.
    """
    stop, target = maybe_nanos(request.stop_loss, "stop_loss"), maybe_nanos(request.take_profit, "take_profit")
    entry = _entry(request, market)
    buys = request.side == "buy"
    for field, value, bound, below in (
        ("stop_loss", stop, entry, buys),
        ("take_profit", target, entry, not buys),
        ("take_profit", target, stop, not buys),
    ):
        if value is not None and bound is not None and not (value < bound if below else value > bound):
            side = "below" if below else "above"
            text = f"expected {side} {decimal_text(bound)}, got {decimal_text(value)}"
            return HttpError(400, "invalid_order", text, field)
    return None


def _entry(request: OrderRequest, market: MarketShown) -> int | None:
    """What an order would enter at, in its own leg; None: not known."""
    if request.order_type == "trailing_stop":
        return None
    if request.order_type != "market":
        return maybe_nanos(request.price, "price") or maybe_nanos(request.stop_price, "stop_price")
    if request.leg == "NO":
        met = market.bid if request.side == "buy" else market.ask
        return None if met is None else NANO - met
    return market.ask if request.side == "buy" else market.bid


def _other(side: Side) -> Side:
    return "sell" if side == "buy" else "buy"


def _check(order: NewOrder, market: MarketShown) -> None:
    """Raises HttpError 400 for an order that is none."""
    instrument = market.instrument
    denial = fields(order) or price_steps(order, instrument, None) or size_steps(order, instrument, None)
    if denial is None:
        return
    field = FIELDS.get(denial.field, denial.field)
    if order.source == "bracket":
        field = "stop_loss" if order.kind == "stop" else "take_profit"
    named = denial.reason.startswith(denial.field)
    reason = field + denial.reason.removeprefix(denial.field) if named else denial.reason
    raise HttpError(400, denial.code, f"{reason}, got {denial.value}" if denial.value else reason, field)


async def ordered(call: Call, account: str, request: OrderRequest) -> tuple[Order, ...]:
    """Do what is ordered; how the order and those of its bracket stand then. Raises HttpError 400, 404, 409."""
    market = await market_of(call, account, request.symbol)
    orders = orders_of(request, market)
    if wrong := _wrong_bracket(request, market):
        # A repeat stays one, wherever the market has gone since.
        known = await call.ref(account_actor(account)).ask(GetOrders(client_order_id=orders[0].client_order_id), ASK_S)
        if not known.orders:
            raise wrong
    return await placed(call, account, orders)


async def placed(call: Call, account: str, orders: tuple[NewOrder, ...]) -> tuple[Order, ...]:
    """Give orders to an account; how they stand then, denied ones included. Raises HttpError 409."""
    await commanded(call, account, SubmitOrders(orders), told=frozenset({"id_taken"}))
    return tuple([await known_order(call, account, order.client_order_id) for order in orders])


async def commanded(call: Call, account: str, command: OrderCommand, told: frozenset[str] = frozenset()) -> None:
    """Do one command. Raises HttpError for what was not taken: of a `SubmitOrders` only the codes in `told`."""
    taken = await call.ref(account_actor(account)).ask(OrderByHand(commands=(command,)), ASK_S)
    for denied in taken.denied:
        if isinstance(command, SubmitOrders) and denied.code not in told:
            continue
        status = REFUSALS.get(denied.code, 409)
        raise HttpError(status, denied.code, denied.reason, "client_order_id" if told else "order_id")


async def known_order(call: Call, account: str, client_order_id: str) -> Order:
    """An order that the account remembers. Raises HttpError 404."""
    found = await call.ref(account_actor(account)).ask(GetOrders(client_order_id=client_order_id), ASK_S)
    if not found.orders:
        raise HttpError(404, "not_found", f"{account} has no order {client_order_id}", "order_id")
    return found.orders[0]


async def answered_order(call: Call, account: str, client_order_id: str) -> Order:
    """An order once the venue has answered to what is under way, or as it stands after a moment."""
    deadline = trio.current_time() + MOMENT_S
    while True:
        found = await known_order(call, account, client_order_id)
        if not found.pending or trio.current_time() >= deadline:
            return found
        await trio.sleep(POLL_S)


async def cancelled(call: Call, account: str, client_order_id: str) -> Order:
    """Cancel an order; how it stands then. Raises HttpError 404, 409 (it has ended)."""
    await commanded(call, account, CancelOrder(client_order_id))
    return await answered_order(call, account, client_order_id)


async def amended(call: Call, account: str, request: AmendRequest) -> Order:
    """Change an order; how it stands then. Raises HttpError 400, 404, 409 (it has ended, or a limit forbids it)."""
    before = await known_order(call, account, request.order_id)
    no = before.order.leg == "NO"
    command = AmendOrder(
        request.order_id,
        size=maybe_nanos(request.quantity, "quantity"),
        price=_price(request.price, "price", no),
        stop_price=_price(request.stop_price, "stop_price", no),
    )
    if command.size is None and command.price is None and command.stop_price is None:
        raise HttpError(400, "invalid", "expected a quantity, a price or a stop_price", "quantity")
    wanted = msgspec.structs.replace(
        before.order,
        size=before.order.size if command.size is None else command.size,
        price=before.order.price if command.price is None else command.price,
        stop_price=before.order.stop_price if command.stop_price is None else command.stop_price,
    )
    _check(wanted, await market_of(call, account, before.order.market))
    await commanded(call, account, command)
    after = await answered_order(call, account, request.order_id)
    done = (after.order.size, after.order.price, after.order.stop_price) == (
        wanted.size,
        wanted.price,
        wanted.stop_price,
    )
    if not done and after.pending != "amend":
        raise HttpError(409, after.reason_code or "amend", after.reason or "the order was not changed", "order_id")
    return after
