"""The kill switch over accounts: flatten them all at once, wait until they are flat, then stop what trades there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import trio

from protocols.agents import AGENT_STRATEGY, ControlAgent, ListAgents
from protocols.control import Refused, Unknown
from protocols.execution import FlattenAccount, FlattenView, GetFlatten, account_actor
from protocols.paths import AGENT_ROSTER, STRATEGIES
from runtime import Actor, TerminateChild

ASK_S: Final = 15.0
STOP_S: Final = 30.0
POLL_S: Final = 0.1
FLATTEN_S: Final = 120.0


async def flatten(actor: Actor, account: str, reason: str, *, close: bool) -> FlattenView:
    """Flatten an account; what was left when it was done, or when time was up. Raises Refused, Unknown."""
    ref = actor.lookup(account_actor(account))
    await ref.ask(FlattenAccount(reason=reason, close=close), ASK_S)
    deadline = trio.current_time() + FLATTEN_S
    while True:
        view = await ref.ask(GetFlatten(), ASK_S)
        if view.phase in ("done", "") or trio.current_time() > deadline:
            return view
        await trio.sleep(POLL_S)


async def flatten_all(actor: Actor, accounts: Iterable[str], reason: str, *, close: bool) -> tuple[FlattenView, ...]:
    """Flatten accounts side by side, sorted by account; one that cannot be reached hinders no other."""
    views: list[FlattenView] = []

    async def one(account: str) -> None:
        try:
            views.append(await flatten(actor, account, reason, close=close))
        except (Refused, Unknown) as error:
            views.append(
                FlattenView(
                    account=account, phase="failed", reason=reason, open_orders=-1, positions=-1, left=(str(error),)
                )
            )

    async with trio.open_nursery() as nursery:
        for account in accounts:
            nursery.start_soon(one, account)
    return tuple(sorted(views, key=lambda view: view.account))


async def stop_runs(actor: Actor, runs: Iterable[str]) -> tuple[str, ...]:
    """Stop strategies and agents; those that were."""
    stopped = []
    for run in runs:
        try:
            if run.startswith(AGENT_STRATEGY):
                await _stop_agent(actor, run)
            else:
                await actor.lookup(STRATEGIES).ask(TerminateChild(run), STOP_S)
        except (Refused, Unknown) as error:
            actor.logger.warning("a strategy was not stopped", strategy=run, why=str(error))
        else:
            stopped.append(run)
    return tuple(stopped)


async def _stop_agent(actor: Actor, strategy_id: str) -> None:
    """Through its roster, so that it stays stopped after a restart of the node."""
    roster = actor.lookup(AGENT_ROSTER)
    for each in (await roster.ask(ListAgents(), ASK_S)).agents:
        if each.strategy_id == strategy_id:
            await roster.ask(ControlAgent(user_id=each.user_id, action="stop"), STOP_S)
