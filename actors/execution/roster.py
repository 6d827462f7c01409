"""The roster of execution: opens accounts, binds deployments to them, and pulls the kill switch over all.

Each account has a supervisor of its own, `/execution/accounts/<id>`: one that crashes again and again ends alone. What
there is stands in rows (`execution_roster`) and is started again with the node; what an account holds, and how its
deployments are, is in the account's own journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec
import trio

from actors.edge.explaining import decoded, explained
from actors.execution.account_settings import AccountSpec, FollowMarket, ShowDeployment
from actors.execution.account_tree import account_branch
from actors.execution.deployments import DeploymentSettings
from actors.execution.roster_rows import EXECUTION_ROSTER, Event, ExecutionRosterRow, Kind, known
from actors.storage.streams import StreamIncomplete, read_stream
from protocols.agents import AGENT_STRATEGY, ControlAgent, ListAgents
from protocols.control import Message, Probe, ProbeReport, Refused, Terminated, Unknown
from protocols.deployments import GetDeployment
from protocols.execution import (
    ACCOUNTS,
    AccountList,
    AccountOpened,
    AccountView,
    ApplyDeployment,
    ChangeLimits,
    CloseAccount,
    DeploymentList,
    DeploymentState,
    DeploymentView,
    FiguresOf,
    FlattenAccount,
    FlattenView,
    GetAccount,
    GetAccountSettings,
    GetFlatten,
    GetPaperDefaults,
    KillReport,
    KillSwitch,
    ListAccounts,
    ListDeployments,
    OpenAccount,
    PaperDefaults,
    Rebalance,
    StartDeployment,
    SwitchDeployment,
    ViewDeployment,
    account_actor,
)
from protocols.paths import AGENT_ROSTER, QUERIES, STRATEGIES
from runtime import Actor, Mailbox, StartChild, TerminateChild, receive

ASK_S: Final = 15.0
START_S: Final = 30.0
RETRY_S: Final = 0.5
POLL_S: Final = 0.1
FLATTEN_S: Final = 120.0


class _Account:
    """An account as the roster knows it."""

    def __init__(self, spec: AccountSpec, created: int) -> None:
        self.spec = spec
        self.created = created
        self.up = False
        self.closed = False


class _Deployment:
    """A deployment as the roster knows it."""

    def __init__(self, settings: DeploymentSettings, state: DeploymentState, reason: str, created: int) -> None:
        self.settings = settings
        self.state: DeploymentState = state
        self.reason = reason
        self.created = created


class _Restore(Message, frozen=True, gc=False, tag="restore_execution"):
    """What there was before this node was started."""

    rows: tuple[ExecutionRosterRow, ...]


class _Up(Message, frozen=True, gc=False, tag="account_up"):
    """An account's branch was started, or could not be."""

    account: str
    problem: str = ""


class _Keep(Message, frozen=True, gc=False, tag="keep_deployment"):
    """A deployment was applied to its account."""

    settings: DeploymentSettings
    state: DeploymentState
    reason: str
    event: Event


class ExecutionRoster(Actor):
    """`accounts`, `deployments`: those of the configuration (fields of AccountSpec and DeploymentSettings).

    `live`: whether accounts at venues may be opened at all. `instruments`: definitions for every account.
    """

    mailbox: ClassVar[Mailbox] = Mailbox(capacity=4096)

    def __init__(
        self,
        accounts: Sequence[dict[str, Any]] = (),
        deployments: Sequence[dict[str, Any]] = (),
        instruments: Sequence[dict[str, Any]] = (),
        live: bool = False,
        snapshot_inputs: int = 20_000,
        paper: tuple[str, int] = ("100000", 20),
    ) -> None:
        self.paper = PaperDefaults(*paper)
        self.instruments = tuple(instruments)
        self.live = live
        self.snapshot_inputs = snapshot_inputs
        self.configured = [msgspec.convert(each, AccountSpec) for each in accounts]
        self.wanted = [msgspec.convert(each, DeploymentSettings) for each in deployments]
        self.accounts: dict[str, _Account] = {}
        self.deployments: dict[str, _Deployment] = {}
        self.closed: set[str] = set()
        """Ids of accounts that have ended: their journals are kept, and nobody else's begins where one ended."""
        self.restored = False
        self.problem = ""

    def on_start(self) -> None:
        """Remember what there was; until then everything waits."""
        self.watch(self.lookup(ACCOUNTS))
        self.spawn(self._remember, name="remember")

    # -- what there was ----------------------------------------------------------------------------------------

    async def _remember(self) -> None:
        last = self.log.last_seq(EXECUTION_ROSTER)
        try:
            rows = await read_stream(self.lookup(QUERIES), ExecutionRosterRow, EXECUTION_ROSTER, last)
        except (StreamIncomplete, Refused) as error:
            self.logger.warning("accounts of before are not known in full", error=str(error))
            rows = ()
        self.ref.tell(_Restore(rows))

    @receive
    def restore(self, message: _Restore) -> None:
        """Start what there was, and what the configuration names."""
        self.restored = True
        for (kind, name), found in known(message.rows).items():
            if found.event == "closed":
                self.closed.add(name)
                continue
            if kind == "account":
                self._add(msgspec.json.decode(found.settings, type=AccountSpec), found.created)
            else:
                settings = msgspec.json.decode(found.settings, type=DeploymentSettings)
                state: Any = "stopped" if found.event in ("opened", "changed") else found.event
                self.deployments[name] = _Deployment(settings, state, found.reason, found.created)
        for spec in self.configured:
            name = spec.engine.account.account_id
            if name in self.accounts:
                self._compare(name, spec)
                continue
            self._note("account", name, "opened", msgspec.json.encode(spec))
            self._add(spec)
        for settings in self.wanted:
            there = self.deployments.get(settings.deployment_id)
            if there is None or (there.settings != settings and there.state == "active"):
                self.spawn(self._begin_configured, settings, name=f"deploy {settings.deployment_id}")

    def _compare(self, name: str, wanted: AccountSpec) -> None:
        """A configuration that has changed: limits are applied, what the journal was made with stays as it was."""
        there = self.accounts[name].spec.engine
        if there.limits != wanted.engine.limits:
            self.spawn(self._apply_limits, name, wanted, name=f"limits {name}")
        fields = [
            field
            for field in there.__struct_fields__
            if field not in ("limits", "venue", "native", "accepts_marks")
            and getattr(there, field) != getattr(wanted.engine, field)
        ]
        if fields:
            self.problem = f"{name}: {', '.join(fields)} changed in the configuration, and stay as the account began"
            self.logger.warning("an account is not as its configuration says", account=name, stays=fields)

    async def _apply_limits(self, name: str, wanted: AccountSpec) -> None:
        limits = ChangeLimits(msgspec.Raw(msgspec.json.encode(wanted.engine.limits)))
        while True:
            try:
                await self.lookup(account_actor(name)).ask(limits, ASK_S)
            except (Refused, Unknown) as error:
                self.logger.info("limits wait for their account", account=name, why=str(error))
                await trio.sleep(RETRY_S)
            else:
                return

    def _add(self, spec: AccountSpec, created: int = 0) -> None:
        name = spec.engine.account.account_id
        spec = msgspec.structs.replace(spec, instruments=(*self.instruments, *spec.instruments))
        if name not in self.accounts:
            self.accounts[name] = _Account(spec, created or self.clock.now())
            self.spawn(self._bring_up, name, name=f"start {name}")

    async def _bring_up(self, name: str) -> None:
        spec = self.accounts[name].spec
        while True:
            try:
                await self.lookup(ACCOUNTS).ask(
                    StartChild(account_branch(spec, self.snapshot_inputs, live=self.live)), START_S
                )
            except Refused as refused:
                if refused.code in ("already_started", "restarting"):
                    break
                if refused.code in ("start_failed", "invalid"):
                    self.ref.tell(_Up(name, refused.message))
                    return
            except Unknown as error:
                self.logger.info("an account is not up yet", account=name, why=str(error))
            else:
                break
            await trio.sleep(RETRY_S)
        self.ref.tell(_Up(name))

    @receive
    def up(self, message: _Up) -> None:
        """Note how a start went."""
        account = self.accounts.get(message.account)
        if account is not None:
            account.up = not message.problem
        if message.problem:
            self.problem = f"{message.account}: {message.problem}"
            self.logger.error("an account did not start", account=message.account, why=message.problem)

    async def _begin_configured(self, settings: DeploymentSettings) -> None:
        while True:
            try:
                await self._deployed(settings)
            except (Refused, Unknown) as error:
                self.logger.info("a deployment waits", deployment=settings.deployment_id, why=str(error))
                await trio.sleep(RETRY_S)
            else:
                return

    @receive
    def terminated(self, message: Terminated) -> None:
        """The supervisor of accounts has ended; a new one is empty."""
        if not message.final:
            for name in self.accounts:
                self.spawn(self._bring_up, name, name=f"start {name}")

    def _note(self, kind: Kind, name: str, event: Event, settings: bytes, reason: str = "") -> None:
        self.log.append(
            ExecutionRosterRow(
                stream=EXECUTION_ROSTER,
                seq=self.log.last_seq(EXECUTION_ROSTER) + 1,
                ts=self.clock.now(),
                kind=kind,
                id=name,
                event=event,
                reason=reason,
                settings=msgspec.Raw(settings),
            )
        )

    def _ready(self) -> None:
        if not self.restored:
            raise Refused("unavailable", "accounts of before the start are being read")

    # -- accounts ----------------------------------------------------------------------------------------------

    @receive
    def open_account(self, request: OpenAccount) -> None:
        """A new account."""
        self._ready()
        fields = {
            "engine": msgspec.json.decode(request.engine),
            "mode": request.mode,
            "session": request.session,
            "name": request.name,
            "description": request.description,
            "markets": request.markets,
        }
        try:
            spec = msgspec.convert(fields, AccountSpec)
        except msgspec.ValidationError as error:
            message, where = explained(error, AccountSpec, fields)
            raise Refused("invalid", message, where.removeprefix("engine.") or None) from None
        name = spec.engine.account.account_id
        if spec.mode == "live":
            raise Refused("live_disabled", "accounts at venues are opened in the configuration alone", "mode")
        if name in self.accounts or name in self.closed:
            what = "is" if name in self.accounts else "was"
            raise Refused("exists", f"there {what} an account {name}", "account_id")
        self._note("account", name, "opened", msgspec.json.encode(spec))
        self._add(spec)
        self.answer_later(self._view_of, name)

    async def _view_of(self, name: str) -> AccountView:
        deadline = trio.current_time() + START_S
        while True:
            try:
                return await self.lookup(account_actor(name)).ask(GetAccount(), ASK_S)
            except (Refused, Unknown):
                if trio.current_time() > deadline:
                    raise
            await trio.sleep(POLL_S)

    @receive
    def close_account(self, request: CloseAccount) -> None:
        """No more of an account; its rows stay."""
        account = self._account(request.account)
        if any(
            each.settings.account == request.account and each.state == "active" for each in self.deployments.values()
        ):
            raise Refused("conflict", f"{request.account} has active deployments", "account")
        account.closed = True
        self.closed.add(request.account)
        del self.accounts[request.account]
        self._note("account", request.account, "closed", msgspec.json.encode(account.spec))
        self.answer_later(self._end_branch, request.account)

    async def _end_branch(self, name: str) -> None:
        try:
            await self.lookup(account_actor(name)).ask(FlattenAccount(reason="closed", close=False), ASK_S)
            await self._flattened(name)
        except (Refused, Unknown) as error:
            self.logger.warning("an account ends with open orders", account=name, why=str(error))
        await self.lookup(ACCOUNTS).ask(TerminateChild(name), START_S)

    def _account(self, name: str) -> _Account:
        self._ready()
        account = self.accounts.get(name)
        if account is None:
            raise Refused("not_found", f"there is no account {name}", "account")
        return account

    @receive
    def list_accounts(self, request: ListAccounts) -> AccountList:
        """All accounts."""
        self._ready()
        return AccountList(
            tuple(
                (name, each.spec.engine.account.user, each.spec.mode, each.spec.session, each.spec.name, each.up)
                for name, each in sorted(self.accounts.items())
            )
        )

    @receive
    def account_settings(self, request: GetAccountSettings) -> AccountOpened:
        """What an account was opened with."""
        account = self._account(request.account)
        return AccountOpened(request.account, msgspec.Raw(msgspec.json.encode(account.spec)), account.created)

    @receive
    def paper_defaults(self, request: GetPaperDefaults) -> PaperDefaults:
        """What paper accounts begin with."""
        return self.paper

    # -- deployments -------------------------------------------------------------------------------------------

    @receive
    def start_deployment(self, request: StartDeployment) -> None:
        """A new deployment."""
        try:
            settings = msgspec.json.decode(request.settings, type=DeploymentSettings)
        except msgspec.ValidationError as error:
            message, where = explained(error, DeploymentSettings, decoded(bytes(request.settings)))
            raise Refused("invalid", message, where or None) from None
        account = self._account(settings.account)
        if settings.deployment_id in self.deployments:
            raise Refused("exists", f"there is a deployment {settings.deployment_id}", "deployment_id")
        if not settings.markets:
            raise Refused("invalid", "expected at least one market", "markets")
        if (settings.mode == "live") != (account.spec.mode == "live"):
            raise Refused("invalid", f"expected {account.spec.mode}, as the account is, got {settings.mode}", "mode")
        self._check_shares(settings.account, settings.deployment_id, settings.capital_share)
        self.answer_later(self._deployed, settings, "active" if request.active else "stopped")

    def _check_shares(self, account: str, deployment_id: str, share: float) -> None:
        others = sum(
            each.settings.capital_share
            for each in self.deployments.values()
            if each.settings.account == account
            and each.state in ("active", "paused")
            and each.settings.deployment_id != deployment_id
        )
        if others + share > 1 + 1e-9:
            raise Refused(
                "invalid",
                f"expected at most {max(0.0, 1 - others):g}, what others leave, got {share:g}",
                "capital_share",
            )

    async def _deployed(self, settings: DeploymentSettings, state: DeploymentState = "active") -> DeploymentView:
        ref = self.lookup(account_actor(settings.account))
        for market in settings.markets:
            await ref.ask(FollowMarket(market), ASK_S)
        apply = ApplyDeployment(msgspec.Raw(msgspec.json.encode(settings)), state, "", self.clock.now())
        await ref.ask(apply, ASK_S)
        self.ref.tell(_Keep(settings, state, "", state))
        view = await ref.ask(FiguresOf(settings.deployment_id), ASK_S)
        return self._shown(view, settings, state, "", self.clock.now())

    @receive
    def keep(self, message: _Keep) -> None:
        """A deployment is on its account; keep it."""
        name = message.settings.deployment_id
        before = self.deployments.get(name)
        created = self.clock.now() if before is None else before.created
        self.deployments[name] = _Deployment(message.settings, message.state, message.reason, created)
        self._note("deployment", name, message.event, msgspec.json.encode(message.settings), message.reason)

    @receive
    def switch(self, request: SwitchDeployment) -> None:
        """Pause, resume, stop or start again."""
        deployment = self._deployment(request.deployment_id)
        if deployment.state == request.to:
            raise Refused("conflict", f"{request.deployment_id} is {request.to} already", "deployment_id")
        if request.to == "paused" and deployment.state != "active":
            raise Refused("conflict", f"expected an active deployment, it is {deployment.state}", "deployment_id")
        self.answer_later(self._switched, deployment, request)

    async def _switched(self, deployment: _Deployment, request: SwitchDeployment) -> DeploymentView:
        settings = deployment.settings
        ref = self.lookup(account_actor(settings.account))
        if request.to == "stopped":
            reason = request.reason or "stopped"
            flatten = FlattenAccount(reason=reason, close=request.close, deployment_id=settings.deployment_id)
            await ref.ask(flatten, ASK_S)
        apply = ApplyDeployment(msgspec.Raw(msgspec.json.encode(settings)), request.to, request.reason)
        await ref.ask(apply, ASK_S)
        self.ref.tell(_Keep(settings, request.to, request.reason, request.to))
        view = await ref.ask(FiguresOf(settings.deployment_id), ASK_S)
        return self._shown(view, settings, request.to, request.reason, deployment.created)

    @receive
    def rebalance(self, request: Rebalance) -> None:
        """Other capital shares."""
        chosen = []
        for name, share in request.shares:
            deployment = self._deployment(name)
            if deployment.settings.account != request.account:
                raise Refused("invalid", f"expected a deployment of {request.account}, got {name}", "shares")
            if not 0 < share <= 1:
                raise Refused("invalid", f"expected above 0 and at most 1, got {share} for {name}", "shares")
            chosen.append((deployment, share))
        named = {name for name, _ in request.shares}
        rest = sum(
            each.settings.capital_share
            for each in self.deployments.values()
            if each.settings.account == request.account
            and each.settings.deployment_id not in named
            and each.state in ("active", "paused")
        )
        if rest + sum(share for _, share in chosen) > 1 + 1e-9:
            raise Refused("invalid", f"expected shares of at most {1 - rest:g} in all", "shares")
        self.answer_later(self._rebalanced, chosen)

    async def _rebalanced(self, chosen: list[tuple[_Deployment, float]]) -> DeploymentList:
        views = []
        for deployment, share in chosen:
            settings = msgspec.structs.replace(deployment.settings, capital_share=share)
            ref = self.lookup(account_actor(settings.account))
            raw = msgspec.Raw(msgspec.json.encode(settings))
            await ref.ask(ApplyDeployment(raw, deployment.state, deployment.reason), ASK_S)
            self.ref.tell(_Keep(settings, deployment.state, deployment.reason, "changed"))
            view = await ref.ask(FiguresOf(settings.deployment_id), ASK_S)
            views.append(self._shown(view, settings, deployment.state, deployment.reason, deployment.created))
        return DeploymentList(tuple(views))

    @receive
    def view_deployment(self, request: ViewDeployment) -> None:
        """One deployment with its figures."""
        self.answer_later(self._viewed, self._deployment(request.deployment_id))

    async def _viewed(self, deployment: _Deployment) -> DeploymentView:
        settings = deployment.settings
        view = await self.lookup(account_actor(settings.account)).ask(FiguresOf(settings.deployment_id), ASK_S)
        return self._shown(view, settings, deployment.state, deployment.reason, deployment.created)

    @receive
    def list_deployments(self, request: ListDeployments) -> DeploymentList:
        """Deployments without figures."""
        self._ready()
        found = [
            each
            for each in self.deployments.values()
            if request.account in ("", each.settings.account)
            and request.strategy_id in ("", each.settings.strategy_id)
            and request.state in ("", each.state)
        ]
        found.sort(key=lambda each: each.created, reverse=True)
        return DeploymentList(
            tuple(self._shown(None, each.settings, each.state, each.reason, each.created) for each in found)
        )

    def _shown(
        self,
        figures: DeploymentView | None,
        settings: DeploymentSettings,
        state: DeploymentState,
        reason: str,
        created: int,
    ) -> DeploymentView:
        raw = msgspec.Raw(msgspec.json.encode(settings))
        if figures is not None:
            return msgspec.structs.replace(figures, settings=raw, state=state, reason=reason, created=created)
        return DeploymentView(
            deployment_id=settings.deployment_id,
            strategy_id=settings.strategy_id,
            account=settings.account,
            user=settings.user,
            name=settings.name,
            mode=settings.mode,
            state=state,
            reason=reason,
            settings=raw,
            created=created,
        )

    def _deployment(self, name: str) -> _Deployment:
        self._ready()
        deployment = self.deployments.get(name)
        if deployment is None:
            raise Refused("not_found", f"there is no deployment {name}", "deployment_id")
        return deployment

    @receive
    def deployment_of_run(self, request: GetDeployment) -> None:
        """A new life of a run asks whether it is deployed."""
        self._ready()
        for each in self.deployments.values():
            if each.settings.strategy_id == request.run and each.state == "active":
                self.answer_later(self._show, each.settings)
                return
        raise Refused("not_found", f"{request.run} has no active deployment")

    async def _show(self, settings: DeploymentSettings) -> Any:
        return await self.lookup(account_actor(settings.account)).ask(ShowDeployment(settings.deployment_id), ASK_S)

    # -- the kill switch ---------------------------------------------------------------------------------------

    @receive
    def kill(self, request: KillSwitch) -> None:
        """Flatten one account or all, then stop their strategies."""
        if request.account:
            self._account(request.account)
        names = [request.account] if request.account else sorted(self.accounts)
        self.answer_later(self._killed, names, request)

    async def _killed(self, names: list[str], request: KillSwitch) -> KillReport:
        views: list[FlattenView] = []

        async def flatten(name: str) -> None:
            try:
                order = FlattenAccount(reason=request.reason, close=request.close)
                await self.lookup(account_actor(name)).ask(order, ASK_S)
                views.append(await self._flattened(name))
            except (Refused, Unknown) as error:
                views.append(
                    FlattenView(
                        account=name,
                        phase="failed",
                        reason=request.reason,
                        open_orders=-1,
                        positions=-1,
                        left=(str(error),),
                    )
                )

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(flatten, name)
        stopped = await self._stop_strategies(names) if request.stop_actors else ()
        return KillReport(tuple(sorted(views, key=lambda view: view.account)), stopped)

    async def _flattened(self, name: str) -> FlattenView:
        deadline = trio.current_time() + FLATTEN_S
        while True:
            view = await self.lookup(account_actor(name)).ask(GetFlatten(), ASK_S)
            if view.phase in ("done", "") or trio.current_time() > deadline:
                return view
            await trio.sleep(POLL_S)

    async def _stop_strategies(self, accounts: list[str]) -> tuple[str, ...]:
        runs = {each.settings.strategy_id for each in self.deployments.values() if each.settings.account in accounts}
        stopped = []
        for run in sorted(runs - {""}):
            try:
                if run.startswith(AGENT_STRATEGY):
                    await self._stop_agent(run)
                else:
                    await self.lookup(STRATEGIES).ask(TerminateChild(run), START_S)
            except (Refused, Unknown) as error:
                self.logger.warning("a strategy was not stopped", strategy=run, why=str(error))
            else:
                stopped.append(run)
        return tuple(stopped)

    async def _stop_agent(self, strategy_id: str) -> None:
        """Through its roster, so that it stays stopped after a restart of the node."""
        roster = self.lookup(AGENT_ROSTER)
        for each in (await roster.ask(ListAgents(), ASK_S)).agents:
            if each.strategy_id == strategy_id:
                await roster.ask(ControlAgent(user_id=each.user_id, action="stop"), START_S)

    # -- how it is ---------------------------------------------------------------------------------------------

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Whether all accounts are up."""
        if not self.restored:
            return ProbeReport("degraded", "accounts of before the start are being read", ready=True)
        down = [name for name, each in self.accounts.items() if not each.up]
        figures = (
            ("accounts", len(self.accounts)),
            ("deployments", len(self.deployments)),
            ("active", sum(each.state == "active" for each in self.deployments.values())),
        )
        if self.problem or down:
            return ProbeReport("degraded", self.problem or f"not up yet: {', '.join(down[:5])}", True, figures)
        return ProbeReport("ok", "", True, figures)
