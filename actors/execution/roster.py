"""The roster of execution: opens accounts, binds deployments to them, and pulls the kill switch over all.

Each account has a supervisor of its own, `/execution/accounts/<id>`: one that crashes again and again ends alone. What
there is stands in rows (`execution_roster`) and is started again with the node; what an account holds, and how its
deployments are, is in the account's own journal.

What may be asked is decided in `roster_state`; what takes time is done by tasks (`account_tree`, `roster_deploying`,
`kill_switch`), which tell the roster what they found out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec
import trio

from actors.edge.explaining import decoded, explained
from actors.execution import account_tree
from actors.execution.account_settings import AccountSpec
from actors.execution.deployments import DeploymentSettings
from actors.execution.kill_switch import flatten_all, stop_runs
from actors.execution.roster_deploying import (
    KeepDeployment,
    deployed,
    rebalanced,
    shown_to_run,
    switched,
    viewed,
)
from actors.execution.roster_rows import EXECUTION_ROSTER, Event, ExecutionRosterRow, Kind
from actors.execution.roster_state import AccountRecord, DeploymentRecord, RosterState, fixed_changes
from actors.storage.streams import StreamIncomplete, read_stream
from protocols.control import Message, Probe, ProbeReport, Refused, Terminated, Unknown
from protocols.deployments import GetDeployment
from protocols.execution import (
    ACCOUNTS,
    AccountList,
    AccountOpened,
    ChangeLimits,
    CloseAccount,
    DeploymentList,
    GetAccountSettings,
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
from protocols.paths import QUERIES
from runtime import Actor, Mailbox, receive

ASK_S: Final = 15.0
RETRY_S: Final = 0.5


class _Restore(Message, frozen=True, gc=False, tag="restore_execution"):
    """What there was before this node was started."""

    rows: tuple[ExecutionRosterRow, ...]


class _Up(Message, frozen=True, gc=False, tag="account_up"):
    """An account's branch was started, or could not be."""

    account: str
    problem: str = ""


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
        self.state = RosterState()
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
        for spec, created in self.state.restore(message.rows):
            self._add(spec, created)
        for spec in self.configured:
            name = spec.engine.account.account_id
            if name in self.state.accounts:
                self._compare(name, spec)
                continue
            self._note("account", name, "opened", msgspec.json.encode(spec))
            self._add(spec)
        for settings in self.wanted:
            there = self.state.deployments.get(settings.deployment_id)
            if there is None or (there.settings != settings and there.state == "active"):
                self.spawn(self._begin_configured, settings, name=f"deploy {settings.deployment_id}")

    def _compare(self, name: str, wanted: AccountSpec) -> None:
        """A configuration that has changed: limits are applied, what the journal was made with stays as it was."""
        there = self.state.accounts[name].spec.engine
        if there.limits != wanted.engine.limits:
            self.spawn(self._apply_limits, name, wanted, name=f"limits {name}")
        if fields := fixed_changes(there, wanted.engine):
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
        if name not in self.state.accounts:
            self.state.accounts[name] = AccountRecord(spec, created or self.clock.now())
            self.spawn(self._bring_up, name, name=f"start {name}")

    async def _bring_up(self, name: str) -> None:
        spec = self.state.accounts[name].spec
        branch = account_tree.account_branch(spec, self.snapshot_inputs, live=self.live)
        self.ref.tell(_Up(name, await account_tree.begin(self, branch)))

    @receive
    def up(self, message: _Up) -> None:
        """Note how a start went."""
        account = self.state.accounts.get(message.account)
        if account is not None:
            account.up = not message.problem
        if message.problem:
            self.problem = f"{message.account}: {message.problem}"
            self.logger.error("an account did not start", account=message.account, why=message.problem)

    async def _begin_configured(self, settings: DeploymentSettings) -> None:
        while True:
            try:
                await deployed(self, settings)
            except (Refused, Unknown) as error:
                self.logger.info("a deployment waits", deployment=settings.deployment_id, why=str(error))
                await trio.sleep(RETRY_S)
            else:
                return

    @receive
    def terminated(self, message: Terminated) -> None:
        """The supervisor of accounts has ended; a new one is empty."""
        if not message.final:
            for name in self.state.accounts:
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

    # -- accounts ----------------------------------------------------------------------------------------------

    @receive
    def open_account(self, request: OpenAccount) -> None:
        """A new account."""
        self.state.require()
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
        self.state.check_open(spec)
        name = spec.engine.account.account_id
        self._note("account", name, "opened", msgspec.json.encode(spec))
        self._add(spec)
        self.answer_later(account_tree.first_view, self, name)

    @receive
    def close_account(self, request: CloseAccount) -> None:
        """No more of an account; its rows stay."""
        account = self.state.close(request.account)
        self._note("account", request.account, "closed", msgspec.json.encode(account.spec))
        self.answer_later(account_tree.end, self, request.account)

    @receive
    def list_accounts(self, request: ListAccounts) -> AccountList:
        """All accounts."""
        return self.state.account_list()

    @receive
    def account_settings(self, request: GetAccountSettings) -> AccountOpened:
        """What an account was opened with."""
        account = self.state.account(request.account)
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
        self.state.check_deploy(settings)
        self.answer_later(deployed, self, settings, "active" if request.active else "stopped")

    @receive
    def keep(self, message: KeepDeployment) -> None:
        """A deployment is on its account; keep it."""
        name = message.settings.deployment_id
        before = self.state.deployments.get(name)
        created = self.clock.now() if before is None else before.created
        self.state.deployments[name] = DeploymentRecord(message.settings, message.state, message.reason, created)
        self._note("deployment", name, message.event, msgspec.json.encode(message.settings), message.reason)

    @receive
    def switch(self, request: SwitchDeployment) -> None:
        """Pause, resume, stop or start again."""
        self.answer_later(switched, self, self.state.check_switch(request), request)

    @receive
    def rebalance(self, request: Rebalance) -> None:
        """Other capital shares."""
        self.answer_later(rebalanced, self, self.state.check_shares(request))

    @receive
    def view_deployment(self, request: ViewDeployment) -> None:
        """One deployment with its figures."""
        self.answer_later(viewed, self, self.state.deployment(request.deployment_id))

    @receive
    def list_deployments(self, request: ListDeployments) -> DeploymentList:
        """Deployments without figures."""
        return self.state.deployment_list(request)

    @receive
    def deployment_of_run(self, request: GetDeployment) -> None:
        """A new life of a run asks whether it is deployed."""
        self.answer_later(shown_to_run, self, self.state.active_of(request.run))

    # -- the kill switch ---------------------------------------------------------------------------------------

    @receive
    def kill(self, request: KillSwitch) -> None:
        """Flatten one account or all, then stop their strategies."""
        self.state.require()
        if request.account:
            self.state.account(request.account)
        names = [request.account] if request.account else sorted(self.state.accounts)
        self.answer_later(self._killed, names, request)

    async def _killed(self, names: list[str], request: KillSwitch) -> KillReport:
        views = await flatten_all(self, names, request.reason, close=request.close)
        return KillReport(views, await stop_runs(self, self.state.runs(names)) if request.stop_actors else ())

    # -- how it is ---------------------------------------------------------------------------------------------

    @receive
    def probe(self, request: Probe) -> ProbeReport:
        """Whether all accounts are up."""
        if not self.state.restored:
            return ProbeReport("degraded", "accounts of before the start are being read", ready=True)
        down = [name for name, each in self.state.accounts.items() if not each.up]
        figures = (
            ("accounts", len(self.state.accounts)),
            ("deployments", len(self.state.deployments)),
            ("active", sum(each.state == "active" for each in self.state.deployments.values())),
        )
        if self.problem or down:
            return ProbeReport("degraded", self.problem or f"not up yet: {', '.join(down[:5])}", True, figures)
        return ProbeReport("ok", "", True, figures)
