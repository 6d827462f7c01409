"""Brokers, in the words of the strategy service: where each account's orders go, its money and positions."""

from __future__ import annotations

from typing import Final

from actors.edge.call import Call
from actors.edge.errors import HttpError
from actors.execution.http.account_routes import view_of
from actors.execution.http.bodies import position_body
from actors.execution.http.live_bodies import (
    BrokerAccount,
    BrokerBody,
    BrokerPage,
    BrokerPositions,
    BrokerQuery,
    broker_account,
)
from actors.execution.http.numbers import moment
from protocols.deployments import DEPLOYMENTS
from protocols.execution import (
    GetReconciliation,
    ListAccounts,
    account_actor,
)

ASK_S: Final = 15.0


async def broker_status(call: Call) -> BrokerPage:
    """Answer where each account's orders go, and whether it can trade now."""
    found = []
    for name, _, mode, _, _, up in (await call.ref(DEPLOYMENTS).ask(ListAccounts(), ASK_S)).accounts:
        found.append(await _broker(call, name) if up else _down(name, mode))
    return BrokerPage(tuple(found), sum(each.mode == "live" for each in found))


def _down(name: str, mode: str) -> BrokerBody:
    return BrokerBody(name, "", mode, False, "starting", "", "the account is being started", None, None)


async def _broker(call: Call, name: str) -> BrokerBody:
    view = await view_of(call, name)
    compared, differences = 0, None
    if view.mode == "live":
        said = await call.ref(account_actor(name)).ask(GetReconciliation(), ASK_S)
        compared, differences = said.compared, len(said.differences)
    return BrokerBody(
        account_id=name,
        broker="simulated" if view.mode == "paper" else "venue",
        mode=view.mode,
        connected=view.state == "trading",
        state=view.state,
        trading=view.trading,
        reason=view.trading_reason,
        reconciled_at=moment(compared),
        differences=differences,
    )


async def _chosen(request: BrokerQuery, call: Call) -> str:
    """The account that is meant. Raises HttpError 400 where it is not clear."""
    if request.account_id:
        return request.account_id
    names = [each[0] for each in (await call.ref(DEPLOYMENTS).ask(ListAccounts(), ASK_S)).accounts]
    if len(names) != 1:
        raise HttpError(400, "ambiguous", f"expected one of {len(names)} accounts", "account_id")
    return names[0]


async def connect(request: BrokerQuery, call: Call) -> BrokerBody:
    """Answer whether an account is connected: gateways connect by themselves and stay so."""
    return await _broker(call, await _chosen(request, call))


async def broker_positions(request: BrokerQuery, call: Call) -> BrokerPositions:
    """Answer what an account holds."""
    name = await _chosen(request, call)
    return BrokerPositions(name, tuple(map(position_body, (await view_of(call, name)).positions)))


async def broker_money(request: BrokerQuery, call: Call) -> BrokerAccount:
    """Answer the money of an account."""
    return broker_account(await view_of(call, await _chosen(request, call)))
