"""What accounts and deployments there are, and what may be asked of them: the roster's core. No loop, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from actors.execution.account_settings import AccountSpec
from actors.execution.deployments import DeploymentSettings
from actors.execution.engine_state import EngineSettings
from actors.execution.roster_rows import ExecutionRosterRow, known
from protocols.control import Refused
from protocols.execution import (
    AccountList,
    DeploymentList,
    DeploymentState,
    DeploymentView,
    ListDeployments,
    Rebalance,
    SwitchDeployment,
)

CHANGEABLE: Final = frozenset({"limits", "venue", "native", "accepts_marks"})
"""Settings of an engine that a configuration may change: limits are applied, the others follow from the venue."""
TINY: Final = 1e-9
"""Shares are sums of decimal fractions."""


class AccountRecord:
    """An account as the roster knows it. `up`: whether its branch was started."""

    def __init__(self, spec: AccountSpec, created: int) -> None:
        self.spec = spec
        self.created = created
        self.up = False


class DeploymentRecord(msgspec.Struct, frozen=True):
    """A deployment as the roster knows it."""

    settings: DeploymentSettings
    state: DeploymentState
    reason: str
    created: int

    @property
    def counts(self) -> bool:
        """Whether its capital is its own: a stopped one leaves it to others."""
        return self.state in ("active", "paused")

    def view(self, figures: DeploymentView | None = None) -> DeploymentView:
        """As it is shown; `figures`: what its account says of it."""
        settings = self.settings
        raw = msgspec.Raw(msgspec.json.encode(settings))
        if figures is not None:
            return msgspec.structs.replace(
                figures, settings=raw, state=self.state, reason=self.reason, created=self.created
            )
        return DeploymentView(
            deployment_id=settings.deployment_id,
            strategy_id=settings.strategy_id,
            account=settings.account,
            user=settings.user,
            name=settings.name,
            mode=settings.mode,
            state=self.state,
            reason=self.reason,
            settings=raw,
            created=self.created,
        )


class RosterState:
    """Accounts and deployments by their ids. Until what there was is known, questions are Refused `unavailable`."""

    def __init__(self) -> None:
        self.restored = False
        self.accounts: dict[str, AccountRecord] = {}
        self.deployments: dict[str, DeploymentRecord] = {}
        self.closed: set[str] = set()
        """Ids of accounts that have ended: their journals are kept, and nobody else's begins where one ended."""

    def restore(self, rows: Iterable[ExecutionRosterRow]) -> list[tuple[AccountSpec, int]]:
        """Take up what rows say; returns the accounts that are to be started, each with when it was opened."""
        self.restored = True
        opened = []
        for (kind, name), found in known(rows).items():
            if found.event == "closed":
                self.closed.add(name)
            elif kind == "account":
                opened.append((msgspec.json.decode(found.settings, type=AccountSpec), found.created))
            else:
                settings = msgspec.json.decode(found.settings, type=DeploymentSettings)
                state: Any = "stopped" if found.event in ("opened", "changed") else found.event
                self.deployments[name] = DeploymentRecord(settings, state, found.reason, found.created)
        return opened

    def require(self) -> None:
        """Raises Refused where what there was is not known yet."""
        if not self.restored:
            raise Refused("unavailable", "accounts of before the start are being read")

    # -- accounts ----------------------------------------------------------------------------------------------

    def account(self, name: str) -> AccountRecord:
        """An account. Raises Refused."""
        self.require()
        account = self.accounts.get(name)
        if account is None:
            raise Refused("not_found", f"there is no account {name}", "account")
        return account

    def check_open(self, spec: AccountSpec) -> None:
        """Raises Refused where an account cannot be opened."""
        name = spec.engine.account.account_id
        if spec.mode == "live":
            raise Refused("live_disabled", "accounts at venues are opened in the configuration alone", "mode")
        if name in self.accounts or name in self.closed:
            what = "is" if name in self.accounts else "was"
            raise Refused("exists", f"there {what} an account {name}", "account_id")

    def close(self, name: str) -> AccountRecord:
        """No more of an account. Raises Refused where it trades."""
        account = self.account(name)
        if any(each.settings.account == name and each.state == "active" for each in self.deployments.values()):
            raise Refused("conflict", f"{name} has active deployments", "account")
        self.closed.add(name)
        del self.accounts[name]
        return account

    def account_list(self) -> AccountList:
        """All accounts."""
        self.require()
        return AccountList(
            tuple(
                (name, each.spec.engine.account.user, each.spec.mode, each.spec.session, each.spec.name, each.up)
                for name, each in sorted(self.accounts.items())
            )
        )

    # -- deployments -------------------------------------------------------------------------------------------

    def deployment(self, name: str) -> DeploymentRecord:
        """A deployment. Raises Refused."""
        self.require()
        deployment = self.deployments.get(name)
        if deployment is None:
            raise Refused("not_found", f"there is no deployment {name}", "deployment_id")
        return deployment

    def active_of(self, run: str) -> DeploymentRecord:
        """The active deployment of a run. Raises Refused."""
        self.require()
        for each in self.deployments.values():
            if each.settings.strategy_id == run and each.state == "active":
                return each
        raise Refused("not_found", f"{run} has no active deployment")

    def check_deploy(self, settings: DeploymentSettings) -> None:
        """Raises Refused where a deployment cannot begin."""
        account = self.account(settings.account)
        if settings.deployment_id in self.deployments:
            raise Refused("exists", f"there is a deployment {settings.deployment_id}", "deployment_id")
        if not settings.markets:
            raise Refused("invalid", "expected at least one market", "markets")
        if (settings.mode == "live") != (account.spec.mode == "live"):
            raise Refused("invalid", f"expected {account.spec.mode}, as the account is, got {settings.mode}", "mode")
        others, share = self._shares(settings.account, {settings.deployment_id}), settings.capital_share
        if others + share > 1 + TINY:
            raise Refused(
                "invalid",
                f"expected at most {max(0.0, 1 - others):g}, what others leave, got {share:g}",
                "capital_share",
            )

    def check_switch(self, request: SwitchDeployment) -> DeploymentRecord:
        """The deployment that is to be in another state. Raises Refused where it cannot."""
        deployment = self.deployment(request.deployment_id)
        if deployment.state == request.to:
            raise Refused("conflict", f"{request.deployment_id} is {request.to} already", "deployment_id")
        if request.to == "paused" and deployment.state != "active":
            raise Refused("conflict", f"expected an active deployment, it is {deployment.state}", "deployment_id")
        return deployment

    def check_shares(self, request: Rebalance) -> list[tuple[DeploymentRecord, float]]:
        """The deployments that are to have other shares of capital, each with its own. Raises Refused."""
        chosen = []
        for name, share in request.shares:
            deployment = self.deployment(name)
            if deployment.settings.account != request.account:
                raise Refused("invalid", f"expected a deployment of {request.account}, got {name}", "shares")
            if not 0 < share <= 1:
                raise Refused("invalid", f"expected above 0 and at most 1, got {share} for {name}", "shares")
            chosen.append((deployment, share))
        rest = self._shares(request.account, {name for name, _ in request.shares})
        if rest + sum(share for _, share in chosen) > 1 + TINY:
            raise Refused("invalid", f"expected shares of at most {1 - rest:g} in all", "shares")
        return chosen

    def _shares(self, account: str, but: set[str]) -> float:
        """What an account's deployments have of its capital, without those named."""
        return sum(
            each.settings.capital_share
            for each in self.deployments.values()
            if each.settings.account == account and each.counts and each.settings.deployment_id not in but
        )

    def deployment_list(self, request: ListDeployments) -> DeploymentList:
        """Deployments without figures, the newest first."""
        self.require()
        found = [
            each
            for each in self.deployments.values()
            if request.account in ("", each.settings.account)
            and request.strategy_id in ("", each.settings.strategy_id)
            and request.state in ("", each.state)
        ]
        found.sort(key=lambda each: each.created, reverse=True)
        return DeploymentList(tuple(each.view() for each in found))

    def runs(self, accounts: Iterable[str]) -> list[str]:
        """The runs whose signals these accounts take, sorted."""
        chosen = set(accounts)
        found = {each.settings.strategy_id for each in self.deployments.values() if each.settings.account in chosen}
        return sorted(found - {""})


def fixed_changes(there: EngineSettings, wanted: EngineSettings) -> list[str]:
    """The settings in which a configuration differs from what an account's journal was begun with: they stay."""
    fields = [each for each in there.__struct_fields__ if each not in CHANGEABLE]
    return [each for each in fields if getattr(there, each) != getattr(wanted, each)]
