"""The branch of one account: its actor, and the gateway of one that trades at a venue; how it begins and ends."""

from __future__ import annotations

from typing import Final

import msgspec
import trio

from actors.execution.account_settings import AccountSpec, resolved
from actors.execution.kill_switch import flatten
from protocols.control import Refused, Unknown
from protocols.execution import ACCOUNTS, AccountView, GetAccount, account_actor
from runtime import Actor, Backoff, ChildSpec, Restart, RestartLimit, StartChild, TerminateChild, supervisor

ASK_S: Final = 15.0
START_S: Final = 30.0
RETRY_S: Final = 0.5
POLL_S: Final = 0.1
LIMIT: Final = RestartLimit(count=5, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)


def account_branch(spec: AccountSpec, snapshot_inputs: int, *, live: bool) -> ChildSpec:
    """`/execution/accounts/<id>`: transient, so that an account that gives up ends alone. `live`: orders may leave."""
    name = spec.engine.account.account_id
    fields = msgspec.to_builtins(msgspec.structs.replace(resolved(spec), snapshot_inputs=snapshot_inputs))
    account = ChildSpec(
        name="account",
        actor="actors.execution.trading_account:TradingAccount",
        arguments={"account": fields},
        backoff=BACKOFF,
    )
    children = [account]
    if spec.gateway is not None:
        gateway = ChildSpec(
            name="gateway",
            actor="actors.execution.gateways.gateway:Gateway",
            arguments={
                "settings": {**spec.gateway, "account": name},
                "enabled": live,
                "report_to": account_actor(name),
            },
            backoff=BACKOFF,
        )
        children.append(gateway)
    return supervisor(name, *children, limit=LIMIT, backoff=BACKOFF, restart=Restart.TRANSIENT)


async def begin(actor: Actor, branch: ChildSpec) -> str:
    """Start an account's branch, for as long as it takes; empty, or why it cannot be started."""
    while True:
        try:
            await actor.lookup(ACCOUNTS).ask(StartChild(branch), START_S)
        except Refused as refused:
            if refused.code in ("already_started", "restarting"):
                return ""
            if refused.code in ("start_failed", "invalid"):
                return refused.message
        except Unknown as error:
            actor.logger.info("an account is not up yet", account=branch.name, why=str(error))
        else:
            return ""
        await trio.sleep(RETRY_S)


async def first_view(actor: Actor, name: str) -> AccountView:
    """How an account stands that is being started. Raises Refused, Unknown: it does not answer in time."""
    deadline = trio.current_time() + START_S
    while True:
        try:
            return await actor.lookup(account_actor(name)).ask(GetAccount(), ASK_S)
        except (Refused, Unknown):
            if trio.current_time() > deadline:
                raise
        await trio.sleep(POLL_S)


async def end(actor: Actor, name: str) -> None:
    """Cancel an account's orders, and end its branch. Raises Refused, Unknown."""
    try:
        await flatten(actor, name, "closed", close=False)
    except (Refused, Unknown) as error:
        actor.logger.warning("an account ends with open orders", account=name, why=str(error))
    await actor.lookup(ACCOUNTS).ask(TerminateChild(name), START_S)
