"""What an account's actor tells others: rows for the database, strategies' runs, the hub, the topic of its events."""

from __future__ import annotations

from typing import Any, Final

import trio

from actors.execution.account_rows import RowMaker
from actors.execution.account_views import account_shown, deploy_run
from actors.execution.deployments import Deployment
from actors.execution.engine import Engine
from actors.execution.inputs import SenderEnded
from actors.execution.market_following import MarketFollowing
from protocols.agents import AGENT_STRATEGY
from protocols.control import Crashed, Killed, Message, Refused, Request, Terminated, Unknown
from protocols.deployments import DeploymentNews, UndeployRun, run_actor
from protocols.execution import OutcomeStored
from protocols.paths import HUB
from protocols.signals import UpdateSignal
from runtime import receive

ASK_S: Final = 10.0
SEND_S: Final = 10.0
FIRST_RETRY_S: Final = 0.1
MOST_RETRY_S: Final = 5.0
MOST_WAITING: Final = 100_000
FOR_GOOD: Final = frozenset({"invalid", "not_found", "conflict", "not_handled"})
NOT_A_TRADER: Final = frozenset({"not_handled", "not_supported"})
"""How a run says that it gives signals and no orders."""


class AccountNews(MarketFollowing):
    """The part of an account's actor that speaks."""

    engine: Engine
    name: str

    def begin_news(self) -> None:
        """Nothing was said yet."""
        self.rows = RowMaker(self.name, self.log)
        self.bound: dict[str, str] = {}
        """The run of each deployment whose strategy gives orders itself."""
        self._settled: dict[str, trio.Event] = {}
        self._to_hub, updates = trio.open_memory_channel[UpdateSignal](MOST_WAITING)
        self._to_runs, news = trio.open_memory_channel[tuple[str, Message]](MOST_WAITING)
        self.spawn(self._tell_hub, updates, name="hub")
        self.spawn(self._tell_runs, news, name="runs")

    # -- what came of an input ---------------------------------------------------------------------------------

    def has_news(self) -> bool:
        """Whether the engine has anything that somebody waits for."""
        return self.engine.has_news()

    def keep(self) -> None:
        """Write the rows of what came of inputs, those that the log has not got yet. After a replay nothing is told."""
        engine = self.engine
        self.rows.keep(engine)
        for update in engine.take_updates():
            self._to_hub.send_nowait(update)

    def tell_news(self) -> None:
        """Write and tell. The inputs that led to it are in the journal already."""
        engine = self.engine
        said = self.rows.keep(engine)
        for update in engine.take_updates():
            self._to_hub.send_nowait(update)
        for event in said.events:
            self.publish(event)
            deployment = engine.deployments.get(event.order.order.deployment_id)
            if deployment is not None and (run := self.bound.get(deployment.id)):
                shown = account_shown(engine, deployment) if event.fill is not None else None
                self._to_runs.send_nowait((run, DeploymentNews(deployment.id, event, shown)))
        if said.outcome:
            self.publish(OutcomeStored(said.outcome))
        if said.money and not said.events:
            for deployment in engine.deployments.values():
                if run := self.bound.get(deployment.id):
                    news = DeploymentNews(deployment.id, None, account_shown(engine, deployment))
                    self._to_runs.send_nowait((run, news))
        self.send_out(engine)

    def send_out(self, engine: Engine) -> None:
        """Give an external venue's gateway what it has to send."""

    # -- runs --------------------------------------------------------------------------------------------------

    def bind(self, deployment: Deployment) -> None:
        """Tell a deployment's run that it trades; a run that only gives signals is not bound, nor is an agent."""
        run = deployment.settings.strategy_id
        if not run or run.startswith(AGENT_STRATEGY) or deployment.id in self.bound:
            return
        self.bound[deployment.id] = run_actor(run)
        self.watch(self.lookup(run_actor(run)))
        message = deploy_run(self.engine, deployment, self.path)
        self.spawn(self._bind, deployment.id, run_actor(run), message, name=f"bind {deployment.id}")

    @receive
    def terminated(self, message: Terminated) -> None:
        """A run has ended; what a crashed life of it had ordered and nobody had taken up yet is stale."""
        if message.path in self.bound.values() and isinstance(message.reason, Crashed | Killed):
            self.take(SenderEnded(message.path, message.incarnation.epoch, message.incarnation.count))

    def unbind(self, deployment: Deployment, reason: str) -> None:
        """Tell a deployment's run that it does not trade any more."""
        if (path := self.bound.pop(deployment.id, None)) is not None:
            self.spawn(self._ask_quietly, path, UndeployRun(deployment.id, reason), name=f"unbind {deployment.id}")

    async def _bind(self, deployment_id: str, path: str, message: Request[None]) -> None:
        try:
            await self.lookup(path).ask(message, ASK_S)
        except Refused as refused:
            if refused.code in NOT_A_TRADER:
                self.bound.pop(deployment_id, None)
            else:  # its new life asks for its deployment
                self.logger.info("a run was not told of its deployment", run=path, why=str(refused))
        except Unknown as unknown:
            self.logger.info("a run was not told of its deployment", run=path, why=str(unknown))

    async def _ask_quietly(self, path: str, message: Request[None]) -> None:
        try:
            await self.lookup(path).ask(message, ASK_S)
        except (Refused, Unknown) as error:
            self.logger.info("a run was not reached", run=path, why=str(error))

    async def _tell_runs(self, news: trio.MemoryReceiveChannel[tuple[str, Message]]) -> None:
        unreached: set[str] = set()
        async for path, message in news:
            try:
                await self.lookup(path).send(message, SEND_S)
            except (Refused, Unknown) as error:  # its next life asks how things stand
                if path not in unreached:
                    unreached.add(path)
                    self.logger.info("news did not reach a run", run=path, why=str(error))
            else:
                unreached.discard(path)

    async def _tell_hub(self, updates: trio.MemoryReceiveChannel[UpdateSignal]) -> None:
        """Every update until the hub has it, or refuses it for good."""
        async for update in updates:
            delay = FIRST_RETRY_S
            while True:
                try:
                    await self.lookup(HUB).ask(update, ASK_S)
                except (Refused, Unknown) as error:
                    if isinstance(error, Refused) and error.code in FOR_GOOD:
                        self.logger.info("the hub does not take an update", signal=update.signal_id, why=str(error))
                        break
                    await trio.sleep(delay)
                    delay = min(MOST_RETRY_S, 2 * delay)
                else:
                    break

    # -- who waits for a market --------------------------------------------------------------------------------

    def market_settled(self, market: str) -> None:
        """See MarketFollowing."""
        if (event := self._settled.pop(market, None)) is not None:
            event.set()

    async def wait_for(self, market: str) -> Any:
        """Wait until a market is followed. Raises Refused with what is missing."""
        if self.following.get(market) == "wanted":
            event = self._settled.setdefault(market, trio.Event())
            await event.wait()
        state = self.following.get(market, "")
        if state != "ready":
            code, _, reason = state.partition(": ")
            raise Refused(code or "unavailable", reason or f"{market} is not followed", "symbols")
