"""The branch of one account: its actor, and the gateway of one that trades at a venue."""

from __future__ import annotations

from typing import Final

import msgspec

from actors.execution.account_settings import AccountSpec, resolved
from protocols.execution import account_actor
from runtime import Backoff, ChildSpec, Restart, RestartLimit, supervisor

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
