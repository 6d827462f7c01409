"""Strategies as a capability: settings, branch of the tree, routes.

/sandbox                the zygote that locked workers are forked from
/library                strategies of all sources, with their versions
/workflows              drawn strategies; what compiles is put into the library
/strategies             dynamic; a strategy that gives up ends alone
└── <name>              transient; a supervisor of its own
    └── runner          the strategy, or the actor that stands for its locked worker; with replicas /0, /1 … below
/roster                 starts them, lists them, answers the probe
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from actors.strategies.catalogue import StrategyError, checked, find
from actors.strategies.library_requests import StrategyVersionRow
from actors.strategies.library_settings import LibrarySettings
from actors.strategies.library_settings import specs as library_specs
from actors.strategies.package import LIBRARY, SANDBOX
from actors.strategies.records import MIN_INTERVAL_S, Entry, StrategyPlace, sandbox_spec
from actors.strategies.routes import routes as routes
from actors.strategies.run_rows import StrategyRunRow
from actors.strategies.sandbox.keeper import SandboxSettings
from actors.strategies.signal_path import settings_of
from actors.strategies.status import ROSTER
from actors.strategies.workflows.rows import WORKFLOWS, WorkflowVersionRow
from actors.strategies.workflows.settings import specs as workflow_specs
from protocols.control import Refused, Row
from protocols.paths import STRATEGIES
from runtime import ChildSpec, HostOptions, RestartLimit, dynamic_supervisor
from runtime.capability import Whole
from runtime.cluster.settings import without_cluster
from runtime.settings import Configuration, ConfigurationError, Issue

SECTION: Final = "strategies"
SANDBOX_SECTION: Final = "sandbox"
RUNS_SECTION: Final = "runs"
LIBRARY_SECTION: Final = "library"
LIMIT: Final = RestartLimit(count=10, seconds=30.0)


Placement = Literal["local", "process", "ray"]


class StrategySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[strategies]]`: a strategy to run."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
    """Its place in the tree, `/strategies/<name>`, and the `strategy_id` of its signals."""
    strategy: str
    """A name of the catalogue, or `package.module:Class` (trusted code: it runs in the node). With `source`: an id."""
    source: Literal["", "own", "folder", "workflow", "ai_ml", "no_code"] = ""
    """Where in the library it is; it then runs in the sandbox. Empty: trusted code."""
    markets: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], ...] = ()
    """The markets that it sees; empty: all that are quoted on this node."""
    parameters: dict[str, Any] = {}
    """What the strategy declares; an unknown or ill-typed one is an error of the configuration."""
    timeframes: tuple[str, ...] = ("1m",)
    """Of the bars that a sandboxed strategy sees of each market."""
    timeframes_of: dict[str, tuple[str, ...]] = {}
    """By market, where they are others."""
    execution_interval_s: Annotated[float, msgspec.Meta(ge=MIN_INTERVAL_S)] | None = None
    """How often a sandboxed strategy is called, in seconds; not given: at every bar."""
    settings: dict[str, Any] = {}
    """Filters, cooldown and the like of a sandboxed strategy: the fields of `POST /api/strategies/…/configure`."""
    exchange: str = ""
    """What its signals say of where the market is; empty: the venue of the feed."""
    placement: Placement | tuple[Placement, ...] | None = None
    """Where it runs: `local` (the node), `process` or `ray` (a worker), or several of the last two in the order of
    preference; not given: as `[runs]` says."""
    host: HostOptions | None = None
    """What its worker needs; not given: as `[runs]` says."""
    journal: bool = False
    """Whether everything that it is given is written to the database's table `journal` before it handles it, so that
    what it did can be derived again."""
    replicas: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    """How many replicas of trusted code divide the `markets` among themselves, each in a worker of its own where it is
    placed in one; `bin/troupe resize /strategies/<name>/runner N` changes it. Not given: it runs once."""


class RunsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[runs]`: where strategies run, and how many may be started over HTTP."""

    placement: Placement | tuple[Placement, ...] = "local"
    """Where strategies run that do not say it themselves: `local` (the node), `process` (a child process), `ray` (a
    worker of the cluster); several of the last two: the first that can be had."""
    host: HostOptions = HostOptions()
    """What their workers need."""

    max_concurrent: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 10
    """How many may run, beside those of the configuration."""
    signal_cooldown_s: Annotated[float, msgspec.Meta(ge=0, le=31_536_000)] = 60.0
    """Between two signals of a kind in one symbol, in seconds, for each sandboxed strategy that has no
    `signal_cooldown` of its own."""


sections: dict[str, Any] = {
    SECTION: tuple[StrategySettings, ...],
    SANDBOX_SECTION: SandboxSettings,
    RUNS_SECTION: RunsSettings,
    LIBRARY_SECTION: LibrarySettings,
}


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """The branches of strategies. Raises ConfigurationError for an unknown strategy or a wrong parameter."""
    venues, only = _venues(configuration)
    runs: RunsSettings = configuration.section(RUNS_SECTION)
    sandbox: SandboxSettings = configuration.section(SANDBOX_SECTION)
    library = library_specs(configuration.section(LIBRARY_SECTION))
    return [*library, *workflow_specs(), *branch(entries(configuration), sandbox, runs, venues, only)]


def branch(
    strategies: tuple[Entry, ...],
    sandbox: SandboxSettings | None = None,
    runs: RunsSettings | None = None,
    venues: dict[str, str] | None = None,
    only: str = "",
) -> list[ChildSpec]:
    """`/sandbox` (where there are settings for it), `/strategies` and `/roster` with these strategies."""
    limits = msgspec.structs.asdict(sandbox or SandboxSettings())
    runs = runs or RunsSettings()
    arguments = {
        "strategies": strategies,
        "most": runs.max_concurrent,
        "venues": venues or {},
        "only": only,
        "limits": limits,
        "defaults": {"signal_cooldown": runs.signal_cooldown_s},
        "place": StrategyPlace(placement=runs.placement, host=runs.host),
    }
    return [
        *([sandbox_spec(sandbox)] if sandbox is not None else []),
        dynamic_supervisor(STRATEGIES.strip("/"), limit=LIMIT),
        ChildSpec(name=ROSTER.strip("/"), actor="actors.strategies.roster:Roster", arguments=arguments),
    ]


def entries(configuration: Configuration) -> tuple[Entry, ...]:
    """The strategies of a configuration, checked. Raises ConfigurationError that tells all that is wrong."""
    settings: tuple[StrategySettings, ...] = configuration.section(SECTION)
    venues, only = _venues(configuration)
    runs: RunsSettings = configuration.section(RUNS_SECTION)
    issues: list[Issue] = []
    found: list[Entry] = []
    names: set[str] = set()
    for index, each in enumerate(settings):
        place = f"{SECTION}.{index}"
        entry = Entry(
            name=each.name,
            strategy=each.strategy,
            source=each.source,
            markets=tuple(dict.fromkeys(each.markets)),
            timeframes=each.timeframes,
            timeframes_of=each.timeframes_of,
            parameters=each.parameters,
            settings=each.settings,
            interval_s=each.execution_interval_s,
            exchange=each.exchange or only,
            exchanges={} if each.exchange else {name: venues[name] for name in each.markets if name in venues},
            journal=each.journal,
            placement=each.placement or "",
            host=each.host,
            replicas=each.replicas,
        )
        issues += _replica_issues(configuration, place, each)
        if each.source:
            issues += _sandboxed_issues(configuration, place, each)
        else:
            try:
                checked(find(each.strategy), each.parameters)
            except StrategyError as error:
                issues.append(_issue(configuration, f"{place}.{error.field}", error.message))
        try:
            entry.spec(place=StrategyPlace(placement=runs.placement, host=runs.host))
        except ValueError as error:
            issues.append(_issue(configuration, f"{place}.name", str(error)))
        if each.name in names:
            issues.append(_issue(configuration, f"{place}.name", f"two strategies are named {each.name!r}"))
        names.add(each.name)
        found.append(entry)
        issues += without_cluster(configuration, f"{place}.placement", each.placement or ())
    if any(not each.placement for each in settings) or not settings:
        issues += without_cluster(configuration, f"{RUNS_SECTION}.placement", runs.placement)
    if issues:
        raise ConfigurationError(issues)
    return tuple(found)


def _replica_issues(configuration: Configuration, place: str, settings: StrategySettings) -> list[Issue]:
    if settings.replicas is None:
        return []
    if settings.source:
        text = (
            f"expected no replicas of a strategy with a source (it runs once, in the sandbox), got {settings.replicas}"
        )
        return [_issue(configuration, f"{place}.replicas", text)]
    if settings.replicas > 1 and not settings.markets:
        text = f"expected the markets that {settings.replicas} replicas divide among themselves, got none"
        return [_issue(configuration, f"{place}.markets", text)]
    return []


def _sandboxed_issues(configuration: Configuration, place: str, settings: StrategySettings) -> list[Issue]:
    """What can be said of a sandboxed strategy before its source is read."""
    issues = []
    if not settings.markets:
        issues.append(_issue(configuration, f"{place}.markets", "a sandboxed strategy names its markets"))
    try:
        settings_of(settings.settings)
    except Refused as refused:
        field = (refused.field or "").removeprefix("configuration")
        issues.append(_issue(configuration, f"{place}.settings{field}", refused.message))
    return issues


def _venues(configuration: Configuration) -> tuple[dict[str, str], str]:
    """The venue of every market that a feed names, and the venue of all feeds if it is one and the same."""
    try:
        feeds = configuration.section("feeds")
    except KeyError:
        return {}, ""
    venues = {market: feed.venue for feed in feeds for market in feed.markets}
    different = {feed.venue for feed in feeds}
    return venues, different.pop() if len(different) == 1 else ""


def _issue(configuration: Configuration, key: str, message: str) -> Issue:
    return Issue("invalid", f"{key} ({configuration.source(key)}): {message}", key)


def probes(configuration: Configuration) -> list[tuple[str, str]]:
    """Who answers for strategies."""
    return [("strategies", ROSTER), ("sandbox", SANDBOX), ("library", LIBRARY), ("workflows", WORKFLOWS)]


migrations: str | None = str(Path(__file__).parent / "migrations")
rows: tuple[type[Row], ...] = (StrategyRunRow, StrategyVersionRow, WorkflowVersionRow)
commands = {"strategy": "actors.strategies.commands:strategy"}
