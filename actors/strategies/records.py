"""What the roster knows of one strategy: what is to run, what does run, and what became of it."""

from __future__ import annotations

import re
from collections import deque
from typing import Annotated, Any, Final

import msgspec
import trio

from actors.strategies.catalogue import CATALOGUE, StrategyError, checked, find
from actors.strategies.package import SANDBOX, Package
from actors.strategies.run_rows import Remembered
from actors.strategies.sandbox.keeper import SandboxSettings
from actors.strategies.sandbox.policy import KillRecord
from actors.strategies.signal_path import settings_of
from actors.strategies.status import EMPTY, MOST_EVENTS, Run, RunLoaded, StartStrategy
from protocols.control import Refused
from protocols.strategies import StrategyChanged, StrategyState
from runtime import AutoShutdown, Backoff, ChildSpec, HostOptions, ReplicaSettings, Restart, RestartLimit, supervisor

RUNNER: Final = "runner"
LIMIT: Final = RestartLimit(count=5, seconds=30.0)
BACKOFF: Final = Backoff(first_s=0.1, most_s=1.0)
OWN_SOURCES: Final = frozenset({"folder", "catalogue", "import", ""})
"""Whose code is the operator's own."""
MIN_INTERVAL_S: Final = 60.0
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Name = Annotated[str, msgspec.Meta(max_length=100)]


class StrategyPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where strategies run that do not say it themselves."""

    placement: str | tuple[str, ...] = "local"
    host: HostOptions = HostOptions()


def sandbox_spec(settings: SandboxSettings) -> ChildSpec:
    """The keeper of a sandbox, `/sandbox`."""
    return ChildSpec(
        name=SANDBOX.strip("/"),
        actor="actors.strategies.sandbox.keeper:SandboxKeeper",
        arguments=msgspec.structs.asdict(settings),
    )


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One strategy as it is to be run.

    No `source`: trusted code, which runs in the node: `strategy` is a name of the catalogue or
    `package.module:Class`. Else `strategy` is an id of the library, and it runs in the sandbox.
    """

    name: Name
    strategy: str
    source: str = ""
    markets: tuple[str, ...] = ()
    timeframes: tuple[str, ...] = ()
    timeframes_of: dict[str, tuple[str, ...]] = {}
    """By market, where they are others."""
    parameters: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    """Fields of `RunSettings`."""
    interval_s: float | None = None
    exchange: str = ""
    exchanges: dict[str, str] = {}
    placement: str | tuple[str, ...] = ""
    """Where it runs; empty: where this node's strategies run."""
    host: HostOptions | None = None
    """What its worker needs; None: what those of this node's strategies do."""
    journal: bool = False
    """Whether everything that it is given is in the node's log before it handles it (table `journal`)."""
    replicas: int | None = None
    """How many replicas of trusted code divide the markets among themselves; None: it runs once, and has them all."""

    @property
    def divided(self) -> bool:
        """Whether it runs as replicas."""
        return self.replicas is not None and bool(self.markets) and not self.source

    def windows(self) -> tuple[tuple[str, str], ...]:
        """(market, timeframe), each once."""
        pairs = (
            (market, timeframe)
            for market in self.markets
            for timeframe in self.timeframes_of.get(market, self.timeframes)
        )
        return tuple(dict.fromkeys(pairs))

    def spec(
        self, path: str = "", place: StrategyPlace | None = None, sandbox: SandboxSettings | None = None
    ) -> ChildSpec:
        """Its branch of the tree.

        `path`: the import path of a trusted strategy of the library; `place`: where strategies run that do not say it
        themselves; `sandbox`: of the zygote that a worker of its own has. Raises ValueError for a place that is none.
        """
        place = place or StrategyPlace()
        placement = self.placement or place.placement
        options: dict[str, Any] = {"placement": placement, "host": self.host or place.host, "journal": self.journal}
        if self.source and not path:
            runner = ChildSpec(
                name=RUNNER,
                actor="actors.strategies.sandboxed:SandboxedStrategy",
                arguments={"name": self.name},
                # A worker is forked from a zygote of the same machine.
                services=() if placement == "local" else (sandbox_spec(sandbox or SandboxSettings()),),
                **options,
            )
        else:
            arguments = {
                "name": self.name,
                "strategy": _catalogue_name(path) if path else self.strategy,
                "markets": self.markets,
                "parameters": self.parameters,
                "exchange": self.exchange,
                "exchanges": self.exchanges,
            }
            trusted = "actors.strategies.runner:StrategyRunner"
            if self.replicas is not None and self.divided:
                return self._divided(
                    ChildSpec(name=RUNNER, actor=trusted, arguments={**arguments, "shared": True}, **options)
                )
            runner = ChildSpec(name=RUNNER, actor=trusted, arguments=arguments, **options)
        return supervisor(self.name, runner, restart=Restart.TRANSIENT, limit=LIMIT, backoff=BACKOFF)

    def _divided(self, runner: ChildSpec) -> ChildSpec:
        assert self.replicas is not None
        settings = ReplicaSettings(count=self.replicas, restart_count=LIMIT.count, restart_s=LIMIT.seconds)
        # A set that has given up ends the run, as a single runner's supervisor does.
        runner = msgspec.structs.replace(runner, replicas=settings, restart=Restart.TRANSIENT, significant=True)
        return supervisor(
            self.name, runner, restart=Restart.TRANSIENT, limit=LIMIT, backoff=BACKOFF,
            auto_shutdown=AutoShutdown.ANY_SIGNIFICANT,
        )  # fmt: skip


class Record:
    """One strategy over all its lives."""

    def __init__(self, entry: Entry, *, configured: bool) -> None:
        self.entry = entry
        self.configured = configured
        self.wanted = configured
        """Whether it is to run."""
        self.starting = False
        self.up = False
        self.begun = configured
        """Whether this run has ever run; one that never did leaves nothing behind."""
        self.known = configured
        """Whether there was an earlier run of this name."""
        self.package: Package | None = None
        self.next_package: Package | None = None
        self.version = ""
        self.execution_id = ""
        self.parameters = EMPTY
        self.state: bytes | None = None
        self.gate = EMPTY
        self.count = 0
        self.kills = KillRecord()
        self.crashes = 0
        self.last_error = self.failure = self.failure_code = self.failure_field = ""
        self.barred = False
        self.told: StrategyState = "inactive"
        self.events: deque[tuple[int, str]] = deque(maxlen=MOST_EVENTS)
        self.settled = trio.Event()
        """Set when it runs, or has failed to."""

    @property
    def sandboxed(self) -> bool:
        """Whether it runs in the sandbox."""
        return bool(self.entry.source) and not (self.package is not None and self.package.trusted)

    @property
    def status(self) -> StrategyState:
        """Its status, in the words of the inference service."""
        if self.failure:
            return "error"
        if not self.wanted:
            return "inactive"
        return "active" if self.up else "loading"

    def settings(self, defaults: dict[str, Any], changes: dict[str, Any] | None = None) -> msgspec.Raw:
        """The fields of `RunSettings`, a JSON object: changes before the run's own, and these before the defaults."""
        return msgspec.Raw(msgspec.json.encode({**defaults, **self.entry.settings, **(changes or {})}))

    def take_over(self, before: Record) -> None:
        """Keep what an earlier run of the same name has left."""
        self.known = True
        self.crashes, self.kills, self.told = before.crashes, before.kills, before.told
        self.events = before.events
        if before.entry.source == self.entry.source:
            self.state = before.state

    def accept(self, package: Package) -> None:
        """Run this package. Raises Refused `invalid` if a trusted one does not take the parameters."""
        if package.trusted:
            try:
                checked(find(_catalogue_name(package.path)), self.entry.parameters)
            except StrategyError as error:
                raise Refused("invalid", error.message, error.field) from None
        self.entry = msgspec.structs.replace(self.entry, source=package.source)
        if package.version != self.version and self.version:
            self.kills = KillRecord()
        self.package = package

    def spec(self, place: StrategyPlace, sandbox: SandboxSettings) -> ChildSpec:
        """Its branch of the tree. See `Entry.spec`."""
        package = self.package
        return self.entry.spec(package.path if package is not None else "", place, sandbox)

    def run(self, limits: SandboxSettings, defaults: dict[str, Any]) -> Run:
        """What its runner is to run. There has to be a package. `defaults`: of the fields of `RunSettings`."""
        entry, package = self.entry, self.package
        assert package is not None
        return Run(
            package=package,
            markets=entry.markets,
            windows=entry.windows(),
            parameters=msgspec.Raw(msgspec.json.encode(entry.parameters)),
            settings=self.settings(defaults),
            interval_s=entry.interval_s,
            exchange=entry.exchange,
            exchanges=tuple(entry.exchanges.items()),
            own=package.source in OWN_SOURCES,
            state=self.state,
            gate=self.gate,
            count=self.count,
            error_budget=limits.error_budget,
            call_s=limits.call_s,
            load_s=limits.load_s,
            cpu_share=limits.cpu_share,
            log_bytes=limits.log_bytes,
        )

    def loaded(self, message: RunLoaded) -> None:
        """A runner runs."""
        taken = self.next_package
        if taken is not None and taken.version == message.version:
            self.package, self.kills = taken, KillRecord()
        self.next_package = None
        self.version = message.version
        self.parameters = message.parameters
        if not (message.replica and self.up):
            # Of several replicas the first one begins the run; another one, or a new life of one, is still the same.
            self.execution_id = f"{self.entry.name}@{message.incarnation}"
        self.up = True

    def crashed(self, error: str) -> None:
        """A life of it has ended."""
        self.crashes += 1
        self.last_error = error

    def fail(self, code: str, reason: str, field: str = "", *, barred: bool = False) -> None:
        """It has ended for good."""
        self.failure, self.failure_code, self.failure_field = reason, code, field
        self.wanted = self.up = self.starting = False
        self.barred = barred
        self.settled.set()

    def lift(self) -> None:
        """It may be started again."""
        self.barred = self.begun = False
        self.known = True
        self.failure = self.failure_code = self.failure_field = ""
        self.kills = KillRecord()

    def configure(self, settings: msgspec.Raw, parameters: msgspec.Raw) -> None:
        """Run with these from now on; what is not named stays."""
        self.entry = msgspec.structs.replace(
            self.entry,
            settings=self.entry.settings | msgspec.json.decode(settings),
            parameters=self.entry.parameters | msgspec.json.decode(parameters),
        )

    def restore(self, known: Remembered) -> None:
        """Take up what the rows of an earlier life of the node say."""
        self.begun = self.known = True
        self.wanted = known.running
        self.version = known.version
        if known.reason:
            self.fail("barred" if known.barred else "failed", known.reason, barred=known.barred)

    def change(self, now: int) -> StrategyChanged:
        """How it is, for whoever wants to hear."""
        return StrategyChanged(
            strategy_id=self.entry.name,
            strategy_source=source_name(self),
            strategy_version=self.version,
            execution_id=self.execution_id,
            status=self.status,
            reason=self.failure,
            symbols=self.entry.markets,
            ts=now,
        )


def source_name(record: Record) -> str:
    """What `strategy_source` of its signals says."""
    if record.package is not None:
        return record.package.source
    return record.entry.source or ("catalogue" if record.entry.strategy in CATALOGUE else "import")


def entry_of(request: StartStrategy, venues: dict[str, str], only: str) -> Entry:
    """The entry that a request asks for. Raises Refused `invalid` with the field."""
    if request.execution_mode == "live":
        raise Refused("forbidden", "live trading needs a deployment: this node runs strategies on paper",
                      "execution_mode")  # fmt: skip
    if request.execution_mode == "backtest":
        raise Refused("not_deployed", "backtests need the execution engine, which this version does not have",
                      "execution_mode")  # fmt: skip
    if not _NAME.fullmatch(request.strategy_id):
        raise Refused("invalid", "expected letters, digits, '.', '_' and '-', at most 100", "strategy_id")
    if not request.symbols:
        raise Refused("invalid", "expected at least one symbol", "symbols")
    if request.execution_interval_s is not None and request.execution_interval_s < MIN_INTERVAL_S:
        raise Refused("invalid", f"expected at least {MIN_INTERVAL_S:g} seconds, got {request.execution_interval_s:g}",
                      "execution_interval")  # fmt: skip
    symbols = tuple(dict.fromkeys(request.symbols))
    for symbol, _ in request.timeframes:
        if symbol not in symbols:
            raise Refused("invalid", f"expected one of {', '.join(symbols)}, got {symbol!r}", "timeframes")
    parameters = _object(request.parameters, "parameters")
    settings = _object(request.settings, "configuration")
    settings_of(settings)
    return Entry(
        name=request.strategy_id,
        strategy=request.strategy_id,
        source=request.source,
        markets=symbols,
        timeframes=(request.timeframe,),
        timeframes_of=dict(request.timeframes),
        parameters=parameters,
        settings=settings,
        interval_s=request.execution_interval_s,
        exchange=only,
        exchanges={symbol: venues[symbol] for symbol in symbols if symbol in venues},
    )


def _object(raw: msgspec.Raw, field: str) -> dict[str, Any]:
    decoded: Any = msgspec.json.decode(raw)
    if not isinstance(decoded, dict):
        raise Refused("invalid", f"expected an object, got {type(decoded).__name__}", field)
    return decoded


def _catalogue_name(path: str) -> str:
    """The name of a strategy of the catalogue by its import path, or the path."""
    return next((name for name, known in CATALOGUE.items() if known == path), path)
