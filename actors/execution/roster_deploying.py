"""How a deployment comes to be on its account as it was asked for: the account is told, then the roster keeps it.

These are tasks of the roster: they wait for the account, and tell the roster what to keep (`KeepDeployment`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from actors.execution.account_settings import FollowMarket, ShowDeployment
from actors.execution.deployments import DeploymentSettings
from actors.execution.roster_rows import Event
from actors.execution.roster_state import DeploymentRecord
from protocols.control import Message
from protocols.execution import (
    ApplyDeployment,
    DeploymentList,
    DeploymentState,
    DeploymentView,
    FiguresOf,
    FlattenAccount,
    SwitchDeployment,
    account_actor,
)
from runtime import Actor, ActorRef

ASK_S: Final = 15.0


class KeepDeployment(Message, frozen=True, gc=False, tag="keep_deployment"):
    """A deployment was applied to its account."""

    settings: DeploymentSettings
    state: DeploymentState
    reason: str
    event: Event


async def deployed(actor: Actor, settings: DeploymentSettings, state: DeploymentState = "active") -> DeploymentView:
    """A new deployment, or one with other settings. Raises Refused, Unknown."""
    ref = _account_of(actor, settings)
    for market in settings.markets:
        await ref.ask(FollowMarket(market), ASK_S)
    applied = ApplyDeployment(msgspec.Raw(msgspec.json.encode(settings)), state, "", actor.clock.now())
    await ref.ask(applied, ASK_S)
    actor.ref.tell(KeepDeployment(settings, state, "", state))
    figures = await ref.ask(FiguresOf(settings.deployment_id), ASK_S)
    return DeploymentRecord(settings, state, "", actor.clock.now()).view(figures)


async def switched(actor: Actor, deployment: DeploymentRecord, request: SwitchDeployment) -> DeploymentView:
    """A deployment in another state; one that is stopped has its orders cancelled first. Raises Refused, Unknown."""
    settings = deployment.settings
    if request.to == "stopped":
        reason = request.reason or "stopped"
        flatten = FlattenAccount(reason=reason, close=request.close, deployment_id=settings.deployment_id)
        await _account_of(actor, settings).ask(flatten, ASK_S)
    changed = DeploymentRecord(settings, request.to, request.reason, deployment.created)
    return await _changed(actor, changed, request.to)


async def rebalanced(actor: Actor, chosen: Iterable[tuple[DeploymentRecord, float]]) -> DeploymentList:
    """Deployments with other shares of capital, one after the other. Raises Refused, Unknown."""
    views = []
    for deployment, share in chosen:
        settings = msgspec.structs.replace(deployment.settings, capital_share=share)
        views.append(await _changed(actor, msgspec.structs.replace(deployment, settings=settings), "changed"))
    return DeploymentList(tuple(views))


async def _changed(actor: Actor, deployment: DeploymentRecord, event: Event) -> DeploymentView:
    raw = msgspec.Raw(msgspec.json.encode(deployment.settings))
    applied = ApplyDeployment(raw, deployment.state, deployment.reason)
    await _account_of(actor, deployment.settings).ask(applied, ASK_S)
    actor.ref.tell(KeepDeployment(deployment.settings, deployment.state, deployment.reason, event))
    return await viewed(actor, deployment)


async def viewed(actor: Actor, deployment: DeploymentRecord) -> DeploymentView:
    """A deployment with its figures. Raises Refused, Unknown."""
    settings = deployment.settings
    figures = await _account_of(actor, settings).ask(FiguresOf(settings.deployment_id), ASK_S)
    return deployment.view(figures)


async def shown_to_run(actor: Actor, deployment: DeploymentRecord) -> Any:
    """What the run of a deployment has to know. Raises Refused, Unknown."""
    settings = deployment.settings
    return await _account_of(actor, settings).ask(ShowDeployment(settings.deployment_id), ASK_S)


def _account_of(actor: Actor, settings: DeploymentSettings) -> ActorRef:
    return actor.lookup(account_actor(settings.account))
