"""A strategy in the sandbox that is deployed to an account: its commands go there, what becomes of them comes back.

Commands leave in their order, from a task of their own, each until the account has answered. After an outcome that
nobody knows the same commands go again, with the same ids; what the account refuses is told to the strategy as a
rejection. What is told takes its turn in the one inbox, between the inputs of the markets; what is refused here (a
wrong precision) is the next input at once.

A new life of the strategy asks whether it is deployed before it takes any input (`GetDeployment`), again when it is
loaded, and when it hears news of a deployment that it does not know. See `protocols.deployments`.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from actors.strategies.sandbox import wire
from actors.strategies.sandbox.loaded import Loaded
from actors.strategies.sandbox.orders import Desk
from actors.strategies.sandbox.policy import Cause as EndCause
from actors.strategies.sandbox.wire_orders import RefusedInput, UndeployInput
from actors.strategies.sandboxed_loading import ASK_S, StrategyLoading
from actors.strategies.status import Run
from protocols.control import Message, Refused, Unknown
from protocols.deployments import (
    DEPLOYMENTS,
    DeploymentNews,
    DeployRun,
    GetDeployment,
    PlaceOrders,
    UndeployRun,
)
from protocols.instruments import GetInstrument, Instrument
from protocols.market import Bar, Quote, Trade
from protocols.orders import OrderCommand, SubmitOrders
from protocols.paths import INSTRUMENTS
from runtime import receive

MOST_WAITING: Final = 1000
"""Replies whose commands wait for the account."""
FIRST_DELAY_S: Final = 0.05
MOST_DELAY_S: Final = 1.0
MOST_AT_ONCE: Final = 128
"""Refusals that are told at once behind an input; further ones take their turn in the inbox."""
LATE_NS: Final = 10_000_000_000
"""Orders that have waited so long for their turn are not sent any more; cancels are."""


class NotTaken(Message, frozen=True, gc=False, tag="commands_not_taken"):
    """Commands of this deployment that were not taken, as inputs for the strategy."""

    deployment_id: str
    refused: tuple[RefusedInput, ...]


class StrategyTrading(StrategyLoading):
    """The account's side of a run. `desk` None: it is not deployed."""

    loaded: Loaded | None
    over: str

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.desk: Desk | None = None
        self.commands_taken = self.commands_refused = self.commands_asked_again = 0
        self._commands: deque[tuple[int, Desk, tuple[OrderCommand, ...] | NotTaken]] = deque()
        self._refused: deque[RefusedInput] = deque()
        self._telling = self._asking = False

    def begin_trading(self) -> None:
        """Send commands from now on."""
        self._something_to_send = trio.Event()
        self.spawn(self._send_commands, name="orders")

    # What the life of the worker adds.

    async def _feed(self, given: wire.Input, cause: Quote | Trade | Bar | None) -> None:
        raise NotImplementedError

    async def _ended(self, cause: EndCause, detail: str) -> None:
        raise NotImplementedError

    def _count_error(self, text: str) -> None:
        raise NotImplementedError

    # What the account says.

    @receive
    async def deploy(self, request: DeployRun) -> None:
        """The account deploys the run, or says once more how it stands."""
        if self.loaded is None or self.over:
            raise Refused("not_running", self.over or "the strategy is being loaded")
        if self.loaded.ready.contract != "sdk":
            raise Refused("not_handled", "only a strategy of the SDK gives orders; this one gives signals")
        if self.desk is not None and self.desk.deployment_id != request.deployment_id:
            raise Refused("deployed", f"{self.name} is deployed as {self.desk.deployment_id}", "deployment_id")
        await self._take_deployment(request, self.run)
        assert self.desk is not None
        await self._feed(self.desk.deploy_input(self.clock.now()), None)

    @receive
    async def undeploy(self, request: UndeployRun) -> None:
        """The account lets the run go."""
        desk = self.desk
        if desk is None or desk.deployment_id != request.deployment_id:
            return
        self.desk = None
        self._commands.clear()
        for market in desk.markets:
            self.unsubscribe(Instrument, market)
        self.logger.info("not deployed any more", deployment=request.deployment_id, why=request.reason)
        await self._feed(UndeployInput(self.clock.now()), None)

    @receive
    async def news(self, message: DeploymentNews) -> None:
        """Hand what has happened to an order or to the account to the strategy."""
        desk = self.desk
        if desk is None or desk.deployment_id != message.deployment_id:
            self._look_again()
        elif (event := message.event) is not None:
            if event.ts >= desk.since:
                await self._feed(desk.order_input(event, message.shown, self.clock.now()), None)
        elif (shown := message.shown) is not None and shown.ts >= desk.since:
            await self._feed(desk.account_input(shown, self.clock.now()), None)

    @receive
    def define(self, instrument: Instrument) -> None:
        """A market where it may order has other steps."""
        if self.desk is not None and instrument.market in self.desk.markets:
            self.desk.define(instrument)

    @receive
    async def not_taken(self, message: NotTaken) -> None:
        """Tell the strategy which of its commands were not taken."""
        for each in message.refused:
            if self.desk is not None and self.desk.deployment_id == message.deployment_id:
                await self._feed(each, None)

    # Whether it is deployed.

    async def _find_deployment(self, run: Run) -> None:
        """Ask whether there is an account; where nobody can say, its news will tell."""
        try:
            deployment = await self.lookup(DEPLOYMENTS).ask(GetDeployment(self.name), ASK_S)
        except Refused:
            return  # it is not, or there are no accounts in this node, or they are not there yet and will say so
        except Unknown as error:
            self.logger.warning("whether the strategy is deployed is not known", error=str(error))
            return
        await self._take_deployment(deployment, run)

    def _keep_deployment(self) -> None:
        """The strategy is loaded: only one of the SDK trades by itself."""
        if self.desk is not None and self.loaded is not None and self.loaded.ready.contract != "sdk":
            self.desk = None

    def _look_again(self) -> None:
        """Ask once more: an account that has come up while the strategy was loaded could not say so."""
        loaded = self.loaded
        if self.desk is None and not self._asking and loaded is not None and loaded.ready.contract == "sdk":
            self._asking = True
            self.spawn(self._ask_again, name="deployment")

    async def _ask_again(self) -> None:
        try:
            deployment = await self.lookup(DEPLOYMENTS).ask(GetDeployment(self.name), ASK_S)
            if self.desk is None:
                await self.ref.ask(deployment, ASK_S)
        except (Refused, Unknown) as error:
            if not isinstance(error, Refused) or error.code != "not_found":
                self.logger.warning("whether the strategy is deployed is not known", error=str(error))
            await trio.sleep(MOST_DELAY_S)
        finally:
            self._asking = False

    async def _take_deployment(self, deployment: DeployRun, run: Run) -> None:
        desk = Desk(deployment, run.markets, f"{self.path}@{self.incarnation}")
        before = () if self.desk is None else self.desk.markets
        for market in desk.markets:
            if market not in before:
                self.subscribe(Instrument, market, lossless=True)
            if market not in desk.instruments:
                try:
                    desk.define(await self.lookup(INSTRUMENTS).ask(GetInstrument(market), ASK_S))
                except (Refused, Unknown) as error:
                    self.logger.warning("no orders in a market without a definition", market=market, error=str(error))
        self.desk = desk

    # What the strategy says.

    async def _trade(self, reply: wire.Done | wire.Failed, marks: tuple[str, ...]) -> None:
        """Send the commands of a reply. There are none where there is no account: a worker that gives some lies."""
        desk = self.desk
        if desk is None:
            assert self.loaded is not None
            detail = f"{max(len(reply.orders), reply.excess)} commands without an account"
            self.loaded.worker.kill("protocol", detail)
            await self._ended("protocol", detail)
            return
        if reply.excess:
            self.commands_refused += reply.excess
            self._count_error(f"{reply.excess} commands are left out: at most {wire.MOST_ORDERS} of one input")
        now = self.clock.now()
        taken = desk.commands(reply.orders, marks, now)
        self.commands_refused += len(taken.refused)
        if taken.commands:
            self._queue(desk, taken.commands, now)
        self._refused += taken.refused
        if not self._telling:
            await self._tell_refused(desk)

    async def _tell_refused(self, desk: Desk) -> None:
        """What is refused here is the next input, as in a backtest; what that leads to may be refused, too."""
        self._telling = True
        try:
            for _ in range(MOST_AT_ONCE):
                if not self._refused:
                    return
                await self._feed(self._refused.popleft(), None)
        finally:
            self._telling = False
            rest = tuple(self._refused)
            self._refused.clear()
        if rest:
            self._queue(desk, NotTaken(desk.deployment_id, rest), self.clock.now())

    def _queue(self, desk: Desk, commands: tuple[OrderCommand, ...] | NotTaken, now: int) -> None:
        if len(self._commands) >= MOST_WAITING:
            self.note_error(f"commands are given up: {MOST_WAITING} replies wait for the account")
            commands = self._refusal(desk, commands, "the account does not take commands") or commands
            if isinstance(commands, NotTaken):
                self.ref.tell(commands)
            return
        self._commands.append((now, desk, commands))
        self._something_to_send.set()

    async def _send_commands(self) -> None:
        while True:
            if not self._commands:
                self._something_to_send = trio.Event()
                await self._something_to_send.wait()
                continue
            since, desk, commands = self._commands.popleft()
            if isinstance(commands, NotTaken):
                await self._tell(commands)
                continue
            if self.clock.now() - since > LATE_NS:
                late = tuple(each for each in commands if isinstance(each, SubmitOrders))
                commands = tuple(each for each in commands if not isinstance(each, SubmitOrders))
                if late:
                    await self._tell(self._refusal(desk, late, "too late: the account did not answer"))
            if commands:
                await self._send(desk, commands)

    async def _send(self, desk: Desk, commands: tuple[OrderCommand, ...]) -> None:
        """Ask until there is an answer, or the deployment is over."""
        delay = FIRST_DELAY_S
        while self.desk is not None and self.desk.deployment_id == desk.deployment_id:
            try:
                taken = await self.lookup(desk.account).ask(PlaceOrders(desk.deployment_id, commands), ASK_S)
            except Unknown:
                self.commands_asked_again += 1
                await trio.sleep(delay)
                delay = min(2 * delay, MOST_DELAY_S)
                continue
            except Refused as refused:
                await self._tell(self._refusal(desk, commands, f"{refused.code}: {refused.message}"))
                return
            self.commands_taken += len(commands) - len({each.index for each in taken.denied})
            for each in taken.denied:
                if not each.told:
                    denied = commands[each.index : each.index + 1]
                    await self._tell(self._refusal(desk, denied, f"{each.code}: {each.reason}"))
            return

    def _refusal(self, desk: Desk, commands: tuple[OrderCommand, ...] | NotTaken, reason: str) -> NotTaken | None:
        """What the strategy is told of commands that were not taken; None: it knows already."""
        if isinstance(commands, NotTaken):
            return commands
        now = self.clock.now()
        desk = self.desk if self.desk is not None and self.desk.deployment_id == desk.deployment_id else desk
        refused = tuple(told for each in commands for told in desk.refuse(each, reason, now))
        self.commands_refused += len(refused)
        return NotTaken(desk.deployment_id, refused) if refused else None

    async def _tell(self, message: NotTaken | None) -> None:
        while message is not None:
            if self.ref.tell(message):
                return
            await trio.sleep(FIRST_DELAY_S)  # the inbox is full

    def _trading_figures(self) -> dict[str, str | int | float | bool | None]:
        """What an operator may want to see."""
        if self.desk is None:
            return {}
        return {
            "deployment": self.desk.deployment_id,
            "commands_taken": self.commands_taken,
            "commands_refused": self.commands_refused,
            "commands_asked_again": self.commands_asked_again,
        }
