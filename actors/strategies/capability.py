"""Strategies as a capability: settings, branch of the tree, routes.

/strategies             dynamic; a strategy that gives up ends alone
└── <name>              transient; a supervisor of its own
    └── runner          the strategy
/roster                 starts them, lists them, answers the probe
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from actors.strategies.catalogue import StrategyError, checked, find
from actors.strategies.roster import Entry
from actors.strategies.routes import routes as routes
from actors.strategies.status import ROSTER
from protocols.control import Row
from protocols.paths import STRATEGIES
from runtime import ChildSpec, RestartLimit, dynamic_supervisor
from runtime.capability import Whole
from runtime.settings import Configuration, ConfigurationError, Issue

SECTION: Final = "strategies"
LIMIT: Final = RestartLimit(count=10, seconds=30.0)


class StrategySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[strategies]]`: a strategy to run."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=100)]
    """Its place in the tree, `/strategies/<name>`, and the `strategy_id` of its signals."""
    strategy: str
    """A name of the catalogue, or `package.module:Class` (trusted code: it runs in the node)."""
    markets: tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], ...] = ()
    """The markets that it sees; empty: all that are quoted on this node."""
    parameters: dict[str, Any] = {}
    """What the strategy declares; an unknown or ill-typed one is an error of the configuration."""
    exchange: str = ""
    """What its signals say of where the market is; empty: the venue of the feed."""


sections: dict[str, Any] = {SECTION: tuple[StrategySettings, ...]}


def children(configuration: Configuration, whole: Whole) -> list[ChildSpec]:
    """`/strategies` and `/roster`. Raises ConfigurationError for an unknown strategy or a wrong parameter."""
    return branch(entries(configuration))


def branch(strategies: tuple[Entry, ...]) -> list[ChildSpec]:
    """`/strategies` and `/roster` with these strategies."""
    arguments = {"strategies": strategies}
    return [
        dynamic_supervisor(STRATEGIES.strip("/"), limit=LIMIT),
        ChildSpec(name=ROSTER.strip("/"), actor="actors.strategies.roster:Roster", arguments=arguments),
    ]


def entries(configuration: Configuration) -> tuple[Entry, ...]:
    """The strategies of a configuration, checked. Raises ConfigurationError that tells all that is wrong."""
    settings: tuple[StrategySettings, ...] = configuration.section(SECTION)
    venues, only = _venues(configuration)
    issues: list[Issue] = []
    found: list[Entry] = []
    names: set[str] = set()
    for index, each in enumerate(settings):
        place = f"{SECTION}.{index}"
        entry = Entry(
            name=each.name,
            strategy=each.strategy,
            markets=tuple(dict.fromkeys(each.markets)),
            parameters=each.parameters,
            exchange=each.exchange or only,
            exchanges={} if each.exchange else {name: venues[name] for name in each.markets if name in venues},
        )
        try:
            checked(find(each.strategy), each.parameters)
        except StrategyError as error:
            issues.append(_issue(configuration, f"{place}.{error.field}", error.message))
        try:
            entry.spec()
        except ValueError as error:
            issues.append(_issue(configuration, f"{place}.name", str(error)))
        if each.name in names:
            issues.append(_issue(configuration, f"{place}.name", f"two strategies are named {each.name!r}"))
        names.add(each.name)
        found.append(entry)
    if issues:
        raise ConfigurationError(issues)
    return tuple(found)


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
    return [("strategies", ROSTER)]


migrations: str | None = None
rows: tuple[type[Row], ...] = ()
commands: dict[str, str] = {}
