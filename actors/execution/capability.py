"""Execution as a capability: accounts, deployments, risk; their branch of the tree, routes and tables.

/execution              one for one
├── accounts            dynamic; an account that gives up ends alone
│   └── <id>            transient; a supervisor of its own
│       ├── account     the account: inputs, journal, engine
│       └── gateway     of an account that trades at a venue
├── deployments         the roster: opens accounts, binds deployments, the kill switch
├── exposure            where limits over all accounts are set: holds them to it
└── events              order events for clients of the WebSocket
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from actors.execution.account_settings import AccountSpec
from actors.execution.accounts.rows import ROWS as ACCOUNT_ROWS
from actors.execution.all_accounts import ExposureSettings
from actors.execution.deployments import DeploymentSettings
from actors.execution.http.routes import routes as routes
from actors.execution.more_rows import ExecutionTradeRow, ExecutionVerdictRow
from actors.execution.roster_rows import ExecutionRosterRow
from protocols.control import Row
from protocols.deployments import DEPLOYMENTS
from protocols.execution import ACCOUNTS, EVENTS, EXECUTION, EXPOSURE, OutcomeRow
from protocols.instruments import Instrument
from runtime import Backoff, ChildSpec, RestartLimit, dynamic_supervisor, supervisor
from runtime.capability import Whole
from runtime.settings import Configuration, ConfigurationError, Issue

SECTION: Final = "execution"
ACCOUNTS_SECTION: Final = "accounts"
DEPLOYMENTS_SECTION: Final = "deployments"
LIMIT: Final = RestartLimit(count=10, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.05, most_s=2.0)


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[execution]`: what holds for all accounts."""

    live: bool = False
    """Whether accounts may trade at venues at all; each one needs `mode = "live"` and `gateway.live` besides."""
    snapshot_inputs: Annotated[int, msgspec.Meta(ge=100)] = 20_000
    """After so many inputs an account writes a snapshot; a start replays at most as many."""
    instruments: tuple[dict[str, Any], ...] = ()
    """Definitions (fields of Instrument) of markets that no venue defines."""
    paper_capital: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,18}(\.[0-9]{1,9})?$")] = "100000"
    """The first money of a paper account that is opened over HTTP and does not say."""
    paper_max_positions: Annotated[int, msgspec.Meta(ge=1)] = 20
    """How many positions a paper account that does not say its limits may have."""
    exposure: ExposureSettings = ExposureSettings()
    """Limits over all accounts together."""

    def __post_init__(self) -> None:
        for each in self.instruments:
            msgspec.convert(each, Instrument)


sections: dict[str, Any] = {
    SECTION: Settings,
    ACCOUNTS_SECTION: tuple[AccountSpec, ...],
    DEPLOYMENTS_SECTION: tuple[DeploymentSettings, ...],
}


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """The branch `/execution`. Raises ConfigurationError: a deployment without markets, an id twice."""
    accounts = configuration.section(ACCOUNTS_SECTION)
    deployments = configuration.section(DEPLOYMENTS_SECTION)
    issues: list[Issue] = []
    for index, each in enumerate(deployments):
        if not each.markets:
            place = f"{DEPLOYMENTS_SECTION}.{index}.markets"
            issues.append(Issue("invalid", f"{place}: expected at least one market, got none", place))
    named = (
        (ACCOUNTS_SECTION, "engine.account.account_id", [each.engine.account.account_id for each in accounts]),
        (DEPLOYMENTS_SECTION, "deployment_id", [each.deployment_id for each in deployments]),
    )
    for section, field, ids in named:
        for index, name in enumerate(ids):
            if name in ids[:index]:
                place = f"{section}.{index}.{field}"
                issues.append(Issue("invalid", f"{place}: expected an id of its own, got {name!r} again", place))
    if issues:
        raise ConfigurationError(issues)
    return [branch(configuration.section(SECTION), accounts, deployments)]


def branch(
    settings: Settings, accounts: tuple[AccountSpec, ...] = (), deployments: tuple[DeploymentSettings, ...] = ()
) -> ChildSpec:
    """The branch `/execution` with these settings."""
    roster = ChildSpec(
        name=DEPLOYMENTS.rpartition("/")[2],
        actor="actors.execution.roster:ExecutionRoster",
        arguments={
            "accounts": [msgspec.to_builtins(each) for each in accounts],
            "deployments": [msgspec.to_builtins(each) for each in deployments],
            "instruments": list(settings.instruments),
            "live": settings.live,
            "snapshot_inputs": settings.snapshot_inputs,
            "paper": (settings.paper_capital, settings.paper_max_positions),
        },
        backoff=BACKOFF,
    )
    watch = ChildSpec(
        name=EXPOSURE.rpartition("/")[2],
        actor="actors.execution.all_accounts:ExposureWatch",
        arguments={"settings": msgspec.to_builtins(settings.exposure)},
        backoff=BACKOFF,
    )
    return supervisor(
        EXECUTION.strip("/"),
        dynamic_supervisor(ACCOUNTS.rpartition("/")[2], limit=LIMIT, backoff=BACKOFF),
        roster,
        *((watch,) if settings.exposure.limited else ()),
        ChildSpec(
            name=EVENTS.rpartition("/")[2], actor="actors.execution.event_stream:ExecutionEvents", backoff=BACKOFF
        ),
        limit=LIMIT,
        backoff=BACKOFF,
    )


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for execution."""
    settings = configuration.section(SECTION)
    return [("execution", DEPLOYMENTS), *([("exposure", EXPOSURE)] if settings.exposure.limited else [])]


migrations: str | None = str(Path(__file__).parent / "migrations")
rows: tuple[type[Row], ...] = (
    *ACCOUNT_ROWS,
    ExecutionRosterRow,
    ExecutionVerdictRow,
    ExecutionTradeRow,
    OutcomeRow,
)
commands: dict[str, str] = {
    "account list": "actors.execution.commands:account_list",
    "account open": "actors.execution.commands:account_open",
    "account show": "actors.execution.commands:account_show",
    "explain": "actors.execution.commands:explain",
    "kill-switch": "actors.execution.commands:kill_switch",
    "orders": "actors.execution.commands:orders",
}
