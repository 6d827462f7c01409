"""What a backtest is told: strategy, data, account, fills, methodology. One JSON object, whoever starts it.

It travels to child processes, stands in results and in the ledger of trials; two equal ones over equal data give equal
orders, in any process.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any, Final, Literal

import msgspec

from actors.execution.accounts.settings import AccountSettings
from actors.execution.deployments import DeploymentSettings, Opposite
from actors.execution.engine_state import EngineSettings
from actors.execution.matching.settings import FillSettings
from actors.execution.risk.limits import RiskLimits
from actors.execution.risk.protections import ProtectionSettings
from actors.execution.risk.sizing import SizingSettings
from protocols.instruments import Instrument, Kind, PriceRange
from protocols.nanos import INT64_MAX, NANO, exact_nanos

Methodology = Literal["standard", "walk_forward", "monte_carlo", "cross_validation"]
Bracket = Literal["", "optimistic", "pessimistic"]
ACCOUNT: Final = "backtest"
DEPLOYMENT: Final = "backtest"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


def _ranges(kind: Kind, tick: int) -> tuple[PriceRange, ...]:
    if kind == "prediction":
        return (PriceRange(tick, NANO - tick, tick),)
    return (PriceRange(0, INT64_MAX // tick * tick, tick),)


def _nanos(name: str, text: str) -> int:
    try:
        return exact_nanos(text)
    except ValueError as error:
        raise ValueError(f"{name}: expected a decimal number, {error}") from None


class SpecError(ValueError):
    """A specification that cannot be run: which field, what was expected, what came."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class StrategySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which strategy. `name`: of the catalogue, `package.module:Class`, or what a source text is called.

    `code`: the source text of a strategy for the sandbox; empty: trusted code. `settings`: those of a sandboxed run
    (`RunSettings`: gate, cooldown …), the same as on a node. `timeframes`: of the bars that a sandboxed strategy sees.
    `family`: whose runs are counted together; empty: the strategy's own name, whatever its parameters and version.
    """

    name: Name
    code: str = ""
    filename: str = "strategy.py"
    version: str = ""
    family: str = ""
    parameters: dict[str, Any] = {}
    timeframes: tuple[str, ...] = ()
    lookback: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200
    settings: dict[str, Any] = {}
    most_errors: Count = 0
    """Exceptions of sandboxed code that are counted and passed over; one more ends the run."""

    @property
    def sandboxed(self) -> bool:
        """Whether it runs in a locked worker."""
        return bool(self.code)

    @property
    def family_name(self) -> str:
        """Whose trials its runs are."""
        return self.family or self.name


class DataSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Data to run over: a file or folder (`path`), or a data set of the node (`dataset`).

    `kind` empty: told from it; `market`: which one of several, or the name of the only one. `interval` of bars, longer
    than the file's: they are put together. `venue`, `use_yes_price`: of an imported recording.
    """

    path: str = ""
    dataset: str = ""
    market: str = ""
    kind: Literal["", "bars", "quotes", "trades", "l2", "recording"] = ""
    interval: str = ""
    venue: str = ""
    use_yes_price: bool | None = None

    def __post_init__(self) -> None:
        if bool(self.path) == bool(self.dataset):
            raise ValueError("data: expected either path or dataset")


class MarketSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is traded, for markets without a definition of their own. Decimal text; fees are shares of the value.

    Without fees given there are none, and the result says so.
    """

    kind: Kind = "equity"
    tick: str = "0.000000001"
    lot: str = "0.000000001"
    multiplier: str = "1"
    maker_fee: str | None = None
    taker_fee: str | None = None

    def __post_init__(self) -> None:
        for name in ("tick", "lot", "multiplier"):
            if _nanos(name, getattr(self, name)) <= 0:
                raise ValueError(f"{name}: expected above 0, got {getattr(self, name)!r}")
        for name in ("maker_fee", "taker_fee"):
            if (value := getattr(self, name)) is not None and not -NANO < _nanos(name, value) < NANO:
                raise ValueError(f"{name}: expected a share of the value, 0.001 is 0.1 %, got {value!r}")

    def instrument(self, market: str, currency: str) -> Instrument:
        """The definition."""
        return Instrument(
            market=market,
            symbol=market,
            venue="backtest",
            kind=self.kind,
            currency=currency,
            price_ranges=_ranges(self.kind, exact_nanos(self.tick)),
            lot=exact_nanos(self.lot),
            multiplier=exact_nanos(self.multiplier),
            maker_fee=self.maker_fee or "0",
            taker_fee=self.taker_fee or "0",
            status="open",
            source="backtest",
        )


class MethodSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the data is used.

    `grid`: values by parameter (dotted names are not known); a walk-forward or a cross-validation chooses among them in
    each training. `random_trials`: so many combinations are drawn, seeded; 0: all of them. `walk_forward`: months of
    training, test and step. `purge_s`: what a training loses at its end, `embargo_s`: how much later the test begins.
    `warm_up_s`: data before a span that the strategy sees without trading (indicators). `stress_methods`: of the Monte
    Carlo; empty: all.
    """

    methodology: Methodology = "standard"
    grid: dict[str, tuple[Any, ...]] = {}
    random_trials: Count = 0
    objective: str = "sharpe"
    processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    walk_forward: str = "12/3/3"
    folds: Annotated[int, msgspec.Meta(ge=2, le=50)] = 5
    purge_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    embargo_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    warm_up_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    simulations: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1000
    stress_methods: tuple[str, ...] = ()
    simulate: bool = False
    """Simulate what else could have been of the tests of windows, too, as `monte_carlo` does of a plain run."""
    both_brackets: bool = False
    """Run it with the optimistic and the pessimistic fills, too."""


class BacktestSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One backtest. Times in ns, [since, until); money is decimal text in `currency`.

    `close_at_end`: positions are closed by an order that still meets data (the open of the last bar); else they are
    valued at the exit side. `sample_s`: how often equity is looked at where there are no bars to look at it by.
    """

    strategy: StrategySpec
    data: Annotated[tuple[DataSpec, ...], msgspec.Meta(min_length=1, max_length=100)]
    name: str = ""
    markets: tuple[Name, ...] = ()
    """Those that are traded and shown to the strategy; empty: all of the data."""
    since: int | None = None
    until: int | None = None
    initial_capital: str = "100000"
    currency: str = "USD"
    account_kind: Literal["cash", "margin"] = "margin"
    leverage: str = "1"
    position_mode: Literal["netting", "hedging"] = "netting"
    market: MarketSpec = MarketSpec()
    instruments: tuple[Instrument, ...] = ()
    fills: FillSettings = FillSettings()
    limits: RiskLimits = RiskLimits()
    protections: tuple[ProtectionSettings, ...] = ()
    sizing: SizingSettings = SizingSettings()
    sized_at: Literal["signal", "open"] = "signal"
    opposite: Opposite = "close"
    allow_short: bool = True
    entries: Annotated[int, msgspec.Meta(ge=1)] | None = 1
    use_brackets: bool = True
    close_at_end: bool = False
    sample_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 60
    periods: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    """Returns per year of the metrics; None: 365 where the equity moves on weekends, else 252."""
    benchmark: str = ""
    """The market whose price is compared with; empty: the first."""
    seed: Count = 0
    method: MethodSpec = MethodSpec()

    def __post_init__(self) -> None:
        if _nanos("initial_capital", self.initial_capital) <= 0:
            raise ValueError(f"initial_capital: expected above 0, got {self.initial_capital!r}")
        if _nanos("leverage", self.leverage) < NANO:
            raise ValueError(f"leverage: expected 1 or more, got {self.leverage!r}")
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError("until: expected after since")
        if not self.limits.allow_short and self.allow_short:
            raise ValueError("allow_short: the limits forbid it")

    @property
    def capital(self) -> int:
        """The initial capital in nanos."""
        return exact_nanos(self.initial_capital)

    def engine(self) -> EngineSettings:
        """The settings of its engine."""
        return EngineSettings(
            account=AccountSettings(
                account_id=ACCOUNT,
                user="local",
                currency=self.currency,
                kind=self.account_kind,
                leverage=self.leverage,
                position_mode=self.position_mode,
                initial_capital=self.initial_capital,
            ),
            fills=self.fills,
            limits=self.limits,
            protections=self.protections,
            seed=self.seed,
            sample_s=self.sample_s,
        )

    def deployment(self) -> DeploymentSettings:
        """The deployment that binds the strategy to the engine's account."""
        return DeploymentSettings(
            deployment_id=DEPLOYMENT,
            strategy_id=self.strategy.name,
            account=ACCOUNT,
            name=self.name,
            markets=self.markets,
            mode="backtest",
            sizing=self.sizing,
            sized_at=self.sized_at,
            opposite=self.opposite,
            allow_short=self.allow_short,
            entries=self.entries,
            limits=self.limits,
            use_brackets=self.use_brackets,
        )

    def instrument(self, market: str) -> Instrument:
        """The definition of a market: its own, or what `market` says of all without one."""
        for each in self.instruments:
            if each.market == market:
                return each
        return self.market.instrument(market, self.currency)

    def with_parameters(self, parameters: dict[str, Any]) -> BacktestSpec:
        """The same with other parameters of the strategy."""
        chosen = msgspec.structs.replace(self.strategy, parameters={**self.strategy.parameters, **parameters})
        return msgspec.structs.replace(self, strategy=chosen)

    def with_bracket(self, bracket: Bracket) -> BacktestSpec:
        """The same with the fills of a bracket."""
        return msgspec.structs.replace(self, fills=msgspec.structs.replace(self.fills, bracket=bracket))

    def fingerprint(self, data_hashes: tuple[str, ...]) -> str:
        """16 hex digits of what makes the orders: the spec without its name and method, and the content of the data."""
        shown = msgspec.to_builtins(self)
        for name in ("name", "data", "method"):
            del shown[name]
        text = msgspec.json.encode([shown, sorted(data_hashes)], order="deterministic")
        return hashlib.sha256(text).hexdigest()[:16]


def read_spec(text: bytes | str) -> BacktestSpec:
    """A specification out of JSON. Raises SpecError."""
    try:
        return msgspec.json.decode(text, type=BacktestSpec)
    except msgspec.ValidationError as error:
        raise _named(error, msgspec.json.decode(text)) from None
    except msgspec.DecodeError as error:
        raise SpecError("backtest", str(error)) from None


def spec_of(fields: dict[str, Any]) -> BacktestSpec:
    """A specification out of plain data. Raises SpecError."""
    try:
        return msgspec.convert(fields, BacktestSpec)
    except msgspec.ValidationError as error:
        raise _named(error, fields) from None


_PLACE: Final = re.compile(r"^(.*?) - at `\$\.?([^`]*)`$", re.DOTALL)


def _named(error: Exception, fields: Any) -> SpecError:
    text = str(error)
    place = _PLACE.match(text)
    message, field = (place[1], place[2]) if place else (text, "")
    own, colon, rest = message.partition(": ")
    if colon and own.isidentifier():
        return SpecError(f"{field}.{own}" if field else own, rest)
    if field and " got " not in message:
        message += _got(fields, field)
    return SpecError(field or "backtest", message)


def _got(fields: Any, field: str) -> str:
    """What stands at a place such as `data[0].kind`, where that is a word or a number."""
    found = fields
    for name in re.split(r"[.\[]", field):
        try:
            found = found[int(name[:-1])] if name.endswith("]") else found[name]
        except (KeyError, IndexError, TypeError, ValueError):
            return ""
    return f", got {found!r}" if isinstance(found, str | int | float) else ""
