"""What the roster grants and refuses, without a node."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.execution.account_settings import AccountSpec
from actors.execution.deployments import DeploymentSettings
from actors.execution.roster_rows import Event, ExecutionRosterRow, Kind
from actors.execution.roster_state import AccountRecord, DeploymentRecord, RosterState, fixed_changes
from protocols.control import Refused
from protocols.execution import ListDeployments, Rebalance, SwitchDeployment


def spec(name: str = "a", **engine: Any) -> AccountSpec:
    return msgspec.convert({"engine": {"account": {"account_id": name}, **engine}}, AccountSpec)


def settings(name: str, share: float = 0.5, **fields: Any) -> DeploymentSettings:
    known: dict[str, Any] = {"strategy_id": "s", "account": "a", "markets": ("X",), "capital_share": share}
    return DeploymentSettings(deployment_id=name, **{**known, **fields})


def roster(*deployments: DeploymentRecord) -> RosterState:
    state = RosterState()
    state.restored = True
    state.accounts["a"] = AccountRecord(spec(), 1)
    for each in deployments:
        state.deployments[each.settings.deployment_id] = each
    return state


def row(seq: int, kind: Kind, name: str, event: Event, what: object) -> ExecutionRosterRow:
    return ExecutionRosterRow(
        stream="execution_roster",
        seq=seq,
        ts=seq,
        kind=kind,
        id=name,
        event=event,
        reason="",
        settings=msgspec.Raw(msgspec.json.encode(what)),
    )


def refused(function: Any, *args: Any) -> tuple[str, str | None]:
    with pytest.raises(Refused) as found:
        function(*args)
    return found.value.code, found.value.field


def test_nothing_is_answered_until_what_there_was_is_known() -> None:
    state = RosterState()
    assert refused(state.account, "a")[0] == "unavailable"
    assert refused(state.deployment, "d")[0] == "unavailable"
    assert refused(state.account_list)[0] == "unavailable"
    assert refused(state.deployment_list, ListDeployments())[0] == "unavailable"
    assert refused(state.active_of, "s")[0] == "unavailable"


def test_rows_say_which_accounts_are_started_and_how_deployments_stood() -> None:
    rows = [
        row(1, "account", "a", "opened", spec("a")),
        row(2, "account", "b", "opened", spec("b")),
        row(3, "deployment", "d", "active", settings("d")),
        row(4, "deployment", "d", "changed", settings("d", 0.25)),
        row(5, "account", "b", "closed", spec("b")),
    ]
    state = RosterState()
    assert state.restore(rows) == [(spec("a"), 1)]
    assert state.closed == {"b"}
    assert state.deployments == {"d": DeploymentRecord(settings("d", 0.25), "active", "", 3)}


def test_an_id_is_given_once_also_when_its_account_has_ended() -> None:
    state = roster()
    assert refused(state.check_open, spec("a")) == ("exists", "account_id")
    state.close("a")
    assert refused(state.account, "a") == ("not_found", "account")
    assert refused(state.check_open, spec("a")) == ("exists", "account_id")
    state.check_open(spec("b"))


def test_an_account_with_an_active_deployment_is_not_closed() -> None:
    state = roster(DeploymentRecord(settings("d"), "active", "", 1))
    assert refused(state.close, "a") == ("conflict", "account")
    assert "a" in state.accounts


def test_deployments_that_may_trade_share_the_capital_and_stopped_ones_leave_theirs() -> None:
    state = roster(
        DeploymentRecord(settings("d"), "active", "", 1),
        DeploymentRecord(settings("p", 0.25), "paused", "", 2),
        DeploymentRecord(settings("s"), "stopped", "", 3),
    )
    assert refused(state.check_deploy, settings("n", 0.26)) == ("invalid", "capital_share")
    state.check_deploy(settings("n", 0.25))
    assert refused(state.check_shares, Rebalance("a", (("d", 0.8),))) == ("invalid", "shares")
    [(deployment, share)] = state.check_shares(Rebalance("a", (("d", 0.75),)))
    assert (deployment.settings.deployment_id, share) == ("d", 0.75)


def test_a_deployment_is_paused_only_when_it_is_active() -> None:
    state = roster(DeploymentRecord(settings("d"), "stopped", "", 1))
    assert refused(state.check_switch, SwitchDeployment("d", "paused")) == ("conflict", "deployment_id")
    assert refused(state.check_switch, SwitchDeployment("d", "stopped")) == ("conflict", "deployment_id")
    assert state.check_switch(SwitchDeployment("d", "active")) is state.deployments["d"]


def test_deployments_are_listed_from_the_newest_on_and_runs_once_each() -> None:
    state = roster(
        DeploymentRecord(settings("d"), "active", "", 1),
        DeploymentRecord(settings("e"), "stopped", "", 2),
        DeploymentRecord(settings("f", account="b", strategy_id="t"), "active", "", 3),
    )
    assert [each.deployment_id for each in state.deployment_list(ListDeployments()).deployments] == ["f", "e", "d"]
    assert state.runs(["a"]) == ["s"]
    assert state.runs(["a", "b"]) == ["s", "t"]


def test_a_configuration_changes_limits_and_nothing_that_a_journal_was_begun_with() -> None:
    limited = spec(limits={"max_open_orders": 3}).engine
    assert fixed_changes(spec().engine, limited) == []
    assert fixed_changes(spec().engine, spec(seed=2, sample_s=5).engine) == ["seed", "sample_s"]
